"""What salvaging says of what is lost, and which paths it takes."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import shutil
from typing import Any

import numpy as np
import pytest

import tfsaver
from tests.checkpoint.test_latest_verified import flip
from tests.table.stores import build, open_table
from tfsaver.checkpoint.checkpoint_state import update_checkpoint_state
from tfsaver.checkpoint.doctor.recovered_slices import RecoveredSlices
from tfsaver.checkpoint.doctor.salvage import salvage_checkpoint
from tfsaver.checkpoint.objects.object_graph import DESCRIPTIONS, OBJECT_GRAPH_KEY, TREE_KEY
from tfsaver.checkpoint.tensor_slice_writer import TensorSliceWriter
from tfsaver.checkpoint.write_report import Contents, WriteReport
from tfsaver.errors import CheckpointNotFoundError, DataLossError
from tfsaver.tensor_bundle.writer import BundleWriter

DATA = ".data-00000-of-00001"
TENSORS = {name: np.full(10, ord(name), np.float64) for name in "abcde"}


def save(prefix: pathlib.Path, **options: Any) -> str:
    return tfsaver.save_checkpoint(TENSORS, prefix, durable=False, **options)


def salvage(prefix: object, tmp_path: pathlib.Path, **options: Any) -> WriteReport:
    return salvage_checkpoint(prefix, tmp_path / "out" / "saved", durable=False, **options)  # type: ignore[arg-type]


def saved(report: WriteReport) -> dict[str, int]:
    """The bytes of each tensor that is whole."""
    return {tensor.name: tensor.num_bytes for tensor in report.tensors or ()}


def test_a_salvage_is_ok_only_if_nothing_is_lost_or_damaged() -> None:
    nothing = WriteReport("salvage", ("m",), None, Contents(0, 0), Contents(0, 0), notes=("note",))
    assert nothing.ok
    for fields in ({"lost": {"a": "why"}}, {"partial": {"a": ("0,1",)}}, {"damage": ("why",)}):
        assert not dataclasses.replace(nothing, **fields).ok


@pytest.mark.parametrize("format", ["V1", "V2"])
def test_sound_checkpoint_has_neither_damage_nor_notes(tmp_path: pathlib.Path, format: str) -> None:
    report = salvage(save(tmp_path / "m", format=format), tmp_path)
    assert (report.damage, report.notes, report.lost, report.partial) == ((), (), {}, {})
    assert saved(report) == dict.fromkeys(TENSORS, 80)


def test_where_nothing_is_sound_the_first_reasons_are_given(tmp_path: pathlib.Path) -> None:
    prefix = save(tmp_path / "m")
    for number in range(5):
        flip(f"{prefix}{DATA}", 80 * number)
    with pytest.raises(DataLossError) as caught:
        salvage(prefix, tmp_path)
    said = str(caught.value)
    assert said.startswith(f"nothing of {prefix} can be saved: ")
    assert said.count("stored CRC32C") == 3 and said.count("; ") == 2
    with BundleWriter(tmp_path / "empty", durable=False):
        pass
    with pytest.raises(DataLossError, match="empty can be saved: it holds no tensors"):
        salvage(tmp_path / "empty", tmp_path)


@pytest.mark.parametrize("suffix", ["", ".index", DATA])
def test_v2_checkpoint_is_found_by_its_files(tmp_path: pathlib.Path, suffix: str) -> None:
    assert len(saved(salvage(save(tmp_path / "m") + suffix, tmp_path))) == 5


@pytest.mark.parametrize("format", ["V1", "V2"])
def test_directory_is_its_latest_checkpoint(tmp_path: pathlib.Path, format: str) -> None:
    prefix = save(tmp_path / "run" / "m-1", format=format)
    update_checkpoint_state(tmp_path / "run", prefix, durable=False)
    report = salvage(tmp_path / "run", tmp_path)
    assert report.sources == (prefix,) and len(saved(report)) == 5


def test_v1_shards_are_found_by_one_of_them(tmp_path: pathlib.Path) -> None:
    pattern = save(tmp_path / "m", format="V1", num_shards=3)
    os.remove(tmp_path / "m-00001-of-00003")
    for spelled in (pattern, str(tmp_path / "m-00000-of-00003"), str(tmp_path / "m-00001-of-00003")):
        report = salvage(spelled, tmp_path)
        assert report.sources == (pattern,)
        assert len(saved(report)) in (3, 4) and any("m-00001-of-00003" in each for each in report.damage)
        shutil.rmtree(tmp_path / "out")


def test_data_without_an_index_are_named_in_the_error(tmp_path: pathlib.Path) -> None:
    prefix = save(tmp_path / "m", num_shards=2)
    os.remove(f"{prefix}.index")
    with pytest.raises(CheckpointNotFoundError) as caught:
        salvage(prefix, tmp_path)
    assert list(caught.value.looked_for) == [f"{prefix}.index"]
    assert "'m.data-00000-of-00002', 'm.data-00001-of-00002' without it" in str(caught.value)


def test_v1_of_which_no_file_opens_is_the_first_error(tmp_path: pathlib.Path) -> None:
    paths = [str(tmp_path / "m-00000-of-00002"), str(tmp_path / "m-00001-of-00002")]
    for path in paths:
        pathlib.Path(path).write_bytes(b"nothing" * 20)
    before = len(os.listdir("/dev/fd"))
    with pytest.raises(DataLossError, match="m-00000-of-00002"):
        RecoveredSlices("m", paths)
    assert len(os.listdir("/dev/fd")) <= before


def test_file_that_is_given_up_leaves_the_slices_of_the_others(tmp_path: pathlib.Path) -> None:
    paths = [str(tmp_path / f"m-0000{number}-of-00002") for number in range(2)]
    with TensorSliceWriter(paths[0], durable=False) as writer:
        writer.add_slice("w", (4,), np.s_[:2], np.zeros(2, np.float32))
        writer.add("own0", np.ones(1))
    # The second file contradicts the first one in the last tensor that it lists.
    with TensorSliceWriter(paths[1], durable=False) as writer:
        writer.add("own1", np.ones(1))
        writer.add_slice("w", (4,), np.s_[2:], np.zeros(2, np.float32))
        writer.add_slice("z", (4,), np.s_[2:], np.zeros(2, np.float32))
    with TensorSliceWriter(paths[0], durable=False) as writer:
        writer.add_slice("w", (4,), np.s_[:2], np.zeros(2, np.float32))
        writer.add_slice("z", (5,), np.s_[:2], np.zeros(2, np.float32))
        writer.add("own0", np.ones(1))
    recovered = RecoveredSlices("m", paths)
    try:
        assert recovered.paths == paths[:1] and len(recovered.damage) == 1
        assert sorted(recovered.tensors) == ["own0", "w", "z"]
        assert [str(each) for each in recovered.tensors["w"].slices] == ["0,2"]
        assert [(str(piece), size, error) for piece, size, error in recovered.check("w")] == [("0,2", 8, None)]
        assert [(piece, size) for piece, size, _ in recovered.check("own0")] == [(None, 8)]
    finally:
        recovered.close()


def test_slices_of_which_some_are_lost_are_counted(tmp_path: pathlib.Path) -> None:
    with BundleWriter(tmp_path / "m", num_shards=2, durable=False) as writer:
        writer.add_slice("w", (4,), np.s_[:2], np.zeros(2))
        writer.add_slice("w", (4,), np.s_[2:], np.zeros(2), shard_id=1)
        writer.add("x", np.zeros(1))
    flip(str(tmp_path / "m.data-00001-of-00002"), 0)
    report = salvage(tmp_path / "m", tmp_path)
    assert list(saved(report)) == ["x"]
    assert report.lost["w"].startswith("2,2: ") and report.lost["w"].endswith(" (1 of its 2 slices are sound)")
    shutil.rmtree(tmp_path / "out")
    report = salvage(tmp_path / "m", tmp_path, keep_partial=True)
    assert report.partial == {"w": ("2,2",)} and not report.lost


def test_names_that_another_checkpoint_of_the_series_has_are_told(tmp_path: pathlib.Path) -> None:
    for step in (1, 2):
        save(tmp_path / f"m-{step}")
    tfsaver.save_checkpoint({"other": np.ones(1)}, tmp_path / "unrelated-1", durable=False)
    index = tmp_path / "m-2.index"
    entries = list(open_table(index.read_bytes()).items())
    data = bytearray(build(entries, block_size=1))
    position = data.index(entries[2][1])
    data[position : position + 2] = b"\xff\xff"
    index.write_bytes(data)
    report = salvage(tmp_path / "m-2", tmp_path)
    assert sorted(saved(report)) == ["a", "c", "d", "e"]
    assert report.notes == (f"names that {tmp_path / 'm-1'} has and that are not found here: 'b'",)


def test_noted_structure_goes_where_tensors_are_lost(tmp_path: pathlib.Path) -> None:
    prefix = tfsaver.save({"a": np.ones(10), "b": [np.ones(10)]}, tmp_path / "m", durable=False)
    sound = salvage(prefix, tmp_path)
    assert TREE_KEY in saved(sound) and not sound.notes
    loaded = tfsaver.load(sound.target)
    assert sorted(loaded) == ["a", "b"] and isinstance(loaded["b"], list)
    shutil.rmtree(tmp_path / "out")
    with tfsaver.load_checkpoint(prefix) as reader:
        info = next(info for info in reader.infos() if info.name not in DESCRIPTIONS)
        name, offset = info.name, info.pieces[0].offset
    assert offset is not None
    flip(f"{prefix}{DATA}", offset)
    report = salvage(prefix, tmp_path)
    assert name in report.lost and TREE_KEY not in saved(report)
    assert report.notes == ("the structure that tfsaver.save noted may name what is lost, and went",)


@pytest.mark.parametrize("value", [b"\xff\xff", np.ones(3)])
def test_description_of_objects_that_cannot_be_read_is_lost_and_the_tensors_stay(tmp_path: pathlib.Path, value: Any) -> None:
    tfsaver.save_checkpoint({**TENSORS, OBJECT_GRAPH_KEY: value}, tmp_path / "m", durable=False)
    report = salvage(tmp_path / "m", tmp_path)
    assert sorted(saved(report)) == sorted(TENSORS) and list(report.lost) == [OBJECT_GRAPH_KEY]


def test_progress_counts_the_tensors(tmp_path: pathlib.Path) -> None:
    told: list[tuple[int, int]] = []
    salvage(save(tmp_path / "m"), tmp_path, progress=lambda done, total: told.append((done, total)))
    assert told == [(number, 5) for number in range(1, 6)]
