"""A frozen graph has no variables, and gives the same numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.graph.conftest import Models
from tfsaver import schemas
from tfsaver.checkpoint.checkpoint_reader import load_checkpoint
from tfsaver.errors import InvalidArgumentError, NotFoundError, ShapeMismatchError, UnimplementedError
from tfsaver.graph.freezing import freeze_graph
from tfsaver.graph.lint import lint
from tfsaver.graph.node_builder import node, of_shape, of_type, of_types
from tfsaver.graph.variables import find_variables


def test_a_frozen_model_gives_the_same_without_a_checkpoint(models: Models, tmp_path: Path) -> None:
    frozen = {}
    for name in models.names:
        meta_graph = models.meta_graph(name)
        before = meta_graph.SerializeToString(deterministic=True)
        with load_checkpoint(models.prefix(name)) as values:
            frozen[name] = freeze_graph(meta_graph, values, models.expected(name)["fetches"])
        assert meta_graph.SerializeToString(deterministic=True) == before
        ops = {each.op for each in frozen[name].node}
        ops.update(each.op for function in frozen[name].library.function for each in function.node_def)
        assert not ops & {"VarHandleOp", "VariableV2", "ReadVariableOp", "ResourceGather", "SaveV2", "RestoreV2"}
        assert [each.code for each in lint(frozen[name])] in ([], ["empty-table"]), name
    fillers = [each.name for each in frozen["table"].node if each.op.startswith("InitializeTable")]
    models.check(tmp_path, frozen, run_first=lambda name: fillers if name == "table" else [])


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("sm_keras_simple_model_from_auto_compile/saved_model.pb", "serving_default"),
        ("sm_tf_VarsAndArithmeticObjectGraph/saved_model.pb", "serving_default"),
        ("sm_serving_mkl/00000123/saved_model.pb", "serving_default"),
        ("sm_trt_variablev2/saved_model.pb", "serving_default"),
    ],
)
def test_frozen_saved_models_give_what_their_signatures_give(
    cases: Path, read_meta_graphs: Any, run_tensorflow: Any, tmp_path: Path, name: str, key: str
) -> None:
    directory = (cases / name).parent
    meta_graph = read_meta_graphs(name)[0]
    signature = meta_graph.signature_def[key]
    fetches = [signature.outputs[each].name for each in sorted(signature.outputs)]
    feeds = {
        info.name: np.full([max(dim.size, 2) if dim.size < 0 else dim.size for dim in info.tensor_shape.dim], 0.5).tolist()
        for info in signature.inputs.values()
    }
    with load_checkpoint(directory / "variables" / "variables") as values:
        frozen = freeze_graph(meta_graph, values, fetches)
    models = Models("2.21", tmp_path, run_tensorflow)
    theirs, ours = models.run(
        tmp_path,
        {"frozen.pb": frozen},
        [
            {"saved_model": str(directory), "tags": list(meta_graph.meta_info_def.tags), "feeds": feeds, "fetches": fetches},
            {"graph": "frozen.pb", "feeds": feeds, "fetches": fetches},
        ],
    )
    assert not isinstance(theirs[0], str) and not isinstance(ours[0], str), (theirs, ours)
    for mine, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-4)


def small(*nodes: Any, reference: bool = True) -> Any:
    attrs = {"dtype": of_type(schemas.DT_FLOAT), "shape": of_shape([2])}
    return schemas.GraphDef(node=[node("VariableV2" if reference else "VarHandleOp", "v", (), attrs), *nodes])


ONES = np.ones(2, np.float32)


def test_a_model_that_writes_to_a_variable_is_not_frozen() -> None:
    attrs = {"T": of_type(schemas.DT_FLOAT)}
    with pytest.raises(UnimplementedError, match="'add': a AssignAdd uses a variable"):
        freeze_graph(small(node("AssignAdd", "add", ["v", "v"], attrs)), {"v": ONES}, "add")
    with pytest.raises(UnimplementedError, match="'add': a AssignAddVariableOp uses a variable"):
        freeze_graph(small(node("AssignAddVariableOp", "add", ["v"]), reference=False), {"v": ONES}, "add")


def test_a_write_in_a_function_names_the_function() -> None:
    attrs = {"Tin": of_types([schemas.DT_RESOURCE]), "Tout": of_types([])}
    graph = small(node("PartitionedCall", "call", ["v"], attrs), reference=False)
    graph.node[1].attr["f"].func.name = "f"
    function = graph.library.function.add(node_def=[node("AssignVariableOp", "a", ["x", "x"])])
    function.signature.name = "f"
    function.signature.input_arg.add(name="x", type=schemas.DT_RESOURCE)
    with pytest.raises(UnimplementedError, match="'f/a': a AssignVariableOp uses a variable"):
        freeze_graph(graph, {"v": ONES}, "call")


def test_what_else_asks_a_variable_is_answered() -> None:
    graph = small(
        node("IsVariableInitialized", "is", ["v"], {"dtype": of_type(schemas.DT_FLOAT)}),
        node("RefSwitch", "switch", ["v", "is"], {"T": of_type(schemas.DT_FLOAT)}),
        node("Neg", "neg", ["switch:1", "^v"], {"T": of_type(schemas.DT_FLOAT)}),
    )
    frozen = {each.name: each for each in freeze_graph(graph, {"v": ONES}, "neg").node}
    assert {name: each.op for name, each in frozen.items()} == {"v": "Const", "is": "Const", "switch": "Switch", "neg": "Neg"}
    assert frozen["is"].attr["value"].tensor.bool_val == [True] and list(frozen["neg"].input) == ["switch:1", "^v"]
    asked = small(
        node("VariableShape", "shape", ["v"], {"out_type": of_type(schemas.DT_INT64)}),
        node("VarIsInitializedOp", "is", ["v"]),
        node("ResourceGatherNd", "found", ["v", "shape"], {"Tindices": of_type(schemas.DT_INT64), "dtype": of_type(1)}),
        node("NoOp", "all", ["^shape", "^is", "^found"]),
        reference=False,
    )
    frozen = {each.name: each for each in freeze_graph(asked, {"v": ONES}, "all").node}
    assert [frozen[name].op for name in ("v", "shape", "is", "found")] == ["Const", "Shape", "Const", "GatherNd"]
    assert frozen["shape"].attr["out_type"].type == schemas.DT_INT64


def test_values_must_be_those_of_the_variables() -> None:
    graph = small(node("Neg", "neg", ["v"]))
    with pytest.raises(NotFoundError, match="variable 'v': there is no value 'v'; did you mean 'vv'"):
        freeze_graph(graph, {"vv": ONES}, "neg")
    with pytest.raises(InvalidArgumentError, match="is float32, its value float64"):
        freeze_graph(graph, {"v": np.ones(2)}, "neg")
    with pytest.raises(ShapeMismatchError, match=r"shape \[3\], expected \[2\]"):
        freeze_graph(graph, {"v": np.ones(3, np.float32)}, "neg")
    with pytest.raises(InvalidArgumentError, match="nothing to keep"):
        freeze_graph(graph, {"v": ONES})


def test_every_frozen_model_has_no_variables_left(models: Models) -> None:
    for name in models.names:
        with load_checkpoint(models.prefix(name)) as values:
            assert find_variables(freeze_graph(models.meta_graph(name), values, models.expected(name)["fetches"])) == []
