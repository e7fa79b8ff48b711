"""One execution for everything that is done with all tensors of a source: written, assigned to variables, compared.

    check      what can be known before a value is read: names, types, slices, what is there already, room on the disk
    open       the target begins, and nothing of it is visible
    add        one tensor after the other, or one slice of one
    losses     what only values could tell: whether casts lost more than precision
    end        the target becomes visible; after an error it is as it was

A dry run checks the same. It reads values only where a cast may lose something, or all of them where it is asked to.
"""

from __future__ import annotations

import abc
import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import Literal, TypeAlias, cast

from tfsaver.checkpoint.losses import raise_losses
from tfsaver.checkpoint.tensor_source import Array, TensorSource
from tfsaver.errors import CheckpointNotFoundError, DataLossError, SaverError
from tfsaver.framework.tensor_info import TensorInfo
from tfsaver.framework.tensor_shape import num_elements
from tfsaver.framework.tensor_slice import TensorSlice
from tfsaver.lib import file_io
from tfsaver.lib.free_space import check_free_space

Progress: TypeAlias = "Callable[[int, int], None]"
DryRun: TypeAlias = "bool | Literal['values']"
# The elements of a tensor or of a slice: an array, or pieces in C order, each of which is valid until the next one.
Data: TypeAlias = "Array | Iterator[Array]"
# What a target is given: a tensor, the slice of it or None for all of it, the elements.
Sink: TypeAlias = "Callable[[TensorInfo, TensorSlice | None, Data], None]"
OnDamage: TypeAlias = "Callable[[str, SaverError], None]"
Part: TypeAlias = "tuple[str, TensorSlice | None]"


class Target(abc.ABC):
    """Where tensors go.

    Attributes:
        path: What the result is called where it is found again; empty where it is in memory.
        expected_size: How many bytes will be written, as far as `check` has found that out.
        takes_pieces: Whether tensors of fixed-size types come in pieces. Strings come as arrays in any case, and so does
            what lies in memory already (`TensorSource.is_stable`), which may be borrowed until the end.
        refuses_losses: Whether a cast that loses more than precision is an error.
        batch_size: How many bytes of whole tensors may be read at once, on several threads; 0 reads them one at a time.
        notes: What `check` found that a report should mention, in sentences.
        on_damage: Called with the name of a tensor that is damaged or whose file is missing, and the error; the others go
            on. With None, damage ends the execution. Such a target takes no batches.
    """

    path = ""
    expected_size = 0
    takes_pieces = False
    refuses_losses = True
    batch_size = 0
    notes: tuple[str, ...] = ()
    on_damage: OnDamage | None = None

    @abc.abstractmethod
    def check(self, source: TensorSource) -> None:
        """Raises what is wrong, as far as it can be known before values are read and anything is changed."""

    @abc.abstractmethod
    def open(self, source: TensorSource) -> contextlib.AbstractContextManager[Sink]:
        """Begins; the end of the block makes everything visible at once, and an error in it leaves all as it was."""

    def parts(self, source: TensorSource) -> Iterable[Part]:
        """The tensors, or slices of them, in the order in which the target takes them."""
        return ((name, None) for name in source.names)


class Execution:
    """What becomes of all tensors of a source.

    Args:
        source: The tensors, most often a `Plan`.
        target: Where they go.
        progress: Called with how many bytes are done and how many there are.
    """

    def __init__(self, source: TensorSource, target: Target, *, progress: Progress | None = None) -> None:
        self._source = source
        self._target = target
        self._losses = list(source.losses())
        self._progress = progress
        self._done = self._total = 0

    def run(self, *, dry_run: DryRun = False) -> None:
        """Does it, all or nothing.

        Args:
            dry_run: Whether to change nothing, and to raise what would be raised: all that is known without values and what
                casts lose; with ``"values"`` also what is damaged.

        Raises:
            InvalidArgumentError: Casts lose more than precision; says all. And what the target raises.
            DataLossError: The source is damaged.
        """
        for _, losses in self._losses:
            losses.reset()
        self._target.check(self._source)
        # What a tensor is that is made on demand, is known once it is made.
        if self._progress is not None and not self._source.makes_on_demand:
            self._total = sum(self._size(name, stored) for name, stored in self._target.parts(self._source))
        if dry_run:
            if not file_io.is_remote(self._target.path):
                check_free_space(self._target.path, self._target.expected_size)
            lossy = {name for name, losses in self._losses if losses.can_lose}
            self._read(part for part in self._target.parts(self._source) if dry_run == "values" or part[0] in lossy)
            self._raise_losses()
            return
        with self._target.open(self._source) as add:
            for info, stored, data in self._tensors():
                try:
                    add(info, stored, data)
                except (DataLossError, CheckpointNotFoundError) as error:
                    if self._target.on_damage is None:
                        raise
                    self._target.on_damage(info.name, error)
                # Not held while the next one is read.
                del data
            self._raise_losses()

    def _raise_losses(self) -> None:
        if self._target.refuses_losses:
            raise_losses(self._losses)

    def _read(self, parts: Iterable[Part]) -> None:
        """Reads values and keeps none: what is only known after that, is known then."""
        for name, stored in parts:
            for piece in self._source.pieces(name, stored):
                self._count(piece.nbytes)

    def _tensors(self) -> Iterator[tuple[TensorInfo, TensorSlice | None, Data]]:
        source = self._source
        batch: list[TensorInfo] = []
        size = 0
        for name, stored in self._target.parts(source):
            info = source.info(name)
            if self._target.batch_size:
                batch.append(info)
                size += info.num_bytes
                if size >= self._target.batch_size:
                    yield from self._read_together(batch)
                    batch, size = [], 0
            elif stored is None and source.is_stable(name):
                yield info, None, self._counted(name, None, source.read(name))
            elif info.dtype.has_fixed_size and self._target.takes_pieces:
                yield info, stored, self._counted_pieces(source.pieces(name, stored))
            elif self._target.on_damage is not None:
                # Read by whoever takes them, so that an error is that of one tensor.
                yield info, stored, self._counted_pieces(source.pieces(name, stored))
            else:
                yield info, stored, self._counted(name, stored, source.read(name, stored))
        yield from self._read_together(batch)

    def _read_together(self, infos: list[TensorInfo]) -> Iterator[tuple[TensorInfo, None, Array]]:
        arrays = self._source.read_tensors([info.name for info in infos]) if infos else {}
        for info in infos:
            # Whoever copies an array has it no longer than that.
            yield info, None, self._counted(info.name, None, arrays.pop(info.name))

    def _counted_pieces(self, pieces: Iterator[Array]) -> Iterator[Array]:
        for piece in pieces:
            yield piece
            self._count(piece.nbytes)

    def _counted(self, name: str, stored: TensorSlice | None, array: Array) -> Array:
        self._count(self._size(name, stored) if self._progress is not None else 0)
        return array

    def _size(self, name: str, stored: TensorSlice | None) -> int:
        info = self._source.info(name)
        if stored is None or not info.dtype.has_fixed_size:
            return info.num_bytes
        return num_elements(stored.resolve(info.shape, name).shape) * info.dtype.size

    def _count(self, num_bytes: int) -> None:
        if self._progress is not None:
            self._done = min(self._done + num_bytes, self._total or self._done + num_bytes)
            self._progress(self._done, max(self._done, self._total))


def as_array(data: Data) -> Array:
    """The elements that a target was given which takes no pieces."""
    return cast("Array", data)
