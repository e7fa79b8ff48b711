"""The objects behind a checkpoint that was written from objects, as TensorFlow 2 writes them.

    _CHECKPOINTABLE_OBJECT_GRAPH      a string tensor; its bytes are a TrackableObjectGraph
    node 0                            the root; from it, children by the names of their edges: net -> layers -> 0 -> kernel
    net/layers/0/kernel/.ATTRIBUTES/VARIABLE_VALUE
    |                   |           `--- the attribute: VARIABLE_VALUE for a variable, others for tables and iterators
    |                   `--------------- between the path and the attribute
    `----------------------------------- the shortest path, in each name . as .. and / as .S
    net/layers/0/kernel/.OPTIMIZER_SLOT/optimizer/m/.ATTRIBUTES/VARIABLE_VALUE
                                        `------------- what the optimizer keeps for that variable

One object can be reached on several paths, and on paths without end; a value has one key all the same. Beside it stands its
full name, what the variable was called in its program (``dense/kernel``): by that, programs that know variables by name find
it. The key of an attribute that has several tensors is only what their keys begin with (``table-keys``, ``table-values``).
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from google.protobuf.message import DecodeError

from tfsaver import schemas
from tfsaver.checkpoint.wanted_tensor import WantedTensor
from tfsaver.errors import DataLossError, InvalidArgumentError

OBJECT_GRAPH_KEY = "_CHECKPOINTABLE_OBJECT_GRAPH"

# What TensorFlow's graph cannot say of a nest of arrays, as `tfsaver.save` notes it beside the graph: it names the tensors.
TREE_KEY = "_TFSAVER_TREE"

# The tensors that are none of a model's, but say what the others are.
DESCRIPTIONS = frozenset({OBJECT_GRAPH_KEY, TREE_KEY})

# The one attribute of a variable.
VARIABLE_VALUE = "VARIABLE_VALUE"

# What a line of the tree can bear: of a deeper place the indentation, of a longer path the beginning is left out.
_MAX_INDENT = 64
_MAX_PATH_TEXT = 400
_MAX_PATH_NAMES = 40

_ESCAPE = re.compile(r"\.[.S]")
_ESCAPED = re.compile(r"(?:[^./]|\.[.S])*", re.DOTALL)


class Attribute(NamedTuple):
    """A value of an object.

    Attributes:
        name: What the object calls it: `VARIABLE_VALUE` for a variable.
        full_name: What the variable was called in its program; empty for what had no such name.
        key: The name of its tensor, or what the names of its tensors begin with.
    """

    name: str
    full_name: str
    key: str


class Slot(NamedTuple):
    """On an optimizer: a variable that it keeps for another variable.

    Attributes:
        name: As in ``momentum``, ``m``, ``v``.
        variable_id: The node of the variable that it is for.
        node_id: Its own node.
    """

    name: str
    variable_id: int
    node_id: int


class Node(NamedTuple):
    """An object.

    Attributes:
        children: The nodes that it refers to, by the names of the edges.
        attributes: Its values.
        slots: What it keeps for variables, when it is an optimizer.
        registered_saver: The name that the object's own saving function is registered under, and the object's name in its
            bookkeeping; None for the objects that TensorFlow saves itself.
    """

    children: dict[str, int]
    attributes: tuple[Attribute, ...] = ()
    slots: tuple[Slot, ...] = ()
    registered_saver: tuple[str, str] | None = None


class ObjectGraph:
    """What a checkpoint says of the objects that it was written from.

    Attributes:
        nodes: The objects; the first is the root.
        tensors: What else is known of the values, by the names of their tensors: their dtypes and shapes. Nothing, where
            all that is known is what a checkpoint says itself.
    """

    def __init__(self, nodes: tuple[Node, ...], tensors: Mapping[str, WantedTensor] | None = None) -> None:
        self.nodes = nodes
        self.tensors = dict(tensors or {})

    @property
    def attributes(self) -> Iterator[Attribute]:
        """The values of all objects."""
        return (attribute for node in self.nodes for attribute in node.attributes)

    def full_names_of_keys(self) -> dict[str, str]:
        """The name that each variable has in its program, by its key."""
        return {attribute.key: attribute.full_name for attribute in self.attributes}

    def keys_of_full_names(self) -> dict[str, str]:
        """The key of each variable by the name that it has in its program.

        Of two variables with one name it is the later's, as in TensorFlow.
        """
        return {attribute.full_name: attribute.key for attribute in self.attributes if attribute.full_name}

    def node_at(self, path: Iterable[str]) -> int | None:
        """The object that a path from the root leads to; None when it leads nowhere."""
        node_id = 0 if self.nodes else None
        for name in path:
            node_id = None if node_id is None else self.nodes[node_id].children.get(name)
        return node_id

    def keys_below(self, node_id: int, there: Iterable[str]) -> frozenset[str]:
        """Those of a checkpoint's tensors that belong to an object or to something that it leads to."""
        seen = {node_id}
        waiting = [node_id]
        for number in waiting:
            node = self.nodes[number]
            for child_id in (*node.children.values(), *(slot.node_id for slot in node.slots)):
                if child_id not in seen:
                    seen.add(child_id)
                    waiting.append(child_id)
        attributes = [attribute for number in seen for attribute in self.nodes[number].attributes]
        keys = {attribute.key for attribute in attributes}
        # Of what is not a variable, the key may be only what its tensors' begin with.
        beginnings = tuple(attribute.key for attribute in attributes if attribute.name != VARIABLE_VALUE)
        return frozenset(name for name in there if name in keys or (beginnings and name.startswith(beginnings)))

    def paths(self) -> Paths:
        """The shortest path to every object that the root leads to, and to the slots of the optimizers among them."""
        return Paths(self.nodes)

    def lines(self, describe: Callable[[str], str] = str) -> Iterator[str]:
        """The objects as an indented tree, each where its shortest path leads; elsewhere it is named by that path.

        Args:
            describe: What to say of a value, from its key; the key itself by default.
        """
        paths = self.paths()
        # A stack of our own: objects can be nested deeper than Python calls.
        waiting = [(0, 0, "root", True)] if self.nodes else []
        shown: set[int] = set()
        while waiting:
            node_id, depth, label, is_its_place = waiting.pop()
            node = self.nodes[node_id]
            label = f"{'  ' * min(depth, _MAX_INDENT)}{label}"
            if not (is_its_place and node_id not in shown) and (node.children or node.slots or node.attributes):
                yield f"{label} = {paths.text(node_id) or 'root'}"
                continue
            shown.add(node_id)
            yield "  ".join([label, *(_value_line(attribute, describe) for attribute in node.attributes)])
            if not paths.has_edge(node_id):
                # A slot, which is a variable and has nothing below it.
                continue
            following = [(child_id, name, paths.is_last_edge(node_id, name)) for name, child_id in node.children.items()]
            following += [
                (slot.node_id, f"{slot.name} of {paths.text(slot.variable_id)}", not paths.has_edge(slot.node_id))
                for slot in node.slots
                if slot.variable_id in paths
            ]
            waiting += [(child_id, depth + 1, name, is_place) for child_id, name, is_place in reversed(following)]

    def serialize(self) -> bytes:
        """The bytes of the TrackableObjectGraph, as TensorFlow writes it: what `parse_object_graph` takes.

        Every node says whether it or one that it leads to has values; TensorFlow 2.4 and later leave those out of account
        that say no when they look for objects that nobody restored.
        """
        has_values = self._has_values()
        graph = schemas.TrackableObjectGraph()
        for node, has_value in zip(self.nodes, has_values, strict=True):
            proto = graph.nodes.add()
            for name, node_id in node.children.items():
                proto.children.add(local_name=name, node_id=node_id)
            for attribute in node.attributes:
                proto.attributes.add(name=attribute.name, full_name=attribute.full_name, checkpoint_key=attribute.key)
            for slot in node.slots:
                proto.slot_variables.add(
                    slot_name=slot.name, original_variable_node_id=slot.variable_id, slot_variable_node_id=slot.node_id
                )
            if node.registered_saver is not None:
                proto.registered_saver.name, proto.registered_saver.object_name = node.registered_saver
            proto.has_checkpoint_values.value = has_value
        return bytes(graph.SerializeToString(deterministic=True))

    def _has_values(self) -> list[bool]:
        parents: list[list[int]] = [[] for _ in self.nodes]
        for node_id, node in enumerate(self.nodes):
            for child_id in (*node.children.values(), *(slot.node_id for slot in node.slots)):
                parents[child_id].append(node_id)
        waiting = [index for index, node in enumerate(self.nodes) if node.attributes or node.registered_saver]
        found = [False] * len(self.nodes)
        while waiting:
            node_id = waiting.pop()
            if not found[node_id]:
                found[node_id] = True
                waiting += parents[node_id]
        return found


class Paths(Mapping[int, "tuple[str, ...]"]):
    """The shortest paths to objects, by their nodes.

    Of each object the edge is known that its path ends with, and a path is put together when somebody asks for it: all paths
    of a chain of objects take the square of its length.
    """

    def __init__(self, nodes: tuple[Node, ...]) -> None:
        # Breadth first, so that the first edge to an object is the last of its path. The root's own is none.
        self._edges: dict[int, tuple[int, str]] = {0: (-1, "")} if nodes else {}
        # Of the other objects that are slots, the slot and the optimizer.
        self._slots: dict[int, tuple[int, Slot]] = {}
        self._nodes = nodes
        found = list(self._edges)
        for node_id in found:
            for name, child_id in nodes[node_id].children.items():
                if child_id not in self._edges:
                    self._edges[child_id] = (node_id, name)
                    found.append(child_id)
        for optimizer_id in found:
            for slot in nodes[optimizer_id].slots:
                # The slot of a slot has a path when that slot was found before it.
                if slot.variable_id in self and slot.node_id not in self:
                    self._slots[slot.node_id] = (optimizer_id, slot)

    def __getitem__(self, node_id: int) -> tuple[str, ...]:
        return tuple(reversed(list(self._names_upwards(node_id))))

    def __contains__(self, node_id: object) -> bool:
        return node_id in self._edges or node_id in self._slots

    def __iter__(self) -> Iterator[int]:
        return itertools.chain(self._edges, self._slots)

    def __len__(self) -> int:
        return len(self._edges) + len(self._slots)

    def has_edge(self, node_id: int) -> bool:
        """Whether an edge leads to the object: a slot may be known to its optimizer alone."""
        return node_id in self._edges

    def is_last_edge(self, node_id: int, name: str) -> bool:
        """Whether an edge is the one that the shortest path to its end ends with."""
        return self._edges[self._nodes[node_id].children[name]] == (node_id, name)

    def text(self, node_id: int) -> str:
        """The path in one line; where that is too long, its end."""
        names: list[str] = []
        size = 0
        for name in self._names_upwards(node_id):
            if len(names) == _MAX_PATH_NAMES or size > _MAX_PATH_TEXT:
                size = _MAX_PATH_TEXT + 2
                break
            names.append(name[-_MAX_PATH_TEXT:])
            size += len(name) + 1
        text = "/".join(reversed(names))
        return text if size <= _MAX_PATH_TEXT + 1 else f"...{text[-_MAX_PATH_TEXT:]}"

    def _names_upwards(self, node_id: int) -> Iterator[str]:
        """The names of a path, the last one first."""
        # Paths of objects that are to be gone up yet, the last one at the end.
        waiting: list[int | str] = [node_id]
        while waiting:
            item = waiting.pop()
            if isinstance(item, str):
                yield item
            elif item in self._slots:
                optimizer_id, slot = self._slots[item]
                waiting += [slot.variable_id, ".OPTIMIZER_SLOT", optimizer_id, slot.name]
            elif item:
                parent_id, name = self._edges[item]
                yield name
                waiting.append(parent_id)
            elif item not in self._edges:
                raise KeyError(item)


def escape(name: str) -> str:
    """The name of an edge as it stands in keys, where / joins names and . begins what is no name."""
    return name.replace(".", "..").replace("/", ".S")


def unescape(escaped: str) -> str:
    """The name of the edge that stands in keys as `escaped`.

    Raises:
        InvalidArgumentError: No name does.
    """
    if _ESCAPED.fullmatch(escaped) is None:
        raise InvalidArgumentError(f"{escaped!r} is no name as keys have it: a / in it, or a . in neither .. nor .S")
    return _ESCAPE.sub(lambda found: "/" if found[0] == ".S" else ".", escaped)


def key_of(path: Iterable[str], attribute: str = VARIABLE_VALUE) -> str:
    """The key of a value of the object that the edges named `path` lead to from the root."""
    return f"{'/'.join(map(escape, path))}/.ATTRIBUTES/{escape(attribute)}"


def key_of_slot(variable_path: Iterable[str], optimizer_path: Iterable[str], slot_name: str) -> str:
    """The key of what the optimizer at one path keeps for the variable at the other."""
    variable, optimizer = ("/".join(map(escape, path)) for path in (variable_path, optimizer_path))
    return f"{variable}/.OPTIMIZER_SLOT/{optimizer}/{escape(slot_name)}/.ATTRIBUTES/{VARIABLE_VALUE}"


def parse_object_graph(serialized: bytes) -> ObjectGraph:
    """The objects in the bytes of a TrackableObjectGraph.

    Raises:
        DataLossError: It is none, or an edge of it leads nowhere.
    """
    try:
        graph = schemas.TrackableObjectGraph.FromString(serialized)
    except (DecodeError, TypeError) as error:
        raise DataLossError(f"{OBJECT_GRAPH_KEY}: no TrackableObjectGraph: {error}") from error
    return ObjectGraph(tuple(_node(proto, len(graph.nodes)) for proto in graph.nodes))


def read_object_graph(tensors: Mapping[str, Any]) -> ObjectGraph | None:
    """The objects that a checkpoint was written from; None where it was written from names.

    Args:
        tensors: An open checkpoint.

    Raises:
        DataLossError: What stands in its place is no object graph.
    """
    if OBJECT_GRAPH_KEY not in tensors:
        return None
    value = tensors[OBJECT_GRAPH_KEY]
    if value.shape != () or not isinstance(value.item(), bytes):
        raise DataLossError(f"{OBJECT_GRAPH_KEY}: {value.dtype} {list(value.shape)} is not the one string that it must be")
    return parse_object_graph(value.item())


def full_names_of_keys(object_graph: bytes) -> dict[str, str]:
    """The name that each variable has in its program, by its key in an object-based checkpoint.

    Args:
        object_graph: The value of the tensor `OBJECT_GRAPH_KEY`.

    Raises:
        DataLossError: It is no object graph.
    """
    return parse_object_graph(object_graph).full_names_of_keys()


def _node(proto: Any, num_nodes: int) -> Node:
    for reference in proto.children:
        _check(reference.node_id, num_nodes)
    for slot in proto.slot_variables:
        _check(slot.slot_variable_node_id, num_nodes)
        _check(slot.original_variable_node_id, num_nodes)
    return Node(
        {reference.local_name: reference.node_id for reference in proto.children},
        tuple(Attribute(item.name, item.full_name, item.checkpoint_key) for item in proto.attributes),
        tuple(
            Slot(slot.slot_name, slot.original_variable_node_id, slot.slot_variable_node_id) for slot in proto.slot_variables
        ),
        (proto.registered_saver.name, proto.registered_saver.object_name) if proto.HasField("registered_saver") else None,
    )


def _check(node_id: int, num_nodes: int) -> None:
    if not 0 <= node_id < num_nodes:
        raise DataLossError(f"{OBJECT_GRAPH_KEY}: node {node_id} is referred to, there are {num_nodes}")


def _value_line(attribute: Attribute, describe: Callable[[str], str]) -> str:
    name = "" if attribute.name == VARIABLE_VALUE else f"{attribute.name}: "
    full_name = f" ({attribute.full_name})" if attribute.full_name else ""
    return f"{name}{describe(attribute.key)}{full_name}"
