"""What flows along an edge must be what the operation at its end takes: number, type, reference or value, shape."""

from __future__ import annotations

from typing import Any

import pytest

from tfsaver import schemas
from tfsaver.graph.lint import lint
from tfsaver.graph.node_builder import int32_const, node, of_int, of_shape, of_type, of_types

FLOAT, INT32 = of_type(schemas.DT_FLOAT), of_type(schemas.DT_INT32)
GIVEN = [
    node("Placeholder", "x", (), {"dtype": FLOAT}),
    node("Placeholder", "i", (), {"dtype": INT32}),
    node("VariableV2", "v", (), {"dtype": FLOAT, "shape": of_shape([2])}),
    node("VarHandleOp", "r", (), {"dtype": FLOAT, "shape": of_shape([2])}),
    node("Placeholder", "train", (), {"dtype": of_type(schemas.DT_BOOL)}),
    int32_const("axis", 0),
]


def findings(made: Any) -> list[str]:
    graph = schemas.GraphDef(node=[*GIVEN, made])
    return [f"{each.code}: {each.sentence}" for each in lint(graph)]


@pytest.mark.parametrize(
    ("made", "found"),
    [
        (node("MatMul", "y", ["x", "x"], {"T": FLOAT}), []),
        (node("MatMul", "y", ["x", "v"], {"T": FLOAT}), []),
        (node("MatMul", "y", ["x", "i"], {"T": FLOAT}), ["wrong-input-type: its input 'i' is DT_INT32, and a MatMul takes DT_FLOAT as 'b'"]),
        (node("MatMul", "y", ["x", "r"], {"T": FLOAT}), ["wrong-input-type: its input 'r' is DT_RESOURCE, and a MatMul takes DT_FLOAT as 'b'"]),
        (node("MatMul", "y", ["x"], {"T": FLOAT}), ["wrong-number-of-inputs: a MatMul takes 2 inputs here, and is given 1"]),
        (node("MatMul", "y", ["x", "x", "^i"], {"T": FLOAT}), []),
        (node("ConcatV2", "y", ["x", "v", "axis"], {"T": FLOAT, "N": of_int(2), "Tidx": INT32}), []),
        (node("ConcatV2", "y", ["x", "axis", "axis"], {"T": FLOAT, "N": of_int(2)}), ["wrong-input-type: its input 'axis' is DT_INT32, and a ConcatV2 takes DT_FLOAT as 'values'"]),
        (node("IdentityN", "y", ["x", "i"], {"T": of_types([1, 3])}), []),
        (node("IdentityN", "y", ["i", "x"], {"T": of_types([1, 3])}), ["wrong-input-type: its input 'i' is DT_INT32, and a IdentityN takes DT_FLOAT as 'input'", "wrong-input-type: its input 'x' is DT_FLOAT, and a IdentityN takes DT_INT32 as 'input'"]),
        (node("RefSwitch", "y", ["v", "train"], {"T": FLOAT}), []),
        (node("RefSwitch", "y", ["x", "train"], {"T": FLOAT}), ["value-for-reference: its input 'x' is a value, and a RefSwitch takes a reference to a variable; export_saved_model(..., repair='references') mends what reads a variable that was frozen"]),
        (node("Assign", "y", ["x", "x"], {"T": FLOAT}), ["value-for-reference: its input 'x' is a value, and a Assign takes a reference to a variable; export_saved_model(..., repair='references') mends what reads a variable that was frozen"]),
        (node("SomebodysOwn", "y", ["x", "i"]), []),
    ],
)
def test_an_edge_that_tensorflow_refuses_is_an_error(made: Any, found: list[str]) -> None:
    assert [each for each in findings(made) if not each.startswith("unknown-operation")] == found


@pytest.mark.parametrize(
    ("taken", "said", "is_wider"),
    [([1, 3], [-1, 3], True), ([-1, 3], [-1, 3], False), ([-1, 3], [5, 3], False), ([1, 3], None, True), ([2], [2, 1], True), (None, [7], False)],
)
def test_a_signature_wider_than_its_placeholder_is_an_error(taken: list[int] | None, said: list[int] | None, is_wider: bool) -> None:
    meta_graph = schemas.MetaGraphDef()
    meta_graph.graph_def.node.append(node("Placeholder", "x", (), {"dtype": FLOAT, "shape": of_shape(taken)}))
    meta_graph.graph_def.versions.producer = 134
    info = schemas.TensorInfo(name="x:0", dtype=schemas.DT_FLOAT, tensor_shape=of_shape(said).shape)
    meta_graph.signature_def["s"].inputs["x"].CopyFrom(info)
    meta_graph.signature_def["s"].outputs["y"].CopyFrom(info)
    assert [each.code for each in lint(meta_graph) if each.code == "wider-than-placeholder"] == ["wider-than-placeholder"] * is_wider
