"""Makes the graph of objects that a checkpoint is to be restored into, from paths.

    builder.variable(("net", "kernel"), "dense/kernel")         root -net-> object -kernel-> variable
    builder.link(("opt", "model"), ("net",))                    opt -model-> the object that net leads to
    builder.slot(("opt",), ("net", "kernel"), "m")              what the optimizer keeps for the variable

The objects on the way to one are made with it. An object may have several paths and lie on a circle. `build` counts objects
as TensorFlow does: the root is 0, the others follow breadth first, the edges of each in the order in which they were made,
then the slots. The first path found in that order is a shortest one, and gives the value its key.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TypeAlias

from tfsaver.checkpoint.objects.object_graph import VARIABLE_VALUE, Attribute, Node, ObjectGraph, Slot, key_of, key_of_slot
from tfsaver.checkpoint.wanted_tensor import PartialShape, WantedTensor
from tfsaver.errors import InvalidArgumentError
from tfsaver.framework.dtypes import DType

Path: TypeAlias = "tuple[str, ...]"
Kind: TypeAlias = "tuple[DType, PartialShape]"


class ObjectGraphBuilder:
    """A graph of objects in the making."""

    def __init__(self) -> None:
        self._objects = [_Object()]

    def node(self, path: Iterable[str]) -> int:
        """The object that a path leads to, made if it is new; the root is ``()``.

        Returns:
            A number that is the same for all paths to one object. In the graph that is built objects are numbered anew.

        Raises:
            InvalidArgumentError: A name on the path is no text.
        """
        number = 0
        for name in _checked(path):
            children = self._objects[number].children
            if name not in children:
                children[name] = len(self._objects)
                self._objects.append(_Object())
            number = children[name]
        return number

    def variable(
        self,
        path: Iterable[str],
        full_name: str = "",
        key: str | None = None,
        *,
        dtype: DType | None = None,
        shape: PartialShape = None,
    ) -> int:
        """Makes the object that a path leads to a variable.

        Args:
            path: The names of the edges from the root.
            full_name: What the variable is called in its program, by which name-based restores find it.
            key: Its tensor's name; None for the one that TensorFlow gives it.
            dtype: Its element type, where that is known.
            shape: Its shape, as far as that is known.

        Raises:
            InvalidArgumentError: It is a variable already.
        """
        number = self.attribute(path, VARIABLE_VALUE, key, full_name)
        if dtype is not None:
            self._objects[number].kinds[VARIABLE_VALUE] = {"": (dtype, shape)}
        return number

    def attribute(
        self,
        path: Iterable[str],
        name: str,
        key: str | None = None,
        full_name: str = "",
        *,
        kinds: Mapping[str, Kind] | None = None,
    ) -> int:
        """Gives the object that a path leads to a value.

        Args:
            path: The names of the edges from the root.
            name: What the object calls the value.
            key: The name of its tensor, or what the names of its tensors begin with; None for TensorFlow's.
            full_name: What a variable is called in its program.
            kinds: For each tensor of the value, by what its name has behind the key, dtype and shape.

        Raises:
            InvalidArgumentError: The object has a value of that name already.
        """
        path = tuple(path)
        number = self.node(path)
        values = self._objects[number].values
        if name in values:
            raise InvalidArgumentError(f"{_text(path)} has the value {name} already")
        values[name] = (key, full_name)
        self._objects[number].kinds[name] = dict(kinds or {})
        return number

    def slot(
        self,
        optimizer_path: Iterable[str],
        variable_path: Iterable[str],
        slot_name: str,
        full_name: str = "",
        *,
        dtype: DType | None = None,
        shape: PartialShape = None,
    ) -> int:
        """Makes a variable that an optimizer keeps for another variable.

        Raises:
            InvalidArgumentError: It keeps one of that name for it already.
        """
        variable_path, optimizer_path = tuple(variable_path), tuple(optimizer_path)
        slots = self._objects[self.node(optimizer_path)].slots
        wanted = (slot_name, self.node(variable_path))
        if wanted in slots:
            raise InvalidArgumentError(f"{_text(optimizer_path)} has a slot {slot_name} of {_text(variable_path)} already")
        slots[wanted] = len(self._objects)
        self._objects.append(_Object())
        self._objects[-1].values[VARIABLE_VALUE] = (None, full_name)
        if dtype is not None:
            self._objects[-1].kinds[VARIABLE_VALUE] = {"": (dtype, shape)}
        return slots[wanted]

    def link(self, path: Iterable[str], target_path: Iterable[str]) -> int:
        """Makes one more path to an object.

        Raises:
            InvalidArgumentError: The path leads to another object already, or is the root's.
        """
        path, target = tuple(path), self.node(target_path)
        if not path:
            raise InvalidArgumentError("no path leads to the root but its own")
        children = self._objects[self.node(path[:-1])].children
        (name,) = _checked(path[-1:])
        if children.setdefault(name, target) != target:
            raise InvalidArgumentError(f"{_text(path)} leads to another object already")
        return target

    def build(self) -> ObjectGraph:
        """The graph of what was made so far.

        Raises:
            InvalidArgumentError: Two values would have one key.
        """
        paths: dict[int, Path] = {0: ()}
        order = [0]
        for number in order:
            for name, child in self._objects[number].children.items():
                if child not in paths:
                    paths[child] = (*paths[number], name)
                    order.append(child)
        keys_of_slots: dict[int, str] = {}
        for number in order:
            for (slot_name, variable), slot in self._objects[number].slots.items():
                keys_of_slots[slot] = key_of_slot(paths[variable], paths[number], slot_name)
        ids = {number: node_id for node_id, number in enumerate((*order, *keys_of_slots))}
        keys = {
            (number, name): key or keys_of_slots.get(number) or key_of(paths[number], name)
            for number in ids
            for name, (key, _) in self._objects[number].values.items()
        }
        if repeated := [key for key, count in Counter(keys.values()).items() if count > 1]:
            raise InvalidArgumentError(f"several values have the key {', '.join(map(repr, repeated))}")
        nodes = (
            Node(
                {name: ids[child] for name, child in made.children.items()},
                tuple(Attribute(name, full_name, keys[number, name]) for name, (_, full_name) in made.values.items()),
                tuple(Slot(name, ids[variable], ids[slot]) for (name, variable), slot in made.slots.items()),
            )
            for number, made in ((number, self._objects[number]) for number in ids)
        )
        tensors = (
            WantedTensor(key + ending, dtype, shape)
            for (number, name), key in keys.items()
            for ending, (dtype, shape) in self._objects[number].kinds.get(name, {}).items()
        )
        return ObjectGraph(tuple(nodes), {tensor.name: tensor for tensor in tensors})


class _Object:
    def __init__(self) -> None:
        self.children: dict[str, int] = {}
        self.values: dict[str, tuple[str | None, str]] = {}
        self.kinds: dict[str, dict[str, Kind]] = {}
        self.slots: dict[tuple[str, int], int] = {}


def _checked(path: Iterable[str]) -> Path:
    path = tuple(path)
    for name in path:
        # Half a surrogate pair, as os.fsdecode makes it, is no text that a protocol buffer can hold.
        if not isinstance(name, str) or any("\ud800" <= letter <= "\udfff" for letter in name):
            raise InvalidArgumentError(f"the path {path!r}: a name must be a str of Unicode, not {name!r}")
    return path


def _text(path: Path) -> str:
    return "/".join(path) or "the root"
