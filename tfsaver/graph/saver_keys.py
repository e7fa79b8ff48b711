"""What a graph's own Saver calls its variables: the names and slices that its restore nodes carry.

    RestoreV2(prefix, names, slices) : k  ->  Identity, Reshape ...  ->  Assign(N, .) or AssignVariableOp(N, .)
                      |      |                                                  |
                      Const  Const                                              the variable

A Saver made from a dictionary gives variables other names than their nodes have; a part of a variable has its slice there.
Graphs written before 2016 have one RestoreSlice or Restore for each variable; those written from objects restore in a
function that the restore operation calls, and the variables are the call's arguments. What is never restored may still be
saved: then SaveV2 says its name.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from tfsaver import schemas
from tfsaver.errors import InvalidArgumentError, SaverError
from tfsaver.framework.tensor_shape import Shape, from_proto, num_elements
from tfsaver.framework.tensor_slice import TensorSlice, parse_shape_and_slice
from tfsaver.framework.tensor_util import make_ndarray
from tfsaver.graph.tensor_names import data_inputs, node_of

RESTORE_OPS = frozenset({"RestoreV2", "RestoreSlice", "Restore"})
SAVE_OPS = frozenset({"SaveV2", "SaveSlices", "Save"})
ASSIGN_OPS = frozenset({"Assign", "AssignVariableOp"})
CALL_OPS = frozenset({"StatefulPartitionedCall", "PartitionedCall"})
# What may stand between a restored value and its variable, or a variable and the value that is saved.
_PASSING = frozenset({"Identity", "Reshape", "ReadVariableOp", "Cast", "EnsureShape"})
# A chain of those; a graph whose chain is a circle ends here.
_MAX_CHAIN = 16
_FIRST_TENSOR = {"SaveV2": 3, "SaveSlices": 3, "Save": 2}


class SaverKey(NamedTuple):
    """Where a checkpoint has a variable's value.

    Attributes:
        name: The tensor's name in the checkpoint.
        full_shape: Its shape, when the variable is a part of it.
        tensor_slice: Which part; None for all of it.
    """

    name: str
    full_shape: Shape | None = None
    tensor_slice: TensorSlice | None = None


def saver_keys(graph_def: schemas.GraphDef, saver_def: schemas.SaverDef | None = None) -> dict[str, SaverKey]:
    """The variables that the graph's Savers restore or save, by the names of their nodes.

    Args:
        saver_def: The Saver that is meant; where several give one variable different names, it is asked first.
    """
    body = _Body(graph_def.node)
    wanted = body.ancestors(node_of(saver_def.restore_op_name)) if saver_def and saver_def.restore_op_name else set()
    found: dict[str, SaverKey] = {}
    for preferred in (True, False):
        for assign in body.assigns:
            if (assign.name in wanted) is preferred:
                body.add_restored(assign, found)
        if preferred:
            _add_from_functions(graph_def, body, wanted, found)
    for save in body.saves:
        body.add_saved(save, found)
    return found


def _add_from_functions(
    graph_def: schemas.GraphDef, body: _Body, wanted: set[str], found: dict[str, SaverKey]
) -> None:
    functions = {function.signature.name: function for function in graph_def.library.function}
    restored: dict[str, dict[str, SaverKey]] = {}
    for call in body.calls:
        function = functions.get(call.attr["f"].func.name) if "f" in call.attr else None
        # A restore operation is a call of one function, with little around it; other calls are the model.
        if call.name not in wanted or function is None:
            continue
        name = function.signature.name
        if name not in restored:
            restored[name] = _restored_in(function)
        inside = restored[name]
        for argument, value in zip(function.signature.input_arg, data_inputs(call), strict=False):
            if argument.name in inside:
                found.setdefault(body.source_of(value)[0], inside[argument.name])


def _restored_in(function: schemas.FunctionDef) -> dict[str, SaverKey]:
    found: dict[str, SaverKey] = {}
    body = _Body(function.node_def)
    for assign in body.assigns:
        body.add_restored(assign, found)
    return found


class _Body:
    """The nodes of a graph or of a function."""

    def __init__(self, nodes: Iterable[schemas.NodeDef]) -> None:
        self._nodes = {node.name: node for node in nodes}
        self._texts: dict[str, tuple[str, ...]] = {}
        self.assigns = [node for node in self._nodes.values() if node.op in ASSIGN_OPS and len(node.input) >= 2]
        self.saves = [node for node in self._nodes.values() if node.op in SAVE_OPS]
        self.calls = [node for node in self._nodes.values() if node.op in CALL_OPS]

    def ancestors(self, name: str) -> set[str]:
        """The node and all that it needs."""
        seen: set[str] = set()
        waiting = [name]
        while waiting:
            node = self._nodes.get(waiting.pop())
            if node is not None and node.name not in seen:
                seen.add(node.name)
                waiting.extend(node_of(reference) for reference in node.input)
        return seen

    def source_of(self, reference: str) -> tuple[str, int]:
        """The node, and its output, that a value comes from unchanged."""
        for _ in range(_MAX_CHAIN):
            node = self._nodes.get(node_of(reference))
            if node is None or node.op not in _PASSING or not node.input:
                break
            reference = node.input[0]
        last = reference.rpartition(":")[2] if ":" in reference else "0"
        return node_of(reference), int(last) if len(last) < 19 and last.isascii() and last.isdigit() else -1

    def add_restored(self, assign: schemas.NodeDef, found: dict[str, SaverKey]) -> None:
        variable, _ = self.source_of(assign.input[0])
        origin, output = self.source_of(assign.input[1])
        restore = self._nodes.get(origin)
        if variable in found or restore is None or restore.op not in RESTORE_OPS:
            return
        key = self._key(restore, output)
        if key is not None:
            found[variable] = key

    def add_saved(self, save: schemas.NodeDef, found: dict[str, SaverKey]) -> None:
        tensors = data_inputs(save)[_FIRST_TENSOR[save.op] :]
        for position, reference in enumerate(tensors):
            variable, _ = self.source_of(reference)
            key = self._key(save, position)
            if key is not None:
                found.setdefault(variable, key)

    def _key(self, node: schemas.NodeDef, position: int) -> SaverKey | None:
        names = self._strings(node, 1)
        if not 0 <= position < len(names):
            return None
        slices = self._strings(node, 2) if node.op not in ("Restore", "Save") else ()
        text = slices[position] if position < len(slices) else ""
        if not text:
            return SaverKey(names[position])
        try:
            return SaverKey(names[position], *parse_shape_and_slice(text))
        except InvalidArgumentError:
            return None

    def _strings(self, node: schemas.NodeDef, index: int) -> tuple[str, ...]:
        """The strings of a Const that is an input; none where that is something else."""
        source, _ = self.source_of(node.input[index]) if index < len(node.input) else ("", 0)
        if source not in self._texts:
            self._texts[source] = strings_of(self._nodes.get(source))
        return self._texts[source]


def strings_of(node: schemas.NodeDef | None) -> tuple[str, ...]:
    """The strings in a Const node; none in a node that is no sound Const of strings."""
    if node is None or node.op != "Const" or "value" not in node.attr:
        return ()
    tensor = node.attr["value"].tensor
    if tensor.dtype != schemas.DT_STRING:
        return ()
    try:
        # One value for a large shape is no list of names.
        if num_elements(from_proto(tensor.tensor_shape, node.name)) > max(1, len(tensor.string_val)):
            return ()
        values = make_ndarray(tensor, node.name)
    except SaverError:
        return ()
    return tuple(value.decode("utf-8", "surrogateescape") for value in values.reshape(-1).tolist())
