"""``tfsaver cast`` says what a type costs each tensor, the worst first."""

from __future__ import annotations

import json
import pathlib

import numpy as np
import pytest

import tfsaver
from tfsaver.cli.main import main


def test_costs_are_listed_worst_first(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    arrays = {"exact": np.float32([1, 2]), "near": np.float32([1.001, 2]), "step": np.int64(1)}
    prefix = tfsaver.save_checkpoint(arrays, tmp_path / "m", durable=False)
    assert main(["cast", prefix, str(tmp_path / "out"), "--to", "bfloat16"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-3] == "cast:      2 tensors"
    assert lines[-2].startswith("    near: float32 -> bfloat16, off by at most 0.001")
    assert lines[-1] == "    exact: float32 -> bfloat16, off by at most 0, relative 0"


def test_overflow_is_refused_unless_allowed(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    prefix = tfsaver.save_checkpoint({"w": np.float32([1e9, 1e-9])}, tmp_path / "m", durable=False)
    out = str(tmp_path / "out")
    assert main(["cast", prefix, out, "--to", "float16"]) == 3
    assert "'w': float32 -> float16, 1 overflowed, the rest off by at most 1e-09, relative 0, 1 became 0" in capsys.readouterr().err
    assert not list(tmp_path.glob("out*"))
    assert main(["cast", prefix, out, "--to", "float16", "--allow-overflow", "--json"]) == 0
    [record] = json.loads(capsys.readouterr().out)["report"]["losses"]
    assert (record["name"], record["num_overflowed"], record["num_underflowed"]) == ("w", 1, 1)
    assert tfsaver.load_variable(out, "w").tolist() == [np.inf, 0]


def test_patterns_choose(trained: str, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "out")
    assert main(["cast", trained, out, "--to", "float16", "--select", "^dense/", "--exclude", "Adam", "-q"]) == 0
    types = {name: tfsaver.load_variable(out, name).dtype.name for name in ("dense/kernel", "dense/kernel/Adam", "beta1_power")}
    assert types == {"dense/kernel": "float16", "dense/kernel/Adam": "float32", "beta1_power": "float32"}


@pytest.mark.parametrize("arguments", [[], ["--to", "floaty"], ["--to", "string"]])
def test_types_are_checked_first(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["cast", "a", "b", *arguments])
    assert stop.value.code == 2
