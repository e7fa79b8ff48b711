"""Wrong tables are noticed: each swap of two names, and each transpose that is dropped or added, in a table of a family.

Every run tries a sample of them, an exhaustive one all: each costs a model. A mutant has one row changed, or two. It is caught when the mapping fails, when a tensor differs from the one that transformers
makes, or when the model that takes the tensors does not load them or does not compute what the original graph does.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from tests.families.models import KERAS, TABLES, TORCH
from tests.families.recordings import FAMILIES, Recording, differing, recording
from tests.plugins.exhaustive import sample
from tfsaver.checkpoint.names.changes import Squeeze, Transpose
from tfsaver.checkpoint.names.families import FAMILIES as TABLES_OF_FAMILIES
from tfsaver.checkpoint.names.families import Family, Row
from tfsaver.errors import SaverError


def mutants_of(rows: list[Row], used: set[int]) -> Iterator[tuple[str, list[Row]]]:
    """Tables with one thing wrong, of the rows that a recording uses."""
    numbers = sorted(used)
    for first, second in itertools.pairwise(numbers):
        if rows[first].new != rows[second].new and _fields(rows[first]) == _fields(rows[second]):
            made = list(rows)
            made[first] = rows[first]._replace(new=rows[second].new)
            made[second] = rows[second]._replace(new=rows[first].new)
            yield f"{rows[first].new} <-> {rows[second].new}", made
    for number in numbers:
        row = rows[number]
        turned = [change for change in row.changes if isinstance(change, Transpose)]
        made = list(rows)
        if turned:
            kept = tuple(change for change in row.changes if not isinstance(change, Transpose))
            made[number] = row._replace(changes=kept)
            yield f"{row.new} not transposed", made
        if len(row.olds) > 1:
            made = list(rows)
            made[number] = row._replace(olds=row.olds[::-1])
            yield f"{row.new} joined the other way", made
        elif row.changes and all(isinstance(change, Squeeze) for change in row.changes):
            made = list(rows)
            made[number] = row._replace(changes=(*row.changes, Transpose((1, 0))))
            yield f"{row.new} transposed", made


def _fields(row: Row) -> set[str]:
    return set(re.findall(r"\{(\w+)", row.new))


def used_rows(family: Family, recorded: Recording) -> set[int]:
    found = [family._find(name) for name in recorded.tensors()]
    return {each.row for each in found if each is not None}


def survivors(
    table: str, recorded: Recording, is_right: Callable[[dict[str, np.ndarray]], bool], size: int
) -> list[str]:
    """The mutants that nothing notices, of so many in every run and of all in an exhaustive one."""
    family = TABLES_OF_FAMILIES[table][1]
    rows = family.rows
    assert is_right(recorded.mapped(family))
    found = []
    mutants = list(mutants_of(rows, used_rows(family, recorded)))
    assert len(mutants) > 8
    for what, made in sample(mutants, size):
        try:
            if is_right(recorded.mapped(Family(what, made.copy))):
                found.append(what)
        except (SaverError, RuntimeError, TypeError, ValueError):
            pass
    return found


@pytest.mark.parametrize("family", [family for family in FAMILIES if family in TABLES])
def test_mutants_of_tables_for_transformers_are_caught(family: str) -> None:
    with recording(family) as recorded:
        assert not survivors(TABLES[family], recorded, lambda tensors: not differing(tensors, recorded.witness), 40)


def _is_close(made: dict[str, np.ndarray], recorded: Recording) -> bool:
    return all(np.allclose(array, recorded.arrays[name], rtol=1e-5, atol=1e-5) for name, array in made.items())


@pytest.mark.parametrize("family", [family for family in FAMILIES if family in TORCH])
def test_mutants_of_tables_for_torch_are_caught(family: str) -> None:
    pytest.importorskip("torch")
    table, program = TORCH[family]
    with recording(family) as recorded:
        assert not survivors(table, recorded, lambda tensors: _is_close(program(tensors, recorded), recorded), 4)


@pytest.mark.parametrize("family", [family for family in FAMILIES if family in KERAS])
def test_mutants_of_tables_for_keras_are_caught(family: str) -> None:
    pytest.importorskip("tensorflow")
    table, make = KERAS[family]
    with recording(family) as recorded:
        model = make(recorded)
        by_name: dict[str, Any] = {variable.path: variable for variable in model.variables}

        def is_right(tensors: dict[str, np.ndarray]) -> bool:
            if tensors.keys() != by_name.keys():
                return False
            for name, array in tensors.items():
                by_name[name].assign(array)
            made = np.asarray(model(recorded.arrays["images"], training=False))
            return _is_close({"logits": made}, recorded)

        assert not survivors(table, recorded, is_right, 3)
