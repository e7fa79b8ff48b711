"""What a neighbour's library writes appears whole or not at all, and a killed process leaves nothing for long."""

from __future__ import annotations

import errno
import os
import pathlib
import stat

import pytest

from tfsaver.errors import AlreadyExistsError, NoSpaceError, WriteError
from tfsaver.formats import atomic
from tfsaver.formats.atomic import atomic_directory, atomic_file
from tfsaver.lib import free_space

HEX = "0123456789"


def write(path: str, text: str) -> None:
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def test_file_has_its_name_when_the_block_ends_and_its_libraries_leftovers_go(tmp_path: pathlib.Path) -> None:
    target = tmp_path / "new" / "model.npz"
    for text in ("old", "new"):
        with atomic_file(str(target)) as temporary:
            assert os.path.basename(temporary) == "model.npz"
            write(temporary, text)
            write(f"{temporary}.of-the-library", "half")
            assert not target.exists() or target.read_text() == "old"
        assert target.read_text() == text
        assert os.listdir(target.parent) == ["model.npz"]


@pytest.mark.parametrize("mask", [0o022, 0o007, 0o077])
def test_files_have_the_mode_of_the_umask_whatever_a_library_gives_them(tmp_path: pathlib.Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        with atomic_file(str(tmp_path / "file")) as temporary:
            write(temporary, "x")
            os.chmod(temporary, 0o600)
        with atomic_directory(str(tmp_path / "directory")) as temporary:
            os.makedirs(os.path.join(temporary, "inner"))
            write(os.path.join(temporary, "inner", "file"), "x")
            os.chmod(os.path.join(temporary, "inner", "file"), 0o600)
    finally:
        os.umask(before)
    for path in ("file", "directory/inner/file"):
        assert stat.S_IMODE((tmp_path / path).stat().st_mode) == 0o666 & ~mask


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_library_that_finds_the_disk_full_is_one_error_about_the_file(tmp_path: pathlib.Path, code: int) -> None:
    (tmp_path / "model.npz").write_text("old")
    with (
        pytest.raises(NoSpaceError, match="model.npz' cannot be written") as caught,
        atomic_file(str(tmp_path / "model.npz")) as temporary,
    ):
        write(temporary, "half")
        raise OSError(code, os.strerror(code))
    assert caught.value.path == str(tmp_path / "model.npz")
    assert os.listdir(tmp_path) == ["model.npz"] and (tmp_path / "model.npz").read_text() == "old"


def test_error_of_what_is_read_stays_what_it_is(tmp_path: pathlib.Path) -> None:
    with pytest.raises(OSError, match="the source's") as caught, atomic_file(str(tmp_path / "new" / "model.npz")):
        raise OSError(errno.EIO, "the source's")
    assert not isinstance(caught.value, WriteError)
    assert os.listdir(tmp_path) == []


def test_room_is_asked_for_before_anything_is_written(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(free_space, "free_space", lambda directory: 10)
    with (
        pytest.raises(NoSpaceError, match="11 bytes needed, 10 available"),
        atomic_file(str(tmp_path / "model.npz"), expected_size=11),
    ):
        raise AssertionError
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("can_exchange", [True, False])
def test_directory_takes_the_place_of_another(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, can_exchange: bool
) -> None:
    def refuse(left: str, right: str) -> None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS), right)

    if not can_exchange:
        monkeypatch.setattr(atomic, "exchange", refuse)
    target = tmp_path / "tree"
    for text in ("old", "new"):
        with atomic_directory(str(target), overwrite=True) as temporary:
            os.mkdir(temporary)
            write(os.path.join(temporary, "file"), text)
        assert (target / "file").read_text() == text
    with pytest.raises(KeyError), atomic_directory(str(target), overwrite=True) as temporary:
        os.mkdir(temporary)
        raise KeyError
    with pytest.raises(AlreadyExistsError), atomic_directory(str(target)):
        raise AssertionError
    assert (target / "file").read_text() == "new" and os.listdir(tmp_path) == ["tree"]


def test_next_one_removes_what_a_killed_process_left(tmp_path: pathlib.Path) -> None:
    left, theirs = tmp_path / f"model.npz.tmp{HEX}", tmp_path / f"other.npz.tmp{HEX}"
    for place in (left, theirs):
        place.mkdir()
        (place / "half").touch()
    with atomic_file(str(tmp_path / "model.npz")) as temporary:
        write(temporary, "new")
    assert sorted(os.listdir(tmp_path)) == ["model.npz", theirs.name]


def test_what_had_stepped_aside_for_a_killed_process_comes_back(tmp_path: pathlib.Path) -> None:
    place = tmp_path / f"tree.tmp{HEX}"
    for name in ("tree", "tree.old"):
        (place / name).mkdir(parents=True)
        (place / name / "file").write_text(name)
    with pytest.raises(AlreadyExistsError), atomic_directory(str(tmp_path / "tree")):
        raise AssertionError
    with pytest.raises(KeyError), atomic_directory(str(tmp_path / "tree"), overwrite=True):
        raise KeyError
    assert os.listdir(tmp_path) == ["tree"] and (tmp_path / "tree" / "file").read_text() == "tree.old"
