"""What killed saves left in a directory, and its removal by the next save there.

    model.data-00000-of-00001.tmp0123456789     a file that has not got its name
    model.index.tmp0123456789                   an index: it says how many data files its bundle has, and of which size
    model.data-00000-of-00001                   a data file that has its name already, while no index has said so
    model.tmp0123456789/                        what TensorFlow was writing for us
    checkpoint.tmp0123456789, model.meta.tmp0123456789

Nothing goes but what the name says is ours, and whose writer is gone (see `lib.abandoned`). A data file without such a name
goes where three things come together: an index that was left behind says of which size it is; the prefix's own index says
another number of data files, or is not there; and it was not written after the index that was left. Data files get their
names, and lose them, under the directory's lock alone, which is held here.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Callable

from tfsaver.errors import SaverError
from tfsaver.lib import file_io
from tfsaver.lib.abandoned import abandoned, remove_abandoned
from tfsaver.lib.directory_lock import try_directory_lock
from tfsaver.table.table import Table
from tfsaver.tensor_bundle import naming
from tfsaver.tensor_bundle.entry import decode_entry
from tfsaver.tensor_bundle.header import HEADER_KEY, BundleHeader, decode_header
from tfsaver.tensor_bundle.index_file import IndexFile

_TEMPORARY = r"\.tmp[0-9a-f]{10}"
_SUFFIX_SIZE = 14
_BUNDLE_FILE = r"(?:\.index|\.data-\d{5,}-of-\d{5,})"
# What TensorFlow calls its files before they have their names.
_UNFINISHED = r"\.tempstate\d{1,20}|\.tmp[0-9a-f]{32}"
_OWN_FILE = re.compile(rf"(?:.*(?:{_BUNDLE_FILE}|\.meta|\.retention\.json)|checkpoint){_TEMPORARY}", re.DOTALL)
_INDEX = re.compile(rf"(.*)\.index{_TEMPORARY}", re.DOTALL)
_DIRECTORY = re.compile(rf"(.*){_TEMPORARY}", re.DOTALL)


def clean_directory(directory: str, is_ours: Callable[[str], bool] | None = None) -> None:
    """Removes from a directory what killed saves left; looks at its names once, and does nothing more where all is well.

    Args:
        directory: Where a save is about to write. Of a store behind a URL nothing is known, and nothing is removed.
        is_ours: Says of a file's name, its end cut off that says it is temporary, whether it is a checkpoint's file though
            its name does not show it.
    """
    if file_io.is_remote(directory):
        return
    with contextlib.suppress(OSError):
        listed = file_io.list_directory(directory)
        names = [name for name in listed if name[-_SUFFIX_SIZE:-10] == ".tmp" and file_io.is_temporary_name(name)]
        if not names:
            return
        with try_directory_lock(directory) as is_held:
            if is_held:
                _clean(directory, names, is_ours)


def remove_unused_data(prefix: str, note: str) -> None:
    """Removes the data files of a bundle whose index was left under a temporary name, unless the prefix's index uses them.

    Args:
        prefix: The bundle's prefix, a local one.
        note: The index that was left.
    """
    try:
        written = os.stat(note).st_ctime_ns
        header, sizes = _read(note)
    except (SaverError, OSError):
        # It was being written itself, so that nothing else had a name yet.
        return
    if header.save_id:
        # These data are there without an index until somebody commits them, and go with `abandon`.
        return
    num_shards = header.num_shards
    try:
        if num_shards_of(prefix) == num_shards:
            return
    except (SaverError, OSError):
        # What it uses nobody knows.
        return
    for shard_id in range(num_shards):
        path = naming.data_path(prefix, shard_id, num_shards)
        with contextlib.suppress(OSError):
            status = os.lstat(path)
            # A shard without tensors is made when the index is there already.
            if status.st_size == sizes.get(shard_id, 0) and (status.st_mtime_ns <= written or not status.st_size):
                os.remove(path)


def num_shards_of(prefix: str) -> int | None:
    """How many data files the bundle has that is at a prefix; None where there is no index.

    Raises:
        DataLossError: The index is damaged.
        OSError: It cannot be read.
    """
    header = header_of(prefix)
    return None if header is None else header.num_shards


def header_of(prefix: str) -> BundleHeader | None:
    """The header of the bundle that is at a prefix; None where there is no index. Raises as `num_shards_of`."""
    path = naming.index_path(prefix)
    try:
        # A small index in a store is one request.
        file = IndexFile(prefix, path) if file_io.is_remote(path) else file_io.open_for_reading(path)
    except FileNotFoundError:
        return None
    with contextlib.closing(file):
        return decode_header(Table(file).first_value(HEADER_KEY), path)


def _clean(directory: str, names: list[str], is_ours: Callable[[str], bool] | None) -> None:
    for name in names:
        path = file_io.join(directory, name)
        if match := _INDEX.fullmatch(name):
            with abandoned(path) as is_left:
                if is_left:
                    remove_unused_data(file_io.join(directory, match[1]), path)
                    file_io.remove(path)
        elif _OWN_FILE.fullmatch(name) or (is_ours is not None and is_ours(name[:-_SUFFIX_SIZE])):
            remove_abandoned(path)
        if (match := _DIRECTORY.fullmatch(name)) and _holds_checkpoint(path, match[1]):
            prefix, note = file_io.join(directory, match[1]), file_io.join(path, f"{match[1]}.index")
            with abandoned(path, is_directory=True) as is_left:
                if is_left:
                    remove_unused_data(prefix, note)
                    shutil.rmtree(path, ignore_errors=True)


def _holds_checkpoint(path: str, base: str) -> bool:
    """Whether a directory holds nothing but files of one checkpoint, by their names; an empty one does, being just begun."""
    if os.path.islink(path) or not os.path.isdir(path):
        return False
    stem = re.escape(os.path.splitext(base)[0])
    own = re.compile(rf"(?:{re.escape(base)}{_BUNDLE_FILE}?|{stem}\.debug)(?:{_UNFINISHED})?", re.DOTALL)
    return all(map(own.fullmatch, file_io.list_directory(path)))


def _read(index_path: str) -> tuple[BundleHeader, dict[int, int]]:
    """The header of an index, and the size of each data file that has tensors."""
    sizes: dict[int, int] = {}
    with contextlib.closing(file_io.open_for_reading(index_path)) as file:
        table = Table(file)
        header = decode_header(table.get(HEADER_KEY), index_path)
        for key, value in table.items():
            if key != HEADER_KEY:
                entry = decode_entry(value, f"entry of {key!r} in {index_path}")
                sizes[entry.shard_id] = max(sizes.get(entry.shard_id, 0), entry.offset + entry.size)
    return header, sizes
