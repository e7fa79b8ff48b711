"""A mapping of names in a file is read as it is said there, in TOML and in JSON; a typing error is not passed over."""

from __future__ import annotations

import json
import pathlib
from typing import Any

import numpy as np
import pytest

import tfsaver
from tfsaver.checkpoint.names.name_map import as_name_map
from tfsaver.checkpoint.names.name_map_file import NameMapFile, parse_name_map
from tfsaver.checkpoint.names.name_steps import Renamed, Rule
from tfsaver.errors import InvalidArgumentError

TOML = """
tables = ["rnn-cells", "moving-averages"]

[names]
"a/w" = "b"
"c" = ["d", {name = "e", transpose = true}]
"f" = false

[[rules]]
pattern = "kernel$"
replacement = "weight"
transpose = true

[[rules]]
pattern = "^step$"
replacement = false
"""
SAME = NameMapFile(
    ("rnn-cells", "moving-averages"),
    {"a/w": "b", "c": ["d", {"name": "e", "transpose": True}], "f": False},
    (Rule("kernel$", "weight", True), Rule("^step$", None, None)),
)


def test_toml_is_read() -> None:
    assert parse_name_map(TOML) == SAME


def test_json_says_the_same() -> None:
    content = {
        "tables": ["rnn-cells", "moving-averages"],
        "names": {"a/w": "b", "c": ["d", {"name": "e", "transpose": True}], "f": False},
        "rules": [
            {"pattern": "kernel$", "replacement": "weight", "transpose": True},
            {"pattern": "^step$", "replacement": None},
        ],
    }
    assert parse_name_map(json.dumps(content), is_json=True) == SAME


def write(path: pathlib.Path, text: str) -> pathlib.Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_names_come_first_and_then_tables_and_then_rules(tmp_path: pathlib.Path) -> None:
    path = write(
        tmp_path / "names.toml",
        """
        tables = ["slim-to-keras"]
        names = {"a/weights" = "a/weights"}
        rules = [{pattern = "kernel", replacement = "matrix"}]
        """,
    )
    found = as_name_map(path).apply(["a/weights", "b/weights"])
    assert {name: targets[0].name for name, targets in found.items()} == {"a/weights": "a/weights", "b/weights": "b/matrix"}


def test_table_does_not_see_the_names_that_are_done(tmp_path: pathlib.Path) -> None:
    path = write(tmp_path / "names.json", '{"tables": ["moving-averages"], "names": {"w/ExponentialMovingAverage": "v"}}')
    found = as_name_map(path, allow_unmatched=True).apply(["w", "w/ExponentialMovingAverage"])
    assert found == {"w": (Renamed("w"),), "w/ExponentialMovingAverage": (Renamed("v"),)}


def test_collision_between_names_and_rules_is_said_once(tmp_path: pathlib.Path) -> None:
    text = '[names]\na = "x"\n[[rules]]\npattern = "^[bc]$"\nreplacement = "x"\n'
    found: list[str] = []
    as_name_map(write(tmp_path / "names.toml", text)).apply(["a", "b", "c"], problems=found)
    assert found == ["'a', 'b' and 'c' all become 'x'"]


JOINED = """
allow_unmatched = true

[names]
"fused" = {split = ["q", "k", "v"], axis = 1}

[[rules]]
pattern = "^conv/kernel$"
replacement = "conv/weight"
transpose = [3, 2, 0, 1]
when = 4

[[concat]]
inputs = ["(.*)/query", "(.*)/key"]
to = '\\1/qk'
regex = true
axis = -1
keep = true

[[stack]]
inputs = ["e0", "e1"]
to = "experts"

[[constants]]
to = "global_step"
value = 7
dtype = "int64"
"""


def test_file_joins_splits_and_makes_tensors(tmp_path: pathlib.Path) -> None:
    rows = np.arange(6, dtype=np.float32).reshape(2, 3)
    kernel = np.arange(24, dtype=np.float32).reshape(1, 2, 3, 4)
    given = {"fused": np.hstack([rows, rows + 6, rows + 12]), "conv/kernel": kernel, "e0": rows[0], "e1": rows[1]}
    given |= {f"layer_{number}/{word}": rows * number for number in (1, 2) for word in ("query", "key")}
    found = tfsaver.load(given, mapping=write(tmp_path / "names.toml", JOINED))
    expected = {"q": rows, "k": rows + 6, "v": rows + 12, "conv/weight": kernel.transpose(3, 2, 0, 1)}
    expected |= {"experts": rows, "global_step": np.int64(7)}
    expected |= {f"layer_{number}/qk": np.hstack([rows * number, rows * number]) for number in (1, 2)}
    # What is kept stays under its own name too.
    expected |= {name: value for name, value in given.items() if name.startswith("layer_")}
    assert sorted(found) == sorted(expected)
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value)
        assert np.asarray(found[name]).dtype == np.asarray(value).dtype


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("rulez = []\ntable = []", ["unknown key 'rulez'; did you mean 'rules'?", "unknown key 'table'; did you mean 'tables'?"]),
        ("[[rules]]\npattern = 'a'\nreplace = 'b'", ["rule 1: unknown key 'replace'; did you mean 'replacement'?", "replacement is missing"]),
        ("[names]\na = {nam = 'b'}", ["names, 'a': unknown key 'nam'; did you mean 'name'?"]),
        ("[names]\na = {name = 'b', transpose = [2]}", ["names, 'a': transpose is [2], must be true, or each axis once"]),
        ("tables = ['rnn-cell']", ["no table of names 'rnn-cell'; did you mean 'rnn-cells'?"]),
        ("tables = ['other.toml']", ["no table of names 'other.toml'"]),
        ("[[rules]]\npattern = '('\nreplacement = ''\n[[rules]]\npattern = 'a'\nreplacement = '\\1'", ["2 problems", "rule 2"]),
        ("tables = 'rnn-cells'", ["tables is 'rnn-cells', must be a list of names"]),
        ("names = 3\nrules = {}", ["names is 3", "rules is {}, must be a list"]),
        ("rules = ['a']", ["rule 1: 'a', must have pattern and replacement"]),
        ("names = {", ["no TOML"]),
    ],
)  # fmt: skip
def test_malformed_file_is_an_error_that_names_it_and_says_all(tmp_path: pathlib.Path, text: str, sentences: list[str]) -> None:
    path = write(tmp_path / "names.toml", text)
    with pytest.raises(InvalidArgumentError) as caught:
        as_name_map(path)
    assert str(caught.value).startswith(f"{path}: ")
    for sentence in sentences:
        assert sentence in str(caught.value)


@pytest.mark.parametrize(
    ("content", "sentence"), [("[]", "not list"), ("{", "no JSON"), ('{"names": {"a": 3}}', "'a'"), ('{"tables": ["x"]}', "'x'")]
)
def test_malformed_json_is_an_error(tmp_path: pathlib.Path, content: str, sentence: str) -> None:
    with pytest.raises(InvalidArgumentError, match=sentence):
        as_name_map(write(tmp_path / "names.json", content))


@pytest.mark.parametrize("rule", [{"pattern": "(", "replacement": ""}, {"pattern": "a", "replacement": 3}, {"pattern": "a", "replacement": "", "transpose": 2}])  # fmt: skip
def test_malformed_rule_in_a_file_is_an_error(tmp_path: pathlib.Path, rule: dict[str, Any]) -> None:
    path = write(tmp_path / "names.json", json.dumps({"rules": [rule]}))
    with pytest.raises(InvalidArgumentError, match="rule 1"):
        as_name_map(path)


def test_file_that_is_no_text_is_an_error(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "names.toml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidArgumentError, match="no UTF-8"):
        as_name_map(path)


def test_file_that_is_not_there_is_said_so(tmp_path: pathlib.Path) -> None:
    with pytest.raises(FileNotFoundError):
        as_name_map(tmp_path / "names.toml")
