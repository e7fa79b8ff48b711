"""Shapes along edges that cannot fit: what TensorFlow's importer infers and refuses.

    MatMul [?, 3] x [4, 2]      Add [2] + [3]      Reshape 6 elements to [4, 2]      BiasAdd [?, 8] + [7]

The rules are those of common operations; the outputs of others have unknown shapes. What is unknown fits everything, so that
only a contradiction that is certain is a finding.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeAlias

from tfsaver import schemas
from tfsaver.graph.findings import Finding, Loader, error
from tfsaver.graph.node_builder import Array
from tfsaver.graph.saver_keys import CALL_OPS
from tfsaver.graph.tables import constant_array
from tfsaver.graph.tensor_names import data_inputs, node_of, output_index

# None in it for a size that is not known; None for an unknown rank.
OpenShape: TypeAlias = "tuple[int | None, ...] | None"
_Shapes: TypeAlias = "Sequence[OpenShape]"
# A node and the shapes of its inputs give the shape of its first output, or raise.
_Rule: TypeAlias = "Callable[[schemas.NodeDef, _Shapes, Mapping[str, schemas.NodeDef]], OpenShape]"

# GraphDefs before this version had scalars for placeholders of any shape.
_SCALAR_PLACEHOLDERS = 24
# Programs before this version wrote shapes of outputs that need not be right.
EXACT_SHAPES = 21
_MAX_RANK = 254
_SCALARS = frozenset({"VarHandleOp", "VarIsInitializedOp", "ShardedFilename", "Rank", "Size"})
_SAME_NAMES = """
    Abs Ceil Elu Erf Exp Floor Identity LeakyRelu Log Log1p LogicalNot Neg OnesLike PreventGradient Reciprocal Relu Relu6
    Round Rsqrt Selu Sigmoid Sign Snapshot Softplus Softsign Sqrt Square StopGradient Tanh ZerosLike Cast Softmax LogSoftmax
"""
_SAME = frozenset(_SAME_NAMES.split())
_BROADCASTING_NAMES = """
    Add AddV2 Sub Mul Div RealDiv FloorDiv FloorMod Maximum Minimum Pow SquaredDifference Greater GreaterEqual Less LessEqual
    LogicalAnd LogicalOr
"""
_BROADCASTING = frozenset(_BROADCASTING_NAMES.split())
_REDUCTIONS = frozenset({"Mean", "Sum", "Max", "Min", "Prod", "All", "Any"})
_POOLS = frozenset({"MaxPool", "AvgPool"})


class _MisfitError(Exception):
    """Shapes that an operation cannot take."""


def lint_shapes(
    graph_def: schemas.GraphDef, nodes: Mapping[str, schemas.NodeDef], refused_by: tuple[Loader, ...]
) -> Iterator[Finding]:
    """The nodes whose inputs cannot have the shapes that they have, in the order of the graph."""
    inferred = ShapeInference(nodes, graph_def.versions.producer)
    for node in graph_def.node:
        inferred.shape(node.name)
        if node.name in inferred.misfits:
            yield error("wrong-shape", node.name, inferred.misfits[node.name], refused_by)


class ShapeInference:
    """Shapes of first outputs, each inferred once."""

    def __init__(
        self,
        nodes: Mapping[str, schemas.NodeDef],
        producer: int,
        library: Mapping[str, schemas.FunctionDef] | None = None,
    ) -> None:
        self._nodes = nodes
        self._library = library or {}
        self._returns: dict[str, OpenShape] = {}
        self._producer = producer
        self._shapes: dict[str, OpenShape] = {}
        self.misfits: dict[str, str] = {}

    def shape(self, name: str) -> OpenShape:
        """Without recursion: a chain may have thousands of nodes. What is in a circle is unknown."""
        waiting = [name]
        opened: set[str] = set()
        while waiting:
            at = waiting[-1]
            node = self._nodes.get(at)
            if at in self._shapes or node is None:
                self._shapes.setdefault(at, None)
                waiting.pop()
                continue
            left = [each for each in map(node_of, data_inputs(node)) if each not in self._shapes and each in self._nodes]
            if left and at not in opened:
                opened.add(at)
                waiting += [each for each in left if each not in opened]
                continue
            self._shapes[at] = self._infer(node)
            waiting.pop()
        return self._shapes[name]

    def _infer(self, node: schemas.NodeDef) -> OpenShape:
        if node.op in ("Placeholder", "PlaceholderV2"):
            shape = _attr_shape(node, "shape")
            return None if shape == () and self._producer < _SCALAR_PLACEHOLDERS else shape
        if node.op == "Const":
            return _proto_shape(node.attr["value"].tensor.tensor_shape) if "value" in node.attr else None
        if node.op == "VariableV2":
            return _attr_shape(node, "shape")
        if node.op == "ReadVariableOp":
            source = self._nodes.get(node_of(node.input[0])) if node.input else None
            return _attr_shape(source, "shape") if source is not None and source.op == "VarHandleOp" else None
        rule = _rule_of(node.op)
        inputs = data_inputs(node)
        if node.op in _SCALARS:
            return ()
        if node.op in CALL_OPS:
            return self._returned(node)
        if rule is None or not inputs:
            return self._said(node, 0)
        shapes = [self._input(each) for each in inputs]
        try:
            found = rule(node, shapes, self._nodes)
            if found is None:
                return self._said(node, 0)
            # No tensor has more axes.
            return found if found is None or len(found) <= _MAX_RANK else None
        except _MisfitError as misfit:
            self.misfits[node.name] = f"a {node.op} of {_shown(shapes)}: {misfit}"
        except (IndexError, ValueError, OverflowError):
            # Too few inputs are another finding.
            pass
        return None


    def _input(self, reference: str) -> OpenShape:
        index = output_index(reference)
        if index == 0:
            return self._shapes.get(node_of(reference))
        node = self._nodes.get(node_of(reference))
        return None if node is None or index is None else self._said(node, index)

    def _returned(self, node: schemas.NodeDef) -> OpenShape:
        """What a called function says of its first output."""
        name = node.attr["f"].func.name if "f" in node.attr else ""
        if name not in self._returns:
            self._returns[name] = None
            function = self._library.get(name)
            if function is not None and function.signature.output_arg:
                reference = function.ret.get(function.signature.output_arg[0].name, "")
                inner = next((each for each in function.node_def if each.name == node_of(reference)), None)
                self._returns[name] = None if inner is None else self._said(inner, 0)
        return self._returns[name]

    def _said(self, node: schemas.NodeDef, index: int) -> OpenShape:
        """What a node says of its own shape: where it is wrong the importer refuses the graph anyway."""
        if self._producer < EXACT_SHAPES or "_output_shapes" not in node.attr:
            return None
        shapes = node.attr["_output_shapes"].list.shape
        return _proto_shape(shapes[index]) if index < len(shapes) else None


def _small_constant(nodes: Mapping[str, schemas.NodeDef], reference: str) -> Array | None:
    """A constant that may be a shape or axes: of the others, nothing is decoded."""
    node = nodes.get(node_of(reference))
    shape = _proto_shape(node.attr["value"].tensor.tensor_shape) if node is not None and "value" in node.attr else None
    if shape is None or len(shape) > 1 or any(size is None or size > _MAX_RANK for size in shape):
        return None
    return constant_array(nodes, reference)


def _shown(shapes: _Shapes) -> str:
    first = ", ".join("?" if shape is None else shape_text(shape) for shape in shapes[:4])
    return first + (" ..." if len(shapes) > 4 else "")


def shape_text(shape: Sequence[int | None]) -> str:
    """A shape as it stands in a sentence."""
    return "[" + ", ".join("?" if size is None else str(size) for size in shape) + "]"


def _proto_shape(proto: schemas.TensorShapeProto) -> OpenShape:
    return None if proto.unknown_rank else tuple(dim.size if dim.size >= 0 else None for dim in proto.dim)


def _attr_shape(node: schemas.NodeDef, attr: str) -> OpenShape:
    return _proto_shape(node.attr[attr].shape) if attr in node.attr else None


def _rule_of(op: str) -> _Rule | None:
    if op in _SAME:
        return lambda node, shapes, nodes: shapes[0]
    if op in _BROADCASTING:
        return lambda node, shapes, nodes: _broadcast(shapes[0], shapes[1])
    if op in _REDUCTIONS:
        return _reduce
    if op in _POOLS:
        return _pool
    return _RULES.get(op)


def _size(left: int | None, right: int | None, what: str) -> int | None:
    if left is not None and right is not None and left != right:
        raise _MisfitError(f"{what} differ: {left} and {right}")
    return right if left is None else left


def _rank(shape: OpenShape, rank: int, what: str) -> tuple[int | None, ...]:
    if shape is None:
        return (None,) * rank
    if len(shape) != rank:
        raise _MisfitError(f"{what} must have {rank} axes")
    return shape


def _broadcast(left: OpenShape, right: OpenShape) -> OpenShape:
    if left is None or right is None:
        return None
    rank = max(len(left), len(right))
    one: list[int | None] = [1]
    sizes = zip(one * (rank - len(left)) + list(left), one * (rank - len(right)) + list(right), strict=True)
    found: list[int | None] = []
    for a, b in sizes:
        if 1 in (a, b):
            found.append(b if a == 1 else a)
        elif a is None or b is None:
            found.append(b if a is None else a)
        elif a != b:
            raise _MisfitError(f"sizes {a} and {b} do not broadcast")
        else:
            found.append(a)
    return tuple(found)


def _flag(node: schemas.NodeDef, attr: str) -> bool:
    return attr in node.attr and node.attr[attr].b


def _format(node: schemas.NodeDef) -> bytes:
    return bytes(node.attr["data_format"].s) if "data_format" in node.attr else b"NHWC"


def _matmul(node: schemas.NodeDef, shapes: _Shapes, nodes: Mapping[str, schemas.NodeDef]) -> OpenShape:
    a, b = _rank(shapes[0], 2, "the left side"), _rank(shapes[1], 2, "the right side")
    a = a[::-1] if _flag(node, "transpose_a") else a
    b = b[::-1] if _flag(node, "transpose_b") else b
    _size(a[1], b[0], "the inner sizes")
    return (a[0], b[1])


def _bias_add(node: schemas.NodeDef, shapes: _Shapes, nodes: Mapping[str, schemas.NodeDef]) -> OpenShape:
    (bias,) = _rank(shapes[1], 1, "the bias")
    value = shapes[0]
    if value is None:
        return None
    if len(value) < 2:
        raise _MisfitError("the value must have 2 axes or more")
    axis = 1 if _format(node) == b"NCHW" and len(value) > 2 else len(value) - 1
    channels = _size(value[axis], bias, "the channels and the bias")
    return (*value[:axis], channels, *value[axis + 1 :])


def _reshape(node: schemas.NodeDef, shapes: _Shapes, nodes: Mapping[str, schemas.NodeDef]) -> OpenShape:
    constant = _small_constant(nodes, node.input[1])
    if constant is None or constant.ndim != 1 or constant.dtype.kind not in "iu":
        return None
    wanted = [int(each) for each in constant.tolist()]
    if any(size < -1 for size in wanted) or wanted.count(-1) > 1:
        raise _MisfitError(f"no tensor has the shape {wanted}")
    given = shapes[0]
    if given is not None and None not in given:
        total, known = math.prod(size or 0 for size in given), math.prod(size for size in wanted if size != -1)
        if -1 not in wanted and total != known:
            raise _MisfitError(f"{total} elements cannot have the shape {wanted}")
        if -1 in wanted and known and total % known:
            raise _MisfitError(f"{total} elements cannot have the shape {wanted}")
        if -1 in wanted and known:
            return tuple(total // known if size == -1 else size for size in wanted)
    return tuple(None if size == -1 else size for size in wanted)


def _conv2d(node: schemas.NodeDef, shapes: _Shapes, nodes: Mapping[str, schemas.NodeDef]) -> OpenShape:
    value, filters = _rank(shapes[0], 4, "the input"), _rank(shapes[1], 4, "the filter")
    data_format = _format(node)
    if data_format not in (b"NHWC", b"NCHW"):
        return None
    channels = value[3] if data_format == b"NHWC" else value[1]
    # Groups: the input has a multiple of the filter's channels.
    if channels is not None and filters[2] and channels % filters[2]:
        raise _MisfitError(f"{channels} channels are no multiple of the filter's {filters[2]}")
    return (value[0], None, None, filters[3]) if data_format == b"NHWC" else (value[0], filters[3], None, None)


def _pool(node: schemas.NodeDef, shapes: _Shapes, nodes: Mapping[str, schemas.NodeDef]) -> OpenShape:
    value = _rank(shapes[0], 4, "the input")
    if _format(node) == b"NHWC":
        return (value[0], None, None, value[3])
    return (value[0], value[1], None, None) if _format(node) == b"NCHW" else None


def _constant_axes(nodes: Mapping[str, schemas.NodeDef], reference: str, rank: int) -> list[int] | None:
    constant = _small_constant(nodes, reference)
    if constant is None or constant.dtype.kind not in "iu" or constant.ndim > 1:
        return None
    axes = [int(each) for each in constant.reshape(-1).tolist()]
    if any(not -rank <= axis < rank for axis in axes):
        raise _MisfitError(f"the axis {next(axis for axis in axes if not -rank <= axis < rank)} is none of {rank}")
    return [axis % rank for axis in axes] if rank else []


def _reduce(node: schemas.NodeDef, shapes: _Shapes, nodes: Mapping[str, schemas.NodeDef]) -> OpenShape:
    value = shapes[0]
    if value is None:
        return None
    axes = _constant_axes(nodes, node.input[1], len(value))
    if axes is None:
        return None
    if _flag(node, "keep_dims"):
        return tuple(1 if axis in axes else size for axis, size in enumerate(value))
    return tuple(size for axis, size in enumerate(value) if axis not in axes)


def _concat(node: schemas.NodeDef, shapes: _Shapes, nodes: Mapping[str, schemas.NodeDef]) -> OpenShape:
    parts = [shape for shape in shapes[:-1] if shape is not None]
    if not parts:
        return None
    rank = len(parts[0])
    if any(len(part) != rank for part in parts):
        raise _MisfitError("the parts have different numbers of axes")
    axes = _constant_axes(nodes, node.input[len(shapes) - 1], rank)
    if not axes:
        return (None,) * rank if axes is None else None
    merged: list[int | None] = [None] * rank
    for part in parts:
        for axis, size in enumerate(part):
            if axis != axes[0]:
                merged[axis] = _size(merged[axis], size, f"the sizes of axis {axis}")
    sizes = [part[axes[0]] for part in parts]
    is_known = len(parts) == len(shapes) - 1 and None not in sizes
    merged[axes[0]] = sum(size or 0 for size in sizes) if is_known else None
    return tuple(merged)


def _transpose(node: schemas.NodeDef, shapes: _Shapes, nodes: Mapping[str, schemas.NodeDef]) -> OpenShape:
    value = shapes[0]
    constant = _small_constant(nodes, node.input[1])
    if value is None or constant is None or constant.ndim != 1:
        return None
    order = [int(each) for each in constant.tolist()]
    if len(order) != len(value):
        raise _MisfitError(f"the order {order} is for {len(order)} axes")
    return tuple(value[axis] for axis in order) if sorted(order) == list(range(len(value))) else None


def _expand_dims(node: schemas.NodeDef, shapes: _Shapes, nodes: Mapping[str, schemas.NodeDef]) -> OpenShape:
    value = shapes[0]
    if value is None:
        return None
    axes = _constant_axes(nodes, node.input[1], len(value) + 1)
    return (*value[: axes[0]], 1, *value[axes[0] :]) if axes is not None and len(axes) == 1 else None


def _pack(node: schemas.NodeDef, shapes: _Shapes, nodes: Mapping[str, schemas.NodeDef]) -> OpenShape:
    merged: list[int | None] | None = None
    for shape in shapes:
        if shape is None:
            continue
        if merged is not None and len(merged) != len(shape):
            raise _MisfitError("the parts have different numbers of axes")
        parts = zip(merged or [None] * len(shape), shape, strict=True)
        merged = [_size(left, right, f"the sizes of axis {axis}") for axis, (left, right) in enumerate(parts)]
    if merged is None:
        return None
    axis = node.attr["axis"].i if "axis" in node.attr else 0
    if not -len(merged) - 1 <= axis <= len(merged):
        raise _MisfitError(f"the axis {axis} is none of {len(merged) + 1}")
    axis %= len(merged) + 1
    return (*merged[:axis], len(shapes), *merged[axis:])


_RULES: dict[str, _Rule] = {
    "Pack": _pack,
    "Shape": lambda node, shapes, nodes: None if shapes[0] is None else (len(shapes[0]),),
    "MatMul": _matmul,
    "BiasAdd": _bias_add,
    "Reshape": _reshape,
    "Conv2D": _conv2d,
    "ConcatV2": _concat,
    "Transpose": _transpose,
    "ExpandDims": _expand_dims,
}
