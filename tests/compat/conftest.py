"""What the tests beside TensorFlow share: TensorFlow itself where it is installed, a graph, and the pair of Savers."""

from __future__ import annotations

import contextlib
import logging
import os
import pathlib
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.compat.scenario import Recorded, Scenario

# TensorFlow and what it imports warn about themselves; a warning from anywhere else stays an error.
_NOISE = (
    "ignore:.*:DeprecationWarning:tensorflow",
    "ignore:.*:DeprecationWarning:keras",
    "ignore:.*np.(object|bool|bool8).*:DeprecationWarning",
    "ignore:.*np.(object|bool|bool8).*:FutureWarning",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = pathlib.Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            for noise in _NOISE:
                item.add_marker(pytest.mark.filterwarnings(noise))


@pytest.fixture(scope="session")
def tf() -> Any:
    """The installed TensorFlow."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = pytest.importorskip("tensorflow", reason="needs tensorflow: pip install 'tfsaver[tensorflow]'")
        module.compat.v1.train.Saver  # noqa: B018 - its module is loaded, and warns, when it is first named
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    # A strategy needs two devices, and devices are counted when the first of them is used.
    with contextlib.suppress(RuntimeError):
        cpu = module.config.list_physical_devices("CPU")[0]
        module.config.set_logical_device_configuration(cpu, [module.config.LogicalDeviceConfiguration()] * 2)
    return module


@pytest.fixture
def two_devices(tf: Any) -> None:
    """Two devices to distribute variables over."""
    if len(tf.config.list_logical_devices("CPU")) < 2:
        pytest.skip("needs two logical CPUs: TensorFlow was in use before the tests in this folder could ask for them")


@pytest.fixture
def graph(tf: Any) -> Iterator[Any]:
    """A new graph, the default one during the test."""
    with tf.Graph().as_default() as graph:
        yield graph


@pytest.fixture
def session(tf: Any, graph: Any) -> Iterator[Any]:
    """A session of that graph."""
    with tf.compat.v1.Session(graph=graph) as session:
        yield session


@pytest.fixture
def scenario_class() -> type[Scenario]:
    """What a program of `compare` is given; a folder with more to offer overrides it."""
    return Scenario


@pytest.fixture
def compare(
    tf: Any, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, scenario_class: type[Scenario]
) -> Callable[..., Recorded]:
    """Runs a scenario with TensorFlow and with ours, each in a directory and a graph of its own; both must do the same."""

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
                scenario = scenario_class(implementation, tf, session, directory, patch)
                program(scenario, *arguments)
                scenario.look()
            outcomes.append(scenario.recorded)
        theirs, ours = outcomes
        assert ours == theirs
        return ours

    return run
