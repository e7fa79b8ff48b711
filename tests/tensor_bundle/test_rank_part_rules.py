"""What parts note, which of them are one save's, and what a commit, a pending save and an abandoned one leave behind."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tfsaver
from tfsaver.errors import (
    CheckpointReplacedError,
    DataLossError,
    InvalidArgumentError,
    NotFoundError,
    SaverError,
    UnimplementedError,
)
from tfsaver.lib import file_io
from tfsaver.table.table import Table
from tfsaver.table.table_builder import TableBuilder
from tfsaver.tensor_bundle import rank_parts
from tfsaver.tensor_bundle.cleaning import header_of
from tfsaver.tensor_bundle.header import HEADER_KEY
from tfsaver.tensor_bundle.rank_parts import PendingSave, ShardWriter, parts_of, prefixes_of_parts
from tfsaver.tensor_bundle.reader import BundleReader


def write(prefix: Path, rank: int, world_size: int, save_id: str | int = 1, tensors: Any = None, **options: Any) -> str:
    with ShardWriter(prefix, rank=rank, world_size=world_size, save_id=save_id, durable=False, **options) as shard:
        for name, value in ({f"w{rank}": np.full(3, rank)} if tensors is None else tensors).items():
            shard.add(name, value)
    return str(prefix)


def commit(prefix: Path, world_size: int, save_id: str | int = 1, **options: Any) -> str:
    return rank_parts.commit(prefix, world_size=world_size, save_id=save_id, durable=False, **options)


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def values(prefix: Path) -> dict[str, Any]:
    with BundleReader(prefix) as reader:
        return {name: reader.read(name).tolist() for name in reader.names}


def head_of(path: Path) -> Any:
    class File:
        def __init__(self) -> None:
            self.path, self.data = str(path), path.read_bytes()
            self.size = len(self.data)

        def read(self, offset: int, size: int) -> bytes:
            return self.data[offset : offset + size]

        def close(self) -> None:
            pass

    return json.loads(Table(File()).first_value(HEADER_KEY) or b"")  # type: ignore[arg-type]


def said(error: type[Exception], function: Any, *arguments: Any, **options: Any) -> str:
    with pytest.raises(error) as caught:
        function(*arguments, **options)
    return str(caught.value)


def test_a_part_is_a_data_file_a_note_and_a_manifest(tmp_path: Path) -> None:
    with ShardWriter(tmp_path / "m", rank=1, world_size=3, save_id="a-1.b_2", durable=False) as shard:
        shard.add("w", np.arange(3, dtype=np.int32))
        shard.add("step", np.int64(7), replicated=True)
        shard.add("words", np.array([b"a", b"bc"], object), replicated=True)
    assert files(tmp_path) == [
        "m.data-00001-of-00003",
        "m.parts/a-1.b_2/rank-00001-of-00003",
        "m.parts/a-1.b_2/ranks-00003-as-00003",
    ]
    head = head_of(tmp_path / "m.parts/a-1.b_2/rank-00001-of-00003")
    replicas = head.pop("replicas")
    data_size = (tmp_path / "m.data-00001-of-00003").stat().st_size
    assert head == {"version": 1, "rank": 1, "world_size": 3, "num_shards": 3, "byte_order": "little", "data_size": data_size}
    assert {name: (form[:2], form[3]) for name, form in replicas.items()} == {
        "step": (["int64", []], replicas["step"][3]), "words": (["string", [2]], 0),
    }  # fmt: skip
    # The owner of a replicated tensor of a fixed size alone has its bytes.
    assert data_size == 12 + 8 * (replicas["step"][3] == 1)


def test_replicated_tensors_are_spread_over_the_ranks_and_written_once(tmp_path: Path) -> None:
    names = [f"r{number}" for number in range(12)]
    for rank in range(3):
        with ShardWriter(tmp_path / "m", rank=rank, world_size=3, save_id=1, durable=False) as shard:
            for name in names:
                shard.add(name.encode() if rank else name, np.arange(4.0), replicated=True)
            shard.add("text", ["x", "yy"], replicated=True)
    sizes = [(tmp_path / f"m.data-0000{rank}-of-00003").stat().st_size for rank in range(3)]
    assert sum(sizes) >= 12 * 32 and sum(size // 32 for size in sizes) == 12 and all(size >= 32 for size in sizes)
    commit(tmp_path / "m", 3)
    assert values(tmp_path / "m") == {**{name: [0, 1, 2, 3] for name in names}, "text": [b"x", b"yy"]}


@pytest.mark.parametrize(
    ("other", "what"),
    [
        (np.float32([1, 2]), "dtype"),
        (np.int64([[1, 2]]), "shape"),
        (np.int64([1, 3]), "values"),
        (np.array([b"a", b"b"], object), "dtype"),
    ],
)
def test_replicas_that_differ_say_in_what(tmp_path: Path, other: Any, what: str) -> None:
    for rank, value in enumerate((np.int64([1, 2]), np.int64([1, 2]), other)):
        with ShardWriter(tmp_path / "m", rank=rank, world_size=3, save_id=1, durable=False) as shard:
            shard.add("r", value, replicated=True)
    expected = f"the replicated tensor 'r' has other {what} in rank 2 than in rank 0"
    assert said(InvalidArgumentError, commit, tmp_path / "m", 3) == expected


@pytest.mark.parametrize("words", [["a", "bc"], ["ab", "c"], ["a", "b", "c"], [b"a", b"bd"]])
def test_replicated_texts_are_compared_one_by_one(tmp_path: Path, words: list[Any]) -> None:
    for rank, value in enumerate((["a", "bc"], words)):
        with ShardWriter(tmp_path / "m", rank=rank, world_size=2, save_id=1, durable=False) as shard:
            shard.add("r", value, replicated=True)
    if words == ["a", "bc"]:
        commit(tmp_path / "m", 2)
        assert values(tmp_path / "m") == {"r": [b"a", b"bc"]}
    else:
        assert "'r' has other" in said(InvalidArgumentError, commit, tmp_path / "m", 2)


def test_the_rank_that_has_a_replicas_bytes_must_have_added_it(tmp_path: Path) -> None:
    write(tmp_path / "m", 0, 2)
    with ShardWriter(tmp_path / "m", rank=1, world_size=2, save_id=1, durable=False) as shard:
        shard.add("text", ["x"], replicated=True)
    expected = "rank 0 has not added the replicated tensor 'text', which others have"
    assert said(InvalidArgumentError, commit, tmp_path / "m", 2) == expected


def test_two_ranks_must_not_have_one_tensor(tmp_path: Path) -> None:
    for rank in range(7):
        write(tmp_path / "m", rank, 7, tensors={"w": np.zeros(2)})
    expected = f"{tmp_path}/m: ranks 0, 1, 2, 3, 4 and 2 more all have 'w'; replicated=True says that it is one tensor"
    assert said(InvalidArgumentError, commit, tmp_path / "m", 7) == expected


def test_slices_of_one_tensor_are_of_one_form(tmp_path: Path) -> None:
    for other, form in (((4, 3), "float64 [4, 3]"), ((2, 4), "float64 [2, 4]")):
        for rank in range(2):
            shape, dtype = ((2, 3), np.float32) if rank == 0 else (other, np.float64)
            with ShardWriter(tmp_path / "m", rank=rank, world_size=2, save_id=1, durable=False) as shard:
                shard.add_slice("s", shape, np.s_[rank : rank + 1], np.zeros((1, shape[1]), dtype))
        text = said(InvalidArgumentError, commit, tmp_path / "m", 2)
        assert text == f"{tmp_path}/m: 's' is float32 [2, 3] in rank 0, {form} in rank 1"


def test_slices_that_leave_a_hole_or_overlap_say_who_wrote_them(tmp_path: Path) -> None:
    for rank, rows in ((0, np.s_[0:2]), (1, np.s_[3:4])):
        with ShardWriter(tmp_path / "m", rank=rank, world_size=2, save_id=1, durable=False) as shard:
            shard.add_slice("s", (4,), rows, np.zeros(rows.stop - rows.start))
    assert "tensor 's', of which ranks 0, 1 wrote slices" in said(DataLossError, commit, tmp_path / "m", 2)
    write(tmp_path / "m", 1, 2)
    assert "tensor 's', of which rank 0 wrote slices" in said(DataLossError, commit, tmp_path / "m", 2)


def test_many_entries_of_all_ranks_are_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rank_parts, "_BLOCKS_IN_RUN", 2)
    monkeypatch.setattr(rank_parts, "_BLOCK_SIZE", 64)
    expected = {}
    for rank in range(3):
        own = {f"n{number:03d}": np.int32(number) for number in range(rank, 90, 3)}
        expected.update(own)
        with ShardWriter(tmp_path / "m", rank=rank, world_size=3, save_id=1, durable=False) as shard:
            for name, value in own.items():
                shard.add(name, value)
            for number in range(0, 90, 10):
                shard.add_slice(f"n{number:03d}s", (3,), np.s_[rank : rank + 1], np.int64([10 * number + rank]))
    commit(tmp_path / "m", 3)
    found = values(tmp_path / "m")
    assert list(found) == sorted(found)
    assert found == {
        **{name: int(value) for name, value in expected.items()},
        **{f"n{number:03d}s": [10 * number + rank for rank in range(3)] for number in range(0, 90, 10)},
    }
    assert tfsaver.verify(tmp_path / "m").ok


def test_what_is_missing_is_said_with_other_worlds(tmp_path: Path) -> None:
    write(tmp_path / "m", 0, 2)
    write(tmp_path / "m", 1, 3)
    prefix = f"{tmp_path}/m, save_id '1': "
    assert said(NotFoundError, commit, tmp_path / "m", 2) == f"{prefix}rank 1 of 2 has not written a part; there are parts of world_size 3"
    assert said(NotFoundError, commit, tmp_path / "m", 4) == f"{prefix}ranks 0, 1, 2, 3 of 4 have not written a part; there are parts of world_size 2, 3"
    assert said(NotFoundError, commit, tmp_path / "m", 7, "x").endswith("save_id 'x': ranks 0, 1, 2, 3, 4 and 2 more of 7 have not written a part")


def test_a_commit_waits_no_longer_than_it_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "m", 0, 2)
    now = [100.0]
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += seconds
        if len(slept) == arrives:
            write(tmp_path / "m", 1, 2)

    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(time, "sleep", sleep)
    arrives = 0
    said(NotFoundError, commit, tmp_path / "m", 2)
    assert slept == []
    said(NotFoundError, commit, tmp_path / "m", 2, wait=6.0)
    np.testing.assert_allclose(slept, [0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 0.9])
    slept.clear()
    arrives = 2
    commit(tmp_path / "m", 2, wait=6.0)
    np.testing.assert_allclose(slept, [0.1, 0.2])


def test_pending_saves_are_those_that_no_index_names(tmp_path: Path) -> None:
    assert rank_parts.pending(tmp_path / "m") == []
    write(tmp_path / "m", 2, 3, "b")
    write(tmp_path / "m", 0, 3, "b")
    write(tmp_path / "m", 0, 2, "a")
    with ShardWriter(tmp_path / "m", rank=0, world_size=5, save_id="c", durable=False):
        pass
    (tmp_path / "m.parts/c/rank-00000-of-00005").unlink()
    (tmp_path / "m.parts/d").mkdir()
    found = rank_parts.pending(tmp_path / "m")
    assert found == [PendingSave("a", 2, (0,)), PendingSave("b", 3, (0, 2)), PendingSave("c", 5, ())]
    assert [each.missing for each in found] == [(1,), (1,), (0, 1, 2, 3, 4)]
    write(tmp_path / "m", 1, 2, "a")
    commit(tmp_path / "m", 2, "a")
    assert [each.save_id for each in rank_parts.pending(tmp_path / "m")] == ["b", "c"]


def test_saves_of_one_name_have_data_files_of_their_own(tmp_path: Path) -> None:
    for save_id in ("a", "b"):
        write(tmp_path / "m", 0, 2, save_id)
    write(tmp_path / "m", 1, 2, "a")
    numbers = {"a": 2, "b": 3}
    for save_id, number in numbers.items():
        assert (tmp_path / f"m.parts/{save_id}/ranks-00002-as-0000{number}").exists()
    assert (tmp_path / "m.data-00001-of-00002").exists() and (tmp_path / "m.data-00000-of-00003").exists()
    pending, data = parts_of(tmp_path / "m")
    assert [each.save_id for each in pending] == ["a", "b"]
    assert {Path(path).name for path in data} == {"m.data-00000-of-00002", "m.data-00001-of-00002", "m.data-00000-of-00003"}
    commit(tmp_path / "m", 2, "a")
    assert {Path(path).name for path in parts_of(tmp_path / "m")[1]} == {"m.data-00000-of-00003"}
    write(tmp_path / "m", 1, 2, "b")
    commit(tmp_path / "m", 2, "b")
    header = header_of(str(tmp_path / "m"))
    assert header is not None and (header.num_shards, header.save_id, header.replaced) == (3, "b", 2)
    assert files(tmp_path) == ["m.data-00000-of-00003", "m.data-00001-of-00003", "m.data-00002-of-00003", "m.index"]
    assert values(tmp_path / "m") == {"w0": [0, 0, 0], "w1": [1, 1, 1]}


def test_a_save_that_is_abandoned_leaves_nothing_and_what_is_committed_stays(tmp_path: Path) -> None:
    write(tmp_path / "m", 0, 1, "a")
    commit(tmp_path / "m", 1, "a")
    before = files(tmp_path)
    write(tmp_path / "m", 0, 2, "b")
    write(tmp_path / "m", 0, 3, "c")
    rank_parts.abandon(tmp_path / "m", save_id="b")
    assert [each.save_id for each in rank_parts.pending(tmp_path / "m")] == ["c"]
    rank_parts.abandon(tmp_path / "m", save_id="c")
    assert files(tmp_path) == before and not (tmp_path / "m.parts").exists()
    rank_parts.abandon(tmp_path / "m", save_id="a")
    rank_parts.abandon(tmp_path / "m", save_id="nothing")
    assert files(tmp_path) == before and values(tmp_path / "m") == {"w0": [0, 0, 0]}


def test_an_index_that_nobody_can_read_is_replaced_by_a_commit(tmp_path: Path) -> None:
    tfsaver.save_checkpoint({"old": 1}, tmp_path / "m", num_shards=2)
    (tmp_path / "m.index").write_bytes(b"no index at all, and no header of one either, however long it is")
    for rank in range(2):
        write(tmp_path / "m", rank, 2)
    assert rank_parts.pending(tmp_path / "m") == [PendingSave("1", 2, (0, 1))]
    assert {Path(path).name for path in parts_of(tmp_path / "m")[1]} >= {"m.data-00000-of-00003"}
    commit(tmp_path / "m", 2)
    header = header_of(str(tmp_path / "m"))
    assert header is not None and (header.num_shards, header.replaced) == (3, None)
    assert values(tmp_path / "m") == {"w0": [0, 0, 0], "w1": [1, 1, 1]}


def test_another_checkpoint_that_came_meanwhile_is_an_error(tmp_path: Path) -> None:
    write(tmp_path / "m", 0, 2)
    tfsaver.save_checkpoint({"other": 1}, tmp_path / "m", num_shards=2)
    write(tmp_path / "m", 1, 2)
    text = said(CheckpointReplacedError, commit, tmp_path / "m", 2)
    assert "another checkpoint was written there while its ranks began: save again under another save_id" in text


def test_prefixes_of_parts_are_those_of_directories(tmp_path: Path) -> None:
    write(tmp_path / "m", 0, 2)
    (tmp_path / "file.parts").write_bytes(b"")
    names = ["m.parts", "file.parts", "m.data-00000-of-00002", "gone.parts"]
    assert prefixes_of_parts(str(tmp_path), names) == [f"{tmp_path}/m"]


@pytest.mark.parametrize(
    ("head", "error", "sentence"),
    [
        (b"no json", DataLossError, "is not the manifest of a rank: "),
        (b"", DataLossError, "is not the manifest of a rank: "),
        (b"[]", DataLossError, "is not the manifest of a rank: "),
        (b'{"version": 1, "rank": 0}', DataLossError, "is not the manifest of a rank: KeyError('world_size')"),
        (b'{"version": 2}', UnimplementedError, "rank-00000-of-00001 is of version 2; tfsaver knows 1"),
    ],
)
def test_a_manifest_that_is_none_is_said(tmp_path: Path, head: bytes, error: type[Exception], sentence: str) -> None:
    write(tmp_path / "m", 0, 1)
    with file_io.atomic_writer(str(tmp_path / "m.parts/1/rank-00000-of-00001"), durable=False) as file:
        table = TableBuilder(file)
        table.add(HEADER_KEY, head)
        table.finish()
    assert sentence in said(error, commit, tmp_path / "m", 1)
    assert not (tmp_path / "m.index").exists()


@pytest.mark.parametrize("save_id", ["", ".", "..", "a/b", "a b", "é/", "a\n"])
def test_names_of_saves_are_names_of_directories(tmp_path: Path, save_id: str) -> None:
    expected = f"save_id {save_id!r} is not made of letters, digits, '.', '-' and '_'"
    for function in (write, commit):
        arguments = (tmp_path / "m", 0, 1, save_id) if function is write else (tmp_path / "m", 1, save_id)
        assert said(InvalidArgumentError, function, *arguments) == expected
    assert said(InvalidArgumentError, rank_parts.abandon, tmp_path / "m", save_id=save_id) == expected
    assert said(InvalidArgumentError, write, tmp_path / "m", 3, 3) == "rank 3 of world_size 3: ranks are 0 to world_size - 1"


@pytest.mark.parametrize("byte_order", ["little", "big"])
def test_parts_of_either_byte_order_are_read(tmp_path: Path, byte_order: Any) -> None:
    for rank in range(2):
        write(tmp_path / "m", rank, 2, byte_order=byte_order)
    commit(tmp_path / "m", 2)
    header = header_of(str(tmp_path / "m"))
    assert header is not None and header.byte_order == byte_order
    assert values(tmp_path / "m") == {"w0": [0, 0, 0], "w1": [1, 1, 1]}


def test_a_rank_that_writes_again_replaces_its_part(tmp_path: Path) -> None:
    write(tmp_path / "m", 0, 1, tensors={"old": np.zeros(9)})
    write(tmp_path / "m", 0, 1, tensors={"new": np.ones(2)})
    commit(tmp_path / "m", 1)
    assert values(tmp_path / "m") == {"new": [1, 1]}


def test_large_tensors_are_cut_where_all_ranks_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rank_parts, "_MAX_SLICE_SIZE", 64)
    monkeypatch.setattr(rank_parts, "_MIN_SLICE_SIZE", 16)
    rows = np.arange(16 * 8, dtype=np.float32).reshape(16, 8)
    tensors = {"large": rows, "exact": np.arange(16, dtype=np.float32), "more": np.arange(17, dtype=np.float32), "none": np.zeros((0, 9))}
    write(tmp_path / "m", 0, 1, tensors={**tensors, "text": np.array([b"x" * 100, b"y"], object)})
    commit(tmp_path / "m", 1)
    found = values(tmp_path / "m")
    assert found["text"] == [b"x" * 100, b"y"] and {name: found[name] for name in tensors} == {name: value.tolist() for name, value in tensors.items()}
    with BundleReader(tmp_path / "m") as reader:
        sizes = {name: sorted({tuple(each.resolve(value.shape).shape) for each in reader.info(name).slices}) for name, value in tensors.items()}
    assert sizes["exact"] == [] and sizes["none"] == [] and len(sizes["more"]) >= 1
    assert all(4 * np.prod(shape) <= 64 for name in ("large", "more") for shape in sizes[name])


@pytest.mark.parametrize("shape", [(16, 8), (1, 128), (128, 1), (4, 4, 8), (1000, 3), (7,)])
def test_a_grid_has_neither_large_parts_nor_too_many(shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rank_parts, "_MAX_SLICE_SIZE", 64)
    monkeypatch.setattr(rank_parts, "_MIN_SLICE_SIZE", 16)
    steps = rank_parts._grid(shape, 4)
    num_bytes = 4 * int(np.prod(shape))
    counts = [-(-length // step) for length, step in zip(shape, steps, strict=True)]
    assert all(1 <= step <= length for step, length in zip(steps, shape, strict=True))
    assert int(np.prod(counts)) <= max(-(-num_bytes // 64), num_bytes // 16)
    assert rank_parts._grid((3, 0), 4) == (3, 1)


def test_a_region_is_cut_at_multiples_of_the_steps() -> None:
    parts = list(rank_parts._cut((slice(3, 9), slice(0, 4)), (4, 2)))
    assert parts == [(a, b) for a in (slice(3, 4), slice(4, 8), slice(8, 9)) for b in (slice(0, 2), slice(2, 4))]


def test_a_slice_must_be_of_the_shape_of_its_region(tmp_path: Path) -> None:
    shard = ShardWriter(tmp_path / "m", rank=0, world_size=1, save_id=1, durable=False)
    for value in (np.zeros((2, 2)), np.zeros(3), np.zeros((0, 3)), np.zeros((1, 2, 3)), np.float64(1)):
        with pytest.raises(SaverError, match="s"):
            shard.add_slice("s", (4, 3), np.s_[0:2], value)
    shard.add_slice("s", (4, 3), np.s_[0:2], np.ones((2, 3)))
    shard.add_slice("s", (4, 3), np.s_[2:4], np.zeros((2, 3)))
    shard.finish()
    commit(tmp_path / "m", 1)
    assert values(tmp_path / "m") == {"s": [[1] * 3] * 2 + [[0] * 3] * 2}


def test_slices_of_texts_are_stored_as_they_are_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rank_parts, "_MAX_SLICE_SIZE", 16)
    monkeypatch.setattr(rank_parts, "_MIN_SLICE_SIZE", 8)
    words = np.array([b"a" * 90, b"b", b"", b"dd"] * 2, object)
    for rank in range(2):
        with ShardWriter(tmp_path / "m", rank=rank, world_size=2, save_id=1, durable=False) as shard:
            shard.add_slice("s", (8,), np.s_[4 * rank : 4 * rank + 4], words[4 * rank : 4 * rank + 4])
    commit(tmp_path / "m", 2)
    assert values(tmp_path / "m") == {"s": words.tolist()}
    with BundleReader(tmp_path / "m") as reader:
        assert len(reader.info("s").slices) == 2


def test_a_part_and_its_commit_are_durable_unless_the_caller_does_without(tmp_path: Path, synced: set[int]) -> None:
    write(tmp_path / "m", 0, 1)
    commit(tmp_path / "m", 1)
    assert not synced
    (tmp_path / "d").mkdir()
    with ShardWriter(tmp_path / "d/m", rank=0, world_size=1, save_id=1) as shard:
        shard.add("w", np.ones(2))
    paths = [tmp_path / "d", *(tmp_path / "d").rglob("*")]
    assert {path.stat().st_ino for path in paths if "ranks-" not in path.name} <= synced
    synced.clear()
    rank_parts.commit(tmp_path / "d/m", world_size=1, save_id=1)
    assert {(tmp_path / "d").stat().st_ino, (tmp_path / "d/m.index").stat().st_ino} <= synced


@pytest.mark.parametrize("is_same", [True, False])
def test_a_commit_in_a_store_that_another_overtakes_is_an_error_unless_it_is_the_same(
    is_same: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("fsspec")
    prefix: Any = f"memory://overtaken-{is_same}/m"
    write_index = rank_parts.write_index
    for save_id in ("a", "b"):
        write(prefix, 0, 1, save_id, {save_id: np.ones(1)})

    def overtaken(*arguments: Any, **options: Any) -> None:
        monkeypatch.setattr(rank_parts, "write_index", write_index)
        commit(prefix, 1, "a" if is_same else "b")
        write_index(*arguments, **options)

    monkeypatch.setattr(rank_parts, "write_index", overtaken)
    if is_same:
        assert commit(prefix, 1, "a") == prefix
    else:
        assert "another save was committed meanwhile" in said(CheckpointReplacedError, commit, prefix, 1, "a")
    assert list(values(prefix)) == ["a" if is_same else "b"]


def test_the_first_rank_alone_notes_the_names_of_data_files(tmp_path: Path) -> None:
    write(tmp_path / "m", 0, 2)
    note = tmp_path / "m.parts/1/ranks-00002-as-00002"
    before = note.stat()
    write(tmp_path / "m", 1, 2)
    assert (note.stat().st_ino, note.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    write(tmp_path / "m", 0, 3)
    assert [path.name for path in sorted((tmp_path / "m.parts/1").glob("ranks-*"))] == [note.name, "ranks-00003-as-00003"]
