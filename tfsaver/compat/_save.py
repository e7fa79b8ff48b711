"""From variables into a checkpoint: values stream from the session to the files, one batch in memory at a time.

    not sharded    V2    model.index, model.data-00000-of-00001
                   V1    model
    sharded        V2    model.index, model.data-0000k-of-0000n
                   V1    model-0000k-of-0000n

A V1 file is the exception: its records are sorted by a key that mixes name and slice, so all values are held until it ends.
"""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Iterator, Sequence
from typing import Any

from tfsaver import schemas
from tfsaver.checkpoint.tensor_slice_writer import TensorSliceWriter
from tfsaver.compat import _transfer
from tfsaver.compat._binding import Binding
from tfsaver.compat._errors import tensorflow_errors
from tfsaver.compat._transfer import Array
from tfsaver.errors import InvalidArgumentError
from tfsaver.lib import file_io
from tfsaver.tensor_bundle.writer import BundleWriter


def save_variables(
    session: Any,
    shards: Sequence[Sequence[Binding]],
    save_path: str,
    prefix: str,
    *,
    version: int,
    durable: bool,
    sharded: bool = False,
) -> str:
    """Writes a checkpoint; whatever fails, no file and no directory is left behind.

    Args:
        session: Where the variables have their values; None for eager ones.
        shards: The variables by the data file they go to, in each sorted by name.
        save_path: What the caller asked to save to, for the error.
        prefix: The checkpoint's prefix, or the V1 file's path.
        version: SaverDef.V1 or SaverDef.V2.
        durable: Whether it returns only once the disk has the bytes.
        sharded: Whether the files are named as the shards of a checkpoint, were it only one.

    Returns:
        What finds the checkpoint again: the prefix, or the pattern of the files' names.

    Raises:
        InvalidArgumentError: The directory is not there, in TensorFlow's words. A V2 save makes the last level of it,
            unless it is sharded.
    """
    path = file_io.as_path(prefix)
    is_v2 = version == schemas.SaverDef.V2
    with _parent_directory(path, save_path, may_be_made=is_v2 and not sharded):
        values = _transfer.fetch(session, [binding for shard in shards for binding in shard])
        shard_ids = iter([shard_id for shard_id, shard in enumerate(shards) for _ in shard])
        # A variable without a value is the most common mistake: it shows before anything is written.
        fetched = next(values, None)
        with tensorflow_errors(), contextlib.ExitStack() as files:
            writers = _open(files, path, len(shards), is_v2=is_v2, sharded=sharded, durable=durable)
            while fetched is not None:
                _add(writers, next(shard_ids), *fetched)
                # Let go of before the next is fetched: two large variables must not be in memory at once.
                fetched = None
                fetched = next(values, None)
    return f"{prefix}-?????-of-{len(shards):05d}" if sharded and not is_v2 else prefix


def _open(
    files: contextlib.ExitStack, path: str, num_shards: int, *, is_v2: bool, sharded: bool, durable: bool
) -> BundleWriter | list[TensorSliceWriter]:
    if is_v2:
        return files.enter_context(BundleWriter(path, num_shards=num_shards, durable=durable, overlapped=True))
    names = [f"{path}-{shard_id:05d}-of-{num_shards:05d}" for shard_id in range(num_shards)] if sharded else [path]
    files.push(functools.partial(_remove_after_error, [name for name in names if not file_io.exists(name)]))
    return [files.enter_context(TensorSliceWriter(name, durable=durable)) for name in names]


def _remove_after_error(paths: Sequence[str], kind: type[BaseException] | None, *_: Any) -> None:
    """Removes the shards that were finished before another could not be."""
    for path in paths if kind is not None else ():
        file_io.remove(path)


def _add(writers: BundleWriter | list[TensorSliceWriter], shard_id: int, binding: Binding, value: Array) -> None:
    if binding.tensor_slice is None or binding.full_shape is None:
        if isinstance(writers, BundleWriter):
            writers.add(binding.name, value, shard_id=shard_id)
        else:
            writers[shard_id].add(binding.name, value)
    elif isinstance(writers, BundleWriter):
        writers.add_slice(binding.name, binding.full_shape, binding.tensor_slice, value, shard_id=shard_id)
    else:
        writers[shard_id].add_slice(binding.name, binding.full_shape, binding.tensor_slice, value)


@contextlib.contextmanager
def _parent_directory(path: str, save_path: str, *, may_be_made: bool) -> Iterator[None]:
    """Checks the directory of a checkpoint; removes it again when it was made in the block and the block fails."""
    directory = file_io.split(path)[0]
    # A store has no directories; what it refuses, it refuses on writing.
    if file_io.is_remote(path) or file_io.is_directory(directory or os.curdir):
        yield
        return
    parent = file_io.split(directory.rstrip("/"))[0]
    if not may_be_made or file_io.exists(directory) or not file_io.is_directory(parent or os.curdir):
        raise InvalidArgumentError(f"Parent directory of {save_path} doesn't exist, can't save.")
    try:
        yield
    except BaseException:
        # Only when it is empty: another save may have begun there since.
        with contextlib.suppress(OSError):
            os.rmdir(directory)
        raise
