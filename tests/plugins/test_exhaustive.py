"""The rule that what takes long runs in part, on a run of pytest of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.plugins.exhaustive import sample, sample_size

_ROOT = Path(__file__).resolve().parents[2]
_TESTS = """
import pytest
from tests.plugins.exhaustive import sample

@pytest.mark.exhaustive
def test_that_takes_long(record_property): record_property("evidence", "all of them")

@pytest.mark.parametrize("point", sample(range(100), 3))
def test_of_points(point): assert point % 99 in (0, 50)
"""


def output(directory: Path, **environment: str) -> list[str]:
    (directory / "test_long.py").write_text(_TESTS)
    command = [sys.executable, "-m", "pytest", "-q", "--strict-markers", "-p", "no:cacheprovider"]
    command += ["-p", "tests.plugins.exhaustive", "-p", "tests.plugins.evidence"]
    inherited = {name: value for name, value in os.environ.items() if name != "TFSAVER_EXHAUSTIVE"}
    run = subprocess.run(
        [*command, "-c", os.devnull, "--rootdir", str(directory), str(directory)],
        cwd=_ROOT,
        env={**inherited, "PYTHONDONTWRITEBYTECODE": "1", **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    return run.stdout.splitlines()


def test_a_run_takes_a_sample(tmp_path: Path) -> None:
    lines = output(tmp_path)
    assert lines[-1].startswith("3 passed, 1 skipped")
    assert "all of them" not in lines


def test_an_exhaustive_run_takes_all_and_says_what_it_counted(tmp_path: Path) -> None:
    lines = output(tmp_path, TFSAVER_EXHAUSTIVE="1")
    assert lines[-1].startswith("97 failed, 4 passed")
    assert "all of them" in lines


def test_a_sample_has_both_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TFSAVER_EXHAUSTIVE", raising=False)
    assert sample(range(11), 3) == [0, 5, 10]
    assert sample("ab", 3) == ["a", "b"]
    assert sample("abc", 1) == ["a"]
    assert sample_size(7) == 7
    monkeypatch.setenv("TFSAVER_EXHAUSTIVE", "1")
    assert sample(range(11), 3) == list(range(11))
    assert sample_size(7) is None
