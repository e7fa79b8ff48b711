"""Graphs that nobody's program writes: work grows with a graph and no faster, and no depth is too much.

Work is counted in calls, not in time: twice four times as many, for four times the graph, is the most that anything may take.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pytest

from tfsaver import schemas
from tfsaver.errors import DataLossError, SaverError, UnimplementedError
from tfsaver.graph import default_attrs, essential_variables, freezing, functions, lint, op_risks, pruning, unfreezing
from tfsaver.graph.node_builder import node, of_int, of_shape, of_type, of_types, string_const, strings_const
from tfsaver.graph.op_defs import op_defs
from tfsaver.graph.save_restore import with_saver
from tfsaver.graph.tensor_names import FreeNames, free_name
from tfsaver.graph.variables import find_variables
from tfsaver.saved_model import fingerprint
from tfsaver.saved_model.object_graph import object_graph_of_saved_model

FLOAT, RESOURCE = schemas.DT_FLOAT, schemas.DT_RESOURCE


def graph_of(nodes: Iterable[schemas.NodeDef]) -> schemas.MetaGraphDef:
    graph = schemas.MetaGraphDef()
    graph.graph_def.node.extend(nodes)
    return graph


def variable(name: str, op: str = "VarHandleOp") -> schemas.NodeDef:
    return node(op, name, (), {"dtype": of_type(FLOAT), "shape": of_shape([])})


def identity(name: str, source: str, data_type: int = FLOAT) -> schemas.NodeDef:
    return node("Identity", name, [source], {"T": of_type(data_type)})


def call(name: str, inputs: list[str], function: str, outputs: list[int]) -> schemas.NodeDef:
    func = schemas.AttrValue(func=schemas.NameAttrList(name=function))
    attrs = {"Tin": of_types([RESOURCE] * len(inputs)), "Tout": of_types(outputs), "f": func}
    return node("StatefulPartitionedCall", name, inputs, attrs)


def chain(size: int) -> schemas.MetaGraphDef:
    return graph_of([string_const("n0", "x"), *(identity(f"n{i}", f"n{i - 1}") for i in range(1, size))])


def chain_of_a_handle(size: int) -> schemas.MetaGraphDef:
    return graph_of([variable("n0"), *(identity(f"n{i}", f"n{i - 1}", RESOURCE) for i in range(1, size))])


def variables_that_need_each_other(size: int) -> schemas.MetaGraphDef:
    graph = schemas.MetaGraphDef()
    for i in range(size):
        assign = node("Assign", f"v{i}/Assign", [f"v{i}", f"v{(i + 1) % size}"], {"T": of_type(FLOAT)})
        graph.graph_def.node.extend([variable(f"v{i}", "VariableV2"), assign])
        definition = schemas.VariableDef(variable_name=f"v{i}:0", initializer_name=f"v{i}/Assign")
        graph.collection_def["variables"].bytes_list.value.append(definition.SerializeToString())
    return graph


def circle(size: int) -> schemas.MetaGraphDef:
    return graph_of(identity(f"n{i}", f"n{(i - 1) % size}") for i in range(size))


def one_node_of_all(size: int) -> schemas.MetaGraphDef:
    inputs = [f"n{i}" for i in range(size)]
    return graph_of([*(variable(name) for name in inputs), call("last", inputs, "none", [])])


def one_function_called_often(size: int) -> schemas.MetaGraphDef:
    graph = graph_of([variable("v"), *(call(f"c{i}", ["v"], "f", []) for i in range(size))])
    function = graph.graph_def.library.function.add()
    function.signature.name = "f"
    function.signature.input_arg.add(name="a", type=RESOURCE)
    function.node_def.extend(node("NoOp", f"x{i}") for i in range(size))
    graph.graph_def.node.append(node("NoOp", "all", [f"^c{i}" for i in range(size)]))
    graph.saver_def.restore_op_name = "all"
    return graph


def functions_that_call_each_other(size: int) -> schemas.MetaGraphDef:
    graph = graph_of([variable("v"), call("n", ["v"], "f0", [FLOAT])])
    for i in range(size):
        function = graph.graph_def.library.function.add(ret={"o": "c:output:0"})
        function.signature.name = f"f{i}"
        function.signature.input_arg.add(name="a", type=RESOURCE)
        function.signature.output_arg.add(name="o", type=FLOAT)
        function.node_def.append(call("c", ["a"], f"f{(i + 1) % size}", [FLOAT]))
    return graph


def restored(size: int) -> schemas.MetaGraphDef:
    names, slices = strings_const("names", [f"k{i}" for i in range(size)]), strings_const("slices", [""] * size)
    restore = node("RestoreV2", "r", ["p", "names", "slices"], {"dtypes": of_types([FLOAT] * size)})
    graph = graph_of([string_const("p", "model"), names, slices, restore])
    for i in range(size):
        assign = node("Assign", f"a{i}", [f"v{i}", f"r:{i}"], {"T": of_type(FLOAT)})
        graph.graph_def.node.extend([variable(f"v{i}", "VariableV2"), assign])
    graph.graph_def.node.append(node("NoOp", "all", [f"^a{i}" for i in range(size)]))
    graph.saver_def.restore_op_name, graph.saver_def.filename_tensor_name = "all", "p:0"
    return graph


def one_name_for_all(size: int) -> schemas.MetaGraphDef:
    return graph_of(node("AddN", "same", ["same"] * 5) for _ in range(size))


def readers_of_one_list(size: int) -> schemas.MetaGraphDef:
    names = strings_const("names", ["x" * 50] * size)
    return graph_of([names, *(node("ReadFile", f"r{i}", ["names"]) for i in range(size))])


GRAPHS = (
    chain,
    chain_of_a_handle,
    variables_that_need_each_other,
    circle,
    one_node_of_all,
    one_function_called_often,
    functions_that_call_each_other,
    restored,
    one_name_for_all,
    readers_of_one_list,
)


def last(graph: schemas.MetaGraphDef) -> list[str]:
    return [graph.graph_def.node[-1].name]


def freeze(graph: schemas.MetaGraphDef) -> object:
    return freezing.freeze_graph(graph, {each.name: np.zeros((), np.float32) for each in find_variables(graph)}, last(graph))


TOOLS: dict[str, Callable[[schemas.MetaGraphDef], object]] = {
    "lint": lint.lint,
    "scan": op_risks.scan,
    "find_variables": find_variables,
    "prune": lambda graph: pruning.prune_meta_graph(graph, last(graph)),
    "freeze": freeze,
    "unfreeze": lambda graph: unfreezing.unfreeze_graph(graph, min_size=4),
    "strip_default_attrs": default_attrs.strip_default_attrs,
    "training_state": essential_variables.find_training_state,
    "with_saver": lambda graph: with_saver(graph, find_variables(graph)),
    "functions": lambda graph: functions.needed_functions(graph.graph_def, graph.graph_def.node),
    "fingerprint": lambda graph: fingerprint.compute_fingerprint(schemas.SavedModel(meta_graphs=[graph]), None),
}


def count_calls(step: Callable[[], object]) -> int:
    """How many functions, Python's and others, are called until a step ends or raises one of our errors."""
    count = 0

    def profile(frame: Any, event: str, argument: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        step()
    except SaverError:
        pass
    finally:
        sys.setprofile(before)
    return count


@pytest.mark.parametrize("make", GRAPHS)
@pytest.mark.parametrize("tool", TOOLS)
def test_four_times_the_graph_is_no_more_than_eight_times_the_work(
    tool: str, make: Callable[[int], schemas.MetaGraphDef]
) -> None:
    small, large = make(100), make(400)
    # Tables that are made once.
    count_calls(lambda: TOOLS[tool](small))
    few = count_calls(lambda: TOOLS[tool](small))
    assert count_calls(lambda: TOOLS[tool](large)) <= 8 * few + 500


@pytest.mark.parametrize("make", [chain, chain_of_a_handle, circle, variables_that_need_each_other])
@pytest.mark.parametrize("tool", [name for name in TOOLS if name != "fingerprint"])
def test_no_depth_ends_in_a_recursion_error(tool: str, make: Callable[[int], schemas.MetaGraphDef]) -> None:
    graph = make(5 * sys.getrecursionlimit())
    assert count_calls(lambda: TOOLS[tool](graph)) > 0


def test_functions_that_call_each_other_deep_are_not_frozen() -> None:
    graph = functions_that_call_each_other(2000)
    with pytest.raises(UnimplementedError, match="call each other more than 48 deep"):
        freeze(graph)


def test_functions_that_call_themselves_are_frozen() -> None:
    frozen: Any = freeze(functions_that_call_each_other(2))
    assert {function.signature.name for function in frozen.library.function} == {"f0_frozen", "f1_frozen"}


def test_functions_that_are_called_in_every_way_are_not_frozen() -> None:
    count = 20
    inputs = ["v", *["p"] * (count - 1)]
    placeholder = node("Placeholder", "p", (), {"dtype": of_type(RESOURCE)})
    graph = graph_of([variable("v"), placeholder, call("n", inputs, "f0", [RESOURCE])])
    for i in range(40):
        function = graph.graph_def.library.function.add(ret={"o": "c0:output:0"})
        function.signature.name = f"f{i}"
        for k in range(count):
            function.signature.input_arg.add(name=f"a{k}", type=RESOURCE)
        function.signature.output_arg.add(name="o", type=RESOURCE)
        for c in range(2):
            # Once with one more of its arguments a value, once with the same.
            given = [f"a{k}" if not c or k != (i + 1) % count else "a0" for k in range(count)]
            function.node_def.append(call(f"c{c}", given, f"f{(i + 1) % 40}", [RESOURCE]))
    assert count_calls(lambda: freeze(graph)) < 2_000_000
    with pytest.raises(UnimplementedError, match="call each other"):
        freeze(graph)


def test_a_node_that_takes_a_variable_where_its_operation_takes_nothing_is_no_crash() -> None:
    graph = graph_of([variable("v", "VariableV2"), node("NoOp", "n", ["v"]), identity("y", "n")])
    frozen: Any = freeze(graph)
    assert [each.op for each in frozen.node] == ["Const", "NoOp", "Identity"]


def test_a_function_without_a_name_is_one_all_the_same() -> None:
    graph = graph_of([string_const("c", "x")])
    function = graph.graph_def.library.function.add(ret={"out": "i:output:0"})
    function.signature.input_arg.add(name="a", type=FLOAT)
    function.signature.output_arg.add(name="out", type=FLOAT)
    function.node_def.append(identity("i", "a"))
    assert lint.lint(graph) == []


def test_ten_thousand_findings_are_enough() -> None:
    graph = graph_of(identity(f"n{i}", "gone") for i in range(lint.MAX_FINDINGS + 5))
    found = lint.lint(graph)
    assert len(found) == lint.MAX_FINDINGS + 1
    assert found[-1].code == "more-findings"
    assert {each.code for each in found[:-1]} == {"dangling-input"}


def test_signatures_that_all_need_the_whole_graph_are_not_all_checked() -> None:
    graph = chain(300)
    for i in range(300):
        graph.signature_def[f"s{i}"].outputs["y"].CopyFrom(schemas.TensorInfo(name="n299:0", dtype=FLOAT))
        graph.signature_def[f"s{i}"].method_name = "m"
    assert sorted({each.code for each in lint.lint(graph)}) == ["unchecked-signatures", "wrong-input-type"]


def test_a_long_name_is_not_said_again_and_again() -> None:
    name = "n" * 100_000
    graph = graph_of([node("Identity", name, ["gone"] * 50), *(node("VariableV2", f"{name}{i}") for i in range(3))])
    assert sum(len(str(each)) for each in lint.lint(graph)) < 200_000


def test_a_definition_of_thousands_of_attributes_is_none() -> None:
    graph = graph_of([node("Mine", "a"), node("Mine", "b", ["a:1000"])])
    definition = graph.meta_info_def.stripped_op_list.op.add(name="Mine")
    definition.output_arg.add(name="out", type=FLOAT)
    for i in range(300):
        definition.attr.add(name=f"a{i}", type="int")
    assert "Mine" not in op_defs(graph)
    assert [each.code for each in lint.lint(graph)] == ["unknown-operation"]


def test_outputs_without_number_are_not_made() -> None:
    graph = graph_of([node("Many", "a", (), {"n": of_int(10**17)}), identity("y", "a:99999999999999999")])
    definition = graph.meta_info_def.stripped_op_list.op.add(name="Many")
    definition.output_arg.add(name="out", type=FLOAT, number_attr="n")
    assert [each.code for each in lint.lint(graph)] == ["unknown-operation"]
    graph.graph_def.node[1].input[0] = "a:100000000000000000"
    assert [each.code for each in lint.lint(graph)] == ["no-such-output", "unknown-operation"]


def test_what_files_are_read_is_shown_and_no_more() -> None:
    (found,) = op_risks.scan(graph_of([strings_const("names", ["x" * 1000] * 1000), node("ReadFile", "r", ["names"])]))
    assert len(found.values) == 17 and found.values[-1] == "..."
    assert len(str(found)) < 10_000


def test_an_operations_name_of_any_length_is_looked_up_in_no_time() -> None:
    name = "SnapshotDataset" * 20_000 + "\n"
    risks = {str(found.risk) for found in op_risks.scan(graph_of([node(name, "n")]))}
    # No operation of TensorFlow has such a name.
    assert risks == {"reads files", "writes files", "runs code"}


def test_a_shape_of_thousands_of_dimensions_is_only_counted() -> None:
    tensor = schemas.TensorProto(dtype=FLOAT, float_val=[1.0])
    for _ in range(20_000):
        tensor.tensor_shape.dim.add(size=1 << 62)
    value = {"dtype": of_type(FLOAT), "value": schemas.AttrValue(tensor=tensor)}
    graph = graph_of([node("Const", "c", (), value)])
    assert [each.code for each in lint.lint(graph)] == ["bad-const"]
    with pytest.raises(DataLossError, match="rank 20000"):
        unfreezing.unfreeze_graph(graph)


@pytest.mark.parametrize(
    ("taken", "wanted", "free"),
    [
        ([], "a", "a"),
        (["a"], "a", "a_1"),
        (["A", "a_1"], "a", "a_2"),
        (["a/b"], "a", "a_1"),
        (["a/b"], "a/b", "a/b_1"),
        (["a/b/c"], "a/b", "a/b_1"),
        (["ab", "a-b", "a.b"], "a", "a"),
        (["a/"], "a", "a_1"),
    ],
)
def test_a_free_name_is_neither_a_name_nor_a_scope(taken: list[str], wanted: str, free: str) -> None:
    assert free_name(wanted, taken) == free


def test_free_names_are_taken_once_they_are_given() -> None:
    names = FreeNames(["x/y"])
    assert [names.take("x") for _ in range(3)] == ["x_1", "x_2", "x_3"]
    assert [names.take("z/w"), names.take("z")] == ["z/w", "z_1"]
    assert count_calls(lambda: [names.take("x") for _ in range(2000)]) < 60_000


def test_a_chain_of_objects_is_not_named_in_full() -> None:
    objects = schemas.SavedObjectGraph()
    for i in range(3000):
        saved = objects.nodes.add(variable=schemas.SavedVariable(dtype=FLOAT, name=f"v{i}", shape={}))
        if i < 2999:
            saved.children.add(node_id=i + 1, local_name="next")
    with pytest.raises(UnimplementedError, match="objects deep"):
        object_graph_of_saved_model(objects)
    del objects.nodes[200:]
    objects.nodes[199].ClearField("children")
    assert len(object_graph_of_saved_model(objects).nodes) == 200


def test_a_node_that_is_called_like_one_of_the_saver_is_none() -> None:
    graph = with_saver(graph_of([variable("v")]), find_variables(graph_of([variable("v")])))
    assert all(found.is_expected for found in op_risks.scan(graph))
    graph.graph_def.node.append(string_const("path", "/etc/passwd"))
    graph.graph_def.node.append(node("WriteFile", "save/SaveV2", ["path", "path"]))
    for name in ("save", ""):
        function = graph.graph_def.library.function.add()
        function.signature.name = name
        function.node_def.append(node("WriteFile", "SaveV2" if name else "save/SaveV2"))
    found = [each for each in op_risks.scan(graph) if each.op == "WriteFile"]
    assert [each.is_expected for each in found] == [False] * 3


def test_what_is_saved_while_a_model_is_restored_is_a_finding() -> None:
    graph = with_saver(graph_of([variable("v")]), find_variables(graph_of([variable("v")])))
    names = ["path", "save/SaveV2/tensor_names", "save/SaveV2/shape_and_slices", "v/Read"]
    hidden = [string_const("path", "/etc/cron.d/x"), node("SaveV2", "hidden", names, {"dtypes": of_types([FLOAT])})]
    graph.graph_def.node.extend(hidden)
    next(each for each in graph.graph_def.node if each.name == "save/restore_all").input.append("^hidden")
    next(each for each in graph.graph_def.node if each.name == "save/control_dependency").input.append("^hidden")
    (found,) = (each for each in op_risks.scan(graph) if not each.is_expected)
    assert (found.place, found.values) == ("hidden", ("/etc/cron.d/x",))


@pytest.mark.parametrize(
    ("metadata", "is_found"),
    [
        ('{"class_name": "Lambda"}', True),
        ('{"class_name": "\\u004cambda"}', True),
        ("[" * 5000 + '{"class_name": "\\u004cambda"}' + "]" * 5000, True),
        ('{"class_name": "Dense"}', False),
        ("no JSON", False),
        ("", False),
    ],
)
def test_a_layer_of_python_code_is_not_hidden_by_how_it_is_written(metadata: str, is_found: bool) -> None:
    graph = graph_of([])
    graph.object_graph_def.nodes.add(user_object=schemas.SavedUserObject(identifier="layer", metadata=metadata))
    assert bool(op_risks.scan(graph)) is not is_found
