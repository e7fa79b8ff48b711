"""Tables whose content a checkpoint holds: those that training fills, unlike vocabularies, which a file fills.

    RestoreV2(prefix, [T-keys, T-values]) -> LookupTableImportV2(T, keys, values)          restores
    LookupTableExportV2(T) -> SaveV2(prefix, [.., T-keys, T-values], .., keys, values)     saves

The source's own Saver has such nodes; they say what the checkpoint calls the two tensors of each table. The export's Saver
gets the same, beside what it has for variables.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple

from tfsaver import schemas
from tfsaver.errors import NotFoundError, UnimplementedError
from tfsaver.graph import node_builder
from tfsaver.graph.saver_keys import strings_of
from tfsaver.graph.tensor_names import node_of, output_index

_IMPORTS = {"LookupTableImport": "LookupTableExport", "LookupTableImportV2": "LookupTableExportV2"}
_SAVEABLE_OBJECTS = "saveable_objects"
# What may stand between a restored tensor and the table.
_MAX_CHAIN = 8


class RestoredTable(NamedTuple):
    """A table that is restored.

    Attributes:
        node: The node that is the table.
        import_op: The operation that fills it.
        key_type, value_type: What it maps from, and to.
        names: What the checkpoint calls its keys and its values.
    """

    node: str
    import_op: str
    key_type: int
    value_type: int
    names: tuple[str, str]


def find_restored_tables(nodes: Mapping[str, schemas.NodeDef], kept: Collection[str]) -> list[RestoredTable]:
    """The tables among some nodes that the graph's Saver fills from a checkpoint."""
    found: dict[str, RestoredTable] = {}
    for node in nodes.values():
        if node.op not in _IMPORTS or len(node.input) < 3 or node_of(node.input[0]) not in kept:
            continue
        names = [_restored_name(nodes, each) for each in node.input[1:3]]
        if names[0] and names[1]:
            types = node.attr["Tin"].type, node.attr["Tout"].type
            table = RestoredTable(node_of(node.input[0]), node.op, *types, (names[0], names[1]))
            found.setdefault(table.node, table)
    return list(found.values())


def _restored_name(nodes: Mapping[str, schemas.NodeDef], tensor: str) -> str:
    """What a checkpoint calls the tensor that a RestoreV2 gives; empty where it comes from elsewhere."""
    for _ in range(_MAX_CHAIN):
        node = nodes.get(node_of(tensor))
        if node is None or node.op != "Identity" or not node.input:
            break
        tensor = node.input[0]
    if node is None or node.op != "RestoreV2" or len(node.input) < 3:
        return ""
    names, index = strings_of(nodes.get(node_of(node.input[1]))), output_index(tensor)
    return names[index] if index is not None and index < len(names) else ""


def check_tables(tables: Iterable[RestoredTable], values: Mapping[str, Any], what: str) -> dict[str, str]:
    """The names of the tables' tensors in the new checkpoint and in the values: the same.

    Raises:
        NotFoundError: There is no value for one.
    """
    names = {name: name for table in tables for name in table.names}
    for name in names:
        if name not in values:
            raise NotFoundError(f"{what}: no value for {name!r}, a tensor of a table that is needed")
    return names


def add_tables(meta_graph: schemas.MetaGraphDef, tables: Iterable[RestoredTable]) -> None:
    """Lets the Saver of a graph restore and save tables too; in place.

    Raises:
        UnimplementedError: The graph has no Saver, since it has no variables.
    """
    tables = list(tables)
    # TensorFlow's importer makes operations of what stands there, which its Saver then refuses.
    meta_graph.collection_def.pop(_SAVEABLE_OBJECTS, None)
    if not tables:
        return
    if not meta_graph.HasField("saver_def"):
        raise UnimplementedError("a graph that has tables in its checkpoint, but no variables")
    nodes = {node.name: node for node in meta_graph.graph_def.node}
    restore_all = nodes[meta_graph.saver_def.restore_op_name]
    scope = restore_all.name.rpartition("/")[0]
    prefix = node_of(meta_graph.saver_def.filename_tensor_name)
    names = [name for table in tables for name in table.names]
    types = [each for table in tables for each in (table.key_type, table.value_type)]
    restore = f"{scope}/RestoreTables"
    added = [
        node_builder.strings_const(f"{restore}/tensor_names", names),
        node_builder.strings_const(f"{restore}/shape_and_slices", [""] * len(names)),
        node_builder.node(
            "RestoreV2",
            restore,
            [prefix, f"{restore}/tensor_names", f"{restore}/shape_and_slices"],
            {"dtypes": node_builder.of_types(types)},
        ),
    ]
    save = nodes[f"{scope}/SaveV2"]
    for number, table in enumerate(tables):
        fill, read = f"{scope}/{table.import_op}_{number}", f"{scope}/{_IMPORTS[table.import_op]}_{number}"
        key_type, value_type = node_builder.of_type(table.key_type), node_builder.of_type(table.value_type)
        tensors = [table.node, f"{restore}:{2 * number}", f"{restore}:{2 * number + 1}"]
        added.append(node_builder.node(table.import_op, fill, tensors, {"Tin": key_type, "Tout": value_type}))
        reading = {"Tkeys": key_type, "Tvalues": value_type}
        added.append(node_builder.node(_IMPORTS[table.import_op], read, [table.node], reading))
        restore_all.input.append(f"^{fill}")
        save.input.extend([read, f"{read}:1"])
    save.attr["dtypes"].list.type.extend(types)
    for const, texts in ((nodes[save.input[1]], names), (nodes[save.input[2]], [""] * len(names))):
        const.CopyFrom(node_builder.strings_const(const.name, [*strings_of(const), *texts], device=const.device))
    meta_graph.graph_def.node.extend(added)
