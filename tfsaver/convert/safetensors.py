"""safetensors files, through the package of that name.

    8 bytes         size of the header, little-endian
    header          JSON: {name: {"dtype": "F32", "shape": [2, 3], "data_offsets": [begin, end]}, "__metadata__": {...}}
    data            each tensor's elements, C order, little-endian, at its offsets after the header

The library writes from memory alone, so a file of a hundred gigabytes would need as much of it. Here the library lays the
file out over memory that is all zeros and was never touched, and the tensors are then put into their places piece by piece.
Its numpy side reads no float8; those bytes are read at their offsets, after the library has found the file sound.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tfsaver.checkpoint.tensor_source import Array, TensorSource
from tfsaver.convert.atomic import atomic_file, local_path
from tfsaver.convert.chunks import chunks
from tfsaver.convert.file_source import FileSource, library_errors
from tfsaver.convert.fitting import check_fits, no_type
from tfsaver.errors import DataLossError, MissingExtraError, UnimplementedError
from tfsaver.framework import dtypes
from tfsaver.framework.dtypes import DType
from tfsaver.framework.tensor_info import TensorInfo
from tfsaver.framework.tensor_shape import Shape
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


def save_safetensors(
    source: TensorSource,
    path: file_io.PathLike,
    *,
    metadata: Mapping[str, str] | None = None,
    durable: bool = True,
    progress: Callable[[int, int], None] | None = None,
    check: Callable[[], None] | None = None,
) -> None:
    """Writes tensors as a safetensors file, a piece in memory at a time.

    Args:
        source: The tensors.
        path: The file.
        metadata: Texts for the file's header; programs around PyTorch look for ``{"format": "pt"}``.
        durable: Whether to return only once disks have the bytes.
        progress: Called with the bytes that are done and that there are.
        check: Called when everything is written and nothing is visible; an error of it prevents that.

    Raises:
        MissingExtraError: The library is not installed.
        UnimplementedError: Tensors of types that the format, or the installed library, does not have: strings,
            complex128, quantised ones, integers narrower than a byte; or of a name that it keeps for itself.
    """
    library = _library()
    target = local_path(path)
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

    infos = check_fits(source, "a safetensors file", objection)
    total = sum(info.num_bytes for info in infos)
    with atomic_file(target, durable=durable, expected_size=total) as temporary:
        _lay_out(library, infos, metadata, temporary)
        offsets = _offsets(temporary)
        done = 0
        with open(temporary, "r+b", buffering=0) as file:
            # In the order of the file, which is not that of the names.
            for info in sorted(infos, key=lambda item: offsets[item.name]):
                file.seek(offsets[info.name])
                for chunk in chunks(source, info):
                    _write_all(file, chunk)
                    done += len(chunk)
                    if progress is not None:
                        progress(done, total)
        if check is not None:
            check()


class _SafetensorsSource(FileSource):
    def __init__(self, path: str) -> None:
        library = _library()
        self._error: type[Exception] = library.SafetensorError
        if file_io.is_directory(path):
            raise DataLossError(f"{path} is a directory, no safetensors file")
        try:
            self._file = library.safe_open(path, framework="numpy")
            contents = {name: self._content(name) for name in self._file.keys()}  # noqa: SIM118 - it is no mapping
        except self._error as error:
            raise DataLossError(f"{path} is no sound safetensors file: {error}") from error
        super().__init__(path, contents)
        self._offsets: dict[str, int] | None = None

    def close(self) -> None:
        self._file = None

    def _content(self, name: str) -> tuple[DType, Shape] | str:
        part = self._file.get_slice(name)
        code = part.get_dtype()
        if code not in _NAME_OF_CODE:
            return f"is of type {code}, which no checkpoint can hold"
        return dtypes.from_name(_NAME_OF_CODE[code]), tuple(part.get_shape())

    def _load(self, name: str, info: TensorInfo) -> Array:
        if info.dtype.name.startswith("float8") or not info.num_bytes:
            return self._load_bytes(name, info)
        with library_errors(f"{name!r} cannot be read"):
            tensor: Array = self._file.get_tensor(name)
        return tensor.view(info.dtype.numpy)

    def _load_part(self, name: str, info: TensorInfo, indices: tuple[slice, ...]) -> Array:
        if info.dtype.name.startswith("float8") or not info.num_bytes or not indices:
            return super()._load_part(name, info, indices)
        with library_errors(f"{name!r} cannot be read"):
            part: Array = self._file.get_slice(name)[indices]
        return part.view(info.dtype.numpy)

    def _load_bytes(self, name: str, info: TensorInfo) -> Array:
        if self._offsets is None:
            self._offsets = _offsets(self.path)
        array = np.empty(info.shape, info.dtype.numpy)
        if array.size:
            file = file_io.open_for_reading(self.path)
            try:
                file.readinto(self._offsets[name], array.reshape(-1).view(np.uint8).data)
            finally:
                file.close()
        return array


def _library() -> Any:
    try:
        import safetensors  # noqa: PLC0415
    except ImportError as error:
        raise MissingExtraError("safetensors", extra="safetensors", purpose="reading or writing .safetensors") from error
    return safetensors


def _offsets(path: str) -> dict[str, int]:
    """Where in the file each tensor begins."""
    file = file_io.open_for_reading(path)
    try:
        size = int.from_bytes(file_io.read_exactly(file, 0, 8, "size of the header"), "little")
        header = json.loads(file_io.read_exactly(file, 8, size, "header"))
    finally:
        file.close()
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
