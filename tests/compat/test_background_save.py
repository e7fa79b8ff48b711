"""A save that goes on while the program does: the values of its moment, whole or not there, and its failure is heard."""

from __future__ import annotations

import copy
import gc
import logging
import os
import pathlib
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from tfsaver import latest_checkpoint, load_checkpoint, verify
from tfsaver.checkpoint.retention import Retention
from tfsaver.compat import _background, _save
from tfsaver.compat.v1.train import Saver
from tfsaver.errors import DataLossError, InvalidArgumentError, NoSpaceError
from tfsaver.tensor_bundle import writer
from tfsaver.tensor_bundle.writer import BundleWriter

_ROOT = pathlib.Path(__file__).parents[2]


class Gate:
    """Holds every save back before it becomes visible."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.opened = threading.Event()
        self.prefixes: list[str] = []

    def pass_through(self, prefix: str) -> None:
        self.prefixes.append(prefix)
        self.reached.set()
        assert self.opened.wait(60)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    """A gate, closed at first, before the end of every bundle."""
    gate = Gate()
    finish = BundleWriter.finish

    def held_back(self: BundleWriter) -> str:
        gate.pass_through(self.prefix)
        return finish(self)

    monkeypatch.setattr(BundleWriter, "finish", held_back)
    yield gate
    gate.opened.set()


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Callable[[BaseException], None]:
    """Has the next bundle fail at its end."""

    def arrange(error: BaseException) -> None:
        complete = writer._Shard.complete

        def fail(self: writer._Shard, durable: bool) -> None:
            monkeypatch.setattr(writer._Shard, "complete", complete)
            raise error

        monkeypatch.setattr(writer._Shard, "complete", fail)

    return arrange


@pytest.fixture
def model(tf: Any, session: Any) -> Any:
    """A resource and a reference variable and a counter, and the operation of a step that changes all of them."""
    v1 = tf.compat.v1
    resource = v1.get_variable("resource", initializer=np.zeros(1000, np.float32), use_resource=True)
    reference = v1.get_variable("reference", initializer=np.zeros(1000, np.float32), use_resource=False)
    table = v1.get_variable("table", initializer=np.zeros((10, 4), np.float32), use_resource=True)
    steps = [
        v1.assign_add(resource, np.ones(1000, np.float32)),
        v1.assign_add(reference, np.ones(1000, np.float32)),
        v1.scatter_add(table, [3], np.ones((1, 4), np.float32)),
    ]
    session.run(v1.global_variables_initializer())
    return tf.group(*steps)


def values(prefix: str) -> tuple[float, float, float]:
    with load_checkpoint(prefix) as reader:
        resource, reference, table = (reader[name] for name in ("resource", "reference", "table"))
    assert len(set(resource.tolist())) == len(set(reference.tolist())) == 1
    return resource[0], reference[0], table[3, 0]


def listing(directory: pathlib.Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_values_are_those_of_the_call(session: Any, model: Any, gate: Gate, tmp_path: pathlib.Path) -> None:
    saver = Saver(durable=False)
    session.run(model)
    path = saver.save(session, str(tmp_path / "model"), global_step=1, blocking=False)
    assert path == str(tmp_path / "model-1")
    for _ in range(3):
        session.run(model)
    gate.opened.set()
    saver.wait()
    assert values(path) == (1, 1, 1)
    session.run(model)
    saver.restore(session, path)
    again = saver.save(session, str(tmp_path / "again"))
    assert again is not None and values(again) == (1, 1, 1)


def test_session_may_be_closed_and_variables_gone(tf: Any, gate: Gate, tmp_path: pathlib.Path) -> None:
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        tf.compat.v1.get_variable("v", initializer=np.arange(5000), use_resource=True)
        session.run(tf.compat.v1.global_variables_initializer())
        saver = Saver(durable=False)
        path = saver.save(session, str(tmp_path / "model"), blocking=False)
    tf.compat.v1.reset_default_graph()
    del session
    gate.opened.set()
    saver.wait()
    assert path is not None
    with load_checkpoint(path) as reader:
        np.testing.assert_array_equal(reader["v"], np.arange(5000))


def test_nothing_is_visible_before_all_is_there(session: Any, model: Any, gate: Gate, tmp_path: pathlib.Path) -> None:
    gate.opened.set()
    saver = Saver(durable=False, max_to_keep=1)
    first = saver.save(session, str(tmp_path / "model"), global_step=1)
    before = listing(tmp_path)
    gate.opened.clear()
    gate.reached.clear()
    saver.save(session, str(tmp_path / "model"), global_step=2, blocking=False)
    assert gate.reached.wait(60)
    assert [name for name in listing(tmp_path) if ".tmp" not in name] == before
    assert latest_checkpoint(tmp_path) == first
    gate.opened.set()
    # Asking waits.
    assert saver.last_checkpoints == [str(tmp_path / "model-2")]
    assert listing(tmp_path) == [
        "checkpoint",
        "model-2.data-00000-of-00001",
        "model-2.index",
        "model-2.meta",
    ]
    assert latest_checkpoint(tmp_path) == str(tmp_path / "model-2")


@pytest.mark.parametrize("finalized", [False, True])
@pytest.mark.parametrize("options", [{}, {"strip_default_attrs": True}, {"save_debug_info": True}])
def test_files_are_those_of_a_save_that_blocks(
    session: Any, model: Any, options: Any, finalized: bool, tmp_path: pathlib.Path
) -> None:
    saver = Saver(durable=False)
    if finalized:
        session.graph.finalize()
    for name, blocking in (("a", True), ("b", False)):
        (tmp_path / name).mkdir()
        saver.save(session, str(tmp_path / name / "model"), blocking=blocking, **options)
    if not finalized:
        # What comes into the graph now is not in the file.
        session.graph.create_op("NoOp", [], [])
    saver.wait()
    assert listing(tmp_path / "a") == listing(tmp_path / "b")
    for name in listing(tmp_path / "a"):
        ours = (tmp_path / "b" / name).read_bytes()
        expected = (tmp_path / "a" / name).read_bytes()
        if name == "checkpoint":
            expected = expected.splitlines()[0].replace(b"/a/", b"/b/")
            ours = ours.splitlines()[0]
        assert ours == expected, name


def test_second_save_waits_for_the_first(session: Any, model: Any, gate: Gate, tmp_path: pathlib.Path) -> None:
    saver = Saver(durable=False)
    saver.save(session, str(tmp_path / "model"), global_step=1, blocking=False)
    assert gate.reached.wait(60)
    saved: list[Any] = []

    def save_again() -> None:
        saved.append(saver.save(session, str(tmp_path / "model"), global_step=2, blocking=False))

    thread = threading.Thread(target=save_again)
    thread.start()
    thread.join(0.05)
    assert thread.is_alive() and gate.prefixes == [str(tmp_path / "model-1")]
    gate.opened.set()
    thread.join(60)
    assert saver.last_checkpoints == [str(tmp_path / f"model-{step}") for step in (1, 2)]


def test_two_savers_never_save_to_one_prefix_at_once(session: Any, model: Any, gate: Gate, tmp_path: pathlib.Path) -> None:
    first, second = Saver(durable=False), Saver(durable=False)
    first.save(session, str(tmp_path / "model"), blocking=False)
    assert gate.reached.wait(60)
    session.run(model)
    thread = threading.Thread(target=second.save, args=(session, str(tmp_path / "." / "model")))
    thread.start()
    thread.join(0.05)
    assert thread.is_alive() and len(gate.prefixes) == 1
    gate.opened.set()
    thread.join(60)
    assert len(gate.prefixes) == 2
    assert values(str(tmp_path / "model")) == (1, 1, 1)
    first.wait()


def test_restore_waits_for_what_it_reads(session: Any, model: Any, gate: Gate, tmp_path: pathlib.Path) -> None:
    saver, other = Saver(durable=False), Saver(durable=False)
    path = saver.save(session, str(tmp_path / "model"), blocking=False)
    threading.Timer(0.05, gate.opened.set).start()
    other.restore(session, path)
    gate.opened.clear()
    path = saver.save(session, str(tmp_path / "model"), blocking=False)
    threading.Timer(0.05, gate.opened.set).start()
    saver.restore(session, path)


CALLS: dict[str, Callable[[Saver, Any, pathlib.Path], Any]] = {
    "wait": lambda saver, session, directory: saver.wait(),
    "save": lambda saver, session, directory: saver.save(session, str(directory / "next")),
    "save in the background": lambda saver, session, directory: saver.save(session, str(directory / "next"), blocking=False),
    "restore": lambda saver, session, directory: saver.restore(session, str(directory / "none")),
    "last_checkpoints": lambda saver, session, directory: saver.last_checkpoints,
    "recover": lambda saver, session, directory: saver.recover_last_checkpoints([]),
    "set": lambda saver, session, directory: saver.set_last_checkpoints_with_time([]),
}


@pytest.mark.parametrize("call", CALLS)
def test_failure_is_raised_by_the_next_call_and_once(
    call: str, tf: Any, session: Any, model: Any, failing: Any, tmp_path: pathlib.Path, caplog: Any
) -> None:
    saver = Saver(durable=False)
    kept = saver.save(session, str(tmp_path / "model"), global_step=1)
    before = listing(tmp_path)
    original = OSError(28, "No space left on device")
    failing(original)
    with caplog.at_level(logging.ERROR):
        path = saver.save(session, str(tmp_path / "model"), global_step=2, blocking=False)
        assert path == str(tmp_path / "model-2")
        with pytest.raises(
            tf.errors.ResourceExhaustedError, match=r"saving '.*model-2' in the background: .*No space"
        ) as caught:
            CALLS[call](saver, session, tmp_path)
    assert "model-2' in the background" in caplog.text
    cause = caught.value.__cause__
    assert isinstance(cause, tf.errors.ResourceExhaustedError)
    assert isinstance(cause.__cause__, NoSpaceError) and cause.__cause__.__cause__ is original
    # The checkpoint is not there, nothing of it is left, and the list is as it was.
    assert [name for name in listing(tmp_path) if name != "model-2.meta"] == before
    assert saver.last_checkpoints == [kept] and latest_checkpoint(tmp_path) == kept
    saver.wait()
    assert saver.save(session, str(tmp_path / "model"), global_step=3, blocking=False) is not None
    assert len(saver.last_checkpoints) == 2


@pytest.mark.parametrize("error", [MemoryError("much"), DataLossError("bytes"), KeyError("name"), SystemExit(3)])
def test_failure_keeps_its_class(
    error: BaseException, tf: Any, session: Any, model: Any, failing: Any, tmp_path: pathlib.Path
) -> None:
    saver = Saver(durable=False)
    failing(error)
    saver.save(session, str(tmp_path / "model"), blocking=False)
    expected = tf.errors.DataLossError if isinstance(error, DataLossError) else type(error)
    with pytest.raises(expected):
        saver.wait()
    saver.wait()
    assert listing(tmp_path) == []


def test_failure_holds_no_values(tf: Any, session: Any, model: Any, failing: Any, tmp_path: pathlib.Path) -> None:
    saver = Saver(durable=False)
    failing(OSError("gone"))
    saver.save(session, str(tmp_path / "model"), blocking=False)
    save = saver._background._current
    assert save is not None
    save.join()
    error, frames = save.error, []
    while error is not None:
        trace = error.__traceback__
        while trace is not None:
            frames.append(trace.tb_frame)
            trace = trace.tb_next
        error = error.__cause__
    assert len(frames) > 2
    held = [value for frame in frames for value in frame.f_locals.values()]
    assert not any(isinstance(value, (np.ndarray, list, BundleWriter)) for value in held)
    with pytest.raises(tf.errors.UnknownError, match="gone"):
        saver.wait()


def test_errors_of_the_call_come_at_the_call(tf: Any, session: Any, tmp_path: pathlib.Path) -> None:
    v1 = tf.compat.v1
    fresh = v1.get_variable("fresh", initializer=np.zeros(3), use_resource=True)
    saver = Saver([fresh], durable=False)
    with pytest.raises(tf.errors.FailedPreconditionError):
        saver.save(session, str(tmp_path / "model"), blocking=False)
    session.run(fresh.initializer)
    with pytest.raises(ValueError, match="Parent directory of .* doesn't exist, can't save"):
        saver.save(session, str(tmp_path / "no" / "such" / "model"), blocking=False)
    with pytest.raises(ValueError, match="latest_filename"):
        saver.save(session, str(tmp_path / "model"), latest_filename="a/b", blocking=False)
    with pytest.raises(TypeError, match="must be a Session"):
        saver.save(None, str(tmp_path / "model"), blocking=False)
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="Parent directory"):
        saver.save(session, str(tmp_path / "file" / "model"), blocking=False)
    saver.wait()
    assert listing(tmp_path) == ["file"]
    # No prefix stays taken by a save that never began.
    assert saver.save(session, str(tmp_path / "model"), blocking=False)
    assert saver.save(session, str(tmp_path / "model"))


def test_directory_that_was_made_goes_when_the_save_fails(
    tf: Any, session: Any, model: Any, failing: Any, tmp_path: pathlib.Path
) -> None:
    saver = Saver(durable=False)
    failing(OSError("gone"))
    saver.save(session, str(tmp_path / "new" / "model"), blocking=False)
    with pytest.raises(tf.errors.UnknownError, match="gone"):
        saver.wait()
    assert listing(tmp_path) == []


@pytest.mark.parametrize("version", ["V1", "V2"])
@pytest.mark.parametrize("sharded", [False, True])
def test_every_kind_of_checkpoint(
    tf: Any, session: Any, model: Any, version: str, sharded: bool, tmp_path: pathlib.Path
) -> None:
    v1 = tf.compat.v1
    number = getattr(v1.train.SaverDef, version)
    saver = Saver(durable=False, sharded=sharded, write_version=number, blocking=False)
    session.run(model)
    paths = []
    for step in range(3):
        paths.append(saver.save(session, str(tmp_path / "model"), global_step=step))
        session.run(model)
    assert saver.last_checkpoints == paths
    assert [values(path) for path in paths] == [(step, step, step) for step in (1.0, 2.0, 3.0)]
    for path in paths:
        saver.restore(session, path)


def test_tables_and_eager_variables(tf: Any, session: Any, tmp_path: pathlib.Path) -> None:
    table = tf.lookup.experimental.MutableHashTable(tf.string, tf.int64, -1, name="table")
    session.run(table.insert(["a"], np.int64([1])))
    saver = Saver({"t": table}, durable=False)
    path = saver.save(session, str(tmp_path / "model"), blocking=False)
    session.run(table.insert(["a"], np.int64([2])))
    saver.wait()
    assert path is not None
    with load_checkpoint(path) as reader:
        assert reader["t-values"].tolist() == [1]


def test_eager_values_are_those_of_the_call(tf: Any, gate: Gate, tmp_path: pathlib.Path) -> None:
    if not tf.executing_eagerly():
        pytest.skip("needs eager mode")
    variable = tf.Variable(np.zeros(1000), name="v")
    saver = Saver([variable], durable=False)
    path = saver.save(None, str(tmp_path / "model"), blocking=False)
    variable.assign_add(np.ones(1000))
    gate.opened.set()
    saver.restore(None, path)
    assert variable.numpy().tolist() == [0.0] * 1000


def test_retention_policy_goes_on_in_the_background(session: Any, model: Any, tmp_path: pathlib.Path) -> None:
    saver = Saver(durable=False, retention=Retention(last=2), blocking=False)
    for step in range(4):
        saver.save(session, str(tmp_path / "model"), global_step=step, write_meta_graph=False)
    saver.pin(str(tmp_path / "model-2"))
    assert [os.path.basename(path) for path in saver.last_checkpoints] == ["model-2", "model-3"]


def test_hooks_save_in_the_background(tf: Any, tmp_path: pathlib.Path) -> None:
    v1 = tf.compat.v1
    with tf.Graph().as_default():
        step = v1.train.get_or_create_global_step()
        weight = v1.get_variable("weight", initializer=np.zeros(1000, np.float32))
        train = tf.group(v1.assign_add(step, 1), v1.assign_add(weight, np.ones(1000, np.float32)))
        saver = Saver(durable=False, blocking=False)
        scaffold = v1.train.Scaffold(saver=saver)
        hook = v1.train.CheckpointSaverHook(str(tmp_path), save_steps=2, scaffold=scaffold)
        with v1.train.MonitoredTrainingSession(scaffold=scaffold, chief_only_hooks=[hook]) as session:
            for _ in range(7):
                session.run(train)
        saver.wait()
    latest = latest_checkpoint(tmp_path)
    assert latest == str(tmp_path / "model.ckpt-7")
    assert verify(latest).ok
    with load_checkpoint(latest) as reader:
        assert reader["global_step"] == 7


def test_copy_of_a_saver_waits_for_the_same_save(session: Any, model: Any, gate: Gate, tmp_path: pathlib.Path) -> None:
    saver = Saver(durable=False)
    saver.save(session, str(tmp_path / "model"), blocking=False)
    twin = copy.copy(saver)
    gate.opened.set()
    assert twin.last_checkpoints == saver.last_checkpoints == [str(tmp_path / "model")]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a system that forks")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_forked_process_has_no_part_in_a_save(session: Any, model: Any, gate: Gate, tmp_path: pathlib.Path) -> None:
    saver = Saver(durable=False)
    saver.save(session, str(tmp_path / "model"), blocking=False)
    assert gate.reached.wait(60)
    child = os.fork()
    if not child:
        code = 1
        try:
            saver.wait()
            _background.wait_for(str(tmp_path / "model"))
            code = 0 if saver.last_checkpoints == [] else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    gate.opened.set()
    assert saver.last_checkpoints == [str(tmp_path / "model")]
    assert verify(tmp_path / "model").ok


_PROGRAM = """
import sys, time
import numpy as np
from tests.compat.stand_ins import Session, binding
from tfsaver.compat import _background, _save
from tfsaver.compat._options import SaveOptions
from tfsaver.tensor_bundle import writer

complete = writer._Shard.complete
def fail_at_last(self, durable):
    if {fails}:
        raise OSError("the disk is gone")
    complete(self, durable)
writer._Shard.complete = fail_at_last
add = writer.BundleWriter.add
def late(self, *arguments, **options):
    # By now the main thread has ended, and no other can be started.
    main = __import__("threading").main_thread()
    while main.is_alive():
        time.sleep(0.01)
    return add(self, *arguments, **options)
writer.BundleWriter.add = late

shards = [[binding("a", np.arange(2_000_000))], [binding("b", np.arange(5))]]
write = _save.begin_save(Session(), shards, {path!r}, {path!r}, SaveOptions(durable=False), held=True)
saves = _background.BackgroundSaves()
with _background.taken({path!r}) as keep_taken:
    saves.start({path!r}, write, keep_taken())
"""


@pytest.mark.parametrize("fails", [False, True])
def test_interpreter_that_ends_waits_and_logs(fails: bool, tmp_path: pathlib.Path) -> None:
    program = _PROGRAM.format(path=str(tmp_path / "model"), fails=fails)
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=_ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    if fails:
        assert "model' in the background:" in done.stderr and "the disk is gone" in done.stderr
        assert listing(tmp_path) == []
        return
    assert done.stderr == ""
    assert verify(tmp_path / "model").ok
    with load_checkpoint(tmp_path / "model") as reader:
        assert len(reader["a"]) == 2_000_000


def test_what_is_changed_in_place_is_copied_for_a_save_that_blocks_too(
    tf: Any, session: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    v1 = tf.compat.v1
    variables = [
        v1.get_variable(f"v{index}", initializer=np.zeros(4000 * index, np.float32), use_resource=False)
        for index in (1, 2, 3)
    ]
    step = tf.group(*(v1.assign_add(variable, tf.ones_like(variable)) for variable in variables))
    session.run(v1.global_variables_initializer())
    monkeypatch.setattr(_save, "_COPIED_SIZE", 20_000)
    monkeypatch.setattr(_save, "_COPY_BUFFER_SIZE", 8192)
    finish = BundleWriter.finish

    def step_and_finish(self: BundleWriter) -> str:
        # As another thread's step, between hashing and writing.
        session.run(step)
        return finish(self)

    monkeypatch.setattr(BundleWriter, "finish", step_and_finish)
    path = Saver(durable=False).save(session, str(tmp_path / "model"))
    assert path is not None
    assert verify(path).ok
    with load_checkpoint(path) as reader:
        assert all(not reader[name].any() for name in reader)
        assert [len(reader[name]) for name in reader] == [4000, 8000, 12000]


def test_invalid_path_leaves_no_prefix_taken(session: Any, model: Any) -> None:
    with pytest.raises((TypeError, InvalidArgumentError)):
        Saver(durable=False).save(session, "", blocking=False)


def test_wait_that_was_interrupted_waits_again(tmp_path: pathlib.Path) -> None:
    may_end = threading.Event()
    saves = _background.BackgroundSaves()
    path = str(tmp_path / "model")
    with _background.taken(path) as keep_taken:
        saves.start(path, lambda: may_end.wait(60) and None, keep_taken())
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        for _ in range(3):
            signal.setitimer(signal.ITIMER_REAL, 0.02)
            with pytest.raises(KeyboardInterrupt):
                saves.wait()
    finally:
        signal.signal(signal.SIGALRM, before)
    save = saves._current
    assert save is not None and save.thread.is_alive()
    threading.Timer(0.05, may_end.set).start()
    saves.wait()
    assert save.is_done and not save.thread.is_alive()
    _background.wait_for(path)


def test_interrupt_while_the_thread_starts_leaves_the_save_done(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = threading.Thread.start
    path = str(tmp_path / "model")
    for starts in (False, True):
        done: list[int] = []

        def interrupted(self: threading.Thread, starts: bool = starts) -> None:
            if starts:
                start(self)
            raise KeyboardInterrupt

        saves = _background.BackgroundSaves()
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt), _background.taken(path) as keep_taken:
            patch.setattr(threading.Thread, "start", interrupted)
            saves.start(path, lambda done=done: done.append(1), keep_taken())  # type: ignore[misc]
        saves.wait()
        assert done == [1]
        _background.wait_for(path)


def test_prefix_of_an_owner_that_was_lost_is_free(tmp_path: pathlib.Path) -> None:
    path = str(tmp_path / "model")
    with _background.taken(path) as keep_taken:
        keep_taken()
    del keep_taken
    gc.collect()
    _background.wait_for(path)


_AT_EXIT = """
import atexit
import numpy as np

# Registered before everything else, it runs after everything else.
@atexit.register
def save():
    write = _save.begin_save(Session(), [[binding("a", np.arange(2_000_000))]], {path!r}, {path!r}, SaveOptions(durable=False), held=True)
    saves = _background.BackgroundSaves()
    with _background.taken({path!r}) as keep_taken:
        saves.start({path!r}, write, keep_taken())

from tests.compat.stand_ins import Session, binding
from tfsaver.compat import _background, _save
from tfsaver.compat._options import SaveOptions
"""


def test_save_of_an_atexit_handler_is_completed(tmp_path: pathlib.Path) -> None:
    program = _AT_EXIT.format(path=str(tmp_path / "model"))
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=_ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    with load_checkpoint(tmp_path / "model") as reader:
        assert len(reader["a"]) == 2_000_000
