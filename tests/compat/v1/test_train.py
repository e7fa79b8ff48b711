"""The companions of the Saver: TensorFlow's names, arguments and errors."""

from __future__ import annotations

import inspect
import pathlib
from collections.abc import Callable
from typing import Any

import pytest

from tests.compat.scenario import Recorded, Scenario
from tfsaver.compat.v1 import train

Compare = Callable[..., Recorded]


@pytest.mark.parametrize("name", train.__all__)
def test_every_name_is_tensorflows_and_takes_its_arguments(tf: Any, name: str) -> None:
    theirs = inspect.signature(getattr(tf.compat.v1.train, name)).parameters
    ours = inspect.signature(getattr(train, name)).parameters
    positional = [each for each in ours.values() if each.kind is not inspect.Parameter.KEYWORD_ONLY]
    assert [(each.name, each.default) for each in positional] == [(each.name, each.default) for each in theirs.values()]


def look_into_checkpoints(run: Scenario) -> None:
    run.two_variables()
    run.call(run.saver().save, run.session, f"{run.directory}/model", 1)
    (run.directory / "empty").mkdir()
    for where in (".", "model-1", str(run.directory)):
        run.note(run.train.list_variables(where))
        run.note(run.train.load_variable(where, "v0").tolist(), int(run.train.load_variable(where, "scope/v1:0")))
    run.call(run.train.list_variables, "empty", fragment="Couldn't find 'checkpoint' file or checkpoints in given directory")
    run.call(run.train.load_variable, "empty", "v", fragment="Couldn't find 'checkpoint' file or checkpoints")
    run.call(run.train.list_variables, "nowhere", fragment="Failed to find any matching files for nowhere")
    run.call(run.train.load_variable, "nowhere", "v", fragment="Failed to find any matching files for nowhere")
    run.call(run.train.load_variable, "model-1", "v9", fragment="v9 not found in checkpoint")


def write_state_files(run: Scenario) -> None:
    run.call(run.train.update_checkpoint_state, ".", "m-2", ["m-1", "m-2"], None, [1.5, 2.5], 1.5)
    run.look()
    run.call(run.train.update_checkpoint_state, "nowhere", "m-2", fragment="nowhere")
    said = "Checkpoint timestamps, if provided, must match checkpoint paths"
    run.call(run.train.update_checkpoint_state, ".", "m-2", ["m-1"], None, [1.0], fragment=said)
    run.call(run.train.update_checkpoint_state, "", "m", None, "m", fragment="conflicts with path used for checkpoint state")
    pathlib.Path("checkpoint").write_text("")
    run.call(run.train.get_checkpoint_state, ".", fragment="Invalid checkpoint state loaded from")


@pytest.mark.parametrize("program", [look_into_checkpoints, write_state_files])
def test_companions_do_as_tensorflows_do(compare: Compare, program: Callable[[Scenario], None]) -> None:
    assert compare(program)
