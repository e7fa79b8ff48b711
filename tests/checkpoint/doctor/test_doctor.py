"""A directory of each kind of trouble: what is said of it, and what the state file is like after it was mended."""

from __future__ import annotations

import os
import pathlib
import shutil

import numpy as np
import pytest

from tests.checkpoint.test_latest_verified import DATA, flip, save
from tfsaver import latest_checkpoint, save_checkpoint
from tfsaver.checkpoint.checkpoint_state import get_checkpoint_state
from tfsaver.checkpoint.doctor.diagnosis import Diagnosis
from tfsaver.checkpoint.doctor.doctor import diagnose
from tfsaver.checkpoint.doctor.state_repair import repair_state_file
from tfsaver.checkpoint.retention_file import LedgerEntry, LedgerPage, write_ledger
from tfsaver.checkpoint.verify import verify_checkpoint
from tfsaver.errors import NotFoundError


def kinds(diagnosis: Diagnosis) -> list[str]:
    return [finding.kind for finding in diagnosis.findings]


def names(diagnosis: Diagnosis) -> list[str]:
    return [each.found.name for each in diagnosis.checkpoints]


def fix(directory: pathlib.Path, **options: bool) -> list[str]:
    """Mends the state file and returns what it lists, which must then be right."""
    before = repair_state_file(diagnose(directory, verify_all=True), durable=False, **options)
    again = diagnose(directory)
    assert not {"state-file-missing", "state-file-unreadable", "entry-moved", "entry-missing", "state-file-behind"} & set(
        kinds(again)
    )
    text = (directory / "checkpoint").read_text()
    assert str(directory) not in text
    state = get_checkpoint_state(directory)
    assert state.model_checkpoint_path == state.all_model_checkpoint_paths[-1] == latest_checkpoint(directory)
    assert len(state.all_model_checkpoint_timestamps) in (0, len(state.all_model_checkpoint_paths))
    assert state.all_model_checkpoint_timestamps or not before.is_changed
    assert verify_checkpoint(state.model_checkpoint_path).ok
    assert not repair_state_file(diagnose(directory, verify_all=True), **options).is_changed
    return [os.path.relpath(path, directory) for path in state.all_model_checkpoint_paths]


def test_sound_directory_has_nothing_wrong(tmp_path):
    save(tmp_path, 1, 2, 3)
    state = (tmp_path / "checkpoint").read_bytes()
    diagnosis = diagnose(tmp_path)
    assert diagnosis.ok and set(kinds(diagnosis)) == {"entry-absolute"}
    assert names(diagnosis) == ["model.ckpt-1", "model.ckpt-2", "model.ckpt-3"]
    assert [each.is_read for each in diagnosis.checkpoints] == [False, False, True]
    assert [each.is_sound for each in diagnose(tmp_path, verify_all=True).checkpoints] == [True] * 3
    newest = diagnosis.newest_sound
    assert newest.found.step == 3 and newest.num_tensors == 2 and newest.found.num_bytes > 4000
    assert (tmp_path / "checkpoint").read_bytes() == state
    assert fix(tmp_path) == ["model.ckpt-1", "model.ckpt-2", "model.ckpt-3"]
    assert (tmp_path / "checkpoint.old").read_bytes() == state


def test_damaged_checkpoints_are_said_with_file_bytes_and_tensors(tmp_path):
    one, two, three = save(tmp_path, 1, 2, 3)
    flip(f"{three}{DATA}")
    os.truncate(f"{two}{DATA}", 1000)
    diagnosis = diagnose(tmp_path)
    assert [each.is_sound for each in diagnosis.checkpoints] == [True, False, False]
    assert diagnosis.newest_sound.found.prefix == one
    [truncated], [flipped] = (each.damage for each in diagnosis.checkpoints[1:])
    assert (truncated.path, truncated.offset, truncated.size, truncated.tensors) == (f"{two}{DATA}", 8, 4000, ("w",))
    assert truncated.message == f"{two}{DATA} ends at byte 1000, bytes 8 to 4008 are needed; lost with it: 'w'"
    assert (flipped.path, flipped.offset, flipped.size, flipped.tensors) == (f"{three}{DATA}", 8, 4000, ("w",))
    assert [finding.where for finding in diagnosis.problems] == [two, three]
    assert f"3 checkpoints, 2 problems; {one} is the newest that is sound" in str(diagnosis)
    assert fix(tmp_path) == ["model.ckpt-1"]


def test_one_problem_of_one_checkpoint_is_said_in_the_singular(tmp_path):
    [one] = save(tmp_path, 1)
    flip(f"{one}{DATA}")
    assert ": 1 checkpoint, 1 problem; none is sound" in str(diagnose(tmp_path))


def test_file_that_ends_early_is_one_problem_however_many_tensors_it_costs(tmp_path):
    save_checkpoint({f"w{number:03d}": np.ones(10) for number in range(100)}, tmp_path / "m", durable=False)
    os.truncate(tmp_path / "m.data-00000-of-00001", 4000)
    [damage] = diagnose(tmp_path).checkpoints[0].damage
    assert len(damage.tensors) == 50 and damage.message.endswith("lost with them: 'w050', 'w051', 'w052' and 47 more")


def test_block_of_v1_is_one_problem(tmp_path):
    save_checkpoint({f"w{number}": np.full(10, number) for number in range(5)}, tmp_path / "m", format="V1", durable=False)
    flip(str(tmp_path / "m"), 300)
    [each] = diagnose(tmp_path).checkpoints
    assert len(each.damage) == 1 and each.found.version == "V1"


def test_missing_files_are_named(tmp_path):
    prefix = tmp_path / "m-1"
    save_checkpoint({"a": np.ones(9), "b": np.ones(9)}, prefix, num_shards=3, durable=False)
    os.remove(f"{prefix}.data-00001-of-00003")
    diagnosis = diagnose(tmp_path)
    [each] = diagnosis.checkpoints
    assert each.found.missing == (f"{prefix}.data-00001-of-00003",)
    assert f"{prefix}.data-00001-of-00003 is missing" in each.damage[0].message and "'b'" in each.damage[0].message
    with pytest.raises(NotFoundError, match="no checkpoint in .* is sound"):
        repair_state_file(diagnosis)
    assert not (tmp_path / "checkpoint").exists()


def test_data_without_index_and_graph_without_weights_are_said(tmp_path):
    one, two, three = save(tmp_path, 1, 2, 3)
    os.remove(f"{three}.index")
    (tmp_path / "model.ckpt-0.meta").write_bytes(b"")
    (tmp_path / "model.ckpt-2.data-00000-of-00004").write_bytes(b"")
    diagnosis = diagnose(tmp_path)
    assert diagnosis.survey.data_without_index == {three: (f"{three}{DATA}",)}
    assert diagnosis.survey.lonely_meta_graphs == [str(tmp_path / "model.ckpt-0.meta")]
    assert diagnosis.checkpoints[-1].found.stray == (f"{two}.data-00000-of-00004",)
    assert {"data-without-index", "meta-graph-alone", "stray-data", "entry-missing"} <= set(kinds(diagnosis))
    assert fix(tmp_path) == ["model.ckpt-1", "model.ckpt-2"]
    assert one


def test_meta_graph_belongs_to_its_checkpoint_and_its_absence_beside_others_is_a_remark(tmp_path):
    save(tmp_path, 1, 2)
    (tmp_path / "model.ckpt-2.meta").write_bytes(b"")
    diagnosis = diagnose(tmp_path)
    assert [each.found.meta_graph for each in diagnosis.checkpoints] == [None, str(tmp_path / "model.ckpt-2.meta")]
    assert "no-meta-graph" in kinds(diagnosis) and diagnosis.ok


def test_moved_directory_gets_relative_names(tmp_path):
    save(tmp_path / "before", 1, 2)
    (tmp_path / "before").rename(tmp_path / "after")
    diagnosis = diagnose(tmp_path / "after")
    assert kinds(diagnosis) == ["entry-moved", "entry-moved"] and not diagnosis.ok
    assert "'model.ckpt-1' is in this directory" in str(diagnosis)
    assert fix(tmp_path / "after") == ["model.ckpt-1", "model.ckpt-2"]
    (tmp_path / "after").rename(tmp_path / "again")
    assert diagnose(tmp_path / "again").ok
    assert latest_checkpoint(tmp_path / "again") == str(tmp_path / "again" / "model.ckpt-2")


def test_directory_from_windows_gets_names_that_are_right(tmp_path):
    save(tmp_path, 1, 2, state=False)
    (tmp_path / "checkpoint").write_text(r'model_checkpoint_path: "C:\\run\\model.ckpt-2"')
    assert kinds(diagnose(tmp_path)) == ["entry-moved"]
    assert fix(tmp_path) == ["model.ckpt-2"]


def test_copied_directory_no_longer_means_the_original(tmp_path):
    save(tmp_path / "old", 1, 2)
    shutil.copytree(tmp_path / "old", tmp_path / "new")
    diagnosis = diagnose(tmp_path / "new")
    assert kinds(diagnosis) == ["entry-elsewhere"] * 2 and not diagnosis.ok
    assert fix(tmp_path / "new") == ["model.ckpt-1", "model.ckpt-2"]


def test_checkpoint_in_another_directory_stays_listed(tmp_path):
    [elsewhere] = save(tmp_path / "other", 1, state=False)
    [here] = save(tmp_path / "run", 2, state=False)
    (tmp_path / "run" / "checkpoint").write_text(
        f'model_checkpoint_path: "model.ckpt-2"\nall_model_checkpoint_paths: "{elsewhere}"\n'
        'all_model_checkpoint_paths: "gone"\nall_model_checkpoint_paths: "model.ckpt-2"\n'
    )
    diagnosis = diagnose(tmp_path / "run")
    assert kinds(diagnosis) == ["entry-elsewhere", "entry-missing"]
    assert [finding.kind for finding in diagnosis.problems] == ["entry-missing"]
    repair = repair_state_file(diagnosis, durable=False)
    assert (repair.listed, repair.dropped) == ([elsewhere, here], ["gone"])
    assert list(get_checkpoint_state(tmp_path / "run").all_model_checkpoint_paths) == [
        str(tmp_path / "run" / "../other/model.ckpt-1"), here
    ]  # fmt: skip


def test_missing_state_file_is_written_with_the_newest_and_the_others_are_left_out_unless_asked_for(tmp_path):
    paths = save(tmp_path, 8, 9, 10, state=False)
    diagnosis = diagnose(tmp_path)
    assert kinds(diagnosis) == ["state-file-missing"]
    repair = repair_state_file(diagnosis, durable=False)
    assert (repair.newest, repair.kept_as, repair.unlisted) == (paths[2], None, paths[:2])
    assert fix(tmp_path) == ["model.ckpt-10"]
    assert fix(tmp_path, list_all=True) == ["model.ckpt-8", "model.ckpt-9", "model.ckpt-10"]


def test_what_is_left_of_a_damaged_state_file_is_used(tmp_path):
    save(tmp_path, 1, 2, 3)
    lines = (tmp_path / "checkpoint").read_bytes().replace(str(tmp_path).encode() + b"/", b"").splitlines(keepends=True)
    lines[0] = b"\xff\xfe model_ch\n"
    (tmp_path / "checkpoint").write_bytes(b"".join(lines[:3]) + b'all_model_checkpoint_paths: "mod')
    diagnosis = diagnose(tmp_path)
    assert kinds(diagnosis) == ["state-file-unreadable"]
    assert fix(tmp_path) == ["model.ckpt-1", "model.ckpt-2", "model.ckpt-3"]
    assert (tmp_path / "checkpoint.old").read_bytes().startswith(b"\xff\xfe")


@pytest.mark.parametrize("content", [b"", b"# nothing\n", b'last_preserved_timestamp: 5.0'])
def test_state_file_that_names_nothing_is_a_problem(tmp_path, content):
    save(tmp_path, 1, state=False)
    (tmp_path / "checkpoint").write_bytes(content)
    assert kinds(diagnose(tmp_path)) == ["state-file-unreadable"]
    assert fix(tmp_path) == ["model.ckpt-1"]


def test_earlier_state_files_are_all_kept(tmp_path):
    save(tmp_path, 1, state=False)
    for number in range(3):
        (tmp_path / "checkpoint").write_text(f'model_checkpoint_path: "gone-{number}"')
        repair_state_file(diagnose(tmp_path), durable=False)
    assert [(tmp_path / f"checkpoint.old{suffix}").read_text()[-2] for suffix in ("", "2", "3")] == ["0", "1", "2"]


def test_newer_checkpoint_than_the_state_file_says_is_a_problem_and_becomes_the_newest(tmp_path):
    save(tmp_path, 1, 2)
    save(tmp_path, 3, state=False)
    diagnosis = diagnose(tmp_path)
    assert [finding.kind for finding in diagnosis.problems] == ["state-file-behind"]
    assert fix(tmp_path) == ["model.ckpt-1", "model.ckpt-2", "model.ckpt-3"]


def test_rollback_that_the_state_file_says_is_respected(tmp_path):
    one, two = save(tmp_path, 1, 2)
    (tmp_path / "checkpoint").write_text(
        'model_checkpoint_path: "model.ckpt-1"\nall_model_checkpoint_paths: "model.ckpt-2"\n'
        'all_model_checkpoint_paths: "model.ckpt-1"\n'
    )
    diagnosis = diagnose(tmp_path)
    assert diagnosis.ok
    assert repair_state_file(diagnosis) == (
        str(tmp_path / "checkpoint"), one, [two, one], [], [], None, False
    )  # fmt: skip


def test_times_and_the_last_preserved_one_are_kept(tmp_path):
    save(tmp_path, 1, 2, state=False)
    (tmp_path / "checkpoint").write_text(
        'model_checkpoint_path: "model.ckpt-2"\nall_model_checkpoint_paths: "gone"\n'
        'all_model_checkpoint_paths: "model.ckpt-1"\nall_model_checkpoint_paths: "model.ckpt-2"\n'
        "all_model_checkpoint_timestamps: 1.5\nall_model_checkpoint_timestamps: 2.5\n"
        "all_model_checkpoint_timestamps: 3.5\nlast_preserved_timestamp: 0.5\n"
    )
    fix(tmp_path)
    state = get_checkpoint_state(tmp_path)
    assert list(state.all_model_checkpoint_timestamps) == [2.5, 3.5] and state.last_preserved_timestamp == 0.5


def test_retention_ledger_says_what_is_listed_and_what_is_pinned(tmp_path):
    save(tmp_path, 1, 2, 3, state=False)
    ledger = str(tmp_path / "checkpoint.retention.json")
    write_ledger(
        ledger,
        LedgerPage([LedgerEntry("gone", "model.ckpt", 0.5), LedgerEntry("model.ckpt-2", "model.ckpt", 7.5, is_pinned=True)]),
        durable=False,
    )
    diagnosis = diagnose(tmp_path)
    assert {"ledger-behind", "pinned"} <= set(kinds(diagnosis))
    assert fix(tmp_path) == ["model.ckpt-2", "model.ckpt-3"]
    assert get_checkpoint_state(tmp_path).all_model_checkpoint_timestamps[0] == 7.5
    pathlib.Path(ledger).write_bytes(b"{")
    assert "ledger-unreadable" in kinds(diagnose(tmp_path))


def test_other_state_file_is_mended_under_its_own_name(tmp_path):
    save(tmp_path, 1, state=False)
    (tmp_path / "best").write_text('model_checkpoint_path: "gone"')
    repair = repair_state_file(diagnose(tmp_path, "best"), durable=False)
    assert repair.path == str(tmp_path / "best") and latest_checkpoint(tmp_path, "best") == str(tmp_path / "model.ckpt-1")
    assert sorted(path.name for path in tmp_path.iterdir() if "ckpt" not in path.name) == ["best", "best.old"]


def test_v1_checkpoints_of_both_kinds_are_found_and_listed(tmp_path):
    save_checkpoint({"a": np.ones(9)}, tmp_path / "m-1", format="V1", durable=False)
    save_checkpoint({"a": np.ones(9), "b": np.ones(9)}, tmp_path / "m-2", format="V1", num_shards=2, durable=False)
    (tmp_path / "m-2.meta").write_bytes(b"")
    (tmp_path / "train-00000-of-00002").write_bytes(b"records" * 20)
    diagnosis = diagnose(tmp_path, verify_all=True)
    assert names(diagnosis) == ["m-1", "m-2-?????-of-00002"]
    assert diagnosis.checkpoints[1].found.step == 2 and diagnosis.checkpoints[1].found.meta_graph
    assert fix(tmp_path, list_all=True) == ["m-1", "m-2-?????-of-00002"]


def test_v1_checkpoint_that_lost_its_end_is_known_by_the_state_file_or_its_graph(tmp_path):
    save(tmp_path, 1, version="V1")
    os.truncate(tmp_path / "model.ckpt-1", 100)
    [each] = diagnose(tmp_path).checkpoints
    assert each.found.version == "V1" and each.damage
    os.remove(tmp_path / "checkpoint")
    assert kinds(diagnose(tmp_path)) == ["no-checkpoint"]
    (tmp_path / "model.ckpt-1.meta").write_bytes(b"")
    assert [each.found.name for each in diagnose(tmp_path).checkpoints] == ["model.ckpt-1"]


def test_leftovers_are_remarks(tmp_path):
    save(tmp_path, 1)
    (tmp_path / "model.ckpt-2.index.tempstate1").write_bytes(b"123")
    diagnosis = diagnose(tmp_path)
    assert diagnosis.ok and "leftover" in kinds(diagnosis)
    assert [each.num_bytes for each in diagnosis.survey.leftovers] == [3]


def test_checkpoint_for_newer_readers_is_said_and_not_named_as_the_newest(tmp_path):
    from tests.cli.process import change_index
    from tfsaver import schemas

    def demand_newer(key: bytes, value: bytes) -> bytes:
        header = schemas.BundleHeaderProto.FromString(value)
        header.version.min_consumer = 99
        return value if key else bytes(header.SerializeToString())

    one, two = save(tmp_path, 1, 2)
    change_index(two, demand_newer)
    diagnosis = diagnose(tmp_path)
    assert "unreadable" in kinds(diagnosis) and diagnosis.newest_sound.found.prefix == one
    assert fix(tmp_path) == ["model.ckpt-1"]


def test_empty_directory_has_no_checkpoint_and_a_missing_one_is_an_error(tmp_path, monkeypatch):
    assert kinds(diagnose(tmp_path)) == ["no-checkpoint"]
    with pytest.raises(NotFoundError, match="no directory"):
        diagnose(tmp_path / "nowhere")
    monkeypatch.chdir(tmp_path)
    save(pathlib.Path(), 1, state=False)
    assert repair_state_file(diagnose(""), durable=False).newest == "model.ckpt-1"
    assert latest_checkpoint("") == "model.ckpt-1"


@pytest.mark.parametrize(
    ("case", "kind", "listed"),
    [
        ("v1_bad_half_plus_two/00000123", ["entry-moved"], ["export"]),
        ("v2_t2t_transformer_two_shards", [], ["model.ckpt-1"]),
        ("gen_tf2_object_mutable_table_and_list", [], ["ckpt-2", "ckpt-3"]),
        ("gen_partitioned_v2_sharded", ["entry-moved"], ["model.ckpt-1"]),
        ("gen_partitioned_v1_single", ["entry-moved"], None),
        ("v2_tfx_estimator_ckpt", [], ["model.ckpt-0", "model.ckpt-999", "model.ckpt-1000"]),
        ("v2_tiny_bert_keras_bert", ["state-file-missing"], ["bert_model.ckpt"]),
    ],
)
def test_real_directories(cases, tmp_path, case, kind, listed):
    directory = tmp_path / "copy"
    shutil.copytree(cases / case, directory, copy_function=shutil.copyfile)
    directory.chmod(0o755)
    diagnosis = diagnose(directory, verify_all=True)
    assert kinds(diagnosis) == kind
    assert all(each.is_sound for each in diagnosis.checkpoints)
    assert listed is None or fix(directory) == listed


def test_tensorflow_accepts_the_state_file(tmp_path):
    tf = pytest.importorskip("tensorflow")
    save(tmp_path / "before", 1, 2, 3)
    (tmp_path / "before").rename(tmp_path / "after")
    after = tmp_path / "after"
    flip(f"{after / 'model.ckpt-3'}{DATA}")
    assert tf.train.latest_checkpoint(str(after)) is None
    assert fix(after) == ["model.ckpt-1", "model.ckpt-2"]
    assert tf.train.latest_checkpoint(str(after)) == str(after / "model.ckpt-2")
    state = tf.train.get_checkpoint_state(str(after))
    assert list(state.all_model_checkpoint_paths) == [str(after / "model.ckpt-1"), str(after / "model.ckpt-2")]
    assert tf.train.load_variable(str(after), "w")[0] == 2
