"""A Saver's checkpoints under a policy."""

from __future__ import annotations

import pathlib

import numpy as np
import pytest

from tfsaver.checkpoint.retention import Retention as Policy
from tfsaver.checkpoint.save import save_checkpoint
from tfsaver.compat._history import LedgerHistory, enter
from tfsaver.compat._options import SaveOptions
from tfsaver.errors import CheckpointNotFoundError, InvalidArgumentError


def save(history: LedgerHistory, path: pathlib.Path, **details: object) -> None:
    save_checkpoint({"x": np.float32(1)}, path, durable=False)
    enter(history, str(path), str(path.parent), SaveOptions(durable=False, **details))  # type: ignore[arg-type]


def paths(history: LedgerHistory) -> list[str]:
    return [path for path, _ in history.checkpoints]


def there(directory: pathlib.Path) -> list[str]:
    return sorted(path.stem for path in directory.glob("*.index"))


def new(policy: Policy) -> LedgerHistory:
    return LedgerHistory(policy, durable=False)


def test_policy_is_kept_over_restarts(tmp_path: pathlib.Path) -> None:
    for step, metric in enumerate([3.0, 1.0, 2.0, 4.0]):
        history = new(Policy(last=1, best=1))
        save(history, tmp_path / f"m-{step}", metric=metric)
    assert there(tmp_path) == ["m-1", "m-3"]
    assert paths(history) == [str(tmp_path / "m-1"), str(tmp_path / "m-3")]
    assert history.removed == [str(tmp_path / "m-2")]


def test_directories_do_not_mix(tmp_path: pathlib.Path) -> None:
    history = new(Policy(last=1))
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        save(history, tmp_path / name / "m-0")
    assert there(tmp_path / "a") == there(tmp_path / "b") == ["m-0"]


def test_recovered_checkpoints_give_the_series(tmp_path: pathlib.Path) -> None:
    save(new(Policy(last=1)), tmp_path / "epoch1")
    history = new(Policy(last=1))
    history.recover([str(tmp_path / "epoch0"), str(tmp_path / "epoch1")])
    assert paths(history) == [str(tmp_path / "epoch1")]
    save(history, tmp_path / "epoch2")
    assert there(tmp_path) == ["epoch2"]


def test_pins(tmp_path: pathlib.Path) -> None:
    history = new(Policy(last=1))
    save(history, tmp_path / "m-0")
    history.pin(tmp_path / "m-0")
    save(history, tmp_path / "m-1")
    assert there(tmp_path) == ["m-0", "m-1"]
    history.unpin(tmp_path / "m-0")
    save(history, tmp_path / "m-2")
    assert there(tmp_path) == ["m-2"]
    with pytest.raises(CheckpointNotFoundError):
        history.pin(tmp_path / "m-1")


def test_state_file_that_cannot_be_written_removes_nothing(tmp_path: pathlib.Path) -> None:
    history = new(Policy(last=1))
    save(history, tmp_path / "m-0")
    save_checkpoint({"x": np.float32(1)}, tmp_path / "m-1", durable=False)
    with pytest.raises(OSError, match="full"), history.recording(str(tmp_path / "m-1"), SaveOptions()):
        raise OSError("full")
    assert paths(history) == [str(tmp_path / "m-0")] and there(tmp_path) == ["m-0", "m-1"]


@pytest.mark.parametrize("policy", [5, None, {"last": 5}, Policy])
def test_only_a_policy_will_do(policy: object) -> None:
    with pytest.raises(InvalidArgumentError, match="retention must be"):
        LedgerHistory(policy)  # type: ignore[arg-type]


def test_pin_counts_under_every_state_file_of_the_directory(tmp_path: pathlib.Path) -> None:
    history = new(Policy(last=1))
    save(history, tmp_path / "m-0", latest_filename="checkpoint_best")
    history.pin(tmp_path / "m-0")
    for step in (1, 2):
        save(history, tmp_path / f"m-{step}", latest_filename="checkpoint_best")
        # Another process has no list but that of the files.
        save(new(Policy(last=1)), tmp_path / f"m-{step}", latest_filename="checkpoint_best")
    assert there(tmp_path) == ["m-0", "m-2"]
    history.unpin(tmp_path / "m-0")
    save(history, tmp_path / "m-3", latest_filename="checkpoint_best")
    assert there(tmp_path) == ["m-3"]


def test_unpinning_undoes_the_pin_of_any_state_file(tmp_path: pathlib.Path) -> None:
    history = new(Policy(last=1))
    save(history, tmp_path / "m-0", latest_filename="checkpoint_best")
    history.pin(tmp_path / "m-0")
    assert not (tmp_path / "checkpoint.retention.json").exists()
    another = new(Policy(last=1))
    another.unpin(tmp_path / "m-0")
    save(another, tmp_path / "m-1", latest_filename="checkpoint_best")
    assert there(tmp_path) == ["m-1"]
