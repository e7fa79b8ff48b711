"""The way back of a mapping makes the tensors again, and a file of it does what it does: or both say why they cannot."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from tfsaver.checkpoint.editing.rename import renamed
from tfsaver.checkpoint.names.changes import Spec
from tfsaver.checkpoint.names.name_map import AddConstant, Concat, NameMap, NewNames, Renamed, Rule, Stack, as_name_map
from tfsaver.checkpoint.names.name_map_file import NameMapFile, parse_name_map, value_of_text
from tfsaver.checkpoint.names.name_steps import Applied, Counted, Infos
from tfsaver.checkpoint.tensor_source import ArraySource
from tfsaver.errors import InvalidArgumentError
from tfsaver.framework import dtypes

W = np.arange(6, dtype=np.float32).reshape(2, 3)
CUBE = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
TENSORS = {"w": W, "v": W + 10, "u": W + 20, "cube": CUBE, "b": np.arange(3.0), "step": np.int64(7)}


def specs(tensors: Mapping[str, Any]) -> dict[str, Spec]:
    return {name: Spec(dtypes.from_numpy(np.asarray(value).dtype), np.shape(value)) for name, value in tensors.items()}


def values(tensors: Mapping[str, Any], mapping: Any) -> dict[str, Any]:
    plan = renamed(ArraySource(dict(tensors)), mapping).plan
    return {name: plan[name] for name in plan.names}


def assert_equal(found: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    assert sorted(found) == sorted(expected)
    for name, value in expected.items():
        assert found[name].dtype == np.asarray(value).dtype
        np.testing.assert_array_equal(found[name], value)


def said(function: Any, *arguments: Any, **options: Any) -> str:
    with pytest.raises(InvalidArgumentError) as caught:
        function(*arguments, **options)
    return str(caught.value)


MAPPINGS: list[Any] = [
    {"w": "x", "b": "w"},
    {"w": Renamed("x", True), "cube": {"transpose": [2, 0, 1], "reshape": [4, -1]}},
    {"w": {"to": ["x", "y"], "transpose": True}},
    {"w": ["x", Renamed("y", scale=3)]},
    {"w": {"split": ["x", "y"]}},
    {"w": {"split": {"x": 1, "y": 2}, "axis": 1}},
    {"cube": {"transpose": [1, 0, 2], "split": ["x", "y", "z"], "expand": 0}},
    {"all": {"concat": ["w", "v", "u"]}},
    {"all": {"concat": ["u", "w", "v"], "axis": 1, "transpose": True}},
    {"all": {"stack": ["w", "v"], "axis": 1}},
    {"all": {"stack": [{"to": "w", "transpose": True}, {"to": "v", "transpose": True}]}},
    {"both": {"concat": ["w", "v"], "keep": True}},
    {"c": {"constant": 3}},
    [{"w": {"split": ["x", "y"]}}, {"both": {"concat": ["y", "x"]}}, {"both": "z"}],
    [("^", "m/"), Rule("w$", "kernel", True)],
    lambda name: {"to": name.upper(), "reshape": [-1]},
    [{"b": {"cast": "float64"}}, {"w": {"scale": 0.5}}],
]


@pytest.mark.parametrize("mapping", MAPPINGS, ids=range(len(MAPPINGS)))
def test_the_way_back_makes_the_same_tensors(mapping: Any) -> None:
    there = as_name_map(mapping)
    assert_equal(values(values(TENSORS, there), there.inverse(specs(TENSORS))), TENSORS)


def test_what_has_no_way_back_is_said_with_its_tensor() -> None:
    def back(mapping: Any, **options: Any) -> str:
        return said(as_name_map(mapping, **options).inverse, specs(TENSORS))

    text = back({"w": {"slice": "0"}, "v": {"to": "x", "crop": 1}})
    assert "the mapping has no inverse: 2 problems" in text
    assert "'w': sliced [0] has no inverse" in text and "'v': cropped to 1 along axis 0 has no inverse" in text
    one = back([{"w": {"split": ["x", "y"]}}, {"x": None, "y": {"scale": 3}}])
    assert "scaled by 3 has no exact inverse" in one
    part = back({"w": {"to": "x", "part": {"axis": 0, "sizes": 2, "index": 0}}})
    assert part.endswith("'w': split along axis 0 (part 1 of 2) has no inverse: not all of the parts are kept")
    assert "w, v: sliced" in back({"all": {"concat": ["w", "v"], "slice": "0"}})
    assert "'nothing' names nothing" in back({"nothing": "x"})


def test_what_is_left_out_does_not_come_back() -> None:
    there = as_name_map({"w": None, "b": "c"})
    assert sorted(values(values(TENSORS, there), there.inverse(specs(TENSORS)))) == ["b", "cube", "step", "u", "v"]


FILED: list[Any] = [
    {"w": "x", "b": ["c", "d"], "step": None},
    {"w": {"to": "x", "transpose": True, "scale": 0.5, "cast": "float16"}, "cube": {"slice": "1, :2", "reshape": [-1]}},
    {"w": {"pad": 4, "fill": {"normal": 0.5, "seed": 3}, "axis": 1}, "b": {"pad": 5, "fill": 1.5}, "cube": {"crop": 1, "axis": -1}},
    {"w": {"split": ["x", "y"]}, "cube": {"split": {"p": 1, "q": 2}, "axis": 1}},
    {"w": {"gates": {"order": "abc->cab", "add": {"a": 1.0}}}, "v": {"gates": "abc->bca"}, "u": {"squeeze": True, "expand": [0, 2]}},
    {"x": {"concat": ["w", "v", "u"], "axis": 1, "transpose": True}},
    {"x": {"stack": [{"to": "w", "scale": 2}, "v"], "axis": -1}, "y": {"constant": [1, 2], "dtype": "int16"}},
    {"y": {"constant": "text"}, "z": {"constant": True}, "f": {"constant": 0.25}, 'q"': {"constant": [[1.5]]}},
]  # fmt: skip


@pytest.mark.parametrize("mapping", FILED, ids=range(len(FILED)))
def test_a_file_of_a_mapping_does_the_same(tmp_path: pathlib.Path, mapping: Any) -> None:
    text = as_name_map(mapping).to_toml(specs(TENSORS))
    path = tmp_path / "names.toml"
    path.write_text(text, encoding="utf-8")
    assert_equal(values(TENSORS, path), values(TENSORS, mapping))


def test_what_a_file_cannot_say_is_an_error() -> None:
    def filed(mapping: Any) -> str:
        return said(as_name_map(mapping).to_toml, specs(TENSORS))

    assert filed([{"w": {"to": "x", "scale": 2}}, {"x": {"to": "y", "scale": 2}}]) == "'y': scale twice, which one entry of a file cannot say"
    twice = [{"x": {"concat": ["w", "v"]}}, {"y": {"concat": ["x", "u"]}}]
    assert filed(twice) == "'y' is made of tensors that are joined twice, which a file cannot say"
    assert "'x' is made of 'w', which becomes others too: a file cannot say it" in filed({"x": {"concat": ["w", "v"]}, "w": "z"})
    assert "which becomes others too" in filed({"x": {"concat": ["w", "v"]}, "y": {"stack": ["u", "v"]}})
    assert filed([{"c": {"constant": 1.5}}, {"c": {"scale": 2}}]) == "'c' is a constant that is changed, which a file cannot say"
    assert "which a file cannot say" in filed([{"c": {"constant": W}}, {"y": {"concat": ["w", "c"]}}])
    assert "is no Unicode text" in filed({"c": {"constant": np.array(b"\xff", object)}})
    assert "is nothing that a TOML file can hold" in filed({"c": {"constant": 1j}})
    function = {"w": Renamed("w", pad=3, fill=np.zeros)}
    assert "is nothing that a TOML file can hold" in filed(function)


def test_kept_inputs_of_a_join_are_no_hindrance() -> None:
    text = as_name_map(Concat(["w", "v"], "x", keep=True)).to_toml(specs(TENSORS))
    assert text == '[names]\n"w" = "w"\n"v" = "v"\n\n[[concat]]\ninputs = ["w", "v"]\nto = "x"\naxis = 0\n'


def test_a_file_is_written_line_by_line() -> None:
    mapping = [{"w": {"to": "x", "transpose": True}, "b": None, "v": ["v", "y"]}, AddConstant("c", 2)]
    assert as_name_map(mapping).to_toml(specs(TENSORS)) == (
        '[names]\n"w" = {to = "x", transpose = true}\n"v" = ["v", "y"]\n"b" = false\n'
        '\n[[constants]]\nto = "c"\nvalue = 2\ndtype = "int64"\n'
    )


# ---- reading a file ----


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("xxxxxxxx = 3", ["unknown key 'xxxxxxxx'; there are tables, names, rules, concat, stack, constants, allow_unmatched"]),
        ("tables = ['a', 3]", ["tables is ['a', 3], must be a list of names"]),
        ("names = []", ["names is [], must be a table of old names with the new ones"]),
        ("rules = 3", ["rules is 3, must be a list"]),
        ("allow_unmatched = 1", ["allow_unmatched is 1, must be true or false"]),
        ("concat = 3", ["concat is 3, must be a list"]),
        ("stack = {}\nconstants = 'a'", ["stack is {}, must be a list", "constants is 'a', must be a list"]),
        ("concat = [1]", ["concat 1: 1, must be a table"]),
        ("[[concat]]\nto = 'x'\ninputs = ['a']\n[[concat]]\nto = 'y'", ["concat 2: inputs is missing"]),
        ("[[stack]]\ninputs = ['a']\naxes = 3", ["2 problems", "stack 1: unknown key 'axes'; did you mean 'axis'?", "stack 1: to is missing"]),
        ("[[stack]]\ninputs = []\nto = 'x'", ["stack 1: stack takes a list of names and the result's name, not [], 'x'"]),
        ("[[constants]]\nto = 'x'\nvalu = 3", ["constants 1: unknown key 'valu'; did you mean 'value'?", "constants 1: value is missing"]),
        ("[[constants]]\nto = 'x'\nvalue = 3\naxis = 0", ["constants 1: unknown key 'axis'"]),
        ("[[constants]]\nto = ''\nvalue = 3", ["constants 1: a constant needs a name, not ''"]),
        ("[[constants]]\nto = 'x'\nvalue = 3\ndtype = 'int33'", ["constants 1: unknown dtype 'int33'"]),
        ("[[rules]]\nsplit = ['a']", ["rule 1: pattern is missing"]),
        ("[[rules]]", ["rule 1: pattern is missing", "rule 1: replacement is missing"]),
        ("[[rules]]\npattern = 'a'\nreplacement = 'b'\n[[rules]]\npattern = 'c'", ["rule 2: replacement is missing"]),
        ("[names]\na = 3\nb = {cast = 'int33'}", ["2 problems", "names, 'a': a new name is", "names, unknown dtype 'int33'"]),
    ],
)  # fmt: skip
def test_a_file_says_all_that_is_malformed(text: str, sentences: list[str]) -> None:
    found = said(parse_name_map, text)
    for sentence in sentences:
        assert sentence in found
    if len(sentences) == 1:
        assert "\n" not in found


def test_text_that_is_no_toml_or_json_is_said() -> None:
    assert said(parse_name_map, "a = ").startswith("no TOML: ")
    assert said(parse_name_map, "{", is_json=True).startswith("no JSON: ")
    assert said(parse_name_map, "[" * 100_000, is_json=True).startswith("no JSON: ")
    expected = "an object with tables, names, rules, concat, stack, constants, allow_unmatched is expected, not int"
    assert said(parse_name_map, "3", is_json=True) == expected
    assert value_of_text("{to = 'x', squeeze = 0}") == {"to": "x", "squeeze": 0}
    assert said(value_of_text, "{").startswith("{: no TOML: ")


def test_an_empty_file_says_nothing() -> None:
    assert parse_name_map("") == NameMapFile((), {}, (), (), False) == parse_name_map("{}", is_json=True)
    assert parse_name_map("allow_unmatched = true").allow_unmatched is True
    assert parse_name_map("allow_unmatched = false").allow_unmatched is False


def test_rules_of_a_file_have_all_that_rules_have() -> None:
    content = {
        "rules": [
            {"pattern": "a", "replacement": "b", "when": 2, "crop": 3, "axis": 1},
            {"pattern": "c", "split": ["d", "e"], "axis": 1, "scale": 2},
            {"pattern": "f", "replacement": False},
            {"pattern": "g", "replacement": ""},
        ]
    }
    assert parse_name_map(json.dumps(content), is_json=True).rules == (
        Rule("a", "b", when=2, crop=3, axis=1),
        Rule("c", "", split=["d", "e"], axis=1, scale=2),
        Rule("f", None),
        Rule("g", ""),
    )


def test_joins_of_a_file_see_what_the_names_and_rules_made() -> None:
    text = """
        names = {b = "c"}
        rules = [{pattern = "^[wv]$", replacement = "m/\\\\g<0>"}]
        stack = [{inputs = ["m/w", "m/v"], to = "x", axis = 2, scale = 2.0}]
        concat = [{inputs = ["(.*)/w", "(.*)/v"], to = "\\\\1", regex = true}]
        constants = [{to = "k", value = 1, dtype = "int8", shape = [2]}]
    """
    file = parse_name_map(text)
    assert [type(join).__name__ for join in file.joins] == ["Concat", "Stack", "AddConstant"]
    found = values(TENSORS, [file.names, *map(tuple, [("^([wv])$", r"m/\1")]), *file.joins[1:]])
    np.testing.assert_array_equal(found["x"], 2 * np.stack([W, W + 10], axis=2))
    assert found["k"].tolist() == [1, 1] and found["k"].dtype == np.int8
    first = values(TENSORS, [("^([wv])$", r"m/\1"), file.joins[0]])
    np.testing.assert_array_equal(first["m"], np.concatenate([W, W + 10]))


# ---- what a mapping says of itself ----


def test_new_names_are_a_mapping_of_all_names() -> None:
    names = as_name_map({"a": "x", "b": None}).apply(["a", "b", "c"])
    assert dict(names) == {"a": (Renamed("x"),), "b": (), "c": (Renamed("c"),)}
    assert len(names) == 3 and list(names) == ["a", "b", "c"] and names.is_renaming
    with pytest.raises(KeyError):
        names["d"]
    assert names.left_out() == {"b": ""} and names.renamed() == {"a": ("x",)}
    assert names.named == {"a", "b"} and names.collisions() == []


def test_new_names_say_what_is_changed_for_people() -> None:
    mapping = {"w": {"to": ["x", "y"], "transpose": True}, "all": {"concat": ["v", "u"]}, "c": {"constant": 1}, "step": "step"}
    names = as_name_map(mapping).apply(specs(TENSORS))
    assert not names.is_renaming
    assert names.renamed() == {
        "w": ("x transposed [1, 0]", "y transposed [1, 0]"),
        "v, u": ("all concatenated along axis 0",),
        "(constant)": ("c",),
    }
    made = names.made()
    assert made["all"].inputs == ("v", "u") and made["all"].is_changed and made["c"].inputs == ()
    assert made["x"].changes == ("transposed [1, 0]",)
    assert not as_name_map(AddConstant("c", 1)).apply(["a"]).is_renaming


def test_notes_count_what_each_part_has_matched() -> None:
    counts = [Counted("t", 1200, 3000, ("p", "q")), Counted("u", 0, 2, ("p",)), Counted("v", 2, 2)]
    names = NewNames(["a"], {}, {}, counts, notes=["first"])
    assert names.notes() == ("first", "t: 1,200 of 3,000 names; not recognized: p, q", "u: 0 of 2 names", "v: 2 of 2 names")
    assert as_name_map({"zz": "y"}, allow_unmatched=True).apply(["a"]).notes() == ("'zz' names nothing", "names: 0 of 1 names")
    assert as_name_map({"a": "y"}).apply(["a"]).notes() == ("names: 1 of 1 names",)


def test_what_matches_nothing_is_allowed_for_all_or_by_a_mapping() -> None:
    text = said(as_name_map({"zz": "y"}).apply, ["a"])
    assert "allow_unmatched=True (--allow-unmatched) permits what matches nothing" in text
    assert "allow_unmatched" not in said(as_name_map({"a": "b"}).apply, ["a", "b"])
    lenient = as_name_map({"zz": "y"}, allow_unmatched=True)
    assert as_name_map(lenient) is lenient and lenient.allow_unmatched
    assert as_name_map([lenient, {"a": "b"}]).allow_unmatched and not as_name_map([{"a": "b"}]).allow_unmatched
    assert as_name_map(NameMap()).steps == () and not NameMap().allow_unmatched


def test_names_may_be_given_as_they_are_known() -> None:
    mapping = as_name_map({"w": Renamed("x", when=2)})
    for given in (specs(TENSORS), Infos(list(TENSORS), specs(TENSORS).__getitem__)):
        assert mapping.apply(given)["w"] == (Renamed("x"),)
    assert list(as_name_map(None).apply(["b", "a", "b"])) == ["b", "a"]
    assert "depends on its shape, and only names were given" in said(mapping.apply, ["w"])


def test_steps_see_what_the_steps_before_made() -> None:
    seen: list[dict[str, tuple[int, ...]]] = []

    class Looking:
        def apply(self, infos: Infos) -> Applied:
            seen.append({name: tuple(infos[name].shape) for name in infos})
            return Applied({})

    tensors = {"w": W, "v": W}
    as_name_map([Looking(), {"w": {"to": ["x", "y"], "transpose": True}}, Looking(), AddConstant("c", [1, 2]), Looking(),
                 Stack(["x", "y"], "z"), Looking(), {"v": None}, Looking()]).apply(specs(tensors))  # fmt: skip
    assert seen == [
        {"w": (2, 3), "v": (2, 3)},
        {"x": (3, 2), "y": (3, 2), "v": (2, 3)},
        {"x": (3, 2), "y": (3, 2), "v": (2, 3), "c": (2,)},
        {"z": (2, 3, 2), "v": (2, 3), "c": (2,)},
        {"z": (2, 3, 2), "c": (2,)},
    ]


def test_names_that_collide_with_a_constant_are_said() -> None:
    assert "'a' and '(constant c)' both become 'c'" in said(as_name_map([{"a": "c"}, AddConstant("c", 1)]).apply, ["a"])
    assert said(as_name_map({"a": "", "b": "", "c": "", "d": ""}).apply, list("abcd")).endswith("'a' and 'b' and 'c': the new name is empty")
    assert said(as_name_map({"a": "x", "b": "x", "c": "x"}).apply, list("abc")).endswith("'a', 'b' and 'c' all become 'x'")
    assert "both become" in said(as_name_map([Concat(["a"], "x"), {"b": "x"}]).apply, list("ab"))


def test_names_that_people_gave_are_those_of_the_last_step() -> None:
    def named(*mapping: Any) -> set[str]:
        return as_name_map(list(mapping)).apply(["a", "b"]).named & {"a", "b"}

    assert named(("a", "x"), {"x": "y"}) == {"a"} and named(("a", "x"), {"b": "y"}) == {"b"}
    assert named({"a": "x"}, ("x", "y")) == {"a"} and named({"a": "x"}, {"b": "y"}) == {"a", "b"}
    assert named(("a", "x")) == named(("a", "x"), ("b", "y")) == set()


def test_a_name_of_a_table_or_a_file_is_text() -> None:
    assert "did you mean 'rnn-cells'?" in said(as_name_map, "rnn-cel")
    far = said(as_name_map, "zzzzzzzz")
    assert far.startswith("no table of names 'zzzzzzzz'; there are ") and far.endswith("(a file ends in .toml or .json)")
    assert "not int" in said(as_name_map, 3)
