"""Verification reads everything, finds everything that is wrong, and says where."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.table.stores import RestartEdit, build, open_table, with_restarts
from tfsaver.checkpoint.checkpoint_management import latest_checkpoint
from tfsaver.checkpoint.doctor.doctor import diagnose
from tfsaver.checkpoint.save import save_checkpoint
from tfsaver.checkpoint.verify import verify_checkpoint
from tfsaver.errors import CheckpointNotFoundError, ChecksumError, DataLossError, TruncatedError
from tfsaver.framework import array_chunks, dtypes
from tfsaver.lib import file_io
from tfsaver.tensor_bundle.entry import BundleEntry
from tfsaver.tensor_bundle.header import BundleHeader
from tfsaver.tensor_bundle.placement import write_index
from tfsaver.tensor_bundle.writer import BundleWriter

TENSORS = {
    "a": np.arange(10, dtype=np.float32),
    "b": np.array([b"one", b"two"], object),
    "c": np.arange(6, dtype=np.int64).reshape(2, 3),
    "d": np.bool_(True),
}


def save(tmp_path: Path, **options: object) -> Path:
    save_checkpoint(TENSORS, tmp_path / "model", **options)  # type: ignore[arg-type]
    return tmp_path / "model"


def flip(path: Path, position: int) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 0x10
    path.write_bytes(data)


@pytest.mark.parametrize("format", ["V1", "V2"])
def test_sound_checkpoint_has_no_problems(format: str, tmp_path: Path) -> None:
    report = verify_checkpoint(save(tmp_path, format=format))
    assert report.ok and report.problems == []
    assert report.num_tensors == 4 and report.num_bytes > 80
    assert str(report).startswith(f"{tmp_path / 'model'}: OK, 4 tensors, ")


def test_every_damaged_tensor_is_reported(tmp_path: Path) -> None:
    prefix = save(tmp_path)
    data = tmp_path / "model.data-00000-of-00001"
    # a takes 40 bytes, b 2 + 4 + 6, c 48, d 1.
    for position in (39, 41, 60):
        flip(data, position)
    report = verify_checkpoint(prefix)
    assert [problem.where for problem in report.problems] == ["a", "b", "c"]
    assert all(isinstance(problem.error, ChecksumError) for problem in report.problems)
    assert report.num_tensors == 4 and report.num_bytes == 1
    assert f"bytes 0 to 40 of {data}: stored CRC32C 0x" in str(report.problems[0])
    assert "3 problems" in str(report) and not report.ok


def test_truncated_data_name_all_tensors_behind(tmp_path: Path) -> None:
    prefix = save(tmp_path)
    os.truncate(tmp_path / "model.data-00000-of-00001", 45)
    report = verify_checkpoint(prefix)
    assert [problem.where for problem in report.problems] == ["b", "c", "d"]
    assert all(isinstance(problem.error, TruncatedError) for problem in report.problems)


def test_missing_shard_is_reported_once_with_its_tensors(tmp_path: Path) -> None:
    prefix = save(tmp_path, num_shards=4)
    missing = tmp_path / "model.data-00001-of-00004"
    missing.unlink()
    flip(tmp_path / "model.data-00000-of-00004", 0)
    report = verify_checkpoint(prefix)
    assert len(report.problems) == 2
    (problem,) = (each for each in report.problems if each.where == str(missing))
    assert isinstance(problem.error, CheckpointNotFoundError) and "'b'" in str(problem)


def test_missing_shard_without_tensors_is_reported(tmp_path: Path) -> None:
    with BundleWriter(tmp_path / "model", num_shards=2) as writer:
        writer.add("w", 1.0)
    missing = tmp_path / "model.data-00001-of-00002"
    assert verify_checkpoint(tmp_path / "model").ok
    missing.unlink()
    assert [problem.where for problem in verify_checkpoint(tmp_path / "model").problems] == [str(missing)]


def test_damaged_block_of_the_index_leaves_the_other_blocks_names(tmp_path: Path) -> None:
    prefix = tmp_path / "model"
    save_checkpoint({f"w{number}": np.float32(number) for number in range(50)}, prefix)
    index = tmp_path / "model.index"
    entries = list(open_table(index.read_bytes()).items())
    index.write_bytes(build(entries, block_size=200))
    assert verify_checkpoint(prefix).num_tensors == 50
    flip(index, 700)
    report = verify_checkpoint(prefix)
    assert len(report.problems) == 1 and isinstance(report.problems[0].error, ChecksumError)
    assert f"of {index}" in str(report.problems[0])
    assert 30 < report.num_tensors < 50


def test_damaged_v1_record_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "model"
    save_checkpoint({"a": np.zeros(200_000, np.float32), "b": np.ones(200_000, np.float32)}, path, format="V1")
    flip(path, path.stat().st_size - 1000)
    report = verify_checkpoint(path)
    assert [problem.where for problem in report.problems] == ["b"]
    assert report.num_bytes == 800_000


@pytest.mark.parametrize("content", [b"", b"text" * 100])
def test_index_that_is_none_is_a_problem_and_not_an_exception(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "model.index").write_bytes(content)
    report = verify_checkpoint(tmp_path / "model")
    assert len(report.problems) == 1 and isinstance(report.problems[0].error, DataLossError)
    assert str(tmp_path / "model.index") in str(report.problems[0])


def test_index_that_counts_files_by_the_thousand_is_not_believed_for_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefix = tmp_path / "model"
    entry = BundleEntry(dtypes.from_name("float32"), (2,), 90_000, 0, 8, 1)
    write_index(str(prefix), BundleHeader(99_999), [([b"w"], [entry.encode()])], durable=False)
    looked_for: list[str] = []
    exists = file_io.exists
    monkeypatch.setattr(file_io, "exists", lambda path: looked_for.append(path) or exists(path))
    problems = verify_checkpoint(prefix).problems
    assert len(looked_for) < 200
    assert len(problems) == 101
    assert "the index counts 99999, and no more of them were looked for" in str(problems[-2].error)
    assert problems[-1].where.endswith("data-90000-of-99999") and "'w'" in str(problems[-1].error)


def test_missing_checkpoint_is_an_exception(tmp_path: Path) -> None:
    with pytest.raises(CheckpointNotFoundError):
        verify_checkpoint(tmp_path / "model")


@pytest.mark.parametrize("format", ["V1", "V2"])
def test_progress_grows_to_the_total(format: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(array_chunks, "CHUNK_SIZE", 1000)
    save_checkpoint({name: np.zeros(1000, np.float32) for name in "abc"}, tmp_path / "model", format=format)
    calls: list[tuple[int, int]] = []
    verify_checkpoint(tmp_path / "model", progress=lambda done, total: calls.append((done, total)))
    assert {total for _, total in calls} == {12000}
    assert [done for done, _ in calls] == sorted(done for done, _ in calls) and calls[-1][0] == 12000
    assert len(calls) == (2 if format == "V2" else 3)


def test_every_damaged_slice_of_a_tensor_is_reported(tmp_path):
    prefix = tmp_path / "model"
    with BundleWriter(prefix, durable=False) as writer:
        for start in (0, 2, 4):
            writer.add_slice("w", (6, 2), np.s_[start : start + 2], np.full((2, 2), start, np.int32))
    data = tmp_path / "model.data-00000-of-00001"
    content = bytearray(data.read_bytes())
    content[3] ^= 1
    content[40] ^= 1
    data.write_bytes(content)
    problems = verify_checkpoint(prefix).problems
    assert [(problem.where, problem.error.offset, problem.error.size) for problem in problems] == [("w", 0, 16), ("w", 32, 16)]


NAMES = [f"w{number:02}" for number in range(40)]

# What a binary search over wrong restart offsets comes to in TensorFlow.
UNSEEKABLE: dict[str, RestartEdit] = {
    "misses": lambda offsets: offsets[1:],
    "fails": lambda offsets: [0, offsets[1] + 1, offsets[2]],
}

# Prints, for each prefix, which of the names TensorFlow finds; null where it fails.
ASK_TENSORFLOW = """
import json, sys
import tensorflow as tf

names, *prefixes = json.load(sys.stdin)
answers = []
for prefix in prefixes:
    try:
        reader = tf.train.load_checkpoint(prefix)
        answers.append([name for name in names if reader.has_tensor(name)])
    except Exception:
        answers.append(None)
json.dump(answers, sys.stdout)
"""


def unseekable(prefix: Path, edit: RestartEdit) -> Path:
    """A checkpoint whose index has other restart offsets, under right checksums."""
    save_checkpoint({name: np.float32(1) for name in NAMES}, prefix, durable=False)
    index = prefix.with_name(f"{prefix.name}.index")
    index.write_bytes(with_restarts(index.read_bytes(), block=edit))
    return prefix


@pytest.mark.parametrize("edit", UNSEEKABLE.values(), ids=UNSEEKABLE)
def test_index_in_which_tensorflow_cannot_seek_is_a_problem(edit: RestartEdit, tmp_path: Path) -> None:
    assert verify_checkpoint(unseekable(tmp_path / "model-1", list)).ok
    prefix = unseekable(tmp_path / "model-2", edit)
    report = verify_checkpoint(prefix)
    assert report.num_tensors == 40
    (problem,) = report.problems
    assert problem.where == "index" and isinstance(problem.error, DataLossError)
    assert (problem.error.path, problem.error.offset) == (f"{prefix}.index", 0)
    assert f"block at byte 0 of {prefix}.index: restart offset " in str(problem)
    assert latest_checkpoint(tmp_path, verified=True) == str(tmp_path / "model-1")
    (finding,) = (each for each in diagnose(tmp_path).findings if each.kind == "damaged")
    assert finding.where == str(prefix) and "TensorFlow may miss keys or fail" in finding.message


def test_tensorflow_misses_tensors_or_fails_where_verify_reports_restart_offsets(tmp_path: Path) -> None:
    if importlib.util.find_spec("tensorflow") is None:
        pytest.skip("needs tensorflow: pip install 'tfsaver[tensorflow]'")
    prefixes = [unseekable(tmp_path / "sound", list), *(unseekable(tmp_path / name, edit) for name, edit in UNSEEKABLE.items())]
    process = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", ASK_TENSORFLOW],
        input=json.dumps([NAMES, *map(str, prefixes)]),
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    assert process.returncode == 0, process.stderr
    sound, misses, fails = json.loads(process.stdout)
    assert sound == NAMES
    assert 0 < len(misses) < len(NAMES)
    assert fails is None


def test_restart_offsets_of_a_v1_checkpoint_are_verified(tmp_path: Path) -> None:
    path = tmp_path / "model"
    save_checkpoint({name: np.float32(1) for name in NAMES}, path, format="V1", durable=False)
    path.write_bytes(with_restarts(path.read_bytes(), block=lambda offsets: [*offsets[:-1], offsets[-1] + 1]))
    problems = verify_checkpoint(path).problems
    assert [problem.where for problem in problems] == ["index"] * len(problems) and problems
