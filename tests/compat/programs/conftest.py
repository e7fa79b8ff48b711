"""Three ways to run one program: with TensorFlow's Saver, with ours handed to it, and with TensorFlow patched around it."""

from __future__ import annotations

import contextlib
import pathlib
from typing import Any

import pytest

from tests.compat.programs.surroundings import Program, Surroundings, ThreeWays
from tfsaver.compat import patch_tensorflow


@pytest.fixture
def three_ways(tf: Any, tmp_path: pathlib.Path) -> ThreeWays:
    """Runs a program the three ways; what it returns must be the same."""

    def run(program: Program) -> Any:
        facts = {}
        for way in ("tensorflow", "ours", "patched"):
            directory = tmp_path / way
            directory.mkdir()
            with contextlib.ExitStack() as stack:
                if way == "patched":
                    stack.enter_context(patch_tensorflow())
                facts[way] = program(Surroundings(tf, directory, way))
        assert facts["ours"] == facts["tensorflow"]
        assert facts["patched"] == facts["tensorflow"]
        return facts["ours"]

    return run
