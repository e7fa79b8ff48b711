"""Whether a name still stands for the file that was opened."""

from __future__ import annotations

import os
import pathlib

import pytest

from tfsaver.lib import file_identity, file_io


def test_open_file_and_its_name_are_one_until_another_takes_the_name(tmp_path: pathlib.Path) -> None:
    path = str(tmp_path / "file")
    file_io.write_file(path, b"old", durable=False)
    file = file_io.open_for_reading(path)
    before = file_identity.of_open(file)
    assert before == file_identity.of_path(path) and before.size == 3
    os.link(path, tmp_path / "link")
    os.rename(path, tmp_path / "moved")
    assert file_identity.of_open(file) == before == file_identity.of_path(str(tmp_path / "moved"))
    file_io.write_file(path, b"new", durable=False)
    assert file_identity.of_path(path) != before == file_identity.of_open(file)
    file.close()


def test_file_that_is_written_over_is_another(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    os.utime(path, ns=(1, 1))
    file = file_io.open_for_reading(str(path))
    before = file_identity.of_open(file)
    path.write_bytes(b"new")
    assert file_identity.of_open(file) != before
    assert file_identity.of_open(file) == file_identity.of_path(str(path))
    file.close()


def test_name_that_is_gone_is_not_found(tmp_path: pathlib.Path) -> None:
    with pytest.raises(FileNotFoundError):
        file_identity.of_path(str(tmp_path / "nothing"))


def test_object_of_a_store_is_told_by_size_and_time(tmp_path: pathlib.Path) -> None:
    pytest.importorskip("fsspec")
    path = f"memory://{tmp_path.name}/object"
    file_io.write_file(path, b"old")
    before = file_identity.of_path(path)
    assert before == file_identity.of_open(file_io.open_for_reading(path)) and before.size == 3
    file_io.write_file(path, b"another")
    assert file_identity.of_path(path) != before
    file_io.remove(path)
    with pytest.raises(FileNotFoundError):
        file_identity.of_path(path)
