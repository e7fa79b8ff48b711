"""The table of a tree may come from anywhere: it is a tree, or it is damaged."""

from __future__ import annotations

import json
import pathlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tfsaver
from tests.plugins.exhaustive import sample_size
from tfsaver.checkpoint.objects.object_graph import TREE_KEY
from tfsaver.errors import DataLossError, SaverError, UnimplementedError
from tfsaver.targets.trees.structure import MAX_DEPTH, Branch, Leaf, Value, node_names, parse, serialize

TREE = [
    Branch("dict", ("w", "p"), (1, 2)),
    Leaf("w/.ATTRIBUTES/VARIABLE_VALUE", "torch", {"parameter": True}),
    Branch("namedtuple", ("x", "y"), (3, 4), "Point"),
    Branch("tuple", (0,), (5,)),
    Branch("ordered_dict", (), (), metadata={"": {"version": 1}}),
    Value(3),
]


def table(*nodes: Any, **fields: Any) -> bytes:
    return json.dumps({"format": "tfsaver tree", "version": 1, "nodes": list(nodes), **fields}).encode()


def test_table_says_all_of_a_tree() -> None:
    assert parse(serialize(TREE)) == TREE
    assert node_names(TREE) == ["", "w", "p", "p/x", "p/y", "p/x/0"]


def test_table_has_the_documented_form() -> None:
    assert json.loads(serialize(TREE))["nodes"] == [
        {"dict": [["w", 1], ["p", 2]]},
        {"tensor": "w/.ATTRIBUTES/VARIABLE_VALUE", "as": "torch", "parameter": True},
        {"namedtuple": [["x", 3], ["y", 4]], "name": "Point"},
        {"tuple": [5]},
        {"ordered_dict": [], "metadata": {"": {"version": 1}}},
        {"value": 3},
    ]


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\xff",
        b"[" * 100_000,
        b"[]",
        b"{}",
        b'{"format": "tfsaver tree", "version": 1, "nodes": [{"value": ' + b"9" * 5000 + b"}]}",
        table(version=0),
        table(version="1"),
        table(),
        table(nodes={}),
        table(7),
        table({}),
        table({"list": 1}),
        table({"list": ["1"]}, {"value": 1}),
        table({"list": [True]}, {"value": 1}),
        table({"list": [0]}),
        table({"list": [1, 1]}, {"value": 1}),
        table({"list": [1]}),
        table({"list": [-1]}, {"value": 1}),
        table({"list": []}, {"value": 1}),
        table({"list": [2]}, {"list": [2]}, {"value": 1}),
        table({"list": [1]}, {"list": [0]}),
        table({"dict": [["a", 1], ["a", 2]]}, {"value": 1}, {"value": 2}),
        table({"dict": [["a", 1.0]]}, {"value": 1}),
        table({"dict": [[None, 1]]}, {"value": 1}),
        table({"dict": [["a"]]}),
        table({"dict": {"a": 1}}, {"value": 1}),
        table({"ordered_dict": [], "metadata": 3}),
        table({"namedtuple": [], "name": None}),
        table({"tensor": 3, "as": "numpy"}),
        table({"tensor": "a"}),
        table({"tensor": "a", "as": "torch", "parameter": 1}),
        table({"value": [1]}),
        table({"value": 1, "int": 2}),
        table({"int": 3}),
        table({"int": "three"}),
        table({"float": "7ff8"}),
        table({"float": 3.5}),
        table({"complex": "xx"}),
        table({"bytes": "*"}),
        table({"str": "/w=="}),
        table({"set": "eA=="}),
        table(*({"list": [index + 1]} for index in range(MAX_DEPTH + 1)), {"value": 1}),
    ],
)
def test_what_is_no_table_of_a_tree_is_data_loss(text: bytes) -> None:
    with pytest.raises(DataLossError, match=TREE_KEY):
        parse(text)


def test_infinity_in_json_is_no_number() -> None:
    with pytest.raises(DataLossError):
        parse(b'{"format": "tfsaver tree", "version": 1, "nodes": [{"value": Infinity}]}')


def test_newer_version_asks_for_a_newer_program() -> None:
    with pytest.raises(UnimplementedError, match="version 2, this tfsaver knows 1"):
        parse(table({"value": 1}, version=2))


def test_table_that_fills_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tfsaver.targets.trees.structure.MAX_SIZE", 100)
    with pytest.raises(DataLossError, match="at most 100"):
        parse(table({"value": "x" * 100}))


_WORDS = ["list", "dict", "tensor", "as", "value", "int", "text"]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 9) | st.floats() | st.sampled_from(["a", "numpy", "U3", "x/y", ""]),
    lambda items: st.lists(items, max_size=4) | st.dictionaries(st.sampled_from(_WORDS), items),
    max_leaves=8,
)


@settings(max_examples=sample_size(100) or 500, deadline=None)
@given(st.lists(JSON | st.builds(lambda ids: {"list": ids}, st.lists(st.integers(0, 5), max_size=4)), max_size=6))
def test_any_json_is_a_tree_or_an_error_of_ours(nodes: list[Any]) -> None:
    try:
        found = parse(table(*nodes))
    except SaverError:
        return
    assert len(found) == len(nodes)
    assert sorted(child for node in found if isinstance(node, Branch) for child in node.children) == list(
        range(1, len(found))
    )


def load_with(directory: pathlib.Path, *nodes: Any, **tensors: Any) -> Any:
    tfsaver.save_checkpoint(
        {"n": np.arange(3), "t": [b"a", b"\xff"], **tensors, TREE_KEY: table(*nodes)}, directory / "tree"
    )
    return tfsaver.load(directory / "tree")


@pytest.mark.parametrize(
    ("record", "match"),
    [
        ({"tensor": "m", "as": "numpy"}, "tensors that the checkpoint has not: 'm'"),
        ({"tensor": "n", "as": "cupy"}, "'cupy', which is none of"),
        ({"tensor": "n", "as": "numpy", "text": "U3"}, "int64, said to be text"),
        ({"tensor": "t", "as": "numpy", "text": "U3"}, "said to be text"),
        ({"tensor": "t", "as": "numpy", "text": "M8"}, "no type of text"),
        ({"tensor": "t", "as": "numpy", "text": ""}, None),
        ({"tensor": "t", "as": "str"}, "said to be one str"),
        ({"tensor": "n", "as": "bytes"}, "said to be one bytes"),
        ({"tensor": "s", "as": "str"}, "said to be text"),
        ({"namedtuple": [], "name": "class"}, "cannot be"),
        ({"namedtuple": [], "name": "A b"}, "cannot be"),
        ({"namedtuple": [], "name": "_"}, None),
    ],
)
def test_table_that_contradicts_the_tensors_is_data_loss(record: Any, match: str | None, tmp_path: pathlib.Path) -> None:
    if match is None:
        load_with(tmp_path, record)
        return
    with pytest.raises(DataLossError, match=match):
        load_with(tmp_path, record, s=b"\xff\xfe")


@pytest.mark.parametrize("fields", [["_hidden"], ["class"], ["a b"], [3], ["x\nimport os"]])
def test_fields_of_a_namedtuple_are_names(fields: list[Any], tmp_path: pathlib.Path) -> None:
    with pytest.raises(DataLossError, match="cannot be"):
        load_with(tmp_path, {"namedtuple": [[fields[0], 1]], "name": "Point"}, {"value": 1})


def test_width_of_text_is_no_reason_to_fill_memory(tmp_path: pathlib.Path) -> None:
    loaded = load_with(tmp_path, {"tensor": "u", "as": "numpy", "text": "U999999999"}, u=[b"a", b"bc"])
    assert loaded.dtype == "<U2" and loaded.tolist() == ["a", "bc"]


@pytest.mark.parametrize("value", [np.int64(3), [b"a"], b"{"])
def test_table_must_be_one_string(value: Any, tmp_path: pathlib.Path) -> None:
    tfsaver.save_checkpoint({TREE_KEY: value}, tmp_path / "tree")
    with pytest.raises(DataLossError, match=TREE_KEY):
        tfsaver.load(tmp_path / "tree")
