"""What tfsaver writes, real TensorFlow reads bit for bit: with its reader, its restore op and its Saver."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.interop.guest.digests import digest
from tests.interop.guest_process import GuestProcess
from tests.interop.tensors import (
    ASSEMBLED,
    GRID,
    ROWS,
    described,
    of_every_kind,
    part_digests,
    partitioned,
    region,
    v1_names,
    values_of,
    write_by_us,
)
from tfsaver.checkpoint import checkpoint_management

KINDS = ("ref", "resource")


def test_the_guests_know_the_types_that_matter(tensorflow_1: GuestProcess, tensorflow_2: GuestProcess) -> None:
    assert tensorflow_1.about["tensorflow"] == "1.15.5"
    assert tensorflow_1.about["python"] == "3.7"
    assert len(tensorflow_1.about["dtypes"]) == 21
    assert {"int4", "uint4", "float8_e5m2", "float8_e4m3fn"} <= set(tensorflow_2.about["resource"])
    for guest in (tensorflow_1, tensorflow_2):
        for kind in KINDS:
            assert {"float16", "bfloat16", "string", "bool", "complex128", "qint8"} <= set(guest.about[kind])


def test_reader_gives_every_dtype_of_a_v2_checkpoint_back(guest: GuestProcess, tmp_path: Path) -> None:
    tensors = of_every_kind(guest.about["dtypes"])
    prefix = write_by_us(tmp_path / "model", tensors)
    assert guest.ask("read", prefix=prefix) == described(tensors)


@pytest.mark.parametrize("version", [1, 2])
def test_restore_op_gives_every_dtype_back(guest: GuestProcess, tmp_path: Path, version: int) -> None:
    names = guest.about["dtypes"] if version == 2 else v1_names(guest.about["dtypes"])
    tensors = of_every_kind(names)
    prefix = write_by_us(tmp_path / "model", tensors, version)
    restored = guest.ask("restore_tensors", prefix=prefix, tensors=tensors)
    expected = described(tensors)
    assert restored == [expected[each["name"]][1:] for each in tensors]


def test_reader_gives_of_a_v1_checkpoint_what_it_can_read(guest: GuestProcess, tmp_path: Path) -> None:
    tensors = of_every_kind(v1_names(guest.about["dtypes"]))
    prefix = write_by_us(tmp_path / "model", tensors, version=1)
    read = guest.ask("read", prefix=prefix)
    expected = described(tensors)
    assert {name: row[:2] for name, row in read.items()} == {name: row[:2] for name, row in expected.items()}
    readable = {name: row for name, row in read.items() if row[2] is not None}
    assert readable == {name: expected[name] for name in readable}
    assert {row[0] for row in readable.values()} >= {"float32", "float64", "int32", "int64", "uint8", "string"}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("version", [1, 2])
def test_saver_restores_every_dtype_that_variables_hold(
    guest: GuestProcess, tmp_path: Path, kind: str, version: int
) -> None:
    names = guest.about[kind] if version == 2 else v1_names(guest.about[kind])
    tensors = of_every_kind(names)
    prefix = write_by_us(tmp_path / "model", tensors, version)
    restored = guest.ask("restore_variables", prefix=prefix, variables=tensors, kind=kind)
    assert restored == {name: row[2] for name, row in described(tensors).items()}


@pytest.mark.parametrize("slices", [ROWS, GRID], ids=["rows", "grid"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("version", [1, 2])
def test_saver_restores_the_slices_of_partitioned_variables(
    guest: GuestProcess, tmp_path: Path, kind: str, version: int, slices: list[str]
) -> None:
    names = guest.about[kind] if version == 2 else v1_names(guest.about[kind])
    tensors = partitioned(names, slices)
    prefix = write_by_us(tmp_path / "model", tensors, version)
    restored = guest.ask("restore_variables", prefix=prefix, variables=tensors, kind=kind)
    assert restored == part_digests(tensors)


@pytest.mark.parametrize("version", [1, 2])
def test_restore_op_cuts_other_slices_from_ours(guest: GuestProcess, tmp_path: Path, version: int) -> None:
    names = list(ASSEMBLED) if version == 2 else v1_names(list(ASSEMBLED))
    tensors = partitioned(names, GRID)
    prefix = write_by_us(tmp_path / "model", tensors, version)
    texts = ["4 6 1,2:3,3", "4 6 0,4:5,1", "4 6 -:-", "4 6 3,1:-"]
    wanted = [{"name": each["name"], "dtype": each["dtype"], "slice": text} for each in tensors for text in texts]
    pieces = [(values_of(each)[region(text)], each["dtype"]) for each in tensors for text in texts]
    restored = guest.ask("restore_tensors", prefix=prefix, tensors=wanted)
    assert restored == [[list(values.shape), digest(values, dtype)] for values, dtype in pieces]


def test_saver_restores_whole_variables_from_slices_in_three_shards(guest: GuestProcess, tmp_path: Path) -> None:
    cut = partitioned(list(ASSEMBLED), GRID)
    plain = of_every_kind(["float32", "string"])
    prefix = write_by_us(tmp_path / "model", cut + plain, num_shards=3)
    assert len(list(tmp_path.glob("model.data-*-of-00003"))) == 3
    whole = [{name: value for name, value in each.items() if name != "slices"} for each in cut] + plain
    restored = guest.ask("restore_variables", prefix=prefix, variables=whole, kind="resource")
    assert restored == {name: row[2] for name, row in described(whole).items()}
    assert guest.ask("read", prefix=prefix) == described(whole)


def test_reader_finds_each_of_two_thousand_names(guest: GuestProcess, tmp_path: Path) -> None:
    tensors = [
        {"name": f"layer_{number}/block/kernel", "dtype": "float32", "shape": [2], "seed": number} for number in range(2000)
    ]
    prefix = write_by_us(tmp_path / "model", tensors)
    assert guest.ask("read", prefix=prefix) == described(tensors)


def test_restore_op_finds_names_of_any_letters(guest: GuestProcess, tmp_path: Path) -> None:
    names = ["a", "a/b", "a b", "weights:0", "\u00fcber/\u4e16\u754c", "x" * 500, "tab\there"]
    tensors = [{"name": name, "dtype": "int64", "shape": [3], "seed": seed} for seed, name in enumerate(names)]
    for version in (1, 2):
        prefix = write_by_us(tmp_path / f"model{version}", tensors, version)
        assert guest.ask("read", prefix=prefix) == described(tensors)


def test_latest_checkpoint_follows_our_state_file(guest: GuestProcess, tmp_path: Path) -> None:
    tensors = of_every_kind(["float32"])
    prefixes = [write_by_us(tmp_path / f"model-{step}", tensors) for step in (1, 2)]
    checkpoint_management.update_checkpoint_state(
        str(tmp_path), prefixes[-1], all_model_checkpoint_paths=prefixes
    )
    assert guest.ask("latest_checkpoint", directory=str(tmp_path)) == prefixes[-1]


def test_tensorflow_merges_bundles_of_ours(guest: GuestProcess, tmp_path: Path) -> None:
    first, second = of_every_kind(["float32", "string"]), of_every_kind(["int64", "complex64"])
    (tmp_path / "parts").mkdir()
    prefixes = [write_by_us(tmp_path / "parts" / "a", first), write_by_us(tmp_path / "parts" / "b", second)]
    merged = str(tmp_path / "model")
    files = guest.ask("merge", prefixes=prefixes, prefix=merged)
    assert files == ["model.data-00000-of-00002", "model.data-00001-of-00002", "model.index"]
    assert guest.ask("read", prefix=merged) == described(first + second)
