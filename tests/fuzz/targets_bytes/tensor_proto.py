"""TensorProtos: parsed and made arrays; and their values alone, in every type."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from google.protobuf import message

from tfsaver import schemas
from tfsaver.errors import SaverError
from tfsaver.framework import dtypes, tensor_shape, tensor_util

NAME = "tensor_proto"
MAX_SIZE = 256


def seeds() -> Iterator[bytes]:
    for dtype in dtypes.ALL:
        proto = schemas.TensorProto(dtype=dtype.data_type, tensor_shape=tensor_shape.to_proto((2,)))
        yield bytes([dtype.data_type]) + proto.SerializeToString()
        if dtype.has_fixed_size:
            proto.tensor_content = bytes(range(2 * dtype.size))
            yield bytes([dtype.data_type]) + proto.SerializeToString()
    for value in (np.float32([1, 2]), np.int64([-1, 5]), np.array([True]), np.float64([1]), np.complex64([1j]), np.int8([-3])):
        array, dtype = tensor_util.as_tensor(value)
        values = b"".join(bytes(part) for part in tensor_util.encode_values(array, dtype))
        shape = schemas.TensorProto(dtype=dtype.data_type, tensor_shape=tensor_shape.to_proto((3,)))
        yield bytes([dtype.data_type]) + shape.SerializeToString() + values
    texts = schemas.TensorProto(dtype=7, tensor_shape=tensor_shape.to_proto((2, 1)), string_val=[b"ab", b""])
    yield b"\x07" + texts.SerializeToString()


def run(data: bytes) -> None:
    kind, serialized = data[:1], data[1:]
    try:
        proto = schemas.TensorProto.FromString(serialized)
    except message.DecodeError:
        pass
    else:
        try:
            array = tensor_util.make_ndarray(proto)
        except SaverError:
            pass
        else:
            assert array.shape == tuple(dim.size for dim in proto.tensor_shape.dim)
    if kind:
        dtype = dtypes.ALL[kind[0] % len(dtypes.ALL)]
        values = tensor_util.decode_values(memoryview(serialized), dtype, "values")
        assert values.ndim == 1 and values.dtype == dtype.numpy
