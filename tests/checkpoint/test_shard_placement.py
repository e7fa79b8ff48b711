"""V1 files that take the place of others all at once: what is left behind at each moment, and what is made of that."""

from __future__ import annotations

import errno
import fcntl
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tfsaver.checkpoint import shard_placement
from tfsaver.checkpoint.checkpoint_reader import load_checkpoint
from tfsaver.checkpoint.doctor.leftovers import clean_leftovers, find_leftovers
from tfsaver.checkpoint.save import save_checkpoint
from tfsaver.errors import WriteError

OLD = {"a": np.arange(1000, dtype=np.float32), "b": np.arange(5)}
NEW = {"a": np.zeros(1000, np.float32), "b": np.ones(5, np.int64)}
NAMES = ["model-00000-of-00002", "model-00001-of-00002"]


def save(values: dict[str, Any], directory: Path, **options: Any) -> None:
    save_checkpoint(values, directory / "model", format="V1", num_shards=2, **options)


def values_in(directory: Path) -> dict[str, Any]:
    with load_checkpoint(directory / "model-?????-of-00002") as reader:
        return reader.read_tensors()


def are(values: dict[str, Any], expected: dict[str, Any]) -> bool:
    return set(values) == set(expected) and all(np.array_equal(values[name], expected[name]) for name in expected)


@pytest.fixture
def left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory in which a save was killed right after the step."""
    save(OLD, tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(shard_placement, "settle", lambda *_, **__: False)
        save(NEW, tmp_path)
    assert all((tmp_path / name).is_symlink() for name in NAMES)
    return tmp_path


@pytest.mark.parametrize("durable", [True, False])
def test_new_files_are_files_and_nothing_else_is_there(tmp_path: Path, durable: bool) -> None:
    save(OLD, tmp_path)
    before = [(tmp_path / name).stat().st_ino for name in NAMES]
    save(NEW, tmp_path, durable=durable)
    assert sorted(os.listdir(tmp_path)) == NAMES
    assert not any((tmp_path / name).is_symlink() or (tmp_path / name).stat().st_ino in before for name in NAMES)
    assert all((tmp_path / name).stat().st_nlink == 1 for name in NAMES)
    assert are(values_in(tmp_path), NEW)


def test_links_that_a_stop_has_left_show_the_checkpoint(left: Path) -> None:
    assert are(values_in(left), NEW)


def test_next_save_makes_files_of_links(left: Path) -> None:
    save_checkpoint(OLD, left / "other", format="V1", num_shards=2)
    assert sorted(os.listdir(left)) == [*NAMES, "other-00000-of-00002", "other-00001-of-00002"]
    assert not any((left / name).is_symlink() for name in NAMES)
    assert are(values_in(left), NEW)


def test_doctor_makes_files_of_links_once_they_are_old(left: Path) -> None:
    [leftover] = find_leftovers(str(left), "checkpoint")
    assert re.fullmatch(r"model-of-00002\.tmp[0-9a-f]{10}", os.path.basename(leftover.path)) and leftover.owner == "model"
    assert clean_leftovers([leftover]).removed == [] and (left / NAMES[0]).is_symlink()
    assert clean_leftovers([leftover], min_age=0).removed == [leftover]
    assert sorted(os.listdir(left)) == NAMES and not any((left / name).is_symlink() for name in NAMES)
    assert are(values_in(left), NEW)


def test_checkpoint_that_was_removed_meanwhile_stays_removed(left: Path) -> None:
    for name in NAMES:
        (left / name).unlink()
    save_checkpoint(OLD, left / "other", format="V1", num_shards=2)
    assert sorted(os.listdir(left)) == ["other-00000-of-00002", "other-00001-of-00002"]


def test_what_a_writer_is_at_stays(left: Path) -> None:
    [place] = [path for path in left.iterdir() if path.is_dir()]
    descriptor = os.open(place, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        save_checkpoint(OLD, left / "other", format="V1", num_shards=2)
    finally:
        os.close(descriptor)
    assert place.is_dir() and are(values_in(left), NEW)


def test_disk_that_does_not_take_the_step_has_the_old_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(OLD, tmp_path)
    original = shard_placement.file_io.sync_directory

    def refuse(path: str, target: str) -> None:
        if os.path.islink(os.path.join(path, "now")) and os.readlink(os.path.join(path, "now")) == "new":
            raise WriteError(target, errno.EIO, os.strerror(errno.EIO))
        original(path, target)

    monkeypatch.setattr(shard_placement.file_io, "sync_directory", refuse)
    with pytest.raises(WriteError):
        save(NEW, tmp_path)
    assert sorted(os.listdir(tmp_path)) == NAMES and not any((tmp_path / name).is_symlink() for name in NAMES)
    assert are(values_in(tmp_path), OLD)


@pytest.mark.parametrize("function", ["symlink", "link"])
def test_file_system_without_links_gets_the_new_files_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function: str
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    save(OLD, tmp_path)
    monkeypatch.setattr(os, function, refuse)
    save(NEW, tmp_path)
    assert sorted(os.listdir(tmp_path)) == NAMES and are(values_in(tmp_path), NEW)


@pytest.mark.parametrize("make", [Path.unlink, lambda path: path.rename(path.with_name("elsewhere"))])
def test_old_checkpoint_that_lacks_a_file_is_replaced(tmp_path: Path, make: Callable[[Path], object]) -> None:
    save(OLD, tmp_path)
    make(tmp_path / NAMES[1])
    save(NEW, tmp_path)
    assert are(values_in(tmp_path), NEW)


def test_link_of_a_users_own_is_replaced_and_what_it_shows_stays(tmp_path: Path) -> None:
    save(OLD, tmp_path)
    (tmp_path / NAMES[1]).rename(tmp_path / "elsewhere")
    (tmp_path / NAMES[1]).symlink_to("elsewhere")
    kept = (tmp_path / "elsewhere").read_bytes()
    save(NEW, tmp_path)
    assert are(values_in(tmp_path), NEW) and (tmp_path / "elsewhere").read_bytes() == kept
    assert sorted(os.listdir(tmp_path)) == ["elsewhere", *NAMES]


@pytest.mark.parametrize("function", ["symlink", "link", "mkdir"])
def test_error_on_the_way_names_the_first_file_and_leaves_the_old_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function: str
) -> None:
    save(OLD, tmp_path)
    original = getattr(os, function)

    def refuse(*given: Any, **options: Any) -> None:
        # The directory on the way is made; what goes into it is not.
        if any("-of-00002.tmp" in os.path.dirname(path) for path in map(str, given)):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        original(*given, **options)

    with monkeypatch.context() as patch:
        patch.setattr(os, function, refuse)
        with pytest.raises(WriteError) as caught:
            save(NEW, tmp_path)
    assert caught.value.path == str(tmp_path / NAMES[0])
    assert sorted(os.listdir(tmp_path)) == NAMES and are(values_in(tmp_path), OLD)


def test_without_links_the_first_file_goes_first_so_that_no_two_saves_are_mixed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(OLD, tmp_path)
    errors = {"link": errno.EPERM, "replace": errno.EROFS}

    def refuse(name: str) -> Callable[..., None]:
        def call(*_: Any, **__: Any) -> None:
            raise OSError(errors[name], os.strerror(errors[name]))

        return call

    with monkeypatch.context() as patch:
        for name in errors:
            patch.setattr(os, name, refuse(name))
        with pytest.raises(WriteError):
            save(NEW, tmp_path)
    assert sorted(os.listdir(tmp_path)) == NAMES[1:]
