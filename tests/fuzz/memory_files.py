"""Files in memory under paths of their own, so that a fuzzer need not write any to a disk."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any
from unittest import mock

from tests.table.stores import MemoryFile
from tfsaver.lib import file_io

FOLDER = "/in-memory"


class _MemoryFileSystem:
    """The part of `file_io.FileSystem` that readers use."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self._files = {f"{FOLDER}/{name}": data for name, data in files.items()}

    def open_for_reading(self, path: str) -> Any:
        if path not in self._files:
            raise FileNotFoundError(path)
        return MemoryFile(self._files[path], path)

    def exists(self, path: str) -> bool:
        return path in self._files or self.is_directory(path)

    def is_directory(self, path: str) -> bool:
        return any(name.startswith(f"{path.rstrip('/')}/") for name in self._files)

    def list_directory(self, path: str) -> list[str]:
        start = f"{path.rstrip('/')}/"
        return sorted({name.removeprefix(start).split("/")[0] for name in self._files if name.startswith(start)})

    def modification_time(self, path: str) -> float:
        return 0.0


@contextlib.contextmanager
def mounted(files: Mapping[str, bytes]) -> Iterator[str]:
    """Makes files be there, under the folder whose path is given, as long as the block lasts."""
    memory = _MemoryFileSystem(files)
    original = file_io.file_system
    choose = lambda path: memory if path == FOLDER or path.startswith(f"{FOLDER}/") else original(path)  # noqa: E731
    with mock.patch.object(file_io, "file_system", choose):
        yield FOLDER
