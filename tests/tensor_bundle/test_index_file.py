"""The file of an index: as it was when it was opened, or nothing."""

from __future__ import annotations

import itertools
import os
import pathlib
from typing import Any

import pytest

from tfsaver import load_checkpoint, save_checkpoint
from tfsaver.errors import CheckpointNotFoundError, CheckpointReplacedError
from tfsaver.lib import file_identity, file_io
from tfsaver.tensor_bundle.index_file import Fate, IndexFile


@pytest.fixture
def path(tmp_path: pathlib.Path) -> str:
    path = tmp_path / "model.index"
    path.write_bytes(b"0123456789")
    os.utime(path, ns=(10**18, 10**18))
    return str(path)


def test_it_gives_its_bytes_whatever_becomes_of_its_name(path: str) -> None:
    file = IndexFile("model", path)
    assert file.fate() is Fate.SAME and file.size == 10
    file_io.write_file(path, b"others", durable=False)
    assert file.fate() is Fate.REPLACED
    assert file.read(2, 3) == b"234"
    buffer = bytearray(4)
    assert file.readinto(8, memoryview(buffer)) == 2 and buffer == b"89\0\0"
    os.remove(path)
    assert file.fate() is Fate.REMOVED
    assert file.read(0, 1) == b"0"
    file.close()


def test_it_gives_nothing_more_when_somebody_has_written_to_it(path: str) -> None:
    file = IndexFile("model", path)
    file.read(0, 1)
    with open(path, "r+b") as writer:
        writer.write(b"9")
    assert file.fate() is Fate.REPLACED
    with pytest.raises(
        CheckpointReplacedError, match="'model' was replaced while it was read: .*model.index is another file"
    ):
        file.read(0, 1)
    file.close()


def test_one_that_is_not_there_is_not_found(tmp_path: pathlib.Path) -> None:
    for name in ("nothing", "file/below"):
        (tmp_path / "file").write_bytes(b"")
        with pytest.raises(CheckpointNotFoundError, match="'model': looked for"):
            IndexFile("model", str(tmp_path / name))


def test_one_that_is_replaced_while_it_is_opened_is_opened_again(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    open_for_reading = file_io.open_for_reading
    numbers = itertools.count()

    def replacing(name: str) -> Any:
        file = open_for_reading(name)
        if next(numbers) < 3:
            file_io.write_file(path, b"another %d" % next(numbers), durable=False)
        return file

    monkeypatch.setattr(file_io, "open_for_reading", replacing)
    file = IndexFile("model", path)
    assert file.identity == file_identity.of_path(path) and file.fate() is Fate.SAME
    assert file.read(0, 20) == pathlib.Path(path).read_bytes()
    file.close()


def test_mount_that_invents_its_answers_is_not_asked(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prefix = str(tmp_path / "model")
    save_checkpoint({"w": [1, 2, 3]}, prefix, durable=False)
    times = itertools.count()
    of_path = file_identity.of_path
    monkeypatch.setattr(file_identity, "of_path", lambda path: of_path(path)._replace(modification_time_ns=next(times)))
    file = IndexFile("model", f"{prefix}.index")
    assert file.identity is None and file.fate() is Fate.SAME
    file.close()
    with load_checkpoint(prefix) as reader:
        assert reader["w"].tolist() == [1, 2, 3]
