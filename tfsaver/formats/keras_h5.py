"""Weights of Keras in HDF5, through h5py.

    Keras 3, x.weights.h5      layers/dense/vars/0, layers/dense/vars/1, optimizer/vars/0 ...    datasets
                               a path says the object's attribute, then its place in a list; the variables of an object are
                               numbered. bfloat16 is two opaque bytes and the dataset's attribute dtype="bfloat16".
    Keras 1 and 2, x.h5        attribute layer_names; in each layer's group the attribute weight_names: dense/kernel:0, and a
                               dataset under that name. A whole model has this in model_weights, and optimizer_weights.

    Keras 3, x.keras           a zip archive with config.json, metadata.json and model.weights.h5, the first of these;
                               it is read where it lies, since Keras stores it without compression

The name of a tensor is what the model calls the variable, ``dense/kernel``: in the older layout what weight_names has for
it, without ``:0``; in the newer one the layer's name, which the group of its variables has as an attribute, or config.json,
and the variable's, which follows from the layer's class. Where these do not say it, the name is the dataset's path. What is
written has the newer layout. Keras loads what lies where its model looks, so that tensors from elsewhere need a file of the
model's own (``model.save_weights``), which says where that is.
"""

from __future__ import annotations

import contextlib
import json
import re
import struct
import zipfile
from collections.abc import Iterator, Mapping, Sequence, Set
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
from tfsaver.targets.keras import snake_case

# Types that HDF5 cannot say, or not so that h5py gives the same back.
_UNKNOWN = frozenset({"string", "variant", "resource"})
_SUFFIX = ".weights.h5"
# A .keras file: how it begins, and what of it has the weights. A member's header ends with the sizes of what follows it.
_ZIP = b"PK\x03\x04"
_WEIGHTS = "model.weights.h5"
_CONFIG = "config.json"
_MAX_CONFIG_SIZE = 64 << 20
_LOCAL_HEADER = struct.Struct("<4s5H3I2H")
_OPTIMIZER = "optimizer/vars/"
_OPAQUE_BFLOAT16 = np.dtype("V2")
_FROM_ELSEWHERE = 2
# What deflate makes of a byte at the most. A file may say any shape, and hold no values for it.
_MAX_EXPANSION = 1032
_MIN_UNPACKED = 1 << 20
_MAX_DEPTH = 100
_NUMBERED = re.compile(r"_\d+$")
_KERNEL = {1: ("kernel",), 2: ("kernel", "bias")}
_GATES = {2: ("kernel", "recurrent_kernel"), 3: ("kernel", "recurrent_kernel", "bias")}
_DEEP_AND_WIDE = ("depthwise_kernel", "pointwise_kernel")
_SEPARABLE: dict[int, tuple[str, ...]] = {2: _DEEP_AND_WIDE, 3: (*_DEEP_AND_WIDE, "bias")}
_SCALED: dict[int, tuple[str, ...]] = {2: ("gamma", "beta")}
# The variables of layers in the order in which files number them, by the class and by how many there are.
_VARIABLES: dict[str, dict[int, tuple[str, ...]]] = {
    **dict.fromkeys(("dense", "einsum_dense", *(f"conv{axes}d" for axes in "123")), _KERNEL),
    **dict.fromkeys((*(f"conv{axes}d_transpose" for axes in "123"), *(f"depthwise_conv{axes}d" for axes in "12")), _KERNEL),
    **dict.fromkeys(("separable_conv1d", "separable_conv2d"), _SEPARABLE),
    **dict.fromkeys(("lstm/cell", "gru/cell", "simple_rnn/cell", "lstm_cell", "gru_cell", "simple_rnn_cell"), _GATES),
    **dict.fromkeys(("layer_normalization", "group_normalization"), _SCALED),
    "batch_normalization": {4: ("gamma", "beta", "moving_mean", "moving_variance")},
    "embedding": {1: ("embeddings",)},
    "normalization": {3: ("mean", "variance", "count")},
    "p_re_lu": {1: ("alpha",)},
}
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
        like: A file that the model wrote: nothing is written unless it has the same weights and shapes. Its names, or its
            paths, are those of the tensors.
        paths: Without it, where tensors go whose names are no paths: what another file of Keras says.
        durable: Whether to end only once disks have the bytes.

    Raises:
        MissingExtraError: h5py is not installed.
        InvalidArgumentError: The path has another suffix.
    """

    def __init__(
        self,
        path: file_io.PathLike,
        *,
        like: file_io.PathLike | None = None,
        paths: Mapping[str, str] | None = None,
        durable: bool = True,
    ) -> None:
        self._h5py = _library()
        self.path = file_io.as_path(path)
        if not self.path.endswith(_SUFFIX):
            what = "Keras takes any other .h5 for the older layout"
            raise InvalidArgumentError(f"{self.path} does not end in {_SUFFIX}: {what}")
        self._like = like
        self._groups: dict[str, dict[str, Any]] = {}
        self._paths = dict(paths or {})
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
        if self._like is not None:
            self._groups, self._paths, self.notes = _check_like(infos, local_path(self._like))
        others = [info.name for info in infos if not _KERAS_PATH.search(self._paths.get(info.name, info.name))]
        if self._like is None and others:
            self.notes = (
                f"Keras will not load {self.path} by itself: load_weights looks for paths such as layers/dense/vars/0, and "
                f"{others[0]!r} is none. Give like= (--like) a file that the model has written (model.save_weights, or "
                "model.save with .keras), or restore into the model: tfsaver.restore(model, checkpoint)",
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
                path = self._paths.get(info.name, info.name)
                if info.dtype.name == "bfloat16":
                    dataset = file.create_dataset(path, data=as_array(data).view(_OPAQUE_BFLOAT16))
                    dataset.attrs["dtype"] = "bfloat16"
                else:
                    file.create_dataset(path, data=as_array(data))

            yield add


class _KerasSource(FileSource):
    def __init__(self, path: str) -> None:
        self._h5py = _library()
        self._file: Any = None
        self._pinned = OpenFile(path, "HDF5 file")
        try:
            start, size, config = _weights_of_archive(self._pinned) or (0, self._pinned.size, b"")
            with library_errors(f"{path} is no sound HDF5 file", self._pinned):
                # By its path the library would fill up with zeros what has been cut off.
                self._file = self._h5py.File(self._pinned.stream(is_padded=True, start=start, size=size), "r")
            with library_errors(f"{path} is a damaged HDF5 file", self._pinned):
                self._paths = dict(_names(self._h5py, self._file, config))
                contents = {name: self._content(self._file[inner]) for name, inner in self._paths.items()}
        except BaseException:
            self.close()
            raise
        super().__init__(path, contents)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
        self._pinned.close()

    @property
    def file_paths(self) -> dict[str, str]:
        """Where each tensor lies in the file, by its name, in the newer layout; nothing in the older one."""
        return {name: path for name, path in self._paths.items() if _KERAS_PATH.search(path)}

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


def _weights_of_archive(file: OpenFile) -> tuple[int, int, bytes] | None:
    """Where the weights lie in a ``.keras`` file, their size, and config.json; None for a file that is not an archive.

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
        config = b""
        if _CONFIG in archive.namelist() and archive.getinfo(_CONFIG).file_size <= _MAX_CONFIG_SIZE:
            config = archive.read(_CONFIG)
        return start, member.file_size, config


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


def _names(h5py: Any, file: Any, config: bytes) -> Iterator[tuple[str, str]]:
    """The names of the tensors, and the paths of their datasets.

    Args:
        h5py: The library.
        file: The open file.
        config: The config.json of a ``.keras`` file.
    """
    paths: list[str] = []
    groups: set[str] = set()
    for path, item in _objects(h5py, file):
        if isinstance(item, h5py.Dataset):
            paths.append(path)
        else:
            groups.add(path)
    legacy = dict(_legacy_names(file, groups)) or dict(_names_in_model(file, paths, _layer_names(config)))
    # A layer that is in two models has its weights twice, under one name.
    counts: dict[str, int] = {}
    for name in legacy.values():
        counts[name] = counts.get(name, 0) + 1
    for path in paths:
        name = legacy.get(path, path)
        yield (path if counts.get(name, 0) > 1 else name), path


def _names_in_model(file: Any, paths: Sequence[str], layers: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Of the datasets in the newer layout, the names that the model has for the variables, by path, as far as it is told.

    Args:
        file: The open file.
        paths: The datasets.
        layers: The names of layers by the paths of their groups, where config.json says them.
    """
    numbers: dict[str, list[str]] = {}
    for path in paths:
        if _KERAS_PATH.search(path):
            group, _, number = path.rpartition("/vars/")
            numbers.setdefault(group, []).append(number)
    for group, found in numbers.items():
        parts = group.split("/")
        scopes = ["/".join(parts[: count + 1]) for count in range(len(parts))]
        named = [(scope, _layer_name(file, scope) or layers.get(scope)) for scope in scopes]
        words = _VARIABLES.get(_class_of(parts), {}).get(len(found), ())
        if words and named[-1][1] and sorted(found, key=int) == [str(number) for number in range(len(words))]:
            scope = "/".join(name for _, name in named if name)
            yield from ((f"{group}/vars/{number}", f"{scope}/{word}") for number, word in enumerate(words))


def _layer_name(file: Any, group: str) -> str | None:
    """The name of a layer, as the group of its variables has it since Keras 3.7."""
    name = file[f"{group}/vars"].attrs.get("name") if f"{group}/vars" in file else None
    return name.decode() if isinstance(name, bytes) else name if isinstance(name, str) else None


def _class_of(parts: Sequence[str]) -> str:
    """The class of the layer whose group has a path, in small letters: ``lstm/cell`` for the cell of an LSTM."""
    words = [_NUMBERED.sub("", part) for part in parts]
    return "/".join(words[-2:]) if words[-1] == "cell" and len(words) > 1 else words[-1]


def _layer_names(config: bytes) -> dict[str, str]:
    """The names of a model's layers by the paths of their groups, from the config.json of a ``.keras`` file."""
    try:
        layers = json.loads(config)["config"]["layers"]
        pairs = [(str(layer["class_name"]), str(layer["config"]["name"])) for layer in layers]
    except (ValueError, LookupError, TypeError, RecursionError):
        # Of a class of its own, which says nothing of its layers; or not there.
        return {}
    counts: dict[str, int] = {}
    found: dict[str, str] = {}
    for class_name, name in pairs:
        word = snake_case(class_name.rpartition(">")[2])
        counts[word] = counts.get(word, -1) + 1
        found[f"layers/{word}_{counts[word]}" if counts[word] else f"layers/{word}"] = name
    return found


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


def _check_like(
    infos: list[TensorInfo], path: str
) -> tuple[dict[str, dict[str, Any]], dict[str, str], tuple[str, ...]]:
    """What a file that a model wrote says of where tensors go, once it is known that these are all of the model's.

    Returns:
        Its groups; the paths of the tensors by their names; what a report should mention.

    Raises:
        InvalidArgumentError: It has other weights, or other shapes; says all.
    """
    with _KerasSource(path) as model:
        wanted = {name: model.info(name) for name in model.names}
        paths = model.file_paths
        groups = model.groups()
    names = {path: name for name, path in paths.items()}
    given = {names.get(info.name, info.name): info for info in infos}
    notes: tuple[str, ...] = ()
    state = [name for name in wanted if paths.get(name, "").startswith(_OPTIMIZER)]
    if state and not any(name in given for name in state):
        # Keras loads weights without it, and says that the optimizer keeps its own.
        wanted = {name: info for name, info in wanted.items() if name not in state}
        groups = {name: group for name, group in groups.items() if not f"{name}/".startswith(f"{_OPTIMIZER.split('/')[0]}/")}
        notes = (f"the state of the optimizer in {path} has no tensors here, and the optimizer keeps its own",)
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
    return groups, paths, notes
