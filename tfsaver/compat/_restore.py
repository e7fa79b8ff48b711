"""From a checkpoint into variables, all or nothing.

Every name, dtype and shape is compared before a byte of a tensor is read, and every byte is read and its checksum compared
before the first variable changes: a program that catches the error goes on with the values it had.

That costs memory or time. What takes up to `HELD_SIZE` is read into memory whole and then assigned, which costs nothing
beyond what TensorFlow needs for the same: its restore operation holds all tensors too, and a resource variable takes over
the array that it is fed, as long as that is aligned. More is read twice, once to verify and once to assign, tensor by
tensor, so that no more than one batch is held. The second pass verifies again, and could fail only if the file changed or
the disk broke in between; the variables assigned by then keep their new values, which nothing can prevent in bounded memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from tfsaver.checkpoint.checkpoint_reader import CheckpointReader, load_checkpoint
from tfsaver.compat import _matching, _transfer
from tfsaver.compat._binding import Binding, GraphVariable
from tfsaver.compat._matching import Match
from tfsaver.compat._transfer import Array

HELD_SIZE = 1 << 30


def restore_variables(session: Any, bindings: Sequence[Binding], path: str, *, reshape: bool = False) -> None:
    """Gives variables the values of a checkpoint.

    Args:
        session: Where the variables get their values; None for eager ones.
        bindings: The variables.
        path: A V2 prefix, a V1 file or pattern.
        reshape: Whether a tensor takes the variable's shape when it has as many elements.

    Raises:
        NotFoundError: The checkpoint, a file of it or a tensor is not there.
        InvalidArgumentError: A dtype or a shape differs.
        DataLossError: The checkpoint is damaged.
        UnimplementedError: The graph has no way to assign a variable.
    """
    with load_checkpoint(path) as reader:
        matches = _matching.match(bindings, reader, reshape=reshape)
        for item in matches:
            # Found again when it is assigned; here it shows what cannot be assigned while nothing has been.
            if isinstance(item.binding.variable, GraphVariable):
                item.binding.variable.assignment(_value_shape(item, reshape))
        values = _read(reader, matches, reshape)
        if sum(item.num_bytes for item in matches) <= HELD_SIZE:
            _transfer.assign(session, _drained(list(values)))
            return
        for _ in values:
            pass
        _transfer.assign(session, _read(reader, matches, reshape))


def _read(reader: CheckpointReader, matches: Sequence[Match], reshape: bool) -> Iterator[tuple[Binding, Array]]:
    verified = set()
    for item in matches:
        out = _transfer.aligned_empty(item.shape, item.binding.dtype.numpy)
        # A part of a tensor that is stored whole can only be verified with all of it: the first part does it for the others.
        value = reader.read(item.key, item.binding.tensor_slice, out=out, verify=item.key not in verified)
        if not item.is_stored_sliced:
            verified.add(item.key)
        yield item.binding, value.reshape(_value_shape(item, reshape))


def _drained(values: list[tuple[Binding, Array]]) -> Iterator[tuple[Binding, Array]]:
    """The items of a list, which lets go of each: what a session has copied need not be held until the end."""
    values.reverse()
    while values:
        yield values.pop()


def _value_shape(item: Match, reshape: bool) -> tuple[int, ...]:
    """The shape in which the variable gets its value."""
    wanted = item.binding.variable.shape
    if not reshape or item.binding.tensor_slice is not None or wanted is None:
        return item.shape
    return item.shape if None in wanted else tuple(size for size in wanted if size is not None)
