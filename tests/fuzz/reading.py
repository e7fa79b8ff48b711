"""Everything that a user may do with a checkpoint, errors of the format left aside."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

from tfsaver.checkpoint.checkpoint_reader import CheckpointReader, load_checkpoint
from tfsaver.checkpoint.objects.object_graph import read_object_graph
from tfsaver.checkpoint.verify import verify_checkpoint
from tfsaver.errors import SaverError
from tfsaver.framework.tensor_slice import TensorSlice

# More tensors than any of the seeds has that is worth its time.
_MAX_NAMES = 12


def read_everything(path: str) -> None:
    """Opens, lists, reads in every way and verifies the checkpoint at a path."""
    with load_checkpoint(path) as reader:
        names = _attempt(lambda: reader.names) or ["float", "parts"]
        for name in names[:_MAX_NAMES]:
            _attempt(lambda name=name: _read(reader, name))
        _attempt(lambda: reader.read_tensors(names[:_MAX_NAMES]))
        _attempt(lambda: read_object_graph(reader))
        _attempt(reader.debug_string)
    verify_checkpoint(path)


def _read(reader: CheckpointReader, name: str) -> None:
    info = reader.info(name)
    region = TensorSlice(tuple((0, min(1, size)) for size in info.shape))
    part = _attempt(lambda: reader.read(name, region))
    _attempt(lambda: reader.read(name, region, verify=False))
    _attempt(lambda: reader.map(name))
    whole = reader.read(name)
    assert (whole.shape, whole.dtype) == (info.shape, info.dtype.numpy)
    if part is not None:
        assert _values(part) == _values(whole[(*region.indices, ...)])


def _values(array: Any) -> Any:
    # Bytes, since no NaN is equal to itself.
    return array.reshape(-1).tolist() if array.dtype.hasobject else array.tobytes()


def _attempt(step: Callable[[], Any]) -> Any:
    with contextlib.suppress(SaverError):
        return step()
    return None
