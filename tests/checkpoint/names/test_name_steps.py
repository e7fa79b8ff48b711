"""What each step of a mapping makes of tensors, what it matched, and how it refuses a malformed entry."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tfsaver.checkpoint.names import name_steps
from tfsaver.checkpoint.names.changes import Cast, Change, Part, Scale, Spec, ToShape, Transpose, as_when
from tfsaver.checkpoint.names.name_map import NameMap, add_scope, as_name_map, strip_scope
from tfsaver.checkpoint.names.name_steps import (
    SAME_NAME,
    AddConstant,
    Applied,
    Concat,
    Counted,
    Fixed,
    Infos,
    RenameByDict,
    RenameByFunction,
    RenameByRules,
    Renamed,
    RenameScope,
    RenameTogether,
    Rule,
    Stack,
    as_targets,
    join_of_entry,
    natural_order,
    split_attribute,
    together,
)
from tfsaver.checkpoint.objects.object_graph import OBJECT_GRAPH_KEY
from tfsaver.errors import InvalidArgumentError, UnimplementedError
from tfsaver.framework import dtypes

F4 = dtypes.from_name("float32")
VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"
TURNED = Transpose((1, 0))


def infos(**shapes: tuple[int, ...]) -> Infos:
    return Infos(list(shapes), lambda name: Spec(F4, shapes[name]))


def said(function: Any, *arguments: Any, **options: Any) -> str:
    with pytest.raises(InvalidArgumentError) as caught:
        function(*arguments, **options)
    return str(caught.value)


# ---- Renamed ----


def test_renamed_is_a_name_and_changes_and_a_condition() -> None:
    assert Renamed("v") == ("v", (), None)
    assert Renamed("v", True) == Renamed("v", [1, 0]) == Renamed("v", transpose=True) == ("v", (TURNED,), None)
    assert Renamed("v", None) == Renamed("v", False) == Renamed("v", [0, 1]) == Renamed("v")
    assert Renamed("v", {"reshape": [-1], "scale": 2}) == ("v", (ToShape((-1,)), Scale(2.0)), None)
    assert Renamed("v", True, reshape=[-1]).changes == (TURNED, ToShape((-1,)))
    assert Renamed("v", reshape=[-1], transpose=True).changes == (ToShape((-1,)), TURNED)
    assert Renamed("v", crop=3, axis=1).changes[0].value() == {"rows": 3, "axis": 1}
    assert Renamed("v", when=2) == ("v", (), as_when(2)) == Renamed.of("v", (), as_when(2))
    assert said(Renamed, "v", True, True) == "one order of axes is taken, not 2; other changes are named"
    assert "unknown change 'reshap'" in said(Renamed, "v", reshap=3)


def test_renamed_is_written_as_it_is_given() -> None:
    assert repr(Renamed("v")) == "Renamed(name='v')" and str(Renamed("v")) == "v"
    target = Renamed("v", transpose=True, cast="float16", when={"rank": 2, "dtype": "float32"})
    assert repr(target) == "Renamed(name='v', transpose=(1, 0), cast='float16', when={'rank': [2], 'dtype': ['float32']})"
    assert str(target) == "v transposed [1, 0], cast to float16"


def test_renamed_as_json_is_an_entry_that_says_the_same() -> None:
    for target, entry in (
        (Renamed("v"), {"to": "v"}),
        (Renamed("v", when=2), {"to": "v", "when": {"rank": [2]}}),
        (Renamed("v", True, when={"dtype": "float32"}), {"to": "v", "transpose": [1, 0], "when": {"dtype": ["float32"]}}),
        (Renamed("v", reshape=[2, -1], scale=0.5), {"to": "v", "reshape": [2, -1], "scale": 0.5}),
    ):
        assert target.to_json() == entry and as_targets(entry) == (target,)


def test_one_renaming_after_another_makes_the_changes_of_both() -> None:
    assert Renamed("v", True).then(Renamed("u")) == Renamed("u", True)
    assert Renamed("v").then(Renamed("u", True)) == Renamed("u", True)
    assert Renamed("v", scale=2).then(Renamed("u", cast="float16")) == Renamed("u", scale=2, cast="float16")
    assert Renamed("v", True).then(Renamed("u", True)) == Renamed("u")
    assert Renamed("v", True).then(Renamed("u", True, scale=2)) == Renamed("u", scale=2)
    assert Renamed("v", scale=2, transpose=True).then(Renamed("u", True)) == Renamed("u", scale=2)
    assert Renamed("v", (2, 0, 1)).then(Renamed("u", (0, 2, 1))).changes == (Transpose((2, 1, 0)),)
    assert Renamed("v", True).then(Renamed("u", scale=2, transpose=True)).changes == (TURNED, Scale(2.0), TURNED)
    expected = "'u': transposed as if it had 2 axes, and then as if it had 3"
    assert said(Renamed("v", True).then, Renamed("u", (2, 0, 1))) == expected


# ---- what stands for a new name ----


def test_forms_of_a_new_name() -> None:
    assert as_targets(None) == as_targets(False) == ()
    assert as_targets("v") == as_targets(Renamed("v")) == as_targets({"to": "v"}) == as_targets({"name": "v"}) == (Renamed("v"),)
    assert as_targets(["v", Renamed("u", True), {"to": "t"}]) == (Renamed("v"), Renamed("u", True), Renamed("t"))
    assert as_targets({"to": ["v", "u"], "transpose": True}) == (Renamed("v", True), Renamed("u", True))
    assert as_targets({"transpose": True}) == (Renamed(SAME_NAME, True),)
    assert as_targets({"to": ["v", None]}) == (Renamed("v"), Renamed(SAME_NAME))
    assert as_targets({"to": "v", "crop": 2, "axis": 1}) == (Renamed("v", crop=2, axis=1),)
    assert as_targets({"to": "v", "when": 2}) == (Renamed("v", when=2),)
    assert as_targets([]) == ()
    for wrong in (3, True, b"v", bytearray(b"v"), ["v", 3], [["v"]], [None], [Renamed(3)]):  # type: ignore[arg-type]
        assert said(as_targets, wrong) == (
            f"a new name is a str, Renamed, a dict with to, a list of these, or None to leave the tensor out: {wrong!r}"
        )


@pytest.mark.parametrize(
    ("entry", "sentence"),
    [
        ({"nam": "v"}, "unknown key 'nam'; did you mean 'name'?"),
        ({"xxxxxxxxx": "v"}, "unknown key 'xxxxxxxxx'; there are to, name, when, axis, split, transpose, reshape,"),
        ({"to": "v", "axis": "1", "crop": 2}, "axis is '1', must be an integer"),
        ({"to": "v", "axis": True, "crop": 2}, "axis is True, must be an integer"),
        ({"to": "v", "axis": 1}, "axis is for split, pad and crop"),
        ({"to": "v", "axis": 0, "scale": 1.5}, "axis is for split, pad and crop"),
        ({"to": 3}, "to is 3, must be a name, or a list of names"),
        ({"to": ["v", 3]}, "to is ['v', 3], must be a name, or a list of names"),
        ({"split": 1, "to": ["q", "k"]}, "split is 1, must be the names of the parts; the axis is axis = 1"),
        ({"split": "qk"}, "split is 'qk', must be names, or names with sizes, as in {q = 64, k = 64}"),
        ({"split": []}, "split is [], must be names"),
        ({"split": ["q", ""]}, "split is ['q', ''], must be names"),
        ({"split": ["q", 3]}, "split is ['q', 3], must be names"),
        ({"split": [2, 3], "to": ["q"]}, "split is [2, 3], must be names"),
        ({"split": {"q": 1, "k": -1}}, "[1, -1] are not sizes of parts"),
        ({"split": {"q": [0, 2], "k": [3, 4]}}, "the parts must follow each other, beginning at 0"),
        ({"split": {"q": [1, 2], "k": [2, 4]}}, "the parts must follow each other, beginning at 0"),
    ],
)
def test_an_entry_that_is_malformed_says_what_is_wrong(entry: Any, sentence: str) -> None:
    assert sentence in said(as_targets, entry)


def test_an_entry_splits_a_tensor_in_several_ways() -> None:
    two = (Renamed.of("q", (Part(0, 2, 0),)), Renamed.of("k", (Part(0, 2, 1),)))
    assert as_targets({"split": ["q", "k"]}) == two
    sized = (Renamed.of("q", (Part(1, (2, 3), 0),)), Renamed.of("k", (Part(1, (2, 3), 1),)))
    for entry in (
        {"split": {"q": 2, "k": 3}, "axis": 1},
        {"split": {"q": [0, 2], "k": (2, 5)}, "axis": 1},
        {"split": [2, 3], "to": ["q", "k"], "axis": 1},
    ):
        assert as_targets(entry) == sized
    found = as_targets({"scale": 2, "split": ["q"], "transpose": True, "when": 2})
    assert found == (Renamed.of("q", (Scale(2.0), Part(0, 1, 0), TURNED), as_when(2)),)


# ---- dicts ----


def test_a_dict_says_what_it_named_and_how_many() -> None:
    applied = RenameByDict({"a": "x", "b": None, "zz": "y"}).apply(infos(a=(1,), b=(1,), ab=(1,)))
    assert applied.changed == {"a": (Renamed("x"),), "b": ()}
    assert applied.counts == (Counted("names", 2, 3),) and applied.named == {"a", "b"}
    assert applied.unmatched == ("'zz' names nothing",) and applied.problems == () and applied.added == ()
    assert RenameByDict({"d": {"constant": 1}}).apply(infos(a=(1,))).counts == ()


def test_a_dict_entry_is_for_the_tensors_that_it_is_meant_for() -> None:
    step = RenameByDict({"a": [Renamed("x", when=1), Renamed("y", when=2)], "b": Renamed("z", when=3), "c": {"scale": 2}})
    applied = step.apply(infos(a=(3, 4), b=(1,), c=()))
    assert applied.changed == {"a": (Renamed("y"),), "c": (Renamed("c", scale=2),)}
    assert applied.unmatched == ()
    unknown = step.apply(Infos(["a", "b"]))
    assert unknown.changed == {} and [text.partition(":")[0] for text in unknown.problems] == ["'a'", "'b'"]
    assert "what 'a' becomes depends on its shape, and only names were given" in unknown.problems[0]


def test_a_dict_is_malformed_by_its_keys_and_all_is_said() -> None:
    text = said(RenameByDict, {3: "x", "a": {"tq": "v"}, "b": 4, "d": {"concat": [], "axis": 0}})
    assert "names: 4 problems" in text
    for sentence in ("3: an old name is a str", "'a': unknown key 'tq'", "'b': a new name is", "'d': concat takes a list of names"):
        assert sentence in text


def test_tensors_of_a_dict_may_be_joined_and_kept_at_once() -> None:
    applied = RenameByDict({"a": "x", "ab": {"concat": ["a", "b"]}}).apply(infos(a=(1,), b=(1,)))
    assert [target.name for target in applied.changed["a"]] == ["x", "ab"]
    assert [target.name for target in applied.changed["b"]] == ["ab"]
    assert applied.counts == (Counted("names", 2, 2), Counted("concat to 'ab'", 2, 2))


def test_hints_are_left_away_where_they_would_take_long(monkeypatch: pytest.MonkeyPatch) -> None:
    names = {"kernel_a": (1,), "kernel_b": (1,)}
    wrong = {"kernel_c": "x", "kernel_d": "y"}
    hinted = RenameByDict(wrong).apply(infos(**names)).unmatched
    assert [("did you mean" in text) for text in hinted] == [True, True]
    assert "did you mean 'kernel_b', 'kernel_a'?" in hinted[0]
    monkeypatch.setattr(name_steps, "_MAX_COMPARISONS", 1)
    limited = RenameByDict(wrong).apply(infos(**names)).unmatched
    assert [("did you mean" in text) for text in limited] == [True, False]
    rules = RenameByRules([("kernel_c", ""), ("kernel_d", "")]).apply(infos(**names)).unmatched
    assert [("did you mean" in text) for text in rules] == [True, False]


# ---- rules ----


def test_forms_of_a_rule() -> None:
    assert Rule("a", "b") == ("a", "b", {})
    assert Rule("a", "b", True) == Rule("a", "b", transpose=True) == ("a", "b", {"transpose": True})
    assert Rule("a", "b", {"scale": 2}, when=2) == ("a", "b", {"scale": 2, "when": 2})
    assert Rule("a", {"to": "b", "scale": 2}) == Rule("a", {"name": "b", "scale": 2}) == ("a", "b", {"scale": 2})
    assert Rule("a", {"scale": 2}) == ("a", r"\g<0>", {"scale": 2})
    assert Rule("a", {"to": "b", "scale": 2}, scale=3).options == {"scale": 3}


def test_a_rule_counts_the_names_it_occurs_in_and_hints_where_it_occurs_in_none() -> None:
    applied = RenameByRules([("^a", "x"), ("kernal$", "k"), ("zzz", "")]).apply(Infos(["a/kernel", "ab", "c"]))
    assert applied.changed == {"a/kernel": (Renamed("x/kernel"),), "ab": (Renamed("xb"),)}
    assert applied.counts == (Counted("rule '^a'", 2, 3), Counted("rule 'kernal$'", 0, 3), Counted("rule 'zzz'", 0, 3))
    assert applied.unmatched[1:] == ("rule 'zzz' occurs in none of 3 names",)
    assert applied.unmatched[0].startswith("rule 'kernal$' occurs in none of 3 names")
    assert RenameByRules([("a", "b")]).apply(Infos([])).unmatched == ()
    assert RenameByRules([("^conv/kernal$", "k")]).apply(Infos(["conv/kernel"])).unmatched == (
        "rule '^conv/kernal$' occurs in none of 1 names; did you mean 'conv/kernel'?",
    )


def test_rules_are_for_the_tensors_that_they_are_meant_for() -> None:
    rules = [Rule("^", "m/", True, when=2), Rule("^", "v/", when=1), Rule("w", "u", reshape=[-1], when=2), ("b", "c")]
    applied = RenameByRules(rules).apply(infos(w=(2, 3), b=(4,), k=()))
    assert applied.changed == {
        "w": (Renamed("m/u", True, reshape=[-1]),),
        "b": (Renamed("v/c"),),
    }
    # What the rules before have made of a tensor is what a condition sees.
    applied = RenameByRules([Rule("w", "w", reshape=[-1]), Rule("w", "flat", when=1)]).apply(infos(w=(2, 3)))
    assert applied.changed == {"w": (Renamed("flat", reshape=[-1]),)}
    # A name that a rule left out is not there for the next one.
    applied = RenameByRules([Rule("w", None), Rule("w", "x")]).apply(infos(w=(2, 3)))
    assert applied.changed == {"w": ()} and applied.counts[1] == Counted("rule 'w'", 0, 1)


def test_a_rule_splits_what_it_occurs_in() -> None:
    applied = RenameByRules([Rule("qkv$", None, split=["q", "k"], axis=1), ("^a/", "b/")]).apply(Infos(["a/qkv"]))
    assert applied.changed == {"a/qkv": (Renamed.of("b/q", (Part(1, 2, 0),)), Renamed.of("b/k", (Part(1, 2, 1),)))}


def test_a_rule_that_is_for_one_of_several_parts_leaves_the_others() -> None:
    q, k = Renamed.of("q", (Part(0, (1, 2), 0),)), Renamed.of("k", (Part(0, (1, 2), 1),))
    split = Rule("w", None, split={"q": 1, "k": 2})
    assert RenameByRules([split, ("q", "x")]).apply(infos(w=(3,))).changed == {"w": (q._replace(name="x"), k)}
    assert RenameByRules([split, ("k", None)]).apply(infos(w=(3,))).changed == {"w": (q,)}
    rank = [split, Rule("q", "x", reshape=[]), Rule("[xk]", "y", when=1)]
    found = RenameByRules(rank).apply(infos(w=(3,)))
    assert found.changed == {"w": (Renamed.of("x", (*q.changes, ToShape(()))), k._replace(name="y"))}
    assert found.counts[2] == Counted("rule '[xk]'", 2, 1) and found.problems == ()


def test_rules_say_their_number_and_themselves_where_they_are_malformed() -> None:
    text = said(RenameByRules, [("a", "b"), ("(", "b"), Rule("a", "b", wrong=3), (3, "b"), ("a", 3)])
    assert "rules: 4 problems" in text and "rule 2, ('(', 'b'): " in text
    assert "rule 3, Rule(pattern='a', replacement='b', options={'wrong': 3}): unknown key 'wrong'" in text
    assert "rule 4, (3, 'b'): " in text and "rule 5, ('a', 3): " in text


# ---- functions, tables, scopes ----


def test_a_function_says_what_stands_for_a_new_name() -> None:
    answers: dict[str, Any] = {"a": "a", "b": {"scale": 2}, "c": None, "d": ["x", "y"], "e": Renamed("z", when=2)}
    step = RenameByFunction(answers.get)
    applied = step.apply(infos(a=(), b=(), c=(), d=(), e=(1,)))
    assert applied.changed == {"b": (Renamed("b", scale=2),), "c": (), "d": (Renamed("x"), Renamed("y"))}
    assert [target.name for target in step.apply(infos(e=(1, 1))).changed["e"]] == ["z"]
    wrong = RenameByFunction(lambda name: 3).apply(infos(a=(), b=()))
    assert [text.partition(":")[0] for text in wrong.problems] == ["'a'", "'b'"] and wrong.changed == {}


def test_a_table_says_which_names_it_did_not_recognize() -> None:
    table = RenameTogether(lambda names: {"a": "x", "b": "b"}, "table 't'")
    applied = table.apply(Infos(["a", "b", "c", OBJECT_GRAPH_KEY]))
    assert applied.changed == {"a": (Renamed("x"),)} and applied.unmatched == ()
    assert applied.counts == (Counted("table 't'", 3, 4, ("c",)),)
    nothing = RenameTogether(lambda names: {}, "table 't'")
    assert nothing.apply(Infos(["a", "b", "c"])).unmatched == ("table 't' knows none of 3 names: a, b, c",)
    assert nothing.apply(Infos(list("abcde"))).unmatched == ("table 't' knows none of 5 names: a, b, c, and 2 more",)
    assert nothing.apply(Infos([])).unmatched == ()
    assert RenameTogether(lambda names: {}).apply(Infos(["a"])) == Applied({})


def test_a_scope_is_taken_away_or_added_and_the_others_stay_or_go() -> None:
    names = Infos(["m/w", "m/b", "step", OBJECT_GRAPH_KEY])
    assert RenameScope("m/", "n/").apply(names).changed == {"m/w": (Renamed("n/w"),), "m/b": (Renamed("n/b"),)}
    assert RenameScope("m/", is_only=True).apply(names).changed == {"m/w": (Renamed("w"),), "m/b": (Renamed("b"),), "step": ()}
    kept = RenameScope("m/", is_only=True, kept={"step"}).apply(names)
    assert kept.changed == {"m/w": (Renamed("w"),), "m/b": (Renamed("b"),)} and kept.problems == ()
    assert RenameScope(add="n/").apply(names).changed["step"] == (Renamed("n/step"),)
    assert RenameScope("x/").apply(Infos(["a/w", "b/w", "c/w", "d/w"])).problems == ("no name begins with 'x/'; there are 'a', 'b', 'c'",)
    assert RenameScope("moddel/").apply(Infos(["a/w", "model/w"])).problems == ("no name begins with 'moddel/'; there are 'model'",)
    assert RenameScope("x/").apply(Infos(["w"])).problems == ("no name begins with 'x/'",)
    assert RenameScope("x/").apply(Infos([])).problems == ()


def test_scopes_are_given_with_or_without_what_follows_them() -> None:
    def names(mapping: NameMap, *olds: str) -> list[str]:
        return [target.name for targets in mapping.apply(olds).values() for target in targets]

    assert names(strip_scope("m"), "m/w", "mw") == names(strip_scope("m/"), "m/w", "mw") == ["w", "mw"]
    assert names(strip_scope("m", is_only=True), "m/w", "mw") == ["w"]
    assert names(add_scope("m"), "w") == names(add_scope("m/"), "w") == ["m/w"]
    assert names(add_scope("m.", separator="."), "w") == ["m.w"]


# ---- joins and constants ----


@pytest.mark.parametrize("make", [Concat, Stack])
def test_a_join_that_is_malformed_says_what_it_takes(make: type[Concat]) -> None:
    kind = make.kind
    for inputs, to in (("ab", "c"), ([], "c"), (["a"], ""), (["a"], None)):
        assert said(make, inputs, to) == f"{kind} takes a list of names and the result's name, not {inputs!r}, {to!r}"
    for wrong in ("1", 1.0, True, None):
        assert said(make, ["a"], "c", axis=wrong) == f"axis is {wrong!r}, must be an integer"
    for inputs in (["a", ""], ["a", {"scale": 2}], ["a", {"to": ["b", "c"]}], ["a", None]):
        assert f"{kind} takes names, not {inputs!r}" in said(make, inputs, "c")
    assert f"{kind} to 'c': " in said(make, ["("], "c", regex=True)
    assert "invalid group reference 1" in said(make, ["a"], r"\1", regex=True)
    assert "unknown change 'scal'" in said(make, ["a"], "c", scal=2)


def test_a_join_says_how_many_it_took_and_what_is_missing() -> None:
    names = Infos(["a", "b", "c"])
    applied = Concat(["b", "a"], "ab").apply(names)
    assert list(applied.changed) == ["b", "a"] and applied.named == {"a", "b"}
    assert applied.counts == (Counted("concat to 'ab'", 2, 3),)
    [target] = applied.changed["a"]
    assert target.name == "ab" and str(target) == "ab concatenated along axis 0"
    assert Concat(["b", "a"], "ab", keep=True).apply(names).changed["a"] == (Renamed("a"), target)
    assert Concat(["x", "y"], "xy").apply(names).unmatched == ("'x' names nothing", "'y' names nothing")
    assert Concat(["x", "y"], "xy").apply(names).problems == ()
    lacking = Concat(["a", "y"], "xy").apply(names)
    assert lacking.problems == ("'xy': 'y' names nothing",) and lacking.unmatched == () and lacking.changed == {}
    assert Stack(["x.*"], "y", regex=True).apply(names).unmatched == ("stack of 'x.*' matches none of 3 names",)
    half = Concat(["(.)1", "(.)2"], r"\1", regex=True).apply(Infos(["a1", "a2", "b1"]))
    assert half.problems == ("'b': '(.)2' matches no name for it",) and half.changed == {}


def test_a_join_by_expressions_takes_names_as_people_count() -> None:
    names = Infos(["e10", "e9", "e1", "xe1", "e1x", OBJECT_GRAPH_KEY])
    applied = Stack([r"e\d+"], "all", regex=True).apply(names)
    assert list(applied.changed) == ["e1", "e9", "e10"]
    tensors = {f"e{number}": np.full(2, number, np.float32) for number in (10, 9, 1)}
    made = as_name_map(Stack([r"e\d+"], "all", regex=True)).apply(tensors)
    assert [name for name, targets in made.items() if targets[0].name == "all"] == ["e10", "e9", "e1"]


def test_one_tensor_may_be_joined_twice() -> None:
    applied = Concat(["a", "a"], "aa").apply(Infos(["a"]))
    assert [str(target) for target in applied.changed["a"]] == ["aa concatenated along axis 0"] * 2
    assert applied.counts == (Counted("concat to 'aa'", 1, 1),)


def test_joins_and_constants_get_the_attribute_of_objects() -> None:
    names = Infos([f"a{VALUE}", f"b{VALUE}"])
    for inputs in (["a", "b"], [f"a{VALUE}", f"b{VALUE}"]):
        applied = Concat(inputs, "ab").apply(names)
        assert {target.name for targets in applied.changed.values() for target in targets} == {f"ab{VALUE}"}
    assert Concat(["a", "b"], f"c{VALUE}").apply(names).changed[f"a{VALUE}"][0].name == f"c{VALUE}"
    assert AddConstant("step", 1).apply(names).added[0].name == f"step{VALUE}"
    assert AddConstant(f"step{VALUE}", 1).apply(names).added[0].name == f"step{VALUE}"
    assert AddConstant("step", 1).apply(Infos(["a"])).added[0].name == "step"


@pytest.mark.parametrize(
    ("value", "options", "expected"),
    [
        (1, {}, np.int64(1)),
        (1.5, {}, np.float32(1.5)),
        ([[1.5, 2]], {}, np.float32([[1.5, 2]])),
        (np.float64(1.5), {}, np.float64(1.5)),
        (np.array([1.5]), {}, np.array([1.5])),
        (True, {}, np.bool_(True)),
        (1, {"dtype": "float64"}, np.float64(1)),
        (1, {"dtype": np.int16}, np.int16(1)),
        (0.1, {"dtype": "float64"}, np.float64(0.1)),
        (7, {"dtype": "int32", "shape": (2, 3)}, np.full((2, 3), 7, np.int32)),
        (0.5, {"shape": [2]}, np.full(2, 0.5, np.float32)),
        ({"normal": 1, "seed": 4}, {"shape": [3]}, np.random.default_rng(4).normal(0, 1, 3).astype(np.float32)),
        ({"uniform": [2, 3]}, {"shape": [3], "dtype": "float64"}, np.random.default_rng(0).uniform(2, 3, 3)),
    ],
)
def test_a_constant_has_the_type_that_it_is_given(value: Any, options: dict[str, Any], expected: Any) -> None:
    applied = AddConstant("c", value, **options).apply(Infos(["a"]))
    [fixed] = applied.added
    assert applied.changed == {} and (fixed.name, repr(fixed)) == ("c", "the constant 'c'")
    assert fixed.dtype.numpy == fixed.value.dtype == expected.dtype
    np.testing.assert_array_equal(fixed.value, expected)


def test_a_constant_that_cannot_be_is_an_error() -> None:
    for wrong in ("", None, 3):
        assert said(AddConstant, wrong, 1) == f"a constant needs a name, not {wrong!r}"
    assert said(AddConstant, "c", 1.5, dtype="int32") == "1.5 is not int32"
    assert said(AddConstant, "c", [1, [2]]).startswith("[1, [2]] is not an array of None: ")
    assert said(AddConstant, "c", "x", dtype="int32").startswith("'x' is not an array of int32: ")
    assert "300" in said(AddConstant, "c", 300, dtype="int8")
    with pytest.raises(UnimplementedError, match="int33"):
        AddConstant("c", 1, dtype="int33")


@pytest.mark.parametrize(
    ("entry", "sentence"),
    [
        ({"concat": ["a"], "stack": ["b"]}, "the key is the new name, and the value has one of concat, stack, constant, as in"),
        ({"concat": ["a"], "to": "b"}, "the key is the new name"),
        ({"constant": 1, "name": "b"}, "the key is the new name"),
        ({"concat": ["a"], "axes": 1}, "unknown key 'axes'; did you mean 'axis'?"),
        ({"constant": 1, "dtyp": "int8"}, "unknown key 'dtyp'; did you mean 'dtype'?"),
        ({"constant": 1, "axis": 0}, "unknown key 'axis'; there are dtype, shape"),
        ({"constant": 1, "keep": True}, "unknown key 'keep'; there are dtype, shape"),
    ],
)
def test_an_entry_of_a_new_tensor_that_is_malformed_says_why(entry: dict[str, Any], sentence: str) -> None:
    assert sentence in said(join_of_entry, "x", entry)


def test_an_entry_of_a_new_tensor_is_the_step_of_its_word() -> None:
    for word, kind in (("concat", Concat), ("stack", Stack), ("constant", AddConstant)):
        assert type(join_of_entry("x", {word: ["a", "b"]})) is kind
    applied = join_of_entry("x", {"stack": ["a", "b"], "axis": 1, "keep": True, "scale": 2}).apply(Infos(["a", "b"]))
    assert [str(target) for target in applied.changed["a"]] == ["a", "x stacked along axis 1, scaled by 2"]
    applied = join_of_entry("x", {"concat": ["(.)"], "regex": True}).apply(Infos(["a", "b"]))
    assert list(applied.changed) == ["a", "b"]


def test_steps_together_add_up_and_say_one_thing_once() -> None:
    one = Applied({"a": (Renamed("x"),)}, (Fixed("c", np.ones(1), F4),), ("p",), ("u",), (Counted("n", 1, 2),), frozenset("a"))
    both = together([one, one, Applied({"a": (Renamed("y"),), "b": ()})])
    assert both.changed == {"a": (Renamed("x"), Renamed("y")), "b": ()}
    assert len(both.added) == 2 and both.problems == ("p", "p") and both.unmatched == ("u", "u")
    assert both.counts == (Counted("n", 1, 2),) * 2 and both.named == {"a"}


def test_names_of_objects_have_an_attribute_behind_their_path() -> None:
    assert split_attribute(f"net/w{VALUE}") == ("net/w", VALUE)
    assert split_attribute("net/w") == ("net/w", "")
    assert sorted(["l10/w", "l9/w", "l9/b", "l", "l10"], key=natural_order) == ["l", "l9/b", "l9/w", "l10", "l10/w"]


def test_what_is_known_of_tensors_may_be_names_alone() -> None:
    every = infos(a=(1,), b=(2,))
    assert list(every) == ["a", "b"] and len(every) == 2 and every["b"] == Spec(F4, (2,))
    assert list(every.of_names(["b"])) == ["b"] and every.of_names(["b"])["b"].shape == (2,)
    assert "depends on its shape" in said(Infos(["a"]).__getitem__, "a")


def test_every_change_of_a_mapping_is_known_by_its_word() -> None:
    [target] = as_targets({"to": "v", "cast": "float16"})
    assert isinstance(target.changes[0], Cast) and isinstance(target.changes[0], Change)
