"""From variables into a checkpoint: values stream from the session to the file, one batch in memory at a time.

A V1 file is the exception: its records are sorted by a key that mixes name and slice, so all values are held until it ends.
"""

from __future__ import annotations

import contextlib
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
    session: Any, bindings: Sequence[Binding], save_path: str, prefix: str, *, version: int, durable: bool
) -> None:
    """Writes a checkpoint; whatever fails, no file and no directory is left behind.

    Args:
        session: Where the variables have their values; None for eager ones.
        bindings: The variables, sorted by name.
        save_path: What the caller asked to save to, for the error.
        prefix: The checkpoint's prefix, or the V1 file's path.
        version: SaverDef.V1 or SaverDef.V2.
        durable: Whether it returns only once the disk has the bytes.

    Raises:
        InvalidArgumentError: The directory is not there, in TensorFlow's words. A V2 save makes the last level of it.
    """
    path = file_io.as_path(prefix)
    is_v2 = version == schemas.SaverDef.V2
    with _parent_directory(path, save_path, may_be_made=is_v2):
        values = _transfer.fetch(session, bindings)
        # A variable without a value is the most common mistake: it shows before anything is written.
        fetched = next(values, None)
        new_writer = BundleWriter if is_v2 else TensorSliceWriter
        with tensorflow_errors(), new_writer(path, durable=durable) as writer:
            while fetched is not None:
                _add(writer, *fetched)
                # Let go of before the next is fetched: two large variables must not be in memory at once.
                fetched = None
                fetched = next(values, None)


def _add(writer: BundleWriter | TensorSliceWriter, binding: Binding, value: Array) -> None:
    if binding.tensor_slice is None or binding.full_shape is None:
        writer.add(binding.name, value)
    else:
        writer.add_slice(binding.name, binding.full_shape, binding.tensor_slice, value)


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
