"""For the same tensors tfsaver and TensorFlow write the same files, byte for byte.

Two things TensorFlow leaves open are kept out. The bits above an int4 or int2 are whatever its memory held, where tfsaver
extends the sign. And the V1 op sorts its inputs by name with a sort that reorders equals once there are more than
sixteen, so the slices of one name keep their order in short lists only.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.interop.guest_process import GuestProcess
from tests.interop.tensors import GRID, ROWS, Tensor, of_every_kind, partitioned, v1_names, write_by_us

FILES = {1: ["model"], 2: ["model.data-00000-of-00001", "model.index"]}


def determined(guest: GuestProcess) -> list[str]:
    """The dtypes whose stored bytes follow from their values alone."""
    return [name for name in guest.about["dtypes"] if name not in ("int2", "int4")]


def assert_same_files(guest: GuestProcess, directory: Path, tensors: list[Tensor], version: int) -> None:
    """Both write the tensors in order of their names; then names and bytes of the files are compared."""
    tensors = sorted(tensors, key=lambda each: each["name"])
    ours, theirs = directory / "ours", directory / "theirs"
    ours.mkdir(parents=True)
    theirs.mkdir()
    write_by_us(ours / "model", tensors, version)
    guest.ask("save_tensors", prefix=str(theirs / "model"), tensors=tensors, version=version)
    assert sorted(path.name for path in theirs.iterdir()) == FILES[version]
    assert sorted(path.name for path in ours.iterdir()) == FILES[version]
    for name in FILES[version]:
        assert (ours / name).read_bytes() == (theirs / name).read_bytes(), name


@pytest.mark.parametrize("version", [1, 2])
def test_files_of_whole_tensors_equal_tensorflows(guest: GuestProcess, tmp_path: Path, version: int) -> None:
    names = determined(guest) if version == 2 else v1_names(determined(guest))
    assert_same_files(guest, tmp_path, of_every_kind(names), version)


@pytest.mark.parametrize("slices", [ROWS, GRID], ids=["rows", "grid"])
@pytest.mark.parametrize("version", [1, 2])
def test_files_of_slices_equal_tensorflows(guest: GuestProcess, tmp_path: Path, version: int, slices: list[str]) -> None:
    names = determined(guest) if version == 2 else v1_names(determined(guest))
    for name in names:
        assert_same_files(guest, tmp_path / name, of_every_kind([name]) + partitioned([name], slices), version)


@pytest.mark.parametrize("version", [1, 2])
def test_files_with_blocks_by_the_dozen_equal_tensorflows(guest: GuestProcess, tmp_path: Path, version: int) -> None:
    tensors = [
        {"name": f"layer_{number}/block/kernel", "dtype": "float32", "shape": [number % 7, 3], "seed": number}
        for number in range(1000)
    ]
    assert_same_files(guest, tmp_path, tensors, version)
