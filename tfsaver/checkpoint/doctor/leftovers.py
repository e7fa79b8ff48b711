"""What saves that were killed leave in a directory, told by its name, and how it goes.

    model.index.tempstate1234567890             TensorFlow, unsharded or V1: what was being written
    model_temp/part-00000-of-00002.index        TensorFlow, sharded or from objects: the shards before they are merged
    model_temp_<32 hex digits>/part-...         the same, TensorFlow 1.x
    checkpoint.tmp<32 hex digits>               TensorFlow: the state file, likewise model.meta
    model.data-00000-of-00001.tmp<10 hex>       tfsaver: any file of a checkpoint before it has its name
    model.tmp<10 hex>/model.index               tfsaver: a checkpoint that TensorFlow's operation wrote for it, likewise
    model.tmp<10 hex>.index                     the same in a store
    model-of-00002.tmp<10 hex>/                 tfsaver: files of a V1 checkpoint, while they take the place of others

and in a store, where objects have their names at once:

    an upload of model.data-...                 that was begun and neither finished nor given up
    model.data-00000-of-00002                   of no index: the index is written last, and replaces one with other data

A save removes by itself what an earlier one of tfsaver's left, where the system says that the earlier one is over. Here is
what is left of that: the leftovers of others, and those on file systems that do not say such things.

None of them is part of a checkpoint, whatever is in it: each writer gives the file its own name as its last step. What a
save that is still at work has written looks the same, so only what has been quiet for a while goes, and nothing of a
checkpoint of which any leftover has not been, or is open in a process of this machine. A file without such a name is never
touched, and neither is a directory with anything else in it.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

from tfsaver.checkpoint.checkpoint_files import file_size, series_of
from tfsaver.checkpoint.shard_placement import owner_of_directory, settle
from tfsaver.lib import file_io
from tfsaver.lib.directory_lock import try_directory_lock
from tfsaver.tensor_bundle.cleaning import remove_unused_data

# Seconds for which a leftover must have been quiet: no writer waits that long between two writes.
MIN_AGE = 3600.0

_FILE = r"(?:\.index|\.data-\d{5,}-of-\d{5,}|\.meta)"
_TEMPSTATE = re.compile(rf"(.+?)(?:{_FILE})?\.tempstate\d{{1,20}}", re.DOTALL)
_TEMPORARY = re.compile(rf"(.+?){_FILE}\.tmp(?:[0-9a-f]{{10}}|[0-9a-f]{{32}})", re.DOTALL)
_TEMPORARY_BUNDLE = re.compile(rf"(.+?)\.tmp[0-9a-f]{{10}}{_FILE}(?:\.tempstate\d{{1,20}})?", re.DOTALL)
_STATE_FILE = re.compile(r"(.+?)(?:\.retention\.json)?\.tmp(?:[0-9a-f]{10}|[0-9a-f]{32})", re.DOTALL)
_WHOLE_FILE = re.compile(r"(.+?)(?:-\d{5,}-of-\d{5,})?\.tmp[0-9a-f]{10}", re.DOTALL)
_PARTS_DIRECTORY = re.compile(r"(.+)_temp(_[0-9a-f]{32})?", re.DOTALL)
_OBJECT = re.compile(rf"(.+?){_FILE}", re.DOTALL)
_INDEX = re.compile(r".*(?:\.index\.tmp[0-9a-f]{10}|\.tmp[0-9a-f]{10}/[^/]*\.index)", re.DOTALL)
_TEMPORARY_DIRECTORY = re.compile(r"(.*)\.tmp[0-9a-f]{10}", re.DOTALL)
_PART = re.compile(r"part-\d{5,}-of-\d{5,}(?:\.index|\.data-\d{5,}-of-\d{5,})?(?:\.tempstate\d{1,20}|\.tmp[0-9a-f]{10})?")


class Leftover(NamedTuple):
    """A file or a directory that a killed save left.

    Attributes:
        path: Where it is.
        owner: The name of the checkpoint, or of the state file, that was being written.
        paths: The files: itself, or what is in the directory.
        num_bytes: The size of these.
        time: When any of it was last written, in seconds since the epoch.
        upload: The number of an upload that was not finished; empty for files.
    """

    path: str
    owner: str
    paths: tuple[str, ...]
    num_bytes: int
    time: float
    upload: str = ""

    @property
    def is_directory(self) -> bool:
        return not self.upload and self.paths != (self.path,)


class Cleaning(NamedTuple):
    """What became of leftovers: what went, or in a dry run would go, and what stays, each with the reason."""

    removed: list[Leftover]
    kept: list[tuple[Leftover, str]]

    @property
    def num_bytes(self) -> int:
        return sum(leftover.num_bytes for leftover in self.removed)


def find_leftovers(directory: str, state_file_name: str, series: Collection[str] = ()) -> list[Leftover]:
    """The leftovers in a directory.

    Args:
        directory: Where to look; not below it, but for the directories of parts.
        state_file_name: What its state file is called.
        series: The series of the checkpoints there: a V1 checkpoint's file has no suffix of its own, so that only a file
            of one of these is certainly one.
    """
    found = []
    for name in file_io.list_directory(directory):
        path = file_io.join(directory, name)
        # The files between the listing and the look at them may go, by the save that made them.
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            owner = _owner_of_file(name, state_file_name, series)
            if owner is not None and not file_io.is_directory(path):
                found.append(_leftover(path, owner, [path]))
            elif (match := _PARTS_DIRECTORY.fullmatch(name)) and file_io.is_directory(path):
                parts = file_io.list_directory(path)
                # An empty directory is certainly one of TensorFlow's only if its name has the digits.
                if all(map(_PART.fullmatch, parts)) and (parts or match[2]):
                    found.append(_leftover(path, match[1], [file_io.join(path, part) for part in parts]))
            elif (owner := owner_of_directory(name)) and file_io.is_directory(path):
                inside = [os.path.join(folder, part) for folder, _, parts in os.walk(path) for part in parts]
                found.append(_leftover(path, owner, inside))
            elif (match := _TEMPORARY_DIRECTORY.fullmatch(name)) and file_io.is_directory(path):
                parts = file_io.list_directory(path)
                own = re.compile(rf"{re.escape(match[1])}{_FILE}(?:\.tempstate\d{{1,20}})?", re.DOTALL)
                if parts and all(map(own.fullmatch, parts)):
                    found.append(_leftover(path, match[1], [file_io.join(path, part) for part in parts]))
    return found


def find_in_store(directory: str, unused: Mapping[str, Iterable[str]]) -> list[Leftover]:
    """What killed saves left in a directory of a store: uploads, and data that no index uses.

    Args:
        directory: A URL.
        unused: Of each prefix the data files that its index does not use, or that have none.
    """
    found = [_leftover(path, file_io.split(prefix)[1], [path]) for prefix, paths in unused.items() for path in paths]
    for path, upload, begun in file_io.unfinished_uploads(file_io.join(directory, "")):
        name = file_io.split(path)[1]
        if _OBJECT.fullmatch(name) and file_io.split(path)[0].rstrip("/") == directory.rstrip("/"):
            found.append(Leftover(path, _OBJECT.fullmatch(name)[1], (), 0, begun, upload))  # type: ignore[index]
    return found


def clean_leftovers(
    leftovers: Iterable[Leftover], *, min_age: float = MIN_AGE, dry_run: bool = False, now: float | None = None
) -> Cleaning:
    """Removes leftovers of saves that are certainly over.

    Args:
        leftovers: From `find_leftovers`.
        min_age: For how many seconds nothing of a checkpoint's leftovers may have been written.
        dry_run: Removes nothing, and says what would go.
        now: The time, in seconds since the epoch; the clock's when None.
    """
    leftovers = list(leftovers)
    now = time.time() if now is None else now
    newest: dict[tuple[str, str], float] = {}
    for leftover in leftovers:
        newest[_group(leftover)] = max(leftover.time, newest.get(_group(leftover), leftover.time))
    open_files = _open_files() if leftovers else frozenset()
    in_use = {
        _group(leftover) for leftover in leftovers if any(os.path.realpath(path) in open_files for path in leftover.paths)
    }
    cleaning = Cleaning([], [])
    for leftover in leftovers:
        age = now - newest[_group(leftover)]
        if _group(leftover) in in_use:
            cleaning.kept.append((leftover, "a process has it, or what belongs to it, open"))
        elif age < min_age:
            cleaning.kept.append((leftover, f"written {max(0, round(age))} seconds ago: the save may be at work still"))
        elif dry_run or _remove(leftover):
            cleaning.removed.append(leftover)
        else:
            cleaning.kept.append((leftover, "something was written into it meanwhile"))
    return cleaning


def _owner_of_file(name: str, state_file_name: str, series: Collection[str]) -> str | None:
    if match := _TEMPORARY_BUNDLE.fullmatch(name) or _TEMPSTATE.fullmatch(name) or _TEMPORARY.fullmatch(name):
        return match[1]
    if (match := _STATE_FILE.fullmatch(name)) and match[1] == state_file_name:
        return match[1]
    if (match := _WHOLE_FILE.fullmatch(name)) and series_of(match[1]) in series:
        return match[1]
    return None


def _leftover(path: str, owner: str, paths: list[str]) -> Leftover:
    times = [file_io.modification_time(each) for each in dict.fromkeys((path, *paths))]
    return Leftover(path, owner, tuple(paths), sum(map(file_size, paths)), max(times))


def _group(leftover: Leftover) -> tuple[str, str]:
    """Whose leftover it is: the files of one save are written at different times, and the first waits for the last."""
    return file_io.split(leftover.path)[0], leftover.owner


def _remove(leftover: Leftover) -> bool:
    if leftover.upload:
        file_io.abort_upload(leftover.path, leftover.upload)
        return True
    directory, name = file_io.split(leftover.path)
    if leftover.is_directory and owner_of_directory(name):
        # Names of the checkpoint may lead into it.
        with try_directory_lock(directory) as is_held:
            return is_held and settle(leftover.path)
    # An index that is left says which data files have their names already, and no index that would use them.
    for path in leftover.paths:
        if (index := _INDEX.fullmatch(path)) and not file_io.is_remote(path):
            with try_directory_lock(directory) as is_held:
                if is_held:
                    remove_unused_data(file_io.join(directory, leftover.owner), index[0])
    for path in leftover.paths:
        file_io.remove(path)
    if leftover.is_directory and not file_io.is_remote(leftover.path):
        try:
            os.rmdir(leftover.path)
        except FileNotFoundError:
            return True
        except OSError:
            return False
    return True


def _open_files() -> frozenset[str]:
    """The files that processes of this machine have open, as far as the system says so."""
    found = set()
    for process in filter(str.isdigit, file_io.list_directory("/proc")):
        folder = f"/proc/{process}/fd"
        # Other users' processes do not show theirs, and a process may end at any moment.
        with contextlib.suppress(OSError):
            for descriptor in os.listdir(folder):
                with contextlib.suppress(OSError):
                    found.add(os.readlink(f"{folder}/{descriptor}"))
    return frozenset(found)
