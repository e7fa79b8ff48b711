"""A scenario of SavedModels: one program, run with TensorFlow's interfaces and with ours."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator
from typing import Any

import pytest

from tests.compat.v1.saved_model.models import ModelScenario
from tests.saved_model import conftest as saved_models


@pytest.fixture
def scenario_class() -> type[ModelScenario]:
    """A scenario that knows SavedModels too, for `compare`."""
    return ModelScenario


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
