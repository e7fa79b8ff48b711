"""Variables are found where a graph has them, with the names that a checkpoint has their values under."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tfsaver import schemas
from tfsaver.checkpoint.checkpoint_reader import load_checkpoint
from tfsaver.errors import DataLossError, UnimplementedError
from tfsaver.graph.node_builder import node, of_shape, of_string, of_type, strings_const
from tfsaver.graph.variables import find_variables

FLOAT = of_type(schemas.DT_FLOAT)


def graph_of(*nodes: Any) -> Any:
    return schemas.GraphDef(node=nodes)


def handle(name: str, **attrs: Any) -> Any:
    return node("VarHandleOp", name, (), {"dtype": FLOAT, "shape": of_shape([2]), **attrs})


def test_a_resource_is_what_its_node_says() -> None:
    (found,) = find_variables(graph_of(handle("a", shared_name=of_string("b"), container=of_string("c"))))
    assert (found.name, found.dtype.name, found.shape, found.is_resource) == ("a", "float32", (2,), True)
    assert (found.shared_name, found.container, found.initializer, found.snapshot) == ("b", "c", "", "")
    assert found.trainable is None and not found.is_part and found.shape_and_slice == ""


def test_an_initializer_and_a_reader_are_found_by_their_names() -> None:
    (found,) = find_variables(
        graph_of(
            node("VariableV2", "a", (), {"dtype": FLOAT, "shape": of_shape(None)}),
            node("Assign", "other", ["a", "zeros"]),
            node("Assign", "a/Assign", ["a", "ones"]),
            node("Identity", "a/read", ["a"]),
        )
    )
    assert (found.shape, found.initializer, found.initial_value, found.snapshot) == (None, "a/Assign", "ones", "a/read")


def test_the_first_kind_of_variable_wrote_an_unknown_shape_like_a_scalars() -> None:
    old = node("Variable", "a", (), {"dtype": FLOAT, "shape": of_shape([])})
    new = node("VariableV2", "b", (), {"dtype": FLOAT, "shape": of_shape([])})
    assert [each.shape for each in find_variables(graph_of(old, new))] == [None, ()]


def test_a_savers_name_goes_before_the_nodes() -> None:
    (found,) = find_variables(
        graph_of(
            handle("a"),
            strings_const("names", ["other", "kernel"]),
            strings_const("slices", ["", "4 2,2"]),
            node("RestoreV2", "restore", ["prefix", "names", "slices"]),
            node("Identity", "value", ["restore:1"]),
            node("AssignVariableOp", "assign", ["a", "value"]),
        )
    )
    assert (found.name, found.full_shape, found.shape_and_slice) == ("kernel", (4,), "4 2,2")


def test_of_two_savers_the_meta_graphs_own_is_asked() -> None:
    nodes = [handle("a")]
    for label in ("first", "second"):
        nodes += [
            strings_const(f"{label}/names", [label]),
            strings_const(f"{label}/slices", [""]),
            node("RestoreV2", f"{label}/restore", ["prefix", f"{label}/names", f"{label}/slices"]),
            node("AssignVariableOp", f"{label}/assign", ["a", f"{label}/restore"]),
            node("NoOp", f"{label}/all", [f"^{label}/assign"]),
        ]
    meta_graph = schemas.MetaGraphDef(graph_def=graph_of(*nodes))
    assert [each.name for each in find_variables(meta_graph)] == ["first"]
    meta_graph.saver_def.restore_op_name = "second/all"
    assert [each.name for each in find_variables(meta_graph)] == ["second"]


def test_a_restoring_function_knows_the_names_of_its_arguments() -> None:
    function = schemas.FunctionDef(
        signature=schemas.OpDef(
            name="restore_1",
            input_arg=[schemas.OpDef.ArgDef(name="prefix"), schemas.OpDef.ArgDef(name="variable")],
        ),
        node_def=[
            strings_const("names", ["net/kernel/.ATTRIBUTES/VARIABLE_VALUE"]),
            strings_const("slices", [""]),
            node("RestoreV2", "restore", ["prefix", "names:output:0", "slices:output:0"]),
            node("Identity", "value", ["restore:tensors:0"]),
            node("AssignVariableOp", "assign", ["variable", "value:output:0"]),
        ],
    )
    call = node("StatefulPartitionedCall", "call", ["prefix", "a"])
    call.attr["f"].func.name = "restore_1"
    meta_graph = schemas.MetaGraphDef(graph_def=graph_of(handle("a"), call))
    meta_graph.graph_def.library.function.append(function)
    meta_graph.saver_def.restore_op_name = "call"
    assert [each.name for each in find_variables(meta_graph)] == ["net/kernel/.ATTRIBUTES/VARIABLE_VALUE"]


def test_a_slice_comes_from_the_collection_where_no_saver_is() -> None:
    definition = schemas.VariableDef(variable_name="p/part_1:0", initializer_name="p/part_1/Assign", trainable=True)
    definition.save_slice_info_def.full_name = "p"
    definition.save_slice_info_def.full_shape.extend([4, 2])
    definition.save_slice_info_def.var_offset.extend([2, 0])
    definition.save_slice_info_def.var_shape.extend([2, 2])
    meta_graph = schemas.MetaGraphDef(graph_def=graph_of(handle("p/part_1")))
    meta_graph.collection_def["variables"].bytes_list.value.append(definition.SerializeToString())
    (found,) = find_variables(meta_graph)
    assert (found.name, found.shape_and_slice, found.initializer) == ("p", "4 2 2,2:0,2", "p/part_1/Assign")
    assert found.trainable is True
    # Older programs say it only by the collection.
    meta_graph.collection_def["trainable_variables"].bytes_list.SetInParent()
    assert find_variables(meta_graph)[0].trainable is False


def test_a_circle_of_identities_ends() -> None:
    graph = graph_of(
        handle("a"),
        node("Identity", "x", ["y"]),
        node("Identity", "y", ["x"]),
        node("AssignVariableOp", "assign", ["a", "x"]),
    )
    assert [each.name for each in find_variables(graph)] == ["a"]


def test_a_variable_without_a_type_is_data_loss() -> None:
    with pytest.raises(DataLossError, match="'a': a VarHandleOp without a dtype"):
        find_variables(graph_of(node("VarHandleOp", "a")))


def test_a_variable_of_an_unknown_type_is_said() -> None:
    with pytest.raises(UnimplementedError, match="data type 99"):
        find_variables(graph_of(handle("a", dtype=of_type(99))))


def test_a_collection_of_something_else_is_data_loss() -> None:
    meta_graph = schemas.MetaGraphDef()
    meta_graph.collection_def["variables"].bytes_list.value.append(b"\x0a\xff")
    with pytest.raises(DataLossError, match="collection 'variables', entry 0"):
        find_variables(meta_graph)


# Assets live in variables too that no Saver knows; nor does the one of the old example know its step.
_NOT_SAVED = {"filename_tensor", "asset_path", "filename1", "filename2", "global_step"}


def test_the_names_of_real_graphs_are_those_of_their_checkpoints(cases: Path, every_meta_graph: dict[str, Any]) -> None:
    compared = 0
    for label, meta_graph in every_meta_graph.items():
        path = cases / label.partition("#")[0]
        prefix = path.with_suffix("") if path.suffix == ".meta" else path.parent / "variables" / "variables"
        if "fuzz" in label or not Path(f"{prefix}.index").exists() or not meta_graph.HasField("saver_def"):
            continue
        with load_checkpoint(prefix) as reader:
            found = {each.name: each for each in find_variables(meta_graph)}
            stored = {name for name in reader if name != "_CHECKPOINTABLE_OBJECT_GRAPH"}
            assert stored <= set(found), label
            if stored and meta_graph.collection_def["variables"].bytes_list.value:
                assert set(found) - stored <= _NOT_SAVED, label
            for name in stored:
                assert reader.info(name).dtype == found[name].dtype, label
                assert (found[name].full_shape or found[name].shape) in (None, reader.shape(name)), label
                compared += 1
    assert compared > 400


def test_an_old_graph_restores_each_variable_by_itself(
    cases: Path, read_meta_graphs: Callable[[str], list[Any]]
) -> None:
    (meta_graph,) = read_meta_graphs("v1_bad_half_plus_two/00000123/export.meta")
    names = [each.name for each in find_variables(meta_graph)]
    assert names == sorted(load_checkpoint(cases / "v1_bad_half_plus_two/00000123/export"))
    assert any(each.op == "RestoreSlice" for each in meta_graph.graph_def.node)
