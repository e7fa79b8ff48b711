"""The graph of objects that a program has in memory, as `tf.train.Checkpoint` would write it, without a value being read.

    object_graph_of(tf.train.Checkpoint(model=model, optimizer=optimizer))
    object_graph_of({"model": model, "optimizer": optimizer})                   the same
    object_graph_of(model)                                                      as tf.train.Checkpoint(model)

The objects must have their variables: a Keras model is built, an optimizer too. TensorFlow tells the children of an object
(`tf.train.TrackableView`), a variable tells its name, dtype and shape, and an optimizer of TensorFlow's own its slots. What
has values and is no variable, such as a table, is asked by writing a checkpoint of it alone: only so does it say what they
are called.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from typing import Any

from tfsaver.checkpoint.checkpoint_reader import load_checkpoint
from tfsaver.checkpoint.objects.object_graph import OBJECT_GRAPH_KEY, ObjectGraph, read_object_graph
from tfsaver.checkpoint.objects.object_graph_builder import Kind, ObjectGraphBuilder, Path
from tfsaver.checkpoint.objects.object_graph_like import SAVE_COUNTER, add_save_counter
from tfsaver.compat import _tensorflow
from tfsaver.compat._binding import static_shape
from tfsaver.errors import InvalidArgumentError
from tfsaver.framework import dtypes
from tfsaver.framework.dtypes import DType
from tfsaver.lib import file_io


def object_graph_of(target: Any) -> ObjectGraph:
    """The objects that `target` leads to, with the dtypes and shapes of their variables.

    Args:
        target: A `tf.train.Checkpoint`, a dict of what it would be made of, or any object that it would take: a
            `tf.Module`, a Keras model, an optimizer, a list.

    Raises:
        InvalidArgumentError: It is nothing that TensorFlow tracks.
        MissingExtraError: TensorFlow is not installed.
    """
    checkpoint = _as_checkpoint(target)
    walk = _Walk(checkpoint)
    walk.follow()
    walk.add_slots()
    add_save_counter(walk.builder)
    return walk.builder.build()


class _Walk:
    """One way through all objects, breadth first: the first path to an object is its path."""

    def __init__(self, checkpoint: Any) -> None:
        self.builder = ObjectGraphBuilder()
        self._checkpoint = checkpoint
        self._view = _tensorflow.tf.train.TrackableView(checkpoint)
        # Checkpoint(root) writes the root's children, and besides them its own.
        root = getattr(checkpoint, "root", None)
        self._root = checkpoint if root is None else root
        # By identity, and held: the wrappers around lists and dicts are made when they are asked for.
        self._paths: dict[int, Path] = {}
        self._objects: list[Any] = []

    def follow(self) -> None:
        """Makes all objects, and the variables among them."""
        self._meet(self._root, ())
        for trackable in self._objects:
            path = self._paths[id(trackable)]
            for name, child in self._children(trackable):
                if id(child) in self._paths:
                    self.builder.link((*path, name), self._paths[id(child)])
                else:
                    self._meet(child, (*path, name))

    def add_slots(self) -> None:
        """Makes what optimizers keep for the variables."""
        variables = [item for item in self._objects if _variable_of(item) is not None]
        for optimizer in self._objects:
            if not callable(getattr(optimizer, "get_slot", None)) or not hasattr(optimizer, "get_slot_names"):
                continue
            for name in optimizer.get_slot_names():
                for variable in variables:
                    if (slot := _slot_of(optimizer, variable, name)) is not None:
                        paths = self._paths[id(optimizer)], self._paths[id(variable)]
                        full_name, dtype, shape = _about(slot)
                        self.builder.slot(*paths, name, full_name, dtype=dtype, shape=shape)

    def _meet(self, trackable: Any, path: Path) -> None:
        self._paths[id(trackable)] = path
        self._objects.append(trackable)
        variable = _variable_of(trackable)
        if variable is not None:
            full_name, dtype, shape = _about(variable)
            self.builder.variable(path, full_name, dtype=dtype, shape=shape)
            return
        self.builder.node(path)
        if trackable is not self._checkpoint and _tensorflow.saveable_objects_from_trackable(trackable):
            for name, full_name, kinds in _written_values(trackable):
                self.builder.attribute(path, name, None, full_name, kinds=kinds)

    def _children(self, trackable: Any) -> Iterator[tuple[str, Any]]:
        if trackable is not self._checkpoint:
            yield from self._view.children(trackable).items()
        if trackable is self._root:
            own = dict(self._view.children(self._checkpoint))
            if self._root is not self._checkpoint:
                own.pop("_root", None)
            # That comes last, and comes even if nothing has been saved so far.
            own.pop(SAVE_COUNTER, None)
            yield from sorted(own.items())


def _as_checkpoint(target: Any) -> Any:
    train = _tensorflow.tf.train
    if isinstance(target, train.Checkpoint):
        return target
    try:
        if isinstance(target, Mapping) and all(isinstance(name, str) and name.isidentifier() for name in target):
            return train.Checkpoint(**target)
        return train.Checkpoint(root=target)
    except (ValueError, TypeError, AttributeError) as error:
        kinds = "a tf.train.Checkpoint, a dict of objects, or an object that TensorFlow tracks"
        raise InvalidArgumentError(f"{kinds} is needed, not {type(target).__name__}: {error}") from error


def _variable_of(trackable: Any) -> Any:
    """TensorFlow's variable that the object is, or that it is around as Keras 3's are; None for anything else."""
    variable = _tensorflow.tf.Variable
    if isinstance(trackable, variable):
        return trackable
    # A module may have an attribute of that name; only what has values itself is one.
    inner = getattr(trackable, "value", None)
    return inner if isinstance(inner, variable) and _tensorflow.saveable_objects_from_trackable(trackable) else None


def _about(variable: Any) -> tuple[str, DType, tuple[int | None, ...] | None]:
    """Full name, dtype and shape of a variable."""
    variable = _variable_of(variable)
    data_type = _tensorflow.tf.as_dtype(variable.dtype).base_dtype.as_datatype_enum
    return variable.name.removesuffix(":0"), dtypes.from_data_type(data_type), static_shape(variable.shape)


def _slot_of(optimizer: Any, variable: Any, name: str) -> Any:
    try:
        return optimizer.get_slot(variable, name)
    # Optimizers say in several ways that they keep none.
    except (AttributeError, KeyError, ValueError):
        return None


def _written_values(trackable: Any) -> Iterator[tuple[str, str, dict[str, Kind]]]:
    """Name and full name of each value of an object, and by the ends of their names its tensors."""
    with tempfile.TemporaryDirectory() as directory:
        prefix = _tensorflow.tf.train.Checkpoint(of=trackable).write(file_io.join(directory, "values"))
        with load_checkpoint(prefix) as reader:
            graph = read_object_graph(reader)
            assert graph is not None  # noqa: S101 - TensorFlow wrote it from objects
            infos = [reader.info(name) for name in reader.names if name != OBJECT_GRAPH_KEY]
            for attribute in graph.nodes[graph.nodes[0].children["of"]].attributes:
                yield (
                    attribute.name,
                    attribute.full_name,
                    {
                        # A table takes any number of keys.
                        info.name.removeprefix(attribute.key): (info.dtype, None)
                        for info in infos
                        if info.name.startswith(attribute.key)
                    },
                )
