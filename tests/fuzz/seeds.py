"""Files to begin with: small ones that other programs wrote, and the project's own."""

from __future__ import annotations

import functools
import os
import pathlib
import tempfile
from collections.abc import Iterator

from tests.corruption.victims import write_v1, write_v2

_ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
# Larger ones make no inputs, and many cost time at every start.
_MAX_SIZE = 4096
_MAX_FILES = 60


def case_paths(pattern: str) -> Iterator[pathlib.Path]:
    """The small files of that pattern that other programs wrote; none where there is no folder of such."""
    folder = pathlib.Path(os.environ.get("TFSAVER_CASES", _ROOT.parent / "shared" / "cases"))
    found = (path for path in sorted(folder.rglob(pattern)) if path.is_file() and path.stat().st_size <= _MAX_SIZE)
    for _, path in zip(range(_MAX_FILES), found, strict=False):
        yield path


def case_files(pattern: str) -> Iterator[bytes]:
    """The contents of `case_paths`."""
    return (path.read_bytes() for path in case_paths(pattern))


@functools.cache
def own_files() -> dict[str, bytes]:
    """A checkpoint of each format as this project writes it, by the files' names."""
    with tempfile.TemporaryDirectory() as folder:
        write_v1(pathlib.Path(folder, "v1"))
        write_v2(pathlib.Path(folder, "v2"))
        return {path.name: path.read_bytes() for path in pathlib.Path(folder).iterdir()}
