"""A program that is started again goes on from the newest checkpoint that is whole."""

from __future__ import annotations

import logging
import os
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tfsaver
from tfsaver import latest_checkpoint, save_checkpoint
from tfsaver.checkpoint.checkpoint_management import get_checkpoint_state, update_checkpoint_state
from tfsaver.compat import patch_tensorflow
from tfsaver.compat.v1 import train
from tfsaver.lib import file_io
from tfsaver.lib.local_file_system import LocalRandomAccessFile

DATA = ".data-00000-of-00001"


@pytest.fixture
def variables(tf: Any, session: Any) -> list[Any]:
    v1 = tf.compat.v1
    made = [v1.get_variable("w", initializer=np.zeros(1000, np.float32)), v1.get_variable("step", initializer=np.int64(0))]
    session.run([variable.initializer for variable in made])
    return made


@pytest.fixture
def directory(tmp_path: pathlib.Path, session: Any, variables: list[Any]) -> pathlib.Path:
    """Three checkpoints, of steps 1, 2 and 3."""
    saver = train.Saver(durable=False)
    for step in (1, 2, 3):
        put(session, variables, step)
        saver.save(session, tmp_path / "model.ckpt", step)
    put(session, variables, 0)
    return tmp_path


def put(session: Any, variables: list[Any], step: int) -> None:
    variables[0].load(np.full(1000, step, np.float32), session)
    variables[1].load(np.int64(step), session)


def step_in(session: Any, variables: list[Any]) -> int:
    weights, step = session.run(variables)
    assert (weights == step).all()
    return int(step)


def flip(path: pathlib.Path) -> None:
    data = bytearray(path.read_bytes())
    data[20] ^= 1
    path.write_bytes(data)


def cut(path: pathlib.Path) -> None:
    os.truncate(path, 50)


def remove(path: pathlib.Path) -> None:
    os.remove(path)


DAMAGE: list[tuple[str, Callable[[pathlib.Path], None], str]] = [
    (DATA, flip, "stored CRC32C"),
    (DATA, cut, "wanted"),
    (DATA, remove, "its data shard 0 is not"),
    (".index", flip, "of {directory}/model.ckpt-3.index"),
    (".index", cut, "."),
    (".index", remove, "no checkpoint at"),
]
IDS = [f"{how.__name__}{suffix[:6]}" for suffix, how, _ in DAMAGE]


def test_newest_checkpoint_is_restored_without_a_word(
    session: Any, variables: list[Any], directory: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "tfsaver")
    saver = train.Saver(durable=False)
    assert saver.restore_latest(session, directory) == str(directory / "model.ckpt-3")
    assert step_in(session, variables) == 3
    assert saver.last_checkpoints == [str(directory / f"model.ckpt-{step}") for step in (1, 2, 3)]
    assert not caplog.records


@pytest.mark.parametrize(("suffix", "how", "why"), DAMAGE, ids=IDS)
def test_damaged_one_is_skipped_and_named(
    session: Any,
    variables: list[Any],
    directory: pathlib.Path,
    caplog: pytest.LogCaptureFixture,
    suffix: str,
    how: Callable[[pathlib.Path], None],
    why: str,
) -> None:
    caplog.set_level(logging.WARNING, "tfsaver")
    how(directory / f"model.ckpt-3{suffix}")
    saver = train.Saver(durable=False)
    assert saver.restore_latest(session, directory) == str(directory / "model.ckpt-2")
    assert step_in(session, variables) == 2
    first, last = (record.getMessage() for record in caplog.records)
    assert first.startswith(f"{directory}/model.ckpt-3 is skipped: ") and why.format(directory=directory) in first
    assert last == f"{directory}/model.ckpt-2 is the newest checkpoint that is whole"


def test_damaged_one_is_the_first_to_be_removed_by_the_saves_that_follow(
    session: Any, variables: list[Any], directory: pathlib.Path
) -> None:
    flip(directory / f"model.ckpt-3{DATA}")
    saver = train.Saver(max_to_keep=3, durable=False)
    saver.restore_latest(session, directory)
    saver.save(session, directory / "model.ckpt", 4)
    assert saver.last_checkpoints == [str(directory / f"model.ckpt-{step}") for step in (1, 2, 4)]
    assert not (directory / "model.ckpt-3.index").exists()


def test_each_byte_is_read_once(session: Any, directory: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    num_read: dict[str, int] = {}
    opened: set[str] = set()
    open_for_reading = file_io.open_for_reading

    def noting(path: str, *options: Any) -> Any:
        opened.add(os.path.basename(path))
        return open_for_reading(path, *options)

    readinto = LocalRandomAccessFile.readinto

    def counting(self: LocalRandomAccessFile, offset: int, buffer: memoryview) -> int:
        name = os.path.basename(self.path)
        num_read[name] = num_read.get(name, 0) + len(buffer)
        return readinto(self, offset, buffer)

    monkeypatch.setattr(LocalRandomAccessFile, "readinto", counting)
    monkeypatch.setattr(file_io, "open_for_reading", noting)
    train.Saver(durable=False).restore_latest(session, directory)
    assert num_read == {f"model.ckpt-3{DATA}": 4008}
    # The others are not even looked at.
    assert opened == {"checkpoint", "model.ckpt-3.index", f"model.ckpt-3{DATA}"}


def test_nothing_there_is_none_and_nothing_changes(session: Any, variables: list[Any], tmp_path: pathlib.Path) -> None:
    put(session, variables, 7)
    assert train.Saver().restore_latest(session, tmp_path) is None
    assert train.Saver().restore_latest(session, tmp_path / "nowhere") is None
    assert step_in(session, variables) == 7


def test_nothing_whole_is_an_error_that_names_all(
    tf: Any, session: Any, variables: list[Any], directory: pathlib.Path
) -> None:
    for step in (1, 2, 3):
        flip(directory / f"model.ckpt-{step}{DATA}")
    with pytest.raises(tf.errors.DataLossError, match="none of the checkpoints") as caught:
        train.Saver().restore_latest(session, directory)
    assert all(f"model.ckpt-{step}: " in str(caught.value) for step in (1, 2, 3))
    assert step_in(session, variables) == 0


def test_checkpoint_that_does_not_fit_is_an_error_and_no_reason_to_fall_back(
    tf: Any, session: Any, directory: pathlib.Path
) -> None:
    more = tf.compat.v1.get_variable("more", initializer=np.float32(5))
    session.run(more.initializer)
    with pytest.raises(tf.errors.NotFoundError, match="more"):
        train.Saver().restore_latest(session, directory)
    assert train.Saver().restore_latest(session, directory, strict=False) == str(directory / "model.ckpt-3")
    assert session.run(more) == 5


def test_without_a_state_file_the_directory_is_looked_through(
    session: Any, variables: list[Any], directory: pathlib.Path
) -> None:
    (directory / "checkpoint").unlink()
    saver = train.Saver(durable=False)
    assert saver.restore_latest(session, directory) == str(directory / "model.ckpt-3")
    assert saver.last_checkpoints == [str(directory / "model.ckpt-3")]


def test_many_small_variables_fall_back_too(tf: Any, session: Any, tmp_path: pathlib.Path) -> None:
    v1 = tf.compat.v1
    many = [v1.get_variable(f"v{number}", initializer=np.float32(0)) for number in range(200)]
    session.run(v1.global_variables_initializer())
    saver = train.Saver(durable=False)
    for step in (1, 2):
        session.run([variable.assign(np.float32(step)) for variable in many])
        saver.save(session, tmp_path / "model.ckpt", step)
    flip(tmp_path / f"model.ckpt-2{DATA}")
    assert saver.restore_latest(session, tmp_path) == str(tmp_path / "model.ckpt-1")
    assert set(session.run(many)) == {1.0}


def test_program_that_names_the_checkpoint_falls_back_where_it_was_asked_for(
    tf: Any, session: Any, variables: list[Any], directory: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "tfsaver")
    flip(directory / f"model.ckpt-3{DATA}")
    with patch_tensorflow(), pytest.raises(tf.errors.DataLossError):
        tf.compat.v1.train.Saver().restore(session, str(directory / "model.ckpt-3"))
    with patch_tensorflow(fall_back=True):
        tf.compat.v1.train.Saver().restore(session, str(directory / "model.ckpt-3"))
        assert step_in(session, variables) == 2
        # Never a newer one.
        flip(directory / f"model.ckpt-1{DATA}")
        with pytest.raises(tf.errors.DataLossError, match="model.ckpt-1"):
            tf.compat.v1.train.Saver().restore(session, str(directory / "model.ckpt-1"))
    messages = [record.getMessage() for record in caplog.records]
    assert messages[0].startswith(f"{directory}/model.ckpt-3 is skipped: ")
    assert messages[1] == f"{directory}/model.ckpt-2 is restored in the place of {directory}/model.ckpt-3, which cannot be"
    with pytest.raises(tf.errors.DataLossError):
        train.Saver().restore(session, directory / "model.ckpt-3")


def test_monitored_session_goes_on_from_the_one_before(
    tf: Any, directory: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    flip(directory / f"model.ckpt-3{DATA}")
    with patch_tensorflow(fall_back=True), tf.Graph().as_default():
        v1 = tf.compat.v1
        v1.get_variable("w", initializer=np.zeros(1000, np.float32))
        step = v1.get_variable("step", initializer=np.int64(0))
        scaffold = v1.train.Scaffold(saver=v1.train.Saver(durable=False))
        creator = v1.train.ChiefSessionCreator(scaffold, checkpoint_dir=str(directory))
        with v1.train.MonitoredSession(creator) as session:
            assert session.run(step) == 2
    assert "model.ckpt-3 is skipped" in caplog.text


def test_state_file_lists_what_it_listed(session: Any, directory: pathlib.Path) -> None:
    saver = train.Saver(durable=False)
    saver.restore_latest(session, directory)
    saver.save(session, directory / "model.ckpt", 4)
    state = get_checkpoint_state(directory)
    assert state is not None
    assert [path[-1] for path in state.all_model_checkpoint_paths] == ["1", "2", "3", "4"]
    assert latest_checkpoint(directory, verified=True) == str(directory / "model.ckpt-4")


def test_restore_of_a_directory_takes_the_newest_that_is_whole(
    tf: Any, tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    prefixes = [str(tmp_path / f"model.ckpt-{step}") for step in (1, 2, 3)]
    for step, prefix in enumerate(prefixes, 1):
        save_checkpoint({"w": np.full(1000, step, np.float32)}, prefix, durable=False)
        update_checkpoint_state(tmp_path, prefix, prefixes[:step], durable=False)
    variable = tf.Variable(np.zeros(1000, np.float32), name="w")
    report = tfsaver.restore({"w": variable}, tmp_path, verified=True)
    assert report.checkpoint == prefixes[2] and (variable.numpy() == 3).all()
    flip(tmp_path / f"model.ckpt-3{DATA}")
    with pytest.raises(tfsaver.SaverError, match="stored CRC32C"):
        tfsaver.restore({"w": variable}, tmp_path)
    report = tfsaver.restore({"w": variable}, tmp_path, verified=True)
    assert report.checkpoint == prefixes[1] and (variable.numpy() == 2).all()
    assert "model.ckpt-3 is skipped" in caplog.text
    other = tf.Variable(np.zeros(7, np.float32), name="w")
    with pytest.raises(tfsaver.SaverError, match="shape"):
        tfsaver.restore({"w": other}, tmp_path, verified=True)
    with pytest.raises(ValueError, match="is for a directory"):
        tfsaver.restore({"w": variable}, prefixes[1], verified=True)
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="it has none"):
        tfsaver.restore({"w": variable}, tmp_path / "empty", verified=True)


@pytest.mark.parametrize(
    "options",
    [{"write_version": 1}, {"write_version": 1, "sharded": True}, {"sharded": True}, {"num_data_shards": 2}],
    ids=str,
)
def test_checkpoints_of_every_form_fall_back(
    session: Any, variables: list[Any], tmp_path: pathlib.Path, options: dict[str, Any]
) -> None:
    saver = train.Saver(durable=False, **options)
    paths = []
    for step in (1, 2):
        put(session, variables, step)
        paths.append(saver.save(session, tmp_path / "model.ckpt", step))
    victim = next(path for path in sorted(tmp_path.iterdir()) if "-2" in path.name and path.suffix != ".meta")
    flip(victim)
    put(session, variables, 0)
    assert train.Saver(durable=False, **options).restore_latest(session, tmp_path) == paths[0]
    assert step_in(session, variables) == 1
    with patch_tensorflow(fall_back=True):
        put(session, variables, 0)
        saver.restore(session, paths[1])
        assert step_in(session, variables) == 1


@pytest.mark.parametrize(
    "content",
    [
        None,
        b"",
        b"\x00" * 40,
        b'\xef\xbb\xbfmodel_checkpoint_path: "model.ckpt-3"\n',
        b'model_checkpoint_path: "/elsewhere/run/model.ckpt-3"\n',
        b'model_checkpoint_path: "gs://bucket/run/model.ckpt-3"\n',
        b'model_checkpoint_path: "."\n',
        b'model_checkpoint_path: "model.ckpt-9"\n',
    ],
    ids=["gone", "empty", "garbage", "byte order mark", "moved", "a URL", "a directory", "names what is gone"],
)
def test_patched_programs_never_start_anew_over_checkpoints(
    tf: Any, session: Any, variables: list[Any], directory: pathlib.Path, content: bytes | None
) -> None:
    from tensorflow.python.checkpoint import checkpoint_management

    (directory / "checkpoint").unlink()
    if content is not None:
        (directory / "checkpoint").write_bytes(content)
    newest = str(directory / "model.ckpt-3")
    theirs = (tf.train.get_checkpoint_state, tf.train.latest_checkpoint, checkpoint_management.get_checkpoint_state)
    with patch_tensorflow(fall_back=True):
        assert tf.train.get_checkpoint_state(str(directory)).model_checkpoint_path == newest
        assert tf.train.latest_checkpoint(str(directory)) == newest
        manager = tf.compat.v1.train.SessionManager()
        graph_session, is_restored = manager._restore_checkpoint("", tf.compat.v1.train.Saver(), str(directory))
        assert is_restored and step_in(graph_session, variables) == 3
        graph_session.close()
        flip(directory / f"model.ckpt-3{DATA}")
        # It restores by no Saver, which would go on to the one before.
        managed = tf.train.CheckpointManager(tf.train.Checkpoint(), str(directory), max_to_keep=3)
        assert managed.latest_checkpoint == str(directory / "model.ckpt-2")
    assert theirs == (tf.train.get_checkpoint_state, tf.train.latest_checkpoint, checkpoint_management.get_checkpoint_state)


def test_patched_program_is_told_when_no_checkpoint_is_sound(tf: Any, directory: pathlib.Path) -> None:
    (directory / "checkpoint").unlink()
    for step in (1, 2, 3):
        flip(directory / f"model.ckpt-{step}{DATA}")
    with patch_tensorflow(fall_back=True), pytest.raises(tf.errors.DataLossError, match="none of the checkpoints"):
        tf.train.get_checkpoint_state(str(directory))
    empty = directory / "empty"
    empty.mkdir()
    with patch_tensorflow(fall_back=True):
        assert tf.train.get_checkpoint_state(str(empty)) is None and tf.train.latest_checkpoint(str(empty)) is None


def write_part(directory: pathlib.Path, name: str, rows: slice, step: int) -> None:
    with tfsaver.BundleWriter(directory / name, durable=False) as writer:
        writer.add_slice("w", (1000,), (rows,), np.full(1000, step, np.float32)[rows])
        writer.add("step", np.int64(step))


def test_part_that_a_rank_has_written_is_never_chosen(
    tf: Any, session: Any, variables: list[Any], directory: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    for rank in range(3):
        write_part(directory, f"model.ckpt-4.part-{rank}", slice(250 * rank, 250 * (rank + 1)), 4)
        write_part(directory, f"model.ckpt-{5 + rank}", slice(250 * rank, 250 * (rank + 1)), 5 + rank)
    os.remove(directory / "checkpoint")
    newest = str(directory / "model.ckpt-3")
    # Also where all that is wanted is there.
    for saver in (train.Saver(), train.Saver(variables[1:])):
        put(session, variables, 0)
        assert saver.restore_latest(session, directory) == newest
        assert int(session.run(variables[1])) == 3
    assert "a part of a checkpoint: tensor 'w'" in caplog.text
    for options in ({"strict": False}, {"cast": True}):
        assert train.Saver().restore_latest(session, directory, **options) == newest
    with tf.init_scope(), tf.Graph().as_default(), tf.compat.v1.Session() as other:
        w = tf.compat.v1.get_variable("w", [1000])
        tfsaver.restore({"w": w}, directory, verified=True, session=other)
        assert (other.run(w) == 3).all()
    train.update_checkpoint_state(directory, directory / "model.ckpt-6")
    with patch_tensorflow(fall_back=True):
        assert tf.train.latest_checkpoint(str(directory)) == newest
        assert tf.compat.v1.train.get_checkpoint_state(str(directory)).model_checkpoint_path == newest
