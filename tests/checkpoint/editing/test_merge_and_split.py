"""Checkpoints become one and several: no tensor is lost, and none is taken in silence."""

from __future__ import annotations

import contextlib
import os
import pathlib
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import tfsaver
from tests.checkpoint.editing.edited import assert_same, read
from tfsaver import load_checkpoint
from tfsaver.checkpoint.editing.cast import casted
from tfsaver.checkpoint.editing.merge import merged
from tfsaver.errors import AlreadyExistsError, InvalidArgumentError, MissingSlicesError
from tfsaver.tensor_bundle.writer import BundleWriter

TRUNK = {"trunk/w": np.arange(4.0), "shared": np.array([np.nan, 0.0]), "step": np.int64(1)}
HEAD = {"head/w": np.arange(3.0), "shared": np.array([np.nan, 0.0]), "step": np.int64(2)}


def test_same_tensors_are_no_conflict(save: Any, tmp_path: pathlib.Path) -> None:
    one, two = dict(TRUNK), {name: value for name, value in HEAD.items() if name != "step"}
    report = tfsaver.merge([save("a", one), save("b", two)], tmp_path / "out")
    assert_same(read(report.target), {**one, **two})
    assert list(report.left_out) == [f"shared of {tmp_path / 'b'}"]


def test_conflicts_are_one_error(save: Any, tmp_path: pathlib.Path) -> None:
    other = {**HEAD, "trunk/w": np.zeros(4, np.float32), "shared": np.array([np.nan, -0.0])}
    with pytest.raises(InvalidArgumentError) as caught:
        tfsaver.merge([save("a", TRUNK), save("b", other)], tmp_path / "out")
    said = str(caught.value)
    assert "'trunk/w'" in said and "float64 [4] and float32 [4]" in said
    assert "'shared'" in said and "1 of 2 elements differ" in said
    assert "'step'" in said
    assert not list(tmp_path.glob("out*"))


@pytest.mark.parametrize(("choice", "step"), [("first", 1), ("last", 2)])
def test_caller_may_say_whose_tensor_is_taken(save: Any, tmp_path: pathlib.Path, choice: str, step: int) -> None:
    a, b = save("a", TRUNK), save("b", HEAD)
    report = tfsaver.merge([a, b], tmp_path / "out", on_conflict=choice)
    assert read(report.target)["step"] == step
    loser, winner = (b, a) if choice == "first" else (a, b)
    assert report.left_out[f"step of {loser}"] == (f"taken from {winner}", 8)


def test_merging_takes_known_choices_and_at_least_one(save: Any, tmp_path: pathlib.Path) -> None:
    with pytest.raises(InvalidArgumentError, match="on_conflict is 'mine'"):
        tfsaver.merge([TRUNK], tmp_path / "out", on_conflict="mine")
    with pytest.raises(InvalidArgumentError, match="no checkpoints to merge"):
        tfsaver.merge([], tmp_path / "out")


def test_slices_are_merged_as_they_are(partitioned: str, tmp_path: pathlib.Path) -> None:
    report = tfsaver.merge([partitioned, {"more": np.ones(2)}], tmp_path / "out")
    with load_checkpoint(report.target or "") as new:
        assert len(new.info("columns").slices) == 2
        assert new["more"].tolist() == [1, 1]


def test_split_and_merged_again_is_the_same(cases: pathlib.Path, tmp_path: pathlib.Path) -> None:
    case = cases / "v2_tiny_bert_keras_bert" / "bert_model.ckpt"
    parts = {str(tmp_path / "slots"): ["adam_m$", "adam_v$"], str(tmp_path / "layers"): "/layer_"}
    report = tfsaver.split(case, parts, rest=tmp_path / "rest")
    assert {pathlib.Path(prefix).name: part.after.num_tensors for prefix, part in report.parts.items()} == {
        "slots": 92,
        "layers": 32,
        "rest": 15,
    }
    assert all("_slot" not in name and "/layer_" not in name for name in read(str(tmp_path / "rest")))
    tfsaver.merge(list(report.parts), tmp_path / "again")
    assert tfsaver.diff(case, tmp_path / "again").ok
    assert "split: wrote" in str(report)


def test_what_has_no_place_is_an_error_before_anything_is_written(save: Any, tmp_path: pathlib.Path) -> None:
    prefix = save("m", TRUNK)
    out = str(tmp_path / "out")
    with pytest.raises(InvalidArgumentError, match="2 tensors belong to no part.*shared, step"):
        tfsaver.split(prefix, {out: "^trunk"})
    with pytest.raises(InvalidArgumentError, match="gets no tensor"):
        tfsaver.split(prefix, {out: ".", str(tmp_path / "none"): "step"})
    with pytest.raises(InvalidArgumentError, match="prefix of two parts"):
        tfsaver.split(prefix, {out: "step"}, rest=out)
    with pytest.raises(InvalidArgumentError, match="at least one part"):
        tfsaver.split(prefix, {})
    with pytest.raises(InvalidArgumentError, match="is the checkpoint that is read"):
        tfsaver.split(prefix, {out: "step"}, rest=prefix, overwrite=True)
    save("there", {"a": [1]})
    with pytest.raises(AlreadyExistsError):
        tfsaver.split(prefix, {out: "step"}, rest=tmp_path / "there")
    assert not list(tmp_path.glob("out*"))


def test_slices_of_ranks_and_what_all_have_merge_in_one_call(tmp_path: pathlib.Path) -> None:
    table = np.arange(40, dtype=np.float32).reshape(10, 4)
    for rank, rows in enumerate((slice(0, 3), slice(3, 7), slice(7, 10))):
        with BundleWriter(tmp_path / f"rank{rank}", durable=False) as writer:
            writer.add_slice("table", table.shape, np.s_[rows], table[rows])
            writer.add("step", np.int64(7))
    ranks = [tmp_path / f"rank{rank}" for rank in range(3)]
    report = tfsaver.merge(ranks, tmp_path / "whole")
    assert "inputs:    6 tensors" in str(report) and "saved:" not in str(report)
    with load_checkpoint(tmp_path / "whole") as reader:
        assert [str(each) for each in reader.info("table").slices] == ["0,3:0,4", "3,4:0,4", "7,3:0,4"]
        np.testing.assert_array_equal(reader["table"], table)
        np.testing.assert_array_equal(reader.read("table", np.s_[2:8, 1]), table[2:8, 1])
        assert reader["step"] == 7
    assert tfsaver.verify(tmp_path / "whole").ok
    with pytest.raises(MissingSlicesError, match="tensor 'table'.*6 of|28 of 40 elements"):
        tfsaver.merge(ranks[:2], tmp_path / "part")
    assert not list(tmp_path.glob("part*"))
    with contextlib.ExitStack() as stack:
        halves = [casted(stack.enter_context(load_checkpoint(rank)), "bfloat16") for rank in ranks]
        assert_same({"table": merged(halves).plan["table"]}, {"table": table.astype(ml_dtypes.bfloat16)})


@pytest.mark.parametrize("spell", [lambda path: f"./{path}", lambda path: f"d/../{path}", os.path.abspath])
def test_two_spellings_of_one_prefix_are_one_part(spell: Any, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "d").mkdir()
    for options in ({}, {"overwrite": True}):
        with pytest.raises(InvalidArgumentError, match="is the prefix of two parts"):
            tfsaver.split({"x": np.ones(3), "y": np.ones(4)}, {"d/p": "^x", spell("d/p"): "^y"}, **options)
        with pytest.raises(InvalidArgumentError, match="is the prefix of two parts"):
            tfsaver.split({"x": np.ones(3), "y": np.ones(4)}, {"d/p": "^x"}, rest=spell("d/p"), **options)
    assert not list((tmp_path / "d").iterdir())
