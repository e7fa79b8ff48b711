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
from tfsaver.framework.array_pieces import blocks, cut, flat, recut
from tfsaver.framework.dtypes import DType
from tfsaver.framework.tensor_shape import Shape
from tfsaver.framework.tensor_slice import TensorSlice
from tfsaver.framework.tensor_slice_set import TensorSliceSet


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
        value: The array.
        dtype: The type under which it is stored.
    """

    def __init__(self, value: Array, dtype: DType) -> None:
        self._value = value
        self.dtype, self.shape = dtype, value.shape

    def make(self, region: TensorSlice) -> Array:
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


class Reshape(Recipe):
    """Another tensor's elements, in the same order, in another shape.

    Args:
        of: The other tensor.
        shape: The shape, of as many elements.
    """

    def __init__(self, of: Recipe, shape: Shape) -> None:
        self._of = of
        self.dtype, self.shape = of.dtype, tuple(shape)

    def losses(self) -> Iterator[Losses]:
        return self._of.losses()

    def make(self, region: TensorSlice) -> Array:
        whole = self._of.make(TensorSlice.full(len(self._of.shape)).resolve(self._of.shape)).reshape(self.shape)
        return whole if region.shape == self.shape else whole[region.indices].copy()

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


def _losses_of(recipes: Iterable[Recipe]) -> Iterator[Losses]:
    return itertools.chain.from_iterable(recipe.losses() for recipe in recipes)


def _along(region: TensorSlice, axis: int, start: int, length: int) -> TensorSlice:
    """A region with another extent along one axis."""
    extents = list(region.extents)
    extents[axis] = (start, length)
    return TensorSlice(tuple(extents))
