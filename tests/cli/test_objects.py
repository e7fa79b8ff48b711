"""`tfsaver inspect --objects` shows a TensorFlow 2 checkpoint as the objects that it was written from."""

from __future__ import annotations

import json
import pathlib
from typing import Any

import numpy as np
import pytest

import tfsaver
from tfsaver.checkpoint.objects.object_graph_builder import ObjectGraphBuilder
from tfsaver.cli.main import main

VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"


@pytest.fixture
def prefix(tmp_path: pathlib.Path) -> str:
    """A network, an optimizer and a table."""
    builder = ObjectGraphBuilder()
    builder.variable(("net", "a\n"), "dense/kernel")
    builder.link(("opt", "model"), ("net",))
    builder.slot(("opt",), ("net", "a\n"), "m")
    builder.attribute(("words",), "table")
    tensors: dict[str, Any] = {
        f"net/a\n{VALUE}": np.ones((2, 3), np.float32),
        f"net/a\n/.OPTIMIZER_SLOT/opt/m{VALUE}": np.ones((2, 3), np.float32),
        "words/.ATTRIBUTES/table-keys": np.array([b"a"], object),
        "words/.ATTRIBUTES/table-values": np.array([1]),
    }
    return tfsaver.save_checkpoint(tensors, tmp_path / "ckpt-1", durable=False, object_graph=builder.build())


def test_objects_are_a_tree(prefix: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", "--objects", prefix]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[2:11] == [
        "root",
        "  net",
        "    a\\x0a  float32 [2,3] 24 B (dense/kernel)",
        "  opt",
        "    model = net",
        "    m of net/a\\x0a  float32 [2,3] 24 B",
        "  words  table: words/.ATTRIBUTES/table...",
        "",
        lines[10],
    ]
    assert lines[10].startswith("5 tensors")


def test_objects_are_records_in_json(prefix: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", "--objects", "--json", prefix]) == 0
    objects = json.loads(capsys.readouterr().out)["report"]["objects"]
    assert [item["path"] for item in objects] == [
        [],
        ["net"],
        ["opt"],
        ["words"],
        ["net", "a\n"],
        ["net", "a\n", ".OPTIMIZER_SLOT", "opt", "m"],
    ]
    assert objects[2]["children"] == {"model": 1}
    assert objects[2]["slots"] == [{"name": "m", "variable_id": 4, "node_id": 5}]
    assert objects[4]["values"] == [{"name": "VARIABLE_VALUE", "full_name": "dense/kernel", "key": f"net/a\n{VALUE}"}]
    assert main(["inspect", "--json", prefix]) == 0
    assert "objects" not in json.loads(capsys.readouterr().out)["report"]


def test_checkpoint_of_names_has_no_objects(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    prefix = tfsaver.save_checkpoint({"w": 1}, tmp_path / "model", durable=False)
    assert main(["inspect", "--objects", prefix]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "written from names: it has no objects" in captured.err
    assert main(["inspect", "--objects", "--json", prefix]) == 0
    assert json.loads(capsys.readouterr().out)["report"]["objects"] is None
