"""The mutation testing itself, on a project of one small file."""

from __future__ import annotations

import pathlib

import pytest

from tests.mutation.equivalents import EQUIVALENTS
from tests.mutation.mutants import Mutant, draw, mutants_of
from tests.mutation.trials import Project, Trials

_ROOT = pathlib.Path(__file__).resolve().parents[2]

_SOURCE = '''\
"""A limit."""

LIMIT = 3


def clamp(value: int, limit: int = LIMIT) -> int:
    """At most the limit."""
    if value > limit:
        return limit
    return value


def unused():
    return 7
'''

_TESTS = """\
from toy.clamp import clamp


def test_large_values_are_cut():
    assert clamp(9) == 3


def test_small_values_stay():
    assert clamp(2) == 2
"""


def changes(source: str) -> set[tuple[str, str]]:
    return {mutant.diff for mutant in mutants_of("file.py", source) if mutant.is_valid}


def test_mutants_are_caught_or_survive_or_are_not_executed(tmp_path):
    for file, text in {"toy/clamp.py": _SOURCE, "tests/toy/test_clamp.py": _TESTS}.items():
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text(text, "utf-8")
    project = Project(tmp_path, {"toy": "tests/toy"}, copied=("toy", "tests"))
    mutants = {mutant.diff: mutant for mutant in mutants_of("toy/clamp.py", _SOURCE)}
    chosen: list[Mutant] = [
        mutants["if value > limit:", "if value >= limit:"],
        mutants["if value > limit:", "if False:"],
        mutants["return value", "return None"],
        mutants["LIMIT = 3", "LIMIT = 4"],
        mutants["return 7", "return None"],
    ]
    with Trials(project) as trials:
        trials.record(["toy"], lambda _: None)
        outcomes = list(trials.run(chosen))
        assert trials.false_alarms({outcome.caught_by for outcome in outcomes if outcome.caught_by}) == []
    large, small = (f"tests/toy/test_clamp.py::test_{name}" for name in ("large_values_are_cut", "small_values_stay"))
    assert outcomes == [(None, 2), (large, 2), (small, 1), (large, 2), (None, 0)]
    assert (tmp_path / "toy" / "clamp.py").read_text("utf-8") == _SOURCE


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("a < b", {("a < b", "a <= b")}),
        ("a is not b", {("a is not b", "a is b")}),
        ("(a) and (b)", {("(a) and (b)", "(a) or (b)")}),
        ("x = not a", {("x = not a", "x = a")}),
        ("a += b", {("a += b", "a -= b")}),
        ("a[b:]", {("a[b:]", "a[:]")}),
        ("f(a, b=c)", {("f(a, b=c)", "pass"), ("f(a, b=c)", "f(a, )")}),
        ("x = 2", {("x = 2", "x = 3"), ("x = 2", "x = 1")}),
        ("def f(a=False): a", {("def f(a=False): a", "def f(a=True): a")}),
        ("x = a == 'é' and b", {("x = a == 'é' and b", f"x = {change}") for change in ("a != 'é' and b", "a == 'é~' and b", "a == 'é' or b")}),
        ("while a: f(1 for b in c if d)", {("while a: f(1 for b in c if d)", change) for change in (
            "while False: f(1 for b in c if d)",
            "while a: pass",
            "while a: f(2 for b in c if d)",
            "while a: f(0 for b in c if d)",
            "while a: f(1 for b in c if True)",
        )}),
        ("try: a\nexcept (B, C): b", {("except (B, C): b", "except (B,): b"), ("except (B, C): b", "except (C,): b")}),
        ("for a in b: break", {("for a in b: break", "for a in b: continue")}),
    ],
)  # fmt: skip
def test_each_kind_of_change_is_made(source, expected):
    assert changes(source) == expected


@pytest.mark.parametrize(
    "source", ['"""Not 1."""', "import a", "from a import b", "a: 'list[1]'", "def f(a: 1) -> 2: ...", "x = f'{a + 1}'", "x = 'a'"]
)
def test_texts_annotations_and_imports_have_no_mutants(source):
    assert changes(source) == set()


def test_a_seed_draws_the_same_mutants_every_time():
    mutants = mutants_of("clamp.py", _SOURCE)
    assert draw(mutants, 4, seed=1) == draw(mutants, 4, seed=1)
    assert draw(mutants, 4, seed=1) != draw(mutants, 4, seed=2)
    assert len(draw(mutants, 1000, seed=1)) == len([mutant for mutant in mutants if mutant.is_valid])


@pytest.mark.parametrize("file", sorted({equivalent.file for equivalent in EQUIVALENTS}))
def test_every_equivalent_is_a_mutant_of_the_code_as_it_is(file):
    mutants = {(mutant.function, *mutant.diff) for mutant in mutants_of(file, (_ROOT / file).read_text("utf-8"))}
    assert [each for each in EQUIVALENTS if each.file == file and each[1:4] not in mutants] == []
