"""A program that writes a mapping from names to arrays into files, and reads it back: all but the two calls themselves."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import places
from benchmarks.contenders.contender import Contender, Work
from benchmarks.workloads import Array, Workload


class FileContender(Contender):
    """Steps `write`, `read`, and `read_cold`, on top of `write_files` and `read_files`."""

    def __init__(self, workload: Workload, directory: Path) -> None:
        super().__init__(workload, directory)
        self._arrays: Any = None
        self._source = directory / "source"

    def convert(self, arrays: dict[str, Array]) -> Any:
        """The arrays as the program has them in memory anyway, which is not timed."""
        return arrays

    def write_files(self, arrays: Any, directory: Path) -> Any:
        """Writes all of them to files in a directory."""
        raise NotImplementedError

    def read_files(self, directory: Path) -> Mapping[str, Any]:
        """Reads all that `write_files` wrote into memory that is new."""
        raise NotImplementedError

    def make_source(self) -> None:
        if not self._source.exists():
            self._source.mkdir(parents=True)
            self.write_files(self.convert(self.workload.arrays()), self._source)

    @contextlib.contextmanager
    def write(self) -> Iterator[Work]:
        """All arrays into new files."""
        if self._arrays is None:
            self._arrays = self.convert(self.workload.arrays())
        with places.emptied(self.directory / "written") as directory:
            yield Work(lambda: self.write_files(self._arrays, directory))
            self.check("write", lambda names: _pick(self.read_files(directory), names))

    @contextlib.contextmanager
    def read(self) -> Iterator[Work]:
        """All files into new arrays."""
        self.make_source()
        work = Work(lambda: self.read_files(self._source))
        yield work
        self.check("read", lambda names: _pick(work.result, names))

    @contextlib.contextmanager
    def read_cold(self) -> Iterator[Work]:
        """The same, from files of which nothing is in memory."""
        self.make_source()
        places.evict(self._source)
        with self.read() as work:
            yield work


def _pick(values: Mapping[str, Any], names: Sequence[str]) -> list[Any]:
    return [values[name] for name in names]
