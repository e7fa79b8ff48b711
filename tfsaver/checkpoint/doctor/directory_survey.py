"""What lies in a directory of checkpoints, by the names of its files and no more of their bytes than names need.

    x.index  x.data-00000-of-00001  x.meta      a V2 checkpoint; how many data files it has is said in the index. x is empty
                                                for what save(session, "run/") writes
    x  next to x.index                          a V1 checkpoint that the V2 checkpoint of the same name hides
    x.data-00000-of-00001 alone                 data that nobody can read: the names are in the index
    x-00000-of-00002                            one file of a V1 checkpoint, if it ends as a table does (other programs
                                                name their shards like that too)
    x                                           a V1 checkpoint, if it ends as a table does, or if the state file, the
                                                retention ledger or an x.meta says that there is one
    x.meta alone                                a graph whose weights are elsewhere, or gone

Damaged files have their place in it as well: this says what is there, `verify` whether it is sound.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from tfsaver.checkpoint import saved_tensor_slices
from tfsaver.checkpoint.checkpoint_files import file_size, series_of
from tfsaver.checkpoint.doctor.leftovers import Leftover, find_in_store, find_leftovers
from tfsaver.errors import SaverError
from tfsaver.lib import coding, file_io
from tfsaver.table import format as table_format
from tfsaver.tensor_bundle import naming
from tfsaver.tensor_bundle.rank_parts import PendingSave, parts_of, prefixes_of_parts
from tfsaver.tensor_bundle.reader import BundleReader

_INDEX = naming.INDEX_NAME
_DATA = naming.DATA_NAME
_META = re.compile(r"(.+)\.meta", re.DOTALL)
_V1_SHARD = re.compile(r"(.+)-(\d{5,})-of-(\d{5,})", re.DOTALL)
_STEP = re.compile(r"-(\d{1,18})(?:-[\d?]+-of-\d+)?\Z")


@dataclass(frozen=True)
class FoundCheckpoint:
    """A checkpoint, sound or not.

    Attributes:
        prefix: What `load_checkpoint` takes: the path without suffix, or the pattern of a V1 checkpoint in several files.
        version: ``V2`` or ``V1``.
        paths: The files that hold its names and values, as far as they are there.
        missing: Those that must be there and are not.
        stray: Data files of its name that its index does not count: of another save under the same name.
        meta_graph: Its meta graph's file; None where there is none.
        time: When it was written, in seconds since the epoch, by the file that makes it a checkpoint.
        num_bytes: The size of `paths`.
    """

    prefix: str
    version: str
    paths: tuple[str, ...]
    missing: tuple[str, ...]
    stray: tuple[str, ...]
    meta_graph: str | None
    time: float
    num_bytes: int

    @property
    def name(self) -> str:
        """The last part of the prefix."""
        return file_io.split(self.prefix)[1]

    @property
    def series(self) -> str:
        """The name without the step."""
        return series_of(self.prefix)

    @property
    def step(self) -> int | None:
        """The number at the end of the name; None where there is none."""
        match = _STEP.search(self.name)
        return int(match[1]) if match else None


@dataclass
class DirectorySurvey:
    """What lies in a directory.

    Attributes:
        directory: The directory.
        checkpoints: By their names, which are those that a state file in the directory may use.
        data_without_index: The data files of each prefix of which there is no index.
        lonely_meta_graphs: Meta graphs without weights.
        leftovers: Of saves that were killed.
        hidden: Files of V1 checkpoints whose names mean a V2 checkpoint.
        pending: Saves by several processes that nobody has committed, with the prefix of each.
    """

    directory: str
    checkpoints: dict[str, FoundCheckpoint] = field(default_factory=dict)
    data_without_index: dict[str, tuple[str, ...]] = field(default_factory=dict)
    lonely_meta_graphs: list[str] = field(default_factory=list)
    leftovers: list[Leftover] = field(default_factory=list)
    hidden: list[str] = field(default_factory=list)
    pending: list[tuple[str, PendingSave]] = field(default_factory=list)


def survey_directory(directory: str, state_file_name: str, hints: Iterable[str] = ()) -> DirectorySurvey:
    """What lies in a directory; empty when there is none.

    Args:
        directory: The directory; empty for the working directory.
        state_file_name: What its state file is called.
        hints: Names that somebody says are checkpoints'; nothing else tells a damaged V1 checkpoint from other files.
    """
    return _Survey(directory, state_file_name, hints).run()


class _Survey:
    def __init__(self, directory: str, state_file_name: str, hints: Iterable[str]) -> None:
        self._directory = directory
        self._state_file_name = state_file_name
        names = [name for name in file_io.list_directory(directory) if not _is_of_unfinished(name)]
        self._names = set(names)
        self._meta_graphs = {match[1] for name in names if (match := _META.fullmatch(name))}
        self._hints = {*hints, *self._meta_graphs}
        self._data: dict[str, list[str]] = {}
        for name in names:
            if match := _DATA.fullmatch(name):
                self._data.setdefault(match[1], []).append(name)
        self._found = DirectorySurvey(directory)
        for prefix in prefixes_of_parts(directory, names):
            pending, parts = parts_of(prefix)
            self._found.pending += [(prefix, each) for each in pending]
            own = {file_io.split(path)[1] for path in parts}
            # A part is not an orphan, and none of another checkpoint's data.
            for name, files in list(self._data.items()):
                if rest := [each for each in files if each not in own]:
                    self._data[name] = rest
                else:
                    del self._data[name]

    def run(self) -> DirectorySurvey:
        v1: dict[tuple[str, int], list[str]] = {}
        for name in sorted(self._names):
            if match := _INDEX.fullmatch(name):
                self._add_v2(match[1])
            elif _DATA.fullmatch(name) or _META.fullmatch(name) or name == self._state_file_name:
                continue
            elif match := _V1_SHARD.fullmatch(name):
                v1.setdefault((match[1], int(match[3])), []).append(name)
            elif naming.index_path(name) in self._names:
                if self._ends_as_table(name):
                    self._found.hidden.append(self._path(name))
            elif self._is_v1(name):
                self._add(name, "V1", [name], [], [])
        for (prefix, num_shards), names in v1.items():
            pattern = saved_tensor_slices.shard_pattern(prefix, num_shards)
            if num_shards and (self._hints & {prefix, pattern} or any(map(self._ends_as_table, names))):
                wanted = [saved_tensor_slices.shard_path(prefix, number, num_shards) for number in range(num_shards)]
                self._add(pattern, "V1", sorted(names), [name for name in wanted if name not in self._names], [])
        self._add_what_is_lost()
        series = {found.series for found in self._found.checkpoints.values()}
        self._found.leftovers = find_leftovers(self._directory, self._state_file_name, series)
        if file_io.is_remote(self._directory):
            unused = {found.prefix: found.stray for found in self._found.checkpoints.values() if found.stray}
            self._found.leftovers += find_in_store(self._directory, {**self._found.data_without_index, **unused})
        return self._found

    def _add_v2(self, name: str) -> None:
        there = self._data.pop(name, [])
        counts = {int(match[3]) for each in there if (match := _DATA.fullmatch(each))}
        num_shards = self._num_shards(name)
        if num_shards is None:
            # The index does not say; of several counts one cannot know which is the index's.
            num_shards = counts.pop() if len(counts) == 1 else 0
        wanted = [naming.data_path(name, shard_id, num_shards) for shard_id in range(num_shards)]
        present = [each for each in wanted if each in self._names] if num_shards else there
        stray = [each for each in there if each not in set(present)]
        missing = [each for each in wanted if each not in self._names]
        self._add(name, "V2", [naming.index_path(name), *present], missing, stray)

    def _num_shards(self, name: str) -> int | None:
        try:
            with BundleReader(self._path(name)) as reader:
                return reader.header.num_shards
        except (SaverError, OSError):
            return None

    def _add(self, name: str, version: str, there: list[str], missing: list[str], stray: list[str]) -> None:
        base = match[1] if version == "V1" and (match := re.fullmatch(r"(.+)-\?{5}-of-\d+", name, re.DOTALL)) else name
        meta_graph = f"{base}.meta" if base in self._meta_graphs else None
        # Another process may remove a checkpoint while it is looked at; it is not there then.
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            self._found.checkpoints[name] = FoundCheckpoint(
                self._path(name),
                version,
                tuple(map(self._path, there)),
                tuple(map(self._path, missing)),
                tuple(map(self._path, stray)),
                meta_graph and self._path(meta_graph),
                file_io.modification_time(self._path(there[0])),
                sum(file_size(self._path(each)) for each in there),
            )

    def _add_what_is_lost(self) -> None:
        for name, files in self._data.items():
            self._found.data_without_index[self._path(name)] = tuple(map(self._path, files))
        used = {found.meta_graph for found in self._found.checkpoints.values()}
        graphs = [self._path(f"{base}.meta") for base in sorted(self._meta_graphs)]
        self._found.lonely_meta_graphs = [path for path in graphs if path not in used]

    def _is_v1(self, name: str) -> bool:
        if file_io.is_directory(self._path(name)):
            return False
        return name in self._hints or (not _LEFTOVER.search(name) and self._ends_as_table(name))

    def _ends_as_table(self, name: str) -> bool:
        """Whether a file's last bytes are those of a table."""
        try:
            with contextlib.closing(file_io.open_for_reading(self._path(name))) as file:
                if file.size < table_format.FOOTER_SIZE:
                    return False
                return coding.read_fixed64(file.read(file.size - 8, 8), 0) == table_format.MAGIC
        except (SaverError, OSError):
            return False

    def _path(self, name: str) -> str:
        # The checkpoint without a name: of the working directory "./", since a path is not empty.
        return file_io.join(self._directory or ("" if name else os.curdir), name)


def _is_of_unfinished(name: str) -> bool:
    """Whether a file belongs to a checkpoint that was still to get its name, whole as it may be."""
    match = _INDEX.fullmatch(name) or _DATA.fullmatch(name)
    return match is not None and file_io.is_temporary_name(match[1])


# A table that has not got its name yet.
_LEFTOVER = re.compile(r"\.(?:tempstate\d+|tmp[0-9a-f]{10}|tmp[0-9a-f]{32})\Z")
