"""Our errors as TensorFlow's: one table.

A program that was written for TensorFlow catches `tf.errors` classes and looks for fragments of their messages. Inside
`tensorflow_errors()` each error of ours leaves as the class that TensorFlow raises for the same fact, raised `from` ours, so
that the fields stay at hand as its `__cause__`. The message is our sentence; where callers look for a fragment that our
sentence has not, the fragment is put in front.

TensorFlow reports a data file that ends early as OutOfRangeError, the class that also ends an input pipeline; here it is a
DataLossError like any other damage, so that no training loop takes a damaged checkpoint for the end of its data.
"""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator

from tfsaver import errors
from tfsaver.compat import _tensorflow
from tfsaver.lib import file_io
from tfsaver.lib.write_errors import write_errors

# The first class that matches counts. None: it stays ours, being what TensorFlow raises too (a RuntimeError) or nothing that
# TensorFlow knows.
_CLASSES: tuple[tuple[type[errors.SaverError], str | None], ...] = (
    (errors.PathConflictError, None),
    (errors.MissingExtraError, None),
    # It carries a report, and is both of the classes that TensorFlow raises.
    (errors.RestoreError, None),
    (errors.MissingSlicesError, "InvalidArgumentError"),
    (errors.DataLossError, "DataLossError"),
    (errors.NothingSelectedError, "InvalidArgumentError"),
    (errors.NotFoundError, "NotFoundError"),
    (errors.InvalidArgumentError, "InvalidArgumentError"),
    (errors.AlreadyExistsError, "AlreadyExistsError"),
    (errors.UnimplementedError, "UnimplementedError"),
    # What TensorFlow's own recovery of sessions takes for a reason to try again.
    (errors.CheckpointReplacedError, "AbortedError"),
    (errors.StorageError, "UnavailableError"),
)

_SYSTEM = {
    errno.ENOENT: "NotFoundError",
    errno.EACCES: "PermissionDeniedError",
    errno.EPERM: "PermissionDeniedError",
    errno.EROFS: "PermissionDeniedError",
    errno.EEXIST: "AlreadyExistsError",
    errno.ENOTDIR: "FailedPreconditionError",
    errno.EISDIR: "FailedPreconditionError",
    errno.ENOTEMPTY: "FailedPreconditionError",
    errno.ENOSPC: "ResourceExhaustedError",
    errno.EDQUOT: "ResourceExhaustedError",
    errno.EMFILE: "ResourceExhaustedError",
    errno.ENFILE: "ResourceExhaustedError",
    errno.ENAMETOOLONG: "InvalidArgumentError",
    errno.EIO: "UnknownError",
    # TensorFlow has OutOfRangeError for it, which a training loop takes for the end of its data.
    errno.EFBIG: "ResourceExhaustedError",
}


@contextlib.contextmanager
def tensorflow_errors() -> Iterator[None]:
    """Turns errors that leave the block, or the function that this decorates, into TensorFlow's classes."""
    try:
        yield
    except (errors.SaverError, OSError) as error:
        translated = translate(error)
        if translated is error:
            raise
        raise translated from error


@contextlib.contextmanager
def writing(path: str) -> Iterator[None]:
    """`tensorflow_errors` around what writes a file: whatever the system refuses meanwhile is a WriteError about that file.

    Files are written with errors of their own. Locks, listings and descriptors on the way have the system's.
    """
    with tensorflow_errors(), contextlib.nullcontext() if file_io.is_remote(path) else write_errors(path):
        yield


def translate(error: errors.SaverError | OSError) -> Exception:
    """The error that TensorFlow raises for what `error` says.

    Returns:
        `error` itself where TensorFlow has no class for it, and where TensorFlow is not imported: nobody can be catching its
        classes then.
    """
    if not _tensorflow.is_imported():
        return error
    if isinstance(error, errors.SaverError) and not isinstance(error, errors.WriteError):
        name = next((name for ours, name in _CLASSES if isinstance(error, ours)), None)
    else:
        name = _SYSTEM.get(error.errno or 0)
    if name is None:
        return error
    translated: Exception = getattr(_tensorflow.tf.errors, name)(None, None, _message(error))
    return translated


def _message(error: errors.SaverError | OSError) -> str:
    if isinstance(error, errors.TensorNotFoundError):
        return f"Key {error.name} not found in checkpoint: {error}"
    if isinstance(error, errors.CheckpointNotFoundError):
        return f"Failed to find any matching files for {error.prefix}: {error}"
    return str(error)
