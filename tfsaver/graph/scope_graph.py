"""The way from a signature's inputs and a graph's variables to its outputs, by the scopes of the names.

    images ──> encoder/layer_0 ──> encoder/layer_1 ──> head ──> scores
    encoder/layer_0/kernel ──┘

A graph with a hundred thousand nodes can be viewed by its scopes. A node belongs to the scope that its name is in, and the
bodies of called functions stand in the place of the call, as TensorFlow inlines them.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterator, Mapping, Sequence

from tfsaver import schemas
from tfsaver.graph.functions import library_functions
from tfsaver.graph.graph_variable import VARIABLE_OPS
from tfsaver.graph.pruning import tensor_info_names
from tfsaver.graph.tensor_names import CONTROL, data_inputs, node_of, output_index

# What a file can ask for at most: nodes that are walked, calls in calls, scopes that are told apart.
_MAX_NODES = 200_000
_MAX_DEPTH = 30
_MAX_SCOPES = 600
_CALLS = frozenset({"PartitionedCall", "StatefulPartitionedCall"})
# Those of a call that have no name of their own.
_NAMES_OF_CALLS = ("StatefulPartitionedCall", "PartitionedCall")
_TOP_OPS = 4


@dataclasses.dataclass
class Scope:
    """A scope, an input, an output or a variable.

    Attributes:
        path: Its name; of an input or output its key in the signature.
        kind: ``scope``, ``input``, ``output`` or ``variable``.
        ops: How many nodes of each operation are in it, but not in scopes of their own.
    """

    path: str
    kind: str
    ops: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)

    @property
    def top_ops(self) -> list[tuple[str, int]]:
        """The operations that are most frequent in it."""
        return self.ops.most_common(_TOP_OPS)


@dataclasses.dataclass
class ScopeGraph:
    """Scopes, and how many tensors go from one to another.

    Attributes:
        scopes: The scopes.
        edges: From the number of a scope to that of another, and how many tensors.
        is_whole: Whether everything that was found is in it.
    """

    scopes: list[Scope]
    edges: dict[tuple[int, int], int]
    is_whole: bool


class _Body:
    """The graph, or a function where it is called."""

    def __init__(
        self,
        nodes: Mapping[str, schemas.NodeDef],
        function: schemas.FunctionDef | None = None,
        caller: _Body | None = None,
        call: schemas.NodeDef | None = None,
    ) -> None:
        self.nodes = nodes
        self.function = function
        self.caller = caller
        self.call = call
        self.depth: int = 0 if caller is None else caller.depth + 1
        self.calls: dict[str, _Body] = {}
        name = "" if call is None else call.name
        is_nameless = name.rpartition("/")[2].startswith(_NAMES_OF_CALLS)
        own = name.rpartition("/")[0] if is_nameless else name
        self.scope: str = "/".join(filter(None, ["" if caller is None else caller.scope, own]))
        self.arguments = {} if function is None else {arg.name: n for n, arg in enumerate(function.signature.input_arg)}


class _Walk:
    def __init__(self, graph_def: schemas.GraphDef, fed: Mapping[str, str]) -> None:
        self._library = library_functions(graph_def)
        self._nodes_of: dict[str, dict[str, schemas.NodeDef]] = {}
        self._fed = fed
        self.top = _Body({node.name: node for node in graph_def.node})
        self.is_whole = True

    def producer(self, body: _Body, reference: str) -> tuple[_Body, schemas.NodeDef] | None:
        """The node that a tensor comes from, through calls and arguments; None where the graph contradicts itself."""
        for _ in range(4 * _MAX_DEPTH):
            name = node_of(reference)
            if name in body.arguments:
                number = body.arguments[name]
                if body.caller is None or body.call is None or number >= len(inputs := data_inputs(body.call)):
                    return None
                body, reference = body.caller, inputs[number]
                continue
            node = body.nodes.get(name)
            if node is None:
                return None
            inner = self._callee(body, node)
            if inner is None or inner.function is None:
                return body, node
            # `call:output:2` in a function, `call:2` in a graph.
            number_text = reference.rpartition(":")[2] if ":" in reference else "0"
            results = [arg.name for arg in inner.function.signature.output_arg]
            index = output_index(f"x:{number_text}")
            if index is None or index >= len(results) or results[index] not in inner.function.ret:
                return body, node
            body, reference = inner, inner.function.ret[results[index]]
        return None

    def _callee(self, body: _Body, node: schemas.NodeDef) -> _Body | None:
        """The body of the function that a node calls; None for one that calls none."""
        if node.name in body.calls:
            return body.calls[node.name]
        name = node.attr["f"].func.name if node.op in _CALLS and "f" in node.attr else node.op
        function = self._library.get(name)
        if function is None or body.depth >= _MAX_DEPTH:
            return None
        if name not in self._nodes_of:
            self._nodes_of[name] = {each.name: each for each in function.node_def}
        made = body.calls[node.name] = _Body(self._nodes_of[name], function, body, node)
        return made

    def edges(
        self, outputs: Sequence[tuple[str, str]]
    ) -> Iterator[tuple[tuple[_Body, schemas.NodeDef], tuple[_Body, schemas.NodeDef] | str]]:
        """Each node and one that it goes to, or the output that it is, from the outputs back to the inputs."""
        waiting: list[tuple[_Body, schemas.NodeDef]] = []
        seen: set[tuple[int, str]] = set()

        def reach(found: tuple[_Body, schemas.NodeDef]) -> None:
            key = (id(found[0]), found[1].name)
            if key not in seen:
                seen.add(key)
                waiting.append(found)

        for key, reference in outputs:
            found = self.producer(self.top, reference)
            if found is not None:
                yield found, key
                reach(found)
        while waiting:
            body, node = waiting.pop()
            if body.caller is None and node.name in self._fed:
                continue
            for reference in data_inputs(node):
                found = self.producer(body, reference)
                if found is None:
                    continue
                if len(seen) >= _MAX_NODES:
                    self.is_whole = False
                    continue
                yield found, (body, node)
                reach(found)


def scope_graph(graph_def: schemas.GraphDef, signature: schemas.SignatureDef) -> ScopeGraph:
    """The scopes that a signature's outputs depend on.

    Args:
        graph_def: The graph.
        signature: What is fed, and what is computed.
    """
    fed = {node_of(name): key for key, info in sorted(signature.inputs.items()) for name in tensor_info_names(info)}
    outputs = [(key, name) for key, info in sorted(signature.outputs.items()) for name in tensor_info_names(info)]
    walk = _Walk(graph_def, fed)
    names: dict[tuple[int, str], tuple[str, str]] = {}
    nodes: dict[tuple[str, str], set[tuple[int, str]]] = {}
    ops: dict[tuple[int, str], str] = {}
    edges: collections.Counter[tuple[tuple[str, str], tuple[str, str]]] = collections.Counter()

    def place(found: tuple[_Body, schemas.NodeDef]) -> tuple[str, str]:
        body, node = found
        key = (id(body), node.name)
        if key not in names:
            names[key] = _place_of(body, node, fed)
            nodes.setdefault(names[key], set()).add(key)
            ops[key] = node.op
        return names[key]

    for source, target in walk.edges(outputs):
        before = place(source)
        after = (target, "output") if isinstance(target, str) else place(target)
        nodes.setdefault(after, set())
        if before != after:
            edges[before, after] += 1
    depth = _depth(nodes)
    scopes: dict[tuple[str, str], int] = {}
    found: list[Scope] = []

    def number(at: tuple[str, str]) -> int:
        path, kind = at
        key = ("/".join(path.split("/")[:depth]), kind) if kind in ("scope", "variable") else at
        if key not in scopes:
            scopes[key] = len(found)
            found.append(Scope(*key))
        return scopes[key]

    for at, inside in nodes.items():
        scope = found[number(at)]
        scope.ops.update(ops[key] for key in inside)
    sums: collections.Counter[tuple[int, int]] = collections.Counter()
    for (before, after), count in edges.items():
        pair = number(before), number(after)
        if pair[0] != pair[1]:
            sums[pair] += count
    return ScopeGraph(found[:_MAX_SCOPES], _within(sums), walk.is_whole and len(found) <= _MAX_SCOPES)


def _within(edges: Mapping[tuple[int, int], int]) -> dict[tuple[int, int], int]:
    return {pair: count for pair, count in edges.items() if max(pair) < _MAX_SCOPES}


def _place_of(body: _Body, node: schemas.NodeDef, fed: Mapping[str, str]) -> tuple[str, str]:
    if body.caller is None and node.name in fed:
        return fed[node.name], "input"
    if node.op in VARIABLE_OPS:
        # A resource is known by the name that it has at run time.
        shared = node.attr["shared_name"].s.decode("utf-8", "replace") if "shared_name" in node.attr else ""
        return shared or node.name, "variable"
    name = "/".join(filter(None, [body.scope, node.name.removeprefix(CONTROL)]))
    return name.rpartition("/")[0] or name, "scope"


def _depth(nodes: Mapping[tuple[str, str], object]) -> int:
    """How many levels of scopes can be told apart."""
    paths = [path.split("/") for path, _ in nodes]
    depth = max(map(len, paths), default=1)
    while depth > 1 and len({tuple(path[:depth]) for path in paths}) > _MAX_SCOPES:
        depth -= 1
    return depth
