"""npz files, through numpy: a zip archive with a member ``<name>.npy`` for each array.

    magic, version      \\x93NUMPY, 1.0
    header              a Python dict as text: descr (the dtype), fortran_order, shape
    data                the elements

Two things numpy cannot say, and how they are said here:

    bfloat16, float8, int4 ...  numpy's own header calls bfloat16 ``V2``, which may be anything. The type's name goes where
                                those of quantised types go already, a record of one field: ``[("bfloat16", "<u2")]``.
                                ``np.load(path)["w"]["bfloat16"].view(ml_dtypes.bfloat16)`` is the array.
    strings of any length       would need pickle, which runs code when it is read. Fixed-width ``S`` strings hold them as
                                long as none ends with a zero byte, which numpy would take off; others cannot go.

Nothing is pickled, and nothing that is pickled is read.
"""

from __future__ import annotations

import contextlib
import io
import sys
import zipfile
from collections.abc import Iterator
from typing import IO, Any

import numpy as np

from tfsaver.checkpoint.execution import Data, Sink, Target, as_array
from tfsaver.checkpoint.fitting import check_fits, no_type
from tfsaver.checkpoint.tensor_source import Array, TensorSource
from tfsaver.errors import DataLossError, SaverError, UnimplementedError
from tfsaver.formats.atomic import atomic_file, check_file_target, local_path
from tfsaver.formats.chunks import chunks
from tfsaver.formats.file_source import FileSource, OpenFile, library_errors
from tfsaver.framework import dtypes, tensor_util
from tfsaver.framework.dtypes import DType
from tfsaver.framework.tensor_info import TensorInfo
from tfsaver.framework.tensor_shape import Shape, num_elements
from tfsaver.framework.tensor_slice import TensorSlice
from tfsaver.lib import file_io

_SUFFIX = ".npy"
_MAX_NAME_SIZE = 65535 - len(_SUFFIX)
_MAX_HEADER_SIZE = 1 << 16
# Of numpy's dtypes, those that another package has added.
_FROM_ELSEWHERE = 2
_READ_HEADER = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def open_npz(path: file_io.PathLike) -> FileSource:
    """The arrays of an npz file, read when they are asked for.

    Raises:
        DataLossError: It is no npz file, or a damaged one.
    """
    return _NpzSource(local_path(path))


class NpzTarget(Target):
    """An npz file to be written, which ``np.load`` reads.

    Args:
        path: The file.
        durable: Whether to end only once disks have the bytes.
    """

    takes_pieces = True

    def __init__(self, path: file_io.PathLike, *, durable: bool = True) -> None:
        self.path = file_io.as_path(path)
        self._durable = durable

    def check(self, source: TensorSource) -> None:
        """See `Target`.

        Raises:
            UnimplementedError: Variants, strings that end with a zero byte, names that a zip archive or numpy would change.
        """
        names = set(source.names)

        def objection(info: TensorInfo) -> str | None:
            if info.dtype.name in ("variant", "resource"):
                return no_type(info)
            if len(info.name.encode()) > _MAX_NAME_SIZE or "\0" in info.name:
                return "a name that no zip archive can hold"
            if f"{info.name}{_SUFFIX}" in names:
                return f"a name that is another tensor's with {_SUFFIX} at its end, which numpy takes off"
            if info.dtype is dtypes.STRING and any(value.endswith(b"\0") for value in source.read(info.name).reshape(-1)):
                return "strings that end with a zero byte, which numpy takes off"
            return None

        infos = check_fits(source, "an npz file", objection)
        check_file_target(self.path)
        self.expected_size = sum(info.num_bytes for info in infos if info.dtype.has_fixed_size)

    @contextlib.contextmanager
    def open(self, source: TensorSource) -> Iterator[Sink]:
        with (
            atomic_file(self.path, durable=self._durable, expected_size=self.expected_size) as temporary,
            zipfile.ZipFile(temporary, "w", allowZip64=True) as archive,
        ):

            def add(info: TensorInfo, stored: TensorSlice | None, data: Data) -> None:
                # The same date in every file: what is equal is equal in bytes.
                member = zipfile.ZipInfo(info.name + _SUFFIX)
                # ZipInfo makes slashes of what separates folders elsewhere; the name is the tensor's.
                member.filename = info.name + _SUFFIX
                with archive.open(member, "w", force_zip64=True) as file:
                    if info.dtype is dtypes.STRING:
                        np.lib.format.write_array(file, _fixed_width(as_array(data)), allow_pickle=False)
                        return
                    descr = np.lib.format.dtype_to_descr(_numpy_type(info.dtype))
                    header = {"descr": descr, "fortran_order": False, "shape": info.shape}
                    np.lib.format.write_array_header_1_0(file, header)
                    for chunk in chunks(data, info.dtype):
                        file.write(chunk)

            yield add


class _NpzSource(FileSource):
    def __init__(self, path: str) -> None:
        self._file = OpenFile(path, "npz file")
        try:
            with library_errors(f"{path} is no npz file", self._file):
                self._archive = zipfile.ZipFile(self._file.stream())
            members = [member for member in self._archive.namelist() if member.endswith(_SUFFIX)]
            super().__init__(path, {member.removesuffix(_SUFFIX): self._content(path, member) for member in members})
        except BaseException:
            self._file.close()
            raise

    def close(self) -> None:
        self._archive.close()
        self._file.close()

    def _content(self, path: str, member: str) -> tuple[DType, Shape] | str:
        with library_errors(f"{path}: member {member!r} is no array", self._file), self._archive.open(member) as file:
            shape, stored = _read_header(file)
            size = self._archive.getinfo(member).file_size - file.tell()
        if stored.hasobject:
            return "holds Python objects, which only pickle could read"
        if not stored.itemsize:
            return "has elements of no size"
        # Before anything is allocated: a header may say any shape.
        if min(shape, default=0) < 0 or num_elements(shape) * stored.itemsize != size:
            raise DataLossError(f"{path}: member {member!r} has {size} bytes for {stored} {list(shape)}")
        try:
            return _stored_type(stored), shape
        except SaverError:
            return f"is of type {stored}, which no checkpoint can hold"

    def _load(self, name: str, info: TensorInfo) -> Array:
        with library_errors(f"{name!r} is damaged", self._file), self._archive.open(name + _SUFFIX) as file:
            array: Array = np.lib.format.read_array(file, allow_pickle=False)
            # The archive's checksum is compared when a member ends.
            file.read(1)
        if array.dtype.kind == "U" and array.size and array.view(f"{array.dtype.byteorder}u4").max() > sys.maxunicode:
            raise DataLossError(f"{name!r} is damaged: a character that there is not")
        if info.dtype is dtypes.STRING:
            return tensor_util.as_tensor(array, name)[0]
        if info.dtype.numpy.isbuiltin == _FROM_ELSEWHERE:
            return array.view(info.dtype.numpy)
        return array.astype(info.dtype.numpy, order="C", copy=False)


def _read_header(file: IO[bytes]) -> tuple[Shape, np.dtype[Any]]:
    version = np.lib.format.read_magic(file)
    if version in _READ_HEADER:
        # numpy reads all of a header before it says that it is too large, and zip makes gigabytes of a few bytes.
        length = file.read(2 if version == (1, 0) else 4)
        if int.from_bytes(length, "little") > _MAX_HEADER_SIZE:
            raise DataLossError(f"a header of {int.from_bytes(length, 'little')} bytes")
        header = io.BytesIO(length + file.read(int.from_bytes(length, "little")))
        shape, _, stored = _READ_HEADER[version](header)
        return tuple(shape), stored
    raise UnimplementedError(f"version {version} of numpy's header, which only records with names in other scripts have")


def _stored_type(stored: np.dtype[Any]) -> DType:
    if stored.names is not None and len(stored.names) == 1:
        dtype = dtypes.from_name(stored.names[0])
        if stored == _numpy_type(dtype):
            return dtype
    return dtypes.from_numpy(stored)


def _numpy_type(dtype: DType) -> np.dtype[Any]:
    """The dtype that numpy's header can say."""
    if dtype.numpy.isbuiltin == _FROM_ELSEWHERE:
        return np.dtype([(dtype.name, f"<u{dtype.size}")])
    return dtype.numpy


def _fixed_width(strings: Array) -> Array:
    # At least one byte: numpy makes other strings of none.
    width = max((len(value) for value in strings.reshape(-1)), default=0) or 1
    return strings.astype(f"S{width}")
