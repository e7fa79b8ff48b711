"""A frozen graph gets variables back, and gives the same numbers from a checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.graph.conftest import Models
from tfsaver import schemas
from tfsaver.checkpoint.checkpoint_reader import load_checkpoint
from tfsaver.checkpoint.save import save_checkpoint
from tfsaver.errors import DataLossError
from tfsaver.framework import dtypes
from tfsaver.graph.freezing import freeze_graph
from tfsaver.graph.lint import lint
from tfsaver.graph.node_builder import array_const, int32_const, node, strings_const
from tfsaver.graph.unfreezing import unfreeze_graph
from tfsaver.graph.variables import find_variables

FLOAT32 = dtypes.from_name("float32")


def large(name: str) -> Any:
    return array_const(name, np.arange(600, dtype=np.float32), FLOAT32)


@pytest.mark.parametrize("kind", ["resource", "reference"])
def test_freezing_and_unfreezing_gives_the_same(models: Models, tmp_path: Path, kind: Any) -> None:
    changed = {}
    for name in models.names:
        with load_checkpoint(models.prefix(name)) as values:
            frozen = freeze_graph(models.meta_graph(name), values, models.expected(name)["fetches"])
            before = frozen.SerializeToString(deterministic=True)
            chosen = {each.node for each in find_variables(models.meta_graph(name))}
            changed[name], made = unfreeze_graph(
                frozen, min_size=0, kind=kind, choose=lambda name, *_, chosen=chosen: name in chosen
            )
            assert frozen.SerializeToString(deterministic=True) == before
            # The names that the variables had; parts have become tensors of their own.
            whole = {key for key in made if "/part_" not in key}
            assert whole and whole <= set(values)
            for key in whole:
                np.testing.assert_array_equal(made[key], values[key])
        assert {each.code for each in lint(changed[name])} <= {"empty-table"}
        save_checkpoint(made, tmp_path / f"{name}.ckpt")
    fillers = [each.name for each in changed["table"].graph_def.node if each.op.startswith("InitializeTable")]
    models.check(
        tmp_path,
        changed,
        restore=lambda name: str(tmp_path / f"{name}.ckpt"),
        run_first=lambda name: fillers if name == "table" else [],
    )


def test_only_large_constants_outside_of_loops_become_variables() -> None:
    waiting = large("waiting")
    waiting.input.append("^small")
    graph = schemas.GraphDef(node=[int32_const("small", 1), waiting, large("a"), node("Neg", "b", ["a"])])
    meta_graph, values = unfreeze_graph(graph)
    assert list(values) == ["a"]
    (variable,) = find_variables(meta_graph)
    assert (variable.name, variable.node, variable.snapshot, variable.trainable) == ("a", "a/Variable", "a:0", True)
    assert {each.name: each.op for each in meta_graph.graph_def.node}["a"] == "ReadVariableOp"
    assert unfreeze_graph(graph, choose=lambda *_: False).values == {}


def test_new_variables_begin_small() -> None:
    meta_graph, _ = unfreeze_graph(schemas.GraphDef(node=[large("a")]), kind="reference", trainable=False)
    zeros = next(each for each in meta_graph.graph_def.node if each.name == "a/Initializer/zeros")
    assert zeros.ByteSize() < 100 and zeros.attr["value"].tensor.tensor_shape.dim[0].size == 600
    assert "trainable_variables" not in meta_graph.collection_def


def test_strings_can_be_variables_too() -> None:
    graph = schemas.GraphDef(node=[strings_const("words", ["x" * 1000, "y" * 100])])
    meta_graph, values = unfreeze_graph(graph)
    assert values["words"].tolist() == [b"x" * 1000, b"y" * 100]
    assert lint(meta_graph) == []


def test_a_scope_of_that_name_is_no_obstacle() -> None:
    graph = schemas.GraphDef(node=[large("a"), int32_const("a/Variable", 1), int32_const("a/Assign", 1)])
    meta_graph, _ = unfreeze_graph(graph)
    assert [each.node for each in find_variables(meta_graph)] == ["a/Variable_1"]
    assert lint(meta_graph) == []


def test_other_variables_stay_in_the_saver(models: Models) -> None:
    whole = models.meta_graph("resource")
    whole.graph_def.node.append(large("extra"))
    meta_graph, values = unfreeze_graph(whole)
    assert list(values) == ["extra"]
    assert {each.name for each in find_variables(meta_graph)} == {each.name for each in find_variables(whole)} | {"extra"}
    assert meta_graph.saver_def.restore_op_name == "save_1/restore_all"


def test_a_damaged_constant_is_data_loss() -> None:
    damaged = large("a")
    damaged.attr["value"].tensor.tensor_content = b"x" * 5000
    with pytest.raises(DataLossError, match="'a'"):
        unfreeze_graph(schemas.GraphDef(node=[damaged]))
