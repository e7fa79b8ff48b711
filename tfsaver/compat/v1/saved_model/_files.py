"""The file that is a SavedModel, read with the errors that TensorFlow's loader raises."""

from __future__ import annotations

from tfsaver import schemas
from tfsaver.errors import CheckpointNotFoundError, DataLossError
from tfsaver.saved_model import constants, saved_model_file


def read_as_tensorflow(directory: str) -> schemas.SavedModel:
    """The SavedModel message of a directory.

    Raises:
        OSError: There is none, or it is damaged.
    """
    try:
        return saved_model_file.read_saved_model(directory)
    except CheckpointNotFoundError as error:
        names = f"{constants.FILE_NAME_PBTXT}|{constants.FILE_NAME_PB}"
        raise OSError(f"SavedModel file does not exist at: {directory}/{{{names}}}") from error
    except DataLossError as error:
        raise OSError(f"Cannot parse file {error}") from error
