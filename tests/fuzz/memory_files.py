"""Files in memory under paths of their own, so that a fuzzer need not write any to a disk.

There is one set of such files in a process, and it is there from the first `mount` on: to set up something for each input
would cost as much as what is fuzzed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.table.stores import MemoryFile
from tfsaver.lib import file_io

# With a scheme, so that nobody asks the system about them.
FOLDER = "memory://fuzz"


class _MemoryFileSystem:
    """The part of `file_io.FileSystem` that readers use."""

    def __init__(self) -> None:
        self.files: Mapping[str, bytes] = {}

    def open_for_reading(self, path: str, descriptors: object) -> Any:
        if path not in self.files:
            raise FileNotFoundError(path)
        return MemoryFile(self.files[path], path)

    def exists(self, path: str) -> bool:
        return path in self.files or self.is_directory(path)

    def is_directory(self, path: str) -> bool:
        return any(name.startswith(f"{path.rstrip('/')}/") for name in self.files)

    def list_directory(self, path: str) -> list[str]:
        start = f"{path.rstrip('/')}/"
        return sorted({name.removeprefix(start).split("/")[0] for name in self.files if name.startswith(start)})

    def modification_time(self, path: str) -> float:
        return 0.0


_memory = _MemoryFileSystem()
_original = file_io.file_system


def _file_system(path: str) -> Any:
    return _memory if path == FOLDER or path.startswith(f"{FOLDER}/") else _original(path)


def mount(files: Mapping[str, bytes]) -> str:
    """Puts files into the folder whose path is given back, in the place of those that were there."""
    _memory.files = {f"{FOLDER}/{name}": data for name, data in files.items()}
    file_io.file_system = _file_system
    return FOLDER
