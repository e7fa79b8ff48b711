"""What real TensorFlow writes, tfsaver reads bit for bit: by its bare save ops and by its Saver."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.interop.guest.digests import digest
from tests.interop.guest_process import GuestProcess
from tests.interop.tensors import GRID, ROWS, of_every_kind, partitioned, read_by_us, region, v1_names, values_of
from tfsaver.checkpoint.checkpoint_reader import load_checkpoint

KINDS = ("ref", "resource")


@pytest.mark.parametrize("version", [1, 2])
def test_every_dtype_of_the_save_ops_is_read(guest: GuestProcess, tmp_path: Path, version: int) -> None:
    names = guest.about["dtypes"] if version == 2 else v1_names(guest.about["dtypes"])
    tensors = of_every_kind(names) + partitioned(names, GRID)
    saved = guest.ask("save_tensors", prefix=str(tmp_path / "model"), tensors=tensors, version=version)
    assert len(saved["tensors"]) == len(tensors)
    assert read_by_us(saved["prefix"]) == saved["tensors"]


@pytest.mark.parametrize("sharded", [False, True], ids=["one-shard", "sharded"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("version", [1, 2])
def test_a_savers_checkpoint_is_read(
    guest: GuestProcess, tmp_path: Path, version: int, kind: str, sharded: bool
) -> None:
    names = guest.about[kind] if version == 2 else v1_names(guest.about[kind])
    tensors = of_every_kind(names) + partitioned(names, ROWS)
    saved = guest.ask(
        "save_variables",
        prefix=str(tmp_path / "model"),
        variables=tensors,
        kind=kind,
        version=version,
        sharded=sharded,
    )
    if version == 1 and sharded:
        assert saved["prefix"].endswith("-?????-of-00003")
    assert read_by_us(saved["prefix"]) == saved["tensors"]


@pytest.mark.parametrize("version", [1, 2])
def test_any_region_is_cut_from_tensorflows_slices(guest: GuestProcess, tmp_path: Path, version: int) -> None:
    names = guest.about["dtypes"] if version == 2 else v1_names(guest.about["dtypes"])
    tensors = partitioned(names, GRID)
    saved = guest.ask("save_tensors", prefix=str(tmp_path / "model"), tensors=tensors, version=version)
    with load_checkpoint(saved["prefix"]) as reader:
        for each in tensors:
            for text in ("4 6 1,2:3,3", "4 6 0,4:5,1", "4 6 3,1:0,6", "4 6 0,2:0,4"):
                part = reader.read(each["name"], region(text))
                assert digest(part, each["dtype"]) == digest(values_of(each)[region(text)], each["dtype"]), (each, text)
