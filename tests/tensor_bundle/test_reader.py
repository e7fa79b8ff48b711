"""What an open bundle says of its tensors, its tensors piece by piece, and damage that is told to the caller."""

from __future__ import annotations

import os
import pathlib

import numpy as np
import pytest

from tests.table.stores import build, open_table, with_snappy
from tests.tensor_bundle.tensors import assert_equal
from tfsaver.errors import (
    CheckpointNotFoundError,
    CheckpointReplacedError,
    ChecksumError,
    DataLossError,
    InvalidArgumentError,
    SaverError,
    TensorNotFoundError,
    TruncatedError,
)
from tfsaver.framework import array_pieces
from tfsaver.framework.tensor_slice import parse_shape_and_slice
from tfsaver.tensor_bundle.bundle_index import is_same_content, is_same_form
from tfsaver.tensor_bundle.entry import decode_entry
from tfsaver.tensor_bundle.reader import BundleReader
from tfsaver.tensor_bundle.renaming import remove_bundle, rename_bundle
from tfsaver.tensor_bundle.writer import BundleWriter

ROWS = np.arange(12, dtype=np.float32).reshape(4, 3)
TENSORS = {
    "a": np.arange(5.0),
    "empty": np.zeros((0, 2), np.int8),
    "rows": ROWS,
    "words": np.array([b"one", b"", b"three"], object),
}


def write(prefix: pathlib.Path, *, byte_order: str = "little", **others: np.ndarray) -> pathlib.Path:
    with BundleWriter(prefix, num_shards=2, byte_order=byte_order, durable=False) as writer:
        for name, value in {**TENSORS, **others}.items():
            if name == "rows":
                writer.add_slice("rows", (4, 3), np.s_[:2], value[:2])
                writer.add_slice("rows", (4, 3), np.s_[2:], value[2:], shard_id=1)
            else:
                writer.add(name, value, shard_id=int(name == "words"))
    return prefix


def flip(path: str, position: int) -> None:
    data = bytearray(pathlib.Path(path).read_bytes())
    data[position] ^= 0xFF
    pathlib.Path(path).write_bytes(data)


def test_reader_names_its_files_and_where_each_piece_lies(tmp_path: pathlib.Path) -> None:
    prefix = write(tmp_path / "m")
    first, second = (f"{prefix}.data-0000{number}-of-00002" for number in range(2))
    with BundleReader(prefix) as reader:
        assert reader.paths == [f"{prefix}.index", first, second]
        assert reader.num_files == 2
        assert reader.dtype_and_shape("rows") == (reader.entry("rows").dtype, (4, 3))
        whole, sliced = reader.info("a"), reader.info("rows")
        assert (whole.num_bytes, whole.shape, whole.dtype.name) == (40, (5,), "float64")
        assert [tuple(piece) for piece in whole.pieces] == [(first, 0, 0, 40, None)]
        assert (sliced.num_bytes, sliced.shape, sliced.dtype.name) == (48, (4, 3), "float32")
        found = [(piece.path, piece.shard_id, piece.offset, piece.size, str(piece.tensor_slice)) for piece in sliced.pieces]
        assert found == [(first, 0, 40, 24, "0,2:0,3"), (second, 1, 0, 24, "2,2:0,3")]


def test_identity_of_a_reader_is_that_of_its_index(tmp_path: pathlib.Path) -> None:
    prefix = write(tmp_path / "m")
    with BundleReader(prefix) as one, BundleReader(prefix) as other:
        assert one.identities == other.identities and one.identities[0] is not None
    write(prefix)
    with BundleReader(prefix) as now:
        assert now.identities != one.identities


def test_missing_files_are_those_that_the_header_counts(tmp_path: pathlib.Path) -> None:
    prefix = write(tmp_path / "m")
    with BundleReader(prefix) as reader:
        assert list(reader.missing_files()) == []
        os.remove(reader.data_path(1))
        assert list(reader.missing_files()) == [reader.data_path(1)]
        write(tmp_path / "other")
        rename_bundle(str(tmp_path / "other"), str(prefix))
        os.remove(reader.data_path(1))
        with pytest.raises(CheckpointReplacedError):
            list(reader.missing_files())


@pytest.mark.parametrize("byte_order", ["little", "big"])
@pytest.mark.parametrize("name", sorted(TENSORS))
def test_tensors_come_in_pieces_of_one_dimension(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, name: str, byte_order: str
) -> None:
    monkeypatch.setattr(array_pieces, "PIECE_ELEMENTS", 2)
    with BundleReader(write(tmp_path / "m", byte_order=byte_order)) as reader:
        pieces = [piece.copy() for piece in reader.pieces(name)]
    assert all(piece.ndim == 1 for piece in pieces)
    expected = TENSORS[name]
    assert_equal(np.concatenate([*pieces, expected[:0].reshape(-1)]).reshape(expected.shape), expected)
    if name == "a":
        assert [len(piece) for piece in pieces] == [2, 2, 1]


def test_a_stored_slice_comes_in_pieces_too_and_no_other(tmp_path: pathlib.Path) -> None:
    with BundleReader(write(tmp_path / "m")) as reader:
        stored = [each for each, _ in reader.slice_entries("rows")]
        [piece] = reader.pieces("rows", stored[1])
        assert piece.tolist() == ROWS[2:].reshape(-1).tolist()
        with pytest.raises(InvalidArgumentError, match="'rows' is not stored in a slice 0,1:0,3"):
            next(reader.pieces("rows", parse_shape_and_slice("4 3 0,1:0,3")[1]))


def test_damage_is_known_after_the_last_piece_and_says_the_tensor(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(array_pieces, "PIECE_ELEMENTS", 2)
    prefix = write(tmp_path / "m")
    flip(f"{prefix}.data-00000-of-00002", 3)
    with BundleReader(prefix) as reader:
        pieces = reader.pieces("a")
        assert [len(next(pieces)) for _ in range(2)] == [2, 2]
        with pytest.raises(ChecksumError, match="tensor 'a'"):
            next(pieces)


def test_checksum_of_a_tensor_without_elements_is_compared_too(tmp_path: pathlib.Path) -> None:
    prefix = write(tmp_path / "m")
    index = pathlib.Path(f"{prefix}.index")
    entries = dict(open_table(index.read_bytes()).items())
    entry = decode_entry(entries[b"empty"], "it")
    index.write_bytes(build({**entries, b"empty": entry._replace(crc32c=entry.crc32c ^ 1).encode()}.items()))
    with BundleReader(prefix) as reader:
        for read in (lambda: list(reader.pieces("empty")), lambda: reader.read("empty")):
            with pytest.raises(ChecksumError, match="tensor 'empty'"):
                read()


def test_file_that_ends_early_is_found_before_the_first_piece(tmp_path: pathlib.Path) -> None:
    prefix = write(tmp_path / "m")
    os.truncate(f"{prefix}.data-00000-of-00002", 39)
    with BundleReader(prefix) as reader, pytest.raises(TruncatedError, match="39 available.*tensor 'a'|tensor 'a'.*39"):
        next(reader.pieces("a"))


def test_damaged_tensors_are_told_in_order_and_left_out_of_the_others(tmp_path: pathlib.Path) -> None:
    prefix = write(tmp_path / "m", z=np.arange(3))
    flip(f"{prefix}.data-00000-of-00002", 3)
    flip(f"{prefix}.data-00001-of-00002", 3)
    told: list[tuple[str, SaverError]] = []
    with BundleReader(prefix) as reader:
        wanted = dict.fromkeys(["z", "rows", "a", "absent"])
        found = reader.read_many(wanted, on_damage=lambda name, error: told.append((name, error)))
        assert list(found) == ["z"] and found["z"].tolist() == [0, 1, 2]
        assert [(name, type(error)) for name, error in told] == [
            ("rows", ChecksumError),
            ("a", ChecksumError),
            ("absent", TensorNotFoundError),
        ]
        with pytest.raises(TensorNotFoundError, match="absent"):
            reader.read_many(wanted)


def test_tensors_of_a_missing_file_are_told_and_the_others_are_read(tmp_path: pathlib.Path) -> None:
    prefix = write(tmp_path / "m")
    os.remove(f"{prefix}.data-00001-of-00002")
    told: list[tuple[str, SaverError]] = []
    with BundleReader(prefix) as reader:
        found = reader.read_many(dict.fromkeys(TENSORS), on_damage=lambda name, error: told.append((name, error)))
    assert sorted(found) == ["a", "empty"]
    assert [(name, type(error)) for name, error in told] == [
        ("rows", CheckpointNotFoundError),
        ("words", CheckpointNotFoundError),
    ]


def test_verification_reads_everything_and_returns_nothing(tmp_path: pathlib.Path) -> None:
    prefix = write(tmp_path / "m")
    read: list[int] = []
    with BundleReader(prefix) as reader:
        assert reader.read_many(dict.fromkeys(TENSORS), verify_only=True, progress=read.append) == {}
        assert read[-1] == sum(reader.info(name).num_bytes for name in TENSORS)
        flip(f"{prefix}.data-00001-of-00002", 0)
        told: list[str] = []
        reader.read_many(dict.fromkeys(TENSORS), verify_only=True, on_damage=lambda name, _: told.append(name))
        assert told == ["rows"]
        with pytest.raises(ChecksumError, match="tensor 'rows'"):
            reader.read_many(dict.fromkeys(TENSORS), verify_only=True)


def test_data_newer_than_their_index_are_always_checked_and_the_error_says_so(tmp_path: pathlib.Path) -> None:
    prefix = write(tmp_path / "m")
    data = f"{prefix}.data-00000-of-00002"
    flip(data, 3)
    whole = parse_shape_and_slice("5 0,5")[1]
    for modified, is_doubtful in ((1e9, False), (1e9 - 1, False), (1e9 + 1, True)):
        os.utime(f"{prefix}.index", (1e9, 1e9))
        os.utime(data, (modified, modified))
        with BundleReader(prefix) as reader:
            if is_doubtful:
                with pytest.raises(ChecksumError, match="data newer than the index, as in a save that goes on or was stopped"):
                    reader.read("a", whole, verify=False)
            else:
                assert reader.read("a", whole, verify=False).tolist()[1:] == [1, 2, 3, 4]
            with pytest.raises(ChecksumError) as caught:
                reader.read("a")
            assert ("newer than the index" in str(caught.value)) == is_doubtful


def test_tensors_of_a_removed_checkpoint_are_still_checked_and_the_error_says_so(tmp_path: pathlib.Path) -> None:
    prefix = write(tmp_path / "m")
    whole = parse_shape_and_slice("5 0,5")[1]
    with BundleReader(prefix) as reader:
        os.remove(f"{prefix}.index")
        assert reader.read("a", whole, verify=False).tolist() == [0, 1, 2, 3, 4]
        flip(reader.data_path(1), 3)
        with pytest.raises(ChecksumError, match="the index was removed while it was open"):
            reader.read("rows", verify=False)
    with pytest.raises(InvalidArgumentError, match=f"{prefix} is closed"):
        reader.read("words")


def test_data_that_went_with_their_index_are_said_to_have_been_removed(tmp_path: pathlib.Path) -> None:
    prefix = write(tmp_path / "m")
    with BundleReader(prefix) as reader:
        for path in reader.paths:
            os.remove(path)
        with pytest.raises(CheckpointNotFoundError, match="was removed while it was read: .* like its data shard 1"):
            reader.read("words")
    prefix = write(tmp_path / "m")
    with BundleReader(prefix) as reader:
        os.remove(reader.data_path(1))
        with pytest.raises(CheckpointNotFoundError, match="the index is there, its data shard 1 is not"):
            reader.read("words")


def test_indexes_are_of_one_form_if_names_types_and_shapes_are_the_same(tmp_path: pathlib.Path) -> None:
    one = write(tmp_path / "one")
    others = {
        "same": write(tmp_path / "same"),
        "values": write(tmp_path / "values", a=np.zeros(5)),
        "shape": write(tmp_path / "shape", a=np.zeros(4)),
        "dtype": write(tmp_path / "dtype", a=np.zeros(5, np.float32)),
        "names": write(tmp_path / "names", b=np.zeros(5)),
        "order": write(tmp_path / "order", byte_order="big"),
        "slice": write(tmp_path / "slice", rows=np.concatenate([ROWS[:2], ROWS[:2]])),
    }
    same_form, same_content = set(), set()
    with BundleReader(one) as reader:
        for name, prefix in others.items():
            with BundleReader(prefix) as other:
                same_form |= {name} if is_same_form(reader.index, other.index) else set()
                same_content |= {name} if is_same_content(reader.index, other.index) else set()
    assert same_form == {"same", "values", "order", "slice"}
    assert same_content == {"same"}


def test_index_that_cannot_be_opened_is_closed_again(tmp_path: pathlib.Path) -> None:
    prefix = write(tmp_path / "m")
    os.truncate(f"{prefix}.index", 30)
    before = len(os.listdir("/dev/fd"))
    errors = []
    for _ in range(3):
        with pytest.raises(DataLossError) as caught:
            BundleReader(prefix)
        errors.append(caught)
    assert len(os.listdir("/dev/fd")) <= before


def test_renamed_bundle_is_the_same_under_its_new_name(tmp_path: pathlib.Path) -> None:
    prefix = write(tmp_path / "m")
    rename_bundle(str(prefix), str(tmp_path / "n"))
    assert not list(tmp_path.glob("m*"))
    with BundleReader(tmp_path / "n") as reader:
        assert all(assert_equal(reader.read(name), value) is None for name, value in TENSORS.items())


@pytest.mark.parametrize("is_there", [False, True])
def test_bundle_with_a_compressed_index_is_renamed_too(tmp_path: pathlib.Path, is_there: bool) -> None:
    prefix = write(tmp_path / "m")
    index = pathlib.Path(f"{prefix}.index")
    index.write_bytes(with_snappy(index.read_bytes()))
    if is_there:
        write(tmp_path / "n", a=np.zeros(1))
    rename_bundle(str(prefix), str(tmp_path / "n"))
    assert not list(tmp_path.glob("m*"))
    with BundleReader(tmp_path / "n") as reader:
        assert reader.names == sorted(TENSORS)
        assert all(assert_equal(reader.read(name), value) is None for name, value in TENSORS.items())


def test_bundle_that_cannot_be_renamed_keeps_its_name(tmp_path: pathlib.Path) -> None:
    prefix = write(tmp_path / "m")
    before = sorted(tmp_path.iterdir())
    (tmp_path / "n.data-00001-of-00002").mkdir()
    with pytest.raises(OSError):
        rename_bundle(str(prefix), str(tmp_path / "n"))
    assert sorted(path for path in tmp_path.iterdir() if path.is_file()) == before


def test_all_files_of_a_prefix_are_removed_and_no_others(tmp_path: pathlib.Path) -> None:
    prefix = write(tmp_path / "m")
    write(tmp_path / "m-1")
    (tmp_path / "m.data-00000-of-00009.tmp").write_bytes(b"")
    kept = sorted(path for path in tmp_path.iterdir() if path.name.startswith("m-1"))
    remove_bundle(str(prefix))
    assert sorted(tmp_path.iterdir()) == kept
