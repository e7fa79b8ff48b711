"""From ``name=VALUE`` and ``name=@FILE`` to the arrays that a signature takes.

    x=1.5  x=[[1, 2]]  x=text      a number, lists of them, or for a signature's strings a text, as Python or JSON has it
    x=@a.npy  x=@b.npz             an array; of several in a .npz file the one that is called like the input
    x=@a.json                      JSON, in which {"b64": TEXT} stands for bytes, as servers have it
    x=@image.jpg  x=@bytes:a.npy   the bytes of the file, for a string; given again, one more in a batch
    @request.json  @request.npz    all inputs by their keys, in JSON also as a server's {"inputs": ...} or {"instances": ...}

A file is what its content says it is; ``@bytes:``, ``@json:`` and ``@npy:`` say it where that is in doubt. The type is the
signature's, the shape must fit.
"""

from __future__ import annotations

import argparse
import ast
import base64
import binascii
import io
import json
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from tfsaver.checkpoint.identify import identify_file
from tfsaver.errors import InvalidArgumentError, NotFoundError, ShapeMismatchError, UnimplementedError, nearest_names
from tfsaver.framework import dtypes, tensor_util
from tfsaver.lib import file_io
from tfsaver.saved_model.examples import ExampleFeature, encode_example
from tfsaver.saved_model.signature_def import Signature, SignatureTensor

Array = np.ndarray[Any, Any]


# How the beginning of a file says what it is.
_NPY, _ZIP = b"\x93NUMPY", b"PK\x03\x04"
_FORMS = ("bytes", "raw", "json", "npy", "examples")


def input_argument(text: str) -> tuple[str, str]:
    """``name=VALUE``, as argparse's `type`; the name "" for a file with all inputs."""
    if text.startswith("@") and len(text) > 1:
        return "", text
    name, separator, value = text.partition("=")
    if not separator or not name:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form NAME=VALUE, NAME=@FILE or @FILE")
    return name, value


def read_inputs(
    signature: Signature, given: Iterable[tuple[str, str]], features: Sequence[ExampleFeature] = ()
) -> dict[str, Array]:
    """The arrays by the keys of the signature's inputs.

    Args:
        signature: The signature.
        given: Names and values as `input_argument` gives them.
        features: What the graph's parser expects of an Example.

    Raises:
        NotFoundError: The signature has no such input.
        InvalidArgumentError: One is missing, given twice, or not of the signature's type.
        ShapeMismatchError: One has another shape.
        UnimplementedError: It is sparse or composite.
    """
    values: dict[str, Any] = {}
    batches: dict[str, list[bytes]] = {}
    for name, text in given:
        for key, value in _values_of(name, text, signature, features):
            if key not in signature.inputs:
                near = nearest_names(key, signature.inputs) or tuple(signature.inputs)
                there = ", ".join(map(repr, near))
                raise NotFoundError(f"signature {signature.key!r} has no input {key!r}: there is {there}")
            if isinstance(value, _FileBytes) and (key in batches or key not in values):
                batches.setdefault(key, []).append(value.data)
                value = list(batches[key]) if len(batches[key]) > 1 else value
            elif key in values:
                raise InvalidArgumentError(f"input {key!r} is given twice: only files of bytes make a batch")
            values[key] = value
    arrays = {key: _read_input(key, value, signature.inputs[key]) for key, value in values.items()}
    missing = [key for key in signature.inputs if key not in arrays and key not in signature.default_inputs]
    if missing:
        wanted = ", ".join(f"{key!r} ({signature.inputs[key]})" for key in missing)
        raise InvalidArgumentError(f"signature {signature.key!r} needs {wanted}: give --input NAME=VALUE for each")
    return arrays


class _FileBytes:
    """The bytes of a file, which are one string."""

    def __init__(self, data: bytes) -> None:
        self.data = data


def _values_of(
    name: str, text: str, signature: Signature, features: Sequence[ExampleFeature]
) -> Iterator[tuple[str, Any]]:
    """What an argument gives: values by the keys of inputs."""
    if name:
        tensor = signature.inputs.get(name)
        dtype = _dtype_of(name, tensor) if tensor is not None else dtypes.from_name("float32")
        if not text.startswith("@"):
            yield name, _literal(text, dtype)
        elif text.startswith("@examples:"):
            path = text.removeprefix("@examples:")
            yield name, _examples(path, _json(path, file_io.read_file(path)), features)
        else:
            yield name, _load(name, text[1:], dtype.name == "string")
        return
    path = text[1:]
    data = file_io.read_file(path)
    if data.startswith(_ZIP):
        yield from _arrays_in(path, data).items()
    else:
        yield from _request(path, _json(path, data), signature, features)


def _examples(path: str, document: Any, features: Sequence[ExampleFeature]) -> list[bytes]:
    """Serialized Examples, each of an object with a member for each feature."""
    rows = document if isinstance(document, list) else [document]
    if not all(isinstance(row, dict) for row in rows):
        raise InvalidArgumentError(f"{path}: Examples are objects with a member for each feature, or a list of such")
    return [encode_example(row, features) for row in rows]


def _request(
    path: str, document: Any, signature: Signature, features: Sequence[ExampleFeature]
) -> Iterator[tuple[str, Any]]:
    """The inputs in a server's request, or in an object with a member for each."""
    if not isinstance(document, dict):
        raise InvalidArgumentError(f"{path}: an object with a member for each input is needed")
    strings = [key for key, tensor in signature.inputs.items() if tensor.dtype == "string"]
    rows = document.get("examples")
    if isinstance(rows, list) and len(strings) == 1 and all(isinstance(row, dict) for row in rows):
        # As a server's classify and regress take it.
        yield strings[0], _examples(path, rows, features)
        return
    if "instances" in document and "instances" not in signature.inputs:
        rows = document["instances"]
        if not isinstance(rows, list):
            raise InvalidArgumentError(f"{path}: instances must be a list")
        is_keyed = all(isinstance(row, dict) and signature.inputs.keys() >= row.keys() for row in rows)
        if len(signature.inputs) == 1 and not is_keyed:
            (only,) = signature.inputs
            yield only, rows
            return
        keys = rows[0].keys() if rows and isinstance(rows[0], dict) else ()
        if not all(isinstance(row, dict) and row.keys() == keys for row in rows):
            raise InvalidArgumentError(f"{path}: every instance must have the same inputs")
        for key in keys:
            yield key, [row[key] for row in rows]
        return
    inputs = document["inputs"] if "inputs" in document and "inputs" not in signature.inputs else document
    if not isinstance(inputs, dict):
        if len(signature.inputs) != 1:
            wanted = ", ".join(map(repr, signature.inputs))
            raise InvalidArgumentError(f"{path}: inputs must have a member for each of {wanted}")
        inputs = dict.fromkeys(signature.inputs, inputs)
    for key, value in inputs.items():
        if inputs is not document or key != "signature_name":
            yield key, value


def _dtype_of(key: str, tensor: SignatureTensor) -> dtypes.DType:
    if tensor.kind != "dense" or tensor.dtype is None:
        raise UnimplementedError(f"input {key!r} is {tensor}: only dense tensors can be given here")
    return dtypes.from_name(tensor.dtype.removesuffix("_ref"))


def _read_input(key: str, value: Any, tensor: SignatureTensor) -> Array:
    dtype = _dtype_of(key, tensor)
    is_bytes = isinstance(value, _FileBytes)
    array = _convert(key, value.data if is_bytes else value, dtype)
    shape = tensor.shape
    if is_bytes and shape is not None and all(size in (None, 1) for size in shape):
        # A file is a batch of one where a batch is asked for.
        array = array.reshape((1,) * len(shape))
    if shape is not None:
        sizes = zip(shape, array.shape, strict=False)
        if len(shape) != array.ndim or any(size not in (None, actual) for size, actual in sizes):
            raise ShapeMismatchError(key, expected=shape, actual=array.shape)
    return array


def _load(key: str, text: str, is_string: bool) -> Any:
    """What a file gives for an input: an array, what JSON says, or its bytes."""
    form, separator, path = text.partition(":")
    if not separator or form not in _FORMS:
        form, path = "", text
    data = file_io.read_file(path)
    if form in ("bytes", "raw"):
        if not is_string:
            raise InvalidArgumentError(f"input {key!r} is no string, and takes no bytes of a file: give it as .npy or JSON")
        return _FileBytes(data)
    if form == "npy" or (not form and data.startswith(_NPY)):
        return _array(path, data)
    if not form and data.startswith(_ZIP) and path.endswith(".npz"):
        arrays = _arrays_in(path, data)
        if key not in arrays and len(arrays) != 1:
            there = ", ".join(map(repr, arrays)) or "nothing"
            raise InvalidArgumentError(f"input {key!r}: {path} holds several arrays, and none of that name: {there}")
        return arrays[key] if key in arrays else next(iter(arrays.values()))
    if form == "json" or (not form and path.endswith(".json") and not is_string):
        return _json(path, data)
    if is_string and not form and path.endswith((".json", ".npy", ".npz")):
        other = "json" if path.endswith(".json") else "npy"
        raise InvalidArgumentError(
            f"input {key!r}: {path} may be meant as values or as bytes: say {key}=@{other}:{path} or {key}=@bytes:{path}"
        )
    if is_string:
        return _FileBytes(data)
    raise InvalidArgumentError(
        f"input {key!r}: {path} is no .npy, .npz or .json file, but {identify_file(path).description}"
    )


def _array(path: str, data: bytes) -> Array:
    file = io.BytesIO(data)
    try:
        array = np.lib.format.read_array(file, allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        # numpy's own words advise to unpickle, which runs what is in the file.
        why = "it holds Python objects, which are programs" if "pickle" in str(error) else str(error)
        raise InvalidArgumentError(f"{path} is no .npy file that can be read: {why}") from error
    return np.asarray(array)


def _arrays_in(path: str, data: bytes) -> dict[str, Array]:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = [name for name in archive.namelist() if name.endswith(".npy")]
            return {name.removesuffix(".npy"): _array(f"{path}: {name}", archive.read(name)) for name in names}
    except (zipfile.BadZipFile, OSError, NotImplementedError, RuntimeError) as error:
        raise InvalidArgumentError(f"{path} is no .npz file: {error}") from error


def _json(path: str, data: bytes) -> Any:
    try:
        return json.loads(data, object_hook=_plain_bytes)
    except (ValueError, RecursionError) as error:
        raise InvalidArgumentError(f"{path} is no JSON: {error}") from error


def _plain_bytes(members: dict[str, Any]) -> Any:
    if members.keys() != {"b64"} or not isinstance(members["b64"], str):
        return members
    try:
        return base64.b64decode(members["b64"], validate=True)
    except binascii.Error as error:
        raise ValueError(f"b64 is not base 64: {error}") from error


def _literal(text: str, dtype: dtypes.DType) -> Any:
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError) as error:
        if dtype.name == "string":
            return text
        try:
            return json.loads(text, object_hook=_plain_bytes)
        except (ValueError, RecursionError):
            raise InvalidArgumentError(f"{text!r} is no value of Python or JSON: {error}") from error
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
