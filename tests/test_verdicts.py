"""Every report has `ok`, and is it in a condition; that of `diff` only warns of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tfsaver
from tests.saved_model.graphs import dense
from tfsaver.graph.lint import lint
from tfsaver.graph.op_risks import scan

W = np.arange(6.0, dtype=np.float32)


def flip_a_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[5] ^= 1
    path.write_bytes(data)


def checkpoint(directory: Path, *, damaged: bool) -> str:
    directory.mkdir()
    prefix = tfsaver.save_checkpoint({"w": W, "b": W[:2]}, directory / "model-1", durable=False)
    if damaged:
        flip_a_byte(directory / "model-1.data-00000-of-00001")
    return prefix


def verify(directory: Path, well: bool) -> Any:
    return tfsaver.verify(checkpoint(directory, damaged=not well))


def diagnose(directory: Path, well: bool) -> Any:
    checkpoint(directory, damaged=not well)
    (directory / "checkpoint").write_text('model_checkpoint_path: "model-1"\n')
    return tfsaver.diagnose(directory)


def salvage(directory: Path, well: bool) -> Any:
    return tfsaver.salvage(checkpoint(directory, damaged=not well), directory / "saved", durable=False)


def lint_of_graph(directory: Path, well: bool) -> Any:
    graph = dense()
    if not well:
        graph.node[-1].input.append("nothing")
    return lint(graph)


def scan_of_graph(directory: Path, well: bool) -> Any:
    graph = dense()
    if not well:
        graph.node.add(name="read", op="ReadFile", input=["x"])
    return scan(graph)


@pytest.mark.parametrize("well", [True, False], ids=["well", "not well"])
@pytest.mark.parametrize("make", [verify, diagnose, salvage, lint_of_graph, scan_of_graph], ids=lambda make: make.__name__)
def test_report_in_a_condition_is_its_verdict(make: Callable[[Path, bool], Any], well: bool, tmp_path: Path) -> None:
    report = make(tmp_path / "run", well)
    assert report.ok is well
    assert bool(report) is well
    document = report.to_json()
    assert document["ok"] is well
    json.dumps(document)
    assert str(report) == "\n".join(report.lines())


def test_partial_restore_is_not_ok(tmp_path: Path) -> None:
    tf = pytest.importorskip("tensorflow")
    prefix = checkpoint(tmp_path / "run", damaged=False)
    w, other = tf.Variable(tf.zeros(6), name="w"), tf.Variable(tf.zeros(6), name="other")
    restored = tfsaver.restore({"w": w}, prefix)
    partial = tfsaver.restore({"w": w, "other": other}, prefix, strict=False)
    assert (bool(restored), restored.ok, bool(partial), partial.ok) == (True, True, False, False)
    assert tfsaver.compare({"w": w}, prefix)
    w.assign(tf.ones(6))
    assert not tfsaver.compare({"w": w}, prefix)


def test_diff_in_a_condition_warns_and_keeps_its_meaning(tmp_path: Path) -> None:
    same, other = tfsaver.diff({"w": W}, {"w": W}), tfsaver.diff({"w": W}, {"w": W + 1})
    assert same.ok and not other.ok
    for report in (same, other):
        with pytest.warns(FutureWarning, match=r"report\.ok"):
            assert bool(report) is not report.ok
        assert report.to_json()["different"] is not report.ok
