"""The files of a SavedModel that is being written: which ones, under which names, and their copies.

A file keeps its own name; another file of that name in the same MetaGraph gets a number at its end, unless it has the same
content. What is in the directory already from an earlier MetaGraph stays: TensorFlow's rule is that the first one counts.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterable, Mapping
from typing import Any

from tfsaver.compat import _tensorflow
from tfsaver.compat._errors import tensorflow_errors
from tfsaver.compat.v1.saved_model import _graph_collections, constants
from tfsaver.errors import InvalidArgumentError
from tfsaver.lib import file_io
from tfsaver.saved_model.assets import Asset, arrange_assets

_logger = logging.getLogger(__name__)

_COPIED_AT_ONCE = 1 << 22


class AssetFiles:
    """The directory ``assets`` of a SavedModel.

    Args:
        export_dir: The SavedModel's directory.
        durable: Whether a copy is made only once the disk has it.
    """

    def __init__(self, export_dir: str, *, durable: bool) -> None:
        self._directory = file_io.join(export_dir, constants.ASSETS_DIRECTORY)
        self._durable = durable
        self._sources: dict[str, str] = {}

    def add(self, graph: Any, tensors: Iterable[Any], undo: contextlib.ExitStack) -> None:
        """Copies the files that tensors of a graph stand for, and writes into its collection which they are.

        Files that the collection has from earlier are copied as well, where their tensors say which they are.

        Raises:
            TypeError: A thing is no tensor, or no constant with one string.
            InvalidArgumentError: A ValueError; the string is empty, or names no file.
            tf.errors.NotFoundError: There is no such file.
        """
        _graph_collections.write_assets(graph, self._copied({**self._earlier(graph), **_paths(tensors)}, undo), undo)

    def copy(self, tensors: Iterable[Any], undo: contextlib.ExitStack) -> list[Asset]:
        """Copies the files that tensors stand for; no collection changes.

        Raises:
            The errors of `add`.
        """
        return self._copied(_paths(tensors), undo)

    def _copied(self, paths: Mapping[str, str], undo: contextlib.ExitStack) -> list[Asset]:
        if not paths:
            return []
        with tensorflow_errors():
            assets, sources = arrange_assets(paths)
            if not file_io.is_directory(self._directory):
                undo.callback(_remove_directory, self._directory)
                file_io.make_directory(self._directory, durable=self._durable)
            for name, source in sources.items():
                self._copy(name, source, undo)
        return assets

    def _earlier(self, graph: Any) -> dict[str, str]:
        paths = {}
        for asset in _graph_collections.read_assets(graph):
            path = None
            with contextlib.suppress(KeyError, ValueError, TypeError):
                path = _path(graph.get_tensor_by_name(asset.tensor_name))
            if path is not None and file_io.exists(path):
                paths[asset.tensor_name] = path
            else:
                _logger.warning(
                    "Asset %r of %s is not copied: there is no file at %r", asset.filename, asset.tensor_name, path
                )
        return paths

    def _copy(self, name: str, source: str, undo: contextlib.ExitStack) -> None:
        target = file_io.join(self._directory, name)
        if name in self._sources:
            if self._sources[name] != source and file_io.read_file(target) != file_io.read_file(source):
                _logger.warning(
                    "Asset %r: an earlier MetaGraph has %r there, %r is left out", name, self._sources[name], source
                )
            return
        undo.callback(_forget, self._sources, name, target)
        with (
            contextlib.closing(file_io.open_for_reading(source)) as reading,
            file_io.atomic_writer(target, durable=self._durable) as writing,
        ):
            for offset in range(0, reading.size, _COPIED_AT_ONCE):
                writing.append(reading.read(offset, _COPIED_AT_ONCE))
        self._sources[name] = source


def _paths(tensors: Iterable[Any]) -> dict[str, str]:
    # A thing that is no tensor has no name either.
    return {tensor.name: path for tensor, path in [(tensor, _path(tensor)) for tensor in tensors]}


def _path(tensor: Any) -> str:
    """The path that a constant of a graph stands for."""
    tf = _tensorflow.tf
    if not isinstance(tensor, tf.Tensor) or hasattr(tensor, "numpy"):
        raise TypeError(f"Asset path tensor {tensor!r} must be a Tensor of a graph.")
    if tensor.op.type != "Const":
        raise TypeError(f"Asset path tensor {tensor!r} must be of type constant, not {tensor.op.type}.")
    if tensor.dtype != tf.string:
        raise TypeError(f"Asset path tensor {tensor!r} must be of dtype string, not {tensor.dtype.name}.")
    values = tf.make_ndarray(tensor.op.get_attr("value")).ravel().tolist()
    if len(values) != 1:
        raise TypeError(f"Asset path tensor {tensor!r} must be a scalar, not {len(values)} strings.")
    if not values[0]:
        raise InvalidArgumentError(f"Asset filepath tensor {tensor!r} is invalid: its path is empty.")
    return file_io.as_path(values[0])


def _forget(sources: dict[str, str], name: str, path: str) -> None:
    sources.pop(name, None)
    file_io.remove(path)


def _remove_directory(directory: str) -> None:
    # A store has no directories.
    if not file_io.is_remote(directory):
        with contextlib.suppress(OSError):
            os.rmdir(directory)
