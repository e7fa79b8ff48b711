"""What a killed save left, the next one in the directory removes: all of it, and nothing else."""

from __future__ import annotations

import fcntl
import gc
import os
import pathlib
import subprocess
import sys
import time
from typing import Any

import numpy as np
import pytest

from tests.tensor_bundle.test_placement import NEW, OLD, Killed, names, stop_after, value_in, write
from tfsaver.lib import abandoned, file_io
from tfsaver.tensor_bundle import naming
from tfsaver.tensor_bundle.cleaning import clean_directory, remove_unused_data
from tfsaver.tensor_bundle.renaming import rename_bundle
from tfsaver.tensor_bundle.writer import BundleWriter

HEX = "0123456789"


def files_of(prefix: pathlib.Path) -> list[str]:
    """The names of a bundle's files, as its index says."""
    reader = [path.name for path in prefix.parent.iterdir() if path.name.startswith(f"{prefix.name}.data-")]
    if not prefix.with_name(f"{prefix.name}.index").exists():
        return []
    value_in(prefix)
    counts = {name.rpartition("-")[2] for name in reader}
    assert len(counts) == 1, f"data files of several bundles: {reader}"
    return sorted([f"{prefix.name}.index", *reader])


@pytest.mark.parametrize(("num_old_shards", "num_shards"), [(0, 2), (1, 1), (2, 1), (2, 2)])
def test_next_save_removes_all_that_a_stop_at_any_call_has_left(
    tmp_path: pathlib.Path, num_old_shards: int, num_shards: int
) -> None:
    for count in range(60):
        directory = tmp_path / str(count)
        directory.mkdir()
        prefix = directory / "model"
        if num_old_shards:
            write(prefix, OLD, num_old_shards)
        with pytest.MonkeyPatch.context() as patch:
            stop_after(patch, count, Killed)
            try:
                write(prefix, NEW, num_shards)
                is_finished = True
            except Killed:
                is_finished = False
        # A process that is gone holds nothing.
        gc.collect()
        before = value_in(prefix).tobytes() if prefix.with_name("model.index").exists() else None
        write(directory / "other", OLD)
        assert names(directory) == sorted([*files_of(prefix), *files_of(directory / "other")]), count
        after = value_in(prefix).tobytes() if prefix.with_name("model.index").exists() else None
        assert after == before
        if is_finished:
            break
    else:
        pytest.fail("the save never ended")
    assert count > 4


def test_what_is_being_written_stays_whole(tmp_path: pathlib.Path) -> None:
    with BundleWriter(tmp_path / "slow", num_shards=2) as writer:
        writer.add("w0", OLD)
        begun = names(tmp_path)
        assert len(begun) == 2
        write(tmp_path / "other", NEW)
        assert set(begun) < set(names(tmp_path))
        for index in range(1, 4):
            writer.add(f"w{index}", OLD + index, shard_id=index % 2)
    np.testing.assert_array_equal(value_in(tmp_path / "slow"), OLD)
    np.testing.assert_array_equal(value_in(tmp_path / "other"), NEW)


def test_another_process_that_writes_keeps_its_files_until_it_is_killed(tmp_path: pathlib.Path) -> None:
    program = (
        "import sys, time, numpy as np\n"
        "from tfsaver.tensor_bundle.writer import BundleWriter\n"
        "writer = BundleWriter(sys.argv[1])\n"
        "writer.add('w', np.zeros(100000))\n"
        "print('begun', flush=True)\n"
        "time.sleep(60)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", program, str(tmp_path / "slow")], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None and process.stdout.readline() == b"begun\n"
        [temporary] = names(tmp_path)
        write(tmp_path / "other", NEW)
        assert temporary in names(tmp_path)
    finally:
        process.kill()
        process.communicate()
    clean_directory(str(tmp_path))
    assert names(tmp_path) == files_of(tmp_path / "other")


@pytest.mark.parametrize(
    "name",
    [
        f"notes.tmp{HEX}",
        f"model.npz.tmp{HEX}",
        f"model.index.tmp{HEX}x",
        "model.index.tmp",
        "model.index.tmp012345678",
        "model.index.tempstate1234567890",
        f"model.index.tmp{HEX * 3}01",
        "model.data-00000-of-00001",
        f"checkpoint2.tmp{HEX}",
    ],
)
def test_files_that_may_be_somebody_elses_stay(tmp_path: pathlib.Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"12345")
    clean_directory(str(tmp_path))
    assert names(tmp_path) == [name]


@pytest.mark.parametrize(
    "name", [f"m-1.index.tmp{HEX}", f"m-1.data-00001-of-00002.tmp{HEX}", f"m-1.meta.tmp{HEX}", f"checkpoint.tmp{HEX}"]
)
def test_half_of_a_file_goes_and_a_link_or_a_directory_of_that_name_stays(tmp_path: pathlib.Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"12345")
    (tmp_path / "precious").write_bytes(b"12345")
    other = name[:-1] + "a"
    (tmp_path / other).symlink_to(tmp_path / "precious")
    directory = name[:-1] + "b"
    (tmp_path / directory).mkdir()
    (tmp_path / directory / "precious").touch()
    clean_directory(str(tmp_path))
    assert names(tmp_path) == sorted(["precious", other, directory])
    assert (tmp_path / "precious").read_bytes() == b"12345"


def test_data_files_that_were_written_after_what_was_left_stay(tmp_path: pathlib.Path) -> None:
    """Somebody who copies a checkpoint, its data first, has data files without an index for a while."""
    write(tmp_path / "model", OLD)
    data = tmp_path / "model.data-00000-of-00001"
    (tmp_path / "model.index").rename(tmp_path / f"model.index.tmp{HEX}")
    later = time.time() + 10
    os.utime(data, (later, later))
    clean_directory(str(tmp_path))
    assert names(tmp_path) == [data.name]


def test_data_files_of_another_size_stay(tmp_path: pathlib.Path) -> None:
    write(tmp_path / "model", OLD)
    data = tmp_path / "model.data-00000-of-00001"
    (tmp_path / "model.index").rename(tmp_path / f"model.index.tmp{HEX}")
    with data.open("ab") as file:
        file.write(b"x")
    os.utime(data, (1e9, 1e9))
    clean_directory(str(tmp_path))
    assert names(tmp_path) == [data.name]


def test_data_files_stay_while_their_index_cannot_be_read(tmp_path: pathlib.Path) -> None:
    write(tmp_path / "model", OLD)
    (tmp_path / f"model.index.tmp{HEX}").write_bytes((tmp_path / "model.index").read_bytes())
    (tmp_path / "model.index").write_bytes(b"damaged")
    clean_directory(str(tmp_path))
    assert names(tmp_path) == ["model.data-00000-of-00001", "model.index"]


def test_directory_that_tensorflow_was_writing_to_for_us_goes_with_the_data_that_came_from_it(tmp_path: pathlib.Path) -> None:
    place = tmp_path / f"model-1.tmp{HEX}"
    place.mkdir()
    write(place / "model-1", OLD)
    (place / "model-1.data-00000-of-00001.tempstate123").touch()
    with pytest.MonkeyPatch.context() as patch:
        stop_after(patch, 2, Killed)
        with pytest.raises(Killed):
            rename_bundle(str(place / "model-1"), str(tmp_path / "model-1"))
    assert "model-1.data-00000-of-00001" in names(tmp_path)
    with abandoned.abandoned(str(place), is_directory=True) as is_left:
        assert is_left
    clean_directory(str(tmp_path))
    assert names(tmp_path) == []


def test_nothing_goes_where_there_are_no_locks_or_somebody_holds_the_directory(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = tmp_path / f"model.index.tmp{HEX}"
    left.touch()
    holder = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(holder, fcntl.LOCK_EX)
    clean_directory(str(tmp_path))
    os.close(holder)
    assert left.exists()

    def flock(descriptor: int, operation: int) -> None:
        raise OSError(95, "Operation not supported")

    with monkeypatch.context() as patch:
        patch.setattr(fcntl, "flock", flock)
        clean_directory(str(tmp_path))
        write(tmp_path / "other", NEW)
    assert left.exists()
    clean_directory(str(tmp_path))
    assert not left.exists()


def test_where_other_machines_may_write_only_what_is_quiet_goes(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(abandoned, "is_shared", lambda directory: True)
    young, old = tmp_path / f"a.index.tmp{HEX}", tmp_path / f"b.index.tmp{HEX}"
    for path in (young, old):
        path.touch()
    os.utime(old, (1e9, 1e9))
    clean_directory(str(tmp_path))
    assert names(tmp_path) == [young.name]


def test_one_listing_is_all_that_a_clean_directory_costs(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "model", OLD)
    listings: list[Any] = []
    done = file_io.list_directory

    def counted(path: str) -> list[str]:
        listings.append(path)
        return done(path)

    monkeypatch.setattr(file_io, "list_directory", counted)
    write(tmp_path / "model", NEW)
    assert listings == [str(tmp_path)]


def test_store_is_never_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(path: str) -> list[str]:
        raise AssertionError(path)

    monkeypatch.setattr(file_io, "list_directory", fail)
    clean_directory("memory://bucket/run")


def test_writer_whose_file_was_taken_for_left_behind_takes_another_name(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between making a file and locking it, somebody who cleans up may come."""
    done = file_io.open_for_writing
    opened = []

    def raced(path: str, target: str | None = None, durable: bool = False) -> Any:
        file = done(path, target, durable)
        opened.append(path)
        if len(opened) == 1:
            assert abandoned.remove_abandoned(path)
        return file

    monkeypatch.setattr(file_io, "open_for_writing", raced)
    write(tmp_path / "model", OLD)
    np.testing.assert_array_equal(value_in(tmp_path / "model"), OLD)
    assert len([path for path in opened if naming.data_path("", 0, 1) in path]) == 2


def test_caller_is_asked_by_the_name_that_a_file_was_to_get(tmp_path: pathlib.Path) -> None:
    for name in ("ours-1", "theirs-1"):
        (tmp_path / f"{name}.tmp0123456789").write_bytes(b"")
    asked: list[str] = []

    def is_ours(name: str) -> bool:
        asked.append(name)
        return name == "ours-1"

    clean_directory(str(tmp_path), is_ours)
    assert sorted(asked) == ["ours-1", "theirs-1"] and names(tmp_path) == ["theirs-1.tmp0123456789"]


def test_index_that_is_gone_or_cannot_be_read_takes_no_data_with_it(tmp_path: pathlib.Path) -> None:
    write(tmp_path / "model", OLD)
    before = names(tmp_path)
    remove_unused_data(str(tmp_path / "model"), str(tmp_path / "model.index.tmp0123456789"))
    (tmp_path / "note").write_bytes(b"half of an index")
    remove_unused_data(str(tmp_path / "model"), str(tmp_path / "note"))
    assert names(tmp_path) == sorted([*before, "note"])
