"""The disk begins with a file that will be synced while it is written, and with no other."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from tfsaver.lib import file_io, local_file_system, write_back

MIB = 1 << 20


@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize(("durable", "num_calls"), [(True, 3), (False, 0)])
def test_disk_begins_each_time_that_enough_was_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, durable: bool, num_calls: int, at_once: bool
) -> None:
    calls: list[int] = []
    monkeypatch.setattr(local_file_system, "begin_write_back", calls.append)
    with file_io.atomic_writer(str(tmp_path / "file"), durable=durable) as file:
        for _ in range(31):
            file.append_all([bytes(MIB // 2)] * 2) if at_once else file.append(bytes(MIB))
    assert len(calls) == num_calls
    assert (tmp_path / "file").stat().st_size == 31 * MIB


def test_what_was_begun_is_what_was_written(tmp_path: Path) -> None:
    data = bytes(range(256)) * (20 * MIB // 256)
    file_io.write_file(str(tmp_path / "file"), data)
    assert (tmp_path / "file").read_bytes() == data


def test_system_that_cannot_begin_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(write_back, "_sync_file_range", lambda: None)
    file_io.write_file(str(tmp_path / "file"), bytes(9 * MIB))
    # Nor is a descriptor that it takes for wrong.
    monkeypatch.undo()
    write_back.begin_write_back(-1)
    assert (tmp_path / "file").stat().st_size == 9 * MIB


def test_an_error_of_the_sync_is_still_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: int) -> None:
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr(local_file_system.os, "fsync", refuse)
    with pytest.raises(OSError, match="broken"):
        file_io.write_file(str(tmp_path / "file"), bytes(9 * MIB))
    assert list(tmp_path.iterdir()) == []
