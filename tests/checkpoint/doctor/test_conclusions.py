"""What the doctor concludes from a verification: which tensors are lost, and whose the data files are."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tfsaver
from tfsaver.checkpoint.doctor.damage import describe_damage
from tfsaver.checkpoint.doctor.data_pairing import Mismatch, contradicts, find_mismatch, re_pair
from tfsaver.checkpoint.doctor.doctor import diagnose
from tfsaver.checkpoint.doctor.state_survey import StateEntry, StateFile, read_state_file
from tfsaver.checkpoint.verify import Problem, VerifyReport
from tfsaver.errors import (
    CheckpointNotFoundError,
    ChecksumError,
    DataLossError,
    InvalidArgumentError,
    NotFoundError,
    TruncatedError,
)


def at(error: Any, path: str | None, offset: int | None, size: int | None) -> Any:
    error.path, error.offset, error.size = path, offset, size
    return error


def checksum() -> ChecksumError:
    return ChecksumError("bytes", stored=1, computed=2)


def truncated() -> TruncatedError:
    return TruncatedError("bytes", wanted=8, available=4)


def report(*problems: tuple[str, Exception], num_tensors: int = 10) -> VerifyReport:
    return VerifyReport("run/m", num_tensors=num_tensors, problems=[Problem(*each) for each in problems])


# ---- damage ----


def test_only_tensors_are_lost_with_damage() -> None:
    error = at(DataLossError("the block"), "m.index", 0, 8)
    for where in ("index", "run/m"):
        [damage] = describe_damage(report((where, error)))
        assert damage.tensors == () and "lost with" not in damage.message
    [damage] = describe_damage(report(("w", error)))
    assert damage.tensors == ("w",) and damage.message.endswith("; lost with it: 'w'")


def test_a_missing_file_costs_no_tensors_and_says_what_is_there() -> None:
    error = CheckpointNotFoundError("m", looked_for=["m.data-00000-of-00001"], found="nothing like it")
    for where in ("w", "index"):
        [damage] = describe_damage(report((where, error)))
        assert damage == ("m.data-00000-of-00001", None, None, (), "m.data-00000-of-00001 is missing: nothing like it")


def test_an_error_without_a_place_is_its_text() -> None:
    for error, path in ((ValueError("odd"), None), (at(DataLossError("odd"), "f", None, None), "f"), (DataLossError("odd"), None)):
        [damage] = describe_damage(report(("w", error)))
        assert (damage.path, damage.offset, damage.size, damage.tensors) == (path, None, None, ("w",))
        assert damage.message == str(error)


def test_problems_of_one_place_are_one_damage() -> None:
    same = [("a", at(checksum(), "f", 8, 4)), ("b", at(checksum(), "f", 8, 6)), ("a", at(checksum(), "f", 8, 4))]
    [damage] = describe_damage(report(*same))
    assert (damage.offset, damage.size, damage.tensors) == (8, 6, ("a", "b"))
    assert damage.message.endswith("; lost with them: 'a', 'b'")
    others = [("a", at(checksum(), "f", 8, 4)), ("b", at(checksum(), "f", 12, 4)), ("c", at(checksum(), "g", 8, 4))]
    assert [each.tensors for each in describe_damage(report(*others))] == [("a",), ("b",), ("c",)]
    loss = [("a", at(DataLossError("x"), "f", 8, 4)), ("b", at(DataLossError("x"), "f", 8, 4))]
    assert len(describe_damage(report(*loss))) == 2


def test_a_file_that_ends_early_is_said_with_what_it_lacks(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"12345")
    cut = [(name, at(truncated(), str(path), offset, 4)) for name, offset in (("a", 4), ("b", 20), ("c", 8))]
    [damage] = describe_damage(report(*cut))
    assert (damage.path, damage.offset, damage.size, damage.tensors) == (str(path), 4, 20, ("a", "b", "c"))
    assert damage.message == f"{path} ends at byte 5, bytes 4 to 24 are needed; lost with them: 'a', 'b', 'c'"
    path.unlink()
    [damage] = describe_damage(report(cut[0]))
    assert damage.message == f"{path} ends at byte ?, bytes 4 to 8 are needed; lost with it: 'a'"


# ---- whose data ----


def wrong(count: int, num_tensors: int, error: type[Exception] = ChecksumError) -> int:
    made = {ChecksumError: checksum, TruncatedError: truncated}.get(error, lambda: error("wrong"))()
    return contradicts(report(*((f"w{number}", made) for number in range(count)), num_tensors=num_tensors))


@pytest.mark.parametrize(
    ("count", "num_tensors", "expected"),
    [(0, 0, 0), (0, 4, 0), (1, 1, 1), (1, 2, 0), (2, 2, 2), (2, 3, 2), (2, 4, 2), (2, 5, 0), (5, 10, 5), (4, 10, 0), (0, 1, 0), (1, 0, 0)],
)
def test_data_contradict_an_index_if_half_of_several_tensors_do(count: int, num_tensors: int, expected: int) -> None:
    assert wrong(count, num_tensors) == wrong(count, num_tensors, TruncatedError) == expected
    assert wrong(count, num_tensors, DataLossError) == 0


def test_a_tensor_with_two_problems_counts_once() -> None:
    twice = report(("a", checksum()), ("a", checksum()), ("a", truncated()), num_tensors=4)
    assert contradicts(twice) == 0


@pytest.mark.parametrize(
    ("data_of", "right_data", "end"),
    [
        (None, None, ": they are of another save, or damaged throughout; no data files here fit its index"),
        ("x", None, "; they fit x, and no data files here fit its own index"),
        (None, "y", "; they are of another save, and its own are called y: --re-pair renames them"),
        ("x", "y", "; they fit x, and its own are called y: --re-pair renames them"),
    ],
)
def test_a_mismatch_says_whose_data_they_are(data_of: str | None, right_data: str | None, end: str) -> None:
    assert str(Mismatch("m", 1200, data_of, right_data)) == f"all data contradict the index (1,200 tensors){end}"


@pytest.fixture
def swapped(tmp_path: Path) -> Path:
    """Two checkpoints with each other's data, and one that is right."""
    for number, name in enumerate("abc"):
        tfsaver.save_checkpoint({f"w{each}": np.full(9, 10 * number + each) for each in range(4)}, tmp_path / name, num_shards=2, durable=False)
    for shard_id in range(2):
        one, other = (tmp_path / f"{name}.data-0000{shard_id}-of-00002" for name in "ab")
        first, second = one.read_bytes(), other.read_bytes()
        one.write_bytes(second)
        other.write_bytes(first)
    return tmp_path


def test_the_checkpoint_is_found_whose_data_were_exchanged(swapped: Path) -> None:
    a, b, c = (str(swapped / name) for name in "abc")
    assert find_mismatch(a, 4, [a, b, c]) == Mismatch(a, 4, b, b)
    assert find_mismatch(a, 4, [a, c]) == Mismatch(a, 4, None, None)
    assert find_mismatch(c, 4, [a, b, c]) == Mismatch(c, 4, None, None)
    os.unlink(f"{b}.index")
    assert find_mismatch(a, 4, [a, b, c]) == Mismatch(a, 4, None, b)


def test_data_get_the_names_of_their_indexes_and_the_old_ones_are_kept(swapped: Path, synced: set[int]) -> None:
    a, b, c = (str(swapped / name) for name in "abc")
    (swapped / "a.data-00000-of-00002.old").write_bytes(b"mine")
    before = {name: (swapped / name).read_bytes() for name in os.listdir(swapped)}
    done = re_pair([find_mismatch(a, 4, [b]), Mismatch(c, 4, None, None), find_mismatch(b, 4, [a])])
    assert swapped.stat().st_ino in synced
    assert [(os.path.basename(each.path), os.path.basename(each.source), os.path.basename(each.kept_as or "")) for each in done] == [
        ("a.data-00000-of-00002", "b.data-00000-of-00002", "a.data-00000-of-00002.old2"),
        ("a.data-00001-of-00002", "b.data-00001-of-00002", "a.data-00001-of-00002.old"),
        ("b.data-00000-of-00002", "a.data-00000-of-00002", "b.data-00000-of-00002.old"),
        ("b.data-00001-of-00002", "a.data-00001-of-00002", "b.data-00001-of-00002.old"),
    ]
    for each in done:
        assert Path(each.path).read_bytes() == before[os.path.basename(each.source)]
        assert Path(str(each.kept_as)).read_bytes() == before[os.path.basename(each.path)]
    assert len(os.listdir(swapped)) == len(before) + 4
    for number, name in enumerate("abc"):
        with tfsaver.load_checkpoint(swapped / name) as reader:
            assert [reader[f"w{each}"][0] for each in range(4)] == [10 * number + each for each in range(4)]


def test_nothing_is_renamed_or_synced_where_that_is_not_wanted(swapped: Path, synced: set[int]) -> None:
    a, b = str(swapped / "a"), str(swapped / "b")
    with pytest.raises(NotFoundError, match="no data files here fit the index of a checkpoint that they do not belong to already"):
        re_pair([Mismatch(a, 4, b, None)])
    mismatch = find_mismatch(a, 4, [b])
    (swapped / "b.data-00001-of-00002").write_bytes(bytes(144))
    before = sorted(os.listdir(swapped))
    with pytest.raises(InvalidArgumentError, match=f"data files of {b} do not fit the index of {a} any longer"):
        re_pair([mismatch])
    assert sorted(os.listdir(swapped)) == before
    re_pair([find_mismatch(b, 4, [a])], durable=False)
    assert swapped.stat().st_ino not in synced


# ---- state files ----


def test_a_directory_without_a_state_file_has_none(tmp_path: Path) -> None:
    state = read_state_file(str(tmp_path))
    assert state == StateFile(str(tmp_path / "checkpoint"))
    assert (state.is_there, state.error, state.newest, state.entries, state.timestamps) == (False, None, None, [], [])
    assert state.last_preserved_timestamp is None and state.is_as_written and state.recorded == []
    assert read_state_file(str(tmp_path), "other").path == str(tmp_path / "other")
    (tmp_path / "file").write_bytes(b"")
    assert not read_state_file(str(tmp_path / "file")).is_there


def test_a_state_file_that_an_editor_saved_is_said(tmp_path: Path) -> None:
    tfsaver.save_checkpoint({"w": 1}, tmp_path / "m", durable=False)
    for mark in ("", "\ufeff"):
        (tmp_path / "checkpoint").write_text(f'{mark}model_checkpoint_path: "m"\nall_model_checkpoint_paths: "m"\n', encoding="utf-8")
        assert read_state_file(str(tmp_path)).is_as_written is not bool(mark)
        found = [(each.kind, each.is_problem) for each in diagnose(tmp_path).findings]
        assert found == ([("state-file-mended", True)] if mark else [])


def test_an_entry_means_the_first_of_its_names_that_is_known() -> None:
    entry = StateEntry("/gone/run/m-1", "/gone/run/m-1", False, False, ("run/m-1", "m-1"))
    assert entry.name_in(["m-1", "m-2"]) == "m-1" and entry.name_in(["m-2"]) is None
    assert entry.name_in(["m-1", "run/m-1"]) == "run/m-1"


def test_an_entry_is_found_by_tensorflow_unless_the_index_has_no_name() -> None:
    def entry(text: str, path: str, is_there: bool = True) -> StateEntry:
        return StateEntry(text, path, True, is_there, ())

    assert entry("m", "run/m").is_found_by_tensorflow and entry("./", "run/").is_found_by_tensorflow
    assert not entry(".", "run/").is_found_by_tensorflow and entry(".", "run/", False).is_found_by_tensorflow


def test_times_of_another_number_than_entries_are_not_read(tmp_path: Path) -> None:
    tfsaver.save_checkpoint({"w": 1}, tmp_path / "m", durable=False)
    lines = ['model_checkpoint_path: "m"', 'all_model_checkpoint_paths: "m"', "all_model_checkpoint_timestamps: 1.5"]
    (tmp_path / "checkpoint").write_text("\n".join(lines))
    state = read_state_file(str(tmp_path))
    assert state.timestamps == [1.5] and state.newest is not None and state.time_of(state.newest) == 1.5
    (tmp_path / "checkpoint").write_text("\n".join([*lines, "all_model_checkpoint_timestamps: 2.5"]))
    state = read_state_file(str(tmp_path))
    assert state.timestamps == [] and state.newest is not None and state.time_of(state.newest) is None
    assert [each.text for each in state.recorded] == ["m"]


def test_a_text_that_no_file_can_have_means_nothing_here(tmp_path: Path) -> None:
    tfsaver.save_checkpoint({"w": 1}, tmp_path / "m", durable=False)
    (tmp_path / "checkpoint").write_text('model_checkpoint_path: "m\\000"\n')
    state = read_state_file(str(tmp_path))
    assert state.newest is not None and state.newest.text == "m\0"
    assert not state.newest.is_here and not state.newest.is_there


def test_an_index_that_nobody_can_read_fits_no_data(swapped: Path) -> None:
    a, b, c = (str(swapped / name) for name in "abc")
    Path(f"{b}.index").write_bytes(b"x" * 200)
    assert find_mismatch(a, 4, [b, c]) == Mismatch(a, 4, None, b)
    assert find_mismatch("memory://other/a", 4, [b]) == Mismatch("memory://other/a", 4, None, None)
