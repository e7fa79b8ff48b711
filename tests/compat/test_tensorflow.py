"""TensorFlow is imported when it is first needed, and its absence is said in one sentence."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tfsaver.compat import _tensorflow

WITHOUT_TENSORFLOW = """
import sys
sys.modules["tensorflow"] = None
"""


def run(program: str, *arguments: str) -> str:
    """What a program prints, in a Python of its own."""
    command = [sys.executable, "-c", program, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout.strip()


def test_importing_everything_imports_no_tensorflow() -> None:
    program = """
import sys
import tfsaver.compat.v1.train
from tfsaver.compat import _errors, _var_list
import tfsaver
tfsaver.Saver
print("tensorflow" in sys.modules)
"""
    assert run(program) == "False"


def test_saver_without_tensorflow_names_the_pip_line() -> None:
    program = f"""{WITHOUT_TENSORFLOW}
from tfsaver.compat.v1.train import Saver
from tfsaver.errors import MissingExtraError
try:
    Saver()
except MissingExtraError as error:
    print(error.package, error.extra, "|", error)
"""
    assert run(program) == "tensorflow tensorflow | a Saver of variables needs tensorflow: pip install 'tfsaver[tensorflow]'"


def test_companions_work_without_tensorflow_and_raise_our_errors(tmp_path: object) -> None:
    program = f"""{WITHOUT_TENSORFLOW}
import numpy, sys
from tfsaver import errors, save_checkpoint
from tfsaver.compat.v1 import train
prefix = save_checkpoint({{"v": numpy.ones(2)}}, sys.argv[1] + "/model")
print(train.checkpoint_exists(prefix), train.latest_checkpoint(sys.argv[1]), train.list_variables(prefix))
try:
    train.load_variable(prefix, "w")
except errors.TensorNotFoundError as error:
    print(error.name)
"""
    assert run(program, str(tmp_path)).split("\n") == ["True None [('v', [2])]", "w"]


def test_broken_tensorflow_is_not_called_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str) -> None:
        raise ModuleNotFoundError("No module named 'absl'", name="absl")

    monkeypatch.setattr(_tensorflow.importlib, "import_module", fail)
    monkeypatch.delitem(_tensorflow.__dict__, "tf", raising=False)
    with pytest.raises(ModuleNotFoundError, match="absl"):
        _ = _tensorflow.tf


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = _tensorflow.no_such_name  # type: ignore[attr-defined]
