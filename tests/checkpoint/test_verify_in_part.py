"""A verification that reads a part says what it has not read, and is right about what it has."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import tfsaver
from tfsaver.cli.main import main
from tfsaver.errors import InvalidArgumentError

VALUES = {f"w{number:03}": np.full((1 + number % 7, 50), number, np.float32) for number in range(100)}
NUM_BYTES = sum(value.nbytes for value in VALUES.values())


@pytest.fixture
def prefix(tmp_path: Path) -> str:
    return tfsaver.save_checkpoint(VALUES, tmp_path / "model", num_shards=2, durable=False)


def damage(prefix: str, name: str) -> None:
    with tfsaver.load_checkpoint(prefix) as reader:
        (piece,) = reader.info(name).pieces
    with open(piece.path, "r+b") as file:
        file.seek(piece.offset)
        file.write(b"\xff")


def test_sample_is_read_and_the_rest_is_counted(prefix: str) -> None:
    report = tfsaver.verify(prefix, quick=5)
    assert report.ok and not report.is_complete
    assert (report.num_tensors, report.num_unread) == (5, 95)
    assert report.num_bytes + report.num_unread_bytes == NUM_BYTES
    assert str(report) == (
        f"{prefix}: OK in part, 5 tensors, {report.num_bytes} bytes; not read: 95 tensors, {report.num_unread_bytes} bytes"
    )
    assert json.loads(json.dumps(report.to_json()))["num_unread"] == 95
    assert tfsaver.verify(prefix, quick=True).num_tensors == 32
    whole = tfsaver.verify(prefix)
    assert whole.is_complete and tfsaver.verify(prefix, quick=1000).to_json() == whole.to_json()


def test_each_sample_is_another_one(prefix: str) -> None:
    damage(prefix, "w050")
    verdicts = {tfsaver.verify(prefix, quick=90).ok for _ in range(100)}
    assert verdicts == {True, False}


def test_quick_verification_finds_what_needs_no_values(prefix: str, tmp_path: Path) -> None:
    data = tmp_path / "model.data-00001-of-00002"
    content = data.read_bytes()
    data.write_bytes(content[:-1])
    report = tfsaver.verify(prefix, quick=1)
    assert [type(problem.error).__name__ for problem in report.problems] == ["TruncatedError"]
    data.unlink()
    assert "the index is there, this file is not" in str(tfsaver.verify(prefix, quick=1))
    data.write_bytes(content)
    index = bytearray((tmp_path / "model.index").read_bytes())
    index[100] ^= 1
    (tmp_path / "model.index").write_bytes(index)
    assert not tfsaver.verify(prefix, quick=1).ok


def test_quick_verification_finds_a_hole_in_slices(tmp_path: Path) -> None:
    with tfsaver.BundleWriter(tmp_path / "model", durable=False) as writer:
        writer.add_slice("holey", (4, 2), np.s_[0:2], np.ones((2, 2), np.float32))
        for name, value in VALUES.items():
            writer.add(name, value)
    report = tfsaver.verify(tmp_path / "model", quick=1)
    assert [problem.where for problem in report.problems] == ["holey"]


@pytest.mark.parametrize("format", ["V2", "V1"])
def test_parts_are_all_of_it_together(tmp_path: Path, format: str) -> None:
    prefix = tfsaver.save_checkpoint(VALUES, tmp_path / "model", format=format, durable=False)  # type: ignore[arg-type]
    reports = [tfsaver.verify(prefix, part=(number, 7)) for number in range(1, 8)]
    assert all(report.ok for report in reports)
    assert sum(report.num_tensors for report in reports) == 100 and sum(report.num_bytes for report in reports) == NUM_BYTES
    assert all(report.num_tensors + report.num_unread == 100 for report in reports)
    # About as many bytes each.
    assert max(report.num_bytes for report in reports) < 1.3 * min(report.num_bytes for report in reports)
    assert tfsaver.verify(prefix, part=(1, 1)).is_complete


def test_damage_is_found_by_one_part(prefix: str) -> None:
    damage(prefix, "w050")
    reports = [tfsaver.verify(prefix, part=(number, 5)) for number in range(1, 6)]
    assert [report.ok for report in reports].count(False) == 1
    assert [problem.where for report in reports for problem in report.problems] == ["w050"]


def test_quick_verification_of_v1_reads_all_of_it(tmp_path: Path) -> None:
    prefix = tfsaver.save_checkpoint(VALUES, tmp_path / "model", format="V1", durable=False)
    assert tfsaver.verify(prefix, quick=1).is_complete


def test_what_makes_no_sense_is_refused(prefix: str, tmp_path: Path) -> None:
    for part in ((0, 3), (4, 3), (1, 0)):
        with pytest.raises(InvalidArgumentError, match="parts of"):
            tfsaver.verify(prefix, part=part)
    with pytest.raises(InvalidArgumentError, match="give one of them"):
        tfsaver.verify(prefix, quick=True, part=(1, 2))
    with pytest.raises(InvalidArgumentError, match="not a number of tensors"):
        tfsaver.verify(prefix, quick=-1)
    np.savez(tmp_path / "x.npz", w=np.ones(3))
    with pytest.raises(InvalidArgumentError, match="quick= and part= are for checkpoints alone"):
        tfsaver.verify(tmp_path / "x.npz", quick=True)


def test_command_line_says_what_was_not_read(prefix: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", prefix, "--quick", "--sample", "3"]) == 0
    out = capsys.readouterr().out
    assert "OK in part, 3 tensors" in out and "not read: 97 tensors" in out
    assert main(["verify", prefix, "--part", "2/4", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)["report"]["checkpoints"][0]
    assert report["ok"] and not report["is_complete"] and report["num_unread"] + report["num_tensors"] == 100
    for words in (["--part", "0/4"], ["--part", "5/4"], ["--part", "4"], ["--sample", "3"], ["--quick", "--part", "1/2"]):
        with pytest.raises(SystemExit):
            main(["verify", prefix, *words])
