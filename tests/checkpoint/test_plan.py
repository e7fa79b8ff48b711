"""A plan gives names, objects and tensors of its sources, and is a source itself."""

from __future__ import annotations

import pathlib

import numpy as np
import pytest

import tfsaver
from tests.checkpoint.editing.test_object_graph_merging import source_of, trunk
from tfsaver.checkpoint.objects.object_graph import OBJECT_GRAPH_KEY, TREE_KEY
from tfsaver.checkpoint.plan import as_plan, joined, object_graph_of, tensor_names
from tfsaver.checkpoint.tensor_source import ArraySource
from tfsaver.errors import InvalidArgumentError, TensorNotFoundError

VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"


def test_plan_has_the_tensors_and_descriptions_of_its_source() -> None:
    source = source_of(trunk, 3)
    plan = as_plan(source)
    assert as_plan(plan) is plan
    assert plan.names == list(plan) == sorted(source.names)
    assert plan.tensor_names == [name for name in sorted(source.names) if name != OBJECT_GRAPH_KEY]
    assert tensor_names(plan) == plan.tensor_names == sorted(tensor_names(source))
    assert tensor_names(plan) is not plan.tensor_names
    assert OBJECT_GRAPH_KEY in plan and f"step{VALUE}" in plan and "absent" not in plan and 7 not in plan
    assert plan[f"step{VALUE}"].tolist() == [3, 3]
    assert object_graph_of(plan) == plan.graph == object_graph_of(source)
    assert as_plan(ArraySource({"a": np.zeros(1)})).graph is None


def test_descriptions_are_scalars_of_strings() -> None:
    plan = as_plan(source_of(trunk))
    info = plan.info(OBJECT_GRAPH_KEY)
    assert (info.dtype.name, info.shape) == ("string", ()) and info.num_bytes >= len(plan[OBJECT_GRAPH_KEY].item())
    assert plan.slices(OBJECT_GRAPH_KEY) == ()
    [piece] = plan.pieces(OBJECT_GRAPH_KEY)
    assert piece.shape == (1,) and piece[0] == plan[OBJECT_GRAPH_KEY].item()
    with pytest.raises(InvalidArgumentError):
        plan.read(OBJECT_GRAPH_KEY, np.s_[0])
    plan.read(OBJECT_GRAPH_KEY)[()] = b"changed"
    assert plan.read(OBJECT_GRAPH_KEY).item() != b"changed"


def test_missing_tensor_is_named_with_its_neighbours() -> None:
    plan = as_plan(ArraySource({"kernel": np.zeros(1), "bias": np.zeros(1)}))
    for ask in (plan.info, plan.read, plan.pieces, plan.slices):
        with pytest.raises(TensorNotFoundError, match="'kernal'.*did you mean 'kernel'"):
            ask("kernal")


def test_plan_stands_on_checkpoints_and_closes_them(tmp_path: pathlib.Path) -> None:
    prefixes = [tfsaver.save_checkpoint({name: np.full(2, number)}, tmp_path / name, durable=False) for number, name in enumerate("ab")]
    plans = [as_plan(tfsaver.load_checkpoint(prefix)) for prefix in prefixes]
    both = joined(plans, [["a"], ["b"]], graph=None)
    assert both.prefix == ", ".join(prefixes) and joined([plans[0]] * 2, [[], ["a"]], graph=None).prefix == prefixes[0]
    assert as_plan(ArraySource({"a": np.zeros(1)})).prefix is None
    assert [both[name].tolist() for name in both] == [[0, 0], [1, 1]]
    again = joined([both, as_plan(ArraySource({"c": np.full(2, 2)}))], [["a", "b"], ["c"]], graph=None)
    assert [again[name].tolist() for name in "abc"] == [[0, 0], [1, 1], [2, 2]]
    both.close()
    for name in "ab":
        with pytest.raises((InvalidArgumentError, ValueError)):
            both.read(name)


def test_tensors_under_other_names_are_those_of_the_old_ones() -> None:
    plan = as_plan(ArraySource({name: np.full(1, number) for number, name in enumerate("abcd")}))
    other = plan.with_names({"z": "a", "y": "c", "x": "b", "c": "d"}, graph=None)
    assert {name: other[name].item() for name in other} == {"c": 3, "x": 1, "y": 2, "z": 0}
    assert other.info("y").name == "y" and not other.is_changed("y")
    made = plan.with_names({"b": "c"}, graph=None, recipes={"new": plan.recipe("a")})
    assert {name: made[name].item() for name in made} == {"b": 2, "new": 0}
    assert made.is_changed("new") and made.info("new").name == "new"
    kept = made.with_names({"n": "new", "m": "b"}, graph=None)
    assert {name: kept[name].item() for name in kept} == {"m": 2, "n": 0}
    assert kept.is_changed("n") and not kept.is_changed("m")


def test_noted_structure_stays_as_long_as_the_names_do(tmp_path: pathlib.Path) -> None:
    prefix = tfsaver.save({"a": np.ones(1), "b": [np.ones(2)]}, tmp_path / "m", durable=False)
    with tfsaver.load_checkpoint(prefix) as reader:
        plan = as_plan(reader)
        assert plan.tree is not None and TREE_KEY in plan and TREE_KEY not in plan.tensor_names
        same = {name: name for name in plan.tensor_names}
        assert plan.with_names(same, graph=plan.graph).tree is plan.tree
        assert plan.with_recipes({}).tree is plan.tree and plan.with_recipes({}).graph is plan.graph
        same.popitem()
        assert plan.with_names(same, graph=None).tree is None
    assert as_plan(ArraySource({TREE_KEY: np.ones(3), "a": np.ones(1)})).tree is None
    assert as_plan(ArraySource({TREE_KEY: np.array([b"x"], object)})).tree is None
