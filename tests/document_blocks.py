"""The code blocks of a document, and what they print when they run."""

from __future__ import annotations

import pathlib
import re
import shlex
from collections.abc import Callable

from tfsaver.cli.main import main

_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_EXIT_CODE = re.compile(r"# .*\bexit code (\d)")


def blocks(document: pathlib.Path) -> list[tuple[str, str]]:
    """The blocks in order: language and text."""
    return _BLOCK.findall(document.read_text("utf-8"))


def run_blocks(document: pathlib.Path, printed: Callable[[], str]) -> int:
    """Runs the Python blocks and the `tfsaver` lines of shell blocks, in the working directory.

    A `text` block below such a block is what it prints. A comment `exit code 1` says how a line ends, 0 without one.

    Args:
        document: The document.
        printed: Takes what was printed since the last call.

    Returns:
        How many blocks and lines ran.
    """
    namespace: dict[str, object] = {}
    found = blocks(document)
    num_run = 0
    for number, (language, text) in enumerate(found):
        if language == "python":
            exec(compile(text, f"{document.name}, block {number}", "exec"), namespace)
            num_run += 1
        elif language == "sh":
            num_run += _run_lines(text)
        else:
            continue
        output = printed()
        language, expected = found[number + 1] if number + 1 < len(found) else ("", "")
        if language == "text":
            assert output == expected
    return num_run


def _run_lines(text: str) -> int:
    lines = [line for line in text.replace("\\\n", " ").splitlines() if line.startswith("tfsaver ")]
    for line in lines:
        expected = _EXIT_CODE.search(line)
        try:
            code = main(shlex.split(line, comments=True)[1:])
        except SystemExit as error:
            code = error.code
        assert code == int(expected[1] if expected else 0), line
    return len(lines)
