"""A foreign file as a source of tensors, held open while they are read.

Opening reads names, types and shapes; what a file holds besides tensors that a checkpoint can hold (a Python object, an
unknown number format) has a name too, and is an error only when it is read: a conversion may leave it out.

Each source opens its file once and pins it: device, inode, size and time of change of the open descriptor. The libraries get
their bytes from that descriptor, and it is checked after each of their steps:

    the file is shorter now             TruncatedError; a library pads with zeros, or raises an error of any kind
    somebody has written to it          CheckpointReplacedError
    another file has the name now       nothing: the descriptor is still the old file, whose values are read
    the system refuses a read           its OSError, whatever the library makes of it

Tensors come by positioned reads, not from mapped memory: a mapped file that is cut short ends the process (SIGBUS).
"""

from __future__ import annotations

import abc
import contextlib
import errno
import io
import math
import os
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from tfsaver.checkpoint.tensor_source import Array, TensorSource
from tfsaver.errors import (
    CheckpointNotFoundError,
    CheckpointReplacedError,
    DataLossError,
    InvalidArgumentError,
    SaverError,
    TensorNotFoundError,
    TruncatedError,
    UnimplementedError,
    nearest_names,
)
from tfsaver.framework.dtypes import DType
from tfsaver.framework.region import Region, as_tensor_slice
from tfsaver.framework.tensor_info import TensorInfo
from tfsaver.framework.tensor_shape import Shape, from_proto, num_elements, to_proto
from tfsaver.lib import file_identity
from tfsaver.lib.file_identity import FileIdentity
from tfsaver.lib.local_file_system import LocalRandomAccessFile
from tfsaver.lib.recycled_memory import RecycledMemory

# System errors that are about what a file says: a place before its beginning, a part of a directory that is not there.
_OF_CONTENT = frozenset({None, errno.EINVAL, errno.ENOENT, errno.ENOTDIR, errno.EISDIR})
# How libraries that are not written in Python put the system's number into their messages.
_NUMBER = re.compile(r"os_error_code='(\d+)'|os error (\d+)|\((\d+)\)")
# Arrays of at least so many bytes lie in memory that a later one takes over: a conversion holds one at a time.
_MIN_RECYCLED = 8 << 20
_MAX_KEPT = 256 << 20
# A strided tensor is read in blocks of at most so many bytes.
_MAX_BLOCK_SIZE = 4 << 20
# Reading so many bytes takes no longer than skipping them.
_MIN_BLOCK_SIZE = 64 << 10
# In larger blocks, one byte in so many must be wanted.
_MAX_WASTE = 8


class FileSource(TensorSource):
    """The tensors of a file.

    Args:
        path: The file.
        contents: Of each tensor its dtype and shape; of what is none, why.
    """

    def __init__(self, path: str, contents: Mapping[str, tuple[DType, Shape] | str]) -> None:
        self.path = path
        self._contents = {name: _checked(contents[name]) for name in sorted(contents)}

    @property
    def names(self) -> list[str]:
        return list(self._contents)

    def names_of_tensors(self) -> list[str]:
        return [name for name, content in self._contents.items() if not isinstance(content, str)]

    def __contains__(self, name: object) -> bool:
        return name in self._contents

    def content(self, name: str) -> tuple[DType, Shape] | str:
        """The dtype and shape of a tensor; of what is none, why."""
        return self._contents[name]

    def info(self, name: str) -> TensorInfo:
        """What the file says of a tensor.

        Raises:
            TensorNotFoundError: There is no such name.
            UnimplementedError: What has the name is no tensor that a checkpoint can hold.
        """
        try:
            content = self._contents[name]
        except KeyError:
            raise TensorNotFoundError(name, checkpoint=self.path, near=nearest_names(name, self._contents)) from None
        if isinstance(content, str):
            raise UnimplementedError(f"{self.path}: {name!r} {content}")
        dtype, shape = content
        return TensorInfo(name, dtype, shape, num_elements(shape) * dtype.size, ())

    def read(self, name: str, region: Region | None = None) -> Array:
        info = self.info(name)
        try:
            if region is None:
                return self._load(name, info)
            part, dropped = as_tensor_slice(region, info.shape, name)
            resolved = part.resolve(info.shape)
            if 0 in resolved.shape:
                return np.empty(resolved.shape, info.dtype.numpy).squeeze(dropped)
            return self._load_part(name, info, resolved.indices).squeeze(dropped)
        except SaverError as error:
            if self.path not in str(error):
                error.add_context(self.path)
            raise

    @abc.abstractmethod
    def _load(self, name: str, info: TensorInfo) -> Array:
        """A whole tensor."""

    def _load_part(self, name: str, info: TensorInfo, indices: tuple[slice, ...]) -> Array:
        """A part of it; overridden where the library reads parts."""
        part: Array = self._load(name, info)[indices]
        return part

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.path!r}>"


def _checked(content: tuple[DType, Shape] | str) -> tuple[DType, Shape] | str:
    """What a file says of a tensor, unless no array can have that shape."""
    if isinstance(content, str):
        return content
    shape = content[1]
    if not all(type(size) is int and 0 <= size < 1 << 63 for size in shape):
        return f"has the shape {list(shape)}, which is none"
    try:
        from_proto(to_proto(shape), "it")
    except SaverError as error:
        return f"has a shape that no array can have: {error}"
    return content


class Pinned(Protocol):
    """What a source reads, as it was when it was opened."""

    path: str

    def check(self) -> None: ...


class OpenFile:
    """A local file, pinned when it is opened.

    Attributes:
        path: Its name at that time.
        size: Its size at that time.

    Raises:
        FileNotFoundError: There is no such file.
        DataLossError: It is a directory, a pipe or a device.
    """

    def __init__(self, path: str, kind: str) -> None:
        self.path = path
        try:
            self._file = LocalRandomAccessFile(path)
        except IsADirectoryError:
            raise DataLossError(f"{path} is a directory, no {kind}") from None
        self._identity = file_identity.of_open(self._file)
        self.size = self._identity.size
        self._is_closed = False
        self._memory = RecycledMemory(_MAX_KEPT)
        self._of_thread = threading.local()

    @contextlib.contextmanager
    def library_path(self) -> Iterator[str]:
        """A path that opens this very file in the block, whatever has its name by now: some libraries take nothing else."""
        with self._file.leased() as descriptor:
            path = f"/dev/fd/{descriptor}"
            # A system without /proc has no such paths.
            yield path if os.path.exists(path) else self.path

    def read(self, offset: int, size: int) -> bytes:
        """Up to `size` bytes from `offset`; fewer only where the file ended when it was opened.

        Raises:
            TruncatedError: The file ends before.
        """
        wanted = max(0, min(size, self.size - offset))
        with self._remembered():
            data = self._file.read(offset, wanted)
            if len(data) < wanted:
                raise self._cut_short(offset + len(data))
        return data

    def readinto(self, offset: int, buffer: memoryview) -> int:
        """Fills `buffer` from `offset`; returns how many bytes came, as `read`."""
        wanted = max(0, min(len(buffer), self.size - offset))
        with self._remembered():
            count = self._file.readinto(offset, buffer[:wanted])
            if count < wanted:
                raise self._cut_short(offset + count)
        return count

    def stream(self, *, is_padded: bool = False, start: int = 0, size: int | None = None) -> io.RawIOBase:
        """The file, or a part of it, as Python's libraries want it, with a position of its own.

        Args:
            is_padded: Whether zeros follow the end, for h5py, which does not look at how many bytes came.
            start: Where the part begins.
            size: How many bytes it has; all that follow when None.
        """
        size = max(0, self.size - start) if size is None else size
        return _PaddedStream(self, start, size) if is_padded else _Stream(self, start, size)

    def read_strided(
        self, offset: int, dtype: np.dtype[Any], shape: Sequence[int], strides: Sequence[int], indices: Sequence[slice] = ()
    ) -> Array:
        """A tensor, or a part of it, whose elements stand in the file as they are.

        Args:
            offset: Where its first element begins.
            dtype: The type of the elements.
            shape: The tensor's shape.
            strides: For each dimension, how many elements lie between one index and the next.
            indices: The part, as one slice with steps of 1 for each dimension; everything when empty.

        Raises:
            TruncatedError: The file ends before.
        """
        if indices:
            offset += dtype.itemsize * sum(part.start * stride for part, stride in zip(indices, strides, strict=True))
            shape = [part.stop - part.start for part in indices]
        num_bytes = math.prod(shape) * dtype.itemsize
        out: Array
        if num_bytes < _MIN_RECYCLED:
            out = np.empty(shape, dtype)
        else:
            out = np.ndarray(shape, dtype, self._memory.take(num_bytes))
        if out.size:
            self._fill(out, offset, strides)
        return out

    def check(self) -> None:
        """Checks that the file is what it was when it was opened.

        Raises:
            TruncatedError: It is shorter.
            CheckpointReplacedError: It was written to.
            OSError: The system has refused to read it since the last check.
        """
        self.check_open()
        failure = getattr(self._of_thread, "failure", None)
        self._of_thread.failure = None
        now = file_identity.of_open(self._file)
        if now.size < self.size:
            raise self._cut_short(now.size)
        if failure is not None:
            raise failure
        if now != self._identity:
            raise CheckpointReplacedError(self.path, what=f"{self.path} was written to after it was opened")

    def check_open(self) -> None:
        """Checks that the file was not closed.

        Raises:
            InvalidArgumentError: It was.
        """
        if self._is_closed:
            raise InvalidArgumentError(f"{self.path} is closed")

    def close(self) -> None:
        self._is_closed = True
        self._file.close()

    def _fill(self, out: Array, offset: int, strides: Sequence[int]) -> None:
        size = out.itemsize
        if out.flags.c_contiguous and _are_contiguous(out.shape, strides):
            raw = out.reshape(-1).view(np.uint8)
            if self.readinto(offset, raw.data) < len(raw):
                raise TruncatedError(
                    f"bytes at {offset} of {self.path}", wanted=len(raw), available=max(0, self.size - offset)
                )
            return
        extents = [(length - 1) * stride for length, stride in zip(out.shape, strides, strict=True)]
        span = (1 + sum(extents)) * size
        if span <= _MIN_BLOCK_SIZE or span <= min(_MAX_BLOCK_SIZE, _MAX_WASTE * out.nbytes) or not any(extents):
            block: Array = np.empty(span, np.uint8)
            self._fill(block, offset, (1,))
            out[...] = np.ndarray(out.shape, out.dtype, block.data, strides=[stride * size for stride in strides])
            return
        axis = extents.index(max(extents))
        middle = out.shape[axis] // 2
        for start, stop in ((0, middle), (middle, out.shape[axis])):
            half = (slice(None),) * axis + (slice(start, stop),)
            self._fill(out[half], offset + start * strides[axis] * size, strides)

    def _cut_short(self, size: int) -> TruncatedError:
        return TruncatedError(f"{self.path} was cut short after it was opened", wanted=self.size, available=size)

    @contextlib.contextmanager
    def _remembered(self) -> Iterator[None]:
        """Keeps an error for `check`, since libraries make others of it."""
        try:
            yield
        except (OSError, SaverError) as error:
            self._of_thread.failure = error
            raise


class PinnedDirectory:
    """The files in a directory, as they were when it was opened."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._files: dict[str, FileIdentity] = {}
        for directory, _, names in os.walk(path):
            for name in names:
                inner = os.path.join(directory, name)
                # A broken link is an error of the library that follows it.
                with contextlib.suppress(OSError):
                    self._files[inner] = file_identity.of_path(inner)

    def check(self) -> None:
        """Checks that the files are what they were when the directory was opened.

        Raises:
            TruncatedError: One is shorter.
            CheckpointReplacedError: One was written to, or replaced.
            CheckpointNotFoundError: One was removed.
        """
        for path, identity in self._files.items():
            try:
                now = file_identity.of_path(path)
            except (FileNotFoundError, NotADirectoryError):
                found = "it was there when the checkpoint was opened, and was removed while the checkpoint was read"
                raise CheckpointNotFoundError(self.path, looked_for=[path], found=found) from None
            if now == identity:
                continue
            if now.inode == identity.inode and now.size < identity.size:
                what = f"{path} was cut short after it was opened"
                raise TruncatedError(what, wanted=identity.size, available=now.size)
            raise CheckpointReplacedError(self.path, what=f"{path} is another file now than when it was opened")


@contextlib.contextmanager
def library_errors(what: str, pinned: Pinned) -> Iterator[None]:
    """Makes an error of a foreign library one of ours: over a damaged file it may be of any kind.

    Args:
        what: What was being done, as in ``model.npz is no npz file``.
        pinned: What the library reads; it is checked after the block, too.

    Raises:
        DataLossError: Whatever is not an error of the system, or of ours.
        OSError: The system has refused something.
        CheckpointReplacedError: The file was written to.
    """
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:
        pinned.check()
        if isinstance(error, SaverError):
            raise
        system = _system_error(error, pinned.path)
        if system is not None:
            raise system from (error if system is not error else error.__cause__)
        raise DataLossError(f"{what}: {first_line(error)}") from error
    pinned.check()


def first_line(error: Exception) -> str:
    """What an error says, in one line."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _system_error(error: Exception, path: str) -> OSError | None:
    """The error of the system that an error is, or is made of."""
    if isinstance(error, OSError) and error.errno is not None:
        return None if error.errno in _OF_CONTENT else error
    text = str(error)
    for match in _NUMBER.finditer(text):
        number = int(next(filter(None, match.groups())))
        # A number in brackets may be anything; the system's has its text with it.
        if number < 1 << 16 and number not in _OF_CONTENT and number in errno.errorcode and os.strerror(number) in text:
            return OSError(number, os.strerror(number), path)
    return None


def _are_contiguous(shape: Sequence[int], strides: Sequence[int]) -> bool:
    return all(
        length == 1 or stride == math.prod(shape[axis + 1 :])
        for axis, (length, stride) in enumerate(zip(shape, strides, strict=True))
    )


class _Stream(io.RawIOBase):
    def __init__(self, file: OpenFile, start: int, size: int) -> None:
        self._file = file
        self._start = start
        self._size = size
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        position = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        if position < 0:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), self._file.path)
        self._position = position
        return position

    def read(self, size: int = -1) -> bytes:
        left = max(0, self._size - self._position)
        data = self._file.read(self._start + self._position, left if size is None or size < 0 else min(size, left))
        self._position += len(data)
        return data

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")[: max(0, self._size - self._position)]
        count = self._file.readinto(self._start + self._position, view)
        self._position += count
        return count


class _PaddedStream(_Stream):
    def readinto(self, buffer: Any) -> int:
        count = super().readinto(buffer)
        view = memoryview(buffer).cast("B")
        view[count:] = bytes(len(view) - count)
        return count
