"""The program as a process of its own, in a pipe or in a terminal; and indexes with something changed."""

from __future__ import annotations

import os
import pathlib
import pty
import subprocess
import sys
from collections.abc import Callable, Mapping

from tfsaver import schemas
from tfsaver.lib import file_io
from tfsaver.table.table import Table
from tfsaver.table.table_builder import TableBuilder

_ROOT = pathlib.Path(__file__).resolve().parents[2]


def change_index(prefix: str, change: Callable[[bytes, bytes], bytes]) -> None:
    """Writes an index anew, each value as `change(key, value)` gives it."""
    path = f"{prefix}.index"
    file = file_io.open_for_reading(path)
    entries = list(Table(file).items())
    file.close()
    with file_io.atomic_writer(path, durable=False) as output:
        builder = TableBuilder(output)
        for key, value in entries:
            builder.add(key, change(key, value))
        builder.finish()


def make_big_endian(key: bytes, value: bytes) -> bytes:
    """For `change_index`: says that the data's byte order is the other one."""
    if key:
        return value
    header = schemas.BundleHeaderProto.FromString(value)
    header.endianness = schemas.BundleHeaderProto.BIG
    return bytes(header.SerializeToString())


def environment(**changes: str) -> Mapping[str, str]:
    """The test's environment without what decides on colours, and with the checkout to import from."""
    without = {"NO_COLOR", "FORCE_COLOR", "TERM", "COLUMNS", "LINES", "PYTHONIOENCODING"}
    kept = {name: value for name, value in os.environ.items() if name not in without}
    return {**kept, "PYTHONPATH": str(_ROOT), "TERM": "xterm-256color", **changes}


def run_process(*arguments: str, code: str | None = None, **changes: str) -> subprocess.CompletedProcess[bytes]:
    """The program in a pipe; with `code`, Python that may call it instead."""
    start = ["-m", "tfsaver"] if code is None else ["-c", code]
    command = [sys.executable, *start, *arguments]
    return subprocess.run(command, capture_output=True, env=environment(**changes), timeout=120, check=False)


def run_in_terminal(*arguments: str, code: str | None = None, **changes: str) -> tuple[int, str]:
    """The exit code and what a terminal shows, standard error included; no pager waits for keys."""
    start = ["-m", "tfsaver"] if code is None else ["-c", code]
    ours, theirs = pty.openpty()
    command = [sys.executable, *start, *arguments]
    process = subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment(**{"COLUMNS": "120", "PAGER": "cat", **changes})
    )
    os.close(theirs)
    shown = b""
    try:
        # Linux says EIO instead of the end of the file when the last writer has gone.
        while chunk := os.read(ours, 65536):
            shown += chunk
    except OSError:
        pass
    finally:
        os.close(ours)
    return process.wait(timeout=120), shown.decode()
