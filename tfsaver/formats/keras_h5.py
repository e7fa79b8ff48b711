"""Weights of Keras in HDF5, through h5py.

    Keras 3, x.weights.h5      layers/dense/vars/0, layers/dense/vars/1, optimizer/vars/0 ...    datasets
                               a path says the object's attribute, then its place in a list; the variables of an object are
                               numbered. bfloat16 is two opaque bytes and the dataset's attribute dtype="bfloat16".
    Keras 1 and 2, x.h5        attribute layer_names; in each layer's group the attribute weight_names: dense/kernel:0, and a
                               dataset under that name. A whole model has this in model_weights, and optimizer_weights.

    Keras 3, x.keras           a zip archive with config.json, metadata.json and model.weights.h5, the first of these;
                               it is read where it lies, since Keras stores it without compression

The name of a tensor is the dataset's path, or in the older layout what weight_names calls it, without ``:0``. Writing is the
newer layout alone: a name is a path. Keras loads what lies where its model looks, so that a mapping has to make such paths,
and a file of the model's own (``model.save_weights``) can be given to compare them with.
"""

from __future__ import annotations

import contextlib
import re
import struct
import zipfile
from collections.abc import Iterator, Set
from typing import Any

import numpy as np

from tfsaver._lazy_imports import lazy_import
from tfsaver.checkpoint.execution import Data, Sink, Target, as_array
from tfsaver.checkpoint.fitting import check_fits, clashes, no_type
from tfsaver.checkpoint.tensor_source import Array, TensorSource
from tfsaver.errors import (
    DataLossError,
    InvalidArgumentError,
    MissingExtraError,
    SaverError,
    TruncatedError,
    UnimplementedError,
    nearest_names,
)
from tfsaver.formats.atomic import atomic_file, check_file_target, local_path
from tfsaver.formats.file_source import FileSource, OpenFile, library_errors
from tfsaver.framework import dtypes, tensor_util
from tfsaver.framework.dtypes import DType
from tfsaver.framework.tensor_info import TensorInfo
from tfsaver.framework.tensor_shape import Shape
from tfsaver.framework.tensor_slice import TensorSlice
from tfsaver.lib import file_io

# Types that HDF5 cannot say, or not so that h5py gives the same back.
_UNKNOWN = frozenset({"string", "variant", "resource"})
_SUFFIX = ".weights.h5"
# A .keras file: how it begins, and what of it has the weights. A member's header ends with the sizes of what follows it.
_ZIP = b"PK\x03\x04"
_WEIGHTS = "model.weights.h5"
_LOCAL_HEADER = struct.Struct("<4s5H3I2H")
_OPAQUE_BFLOAT16 = np.dtype("V2")
_FROM_ELSEWHERE = 2
# What deflate makes of a byte at the most. A file may say any shape, and hold no values for it.
_MAX_EXPANSION = 1032
_MIN_UNPACKED = 1 << 20
_MAX_DEPTH = 100
# Where Keras 3 looks for a variable: an object's path, and a number.
_KERAS_PATH = re.compile(r"(?:^|/)vars/\d+$")


def open_keras(path: file_io.PathLike) -> FileSource:
    """The weights in a file of Keras, read when they are asked for.

    Raises:
        MissingExtraError: h5py is not installed.
        DataLossError: It is no HDF5 file, or a damaged one.
    """
    return _KerasSource(local_path(path))


class KerasTarget(Target):
    """A ``.weights.h5`` file to be written, one tensor in memory at a time.

    Args:
        path: The file.
        like: A file that the model wrote: nothing is written unless it has the same paths and shapes.
        durable: Whether to end only once disks have the bytes.

    Raises:
        MissingExtraError: h5py is not installed.
        InvalidArgumentError: The path has another suffix.
    """

    def __init__(self, path: file_io.PathLike, *, like: file_io.PathLike | None = None, durable: bool = True) -> None:
        self._h5py = _library()
        self.path = file_io.as_path(path)
        if not self.path.endswith(_SUFFIX):
            what = "Keras takes any other .h5 for the older layout"
            raise InvalidArgumentError(f"{self.path} does not end in {_SUFFIX}: {what}")
        self._like = like
        self._groups: dict[str, dict[str, Any]] = {}
        self._durable = durable

    def check(self, source: TensorSource) -> None:
        """See `Target`.

        Raises:
            UnimplementedError: Tensors of types that HDF5 has not (strings of TensorFlow, float8, integers narrower than a
                byte), or whose names are not the paths of a tree.
            InvalidArgumentError: What there is and what `like` has differ, says all.
        """
        clashing = clashes(source.names)

        def objection(info: TensorInfo) -> str | None:
            if info.name in clashing:
                return clashing[info.name]
            if "." in info.name.split("/") or "\0" in info.name:
                return "a name that HDF5 would change"
            added = info.dtype.name not in _UNKNOWN and info.dtype.numpy.isbuiltin == _FROM_ELSEWHERE
            if info.dtype.name in _UNKNOWN or (added and info.dtype.name != "bfloat16"):
                return no_type(info)
            return None

        infos = check_fits(source, "a .weights.h5 file", objection)
        self._groups = {} if self._like is None else _check_like(infos, local_path(self._like))
        others = [info.name for info in infos if not _KERAS_PATH.search(info.name)]
        if self._like is None and others:
            self.notes = (
                f"Keras will not load {self.path} by itself: load_weights looks for paths such as layers/dense/vars/0, and "
                f"{others[0]!r} is none. Give like= (--like) a file that the model has written (model.save_weights) and a "
                "mapping to its names, or restore into the model: tfsaver.restore(model, checkpoint)",
            )
        check_file_target(self.path)
        self.expected_size = sum(info.num_bytes for info in infos)

    @contextlib.contextmanager
    def open(self, source: TensorSource) -> Iterator[Sink]:
        with (
            atomic_file(self.path, durable=self._durable, expected_size=self.expected_size) as temporary,
            self._h5py.File(temporary, "w") as file,
        ):
            for group, attributes in self._groups.items():
                file.require_group(group).attrs.update(attributes)

            def add(info: TensorInfo, stored: TensorSlice | None, data: Data) -> None:
                if info.dtype.name == "bfloat16":
                    dataset = file.create_dataset(info.name, data=as_array(data).view(_OPAQUE_BFLOAT16))
                    dataset.attrs["dtype"] = "bfloat16"
                else:
                    file.create_dataset(info.name, data=as_array(data))

            yield add


class _KerasSource(FileSource):
    def __init__(self, path: str) -> None:
        self._h5py = _library()
        self._file: Any = None
        self._pinned = OpenFile(path, "HDF5 file")
        try:
            start, size = _weights_of_archive(self._pinned) or (0, self._pinned.size)
            with library_errors(f"{path} is no sound HDF5 file", self._pinned):
                # By its path the library would fill up with zeros what has been cut off.
                self._file = self._h5py.File(self._pinned.stream(is_padded=True, start=start, size=size), "r")
            with library_errors(f"{path} is a damaged HDF5 file", self._pinned):
                self._paths = dict(_names(self._h5py, self._file))
                contents = {name: self._content(self._file[inner]) for name, inner in self._paths.items()}
        except BaseException:
            self.close()
            raise
        super().__init__(path, contents)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
        self._pinned.close()

    def groups(self) -> dict[str, dict[str, Any]]:
        """Every group by its path, with its attributes."""
        found: dict[str, dict[str, Any]] = {}

        for name, item in _objects(self._h5py, self._file):
            if isinstance(item, self._h5py.Group):
                found[name] = dict(item.attrs)
        return found

    def _content(self, dataset: Any) -> tuple[DType, Shape] | str:
        if dataset.is_virtual or dataset.external:
            return "has its values in another file"
        if dataset.shape is None:
            return "is empty, without a shape"
        if dataset.nbytes > _MIN_UNPACKED + _MAX_EXPANSION * dataset.id.get_storage_size():
            return f"has {dataset.nbytes} bytes of which {dataset.id.get_storage_size()} are in the file"
        stored = dataset.dtype
        if self._h5py.check_string_dtype(stored) is not None:
            return dtypes.STRING, dataset.shape
        if dataset.attrs.get("dtype") == "bfloat16":
            return dtypes.from_name("bfloat16"), dataset.shape
        if stored == _OPAQUE_BFLOAT16:
            return "is two opaque bytes an element, of a type that the file does not name"
        try:
            return dtypes.from_numpy(stored), dataset.shape
        except SaverError:
            return f"is of type {stored}, which no checkpoint can hold"

    def _load(self, name: str, info: TensorInfo) -> Array:
        return self._load_part(name, info, ())

    def _load_part(self, name: str, info: TensorInfo, indices: tuple[slice, ...]) -> Array:
        with library_errors(f"{name!r} cannot be read", self._pinned):
            value = self._file[self._paths[name]][indices]
        if info.dtype is dtypes.STRING:
            return tensor_util.as_tensor(np.asarray(value, object), name)[0]
        array = np.asarray(value)
        if array.dtype == _OPAQUE_BFLOAT16:
            return array.view(info.dtype.numpy)
        return array.astype(info.dtype.numpy, order="C", copy=False)


def _weights_of_archive(file: OpenFile) -> tuple[int, int] | None:
    """Where the weights lie in a ``.keras`` file, and their size; None for a file that is not an archive.

    Raises:
        DataLossError: The archive is damaged, or without weights.
        UnimplementedError: The weights are compressed.
    """
    if file.read(0, 4) != _ZIP:
        return None
    with library_errors(f"{file.path} is a damaged .keras file", file), zipfile.ZipFile(file.stream()) as archive:
        if _WEIGHTS not in archive.namelist():
            raise DataLossError(f"{file.path} is a zip archive without {_WEIGHTS}")
        member = archive.getinfo(_WEIGHTS)
        if member.compress_type != zipfile.ZIP_STORED or member.flag_bits & 1:
            what = f"{file.path}: {_WEIGHTS} in it is compressed or encrypted, which Keras never does"
            raise UnimplementedError(f"{what}; unpack it and open the file alone")
        header = file.read(member.header_offset, _LOCAL_HEADER.size)
        if len(header) < _LOCAL_HEADER.size or not header.startswith(_ZIP):
            raise DataLossError(f"{file.path}: {_WEIGHTS} does not begin where the archive says")
        start = member.header_offset + _LOCAL_HEADER.size + sum(_LOCAL_HEADER.unpack(header)[-2:])
        if start + member.file_size > file.size:
            raise TruncatedError(f"{file.path}: {_WEIGHTS}", wanted=start + member.file_size, available=file.size)
        return start, member.file_size


def _library() -> Any:
    try:
        with lazy_import():
            import h5py  # noqa: PLC0415
    except ImportError as error:
        raise MissingExtraError("h5py", extra="keras", purpose="reading or writing .weights.h5 and .h5") from error
    return h5py


def _objects(h5py: Any, file: Any) -> Iterator[tuple[str, Any]]:
    """Groups and datasets by their paths, each once. Links to other places, and to other files, are not followed.

    The library's own way goes as deep as a file is nested, and takes the square of the depth.

    Raises:
        DataLossError: Groups are nested deeper than those of any model.
    """
    seen = {h5py.h5o.get_info(file.id).addr}
    waiting = [("", file, 0)]
    while waiting:
        prefix, group, depth = waiting.pop()
        if depth > _MAX_DEPTH:
            raise DataLossError(f"groups are nested more than {_MAX_DEPTH} deep")
        for name in group:
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                continue
            item = group[name]
            address = h5py.h5o.get_info(item.id).addr
            if address in seen:
                continue
            seen.add(address)
            yield f"{prefix}{name}", item
            if isinstance(item, h5py.Group):
                waiting.append((f"{prefix}{name}/", item, depth + 1))


def _names(h5py: Any, file: Any) -> Iterator[tuple[str, str]]:
    """The names of the tensors, and the paths of their datasets."""
    paths: list[str] = []
    groups: set[str] = set()
    for path, item in _objects(h5py, file):
        if isinstance(item, h5py.Dataset):
            paths.append(path)
        else:
            groups.add(path)
    legacy = dict(_legacy_names(file, groups))
    # A layer that is in two models has its weights twice, under one name.
    counts: dict[str, int] = {}
    for name in legacy.values():
        counts[name] = counts.get(name, 0) + 1
    for path in paths:
        name = legacy.get(path, path)
        yield (path if counts.get(name, 0) > 1 else name), path


def _legacy_names(file: Any, there: Set[str]) -> Iterator[tuple[str, str]]:
    """Of the datasets in the older layout, the names that they have in their programs, by path.

    Args:
        file: The open file.
        there: The groups in it; a name may be that of a link as well.
    """
    root = "model_weights" if "model_weights" in there and "layer_names" in file["model_weights"].attrs else ""
    weights = file[root] if root else file
    groups = [f"{root}/{layer}".lstrip("/") for layer in _texts(weights.attrs, "layer_names")]
    if groups:
        groups += [f"{root}/top_level_model_weights".lstrip("/"), "optimizer_weights"]
    for group in groups:
        if group in there:
            for name in _texts(file[group].attrs, "weight_names"):
                yield f"{group}/{name}", name.removesuffix(":0")


def _texts(attributes: Any, key: str) -> list[str]:
    """A list of texts in an attribute, or in several, since one takes no more than 64 KiB: key0, key1, ..."""
    values: list[Any] = list(attributes[key]) if key in attributes else []
    part = 0
    while f"{key}{part}" in attributes:
        values += list(attributes[f"{key}{part}"])
        part += 1
    return [value.decode() if isinstance(value, bytes) else str(value) for value in values]


def _check_like(infos: list[TensorInfo], path: str) -> dict[str, dict[str, Any]]:
    """The groups of a file that a model wrote, once it is known to have what there is.

    Raises:
        InvalidArgumentError: It has other paths, or other shapes; says all.
    """
    with _KerasSource(path) as model:
        wanted = {name: model.info(name) for name in model.names}
        groups = model.groups()
    given = {info.name: info for info in infos}
    problems = [
        f"  {name}: {list(given[name].shape)} here, {list(info.shape)} there"
        for name, info in wanted.items()
        if name in given and given[name].shape != info.shape
    ]
    for name in wanted.keys() - given.keys():
        near = nearest_names(name, given)
        problems.append(f"  {name} is missing" + (f"; did you mean {', '.join(map(repr, near))}?" if near else ""))
    problems += [f"  {name} is not in the model" for name in given.keys() - wanted.keys()]
    if problems:
        what = f"{path} has {len(wanted)} weights, and these are not the same; nothing was written:"
        raise InvalidArgumentError.of_lines([what, *sorted(problems)])
    return groups
