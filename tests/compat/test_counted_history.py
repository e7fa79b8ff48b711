"""Which checkpoints are kept, by a clock that stands still; files are only looked for, so empty ones do."""

from __future__ import annotations

import os
import pathlib

import pytest

from tests.compat.scenario import Clock
from tfsaver.checkpoint.retention_ledger import RetentionLedger
from tfsaver.compat import _history
from tfsaver.compat._history import CountedHistory
from tfsaver.compat._options import SaveOptions

OPTIONS = SaveOptions(durable=False)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock(0.0)
    monkeypatch.setattr(_history, "time", clock)
    return clock


def save(history: CountedHistory, path: pathlib.Path) -> None:
    for suffix in (".index", ".data-00000-of-00001", ".meta"):
        path.with_name(path.name + suffix).touch()
    with history.recording(str(path), OPTIONS):
        pass
    history.sweep(OPTIONS)


def begin(history: CountedHistory, path: str) -> None:
    with history.recording(path, OPTIONS):
        pass


def paths(history: CountedHistory) -> list[str]:
    return [path for path, _ in history.checkpoints]


def left(directory: pathlib.Path) -> list[str]:
    return sorted(path.name.removesuffix(".index") for path in directory.glob("*.index"))


# (max_to_keep, hours, when saved in hours, what is left of the saves, by number)
TABLE = [
    (2, 0.0, [1, 2, 3, 4], [0, 1, 2, 3]),
    (2, 1000.0, [1, 2, 3, 4], [2, 3]),
    (1, 2.0, [1, 2, 2.5, 4, 4.5, 5, 9], [2, 4, 6]),
    (1, 1.0, [1, 1.5, 2, 2.5, 9, 10], [1, 3, 4, 5]),
    (3, 1.0, [0.1, 0.2, 0.3, 0.4, 0.5], [2, 3, 4]),
    (0, 1.0, [1, 2, 3], [0, 1, 2]),
    (-1, 100.0, [1, 2, 3], []),
]


@pytest.mark.parametrize(("max_to_keep", "hours", "times", "kept"), TABLE)
def test_what_is_kept(
    tmp_path: pathlib.Path, clock: Clock, max_to_keep: int, hours: float, times: list[float], kept: list[int]
) -> None:
    history = CountedHistory(max_to_keep, hours)
    for index, hour in enumerate(times):
        clock.now = hour * 3600
        save(history, tmp_path / f"m{index}")
    assert left(tmp_path) == [f"m{index}" for index in kept]


def test_one_candidate_goes_with_each_save(tmp_path: pathlib.Path, clock: Clock) -> None:
    history = CountedHistory(2, 1000.0)
    for index in range(5):
        (tmp_path / f"old{index}.index").touch()
    history.checkpoints = [(str(tmp_path / f"old{index}"), 0.0) for index in range(5)]
    save(history, tmp_path / "new0")
    assert left(tmp_path) == ["new0", "old1", "old2", "old3", "old4"]
    save(history, tmp_path / "new1")
    assert left(tmp_path) == ["new0", "new1", "old2", "old3", "old4"]
    assert len(history.checkpoints) == 5


def test_failed_recording_is_forgotten(clock: Clock) -> None:
    history = CountedHistory(1, 1000.0)
    begin(history, "a")

    def fail() -> None:
        with history.recording("b", OPTIONS):
            assert paths(history) == ["b"]
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert paths(history) == ["a"] and history.candidates == []


def test_recovered_checkpoints_are_those_that_are_there(tmp_path: pathlib.Path, clock: Clock) -> None:
    history = CountedHistory(3, 1000.0)
    begin(history, "forgotten")
    for name, mtime in (("a", 100.75), ("b", 50.0)):
        path = tmp_path / f"{name}.index"
        path.touch()
        os.utime(path, (mtime, mtime))
    history.recover(str(tmp_path / name) for name in ("a", "missing", "b"))
    assert history.checkpoints == [(str(tmp_path / "a"), 100.0), (str(tmp_path / "b"), 50.0)]


def test_what_another_process_has_written_again_stays(tmp_path: pathlib.Path, clock: Clock) -> None:
    """Two programs that know nothing of each other count from the same step."""
    mine = CountedHistory(1, 1000.0)
    save(mine, tmp_path / "m0")
    replaced = tmp_path / "written again"
    replaced.write_bytes(b"another index")
    os.replace(replaced, tmp_path / "m0.index")
    save(mine, tmp_path / "m1")
    assert left(tmp_path) == ["m0", "m1"]
    save(mine, tmp_path / "m2")
    assert left(tmp_path) == ["m0", "m2"]


def test_what_another_saver_of_this_process_has_written_again_goes_as_in_tensorflow(
    tmp_path: pathlib.Path, clock: Clock
) -> None:
    first, second = CountedHistory(1, 1000.0), CountedHistory(1, 1000.0)
    save(first, tmp_path / "m0")
    (tmp_path / "m0.index").unlink()
    (tmp_path / "m0.index").write_bytes(b"another index")
    save(second, tmp_path / "m0")
    save(first, tmp_path / "m1")
    assert left(tmp_path) == ["m1"]


def test_data_of_a_checkpoint_whose_index_is_gone_go_all_the_same(tmp_path: pathlib.Path, clock: Clock) -> None:
    history = CountedHistory(1, 1000.0)
    save(history, tmp_path / "m0")
    (tmp_path / "m0.index").unlink()
    save(history, tmp_path / "m1")
    assert sorted(os.listdir(tmp_path)) == ["m1.data-00000-of-00001", "m1.index", "m1.meta"]


def test_pinned_checkpoint_stays_whichever_state_file_records_it(tmp_path: pathlib.Path, clock: Clock) -> None:
    history = CountedHistory(1, 1000.0)
    for name in ("m0", "m1"):
        save(history, tmp_path / name)
        RetentionLedger(tmp_path, None, "checkpoint_best", durable=False).pin(tmp_path / name)
    save(history, tmp_path / "m2")
    RetentionLedger(tmp_path, None, "checkpoint_best", durable=False).unpin(tmp_path / "m1")
    save(history, tmp_path / "m3")
    assert left(tmp_path) == ["m0", "m1", "m3"]


def test_checkpoint_elsewhere_whose_name_is_not_text_is_kept_and_not_listed(tmp_path: pathlib.Path, clock: Clock) -> None:
    history = CountedHistory(5, 1000.0)
    undecodable = os.fsdecode(os.fsencode(tmp_path) + b"/r\xff")
    os.mkdir(undecodable)
    _history.enter(history, f"{undecodable}/m-1", undecodable, SaveOptions(durable=False, save_relative_paths=True))
    _history.enter(history, f"{tmp_path}/m-2", str(tmp_path), OPTIONS)
    assert paths(history) == [f"{undecodable}/m-1", f"{tmp_path}/m-2"]
    assert "m-1" not in (tmp_path / "checkpoint").read_text()
