"""safetensors files, through the package of that name.

    8 bytes         size of the header, little-endian
    header          JSON: {name: {"dtype": "F32", "shape": [2, 3], "data_offsets": [begin, end]}, "__metadata__": {...}}
    data            each tensor's elements, C order, little-endian, at its offsets after the header

The library writes from memory alone, so a file of a hundred gigabytes would need as much of it. Here the library lays the
file out over memory that is all zeros and was never touched, and the tensors are then put into their places piece by piece.
Its numpy side does not read float8, and it maps the file into memory: a file that is cut short would end the process. So the
library finds the file sound, and the bytes of the tensors are then read at their offsets.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from tfsaver._lazy_imports import lazy_import
from tfsaver.checkpoint.execution import Data, Sink, Target
from tfsaver.checkpoint.fitting import check_fits, no_type
from tfsaver.checkpoint.tensor_source import Array, TensorSource
from tfsaver.errors import MissingExtraError, UnimplementedError
from tfsaver.formats.atomic import atomic_file, check_file_target, local_path
from tfsaver.formats.chunks import chunks
from tfsaver.formats.file_source import FileSource, OpenFile, library_errors
from tfsaver.framework import dtypes
from tfsaver.framework.dtypes import DType
from tfsaver.framework.tensor_info import TensorInfo
from tfsaver.framework.tensor_shape import Shape, num_elements
from tfsaver.framework.tensor_slice import TensorSlice
from tfsaver.lib import file_io

# The format's code, and our name for the type, which is also the library's.
_TYPES = (
    ("F64", "float64"),
    ("F32", "float32"),
    ("F16", "float16"),
    ("BF16", "bfloat16"),
    ("I64", "int64"),
    ("I32", "int32"),
    ("I16", "int16"),
    ("I8", "int8"),
    ("U64", "uint64"),
    ("U32", "uint32"),
    ("U16", "uint16"),
    ("U8", "uint8"),
    ("BOOL", "bool"),
    ("C64", "complex64"),
    ("F8_E5M2", "float8_e5m2"),
    ("F8_E4M3", "float8_e4m3fn"),
    ("F8_E4M3FNUZ", "float8_e4m3fnuz"),
    ("F8_E5M2FNUZ", "float8_e5m2fnuz"),
)
_NAME_OF_CODE = dict(_TYPES)
_NAMES = frozenset(_NAME_OF_CODE.values())
_METADATA = "__metadata__"


def open_safetensors(path: file_io.PathLike) -> FileSource:
    """The tensors of a safetensors file, read when they are asked for.

    Raises:
        MissingExtraError: The library is not installed.
        DataLossError: It is no safetensors file, or a damaged one.
    """
    return _SafetensorsSource(local_path(path))


class SafetensorsTarget(Target):
    """A safetensors file to be written, a piece in memory at a time.

    Args:
        path: The file.
        metadata: Texts for the file's header; programs around PyTorch look for ``{"format": "pt"}``.
        durable: Whether to end only once disks have the bytes.

    Raises:
        MissingExtraError: The library is not installed.
    """

    takes_pieces = True

    def __init__(
        self, path: file_io.PathLike, *, metadata: Mapping[str, str] | None = None, durable: bool = True
    ) -> None:
        self._library = _library()
        self.path = file_io.as_path(path)
        self._metadata = metadata
        self._durable = durable
        self._infos: list[TensorInfo] = []

    def check(self, source: TensorSource) -> None:
        """See `Target`.

        Raises:
            UnimplementedError: Tensors of types that the format, or the installed library, does not have: strings,
                complex128, quantised ones, integers narrower than a byte; or of a name that it keeps for itself.
        """
        library = self._library
        accepted: dict[str, bool] = {}

        def objection(info: TensorInfo) -> str | None:
            if info.name == _METADATA:
                return "the format keeps this name for itself"
            name = info.dtype.name
            if name not in _NAMES:
                return no_type(info)
            if name not in accepted:
                accepted[name] = _accepts(library, name)
            return None if accepted[name] else f"safetensors {library.__version__} does not write {name} yet"

        self._infos = check_fits(source, "a safetensors file", objection)
        check_file_target(self.path)
        self.expected_size = sum(info.num_bytes for info in self._infos)

    @contextlib.contextmanager
    def open(self, source: TensorSource) -> Iterator[Sink]:
        with atomic_file(self.path, durable=self._durable, expected_size=self.expected_size) as temporary:
            _lay_out(self._library, self._infos, self._metadata, temporary)
            with contextlib.closing(file_io.open_for_reading(temporary)) as written:
                offsets = _offsets(written)
            with open(temporary, "r+b", buffering=0) as file:

                def add(info: TensorInfo, stored: TensorSlice | None, data: Data) -> None:
                    file.seek(offsets[info.name])
                    for chunk in chunks(data, info.dtype):
                        _write_all(file, chunk)

                yield add


class _SafetensorsSource(FileSource):
    def __init__(self, path: str) -> None:
        library = _library()
        self._file = OpenFile(path, "safetensors file")
        try:
            with library_errors(f"{path} is no sound safetensors file", self._file):
                contents = self._contents_of(library)
                self._offsets = _offsets(self._file)
        except BaseException:
            self._file.close()
            raise
        super().__init__(path, contents)

    def close(self) -> None:
        self._file.close()

    def _contents_of(self, library: Any) -> dict[str, tuple[DType, Shape] | str]:
        """What the library finds in the file, once it has found it sound."""
        with self._file.library_path() as path:
            try:
                file = library.safe_open(path, framework="numpy")
            except FileNotFoundError:
                # So the library calls whatever prevents opening: the system says which it is.
                os.close(os.open(path, os.O_RDONLY))
                raise
        return {name: _content(file.get_slice(name)) for name in file.keys()}  # noqa: SIM118 - it is no mapping

    def _load(self, name: str, info: TensorInfo) -> Array:
        return self._load_part(name, info, ())

    def _load_part(self, name: str, info: TensorInfo, indices: tuple[slice, ...]) -> Array:
        strides = [num_elements(info.shape[axis + 1 :]) for axis in range(len(info.shape))]
        with library_errors(f"{name!r} cannot be read", self._file):
            # The library maps the file into memory.
            array = self._file.read_strided(self._offsets[name], info.dtype.numpy, info.shape, strides, indices)
        return array if sys.byteorder == "little" else array.byteswap()


def _content(part: Any) -> tuple[DType, Shape] | str:
    code = part.get_dtype()
    if code not in _NAME_OF_CODE:
        return f"is of type {code}, which no checkpoint can hold"
    return dtypes.from_name(_NAME_OF_CODE[code]), tuple(part.get_shape())


def _library() -> Any:
    try:
        with lazy_import():
            import safetensors  # noqa: PLC0415
    except ImportError as error:
        raise MissingExtraError("safetensors", extra="safetensors", purpose="reading or writing .safetensors") from error
    return safetensors


def _offsets(file: file_io.RandomAccessFile | OpenFile) -> dict[str, int]:
    """Where in the file each tensor begins."""
    size = int.from_bytes(file.read(0, 8), "little")
    header = json.loads(file.read(8, size))
    return {name: 8 + size + entry["data_offsets"][0] for name, entry in header.items() if name != _METADATA}


def _lay_out(library: Any, infos: list[TensorInfo], metadata: Mapping[str, str] | None, path: str) -> None:
    """Writes the file with zeros in the place of all values."""
    specs = _zeros(library, [(info.name, info.dtype.name, info.shape, info.num_bytes) for info in infos])
    try:
        library.serialize_file(specs[0], path, metadata=dict(metadata) if metadata else None)
    except library.SafetensorError as error:
        tensors = f"safetensors {library.__version__} cannot write these {len(infos)} tensors"
        raise UnimplementedError(f"{tensors}: {error}") from error


def _zeros(library: Any, tensors: list[tuple[str, str, Shape, int]]) -> tuple[dict[str, Any], object]:
    """What the library calls tensors, all of them zeros, and what must live as long as they do."""
    if hasattr(library, "TensorSpec"):
        zeros = np.zeros(max((size for *_, size in tensors), default=1) or 1, np.uint8)
        address = zeros.ctypes.data
        return {
            name: library.TensorSpec(dtype=dtype, shape=shape, data_ptr=address, data_len=size)
            for name, dtype, shape, size in tensors
        }, zeros
    # Before 0.8. The system gives pages of zeros for memory that is only read.
    of_size = {size: bytes(size) for size in {size for *_, size in tensors}}
    return {
        name: {"dtype": dtype, "shape": list(shape), "data": of_size[size]} for name, dtype, shape, size in tensors
    }, of_size


def _accepts(library: Any, dtype: str) -> bool:
    try:
        specs = _zeros(library, [("x", dtype, (0,), 0)])
        library.serialize(specs[0])
    except library.SafetensorError:
        return False
    return True


def _write_all(file: Any, chunk: memoryview) -> None:
    while chunk:
        chunk = chunk[file.write(chunk) :]
