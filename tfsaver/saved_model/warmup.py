"""The requests that a server runs before it serves a model: ``assets.extra/tf_serving_warmup_requests``.

    TFRecord    length (8 bytes), masked CRC-32C of these, data, masked CRC-32C of the data; and so on
    data        a tensorflow.serving.PredictionLog, one of whose requests is set

A server that cannot read the file does not serve the model at all, so an export refuses it. `make_warmup_requests` makes one
of values for a signature's inputs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from tfsaver import schemas
from tfsaver.errors import DataLossError, InvalidArgumentError, NotFoundError, SaverError, ShapeMismatchError, nearest_names
from tfsaver.framework import dtypes, tensor_shape, tensor_util
from tfsaver.framework.wire_format import iterate_fields, length_delimited_header
from tfsaver.lib import crc32c, file_io
from tfsaver.lib.coding import encode_fixed32, encode_fixed64, read_fixed32, read_fixed64
from tfsaver.saved_model.signature_def import Signature

FILE_NAME = "tf_serving_warmup_requests"
# What a server reads of one file.
MAX_RECORDS = 1000

_HEADER_SIZE = 12
_FOOTER_SIZE = 4
_METADATA = 1
# PredictionLog's oneof: classify, regress, multi-inference, session run, predict, streamed predict.
_LOGS = frozenset({2, 3, 4, 5, 6, 7})
_BYTES = 2
# PredictionLog.predict_log, PredictLog.request; PredictRequest.model_spec and inputs; ModelSpec.signature_name.
_PREDICT_LOG, _REQUEST, _MODEL_SPEC, _INPUTS, _SIGNATURE_NAME = 6, 1, 1, 2, 3


def make_warmup_requests(signature: Signature, requests: Sequence[Mapping[str, Any]]) -> bytes:
    """The content of a file of warmup requests, each a Predict request to a signature.

    Args:
        signature: The signature.
        requests: Values by the keys of its inputs.

    Raises:
        InvalidArgumentError: There are none or too many, an input is missing, or a value is of another type.
        NotFoundError: The signature has no such input.
        ShapeMismatchError: A value is of another shape.
    """
    if not 0 < len(requests) <= MAX_RECORDS:
        raise InvalidArgumentError(f"there are {len(requests)} warmup requests; a server runs 1 to {MAX_RECORDS}")
    spec = _field(_MODEL_SPEC, _field(_SIGNATURE_NAME, signature.key.encode()))
    data = b""
    for number, request in enumerate(requests):
        inputs = _checked_inputs(signature, request, f"warmup request {number}")
        entries = [_field(1, key.encode()) + _field(2, inputs[key]) for key in sorted(inputs)]
        predict = spec + b"".join(_field(_INPUTS, entry) for entry in entries)
        record = _field(_PREDICT_LOG, _field(_REQUEST, predict))
        length = encode_fixed64(len(record))
        data += length + encode_fixed32(crc32c.mask(crc32c.value(length)))
        data += record + encode_fixed32(crc32c.mask(crc32c.value(record)))
    return data


def _checked_inputs(signature: Signature, request: Mapping[str, Any], what: str) -> dict[str, bytes]:
    """Each value as a serialized TensorProto, once it is known that the signature takes it."""
    encoded = {}
    for key, value in request.items():
        if key not in signature.inputs:
            near = ", ".join(map(repr, nearest_names(key, signature.inputs) or tuple(signature.inputs)))
            raise NotFoundError(f"{what}: signature {signature.key!r} has no input {key!r}: there is {near}")
        tensor = signature.inputs[key]
        if tensor.kind != "dense" or tensor.dtype is None:
            raise InvalidArgumentError(f"{what}: input {key!r} is {tensor}: only dense tensors can be given here")
        dtype = dtypes.from_name(tensor.dtype)
        array, given = tensor_util.as_tensor(value, key)
        if given is not dtype:
            is_plain = isinstance(value, bool | int | float | list | tuple)
            if not is_plain or not dtype.has_fixed_size or not np.array_equal(array, array.astype(dtype.numpy)):
                raise InvalidArgumentError(f"{what}: input {key!r} is {dtype}, the value is {given}")
            array = array.astype(dtype.numpy)
        if tensor.shape is not None:
            sizes = zip(tensor.shape, array.shape, strict=False)
            if len(tensor.shape) != array.ndim or any(size not in (None, actual) for size, actual in sizes):
                raise ShapeMismatchError(f"{what}: input {key!r}", expected=tensor.shape, actual=array.shape)
        proto = schemas.TensorProto(dtype=dtype.data_type, tensor_shape=tensor_shape.to_proto(array.shape))
        if dtype.has_fixed_size:
            proto.tensor_content = array.tobytes()
        else:
            proto.string_val.extend(array.reshape(-1).tolist())
        encoded[key] = proto.SerializeToString(deterministic=True)
    missing = [key for key in signature.inputs if key not in encoded and key not in signature.default_inputs]
    if missing:
        raise InvalidArgumentError(f"{what}: signature {signature.key!r} needs {', '.join(map(repr, missing))}")
    return encoded


def _field(number: int, payload: bytes) -> bytes:
    return length_delimited_header(number, len(payload)) + payload


def check_warmup_requests(path: str) -> None:
    """Checks that a file is a TFRecord of PredictionLogs.

    Raises:
        InvalidArgumentError: It is not, or it has more records than a server runs; says where it ends to be one.
    """
    number = 0
    try:
        for number, record in enumerate(_records(file_io.read_file(path)), 1):
            if not _is_prediction_log(record):
                raise DataLossError(f"record {number} is not a PredictionLog with a request")
    except DataLossError as error:
        raise InvalidArgumentError(
            f"{path!r} cannot be {FILE_NAME}: {error}. A server needs a TFRecord of tensorflow.serving.PredictionLog "
            "messages, as tf.io.TFRecordWriter writes it without compression"
        ) from error
    if not 0 < number <= MAX_RECORDS:
        there = f"it has {number} records; a server runs 1 to {MAX_RECORDS}"
        raise InvalidArgumentError(f"{path!r} cannot be {FILE_NAME}: {there}")


def _records(data: bytes) -> Iterator[bytes]:
    start = number = 0
    while start < len(data):
        number += 1
        end = start + _HEADER_SIZE
        if end > len(data):
            raise DataLossError(f"record {number} ends inside its header")
        if crc32c.mask(crc32c.value(data[start : start + 8])) != read_fixed32(data, start + 8):
            raise DataLossError(f"record {number} does not have the checksum of its length")
        start, end = end, end + read_fixed64(data, start)
        if end + _FOOTER_SIZE > len(data):
            raise DataLossError(f"record {number} ends after the file")
        record = data[start:end]
        if crc32c.mask(crc32c.value(record)) != read_fixed32(data, end):
            raise DataLossError(f"record {number} does not have the checksum of its data")
        yield record
        start = end + _FOOTER_SIZE


def _is_prediction_log(record: bytes) -> bool:
    try:
        fields = [(number, wire_type) for number, wire_type, _ in iterate_fields(memoryview(record))]
    except SaverError:
        return False
    numbers = {number for number, _ in fields}
    is_known = all(wire_type == _BYTES and number in _LOGS | {_METADATA} for number, wire_type in fields)
    return is_known and len(numbers & _LOGS) == 1
