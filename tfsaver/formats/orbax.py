"""Orbax checkpoints, through orbax-checkpoint: a directory with a tree of arrays, as JAX programs keep them.

    directory/_METADATA              the tree: keys, types
    directory/manifest.ocdbt, d/     the arrays, in tensorstore's key-value store

A name with slashes is a path in the tree: ``encoder/layer_0/kernel`` is ``tree["encoder"]["layer_0"]["kernel"]``, which
``StandardCheckpointer().restore(directory)`` gives back. Where a leaf stands there is no way on: ``kernel/Adam`` beside
``kernel`` is one key, ``tree["encoder"]["layer_0"]["kernel/Adam"]``.

Arrays stay numpy's on both ways, so that no device and no ``jax_enable_x64`` decides about their types. Orbax saves from
memory: while a directory is written, all of its arrays are in it, and what becomes of them. They are read in groups.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from tfsaver._lazy_imports import lazy_import
from tfsaver.checkpoint.execution import Data, Sink, Target, as_array
from tfsaver.checkpoint.fitting import check_fits, no_type
from tfsaver.checkpoint.tensor_source import Array, TensorSource
from tfsaver.errors import DataLossError, MissingExtraError, SaverError, UnimplementedError
from tfsaver.formats.atomic import atomic_directory, check_directory_target, local_path
from tfsaver.formats.file_source import FileSource, PinnedDirectory, library_errors
from tfsaver.framework import dtypes
from tfsaver.framework.dtypes import DType
from tfsaver.framework.tensor_info import TensorInfo
from tfsaver.framework.tensor_shape import Shape
from tfsaver.framework.tensor_slice import TensorSlice
from tfsaver.lib import file_io

# What tensorstore has no name for.
_UNKNOWN = frozenset(
    {"string", "variant", "resource", "qint8", "quint8", "qint16", "quint16", "qint32", "uint4", "uint2"}
)
# Opening takes longer than reading a small array: arrays that follow each other are read together, up to so many bytes.
_GROUP_SIZE = 256 << 20


def open_orbax(path: file_io.PathLike) -> FileSource:
    """The arrays of an Orbax checkpoint, read when they are asked for.

    Raises:
        MissingExtraError: orbax-checkpoint is not installed.
        DataLossError: It is no Orbax checkpoint, or a damaged one.
    """
    return _OrbaxSource(local_path(path))


class OrbaxTarget(Target):
    """An Orbax checkpoint to be written, a nested dict of arrays. All are in memory until the end.

    Args:
        path: The directory.
        overwrite: Whether a directory that is there may be replaced.
        durable: Whether to end only once disks have the bytes.

    Raises:
        MissingExtraError: orbax-checkpoint is not installed.
    """

    def __init__(self, path: file_io.PathLike, *, overwrite: bool = False, durable: bool = True) -> None:
        self.path = local_path(path)
        self._library = _library()
        self._overwrite = overwrite
        self._durable = durable

    def check(self, source: TensorSource) -> None:
        """See `Target`.

        Raises:
            AlreadyExistsError: The directory is there, and `overwrite` does not say that it may go.
            UnimplementedError: Tensors of types or shapes that Orbax has not (strings, quantised ones, unsigned integers
                narrower than a byte, arrays without elements), or whose names are not the paths of a tree.
        """
        clashing = _clashes(_paths(source.names))

        def objection(info: TensorInfo) -> str | None:
            if info.name in clashing:
                return clashing[info.name]
            if info.dtype.name in _UNKNOWN:
                return no_type(info)
            return None if 0 not in info.shape else "no arrays without elements"

        check_directory_target(self.path, self._overwrite)
        if not check_fits(source, "an Orbax checkpoint", objection):
            raise UnimplementedError("an Orbax checkpoint cannot be without tensors, and nothing was written")

    @contextlib.contextmanager
    def open(self, source: TensorSource) -> Iterator[Sink]:
        paths = _paths(source.names)
        tree: dict[str, Any] = {}

        def add(info: TensorInfo, stored: TensorSlice | None, data: Data) -> None:
            *folders, leaf = paths[info.name]
            place = tree
            for folder in folders:
                place = place.setdefault(folder, {})
            place[leaf] = as_array(data)

        yield add
        with (
            atomic_directory(self.path, overwrite=self._overwrite, durable=self._durable) as temporary,
            self._library.StandardCheckpointer() as checkpointer,
        ):
            checkpointer.save(os.path.abspath(temporary), tree)
            checkpointer.wait_until_finished()


class _OrbaxSource(FileSource):
    def __init__(self, path: str) -> None:
        self._library = _library()
        self._directory = os.path.abspath(path)
        if not file_io.exists(self._directory):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        if not file_io.is_directory(self._directory):
            raise DataLossError(f"{path} is no directory, and no Orbax checkpoint")
        self._pinned = PinnedDirectory(path)
        self._checkpointer = self._library.Checkpointer(self._library.PyTreeCheckpointHandler())
        self._keys: dict[str, tuple[Any, ...]] = {}
        contents = {}
        self._metadata = self._tree(path)
        with library_errors(f"{path} is no sound Orbax checkpoint", self._pinned):
            leaves = list(_leaves(self._metadata))
        for keys, leaf in leaves:
            name = "/".join(map(str, keys))
            if name in self._keys:
                raise UnimplementedError(f"{path} has two arrays whose keys both read {name!r}")
            self._keys[name] = keys
            contents[name] = _content(leaf)
        super().__init__(path, contents)
        self._group: dict[str, Array] = {}
        # A tree of dicts can be restored in part by naming the part; of a list, all is restored.
        self._has_parts = all(isinstance(key, str) for keys in self._keys.values() for key in keys)

    def close(self) -> None:
        self._group = {}
        self._checkpointer.close()

    def _tree(self, path: str) -> Any:
        with library_errors(f"{path} is no sound Orbax checkpoint", self._pinned):
            metadata = self._checkpointer.metadata(self._directory)
        tree = getattr(metadata, "item_metadata", metadata)
        tree = getattr(tree, "tree", tree)
        if not tree:
            raise DataLossError(f"{path} is no Orbax checkpoint, or an empty one")
        return tree

    def _load(self, name: str, info: TensorInfo) -> Array:
        # An array is handed on, not kept. While some of a group are unread, what is asked for besides is read alone: in any
        # order, no array is read more than twice.
        if not self._has_parts and name not in self._group:
            self._group = self._restore_all()
        elif not self._group:
            self._group = self._restore(list(self._names_from(name)))
        array = self._group.pop(name) if name in self._group else self._restore([name])[name]
        if array.dtype != info.dtype.numpy or array.shape != info.shape:
            found = f"{array.dtype} {list(array.shape)}"
            raise DataLossError(f"{name!r} is {found}, the metadata says {info.dtype} {list(info.shape)}")
        return array

    def _names_from(self, name: str) -> Iterator[str]:
        names = self.names
        size = 0
        for index in range(names.index(name), len(names)):
            if isinstance(self._contents[names[index]], str):
                continue
            size += self.info(names[index]).num_bytes
            if size > _GROUP_SIZE and names[index] != name:
                return
            yield names[index]

    def _restore(self, names: list[str]) -> dict[str, Array]:
        item: dict[Any, Any] = {}
        arguments: dict[Any, Any] = {}
        for name in names:
            for tree, value in ((item, 0), (arguments, self._library.RestoreArgs(restore_type=np.ndarray))):
                *folders, leaf = self._keys[name]
                place = tree
                for folder in folders:
                    place = place.setdefault(folder, {})
                place[leaf] = value
        return self._arrays(names, item=item, restore_args=arguments, partial_restore=True)

    def _restore_all(self) -> dict[str, Array]:
        arguments = _like(self._metadata, self._library.RestoreArgs(restore_type=np.ndarray))
        names = [name for name in self.names if not isinstance(self._contents[name], str)]
        return self._arrays(names, restore_args=arguments)

    def _arrays(self, names: list[str], **arguments: Any) -> dict[str, Array]:
        # What the library starts before it fails goes on without it.
        self._pinned.check()
        found = {}
        with library_errors(f"{names[0]!r} and what follows cannot be read", self._pinned):
            restored = self._checkpointer.restore(self._directory, args=self._library.args.PyTreeRestore(**arguments))
            for name in names:
                value = restored
                for key in self._keys[name]:
                    value = value[key]
                found[name] = np.asarray(value)
        return found


def _library() -> Any:
    try:
        with lazy_import():
            import orbax.checkpoint  # noqa: PLC0415
    except ImportError as error:
        raise MissingExtraError("orbax-checkpoint", extra="orbax", purpose="reading or writing Orbax checkpoints") from error
    return orbax.checkpoint


def _leaves(tree: Any, keys: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Every leaf of the tree with the keys that lead to it."""
    if isinstance(tree, Mapping):
        for key, inner in tree.items():
            yield from _leaves(inner, (*keys, key))
    elif isinstance(tree, list | tuple):
        for index, inner in enumerate(tree):
            yield from _leaves(inner, (*keys, index))
    else:
        yield keys, tree


def _like(tree: Any, value: Any) -> Any:
    """A tree of the same shape with `value` in the place of each leaf."""
    if isinstance(tree, Mapping):
        return {key: _like(inner, value) for key, inner in tree.items()}
    if isinstance(tree, list | tuple):
        return type(tree)([_like(inner, value) for inner in tree]) if type(tree) in (list, tuple) else tree
    return value


def _content(leaf: Any) -> tuple[DType, Shape] | str:
    dtype, shape = getattr(leaf, "dtype", None), getattr(leaf, "shape", None)
    if dtype is None or shape is None:
        return f"is a {type(leaf).__name__.removesuffix('Metadata').lower() or 'value'}, no array"
    try:
        return dtypes.from_numpy(np.dtype(dtype)), tuple(shape)
    except SaverError:
        return f"is of type {dtype}, which no checkpoint can hold"


def _paths(names: list[str]) -> dict[str, tuple[str, ...]]:
    """The keys that lead to each tensor: its name's parts, as far as no other tensor stands in the way."""
    given = frozenset(names)
    paths = {}
    for name in names:
        parts = name.split("/")
        lengths = (length for length in range(1, len(parts)) if "/".join(parts[:length]) in given)
        # Below the leaf parts[:length] there is nothing: the rest belongs to the key beside it.
        length = next(lengths, len(parts))
        paths[name] = (*parts[: length - 1], "/".join(parts[length - 1 :]))
    return paths


def _clashes(paths: dict[str, tuple[str, ...]]) -> dict[str, str]:
    """Of names that cannot be keys, or not beside others, why: Orbax puts dots between the keys of an array."""
    seen: dict[str, str] = {}
    found = {}
    for name, keys in paths.items():
        dotted = ".".join(keys)
        if dotted in seen:
            found[name] = found[seen[dotted]] = "its name differs from another's only in dots and slashes"
        seen.setdefault(dotted, name)
        if "" in keys:
            found[name] = "an empty part in its name"
    return found
