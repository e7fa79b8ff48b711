"""What can be had of a damaged bundle, and what is said of the rest."""

from __future__ import annotations

import os
import pathlib

import numpy as np
import pytest

from tests.table.stores import build, open_table
from tfsaver.errors import CheckpointNotFoundError, ChecksumError, DataLossError
from tfsaver.tensor_bundle.recovery import RecoveredBundle, data_files
from tfsaver.tensor_bundle.writer import BundleWriter

ROWS = np.arange(12, dtype=np.float32).reshape(4, 3)


def write(prefix: pathlib.Path, num_shards: int = 2) -> pathlib.Path:
    with BundleWriter(prefix, num_shards=num_shards, durable=False) as writer:
        writer.add("a", np.arange(5.0))
        writer.add_slice("rows", (4, 3), np.s_[:2], ROWS[:2])
        writer.add_slice("rows", (4, 3), np.s_[2:], ROWS[2:], shard_id=num_shards - 1)
        writer.add("words", np.array([b"one", b""], object), shard_id=num_shards - 1)
    return prefix


def change(prefix: pathlib.Path, *, without: bytes | None = None, **options: int) -> bytes:
    """Writes the index anew, without one of its keys; returns the keys that it has."""
    path = pathlib.Path(f"{prefix}.index")
    entries = [(key, value) for key, value in open_table(path.read_bytes()).items() if key != without]
    path.write_bytes(build(entries, **options))
    return path.read_bytes()


def flip(path: str, position: int) -> None:
    data = bytearray(pathlib.Path(path).read_bytes())
    data[position] ^= 0xFF
    pathlib.Path(path).write_bytes(data)


def checked(bundle: RecoveredBundle, name: str) -> list[tuple[str | None, int, type | None]]:
    return [(piece and str(piece), size, error and type(error)) for piece, size, error in bundle.check(name)]


def test_sound_bundle_has_no_damage_and_all_its_pieces(tmp_path: pathlib.Path) -> None:
    with RecoveredBundle(write(tmp_path / "m")) as bundle:
        assert bundle.sound_names() == ["a", "rows", "words"]
        assert checked(bundle, "a") == [(None, 40, None)]
        assert checked(bundle, "rows") == [("0,2:0,3", 24, None), ("2,2:0,3", 24, None)]
        assert checked(bundle, "words") == [(None, 2 + 4 + 3, None)]
        assert (bundle.damage, bundle.assumptions, bundle.lost_slices) == ([], [], {})


def test_flipped_byte_is_damage_of_the_one_slice_that_has_it(tmp_path: pathlib.Path) -> None:
    prefix = write(tmp_path / "m")
    flip(f"{prefix}.data-00001-of-00002", 5)
    with RecoveredBundle(prefix) as bundle:
        assert checked(bundle, "rows") == [("0,2:0,3", 24, None), ("2,2:0,3", 24, ChecksumError)]
        assert bundle.damage == []


def test_missing_data_file_is_damage_of_what_lies_in_it(tmp_path: pathlib.Path) -> None:
    prefix = write(tmp_path / "m")
    os.remove(f"{prefix}.data-00001-of-00002")
    with RecoveredBundle(prefix) as bundle:
        assert checked(bundle, "rows") == [("0,2:0,3", 24, None), ("2,2:0,3", 24, CheckpointNotFoundError)]
        assert checked(bundle, "words") == [(None, 9, CheckpointNotFoundError)]


def test_slice_that_the_index_lost_is_an_error_and_the_other_slices_are_found(tmp_path: pathlib.Path) -> None:
    prefix = write(tmp_path / "m")
    keys = [key for key, _ in open_table(pathlib.Path(f"{prefix}.index").read_bytes()).items()]
    lost = next(key for key in keys if key.startswith(b"\0"))
    change(prefix, without=lost)
    with RecoveredBundle(prefix) as bundle:
        assert checked(bundle, "rows") == [("0,2:0,3", 0, DataLossError), ("2,2:0,3", 24, None)]
        assert [str(stored) for stored, _ in bundle.slice_entries("rows")] == ["2,2:0,3"]


def test_slices_without_their_tensor_are_named_as_lost_and_not_as_tensors(tmp_path: pathlib.Path) -> None:
    prefix = write(tmp_path / "m")
    change(prefix, without=b"rows")
    with RecoveredBundle(prefix) as bundle:
        assert bundle.sound_names() == ["a", "words"]
        assert bundle.lost_slices == {"rows": None}


def test_lost_header_is_made_from_the_names_of_the_data_files(tmp_path: pathlib.Path) -> None:
    prefix = write(tmp_path / "m", num_shards=3)
    change(prefix, block_size=1)
    flip(f"{prefix}.index", 2)
    with RecoveredBundle(prefix) as bundle:
        assert bundle.header.num_shards == 3 and bundle.header.byte_order == "little"
        assert bundle.assumptions == [
            "the header is lost: taken to be a bundle of 3 data files, as their names say, and little-endian"
        ]
        assert len(bundle.damage) == 1
        assert bundle.read("a").tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("others", [["m.data-00000-of-00007"], None], ids=["two counts", "no data file"])
def test_lost_header_is_an_error_where_the_names_do_not_say_the_shards(
    tmp_path: pathlib.Path, others: list[str] | None
) -> None:
    prefix = write(tmp_path / "m")
    change(prefix, block_size=1)
    flip(f"{prefix}.index", 2)
    for other in others or []:
        (tmp_path / other).write_bytes(b"")
    if others is None:
        for path in data_files(str(prefix)):
            os.remove(path)
    with pytest.raises(DataLossError):
        RecoveredBundle(prefix)


def test_table_that_is_no_index_is_refused(tmp_path: pathlib.Path) -> None:
    (tmp_path / "m.index").write_bytes(build([(b"key", b"value")]))
    (tmp_path / "m.data-00000-of-00001").write_bytes(b"")
    with pytest.raises(DataLossError):
        RecoveredBundle(tmp_path / "m")


def test_flipped_bit_of_the_index_is_put_right_and_said(tmp_path: pathlib.Path) -> None:
    prefix = write(tmp_path / "m")
    path = pathlib.Path(f"{prefix}.index")
    data = bytearray(path.read_bytes())
    data[20] ^= 4
    path.write_bytes(data)
    with RecoveredBundle(prefix) as bundle:
        assert bundle.sound_names() == ["a", "rows", "words"]
        assert bundle.damage == []
        assert bundle.assumptions == [f"bit 2 of byte 20 of {path} was flipped: with it put right the checksum fits"]


def test_damaged_blocks_are_noted_once_and_the_names_of_the_others_are_found(tmp_path: pathlib.Path) -> None:
    prefix = write(tmp_path / "m")
    data = change(prefix, block_size=1)
    flip(f"{prefix}.index", data.index(b"words") + 1)
    with RecoveredBundle(prefix) as bundle:
        assert bundle.sound_names() == ["a", "rows"]
        bundle.sound_names()
        assert len(bundle.damage) == 1 and isinstance(bundle.damage[0], ChecksumError)


def test_index_without_its_end_still_has_its_tensors(tmp_path: pathlib.Path) -> None:
    prefix = write(tmp_path / "m")
    path = pathlib.Path(f"{prefix}.index")
    path.write_bytes(path.read_bytes()[:-10])
    with RecoveredBundle(prefix) as bundle:
        assert len(bundle.damage) == 1
        assert bundle.sound_names() == ["a", "rows", "words"]
        assert len(bundle.damage) == 1


def test_index_in_which_no_block_is_found_is_an_error(tmp_path: pathlib.Path) -> None:
    prefix = write(tmp_path / "m")
    pathlib.Path(f"{prefix}.index").write_bytes(bytes(100))
    with pytest.raises(DataLossError):
        RecoveredBundle(prefix)


def test_data_files_of_a_prefix_are_those_of_no_other(tmp_path: pathlib.Path) -> None:
    for name in ("m", "m-1", "mm", "m.data-00000-of-00001.tmp"):
        (tmp_path / f"{name}.data-00000-of-00001").write_bytes(b"")
    (tmp_path / "m.data-00002-of-00003").write_bytes(b"")
    (tmp_path / "m.data-0-of-1").write_bytes(b"")
    (tmp_path / "m.index").write_bytes(b"")
    found = {os.path.basename(path) for path in data_files(str(tmp_path / "m"))}
    assert found == {"m.data-00000-of-00001", "m.data-00002-of-00003"}
