"""Programs that are restored without TensorFlow: modules of PyTorch, Keras models on the backends of JAX and PyTorch.

    torch.nn.Module     ``encoder.dense.weight``, as in its state_dict, and with slashes: ``encoder/dense/weight``
    Keras 3             its path, ``net/dense/kernel``, and without the model's name: ``dense/kernel``

Nothing is imported here: who gives a module has its library.
"""

from __future__ import annotations

import abc
import sys
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from tfsaver.checkpoint.execution import Target
from tfsaver.checkpoint.restoring.program import selected
from tfsaver.checkpoint.selection import Selection
from tfsaver.errors import InvalidArgumentError
from tfsaver.framework import dtypes
from tfsaver.framework.dtypes import DType
from tfsaver.framework.tensor_slice import TensorSlice
from tfsaver.targets.trees.leaves import Array
from tfsaver.targets.trees.torch import TorchLeaf


class ModuleVariable(abc.ABC):
    """A variable of a program without TensorFlow.

    Attributes:
        variable: The variable as its library has it.
        whole: The same.
        names: What its program calls it, the best first.
        is_optional: Whether it may keep its value when a checkpoint has none for it.
    """

    slot = None
    counts = None
    optimizer = None

    def __init__(self, variable: Any, names: Iterable[str], *, is_optional: bool = False) -> None:
        self.variable = self.whole = variable
        self.names = tuple(dict.fromkeys(names))
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


class TorchVariable(ModuleVariable):
    """A parameter or buffer of a module of PyTorch."""

    @property
    def _leaf(self) -> TorchLeaf:
        return TorchLeaf(self.variable, sys.modules["torch"])

    @property
    def dtype(self) -> DType:
        """The dtype that a tensor must have."""
        return self._leaf.dtype

    def numpy(self) -> Array:
        """The value."""
        return self._leaf.all()

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


class ModuleProgram:
    """The variables of a module, by names alone; see `Program`."""

    root: Any = None

    def __init__(self, variables: Iterable[ModuleVariable], what: str) -> None:
        self.notes: list[str] = []
        self.variables: list[Any] = list(variables)
        if not self.variables:
            raise InvalidArgumentError(f"there are no variables to restore in {what}")

    def paths(self, item: ModuleVariable) -> tuple[str, ...]:
        """None: the names are paths."""
        return ()

    def select(self, selection: Selection | None) -> list[Any]:
        """The variables that a selection leaves; raises as `selected`."""
        return selected(self.variables, lambda item: item.names, selection)

    def assigning(self, items: Mapping[str, Any], *, is_held: bool) -> Target | None:
        """None: they are assigned one by one."""
        return None


def program_of(target: Any) -> Any:
    """The variables of a module of PyTorch, or of Keras on another backend than TensorFlow; anything else as it is.

    Raises:
        InvalidArgumentError: It has no variables, or none yet.
    """
    keras = sys.modules.get("keras")
    if keras is not None and isinstance(target, getattr(keras, "Layer", ())) and keras.backend.backend() != "tensorflow":
        return _program_of_keras(target)
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(target, torch.nn.Module):
        return _program_of_torch(target)
    return target


def _program_of_torch(module: Any) -> ModuleProgram:
    names: dict[int, list[str]] = {}
    tensors: dict[int, Any] = {}
    for name, tensor in module.state_dict(keep_vars=True).items():
        # A tensor that is tied has several names.
        names.setdefault(id(tensor), []).append(name)
        tensors[id(tensor)] = tensor
    return ModuleProgram(
        (
            TorchVariable(
                tensor,
                (*names[number], *(name.replace(".", "/") for name in names[number])),
                is_optional=names[number][0].endswith("num_batches_tracked"),
            )
            for number, tensor in tensors.items()
        ),
        f"the module {type(module).__name__}",
    )


def _program_of_keras(model: Any) -> ModuleProgram:
    if not model.built:
        raise InvalidArgumentError(f"{model.name} is not built: it has no variables yet; call it on an input, or build() it")
    prefix = f"{model.name}/"
    return ModuleProgram(
        (
            KerasVariable(
                variable,
                (variable.path, variable.path.removeprefix(prefix)),
                is_optional=variable.path.endswith("seed_generator_state"),
            )
            for variable in model.weights
        ),
        f"the model {model.name}",
    )
