"""Graphs by the scopes of their names: what is in them, what leads where, functions in the place of calls."""

from __future__ import annotations

import pytest

from tests.saved_model.graphs import FLOAT, node, of_shape
from tfsaver import schemas
from tfsaver.graph import scope_graph as scoping
from tfsaver.graph.scope_graph import scope_graph


def signature(inputs: dict[str, str], outputs: dict[str, str]) -> schemas.SignatureDef:
    made = schemas.SignatureDef()
    for side, tensors in ((made.inputs, inputs), (made.outputs, outputs)):
        for key, name in tensors.items():
            side[key].name = name
    return made


def named_edges(graph: schemas.GraphDef, of: schemas.SignatureDef) -> dict[tuple[str, str], int]:
    found = scope_graph(graph, of)
    names = [f"{scope.kind}:{scope.path}" for scope in found.scopes]
    return {(names[before], names[after]): count for (before, after), count in found.edges.items()}


def layers() -> schemas.GraphDef:
    """scores = net/out(net/in(images))."""
    return schemas.GraphDef(
        node=[
            node("Placeholder", "images", dtype=FLOAT, shape=of_shape(-1, 3)),
            node("VariableV2", "net/in/kernel", dtype=FLOAT, shape=of_shape(3, 3)),
            node("MatMul", "net/in/MatMul", ["images", "net/in/kernel"], T=FLOAT),
            node("Relu", "net/in/Relu", ["net/in/MatMul"], T=FLOAT),
            node("Add", "net/out/Add", ["net/in/Relu", "net/in/Relu", "^train/step"], T=FLOAT),
            node("NoOp", "train/step"),
            node("Square", "train/loss", ["net/out/Add"], T=FLOAT),
        ]
    )


def test_edges_go_from_inputs_and_variables_to_outputs() -> None:
    edges = named_edges(layers(), signature({"x": "images:0"}, {"scores": "net/out/Add:0"}))
    assert edges == {
        ("input:x", "scope:net/in"): 1,
        ("variable:net/in/kernel", "scope:net/in"): 1,
        ("scope:net/in", "scope:net/out"): 2,
        ("scope:net/out", "output:scores"): 1,
    }


def test_scopes_count_their_operations() -> None:
    found = scope_graph(layers(), signature({"x": "images:0"}, {"scores": "net/out/Add:0"}))
    ops = {scope.path: dict(scope.ops) for scope in found.scopes if scope.kind == "scope"}
    assert ops == {"net/in": {"MatMul": 1, "Relu": 1}, "net/out": {"Add": 1}}
    assert found.is_whole


def test_what_is_fed_ends_the_way() -> None:
    edges = named_edges(layers(), signature({"x": "net/in/MatMul:0"}, {"scores": "net/out/Add:0"}))
    assert ("input:x", "scope:net/in") in edges and not any("kernel" in before for before, _ in edges)


def calls(depth: int = 1) -> schemas.GraphDef:
    """A call of a function that takes a resource variable and calls itself `depth` times at most."""
    graph = schemas.GraphDef(
        node=[
            node("Placeholder", "serving_default_x", dtype=FLOAT, shape=of_shape(3)),
            node("VarHandleOp", "handle", dtype=FLOAT, shape=of_shape(3), shared_name=schemas.AttrValue(s=b"dense/kernel")),
            node("StatefulPartitionedCall", "StatefulPartitionedCall", ["serving_default_x", "handle"]),
        ]
    )
    graph.node[2].attr["f"].func.name = "body"
    body = graph.library.function.add()
    body.signature.name = "body"
    for name in ("x", "kernel"):
        body.signature.input_arg.add(name=name)
    body.signature.output_arg.add(name="result")
    body.node_def.append(node("ReadVariableOp", "model/dense/Read", ["kernel"]))
    body.node_def.append(node("Mul", "model/dense/Mul", ["x", "model/dense/Read:value:0"], T=FLOAT))
    body.ret["result"] = "model/dense/Mul:z:0"
    if depth > 1:
        body.node_def.append(node("PartitionedCall", "again", ["model/dense/Mul:z:0", "kernel"]))
        body.node_def[2].attr["f"].func.name = "body"
        body.ret["result"] = "again:output:0"
    return graph


def test_functions_stand_in_the_place_of_their_calls() -> None:
    edges = named_edges(calls(), signature({"x": "serving_default_x:0"}, {"y": "StatefulPartitionedCall:0"}))
    assert edges == {
        ("input:x", "scope:model/dense"): 1,
        ("variable:dense/kernel", "scope:model/dense"): 1,
        ("scope:model/dense", "output:y"): 1,
    }


def test_functions_that_call_themselves_end() -> None:
    assert named_edges(calls(depth=2), signature({"x": "serving_default_x:0"}, {"y": "StatefulPartitionedCall:0"})) is not None


@pytest.mark.parametrize("output", ["nothing:0", "net/out/Add:9", "x:y:z", ""])
def test_signatures_that_contradict_the_graph_show_what_there_is(output: str) -> None:
    scope_graph(layers(), signature({"x": "images:0"}, {"scores": output}))


def test_more_scopes_than_are_told_apart_are_folded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scoping, "_MAX_SCOPES", 10)
    nodes = [node("Placeholder", "x", dtype=FLOAT)]
    for number in range(100):
        nodes.append(node("Relu", f"net/block_{number // 20}/unit_{number}/Relu", [nodes[-1].name], T=FLOAT))
    found = scope_graph(schemas.GraphDef(node=nodes), signature({"x": "x:0"}, {"y": nodes[-1].name}))
    paths = {scope.path for scope in found.scopes}
    assert paths == {"x", "y", *(f"net/block_{number}" for number in range(5))}
    assert sum(sum(scope.ops.values()) for scope in found.scopes) == 101
