"""The runtimes that exports are carried to, and the exports.

TensorFlow 2 is the one installed beside tfsaver; TensorFlow 1.15 as tests/interop has it. tf2onnx and onnxruntime have an
environment of their own: its interpreter is the one that TFSAVER_ONNX_PYTHON names, else that of .venv-onnx in the
checkout, which `make onnx-env` makes.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.interop_saved_model.exports import MODELS, Exported, Exports, export_from_every_source
from tests.interop_saved_model.runtime_process import RuntimeProcess

_ROOT = Path(__file__).parents[2]


def _python(variable: str, environment: str, program: str, advice: str) -> str:
    named = os.environ.get(variable)
    python = Path(named) if named else _ROOT / environment / "bin" / "python"
    if not python.exists():
        pytest.skip(f"needs {program}: nothing at {python}; {advice}")
    return str(python)


@pytest.fixture(scope="session")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the processes' standard error goes."""
    return tmp_path_factory.mktemp("guest") / "stderr.txt"


@pytest.fixture(scope="session")
def tensorflow_1(log: Path) -> Iterator[RuntimeProcess]:
    """TensorFlow 1.15.5 under Python 3.7."""
    advice = "where there is a Python 3.7, `make interop-env` makes it"
    process = RuntimeProcess(_python("TFSAVER_TF115_PYTHON", ".venv-tf115", "tensorflow-1.15", advice), "verbs", log)
    yield process
    process.close()


@pytest.fixture(scope="session")
def tensorflow_2(log: Path) -> Iterator[RuntimeProcess]:
    """The TensorFlow of this interpreter, in a process of its own, with tfsaver beside it."""
    if importlib.util.find_spec("tensorflow") is None:
        pytest.skip("needs tensorflow: pip install tensorflow")
    process = RuntimeProcess(sys.executable, "verbs", log, {"PYTHONPATH": str(_ROOT)})
    yield process
    process.close()


@pytest.fixture(scope="session")
def c_loader_1(tensorflow_1: RuntimeProcess, log: Path) -> Iterator[RuntimeProcess]:
    """The C++ loader of TensorFlow 1.15."""
    advice = "where there is a Python 3.7, `make interop-env` makes it"
    python = _python("TFSAVER_TF115_PYTHON", ".venv-tf115", "tensorflow-1.15", advice)
    process = RuntimeProcess(python, "c_verbs", log, {"TENSORFLOW_DIRECTORY": tensorflow_1.about["directory"]})
    yield process
    process.close()


@pytest.fixture(scope="session")
def c_loader_2(tensorflow_2: RuntimeProcess, log: Path) -> Iterator[RuntimeProcess]:
    """The C++ loader of TensorFlow 2."""
    process = RuntimeProcess(sys.executable, "c_verbs", log, {"TENSORFLOW_DIRECTORY": tensorflow_2.about["directory"]})
    yield process
    process.close()


@pytest.fixture(scope="session")
def onnx(log: Path) -> Iterator[RuntimeProcess]:
    """tf2onnx and onnxruntime, with a TensorFlow that is theirs."""
    advice = "`make onnx-env` makes it"
    process = RuntimeProcess(_python("TFSAVER_ONNX_PYTHON", ".venv-onnx", "onnx", advice), "onnx_verbs", log)
    yield process
    process.close()


@pytest.fixture(scope="session")
def exports(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Exports:
    """The exports of a model by its maker and its name, each made once."""
    made: dict[tuple[str, str], Exported] = {}

    def get(maker: str, model: str) -> Exported:
        assert model in MODELS
        if (maker, model) not in made:
            directory = tmp_path_factory.mktemp(f"{maker}-{model}")
            live = ("builder", "session") if maker == "tensorflow_2" else ("builder",)
            made[maker, model] = export_from_every_source(request.getfixturevalue(maker), model, directory, live)
        return made[maker, model]

    return get
