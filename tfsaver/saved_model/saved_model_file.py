"""The file that is the SavedModel itself: saved_model.pb, saved_model.pbtxt or saved_model.cpb.

The first of the three that is there counts. A file of another name is a SavedModel if its content is; see
`framework.graph_form`. `pb` is the message, `pbtxt` its text, `cpb` a chunked file, which no public
release of TensorFlow reads or writes but its own tools make.
"""

from __future__ import annotations

import contextlib
from typing import Any

from google.protobuf import text_format
from google.protobuf.message import DecodeError, EncodeError

from tfsaver import schemas
from tfsaver.checkpoint.identify import SAVED_MODEL_FILES, advice_on, identify_directory, identity_of_wrong
from tfsaver.errors import CheckpointNotFoundError, DataLossError, InvalidArgumentError
from tfsaver.framework import message_text
from tfsaver.framework.graph_form import HEAD_SIZE, GraphForm, recognize_graph
from tfsaver.lib import file_io
from tfsaver.saved_model import chunked_proto

FILE_NAMES = SAVED_MODEL_FILES


def find_saved_model(directory: str) -> str | None:
    """The path of the file that makes a directory a SavedModel; None where there is none."""
    paths = [file_io.join(directory, name) for name in FILE_NAMES]
    return next((path for path in paths if file_io.exists(path)), None)


def read_saved_model(directory: str) -> schemas.SavedModel:
    """The SavedModel message of a directory.

    Raises:
        CheckpointNotFoundError: The directory holds no such file.
        DataLossError: The file is damaged.
        UnimplementedError: A chunked file of a kind that tfsaver does not read.
    """
    path = find_saved_model(directory)
    if path is None:
        found = ""
        if file_io.is_directory(directory):
            there = identify_directory(directory, trusted=False)
            found = f"a directory without a SavedModel is there: {there.description}; next: {there.command}"
        raise CheckpointNotFoundError(directory, looked_for=FILE_NAMES, found=found)
    return read_saved_model_file(path)


def read_saved_model_file(path: str) -> schemas.SavedModel:
    """The SavedModel message in a file, binary, text or chunked, whatever the file is called.

    Raises:
        DataLossError: The file is damaged, or holds something else; says what.
        UnimplementedError: A chunked file of a kind that tfsaver does not read.
    """
    message = schemas.SavedModel()
    if path.endswith(".cpb"):
        chunked_proto.read_chunked(path, message)
        return message
    data = file_io.read_file(path)
    form = recognize_graph(data)
    if form is not None and form.kind != "SavedModel":
        raise DataLossError(
            f"{path} holds a {form.kind}, not a SavedModel; next: tfsaver.export_saved_model({path!r}, ...) makes a "
            f"SavedModel of it, `tfsaver saved-model show {path}` shows it"
        )
    parse(message, data, path, as_text=path.endswith(".pbtxt") if form is None else form.is_text)
    if form is None and not message.saved_model_schema_version and not message.meta_graphs:
        error = DataLossError(f"{path}: no SavedModel")
        error.path, error.advice = path, advice_on(path) or f"{path} is something else"
        raise error
    return message


def form_of_file(path: str) -> GraphForm | None:
    """What kind of graph a file holds, by its first bytes; None for a directory and for any other file."""
    if file_io.is_directory(path):
        return None
    with contextlib.closing(file_io.open_for_reading(path)) as file:
        return recognize_graph(file.read(0, min(file.size, HEAD_SIZE)))


def parse(message: Any, data: bytes, path: str, *, as_text: bool) -> None:
    """Fills a message from its bytes or its text.

    Raises:
        DataLossError: They are not those of such a message; names `path`.
    """
    try:
        if as_text:
            message_text.merge_text(data, message)
        else:
            message.ParseFromString(data)
    except (DecodeError, DataLossError) as error:
        wrong = DataLossError(f"{path}: no {message.DESCRIPTOR.name}: {error}")
        found = identity_of_wrong(path)
        wrong.path, wrong.advice = path, "" if found is None or found.kind == message.DESCRIPTOR.name else found.advice
        raise wrong from error


def format_saved_model(message: schemas.SavedModel, *, as_text: bool) -> bytes:
    """The bytes of a SavedModel message, or its text.

    Raises:
        InvalidArgumentError: It has more bytes than a message can have.
    """
    try:
        if as_text:
            return text_format.MessageToString(message, descriptor_pool=schemas.DESCRIPTOR_POOL).encode()
        data: bytes = message.SerializeToString(deterministic=True)
    except (EncodeError, ValueError) as error:
        raise InvalidArgumentError(f"a SavedModel that no protocol buffer can hold: {error}") from error
    # C++ and Java read no more; values of that size belong into variables.
    if len(data) >= 1 << 31:
        raise InvalidArgumentError(f"a SavedModel of {len(data)} bytes: a protocol buffer holds less than 2147483648")
    return data
