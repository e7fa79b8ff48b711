"""The table of operations says what TensorFlow says of them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.graph.conftest import Models
from tfsaver import schemas
from tfsaver.graph.node_builder import node, of_int, of_type, of_types
from tfsaver.graph.op_defs import new_attrs, num_outputs, op_defs, output_type, table


def output_types(made: Any, op_def: Any) -> list[int | None] | None:
    count = num_outputs(made, op_def)
    return None if count is None else [output_type(made, op_def, index) for index in range(count)]


def stripped(op_def: Any) -> Any:
    """What graphs keep of an OpDef, and the table has."""
    copy = schemas.OpDef(name=op_def.name, is_stateful=op_def.is_stateful)
    for field in ("input_arg", "output_arg"):
        for arg in getattr(op_def, field):
            kept = schemas.OpDef.ArgDef()
            kept.CopyFrom(arg)
            for extra in ("description", "handle_data", "experimental_full_type"):
                if extra in schemas.OpDef.ArgDef.DESCRIPTOR.fields_by_name:
                    kept.ClearField(extra)
            getattr(copy, field).append(kept)
    for attr in op_def.attr:
        kept = schemas.OpDef.AttrDef(name=attr.name, type=attr.type)
        if attr.HasField("default_value"):
            kept.default_value.CopyFrom(attr.default_value)
        copy.attr.append(kept)
    return copy


def test_rows_are_what_graphs_say_of_their_operations(models: Models) -> None:
    compared = set()
    for name in models.names:
        for theirs in models.meta_graph(name).meta_info_def.stripped_op_list.op:
            if theirs.name not in table():
                continue
            ours = schemas.OpDef()
            ours.CopyFrom(table()[theirs.name])
            if models.version == "1.15":
                kept = [attr for attr in ours.attr if attr.name not in new_attrs().get(theirs.name, ())]
                del ours.attr[:]
                ours.attr.extend(kept)
            wanted = stripped(theirs)
            ours_attrs = sorted(ours.attr, key=lambda attr: attr.name)
            assert ours_attrs == sorted(wanted.attr, key=lambda attr: attr.name), theirs.name
            del ours.attr[:], wanted.attr[:]
            assert ours == wanted, theirs.name
            compared.add(theirs.name)
    assert len(compared) >= 18, compared


def test_the_graphs_own_list_goes_before_the_table() -> None:
    meta_graph = schemas.MetaGraphDef()
    meta_graph.meta_info_def.stripped_op_list.op.add(name="Identity", is_stateful=True)
    meta_graph.meta_info_def.stripped_op_list.op.add(name="Mine")
    known = op_defs(meta_graph)
    assert known["Identity"].is_stateful and "Mine" in known and "RestoreV2" in known
    assert not op_defs()["Identity"].is_stateful


FLOAT, INT32, STRING = schemas.DT_FLOAT, schemas.DT_INT32, schemas.DT_STRING


@pytest.mark.parametrize(
    ("made", "types"),
    [
        (node("Identity", "x", (), {"T": of_type(FLOAT)}), [FLOAT]),
        (node("Identity", "x"), None),
        (node("VariableV2", "x", (), {"dtype": of_type(FLOAT)}), [FLOAT]),
        (node("RestoreV2", "x", (), {"dtypes": of_types([FLOAT, STRING])}), [FLOAT, STRING]),
        (node("RestoreV2", "x"), None),
        (node("Shape", "x"), [INT32]),
        (node("NoOp", "x"), []),
        (node("ShardedFilename", "x"), [STRING]),
        (node("StringJoin", "x", (), {"N": of_int(2)}), [STRING]),
    ],
)
def test_a_nodes_outputs_have_the_types_that_its_attributes_say(made: Any, types: list[int] | None) -> None:
    assert output_types(made, table()[made.op]) == types


def test_a_list_of_outputs_has_as_many_as_the_node_says() -> None:
    op_def = schemas.OpDef(name="Split")
    op_def.output_arg.add(name="output", type_attr="T", number_attr="num_split")
    split = node("Split", "x", (), {"T": of_type(FLOAT), "num_split": of_int(3)})
    assert output_types(split, op_def) == [FLOAT] * 3
    split.attr["num_split"].i = 1 << 60
    assert num_outputs(split, op_def) == 1 << 60
    assert output_type(split, op_def, (1 << 60) - 1) == FLOAT
    assert output_type(split, op_def, 1 << 60) is None
    del split.attr["num_split"]
    assert output_types(split, op_def) is None
