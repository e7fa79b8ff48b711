"""A Saver that cannot save: TensorFlow's class of error, and files, state file and list as they were."""

from __future__ import annotations

import errno
import os
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import tfsaver
from tfsaver import schemas
from tfsaver.compat import _tensorflow, _transports
from tfsaver.errors import NoSpaceError, WriteError
from tfsaver.lib import free_space

# MANY is the fewest that TensorFlow's operations move.
FEW, MANY = 3, _transports._MIN_NUM


class Program:
    """Variables, a session, a Saver, and the two checkpoints that it saved into a directory."""

    def __init__(self, tf: Any, num: int, **options: Any) -> None:
        v1 = tf.compat.v1
        self.graph = tf.Graph()
        with self.graph.as_default():
            for index in range(num):
                v1.get_variable(f"layer_{index:03d}/w", initializer=np.full(5, index, np.float32))
            self.saver = tfsaver.Saver(max_to_keep=2, **options)
            initialize = v1.global_variables_initializer()
        self.session = v1.Session(graph=self.graph)
        self.session.run(initialize)

    def start(self, directory: pathlib.Path) -> None:
        """Saves two checkpoints into an empty directory; the Saver forgets all others."""
        self.directory = directory
        self.saver.set_last_checkpoints_with_time([])
        for step in (1, 2):
            self.save(step)
        self.before = self.contents()
        self.kept = self.saver.last_checkpoints

    def save(self, step: int, **options: Any) -> None:
        self.saver.save(self.session, str(self.directory / "model"), global_step=step, **options)

    def contents(self) -> dict[str, bytes]:
        return {str(path): path.read_bytes() for path in self.directory.rglob("*") if path.is_file()}

    def assert_untouched(self) -> None:
        assert self.contents() == self.before
        assert not [path for path in self.directory.rglob("*") if path.is_dir()]
        assert self.saver.last_checkpoints == self.kept


KINDS: dict[str, tuple[int, dict[str, Any]]] = {
    "few": (FEW, {}),
    "two data files": (FEW, {"num_data_shards": 2}),
    "by operations": (MANY, {}),
    "v1": (FEW, {"write_version": schemas.SaverDef.V1}),
    "v1 in shards": (FEW, {"write_version": schemas.SaverDef.V1, "sharded": True}),
}


@pytest.fixture(scope="module", params=KINDS)
def shared_program(request: pytest.FixtureRequest, tf: Any) -> Iterator[Program]:
    num, options = KINDS[request.param]
    made = Program(tf, num, **options)
    yield made
    made.session.close()


@pytest.fixture
def program(shared_program: Program, tmp_path: pathlib.Path) -> Program:
    shared_program.start(tmp_path)
    return shared_program


@pytest.mark.parametrize("blocking", [True, False])
@pytest.mark.parametrize("step", [2, 3], ids=["over the old one", "a new one"])
def test_full_disk_is_resource_exhausted_and_changes_nothing(
    program: Program, tf: Any, monkeypatch: pytest.MonkeyPatch, step: int, blocking: bool
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(free_space, "free_space", lambda directory: 10)
        with pytest.raises(tf.errors.ResourceExhaustedError, match=r"cannot be written: No space left.* needed, 10 avail") as caught:
            program.save(step, blocking=blocking)
            program.saver.wait()
        cause = caught.value.__cause__
        while not isinstance(cause, NoSpaceError):
            assert cause is not None
            cause = cause.__cause__
    program.assert_untouched()
    # And when there is room again, all goes on.
    program.save(3)
    assert len(program.saver.last_checkpoints) == 2


@pytest.mark.parametrize("blocking", [True, False])
@pytest.mark.parametrize(
    ("name", "code", "error"),
    [
        ("writev", errno.ENOSPC, "ResourceExhaustedError"),
        ("write", errno.EDQUOT, "ResourceExhaustedError"),
        ("fsync", errno.EIO, "UnknownError"),
        ("replace", errno.EROFS, "PermissionDeniedError"),
    ],
)
def test_first_call_that_fails_is_tensorflows_error_and_changes_nothing(
    program: Program, tf: Any, monkeypatch: pytest.MonkeyPatch, name: str, code: int, error: str, blocking: bool
) -> None:
    failed: list[str] = []

    def fail_once(done: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            if not failed:
                failed.append(name)
                raise OSError(code, os.strerror(code))
            return done(*arguments)

        return call

    with monkeypatch.context() as patch:
        patch.setattr(os, name, fail_once(getattr(os, name)))
        try:
            program.save(3, blocking=blocking, write_meta_graph=False)
            program.saver.wait()
            raised: Exception | None = None
        except tf.errors.OpError as caught:
            raised = caught
    if not failed:
        # V1 files and TensorFlow's operation are not written by every call.
        assert raised is None
        return
    if "checkpoint' cannot be written" in str(raised):
        # All but the state file was written by another call, or by TensorFlow; the next test is about that.
        assert program.saver.last_checkpoints == program.kept
        return
    assert type(raised) is getattr(tf.errors, error) and os.strerror(code) in str(raised) and ".tmp" not in str(raised)
    cause: BaseException | None = raised
    while not isinstance(cause, WriteError):
        assert cause is not None
        cause = cause.__cause__
    program.assert_untouched()


@pytest.mark.parametrize("blocking", [True, False])
def test_lock_that_cannot_be_had_is_a_write_error(
    program: Program, tf: Any, monkeypatch: pytest.MonkeyPatch, blocking: bool
) -> None:
    """The descriptors may be used up, and a directory may be one that this user writes in and does not list."""
    opened = os.open

    def refuse(path: Any, flags: int, *arguments: Any, **options: Any) -> int:
        if os.path.isdir(path):
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), path)
        return opened(path, flags, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refuse)
        with pytest.raises(tf.errors.ResourceExhaustedError, match="cannot be written: Too many open files") as caught:
            program.save(3, blocking=blocking)
            program.saver.wait()
    cause: BaseException | None = caught.value
    while not isinstance(cause, WriteError):
        assert cause is not None
        cause = cause.__cause__
    program.assert_untouched()


def test_state_file_that_cannot_be_written_leaves_the_old_one_and_the_list(
    program: Program, tf: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace = os.replace

    def refuse(source: str, target: str) -> None:
        if os.path.basename(target) == "checkpoint":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), target)
        replace(source, target)

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(tf.errors.ResourceExhaustedError, match="checkpoint' cannot be written"):
        program.save(3, write_meta_graph=False)
    assert program.saver.last_checkpoints == program.kept
    found = program.contents()
    # The new checkpoint is there, whole; what was there before is as it was.
    assert {path: found[path] for path in program.before} == program.before
    assert not [path for path in found if ".tmp" in path]
    assert not tfsaver.verify(program.directory / "model-3" if (program.directory / "model-3.index").exists() else next(
        path for path in program.directory.iterdir() if path.name.startswith("model-3")
    )).problems


def test_meta_graph_is_written_whole_or_not_at_all(program: Program, tf: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    replace = os.replace
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)

    def refuse(source: str, target: str) -> None:
        if target.endswith(".meta"):
            raise OSError(errno.EIO, os.strerror(errno.EIO), target)
        replace(source, target)

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(tf.errors.UnknownError, match="model-3.meta' cannot be written"):
        program.save(3)
    assert not [path for path in program.contents() if ".tmp" in path or path.endswith("3.meta")]
    assert synced


@pytest.mark.parametrize("num", [FEW, MANY])
def test_missing_directory_is_made_and_goes_again(
    tf: Any, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, num: int
) -> None:
    program = Program(tf, num)
    monkeypatch.setattr(free_space, "free_space", lambda directory: 10)
    with program.session, pytest.raises(tf.errors.ResourceExhaustedError):
        program.saver.save(program.session, str(tmp_path / "new" / "model"))
    assert not (tmp_path / "new").exists()


def test_what_nodes_have_written_is_synced_where_it_is(tf: Any, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the nodes of a program's own builder know what they save, and TensorFlow never syncs."""
    v1 = tf.compat.v1

    class Builder(_tensorflow.BulkSaverBuilder):  # type: ignore[misc]
        """Like TensorFlow's, and not ours to second-guess."""

    with tf.Graph().as_default() as graph:
        v1.get_variable("w", initializer=np.arange(5, dtype=np.float32))
        savers = {durable: tfsaver.Saver(builder=Builder(), durable=durable) for durable in (True, False)}
        initialize = v1.global_variables_initializer()
    synced: list[str] = []
    fsync = os.fsync

    def watched(descriptor: int) -> None:
        synced.append(os.path.basename(os.readlink(f"/proc/self/fd/{descriptor}")))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", watched)
    with v1.Session(graph=graph) as session:
        session.run(initialize)
        for durable, saver in savers.items():
            synced.clear()
            saver.save(session, str(tmp_path / "model"), write_meta_graph=False, write_state=False)
            expected = ["model.data-00000-of-00001", "model.index", tmp_path.name] if durable else []
            assert synced == expected
