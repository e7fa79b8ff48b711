"""Every source by every route with every fault ends in the verdict that is expected of it; see `expected`.

``python -m tests.conformance`` prints the table and runs every cell, as TFSAVER_EXHAUSTIVE=1 does. Other runs leave out most of
what sources have whose files are like those of others, and of the rest they try a part, spread over all rows.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.cells import CELLS, Bench, Cell
from tests.conformance.guests import MissingPackageError
from tests.conformance.known_faults import KNOWN_FAULTS, known_fault
from tests.conformance.rules import RULES
from tests.plugins.exhaustive import is_exhaustive, sample

# TensorFlow and what it imports warn about themselves; a warning from anywhere else stays an error.
pytestmark = [
    pytest.mark.filterwarnings(f"ignore:{noise}")
    for noise in (
        ".*:DeprecationWarning:tensorflow",
        ".*:DeprecationWarning:keras",
        ".*np.(object|bool|bool8).*:DeprecationWarning",
        ".*np.(object|bool|bool8).*:FutureWarning",
    )
]


# What a run tries that is not exhaustive.
_NUM_CELLS = 1000

PRESENT = {cell.id: cell for cell in CELLS if cell.hole is None}
TRIED = sample([cell for cell in PRESENT.values() if cell.is_quick or is_exhaustive()], _NUM_CELLS)


def _params(ids: Any) -> list[Any]:
    marks = {each: [pytest.mark.xfail(reason=why, strict=True)] for each in ids if (why := known_fault(each))}
    return [pytest.param(value, id=each, marks=marks.get(each, ())) for each, value in ids.items()]


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Any:
    bench = Bench(tmp_path_factory.mktemp("conformance"), is_quick=not is_exhaustive())
    yield bench
    shutil.rmtree(bench.root)


@pytest.mark.parametrize("cell", _params({cell.id: cell for cell in TRIED}))
def test_cell_ends_in_its_verdict(cell: Cell, bench: Bench) -> None:
    try:
        problems = bench.run(cell)
    except MissingPackageError as error:
        pytest.skip(str(error))
    if problems:
        # A traceback would show this function, three hundred times.
        pytest.fail("\n".join(problems), pytrace=False)


@pytest.mark.parametrize("rule", _params(RULES))
def test_rule(rule: Any, tmp_path: Path) -> None:
    try:
        rule(tmp_path)
    except MissingPackageError as error:
        pytest.skip(str(error))


def test_every_known_fault_is_one_of_a_cell_or_a_rule() -> None:
    ids = [*PRESENT, *RULES]
    assert [pattern for pattern in KNOWN_FAULTS if not any(re.fullmatch(pattern, each) for each in ids)] == []


def test_every_row_has_a_cell() -> None:
    for axis in range(3):
        assert {cell[axis].name for cell in TRIED} == {cell[axis].name for cell in CELLS}
