"""A directory under a policy: saves, restarts, other writers, damage."""

from __future__ import annotations

import json
import logging
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

import tfsaver
from tfsaver import schemas
from tfsaver.checkpoint import checkpoint_management, retention_ledger
from tfsaver.checkpoint.retention import Retention
from tfsaver.checkpoint.retention_ledger import RetentionLedger, series_of
from tfsaver.checkpoint.save import save_checkpoint
from tfsaver.errors import CheckpointNotFoundError, InvalidArgumentError, UnimplementedError


class Clock:
    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def time(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(retention_ledger, "time", clock)
    return clock


def save(ledger: RetentionLedger, name: str, metric: object = None, *, format: str = "V2") -> list[str]:
    """What a Saver does: the checkpoint, the ledger, the state file, the removals."""
    prefix = os.path.join(ledger.directory, name)
    save_checkpoint({"x": np.float32(1)}, prefix, format=format, durable=False)  # type: ignore[arg-type]
    version = schemas.SaverDef.V1 if format == "V1" else schemas.SaverDef.V2
    kept = ledger.record(prefix, metric=metric, version=version)  # type: ignore[arg-type]
    paths = [path for path, _ in kept]
    checkpoint_management.update_checkpoint_state(ledger.directory, prefix, paths, ledger.latest_filename, durable=False)
    assert all(map(checkpoint_management.checkpoint_exists, paths))
    return ledger.sweep()


def ledger_of(directory: pathlib.Path, retention: Retention | None = None, name: str | None = None) -> RetentionLedger:
    return RetentionLedger(directory, retention, name, durable=False)


def there(directory: pathlib.Path) -> list[str]:
    return sorted(path.name.removesuffix(".index") for path in directory.glob("*.index"))


def listed(directory: pathlib.Path) -> list[str]:
    state = checkpoint_management.get_checkpoint_state(directory)
    assert state is not None
    return [os.path.basename(path) for path in state.all_model_checkpoint_paths]


def test_last_and_best_are_kept_and_the_rest_is_removed(tmp_path: pathlib.Path) -> None:
    ledger = ledger_of(tmp_path, Retention(last=2, best=1))
    removed = [save(ledger, f"m-{step}", metric) for step, metric in enumerate([0.5, 0.1, 0.3, 0.4, 0.6])]
    assert removed == [[], [], [str(tmp_path / "m-0")], [], [str(tmp_path / "m-2")]]
    assert there(tmp_path) == listed(tmp_path) == ["m-1", "m-3", "m-4"]


def test_state_file_names_nothing_that_is_removed(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = ledger_of(tmp_path, Retention(last=1))
    save(ledger, "m-0")
    original = checkpoint_management.remove_checkpoint
    at_removal = []

    def remove(*arguments: object) -> None:
        at_removal.append(listed(tmp_path))
        original(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(checkpoint_management, "remove_checkpoint", remove)
    save(ledger, "m-1")
    assert at_removal == [["m-1"]]


def test_policy_goes_on_after_a_restart(tmp_path: pathlib.Path) -> None:
    for step, metric in enumerate([0.1, 0.9, 0.8]):
        save(ledger_of(tmp_path, Retention(last=1, best=1)), f"m-{step}", metric)
    assert there(tmp_path) == ["m-0", "m-2"]


def test_lower_limit_shrinks_the_directory_at_once(tmp_path: pathlib.Path) -> None:
    generous = ledger_of(tmp_path, Retention(last=10))
    for step in range(8):
        save(generous, f"m-{step}")
    removed = save(ledger_of(tmp_path, Retention(last=2)), "m-8")
    assert len(removed) == 7 and there(tmp_path) == ["m-7", "m-8"]


def test_hours_are_counted_over_restarts(tmp_path: pathlib.Path, clock: Clock) -> None:
    for step in range(8):
        save(ledger_of(tmp_path, Retention(every_hours=3)), f"m-{step}")
        clock.now += 3600
    assert there(tmp_path) == ["m-3", "m-6", "m-7"]


def test_pin_survives_restarts_and_unpin_ends_it(tmp_path: pathlib.Path) -> None:
    policy = Retention(last=1)
    save(ledger_of(tmp_path, policy), "m-0")
    ledger_of(tmp_path).pin(tmp_path / "m-0")
    save(ledger_of(tmp_path, policy), "m-1")
    save(ledger_of(tmp_path, policy), "m-2")
    assert there(tmp_path) == ["m-0", "m-2"]
    ledger_of(tmp_path).unpin(tmp_path / "m-0")
    assert there(tmp_path) == ["m-0", "m-2"]
    save(ledger_of(tmp_path, policy), "m-3")
    assert there(tmp_path) == ["m-3"]


def test_pin_between_the_state_file_and_the_sweep_is_heard(tmp_path: pathlib.Path) -> None:
    ledger = ledger_of(tmp_path, Retention(last=1))
    save(ledger, "m-0")
    save_checkpoint({"x": np.float32(1)}, tmp_path / "m-1", durable=False)
    ledger.record(tmp_path / "m-1")
    ledger_of(tmp_path).pin(tmp_path / "m-0")
    assert ledger.sweep() == []


def test_checkpoint_that_nobody_recorded_can_be_pinned(tmp_path: pathlib.Path) -> None:
    save_checkpoint({"x": np.float32(1)}, tmp_path / "other", durable=False)
    ledger_of(tmp_path).pin(tmp_path / "other")
    (entry,) = ledger_of(tmp_path).checkpoints
    assert (entry.name, entry.is_pinned, entry.format) == ("other", True, "V2")


def test_pin_of_nothing_is_an_error(tmp_path: pathlib.Path) -> None:
    with pytest.raises(CheckpointNotFoundError, match="m-7"):
        ledger_of(tmp_path).pin(tmp_path / "m-7")
    with pytest.raises(InvalidArgumentError, match="is not in"):
        ledger_of(tmp_path).pin("/elsewhere/m-7")


def test_another_series_is_left_alone(tmp_path: pathlib.Path) -> None:
    for step in range(3):
        save(ledger_of(tmp_path, Retention(last=1)), f"a-{step}")
        save(ledger_of(tmp_path, Retention(last=2)), f"b-{step}")
    assert there(tmp_path) == sorted(listed(tmp_path)) == ["a-2", "b-1", "b-2"]


def test_named_series_takes_names_without_a_step(tmp_path: pathlib.Path) -> None:
    for name in ("one", "two", "three"):
        save(ledger_of(tmp_path, Retention(last=2, series="mine")), name)
    assert there(tmp_path) == ["three", "two"]


def test_one_saver_counts_all_that_it_writes(tmp_path: pathlib.Path) -> None:
    ledger = ledger_of(tmp_path, Retention(last=1))
    save(ledger, "epoch1")
    save(ledger, "epoch2")
    assert there(tmp_path) == ["epoch2"]
    restarted = ledger_of(tmp_path, Retention(last=1))
    restarted.adopt([str(tmp_path / "epoch2")])
    save(restarted, "epoch3")
    assert there(tmp_path) == ["epoch3"]


def test_two_ledgers_open_at_once_lose_nothing_of_each_other(tmp_path: pathlib.Path) -> None:
    first, second = (ledger_of(tmp_path, Retention(last=3)) for _ in range(2))
    for step in range(0, 6, 2):
        save(first, f"m-{step}")
        save(second, f"m-{step + 1}")
    assert there(tmp_path) == listed(tmp_path) == ["m-3", "m-4", "m-5"]


def test_processes_lose_nothing_of_each_other(tmp_path: pathlib.Path) -> None:
    program = (
        "import sys\n"
        "from tfsaver.checkpoint.retention import Retention\n"
        "from tfsaver.checkpoint.retention_ledger import RetentionLedger\n"
        "directory, name = sys.argv[1:]\n"
        "ledger = RetentionLedger(directory, Retention(last=100), durable=False)\n"
        "for step in range(25):\n"
        "    prefix = f'{directory}/{name}-{step}'\n"
        "    open(prefix + '.index', 'w').close()\n"
        "    ledger.record(prefix)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(pathlib.Path(tfsaver.__file__).parents[1])}
    processes = [
        subprocess.Popen([sys.executable, "-c", program, str(tmp_path), name], env=environment) for name in ("a", "b", "c")
    ]
    assert [process.wait(120) for process in processes] == [0, 0, 0]
    assert len(ledger_of(tmp_path).checkpoints) == 75
    assert sorted(os.listdir(tmp_path))[-1] == "checkpoint.retention.json"


def test_checkpoint_removed_by_hand_leaves_the_ledger(tmp_path: pathlib.Path) -> None:
    ledger = ledger_of(tmp_path, Retention(last=2))
    for step in range(2):
        save(ledger, f"m-{step}")
    (tmp_path / "m-1.index").unlink()
    save(ledger, "m-2")
    assert there(tmp_path) == listed(tmp_path) == ["m-0", "m-2"]


def test_checkpoints_of_another_savers_state_file_are_counted(tmp_path: pathlib.Path) -> None:
    for step in range(4):
        save_checkpoint({"x": np.float32(1)}, tmp_path / f"m-{step}", durable=False)
    paths = [f"m-{step}" for step in range(1, 4)]
    checkpoint_management.update_checkpoint_state(tmp_path, "m-3", paths, durable=False)
    save(ledger_of(tmp_path, Retention(last=2)), "m-4")
    # m-0 was listed nowhere: nobody knows whose it is.
    assert there(tmp_path) == ["m-0", "m-3", "m-4"]


def test_directory_may_move(tmp_path: pathlib.Path) -> None:
    before, after = tmp_path / "before", tmp_path / "after"
    before.mkdir()
    save(ledger_of(before, Retention(last=3, best=1)), "m-0", 0.1)
    save(ledger_of(before, Retention(last=3, best=1)), "m-1", 0.2)
    before.rename(after)
    save(ledger_of(after, Retention(last=1, best=1)), "m-2", 0.3)
    assert there(after) == ["m-0", "m-2"]


def test_original_of_a_copied_directory_is_not_touched(tmp_path: pathlib.Path) -> None:
    original, copy = tmp_path / "original", tmp_path / "copy"
    original.mkdir()
    copy.mkdir()
    save(ledger_of(original, Retention(last=5)), "m-0")
    (copy / "checkpoint").write_bytes((original / "checkpoint").read_bytes())
    save(ledger_of(copy, Retention(last=1)), "m-1")
    save(ledger_of(copy, Retention(last=1)), "m-2")
    assert there(original) == ["m-0"] and there(copy) == ["m-2"]


def test_relative_and_absolute_spellings_are_one_directory(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").mkdir()
    save(RetentionLedger("run", Retention(last=1), durable=False), "m-0")
    save(RetentionLedger(f"{tmp_path}/run/", Retention(last=1), durable=False), "m-1")
    save(RetentionLedger("./run", Retention(last=1), durable=False), "m-2")
    assert there(tmp_path / "run") == ["m-2"]
    save(RetentionLedger("", Retention(last=1), durable=False), "m-0")
    save(RetentionLedger("", Retention(last=1), durable=False), "m-1")
    assert there(tmp_path) == ["m-1"]


def test_saving_under_the_same_name_makes_it_the_newest(tmp_path: pathlib.Path) -> None:
    ledger = ledger_of(tmp_path, Retention(last=2, best=1))
    save(ledger, "m-0", 0.1)
    save(ledger, "m-1", 0.2)
    save(ledger, "m-0")
    assert [entry.metric for entry in ledger.checkpoints] == [0.2, None]
    save(ledger, "m-2")
    assert there(tmp_path) == ["m-0", "m-1", "m-2"]
    save(ledger, "m-3")
    assert there(tmp_path) == ["m-1", "m-2", "m-3"]


def test_v1_checkpoints_and_their_meta_graphs_are_removed(tmp_path: pathlib.Path) -> None:
    ledger = ledger_of(tmp_path, Retention(last=1))
    for step in range(2):
        (tmp_path / f"m-{step}.meta").touch()
        save(ledger, f"m-{step}", format="V1")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint", "checkpoint.retention.json", "m-1", "m-1.meta"]


def test_each_state_file_has_a_ledger(tmp_path: pathlib.Path) -> None:
    for step in range(2):
        save(ledger_of(tmp_path, Retention(last=1)), f"m-{step}")
        save(ledger_of(tmp_path, Retention(last=1), "best"), f"best-{step}")
    assert there(tmp_path) == ["best-1", "m-1"]
    assert {path.name for path in tmp_path.glob("*.json")} == {"checkpoint.retention.json", "best.retention.json"}


def test_what_cannot_be_removed_is_logged_and_tried_again(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ledger = ledger_of(tmp_path, Retention(last=1))
    save(ledger, "m-0")

    def refuse(*arguments: object) -> None:
        raise PermissionError("not yours")

    with monkeypatch.context() as patch, caplog.at_level(logging.WARNING):
        patch.setattr(checkpoint_management, "remove_checkpoint", refuse)
        assert save(ledger, "m-1") == []
    assert "Ignoring: not yours" in caplog.text
    assert len(save(ledger, "m-2")) == 2 and there(tmp_path) == ["m-2"]


def test_newest_of_the_state_file_is_not_removed(tmp_path: pathlib.Path) -> None:
    ledger = ledger_of(tmp_path, Retention(last=1))
    save(ledger, "m-0")
    save_checkpoint({"x": np.float32(1)}, tmp_path / "m-1", durable=False)
    ledger.record(tmp_path / "m-1")
    # The state file was not written: it names m-0 still.
    assert ledger.sweep() == [] and there(tmp_path) == ["m-0", "m-1"]


@pytest.mark.parametrize("stops_before", ["record", "state", "sweep", "removal", "ledger"])
def test_process_that_is_stopped_anywhere_leaves_what_the_next_one_tidies(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, stops_before: str
) -> None:
    for step in range(2):
        save(ledger_of(tmp_path, Retention(last=2)), f"m-{step}")

    class Stopped(BaseException):
        pass

    def stop(*arguments: object, **options: object) -> None:
        raise Stopped

    places = {
        "record": (RetentionLedger, "record"),
        "state": (checkpoint_management, "update_checkpoint_state"),
        "sweep": (RetentionLedger, "sweep"),
        "removal": (checkpoint_management, "remove_checkpoint"),
    }
    with monkeypatch.context() as patch, pytest.raises(Stopped):
        if stops_before == "ledger":
            original = checkpoint_management.remove_checkpoint

            def remove_and_stop(*arguments: object) -> None:
                original(*arguments)  # type: ignore[arg-type]
                raise Stopped

            patch.setattr(checkpoint_management, "remove_checkpoint", remove_and_stop)
        else:
            patch.setattr(*places[stops_before], stop)
        save(ledger_of(tmp_path, Retention(last=2)), "m-2")
    latest = checkpoint_management.latest_checkpoint(tmp_path)
    assert latest == str(tmp_path / ("m-1" if stops_before in ("record", "state") else "m-2"))
    save(ledger_of(tmp_path, Retention(last=2)), "m-3")
    # A checkpoint that was neither recorded nor listed is nobody's to remove; otherwise the newest two are left.
    expected = ["m-1", "m-2", "m-3"] if stops_before == "record" else ["m-2", "m-3"]
    assert there(tmp_path) == expected


@pytest.mark.parametrize("metric", [np.float32(0.5), 1, "0.25", np.array(3)])
def test_metric_is_whatever_is_a_number(tmp_path: pathlib.Path, metric: object) -> None:
    ledger = ledger_of(tmp_path, Retention(best=1))
    save(ledger, "m-0", metric)
    assert ledger.checkpoints[0].metric == float(metric)  # type: ignore[arg-type]


def test_metric_that_is_no_number_is_refused_before_anything_is_written(tmp_path: pathlib.Path) -> None:
    with pytest.raises(InvalidArgumentError, match="metric='good'"):
        ledger_of(tmp_path, Retention(best=1)).record(tmp_path / "m-0", metric="good")  # type: ignore[arg-type]
    assert os.listdir(tmp_path) == []


def test_not_a_number_is_recorded_as_no_metric(tmp_path: pathlib.Path) -> None:
    ledger = ledger_of(tmp_path, Retention(best=1))
    save(ledger, "m-0", float("nan"))
    save(ledger, "m-1", 7.0)
    assert there(tmp_path) == ["m-1"]


# The file.


def test_file_is_json_that_a_person_can_read(tmp_path: pathlib.Path, clock: Clock) -> None:
    ledger = ledger_of(tmp_path, Retention(last=2))
    save(ledger, "m-0", 0.5)
    ledger.pin(tmp_path / "m-0")
    assert json.loads((tmp_path / "checkpoint.retention.json").read_bytes()) == {
        "version": 1,
        "series": {"m": {"began": clock.now}},
        "checkpoints": [
            {"name": "m-0", "series": "m", "time": clock.now, "format": "V2", "metric": 0.5, "pinned": True},
        ],
    }


def test_no_reader_takes_the_file_for_a_checkpoint(tmp_path: pathlib.Path) -> None:
    save(ledger_of(tmp_path, Retention(last=1)), "m-0")
    assert checkpoint_management.latest_checkpoint(tmp_path) == str(tmp_path / "m-0")
    with tfsaver.load_checkpoint(tmp_path) as reader:
        assert reader.names == ["x"]


def test_unknown_fields_stay(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "checkpoint.retention.json"
    save(ledger_of(tmp_path, Retention(last=2)), "m-0")
    fields = json.loads(path.read_bytes())
    fields["note"] = {"by": "somebody"}
    fields["series"]["m"]["owner"] = "me"
    fields["checkpoints"][0]["comment"] = "a good one"
    path.write_text(json.dumps(fields))
    save(ledger_of(tmp_path, Retention(last=2)), "m-1")
    fields = json.loads(path.read_bytes())
    assert fields["note"] == {"by": "somebody"} and fields["series"]["m"]["owner"] == "me"
    assert fields["checkpoints"][0]["comment"] == "a good one"


def test_newer_version_is_refused_and_left_alone(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "checkpoint.retention.json"
    path.write_text('{"version": 2}')
    save_checkpoint({"x": np.float32(1)}, tmp_path / "m-0", durable=False)
    with pytest.raises(UnimplementedError, match="is of version 2"):
        ledger_of(tmp_path, Retention(last=1)).record(tmp_path / "m-0")
    assert path.read_text() == '{"version": 2}'


def _with_entry(old: str, new: str) -> str:
    entry = '{"name": "m-0", "series": "m", "time": 1.0}'
    return '{"version": 1, "checkpoints": [' + entry.replace(old, new) + "]}"


@pytest.mark.parametrize(
    "damage",
    [
        "",
        "{",
        "[]",
        "7",
        "\udcff",
        '{"version": 1}',
        '{"version": "1", "checkpoints": []}',
        '{"version": 1, "checkpoints": 7}',
        '{"version": 1, "checkpoints": [7]}',
        '{"version": 1, "checkpoints": [{"name": "m-0"}]}',
        '{"version": 1, "series": [], "checkpoints": []}',
        '{"version": 1, "series": {"m": {"began": "now"}}, "checkpoints": []}',
        _with_entry("1.0", "NaN"),
        _with_entry("1.0", "null"),
        _with_entry('"m-0"', "3"),
        _with_entry("m-0", "../m-0"),
        _with_entry("1.0", '1.0, "pinned": "yes"'),
        _with_entry("1.0", '1.0, "metric": "good"'),
        "[" * 100_000,
    ],
)
def test_damaged_file_is_put_aside_and_nothing_is_removed(
    tmp_path: pathlib.Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    policy = Retention(last=2)
    for step in range(2):
        save(ledger_of(tmp_path, policy), f"m-{step}")
    path = tmp_path / "checkpoint.retention.json"
    path.write_bytes(damage.encode("utf-8", "surrogateescape"))
    with pytest.raises(InvalidArgumentError, match="is no retention ledger"):
        ledger_of(tmp_path).checkpoints  # noqa: B018
    with caplog.at_level(logging.WARNING):
        for step in range(2, 5):
            save(ledger_of(tmp_path, policy), f"m-{step}")
    assert there(tmp_path) == listed(tmp_path) == ["m-0", "m-1", "m-3", "m-4"]
    assert f"{path} is no retention ledger" in caplog.text and "is pinned" in caplog.text
    assert (tmp_path / "checkpoint.retention.json.damaged").exists()


def test_store_behind_a_url_is_kept_likewise() -> None:
    fsspec = pytest.importorskip("fsspec")
    directory = "memory://retention-ledger"
    for step in range(4):
        ledger = RetentionLedger(directory, Retention(last=2))
        prefix = save_checkpoint({"x": np.float32(step)}, f"{directory}/m-{step}")
        paths = [path for path, _ in ledger.record(prefix)]
        checkpoint_management.update_checkpoint_state(directory, prefix, paths)
        assert ledger.sweep() == ([f"{directory}/m-{step - 2}"] if step > 1 else [])
    names = sorted(path.rpartition("/")[2] for path in fsspec.filesystem("memory").ls("/retention-ledger", detail=False))
    assert names[:2] == ["checkpoint", "checkpoint.retention.json"]
    assert [name for name in names if name.endswith(".index")] == ["m-2.index", "m-3.index"]


def test_missing_directory_is_an_error(tmp_path: pathlib.Path) -> None:
    with pytest.raises(FileNotFoundError):
        ledger_of(tmp_path / "none", Retention(last=1)).record(tmp_path / "none" / "m-0")


@pytest.mark.parametrize(
    ("prefix", "series"),
    [
        ("run/m-12", "m"),
        ("m", "m"),
        ("m-1-?????-of-00002", "m"),
        ("m-00000012", "m"),
        ("m--3", "m-"),
        ("epoch7", "epoch7"),
        (b"run/m-1", "m"),
    ],
)
def test_series_is_the_name_without_the_step(prefix: str, series: str) -> None:
    assert series_of(prefix) == series
