"""What operations take, give and leave open: OpDefs, from a graph's own list and from TensorFlow's registry.

A MetaGraphDef lists the operations that it uses as they were in the TensorFlow that wrote it. A bare GraphDef says nothing
of them; for such, and for nodes that are added to a graph, `op_defs.txt` has all operations of TensorFlow 1.15 and 2.21:

    Name(inputs) -> outputs stateful | attributes

    x: T        a tensor of the type in the attribute T        x: &T       a reference to one
    x: N*T      N of them                                      x: [T]      one for each of a list of types
    +           an operation or attribute that TensorFlow 1.15 does not know

`.ci/op_defs.py` writes that file. A row is parsed when it is asked for.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from tfsaver import schemas
from tfsaver.framework import dtypes

_REFERENCE = 100
# A file brings definitions of its own. None that TensorFlow has comes near this; of what has more, nothing is known, since
# every node of such an operation would be compared with all of it.
_MAX_ENTRIES = 256


class OpDefs(Mapping[str, schemas.OpDef]):
    """Operations by their names: those of a graph before those of the table.

    Args:
        own: The graph's; None for one of which nothing is known.
    """

    def __init__(self, own: Mapping[str, schemas.OpDef | None]) -> None:
        self._own = own

    def __getitem__(self, name: str) -> schemas.OpDef:
        op_def = self._own[name] if name in self._own else table()[name]
        if op_def is None:
            raise KeyError(name)
        return op_def

    def __iter__(self) -> Iterator[str]:
        yield from (name for name, op_def in self._own.items() if op_def is not None)
        yield from (name for name in table() if name not in self._own)

    def __len__(self) -> int:
        return sum(1 for _ in self)


def op_defs(meta_graph: schemas.MetaGraphDef | None = None) -> OpDefs:
    """The operations that are known for a graph: its own list and its functions before the table."""
    own: dict[str, schemas.OpDef | None] = {}
    if meta_graph is not None:
        for function in meta_graph.graph_def.library.function:
            own[function.signature.name] = function.signature
        for op_def in meta_graph.meta_info_def.stripped_op_list.op:
            entries = max(len(op_def.attr), len(op_def.input_arg), len(op_def.output_arg))
            own[op_def.name] = op_def if entries <= _MAX_ENTRIES else None
    return OpDefs(own)


class InputType(NamedTuple):
    """What an input of a node must be.

    Attributes:
        name: The argument's name.
        data_type: Its type.
        is_ref: Whether only a reference will do.
    """

    name: str
    data_type: int
    is_ref: bool


def input_type(node: schemas.NodeDef, op_def: schemas.OpDef, index: int) -> InputType | None:
    """What one of a node's inputs must be; None where its attributes do not say."""
    for arg in op_def.input_arg:
        run = _run(node, op_def, arg)
        if run is None:
            return None
        types, count = run
        if index < len(types) * count:
            return InputType(arg.name, int(types[index % len(types)]) % _REFERENCE, arg.is_ref)
        index -= len(types) * count
    return None


def num_inputs(node: schemas.NodeDef, op_def: schemas.OpDef) -> int | None:
    """How many tensors a node takes; None where its attributes do not say."""
    runs = [_run(node, op_def, arg) for arg in op_def.input_arg]
    return None if None in runs else sum(len(run[0]) * run[1] for run in runs if run is not None)


def is_reference(node: schemas.NodeDef, op_def: schemas.OpDef, index: int) -> bool | None:
    """Whether one of a node's outputs is a reference; None where its attributes do not say."""
    for arg in op_def.output_arg:
        run = _run(node, op_def, arg)
        if run is None:
            return None
        if index < len(run[0]) * run[1]:
            return bool(arg.is_ref)
        index -= len(run[0]) * run[1]
    return None


def num_outputs(node: schemas.NodeDef, op_def: schemas.OpDef) -> int | None:
    """How many outputs a node has; None where its attributes do not say."""
    runs = _output_runs(node, op_def)
    return None if runs is None else sum(len(types) * count for types, count in runs)


def output_type(node: schemas.NodeDef, op_def: schemas.OpDef, index: int) -> int | None:
    """The data type of one of a node's outputs, without what makes it a reference; None where its attributes do not say."""
    for types, count in _output_runs(node, op_def) or ():
        if index < len(types) * count:
            data_type = int(types[index % len(types)])
            return data_type - _REFERENCE if data_type > _REFERENCE else data_type
        index -= len(types) * count
    return None


def output_position(node: schemas.NodeDef, op_def: schemas.OpDef, reference: str) -> int | None:
    """The number of the output that a reference in a function means, `split:outputs:1`; None where it means none."""
    _, _, rest = reference.partition(":")
    name, _, index = rest.partition(":")
    start = 0
    for arg in op_def.output_arg:
        run = _run(node, op_def, arg)
        if run is None:
            return None
        count = len(run[0]) * run[1]
        if arg.name == name:
            inside = int(index) if len(index) < 19 and index.isascii() and index.isdigit() else None
            return start + inside if inside is not None and inside < count else None
        start += count
    return None


def _output_runs(node: schemas.NodeDef, op_def: schemas.OpDef) -> list[tuple[Sequence[int], int]] | None:
    """The types, and how often they are repeated: as a list of all they would be as many as a damaged number says."""
    runs: list[tuple[Sequence[int], int]] = []
    for output in op_def.output_arg:
        run = _run(node, op_def, output)
        if run is None:
            return None
        runs.append(run)
    return runs


def _run(
    node: schemas.NodeDef, op_def: schemas.OpDef, arg: schemas.OpDef.ArgDef
) -> tuple[Sequence[int], int] | None:
    if arg.type_list_attr:
        attr = node.attr[arg.type_list_attr] if arg.type_list_attr in node.attr else _default_of(op_def, arg.type_list_attr)
        return None if attr is None else (attr.list.type, 1)
    data_type = _type_attr(node, op_def, arg.type_attr) if arg.type_attr else arg.type
    if data_type is None:
        return None
    if not arg.number_attr:
        return [data_type], 1
    number = node.attr[arg.number_attr] if arg.number_attr in node.attr else _default_of(op_def, arg.number_attr)
    return None if number is None else ([data_type], max(number.i, 0))


def data_type_name(data_type: int) -> str:
    """What types.proto calls a data type; its number where it has no such."""
    value = schemas.DataType.DESCRIPTOR.values_by_number.get(data_type)
    return str(data_type) if value is None else str(value.name)


def _type_attr(node: schemas.NodeDef, op_def: schemas.OpDef, name: str) -> int | None:
    if name in node.attr:
        return int(node.attr[name].type)
    default = _default_of(op_def, name)
    return None if default is None else int(default.type)


def _default_of(op_def: schemas.OpDef, name: str) -> schemas.AttrValue | None:
    return next((attr.default_value for attr in op_def.attr if attr.name == name and attr.HasField("default_value")), None)


class _Table(Mapping[str, schemas.OpDef]):
    """The rows of the file by their names, parsed when they are asked for."""

    def __init__(self, rows: Mapping[str, str]) -> None:
        self.rows = rows
        self._parsed: dict[str, schemas.OpDef] = {}

    def __getitem__(self, name: str) -> schemas.OpDef:
        if name not in self._parsed:
            self._parsed[name] = _parse(self.rows[name].removeprefix("+"))
        return self._parsed[name]

    def __contains__(self, name: object) -> bool:
        return name in self.rows

    def __iter__(self) -> Iterator[str]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)


@functools.cache
def _rows() -> Mapping[str, str]:
    text = Path(__file__).with_name("op_defs.txt").read_text(encoding="utf-8")
    return {row.partition("(")[0].removeprefix("+"): row for row in text.splitlines()}


@functools.cache
def table() -> Mapping[str, schemas.OpDef]:
    """The table's operations, with what TensorFlow 2.21 knows of them."""
    return _Table(_rows())


@functools.cache
def new_attrs() -> Mapping[str, frozenset[str]]:
    """Of operations that TensorFlow 1.15 has, the attributes that it does not know."""
    return {name: frozenset(names) for name, row in _rows().items() if (names := re.findall(r"[ ]\+(\w+):", row))}


def _parse(row: str) -> schemas.OpDef:
    head, _, attrs = row.partition(" | ")
    call, _, results = head.removesuffix(" stateful").partition(" -> ")
    name, _, inputs = call.partition("(")
    return schemas.OpDef(
        name=name,
        input_arg=_args(inputs.removesuffix(")")),
        output_arg=_args(results),
        attr=_attrs(attrs),
        is_stateful=head.endswith(" stateful"),
    )


def _args(text: str) -> Iterator[schemas.OpDef.ArgDef]:
    for part in filter(None, text.split(", ")):
        name, _, kind = part.partition(": ")
        arg = schemas.OpDef.ArgDef(name=name, is_ref=kind.startswith("&"))
        kind = kind.removeprefix("&")
        if "*" in kind:
            arg.number_attr, _, kind = kind.partition("*")
        if kind.startswith("["):
            arg.type_list_attr = kind[1:-1]
        elif kind in _TYPES:
            arg.type = _TYPES[kind]
        else:
            arg.type_attr = kind
        yield arg


def _attrs(text: str) -> Iterator[schemas.OpDef.AttrDef]:
    for part in filter(None, text.split(", ")):
        name, _, rest = part.removeprefix("+").partition(": ")
        kind, equals, default = rest.partition(" = ")
        attr = schemas.OpDef.AttrDef(name=name, type=kind)
        if equals:
            attr.default_value.CopyFrom(_default(kind, default))
        yield attr


def _default(kind: str, text: str) -> schemas.AttrValue:
    if text.startswith("proto:"):
        return schemas.AttrValue.FromString(bytes.fromhex(text.removeprefix("proto:")))
    if kind == "bool":
        return schemas.AttrValue(b=text == "true")
    if kind == "int":
        return schemas.AttrValue(i=int(text))
    if kind == "float":
        return schemas.AttrValue(f=float(text))
    if kind == "type":
        return schemas.AttrValue(type=_TYPES[text])
    if kind == "shape":
        return schemas.AttrValue(shape=schemas.TensorShapeProto(unknown_rank=True))
    if kind.startswith("list"):
        items = text[1:-1].split()
        if kind == "list(type)":
            return schemas.AttrValue(list={"type": [_TYPES[item] for item in items]})
        if kind == "list(string)":
            return schemas.AttrValue(list={"s": map(_text, items)})
        return schemas.AttrValue(list={"f": map(float, items)} if kind == "list(float)" else {"i": map(int, items)})
    return schemas.AttrValue(s=_text(text))


def _text(text: str) -> bytes:
    return text[1:-1].encode("ascii").decode("unicode_escape").encode("latin-1")


_TYPES = {dtype.name: dtype.data_type for dtype in dtypes.ALL}
