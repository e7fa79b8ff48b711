"""TensorFlow's saved_model_cli shows, runs and scans what tfsaver exports."""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.interop_saved_model.exports import TABLE_MODELS, Exports, Signature
from tests.interop_saved_model.guest.values import decoded, encoded
from tests.plugins.tensorflow_programs import TensorFlowPrograms

Program = Callable[..., str]

_KINDS = ("prefix", "builder")
_OPERATIONS = "contains the following ops:"

pytestmark = pytest.mark.usefixtures("tensorflow_2")


@pytest.fixture
def saved_model_cli(tensorflow_programs: Callable[[str], TensorFlowPrograms], tmp_path: Path) -> Program:
    """Runs the program and returns what it prints."""

    def run(*arguments: str) -> str:
        threads = {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"}
        program = "tensorflow.python.tools.saved_model_cli"
        done = tensorflow_programs(sys.executable).run(program, arguments, cwd=tmp_path, environment=threads)
        assert done.status == 0, done.stderr[-2000:]
        return done.stdout

    return run


def ran(
    saved_model_cli: Program, path: str, key: str, signature: Signature, directory: Path
) -> dict[str, list[object]]:
    """The outputs of one signature, by way of files."""
    given = []
    for name, value in signature.inputs.items():
        array = decoded(value)
        np.save(directory / f"{name}.npy", array.astype("S") if array.dtype == object else array)
        given.append(f"{name}={directory / name}.npy")
    outputs = directory / "outputs"
    where = ["--dir", path, "--tag_set", "serve", "--signature_def", key]
    saved_model_cli("run", *where, "--inputs", ";".join(given), "--outdir", str(outputs))
    return {each.stem: encoded(np.load(each, allow_pickle=True)) for each in sorted(outputs.iterdir())}


@pytest.mark.parametrize("model", ["reference", "sparse"])
def test_shows_the_signatures_that_it_shows_of_the_builders_and_fewer_operations(
    exports: Exports, saved_model_cli: Program, model: str
) -> None:
    paths = exports("tensorflow_2", model).paths
    ours, builders = (saved_model_cli("show", "--dir", paths[kind], "--all").partition(_OPERATIONS) for kind in _KINDS)
    assert ours[0] == builders[0]
    assert ours[0].count("Method name is: tensorflow/serving/predict") == len(exports("tensorflow_2", model).signatures)
    assert ast.literal_eval(ours[2].strip()) < ast.literal_eval(builders[2].strip())


@pytest.mark.parametrize(
    ("model", "key"),
    [("reference", "features"), *((model, "serving_default") for model in ("partitioned_resource", *TABLE_MODELS))],
)
def test_runs(exports: Exports, saved_model_cli: Program, tmp_path: Path, model: str, key: str) -> None:
    exported = exports("tensorflow_2", model)
    signature = exported.signatures[key]
    assert ran(saved_model_cli, exported.paths["prefix"], key, signature, tmp_path) == signature.expected


def test_scans(exports: Exports, saved_model_cli: Program) -> None:
    path = exports("tensorflow_2", "resource").paths["prefix"]
    assert "does not contain the default denylisted ops" in saved_model_cli("scan", "--dir", path, "--tag_set", "serve")
