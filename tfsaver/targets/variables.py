"""Variables without TensorFlow: PyTorch's tensors, Keras 3's variables on any backend, arrays in trees."""

from __future__ import annotations

import abc
import sys
from collections.abc import Iterable
from typing import Any

import numpy as np

from tfsaver.framework import dtypes
from tfsaver.framework.dtypes import DType
from tfsaver.framework.tensor_slice import TensorSlice
from tfsaver.targets.optimizers import SlotOf
from tfsaver.targets.trees.jax import jax_leaf
from tfsaver.targets.trees.leaves import Array, TensorLeaf, array_leaf
from tfsaver.targets.trees.torch import TorchLeaf


class ModuleVariable(abc.ABC):
    """A variable of a program without TensorFlow; see `ProgramVariable`.

    Args:
        variable: The variable as its library has it.
        names: What its program calls it, the best first.
        slot: What it is to an optimizer.
        counts: What it counts for one.
        optimizer: The optimizer.
        is_optional: Whether it may keep its value when a checkpoint has none for it.
    """

    def __init__(
        self,
        variable: Any,
        names: Iterable[str],
        *,
        slot: SlotOf | None = None,
        counts: str | None = None,
        optimizer: Any = None,
        is_optional: bool = False,
    ) -> None:
        self.variable = self.whole = variable
        self.names = tuple(dict.fromkeys(names))
        self.slot = slot
        self.counts = counts
        self.optimizer = optimizer
        self.is_optional = is_optional

    @property
    def own_name(self) -> str:
        """What its library calls it."""
        return self.names[0]

    @property
    def part(self) -> tuple[tuple[int, ...], TensorSlice] | None:
        """None: it is no shard."""
        return None

    @property
    @abc.abstractmethod
    def dtype(self) -> DType:
        """The dtype that a tensor must have."""

    @property
    def shape(self) -> tuple[int | None, ...] | None:
        """Its shape."""
        return tuple(map(int, self.variable.shape))

    @abc.abstractmethod
    def numpy(self) -> Array:
        """The value."""

    @abc.abstractmethod
    def assign(self, value: Any) -> None:
        """Gives it a value of its dtype and shape."""

    def current(self) -> Any:
        """What `assign` takes to give it the value back that it has now."""
        return np.array(self.numpy())


class LeafVariable(ModuleVariable):
    """A variable whose type and value are those of a leaf of a tree."""

    @property
    @abc.abstractmethod
    def _leaf(self) -> TensorLeaf:
        """The leaf as it is now."""

    @property
    def dtype(self) -> DType:
        """The dtype that a tensor must have."""
        return self._leaf.dtype

    def numpy(self) -> Array:
        """The value."""
        return self._leaf.all()


class TorchVariable(LeafVariable):
    """A parameter or buffer of a module of PyTorch, or a tensor in a tree."""

    @property
    def _leaf(self) -> TensorLeaf:
        return TorchLeaf(self.variable, sys.modules["torch"])

    def assign(self, value: Any) -> None:
        """Copies a value into the module's own memory, on its own device."""
        torch = sys.modules["torch"]
        array = np.array(value, order="C")
        if self.dtype.numpy.isbuiltin != 1:
            # numpy knows the type by extension only: its bits come as integers of its size.
            given = torch.from_numpy(array.view(f"i{array.dtype.itemsize}")).view(self.variable.dtype)
        else:
            given = torch.from_numpy(array)
        with torch.no_grad():
            self.variable.copy_(given)


class KerasVariable(ModuleVariable):
    """A variable of Keras 3 on any backend."""

    @property
    def own_name(self) -> str:
        """Its path."""
        return str(self.variable.path)

    @property
    def dtype(self) -> DType:
        """The dtype that a tensor must have."""
        return dtypes.from_name(str(self.variable.dtype))

    def numpy(self) -> Array:
        """The value."""
        keras = sys.modules["keras"]
        value: Array = np.asarray(keras.ops.convert_to_numpy(self.variable))
        return value

    def assign(self, value: Any) -> None:
        """Gives it a value of its dtype and shape."""
        self.variable.assign(value)


class ArrayVariable(LeafVariable):
    """An array of numpy or JAX in a tree.

    Attributes:
        value: The array that is to stand in the tree: the same one where it can be written to.
    """

    def __init__(self, variable: Any, names: Iterable[str]) -> None:
        super().__init__(variable, names)
        self.value = variable

    @property
    def _leaf(self) -> TensorLeaf:
        leaf = jax_leaf(self.value) or array_leaf(self.value)
        assert leaf is not None  # noqa: S101 - `is_array` has said that it is one
        return leaf

    def assign(self, value: Any) -> None:
        """Writes a value into an array of numpy; in the place of one that cannot be written to puts another."""
        if isinstance(self.value, np.ndarray) and self.value.flags.writeable:
            self.value[...] = value
        elif isinstance(self.value, np.ndarray):
            self.value = np.array(value)
        elif isinstance(self.value, np.generic):
            self.value = np.asarray(value)[()]
        else:
            jax = sys.modules["jax"]
            self.value = jax.device_put(np.array(value), self.value.sharding)


def is_array(value: Any) -> bool:
    """Whether it is an array of numpy or JAX, or a scalar of numpy."""
    jax = sys.modules.get("jax")
    return isinstance(value, (np.ndarray, np.generic, getattr(jax, "Array", np.ndarray)))


def is_torch_tensor(value: Any) -> bool:
    """Whether it is a tensor of PyTorch."""
    return isinstance(value, getattr(sys.modules.get("torch"), "Tensor", ()))
