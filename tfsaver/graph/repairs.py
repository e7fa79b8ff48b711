"""Changes to a graph that a caller asks for by name, since only the caller knows that they are meant.

    references    RefSwitch(constant) -> Switch, AssignSub(constant, d) -> Sub: what froze a variable left its readers behind
    batch         Placeholder [1, 224, 224, 3] -> [?, 224, 224, 3], Reshape(x, [1, 10]) -> Reshape(x, [-1, 10])
    training      is_training -> False, keep_prob -> 1.0
    resources     VariableV2 w -> VarHandleOp w, ReadVariableOp(w): variables as TensorFlow 2 has them

A batch may only grow where examples do not meet: an operation that could mix them, or drop all but the first, is refused.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Literal, TypeAlias

import numpy as np

from tfsaver import schemas
from tfsaver.errors import InvalidArgumentError, UnimplementedError
from tfsaver.framework import dtypes
from tfsaver.graph import node_builder
from tfsaver.graph.op_defs import input_type, is_reference, table
from tfsaver.graph.tables import constant_array
from tfsaver.graph.tensor_names import FreeNames, data_inputs, is_control, node_of, output_index

Repair: TypeAlias = Literal["references", "batch", "training", "resources"]
REPAIRS: tuple[Repair, ...] = ("references", "batch", "training", "resources")

# Added to the number of a type: a reference to a tensor of it.
_REFERENCE = 100
_CARRIERS = frozenset({"RefIdentity", "RefSwitch", "RefMerge", "RefEnter", "RefExit", "RefNextIteration"})
_WRITES = {"Assign": "Identity", "AssignAdd": "Add", "AssignSub": "Sub"}
_PLACEHOLDERS = frozenset({"Placeholder", "PlaceholderV2", "PlaceholderWithDefault"})
# The last part of a placeholder's name, and the value that it has when a model serves.
_FIXED: tuple[tuple[str, bool | float], ...] = (
    (r"(is_?)?(train|training|train_flag|train_mode|training_mode|train_phase|training_phase)", False),
    (r"phase_train|(keras_)?learning_phase", False),
    (r"((dropout|input|output|hidden)_?)?keep_?prob(ability)?", 1.0),
    (r"drop(out)?_(rate|prob|probability)", 0.0),
)
_ELEMENTWISE = """
    Abs Acos Add AddV2 AddN Asin Atan BiasAdd Cast Ceil CheckNumerics ClipByValue Cos Div DivNoNan Elu Equal Erf Exp Floor
    FloorDiv FloorMod Greater GreaterEqual Identity LeakyRelu Less LessEqual Log Log1p LogicalAnd LogicalNot LogicalOr
    Maximum Minimum Mod Mul Neg NotEqual OnesLike Pow PreventGradient RealDiv Reciprocal Relu Relu6 Rint Round Rsqrt Selu
    Sigmoid Sign Sin Snapshot Softplus Softsign Sqrt Square SquaredDifference StopGradient Sub Tan Tanh ZerosLike
    AvgPool AvgPool3D Conv2D Conv3D DepthwiseConv2dNative DepthToSpace LRN MaxPool MaxPool3D ResizeBilinear
    ResizeNearestNeighbor SpaceToDepth
"""
_PER_EXAMPLE = frozenset(_ELEMENTWISE.split())
_NOT_BROADCASTING = """AvgPool AvgPool3D BiasAdd Conv2D Conv3D DepthwiseConv2dNative DepthToSpace LRN MaxPool MaxPool3D
    ResizeBilinear ResizeNearestNeighbor SpaceToDepth"""
_BROADCASTING = _PER_EXAMPLE - frozenset(_NOT_BROADCASTING.split())
_NEEDS_MATRIX = frozenset({"Softmax", "LogSoftmax"})
_REDUCTIONS = frozenset({"Mean", "Sum", "Max", "Min", "Prod", "All", "Any", "ArgMax", "ArgMin"})
# Their outputs are no examples, but what is made of them follows the batch by itself.
_SIZES = frozenset({"Shape", "ShapeN", "Size", "Rank"})


def check_repairs(repairs: Iterable[str] | str) -> list[Repair]:
    """The repairs that are asked for.

    Raises:
        InvalidArgumentError: There is no such repair.
    """
    asked = [repairs] if isinstance(repairs, str) else list(repairs)
    for each in asked:
        if each not in REPAIRS:
            raise InvalidArgumentError(f"repair {each!r}; known are {', '.join(map(repr, REPAIRS))}")
    return [each for each in REPAIRS if each in asked]


def repair_references(graph_def: schemas.GraphDef) -> list[str]:
    """Gives operations on references, which are given values, their forms for values; in place. Returns what has changed."""
    nodes = {node.name: node for node in graph_def.node}
    changed: list[str] = []
    found = True
    while found:
        found = False
        for node in graph_def.node:
            if node.op not in _CARRIERS and node.op not in (*_WRITES, "IsVariableInitialized"):
                continue
            given = data_inputs(node) if node.op == "RefMerge" else data_inputs(node)[:1]
            if not any(_is_value(nodes, each) for each in given):
                continue
            found = True
            old = node.op
            if node.op == "IsVariableInitialized":
                controls = [each for each in node.input if is_control(each)]
                is_true = np.array(True), dtypes.from_data_type(schemas.DT_BOOL)
                node.CopyFrom(node_builder.array_const(node.name, *is_true, device=node.device))
                node.input.extend(controls)
            elif node.op in _CARRIERS:
                node.op = node.op.removeprefix("Ref")
            else:
                if node.op == "Assign":
                    del node.input[0]
                node.op = _WRITES[old]
                for attr in ("use_locking", "validate_shape"):
                    node.attr.pop(attr, None)
            changed.append(f"{node.name}: {old} -> {node.op}")
    return changed


def _is_value(nodes: Mapping[str, schemas.NodeDef], reference: str) -> bool:
    source, index = nodes.get(node_of(reference)), output_index(reference)
    if source is None or source.op not in table() or index is None:
        return False
    return is_reference(source, table()[source.op], index) is False


def use_resources(graph_def: schemas.GraphDef, variables: Collection[str]) -> dict[str, str]:
    """Makes resource variables of reference variables; in place.

    Args:
        variables: The nodes.

    Returns:
        The node that reads each one now, by the variable's node.

    Raises:
        UnimplementedError: A node takes the reference, to change the variable or to pass it on.
    """
    names = FreeNames(node.name for node in graph_def.node)
    nodes = {node.name: node for node in graph_def.node}
    reads = {name: names.take(f"{name}/Read/ReadVariableOp") for name in variables}
    for node in graph_def.node:
        for position, reference in enumerate(data_inputs(node)):
            name = node_of(reference)
            if name not in reads:
                continue
            wanted = input_type(node, table()[node.op], position) if node.op in table() else None
            if wanted is None or wanted.is_ref:
                raise UnimplementedError(
                    f"repair='resources': {node.op} {node.name!r} takes a reference to the variable {name!r}, for which no "
                    "value can stand"
                )
            node.input[position] = reads[name]
    for name, read in reads.items():
        node = nodes[name]
        data_type = schemas.AttrValue(type=node.attr["dtype"].type % _REFERENCE)
        attrs = {attr: node.attr[attr] for attr in ("shape", "container", "shared_name", "_class") if attr in node.attr}
        if "shared_name" not in attrs or not attrs["shared_name"].s:
            attrs["shared_name"] = schemas.AttrValue(s=name.encode())
        attrs["dtype"] = data_type
        controls = [each for each in node.input if is_control(each)]
        node.CopyFrom(node_builder.node("VarHandleOp", name, controls, attrs, device=node.device))
        graph_def.node.append(
            node_builder.node("ReadVariableOp", read, [name], {"dtype": data_type}, device=node.device)
        )
    return reads


def training_values(graph_def: schemas.GraphDef) -> dict[str, bool | float | int]:
    """The placeholders that tell training from serving, by their names and types, and what they are when a model serves."""
    found: dict[str, bool | float | int] = {}
    for node in graph_def.node:
        if node.op not in _PLACEHOLDERS or "dtype" not in node.attr:
            continue
        last = node.name.rpartition("/")[2].lower()
        value = next((value for pattern, value in _FIXED if re.fullmatch(pattern + r"(_\d+)?", last)), None)
        data_type = node.attr["dtype"].type
        if isinstance(value, bool) and data_type in (schemas.DT_BOOL, schemas.DT_INT32):
            found[node.name] = value if data_type == schemas.DT_BOOL else int(value)
        elif isinstance(value, float) and data_type in (schemas.DT_FLOAT, schemas.DT_DOUBLE, schemas.DT_HALF):
            found[node.name] = value
    return found


def repair_batch(graph_def: schemas.GraphDef, needed: Collection[str]) -> list[str]:
    """Lets placeholders of one example take any number; in place. Returns what has changed.

    Args:
        needed: The nodes that outputs need; others stay as they are.

    Raises:
        UnimplementedError: An operation may mix the examples of a batch, or may only be right for one; names it.
    """
    nodes = {node.name: node for node in graph_def.node}
    names = FreeNames(nodes)
    changed: list[str] = []
    ranks: dict[str, int] = {}
    for node in graph_def.node:
        if node.op in ("Placeholder", "PlaceholderV2") and node.name in needed and "shape" in node.attr:
            dims = node.attr["shape"].shape.dim
            if len(dims) > 1 and dims[0].size == 1:
                dims[0].size = -1
                ranks[node.name] = len(dims)
                changed.append(f"{node.name}: takes any number of examples")
    if not ranks:
        return changed
    waiting = [name for name in _in_order(nodes, needed) if name not in ranks]
    for name in waiting:
        node = nodes[name]
        given = [ranks[node_of(each)] for each in data_inputs(node) if node_of(each) in ranks]
        if not given or node.op in _SIZES:
            continue
        for attr in ("_output_shapes", "output_shapes"):
            node.attr.pop(attr, None)
        rank = _rank_after(node, nodes, ranks, graph_def, names, changed)
        if rank is None:
            raise UnimplementedError(
                f"repair='batch': {node.op} {node.name!r} may not treat every example of a batch by itself; leave the batch "
                "at 1, or change the graph there"
            )
        ranks[name] = rank
    return changed


def _in_order(nodes: Mapping[str, schemas.NodeDef], needed: Collection[str]) -> list[str]:
    """The nodes, each behind its inputs; what is in a circle is refused."""
    missing = {name: {node_of(each) for each in nodes[name].input} & set(needed) for name in needed if name in nodes}
    readers: dict[str, list[str]] = {}
    for name, sources in missing.items():
        for source in sources:
            readers.setdefault(source, []).append(name)
    ready = [name for name, sources in missing.items() if not sources]
    ordered: list[str] = []
    while ready:
        name = ready.pop()
        ordered.append(name)
        for reader in readers.get(name, ()):
            missing[reader].discard(name)
            if not missing[reader]:
                ready.append(reader)
    if len(ordered) < len(missing):
        raise UnimplementedError("repair='batch': the graph has a loop, in which examples cannot be told apart")
    return ordered


def _is_for_each(nodes: Mapping[str, schemas.NodeDef], reference: str, rank: int) -> bool:
    """Whether a tensor is known to be broadcast to every example of a batch."""
    constant = constant_array(nodes, reference)
    if constant is not None:
        shape: list[int] = list(constant.shape)
    else:
        node = nodes.get(node_of(reference))
        while node is not None and node.op in ("Identity", "ReadVariableOp") and node.input:
            node = nodes.get(node_of(node.input[0]))
        if node is None or "shape" not in node.attr or node.attr["shape"].shape.unknown_rank:
            return False
        shape = [dim.size for dim in node.attr["shape"].shape.dim]
    return len(shape) < rank or (len(shape) == rank and shape[0] == 1)


def _rank_after(
    node: schemas.NodeDef,
    nodes: Mapping[str, schemas.NodeDef],
    ranks: Mapping[str, int],
    graph_def: schemas.GraphDef,
    names: FreeNames,
    changed: list[str],
) -> int | None:
    """The rank of what a node makes of a batch, if it keeps examples apart; None otherwise."""
    inputs = data_inputs(node)
    carried = [node_of(each) in ranks for each in inputs]
    rank = max(ranks[node_of(each)] for each in inputs if node_of(each) in ranks)
    normalizes = node.op.startswith("FusedBatchNorm") and "is_training" in node.attr and not node.attr["is_training"].b
    if node.op in _PER_EXAMPLE or normalizes or (node.op in _NEEDS_MATRIX and rank > 1):
        others = [each for each in inputs if node_of(each) not in ranks]
        if node.op in _BROADCASTING and not all(_is_for_each(nodes, each, rank) for each in others):
            return None
        if node.op not in _BROADCASTING and carried != [True] + [False] * (len(inputs) - 1):
            return None
        return rank if all(ranks[node_of(each)] == rank for each in inputs if node_of(each) in ranks) else None
    if node.op == "MatMul":
        is_left = carried == [True, False] and rank == 2
        return 2 if is_left and not ("transpose_a" in node.attr and node.attr["transpose_a"].b) else None
    constant = constant_array(nodes, inputs[-1]) if len(inputs) > 1 and not carried[-1] else None
    if constant is None or not carried[0]:
        return None
    values = [int(each) for each in constant.reshape(-1).tolist()] if constant.dtype.kind in "iu" else []
    if node.op == "Reshape" and values and values[0] in (1, -1) and all(each > 0 for each in values[1:]):
        if values[0] == 1:
            const = node_builder.int32s_const(names.take(f"{node.name}/shape"), [-1, *values[1:]])
            graph_def.node.append(const)
            node.input[1] = const.name
            node.attr["Tshape"].type = schemas.DT_INT32
            changed.append(f"{node.name}: reshapes to {[-1, *values[1:]]}")
        return len(values)
    axes = [each + rank if each < 0 else each for each in values]
    if node.op in _REDUCTIONS and all(0 < axis < rank for axis in axes):
        keeps = "keep_dims" in node.attr and node.attr["keep_dims"].b
        return rank if keeps else rank - len(set(axes))
    if node.op == "ConcatV2" and all(carried[:-1]) and all(axis > 0 for axis in axes):
        return rank
    if node.op == "Transpose" and values[:1] == [0]:
        return rank
    if node.op == "ExpandDims" and values and (values[0] > 0 or -rank <= values[0] < 0):
        return rank + 1
    if node.op in ("Pad", "PadV2", "MirrorPad") and values[:2] == [0, 0]:
        return rank
    return None
