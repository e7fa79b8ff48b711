"""Tables whose content a checkpoint holds: those that training fills, unlike vocabularies, which a file fills.

    RestoreV2(prefix, [T-keys, T-values]) -> LookupTableImportV2(T, keys, values)          restores
    LookupTableExportV2(T) -> SaveV2(prefix, [.., T-keys, T-values], .., keys, values)     saves

The source's own Saver has such nodes; they say what the checkpoint calls the two tensors of each table. The export's Saver
gets the same, beside what it has for variables.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tfsaver import schemas
from tfsaver.errors import NotFoundError
from tfsaver.graph import node_builder
from tfsaver.graph.saver_keys import strings_of
from tfsaver.graph.tables import EXPORT_OPS, RestoredTable, constant_fill
from tfsaver.graph.tensor_names import FreeNames, node_of

_SAVEABLE_OBJECTS = "saveable_objects"


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


def fill_from_constants(
    meta_graph: schemas.MetaGraphDef, tables: Iterable[RestoredTable], values: Mapping[str, Any]
) -> dict[str, list[str]]:
    """Puts the content of tables into the graph; in place. Returns the operation that fills each."""
    by_name = {node.name: node for node in meta_graph.graph_def.node}
    names = FreeNames(by_name)
    fills = {}
    for table in tables:
        nodes = constant_fill(table, values, by_name, names)
        meta_graph.graph_def.node.extend(nodes)
        fills[table.node] = [nodes[-1].name]
    return fills


def add_tables(meta_graph: schemas.MetaGraphDef, tables: Iterable[RestoredTable]) -> None:
    """Lets the Saver of a graph restore and save tables too; in place."""
    tables = list(tables)
    # TensorFlow's importer makes operations of what stands there, which its Saver then refuses.
    meta_graph.collection_def.pop(_SAVEABLE_OBJECTS, None)
    if not tables:
        return
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
        fill, read = f"{scope}/{table.import_op}_{number}", f"{scope}/{EXPORT_OPS[table.import_op]}_{number}"
        key_type, value_type = node_builder.of_type(table.key_type), node_builder.of_type(table.value_type)
        tensors = [table.node, f"{restore}:{2 * number}", f"{restore}:{2 * number + 1}"]
        added.append(node_builder.node(table.import_op, fill, tensors, {"Tin": key_type, "Tout": value_type}))
        reading = {"Tkeys": key_type, "Tvalues": value_type}
        added.append(node_builder.node(EXPORT_OPS[table.import_op], read, [table.node], reading))
        restore_all.input.append(f"^{fill}")
        save.input.extend([read, f"{read}:1"])
    save.attr["dtypes"].list.type.extend(types)
    for const, texts in ((nodes[save.input[1]], names), (nodes[save.input[2]], [""] * len(names))):
        const.CopyFrom(node_builder.strings_const(const.name, [*strings_of(const), *texts], device=const.device))
    meta_graph.graph_def.node.extend(added)
