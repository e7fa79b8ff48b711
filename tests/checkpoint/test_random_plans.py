"""Random recipes and plans make what numpy makes of the same arrays: whole, in any region, and piece by piece.

The model of a recipe is a function on arrays that uses numpy alone. Each kind of recipe stands at least 200 times in what is
tried, on tensors of every kind: whole and in slices, of both byte orders, of every width, empty ones, scalars and strings.
That the test sees a fault is shown by breaking each kind.
"""

from __future__ import annotations

import collections
import pathlib
import random
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np
import pytest

from tfsaver import load_checkpoint
from tfsaver.checkpoint.editing.average import averaged
from tfsaver.checkpoint.editing.cast import casted
from tfsaver.checkpoint.editing.merge import merged
from tfsaver.checkpoint.editing.rename import renamed
from tfsaver.checkpoint.editing.select import selected
from tfsaver.checkpoint.plan import Plan, as_plan
from tfsaver.checkpoint.recipes import Constant, Elementwise, Gather, Join, Rearrange, Recipe, Take
from tfsaver.checkpoint.tensor_source import TensorSource
from tfsaver.framework import array_pieces, dtypes
from tfsaver.framework.tensor_slice import TensorSlice
from tfsaver.tensor_bundle.writer import BundleWriter

Array = np.ndarray[Any, Any]

DTYPES = [np.float32, np.float64, np.float16, ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn, np.int8, np.uint16, np.int64,
          np.complex64, np.bool_, object]  # fmt: skip
SHAPES = [(), (0,), (7,), (3, 5), (4, 0, 2), (2, 3, 4), (1, 6)]
KINDS = [Take, Constant, Rearrange, Elementwise, Join, Gather]
NUM_RECIPES = 1500


class Sources(NamedTuple):
    """Checkpoints, the arrays in each, and the two halves of a tensor that `Gather` puts together."""

    readers: list[TensorSource]
    arrays: list[dict[str, Array]]
    halves: tuple[TensorSource, TensorSource]
    whole: dict[str, Array]


class Made(NamedTuple):
    """A recipe, and what it is to make."""

    recipe: Recipe
    array: Array


def random_array(generator: np.random.Generator, dtype: Any, shape: tuple[int, ...]) -> Array:
    if dtype is object:
        array = np.empty(shape, object)
        flat = array.reshape(-1)
        for number in range(flat.size):
            flat[number] = generator.bytes(int(generator.integers(0, 5)))
        return array
    return np.asarray(generator.integers(0, 2, shape) if dtype is np.bool_ else generator.integers(0, 100, shape)).astype(dtype)


def write(prefix: pathlib.Path, arrays: dict[str, Array], byte_order: Any, is_kept: Callable[[int], bool]) -> TensorSource:
    with BundleWriter(prefix, byte_order=byte_order, durable=False) as writer:
        for name, array in arrays.items():
            if name.startswith("sliced"):
                middle = array.shape[0] // 2
                for number, rows in enumerate((slice(0, middle), slice(middle, array.shape[0]))):
                    if is_kept(number):
                        writer.add_slice(name, array.shape, np.s_[rows], array[rows])
            else:
                writer.add(name, array)
    return load_checkpoint(str(prefix))


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sources]:
    directory = tmp_path_factory.mktemp("plans")
    generator = np.random.default_rng(1)
    every = []
    for _ in range(2):
        arrays = {}
        for number, dtype in enumerate(DTYPES):
            for shape in SHAPES:
                arrays[f"whole/{number}/{len(arrays)}"] = random_array(generator, dtype, shape)
                if shape and shape[0] > 1 and dtype is not object:
                    arrays[f"sliced/{number}/{len(arrays)}"] = random_array(generator, dtype, shape)
        every.append(arrays)
    sliced = {name: array for name, array in every[0].items() if name.startswith("sliced") and array.size}
    readers = [write(directory / order, arrays, order, lambda _: True) for order, arrays in zip(("little", "big"), every, strict=True)]
    halves = [write(directory / f"half{half}", sliced, "little", lambda number, half=half: number == half) for half in (0, 1)]
    yield Sources(readers, every, (halves[0], halves[1]), sliced)
    for reader in (*readers, *halves):
        reader.close()


class Maker:
    """Makes random recipes."""

    def __init__(self, sources: Sources, seed: int) -> None:
        self.sources = sources
        self.random = random.Random(seed)
        self.generator = np.random.default_rng(seed)
        self.kinds: collections.Counter[type[Recipe]] = collections.Counter()

    def make(self, depth: int) -> Made:
        kind = self.random.choice(KINDS if depth else [Take, Constant, Gather])
        made: Made = getattr(self, f"_{kind.__name__.lower()}")(depth)
        self.kinds[kind] += 1
        return made

    def region(self, shape: tuple[int, ...]) -> TensorSlice:
        extents = []
        for size in shape:
            start = self.random.randint(0, size)
            extents.append((start, self.random.randint(0, size - start)))
        return TensorSlice(tuple(extents)).resolve(shape)

    def _take(self, depth: int) -> Made:
        number = self.random.randrange(2)
        name = self.random.choice(list(self.sources.arrays[number]))
        return Made(Take(self.sources.readers[number], name), self.sources.arrays[number][name])

    def _constant(self, depth: int) -> Made:
        array = random_array(self.generator, self.random.choice(DTYPES), self.random.choice(SHAPES))
        return Made(Constant(array.copy(), dtypes.STRING if array.dtype == object else dtypes.from_numpy(array.dtype)), array)

    def _gather(self, depth: int) -> Made:
        name = self.random.choice(list(self.sources.whole))
        array = self.sources.whole[name]
        stored = []
        for half in self.sources.halves:
            [each] = half.slices(name)
            stored.append((each.resolve(array.shape), Take(half, name)))
        self.random.shuffle(stored)
        return Made(Gather(name, stored), array)

    def _rearrange(self, depth: int) -> Made:
        inner = self.make(depth - 1)
        part = self.region(inner.array.shape) if self.random.random() < 0.5 else None
        axes = self.random.sample(range(inner.array.ndim), inner.array.ndim)
        array = inner.array if part is None else inner.array[(*part.indices, ...)]
        return Made(Rearrange(inner.recipe, part, axes), array.transpose(axes))

    def _elementwise(self, depth: int) -> Made:
        inner = self.make(depth - 1)
        dtype = inner.recipe.dtype
        if inner.array.dtype == object:
            return Made(Elementwise([inner.recipe], doubled, dtype), doubled(inner.array))
        other = Constant(random_array(self.generator, inner.array.dtype.type, inner.array.shape), dtype)
        expected = one_of_each(inner.array, other.make(TensorSlice.full(inner.array.ndim).resolve(inner.array.shape)))
        return Made(Elementwise([inner.recipe, other], one_of_each, dtype), expected)

    def _join(self, depth: int) -> Made:
        inner = self.make(depth - 1)
        if not inner.array.ndim:
            return inner
        axis = self.random.randrange(inner.array.ndim)
        parts = [inner]
        for _ in range(self.random.randint(0, 2)):
            shape = list(inner.array.shape)
            shape[axis] = self.random.randint(0, 3)
            dtype = object if inner.array.dtype == object else inner.array.dtype.type
            array = random_array(self.generator, dtype, tuple(shape))
            parts.append(Made(Constant(array.copy(), inner.recipe.dtype), array))
        self.random.shuffle(parts)
        array = np.concatenate([part.array for part in parts], axis=axis)
        return Made(Join([part.recipe for part in parts], axis), array)


def doubled(array: Array) -> Array:
    result = np.empty(array.shape, object)
    result.reshape(-1)[:] = [value + value for value in array.reshape(-1).tolist()]
    return result


def one_of_each(a: Array, b: Array) -> Array:
    """Neither sums nor rounds: every type has it."""
    return np.where(a > b, a, b) if a.dtype.kind != "c" else np.where(a.real > b.real, a, b)


def assert_equal(found: Array, expected: Array, what: str) -> None:
    assert found.shape == expected.shape and found.dtype == expected.dtype, what
    assert (found.tolist() == expected.tolist()) if found.dtype == object else (found.tobytes() == expected.tobytes()), what


def check(source: TensorSource, name: str, array: Array, region: TensorSlice) -> None:
    """Every way to a tensor of a source gives the array, or the part of it."""
    info = source.info(name)
    assert (info.dtype.numpy, tuple(info.shape)) == (array.dtype, array.shape), name
    assert_equal(source.read(name), array, f"{name} whole")
    assert_equal(source.read(name, region), array[(*region.indices, ...)], f"{name} in {region}")
    in_order = [each.copy() for each in source.pieces(name)]
    assert all(len(each) == array_pieces.PIECE_ELEMENTS for each in in_order[:-1]), f"{name} in pieces"
    assert_equal(np.concatenate([np.empty(0, array.dtype), *in_order]), array.reshape(-1), f"{name} in pieces")
    covered = np.zeros(array.shape, int)
    for stored in source.slices(name):
        indices = stored.resolve(array.shape).indices
        covered[indices] += 1
        part = np.concatenate([np.empty(0, array.dtype), *(each.copy() for each in source.pieces(name, stored))])
        assert_equal(part, array[indices].reshape(-1), f"{name} in its slice {stored}")
    assert not source.slices(name) or np.all(covered == 1), f"{name} in slices"


def check_recipes(sources: Sources, num_recipes: int) -> collections.Counter[type[Recipe]]:
    maker = Maker(sources, seed=0)
    for _ in range(num_recipes):
        made = maker.make(maker.random.randint(0, 3))
        plan = Plan([], ["a"], ["a"], recipes={"a": made.recipe})
        check(plan, "a", made.array, maker.region(made.array.shape))
    return maker.kinds


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(array_pieces, "PIECE_ELEMENTS", 4)


def test_recipes_make_what_numpy_makes(sources: Sources, small_pieces: None) -> None:
    kinds = check_recipes(sources, NUM_RECIPES)
    assert {kind.__name__: kinds[kind] for kind in KINDS if kinds[kind] < 200} == {}


def _shifted(region: TensorSlice) -> TensorSlice:
    return TensorSlice(tuple((max(0, start - 1), length) for start, length in region.extents))


# What is wrong with each kind: (kind, attribute that is replaced, what stands there then).
MUTANTS: list[tuple[type[Recipe], str, Callable[[Any], Any]]] = [
    (Take, "make", lambda make: lambda self, region: make(self, _shifted(region))),
    (Take, "slices", lambda slices: lambda self: slices(self)[:1]),
    (Constant, "make", lambda make: lambda self, region: make(self, _shifted(region))),
    (Rearrange, "make", lambda make: lambda self, region: make(self, _shifted(region))),
    (Rearrange, "make", lambda make: lambda self, region: make(self, region).T.reshape(region.shape)),
    (Elementwise, "make", lambda make: lambda self, region: self._of[0].make(region)),
    (Elementwise, "pieces", lambda pieces: lambda self, stored: self._of[0].pieces(stored)),
    (Join, "make", lambda make: lambda self, region: make(self, _shifted(region))),
    (Gather, "make", lambda make: lambda self, region: self._stored[0][1].make(self._stored[0][0])),
    (Gather, "slices", lambda slices: lambda self: slices(self)[1:]),
]


@pytest.mark.parametrize(("kind", "attribute", "mutate"), MUTANTS)
def test_fault_in_a_recipe_is_seen(
    kind: type[Recipe], attribute: str, mutate: Callable[[Any], Any], sources: Sources, small_pieces: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kind, attribute, mutate(getattr(kind, attribute)))
    with pytest.raises(Exception, match=r".") as caught:
        check_recipes(sources, 300)
    assert isinstance(caught.value, (AssertionError, ValueError, IndexError)), caught.value


# ---- plans ----


class Model(NamedTuple):
    """A plan, and the arrays that it is to have."""

    plan: Plan
    arrays: dict[str, Array]


def _select(maker: Maker, model: Model) -> Model:
    names = maker.random.sample(sorted(model.arrays), maker.random.randint(1, len(model.arrays)))
    return Model(selected(model.plan, names), {name: model.arrays[name] for name in names})


def _rename(maker: Maker, model: Model) -> Model:
    letter = maker.random.choice("abc")
    return Model(renamed(model.plan, [("^", f"{letter}/")]).plan, {f"{letter}/{name}": array for name, array in model.arrays.items()})


def _cast(maker: Maker, model: Model) -> Model:
    target = maker.random.choice([np.float64, np.float32])

    def expected(array: Array) -> Array:
        is_float = array.dtype != object and np.dtype(array.dtype).kind in "fV" and array.dtype != np.bool_
        return array.astype(target) if is_float else array

    plan = casted(model.plan, np.dtype(target).name)
    return Model(plan, {name: expected(array) for name, array in model.arrays.items()})


def _average(maker: Maker, model: Model) -> Model:
    # Of itself: the mean of equal numbers is the number, and what is not averaged is the last one's.
    return Model(averaged([model.plan, model.plan], maker.random.choice([None, [1, 3], [0, 2]])), model.arrays)


def _merge(maker: Maker, model: Model) -> Model:
    other = renamed(as_plan(maker.sources.readers[1]), [("^", "other/")]).plan
    names = maker.random.sample(sorted(other.tensor_names), 3)
    taken = {name: maker.sources.arrays[1][name.removeprefix("other/")] for name in names if name not in model.arrays}
    if not taken:
        return model
    return Model(merged([model.plan, selected(other, list(taken))]).plan, {**model.arrays, **taken})


BUILDERS = [_select, _rename, _cast, _average, _merge]


def test_plans_make_what_numpy_makes(sources: Sources, small_pieces: None) -> None:
    maker = Maker(sources, seed=1)
    counts: collections.Counter[str] = collections.Counter()
    while not counts or min(counts.values()) < 200 or len(counts) < len(BUILDERS):
        number = maker.random.randrange(2)
        model = Model(as_plan(sources.readers[number]), sources.arrays[number])
        # Few tensors, so that many plans can be tried.
        names = maker.random.sample(sorted(model.arrays), 4)
        model = Model(selected(model.plan, names), {name: model.arrays[name] for name in names})
        for build in maker.random.choices(BUILDERS, k=maker.random.randint(1, 5)):
            model = build(maker, model)
            counts[build.__name__] += 1
        assert model.plan.names == sorted(model.arrays)
        for name in maker.random.sample(sorted(model.arrays), min(3, len(model.arrays))):
            check(model.plan, name, model.arrays[name], maker.region(model.arrays[name].shape))
