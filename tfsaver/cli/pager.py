"""A pager for output that is longer than the window of the person who watches.

What is printed in the block is kept. If it fits the window it is printed as it is; if not, it goes to the program that PAGER
names, `less` when it names none. `PAGER=cat` prints everything.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import shutil
import sys
from collections.abc import Iterator

from tfsaver.cli.text import width

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
# Quit if it fits, keep colours, leave the screen as it is.
_LESS = "FRX"


class _Kept(io.StringIO):
    """Text for a terminal, which a program that asks takes for one."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


@contextlib.contextmanager
def paged() -> Iterator[None]:
    """Shows what the block prints on standard output, a window at a time if it is longer than one."""
    watched = sys.stdout
    command = shlex.split(os.environ.get("PAGER", "less"))
    if not watched.isatty() or os.environ.get("TERM") == "dumb" or not command or shutil.which(command[0]) is None:
        yield
        return
    kept = _Kept()
    sys.stdout = kept
    try:
        yield
    finally:
        sys.stdout = watched
        text = kept.getvalue()
        if not _is_longer_than_window(text) or not _show(command, text):
            watched.write(text)


def _is_longer_than_window(text: str) -> bool:
    columns, lines = shutil.get_terminal_size()
    needed = 0
    for line in text.splitlines():
        needed += max(1, -(-width(_COLOURS.sub("", line)) // columns))
        # The prompt has a line too.
        if needed >= lines:
            return True
    return False


def _show(command: list[str], text: str) -> bool:
    """Whether the pager could be started; what it did not show, the person did not want to see."""
    try:
        # Few runs show a pager, and every run would wait for the import.
        import subprocess  # noqa: PLC0415

        process = subprocess.Popen(command, stdin=subprocess.PIPE, env={"LESS": _LESS, **os.environ})
    except OSError:
        return False
    assert process.stdin is not None  # noqa: S101 - it was asked for
    with contextlib.suppress(BrokenPipeError), process.stdin as stdin:
        stdin.write(text.encode("utf-8", "backslashreplace"))
    while True:
        # Ctrl-C is for the pager.
        with contextlib.suppress(KeyboardInterrupt):
            process.wait()
            return True
