"""JAX's arrays as leaves of a tree, through JAX itself; it is imported when something is to be made with it.

An array on a CPU is stored out of its own memory, one on another device comes piece by piece. It comes back on the default
device, without its sharding.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

import numpy as np

from tfsaver._lazy_imports import lazy_import
from tfsaver.errors import MissingExtraError, UnimplementedError
from tfsaver.framework import dtypes
from tfsaver.framework.dtypes import DType
from tfsaver.targets.trees.leaves import Array, TensorLeaf


class JaxLeaf(TensorLeaf):
    """An array of JAX's.

    Raises:
        UnimplementedError: It is of a kind or a type that no checkpoint can hold, or not all here.
    """

    kind = "jax"

    def __init__(self, value: Any, jax: Any) -> None:
        if isinstance(value, jax.core.Tracer):
            raise UnimplementedError("a traced array has no values: save outside of jit, grad and vmap")
        if jax.dtypes.issubdtype(value.dtype, jax.dtypes.extended):
            raise UnimplementedError(f"a {value.dtype} is no number: pass jax.random.key_data(...) of it")
        if value.is_deleted():
            raise UnimplementedError("the array's memory was given away (donated or deleted)")
        if not value.is_fully_addressable:
            raise UnimplementedError("parts of the array are on other processes: gather it first")
        self._value = value
        self.is_stable = value.is_fully_replicated and {device.platform for device in value.devices()} == {"cpu"}
        super().__init__(dtypes.from_numpy(np.dtype(value.dtype)), tuple(value.shape), identity=id(value))

    def all(self) -> Array:
        """Its values: its own memory where that is this machine's."""
        value = self._value
        # JAX keeps the copy that it makes for numpy with the array: one device's part is an array that goes when it is read.
        return np.asarray(value.addressable_data(0) if value.is_fully_replicated else value)

    def part(self, indices: tuple[slice, ...]) -> Array:
        """Some of its values; only these leave the array's device."""
        if {device.platform for device in self._value.devices()} == {"cpu"}:
            return super().part(indices)
        return np.asarray(self._value[indices])


def jax_leaf(value: Any) -> TensorLeaf | None:
    """What an array of JAX's is stored as; None for anything else. Does not import JAX: who has an array, has it.

    Raises:
        UnimplementedError: It is of a kind or a type that no checkpoint can hold, or not all here.
    """
    jax = sys.modules.get("jax")
    array_type = getattr(jax, "Array", None)
    return JaxLeaf(value, jax) if array_type is not None and isinstance(value, array_type) else None


def import_jax() -> Any:
    """JAX.

    Raises:
        MissingExtraError: It is not installed.
    """
    try:
        with lazy_import():
            importlib.import_module("jax.numpy")
            return importlib.import_module("jax")
    except ImportError as error:
        purpose = "loading what was saved as JAX's arrays (framework='numpy' loads numpy's)"
        raise MissingExtraError("jax", extra="jax", purpose=purpose) from error


def refusal(dtype: DType, jax: Any) -> str:
    """Why tensors of a type cannot be JAX's; empty where they can."""
    if not hasattr(jax.numpy, dtype.name):
        return f"{dtype.name} is no type of JAX {jax.__version__}"
    if jax.dtypes.canonicalize_dtype(dtype.numpy) != dtype.numpy:
        return f"JAX cuts {dtype.name} to 32 bits, as long as jax.config.update('jax_enable_x64', True) does not keep it"
    return ""


def restore_jax_array(array: Array, jax: Any) -> Any:
    """JAX's array of the same values."""
    return jax.numpy.asarray(array)
