"""Paths and files: what counts as a path, positioned reads, appends, and files that appear whole or not at all."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tfsaver.errors import InvalidArgumentError, TruncatedError
from tfsaver.lib import file_io


@pytest.fixture(params=["local", "remote"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A folder on this machine, and one behind fsspec."""
    if request.param == "local":
        yield str(tmp_path / "folder")
        return
    fsspec = pytest.importorskip("fsspec")
    name = f"/{uuid.uuid4().hex}"
    yield f"memory:/{name}"
    system = fsspec.filesystem("memory")
    if system.exists(name):
        system.rm(name, recursive=True)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("a/b", "a/b"),
        (b"a/b", "a/b"),
        (Path("a") / "b", os.path.join("a", "b")),
        ("file:///tmp/x", "/tmp/x"),
        ("gs://bucket/x", "gs://bucket/x"),
        (b"\xff", "\udcff"),
    ],
)
def test_every_kind_of_path_becomes_text(path: file_io.PathLike, text: str) -> None:
    assert file_io.as_path(path) == text


@pytest.mark.parametrize("path", [None, 3, "", b"", "a\0b", ["x"]])
def test_what_is_no_path_is_an_invalid_argument(path: object) -> None:
    with pytest.raises(InvalidArgumentError, match="path must"):
        file_io.as_path(path)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("path", "is_remote"),
    [("gs://b/x", True), ("memory://x", True), ("/a/b", False), ("a://b/x", False), ("dir/x://y", False), ("://x", False)],
)
def test_only_a_scheme_makes_a_path_remote(path: str, is_remote: bool) -> None:
    assert file_io.is_remote(path) is is_remote


def test_join_keeps_absolute_and_remote_names() -> None:
    assert file_io.join("dir", "x") == os.path.join("dir", "x")
    assert file_io.join("", "x") == "x"
    assert file_io.join("dir", "/x") == "/x"
    assert file_io.join("gs://b/dir", "x") == "gs://b/dir/x"
    assert file_io.join("dir", "gs://b/x") == "gs://b/x"
    assert file_io.split("gs://b/dir/x") == ("gs://b/dir", "x")


def test_file_is_written_and_read_at_positions(folder: str) -> None:
    file_io.make_directory(folder)
    path = file_io.join(folder, "file")
    writer = file_io.open_for_writing(path)
    for data in (b"hello ", bytearray(b"wide "), memoryview(b"world")):
        writer.append(data)
    writer.sync()
    writer.close()
    assert file_io.read_file(path) == b"hello wide world"
    reader = file_io.open_for_reading(path)
    assert reader.size == 16
    assert reader.read(6, 4) == b"wide"
    assert reader.read(11, 100) == b"world"
    assert reader.read(99, 5) == b""
    buffer = bytearray(8)
    assert reader.readinto(11, memoryview(buffer)) == 5
    assert bytes(buffer) == b"world\0\0\0"
    reader.close()


def test_reading_more_than_there_is_is_truncated(folder: str) -> None:
    file_io.make_directory(folder)
    path = file_io.join(folder, "file")
    file_io.write_file(path, b"12345")
    reader = file_io.open_for_reading(path)
    assert file_io.read_exactly(reader, 1, 4, "tail") == b"2345"
    with pytest.raises(TruncatedError, match=r"tail at byte 3 of .*: 4 bytes wanted, 2 available") as caught:
        file_io.read_exactly(reader, 3, 4, "tail")
    assert (caught.value.wanted, caught.value.available) == (4, 2)
    # A size that no memory has must not be tried.
    with pytest.raises(TruncatedError):
        file_io.read_exactly(reader, 1 << 70, 1 << 70, "tail")
    reader.close()


def test_file_that_shrinks_while_it_is_read_is_truncated(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"12345")
    reader = file_io.open_for_reading(str(path))
    os.truncate(path, 2)
    with pytest.raises(TruncatedError, match="5 bytes wanted, 2 available"):
        file_io.read_exactly(reader, 0, 5, "all")
    reader.close()


def test_atomic_file_appears_when_its_block_ends(folder: str) -> None:
    file_io.make_directory(folder)
    path = file_io.join(folder, "file")
    file_io.write_file(path, b"old")
    with file_io.atomic_writer(path) as file:
        file.append(b"new")
        assert file_io.read_file(path) == b"old"
    assert file_io.read_file(path) == b"new"
    assert file_io.list_directory(folder) == ["file"]


def test_atomic_file_of_a_failed_block_leaves_the_old_one(folder: str) -> None:
    file_io.make_directory(folder)
    path = file_io.join(folder, "file")
    file_io.write_file(path, b"old")
    with pytest.raises(KeyboardInterrupt), file_io.atomic_writer(path) as file:
        file.append(b"half")
        raise KeyboardInterrupt
    assert file_io.read_file(path) == b"old"
    assert file_io.list_directory(folder) == ["file"]


def test_names_in_a_folder_are_sorted_and_a_missing_folder_has_none(folder: str) -> None:
    assert file_io.list_directory(folder) == []
    file_io.make_directory(folder)
    for name in ("b", "a", "c"):
        file_io.write_file(file_io.join(folder, name), b"x")
    assert file_io.list_directory(folder) == ["a", "b", "c"]
    assert file_io.is_directory(folder) and not file_io.is_directory(file_io.join(folder, "a"))
    assert file_io.exists(file_io.join(folder, "a")) and not file_io.exists(file_io.join(folder, "d"))


def test_files_are_renamed_over_others_and_removed_twice(folder: str) -> None:
    file_io.make_directory(folder)
    a, b = file_io.join(folder, "a"), file_io.join(folder, "b")
    file_io.write_file(a, b"A")
    file_io.write_file(b, b"B")
    file_io.replace(a, b)
    assert file_io.list_directory(folder) == ["b"] and file_io.read_file(b) == b"A"
    assert file_io.modification_time(b) > 0
    file_io.remove(b)
    file_io.remove(b)
    assert not file_io.exists(b)


def test_missing_file_is_a_file_not_found_error(folder: str) -> None:
    with pytest.raises(FileNotFoundError):
        file_io.open_for_reading(file_io.join(folder, "nothing"))


def test_directory_cannot_be_read_as_a_file(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        file_io.open_for_reading(str(tmp_path))


def test_closed_file_says_so(tmp_path: Path) -> None:
    path = str(tmp_path / "file")
    file_io.write_file(path, b"x")
    reader = file_io.open_for_reading(path)
    reader.close()
    reader.close()
    with pytest.raises(ValueError, match="is closed"):
        reader.read(0, 1)
