"""Each thing that can be wrong with a graph is found, and nothing in graphs that are right."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.graph.conftest import Models
from tfsaver import schemas
from tfsaver.framework import dtypes
from tfsaver.graph.findings import Severity
from tfsaver.graph.lint import lint
from tfsaver.graph.lint_signatures import escapes
from tfsaver.graph.node_builder import int32_const, node, of_shape, of_string, of_strings, of_type, string_const
from tfsaver.graph.pruning import prune_meta_graph
from tfsaver.graph.save_restore import with_saver
from tfsaver.graph.variables import find_variables

FLOAT = of_type(schemas.DT_FLOAT)
NO_TYPES = schemas.AttrValue(list=schemas.AttrValue.ListValue())
FLOAT32 = dtypes.from_name("float32")


def graph_of(*nodes: Any, functions: Any = ()) -> Any:
    graph = schemas.GraphDef(node=nodes)
    graph.library.function.extend(functions)
    return graph


def function(name: str, *nodes: Any, args: Any = (), **fields: Any) -> Any:
    signature = schemas.OpDef(name=name, input_arg=[schemas.OpDef.ArgDef(name=each) for each in args])
    return schemas.FunctionDef(signature=signature, node_def=nodes, **fields)


def calling(name: str, *called: str) -> Any:
    call = node("PartitionedCall", name)
    call.attr["Tin"].list.SetInParent()
    call.attr["Tout"].list.SetInParent()
    call.attr["f"].func.name = called[0]
    for each in called[1:]:
        call.attr["more"].list.func.add(name=each)
    return call


def negative_const() -> Any:
    const = int32_const("c", 1)
    const.attr["value"].tensor.tensor_shape.dim.add(size=-3)
    return const


def overfull_const() -> Any:
    const = int32_const("c", 1)
    const.attr["value"].tensor.int_val.append(2)
    return const


def mistyped_const() -> Any:
    const = int32_const("c", 1)
    const.attr["dtype"].type = schemas.DT_FLOAT
    return const


NODES: list[tuple[str, str, Any]] = [
    ("empty-graph", "graph", graph_of()),
    ("bad-name", "a b", graph_of(node("NoOp", "a b"))),
    ("bad-name", "(a node without a name)", graph_of(node("NoOp", ""))),
    ("duplicate-name", "a", graph_of(node("NoOp", "a"), node("NoOp", "a"))),
    ("dangling-input", "a", graph_of(node("Unknown", "a", ["gone"]))),
    ("dangling-control", "a", graph_of(node("NoOp", "a", ["^gone"]))),
    ("input-after-control", "a", graph_of(int32_const("b", 1), node("Unknown", "a", ["^b", "b"]))),
    ("no-such-output", "a", graph_of(int32_const("b", 1), node("Unknown", "a", ["b:1"]))),
    ("bad-input", "a", graph_of(int32_const("b", 1), node("Unknown", "a", ["b:out:0"]))),
    ("cycle", "a", graph_of(node("Unknown", "a", ["b"]), node("Unknown", "b", ["^c"]), node("NoOp", "c", ["^a"]))),
    ("cycle", "a", graph_of(node("Unknown", "a", ["a"]))),
    ("missing-attribute", "a", graph_of(node("VarHandleOp", "a", (), {"dtype": FLOAT}), )),
    ("dangling-colocation", "a", graph_of(node("NoOp", "a", (), {"_class": of_strings([b"loc:@gone"])}))),
    ("negative-shape", "a", graph_of(node("Placeholder", "a", (), {"dtype": FLOAT, "shape": schemas.AttrValue(shape={"dim": [{"size": -2}]})}))),
    ("negative-shape", "c", graph_of(negative_const())),
    ("const-without-value", "c", graph_of(node("Const", "c", (), {"dtype": FLOAT}))),
    ("const-wrong-dtype", "c", graph_of(mistyped_const())),
    ("bad-const", "c", graph_of(overfull_const())),
    ("unknown-function", "a", graph_of(calling("a", "gone"))),
    ("recursive-function", "f", graph_of(calling("a", "f"), functions=[function("f", calling("again", "f"))])),
    ("recursive-function", "f", graph_of(calling("a", "f"), functions=[function("f", calling("x", "g")), function("g", calling("x", "f"))])),
    ("duplicate-function", "f", graph_of(calling("a", "f"), functions=[function("f"), function("f")])),
    ("dangling-input", "f/a", graph_of(calling("a", "f"), functions=[function("f", node("Unknown", "a", ["x", "gone:y:0"]), args=["x"])])),
    ("dangling-return", "f", graph_of(calling("a", "f"), functions=[function("f", ret={"y": "gone:y:0"})])),
    ("dangling-return", "f", graph_of(calling("a", "f"), functions=[function("f", control_ret={"y": "gone"})])),
    ("cycle", "f/a", graph_of(calling("a", "f"), functions=[function("f", node("Unknown", "a", ["a:y:0"]))])),
]


@pytest.mark.parametrize(("code", "place", "graph"), NODES, ids=[f"{code}-{place}" for code, place, _ in NODES])
def test_a_damaged_graph_has_this_one_finding(code: str, place: str, graph: Any) -> None:
    found = [(each.code, each.place) for each in lint(graph) if each.code != "unknown-operation"]
    assert found == [(code, place)]


def test_a_cycle_is_spelled_out() -> None:
    finding = lint(graph_of(node("U", "first", ["a"]), node("U", "a", ["b"]), node("U", "b", ["a"])))[0]
    assert str(finding) == "error: a: waits for itself: a <- b <- a [cycle]"


def test_a_function_without_a_return_is_found() -> None:
    broken = function("f")
    broken.signature.output_arg.add(name="y")
    (finding,) = lint(graph_of(calling("a", "f"), functions=[broken]))
    assert finding.code == "missing-return" and "'y'" in finding.sentence


def model(*extra: Any) -> Any:
    """A placeholder plus a variable, with a Saver and a signature."""
    meta_graph = schemas.MetaGraphDef(
        graph_def=graph_of(
            node("Placeholder", "x", (), {"dtype": FLOAT}),
            node("VarHandleOp", "v", (), {"dtype": FLOAT, "shape": of_shape([2])}),
            node("ReadVariableOp", "read", ["v"], {"dtype": FLOAT}),
            node("AddV2", "y", ["x", "read"], {"T": FLOAT}),
            *extra,
        )
    )
    signature = meta_graph.signature_def["serving_default"]
    signature.method_name = "tensorflow/serving/predict"
    for name, tensors in (("x", signature.inputs), ("y", signature.outputs)):
        tensors[name].name, tensors[name].dtype = f"{name}:0", schemas.DT_FLOAT
    return with_saver(meta_graph, find_variables(meta_graph))


def codes(meta_graph: Any, **options: Any) -> list[tuple[str, str]]:
    return [(each.code, str(each.severity)) for each in lint(meta_graph, **options)]


def test_a_sound_model_has_no_findings() -> None:
    assert lint(model(), values={"v": (FLOAT32, (2,))}, asset_names=[]) == []


def change(edit: Callable[[Any], None]) -> Any:
    meta_graph = model()
    edit(meta_graph)
    return meta_graph


def signature(meta_graph: Any) -> Any:
    return meta_graph.signature_def["serving_default"]


def asset(meta_graph: Any, filename: str, tensor: str = "x:0") -> None:
    meta_graph.asset_file_def.add(filename=filename).tensor_info.name = tensor


def rename_signature(meta_graph: Any) -> None:
    meta_graph.signature_def["__saved_model_x"].CopyFrom(signature(meta_graph))
    del meta_graph.signature_def["serving_default"]


def node_of_output(meta_graph: Any) -> Any:
    return next(each for each in meta_graph.graph_def.node if each.name == "y")


def give_two_shapes(meta_graph: Any) -> None:
    meta_graph.graph_def.versions.producer = 1882
    x = node("Placeholder", "placeholder", (), {"dtype": FLOAT, "shape": schemas.AttrValue(shape={"dim": [{"size": 3}]})})
    x.attr["_output_shapes"].list.shape.add().dim.add(size=4)
    meta_graph.graph_def.node.append(x)


def give_type(meta_graph: Any, name: str) -> None:
    """A function of the objects that gives a type, in a tuple in a dict."""
    meta_graph.graph_def.library.function.add().signature.name = "f"
    result = meta_graph.object_graph_def.concrete_functions["f"].output_signature
    spec = result.dict_value.fields["a"].tuple_value.values.add().type_spec_value
    spec.type_spec_class, spec.type_spec_class_name = schemas.TypeSpecProto.REGISTERED_TYPE_SPEC, name


CHANGES: list[tuple[str, str, Callable[[Any], Any]]] = [
    ("no-such-tensor", "error", lambda m: setattr(signature(m).outputs["y"], "name", "gone:0")),
    ("no-such-tensor", "error", lambda m: setattr(signature(m).outputs["y"], "name", "y:1")),
    ("no-output-number", "warning", lambda m: setattr(signature(m).outputs["y"], "name", "y")),
    ("wrong-dtype", "error", lambda m: setattr(signature(m).outputs["y"], "dtype", schemas.DT_INT32)),
    ("wrong-dtype", "error", lambda m: setattr(signature(m).outputs["y"], "name", "v:0")),
    ("no-tensor", "error", lambda m: signature(m).outputs["z"].SetInParent()),
    ("negative-shape", "error", lambda m: signature(m).outputs["y"].tensor_shape.dim.add(size=-5)),
    ("unfed-placeholder", "error", lambda m: signature(m).inputs.clear()),
    ("empty-signature", "warning", lambda m: signature(m).outputs.clear()),
    ("no-method-name", "note", lambda m: signature(m).ClearField("method_name")),
    ("reserved-key", "warning", rename_signature),
    ("bad-init-op", "error", lambda m: m.collection_def["saved_model_main_op"].node_list.value.append("gone")),
    ("bad-init-op", "error", lambda m: m.collection_def["legacy_init_op"].node_list.value.extend(["x", "y"])),
    ("bad-init-op", "error", lambda m: m.signature_def["__saved_model_init_op"].SetInParent()),
    ("bad-asset", "error", lambda m: asset(m, "a", "gone:0")),
    ("escaping-asset", "error", lambda m: asset(m, "../a")),
    ("missing-asset", "error", lambda m: asset(m, "b")),
    ("dangling-collection", "warning", lambda m: m.collection_def["losses"].node_list.value.append("gone:0")),
    ("missing-saver-node", "error", lambda m: setattr(m.saver_def, "filename_tensor_name", "gone:0")),
    ("missing-saver-node", "warning", lambda m: setattr(m.saver_def, "save_tensor_name", "")),
    ("missing-saver-node", "note", lambda m: setattr(m.saver_def, "save_tensor_name", "gone:0")),
    ("no-saver", "warning", lambda m: m.ClearField("saver_def")),
    ("foreign-device", "warning", lambda m: setattr(node_of_output(m), "device", "/job:worker/task:3/device:GPU:1")),
    ("foreign-device", "warning", lambda m: setattr(node_of_output(m), "device", "/gpu:0")),
    # Loaders place what nothing reaches, too.
    ("foreign-device", "warning", lambda m: m.graph_def.node.append(schemas.NodeDef(op="NoOp", name="n", device="/job:ps"))),
    ("unknown-operation", "warning", lambda m: m.graph_def.node.append(node("TRTEngineOp", "engine"))),
    ("same-input-twice", "warning", lambda m: signature(m).inputs["again"].CopyFrom(signature(m).inputs["x"])),
    ("wrong-output-shapes", "error", give_two_shapes),
    ("optimizer-slots", "warning", lambda m: m.object_graph_def.nodes.add().slot_variables.add()),
    ("unregistered-type", "warning", lambda m: give_type(m, "elsewhere.Spec")),
]


@pytest.mark.parametrize(("code", "severity", "edit"), CHANGES, ids=[f"{row[0]}-{at}" for at, row in enumerate(CHANGES)])
def test_a_damaged_model_has_this_one_finding(code: str, severity: str, edit: Callable[[Any], Any]) -> None:
    found = codes(change(edit), asset_names=["a"])
    # A variable handle is no tensor to give away, and neither is a signature of it fed with the rest.
    assert found == [(code, severity)]


def test_what_every_loader_takes_has_no_finding() -> None:
    def harmless(meta_graph: Any) -> None:
        node_of_output(meta_graph).device = "/job:localhost/replica:0/task:0/device:CPU:0"
        # What nothing reaches is not run.
        meta_graph.graph_def.node.append(node("PyFunc", "python", (), {"token": of_string("t"), "Tin": NO_TYPES, "Tout": NO_TYPES}))
        give_type(meta_graph, "tf.RaggedTensorSpec")

    assert codes(change(harmless), asset_names=["a"]) == []


def test_a_model_without_signatures_names_its_functions() -> None:
    meta_graph = schemas.MetaGraphDef()
    meta_graph.meta_info_def.tags.append("serve")
    meta_graph.graph_def.node.append(node("NoOp", "n"))
    objects = meta_graph.object_graph_def
    objects.nodes.add().children.add(node_id=1, local_name="score")
    objects.nodes.add().function.SetInParent()
    (finding,) = lint(meta_graph)
    assert (finding.code, finding.severity) == ("no-signature", "warning")
    assert "signatures={'serving_default': 'score'}" in finding.sentence


def test_collections_that_cannot_be_read_are_found() -> None:
    damaged = change(lambda m: m.collection_def["cond_context"].bytes_list.value.append(b"\x0a\xff"))
    assert codes(damaged) == [("bad-collection", "error")]
    damaged = change(lambda m: m.collection_def["variables"].bytes_list.value.append(b"\x0a\xff"))
    assert codes(damaged) == [("bad-collection", "error"), ("bad-variable", "error")]
    damaged = change(lambda m: m.collection_def["saved_model_assets"].any_list.value.add(type_url="x/y"))
    assert codes(damaged) == [("bad-asset", "error")]


def test_one_tensor_takes_one_asset() -> None:
    meta_graph = model()
    asset(meta_graph, "a")
    asset(meta_graph, "b")
    assert codes(meta_graph) == [("bad-asset", "error")]


@pytest.mark.parametrize("name", ["", "/etc/passwd", "../x", "a/../../x", "..\\x", "C:/x", "a\0b"])
def test_names_that_lead_out_are_known(name: str) -> None:
    assert escapes(name)


@pytest.mark.parametrize("name", ["x", "a/b.txt", "..x", "a..b/c"])
def test_names_that_stay_inside_are_known(name: str) -> None:
    assert not escapes(name)


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ({}, [("no-value", "error")]),
        ({"v": (dtypes.from_name("float64"), (2,))}, [("wrong-value", "error")]),
        ({"v": (FLOAT32, (3,))}, [("wrong-value", "error")]),
        ({"v": (FLOAT32, (2,)), "w": (FLOAT32, ())}, [("unused-values", "note")]),
    ],
)
def test_values_are_held_against_variables(values: Any, found: list[tuple[str, str]]) -> None:
    assert codes(model(), values=values) == found


def test_a_variable_that_the_init_op_fills_needs_no_value() -> None:
    extra = [
        node("VarHandleOp", "path", (), {"dtype": of_type(schemas.DT_STRING), "shape": of_shape([])}),
        string_const("name", "x"),
        node("AssignVariableOp", "fill", ["path", "name"], {"dtype": of_type(schemas.DT_STRING)}),
        node("NoOp", "init", ["^fill"]),
    ]
    bare = model(*extra)
    meta_graph = with_saver(prune_meta_graph(bare, ["init"]), find_variables(bare)[:1])
    next(each for each in meta_graph.graph_def.node if each.name == "y").input.append("^path")
    values = {"v": (FLOAT32, (2,))}
    assert codes(meta_graph, values=values) == [("no-value", "note"), ("not-restored", "error")]
    meta_graph.collection_def["saved_model_main_op"].node_list.value.append("init")
    assert codes(meta_graph, values=values) == []


def test_keys_that_belong_to_others_are_found() -> None:
    meta_graph = schemas.MetaGraphDef(graph_def=model().graph_def)
    names = next(each for each in meta_graph.graph_def.node if each.name == "save/RestoreV2/tensor_names")
    for name, severity in (("_CHECKPOINTABLE_OBJECT_GRAPH", "error"), ("v/.ATTRIBUTES/VARIABLE_VALUE", "note"), ("", "error")):
        names.attr["value"].tensor.string_val[0] = name.encode()
        assert codes(meta_graph) == [("reserved-key", severity)]


def test_two_variables_of_one_name_are_found() -> None:
    extra = node("VarHandleOp", "w", (), {"dtype": FLOAT, "shape": of_shape([2])})
    meta_graph = model(extra)
    names = next(each for each in meta_graph.graph_def.node if each.name == "save/RestoreV2/tensor_names")
    names.attr["value"].tensor.string_val[1] = b"v"
    assert codes(meta_graph) == [("shared-key", "warning")]


def test_a_table_must_be_filled_when_the_model_starts(models: Models) -> None:
    meta_graph = prune_meta_graph(models.meta_graph("table"), ["value:0"])
    assert [(each.code, each.severity) for each in lint(meta_graph)] == []
    filler = next(each for each in meta_graph.graph_def.node if each.op.startswith("InitializeTable"))
    del meta_graph.collection_def["table_initializer"]
    assert [each.code for each in lint(meta_graph)] == ["empty-table"]
    meta_graph.collection_def["saved_model_main_op"].node_list.value.append(filler.name)
    assert lint(meta_graph) == []
    meta_graph.graph_def.node.remove(filler)
    assert {each.code for each in lint(meta_graph)} == {"bad-init-op", "empty-table"}


def test_models_of_tensorflow_have_no_findings(models: Models) -> None:
    for name in models.names:
        assert lint(models.meta_graph(name)) == [], name


# What is really wrong with some of the cases.
_WRONG = {
    # Its one asset stands twice in the collection.
    "gen_tf1_hub_module/saved_model.pb#0": {"bad-asset"},
    "sm_fuzz_bad_node_attr/saved_model.pb#0": {"const-without-value", "not-restored"},
    # An empty constant has another rank than its _output_shapes.
    "sm_fuzz_const_with_no_value/saved_model.pb#0": {"const-without-value", "wrong-output-shapes"},
}


def test_real_graphs_have_only_the_errors_that_they_have(every_meta_graph: dict[str, Any]) -> None:
    found = {
        label: {each.code for each in lint(meta_graph) if each.severity is Severity.ERROR}
        for label, meta_graph in every_meta_graph.items()
    }
    assert {label: codes for label, codes in found.items() if codes} == _WRONG
