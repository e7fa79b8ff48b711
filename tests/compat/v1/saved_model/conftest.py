"""A scenario of SavedModels: one program, run with TensorFlow's interfaces and with ours."""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.compat.scenario import Recorded
from tests.compat.v1.saved_model.models import ModelScenario
from tests.saved_model import conftest as saved_models


@pytest.fixture
def compare(tf: Any, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Recorded]:
    """Runs a scenario with both, each in a directory and a graph of its own; both must do the same."""

    def run(program: Callable[..., None], *arguments: Any, eager: bool = False) -> Recorded:
        outcomes = []
        for implementation in ("tensorflow", "tfsaver"):
            directory = tmp_path / implementation / "work"
            directory.mkdir(parents=True)
            with monkeypatch.context() as patch, contextlib.ExitStack() as mode:
                patch.chdir(directory)
                session = None
                if not eager:
                    mode.enter_context(tf.Graph().as_default())
                    session = mode.enter_context(tf.compat.v1.Session())
                scenario = ModelScenario(implementation, tf, session, directory, patch)
                program(scenario, *arguments)
                scenario.look()
            outcomes.append(scenario.recorded)
        theirs, ours = outcomes
        assert ours == theirs
        return ours

    return run


@pytest.fixture(params=["tensorflow", "tfsaver"])
def writer(request: pytest.FixtureRequest, tf: Any) -> str:
    """Who writes a model."""
    return str(request.param)


@pytest.fixture
def run(tf: Any, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelScenario]:
    """A scenario with our interfaces alone."""
    monkeypatch.chdir(tmp_path)
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        yield ModelScenario("tfsaver", tf, session, tmp_path, monkeypatch)


# The TensorFlows that serve what the Builder writes, each in a process of its own.
guest, tensorflow_1, tensorflow_2 = saved_models.guest, saved_models.tensorflow_1, saved_models.tensorflow_2
