"""What killed saves left goes; what anybody else made, or what may be at work still, stays."""

from __future__ import annotations

import os
import pathlib

import numpy as np
import pytest

from tfsaver.checkpoint.checkpoint_reader import load_checkpoint
from tfsaver.checkpoint.doctor.directory_survey import survey_directory
from tfsaver.checkpoint.doctor.leftovers import clean_leftovers, find_leftovers
from tfsaver.checkpoint.latest_verified import latest_verified_checkpoint
from tfsaver.checkpoint.save import save_checkpoint
from tfsaver.lib import file_io

OLD = 1e9
HEX10, HEX32 = "0123456789", "0123456789abcdef" * 2


def touch(directory: pathlib.Path, *names: str, time: float = OLD) -> None:
    for name in names:
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"12345")
        os.utime(path, (time, time))
        if path.parent != directory:
            os.utime(path.parent, (time, time))


def found(directory: pathlib.Path, *series: str) -> list[str]:
    return [os.path.relpath(each.path, directory) for each in find_leftovers(str(directory), "checkpoint", series)]


@pytest.mark.parametrize(
    ("name", "owner"),
    [
        ("m-1.index.tempstate18446744073709551615", "m-1"),
        ("m-1.data-00000-of-00001.tempstate1", "m-1"),
        ("m-1.tempstate99", "m-1"),
        (f"m-1.index.tmp{HEX10}", "m-1"),
        (f"m-1.data-00001-of-00002.tmp{HEX10}", "m-1"),
        (f"m-1.meta.tmp{HEX10}", "m-1"),
        (f"m-1.meta.tmp{HEX32}", "m-1"),
        (f"checkpoint.tmp{HEX10}", "checkpoint"),
        (f"checkpoint.tmp{HEX32}", "checkpoint"),
        (f"checkpoint.retention.json.tmp{HEX10}", "checkpoint"),
        (f"m-2.tmp{HEX10}", "m-2"),
        (f"m-2-00000-of-00002.tmp{HEX10}", "m-2"),
    ],
)
def test_files_that_have_not_got_their_names_are_leftovers(tmp_path, name, owner):
    touch(tmp_path, name)
    [leftover] = find_leftovers(str(tmp_path), "checkpoint", {"m"})
    assert (leftover.path, leftover.owner, leftover.num_bytes, leftover.time) == (str(tmp_path / name), owner, 5, OLD)
    assert not leftover.is_directory
    assert clean_leftovers([leftover]).removed == [leftover]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["m-1_temp", f"m-1_temp_{HEX32}"])
def test_directories_of_parts_are_leftovers(tmp_path, name):
    touch(
        tmp_path,
        f"{name}/part-00000-of-00002.index",
        f"{name}/part-00000-of-00002.data-00000-of-00001",
        f"{name}/part-00001-of-00002.data-00000-of-00001.tempstate5",
    )
    [leftover] = find_leftovers(str(tmp_path), "checkpoint")
    assert (leftover.path, leftover.owner, leftover.num_bytes) == (str(tmp_path / name), "m-1", 15)
    assert leftover.is_directory
    clean_leftovers([leftover])
    assert not list(tmp_path.iterdir())


def test_what_is_not_certainly_a_leftover_is_none(tmp_path):
    touch(
        tmp_path,
        "m-1.index",
        "m-1.data-00000-of-00001",
        "m-1.meta",
        "checkpoint",
        "checkpoint.old",
        "notes.tmp",
        f"notes.tmp{HEX10}",
        f"other.tmp{HEX32}",
        f"notes.txt.tmp{HEX10}x",
        "m.tempstate",
        "m.tempstatex1",
        "data_temp/part-00000-of-00002.csv",
        "mixed_temp/part-00000-of-00002.index",
        "mixed_temp/notes.txt",
        "m.tempstate7/inside",
    )
    (tmp_path / "empty_temp").mkdir()
    assert found(tmp_path, "m") == []


def test_empty_directory_is_a_leftover_only_under_a_name_that_is_certainly_tensorflows(tmp_path):
    (tmp_path / f"m-1_temp_{HEX32}").mkdir()
    (tmp_path / "m-1_temp").mkdir()
    assert found(tmp_path) == [f"m-1_temp_{HEX32}"]


def test_file_of_a_v1_checkpoint_is_one_only_beside_others_of_its_series(tmp_path):
    touch(tmp_path, f"m-1.tmp{HEX10}")
    assert found(tmp_path) == [] and found(tmp_path, "other") == []
    assert found(tmp_path, "m") == [f"m-1.tmp{HEX10}"]


def test_what_was_written_lately_stays_and_so_does_what_belongs_to_it(tmp_path):
    touch(tmp_path, f"m-1.data-00000-of-00002.tmp{HEX10}", "k-1.index.tempstate1")
    touch(tmp_path, f"m-1.data-00001-of-00002.tmp{HEX10}", time=OLD + 5000)
    leftovers = find_leftovers(str(tmp_path), "checkpoint")
    cleaning = clean_leftovers(leftovers, min_age=3600, now=OLD + 5010)
    assert [each.owner for each in cleaning.removed] == ["k-1"]
    assert [(each.owner, reason) for each, reason in cleaning.kept] == [
        ("m-1", "written 10 seconds ago: the save may be at work still")
    ] * 2
    assert clean_leftovers(leftovers[1:], min_age=3600, now=OLD + 9000).kept == []


def test_what_a_process_has_open_stays_however_old_it_is(tmp_path):
    touch(tmp_path, f"m-1.data-00000-of-00001.tmp{HEX10}", f"m-1.index.tmp{HEX10}")
    leftovers = find_leftovers(str(tmp_path), "checkpoint")
    file = file_io.open_for_reading(leftovers[0].path)
    cleaning = clean_leftovers(leftovers)
    assert not cleaning.removed and "open" in cleaning.kept[1][1]
    file.close()
    assert clean_leftovers(leftovers).removed == leftovers


def test_dry_run_says_what_would_go_and_removes_nothing(tmp_path):
    touch(tmp_path, "m-1.index.tempstate1", "m-2_temp/part-00000-of-00001.index")
    leftovers = find_leftovers(str(tmp_path), "checkpoint")
    cleaning = clean_leftovers(leftovers, dry_run=True)
    assert cleaning.removed == leftovers and cleaning.num_bytes == 10
    assert found(tmp_path) == ["m-1.index.tempstate1", "m-2_temp"]


def test_directory_that_got_something_else_meanwhile_stays_with_it(tmp_path):
    touch(tmp_path, "m-1_temp/part-00000-of-00001.index")
    [leftover] = find_leftovers(str(tmp_path), "checkpoint")
    touch(tmp_path, "m-1_temp/precious")
    cleaning = clean_leftovers([leftover])
    assert cleaning.kept == [(leftover, "something was written into it meanwhile")]
    assert (tmp_path / "m-1_temp" / "precious").exists()


def test_missing_directory_has_no_leftovers(tmp_path):
    assert find_leftovers(str(tmp_path / "nowhere"), "checkpoint") == []


def test_whole_bundle_under_a_temporary_name_is_a_leftover_and_no_checkpoint(tmp_path: pathlib.Path) -> None:
    save_checkpoint({"w": np.zeros(3, np.float32)}, tmp_path / "model-1")
    save_checkpoint({"w": np.ones(3, np.float32)}, tmp_path / "model-2.tmp0123456789")
    (tmp_path / "model-2.tmp0123456789.data-00000-of-00001.tempstate123").write_bytes(b"x")
    assert {pathlib.Path(item.path).name for item in find_leftovers(str(tmp_path), "checkpoint", {"model"})} == {
        "model-2.tmp0123456789.index",
        "model-2.tmp0123456789.data-00000-of-00001",
        "model-2.tmp0123456789.data-00000-of-00001.tempstate123",
    }
    assert list(survey_directory(str(tmp_path), "checkpoint").checkpoints) == ["model-1"]
    assert latest_verified_checkpoint(tmp_path).prefix == str(tmp_path / "model-1")
    assert load_checkpoint(tmp_path).prefix == str(tmp_path / "model-1")


def test_directory_that_was_written_to_for_us_goes_with_the_data_that_had_its_name(tmp_path):
    save_checkpoint({"w": np.ones(3)}, tmp_path / f"m-1.tmp{HEX10}" / "m-1")
    place = tmp_path / f"m-1.tmp{HEX10}"
    (place / "m-1.data-00000-of-00001").rename(tmp_path / "m-1.data-00000-of-00001")
    (tmp_path / f"m-2.tmp{HEX10}").mkdir()
    touch(tmp_path, f"m-2.tmp{HEX10}/notes")
    [leftover] = find_leftovers(str(tmp_path), "checkpoint", {"m"})
    assert leftover.path == str(place) and leftover.is_directory and leftover.owner == "m-1"
    assert clean_leftovers([leftover], min_age=0).removed == [leftover]
    assert [path.name for path in tmp_path.iterdir()] == [f"m-2.tmp{HEX10}"]


def test_data_files_of_a_stopped_save_go_with_its_index(tmp_path):
    for step in (1, 2):
        save_checkpoint({"w": np.ones(3)}, tmp_path / f"m-{step}")
        (tmp_path / f"m-{step}.index").rename(tmp_path / f"m-{step}.index.tmp{HEX10}")
    later = (tmp_path / "m-2.index.tmp0123456789").stat().st_mtime + 100
    os.utime(tmp_path / "m-2.data-00000-of-00001", (later, later))
    clean_leftovers(find_leftovers(str(tmp_path), "checkpoint"), min_age=0)
    assert [path.name for path in tmp_path.iterdir()] == ["m-2.data-00000-of-00001"]
