"""An index whose entries share bytes is refused however they are read, and a part is right only if all of its entry is."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tfsaver.errors import CheckpointNotFoundError, ChecksumError, DataLossError, InvalidArgumentError
from tfsaver.framework.tensor_slice import TensorSlice
from tfsaver.lib import file_io
from tfsaver.lib.local_file_system import LocalRandomAccessFile
from tfsaver.table.table import Table
from tfsaver.table.table_builder import TableBuilder
from tfsaver.tensor_bundle import read_many, region_pieces, renaming
from tfsaver.tensor_bundle.entry import BundleEntry, decode_entry
from tfsaver.tensor_bundle.header import HEADER_KEY
from tfsaver.tensor_bundle.reader import BundleReader
from tfsaver.tensor_bundle.renaming import remove_bundle, rename_bundle
from tfsaver.tensor_bundle.writer import BundleWriter

ROWS = np.arange(40 * 25, dtype=np.float32).reshape(40, 25)


def rewrite_index(prefix: Path, change: Callable[[str, BundleEntry], BundleEntry]) -> None:
    path = f"{prefix}.index"
    with contextlib.closing(file_io.open_for_reading(path)) as file:
        items = list(Table(file).items())
    with file_io.atomic_writer(path, durable=False) as out:
        table = TableBuilder(out)
        for key, value in items:
            table.add(key, value if key == HEADER_KEY else change(key.decode(), decode_entry(value, "")).encode())
        table.finish()


@pytest.fixture
def overlapping(tmp_path: Path) -> Iterator[BundleReader]:
    """Two tensors of twelve bytes that lie in the same sixteen."""
    with BundleWriter(tmp_path / "m", durable=False) as writer:
        writer.add("a", np.zeros(3, np.float32))
        writer.add("b", np.zeros(3, np.float32))
    rewrite_index(tmp_path / "m", lambda name, entry: entry._replace(offset=4) if name == "b" else entry)
    data = tmp_path / "m.data-00000-of-00001"
    data.write_bytes(data.read_bytes()[:16])
    with BundleReader(tmp_path / "m") as reader:
        yield reader


@pytest.mark.parametrize("ways", [("map", "map"), ("map", "read"), ("read", "map"), ("read", "read"), ("many",)])
def test_tensors_that_share_bytes_are_refused_by_every_way_of_reading(overlapping: BundleReader, ways: tuple[str, ...]) -> None:
    def read_both() -> None:
        if ways == ("many",):
            overlapping.read_many({"a": None, "b": None})
        for name, way in zip("ab", ways, strict=False):
            getattr(overlapping, way)(name, verify=False)

    with pytest.raises(DataLossError, match="tensors of 24 bytes are to be in its 16"):
        read_both()


def test_one_tensor_may_be_mapped_and_read_again_and_again(overlapping: BundleReader) -> None:
    for _ in range(3):
        assert overlapping.map("a").tolist() == overlapping.read("a").tolist() == [0, 0, 0]


def test_tensors_that_share_bytes_are_refused_by_every_way_of_checking(overlapping: BundleReader) -> None:
    with pytest.raises(DataLossError, match="tensors of 24 bytes are to be in its 16"):
        overlapping.read_many({"a": None, "b": None}, verify_only=True)
    told: list[str] = []
    overlapping.check_places(["a", "b"], lambda name, error: told.append(f"{name}: {error}"))
    assert [text[:2] for text in told] == ["a:", "b:"] and all("tensors of 24 bytes" in text for text in told)


def test_streams_of_tensors_that_share_bytes_are_refused(overlapping: BundleReader) -> None:
    assert [piece.tolist() for piece in overlapping.pieces("a")] == [[0, 0, 0]]
    with pytest.raises(DataLossError, match="tensor 'b'.*tensors of 24 bytes are to be in its 16"):
        list(overlapping.pieces("b"))


@pytest.mark.parametrize("way", ["read", "verify", "places", "stream"])
def test_slices_that_share_bytes_are_refused(tmp_path: Path, way: str) -> None:
    with BundleWriter(tmp_path / "m", durable=False) as writer:
        for start in (0, 3):
            writer.add_slice("w", (6,), np.s_[start : start + 3], np.zeros(3, np.float32))

    def moved(name: str, entry: BundleEntry) -> BundleEntry:
        return entry._replace(offset=4) if entry.size and entry.offset else entry

    path = f"{tmp_path / 'm'}.index"
    with contextlib.closing(file_io.open_for_reading(path)) as file:
        items = list(Table(file).items())
    with file_io.atomic_writer(path, durable=False) as out:
        table = TableBuilder(out)
        for key, value in items:
            is_whole = key == HEADER_KEY or not key.startswith(b"\0")
            table.add(key, value if is_whole else moved("", decode_entry(value, "")).encode())
        table.finish()
    data = tmp_path / "m.data-00000-of-00001"
    data.write_bytes(data.read_bytes()[:16])
    told: list[str] = []
    with BundleReader(tmp_path / "m") as reader:
        if way == "places":
            reader.check_places(["w"], lambda name, error: told.append(str(error)))
            assert told and all("tensors of 24 bytes" in text for text in told)
            return
        with pytest.raises(DataLossError, match="tensors of 24 bytes are to be in its 16"):
            if way == "read":
                reader.read("w", verify=False)
            elif way == "stream":
                list(reader.pieces("w"))
            else:
                reader.read_many({"w": None}, verify_only=True)


@pytest.mark.parametrize("names", [("a",), ("b",), ("a", "b", "c"), ("large",), ("large", "a")])
def test_damage_is_an_error_unless_nobody_asks(tmp_path: Path, names: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read_many, "_PIECE_SIZE", 1000)
    monkeypatch.setattr(read_many, "_SMALL_SIZE", 100)
    tensors = {**{name: np.arange(5, dtype=np.float32) for name in "abc"}, "large": np.arange(900, dtype=np.float32)}
    with BundleWriter(tmp_path / "m", durable=False) as writer:
        for name, value in tensors.items():
            writer.add(name, value)
    position = 0
    for value in tensors.values():
        flip(tmp_path / "m", position + value.nbytes - 1)
        position += value.nbytes
    with BundleReader(tmp_path / "m") as reader:
        for name in names:
            found = reader.read(name, verify=False)
            assert np.count_nonzero(found != tensors[name]) == 1 and (found[:-1] == tensors[name][:-1]).all()
            with pytest.raises(ChecksumError, match=f"tensor '{name}'"):
                reader.read(name)
        many = reader.read_many(dict.fromkeys(names), verify=False)
        assert all(np.count_nonzero(many[name] != tensors[name]) == 1 for name in names)
        told: list[str] = []
        assert reader.read_many(dict.fromkeys(names), on_damage=lambda name, _: told.append(name)) == {}
        assert told == list(names)
        told.clear()
        assert reader.read_many(dict.fromkeys(names), verify_only=True, on_damage=lambda name, _: told.append(name)) == {}
        assert told == list(names)


def flip(prefix: Path, position: int) -> None:
    path = Path(f"{prefix}.data-00000-of-00001")
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(0, 0))


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    with BundleWriter(tmp_path / "m", durable=False) as writer:
        writer.add("w", ROWS)
    return tmp_path / "m"


REGIONS: list[tuple[slice, slice]] = [
    (slice(0, 2), slice(0, 25)), (slice(38, 40), slice(3, 9)), (slice(10, 31), slice(24, 25)), (slice(5, 5), slice(0, 25)),
]  # fmt: skip


def as_slice(region: tuple[slice, slice]) -> TensorSlice:
    return TensorSlice(tuple((each.start, each.stop - each.start) for each in region))


@pytest.mark.parametrize("max_kept", [0, 1 << 30], ids=["in pieces", "kept"])
@pytest.mark.parametrize("piece", [100, 333, 1 << 20])
def test_a_part_is_what_numpy_cuts_out(rows: Path, max_kept: int, piece: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read_many, "_MAX_KEPT_SIZE", max_kept)
    monkeypatch.setattr(region_pieces, "MAX_PIECE_SIZE", piece)
    with BundleReader(rows) as reader:
        for verify in (True, False, True):
            for region in REGIONS:
                np.testing.assert_array_equal(reader.read("w", as_slice(region), verify=verify), ROWS[region])


@pytest.mark.parametrize("max_kept", [0, 1 << 30], ids=["in pieces", "kept"])
@pytest.mark.parametrize("position", [0, 1999, 2000, 3999])
def test_damage_anywhere_in_an_entry_is_an_error_for_each_part(
    rows: Path, position: int, max_kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read_many, "_MAX_KEPT_SIZE", max_kept)
    monkeypatch.setattr(region_pieces, "MAX_PIECE_SIZE", 500)
    flip(rows, position)
    for region in REGIONS[:3]:
        with BundleReader(rows) as reader:
            for _ in range(2):
                with pytest.raises(ChecksumError, match="tensor 'w'"):
                    reader.read("w", as_slice(region))
            damaged = np.array(ROWS).view(np.uint8).reshape(-1)
            damaged[position] ^= 1
            expected = damaged.view(np.float32).reshape(ROWS.shape)[region]
            np.testing.assert_array_equal(reader.read("w", as_slice(region), verify=False), expected)


def test_a_part_that_is_not_checked_is_read_without_the_rest(rows: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(region_pieces, "MAX_PIECE_SIZE", 100)
    monkeypatch.setattr(read_many, "_MAX_KEPT_SIZE", 0)
    sizes: list[int] = []
    readinto = LocalRandomAccessFile.readinto

    def counted(self: LocalRandomAccessFile, offset: int, buffer: memoryview) -> int:
        sizes.append(len(buffer))
        return readinto(self, offset, buffer)

    monkeypatch.setattr(LocalRandomAccessFile, "readinto", counted)
    with BundleReader(rows) as reader:
        reader.read("w", as_slice((slice(4, 6), slice(0, 25))), verify=False)
        assert sum(sizes) == 200
        sizes.clear()
        reader.read("w", as_slice((slice(4, 6), slice(0, 25))))
        assert sum(sizes) == 4000
        sizes.clear()
        # Once all was checked, each piece has a checksum of its own.
        reader.read("w", as_slice((slice(4, 6), slice(0, 25))))
        assert sum(sizes) == 200


def test_parts_of_the_other_byte_order_are_turned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with BundleWriter(tmp_path / "m", durable=False, byte_order="big" if sys.byteorder == "little" else "little") as writer:
        writer.add("w", ROWS)
    for max_kept in (0, 1 << 30):
        monkeypatch.setattr(read_many, "_MAX_KEPT_SIZE", max_kept)
        with BundleReader(tmp_path / "m") as reader:
            for _ in range(2):
                np.testing.assert_array_equal(reader.read("w", as_slice(REGIONS[1])), ROWS[REGIONS[1]])


# ---- renaming ----


def write(prefix: Path, value: float) -> None:
    with BundleWriter(prefix, num_shards=3, durable=False) as writer:
        for shard_id in range(3):
            writer.add(f"w{shard_id}", np.full(4, value + shard_id), shard_id=shard_id)


def read(prefix: Path) -> list[float]:
    with BundleReader(prefix) as reader:
        return [float(reader.read(name)[0]) for name in reader.names]


@pytest.mark.parametrize("is_replaced", [False, True], ids=["new", "replaced"])
def test_a_renamed_bundle_is_all_under_its_new_name(tmp_path: Path, is_replaced: bool) -> None:
    write(tmp_path / "old", 1)
    if is_replaced:
        write(tmp_path / "new", 5)
    rename_bundle(str(tmp_path / "old"), str(tmp_path / "new"), durable=False)
    assert read(tmp_path / "new") == [1, 2, 3]
    assert not list(tmp_path.glob("old*")) and len(list(tmp_path.glob("new.*"))) == 4


def test_a_renaming_that_fails_leaves_all_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "old", 1)
    before = sorted(path.name for path in tmp_path.iterdir() if path.name.startswith("old"))
    replace = file_io.replace
    for last in range(4):
        calls: list[str] = []

        def failing(source: str, target: str, last: int = last, calls: list[str] = calls) -> None:
            calls.append(target)
            if len(calls) == last + 1:
                raise OSError(5, "not today")
            replace(source, target)

        monkeypatch.setattr(renaming.file_io, "replace", failing)
        with pytest.raises(OSError, match="not today"):
            rename_bundle(str(tmp_path / "old"), str(tmp_path / "new"), durable=False)
        monkeypatch.setattr(renaming.file_io, "replace", replace)
        assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith("old")) == before
        assert read(tmp_path / "old") == [1, 2, 3] and not list(tmp_path.glob("new.*"))


@pytest.mark.parametrize("last", [0, 1])
def test_a_renaming_that_cannot_be_made_durable_leaves_all_names(
    tmp_path: Path, last: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "old", 1)
    calls: list[str] = []

    def failing(path: str, target: str | None = None) -> None:
        calls.append(path)
        if len(calls) == last + 1:
            raise OSError(5, "not today")

    monkeypatch.setattr(renaming.file_io, "sync_directory", failing)
    with pytest.raises(OSError, match="not today"):
        rename_bundle(str(tmp_path / "old"), str(tmp_path / "new"))
    assert read(tmp_path / "old") == [1, 2, 3] and not list(tmp_path.glob("new.*"))


def test_what_is_not_there_or_damaged_is_not_renamed(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        rename_bundle(str(tmp_path / "nothing"), str(tmp_path / "new"))
    (tmp_path / "bad.index").write_bytes(b"x" * 100)
    with pytest.raises(DataLossError):
        rename_bundle(str(tmp_path / "bad"), str(tmp_path / "new"))
    assert (tmp_path / "bad.index").exists()


def test_removing_a_bundle_leaves_other_names(tmp_path: Path) -> None:
    write(tmp_path / "m", 1)
    write(tmp_path / "mm", 1)
    (tmp_path / "m.data-00000-of-00003.tempstate1").write_bytes(b"")
    (tmp_path / "m").write_bytes(b"")
    remove_bundle(str(tmp_path / "m"))
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith("m.")) == []
    assert (tmp_path / "m").exists() and read(tmp_path / "mm") == [1, 2, 3]
    with pytest.raises((CheckpointNotFoundError, FileNotFoundError, InvalidArgumentError)):
        BundleReader(tmp_path / "m")


def test_any_way_of_reading_gives_one_array(tmp_path: Path) -> None:
    write(tmp_path / "m", 1)
    with BundleReader(tmp_path / "m") as reader:
        many: dict[str, Any] = reader.read_many(dict.fromkeys(reader.names))
        for name in reader.names:
            np.testing.assert_array_equal(many[name], reader.map(name))
