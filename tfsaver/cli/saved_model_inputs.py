"""From ``name=VALUE`` and ``name=@file.npy`` to the arrays that a signature takes.

A VALUE is what Python would read as one: a number, a text, lists of them; for a signature's strings it may be the text
itself. Its type is the signature's, its shape must fit.
"""

from __future__ import annotations

import argparse
import ast
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from tfsaver.errors import InvalidArgumentError, NotFoundError, ShapeMismatchError, UnimplementedError, nearest_names
from tfsaver.framework import dtypes, tensor_util
from tfsaver.saved_model.signature_def import Signature, SignatureTensor

Array = np.ndarray[Any, Any]


def input_argument(text: str) -> tuple[str, str]:
    """``name=VALUE``, as argparse's `type`."""
    name, separator, value = text.partition("=")
    if not separator or not name:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form NAME=VALUE or NAME=@FILE.npy")
    return name, value


def read_inputs(signature: Signature, given: Iterable[tuple[str, str]]) -> dict[str, Array]:
    """The arrays by the keys of the signature's inputs.

    Raises:
        NotFoundError: The signature has no such input.
        InvalidArgumentError: One is missing, given twice, or not of the signature's type.
        ShapeMismatchError: One has another shape.
        UnimplementedError: It is sparse or composite.
    """
    arrays: dict[str, Array] = {}
    for key, text in given:
        if key not in signature.inputs:
            near = nearest_names(key, signature.inputs) or tuple(signature.inputs)
            raise NotFoundError(f"signature {signature.key!r} has no input {key!r}: there is {', '.join(map(repr, near))}")
        if key in arrays:
            raise InvalidArgumentError(f"input {key!r} is given twice")
        arrays[key] = _read_input(key, text, signature.inputs[key])
    missing = [key for key in signature.inputs if key not in arrays and key not in signature.default_inputs]
    if missing:
        wanted = ", ".join(f"{key!r} ({signature.inputs[key]})" for key in missing)
        raise InvalidArgumentError(f"signature {signature.key!r} needs {wanted}: give --input NAME=VALUE for each")
    return arrays


def _read_input(key: str, text: str, tensor: SignatureTensor) -> Array:
    if tensor.kind != "dense" or tensor.dtype is None:
        raise UnimplementedError(f"input {key!r} is {tensor}: only dense tensors can be given here")
    dtype = dtypes.from_name(tensor.dtype.removesuffix("_ref"))
    if text.startswith("@"):
        array = _convert(key, _load(key, text[1:]), dtype)
    else:
        array = _convert(key, _literal(text, dtype), dtype)
    shape = tensor.shape
    if shape is not None:
        sizes = zip(shape, array.shape, strict=False)
        if len(shape) != array.ndim or any(size not in (None, actual) for size, actual in sizes):
            raise ShapeMismatchError(key, expected=shape, actual=array.shape)
    return array


def _load(key: str, path: str) -> Array:
    try:
        # Without pickles, which are programs.
        array = np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise InvalidArgumentError(f"input {key!r}: {path} is no .npy file: {error}") from error
    if not isinstance(array, np.ndarray):
        array.close()
        raise InvalidArgumentError(f"input {key!r}: {path} holds several arrays; a .npy file holds one")
    return array


def _literal(text: str, dtype: dtypes.DType) -> Any:
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError) as error:
        if dtype.name == "string":
            return text
        raise InvalidArgumentError(f"{text!r} is no value of Python: {error}") from error
    # What reads as a number may be a text, and is then meant as it stands.
    return text if dtype.name == "string" and not isinstance(value, str | bytes | list | tuple) else value


def _convert(key: str, value: Any, dtype: dtypes.DType) -> Array:
    if dtype.name == "string":
        array, found = tensor_util.as_tensor(value, key)
        if found.name != "string":
            # Numbers in a list or a file.
            array, found = tensor_util.as_tensor(np.vectorize(str, otypes=[object])(array), key)
        return array
    if not dtype.has_fixed_size or dtype.numpy.names is not None:
        raise UnimplementedError(f"input {key!r} is {dtype}, which cannot be given here")
    try:
        array = np.asarray(value)
        if array.dtype.kind == "c" and not dtype.name.startswith("complex"):
            raise InvalidArgumentError(f"input {key!r} is {dtype}, the value is complex")
        is_integer = np.dtype(dtype.numpy).kind in "iu"
        if array.dtype.kind == "f" and is_integer and not np.array_equal(array, np.trunc(array)):
            raise InvalidArgumentError(f"input {key!r} is {dtype}, the value has fractions")
        with np.errstate(all="ignore"):
            converted = array.astype(dtype.numpy)
    except (ValueError, TypeError, OverflowError) as error:
        if isinstance(error, InvalidArgumentError):
            raise
        raise InvalidArgumentError(f"input {key!r}: no {dtype}: {error}") from error
    if array.dtype.kind in "iuf" and is_integer and not np.array_equal(array, converted):
        raise InvalidArgumentError(f"input {key!r} is {dtype}, which the value does not fit into")
    return converted


def default_inputs(signature: Signature, defaults: Mapping[str, Any], given: Iterable[str]) -> dict[str, Array]:
    """The arrays of a signature's defaults, for the inputs that are not given."""
    keys = [key for key in signature.default_inputs if key in signature.inputs and key not in set(given)]
    return {key: tensor_util.make_ndarray(defaults[key], key) for key in keys}
