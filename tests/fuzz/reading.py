"""What a user may do with a checkpoint, errors of the format left aside.

All of it would take a fuzzer too long: each input is used in one way, which is as good as random.
"""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Callable
from typing import Any

from tfsaver.checkpoint.checkpoint_reader import CheckpointReader, load_checkpoint
from tfsaver.checkpoint.objects.object_graph import read_object_graph
from tfsaver.checkpoint.verify import verify_checkpoint
from tfsaver.errors import SaverError
from tfsaver.framework.tensor_slice import TensorSlice

# More cost time and show nothing new.
_MAX_NAMES = 3


def read_everything(path: str, data: bytes) -> None:
    """Opens, lists, reads or verifies the checkpoint at a path; in which way, and which tensors, `data` decides."""
    number = zlib.crc32(data)
    if number % 4 == 0:
        verify_checkpoint(path)
        return
    with load_checkpoint(path) as reader:
        names = _attempt(lambda: reader.names) or ["float", "parts"]
        start = number // 4 % max(1, len(names) - _MAX_NAMES + 1)
        names = names[start : start + _MAX_NAMES]
        if number % 4 == 1:
            _attempt(lambda: reader.read_tensors(names, num_workers=1))
            _attempt(lambda: read_object_graph(reader))
            _attempt(reader.debug_string)
        else:
            for name in names:
                _attempt(lambda name=name: (_read if number % 4 == 2 else _read_part)(reader, name))


def _read(reader: CheckpointReader, name: str) -> None:
    info = reader.info(name)
    whole = reader.read(name)
    assert (whole.shape, whole.dtype) == (info.shape, info.dtype.numpy)
    _attempt(lambda: reader.map(name))


def _read_part(reader: CheckpointReader, name: str) -> None:
    region = TensorSlice(tuple((0, min(1, size)) for size in reader.shape(name)))
    part = reader.read(name, region)
    assert _values(part) == _values(reader.read(name, region, verify=False))
    assert _values(part) == _values(reader.read(name)[(*region.indices, ...)])


def _values(array: Any) -> Any:
    # Bytes, since no NaN is equal to itself.
    return array.reshape(-1).tolist() if array.dtype.hasobject else array.tobytes()


def _attempt(step: Callable[[], Any]) -> Any:
    with contextlib.suppress(SaverError):
        return step()
    return None
