"""Indexes of very many tensors: written whole and in tenths, and one tensor looked up.

    write            one index of all tensors
    write_in_tenths  ten indexes of a tenth of them each: the same work, if the time grows with the number and no faster
    look_up          a checkpoint opened, and one of its tensors read

The tensors are scalars, whose bytes one call writes: what is measured is the index.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import crc32c
import numpy as np

import tfsaver
from benchmarks import places
from benchmarks.contenders.contender import Contender, Work, WrongResultError
from tfsaver.framework import dtypes
from tfsaver.lib.crc32c import mask
from tfsaver.tensor_bundle.entry import BundleEntry
from tfsaver.tensor_bundle.header import BundleHeader
from tfsaver.tensor_bundle.placement import write_index

_NUM_PARTS = 10


class TfsaverIndex(Contender):
    """Writes with tfsaver's table builder, and looks up with its reader."""

    @contextlib.contextmanager
    def write(self) -> Iterator[Work]:
        with places.emptied(self.directory / "written") as directory:
            yield Work(lambda: _write(str(directory / "all"), self.workload.num_tensors))

    @contextlib.contextmanager
    def write_in_tenths(self) -> Iterator[Work]:
        num_tensors = -(-self.workload.num_tensors // _NUM_PARTS)
        with places.emptied(self.directory / "written") as directory:
            yield Work(lambda: [_write(str(directory / str(part)), num_tensors) for part in range(_NUM_PARTS)])

    @contextlib.contextmanager
    def look_up(self) -> Iterator[Work]:
        prefix, number = self._source(), self.workload.num_tensors // 3
        work = Work(lambda: self.value_of(prefix, _name(number)))
        yield work
        if float(work.result) != number:
            raise WrongResultError(f"{type(self).__name__}.look_up: tensor {number} is {work.result}")

    def value_of(self, prefix: str, name: str) -> Any:
        """What a checkpoint has for a tensor."""
        with tfsaver.load_checkpoint(prefix) as reader:
            return reader[name]

    def _source(self) -> str:
        # Beside the contenders' own directories, and theirs together.
        source = self.directory.parent / "indexed"
        prefix = str(source / "model")
        if not source.exists():
            source.mkdir(parents=True)
            Path(f"{prefix}.data-00000-of-00001").write_bytes(_values(self.workload.num_tensors).tobytes())
            _write(prefix, self.workload.num_tensors)
        return prefix


class TensorFlowIndex(TfsaverIndex):
    """Looks up with TensorFlow's reader."""

    def value_of(self, prefix: str, name: str) -> Any:
        import tensorflow as tf  # noqa: PLC0415 - tfsaver's own worker must not load it

        return tf.train.load_checkpoint(prefix).get_tensor(name)


def _name(number: int) -> str:
    return f"model/layer_{number:07d}/kernel"


def _values(num_tensors: int) -> Any:
    # Every number below 2**24 has a float32 of its own.
    return np.arange(num_tensors, dtype=np.float32)


def _write(prefix: str, num_tensors: int) -> None:
    dtype = dtypes.from_numpy(np.dtype(np.float32))
    values = memoryview(_values(num_tensors)).cast("B")
    entries = (
        (
            _name(number).encode(),
            BundleEntry(dtype, (), 0, 4 * number, 4, mask(crc32c.crc32c(values[4 * number : 4 * number + 4]))).encode(),
        )
        for number in range(num_tensors)
    )
    keys, encoded = zip(*entries, strict=True)
    write_index(prefix, BundleHeader(1, "little"), [(keys, encoded)], durable=False)
