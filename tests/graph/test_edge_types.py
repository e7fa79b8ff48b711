"""What flows along an edge must be what the operation at its end takes: number, type, reference or value, shape."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tfsaver import schemas
from tfsaver.framework import dtypes
from tfsaver.graph.lint import lint
from tfsaver.graph.node_builder import (
    array_const,
    int32_const,
    int32s_const,
    node,
    of_bool,
    of_int,
    of_shape,
    of_string,
    of_type,
    of_types,
)

FLOAT, INT32 = of_type(schemas.DT_FLOAT), of_type(schemas.DT_INT32)
INTS, SAME = schemas.AttrValue(list={"i": [1, 1, 1, 1]}), of_string("SAME")
GIVEN = [
    node("Placeholder", "x", (), {"dtype": FLOAT}),
    node("Placeholder", "i", (), {"dtype": INT32}),
    node("VariableV2", "v", (), {"dtype": FLOAT, "shape": of_shape([2, 2])}),
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


def consts(*shapes: list[int]) -> list[Any]:
    float32 = dtypes.from_name("float32")
    return [array_const(f"c{number}", np.zeros(shape, np.float32), float32) for number, shape in enumerate(shapes)]


@pytest.mark.parametrize(
    ("shapes", "made", "found"),
    [
        ([[5, 3], [3, 2]], node("MatMul", "y", ["c0", "c1"], {"T": FLOAT}), ""),
        ([[5, 3], [2, 3]], node("MatMul", "y", ["c0", "c1"], {"T": FLOAT}), "a MatMul of [5, 3], [2, 3]: the inner sizes differ: 3 and 2"),
        ([[5, 3], [2, 3]], node("MatMul", "y", ["c0", "c1"], {"T": FLOAT, "transpose_b": of_bool(True)}), ""),
        ([[5, 3], [3]], node("MatMul", "y", ["c0", "c1"], {"T": FLOAT}), "a MatMul of [5, 3], [3]: the right side must have 2 axes"),
        ([[5, 1], [3]], node("AddV2", "y", ["c0", "c1"], {"T": FLOAT}), ""),
        ([[5, 2], [3]], node("AddV2", "y", ["c0", "c1"], {"T": FLOAT}), "a AddV2 of [5, 2], [3]: sizes 2 and 3 do not broadcast"),
        ([[5, 2], [3]], node("BiasAdd", "y", ["c0", "c1"], {"T": FLOAT}), "a BiasAdd of [5, 2], [3]: the channels and the bias differ: 2 and 3"),
        ([[1, 8, 8, 4], [3, 3, 2, 5]], node("Conv2D", "y", ["c0", "c1"], {"T": FLOAT, "strides": INTS, "padding": SAME}), ""),
        ([[1, 8, 8, 4], [3, 3, 3, 5]], node("Conv2D", "y", ["c0", "c1"], {"T": FLOAT, "strides": INTS, "padding": SAME}), "a Conv2D of [1, 8, 8, 4], [3, 3, 3, 5]: 4 channels are no multiple of the filter's 3"),
        ([[2, 3], [2]], node("Reshape", "y", ["c0", "axis"], {"T": FLOAT}), ""),
        ([[2, 3]], node("Reshape", "y", ["c0", "four"], {"T": FLOAT}), "a Reshape of [2, 3], [2]: 6 elements cannot have the shape [4, -1]"),
        ([[2, 3], [2, 4]], node("Pack", "y", ["c0", "c1"], {"T": FLOAT, "N": of_int(2)}), "a Pack of [2, 3], [2, 4]: the sizes of axis 1 differ: 3 and 4"),
    ],
)
def test_shapes_that_cannot_meet_are_an_error(shapes: list[list[int]], made: Any, found: str) -> None:
    graph = schemas.GraphDef(node=[*GIVEN, *consts(*shapes), int32s_const("four", [4, -1]), made])
    wrong = [each for each in lint(graph) if each.code == "wrong-shape"]
    assert [each.sentence for each in wrong] == [found][: bool(found)]
    assert all(each.refused_by == ("C++", "compat.v1", "tf.saved_model.load") for each in wrong)


def test_what_a_node_says_of_its_shape_is_compared_with_what_it_has() -> None:
    mul = node("Mul", "y", ["c0", "c0"], {"T": FLOAT})
    mul.attr["_output_shapes"].list.shape.add().dim.add(size=7)
    graph = schemas.GraphDef(node=[*consts([2, 3]), mul], versions={"producer": 134})
    (found,) = lint(graph)
    assert (found.code, found.place) == ("wrong-output-shapes", "y")
    assert found.sentence.startswith("its _output_shapes say [7], and it is [2, 3]: importing the graph fails")


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
