"""The data that is saved and restored: float32 tensors of one size, random, and the same in every process.

Random values keep anything from being easier than it is: no page is all zeros, nothing compresses. Each tensor has a
generator of its own, so that any one can be made again to compare with, without the others.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = "np.ndarray[Any, Any]"

_SEED = 20
_ITEM_SIZE = 4
# Tensors as small as this are about their number: a smaller scale makes fewer of them, not smaller ones.
_SMALL_SIZE = 4096
_NUM_SAMPLES = 8


@dataclasses.dataclass(frozen=True)
class Workload:
    """Tensors of one size.

    Args:
        num_tensors: How many.
        tensor_size: The bytes of each.
    """

    num_tensors: int
    tensor_size: int

    @property
    def size(self) -> int:
        """The bytes of all of them."""
        return self.num_tensors * self.tensor_size

    @property
    def title(self) -> str:
        """What it is, in words: `1 GB in 1,000`."""
        amount = f"{self.size / 1e9:.3g} GB" if self.size >= 1e9 else f"{self.size / 1e6:.3g} MB"
        return f"{amount} in {self.num_tensors:,}"

    @property
    def num_elements(self) -> int:
        """The elements of each tensor."""
        return self.tensor_size // _ITEM_SIZE

    def scaled(self, scale: float) -> Workload:
        """About so many times the bytes: smaller tensors, or fewer where they are small already."""
        if self.tensor_size <= _SMALL_SIZE:
            return Workload(max(1, round(self.num_tensors * scale)), self.tensor_size)
        return Workload(self.num_tensors, max(1, round(self.tensor_size * scale / _ITEM_SIZE)) * _ITEM_SIZE)

    def names(self) -> list[str]:
        """The tensors' names, in order."""
        return [f"scope_{number // 100:02d}/variable_{number:04d}" for number in range(self.num_tensors)]

    def array(self, number: int) -> Array:
        """The values of one tensor."""
        return np.random.default_rng((_SEED, number)).random(self.num_elements, np.float32)

    def arrays(self) -> dict[str, Array]:
        """The values of all of them."""
        return {name: self.array(number) for number, name in enumerate(self.names())}

    def samples(self) -> list[int]:
        """The numbers of a few tensors, the first and the last among them, that stand for all when results are checked."""
        return sorted({round(part * (self.num_tensors - 1) / (_NUM_SAMPLES - 1)) for part in range(_NUM_SAMPLES)})


class LazyArrays(Mapping[str, Array]):
    """The tensors of a workload, each made when it is asked for, so that they need not all be in memory."""

    def __init__(self, workload: Workload) -> None:
        self._workload = workload
        self._numbers = {name: number for number, name in enumerate(workload.names())}

    def __getitem__(self, name: str) -> Array:
        return self._workload.array(self._numbers[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._numbers)

    def __len__(self) -> int:
        return len(self._numbers)
