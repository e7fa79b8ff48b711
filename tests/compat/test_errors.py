"""Our errors leave as TensorFlow's classes, with the fragments that callers look for."""

from __future__ import annotations

import errno
from typing import Any

import pytest

from tfsaver import errors
from tfsaver.compat import _tensorflow
from tfsaver.compat._errors import tensorflow_errors, translate

TABLE: list[tuple[errors.SaverError | OSError, str, str]] = [
    (errors.DataLossError("bad magic"), "DataLossError", "bad magic"),
    (errors.ChecksumError("block at byte 0", stored=1, computed=2), "DataLossError", "stored CRC32C 0x00000001"),
    (errors.TruncatedError("data", wanted=8, available=3), "DataLossError", "8 bytes wanted, 3 available"),
    (errors.MissingSlicesError("half is stored"), "InvalidArgumentError", "half is stored"),
    (errors.NotFoundError("gone"), "NotFoundError", "gone"),
    (errors.TensorNotFoundError("b", checkpoint="m", near=["c"]), "NotFoundError", "Key b not found in checkpoint"),
    (
        errors.CheckpointNotFoundError("m", looked_for=["m.index"]),
        "NotFoundError",
        "Failed to find any matching files for m",
    ),
    (errors.InvalidArgumentError("no"), "InvalidArgumentError", "no"),
    (errors.ShapeMismatchError("v", expected=[2], actual=[3]), "InvalidArgumentError", "shape [3], expected [2]"),
    (errors.DuplicateKeyError("v", prefix="m"), "InvalidArgumentError", "already added"),
    (errors.AlreadyExistsError("there"), "AlreadyExistsError", "there"),
    (errors.CheckpointReplacedError("m", what="another file"), "AbortedError", "'m' was replaced while it was read"),
    (errors.UnimplementedError("not yet"), "UnimplementedError", "not yet"),
    (errors.WriteError("m", errno.EROFS, "read-only"), "PermissionDeniedError", "'m' cannot be written: read-only"),
    (errors.WriteError("m", errno.EFBIG, "too large"), "ResourceExhaustedError", "too large"),
    (errors.NoSpaceError("m", errno.EDQUOT, "quota", needed=9, available=4), "ResourceExhaustedError", "9 bytes needed, 4"),
    (FileNotFoundError(errno.ENOENT, "gone", "path"), "NotFoundError", "path"),
    (PermissionError(errno.EACCES, "denied", "path"), "PermissionDeniedError", "path"),
    (NotADirectoryError(errno.ENOTDIR, "no directory", "path"), "FailedPreconditionError", "path"),
    (OSError(errno.ENOSPC, "full", "path"), "ResourceExhaustedError", "path"),
    (OSError(errno.EIO, "broken", "path"), "UnknownError", "path"),
    (errors.StorageError("s3://b/m", "read", "no route", 5), "UnavailableError", "s3://b/m: read: no route (5 attempts)"),
    (errors.OptionError("num_shards is 0"), "InvalidArgumentError", "num_shards is 0"),
    (errors.NotACheckpointError("x is not a checkpoint"), "DataLossError", "x is not"),
    (errors.NothingSelectedError("'x' is in none of 3 names"), "InvalidArgumentError", "'x' is in none"),
    (errors.PathNotFoundError("run", what="directory"), "NotFoundError", "run"),
    (errors.UntrustedPathError("run", ["run/model"]), "InvalidArgumentError", "run/model leads out of run"),
    (OSError(errno.ENAMETOOLONG, "too long", "path"), "InvalidArgumentError", "path"),
]


@pytest.mark.parametrize(("ours", "theirs", "fragment"), TABLE, ids=[type(row[0]).__name__ for row in TABLE])
def test_error_leaves_as_tensorflows_class(tf: Any, ours: Exception, theirs: str, fragment: str) -> None:
    with pytest.raises(tf.errors.OpError) as caught, tensorflow_errors():
        raise ours
    assert type(caught.value) is getattr(tf.errors, theirs)
    assert fragment in caught.value.message
    assert (caught.value.node_def, caught.value.op) == (None, None)
    assert caught.value.__cause__ is ours


KEPT: list[errors.SaverError | OSError] = [
    errors.MissingExtraError("p", extra="e", purpose="it"),
    errors.PathConflictError("state and checkpoint"),
    errors.RestoreError("2 of 5 tensors are missing", report=None),
    OSError(errno.EINTR, "interrupted"),
]


@pytest.mark.parametrize("error", KEPT, ids=lambda error: type(error).__name__)
def test_error_that_tensorflow_has_no_class_for_or_that_carries_a_report_stays(tf: Any, error: errors.SaverError | OSError) -> None:
    assert translate(error) is error


def test_tables_here_name_every_error_of_ours() -> None:
    ours = {each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, errors.SaverError)}
    assert ours - {errors.SaverError} <= {type(error) for error in [*KEPT, *(row[0] for row in TABLE)]}


def test_error_stays_ours_where_tensorflow_is_not_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_tensorflow, "is_imported", lambda: False)
    error = errors.DataLossError("bad")
    assert translate(error) is error
    with pytest.raises(errors.DataLossError), tensorflow_errors():
        raise error


def test_a_function_can_be_decorated(tf: Any) -> None:
    @tensorflow_errors()
    def fail() -> None:
        raise errors.NotFoundError("gone")

    for _ in range(2):
        with pytest.raises(tf.errors.NotFoundError):
            fail()
