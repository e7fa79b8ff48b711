"""Tensors get the names that a mapping says, turned where it says so, and nothing else of them changes."""

from __future__ import annotations

import pathlib
from typing import Any

import numpy as np
import pytest

import tfsaver
from tests.checkpoint.editing.edited import assert_same, read
from tfsaver import load_checkpoint
from tfsaver.checkpoint.editing.rename import renamed
from tfsaver.checkpoint.names.name_map import Renamed, Rule
from tfsaver.checkpoint.tensor_source import ArraySource
from tfsaver.errors import InvalidArgumentError

W = np.arange(6, dtype=np.float32).reshape(2, 3)


def test_names_change_and_values_do_not(save: Any, tmp_path: pathlib.Path) -> None:
    prefix = save("m", {"rnn/weights": W, "rnn/biases": W[0], "step": np.int64(3), "words": np.array([b"a"], object)})
    report = tfsaver.rename(prefix, tmp_path / "out", [("weights$", "kernel"), ("biases$", "bias"), {"step": None}])
    assert_same(read(report.target), {"rnn/kernel": W, "rnn/bias": W[0], "words": np.array([b"a"], object)})
    assert report.renamed == {"rnn/weights": ("rnn/kernel",), "rnn/biases": ("rnn/bias",)}
    assert report.left_out == {"step": ("the mapping says so", 8)}


def test_one_tensor_may_get_several_names_and_two_change_theirs(save: Any, tmp_path: pathlib.Path) -> None:
    prefix = save("m", {"a": W, "b": -W})
    report = tfsaver.rename(prefix, tmp_path / "out", {"a": ["b", "c"], "b": "a"})
    assert_same(read(report.target), {"a": -W, "b": W, "c": W})


def test_transposed_tensors_are_turned_everywhere(save: Any, tmp_path: pathlib.Path, partitioned: str) -> None:
    cube = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    prefix = save("m", {"w": W, "cube": cube})
    mapping = {"w": Renamed("v", (1, 0)), "cube": Renamed("turned", (2, 0, 1))}
    report = tfsaver.rename(prefix, tmp_path / "out", mapping)
    assert_same(read(report.target), {"v": np.ascontiguousarray(W.T), "turned": np.ascontiguousarray(cube.transpose(2, 0, 1))})
    assert "cube -> turned transposed [2, 0, 1]" in str(report)
    view = renamed(load_checkpoint(prefix), mapping).plan
    for region in (np.s_[1:3, :, 2], np.s_[0], np.s_[..., 1:], np.s_[3, 1, 2]):
        np.testing.assert_array_equal(view.read("turned", region), cube.transpose(2, 0, 1)[region])
    assert view.info("turned").shape == (4, 2, 3)
    turned = tfsaver.rename(partitioned, tmp_path / "parts_turned", [Rule("^rows$", "rows", transpose=True)])
    with load_checkpoint(turned.target or "") as reader:
        assert not reader.info("rows").slices
        assert len(reader.info("columns").slices) == 2
        np.testing.assert_array_equal(reader["rows"], np.arange(40, dtype=np.float32).reshape(10, 4).T)


def test_everything_that_does_not_fit_is_said_at_once() -> None:
    source = ArraySource({"a": W, "b": W, "c": W[0]})
    with pytest.raises(InvalidArgumentError) as caught:
        renamed(source, {"a": "x", "b": "x", "typo": "y"})
    assert "'a' and 'b' both become 'x'" in str(caught.value)
    assert "'typo' names nothing" in str(caught.value)
    with pytest.raises(InvalidArgumentError, match=r"'c', to become 'd': shape \[3\] does not have the 2 axes"):
        renamed(source, {"c": Renamed("d", (1, 0))})


def test_slots_that_follow_onto_another_name_are_an_error(cases: pathlib.Path, tmp_path: pathlib.Path) -> None:
    with load_checkpoint(cases / "sm_tf_OptimizerSlotVariableModule") as reader:
        slots = [name for name in reader.names if ".OPTIMIZER_SLOT" in name]
        assert len(slots) == 2
        path = slots[0].partition("/.OPTIMIZER_SLOT")[0]
        report = tfsaver.rename(reader, tmp_path / "out", {path: "other"})
        with load_checkpoint(tmp_path / "out") as new:
            renamed = [name for name in new.names if ".OPTIMIZER_SLOT" in name]
            assert all(name.startswith("other/.OPTIMIZER_SLOT/") for name in renamed)
            np.testing.assert_array_equal(new[renamed[0]], reader[slots[0]])
        assert set(slots) < set(report.renamed)
        dropped = tfsaver.rename(reader, tmp_path / "dropped", {path: None}, dry_run=True)
        assert set(slots) < set(dropped.left_out)


def test_chains_of_views_compose(save: Any, tmp_path: pathlib.Path) -> None:
    from tfsaver.checkpoint.editing.cast import casted
    from tfsaver.checkpoint.editing.select import selected

    with load_checkpoint(save("m", {"a/w": W, "a/b": W[0], "c": W})) as reader:
        view = casted(renamed(selected(reader, ["a/w", "a/b"]), [("^a/", "x/")]).plan, "float16")
        out = tfsaver.save_checkpoint(view, tmp_path / "out")
    assert_same(read(out), {"x/w": W.astype(np.float16), "x/b": W[0].astype(np.float16)})


MOMENTS = {"w": W, "w/Adam": W + 10, "w/Adam_1": W + 20, "w/ExponentialMovingAverage": W + 30, "b": W[0], "step": np.int64(1)}


def test_slots_follow_what_moves_their_variable() -> None:
    view = renamed(ArraySource(MOMENTS), {"w": {"split": {"x": 1, "y": 2}, "axis": 1, "transpose": True}}).plan
    for end, old in (("", "w"), ("/Adam", "w/Adam"), ("/Adam_1", "w/Adam_1"), ("/ExponentialMovingAverage", "w/ExponentialMovingAverage")):
        np.testing.assert_array_equal(view[f"x{end}"], MOMENTS[old][:, :1].T)
        np.testing.assert_array_equal(view[f"y{end}"], MOMENTS[old][:, 1:].T)
    assert [name for name in view.names if name.startswith("w")] == []


def test_slots_of_a_scaled_variable_are_left_out_and_its_average_is_scaled(save: Any, tmp_path: pathlib.Path) -> None:
    report = tfsaver.rename(save("m", MOMENTS), tmp_path / "out", {"w": {"to": "v", "scale": 0.5}})
    found = read(report.target)
    assert sorted(found) == ["b", "step", "v", "v/ExponentialMovingAverage"]
    np.testing.assert_array_equal(found["v/ExponentialMovingAverage"], (W + 30) / 2)
    assert set(report.left_out) == {"w/Adam", "w/Adam_1"} and "slot of w: scaled by 0.5" in str(report)


def test_factored_slots_of_a_moved_variable_are_left_out() -> None:
    tensors = {"w": W, "w/vr": W[:, 0], "w/vc": W[0]}
    renaming = renamed(ArraySource(tensors), {"w": {"to": "w", "transpose": True}})
    assert renaming.plan.names == ["w"] and set(renaming.left_out("")) == {"w/vr", "w/vc"}


def test_slots_of_joined_variables_need_a_partner_each() -> None:
    tensors = {"q": W, "k": W, "q/Adam": W, "k/Adam": W, "q/Adam_1": W}
    renaming = renamed(ArraySource(tensors), {"qk": {"concat": ["q", "k"]}})
    assert renaming.plan.names == ["qk", "qk/Adam"]
    assert renaming.left_out("") == {"q/Adam_1": "slot of qk: k has none"}


def test_slot_that_the_mapping_names_is_what_it_says() -> None:
    view = renamed(ArraySource(MOMENTS), {"w": {"to": "v", "scale": 2.0}, "w/Adam": "mine"}).plan
    np.testing.assert_array_equal(view["mine"], W + 10)


def test_what_matches_nothing_is_an_error_unless_it_is_allowed(save: Any, tmp_path: pathlib.Path) -> None:
    prefix = save("m", {"conv/weights": W})
    for number, mapping in enumerate(([("kernal$", "x")], "bert-to-pytorch", {"conv/weight": "x"}, {"x": {"concat": ["a", "b"]}})):
        with pytest.raises(InvalidArgumentError, match="allow_unmatched=True"):
            tfsaver.rename(prefix, tmp_path / "no", mapping)
        report = tfsaver.rename(prefix, tmp_path / f"out{number}", mapping, allow_unmatched=True)
        assert_same(read(report.target), {"conv/weights": W})
        assert any("none of" in note or "nothing" in note for note in report.notes)


def test_table_that_knows_a_part_of_the_names_lists_the_others(save: Any, tmp_path: pathlib.Path) -> None:
    prefix = save("m", {"bert/embeddings/word_embeddings": W, "bert/encoder/group_0/kernel": W, "head": W})
    report = tfsaver.rename(prefix, tmp_path / "out", "bert-to-pytorch")
    assert "1 of 3 names; not recognized: bert/encoder/group_0/kernel, head" in str(report)


def test_rank_chooses_the_rule() -> None:
    tensors = {"dense/kernel": W, "conv/kernel": np.zeros((2, 3, 4, 5), np.float32), "depthwise/kernel": np.zeros((5, 4, 2), np.float32)}
    rules = [
        Rule("kernel$", "weight", True, when=2),
        Rule("kernel$", "weight", [3, 2, 0, 1], when={"rank": 4, "dtype": "float32"}),
        Rule("kernel$", "weight", when=[3, 5], reshape=[5, -1], transpose=True),
    ]
    view = renamed(ArraySource(tensors), rules).plan
    shapes = {name: view.info(name).shape for name in view.names}
    assert shapes == {"dense/weight": (3, 2), "conv/weight": (5, 4, 2, 3), "depthwise/weight": (8, 5)}


def test_restore_load_and_diff_take_the_same_changes(save: Any) -> None:
    prefix = save("m", {"q": W, "k": W + 1, "old": W.reshape(3, 2)})
    mapping = {"qk": {"concat": ["q", "k"], "axis": -1}, "old": {"to": "new", "reshape": [2, 3], "scale": 2.0}}
    expected = {"qk": np.concatenate([W, W + 1], axis=-1), "new": W * 2}
    assert_same(tfsaver.load(prefix, mapping=mapping), expected)
    assert tfsaver.diff(prefix, save("other", expected), mapping=mapping).ok
