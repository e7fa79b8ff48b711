"""Ours in the place of TensorFlow's, and everything as it was afterwards."""

from __future__ import annotations

import pathlib
import subprocess
import sys
import types
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import tfsaver.compat
from tfsaver.compat import patch_tensorflow, patching
from tfsaver.compat.v1 import train
from tfsaver.errors import InvalidArgumentError


@pytest.fixture
def saver_module(tf: Any) -> Any:
    from tensorflow.python.training import saver

    return saver


@pytest.fixture(autouse=True)
def nothing_stays_replaced(tf: Any, saver_module: Any) -> Iterator[None]:
    original = saver_module.Saver
    assert original is not train.Saver
    yield
    assert saver_module.Saver is original is tf.compat.v1.train.Saver


def test_every_name_is_ours_inside_and_theirs_afterwards(tf: Any, saver_module: Any) -> None:
    names = ("Saver", *patching._COMPANIONS)
    before = {name: getattr(tf.compat.v1.train, name) for name in names}
    with patch_tensorflow() as patch:
        assert patch.is_on
        for name in names:
            assert getattr(tf.compat.v1.train, name) is getattr(train, name), name
        assert saver_module.Saver is train.Saver
        assert tf.train.latest_checkpoint is train.latest_checkpoint
    assert {name: getattr(tf.compat.v1.train, name) for name in names} == before
    assert tf.train.latest_checkpoint is before["latest_checkpoint"]
    assert not patch.is_on


def test_all_modules_hold_the_very_same_objects_afterwards(tf: Any) -> None:
    tf.compat.v1.train.Saver  # noqa: B018

    def everything() -> dict[tuple[str, str], int]:
        return {
            (name, attribute): id(value)
            for name, module in list(sys.modules.items())
            if isinstance(module, types.ModuleType) and name.startswith(("tensorflow", "keras", "tests"))
            for attribute, value in list(vars(module).items())
            if callable(value)
        }

    with patch_tensorflow():
        pass
    before = everything()
    with patch_tensorflow():
        assert everything() != before
    assert everything() == before


def test_internal_modules_keep_their_companions(tf: Any) -> None:
    from tensorflow.python.checkpoint import checkpoint_management
    from tensorflow.python.training import checkpoint_utils, py_checkpoint_reader

    before = (
        checkpoint_management.latest_checkpoint,
        checkpoint_utils.list_variables,
        py_checkpoint_reader.NewCheckpointReader,
    )
    with patch_tensorflow():
        assert before == (
            checkpoint_management.latest_checkpoint,
            checkpoint_utils.list_variables,
            py_checkpoint_reader.NewCheckpointReader,
        )


def test_module_that_had_imported_the_saver_gets_ours(tf: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    program = types.ModuleType("some_program")
    program.TheSaver = tf.compat.v1.train.Saver  # type: ignore[attr-defined]
    program.find = tf.train.latest_checkpoint  # type: ignore[attr-defined]
    program.Other = "untouched"  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "some_program", program)
    with patch_tensorflow():
        assert (program.TheSaver, program.find) == (train.Saver, train.latest_checkpoint)  # type: ignore[attr-defined]
    assert (program.TheSaver, program.find) == (tf.compat.v1.train.Saver, tf.train.latest_checkpoint)  # type: ignore[attr-defined]


def test_module_of_tensorflow_that_is_imported_meanwhile_gets_its_own_back(
    tf: Any, saver_module: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = types.ModuleType("tensorflow.late")
    outside = types.ModuleType("late_program")
    monkeypatch.setitem(sys.modules, "tensorflow.late", late)
    monkeypatch.setitem(sys.modules, "late_program", outside)
    with patch_tensorflow():
        late.Saver = outside.Saver = saver_module.Saver  # type: ignore[attr-defined]
    assert late.Saver is saver_module.Saver  # type: ignore[attr-defined]
    assert outside.Saver is train.Saver  # type: ignore[attr-defined]


def test_nested_patches_end_with_the_outermost(tf: Any) -> None:
    with patch_tensorflow():
        with patch_tensorflow():
            assert tf.compat.v1.train.Saver is train.Saver
        assert tf.compat.v1.train.Saver is train.Saver
    assert tf.compat.v1.train.Saver is not train.Saver


def test_switch_counts(tf: Any) -> None:
    patch = patch_tensorflow()
    assert tf.compat.v1.train.Saver is train.Saver
    patch.start()
    patch.start()
    patch.stop()
    assert tf.compat.v1.train.Saver is train.Saver
    patch.stop()
    assert tf.compat.v1.train.Saver is not train.Saver
    with pytest.raises(InvalidArgumentError, match="was stopped before"):
        patch.stop()
    patch.start()
    assert tf.compat.v1.train.Saver is train.Saver
    patch.stop()


def test_call_alone_replaces_at_once(tf: Any) -> None:
    patch_tensorflow(strict=False).stop()
    assert tf.compat.v1.train.Saver is not train.Saver


def test_stop_of_one_that_never_started_does_not_stop_another(tf: Any) -> None:
    with patch_tensorflow():
        patch = patch_tensorflow()
        patch.stop()
        with pytest.raises(InvalidArgumentError, match="was stopped before"):
            patch.stop()
        assert tf.compat.v1.train.Saver is train.Saver


def test_error_inside_restores_everything(tf: Any) -> None:
    with pytest.raises(KeyError), patch_tensorflow():
        raise KeyError


def test_decorator(tf: Any) -> None:
    @patch_tensorflow()
    def program() -> Any:
        return tf.compat.v1.train.Saver

    assert program() is program() is train.Saver


def test_replacement_by_somebody_else_stays(tf: Any, saver_module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    somebodys = type("Saver", (), {})
    with monkeypatch.context() as patch:
        patch.setattr(tf.compat.v1.train, "Saver", somebodys)
        with patch_tensorflow():
            pass
        assert tf.compat.v1.train.Saver is somebodys
    with patch_tensorflow():
        patch = pytest.MonkeyPatch()
        patch.setattr(tf.compat.v1.train, "latest_checkpoint", somebodys)
    assert tf.compat.v1.train.latest_checkpoint is somebodys
    tf.compat.v1.train.latest_checkpoint = tf.train.latest_checkpoint


def test_program_saves_and_restores_with_ours(tf: Any, session: Any, tmp_path: pathlib.Path) -> None:
    v1 = tf.compat.v1
    variable = v1.get_variable("dense/kernel", initializer=np.float32([1, 2]), use_resource=True)
    session.run(variable.initializer)
    with patch_tensorflow():
        saver = v1.train.Saver([variable])
        assert isinstance(saver, v1.train.Saver) and isinstance(saver, train.Saver)
        path = saver.save(session, str(tmp_path / "model"), 1)
        assert v1.train.latest_checkpoint(str(tmp_path)) == path
        assert v1.train.list_variables(path) == [("dense/kernel", [2])]
        v1.train.init_from_checkpoint(path, {"dense/kernel": variable})
        with pytest.raises(tf.errors.NotFoundError, match="did you mean"):
            v1.train.load_variable(path, "dense/kernal")
    v1.train.Saver([variable]).restore(session, path)


def test_patch_is_reached_without_importing_tensorflow() -> None:
    program = (
        "import sys, tfsaver.compat\n"
        "print('tfsaver.compat.patching' in sys.modules)\n"
        "tfsaver.compat.patch_tensorflow\n"
        "print('tensorflow' in sys.modules, 'patch_tensorflow' in dir(tfsaver.compat))\n"
        "sys.modules['tensorflow'] = None\n"
        "try: tfsaver.compat.patch_tensorflow()\n"
        "except tfsaver.errors.MissingExtraError as error: print(error.extra, tfsaver.compat.patching._state.depth > 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False", "True", "tensorflow", "False"]
    with pytest.raises(AttributeError, match="no attribute 'patch_pytorch'"):
        tfsaver.compat.patch_pytorch  # noqa: B018
def test_saver_of_tensorflows_own_modules_is_ours(tf: Any, graph: Any) -> None:
    from tensorflow.python.training import training

    with patch_tensorflow():
        assert training.Saver is train.Saver
        tf.compat.v1.get_variable("v", [])
        assert isinstance(tf.compat.v1.train.Scaffold().finalize().saver, train.Saver)
    with tf.Graph().as_default():
        tf.compat.v1.get_variable("v", [])
        assert not isinstance(tf.compat.v1.train.Scaffold().finalize().saver, train.Saver)


