"""Facts that reports and readers give, each by itself."""

from __future__ import annotations

import os
import pathlib
import pickle
from typing import Any

import numpy as np
import pytest

import tfsaver
from tests.checkpoint.test_latest_verified import DATA, flip, save
from tests.table.stores import build, open_table
from tfsaver.checkpoint import latest_verified, verify
from tfsaver.checkpoint.checkpoint_location import locate_checkpoint
from tfsaver.checkpoint.checkpoint_reader import CheckpointReader
from tfsaver.checkpoint.latest_verified import LatestVerified, Skipped, newest_usable, why_not
from tfsaver.checkpoint.retention import Retention
from tfsaver.checkpoint.retention_file import LedgerEntry, LedgerPage, read_ledger, write_ledger
from tfsaver.checkpoint.retention_ledger import RetentionLedger
from tfsaver.checkpoint.saved_tensor_slices import MAX_RECORD_SIZE
from tfsaver.checkpoint.selection import Selectable, Selection
from tfsaver.checkpoint.tensor_slice_writer import TensorSliceWriter
from tfsaver.checkpoint.untrusted import refuse_directory
from tfsaver.checkpoint.verify import Problem, VerifyReport, verify_checkpoint
from tfsaver.errors import CheckpointReplacedError, DataLossError, InvalidArgumentError

# Readers.


@pytest.mark.parametrize("format", ["V1", "V2"])
def test_pickled_reader_reads_the_same_version_or_nothing(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, format: str
) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    tfsaver.save_checkpoint({"w": np.arange(3)}, "m", format=format, durable=False)
    with tfsaver.load_checkpoint("m") as reader:
        data = pickle.dumps(reader)
    monkeypatch.chdir(tmp_path / "there")
    with pickle.loads(data) as again:
        assert again["w"].tolist() == [0, 1, 2] and os.path.isabs(again.prefix)
    tfsaver.save_checkpoint({"w": np.arange(4)}, tmp_path / "here" / "m", format=format, durable=False)
    with pytest.raises(CheckpointReplacedError, match="are others than when the reader was pickled"):
        pickle.loads(data)


def test_readers_of_one_version_are_equal(tmp_path: pathlib.Path) -> None:
    prefix = tfsaver.save_checkpoint({"w": np.arange(3)}, tmp_path / "m", durable=False)
    (tmp_path / "link").symlink_to(tmp_path, target_is_directory=True)
    other = tfsaver.save_checkpoint({"w": np.arange(3)}, tmp_path / "n", durable=False)
    readers = [tfsaver.load_checkpoint(path) for path in (prefix, prefix, f"{tmp_path}/link/m", other)]
    try:
        one, two, linked, different = readers
        assert one == one and one == two == linked and hash(one) == hash(two) == hash(linked)
        assert one != different and one != prefix and one != None  # noqa: E711
        tfsaver.save_checkpoint({"w": np.arange(3)}, prefix, durable=False)
        with tfsaver.load_checkpoint(prefix) as now:
            assert now != one
    finally:
        for reader in readers:
            reader.close()


def test_reader_is_closed_with_its_block(tmp_path: pathlib.Path) -> None:
    prefix = tfsaver.save_checkpoint({"w": np.arange(3)}, tmp_path / "m", format="V1", durable=False)
    before = len(os.listdir("/dev/fd"))
    with CheckpointReader(locate_checkpoint(prefix)) as reader:
        assert reader["w"].tolist() == [0, 1, 2]
    assert len(os.listdir("/dev/fd")) <= before


# The newest that can be used.


def test_only_checkpoints_behind_another_are_tried_after_it(tmp_path: pathlib.Path) -> None:
    one, two, three = save(tmp_path, 1, 2, 3)
    tried: list[str] = []

    def refuse(prefix: str) -> str:
        tried.append(prefix)
        return "not good"

    found = newest_usable(tmp_path, refuse, after=three)
    assert tried == [two, one]
    assert found == LatestVerified(None, [Skipped(two, "not good"), Skipped(one, "not good")])
    assert newest_usable(tmp_path, lambda _: None, after=two).prefix == one
    assert newest_usable(tmp_path, lambda _: None, after=one).prefix is None
    assert newest_usable(tmp_path, lambda _: None, after="elsewhere").prefix is None


def test_checkpoints_saved_while_all_others_were_tried_are_tried_too(tmp_path: pathlib.Path) -> None:
    one, two = save(tmp_path, 1, 2)
    tried: list[str] = []

    def refuse(prefix: str) -> str | None:
        tried.append(prefix)
        if prefix == one and "model.ckpt-3" not in " ".join(os.listdir(tmp_path)):
            save(tmp_path, 3)
        return None if prefix.endswith("-3") else "gone"

    found = newest_usable(tmp_path, refuse)
    assert found == LatestVerified(f"{tmp_path}/model.ckpt-3", [])
    assert tried == [two, one, f"{tmp_path}/model.ckpt-3"]


def test_reasons_say_how_many_more_there_are(tmp_path: pathlib.Path) -> None:
    prefix = tfsaver.save_checkpoint({name: np.ones(100) for name in "abc"}, tmp_path / "m", durable=False)
    assert why_not(prefix) is None
    flip(f"{prefix}{DATA}", 0)
    assert (why_not(prefix) or "").endswith("lost with it: 'a'")
    flip(f"{prefix}{DATA}", 900)
    assert "lost with it: 'a' (and 1 more problem" in (why_not(prefix) or "")
    flip(f"{prefix}{DATA}", 1700)
    assert (why_not(prefix) or "").endswith("lost with it: 'a' (and 2 more problems)")


def test_error_of_the_system_is_a_reason_unless_it_is_about_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(error: OSError) -> str | None:
        def failing(*_: Any, **__: Any) -> VerifyReport:
            raise error

        monkeypatch.setattr(latest_verified, "verify_checkpoint", failing)
        return why_not("m")

    assert fail(PermissionError(13, "not for you")) == "cannot be read: [Errno 13] not for you"
    for code in (12, 23, 24):
        with pytest.raises(OSError, match="no more"):
            fail(OSError(code, "no more"))


# Verification.


def test_report_of_a_verification_in_words() -> None:
    assert str(VerifyReport("m", 2, 30)) == "m: OK, 2 tensors, 30 bytes"
    assert str(VerifyReport("m")) == "m: OK, 0 tensors, 0 bytes"
    one = Problem("w", DataLossError("torn"))
    assert str(VerifyReport("m", 2, 30, [one])) == "m: 1 problem; 30 bytes are sound\n  w: torn"
    assert str(VerifyReport("m", 2, 30, [one, one])).startswith("m: 2 problems; ")
    assert VerifyReport("m").ok and not VerifyReport("m", problems=[one]).ok


@pytest.mark.parametrize("format", ["V1", "V2"])
def test_verification_counts_tensors_and_bytes_and_says_how_far_it_is(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, format: str
) -> None:
    monkeypatch.setattr(verify, "_BATCH", 2)
    tensors = {name: np.ones(number) for number, name in enumerate("abcde")}
    prefix = tfsaver.save_checkpoint(tensors, tmp_path / "m", format=format, durable=False)
    told: list[tuple[int, int]] = []
    report = verify_checkpoint(prefix, progress=lambda *said: told.append(said))
    assert (report.prefix, report.num_tensors, report.num_bytes, report.problems) == (prefix, 5, 80, [])
    assert told[-1] == (80, 80) and told == sorted(told) and all(total == 80 for _, total in told)


def test_file_that_is_no_checkpoint_has_neither_tensors_nor_bytes(tmp_path: pathlib.Path) -> None:
    (tmp_path / "m").write_bytes(b"nothing" * 30)
    report = verify_checkpoint(tmp_path / "m")
    assert (report.num_tensors, report.num_bytes) == (0, 0)
    assert [problem.where for problem in report.problems] == [str(tmp_path / "m")]


def test_damaged_entry_of_the_index_is_the_problem_of_its_tensor(tmp_path: pathlib.Path) -> None:
    prefix = tfsaver.save_checkpoint({name: np.ones(2) for name in "abc"}, tmp_path / "m", durable=False)
    index = pathlib.Path(f"{prefix}.index")
    entries = [(key, b"\xff" if key == b"b" else value) for key, value in open_table(index.read_bytes()).items()]
    index.write_bytes(build(entries))
    report = verify_checkpoint(prefix)
    assert (report.num_tensors, report.num_bytes) == (2, 32)
    [problem] = report.problems
    assert problem.where == "b" and isinstance(problem.error, DataLossError)


# Saves.


def test_save_leaves_what_another_series_left_alone(tmp_path: pathlib.Path) -> None:
    ours, other = (tmp_path / f"{name}-1.tmp0123456789" for name in ("m", "other"))
    ours.write_bytes(b"")
    other.write_bytes(b"")
    tfsaver.save_checkpoint({"w": np.ones(1)}, tmp_path / "m-2", format="V1", durable=False)
    assert not ours.exists() and other.exists()


def test_record_of_a_v1_checkpoint_is_below_two_gibibytes(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert MAX_RECORD_SIZE == 2**31 - 1
    from tfsaver.checkpoint import saved_tensor_slices

    monkeypatch.setattr(saved_tensor_slices, "MAX_RECORD_SIZE", 80)
    writer = TensorSliceWriter(tmp_path / "m", durable=False)
    size = writer.size
    writer.add("fits", np.ones(9))
    assert size == 0 and 72 < writer.size <= 80
    with pytest.raises(InvalidArgumentError, match="'w': .* bytes, a record of a V1 checkpoint is below 2 GiB; V2 has no limit"):
        writer.add("w", np.ones(10))
    assert writer.finish() == str(tmp_path / "m")
    with pytest.raises(InvalidArgumentError, match="is finished already"):
        writer.add("more", np.ones(1))
    with pytest.raises(InvalidArgumentError, match="is finished already"):
        writer.finish()


# Directories of strangers.


def test_directory_is_refused_for_anything_that_leads_out(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = tmp_path / "run"
    save(run, 1)
    (tmp_path / "outside").write_bytes(b"")
    os.remove(run / "checkpoint")
    refuse_directory(run)
    (run / "inside").symlink_to("model.ckpt-1.index")
    refuse_directory(run)
    (run / "notes").symlink_to(tmp_path / "outside")
    with pytest.raises(InvalidArgumentError) as caught:
        refuse_directory(run)
    assert str(caught.value) == f"{run}/notes leads out of {run}, which is not trusted"
    monkeypatch.chdir(run)
    with pytest.raises(InvalidArgumentError, match="^notes leads out of the working directory, which is not trusted"):
        refuse_directory("")
    os.remove(run / "notes")
    (run / "other").write_text('model_checkpoint_path: "../run2/m"')
    refuse_directory(run)
    with pytest.raises(InvalidArgumentError, match="entry .* leads out"):
        refuse_directory(run, "other")


# Retention.


def test_ledger_file_has_every_field_that_is_not_the_usual(tmp_path: pathlib.Path) -> None:
    path = str(tmp_path / "checkpoint.retention.json")
    entries = [
        LedgerEntry("m-1", "m", 1.5),
        LedgerEntry("m-2", "m", 2.0, "V1", 0.25, True, "graph", {"mine": [1]}),
    ]
    page = LedgerPage(entries, {"m": {"began": 1.5}}, {"other": "x"})
    write_ledger(path, page, durable=False)
    assert read_ledger(path) == page
    text = pathlib.Path(path).read_text()
    assert text.count('"metric"') == text.count('"pinned"') == text.count('"meta_graph_suffix"') == text.count('"mine"') == 1
    write_ledger(path, LedgerPage(), durable=False)
    assert read_ledger(path) == LedgerPage([], {}, {}) and read_ledger(str(tmp_path / "none")) is None


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"meta_graph_suffix": "a/b"}, "'a/b' is no suffix"),
        ({"name": "C:x"}, "'C:x' is no name"),
        ({"time": 10**400}, "has a time 1000"),
        ({"time": True}, "has a time True"),
        ({"metric": "x"}, "a metric 'x'"),
        ({"pinned": 1}, "has a pin 1"),
        ({"format": 2}, "2 in the place of a text"),
    ],
)
def test_entry_of_a_ledger_that_makes_no_sense_is_named(tmp_path: pathlib.Path, fields: dict[str, Any], said: str) -> None:
    import json

    path = tmp_path / "ledger"
    entry = {"name": "m-1", "series": "m", "time": 1.0, **fields}
    path.write_text(json.dumps({"version": 1, "checkpoints": [entry]}))
    with pytest.raises(InvalidArgumentError) as caught:
        read_ledger(str(path))
    assert str(caught.value).startswith(f"{path} is no retention ledger: ") and said in str(caught.value)


def test_ledger_without_a_policy_removes_nothing_and_reads_what_is_there(tmp_path: pathlib.Path) -> None:
    save(tmp_path, 1, 2)
    ledger = RetentionLedger(tmp_path, durable=False)
    assert ledger.checkpoints == []
    ledger.pin(tmp_path / "model.ckpt-1")
    assert [(entry.name, entry.is_pinned) for entry in ledger.checkpoints] == [("model.ckpt-1", True), ("model.ckpt-2", False)]
    assert ledger.sweep() == [] and len(ledger.checkpoints) == 2
    (tmp_path / "checkpoint").write_text("model_checkpoint_path: [")
    ledger.unpin(tmp_path / "model.ckpt-1")
    assert [entry.is_pinned for entry in ledger.checkpoints] == [False, False]


def test_ledger_lists_no_checkpoint_that_a_sweep_has_removed(tmp_path: pathlib.Path) -> None:
    one, two = save(tmp_path, 1, 2, state=False)
    ledger = RetentionLedger(tmp_path, Retention(last=1), durable=False)
    for prefix in (one, two):
        ledger.record(prefix)
    assert ledger.sweep() == [one]
    assert [entry.name for entry in ledger.checkpoints] == ["model.ckpt-2"]


def test_earlier_checkpoints_name_the_series_unless_the_policy_does(tmp_path: pathlib.Path) -> None:
    save(tmp_path, 1)
    for number, (series, expected) in enumerate(((None, "model.ckpt"), ("mine", "mine"))):
        ledger = RetentionLedger(tmp_path, Retention(last=9, series=series), f"state{number}", durable=False)
        ledger.adopt([tmp_path / "model.ckpt-1"])
        tfsaver.save_checkpoint({"w": np.ones(1)}, tmp_path / "other", durable=False)
        ledger.record(tmp_path / "other")
        assert ledger.checkpoints[-1].series == expected
    plain = RetentionLedger(tmp_path, Retention(last=9), "state2", durable=False)
    plain.adopt([tmp_path / "elsewhere" / "model.ckpt-1"])
    plain.record(tmp_path / "other")
    assert plain.checkpoints[-1].series == "other"
    RetentionLedger(tmp_path, durable=False).adopt([tmp_path / "model.ckpt-1"])


# Selections.


def test_selection_says_which_reasons_leave_out_how_much() -> None:
    tensors = {name: Selectable((number,), 8 * number) for number, name in enumerate(["a/x", "b/x", "c/x", "d/x", "e/x"], 1)}
    report = Selection(include="/x", exclude=("^[bcde]/", "typo"), allow_unmatched=True).select(tensors)
    assert report.kept == ("a/x",) and report.share_left_out == 14 / 15
    assert str(report).split("\n") == [
        "kept:     1 tensor, 1 parameter, 8 bytes",
        "left out: 4 tensors, 14 parameters, 112 bytes (93.3% of all)",
        "    excluded by '^[bcde]/': b/x, c/x, d/x, and 1 more",
        "note: 'typo', to be excluded, is in none of 5 names",
    ]
    three = Selection(exclude="^[cde]/").select(tensors)
    assert str(three).split("\n")[2:] == ["    excluded by '^[cde]/': c/x, d/x, e/x"]
    assert Selection(exclude="nothing").select({}).share_left_out == 0
    with pytest.raises(InvalidArgumentError, match=r"'\^a/y\$', to be included, is in none of 5 names; did you mean 'a/x'"):
        Selection(include="^a/y$").select(tensors)
    with pytest.raises(InvalidArgumentError, match="'unlike', to be included, is in none of 1 name \\(allow_unmatched"):
        Selection(include="unlike").select({"q": Selectable((), 1)})
