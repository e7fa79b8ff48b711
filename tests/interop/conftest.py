"""The TensorFlows that checkpoints are exchanged with: the real 1.15.5, and the one installed beside tfsaver.

TensorFlow 1.15 runs under Python 3.7 alone. Its interpreter is the one that TFSAVER_TF115_PYTHON names, else that of
.venv-tf115 in the checkout, which `make interop-env` makes.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.interop.guest_process import GuestProcess

_ROOT = Path(__file__).parents[2]


def _tensorflow_1_python() -> str:
    named = os.environ.get("TFSAVER_TF115_PYTHON")
    python = Path(named) if named else _ROOT / ".venv-tf115" / "bin" / "python"
    if not python.exists():
        pytest.skip(f"needs tensorflow-1.15: nothing at {python}; where there is a Python 3.7, `make interop-env` makes it")
    return str(python)


def _tensorflow_2_python() -> str:
    if importlib.util.find_spec("tensorflow") is None:
        pytest.skip("needs tensorflow: pip install tensorflow")
    return sys.executable


@pytest.fixture(scope="session")
def tensorflow_1(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GuestProcess]:
    """TensorFlow 1.15.5 under Python 3.7."""
    process = GuestProcess(_tensorflow_1_python(), tmp_path_factory.mktemp("guest") / "stderr.txt")
    yield process
    process.close()


@pytest.fixture(scope="session")
def tensorflow_2(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GuestProcess]:
    """The TensorFlow of this interpreter, in a process of its own: this one stays without it."""
    process = GuestProcess(_tensorflow_2_python(), tmp_path_factory.mktemp("guest") / "stderr.txt", path=str(_ROOT))
    yield process
    process.close()


@pytest.fixture(scope="session", params=["tensorflow_1", "tensorflow_2"])
def guest(request: pytest.FixtureRequest) -> GuestProcess:
    """Each of the two in turn."""
    return request.getfixturevalue(request.param)
