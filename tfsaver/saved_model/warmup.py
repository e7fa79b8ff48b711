"""The requests that a server runs before it serves a model: ``assets.extra/tf_serving_warmup_requests``.

    TFRecord    length (8 bytes), masked CRC-32C of these, data, masked CRC-32C of the data; and so on
    data        a tensorflow.serving.PredictionLog, one of whose requests is set

A server that cannot read the file does not serve the model at all, so an export refuses it.
"""

from __future__ import annotations

from collections.abc import Iterator

from tfsaver.errors import DataLossError, InvalidArgumentError, SaverError
from tfsaver.framework.wire_format import iterate_fields
from tfsaver.lib import crc32c, file_io
from tfsaver.lib.coding import read_fixed32, read_fixed64

FILE_NAME = "tf_serving_warmup_requests"
# What a server reads of one file.
MAX_RECORDS = 1000

_HEADER_SIZE = 12
_FOOTER_SIZE = 4
_METADATA = 1
# PredictionLog's oneof: classify, regress, multi-inference, session run, predict, streamed predict.
_LOGS = frozenset({2, 3, 4, 5, 6, 7})
_BYTES = 2


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
