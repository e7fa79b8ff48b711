"""A test that lacks an optional program skips for a user and fails in CI.

A user without Python 3.7 or matplotlib still gets a useful run, and its summary says in words what was left out. In CI the
same skip would hide that a whole direction of the proof never ran, so there it is a failure. A test says what it
lacks by the reason of its skip, in one of two forms:

    pytest.importorskip("tensorflow")                           pytest's own sentence, with the module's name in it
    pytest.skip("needs tensorflow-1.15: make interop-env")      needs <program>: <how to get it>

Every other skip (a folder of files that is elsewhere, a dtype that this TensorFlow has not) stays one.

Environment:
    CI               "true" turns these skips into failures.
    TFSAVER_WITHOUT  what this run goes without on purpose: names separated by commas.
"""

from __future__ import annotations

import os
import re
from collections.abc import Generator

import pytest

_MISSING = re.compile(r"^(?:Skipped: )?(?:could not import '(?P<module>[^'.]+)|needs (?P<program>[\w.+-]+): )")


def missing_program(reason: str) -> str | None:
    """The name of the program for whose want a test was skipped, from the skip's reason; None for other skips."""
    match = _MISSING.match(reason)
    return match and (match["module"] or match["program"])


def is_demanded(program: str) -> bool:
    """Whether this run must have the program."""
    without = os.environ.get("TFSAVER_WITHOUT", "").split(",")
    return os.environ.get("CI") == "true" and program not in without


def _refuse_missing_programs(report: pytest.TestReport | pytest.CollectReport) -> None:
    if not report.skipped or not isinstance(report.longrepr, tuple):
        return
    path, line, reason = report.longrepr
    program = missing_program(reason)
    if program is not None and is_demanded(program):
        report.outcome = "failed"
        report.longrepr = f"{path}:{line}: CI=true demands every optional program. {reason}"


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    _refuse_missing_programs(report)
    return report


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _refuse_missing_programs(report)
    return report
