"""What is salvaged from each kind of damage, and what is said of the rest."""

from __future__ import annotations

import os
import pathlib
import shutil
from typing import Any

import numpy as np
import pytest

from tests.checkpoint.test_latest_verified import flip
from tests.table.stores import build, open_table
from tfsaver import load_checkpoint, save_checkpoint
from tfsaver.checkpoint.doctor.salvage import salvage_checkpoint
from tfsaver.checkpoint.objects.object_graph import OBJECT_GRAPH_KEY, read_object_graph
from tfsaver.checkpoint.tensor_slice_writer import TensorSliceWriter
from tfsaver.checkpoint.verify import verify_checkpoint
from tfsaver.checkpoint.write_report import WriteReport
from tfsaver.errors import AlreadyExistsError, CheckpointNotFoundError, DataLossError, MissingSlicesError
from tfsaver.tensor_bundle.writer import BundleWriter

DATA = ".data-00000-of-00001"
TENSORS: dict[str, Any] = {f"w{number:02d}": np.full(100, number, np.float32) for number in range(50)}


def save(prefix: pathlib.Path, **options: Any) -> pathlib.Path:
    save_checkpoint(TENSORS, prefix, durable=False, **options)
    return prefix


def in_blocks(prefix: pathlib.Path, block_size: int = 200) -> pathlib.Path:
    """The same index cut into many blocks."""
    index = pathlib.Path(f"{prefix}.index")
    index.write_bytes(build(list(open_table(index.read_bytes()).items()), block_size=block_size))
    return index


def salvage(prefix: pathlib.Path, **options: Any) -> WriteReport:
    """Salvages, and compares what is written with what was."""
    report = salvage_checkpoint(prefix, prefix.parent / "out" / "saved", durable=False, **options)
    problems = verify_checkpoint(report.target).problems
    # What is kept in part is not whole, and verification says so.
    assert {problem.where for problem in problems} == set(report.partial)
    assert all(isinstance(problem.error, MissingSlicesError) for problem in problems)
    with load_checkpoint(report.target) as reader:
        assert set(reader) == {*saved_names(report), *report.partial}
        for name in saved_names(report):
            if name in TENSORS:
                assert np.array_equal(reader[name], TENSORS[name])
    return report


def saved_names(report: WriteReport) -> list[str]:
    return [tensor.name for tensor in report.tensors]


def test_flipped_bytes_cost_the_tensors_that_have_them(tmp_path):
    prefix = save(tmp_path / "m")
    for position in (0, 401, 402):
        flip(f"{prefix}{DATA}", position)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    report = salvage(prefix)
    assert list(report.lost) == ["w00", "w01"] and len(saved_names(report)) == 48 and report.num_bytes == 48 * 400
    assert f"bytes 400 to 800 of {prefix}{DATA}: stored CRC32C" in report.lost["w01"]
    assert not report.ok and not report.damage
    assert str(report).splitlines() == [
        f"{prefix} (V2 checkpoint) -> {report.target} (V2 checkpoint)",
        "written:   48 tensors, 19,200 bytes",
        "lost:      2 tensors",
        *(f"    {name}: {reason}" for name, reason in report.lost.items()),
    ]
    assert all(path.read_bytes() == content for path, content in before.items())


def test_sound_checkpoint_is_copied_whole(tmp_path):
    report = salvage(save(tmp_path / "m", num_shards=3))
    assert report.ok and len(saved_names(report)) == 50 and not report.notes


def test_file_that_ends_early_costs_what_was_behind_its_end(tmp_path):
    prefix = save(tmp_path / "m")
    os.truncate(f"{prefix}{DATA}", 4010)
    report = salvage(prefix)
    assert len(saved_names(report)) == 10 and len(report.lost) == 40 and "390 available" not in report.lost["w11"]


def test_missing_shard_costs_its_tensors(tmp_path):
    prefix = save(tmp_path / "m", num_shards=5)
    os.remove(f"{prefix}.data-00002-of-00005")
    report = salvage(prefix)
    assert len(saved_names(report)) == 40
    assert all("data-00002-of-00005" in reason for reason in report.lost.values())


def test_damaged_block_of_the_index_costs_its_tensors_and_a_neighbour_has_their_names(tmp_path):
    prefix = save(tmp_path / "m-2")
    save(tmp_path / "m-1")
    index = in_blocks(prefix)
    flip(index, 700)
    flip(index, 710)
    report = salvage(prefix)
    assert 30 < len(saved_names(report)) < 50 and len(report.damage) == 1 and "stored CRC32C" in report.damage[0]
    [note] = report.notes
    assert note.startswith(f"names that {tmp_path}/m-1 has and that are not found here: 'w")
    missing = set(TENSORS) - set(saved_names(report))
    assert all(repr(name) in note for name in sorted(missing)[:10])


def test_first_block_of_the_index_takes_the_header_with_it_and_the_file_names_say_the_shards(tmp_path):
    prefix = save(tmp_path / "m", num_shards=2)
    index = in_blocks(prefix)
    flip(index, 5)
    flip(index, 9)
    report = salvage(prefix)
    assert 40 < len(saved_names(report)) < 50
    assert "the header is lost: taken to be a bundle of 2 data files" in report.notes[0]
    (tmp_path / "m.data-00000-of-00003").write_bytes(b"")
    shutil.rmtree(tmp_path / "out")
    with pytest.raises(DataLossError):
        salvage_checkpoint(prefix, tmp_path / "out" / "saved")


def test_one_flipped_bit_of_the_index_costs_nothing(tmp_path):
    prefix = save(tmp_path / "m")
    flip(f"{prefix}.index", 123)
    report = salvage(prefix)
    assert len(saved_names(report)) == 50 and not report.lost and not report.damage
    assert report.notes == (f"bit 0 of byte 123 of {prefix}.index was flipped: with it put right the checksum fits",)


@pytest.mark.parametrize("size", [-1, -48, -60])
def test_index_without_its_end_loses_nothing_that_is_before(tmp_path, size):
    prefix = save(tmp_path / "m")
    index = pathlib.Path(f"{prefix}.index")
    index.write_bytes(index.read_bytes()[:size])
    report = salvage(prefix)
    assert len(saved_names(report)) == 50 and not report.lost and report.damage


def test_index_that_was_cut_off_gives_the_tensors_of_its_whole_blocks(tmp_path):
    prefix = save(tmp_path / "m")
    index = in_blocks(prefix)
    index.write_bytes(index.read_bytes()[:1000])
    report = salvage(prefix)
    assert list(saved_names(report)) == list(TENSORS)[: len(saved_names(report))] and 10 < len(saved_names(report)) < 40


def test_damaged_entry_of_a_sliced_tensor_leaves_no_strange_names(tmp_path):
    prefix = tmp_path / "m"
    with BundleWriter(prefix, durable=False) as writer:
        writer.add("a" * 150, 1.0)
        for row in range(4):
            writer.add_slice("z" * 150, (4, 2), np.s_[row : row + 1], np.full((1, 2), row))
    index = in_blocks(prefix, 10)
    index.write_bytes(index.read_bytes()[: open_table(index.read_bytes())._handles[-1].offset])
    report = salvage(prefix)
    assert list(saved_names(report)) == ["a" * 150]
    assert report.lost == {"z" * 150: "its entry in the index is lost; only slices of it are named"}


def write_partitioned(prefix: pathlib.Path) -> None:
    with BundleWriter(prefix, num_shards=2, durable=False) as writer:
        for row in range(4):
            writer.add_slice("table", (4, 3), np.s_[row : row + 1], np.full((1, 3), row), shard_id=row % 2)
        writer.add("b", np.ones(3))


def test_sound_slices_of_a_tensor_are_kept_only_when_that_is_asked_for(tmp_path):
    prefix = tmp_path / "m"
    write_partitioned(prefix)
    flip(f"{prefix}.data-00001-of-00002", 3)
    report = salvage(prefix)
    assert list(saved_names(report)) == ["b"] and list(report.lost) == ["table"]
    assert report.lost["table"].startswith("1,1:0,3: bytes 0 to 24 of ") and "(3 of its 4 slices are sound)" in report.lost["table"]
    shutil.rmtree(tmp_path / "out")
    report = salvage(prefix, keep_partial=True)
    assert list(saved_names(report)) == ["b"] and report.partial == {"table": ("1,1:0,3",)} and not report.ok
    with load_checkpoint(report.target) as reader:
        assert reader.read("table", np.s_[2:4]).tolist() == [[2, 2, 2], [3, 3, 3]]
        assert reader.read("table", np.s_[0]).tolist() == [0, 0, 0]


def test_slices_stay_slices(tmp_path):
    write_partitioned(tmp_path / "m")
    report = salvage(tmp_path / "m")
    with load_checkpoint(report.target) as reader:
        assert [str(stored) for stored in reader.info("table").slices] == [f"{row},1:0,3" for row in range(4)]
        assert reader["table"][:, 0].tolist() == [0, 1, 2, 3]


def test_damaged_block_of_v1_costs_the_tensors_in_it(tmp_path):
    path = tmp_path / "m"
    tensors = {name: np.full(50_000, number, np.float32) for number, name in enumerate("abcdef")}
    save_checkpoint(tensors, path, format="V1", durable=False)
    flip(str(path), 700_000)
    report = salvage(path)
    assert 3 <= len(saved_names(report)) < 6 and set(saved_names(report)) | set(report.lost) == set(tensors)
    with load_checkpoint(report.target) as reader:
        assert reader.version == "V2"
        assert all(np.array_equal(reader[name], tensors[name]) for name in saved_names(report))


def test_v1_that_was_cut_off_gives_the_tensors_before(tmp_path):
    path = tmp_path / "m"
    tensors = {name: np.full(100_000, number, np.float32) for number, name in enumerate("abcdef")}
    save_checkpoint(tensors, path, format="V1", durable=False)
    os.truncate(path, 1_000_000)
    report = salvage(path)
    assert list(saved_names(report)) == ["a", "b"] and list(report.lost) == ["c", "d", "e", "f"]


def test_v1_in_several_files_is_salvaged_without_one_of_them(tmp_path):
    prefix = tmp_path / "m"
    save_checkpoint(TENSORS, prefix, format="V1", num_shards=5, durable=False)
    os.remove(tmp_path / "m-00001-of-00005")
    flip(str(tmp_path / "m-00002-of-00005"), 10)
    for path in (f"{prefix}-?????-of-00005", f"{prefix}-00000-of-00005"):
        shutil.rmtree(tmp_path / "out", ignore_errors=True)
        report = salvage(pathlib.Path(path))
        assert len(saved_names(report)) == 30
        assert any("m-00001-of-00005" in each for each in report.damage) and any("m-00002-of-00005" in each for each in report.damage)
        assert report.notes == ("which other tensors there were, nothing here says",)


def test_v1_tensor_with_slices_in_a_lost_file_is_not_taken_for_whole(tmp_path):
    for shard in range(2):
        with TensorSliceWriter(tmp_path / f"m-0000{shard}-of-00002", durable=False) as writer:
            writer.add_slice("table", (4, 3), np.s_[2 * shard : 2 * shard + 2], np.full((2, 3), shard, np.float32))
            writer.add(f"b{shard}", np.ones(3))
    os.remove(tmp_path / "m-00001-of-00002")
    report = salvage(tmp_path / "m-?????-of-00002")
    assert list(saved_names(report)) == ["b0"] and report.lost["table"].startswith("6 elements are in files that are lost")
    shutil.rmtree(tmp_path / "out")
    report = salvage(tmp_path / "m-?????-of-00002", keep_partial=True)
    assert list(report.partial) == ["table"]


def test_index_that_is_missing_is_an_error_that_says_why_nothing_can_be_done(tmp_path):
    prefix = save(tmp_path / "m")
    os.remove(f"{prefix}.index")
    for path in (prefix, f"{prefix}{DATA}"):
        with pytest.raises(CheckpointNotFoundError, match="nothing else says which tensors these are"):
            salvage_checkpoint(path, tmp_path / "out" / "saved")
    assert not (tmp_path / "out").exists()


def test_nothing_that_is_sound_is_an_error_and_no_file(tmp_path):
    prefix = save(tmp_path / "m")
    os.truncate(f"{prefix}{DATA}", 0)
    with pytest.raises(DataLossError, match=r"nothing of .* can be saved: "):
        salvage_checkpoint(prefix, tmp_path / "out" / "saved")
    pathlib.Path(f"{prefix}.index").write_bytes(b"\0" * 500)
    with pytest.raises(DataLossError, match="not an sstable"):
        salvage_checkpoint(prefix, tmp_path / "out" / "saved")
    assert not (tmp_path / "out").exists()


def test_nothing_is_ever_written_over(tmp_path):
    prefix = save(tmp_path / "m")
    save(tmp_path / "other")
    os.remove(tmp_path / "other.index")
    for out in (prefix, tmp_path / "other"):
        with pytest.raises(AlreadyExistsError, match="is there already"):
            salvage_checkpoint(prefix, out)


def test_files_of_the_checkpoint_name_it_too(tmp_path):
    prefix = save(tmp_path / "m")
    for number, suffix in enumerate([".index", DATA]):
        assert salvage_checkpoint(f"{prefix}{suffix}", tmp_path / f"out{number}", durable=False).sources == (str(prefix),)


def test_dry_run_reports_and_writes_nothing(tmp_path):
    prefix = save(tmp_path / "m")
    flip(f"{prefix}{DATA}")
    calls: list[tuple[int, int]] = []
    report = salvage_checkpoint(prefix, tmp_path / "out" / "m", dry_run=True, progress=lambda *call: calls.append(call))
    assert report.target is None and len(saved_names(report)) == 49 and not (tmp_path / "out").exists()
    assert calls == [(number, 50) for number in range(1, 51)]


# Checkpoints that were written from objects.

OBJECTS = {"net": {"kernel": "kernel", "bias": "bias"}, "step": "step"}
VALUES = {"kernel": np.full((3, 4), 2.0, np.float32), "bias": np.arange(4, dtype=np.float32), "step": np.int64(7)}
KERNEL, BIAS, STEP, COUNTER = (
    f"{path}/.ATTRIBUTES/VARIABLE_VALUE" for path in ("net/kernel", "net/bias", "step", "save_counter")
)


def save_objects(prefix: pathlib.Path) -> pathlib.Path:
    save_checkpoint(VALUES, prefix, object_graph=OBJECTS, durable=False)
    return prefix


def damage(prefix: pathlib.Path, name: str) -> None:
    with load_checkpoint(prefix) as reader:
        offset = reader.info(name).pieces[0].offset
    flip(f"{prefix}{DATA}", offset)


def test_objects_are_those_of_what_is_left(tmp_path):
    prefix = save_objects(tmp_path / "m")
    damage(prefix, KERNEL)
    report = salvage(prefix)
    assert list(report.lost) == [KERNEL]
    with load_checkpoint(report.target) as reader:
        assert sorted(attribute.key for attribute in read_object_graph(reader).attributes) == [BIAS, COUNTER, STEP]


def test_objects_that_are_lost_leave_the_tensors(tmp_path):
    prefix = save_objects(tmp_path / "m")
    damage(prefix, OBJECT_GRAPH_KEY)
    report = salvage(prefix)
    assert set(saved_names(report)) == {KERNEL, BIAS, STEP, COUNTER} and list(report.lost) == [OBJECT_GRAPH_KEY]
    assert report.notes == ("the description of the objects is lost: what is saved is found by its keys alone",)


def test_objects_know_the_names_that_the_index_has_lost(tmp_path):
    prefix = save_objects(tmp_path / "m")
    index = in_blocks(prefix, 10)
    index.write_bytes(index.read_bytes()[: open_table(index.read_bytes())._handles[-1].offset])
    report = salvage(prefix)
    assert report.lost == {STEP: "its entry in the index is lost; the objects have it"}
    with load_checkpoint(report.target) as reader:
        assert sorted(attribute.key for attribute in read_object_graph(reader).attributes) == [BIAS, KERNEL, COUNTER]


def test_tensorflow_restores_what_was_salvaged(tmp_path):
    tf = pytest.importorskip("tensorflow")
    prefix = save_objects(tmp_path / "m")
    damage(prefix, KERNEL)
    report = salvage(prefix)
    assert dict(tf.train.list_variables(report.target)).keys() == set(saved_names(report))
    net = tf.Module()
    net.kernel, net.bias = tf.Variable(tf.zeros((3, 4))), tf.Variable(tf.zeros(4))
    step = tf.Variable(tf.constant(0, tf.int64))
    status = tf.train.Checkpoint(net=net, step=step).restore(report.target)
    status.expect_partial()
    assert net.bias.numpy().tolist() == [0, 1, 2, 3] and step.numpy() == 7 and not net.kernel.numpy().any()
    only = tf.Module()
    only.bias = tf.Variable(tf.zeros(4))
    tf.train.Checkpoint(net=only, step=step).restore(report.target).assert_consumed()


@pytest.mark.parametrize(
    "case",
    ["gen_partitioned_v2_sharded/model.ckpt-1", "gen_many_variables_v2/many.ckpt", "gen_tf2_object_mutable_table_and_list/ckpt-3",
     "v1_bad_half_plus_two/00000123/export", "v2_t2t_transformer_two_shards/model.ckpt-1", "sm_tfx_trained"],
)  # fmt: skip
def test_real_checkpoints_are_salvaged_whole_without_the_end_of_their_index(cases, tmp_path, case):
    with load_checkpoint(cases / case) as reader:
        path = pathlib.Path(reader.paths[0] if reader.version == "V1" else f"{reader.prefix}.index")
        shutil.copytree(path.parent, tmp_path / "copy", copy_function=shutil.copyfile)
        (tmp_path / "copy").chmod(0o755)
        copy = tmp_path / "copy" / path.name
        copy.write_bytes(copy.read_bytes()[:-1])
        report = salvage_checkpoint(copy, tmp_path / "out", durable=False)
        assert set(saved_names(report)) == set(reader.names) and not report.lost and report.damage
        with load_checkpoint(report.target) as saved:
            for name in reader.names:
                if name != OBJECT_GRAPH_KEY:
                    assert reader[name].tolist() == saved[name].tolist() or np.array_equal(reader[name], saved[name])
