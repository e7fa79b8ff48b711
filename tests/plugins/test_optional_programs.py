"""The rule that a test without its optional program skips for a user and fails in CI, on a run of pytest of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

_ROOT = Path(__file__).resolve().parents[2]
_TESTS = """
import pytest

@pytest.fixture
def guest():
    pytest.skip("needs foo-1.15: make foo")

def test_fixture_without_its_program(guest): pass
def test_module_that_is_not_there(): pytest.importorskip("no_such_module.deeper")
def test_that_skips_for_another_reason(): pytest.skip("the folder is elsewhere")
def test_that_passes(): pass
"""


def outcomes(directory: Path, **environment: str) -> str:
    """The last line of pytest's output."""
    (directory / "test_optional.py").write_text(_TESTS)
    (directory / "test_whole_module.py").write_text("import pytest\npytest.importorskip('no_such_module')\n")
    inherited = {name: value for name, value in os.environ.items() if name not in ("CI", "TFSAVER_WITHOUT")}
    command = [sys.executable, "-m", "pytest", "-q", "--continue-on-collection-errors"]
    command += ["-p", "tests.plugins.optional_programs", "-p", "no:cacheprovider"]
    run = subprocess.run(
        [*command, "-c", os.devnull, "--rootdir", str(directory), str(directory)],
        cwd=_ROOT,
        env={**inherited, "PYTHONDONTWRITEBYTECODE": "1", **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    return run.stdout.splitlines()[-1].rpartition(" in ")[0]


def test_a_user_sees_skips(tmp_path: Path) -> None:
    assert outcomes(tmp_path) == "1 passed, 4 skipped"


def test_ci_sees_failures_but_for_other_reasons(tmp_path: Path) -> None:
    assert outcomes(tmp_path, CI="true") == "1 failed, 1 passed, 1 skipped, 2 errors"


@pytest.mark.parametrize("without", ["foo-1.15,no_such_module", "no_such_module,foo-1.15,bar"])
def test_ci_goes_without_what_it_names(tmp_path: Path, without: str) -> None:
    assert outcomes(tmp_path, CI="true", TFSAVER_WITHOUT=without) == "1 passed, 4 skipped"
