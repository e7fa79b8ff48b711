"""What only training needs goes, what a model is stays; the graph knows better than names."""

from __future__ import annotations

import pathlib
from typing import Any

import numpy as np
import pytest

import tfsaver
from tfsaver import load_checkpoint, save_checkpoint, schemas
from tfsaver.errors import DataLossError, InvalidArgumentError
from tfsaver.graph.essential_variables import find_training_state


def variable(graph: schemas.MetaGraphDef, name: str, shape: tuple[int, ...] = (2,), dtype: str = "DT_FLOAT", *keys: str) -> None:
    """A reference variable that is read, and stands in collections."""
    node = graph.graph_def.node.add(name=name, op="VariableV2")
    node.attr["dtype"].type = schemas.DataType.Value(dtype)
    node.attr["shape"].shape.CopyFrom(schemas.TensorShapeProto(dim=[{"size": size} for size in shape]))
    graph.graph_def.node.add(name=f"{name}/read", op="Identity", input=[name])
    for key in ("variables", *keys):
        definition = schemas.VariableDef(variable_name=f"{name}:0", trainable=key == "trainable_variables")
        graph.collection_def[key].bytes_list.value.append(definition.SerializeToString())


def training_graph() -> schemas.MetaGraphDef:
    graph = schemas.MetaGraphDef()
    variable(graph, "w", (2,), "DT_FLOAT", "trainable_variables")
    variable(graph, "odd/first")
    variable(graph, "odd/second")
    variable(graph, "power", ())
    variable(graph, "moving_mean")
    variable(graph, "steps", (), "DT_INT64", "global_step")
    # By its name a slot of Momentum; by the graph a weight.
    variable(graph, "w/Momentum", (2,), "DT_FLOAT", "trainable_variables")
    variable(graph, "w/LARSOptimizer", (2,))
    graph.graph_def.node.add(name="rate", op="Const")
    graph.graph_def.node.add(name="gradient", op="Identity", input=["w/read"])
    inputs = ["w", "odd/first", "odd/second", "power/read", "rate", "steps/read", "gradient"]
    graph.graph_def.node.add(name="train", op="ApplyAdam", input=inputs)
    return graph


def values(graph: schemas.MetaGraphDef) -> dict[str, Any]:
    names = [node.name for node in graph.graph_def.node if node.op == "VariableV2"]
    scalars = {"power": np.float32(0.9), "steps": np.int64(3)}
    return {name: scalars.get(name, np.arange(2, dtype=np.float32)) for name in names}


def test_graph_says_what_optimizers_change() -> None:
    state = find_training_state(training_graph())
    assert state.reasons == {
        "odd/first": "state of the optimizer Adam, by the graph",
        "odd/second": "state of the optimizer Adam, by the graph",
        "power": "number of the optimizer Adam, by the graph",
    }
    assert state.trained == {"w", "w/Momentum"}
    assert state.global_steps == {"steps"}


def test_meta_beside_the_checkpoint_is_asked(tmp_path: pathlib.Path) -> None:
    graph = training_graph()
    prefix = save_checkpoint(values(graph), tmp_path / "m", durable=False)
    (tmp_path / "m.meta").write_bytes(graph.SerializeToString())
    report = tfsaver.strip(prefix, tmp_path / "out", durable=False)
    assert set(report.left_out) == {"odd/first", "odd/second", "power", "w/LARSOptimizer"}
    assert load_checkpoint(tmp_path / "out").names == ["moving_mean", "steps", "w", "w/Momentum"]
    assert any("m.meta and names" in note for note in report.notes)
    assert not (tmp_path / "out.meta").exists()
    by_names = tfsaver.strip(prefix, tmp_path / "names", meta=False, dry_run=True)
    assert set(by_names.left_out) == {"w/LARSOptimizer", "w/Momentum"}
    (tmp_path / "m.meta").rename(tmp_path / "other.meta")
    given = tfsaver.strip(prefix, tmp_path / "given", meta=tmp_path / "other.meta", without_global_step=True, dry_run=True)
    assert set(given.left_out) == {*report.left_out, "steps"}


def test_patterns_say_what_goes_and_stays_besides(tmp_path: pathlib.Path) -> None:
    arrays = {"w": np.ones(2, np.float32), "w/Adam": np.ones(2, np.float32), "w/Adam_1": np.ones(2, np.float32), "x": [1.0]}
    prefix = save_checkpoint({**arrays, "global_step": np.int64(1)}, tmp_path / "m", durable=False)
    report = tfsaver.strip(prefix, tmp_path / "out", keep="Adam_1$", select=tfsaver.Selection(exclude="^x$"), durable=False)
    assert load_checkpoint(tmp_path / "out").names == ["global_step", "w", "w/Adam_1"]
    assert report.left_out["x"].reason == "excluded by '^x$'"
    rest = tfsaver.strip(prefix, tmp_path / "rest", without_global_step=True, dry_run=True)
    assert rest.left_out["global_step"] == ("the global step", 8)


def test_meta_that_cannot_be_read_is_an_error(tmp_path: pathlib.Path) -> None:
    prefix = save_checkpoint({"w": [1.0]}, tmp_path / "m", durable=False)
    with pytest.raises(InvalidArgumentError, match="no such .meta"):
        tfsaver.strip(prefix, tmp_path / "out", meta=tmp_path / "missing.meta")
    (tmp_path / "m.meta").write_bytes(b"\xff\xff\xff")
    with pytest.raises(DataLossError, match=r"m.meta: no MetaGraphDef"):
        tfsaver.strip(prefix, tmp_path / "out")
    assert tfsaver.strip(prefix, tmp_path / "out", meta=False).after.num_tensors == 1


@pytest.mark.parametrize(
    ("case", "before", "after", "share"),
    [
        ("v2_tiny_bert_keras_bert/bert_model.ckpt", 139, 47, 0.66),
        ("v2_t2t_transformer_two_shards", 250, 86, 0.66),
        ("v2_tfx_estimator_ckpt", 60, 21, 0.53),
        ("gen_partitioned_v2_sharded", 6, 4, 0.48),
        ("gen_partitioned_v1_single", 6, 4, 0.48),
        ("sm_tf_OptimizerSlotVariableModule", 9, 2, 0.86),
    ],
)
def test_real_checkpoints_lose_their_optimizers(
    cases: pathlib.Path, tmp_path: pathlib.Path, case: str, before: int, after: int, share: float
) -> None:
    report = tfsaver.strip(cases / case, tmp_path / "out", durable=False)
    assert (report.before.num_tensors, report.after.num_tensors) == (before, after)
    assert share <= report.num_bytes_saved / report.before.num_bytes <= share + 0.01
    with load_checkpoint(cases / case) as old, load_checkpoint(tmp_path / "out") as new:
        assert report.after.num_bytes == sum(new.info(name).num_bytes for name in new.names)
        for name in new.names:
            if name != "_CHECKPOINTABLE_OBJECT_GRAPH":
                assert old[name].tobytes() == new[name].tobytes()
                assert set(old.info(name).slices) == set(new.info(name).slices)
        assert not any("adam_" in name or name.endswith(("/Adam", "/Adagrad")) for name in new.names)
        assert ("global_step" in old) == ("global_step" in new)


def test_selections_and_conversions_ask_the_meta_too(tmp_path: pathlib.Path) -> None:
    graph = training_graph()
    prefix = save_checkpoint(values(graph), tmp_path / "m", durable=False)
    (tmp_path / "m.meta").write_bytes(graph.SerializeToString())
    rule = tfsaver.Selection(without_optimizer=True)
    stays = {"moving_mean", "steps", "w", "w/Momentum"}
    tfsaver.select(prefix, tmp_path / "selected", rule, durable=False)
    assert set(load_checkpoint(tmp_path / "selected").names) == stays
    tfsaver.convert(prefix, tmp_path / "converted.npz", select=rule, durable=False)
    tfsaver.convert(prefix, tmp_path / "essential.npz", essential=True, durable=False)
    for name in ("converted.npz", "essential.npz"):
        with np.load(tmp_path / name) as arrays:
            assert set(arrays) == stays
