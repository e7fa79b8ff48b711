"""A mapping of names is applied as it is said, and what is wrong with it is said at once."""

from __future__ import annotations

import json
import pathlib
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfsaver.checkpoint.names.name_map import NameMap, Renamed, Rule, add_scope, as_name_map, strip_scope
from tfsaver.checkpoint.objects.object_graph import OBJECT_GRAPH_KEY
from tfsaver.errors import InvalidArgumentError

KEY = "net/w/.ATTRIBUTES/VARIABLE_VALUE"


def renamed(mapping: Any, *names: str) -> dict[str, Any]:
    """The new name of each, a list of several; with the axes where it is transposed."""
    result: dict[str, Any] = {}
    for name, targets in as_name_map(mapping, allow_unmatched=True).apply(names).items():
        values = [(target.name, *(change.axes for change in target.changes)) if target.changes else target.name for target in targets]
        result[name] = values[0] if len(values) == 1 else values
    return result


def problems(mapping: Any, *names: str) -> list[str]:
    with pytest.raises(InvalidArgumentError) as caught:
        as_name_map(mapping).apply(names)
    return str(caught.value).split("\n  ")


def test_nothing_is_renamed_by_nothing() -> None:
    assert renamed(None, "w", "b") == renamed({}, "w", "b") == renamed([], "w", "b") == {"w": "w", "b": "b"}


def test_dict_renames_copies_leaves_out_and_keeps_the_rest() -> None:
    mapping = {"w": "kernel", "b": ["bias", "copy"], "step": None, "epoch": False, "m": Renamed("n", (1, 0))}
    names = ["w", "b", "step", "epoch", "m", "other"]
    expected = {"w": "kernel", "b": ["bias", "copy"], "step": [], "epoch": [], "m": ("n", (1, 0)), "other": "other"}
    assert renamed(mapping, *names) == expected


def test_two_names_can_be_swapped() -> None:
    assert renamed({"a": "b", "b": "a"}, "a", "b") == {"a": "b", "b": "a"}


def test_rules_are_applied_one_after_the_other() -> None:
    rules = [("weights$", "kernel"), (r"^old/(\w+)", r"new/\1"), ("kernel", "matrix"), (r"/(?P<word>tail)$", r"/\g<word>s")]
    assert renamed(rules, "old/a/weights", "x/tail") == {"old/a/weights": "new/a/matrix", "x/tail": "x/tails"}


def test_rule_replaces_every_occurrence() -> None:
    assert renamed([("layer_", "layer.")], "layer_1/layer_2") == {"layer_1/layer_2": "layer.1/layer.2"}


def test_rule_without_replacement_leaves_out() -> None:
    assert renamed([("/Adam(_1)?$", None), ("w", "v")], "w", "w/Adam", "w/Adam_1") == {"w": "v", "w/Adam": [], "w/Adam_1": []}


def test_compiled_pattern_is_a_pattern() -> None:
    assert renamed([(re.compile("W", re.IGNORECASE), "v")], "w") == {"w": "v"}


def test_single_rule_need_not_be_in_a_list() -> None:
    assert renamed(Rule("w", "v"), "w") == {"w": "v"}


@pytest.mark.parametrize(
    ("transpose", "axes"), [(True, (1, 0)), ([3, 2, 0, 1], (3, 2, 0, 1)), (False, None), (None, None), ((0, 1), None)]
)
def test_rule_can_carry_an_order_of_axes(transpose: Any, axes: Any) -> None:
    mapped = as_name_map([Rule("kernel$", "weight", transpose), ("^a/", "a.")]).apply(["a/kernel", "a/bias"])
    assert mapped == {"a/kernel": (Renamed("a.weight", axes),), "a/bias": (Renamed("a.bias"),)}


def test_axes_of_rules_that_follow_each_other_are_of_what_the_one_before_made() -> None:
    first, second = (2, 0, 1), (1, 2, 0)
    array = np.arange(24).reshape(2, 3, 4)
    (target,) = as_name_map([Rule("w", "w", first), Rule("w", "w", (0, 2, 1))]).apply(["w"])["w"]
    [change] = target.changes
    np.testing.assert_array_equal(array.transpose(change.axes), array.transpose(first).transpose((0, 2, 1)))
    assert renamed([Rule("w", "w", first), Rule("w", "w", second)], "w") == {"w": "w"}


def test_axes_of_different_numbers_do_not_follow_each_other() -> None:
    assert "2 axes, and then as if it had 4" in problems([Rule("w", "w", True), Rule("w", "w", [3, 2, 0, 1])], "w")[0]


def test_function_renames_and_leaves_out() -> None:
    assert renamed(lambda name: name.upper() if name != "b" else None, "w", "b") == {"w": "W", "b": []}


def test_function_that_returns_no_name_is_an_error() -> None:
    assert "a new name is a str, Renamed, a dict with to, a list of these, or None to leave the tensor out: 3" in problems(lambda name: 3, "w")[0]


def test_several_mappings_see_what_the_one_before_made() -> None:
    mapping = [{"w": "v"}, ("v", "u"), Rule("u", "t"), str.upper, {"T": ["x", "y"]}, as_name_map({"y": "z"})]
    assert renamed(mapping, "w") == {"w": ["x", "z"]}


def test_paths_of_objects_are_renamed_without_their_attribute() -> None:
    assert renamed([("/w$", "/kernel")], KEY) == {KEY: "net/kernel/.ATTRIBUTES/VARIABLE_VALUE"}
    assert renamed(str.upper, KEY) == {KEY: "NET/W/.ATTRIBUTES/VARIABLE_VALUE"}
    assert renamed(add_scope("model"), KEY, OBJECT_GRAPH_KEY) == {KEY: f"model/{KEY}", OBJECT_GRAPH_KEY: OBJECT_GRAPH_KEY}
    assert renamed([("VARIABLE|ATTRIBUTES|OBJECT", "x")], KEY, OBJECT_GRAPH_KEY) == {KEY: KEY, OBJECT_GRAPH_KEY: OBJECT_GRAPH_KEY}


def test_dict_names_paths_of_objects_with_or_without_the_attribute() -> None:
    assert renamed({"net/w": "kernel"}, KEY) == {KEY: "kernel/.ATTRIBUTES/VARIABLE_VALUE"}
    assert renamed({KEY: "dense/kernel"}, KEY) == {KEY: "dense/kernel"}
    assert renamed({OBJECT_GRAPH_KEY: None}, OBJECT_GRAPH_KEY) == {OBJECT_GRAPH_KEY: []}


def test_scope_is_taken_off_and_put_on() -> None:
    assert renamed(strip_scope("model"), "model/w", "modelling/w") == {"model/w": "w", "modelling/w": "modelling/w"}
    assert renamed(strip_scope("model/", is_only=True), "model/w", "step") == {"model/w": "w", "step": []}
    assert renamed(strip_scope("bert", separator="."), "bert.w") == {"bert.w": "w"}
    assert renamed([strip_scope("a/b"), add_scope("c/d")], "a/b/w") == {"a/b/w": "c/d/w"}


def test_scope_that_nothing_is_in_is_a_problem() -> None:
    assert problems(strip_scope("modal"), "model/w", "step") == [
        "the mapping does not fit the names: no name begins with 'modal/'; there are 'model'"
    ]


def test_all_that_is_wrong_is_said_at_once() -> None:
    mapping = {"a": "x", "b": "x", "c": "d", "conv/kernal": "k", "zzz": "z", "e": ""}
    assert problems(mapping, "a", "b", "c", "d", "e", "conv/kernel") == [
        "the mapping does not fit the names: 5 problems (allow_unmatched=True (--allow-unmatched) permits what matches nothing)",
        "'conv/kernal' names nothing; did you mean 'conv/kernel'?",
        "'zzz' names nothing",
        "'e': the new name is empty",
        "'a' and 'b' both become 'x'",
        "'c' and 'd' both become 'd'",
    ]


def test_tensor_cannot_become_one_name_twice() -> None:
    assert "'w' and 'w' both become 'v'" in problems({"w": ["v", "v"]}, "w")[0]


def test_names_that_collide_on_the_way_but_not_in_the_end_are_no_problem() -> None:
    assert renamed([{"a": "x", "b": "x"}, {"x": None}], "a", "b", "c") == {"a": [], "b": [], "c": "c"}


def test_problems_can_be_collected_instead_of_raised() -> None:
    found: list[str] = []
    result = as_name_map({"a": "b", "q": "r"}).apply(["a", "b"], problems=found)
    assert found == ["'q' names nothing", "'a' and 'b' both become 'b'"]
    assert result == {"a": (Renamed("b"),), "b": (Renamed("b"),)}


def test_malformed_rules_are_an_error_when_the_mapping_is_made() -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        as_name_map([("(", "x"), ("a", r"\2"), ("a", r"\g<q>"), ("a",), ("a", "b", "c"), ("ok", "fine"), ("a", "b", [0, 0])])
    lines = str(caught.value).split("\n  ")
    assert lines[0] == "rules: 6 problems" and [line.split(",")[0] for line in lines[1:]] == [
        f"rule {number}" for number in (1, 2, 3, 4, 5, 7)
    ]
    assert "invalid group reference 2" in lines[2] and "unknown group name 'q'" in lines[3]


@pytest.mark.parametrize("mapping", [{"w": 3}, {"w": [3]}, {"w": True}, {5: "w"}, {"w": {"to": "v", "transpose": [0, 2]}}])
def test_malformed_dict_is_an_error_when_the_mapping_is_made(mapping: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="names: "):
        as_name_map(mapping)


@pytest.mark.parametrize(
    ("mapping", "sentence"),
    [
        ("rnn-cell", "no table of names 'rnn-cell'; did you mean 'rnn-cells'"),
        ("names.txt", "a file ends in .toml or .json"),
        (("weights", "kernel"), "no table of names 'weights'"),
        (7, "is a dict, a list of rules, the name of a table, a path of a file, a function or a step, not int"),
        (b"rnn-cells", "not bytes"),
    ],
)
def test_what_is_no_mapping_says_what_would_be(mapping: Any, sentence: str) -> None:
    with pytest.raises(InvalidArgumentError, match=re.escape(sentence)):
        as_name_map(mapping)


def test_mapping_is_written_as_a_file_that_does_the_same(tmp_path: pathlib.Path) -> None:
    names = ["a/kernel", "conv", 'quo"te\\', "tab\tdel\x7fé", "step", "kept"]
    mapping = as_name_map([
        Rule("kernel$", "weight", True),
        {"conv": Renamed("filters", (3, 2, 0, 1)), 'quo"te\\': ["b", "c"], "tab\tdel\x7fé": "d\né", "step": None},
    ])  # fmt: skip
    text = mapping.to_toml(names)
    assert '"a/kernel" = {to = "a/weight", transpose = true}' in text and "kept" not in text
    path = tmp_path / "names.toml"
    path.write_text(text, encoding="utf-8")
    assert as_name_map(path).apply(names) == mapping.apply(names) == as_name_map(str(path)).apply(names)


def test_name_that_is_no_text_is_not_written() -> None:
    with pytest.raises(InvalidArgumentError, match="no Unicode text"):
        as_name_map({"w": "\udc80"}).to_toml(["w"])


def test_many_names_and_rules_of_which_many_fail_are_not_slow_to_report() -> None:
    names = [f"layer_{number}/kernel" for number in range(20_000)]
    mapping = {f"block_{number}/kernel": f"x{number}" for number in range(20_000)}
    assert len(problems(mapping, *names)) == 20_001


NAMES = st.lists(st.text("ab/_", min_size=1, max_size=5), unique=True, max_size=8)


@st.composite
def bijections(draw: Any) -> tuple[list[str], dict[str, str]]:
    names = draw(NAMES)
    return names, dict(zip(names, draw(st.permutations([f"new/{name}" for name in names])), strict=True))


@given(bijections())
def test_inverse_leads_back(case: tuple[list[str], dict[str, str]]) -> None:
    names, mapping = case
    there = as_name_map(mapping)
    news = [target.name for targets in there.apply(names).values() for target in targets]
    back = there.inverse(names).apply(news)
    assert {new: old for old, new in mapping.items()} == {new: targets[0].name for new, targets in back.items()}


@given(bijections(), st.permutations([0, 1, 2, 3]))
def test_inverse_turns_axes_back(case: tuple[list[str], dict[str, str]], axes: list[int]) -> None:
    names, mapping = case
    there = as_name_map([mapping, Rule("", "", axes)], allow_unmatched=True)
    both = NameMap([*there.steps, *there.inverse(names).steps])
    assert both.apply(names) == {name: (Renamed(name),) for name in names}


@given(NAMES, st.lists(st.tuples(st.sampled_from(["a", "b", "^a", "b$", "a+"]), st.sampled_from(["", "c", "/d"])), max_size=4))
def test_rules_are_what_re_sub_makes_of_them_or_a_problem(names: list[str], rules: list[tuple[str, str]]) -> None:
    expected = {}
    for name in names:
        new = name
        for pattern, replacement in rules:
            new = re.sub(pattern, replacement, new)
        expected[name] = (Renamed(new),)
    found: list[str] = []
    assert as_name_map(rules, allow_unmatched=True).apply(names, problems=found) == expected
    news = [targets[0].name for targets in expected.values()]
    assert bool(found) == ("" in news or len(set(news)) < len(news))


@given(NAMES, st.lists(st.sampled_from([str.upper, {}, [("a", "c")], add_scope("s"), [("b$", None)]]), max_size=4))
def test_composition_is_one_application_after_the_other(names: list[str], mappings: list[Any]) -> None:
    at_once = as_name_map(list(mappings)).apply(names, problems=[])
    step_by_step = {name: (Renamed(name),) for name in names}
    for mapping in mappings:
        reached = dict.fromkeys(target.name for targets in step_by_step.values() for target in targets)
        made = as_name_map(mapping).apply(reached, problems=[])
        step_by_step = {
            name: tuple(after for target in targets for after in made[target.name]) for name, targets in step_by_step.items()
        }
    assert at_once == step_by_step


@given(NAMES)
def test_written_mapping_is_read_back(names: list[str]) -> None:
    mapping = as_name_map([add_scope('é"\\'), ("a$", None)], allow_unmatched=True)
    text = json.dumps({"names": {name: [target.name for target in targets] for name, targets in mapping.apply(names).items()}})
    assert as_name_map(json.loads(text)["names"]).apply(names) == mapping.apply(names)
