"""How a changed tensor is made from others.

    Take           a tensor of a source, as it is
    Constant       an array
    Rearrange      a slice of another tensor, its axes in another order
    Reshape        another tensor's elements in another shape
    Elementwise    a function of the elements in the same places of one tensor or several: a cast, a sum, a mean
    Join           tensors one after the other along an axis
    Gather         slices of one tensor, of which several sources have some

A recipe stands on others, down to what is taken from sources. What it makes has a dtype and a shape that are known before
anything is read, and any region of it needs one region of each recipe that it stands on. The gates of a recurrent cell are
slices, a sum for one of them, and a join.
"""

from __future__ import annotations

import abc
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from tfsaver.checkpoint.losses import Losses
from tfsaver.checkpoint.tensor_source import Array, TensorSource
from tfsaver.framework import array_pieces
from tfsaver.framework.array_pieces import blocks, cut, flat, recut
from tfsaver.framework.dtypes import DType
from tfsaver.framework.tensor_shape import Shape, num_elements
from tfsaver.framework.tensor_slice import TensorSlice
from tfsaver.framework.tensor_slice_set import TensorSliceSet

# How many pieces a panel is at least and at most (32 MiB and 256 MiB of float32), and how many panels there are in between.
_MIN_PANEL = 8
_MAX_PANEL = 64
_MAX_PANELS = 16


class Recipe(abc.ABC):
    """How one tensor is made.

    Attributes:
        dtype: Its type.
        shape: Its shape.
    """

    dtype: DType
    shape: Shape

    @abc.abstractmethod
    def make(self, region: TensorSlice) -> Array:
        """A resolved region of the tensor. The array belongs to the caller."""

    def losses(self) -> Iterator[Losses]:
        """What casts on the way have lost so far."""
        return iter(())

    def slices(self) -> tuple[TensorSlice, ...]:
        """The slices in which the tensor can be made one after the other as its sources have it; none where it is whole."""
        return ()

    def pieces(self, stored: TensorSlice | None) -> Iterator[Array]:
        """The elements in C order, cut after `PIECE_ELEMENTS`; see `TensorSource.pieces`."""
        return cut(self.make((stored or TensorSlice.full(len(self.shape))).resolve(self.shape)))

    def _panels(self) -> Iterator[Array]:
        """The elements in C order, of which a bounded number is in memory.

        A panel is made of regions whose bytes are not one run, and a source that compares checksums walks through all of
        its tensor for each: at most `_MAX_PANELS` times, until panels reach their largest size.
        """
        size = max(_MIN_PANEL, min(_MAX_PANEL, -(-num_elements(self.shape) // (_MAX_PANELS * array_pieces.PIECE_ELEMENTS))))
        panels = blocks(self.shape, size * array_pieces.PIECE_ELEMENTS)
        return recut(flat(self.make(panel)) for panel in panels)


class Take(Recipe):
    """A tensor of a source.

    Args:
        source: The source.
        name: Its name there.
        stored: The slices that are taken of it, where these are not all.
    """

    def __init__(self, source: TensorSource, name: str, stored: tuple[TensorSlice, ...] = ()) -> None:
        info = source.info(name)
        self.source = source
        self.name = name
        self.dtype, self.shape = info.dtype, tuple(info.shape)
        self._stored = stored

    def make(self, region: TensorSlice) -> Array:
        is_whole = region.shape == self.shape
        return self.source.read(self.name) if is_whole else self.source.read(self.name, region)

    def slices(self) -> tuple[TensorSlice, ...]:
        return self._stored or self.source.slices(self.name)

    def pieces(self, stored: TensorSlice | None) -> Iterator[Array]:
        return self.source.pieces(self.name, stored)


class Constant(Recipe):
    """An array.

    Args:
        value: The array, or a function that makes it when it is first needed.
        dtype: The type under which it is stored.
        shape: Its shape, where it is made later.
    """

    def __init__(self, value: Array | Callable[[], Array], dtype: DType, shape: Shape | None = None) -> None:
        self._value = value
        self.dtype = dtype
        self.shape = value.shape if shape is None and isinstance(value, np.ndarray) else tuple(shape or ())

    def make(self, region: TensorSlice) -> Array:
        if not isinstance(self._value, np.ndarray):
            self._value = self._value()
        # The dots keep a scalar an array.
        indices: tuple[Any, ...] = (*region.indices, ...)
        part: Array = self._value[indices].copy()
        return part


class Rearrange(Recipe):
    """A slice of another tensor, its axes in another order.

    Args:
        of: The other tensor.
        part: Which part of it; all of it when None.
        axes: For each axis of the result the one of the part; None for the same order.
    """

    def __init__(self, of: Recipe, part: TensorSlice | None = None, axes: Sequence[int] | None = None) -> None:
        self._of = of
        self._part = (part or TensorSlice.full(len(of.shape))).resolve(of.shape)
        self._axes = tuple(range(len(of.shape))) if axes is None else tuple(axes)
        self.dtype = of.dtype
        self.shape = tuple(self._part.shape[axis] for axis in self._axes)

    def losses(self) -> Iterator[Losses]:
        return self._of.losses()

    def make(self, region: TensorSlice) -> Array:
        extents = [(0, 0)] * len(self._axes)
        for (start, length), axis in zip(region.extents, self._axes, strict=True):
            extents[axis] = (self._part.extents[axis][0] + start, length)
        part: Array = self._of.make(TensorSlice(tuple(extents))).transpose(self._axes)
        return part

    def pieces(self, stored: TensorSlice | None) -> Iterator[Array]:
        is_everything = self.shape == self._of.shape and self._axes == tuple(range(len(self.shape)))
        if stored is None and is_everything:
            return self._of.pieces(None)
        return self._panels() if stored is None else super().pieces(stored)


class Reshape(Recipe):
    """Another tensor's elements, in the same order, in another shape.

    Args:
        of: The other tensor.
        shape: The shape, of as many elements.
    """

    def __init__(self, of: Recipe, shape: Shape) -> None:
        self._of = of
        self.dtype, self.shape = of.dtype, tuple(shape)
        self._groups = _groups(of.shape, self.shape) if num_elements(self.shape) else []

    def losses(self) -> Iterator[Losses]:
        return self._of.losses()

    def make(self, region: TensorSlice) -> Array:
        if not num_elements(region.shape):
            return np.empty(region.shape, self.dtype.numpy)
        inner: list[tuple[int, int]] = []
        # Of each group of axes: the elements that are read, and of these the first that is wanted.
        lengths, starts = [], []
        for old, new in self._groups:
            sizes = [self.shape[axis] for axis in new]
            extents = [region.extents[axis] for axis in new]
            first = _position([start for start, _ in extents], sizes)
            last = _position([start + length - 1 for start, length in extents], sizes)
            read = _covering(first, last, [self._of.shape[axis] for axis in old])
            inner += read
            start = _position([begin for begin, _ in read], [self._of.shape[axis] for axis in old])
            lengths.append(num_elements(tuple(length for _, length in read)))
            starts.append(first - start)
        block = np.ascontiguousarray(self._of.make(TensorSlice(tuple(inner)))).reshape(lengths)
        strides: list[int] = []
        for number, (_, new) in enumerate(self._groups):
            sizes = [self.shape[axis] for axis in new]
            strides += (num_elements(tuple(sizes[axis + 1 :])) * block.strides[number] for axis in range(len(new)))
        corner = block[tuple(slice(start, None) for start in starts)]
        part: Array = np.lib.stride_tricks.as_strided(corner, region.shape, strides, writeable=False).copy()
        return part

    def pieces(self, stored: TensorSlice | None) -> Iterator[Array]:
        return self._of.pieces(None) if stored is None else super().pieces(stored)


class Elementwise(Recipe):
    """A function of the elements in the same places of tensors of one shape.

    Args:
        of: The tensors.
        function: Called with an array of each, all of one shape; returns one of that shape and of the dtype.
        dtype: The type of what it returns.
        losses: Where the function counts what elements lose; None where they lose nothing that counts.
    """

    def __init__(
        self, of: Sequence[Recipe], function: Callable[..., Array], dtype: DType, losses: Losses | None = None
    ) -> None:
        self._of = tuple(of)
        self._function = function
        self._losses = losses
        self.dtype, self.shape = dtype, self._of[-1].shape

    def losses(self) -> Iterator[Losses]:
        if self._losses is not None:
            yield self._losses
        yield from _losses_of(self._of)

    def make(self, region: TensorSlice) -> Array:
        return self._function(*(each.make(region) for each in self._of))

    def slices(self) -> tuple[TensorSlice, ...]:
        last = self._of[-1].slices()
        return last if all(set(each.slices()) == set(last) for each in self._of[:-1]) else ()

    def pieces(self, stored: TensorSlice | None) -> Iterator[Array]:
        every = zip(*(each.pieces(stored) for each in self._of), strict=True)
        return (self._function(*pieces) for pieces in every)


class Join(Recipe):
    """Tensors one after the other along an axis.

    Args:
        of: The tensors, equal in dtype and in all other axes.
        axis: The axis.
    """

    def __init__(self, of: Sequence[Recipe], axis: int) -> None:
        self._of = tuple(of)
        rank = len(self._of[0].shape)
        self._axis = axis % rank
        self.dtype = self._of[0].dtype
        lengths = [each.shape[self._axis] for each in self._of]
        self._ends = np.cumsum(lengths).tolist()
        shape = list(self._of[0].shape)
        shape[self._axis] = self._ends[-1]
        self.shape = tuple(shape)

    def losses(self) -> Iterator[Losses]:
        return _losses_of(self._of)

    def make(self, region: TensorSlice) -> Array:
        first, length = region.extents[self._axis]
        parts = []
        for each, end in zip(self._of, self._ends, strict=True):
            start = end - each.shape[self._axis]
            begin, stop = max(first, start), min(first + length, end)
            if begin < stop:
                parts.append(each.make(_along(region, self._axis, begin - start, stop - begin)))
        if not parts:
            return self._of[0].make(_along(region, self._axis, 0, 0))
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=self._axis)

    def pieces(self, stored: TensorSlice | None) -> Iterator[Array]:
        if stored is not None:
            return super().pieces(stored)
        # One after the other where nothing with more than one index is in front of the axis.
        if num_elements(self.shape[: self._axis]) == 1:
            return recut(piece.copy() for each in self._of for piece in each.pieces(None))
        return self._panels()


class Gather(Recipe):
    """The slices of one partitioned tensor, of which several sources have some.

    Args:
        name: What the tensor is called.
        stored: For each slice, resolved, the recipe that makes it: of the whole tensor's shape, and with this slice.

    Raises:
        DataLossError: Two slices overlap, or a part of the tensor is in none.
    """

    def __init__(self, name: str, stored: Sequence[tuple[TensorSlice, Recipe]]) -> None:
        self._stored = tuple(stored)
        first = self._stored[0][1]
        self.dtype, self.shape = first.dtype, first.shape
        self._set = TensorSliceSet(name, self.shape, [each for each, _ in self._stored])
        self._set.check_coverage()

    def losses(self) -> Iterator[Losses]:
        return _losses_of(of for _, of in self._stored)

    def make(self, region: TensorSlice) -> Array:
        out = np.empty(region.shape, self.dtype.numpy)
        for number, part, target in self._set.parts(region):
            stored, of = self._stored[number]
            pairs = zip(part.extents, stored.extents, strict=True)
            within = TensorSlice(tuple((begin + start, length) for (start, length), (begin, _) in pairs))
            # The dots keep a scalar an array.
            indices: tuple[Any, ...] = (*target.indices, ...)
            out[indices] = of.make(within)
        return out

    def slices(self) -> tuple[TensorSlice, ...]:
        return tuple(each for each, _ in self._stored)

    def pieces(self, stored: TensorSlice | None) -> Iterator[Array]:
        for each, of in self._stored:
            if each == stored:
                return of.pieces(next(one for one in of.slices() if one.resolve(self.shape) == each))
        return recut(flat(self.make(block)) for block in blocks(self.shape))


def _groups(old: Shape, new: Shape) -> list[tuple[list[int], list[int]]]:
    """Axes of two shapes that together have as many elements, in the fewest pieces: (8, 6) and (8, 2, 3) are two groups."""
    groups: list[tuple[list[int], list[int]]] = []
    i = j = 0
    while i < len(old) or j < len(new):
        left, right = [i] if i < len(old) else [], [j] if j < len(new) else []
        before, after = (old[i] if left else 1), (new[j] if right else 1)
        while before != after:
            if before < after:
                left.append(i := left[-1] + 1 if left else i)
                before *= old[i]
            else:
                right.append(j := right[-1] + 1 if right else j)
                after *= new[j]
        i = left[-1] + 1 if left else i
        j = right[-1] + 1 if right else j
        groups.append((left, right))
    return groups


def _position(index: Sequence[int], shape: Sequence[int]) -> int:
    """How many elements are before an index in C order."""
    position = 0
    for each, size in zip(index, shape, strict=True):
        position = position * size + each
    return position


def _covering(first: int, last: int, shape: Sequence[int]) -> list[tuple[int, int]]:
    """The smallest region that has all elements between two positions, one after the other."""
    extents: list[tuple[int, int]] = []
    rest = num_elements(tuple(shape))
    for axis, size in enumerate(shape):
        rest //= size
        begin, end = first // rest, last // rest
        extents.append((begin, end - begin + 1))
        if begin != end:
            return [*extents, *((0, each) for each in shape[axis + 1 :])]
        first, last = first % rest, last % rest
    return extents


def _losses_of(recipes: Iterable[Recipe]) -> Iterator[Losses]:
    return itertools.chain.from_iterable(recipe.losses() for recipe in recipes)


def _along(region: TensorSlice, axis: int, start: int, length: int) -> TensorSlice:
    """A region with another extent along one axis."""
    extents = list(region.extents)
    extents[axis] = (start, length)
    return TensorSlice(tuple(extents))
