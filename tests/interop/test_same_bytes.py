"""For the same tensors tfsaver and TensorFlow write the same files, byte for byte."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.interop.guest_process import GuestProcess
from tests.interop.tensors import GRID, ROWS, of_every_kind, partitioned, v1_names, write_by_us


@pytest.mark.parametrize("slices", [ROWS, GRID], ids=["rows", "grid"])
@pytest.mark.parametrize("version", [1, 2])
def test_files_equal_those_of_the_save_ops(
    guest: GuestProcess, tmp_path: Path, version: int, slices: list[str]
) -> None:
    names = guest.about["dtypes"] if version == 2 else v1_names(guest.about["dtypes"])
    tensors = sorted(of_every_kind(names) + partitioned(names, slices), key=lambda each: each["name"])
    for directory in ("ours", "theirs"):
        (tmp_path / directory).mkdir()
    write_by_us(tmp_path / "ours" / "model", tensors, version)
    guest.ask("save_tensors", prefix=str(tmp_path / "theirs" / "model"), tensors=tensors, version=version)
    files = sorted(path.name for path in (tmp_path / "theirs").iterdir())
    assert sorted(path.name for path in (tmp_path / "ours").iterdir()) == files
    assert len(files) == (1 if version == 1 else 2)
    for name in files:
        assert (tmp_path / "ours" / name).read_bytes() == (tmp_path / "theirs" / name).read_bytes(), name
