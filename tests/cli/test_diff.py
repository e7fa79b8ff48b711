"""``tfsaver diff`` says what differs, and by its exit code whether anything does."""

from __future__ import annotations

import json
import pathlib

import numpy as np
import pytest

import tfsaver
from tfsaver.cli.main import main


@pytest.fixture
def pair(tmp_path: pathlib.Path) -> tuple[str, str]:
    a = {"w": np.float32([3, 4]), "same": [1], "gone": [1]}
    b = {"w": np.float32([3, 5]), "same": [1], "new\n": [1]}
    return (
        tfsaver.save_checkpoint(a, tmp_path / "a", durable=False),
        tfsaver.save_checkpoint(b, tmp_path / "b", durable=False, format="V1"),
    )


def test_differences_are_lines(pair: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diff", *pair]) == 1
    assert capsys.readouterr().out.splitlines() == [
        f"a: {pair[0]}",
        f"b: {pair[1]}",
        "only in a: gone",
        "only in b: new\\x0a",
        "differs:   w: 1 of 2 elements differ, by at most 1, norm 1, 0.2 of the first",
        "1 tensor equal, 1 different, 1 only in a, 1 only in b",
    ]
    assert main(["diff", pair[0], pair[0]]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "3 tensors equal"


def test_options_reach_the_comparison(pair: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diff", *pair, "--select", "^w$", "--atol", "1", "-q"]) == 0
    assert main(["diff", *pair, "--select", "^w$", "--rtol", "0.1", "-q"]) == 1
    assert main(["diff", *pair, "--map", "gone=new\n", "--exclude", "^w$", "-q"]) == 0
    assert capsys.readouterr().out == ""


def test_json_holds_every_fact(pair: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diff", *pair, "--json"]) == 1
    document = json.loads(capsys.readouterr().out)["report"]
    assert (document["different"], document["only_in_a"], document["only_in_b"]) == (True, ["gone"], ["new\n"])
    assert document["tensors"] == [
        {
            "name": "w",
            "kinds": ["values"],
            "dtypes": ["float32", "float32"],
            "shapes": [[2], [2]],
            "num_elements": 2,
            "num_different": 1,
            "num_not_finite": 0,
            "max_abs": 1.0,
            "norm": 1.0,
            "relative_norm": 0.2,
        }
    ]


def test_missing_checkpoint_is_an_error(pair: tuple[str, str], tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diff", pair[0], str(tmp_path / "missing")]) == 3
    assert "no checkpoint at" in capsys.readouterr().err


@pytest.mark.parametrize("tolerance", ["-1", "x", "inf", "nan"])
def test_tolerances_are_checked(tolerance: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["diff", "a", "b", f"--rtol={tolerance}"])
    assert stop.value.code == 2


def test_many_differences_are_counted_and_the_largest_listed(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    a = tfsaver.save_checkpoint({f"w{n}": np.float32([100]) for n in range(30)}, tmp_path / "a", durable=False)
    b = tfsaver.save_checkpoint({f"w{n}": np.float32([100 + n + 1]) for n in range(30)}, tmp_path / "b", durable=False)
    assert main(["diff", a, b]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines if line.startswith("differs:")] == [f"w{n}:" for n in range(29, 9, -1)]
    assert lines[-2:] == ["and 10 more; -v lists all, not the 20 largest changes", "0 tensors equal, 30 different"]
    assert main(["diff", a, b, "-v"]) == 1
    assert capsys.readouterr().out.count("differs:") == 30
