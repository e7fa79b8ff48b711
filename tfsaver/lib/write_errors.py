"""What the system refuses to write, as one error that says of which file, why, and what is in the way.

The system's own error names the call's argument, often a temporary name that nobody has heard of, and not the reason: ``No
such file or directory`` is what it says of a directory that is missing.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator

from tfsaver.errors import NoSpaceError, SaverError, WriteError
from tfsaver.lib.free_space import free_space

_NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT})


@contextlib.contextmanager
def write_errors(path: str) -> Iterator[None]:
    """Turns errors of the system that leave the block into a WriteError about `path`."""
    try:
        yield
    except OSError as error:
        if isinstance(error, SaverError):
            raise
        raise write_error(path, error) from error


def write_error(path: str, error: OSError) -> WriteError:
    """The error that says why a local file cannot be written.

    Args:
        path: The name that the file was to have.
        error: What the system said.
    """
    code = error.errno or errno.EIO
    reason = error.strerror or str(error)
    directory = os.path.dirname(path)
    if code in _NO_SPACE:
        return NoSpaceError(path, code, reason, needed=None, available=free_space(directory))
    detail = _detail(path, directory or os.curdir, code)
    return WriteError(path, code, f"{reason}: {detail}" if detail else reason)


def _detail(path: str, directory: str, code: int) -> str:
    if code == errno.ENOENT and not os.path.isdir(directory):
        return f"there is no directory {directory!r}"
    if code == errno.ENOTDIR and not os.path.isdir(directory):
        return f"{directory!r} is no directory"
    if code in (errno.EACCES, errno.EPERM):
        return f"this user may not write in {directory!r}"
    if code == errno.EROFS:
        return f"{directory!r} is on a file system that is read-only"
    if code == errno.EISDIR or (code == errno.ENOTEMPTY and os.path.isdir(path)):
        return "a directory has that name"
    if code == errno.ENAMETOOLONG:
        return f"the name has {len(os.fsencode(os.path.basename(path)))} bytes, and for a while some more at its end"
    if code == errno.EFBIG:
        return "the file would be larger than its file system, or this process's limit, allows"
    return ""
