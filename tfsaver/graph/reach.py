"""What runs when a graph is loaded and its signatures are called, with the way that leads there.

    signature 'serving_default' > y > Identity > body/ReadFile

A loader restores the variables and runs the init op; a request runs what its signature's outputs need, but for what the
signature's inputs are fed. Python's `tf.saved_model.load` also offers the functions of the objects. Everything else in the
graph is dead: the pipeline that fed the training, a second Saver. A function that is called runs whole, since TensorFlow
keeps what has side effects. A graph without signatures and objects is a program's, which can run any node.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from tfsaver import schemas
from tfsaver.graph.functions import TEXT_ATTRS, functions_in, library_functions
from tfsaver.graph.pruning import INIT_OP_SIGNATURE, TRAIN_OP_SIGNATURE, init_operations, tensor_info_names
from tfsaver.graph.tensor_names import is_control, node_of, output_index

_RESERVED = (INIT_OP_SIGNATURE, TRAIN_OP_SIGNATURE)
# How often the whole graph is walked for all signatures together; those that are left are walked once, as if nothing was
# fed. Few models have more than ten.
_MAX_WALKS = 32
# Steps of a way that are told: the first and the last.
_MAX_STEPS = 12
# A function and a node: the function "" is the graph itself, the node None the whole function.
_Place = tuple[str, str | None]


class Reach:
    """The nodes of a graph and the functions of its library that something reaches.

    Args:
        graph_def: The graph.
        meta_graph: What it is in; None for a graph alone, all of which counts as reached.

    Attributes:
        is_whole: Whether nothing says what is run, so that everything may be.
    """

    def __init__(self, graph_def: schemas.GraphDef, meta_graph: schemas.MetaGraphDef | None) -> None:
        self._nodes = {node.name: node for node in graph_def.node}
        self._library = library_functions(graph_def)
        self._gradients = {each.function_name: each.gradient_func for each in graph_def.library.gradient}
        # What a node or a function was reached from: another one, or a text for what a user calls.
        self._from: dict[_Place, _Place | str] = {}
        self.is_whole = meta_graph is None or not _says_what_runs(meta_graph)
        if meta_graph is not None and not self.is_whole:
            self._walk(meta_graph)

    def reaches(self, function: str, node: str) -> bool:
        """Whether a node is run: one of the graph itself, for the function "", or of a function."""
        return self.is_whole or (function, None if function else node) in self._from

    def way(self, function: str, node: str) -> tuple[str, ...]:
        """The steps from what a user calls to a node, with it; none for a dead node or a graph alone."""
        steps = [f"{function}/{node}" if function else node]
        # A function is no step beside its node; what calls it is the next.
        at = self._from.get((function, None if function else node))
        if at is None:
            return ()
        while not isinstance(at, str):
            owner, name = at
            steps.append(f"{owner}/{name}" if owner and name else name or owner)
            at = self._from[(owner, None) if owner else at]
        steps.append(at)
        steps.reverse()
        if len(steps) > _MAX_STEPS:
            steps = [*steps[: _MAX_STEPS // 2], "...", *steps[-_MAX_STEPS // 2 :]]
        return tuple(steps)

    def _walk(self, meta_graph: schemas.MetaGraphDef) -> None:
        room = _MAX_WALKS * (sum(1 + len(node.input) for node in self._nodes.values()) + 1)
        for key, signature in sorted(meta_graph.signature_def.items()):
            wanted = [name for info in signature.outputs.values() for name in tensor_info_names(info)]
            fed: set[tuple[str, int | None]] = set()
            if key not in _RESERVED and room > 0:
                names = (name for info in signature.inputs.values() for name in tensor_info_names(info))
                fed = {(node_of(name), output_index(name)) for name in names}
            label = "the init op" if key in _RESERVED else f"signature {key!r}"
            room -= self._walk_nodes(wanted, label, fed, again=room > 0)
        self._walk_nodes(init_operations(meta_graph), "the init op", set(), again=False)
        saver_def = meta_graph.saver_def
        self._walk_nodes([saver_def.restore_op_name], "the Saver's restore", set(), again=False)
        self._walk_nodes([saver_def.save_tensor_name], "the Saver's save", set(), again=False)
        for name in sorted(meta_graph.object_graph_def.concrete_functions):
            self._reach_functions([name], f"function {name!r} of the objects")

    def _walk_nodes(self, wanted: Iterable[str], label: str, fed: set[tuple[str, int | None]], *, again: bool) -> int:
        """Follows inputs; returns how many were looked at.

        Args:
            again: Whether through nodes too that another walk has reached, which may have stopped at what was fed.
        """
        steps = 0
        seen: set[str] = set()
        waiting: list[tuple[str, _Place | str]] = [(name, label) for name in reversed(list(wanted))]
        while waiting:
            reference, source = waiting.pop()
            steps += 1
            name = node_of(reference)
            if name in seen or name not in self._nodes:
                continue
            if not is_control(reference) and (name, output_index(reference)) in fed:
                continue
            seen.add(name)
            is_new = self._from.setdefault(("", name), source) is source
            if not (is_new or again):
                continue
            node = self._nodes[name]
            waiting += [(each, ("", name)) for each in reversed(node.input)]
            steps += len(node.input)
            if is_new and self._library:
                self._reach_functions(self._called(node), ("", name))
        return steps

    def _called(self, node: schemas.NodeDef) -> Iterator[str]:
        if node.op in self._library:
            yield node.op
        yield from functions_in(node.attr)

    def _reach_functions(self, names: Iterable[str], source: _Place | str) -> None:
        waiting = [(name, source) for name in names]
        while waiting:
            name, caller = waiting.pop()
            if name not in self._library or (name, None) in self._from:
                continue
            self._from[name, None] = caller
            function = self._library[name]
            for node in function.node_def:
                waiting += [(each, (name, node.name)) for each in self._called(node)]
            others = [*functions_in(function.attr), self._gradients.get(name, "")]
            others += [function.attr[key].s.decode("utf-8", "replace") for key in TEXT_ATTRS if key in function.attr]
            waiting += [(each, (name, None)) for each in others if each]


def _says_what_runs(meta_graph: schemas.MetaGraphDef) -> bool:
    return any(key not in _RESERVED for key in meta_graph.signature_def)


def nodes_before(nodes: Mapping[str, schemas.NodeDef], wanted: Iterable[str]) -> set[str]:
    """The nodes that some need, themselves among them."""
    seen: set[str] = set()
    stack = [name for name in wanted if name in nodes]
    while stack:
        name = stack.pop()
        if name not in seen:
            seen.add(name)
            stack += [source for reference in nodes[name].input if (source := node_of(reference)) in nodes]
    return seen
