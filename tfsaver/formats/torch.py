"""PyTorch's files, through torch: a dict of tensors, as ``torch.save(module.state_dict(), path)`` writes it.

    model.pt    a zip archive: data.pkl (the dict, with references to storages), data/0, data/1, ... (the storages)

The pickle inside is read with ``weights_only=True``, which builds tensors and plain containers and runs nothing, and the
storages are mapped, so that a tensor takes memory when it is read: at its place in the file, since looking at mapped memory
ends the process once the file has been cut short. A dict in a dict (``{"model": ..., "optimizer": ...}``)
gives names with a slash between the keys, numbers give scalars; what is neither has a name and cannot be read.

torch saves from memory: while a file is written, all of its tensors are in it, once.
"""

from __future__ import annotations

import bisect
import contextlib
import io
import pickle
import sys
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from tfsaver._lazy_imports import lazy_import
from tfsaver.checkpoint.execution import Data, Sink, Target, as_array
from tfsaver.checkpoint.fitting import check_fits, no_type
from tfsaver.checkpoint.tensor_source import Array, TensorSource
from tfsaver.errors import DataLossError, MissingExtraError, UnimplementedError
from tfsaver.formats.atomic import atomic_file, check_file_target, local_path
from tfsaver.formats.file_source import FileSource, OpenFile, first_line, library_errors
from tfsaver.framework import dtypes
from tfsaver.framework.dtypes import DType
from tfsaver.framework.tensor_info import TensorInfo
from tfsaver.framework.tensor_shape import Shape
from tfsaver.framework.tensor_slice import TensorSlice
from tfsaver.lib import file_io

# Types that both have, under one name, and the type of numpy whose arrays torch takes and gives for it.
_CARRIERS = {
    "float32": "float32",
    "float64": "float64",
    "float16": "float16",
    "bfloat16": "int16",
    "int8": "int8",
    "int16": "int16",
    "int32": "int32",
    "int64": "int64",
    "uint8": "uint8",
    "uint16": "int16",
    "uint32": "int32",
    "uint64": "int64",
    "bool": "bool",
    "complex64": "complex64",
    "complex128": "complex128",
    "float8_e5m2": "uint8",
    "float8_e4m3fn": "uint8",
    "float8_e4m3fnuz": "uint8",
    "float8_e5m2fnuz": "uint8",
}
# Linux says here what is mapped where. torch maps a file and does not say where each tensor begins in it.
_MAPPINGS = "/proc/self/maps"
_MAX_ORDER_SIZE = 16
_MAX_DEPTH = 100
# Letters of all keys together.
_MIN_ROOM = 1 << 20
_ROOM_PER_BYTE = 16
# Bytes that a tensor may have without having them: with steps of 0, one element is as many as the shape says.
_MIN_REPEATED = 64 << 20
_MAX_REPEATED = 64


def open_torch(path: file_io.PathLike) -> FileSource:
    """The tensors of a file of ``torch.save``, read when they are asked for.

    Raises:
        MissingExtraError: torch is not installed.
        UnimplementedError: It holds objects that only running its code could build.
        DataLossError: It is no such file, or a damaged one.
    """
    return _TorchSource(local_path(path))


class TorchTarget(Target):
    """A ``state_dict`` to be written, for ``torch.load(path, weights_only=True)``. All tensors are in memory until the end.

    Args:
        path: The file.
        durable: Whether to end only once disks have the bytes.

    Raises:
        MissingExtraError: torch is not installed.
    """

    def __init__(self, path: file_io.PathLike, *, durable: bool = True) -> None:
        self._torch = _library()
        self.path = file_io.as_path(path)
        self._durable = durable

    def check(self, source: TensorSource) -> None:
        """See `Target`.

        Raises:
            UnimplementedError: Tensors of types that torch, or the installed one, has not: strings, quantised ones, integers
                narrower than a byte.
        """
        torch = self._torch

        def objection(info: TensorInfo) -> str | None:
            if info.dtype.name not in _CARRIERS:
                return no_type(info)
            return None if hasattr(torch, info.dtype.name) else f"torch {torch.__version__} has no {info.dtype} yet"

        infos = check_fits(source, "a file of torch", objection)
        check_file_target(self.path)
        self.expected_size = sum(info.num_bytes for info in infos)

    @contextlib.contextmanager
    def open(self, source: TensorSource) -> Iterator[Sink]:
        tensors: dict[str, Any] = {}

        def add(info: TensorInfo, stored: TensorSlice | None, data: Data) -> None:
            tensors[info.name] = _as_torch(self._torch, as_array(data), info.dtype)

        yield add
        # A file instead of its name, of which torch would put a part into the archive.
        with (
            atomic_file(self.path, durable=self._durable, expected_size=self.expected_size) as temporary,
            open(temporary, "wb") as file,
        ):
            self._torch.save(tensors, file)


class _TorchSource(FileSource):
    def __init__(self, path: str) -> None:
        torch = _library()
        self._torch = torch
        self._file = OpenFile(path, "file of torch")
        try:
            self._is_mapped = _can_be_mapped(self._file)
            with library_errors(f"{path} is no sound file of torch", self._file):
                value = _load_file(torch, self._file, self._is_mapped)
            self._values = dict(_flatten(value, path, self._file.size))
            contents = {name: self._content(value) for name, value in self._values.items()}
        except BaseException:
            self._file.close()
            raise
        self._mappings = _file_mappings() if self._is_mapped else []
        super().__init__(path, contents)

    def close(self) -> None:
        self._values = {}
        self._file.close()

    def _content(self, value: Any) -> tuple[DType, Shape] | str:
        if isinstance(value, bool | int | float | complex):
            if isinstance(value, int) and not -(2**63) <= value < 2**63:
                return "is an integer of more than 64 bits"
            return dtypes.from_numpy(np.asarray(value).dtype), ()
        if not isinstance(value, self._torch.Tensor):
            return f"is a {type(value).__name__}, no tensor"
        if value.layout is not self._torch.strided or value.is_quantized or value.is_meta or value.is_nested:
            return "is a sparse, quantised, nested or empty tensor, which no checkpoint can hold"
        size, stored = value.numel() * value.element_size(), value.untyped_storage().nbytes()
        if size > _MIN_REPEATED and size > _MAX_REPEATED * stored:
            return f"repeats {stored} bytes until they are {size}"
        name = str(value.dtype).removeprefix("torch.")
        if name not in _CARRIERS:
            return f"is of type {name}, which no checkpoint can hold"
        return dtypes.from_name(name), tuple(value.shape)

    def _load(self, name: str, info: TensorInfo) -> Array:
        return self._load_part(name, info, ())

    def _load_part(self, name: str, info: TensorInfo, indices: tuple[slice, ...]) -> Array:
        self._file.check_open()
        value = self._values[name]
        if not isinstance(value, self._torch.Tensor):
            return np.asarray(value, info.dtype.numpy)[indices]
        if not self._is_mapped:
            return self._as_numpy(value, info)[indices]
        with library_errors(f"{name!r} cannot be read", self._file):
            offset = _offset_in_file(value.data_ptr(), self._mappings)
            if offset is None:
                # Not of the file, or of a system that does not say.
                self._file.check()
                return np.array(self._as_numpy(value, info)[indices], order="C")
            array = self._file.read_strided(offset, info.dtype.numpy, info.shape, value.stride(), indices)
        # Lazy conjugates and negatives have no memory of their own.
        if value.is_conj():
            np.conjugate(array, out=array)
        return np.negative(array, out=array) if value.is_neg() else array

    def _as_numpy(self, value: Any, info: TensorInfo) -> Array:
        """A tensor's own memory as an array."""
        tensor = value.detach().resolve_conj().resolve_neg()
        carrier = _CARRIERS[info.dtype.name]
        if carrier != info.dtype.name:
            tensor = tensor.view(getattr(self._torch, carrier))
        array: Array = tensor.numpy()
        return array.view(info.dtype.numpy) if carrier != info.dtype.name else array


def _library() -> Any:
    try:
        with lazy_import():
            import torch  # noqa: PLC0415
    except ImportError as error:
        raise MissingExtraError("torch", extra="torch", purpose="reading or writing PyTorch's .pt and .pth") from error
    return torch


def _can_be_mapped(file: OpenFile) -> bool:
    """Whether the file holds tensors as they are in memory: it is an archive, and of this machine's byte order."""
    try:
        with library_errors("no archive", file):
            # Files of before torch 1.6 are none.
            return zipfile.is_zipfile(file.stream()) and _byte_orders(file) <= {sys.byteorder.encode()}
    except DataLossError:
        # torch may know how to read it.
        return False


def _byte_orders(file: OpenFile) -> set[bytes]:
    with zipfile.ZipFile(file.stream()) as archive:
        found = set()
        for member in archive.namelist():
            if member.endswith("/byteorder"):
                with archive.open(member) as order:
                    found.add(order.read(_MAX_ORDER_SIZE))
    return found


def _load_file(torch: Any, file: OpenFile, is_mapped: bool) -> Any:
    try:
        with warnings.catch_warnings(), file.library_path() as path:
            place = path if is_mapped else io.BufferedReader(file.stream())
            # Which pickle protocol a file has is nothing that a user could change.
            warnings.simplefilter("ignore")
            return torch.load(place, map_location="cpu", weights_only=True, mmap=is_mapped)
    except pickle.UnpicklingError as error:
        raise UnimplementedError(
            f"{file.path} holds more than tensors and plain containers, or is damaged; tfsaver runs no code of a file, and "
            f"torch says: {first_line(error)}"
        ) from error


def _file_mappings() -> list[tuple[int, int, int]]:
    """Where files are mapped in this process: the first address, the end, and the place in the file of the first."""
    try:
        with open(_MAPPINGS, encoding="utf-8", errors="surrogateescape") as file:
            lines = file.read().splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        addresses, _, offset, _, inode, *_ = line.split()
        if inode != "0":
            start, end = addresses.split("-")
            found.append((int(start, 16), int(end, 16), int(offset, 16)))
    return found


def _offset_in_file(address: int, mappings: list[tuple[int, int, int]]) -> int | None:
    """Where in its file memory lies that is mapped; None when it is not."""
    index = bisect.bisect_right(mappings, (address, sys.maxsize, 0)) - 1
    if index < 0:
        return None
    start, end, offset = mappings[index]
    return offset + address - start if address < end else None


def _flatten(value: Any, path: str, file_size: int) -> Iterator[tuple[str, Any]]:
    """Every leaf by its keys with slashes between them.

    A container may stand in others any number of times: twice in each of thirty that are nested makes a billion leaves.
    """
    room = _MIN_ROOM + _ROOM_PER_BYTE * file_size
    if not isinstance(value, Mapping | list | tuple):
        raise UnimplementedError(f"{path} holds a {type(value).__name__}, a dict of tensors is needed")
    seen: set[str] = set()
    waiting: list[tuple[str, Any, int]] = [("", value, 0)]
    while waiting:
        name, item, depth = waiting.pop()
        if isinstance(item, Mapping | list | tuple) and depth < _MAX_DEPTH:
            pairs = item.items() if isinstance(item, Mapping) else enumerate(item)
            for key, inner in pairs:
                label = f"{name}/{key}" if depth else str(key)
                room -= 1 + len(label)
                if room < 0:
                    raise DataLossError(f"{path} has more values in its dicts than it has bytes for")
                waiting.append((label, inner, depth + 1))
            continue
        if name in seen:
            raise UnimplementedError(f"{path} has two values whose keys both read {name!r}")
        seen.add(name)
        yield name, item


def _as_torch(torch: Any, array: Array, dtype: DType) -> Any:
    """The array as a tensor over the same memory."""
    carrier = _CARRIERS[dtype.name]
    # torch has no tensors that cannot be written to.
    if not (array.flags.c_contiguous and array.flags.writeable and array.dtype.isnative):
        array = np.array(array, dtype.numpy, order="C")
    tensor = torch.from_numpy(array.view(carrier))
    return tensor if carrier == dtype.name else tensor.view(getattr(torch, dtype.name))
