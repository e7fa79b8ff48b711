"""What an edit says of itself: line by line for people, as a document for programs."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tfsaver.checkpoint.losses import Losses
from tfsaver.checkpoint.report import count
from tfsaver.checkpoint.tensor_source import ArraySource
from tfsaver.checkpoint.write_report import Contents, LeftOut, WriteReport, contents_of
from tfsaver.framework import dtypes

FLOAT, HALF = dtypes.from_name("float32"), dtypes.from_name("float16")


def report(**fields: object) -> WriteReport:
    return WriteReport(**{"verb": "select", "sources": ("a",), "target": "out", "before": Contents(3, 400), "after": Contents(1, 100), **fields})  # type: ignore[arg-type]  # fmt: skip


def test_report_of_nothing_special_is_three_lines() -> None:
    same = report(before=Contents(1, 1), after=Contents(1, 1))
    assert str(same).split("\n") == ["select: wrote out", "before:    1 tensor, 1 byte", "after:     1 tensor, 1 byte"]


def test_dry_run_is_said() -> None:
    assert next(report(target=None).lines()) == "select: nothing written (dry run)"


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [(400, 100, "saved:     300 bytes (75.0%)"), (100, 101, "added:     1 byte (1.0%)"), (0, 5, "added:     5 bytes")],
)
def test_difference_of_sizes_is_said_with_its_share(before: int, after: int, said: str) -> None:
    changed = report(before=Contents(1, before), after=Contents(1, after))
    assert str(changed).split("\n")[3:] == [said]
    assert changed.num_bytes_saved == before - after


def test_nothing_is_saved_from_several_inputs() -> None:
    assert str(report(are_inputs=True)).split("\n")[1:] == ["inputs:    3 tensors, 400 bytes", "after:     1 tensor, 100 bytes"]


def test_tensors_that_are_left_out_are_grouped_by_their_reasons() -> None:
    left_out = {"m": LeftOut("not included", 8), "v": LeftOut("not included", 4), "s": LeftOut("excluded", 1000)}
    assert str(report(left_out=left_out)).split("\n")[4:] == [
        "left out:  3 tensors, 1,012 bytes",
        "  not included: 2 tensors, 12 bytes",
        "    m",
        "    v",
        "  excluded: 1 tensor, 1,000 bytes",
        "    s",
    ]


def test_new_names_are_behind_the_old_ones() -> None:
    lines = str(report(renamed={"a": ("b",), "c": ("d", "e")})).split("\n")
    assert lines[4:] == ["renamed:   2 tensors", "    a -> b", "    c -> d, e"]


def test_the_worst_cast_comes_first() -> None:
    losses = {
        "a": Losses(FLOAT, HALF, num_elements=4, max_abs=0.1, max_relative=0.1),
        "b": Losses(FLOAT, HALF, num_elements=4, num_overflowed=1),
        "c": Losses(FLOAT, HALF, num_elements=4, num_changed=1),
        "d": Losses(FLOAT, HALF, num_elements=4, max_abs=0.1, max_relative=0.1, num_underflowed=1),
    }
    lines = str(report(losses=losses)).split("\n")
    assert lines[4] == "cast:      4 tensors"
    assert [line.split(":")[0].strip() for line in lines[5:]] == ["c", "b", "d", "a"]
    assert lines[5:] == [f"    {name}: {losses[name]}" for name in "cbda"]


@pytest.mark.parametrize(("number", "shown", "last"), [(3, 3, "x2"), (5, 5, "x4"), (6, 4, "and 2 more"), (2000, 4, "and 1,996 more")])
def test_of_many_names_the_first_ones_are_shown(number: int, shown: int, last: str) -> None:
    many = report(left_out={f"x{place}": LeftOut("excluded", 1) for place in range(number)})
    names = [line.strip() for line in many.lines() if line.startswith("    ")]
    assert names[-1] == last and len([name for name in names if name.startswith("x")]) == shown
    assert len([line for line in many.lines(all_names=True) if line.startswith("    ")]) == number


def test_notes_come_last() -> None:
    assert str(report(notes=("one", "two"))).split("\n")[-2:] == ["one", "two"]


def test_document_has_all_facts_as_json_has_them() -> None:
    losses = Losses(FLOAT, HALF, num_elements=4, max_abs=0.5, max_relative=0.25, num_overflowed=1, num_underflowed=2)
    full = report(
        left_out={"m": LeftOut("excluded", 8)}, renamed={"a": ("b", "c")}, losses={"w": losses}, notes=("a note",), sources=("a", "b")
    )  # fmt: skip
    assert json.loads(json.dumps(full.to_json())) == {
        "ok": True,
        "verb": "select",
        "sources": ["a", "b"],
        "source_format": None,
        "target": "out",
        "format": None,
        "before": {"num_tensors": 3, "num_bytes": 400},
        "after": {"num_tensors": 1, "num_bytes": 100},
        "num_bytes": 100,
        "num_bytes_saved": 300,
        "tensors": None,
        "left_out": [{"name": "m", "reason": "excluded", "num_bytes": 8}],
        "renamed": [{"name": "a", "new_names": ["b", "c"]}],
        "losses": [
            {
                "name": "w",
                "source": "float32",
                "target": "float16",
                "num_elements": 4,
                "max_abs": 0.5,
                "max_relative": 0.25,
                "num_overflowed": 1,
                "num_underflowed": 2,
                "num_changed": 0,
                "num_infinities_lost": 0,
                "num_nans_lost": 0,
            }
        ],
        "lost": {},
        "partial": {},
        "damage": [],
        "notes": ["a note"],
        "parts": [],
    }


def test_contents_are_those_of_all_sources() -> None:
    sources = [ArraySource({"a": np.zeros(3, np.int8), "b": np.zeros(2)}), ArraySource({"c": np.zeros(1, np.int16)})]
    assert contents_of(sources) == (3, 3 + 16 + 2)
    assert str(Contents(1000, 1)) == "1,000 tensors, 1 byte"
    assert [count(number, "tensor") for number in (0, 1, 2)] == ["0 tensors", "1 tensor", "2 tensors"]
