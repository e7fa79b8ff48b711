"""PyTorch's tensors as leaves of a tree, through PyTorch itself; it is imported when something is to be made with it.

    in the tree                       in the checkpoint
    bool, ints, floats, complex       the same type, the tensor's own memory where it is this machine's
    bfloat16, float8_*                the same type, by way of integers of its size, since numpy has to be told of it
    complex32                         float16 with a last dimension of 2
    float8_e8m0fnu, float4_e2m1fn_x2  uint8, TensorFlow having no such type

Tensors that are one memory seen alike (tied weights) are stored once, and are one tensor again. A Parameter comes back as
one, and what requires a gradient does so again; what does not come back is the graph behind it, and the device.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

import numpy as np

from tfsaver._lazy_imports import lazy_import
from tfsaver.errors import DataLossError, MissingExtraError, UnimplementedError
from tfsaver.framework import dtypes
from tfsaver.framework.dtypes import DType
from tfsaver.targets.trees.leaves import Array, TensorLeaf
from tfsaver.targets.trees.structure import Leaf

# PyTorch's names for types, which are also TensorFlow's.
_PLAIN = (
    *("bool", "uint8", "int8", "int16", "int32", "int64", "uint16", "uint32", "uint64"),
    *("float16", "float32", "float64", "complex64", "complex128"),
)
# The same, for types that numpy knows by extension only -> the integers that carry them there and back.
_AS_INTEGERS = {
    "bfloat16": "int16",
    "float8_e5m2": "uint8",
    "float8_e4m3fn": "uint8",
    "float8_e4m3fnuz": "uint8",
    "float8_e5m2fnuz": "uint8",
}
# PyTorch's name -> the type under which it is stored.
_IN_DISGUISE = {"complex32": "float16", "float8_e8m0fnu": "uint8", "float4_e2m1fn_x2": "uint8"}


class TorchLeaf(TensorLeaf):
    """A tensor of PyTorch's.

    Raises:
        UnimplementedError: It is of a kind or a type that no checkpoint can hold.
    """

    kind = "torch"

    def __init__(self, value: Any, torch: Any) -> None:
        _check_kind(value, torch)
        self._torch = torch
        self._raw, name, stored = _raw(value.detach(), torch)
        options: dict[str, Any] = {"dtype": name} if name in _IN_DISGUISE else {}
        if is_parameter := type(value) is torch.nn.Parameter:
            options["parameter"] = True
        if value.requires_grad != is_parameter:
            options["requires_grad"] = value.requires_grad
        identity = None
        if value.numel():
            memory = (str(value.device), value.data_ptr(), tuple(value.shape), value.stride())
            identity = (*memory, name, value.is_conj(), value.is_neg())
        self.is_stable = value.device.type == "cpu" and not value.is_conj() and not value.is_neg()
        super().__init__(stored, tuple(self._raw.shape), identity, options)

    def all(self) -> Array:
        """Its values: its own memory where that is this machine's."""
        return self._to_host(self._raw)

    def part(self, indices: tuple[slice, ...]) -> Array:
        """Some of its values; only these leave the tensor's device."""
        return self._to_host(self._raw[indices])

    def _to_host(self, raw: Any) -> Array:
        # The bits of conjugated and negated views are made on this machine, and one piece of them at a time.
        array: Array = raw.cpu().resolve_conj().resolve_neg().numpy()
        return array if array.dtype == self.dtype.numpy else array.view(self.dtype.numpy)


def torch_leaf(value: Any) -> TensorLeaf | None:
    """What a tensor of PyTorch's is stored as; None for anything else. Does not import PyTorch: who has a tensor, has it.

    Raises:
        UnimplementedError: It is of a kind or a type that no checkpoint can hold.
    """
    torch = sys.modules.get("torch")
    tensor_type = getattr(torch, "Tensor", None)
    if tensor_type is None or not isinstance(value, tensor_type):
        return None
    return TorchLeaf(value, torch)


def import_torch() -> Any:
    """PyTorch.

    Raises:
        MissingExtraError: It is not installed.
    """
    try:
        with lazy_import():
            return importlib.import_module("torch")
    except ImportError as error:
        purpose = "loading what was saved as PyTorch's tensors (framework='numpy' loads arrays)"
        raise MissingExtraError("torch", extra="torch", purpose=purpose) from error


def refusal(dtype: DType, torch: Any) -> str:
    """Why tensors of a type cannot be PyTorch's; empty where they can."""
    if dtype.name in (*_PLAIN, *_AS_INTEGERS) and hasattr(torch, dtype.name):
        return ""
    return f"{dtype.name} is no type of PyTorch {torch.__version__}"


def as_torch_tensor(array: Array, torch: Any) -> Any:
    """The tensor of PyTorch's that has an array's memory, of a type that `refusal` does not refuse."""
    # PyTorch warns about memory that must not be written to: what fills a shape with one value is such.
    array = np.require(array, requirements="W")
    name = dtypes.from_numpy(array.dtype).name
    if carrier := _AS_INTEGERS.get(name):
        tensor = torch.from_numpy(array.view(carrier)).view(getattr(torch, name))
    else:
        tensor = torch.from_numpy(array)
    # The strides of an empty array are not those of a tensor of its shape.
    return tensor if tensor.numel() else torch.empty(array.shape, dtype=tensor.dtype)


def restore_tensor(array: Array, leaf: Leaf, torch: Any) -> Any:
    """The tensor that has an array's memory.

    Raises:
        DataLossError: It cannot have been what it is said to have been.
    """
    name = dtypes.from_numpy(array.dtype).name
    tensor = as_torch_tensor(array, torch)
    options = leaf.options if leaf.kind == "torch" else {}
    try:
        if disguise := options.get("dtype"):
            # Pairs of halves that were cast since are pairs all the same.
            is_wider = disguise == "complex32" and name in ("float32", "float64")
            if _IN_DISGUISE.get(disguise) != name and not is_wider:
                raise TypeError(f"{disguise} is not stored as {name}")
            tensor = torch.view_as_complex(tensor) if disguise == "complex32" else tensor.view(getattr(torch, disguise))
        is_parameter = options.get("parameter", False)
        requires_grad = options.get("requires_grad", is_parameter)
        if is_parameter:
            return torch.nn.Parameter(tensor, requires_grad=requires_grad)
        return tensor.requires_grad_() if requires_grad else tensor
    except (TypeError, RuntimeError, AttributeError) as error:
        raise DataLossError(f"{leaf.key!r} is {name} {list(array.shape)}, said to be another tensor: {error}") from error


def _check_kind(value: Any, torch: Any) -> None:
    if type(value) not in (torch.Tensor, torch.nn.Parameter):
        kind = f"{type(value).__module__}.{type(value).__name__}"
        raise UnimplementedError(f"a {kind} is more than a tensor: pass the tensors that it is made of")
    if value.device.type == "meta":
        raise UnimplementedError("a tensor on the device meta has no values")
    if value.is_quantized:
        raise UnimplementedError("a quantised tensor has a scale: pass int_repr() and the scale, or dequantize()")
    if value.layout is not torch.strided or value.is_nested:
        layout = "nested" if value.is_nested else str(value.layout).removeprefix("torch.")
        raise UnimplementedError(f"a tensor of layout {layout}: pass to_dense(), or its parts")
    if value.numel() and not value.untyped_storage().nbytes():
        raise UnimplementedError("the tensor's memory was freed")


def _raw(value: Any, torch: Any) -> tuple[Any, str, DType]:
    """A view of the tensor that numpy understands, PyTorch's name for its type, and the type under which it is stored."""
    name = str(value.dtype).removeprefix("torch.")
    if name in _PLAIN:
        return value, name, dtypes.from_name(name)
    if carrier := _AS_INTEGERS.get(name):
        return value.view(getattr(torch, carrier)), name, dtypes.from_name(name)
    if name == "complex32":
        return torch.view_as_real(value.resolve_conj()), name, dtypes.from_name("float16")
    if carrier := _IN_DISGUISE.get(name):
        return value.view(getattr(torch, carrier)), name, dtypes.from_name(carrier)
    raise UnimplementedError(f"PyTorch's type {name} cannot be stored in a checkpoint")
