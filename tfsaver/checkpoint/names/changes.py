"""What a mapping does to a tensor besides giving it another name.

    transpose = [3, 2, 0, 1]      the order of the axes; true turns a matrix
    reshape = [8, -1]             another shape of as many elements; one size may be -1
    squeeze = 0                   axes of size 1 removed; true removes all of them
    expand = 0                    axes of size 1 inserted, numbered as in the result
    slice = "2:5, :"              a part, as numpy writes it; in Python also ``np.s_[2:5, :]``
    part = {...}                  one of several parts along an axis: what ``split`` is made of
    crop = 100                    the first 100 rows
    pad = 120, fill = 0           120 rows, the new ones filled: see `Pad`
    cast = "float16"              another dtype; what may not be lost is an error
    scale = 0.5                   each number times this
    gates = "icfo->ifco"          equal parts along the last axis in another order: see `Gates`

Changes are applied in the order in which they are written. ``axis`` says along which axis the tensor is split, cropped or
padded (0), ``when`` for which tensors a rule or an entry is meant (`When`).

Several tensors become one by `Joined`, the change of each of them; `combined` makes the recipe of the result.
"""

from __future__ import annotations

import abc
import dataclasses
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from tfsaver.checkpoint.losses import Losses, can_lose, cast_array, is_complex, is_float, is_integer
from tfsaver.checkpoint.recipes import Constant, Elementwise, Join, Rearrange, Recipe, Reshape
from tfsaver.checkpoint.tensor_source import Array
from tfsaver.errors import InvalidArgumentError, nearest_names
from tfsaver.framework import dtypes
from tfsaver.framework.dtypes import DType
from tfsaver.framework.region import as_tensor_slice
from tfsaver.framework.tensor_shape import Shape, num_elements
from tfsaver.framework.tensor_slice import TensorSlice

_INDEX = re.compile(r"\s*(?:(?P<index>-?\d+)|(?P<start>-?\d+)?\s*:\s*(?P<stop>-?\d+)?|(?P<rest>\.\.\.))\s*")


class Spec(NamedTuple):
    """What a step knows of a tensor.

    Attributes:
        dtype: Its type.
        shape: Its shape.
    """

    dtype: DType
    shape: Shape


class Known(Recipe):
    """Stands for a tensor of which only the dtype and the shape are asked for."""

    def __init__(self, spec: Spec) -> None:
        self.dtype, self.shape = spec.dtype, tuple(spec.shape)

    def make(self, region: TensorSlice) -> Array:
        raise NotImplementedError("only the dtype and the shape are known")


class Change(abc.ABC):
    """One thing that is done to a tensor.

    Attributes:
        word: What it is called in a file.
        keeps_elements: Whether elements only change their places, so that an optimizer's moments follow.
    """

    word = ""
    keeps_elements = True

    @abc.abstractmethod
    def recipe(self, of: Recipe) -> Recipe:
        """The changed tensor.

        Raises:
            InvalidArgumentError: The tensor does not have the shape or dtype for it.
        """

    def inverse(self, spec: Spec) -> tuple[Change, ...]:
        """What undoes it, for a tensor that was of this dtype and shape before.

        Raises:
            InvalidArgumentError: Nothing does.
        """
        raise InvalidArgumentError(f"{self} has no inverse")

    @abc.abstractmethod
    def value(self) -> Any:
        """What a file says behind the word."""

    def options(self) -> dict[str, Any]:
        """The word and its value, and what else a file says."""
        return {self.word: self.value()}

    def __str__(self) -> str:
        return f"{self.word} {self.value()}"


Changes: TypeAlias = "tuple[Change, ...]"


@dataclasses.dataclass(frozen=True)
class Transpose(Change):
    """The axes in another order, as in `numpy.transpose`."""

    axes: tuple[int, ...]
    word = "transpose"

    def recipe(self, of: Recipe) -> Recipe:
        if len(of.shape) != len(self.axes):
            raise InvalidArgumentError(f"shape {list(of.shape)} does not have the {len(self.axes)} axes to be transposed")
        return Rearrange(of, axes=self.axes)

    def inverse(self, spec: Spec) -> Changes:
        return (Transpose(tuple(map(self.axes.index, range(len(self.axes))))),)

    def value(self) -> Any:
        return list(self.axes)

    def __str__(self) -> str:
        return f"transposed {list(self.axes)}"


@dataclasses.dataclass(frozen=True)
class ToShape(Change):
    """The same elements in another shape, in which one size may be -1."""

    shape: tuple[int, ...]
    word = "reshape"

    def recipe(self, of: Recipe) -> Recipe:
        known = num_elements([size for size in self.shape if size != -1])
        total = num_elements(of.shape)
        missing = total // known if known else 0
        shape = tuple(missing if size == -1 else size for size in self.shape)
        if num_elements(shape) != total or (-1 in self.shape and not known):
            raise InvalidArgumentError(f"shape {list(of.shape)} of {total:,} elements cannot become {list(self.shape)}")
        return Reshape(of, shape)

    def inverse(self, spec: Spec) -> Changes:
        return (ToShape(tuple(spec.shape)),)

    def value(self) -> Any:
        return list(self.shape)

    def __str__(self) -> str:
        return f"reshaped to {list(self.shape)}"


@dataclasses.dataclass(frozen=True)
class Squeeze(Change):
    """Without axes of size 1: some, or all of them when None."""

    axes: tuple[int, ...] | None
    word = "squeeze"

    def recipe(self, of: Recipe) -> Recipe:
        gone = self._gone(of.shape)
        return Reshape(of, tuple(size for axis, size in enumerate(of.shape) if axis not in gone))

    def _gone(self, shape: Shape) -> tuple[int, ...]:
        if self.axes is None:
            return tuple(axis for axis, size in enumerate(shape) if size == 1)
        gone = tuple(_axis(axis, len(shape), shape) for axis in self.axes)
        if any(shape[axis] != 1 for axis in gone) or len(set(gone)) < len(gone):
            raise InvalidArgumentError(f"shape {list(shape)} cannot be squeezed along {list(self.axes)}")
        return gone

    def inverse(self, spec: Spec) -> Changes:
        return (Expand(self._gone(spec.shape)),)

    def value(self) -> Any:
        return True if self.axes is None else list(self.axes)

    def __str__(self) -> str:
        return "squeezed" if self.axes is None else f"squeezed along {list(self.axes)}"


@dataclasses.dataclass(frozen=True)
class Expand(Change):
    """With more axes of size 1, numbered as in the result (`numpy.expand_dims`)."""

    axes: tuple[int, ...]
    word = "expand"

    def recipe(self, of: Recipe) -> Recipe:
        rank = len(of.shape) + len(self.axes)
        added = [_axis(axis, rank, of.shape) for axis in self.axes]
        if len(set(added)) < len(added):
            raise InvalidArgumentError(f"shape {list(of.shape)} cannot be expanded by {list(self.axes)}")
        sizes = iter(of.shape)
        return Reshape(of, tuple(1 if axis in added else next(sizes) for axis in range(rank)))

    def inverse(self, spec: Spec) -> Changes:
        return (Squeeze(self.axes),)

    def value(self) -> Any:
        return list(self.axes)

    def __str__(self) -> str:
        return f"expanded by {list(self.axes)}"


@dataclasses.dataclass(frozen=True)
class Slice(Change):
    """A part, as numpy writes it; an integer drops its axis."""

    text: str
    word = "slice"

    def recipe(self, of: Recipe) -> Recipe:
        part, dropped = as_tensor_slice(_indices(self.text), of.shape, self.text)
        extents = part.resolve(of.shape).extents
        made: Recipe = Rearrange(of, TensorSlice(extents))
        kept = tuple(length for axis, (_, length) in enumerate(extents) if axis not in dropped)
        return Reshape(made, kept) if dropped else made

    def value(self) -> Any:
        return self.text

    def __str__(self) -> str:
        return f"sliced [{self.text}]"


@dataclasses.dataclass(frozen=True)
class Part(Change):
    """One of several parts along an axis.

    Attributes:
        axis: The axis.
        sizes: How long the parts are; how many equal ones there are, when it is a number.
        index: Which of them it is.
    """

    axis: int
    sizes: tuple[int, ...] | int
    index: int
    word = "part"

    @property
    def count(self) -> int:
        """How many parts there are."""
        return self.sizes if isinstance(self.sizes, int) else len(self.sizes)

    def recipe(self, of: Recipe) -> Recipe:
        axis = _axis(self.axis, len(of.shape), of.shape)
        size = of.shape[axis]
        if isinstance(self.sizes, int):
            if size % self.sizes:
                raise InvalidArgumentError(
                    f"shape {list(of.shape)}: axis {axis} cannot be split into {self.sizes} equal parts; give their sizes"
                )
            sizes = (size // self.sizes,) * self.sizes
        else:
            sizes = self.sizes
        if sum(sizes) != size:
            raise InvalidArgumentError(f"shape {list(of.shape)}: parts of {list(sizes)} are not all of axis {axis}")
        extents = [(0, each) for each in of.shape]
        extents[axis] = (sum(sizes[: self.index]), sizes[self.index])
        return Rearrange(of, TensorSlice(tuple(extents)))

    def value(self) -> Any:
        sizes = self.sizes if isinstance(self.sizes, int) else list(self.sizes)
        return {"axis": self.axis, "sizes": sizes, "index": self.index}

    def __str__(self) -> str:
        return f"split along axis {self.axis} (part {self.index + 1} of {self.count})"


@dataclasses.dataclass(frozen=True)
class Crop(Change):
    """The first rows."""

    rows: int
    axis: int = 0
    word = "crop"

    def recipe(self, of: Recipe) -> Recipe:
        axis = _axis(self.axis, len(of.shape), of.shape)
        if of.shape[axis] < self.rows:
            raise InvalidArgumentError(f"shape {list(of.shape)} cannot be cropped to {self.rows} along axis {axis}")
        extents = [(0, size) for size in of.shape]
        extents[axis] = (0, self.rows)
        return Rearrange(of, TensorSlice(tuple(extents)))

    def value(self) -> Any:
        return {"rows": self.rows, "axis": self.axis}

    def __str__(self) -> str:
        return f"cropped to {self.rows} along axis {self.axis}"


@dataclasses.dataclass(frozen=True)
class Pad(Change):
    """More rows behind the last.

    Attributes:
        rows: How many there are then.
        fill: What is in the new ones: a number for all of their elements; ``{"normal": stddev, "seed": 0}`` or
            ``{"uniform": [low, high], "seed": 0}`` for random numbers, the same for each seed; in Python also a function
            from a shape to an array.
        axis: Along which axis.
    """

    rows: int
    fill: Any
    axis: int = 0
    word = "pad"
    keeps_elements = False

    def recipe(self, of: Recipe) -> Recipe:
        axis = _axis(self.axis, len(of.shape), of.shape)
        if of.shape[axis] > self.rows:
            raise InvalidArgumentError(f"shape {list(of.shape)} has more than {self.rows} along axis {axis}: crop it")
        shape = (*of.shape[:axis], self.rows - of.shape[axis], *of.shape[axis + 1 :])
        if not _is_number(of.dtype):
            raise InvalidArgumentError(f"{of.dtype} cannot be padded: it is not a type of numbers")
        return Join([of, _filled(self.fill, of.dtype, shape)], axis) if shape[axis] else of

    def inverse(self, spec: Spec) -> Changes:
        return (Crop(spec.shape[_axis(self.axis, len(spec.shape), spec.shape)], self.axis),)

    def value(self) -> Any:
        return {"rows": self.rows, "fill": self.fill, "axis": self.axis}

    def __str__(self) -> str:
        return f"padded to {self.rows} along axis {self.axis} with {self.fill!r}"

    def __hash__(self) -> int:
        return hash((self.rows, self.axis, repr(self.fill)))


@dataclasses.dataclass(frozen=True)
class Cast(Change):
    """Another type of numbers. What is lost besides precision is an error."""

    dtype: DType
    word = "cast"
    keeps_elements = False

    def recipe(self, of: Recipe) -> Recipe:
        if of.dtype is self.dtype:
            return of
        if not _is_number(of.dtype) or (is_complex(of.dtype) and not is_complex(self.dtype)):
            raise InvalidArgumentError(f"{of.dtype} cannot be cast to {self.dtype}")
        losses = Losses(of.dtype, self.dtype)
        return Elementwise([of], lambda value: cast_array(value, losses), self.dtype, losses)

    def inverse(self, spec: Spec) -> Changes:
        if can_lose(spec.dtype, self.dtype):
            raise InvalidArgumentError(f"{self} has no inverse: {self.dtype} does not hold every {spec.dtype}")
        return (Cast(spec.dtype),)

    def value(self) -> Any:
        return self.dtype.name

    def __str__(self) -> str:
        return f"cast to {self.dtype}"


@dataclasses.dataclass(frozen=True)
class Scale(Change):
    """Each number times another. A number that becomes infinite is an error."""

    factor: float
    word = "scale"
    keeps_elements = False

    def recipe(self, of: Recipe) -> Recipe:
        if not (is_float(of.dtype) or is_complex(of.dtype)):
            raise InvalidArgumentError(f"{of.dtype} cannot be scaled: only float and complex types are; cast it before")
        losses = Losses(of.dtype, of.dtype)

        def scaled(value: Array) -> Array:
            with np.errstate(all="ignore"):
                result: Array = (value * value.dtype.type(self.factor)).astype(value.dtype)
            losses.num_elements += value.size
            losses.num_overflowed += int(np.count_nonzero(np.isfinite(value) & ~np.isfinite(result)))
            return result

        return Elementwise([of], scaled, of.dtype, losses)

    def inverse(self, spec: Spec) -> Changes:
        if abs(math.frexp(self.factor)[0]) != 0.5:
            raise InvalidArgumentError(f"{self} has no exact inverse: the factor is not a power of two")
        return (Scale(1 / self.factor),)

    def value(self) -> Any:
        return self.factor

    def __str__(self) -> str:
        return f"scaled by {self.factor:g}"


@dataclasses.dataclass(frozen=True)
class Gates(Change):
    """The gates of a recurrent cell, equal parts of one axis, in another order.

    The same order twice changes nothing, and says that the order is known.

    Attributes:
        before: A letter for each gate, as in ``icfo``.
        after: The same letters in the order of the result.
        added: What is added to a gate, by its letter: the forget bias that a cell of TF1 adds whenever it runs. It goes to
            moving averages too, and not to an optimizer's moments.
        axis: Which axis the gates stand along.
    """

    before: str
    after: str
    added: tuple[tuple[str, float], ...] = ()
    axis: int = -1
    word = "gates"

    def recipe(self, of: Recipe) -> Recipe:
        axis = _axis(self.axis, len(of.shape), of.shape)
        size = of.shape[axis]
        if size % len(self.before):
            raise InvalidArgumentError(
                f"shape {list(of.shape)}: axis {axis} does not have the {len(self.before)} gates {self.before} of equal size"
            )
        if self.before == self.after and not self.added:
            return of
        made = []
        for letter in self.after:
            gate = Part(axis, len(self.before), self.before.index(letter)).recipe(of)
            made.append(_increased(gate, dict(self.added).get(letter, 0.0)))
        return Join(made, axis)

    def inverse(self, spec: Spec) -> Changes:
        if self.added:
            raise InvalidArgumentError(f"{self} has no inverse: what was added is not taken away again to the bit")
        return (Gates(self.after, self.before, (), self.axis),)

    def value(self) -> Any:
        order = f"{self.before}->{self.after}"
        rest: dict[str, Any] = {"add": dict(self.added)} if self.added else {}
        rest.update({"axis": self.axis} if self.axis != -1 else {})
        return {"order": order, **rest} if rest else order

    def __str__(self) -> str:
        order = f"gates {self.before}->{self.after}"
        return order + "".join(f", {number:g} added to {letter}" for letter, number in self.added)


def _increased(of: Recipe, number: float) -> Recipe:
    if not number:
        return of

    def add(gate: Array) -> Array:
        # In the gate's own type, as the cell does it.
        total: Array = gate + gate.dtype.type(number)
        return total

    return Elementwise([of], add, of.dtype)


@dataclasses.dataclass(frozen=True)
class Joined(Change):
    """One of the tensors that become one.

    Attributes:
        kind: ``concat``, along an axis that they have, or ``stack``, along a new one.
        axis: The axis, of the result.
        index: Which of the tensors it is.
        inputs: The names of all of them.
        to: The name of the result.
    """

    kind: str
    axis: int
    index: int
    inputs: tuple[str, ...]
    to: str
    word = "joined"

    @property
    def result(self) -> tuple[str, int, tuple[str, ...], str]:
        """What is equal for all tensors that become one."""
        return self.kind, self.axis, self.inputs, self.to

    def recipe(self, of: Recipe) -> Recipe:
        """The tensor as `Join` takes it."""
        return Expand((self.axis,)).recipe(of) if self.kind == "stack" else of

    def value(self) -> Any:
        return None

    def __str__(self) -> str:
        return f"{'concatenated' if self.kind == 'concat' else 'stacked'} along axis {self.axis}"


@dataclasses.dataclass(frozen=True)
class Summed(Joined):
    """One of the tensors of which the result is the sum, element by element; its kind is ``sum``."""

    keeps_elements = False

    def __str__(self) -> str:
        return f"summed with {', '.join(name for index, name in enumerate(self.inputs) if index != self.index)}"


@dataclasses.dataclass(frozen=True)
class When:
    """For which tensors a rule or an entry is meant.

    Attributes:
        ranks: How many axes they have; any number when empty.
        dtypes: Their types; any when empty.
    """

    ranks: frozenset[int] = frozenset()
    dtypes: frozenset[str] = frozenset()

    def holds(self, spec: Spec) -> bool:
        """Whether a tensor is one of them."""
        return (not self.ranks or len(spec.shape) in self.ranks) and (not self.dtypes or spec.dtype.name in self.dtypes)

    def value(self) -> Any:
        """What a file says for it."""
        facts = {"rank": sorted(self.ranks), "dtype": sorted(self.dtypes)}
        return {word: items for word, items in facts.items() if items}

    def __str__(self) -> str:
        facts = [f"rank {' or '.join(map(str, sorted(self.ranks)))}"] if self.ranks else []
        facts += [f"dtype {' or '.join(sorted(self.dtypes))}"] if self.dtypes else []
        return " and ".join(facts)


def folded(of: Recipe, changes: Iterable[Change]) -> Recipe:
    """A tensor after changes of its own.

    Raises:
        InvalidArgumentError: A change does not fit.
    """
    for change in changes:
        of = change.recipe(of)
    return of


def combined(parts: Sequence[tuple[Recipe, Changes]]) -> Recipe:
    """The tensor that one tensor becomes after changes, or that several become together.

    Raises:
        InvalidArgumentError: A change does not fit, or the tensors do not fit each other.
    """
    changes = parts[0][1]
    found = around_join(changes)
    if found is None:
        return folded(parts[0][0], changes)
    _, join, after = found
    inputs: dict[int, list[tuple[Recipe, Changes]]] = {}
    for of, own in parts:
        if (around := around_join(own)) is not None:
            inputs.setdefault(around.join.index, []).append((of, around.before))
    made = [combined(inputs[index]) for index in sorted(inputs)]
    for name, one in zip(join.inputs, made, strict=True):
        _check_alike(join, made[0], one, name)
    if isinstance(join, Summed):
        return folded(Elementwise(made, _sum, made[0].dtype), after)
    return folded(Join([join.recipe(one) for one in made], join.axis), after)


def _sum(*values: Array) -> Array:
    total: Array = np.add.reduce(values)
    return total


class AroundJoin(NamedTuple):
    """Changes before the last join among them, the join, and those after it."""

    before: Changes
    join: Joined
    after: Changes


def around_join(changes: Changes) -> AroundJoin | None:
    """The last join among changes, and what is around it; None where there is none."""
    for index in range(len(changes) - 1, -1, -1):
        if isinstance(change := changes[index], Joined):
            return AroundJoin(changes[:index], change, changes[index + 1 :])
    return None


def _check_alike(join: Joined, first: Recipe, each: Recipe, name: str) -> None:
    rank = len(first.shape) + (join.kind == "stack")
    axis = _axis(join.axis, rank, first.shape)
    if each.dtype is not first.dtype:
        raise InvalidArgumentError(
            f"{join.inputs[0]!r} is {first.dtype} and {name!r} is {each.dtype}: cast them before they become {join.to!r}"
        )
    shapes = [each.shape, first.shape]
    if join.kind == "concat":
        shapes = [(*shape[:axis], *shape[axis + 1 :], len(shape)) for shape in shapes]
    if shapes[0] != shapes[1]:
        raise InvalidArgumentError(
            f"{join.inputs[0]!r} of shape {list(first.shape)} and {name!r} of shape {list(each.shape)} do not fit, "
            f"{join} for {join.to!r}"
        )


# ---- what callers and files say ----


def as_axes(transpose: object) -> tuple[int, ...] | None:
    """An order of axes: True turns a matrix, None and False leave the tensor as it is.

    Raises:
        InvalidArgumentError: It is not an order of axes.
    """
    if transpose is None or transpose is False:
        return None
    if transpose is True:
        return (1, 0)
    if isinstance(transpose, Sequence) and not isinstance(transpose, str):
        axes = tuple(transpose)
        if all(type(axis) is int for axis in axes) and sorted(axes) == list(range(len(axes))):
            return None if axes == tuple(range(len(axes))) else axes
    raise InvalidArgumentError(f"transpose is {transpose!r}, must be true, or each axis once, as in [3, 2, 0, 1]")


def as_changes(options: Mapping[str, Any], axis: Any = None) -> Changes:
    """Changes from words and what stands behind each, in that order.

    Args:
        options: As in ``{"reshape": [8, -1], "transpose": True}``; ``fill`` belongs to ``pad``.
        axis: Along which axis is cropped and padded.

    Raises:
        InvalidArgumentError: A word is unknown, or a value makes no sense.
    """
    changes: list[Change] = []
    rest = {word: value for word, value in options.items() if value is not None}
    fill = rest.pop("fill", None)
    if fill is not None and "pad" not in rest:
        raise InvalidArgumentError("fill is for pad: say how many rows there are to be, as in pad=100, fill=0")
    for word, value in rest.items():
        if word not in _MAKERS:
            near = nearest_names(word, WORDS)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(WORDS)}"
            raise InvalidArgumentError(f"unknown change {word!r}; {hint}")
        rows = word in ("pad", "crop") and not isinstance(value, Mapping)
        if rows:
            value = {"rows": value, **({"fill": fill} if word == "pad" else {})}
        if word in ("pad", "crop") and axis is not None:
            value = {"axis": axis, **value}
        changes += _MAKERS[word](value)
    return tuple(changes)


def as_when(value: object) -> When | None:
    """A condition: a number of axes, a list of such, or ``{"rank": 4, "dtype": "float32"}``.

    Raises:
        InvalidArgumentError: It is something else.
    """
    if value is None or isinstance(value, When):
        return value
    facts = value if isinstance(value, Mapping) else {"rank": value}
    ranks, kinds = _listed(facts.get("rank", ())), _listed(facts.get("dtype", ()))
    if set(facts) <= {"rank", "dtype"} and (ranks or kinds) and all(type(rank) is int for rank in ranks):
        return When(frozenset(ranks), frozenset(dtypes.from_name(str(kind)).name for kind in kinds))
    raise InvalidArgumentError(f"when is {value!r}, must be a rank, ranks, or {{rank = 4, dtype = 'float32'}}")


def _as_transpose(value: Any) -> list[Change]:
    axes = as_axes(value)
    return [] if axes is None else [Transpose(axes)]


def _as_shape(value: Any) -> list[Change]:
    shape = _integers("reshape", value)
    if any(size < -1 for size in shape) or shape.count(-1) > 1:
        raise InvalidArgumentError(f"reshape is {value!r}, must be sizes, of which one may be -1")
    return [ToShape(shape)]


def _as_squeeze(value: Any) -> list[Change]:
    if value is True or value is False:
        return [Squeeze(None)] if value else []
    return [Squeeze(_integers("squeeze", value))]


def _as_expand(value: Any) -> list[Change]:
    return [Expand(_integers("expand", value))]


def _as_slice(value: Any) -> list[Change]:
    items = value if isinstance(value, (list, tuple)) else [value]
    text = value if isinstance(value, str) else ", ".join(map(_index_text, items))
    _indices(text)
    return [Slice(text)]


def _as_part(value: Any) -> list[Change]:
    facts = dict(value) if isinstance(value, Mapping) else {}
    sizes = facts.get("sizes")
    if set(facts) != {"axis", "sizes", "index"} or type(facts["axis"]) is not int or type(facts["index"]) is not int:
        raise InvalidArgumentError(f"part is {value!r}, must be {{axis = 0, sizes = [2, 3], index = 0}}")
    part = Part(facts["axis"], as_sizes(sizes), facts["index"])
    if not 0 <= part.index < part.count:
        raise InvalidArgumentError(f"part is {value!r}: there are {part.count} parts")
    return [part]


def as_sizes(value: Any) -> tuple[int, ...] | int:
    """The sizes of parts, or how many equal ones there are.

    Raises:
        InvalidArgumentError: They are not sizes.
    """
    if type(value) is int and value > 0:
        return value
    if isinstance(value, Sequence) and value and all(type(size) is int and size >= 0 for size in value):
        return tuple(value)
    raise InvalidArgumentError(f"{value!r} are not sizes of parts")


def _as_crop(value: Any) -> list[Change]:
    return [Crop(**_rows("crop", value, {"rows", "axis"}))]


def _as_pad(value: Any) -> list[Change]:
    facts = _rows("pad", value, {"rows", "axis", "fill"})
    if facts.get("fill") is None:
        raise InvalidArgumentError("pad needs what is in the new rows, as in fill=0 or fill={'normal': 0.02, 'seed': 0}")
    _filled(facts["fill"], dtypes.from_name("float32"), (0,))
    return [Pad(**facts)]


def _as_cast(value: Any) -> list[Change]:
    if isinstance(value, (DType, str)):
        dtype = value if isinstance(value, DType) else dtypes.from_name(value)
    else:
        try:
            dtype = dtypes.from_numpy(np.dtype(value))
        except TypeError as error:
            raise InvalidArgumentError(f"cast is {value!r}, must be a dtype: {error}") from error
    if not _is_number(dtype):
        raise InvalidArgumentError(f"cast is {dtype}, which is not a type of numbers")
    return [Cast(dtype)]


def _as_scale(value: Any) -> list[Change]:
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)) or not math.isfinite(value) or not value:
        raise InvalidArgumentError(f"scale is {value!r}, must be a number other than 0")
    return [Scale(float(value))]


def _as_gates(value: Any) -> list[Change]:
    facts = dict(value) if isinstance(value, Mapping) else {"order": value}
    before, _, after = str(facts.get("order", "")).partition("->")
    added, axis = facts.get("add", {}), facts.get("axis", -1)
    is_right = isinstance(added, Mapping) and all(map(_is_finite, added.values())) and set(added) <= set(before)
    if set(facts) - {"order", "add", "axis"} or type(axis) is not int or not is_right:
        raise InvalidArgumentError(f"gates is {value!r}, must be {{order = 'icfo->ifco', add = {{f = 1.0}}, axis = -1}}")
    if not before or sorted(before) != sorted(after) or len(set(before)) < len(before):
        raise InvalidArgumentError(f"gates is {value!r}: both sides of -> must be the same letters, one for each gate")
    return [Gates(before, after, tuple((letter, float(number)) for letter, number in added.items()), axis)]


def _is_finite(value: Any) -> bool:
    return isinstance(value, (int, float, np.number)) and not isinstance(value, bool) and math.isfinite(value)


_MAKERS: dict[str, Callable[[Any], list[Change]]] = {
    "transpose": _as_transpose,
    "reshape": _as_shape,
    "squeeze": _as_squeeze,
    "expand": _as_expand,
    "slice": _as_slice,
    "part": _as_part,
    "crop": _as_crop,
    "pad": _as_pad,
    "cast": _as_cast,
    "scale": _as_scale,
    "gates": _as_gates,
}
# The words that a mapping may say of a tensor.
WORDS = (*_MAKERS, "fill")


def filled_array(fill: Any, dtype: DType, shape: Shape) -> Array:
    """An array of what an initializer says; see `Pad`."""
    if callable(fill):
        value = np.asarray(fill(shape))
        if value.shape != tuple(shape):
            raise InvalidArgumentError(f"fill made an array of shape {list(value.shape)}, must be {list(shape)}")
    elif isinstance(fill, Mapping):
        generator = np.random.default_rng(fill.get("seed", 0))
        if "normal" in fill:
            value = generator.normal(0.0, fill["normal"], shape)
        else:
            low, high = fill["uniform"]
            value = generator.uniform(low, high, shape)
    else:
        value = np.full(shape, fill)
    result: Array = value.astype(dtype.numpy)
    return result


def _filled(fill: Any, dtype: DType, shape: Shape) -> Recipe:
    if isinstance(fill, Mapping):
        kinds = {"normal", "uniform"} & set(fill)
        if set(fill) - {"normal", "uniform", "seed"} or len(kinds) != 1:
            raise InvalidArgumentError(f"fill is {fill!r}, must be {{'normal': 0.02, 'seed': 0}} or {{'uniform': [-1, 1]}}")
        if not is_float(dtype):
            raise InvalidArgumentError(f"{dtype} cannot be filled with random numbers")
        return Constant(lambda: filled_array(fill, dtype, shape), dtype, shape)
    if callable(fill):
        return Constant(lambda: filled_array(fill, dtype, shape), dtype, shape)
    if isinstance(fill, str) or not np.isscalar(fill):
        raise InvalidArgumentError(f"fill is {fill!r}, must be a number, an initializer or a function of a shape")
    number = np.asarray(fill).astype(dtype.numpy)
    if is_integer(dtype) and number != fill:
        raise InvalidArgumentError(f"{dtype} does not have {fill!r} to be filled with")
    return Constant(np.broadcast_to(number, shape), dtype)


def _is_number(dtype: DType) -> bool:
    return is_float(dtype) or is_integer(dtype) or is_complex(dtype)


def _axis(axis: int, rank: int, shape: Shape) -> int:
    if not -rank <= axis < rank:
        raise InvalidArgumentError(f"shape {list(shape)} does not have axis {axis}")
    return axis % rank


def _integers(word: str, value: Any) -> tuple[int, ...]:
    items = _listed(value)
    if not all(type(item) is int or isinstance(item, np.integer) for item in items):
        raise InvalidArgumentError(f"{word} is {value!r}, must be integers")
    return tuple(map(int, items))


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple, set, frozenset)) else [value]


def _rows(word: str, value: Any, known: set[str]) -> dict[str, Any]:
    facts = dict(value)
    rows, axis = facts.get("rows"), facts.get("axis", 0)
    if set(facts) - known or type(rows) is not int or rows < 0 or type(axis) is not int:
        raise InvalidArgumentError(f"{word} is {value!r}, must be a number of rows")
    return facts


def _index_text(index: Any) -> str:
    if isinstance(index, slice) and index.step in (None, 1):
        return f"{'' if index.start is None else index.start}:{'' if index.stop is None else index.stop}"
    if index is ...:
        return "..."
    if type(index) is int:
        return str(index)
    raise InvalidArgumentError(f"slice has {index!r}, must be integers and slices with steps of 1, as in '2:5, :'")


def _indices(text: str) -> list[Any]:
    indices: list[Any] = []
    for item in text.split(","):
        match = _INDEX.fullmatch(item)
        if match is None:
            raise InvalidArgumentError(f"slice is {text!r}, must be as numpy writes it, as in '2:5, :'")
        if match["rest"]:
            indices.append(...)
        elif match["index"]:
            indices.append(int(match["index"]))
        else:
            start, stop = match["start"], match["stop"]
            indices.append(slice(start and int(start), stop and int(stop)))
    return indices
