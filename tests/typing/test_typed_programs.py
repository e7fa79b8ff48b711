"""What a type checker says of a user's program: nothing of a right one, and something of every mistake."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

_FOLDER = Path(__file__).parent
_ROOT = _FOLDER.parents[1]
_PROGRAMS = [str(_FOLDER / "mistakes.py"), str(_FOLDER / "user_program.py")]
_MISTAKES = {
    number for number, line in enumerate((_FOLDER / "mistakes.py").read_text().splitlines(), 1) if line.endswith("# mistake")
}


def mypy() -> set[tuple[str, int]]:
    """The files and lines of which mypy says something."""
    # Its cache is that of `make lint`, which has read the package already.
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", *_PROGRAMS],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        cwd=_ROOT,
    )
    assert done.returncode in (0, 1), done.stdout + done.stderr
    found = re.findall(r"^(.+?):(\d+): error:", done.stdout, re.MULTILINE)
    return {(Path(path).name, int(line)) for path, line in found}


def pyright() -> set[tuple[str, int]]:
    """The files and lines of which pyright says something."""
    done = subprocess.run(
        [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable, *_PROGRAMS],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        cwd=_ROOT,
        env={**os.environ, "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"},
    )
    assert done.returncode in (0, 1), done.stdout + done.stderr
    found = json.loads(done.stdout)["generalDiagnostics"]
    return {(Path(each["file"]).name, each["range"]["start"]["line"] + 1) for each in found if each["severity"] == "error"}


@pytest.mark.parametrize("checker", [mypy, pyright], ids=lambda checker: checker.__name__)
def test_checker_accepts_a_program_and_rejects_each_mistake(checker: object) -> None:
    assert callable(checker)
    pytest.importorskip(checker.__name__)
    if int(np.__version__.partition(".")[0]) < 2:
        pytest.skip("the types that numpy 1 declares do not fit those that this library is checked with")
    assert checker() == {("mistakes.py", number) for number in _MISTAKES}
