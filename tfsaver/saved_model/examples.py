"""Serialized tf.train.Examples: the features that a graph's parser expects of them, and Examples made of plain values.

    ParseExampleV2(serialized, names, sparse_keys, dense_keys, ragged_keys, defaults)     the graph, or a function, has one
    {"age": 3, "words": ["a", "b"]}  ->  Example { features { feature { "age" -> int64_list [3] ... } } }
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from tfsaver import schemas
from tfsaver.errors import InvalidArgumentError, NotFoundError, nearest_names
from tfsaver.framework import dtypes, wire_format
from tfsaver.graph.functions import bodies
from tfsaver.graph.reach import Reach
from tfsaver.graph.saver_keys import strings_of
from tfsaver.graph.tensor_names import data_inputs, node_of
from tfsaver.lib import coding

_PARSERS = frozenset({"ParseExample", "ParseExampleV2", "ParseSingleExample"})
# Feature's oneof by the type of the values.
_LISTS = {"string": 1, "float32": 2, "int64": 3}


class ExampleFeature(NamedTuple):
    """A feature that a parser reads.

    Attributes:
        name: Its key in an Example.
        kind: ``fixed``, ``sparse`` or ``ragged``; only the first must be there, unless it has a default.
        dtype: ``int64``, ``float32`` or ``string``.
        shape: Of a fixed one; None for an unknown one.
        has_default: Whether an Example may lack it.
    """

    name: str
    kind: str
    dtype: str
    shape: tuple[int | None, ...] | None
    has_default: bool

    def __str__(self) -> str:
        shape = "" if self.shape is None else str(["?" if size is None else size for size in self.shape]).replace("'", "")
        return f"{self.name}: {self.kind} {self.dtype}{shape}{' (optional)' if self.has_default else ''}"


def example_features(meta_graph: schemas.MetaGraphDef) -> list[ExampleFeature]:
    """The features that the parsers read which a signature can reach; none where no Example is parsed."""
    reach = Reach(meta_graph.graph_def, meta_graph)
    found: dict[str, ExampleFeature] = {}
    for function, nodes in bodies(meta_graph.graph_def):
        body = list(nodes)
        parsers = [node for node in body if node.op in _PARSERS and reach.reaches(function, node.name)]
        by_name = {node.name: node for node in body} if parsers else {}
        for parser in parsers:
            for feature in _features(parser, by_name):
                found.setdefault(feature.name, feature)
    return list(found.values())


def _features(node: schemas.NodeDef, nodes: Mapping[str, schemas.NodeDef]) -> Iterable[ExampleFeature]:
    inputs = data_inputs(node)

    def strings(position: int) -> list[str]:
        return list(strings_of(nodes.get(node_of(inputs[position])))) if position < len(inputs) else []

    def types(attr: str) -> list[int]:
        return list(node.attr[attr].list.type) if attr in node.attr else []

    dense_types, sparse_types = types("Tdense"), types("sparse_types")
    defaults: list[str] = []
    ragged: list[str] = []
    ragged_types: list[int] = []
    if node.op == "ParseExample":
        num_sparse, num_dense = len(sparse_types), len(dense_types)
        sparse = [name for position in range(2, 2 + num_sparse) for name in strings(position)]
        dense = [name for position in range(2 + num_sparse, 2 + num_sparse + num_dense) for name in strings(position)]
        defaults = inputs[2 + num_sparse + num_dense :]
    elif node.op == "ParseExampleV2":
        sparse, dense, ragged = strings(2), strings(3), strings(4)
        defaults, ragged_types = inputs[5:], types("ragged_value_types")
    else:
        sparse, dense = (
            [each.decode("utf-8", "replace") for each in node.attr[attr].list.s] if attr in node.attr else []
            for attr in ("sparse_keys", "dense_keys")
        )
        defaults = inputs[1:]
    shapes = list(node.attr["dense_shapes"].list.shape) if "dense_shapes" in node.attr else []
    for position, (name, data_type) in enumerate(zip(dense, dense_types, strict=False)):
        default = nodes.get(node_of(defaults[position])) if position < len(defaults) else None
        # A feature without a default has an empty constant for it.
        has_default = default is not None and not _is_empty(default)
        shape = None
        if position < len(shapes) and not shapes[position].unknown_rank:
            shape = tuple(None if dim.size < 0 else dim.size for dim in shapes[position].dim)
        yield ExampleFeature(name, "fixed", dtypes.from_data_type(data_type).name, shape, has_default)
    for name, data_type in zip(sparse, sparse_types, strict=False):
        yield ExampleFeature(name, "sparse", dtypes.from_data_type(data_type).name, None, True)
    for name, data_type in zip(ragged, ragged_types, strict=False):
        yield ExampleFeature(name, "ragged", dtypes.from_data_type(data_type).name, None, True)


def _is_empty(node: schemas.NodeDef) -> bool:
    return node.op == "Const" and any(dim.size == 0 for dim in node.attr["value"].tensor.tensor_shape.dim)


def encode_example(values: Mapping[str, Any], features: Iterable[ExampleFeature] = ()) -> bytes:
    """A serialized tf.train.Example.

    Args:
        values: Numbers, texts, bytes or lists of them, by the names of features.
        features: What the parser expects; without any, the values say their types.

    Raises:
        NotFoundError: The parser reads no feature of a name.
        InvalidArgumentError: A value is of another type, or a feature without a default is missing.
    """
    expected = {feature.name: feature for feature in features}
    entries = []
    for name, value in sorted(values.items()):
        if expected and name not in expected:
            near = ", ".join(map(repr, nearest_names(name, expected) or tuple(expected)))
            raise NotFoundError(f"the model's parser reads no feature {name!r}: there is {near}")
        items = list(value) if isinstance(value, list | tuple) else [value]
        dtype = expected[name].dtype if name in expected else _dtype_of(name, items)
        entry = _field(1, name.encode()) + _field(2, _field(_LISTS[dtype], _encoded(name, items, dtype)))
        entries.append(_field(1, entry))
    missing = [feature for feature in expected.values() if not feature.has_default and feature.name not in values]
    if missing:
        raise InvalidArgumentError(f"an Example must have {'; '.join(map(str, missing))}")
    return _field(1, b"".join(entries))


def _dtype_of(name: str, items: list[Any]) -> str:
    if all(isinstance(item, str | bytes) for item in items):
        return "string"
    if all(isinstance(item, int) for item in items):
        return "int64"
    if all(isinstance(item, int | float) for item in items):
        return "float32"
    raise InvalidArgumentError(f"feature {name!r}: numbers, texts or a list of either are needed, not {items!r}")


def _encoded(name: str, items: list[Any], dtype: str) -> bytes:
    wanted: dict[str, tuple[type, ...]] = {"string": (str, bytes), "int64": (int,), "float32": (int, float)}
    for item in items:
        if not isinstance(item, wanted[dtype]) or (isinstance(item, bool) and dtype == "float32"):
            raise InvalidArgumentError(f"feature {name!r} is {dtype}, the value {item!r} is not")
    if dtype == "string":
        return b"".join(_field(1, item.encode() if isinstance(item, str) else item) for item in items)
    if dtype == "float32":
        return _field(1, struct.pack(f"<{len(items)}f", *items))
    try:
        return _field(1, b"".join(coding.encode_varint(struct.unpack("<Q", struct.pack("<q", item))[0]) for item in items))
    except struct.error as error:
        raise InvalidArgumentError(f"feature {name!r} is int64: {error}") from error


def _field(number: int, payload: bytes) -> bytes:
    return wire_format.length_delimited_header(number, len(payload)) + payload
