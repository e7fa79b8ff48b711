"""What the system refuses, in a sentence that helps; and how much room there is."""

from __future__ import annotations

import errno
import os
import pathlib
import types
from typing import Any

import pytest

from tfsaver.errors import InvalidArgumentError, NoSpaceError, WriteError
from tfsaver.lib import file_io, free_space, local_file_system
from tfsaver.lib.exchange import exchange
from tfsaver.lib.write_errors import write_error, write_errors


def error(code: int) -> OSError:
    return OSError(code, os.strerror(code), "some/temporary/name")


def status(blocks: int, free: int, available: int) -> Any:
    return types.SimpleNamespace(f_blocks=blocks, f_frsize=10, f_bfree=free, f_bavail=available)


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (errno.ENOENT, "there is no directory"),
        (errno.EACCES, "this user may not write in"),
        (errno.EPERM, "this user may not write in"),
        (errno.EROFS, "is on a file system that is read-only"),
        (errno.EISDIR, "a directory has that name"),
        (errno.ENAMETOOLONG, "the name has 5 bytes"),
        (errno.EFBIG, "the file would be larger"),
    ],
)
def test_reason_is_the_systems_and_what_is_in_the_way(tmp_path: pathlib.Path, code: int, reason: str) -> None:
    path = str(tmp_path / "none" / "model")
    found = write_error(path, error(code))
    assert type(found) is WriteError
    assert (found.path, found.errno, found.filename) == (path, code, path)
    assert os.strerror(code) in str(found) and reason in str(found) and "temporary" not in str(found)


def test_error_that_nobody_knows_more_about_is_the_systems_sentence(tmp_path: pathlib.Path) -> None:
    assert str(write_error("model", error(errno.EIO))) == "'model' cannot be written: Input/output error"


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_full_disk_says_what_room_there_is(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    monkeypatch.setattr(os, "statvfs", lambda path: status(1000, 5, 5))
    found = write_error("model", error(code))
    assert isinstance(found, NoSpaceError) and (found.needed, found.available, found.errno) == (None, 50, code)
    assert str(found) == f"'model' cannot be written: {os.strerror(code)}: 50 available"


def test_errors_of_ours_and_of_others_pass(tmp_path: pathlib.Path) -> None:
    ours = WriteError("model", errno.EIO, "broken")
    with pytest.raises(WriteError) as caught, write_errors("other"):
        raise ours
    assert caught.value is ours
    with pytest.raises(InvalidArgumentError), write_errors("other"):
        raise InvalidArgumentError("no")


@pytest.mark.parametrize(("user", "available"), [(0, 70), (1000, 50)])
def test_reserve_of_a_disk_is_the_administrators(monkeypatch: pytest.MonkeyPatch, user: int, available: int) -> None:
    monkeypatch.setattr(os, "statvfs", lambda path: status(1000, 7, 5))
    monkeypatch.setattr(os, "geteuid", lambda: user)
    assert free_space.free_space("dir") == available
    free_space.check_free_space("dir/model", available)
    with pytest.raises(NoSpaceError, match=f"{available + 1} bytes needed, {available} available"):
        free_space.check_free_space("dir/model", available + 1)


def test_room_of_a_directory_that_is_not_there_yet_is_its_parents(tmp_path: pathlib.Path) -> None:
    assert free_space.free_space(str(tmp_path / "a" / "b")) is not None
    assert free_space.free_space("nothing/at/all") is not None


def test_file_system_that_counts_no_blocks_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "statvfs", lambda path: status(0, 0, 0))
    assert free_space.free_space("dir") is None
    free_space.check_free_space("dir/model", 1 << 60)


def test_call_that_writes_nothing_is_no_endless_loop(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "write", lambda descriptor, data: 0)
    with pytest.raises(WriteError, match="wrote nothing"):
        file_io.write_file(str(tmp_path / "file"), b"12345")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_short_writes_are_continued(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    write, data = os.write, bytes(range(256)) * 10

    def short(descriptor: int, data: bytes | memoryview) -> int:
        return write(descriptor, memoryview(data).cast("B")[:size])

    monkeypatch.setattr(os, "write", short)
    monkeypatch.setattr(os, "writev", lambda descriptor, pieces: short(descriptor, pieces[0]))
    with file_io.atomic_writer(str(tmp_path / "file")) as file:
        file.append(data)
        file.append_all([data, memoryview(data)[5:], b"", data[:7]])
    assert (tmp_path / "file").read_bytes() == data + data + data[5:] + data[:7]


def test_error_that_shows_when_a_file_is_closed_is_no_file(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Network file systems say only then that a quota is used up."""
    close = os.close

    def refuse(descriptor: int) -> None:
        close(descriptor)
        raise error(errno.EDQUOT)

    with pytest.raises(NoSpaceError, match="file' cannot be written"), file_io.atomic_writer(str(tmp_path / "file")) as file:
        file.append(b"1")
        monkeypatch.setattr(local_file_system.os, "close", refuse)
    monkeypatch.undo()
    assert os.listdir(tmp_path) == []


def test_directories_are_made_and_synced_in_their_parents(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    monkeypatch.setattr(local_file_system, "sync_directory", lambda path, target: synced.append(path))
    made = file_io.make_directory(str(tmp_path / "a" / "b"))
    assert made == [str(tmp_path / "a"), str(tmp_path / "a" / "b")] and synced == [str(tmp_path), str(tmp_path / "a")]
    assert file_io.make_directory(str(tmp_path / "a" / "b")) == []
    file_io.make_directory(str(tmp_path / "c"), durable=False)
    assert len(synced) == 2 and (tmp_path / "c").is_dir()
    with pytest.raises(KeyError), file_io.directory_made(str(tmp_path / "a" / "d" / "e")):
        raise KeyError
    assert sorted(os.listdir(tmp_path / "a")) == ["b"]


def test_directory_that_cannot_be_made_leaves_none_of_its_parents(tmp_path: pathlib.Path) -> None:
    with pytest.raises(WriteError, match="File name too long"):
        file_io.make_directory(str(tmp_path / "a" / "b" / ("c" * 300)))
    (tmp_path / "file").touch()
    with pytest.raises(WriteError, match="File exists"):
        file_io.make_directory(str(tmp_path / "file"))
    assert os.listdir(tmp_path) == ["file"]


def test_full_directories_exchange_their_names(tmp_path: pathlib.Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"in {name}").touch()
    try:
        exchange(str(tmp_path / "a"), str(tmp_path / "b"))
    except OSError as failure:
        pytest.skip(f"this system or file system does not exchange names: {failure}")
    assert os.listdir(tmp_path / "a") == ["in b"] and os.listdir(tmp_path / "b") == ["in a"]
    with pytest.raises(FileNotFoundError):
        exchange(str(tmp_path / "a"), str(tmp_path / "none"))
