"""The benchmarks run, with tiny data, and say what they measured in the forms that they promise; no time is looked at."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from benchmarks import places, plan, publish, results, table, worker
from benchmarks.contenders import CONTENDERS
from benchmarks.contenders.contender import Work
from benchmarks.plan import Group, Row, Step
from benchmarks.workloads import LazyArrays, Workload

_ROOT = pathlib.Path(__file__).resolve().parents[2]
_MEMORY = pathlib.Path("/dev/shm")

_OURS, _THEIRS = Step("tfsaver", "write"), Step("safetensors", "write")
_GROUP = Group("write", Workload(2, 4000), [Row("writing", _OURS, _THEIRS, 1.5)], [_OURS, _THEIRS])
_ABOUT = {"date": "2026-01-01", "cores": 2, "memory_gib": 4, "python": "3.11", "versions": {"numpy": "2"}, "scale": 1.0}


def _row(answers):
    return results.row_results(_GROUP, _GROUP.workload, answers)[0]


def _run(*arguments: str, disk: pathlib.Path) -> subprocess.CompletedProcess[str]:
    if not os.access(_MEMORY, os.W_OK):
        pytest.skip("there is no file system in memory at /dev/shm")
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", "--disk", str(disk), "--rounds", "1", *arguments],
        capture_output=True, text=True, check=False, timeout=300, cwd=_ROOT, env={**os.environ, "PYTHONPATH": str(_ROOT)},
    )  # fmt: skip


def test_ratio_is_the_median_of_the_ratios_of_rounds():
    # The medians alone, 2 and 4 seconds, would make it 2.
    row = _row({_OURS: [{"seconds": s} for s in (1, 2, 8)], _THEIRS: [{"seconds": s} for s in (4, 2, 24)]})
    assert (row.value, row.low, row.high) == (3, 1, 4)
    assert row.is_reached


def test_a_step_that_cannot_be_done_leaves_its_rows_out_in_words():
    row = _row({_OURS: [{"skipped": "no such option"}], _THEIRS: [{"seconds": 1}]})
    assert row.value is None and row.is_reached is None
    assert table.reasons([row]) == ["not measured, writing (memory): no such option"]
    assert "not measured" in table.as_text(table.rows_as_cells([row]))


def test_memory_of_a_restore_leaves_out_the_variables_and_is_reached_from_below():
    step = Step("tfsaver.Saver", "restore_fresh")
    group = Group("memory", Workload(4, 1 << 20), [Row("peak", step, None, 256.0)], [step], is_memory=True)
    row = results.row_results(group, group.workload, {step: [{"extra_bytes": 7 << 20}]})[0]
    assert (row.unit, row.value, row.is_reached) == ("MiB", 3, True)


def test_page_keeps_its_words_and_gets_the_figures(tmp_path):
    row = _row({_OURS: [{"seconds": 1}], _THEIRS: [{"seconds": 2}]})
    page = tmp_path / "speed.md"
    page.write_text((_ROOT / "docs" / "speed.md").read_text("utf-8"), "utf-8")
    for _ in range(2):
        publish.fill_page(page, _ABOUT, [row], [])
    text = page.read_text("utf-8")
    assert text.count("| writing | 0.008 MB in 2 | memory | 2.00 x |") == 1
    assert text.startswith("# Speed\n") and text.count(publish.BEGIN) == text.count(publish.END) == 1


def test_page_without_a_place_for_figures_is_left_alone(tmp_path):
    page = tmp_path / "speed.md"
    page.write_text("# Speed\n", "utf-8")
    with pytest.raises(RuntimeError, match="no place for figures"):
        publish.fill_page(page, _ABOUT, [], [])
    assert page.read_text("utf-8") == "# Speed\n"


def test_data_are_the_same_every_time_and_differ_by_tensor():
    workload = Workload(3, 400)
    arrays, lazy = workload.arrays(), LazyArrays(workload)
    assert list(arrays) == list(lazy) and len(lazy) == 3
    assert all((arrays[name] == lazy[name]).all() for name in arrays)
    first, second, _ = arrays.values()
    assert (first != second).any() and first.nbytes == 400


@pytest.mark.parametrize("group", list(plan.groups()), ids=lambda group: f"{group.name}-{group.workload.num_tensors}-{group.place}")
def test_plan_compares_steps_that_run_and_contenders_that_exist(group):
    steps = set(group.steps)
    assert {row.ours for row in group.rows} | {row.theirs for row in group.rows if row.theirs} <= steps
    assert {step.contender for step in steps} <= set(CONTENDERS)


def test_files_that_are_made_in_a_block_go_with_it(tmp_path):
    with pytest.raises(KeyError), places.emptied(tmp_path / "a" / "b") as directory:
        (directory / "file").write_bytes(b"x")
        raise KeyError
    assert list((tmp_path / "a").iterdir()) == []


def test_writing_and_reading_files_gives_a_table_and_json(tmp_path):
    pytest.importorskip("safetensors")
    pytest.importorskip("tensorflow")
    before = set(_MEMORY.glob("tfsaver-benchmarks-*"))
    kept = tmp_path / "speed.json"
    done = _run(
        "--only", "write", "read", "--data", "in 10", "--place", "memory", "--scale", "0.0001", "--json", str(kept),
        disk=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(kept.read_text("utf-8"))
    assert len(told["rows"]) == 8 and all(row["value"] > 0 for row in told["rows"])
    assert {speed["step"] for speed in told["speeds"]} >= {"limit: memcpy", "limit: checksum", "tensorflow: read"}
    assert all(len(speed["samples"]) == 1 for speed in told["speeds"])
    assert "save_checkpoint, one data file, against safetensors' save_file" in done.stdout
    assert set(_MEMORY.glob("tfsaver-benchmarks-*")) <= before
    assert list(tmp_path.iterdir()) == [kept]


# In every run the test above starts the benchmarks; this one starts TensorFlow once more for each contender.
@pytest.mark.exhaustive
def test_saving_sessions_gives_rows_and_a_picture(tmp_path):
    pytest.importorskip("tensorflow")
    pytest.importorskip("matplotlib")
    kept, picture = tmp_path / "speed.json", tmp_path / "speed.png"
    done = _run(
        "--only", "save", "--data", "in 10", "--place", "memory", "--scale", "0.0001",
        "--json", str(kept), "--picture", str(picture), disk=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    rows = json.loads(kept.read_text("utf-8"))["rows"]
    assert [row["unit"] for row in rows] == ["times"] * 5
    assert all(row["value"] > 0 for row in rows if row["reason"] is None) and rows[0]["reason"] is None
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_memory_that_is_let_go_of_during_a_call_counts():
    if not pathlib.Path("/proc/self/clear_refs").exists():
        pytest.skip("the peak of a process is read from /proc, which is not there")
    extra = worker.extra_memory_of(Work(lambda: int(np.ones(64 << 20, np.uint8).sum())))["extra_bytes"]
    assert extra >= 63 << 20
