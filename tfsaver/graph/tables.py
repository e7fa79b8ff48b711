"""The lookup tables of a graph, and the operations that fill them.

    InitializeTableV2(T, keys, values)            from constants, until TensorFlow 1.14
    LookupTableImportV2(T, keys, values)          from constants, since then
    InitializeTableFromTextFileV2(T, path)        from a file
    LookupTableInsertV2(T, keys, values)          a mutable table: at start, if keys and values need nothing that is fed
    RestoreV2 -> LookupTableImportV2(T, ., .)     a Saver, from a checkpoint

A table is in none of the collections of variables, and a collection of initializers is missing from a frozen graph. So the
operations decide: an import is the Saver's only if its values come from a restore.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from tfsaver import schemas
from tfsaver.errors import DataLossError, InvalidArgumentError, SaverError, UnimplementedError
from tfsaver.framework import dtypes
from tfsaver.framework.dtypes import DType
from tfsaver.framework.tensor_util import as_tensor, make_ndarray
from tfsaver.graph import node_builder
from tfsaver.graph.node_builder import Array
from tfsaver.graph.saver_keys import CALL_OPS, RESTORE_OPS, strings_of
from tfsaver.graph.tensor_names import FreeNames, data_inputs, is_control, node_of, output_index

STATIC_TABLES = frozenset({"HashTable", "HashTableV2", "AnonymousHashTable"})
_MUTABLE_TABLES = """
    MutableHashTable MutableHashTableV2 MutableHashTableOfTensors MutableHashTableOfTensorsV2 MutableDenseHashTable
    MutableDenseHashTableV2 AnonymousMutableHashTable AnonymousMutableHashTableOfTensors AnonymousMutableDenseHashTable
"""
MUTABLE_TABLES = frozenset(_MUTABLE_TABLES.split())
TABLE_OPS = STATIC_TABLES | MUTABLE_TABLES
_INITIALIZE_OPS = """
    InitializeTable InitializeTableV2 InitializeTableFromTextFile InitializeTableFromTextFileV2 InitializeTableFromDataset
"""
INITIALIZE_OPS = frozenset(_INITIALIZE_OPS.split())
# Which input of an operation is the path of a file that it reads at start.
FILE_INPUTS = {"InitializeTableFromTextFile": 1, "InitializeTableFromTextFileV2": 1, "InitializeTRTResource": 1}
EXPORT_OPS = {"LookupTableImport": "LookupTableExport", "LookupTableImportV2": "LookupTableExportV2"}
IMPORT_OPS = frozenset(EXPORT_OPS)
_INSERT_OPS = frozenset({"LookupTableInsert", "LookupTableInsertV2"})
_REMOVE_OPS = frozenset({"LookupTableRemove", "LookupTableRemoveV2"})
# What only a request, a queue or a data set gives.
_FED_OPS = ("Placeholder", "PlaceholderV2", "Queue", "Iterator", "Reader", "Infeed", "Unstage", "PyFunc", "EagerPyFunc")
# What may stand between a restored tensor and a table.
_PASSING = frozenset({"Identity", "Reshape", "Cast", "EnsureShape"})
_MAX_CHAIN = 16


class RestoredTable(NamedTuple):
    """A table that is restored from a checkpoint.

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


class GraphTables:
    """The tables of a graph.

    Attributes:
        nodes: The nodes by their names.
        tables: Those that are tables.
    """

    def __init__(self, graph_def: schemas.GraphDef) -> None:
        self.nodes: Mapping[str, schemas.NodeDef] = {node.name: node for node in graph_def.node}
        self._functions = {function.signature.name: function for function in graph_def.library.function}
        self.tables = {name: node for name, node in self.nodes.items() if node.op in TABLE_OPS}
        self._changes: dict[str, list[schemas.NodeDef]] = {}
        self._imports: dict[str, schemas.NodeDef] = {}
        self._handed: dict[str, list[str]] = {}
        for node in self.nodes.values() if self.tables else ():
            if node.op in INITIALIZE_OPS | IMPORT_OPS | _INSERT_OPS | _REMOVE_OPS and len(node.input) > 1:
                table = self.table_of(node.input[0])
                if is_restored(self.nodes, node):
                    self._imports.setdefault(table, node)
                elif table:
                    self._changes.setdefault(table, []).append(node)
            elif node.op in CALL_OPS or node.op in self._functions:
                for each in data_inputs(node):
                    self._handed.setdefault(self.table_of(each), []).append(node.name)

    def table_of(self, reference: str) -> str:
        """The table that a handle belongs to; empty where it is not a table's."""
        name = node_of(reference)
        for _ in range(_MAX_CHAIN):
            node = self.nodes.get(name)
            if node is None or node.op not in ("Identity", "RefIdentity") or not node.input:
                break
            name = node_of(node.input[0])
        return name if name in self.tables else ""

    def fillers(self, table: str) -> list[schemas.NodeDef]:
        """The operations that fill a table, by the Saver or at start; mutable ones also while the graph runs."""
        restoring = [self._imports[table]] if table in self._imports else []
        return [*(node for node in self._changes.get(table, ()) if node.op not in _REMOVE_OPS), *restoring]

    def filled_by(self, nodes: Collection[str]) -> dict[str, list[str]]:
        """The tables that some nodes fill, themselves or by a function that is given the handle; and these nodes."""
        found = {
            table: [
                name for name in [*(node.name for node in self.fillers(table)), *self.calls(table)] if name in nodes
            ]
            for table in self.tables
        }
        return {table: names for table, names in found.items() if names}

    def calls(self, table: str) -> list[str]:
        """The calls of functions that are given the table's handle."""
        return self._handed.get(table, [])

    def start_fills(self, table: str, listed: Iterable[str] = ()) -> list[str]:
        """The operations that fill a table when a program starts.

        Args:
            listed: What the graph's collection of initializers names; it decides between several.

        Raises:
            InvalidArgumentError: There are several, whose result depends on which of them run, and in which order.
        """
        changes = self._changes.get(table, [])
        if named := [node.name for node in changes if node.name in set(listed)]:
            return named
        filling = [node for node in changes if node.op in INITIALIZE_OPS | IMPORT_OPS and not self._is_fed(node)]
        inserting = [node for node in changes if node.op in _INSERT_OPS and not self._is_fed(node)]
        at_start = {node.name for node in (*filling, *inserting)}
        others = [node for node in changes if node.name not in at_start]
        if not filling and not inserting:
            return []
        if others and self.tables[table].op in MUTABLE_TABLES:
            self._refuse(table, [*filling, *inserting, *others])
        if len(filling) > 1 or (filling and inserting) or not self._are_apart(inserting):
            self._refuse(table, [*filling, *inserting])
        return [node.name for node in (*filling, *inserting)]

    def check_filled(self, empty: Iterable[str], kept: Collection[str], allowed: Iterable[str], what: str) -> None:
        """Refuses tables in which a lookup would find nothing.

        Args:
            empty: Those that are needed, and that nothing fills at start.
            kept: The nodes that run for requests: one may fill a mutable table.
            allowed: Those that a caller lets be empty.
            what: What the graph is called.

        Raises:
            InvalidArgumentError: There is one; names it.
        """
        named = {node_of(name) for name in allowed}
        for table in empty:
            op = self.tables[table].op
            filling = self.fillers(table)
            if table in named or (op in MUTABLE_TABLES and any(node.name in kept for node in filling)):
                continue
            never = ", ".join(f"{node.op} {node.name!r}" for node in filling[:3])
            why = f"only {never}, which needs a feed or a checkpoint, fills it" if never else "nothing in the graph fills it"
            raise InvalidArgumentError(
                f"{what}: table {table!r} ({op}) is needed and has no content when a program starts: {why}. Name the "
                f"operation that fills it, init_op=..., or let it start empty: empty_tables=[{table!r}]"
            )

    def _refuse(self, table: str, nodes: list[schemas.NodeDef]) -> None:
        named = ", ".join(f"{node.op} {node.name!r}" for node in nodes[:3]) + (" ..." if len(nodes) > 3 else "")
        raise InvalidArgumentError(
            f"table {table!r}: the graph does not say which of its operations fill it at start: {named}. Name one that runs "
            f"them in order: init_op={nodes[0].name!r}"
        )

    def _is_fed(self, node: schemas.NodeDef) -> bool:
        """Whether keys or values of an operation come from a request, a pipeline or a checkpoint."""
        seen: set[str] = set()
        waiting = [node_of(each) for each in node.input]
        while waiting:
            name = waiting.pop()
            source = self.nodes.get(name)
            if source is None or name in seen:
                continue
            seen.add(name)
            is_default = source.op == "PlaceholderWithDefault"
            if source.op in RESTORE_OPS or (source.op.startswith(_FED_OPS) and not is_default):
                # An asset is a placeholder that a loader feeds.
                if source.op.startswith("Placeholder") and node.op in FILE_INPUTS:
                    continue
                return True
            waiting += [node_of(each) for each in source.input]
        return False

    def _are_apart(self, inserts: list[schemas.NodeDef]) -> bool:
        """Whether the order of inserts does not matter: no two have a key in common, as far as can be seen."""
        if len(inserts) < 2:
            return True
        seen: set[object] = set()
        for node in inserts:
            keys = constant_array(self.nodes, node.input[1])
            if keys is None or seen.intersection(keys.reshape(-1).tolist()):
                return False
            seen.update(keys.reshape(-1).tolist())
        return True

    def restored(self, tables: Iterable[str], values: Mapping[str, object]) -> list[RestoredTable]:
        """Those of some tables that a checkpoint has, or that the graph's Saver restores.

        Args:
            values: What there is: a table of which the Saver says nothing is looked for as TensorFlow calls it.
        """
        found = []
        from_functions = self._restored_in_calls()
        for table in tables:
            node = self._imports.get(table)
            types = self._types(table)
            names = tuple(restored_name(self.nodes, each) for each in node.input[1:3]) if node is not None else ()
            by_node = (f"{table}-keys", f"{table}-values")
            for candidate in (names, from_functions.get(table, ()), by_node):
                if len(candidate) == 2 and all(each and each in values for each in candidate):
                    names = candidate
                    break
            else:
                if len(names) != 2 or not all(names):
                    continue
            is_new = self.tables[table].op.endswith("V2") or self.tables[table].op.startswith("Anonymous")
            op = "LookupTableImportV2" if is_new else "LookupTableImport"
            if node is not None:
                op, types = node.op, (type_of(node, "Tin"), type_of(node, "Tout"))
            found.append(RestoredTable(table, op, *types, (names[0], names[1])))
        return found

    def _types(self, table: str) -> tuple[int, int]:
        return type_of(self.tables[table], "key_dtype"), type_of(self.tables[table], "value_dtype")

    def _restored_in_calls(self) -> dict[str, tuple[str, str]]:
        """What functions that restore call the tensors of the tables whose handles they are given."""
        found: dict[str, tuple[str, str]] = {}
        for table, calls in self._handed.items():
            for name in calls if table else ():
                call = self.nodes[name]
                function = self._functions.get(call.attr["f"].func.name if "f" in call.attr else call.op)
                if function is None:
                    continue
                body = {node.name: node for node in function.node_def}
                for argument, reference in zip(function.signature.input_arg, data_inputs(call), strict=False):
                    if self.table_of(reference) != table:
                        continue
                    for node in body.values():
                        if node.op in IMPORT_OPS and len(node.input) > 2 and _origin(body, node.input[0]) == argument.name:
                            names = restored_name(body, node.input[1]), restored_name(body, node.input[2])
                            if all(names):
                                found.setdefault(table, names)
        return found


def constant_fill(
    table: RestoredTable, values: Mapping[str, Any], nodes: Mapping[str, schemas.NodeDef], names: FreeNames
) -> list[schemas.NodeDef]:
    """Nodes that fill a table with what a checkpoint has: keys, values, and the operation, which is the last.

    Raises:
        DataLossError: The checkpoint has other types or shapes than the table.
        UnimplementedError: A dense table whose empty key is computed.
    """
    arrays = []
    for part, name, data_type in zip(("keys", "values"), table.names, (table.key_type, table.value_type), strict=True):
        array, dtype = as_tensor(values[name], name)
        if dtype.data_type != data_type:
            wanted = dtypes.from_data_type(data_type)
            raise DataLossError(f"table {table.node!r}: its {part} are {wanted}, {name!r} in the checkpoint is {dtype}")
        arrays.append((part, array, dtype))
    op = table.import_op
    if "Dense" in nodes[table.node].op:
        # An import takes the place of all buckets, and its shape function refuses their matrices.
        op = op.replace("Import", "Insert")
        arrays = _used_buckets(nodes[table.node], arrays, nodes)
    consts = [node_builder.array_const(names.take(f"{table.node}/{part}"), array, dtype) for part, array, dtype in arrays]
    types = {"Tin": node_builder.of_type(table.key_type), "Tout": node_builder.of_type(table.value_type)}
    inputs = [table.node, *(node.name for node in consts)]
    return [*consts, node_builder.node(op, names.take(f"{table.node}/fill"), inputs, types)]


def _used_buckets(
    table: schemas.NodeDef, arrays: list[tuple[str, Array, DType]], nodes: Mapping[str, schemas.NodeDef]
) -> list[tuple[str, Array, DType]]:
    """The entries of a dense table, of which a checkpoint has every bucket, keys and values as matrices."""
    (_, keys, key_dtype), (_, values, value_dtype) = arrays
    unused = [array for each in data_inputs(table)[:2] if (array := constant_array(nodes, each)) is not None]
    # Looking an attribute up that is not there would add it.
    dims = [dim.size for dim in table.attr["value_shape"].shape.dim] if "value_shape" in table.attr else []
    if len(unused) < len(data_inputs(table)[:2]) or min(dims, default=0) < 0:
        raise UnimplementedError(f"table {table.name!r}: constants can fill a {table.op} whose empty key is one itself")
    try:
        keys, values = keys.reshape(len(keys), *unused[0].shape), values.reshape(len(values), *dims)
    except (ValueError, TypeError):
        raise DataLossError(
            f"table {table.name!r}: its buckets in the checkpoint have the shapes {keys.shape} and {values.shape}, "
            f"a key has {unused[0].shape} and a value {tuple(dims)}"
        ) from None
    used = np.ones(len(keys), bool)
    for each in unused:
        used &= np.asarray(keys != each).reshape(len(keys), -1).any(1)
    return [("keys", keys[used], key_dtype), ("values", values[used], value_dtype)]


def type_of(node: schemas.NodeDef, attr: str) -> int:
    """The data type in an attribute; 0 where there is none."""
    return int(node.attr[attr].type) if attr in node.attr else 0


def is_restored(nodes: Mapping[str, schemas.NodeDef], node: schemas.NodeDef) -> bool:
    """Whether an operation fills a table with what a Saver restores."""
    if node.op not in IMPORT_OPS or len(node.input) < 3:
        return False
    source = nodes.get(_origin(nodes, node.input[1]))
    return source is not None and source.op in RESTORE_OPS


def restored_name(nodes: Mapping[str, schemas.NodeDef], tensor: str) -> str:
    """What a checkpoint calls the tensor that a RestoreV2 gives; empty where it comes from elsewhere."""
    for _ in range(_MAX_CHAIN):
        node = nodes.get(node_of(tensor))
        if node is None or node.op not in _PASSING or not node.input:
            break
        tensor = node.input[0]
    if node is None or node.op != "RestoreV2" or len(node.input) < 3:
        return ""
    # In a function's body an output has a name before its number.
    names, index = strings_of(nodes.get(node_of(node.input[1]))), output_index(tensor)
    if index is None:
        last = tensor.rpartition(":")[2]
        index = int(last) if len(last) < 19 and last.isascii() and last.isdigit() else None
    return names[index] if index is not None and index < len(names) else ""


def _origin(nodes: Mapping[str, schemas.NodeDef], reference: str) -> str:
    name = node_of(reference)
    for _ in range(_MAX_CHAIN):
        node = nodes.get(name)
        if node is None or node.op not in _PASSING or not node.input or is_control(node.input[0]):
            break
        name = node_of(node.input[0])
    return name


def constant_array(nodes: Mapping[str, schemas.NodeDef], reference: str) -> Array | None:
    """The array that a Const gives; None where something else does, or it is damaged."""
    node = nodes.get(_origin(nodes, reference))
    if node is None or node.op != "Const" or "value" not in node.attr:
        return None
    try:
        return make_ndarray(node.attr["value"].tensor, node.name)
    except SaverError:
        return None
