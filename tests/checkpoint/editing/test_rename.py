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
