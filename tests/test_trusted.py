"""Every entry point that takes `trusted` refuses what leads out of the directory, and follows it by default."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tfsaver
from tests.test_public_surface import ENTRY_POINTS
from tfsaver.errors import InvalidArgumentError, UntrustedPathError

W = np.arange(6.0, dtype=np.float32)
Act = Callable[[Path, Path, bool], Any]


def save_for_objects_of(given: Path, out: Path, trusted: bool) -> None:
    try:
        tfsaver.save_checkpoint({"w": W}, out, object_graph=str(given), trusted=trusted, durable=False)
    except InvalidArgumentError as error:
        # The checkpoint has none, which is known once it was followed.
        if "says nothing of any objects" not in str(error):
            raise


# Entry points on checkpoints: what is given is a directory, or a prefix in it.
ACTS: dict[str, Act] = {
    "average": lambda given, out, trusted: tfsaver.average([given, given], out, trusted=trusted, durable=False),
    "cast": lambda given, out, trusted: tfsaver.cast(given, out, "float16", trusted=trusted, durable=False),
    "convert": lambda given, out, trusted: tfsaver.convert(given, f"{out}.npz", trusted=trusted, durable=False),
    "diff": lambda given, out, trusted: tfsaver.diff({"w": W}, given, trusted=trusted),
    "list_variables": lambda given, out, trusted: tfsaver.list_variables(given, trusted=trusted),
    "load": lambda given, out, trusted: tfsaver.load(given, trusted=trusted),
    "load_checkpoint": lambda given, out, trusted: tfsaver.load_checkpoint(given, trusted=trusted),
    "load_slices": lambda given, out, trusted: tfsaver.load_slices(given, {"w": np.s_[1:3]}, trusted=trusted),
    "load_variable": lambda given, out, trusted: tfsaver.load_variable(given, "w", trusted=trusted),
    "merge": lambda given, out, trusted: tfsaver.merge([{"x": W}, given], out, trusted=trusted, durable=False),
    "rename": lambda given, out, trusted: tfsaver.rename(given, out, {"w": "v"}, trusted=trusted, durable=False),
    "report": lambda given, out, trusted: tfsaver.report(given, f"{out}.html", trusted=trusted, durable=False),
    "reshard": lambda given, out, trusted: tfsaver.reshard(given, out, trusted=trusted, durable=False),
    "salvage": lambda given, out, trusted: tfsaver.salvage(given, out, trusted=trusted, durable=False),
    "save_checkpoint": save_for_objects_of,
    "select": lambda given, out, trusted: tfsaver.select(given, out, "w", trusted=trusted, durable=False),
    "split": lambda given, out, trusted: tfsaver.split(given, {out: "w"}, trusted=trusted, durable=False),
    "strip": lambda given, out, trusted: tfsaver.strip(given, out, trusted=trusted, durable=False),
    "verify": lambda given, out, trusted: tfsaver.verify(given, trusted=trusted),
}
OF_DIRECTORIES: dict[str, Act] = {
    "diagnose": lambda given, out, trusted: tfsaver.diagnose(given, trusted=trusted),
    "get_checkpoint_state": lambda given, out, trusted: tfsaver.get_checkpoint_state(given, trusted=trusted),
    "latest_checkpoint": lambda given, out, trusted: tfsaver.latest_checkpoint(given, trusted=trusted),
}
# Proved where there is a SavedModel, a program, or a file of another kind.
ELSEWHERE = {
    "Saver", "compare", "edit_saved_model", "export_saved_model", "freeze_saved_model", "identify", "load_saved_model",
    "merge_bundles", "merge_saved_models", "restore", "unfreeze_graph",
    "write_projector",
}  # fmt: skip


def test_every_entry_point_is_tried() -> None:
    takers = {name for name in ENTRY_POINTS if "trusted" in inspect.signature(getattr(tfsaver, name)).parameters}
    assert takers == ACTS.keys() | OF_DIRECTORIES.keys() | ELSEWHERE


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A directory with a checkpoint, beside another one."""
    for name in ("run", "other"):
        (tmp_path / name).mkdir()
        tfsaver.save_checkpoint({"w": W}, tmp_path / name / "model-1", durable=False)
    return tmp_path / "run"


@pytest.mark.parametrize("name", [*ACTS, *OF_DIRECTORIES])
def test_an_entry_that_leads_out_is_refused(name: str, run: Path, tmp_path: Path) -> None:
    act = {**ACTS, **OF_DIRECTORIES}[name]
    (run / "checkpoint").write_text(f'model_checkpoint_path: "{tmp_path}/other/model-1"\n')
    with pytest.raises(UntrustedPathError, match="leads out of the directory"):
        act(run, tmp_path / "out", False)
    act(run, tmp_path / "out", True)


@pytest.mark.parametrize("name", ACTS)
def test_a_link_that_leads_out_is_refused(name: str, run: Path, tmp_path: Path) -> None:
    data = run / "model-1.data-00000-of-00001"
    os.replace(data, tmp_path / "moved")
    os.symlink(tmp_path / "moved", data)
    with pytest.raises(UntrustedPathError) as caught:
        ACTS[name](run / "model-1", tmp_path / "out", False)
    assert caught.value.paths == (str(data),)
    ACTS[name](run / "model-1", tmp_path / "out", True)


def test_bundles_with_links_that_lead_out_are_not_merged(run: Path, tmp_path: Path) -> None:
    for suffix in ("data-00000-of-00001", "index"):
        os.replace(run / f"model-1.{suffix}", tmp_path / suffix)
        os.symlink(tmp_path / suffix, run / f"model-1.{suffix}")
        with pytest.raises(UntrustedPathError, match=suffix):
            tfsaver.merge_bundles([run / "model-1"], tmp_path / "merged", trusted=False)
    assert tfsaver.merge_bundles([run / "model-1"], tmp_path / "merged")


def test_programs_are_restored_from_inside_of_the_directory(run: Path, tmp_path: Path) -> None:
    tf = pytest.importorskip("tensorflow")
    variable = tf.Variable(tf.zeros(6))
    (run / "checkpoint").write_text(f'model_checkpoint_path: "{tmp_path}/other/model-1"\n')
    for act in (tfsaver.restore, tfsaver.compare):
        with pytest.raises(UntrustedPathError):
            act({"w": variable}, run, trusted=False)
    # The newest that is whole: what leads out is skipped.
    os.remove(run / "model-1.index")
    os.symlink(tmp_path / "other" / "model-1.index", run / "model-1.index")
    with pytest.raises(tfsaver.SaverError, match="leads out of"):
        tfsaver.restore({"w": variable}, run, verified=True, trusted=False)
    assert variable.numpy().tolist() == [0.0] * 6
    assert tfsaver.restore({"w": variable}, run, trusted=True).ok


def test_programs_and_trees_report_progress(run: Path) -> None:
    tf = pytest.importorskip("tensorflow")
    variable = tf.Variable(tf.zeros(6))
    for act in (
        lambda progress: tfsaver.restore({"w": variable}, run / "model-1", progress=progress),
        lambda progress: tfsaver.compare({"w": variable}, run / "model-1", progress=progress),
        lambda progress: tfsaver.load(run / "model-1", progress=progress),
        lambda progress: tfsaver.latest_checkpoint(run, verified=True, progress=lambda name, done, total: progress(done, total)),
    ):
        told: list[tuple[int, int]] = []
        act(lambda done, total, told=told: told.append((done, total)))
        assert told[-1] == (24, 24)


def test_dry_run_of_a_save_checks_and_writes_nothing(tmp_path: Path) -> None:
    for save in (tfsaver.save, tfsaver.save_checkpoint):
        assert save({"w": W}, tmp_path / "model", dry_run=True) == str(tmp_path / "model")
        with pytest.raises(tfsaver.SaverError):
            save({"w": object()}, tmp_path / "model", dry_run="values")
    assert not list(tmp_path.iterdir())
