"""What is selected is there byte for byte, and everything else is in the report."""

from __future__ import annotations

import pathlib
from typing import Any

import numpy as np
import pytest

import tfsaver
from tests.checkpoint.editing.edited import assert_same, read
from tfsaver import Selection, load_checkpoint
from tfsaver.checkpoint.editing.select import selected
from tfsaver.checkpoint.tensor_source import ArraySource
from tfsaver.errors import AlreadyExistsError, InvalidArgumentError, TensorNotFoundError

MODEL: dict[str, Any] = {
    "bert/w": np.arange(6, dtype=np.float32),
    "bert/w/adam_m": np.zeros(6, np.float32),
    "cls/b": np.arange(3, dtype=np.float32),
    "global_step": np.int64(9),
}


def test_patterns_say_what_is_kept(save: Any, tmp_path: pathlib.Path) -> None:
    report = tfsaver.select(save("m", MODEL), tmp_path / "out", Selection(include="^bert/", exclude="adam"))
    assert_same(read(report.target), {"bert/w": MODEL["bert/w"]})
    assert report.left_out["bert/w/adam_m"] == ("excluded by 'adam'", 24)
    assert report.left_out["cls/b"] == ("not included", 12)
    assert report.num_bytes_saved == 24 + 12 + 8
    assert (report.before.num_tensors, report.after.num_tensors) == (4, 1)
    assert "left out:  3 tensors, 44 bytes" in str(report)
    assert "excluded by 'adam': 1 tensor, 24 bytes" in str(report)


def test_slices_stay_slices(partitioned: str, tmp_path: pathlib.Path) -> None:
    tfsaver.select(partitioned, tmp_path / "out", "s$", num_shards=2)
    with load_checkpoint(partitioned) as old, load_checkpoint(tmp_path / "out") as new:
        assert new.names == ["columns", "rows", "words"]
        for name in new.names:
            assert set(new.info(name).slices) == set(old.info(name).slices)
            np.testing.assert_array_equal(new[name], old[name])


def test_dry_run_writes_nothing_and_says_the_same(save: Any, tmp_path: pathlib.Path) -> None:
    prefix = save("m", MODEL)
    dry = tfsaver.select(prefix, tmp_path / "out", "^bert/", dry_run=True)
    assert dry.target is None
    assert not list(tmp_path.glob("out*"))
    assert "nothing written (dry run)" in str(dry)
    wet = tfsaver.select(prefix, tmp_path / "out", "^bert/")
    assert (dry.left_out, dry.after) == (wet.left_out, wet.after)


def test_result_is_never_written_over_its_source(save: Any, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prefix = save("m", MODEL)
    (tmp_path / "link").symlink_to(tmp_path)
    monkeypatch.chdir(tmp_path)
    for same in (prefix, "m", f"{tmp_path}/./m", tmp_path / "link" / "m"):
        with pytest.raises(InvalidArgumentError, match="is the checkpoint that is read"):
            tfsaver.select(prefix, same, "bert", overwrite=True)
    v1 = save("old", MODEL, format="V1")
    with pytest.raises(InvalidArgumentError, match="is the checkpoint that is read"):
        tfsaver.select(v1, v1, "bert", format="V1", overwrite=True)
    sharded = save("sharded", MODEL, format="V1", num_shards=2)
    with pytest.raises(InvalidArgumentError, match="is the checkpoint that is read"):
        tfsaver.select(sharded, tmp_path / "sharded", "bert", format="V1", num_shards=2, overwrite=True)
    assert_same(read(prefix), MODEL)


def test_another_checkpoint_is_replaced_only_when_asked_to(save: Any, tmp_path: pathlib.Path) -> None:
    prefix, there = save("m", MODEL), save("there", {"a": [1]})
    with pytest.raises(AlreadyExistsError, match="overwriting it was not asked for"):
        tfsaver.select(prefix, there, "bert")
    assert read(there)["a"].tolist() == [1]
    tfsaver.select(prefix, there, "^cls", overwrite=True)
    assert_same(read(there), {"cls/b": MODEL["cls/b"]})
    (tmp_path / "directory").mkdir()
    tfsaver.select(prefix, tmp_path / "directory", "^cls")
    tfsaver.select(prefix, tmp_path / "directory" / "new" / "m", "^cls")


def test_rules_that_leave_nothing_are_errors(save: Any, tmp_path: pathlib.Path) -> None:
    prefix = save("m", MODEL)
    with pytest.raises(InvalidArgumentError, match=r"'\^brt/', to be included.*did you mean 'bert/w'"):
        tfsaver.select(prefix, tmp_path / "out", "^brt/")
    with pytest.raises(InvalidArgumentError, match="keeps none of 4 tensors"):
        tfsaver.select(prefix, tmp_path / "out", Selection(exclude="."))
    with pytest.raises(TensorNotFoundError, match="did you mean 'bert/w'"):
        selected(ArraySource(MODEL), ["bert/v"])


def test_views_are_lazy_mappings() -> None:
    view = selected(ArraySource(MODEL), ["cls/b", "bert/w"])
    assert view.names == ["bert/w", "cls/b"]
    assert "cls/b" in view and "global_step" not in view
    assert view.read("bert/w", np.s_[2:4]).tolist() == [2, 3]
    assert view.info("cls/b").num_bytes == 12
    with pytest.raises(TensorNotFoundError):
        view.info("global_step")
