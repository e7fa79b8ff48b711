"""Inputs and outputs of graphs whose code is not there, against labels that were written by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.graph.candidate_table import Row, rows_of_cases, rows_of_programs
from tfsaver import schemas
from tfsaver.graph.candidates import find_candidates


def check(rows: list[Row]) -> None:
    worse = [row for row in rows if row.rank is None or row.rank > 2]
    assert len(worse) <= len(rows) // 10, worse
    assert not [row for row in rows if row.missing_inputs and row.rank == 1]


def test_the_wanted_output_of_real_programs_is_first_or_second_in_nine_of_ten(cases: Path) -> None:
    check(rows_of_cases(cases))


def test_the_wanted_output_of_each_kind_of_program_is_first_or_second_in_nine_of_ten(tmp_path: Path) -> None:
    pytest.importorskip("tensorflow")
    check(rows_of_programs(tmp_path))


def node(name: str, op: str, *inputs: str, **attrs: schemas.AttrValue) -> schemas.NodeDef:
    return schemas.NodeDef(name=name, op=op, input=inputs, attr=attrs)


def test_a_frozen_graph_has_its_large_constants_as_weights() -> None:
    weights = {"dtype": schemas.AttrValue(type=schemas.DT_FLOAT), "value": schemas.AttrValue(tensor={"dtype": schemas.DT_FLOAT})}
    weights["value"].tensor.tensor_shape.dim.add(size=8)
    weights["value"].tensor.tensor_shape.dim.add(size=8)
    graph = schemas.GraphDef(
        node=[
            node("x", "Placeholder"),
            node("w", "Const", **weights),
            node("hidden", "MatMul", "x", "w"),
            node("w2", "Const", **weights),
            node("y", "MatMul", "hidden", "w2"),
            node("answer", "Softmax", "y"),
        ]
    )
    found = find_candidates(graph)
    assert found.outputs[0] == "answer" and "hidden" not in found.outputs[:2]
    assert [(each.name, each.is_needed) for each in found.inputs] == [("x", True)]


@pytest.mark.parametrize(
    "graph",
    [
        schemas.GraphDef(),
        schemas.GraphDef(node=[node("a", "Add", "a", "b"), node("b", "Add", "a", "gone")]),
        schemas.GraphDef(node=[node("a", "Identity", "^a", ":", ""), node("a", "Placeholder"), node("", "")]),
    ],
    ids=["empty", "circle", "names"],
)
def test_damaged_graphs_have_candidates_or_none(graph: schemas.GraphDef) -> None:
    find_candidates(graph)
