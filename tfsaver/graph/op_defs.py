"""What operations take, give and leave open: OpDefs, from a graph's own list and from a table of ours.

A MetaGraphDef lists the operations that it uses as they were in the TensorFlow that wrote it. A bare GraphDef says nothing
of them; for such, and for nodes that are added to a graph, the table has those that saving, restoring and freezing need:

    Name(inputs) -> outputs stateful | attributes

    x: T        a tensor of the type in the attribute T        x: &T       a reference to one
    x: N*T      N of them                                      x: [T]      one for each of a list of types
    +           an operation or attribute that TensorFlow 1.15 does not know
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping, Sequence

from tfsaver import schemas
from tfsaver.framework import dtypes

_TABLE = r"""
Add(x: T, y: T) -> z: T | T: type
AddV2(x: T, y: T) -> z: T | T: type
Assign(ref: &T, value: T) -> output_ref: &T | T: type, validate_shape: bool = true, use_locking: bool = true
AssignVariableOp(resource: resource, value: dtype) stateful | dtype: type, +validate_shape: bool = false
Cast(x: SrcT) -> y: DstT | SrcT: type, DstT: type, Truncate: bool = false
Const() -> output: dtype | value: tensor, dtype: type
+DisableCopyOnRead(resource: resource) stateful
HashTableV2() -> table_handle: resource stateful
    | container: string = "", shared_name: string = "", use_node_name_sharing: bool = false,
      key_dtype: type, value_dtype: type
GatherV2(params: Tparams, indices: Tindices, axis: Taxis) -> output: Tparams
    | batch_dims: int = 0, Tparams: type, Tindices: type, Taxis: type
Identity(input: T) -> output: T | T: type
InitializeTableFromTextFileV2(table_handle: resource, filename: string) stateful
    | key_index: int, value_index: int, vocab_size: int = -1, delimiter: string = "\t", +offset: int = 0
IsVariableInitialized(ref: &dtype) -> is_initialized: bool | dtype: type
LookupTableExportV2(table_handle: resource) -> keys: Tkeys, values: Tvalues stateful | Tkeys: type, Tvalues: type
LookupTableFindV2(table_handle: resource, keys: Tin, default_value: Tout) -> values: Tout stateful
    | Tin: type, Tout: type
LookupTableImportV2(table_handle: resource, keys: Tin, values: Tout) stateful | Tin: type, Tout: type
MatMul(a: T, b: T) -> product: T
    | transpose_a: bool = false, transpose_b: bool = false, T: type, +grad_a: bool = false, +grad_b: bool = false
MergeV2Checkpoints(checkpoint_prefixes: string, destination_prefix: string) stateful
    | delete_old_dirs: bool = true, +allow_missing_files: bool = false
Mul(x: T, y: T) -> z: T | T: type
MutableHashTableV2() -> table_handle: resource stateful
    | container: string = "", shared_name: string = "", use_node_name_sharing: bool = false,
      key_dtype: type, value_dtype: type
NoOp()
Pack(values: N*T) -> output: T | N: int, T: type, axis: int = 0
PartitionedCall(args: [Tin]) -> output: [Tout]
    | Tin: list(type), Tout: list(type), f: func, config: string = "", config_proto: string = "", executor_type: string = ""
Placeholder() -> output: dtype | dtype: type, shape: shape = unknown
PlaceholderWithDefault(input: dtype) -> output: dtype | dtype: type, shape: shape
ReadVariableOp(resource: resource) -> value: dtype stateful | dtype: type
Reshape(tensor: T, shape: Tshape) -> output: T | T: type, Tshape: type = int32
Restore(file_pattern: string, tensor_name: string) -> tensor: dt stateful | dt: type, preferred_shard: int = -1
RestoreSlice(file_pattern: string, tensor_name: string, shape_and_slice: string) -> tensor: dt stateful
    | dt: type, preferred_shard: int = -1
RestoreV2(prefix: string, tensor_names: string, shape_and_slices: string) -> tensors: [dtypes] stateful | dtypes: list(type)
Save(filename: string, tensor_names: string, data: [T]) stateful | T: list(type)
SaveSlices(filename: string, tensor_names: string, shapes_and_slices: string, data: [T]) stateful | T: list(type)
SaveV2(prefix: string, tensor_names: string, shape_and_slices: string, tensors: [dtypes]) stateful | dtypes: list(type)
Select(condition: bool, t: T, e: T) -> output: T | T: type
Shape(input: T) -> output: out_type | T: type, out_type: type = int32
ShardedFilename(basename: string, shard: int32, num_shards: int32) -> filename: string
ShardedFilespec(basename: string, num_shards: int32) -> filename: string
StatefulPartitionedCall(args: [Tin]) -> output: [Tout] stateful
    | Tin: list(type), Tout: list(type), f: func, config: string = "", config_proto: string = "", executor_type: string = ""
StaticRegexFullMatch(input: string) -> output: bool | pattern: string
StringJoin(inputs: N*string) -> output: string | N: int, separator: string = ""
VarHandleOp() -> resource: resource stateful
    | container: string = "", shared_name: string = "", +debug_name: string = "",
      dtype: type, shape: shape, +allowed_devices: list(string) = []
VarIsInitializedOp(resource: resource) -> is_initialized: bool stateful
Variable() -> ref: &dtype stateful | shape: shape, dtype: type, container: string = "", shared_name: string = ""
VariableV2() -> ref: &dtype stateful | shape: shape, dtype: type, container: string = "", shared_name: string = ""
"""

_REFERENCE = 100
# A file brings definitions of its own. None that TensorFlow has comes near this; of what has more, nothing is known, since
# every node of such an operation would be compared with all of it.
_MAX_ENTRIES = 256
_SPACES = re.compile(r"\n +")


def op_defs(meta_graph: schemas.MetaGraphDef | None = None) -> dict[str, schemas.OpDef]:
    """The operations that are known for a graph: its own list before the table."""
    known = dict(table())
    if meta_graph is not None:
        for op_def in meta_graph.meta_info_def.stripped_op_list.op:
            known.pop(op_def.name, None)
            if max(len(op_def.attr), len(op_def.input_arg), len(op_def.output_arg)) <= _MAX_ENTRIES:
                known[op_def.name] = op_def
    return known


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


def _output_runs(node: schemas.NodeDef, op_def: schemas.OpDef) -> list[tuple[Sequence[int], int]] | None:
    """The types, and how often they are repeated: as a list of all they would be as many as a damaged number says."""
    runs: list[tuple[Sequence[int], int]] = []
    for output in op_def.output_arg:
        if output.type_list_attr:
            if output.type_list_attr not in node.attr:
                return None
            runs.append((node.attr[output.type_list_attr].list.type, 1))
            continue
        data_type = _type_attr(node, op_def, output.type_attr) if output.type_attr else output.type
        if data_type is None or (output.number_attr and output.number_attr not in node.attr):
            return None
        runs.append(([data_type], max(node.attr[output.number_attr].i, 0) if output.number_attr else 1))
    return runs


def data_type_name(data_type: int) -> str:
    """What types.proto calls a data type; its number where it has no such."""
    value = schemas.DataType.DESCRIPTOR.values_by_number.get(data_type)
    return str(data_type) if value is None else str(value.name)


def _type_attr(node: schemas.NodeDef, op_def: schemas.OpDef, name: str) -> int | None:
    if name in node.attr:
        return int(node.attr[name].type)
    for attr in op_def.attr:
        if attr.name == name and attr.HasField("default_value"):
            return int(attr.default_value.type)
    return None


@functools.cache
def table() -> Mapping[str, schemas.OpDef]:
    """The table's operations, with what TensorFlow 2.21 knows of them."""
    rows = _SPACES.sub(" ", _TABLE.strip()).splitlines()
    parsed = (_parse(row.removeprefix("+")) for row in rows)
    return {op_def.name: op_def for op_def in parsed}


@functools.cache
def new_attrs() -> Mapping[str, frozenset[str]]:
    """Of operations that TensorFlow 1.15 has, the attributes that it does not know."""
    found = {}
    for row in _SPACES.sub(" ", _TABLE.strip()).splitlines():
        names = re.findall(r"\+(\w+):", row)
        if names:
            found[row.partition("(")[0]] = frozenset(names)
    return found


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
    if kind == "bool":
        return schemas.AttrValue(b=text == "true")
    if kind == "int":
        return schemas.AttrValue(i=int(text))
    if kind == "type":
        return schemas.AttrValue(type=_TYPES[text])
    if kind == "shape":
        return schemas.AttrValue(shape=schemas.TensorShapeProto(unknown_rank=True))
    if kind.startswith("list"):
        return schemas.AttrValue(list={})
    return schemas.AttrValue(s=text[1:-1].encode().decode("unicode_escape").encode())


_TYPES = {dtype.name: dtype.data_type for dtype in dtypes.ALL}
