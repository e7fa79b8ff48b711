"""A graph of objects after its tensors were given other keys: the paths in it become those that the keys spell.

    net/dense/kernel -> model/dense/kernel      net's edge from the root is called model; whatever else net leads to stays
    w -> net/w                                  the root gets an object net, which leads to w
    kernel -> [a/kernel, b/kernel]              w has a copy, an object of its own

An object keeps what it is: slots refer to the same variables, and other paths to an object (Keras has several to each
layer) still lead there. Only the edges that keys are spelled with change. Which old object a word of a new key means is
told from both ends of it: the words in front that did not change, then the words behind, whose owner is the same object.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

from tfsaver import schemas
from tfsaver.checkpoint.editing.object_graph_parts import TensorsOfKeys, leading_to_values, without_nodes
from tfsaver.checkpoint.objects.object_graph import unescape
from tfsaver.errors import InvalidArgumentError

Path: TypeAlias = "tuple[str, ...]"
NewNames: TypeAlias = "Mapping[str, Sequence[str]]"

ATTRIBUTES = "/.ATTRIBUTES/"
_SLOT = "/.OPTIMIZER_SLOT/"


def rename_object_graph(
    graph: schemas.TrackableObjectGraph, new_names: NewNames, added: Sequence[str] = ()
) -> schemas.TrackableObjectGraph:
    """The objects of a checkpoint whose tensors have other names.

    Args:
        graph: The objects before.
        new_names: For each tensor its new names; none for one that is left out.
        added: The keys of tensors that are new.

    Raises:
        InvalidArgumentError: The tensors of one value are renamed in different ways.
    """
    return _Renaming(graph, new_names).result(added)


def follow_variables(graph: schemas.TrackableObjectGraph, new_names: NewNames) -> dict[str, tuple[str, ...]]:
    """The new names, with those of slots added which were left alone while their variable or their optimizer was renamed.

    A slot's key is the variable's path and the optimizer's. What nobody renamed follows them; what is left out with its
    variable would be of no use.
    """
    followed = {name: tuple(names) for name, names in new_names.items()}
    paths = _Renaming(graph, new_names).new_paths()
    keys = {node_id: node.attributes[0].checkpoint_key for node_id, node in enumerate(graph.nodes) if node.attributes}
    for optimizer_id, node in enumerate(graph.nodes):
        for slot in node.slot_variables:
            key = keys.get(slot.slot_variable_node_id, "")
            variable = keys.get(slot.original_variable_node_id, "")
            if key not in followed or variable not in followed or _SLOT not in key:
                continue
            path, _, attribute = key.partition(ATTRIBUTES)
            old_variable, _, rest = path.partition(_SLOT)
            targets = [target.partition(ATTRIBUTES)[0] for target in followed[variable]]
            # A rule about the beginning of names has renamed the variable's part of the key, and not the optimizer's.
            if followed[key] not in [(f"{start}{key.removeprefix(old_variable)}",) for start in (old_variable, *targets)]:
                continue
            optimizer, _, slot_name = rest.rpartition("/")
            if optimizer_id in paths:
                optimizer = "/".join(paths[optimizer_id])
            # Of a variable with copies the slot stays with the first.
            followed[key] = tuple(f"{target}{_SLOT}{optimizer}/{slot_name}{ATTRIBUTES}{attribute}" for target in targets[:1])
    return followed


class _Value:
    """An attribute with its paths before and after; the words of paths are escaped as they are in keys."""

    def __init__(self, node_id: int, attribute: schemas.TrackableObjectGraph.TrackableObject.SerializedTensor) -> None:
        self.node_id = node_id
        self.attribute = attribute
        self.old_path = _path_of(attribute.checkpoint_key)
        self.new_keys: tuple[str, ...] = (attribute.checkpoint_key,)

    def is_in_tree(self, key: str) -> bool:
        return _SLOT not in key and ATTRIBUTES in key


class _Renaming:
    def __init__(self, graph: schemas.TrackableObjectGraph, new_names: NewNames) -> None:
        self._before = graph
        self._graph = schemas.TrackableObjectGraph()
        self._graph.CopyFrom(graph)
        self._edges_before = [{child.local_name: child.node_id for child in node.children} for node in graph.nodes]
        self._edges = [dict(edges) for edges in self._edges_before]
        tensors = TensorsOfKeys(new_names)
        self._values = []
        for node_id, node in enumerate(graph.nodes):
            for attribute in node.attributes:
                value = _Value(node_id, attribute)
                value.new_keys = _new_keys(attribute.checkpoint_key, tensors, new_names)
                self._values.append(value)
        # Where in the new tree an old object is, and what is there.
        self._node_at: dict[Path, int] = {(): 0}
        self._path_of: dict[int, Path] = {0: ()}
        self._place_all()

    def new_paths(self) -> dict[int, Path]:
        """The paths of the old objects that keys are spelled with."""
        return self._path_of

    def _place_all(self) -> None:
        changed = []
        for value in self._values:
            if not value.new_keys or not value.is_in_tree(value.attribute.checkpoint_key):
                continue
            new_path = _path_of(value.new_keys[0])
            old_nodes = self._walk(value.old_path)
            if old_nodes is None or old_nodes[-1] != value.node_id or not value.is_in_tree(value.new_keys[0]):
                continue
            if new_path == value.old_path:
                # Odd files spell keys with several paths to one object: what nobody renames stays as it is.
                self._node_at.update((new_path[:end], node_id) for end, node_id in enumerate(old_nodes))
                self._place_prefix(new_path, old_nodes, len(new_path))
            else:
                changed.append((value, new_path, old_nodes))
        for value, new_path, old_nodes in changed:
            same = _common(new_path, value.old_path)
            self._place_prefix(new_path, old_nodes, min(same, len(new_path) - 1, len(value.old_path) - 1))
        for _, new_path, old_nodes in changed:
            self._place(new_path, old_nodes[-1])
        for value, new_path, old_nodes in changed:
            same = _common(new_path[::-1], value.old_path[::-1])
            for back in range(1, same + 1):
                self._place(new_path[: len(new_path) - back], old_nodes[len(old_nodes) - 1 - back])

    def _place_prefix(self, path: Path, nodes: Sequence[int], length: int) -> None:
        for end in range(length + 1):
            self._place(path[:end], nodes[end])

    def _place(self, path: Path, node_id: int) -> None:
        if self._node_at.get(path, node_id) == node_id and node_id not in self._path_of:
            self._node_at[path] = node_id
            self._path_of[node_id] = path

    def _walk(self, path: Path) -> list[int] | None:
        """The objects along an old path; None where it leads nowhere."""
        nodes = [0]
        for word in path:
            child = self._edges_before[nodes[-1]].get(_unescaped(word))
            if child is None:
                return None
            nodes.append(child)
        return nodes

    def result(self, added: Sequence[str] = ()) -> schemas.TrackableObjectGraph:
        """The graph with the new keys and the paths that they spell."""
        had_values = leading_to_values(self._before)
        for node in self._graph.nodes:
            del node.attributes[:]
        tree: set[tuple[int, str]] = set()
        owners: dict[int, int] = {}
        # Of variables and of slots that are now several: the further ones.
        copies: dict[int, list[int]] = {}
        for value in self._values:
            for number, key in enumerate(value.new_keys):
                owner = value.node_id
                if value.is_in_tree(key) and (number or self._is_on_its_path(value)):
                    owner = self._grow(_path_of(key), tree)
                elif number and _SLOT in key:
                    owner = self._new_node()
                if number:
                    copies.setdefault(value.node_id, []).append(owner)
                else:
                    owners.setdefault(value.node_id, owner)
                attribute = self._graph.nodes[owner].attributes.add()
                attribute.CopyFrom(value.attribute)
                attribute.checkpoint_key = key
        for key in added:
            if ATTRIBUTES in key:
                name = key.partition(ATTRIBUTES)[2]
                self._graph.nodes[self._grow(_path_of(key), tree)].attributes.add(name=name, checkpoint_key=key)
        for value in self._values:
            if value.is_in_tree(value.attribute.checkpoint_key):
                self._remove_old_edges(value, tree)
        for node_id, edges in enumerate(self._edges):
            node = self._graph.nodes[node_id]
            del node.children[:]
            for name, child_id in edges.items():
                node.children.add(node_id=child_id, local_name=name)
            for slot in list(node.slot_variables):
                pairs = zip(
                    copies.get(slot.original_variable_node_id, ()), copies.get(slot.slot_variable_node_id, ()), strict=False
                )
                for variable, copy in pairs:
                    node.slot_variables.add(
                        original_variable_node_id=variable, slot_variable_node_id=copy, slot_name=slot.slot_name
                    )
            for slot in node.slot_variables:
                slot.original_variable_node_id = owners.get(slot.original_variable_node_id, slot.original_variable_node_id)
        has_values = leading_to_values(self._graph)
        dropped = {node_id for node_id, had in enumerate(had_values) if had and not has_values[node_id] and node_id}
        return without_nodes(self._graph, dropped)

    def _is_on_its_path(self, value: _Value) -> bool:
        """Whether the old key was spelled with the old paths; a key that was not says nothing of edges."""
        nodes = self._walk(value.old_path)
        return nodes is not None and nodes[-1] == value.node_id

    def _grow(self, path: Path, tree: set[tuple[int, str]]) -> int:
        """The object at a path of the new tree, with the edges that lead there."""
        node_id = 0
        for end in range(1, len(path) + 1):
            prefix = path[:end]
            if prefix not in self._node_at:
                self._node_at[prefix] = self._new_node()
            child = self._node_at[prefix]
            name = _unescaped(path[end - 1])
            self._edges[node_id][name] = child
            tree.add((node_id, name))
            node_id = child
        return node_id

    def _new_node(self) -> int:
        self._edges.append({})
        node = self._graph.nodes.add()
        if self._before.nodes[0].HasField("has_checkpoint_values"):
            node.has_checkpoint_values.value = True
        return len(self._edges) - 1

    def _remove_old_edges(self, value: _Value, tree: set[tuple[int, str]]) -> None:
        """Takes away the edges that the old key was spelled with and no new one is; those of values left out are pruned."""
        if not value.new_keys or (nodes := self._walk(value.old_path)) is None or nodes[-1] != value.node_id:
            return
        for node_id, word in zip(nodes, value.old_path, strict=False):
            name = _unescaped(word)
            if (node_id, name) not in tree:
                self._edges[node_id].pop(name, None)


def _new_keys(key: str, tensors: TensorsOfKeys, new_names: NewNames) -> tuple[str, ...]:
    names = tensors.of(key)
    if not names:
        return (key,)
    found = []
    for name in names:
        suffix = name[len(key) :]
        targets = tuple(new_names[name])
        if any(not target.endswith(suffix) for target in targets):
            raise InvalidArgumentError(f"{name!r} becomes {', '.join(map(repr, targets))}: it must still end in {suffix!r}")
        found.append(tuple(target.removesuffix(suffix) for target in targets))
    if any(keys != found[0] for keys in found):
        raise InvalidArgumentError(f"{', '.join(map(repr, names))} are one value, and must be renamed in the same way")
    return found[0]


def _path_of(key: str) -> Path:
    path = key.partition(ATTRIBUTES)[0]
    return tuple(path.split("/")) if path else ()


def _unescaped(word: str) -> str:
    try:
        return unescape(word)
    except InvalidArgumentError:
        return word


def _common(one: Iterable[str], other: Iterable[str]) -> int:
    length = 0
    for left, right in zip(one, other, strict=False):
        if left != right:
            break
        length += 1
    return length
