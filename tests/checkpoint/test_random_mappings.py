"""Random mappings make of a checkpoint what numpy makes of the same arrays, in each form that a mapping has, and back again.

The model of a mapping is a function on arrays that uses numpy alone. Each form and each change stands at least 25 times in
what is tried.
"""

from __future__ import annotations

import collections
import json
import pathlib
import random
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np
import pytest

from tests.checkpoint.test_random_plans import Array, assert_equal, check, random_array
from tfsaver.checkpoint.editing.rename import renamed
from tfsaver.checkpoint.names.mapped_tensors import infos_of
from tfsaver.checkpoint.names.name_map import AddConstant, Concat, NameMapLike, Rule, Stack, as_name_map
from tfsaver.checkpoint.plan import Plan, as_plan
from tfsaver.checkpoint.recipes import Join, Rearrange, Reshape
from tfsaver.checkpoint.tensor_source import ArraySource
from tfsaver.cli.editing import mapping_of
from tfsaver.framework import array_pieces
from tfsaver.framework.tensor_slice import TensorSlice

NUM_MAPPINGS = 900
SHAPES = [(6,), (4, 6), (2, 3, 4), (1, 5), (3, 1, 2), (1, 2, 1, 4), (2, 2, 2, 3)]
DTYPES = [np.float32, np.float64, ml_dtypes.bfloat16, np.int16, np.uint8]
LEAST = 25


class Changed(NamedTuple):
    """An array after changes, what a mapping says for them, and whether they can be undone."""

    array: Array
    options: dict[str, Any]
    has_inverse: bool


class Case(NamedTuple):
    """A mapping, the tensors before and after it."""

    before: dict[str, Array]
    entries: dict[str, Any]
    after: dict[str, Array]
    has_inverse: bool


class Maker:
    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.generator = np.random.default_rng(seed)
        self.counts: collections.Counter[str] = collections.Counter()

    def array(self) -> Array:
        return random_array(self.generator, self.random.choice(DTYPES), self.random.choice(SHAPES))

    def changed(self, array: Array) -> Changed:
        """A few changes, each of another kind."""
        options: dict[str, Any] = {}
        has_inverse = True
        kinds = ["transpose", "reshape", "squeeze", "expand", "slice", "crop", "pad", "cast", "scale"]
        for kind in self.random.sample(kinds, self.random.randint(0, 3)):
            made = getattr(self, f"_{kind}")(array)
            if made is None:
                continue
            array, value, is_undone = made
            options |= {"pad": value[0], "fill": value[1]} if kind == "pad" else {kind: value}
            has_inverse &= is_undone
            self.counts[kind] += 1
        return Changed(array, options, has_inverse)

    def _transpose(self, array: Array) -> Any:
        axes = self.random.sample(range(array.ndim), array.ndim)
        return array.transpose(axes), axes, True

    def _reshape(self, array: Array) -> Any:
        shape = self.random.choice([[-1], [2, -1], [array.size, 1], [1, -1], [*array.shape[:-1], -1]])
        return (array.reshape(shape), shape, True) if array.size % 2 == 0 and array.size else None

    def _squeeze(self, array: Array) -> Any:
        axes = [axis for axis, size in enumerate(array.shape) if size == 1]
        if not axes:
            return None
        return self.random.choice([(array.squeeze(), True, True), (array.squeeze(axes[0]), axes[0], True)])

    def _expand(self, array: Array) -> Any:
        axis = self.random.randint(-array.ndim - 1, array.ndim)
        return np.expand_dims(array, axis), axis, True

    def _slice(self, array: Array) -> Any:
        if not array.ndim or not array.shape[0]:
            return None
        row = self.random.randrange(array.shape[0])
        return self.random.choice([(array[row], str(row), False), (array[row:], f"{row}:", False), (array[..., -1:], "..., -1:", False)])

    def _crop(self, array: Array) -> Any:
        rows = self.random.randint(0, array.shape[0]) if array.ndim else 0
        return (array[:rows], rows, False) if array.ndim else None

    def _pad(self, array: Array) -> Any:
        if not array.ndim:
            return None
        more = np.full((self.random.randint(0, 3), *array.shape[1:]), 7).astype(array.dtype)
        return np.concatenate([array, more]), (array.shape[0] + len(more), 7), True

    def _cast(self, array: Array) -> Any:
        return array.astype(np.float64), "float64", True

    def _scale(self, array: Array) -> Any:
        if array.dtype.kind not in "fV":
            return None
        factor = self.random.choice([0.5, -2.0, 3.0])
        return (array * array.dtype.type(factor)).astype(array.dtype), factor, factor != 3.0

    def case(self) -> Case:
        """One or several tensors that become one or several."""
        kind = self.random.choice(["alone", "split", "concat", "stack", "constant"])
        self.counts[kind] += 1
        before = {"kept": self.array()}
        if kind == "alone":
            before["old"] = self.array()
            array, options, has_inverse = self.changed(before["old"])
            return Case(before, {"old": {"to": "new", **options}}, {"kept": before["kept"], "new": array}, has_inverse)
        if kind == "constant":
            value = self.random.choice([3, [1.5, -2.0], [[1, 2], [3, 4]]])
            array = np.asarray(value, np.float32 if isinstance(np.asarray(value).flat[0], np.floating) else np.int64)
            return Case(before, {"new": {"constant": value}}, {**before, "new": array}, True)
        if kind == "split":
            return self._split(before)
        return self._joined(before, kind)

    def _split(self, before: dict[str, Array]) -> Case:
        before["old"] = array = self.array()
        axis = self.random.randrange(-array.ndim, array.ndim)
        size = array.shape[axis]
        cuts = sorted(self.random.choices(range(size + 1), k=2))
        sizes = [cuts[0], cuts[1] - cuts[0], size - cuts[1]]
        parts = dict(zip("abc", np.split(array, cuts, axis), strict=True))
        entry: dict[str, Any] = {"split": dict(zip("abc", sizes, strict=True)), "axis": axis}
        if size % 2 == 0 and self.random.random() < 0.5:
            parts = dict(zip("ab", np.split(array, 2, axis), strict=True))
            entry["split"] = ["a", "b"]
        if self.random.random() < 0.5:
            axes = list(range(array.ndim))[::-1]
            entry["transpose"] = axes
            parts = {name: part.transpose(axes) for name, part in parts.items()}
        return Case(before, {"old": entry}, {"kept": before["kept"], **parts}, True)

    def _joined(self, before: dict[str, Array], kind: str) -> Case:
        first = self.array()
        names = ["part_0", "part_1", "part_2"][: self.random.randint(1, 3)]
        axis = self.random.randrange(-first.ndim, first.ndim)
        for name in names:
            shape = list(first.shape)
            if kind == "concat":
                shape[axis] = self.random.randint(0, 3)
            before[name] = random_array(self.generator, first.dtype.type, tuple(shape))
        arrays = [before[name] for name in names]
        array = np.concatenate(arrays, axis) if kind == "concat" else np.stack(arrays, axis)
        array, options, has_inverse = self.changed(array)
        after = {"kept": before["kept"], "new": array}
        return Case(before, {"new": {kind: names, "axis": axis, **options}}, after, has_inverse)


# ---- the forms of a mapping ----


def _as_dict(case: Case, directory: pathlib.Path) -> NameMapLike:
    return case.entries


def _as_json(case: Case, directory: pathlib.Path) -> NameMapLike:
    path = directory / "names.json"
    path.write_text(json.dumps({"names": case.entries}))
    return path


def _as_toml(case: Case, directory: pathlib.Path) -> NameMapLike:
    """As a person writes it who wants to see what a mapping does."""
    path = directory / "names.toml"
    path.write_text(as_name_map(case.entries).to_toml(infos_of(ArraySource(case.before))))
    return str(path)


def _as_function(case: Case, directory: pathlib.Path) -> NameMapLike:
    if "old" not in case.entries:
        return None
    return lambda name: case.entries.get(name, name)


def _as_rule(case: Case, directory: pathlib.Path) -> NameMapLike:
    if "old" not in case.entries:
        return None
    entry = dict(case.entries["old"])
    return [Rule("^old$", entry.pop("to", ""), when=case.before["old"].ndim, **entry), ("^(kept)$", r"\1")]


def _as_steps(case: Case, directory: pathlib.Path) -> NameMapLike:
    if "new" not in case.entries:
        return None
    entry = dict(case.entries["new"])
    if "constant" in entry:
        return [AddConstant("new", entry["constant"])]
    kind = Concat if "concat" in entry else Stack
    return kind(entry.pop("concat", None) or entry.pop("stack"), "new", **entry)


def _as_regex(case: Case, directory: pathlib.Path) -> NameMapLike:
    entry = dict(case.entries.get("new", {"constant": 0}))
    if "constant" in entry:
        return None
    kind = Concat if entry.pop("concat", None) else Stack
    entry.pop("stack", None)
    return [kind([r"part_\d"], "new", regex=True, **entry)]


def _as_command_line(case: Case, directory: pathlib.Path) -> NameMapLike:
    [(name, entry)] = case.entries.items()
    return mapping_of([f"{name}={_inline(entry)}"])


def _inline(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_inline(item)}" for key, item in value.items()) + "}"
    return json.dumps(value)


FORMS = [_as_dict, _as_json, _as_toml, _as_function, _as_rule, _as_steps, _as_regex, _as_command_line]


def check_mappings(directory: pathlib.Path, num_mappings: int) -> collections.Counter[str]:
    maker = Maker(seed=0)
    for _ in range(num_mappings):
        case = maker.case()
        form = maker.random.choice(FORMS)
        mapping = form(case, directory)
        if mapping is None:
            continue
        maker.counts[form.__name__] += 1
        source = ArraySource(case.before)
        plan = renamed(source, mapping).plan
        assert plan.names == sorted(case.after), mapping
        check_plan(plan, case.after, maker)
        name_map, infos = as_name_map(mapping), infos_of(as_plan(source))
        if case.has_inverse:
            maker.counts["inverse"] += 1
            back = renamed(plan, name_map.inverse(infos)).plan
            check_plan(back, case.before, maker)
        else:
            maker.counts["no inverse"] += 1
            with pytest.raises(Exception, match=r"has no (exact )?inverse"):
                name_map.inverse(infos)
    return maker.counts


def check_plan(plan: Plan, arrays: Mapping[str, Array], maker: Maker) -> None:
    assert plan.names == sorted(arrays)
    for name, array in arrays.items():
        extents = []
        for size in array.shape:
            start = maker.random.randint(0, size)
            extents.append((start, maker.random.randint(0, size - start)))
        check(plan, name, np.asarray(array), TensorSlice(tuple(extents)).resolve(array.shape))


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(array_pieces, "PIECE_ELEMENTS", 4)


def test_mappings_make_what_numpy_makes_in_each_form(tmp_path: pathlib.Path, small_pieces: None) -> None:
    counts = check_mappings(tmp_path, NUM_MAPPINGS)
    words = ["transpose", "reshape", "squeeze", "expand", "slice", "crop", "pad", "cast", "scale"]
    kinds = ["alone", "split", "concat", "stack", "constant", "inverse", "no inverse"]
    assert {word: counts[word] for word in [*words, *kinds, *(form.__name__ for form in FORMS)] if counts[word] < LEAST} == {}


MUTANTS: list[tuple[Any, str, Callable[[Any], Any]]] = [
    (Reshape, "make", lambda make: lambda self, region: np.sort(make(self, region), axis=None).reshape(region.shape)),
    (Reshape, "pieces", lambda pieces: lambda self, stored: reversed(list(pieces(self, stored)))),
    (Rearrange, "pieces", lambda pieces: lambda self, stored: self._of.pieces(None)),
    (Join, "pieces", lambda pieces: lambda self, stored: self._of[0].pieces(None)),
]


@pytest.mark.parametrize(("kind", "attribute", "mutate"), MUTANTS)
def test_fault_in_a_change_is_seen(
    kind: Any, attribute: str, mutate: Callable[[Any], Any], tmp_path: pathlib.Path, small_pieces: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kind, attribute, mutate(getattr(kind, attribute)))
    with pytest.raises(Exception, match=r".") as caught:
        check_mappings(tmp_path, 200)
    assert isinstance(caught.value, (AssertionError, ValueError, IndexError)), caught.value


def test_changes_follow_each_other_in_the_order_written() -> None:
    array = np.arange(24, dtype=np.float32).reshape(4, 6)
    for options in ({"reshape": [2, 12], "transpose": True}, {"transpose": True, "reshape": [2, 12]}):
        expected = array.reshape(2, 12).T if next(iter(options)) == "reshape" else array.T.reshape(2, 12)
        for mapping in ({"w": {"to": "v", **options}}, [Rule("w", "v", **options)], [("w", {"to": "v", **options})]):
            assert_equal(renamed(ArraySource({"w": array}), mapping).plan.read("v"), np.ascontiguousarray(expected), str(mapping))


