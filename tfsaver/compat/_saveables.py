"""What is saved and is no plain variable: TensorFlow's SaveableObjects, and objects that make such of themselves.

    SaveableObject(op, specs, name)     a program's own, or of the collection SAVEABLE_OBJECTS
      |                 |
      |                 `-- SaveSpec(tensor, slice_spec, name): one tensor of the checkpoint each; the tensor may be a
      |                     function; in eager mode it is called once per save and may say None: there is nothing yet
      `-- restore(tensors, shapes)      gives all of them back at once; in a graph it makes the nodes that do

    a lookup table                      -> <name>-keys, <name>-values
    a variable of a tf.distribute strategy, an object with `_serialize_to_tensors`    -> TensorFlow makes the SaveableObject

How such an object is restored only its own `restore` knows. In a graph that is called once, and what it returned is run
while the tensors that it was given are fed. Whoever calls it first is remembered: `recording` is the same SaveableObject for
TensorFlow's builder, so that the nodes which that makes serve here too; `Saveable.prepare` makes nodes where nobody did.
What is remembered is kept with the graph, so that a second Saver finds it and adds no node.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from tfsaver import schemas
from tfsaver.compat import _tensorflow
from tfsaver.compat._binding import Binding, StaticShape, static_shape
from tfsaver.errors import InvalidArgumentError, UnimplementedError
from tfsaver.framework.tensor_slice import parse_shape_and_slice

Array = np.ndarray[Any, Any]

# Where a graph keeps what is known of its objects. On the graph itself, since a table of ours would keep the graph alive.
_KEPT = "_tfsaver_saveables"
# Under these keys an object's value has the object's own name.
_UNNAMED_VALUES = ("VARIABLE_VALUE", ".TENSORS")


class Saveable:
    """A SaveableObject: tensors that are saved one by one and restored together.

    Attributes:
        object: TensorFlow's SaveableObject.
        graph: Its graph; None in eager mode.
        shape: The static shape of its only tensor, where that is known not to change; else None.
        recording: The same for TensorFlow's builder, which it is passed to in the place of `object`.
    """

    def __init__(self, saveable: Any, graph: Any, *, shape: StaticShape = None) -> None:
        self.object = saveable
        self.graph = None if graph is None else _graph_of(saveable, graph)
        self.shape = shape
        self._operation: Any = None
        self._feeds: list[str] = []
        if graph is None:
            self.recording = None
            self.specs = list(saveable.specs)
        else:
            self.recording = _recording_class()(self)
            self.specs = list(self.recording.specs)
        self._tensors = [SavedTensor(self, index) for index in range(len(self.specs))]

    @property
    def label(self) -> str:
        return str(self.object.name)

    @property
    def identity(self) -> Any:
        """What no two saveables of one Saver may have in common."""
        return ("saveable", id(self if self.object.op is None else self.object.op))

    @property
    def entry(self) -> Any:
        """What stands for it in a dict of what is saved; TensorFlow's builder, which graphs alone have, takes it too."""
        return self.recording or self

    @property
    def is_restorable(self) -> bool:
        """Whether it can be restored without a new node."""
        return self.graph is None or self._operation is not None

    def bindings(self) -> list[Binding]:
        """A binding for each of its tensors."""
        return list(map(self._binding, self._tensors))

    def _binding(self, tensor: SavedTensor) -> Binding:
        spec = self.specs[tensor.index]
        name = _text(spec.name)
        if not name:
            raise InvalidArgumentError(f"{self.label}: the empty string is no name for a tensor in a checkpoint")
        if not spec.slice_spec:
            return Binding(name, tensor)
        full_shape, tensor_slice = parse_shape_and_slice(_text(spec.slice_spec))
        return Binding(name, tensor, full_shape, tensor_slice.resolve(full_shape, name))

    def record(self, tensors: Sequence[Any], operation: Any) -> None:
        """Remembers that running `operation` restores the object from `tensors`; the first time counts."""
        if self._operation is None:
            self._operation = operation
            self._feeds = [tensor.name for tensor in tensors]

    def prepare(self) -> None:
        """Makes the nodes that reading and restoring needs, unless they are there or the graph takes no more."""
        if self.graph is None or self.graph.finalized:
            return
        tf = _tensorflow.tf
        with self.graph.as_default(), tf.control_dependencies(None):
            for spec in self.specs:
                _tensor_of(spec)
            if self._operation is None:
                with tf.name_scope("tfsaver_restore"):
                    tensors = [tf.compat.v1.placeholder(tf.as_dtype(spec.dtype).base_dtype) for spec in self.specs]
                    self.record(tensors, self.object.restore(tensors, None))

    def restore(self, session: Any, values: Sequence[Array]) -> None:
        """Gives the object all of its values.

        Raises:
            UnimplementedError: That needs nodes, and the graph is finalized.
        """
        if self.graph is None:
            tf = _tensorflow.tf
            dtypes = [tf.as_dtype(spec.dtype).base_dtype for spec in self.specs]
            self.object.restore([tf.constant(value, dtype) for value, dtype in zip(values, dtypes, strict=True)], None)
            return
        self.check_restorable()
        session.run(self._operation, dict(zip(self._feeds, values, strict=True)))

    def check_restorable(self) -> None:
        """Makes sure that `restore` has what it needs.

        Raises:
            UnimplementedError: It needs nodes, and the graph is finalized.
        """
        self.prepare()
        if not self.is_restorable:
            raise UnimplementedError(
                f"{self.label}: restoring a {type(self.object).__name__} needs nodes, and the graph is finalized: "
                "make the Saver before that"
            )


@dataclasses.dataclass(frozen=True, eq=False)
class SavedTensor:
    """One tensor of a Saveable, in the place of a variable in a binding."""

    saveable: Saveable
    index: int

    @property
    def label(self) -> str:
        return self.saveable.label

    @property
    def group(self) -> int:
        """What is restored together has the same."""
        return id(self.saveable)

    @property
    def shape(self) -> StaticShape:
        # Of what an object makes of its tensors nothing is known: a table takes any number of keys.
        return self.saveable.shape

    @property
    def data_type(self) -> int:
        return int(_tensorflow.tf.as_dtype(self.saveable.specs[self.index].dtype).base_dtype.as_datatype_enum)

    @property
    def is_opaque(self) -> bool:
        """Whether only nodes of the graph can move the value: numpy has no variants, such as the state of an iterator."""
        return self.data_type == schemas.DT_VARIANT

    @property
    def tensor(self) -> Any:
        """The tensor of the graph."""
        return _tensor_of(self.saveable.specs[self.index])

    def read(self) -> Any:
        """The value in eager mode; None when there is nothing to save yet."""
        tensor = self.saveable.specs[self.index].tensor
        return None if tensor is None else _tensorflow.tf.convert_to_tensor(tensor).numpy()

    def check_assignable(self, shape: Sequence[int]) -> None:
        """Makes sure that a value can be assigned.

        Raises:
            UnimplementedError: That needs nodes, and the graph is finalized.
        """
        self.saveable.check_restorable()


def saveable_of(value: Any) -> Saveable | None:
    """The Saveable that stands in a dict of what is saved; made now for a SaveableObject that nobody has looked at."""
    if isinstance(value, Saveable):
        return value
    if not isinstance(value, _tensorflow.SaveableObject):
        return None
    tf = _tensorflow.tf
    return from_object(value, None if tf.executing_eagerly() else tf.compat.v1.get_default_graph())


def from_object(saveable: Any, graph: Any) -> Saveable:
    """The Saveable of a program's own SaveableObject; the same for the same object in one graph."""
    if isinstance(owner := getattr(saveable, "tfsaver_owner", None), Saveable):
        return owner
    kept: list[Saveable] = _kept(graph, saveable, None, lambda: [Saveable(saveable, graph)])
    return kept[0]


def from_trackable(trackable: Any, name: str | None, graph: Any) -> list[tuple[str, Any]]:
    """What a trackable object is saved as, by name: Saveables, or variables where it says that these are its value.

    Args:
        trackable: The object.
        name: The name it is saved under; None for the one it has by itself.
        graph: The graph; None in eager mode.

    Returns:
        Each name once; several Saveables of one name, the parts of a variable in shards, as a list.

    Raises:
        InvalidArgumentError: It has nothing to save of its own.
    """
    made: dict[str, list[Any]] = {}
    for item in _kept(graph, trackable, name, lambda: list(_saveables_of(trackable, name, graph))):
        if isinstance(item, Saveable):
            made.setdefault(item.label, []).append(item.entry)
        else:
            made.setdefault(name or str(item.name), []).append(item)
    return [(label, items[0] if len(items) == 1 else items) for label, items in made.items()]


def _saveables_of(trackable: Any, name: str | None, graph: Any) -> Iterator[Any]:
    factories = _tensorflow.saveable_objects_from_trackable(trackable, tf1_saver=True)
    if not factories:
        # TensorFlow saves nothing for it, and says nothing.
        raise InvalidArgumentError(
            f"{name or trackable!r}: a {type(trackable).__name__} has no tensors of its own to save; pass its variables"
        )
    is_variable = isinstance(trackable, _tensorflow.tf.Variable)
    for attribute, factory in factories.items():
        if not callable(factory):
            made = factory
        elif name is None:
            made = factory()
        else:
            made = factory(name if attribute in _UNNAMED_VALUES else f"{name}_{attribute}")
        # A variable in shards makes one for each.
        for item in made if isinstance(made, (list, tuple)) else [made]:
            if not isinstance(item, _tensorflow.SaveableObject):
                yield item
                continue
            if hasattr(item, "feed_dict_additions"):
                # TensorFlow's Saver writes an empty string for it, and cannot restore it.
                raise UnimplementedError(
                    f"{name or item.name}: a {type(trackable).__name__} keeps its state in Python, which only "
                    "tf.train.Checkpoint saves"
                )
            shape = static_shape(trackable.shape) if is_variable and len(item.specs) == 1 else None
            yield Saveable(item, graph, shape=shape)


def _kept(graph: Any, source: Any, name: str | None, make: Callable[[], list[Any]]) -> list[Any]:
    """What was made of an object for a name in a graph, made now the first time; anew each time in eager mode."""
    if graph is None:
        return make()
    kept: dict[tuple[int, str | None], tuple[Any, list[Any]]] | None = getattr(graph, _KEPT, None)
    if kept is None:
        kept = {}
        setattr(graph, _KEPT, kept)
    key = (id(source), name)
    if key not in kept:
        # With the object itself, lest another be found by its id when it is gone.
        kept[key] = (source, make())
    return kept[key][1]


@functools.cache
def _recording_class() -> type[Any]:
    base: type[Any] = _tensorflow.SaveableObject

    class RecordingSaveable(base):  # type: ignore[misc]
        """A SaveableObject that behaves like another and remembers how it is restored."""

        def __init__(self, owner: Saveable) -> None:
            self.tfsaver_owner = owner
            super().__init__(owner.object.op, list(map(_remembering, owner.object.specs)), owner.object.name)

        @property
        def device(self) -> Any:
            return self.tfsaver_owner.object.device

        def restore(self, restored_tensors: Sequence[Any], restored_shapes: Any) -> Any:
            operation = self.tfsaver_owner.object.restore(restored_tensors, restored_shapes)
            self.tfsaver_owner.record(restored_tensors, operation)
            return operation

    return RecordingSaveable


class _Remembering:
    """A function that makes a tensor in a graph, and the tensor that it made last: no other is needed to read the value."""

    def __init__(self, function: Callable[[], Any]) -> None:
        self._function = function
        self.made: Any = None

    def __call__(self) -> Any:
        self.made = self._function()
        return self.made


def _remembering(spec: Any) -> Any:
    if not callable(spec._tensor):
        return spec
    remembering = copy.copy(spec)
    remembering._tensor = _Remembering(spec._tensor)
    return remembering


def _tensor_of(spec: Any) -> Any:
    """The tensor of a spec in a graph, made now if nobody did before."""
    function = spec._tensor
    tensor = function.made if isinstance(function, _Remembering) and function.made is not None else spec.tensor
    # A spec may hold a resource variable itself, whose name is that of the handle.
    return tensor.graph.as_graph_element(tensor) if isinstance(tensor, _tensorflow.tf.Variable) else tensor


def _graph_of(saveable: Any, default: Any) -> Any:
    """The graph of an object's tensors, which a program may save while another is the default one."""
    graphs = (getattr(spec._tensor, "graph", None) for spec in saveable.specs if not callable(spec._tensor))
    return next((graph for graph in graphs if graph is not None), default)


def _text(value: Any) -> str:
    """A name as TensorFlow has it: text, bytes, or a constant tensor of one of them."""
    if isinstance(value, str):
        return value
    if not isinstance(value, bytes):
        value = _tensorflow.tf.get_static_value(value).item()
    return value.decode() if isinstance(value, bytes) else str(value)
