"""What is durable when a call returns: every file that it wrote and the directory, unless the caller does without."""

from __future__ import annotations

import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tfsaver
from tfsaver.checkpoint.checkpoint_state import update_checkpoint_state
from tfsaver.checkpoint.doctor.doctor import diagnose
from tfsaver.checkpoint.doctor.salvage import salvage_checkpoint
from tfsaver.checkpoint.doctor.state_repair import repair_state_file
from tfsaver.checkpoint.retention import Retention
from tfsaver.checkpoint.retention_ledger import RetentionLedger
from tfsaver.checkpoint.tensor_slice_writer import TensorSliceWriter

TENSORS = {"a": np.ones(3), "b": np.ones(4), "c": np.ones(5)}


def save(directory: pathlib.Path, **options: Any) -> None:
    tfsaver.save_checkpoint(TENSORS, directory / "new-1", **options)


def save_v1(directory: pathlib.Path, **options: Any) -> None:
    tfsaver.save_checkpoint(TENSORS, directory / "new-1", format="V1", **options)


def save_v1_in_shards(directory: pathlib.Path, **options: Any) -> None:
    tfsaver.save_checkpoint(TENSORS, directory / "new-1", format="V1", num_shards=3, **options)


def write_v1(directory: pathlib.Path, **options: Any) -> None:
    with TensorSliceWriter(directory / "new-1", **options) as writer:
        writer.add("a", np.ones(3))


def write_state(directory: pathlib.Path, **options: Any) -> None:
    update_checkpoint_state(directory, directory / "old-1", latest_filename="new-state", **options)


def repair_state(directory: pathlib.Path, **options: Any) -> None:
    repair_state_file(diagnose(directory, "new-state"), **options)


def record(directory: pathlib.Path, **options: Any) -> None:
    RetentionLedger(directory, Retention(last=1), "new-state", **options).record(directory / "old-1")


def pin(directory: pathlib.Path, **options: Any) -> None:
    RetentionLedger(directory, latest_filename="new-state", **options).pin(directory / "old-1")


def salvage(directory: pathlib.Path, **options: Any) -> None:
    salvage_checkpoint(directory / "old-1", directory / "new-1", **options)


CALLS = [save, save_v1, save_v1_in_shards, write_v1, write_state, repair_state, record, pin, salvage]


@pytest.mark.parametrize("call", CALLS)
def test_every_file_and_the_directory_are_synced_unless_the_caller_does_without(
    tmp_path: pathlib.Path, synced: set[int], call: Callable[..., None]
) -> None:
    for place in ("a", "b"):
        tfsaver.save_checkpoint(TENSORS, tmp_path / place / "old-1", durable=False)
    assert not synced
    call(tmp_path / "a", durable=False)
    assert not synced
    call(tmp_path / "b")
    files = [path for path in (tmp_path / "b").iterdir() if "new" in path.name]
    assert files
    assert {path.stat().st_ino for path in (*files, tmp_path / "b")} <= synced


@pytest.mark.parametrize("call", [save, save_v1, save_v1_in_shards])
def test_a_save_over_another_is_synced_as_well(
    tmp_path: pathlib.Path, synced: set[int], call: Callable[..., None]
) -> None:
    call(tmp_path, durable=False)
    assert not synced
    call(tmp_path)
    assert {path.stat().st_ino for path in (*tmp_path.iterdir(), tmp_path)} <= synced
