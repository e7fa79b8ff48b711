"""Signatures: what a server offers, as names of tensors in the graph.

    SignatureDef   inputs, outputs: key -> TensorInfo    method_name: tensorflow/serving/predict, .../classify, .../regress
    TensorInfo     dtype, tensor_shape (-1 for a size that is open), and one of
                     name               a dense tensor, as in x:0
                     coo_sparse         a sparse one, by the names of its values, indices and dense shape
                     composite_tensor   others, such as ragged ones, by what they are made of

Here they are built, checked, and read as values that print well.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from tfsaver import schemas
from tfsaver.errors import InvalidArgumentError, UnimplementedError
from tfsaver.framework import dtypes
from tfsaver.saved_model import constants

_REFERENCE = 100


class SignatureTensor(NamedTuple):
    """An input or output of a signature.

    Attributes:
        kind: ``dense``, ``sparse``, or what a composite tensor is (``RaggedTensorSpec``).
        names: The tensors of the graph that it stands for: one if it is dense.
        dtype: The name of its type; None where it does not say.
        shape: Its shape, with None for a size that is open; None when not even their number is known.
    """

    kind: str
    names: tuple[str, ...]
    dtype: str | None
    shape: tuple[int | None, ...] | None

    def __str__(self) -> str:
        sizes = ["..."] if self.shape is None else ["?" if size is None else str(size) for size in self.shape]
        kind = "" if self.kind == "dense" else f"{self.kind} "
        return f"{kind}{self.dtype or 'any type'} [{', '.join(sizes)}] {' '.join(self.names)}".rstrip()


class Signature(NamedTuple):
    """A signature, its inputs and outputs in the order of their names, numbers in names counted as numbers."""

    key: str
    method_name: str
    inputs: dict[str, SignatureTensor]
    outputs: dict[str, SignatureTensor]
    default_inputs: tuple[str, ...] = ()

    def __str__(self) -> str:
        lines = [f"{self.key} ({self.method_name or 'no method'})"]
        lines += [f"  in   {key}: {tensor}" for key, tensor in self.inputs.items()]
        lines += [f"  out  {key}: {tensor}" for key, tensor in self.outputs.items()]
        return "\n".join(lines)


def dense_tensor_info(name: str, data_type: int, shape: Sequence[int | None] | None) -> schemas.TensorInfo:
    """The TensorInfo of a dense tensor; `shape` as `SignatureTensor` has it."""
    return schemas.TensorInfo(name=name, dtype=data_type, tensor_shape=open_shape_to_proto(shape))


def sparse_tensor_info(
    values: str, indices: str, dense_shape: str, data_type: int, shape: Sequence[int | None] | None = None
) -> schemas.TensorInfo:
    """The TensorInfo of a sparse tensor, by the names of the three tensors that it consists of."""
    parts = schemas.TensorInfo.CooSparse(
        values_tensor_name=values, indices_tensor_name=indices, dense_shape_tensor_name=dense_shape
    )
    return schemas.TensorInfo(coo_sparse=parts, dtype=data_type, tensor_shape=open_shape_to_proto(shape))


def operation_signature(key: str, operation: str) -> schemas.SignatureDef:
    """The signature under a reserved key, which names an operation instead of a tensor."""
    info = schemas.TensorInfo(name=operation, tensor_shape=schemas.TensorShapeProto(unknown_rank=True))
    return schemas.SignatureDef(outputs={key: info})


def open_shape_to_proto(shape: Sequence[int | None] | None) -> schemas.TensorShapeProto:
    """The TensorShapeProto of a shape with sizes that may be open; None for one of unknown rank."""
    if shape is None:
        return schemas.TensorShapeProto(unknown_rank=True)
    return schemas.TensorShapeProto(dim=[schemas.TensorShapeProto.Dim(size=-1 if size is None else size) for size in shape])


def open_shape_from_proto(proto: schemas.TensorShapeProto) -> tuple[int | None, ...] | None:
    """The other way round."""
    return None if proto.unknown_rank else tuple(None if dim.size < 0 else dim.size for dim in proto.dim)


def data_type_name(data_type: int) -> str | None:
    """The name of a type; ``float32_ref`` for a reference to one, None for none, a number for one that nobody knows."""
    if not data_type:
        return None
    suffix = ""
    if data_type > _REFERENCE:
        data_type, suffix = data_type - _REFERENCE, "_ref"
    try:
        return dtypes.from_data_type(data_type).name + suffix
    except UnimplementedError:
        return f"type {data_type}{suffix}"


def tensor_names(info: schemas.TensorInfo) -> Iterator[str]:
    """The tensors of the graph that an input or output stands for."""
    encoding = info.WhichOneof("encoding")
    if encoding == "name":
        yield info.name
    elif encoding == "coo_sparse":
        yield info.coo_sparse.values_tensor_name
        yield info.coo_sparse.indices_tensor_name
        yield info.coo_sparse.dense_shape_tensor_name
    elif encoding == "composite_tensor":
        for component in info.composite_tensor.components:
            yield from tensor_names(component)


def read_signature_tensor(info: schemas.TensorInfo) -> SignatureTensor:
    """What a TensorInfo says."""
    encoding = info.WhichOneof("encoding")
    kind = {"coo_sparse": "sparse", "name": "dense"}.get(encoding or "", "nothing")
    if encoding == "composite_tensor":
        spec = info.composite_tensor.type_spec
        kind = spec.type_spec_class_name.rpartition(".")[2] or f"composite {spec.type_spec_class}"
    shape = open_shape_from_proto(info.tensor_shape)
    if not info.HasField("tensor_shape") and encoding != "name":
        shape = None
    return SignatureTensor(kind, tuple(tensor_names(info)), data_type_name(info.dtype), shape)


def read_signature(key: str, signature: schemas.SignatureDef) -> Signature:
    """What a SignatureDef says."""
    return Signature(
        key,
        signature.method_name,
        {name: read_signature_tensor(signature.inputs[name]) for name in natural_order(signature.inputs)},
        {name: read_signature_tensor(signature.outputs[name]) for name in natural_order(signature.outputs)},
        tuple(natural_order(signature.defaults)),
    )


def natural_order(names: Iterable[str]) -> list[str]:
    """Names in their order, with numbers in them counted as numbers: output_2 before output_10."""
    return sorted(names, key=_words)


def _words(name: str) -> list[tuple[bool, int, str]]:
    # As many digits as a number may have that Python reads in no time.
    words = re.findall(r"[0-9]{1,18}|[^0-9]+", name)
    return [(word.isdecimal(), int(word) if word.isdecimal() else 0, word) for word in words]


def check_signatures(signatures: Mapping[str, schemas.SignatureDef]) -> None:
    """Checks what can be seen without the graph.

    Raises:
        InvalidArgumentError: A reserved or empty key, an input or output without encoding or type.
    """
    for key, signature in signatures.items():
        if not key:
            raise InvalidArgumentError("a signature's key must not be empty")
        if key in constants.RESERVED_SIGNATURE_KEYS:
            raise InvalidArgumentError(f"signature key {key!r} is reserved for the operation that it names")
        for direction, infos in (("input", signature.inputs), ("output", signature.outputs)):
            for name, info in infos.items():
                _check_tensor_info(info, f"{direction} {name!r} of signature {key!r}")


def _check_tensor_info(info: schemas.TensorInfo, what: str) -> None:
    encoding = info.WhichOneof("encoding")
    if encoding is None or not all(tensor_names(info)):
        raise InvalidArgumentError(f"{what} names no tensor: one of name, coo_sparse and composite_tensor is needed")
    if encoding == "composite_tensor":
        for component in info.composite_tensor.components:
            _check_tensor_info(component, f"a component of {what}")
    elif not info.dtype:
        raise InvalidArgumentError(f"{what} has no dtype")


def check_method(key: str, signature: schemas.SignatureDef) -> None:
    """Checks that a server can use a signature as its method says: classification and regression have fixed keys.

    Raises:
        InvalidArgumentError: It has others, or other types.
    """
    outputs = {
        constants.CLASSIFY: {"classes": schemas.DT_STRING, "scores": schemas.DT_FLOAT},
        constants.REGRESS: {"outputs": schemas.DT_FLOAT},
    }.get(signature.method_name)
    if outputs is None:
        return
    given = {name: info.dtype for name, info in signature.outputs.items()}
    inputs = {name: info.dtype for name, info in signature.inputs.items()}
    if inputs != {"inputs": schemas.DT_STRING} or not given or not given.items() <= outputs.items():
        wanted = " or ".join(f"{name} ({data_type_name(data_type)})" for name, data_type in outputs.items())
        raise InvalidArgumentError(
            f"signature {key!r} is for {signature.method_name}: its input must be inputs (string), "
            f"its outputs {wanted}; they are {_listed(inputs)}, and {_listed(given)}"
        )


def _listed(types: Mapping[str, int]) -> str:
    return ", ".join(f"{name} ({data_type_name(data_type)})" for name, data_type in types.items()) or "none"
