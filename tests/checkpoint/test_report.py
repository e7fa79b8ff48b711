"""Every report is a Report: it says whether all is well, and its text and its JSON have the same facts."""

from __future__ import annotations

import json
import pathlib
import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import tfsaver
from tests.checkpoint.test_latest_verified import flip
from tfsaver import Selection, load_checkpoint
from tfsaver.checkpoint.editing.diff import DiffReport
from tfsaver.checkpoint.match_report import MatchReport
from tfsaver.checkpoint.objects.object_based import for_objects
from tfsaver.checkpoint.objects.object_graph_like import object_graph_of_names
from tfsaver.checkpoint.report import Report, json_number
from tfsaver.checkpoint.restoring.matching import match_tensors
from tfsaver.checkpoint.selection import SelectionReport
from tfsaver.checkpoint.tensor_source import ArraySource
from tfsaver.checkpoint.verify import VerifyReport
from tfsaver.checkpoint.wanted_tensor import WantedTensor
from tfsaver.checkpoint.write_report import WriteReport
from tfsaver.framework import dtypes
from tfsaver.tensor_bundle.writer import BundleWriter

TENSORS = {
    "net/w1": np.arange(6, dtype=np.float32).reshape(2, 3) / 7,
    "net/w1/Adam": np.zeros((2, 3), np.float32),
    "net/b2": np.full(5, 1 / 3, np.float32),
    "global_step": np.int64(17),
}
DATA = ".data-00000-of-00001"


class World:
    """A checkpoint, and what reports are made with."""

    def __init__(self, tmp_path: pathlib.Path) -> None:
        self.path = tmp_path
        self.prefix = tfsaver.save_checkpoint(TENSORS, tmp_path / "model", durable=False)

    def damaged(self) -> str:
        prefix = tfsaver.save_checkpoint(TENSORS, self.path / "damaged", durable=False)
        flip(f"{prefix}{DATA}", 0)
        return prefix

    def damaged_slice(self) -> str:
        with BundleWriter(self.path / "slices", durable=False) as writer:
            for start in (0, 3):
                writer.add_slice("net/r1", (6,), np.s_[start : start + 3], np.arange(3, dtype=np.float32) + 1)
        flip(f"{self.path / 'slices'}{DATA}", 0)
        return str(self.path / "slices")

    def matched(self, **shapes: Any) -> MatchReport:
        float32 = dtypes.from_name("float32")
        wanted = [WantedTensor(f"net/{name}", float32, shape) for name, shape in shapes.items()]
        with load_checkpoint(self.prefix) as reader:
            return match_tensors(wanted, reader)

    def of_objects(self, names: dict[str, Any]) -> MatchReport:
        return for_objects(ArraySource(dict(TENSORS)), object_graph_of_names(names), strict=False).report

    def compared(self, value: float) -> MatchReport:
        tf = pytest.importorskip("tensorflow")
        variable = tf.Variable(TENSORS["net/b2"], name="net/b2")
        variable[1].assign(value)
        return tfsaver.compare({"net/b2": variable, "net/w1": tf.Variable(TENSORS["net/w1"], name="net/w1")}, self.prefix)


CASES: dict[str, tuple[type[Report], bool, Callable[[World], Any]]] = {
    "select": (WriteReport, True, lambda world: tfsaver.select(world.prefix, world.path / "o", Selection(exclude="Adam"))),
    "dry run": (WriteReport, True, lambda world: tfsaver.strip(world.prefix, world.path / "o", dry_run=True)),
    "rename": (
        WriteReport,
        True,
        lambda world: tfsaver.rename(world.prefix, world.path / "o", [("w1$", "v1", True), {"net/b2": None}]),
    ),
    "cast": (WriteReport, True, lambda world: tfsaver.cast(world.prefix, world.path / "o", "bfloat16")),
    "average": (WriteReport, True, lambda world: tfsaver.average([world.prefix] * 2, world.path / "o")),
    "merge": (
        WriteReport,
        True,
        lambda world: tfsaver.merge([world.prefix, {"net/b2": np.zeros(3)}], world.path / "o", on_conflict="last"),
    ),
    "reshard": (WriteReport, True, lambda world: tfsaver.reshard(world.prefix, world.path / "o", num_shards=2)),
    "split": (
        WriteReport,
        True,
        lambda world: tfsaver.split(world.prefix, {str(world.path / "o"): "^net/"}, rest=world.path / "rest"),
    ),
    "convert": (
        WriteReport,
        True,
        lambda world: tfsaver.convert(
            world.prefix, world.path / "o.npz", essential=True, dtype="float16", mapping={"net/w1": "net/v1"}
        ),
    ),
    "salvage": (WriteReport, False, lambda world: tfsaver.salvage(world.damaged(), world.path / "o")),
    "salvage of slices": (
        WriteReport,
        False,
        lambda world: tfsaver.salvage(world.damaged_slice(), world.path / "o", keep_partial=True),
    ),
    "salvage of a sound checkpoint": (WriteReport, True, lambda world: tfsaver.salvage(world.prefix, world.path / "o")),
    "match": (MatchReport, True, lambda world: world.matched(w1=(2, 3))),
    "match with faults": (MatchReport, False, lambda world: world.matched(w1=(3, 2), w2=(2, 3), c2=(5,), b2=(5,))),
    "objects": (MatchReport, False, lambda world: world.of_objects({"a1": "net/w1", "a2": "x2", "b3": "net/b2", "b4": "net/b2"})),
    "compare": (MatchReport, False, lambda world: world.compared(3.5)),
    "compare with infinity": (MatchReport, False, lambda world: world.compared(np.inf)),
    "compare of equals": (MatchReport, True, lambda world: world.compared(1 / 3)),
    "diff": (DiffReport, False, lambda world: tfsaver.diff(world.prefix, {**TENSORS, "net/b2": np.full(5, 0.25, "f4"), "x1": 1})),
    "diff with infinity": (DiffReport, False, lambda world: tfsaver.diff({"x1": np.array([1.7e308])}, {"x1": np.array([-1.7e308])})),
    "diff of equals": (DiffReport, True, lambda world: tfsaver.diff(world.prefix, TENSORS)),
    "verify": (VerifyReport, True, lambda world: tfsaver.verify(world.prefix)),
    "verify of damage": (VerifyReport, False, lambda world: tfsaver.verify(world.damaged())),
    "selection": (
        SelectionReport,
        True,
        lambda world: Selection(without_optimizer=True, exclude="none1", allow_unmatched=True).select_from(
            load_checkpoint(world.prefix)
        ),
    ),
}


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> tuple[type[Report], bool, Any]:
    kind, ok, make = CASES[request.param]
    return kind, ok, make(World(tmp_path))


def facts(value: Any) -> Iterator[str]:
    """Everything a document says: its texts, its numbers in the forms that texts have, and how many items its lists have."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, (dict, list)):
        yield str(len(value))
        for item in value if isinstance(value, list) else (*value, *value.values()):
            yield from facts(item)
    elif value is not None:
        yield from (str(value), f"{value:,}", f"{value:.3g}", f"{value:.4g}", f"{value:g}")


def words(text: str) -> set[str]:
    """The words of a text that are facts: names, paths and numbers; not percentages, which follow from numbers."""
    return {word for word in re.split(r"[^\w/.%+-]+", text) if re.search(r"[\d/]", word) and not word.endswith("%")}


def test_every_report_says_whether_all_is_well(case: tuple[type[Report], bool, Any]) -> None:
    kind, ok, report = case
    assert isinstance(report, kind) and isinstance(report, Report)
    assert report.ok is ok and report.to_json()["ok"] is ok
    assert all(isinstance(note, str) for note in report.notes)


def test_the_text_of_a_report_is_its_lines(case: tuple[type[Report], bool, Any]) -> None:
    _, _, report = case
    assert str(report) == "\n".join(report.lines())
    assert len(list(report.lines(all_names=True))) >= len(list(report.lines()))


def test_json_has_every_fact_of_the_text(case: tuple[type[Report], bool, Any]) -> None:
    _, _, report = case
    document = json.loads(json.dumps(report.to_json(), allow_nan=False))
    there = {word for fact in facts(document) for word in words(fact)}
    assert words("\n".join(report.lines(all_names=True))) - there == set()


def test_json_spells_numbers_out_that_it_does_not_have(tmp_path: pathlib.Path) -> None:
    assert [json_number(value) for value in (1.5, None, np.inf, -np.inf, np.nan)] == [1.5, None, "Infinity", "-Infinity", "NaN"]
    report = CASES["diff with infinity"][2](World(tmp_path))
    assert report.to_json()["tensors"][0]["max_abs"] == "Infinity"


def test_the_report_of_a_restore_keeps_its_earlier_name() -> None:
    assert tfsaver.RestoreReport is tfsaver.MatchReport is MatchReport
