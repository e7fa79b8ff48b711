"""From a checkpoint into variables, all or nothing.

Every name, dtype and shape is compared before a byte of a tensor is read, and every byte is read and its checksum compared
before the first variable changes: a program that catches the error goes on with the values it had.

That costs memory or time. What takes up to `HELD_SIZE` is read into memory whole and then assigned, which costs nothing
beyond what TensorFlow needs for the same: its restore operation holds all tensors too, and a resource variable takes over
the array that it is fed, as long as that is aligned. More is read twice, once to verify and once to assign, tensor by
tensor, so that no more than one batch is held. The second pass verifies again, and could fail only if the file changed or
the disk broke in between; the variables assigned by then keep their new values, which nothing can prevent in bounded memory.

What is no variable, a lookup table or an object that a program saves its own way, takes its tensors by running its own code,
which may refuse them; such objects get theirs before the variables do.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tfsaver.checkpoint.checkpoint_reader import CheckpointReader
from tfsaver.checkpoint.execution import DryRun
from tfsaver.checkpoint.match_report import MatchReport
from tfsaver.compat import _matching, _paths, _transfer
from tfsaver.compat._binding import Binding
from tfsaver.compat._matching import Match
from tfsaver.compat._transfer import Array
from tfsaver.lib.recycled_memory import RecycledMemory
from tfsaver.tensor_bundle.slabs import aligned_empty

HELD_SIZE = 1 << 30

# A variable that is restored again lets go of memory that the next restore can have: programs that evaluate one checkpoint
# after another never wait for new memory but once.
_MEMORY = RecycledMemory(HELD_SIZE)


def restore_variables(
    session: Any,
    bindings: Sequence[Binding],
    path: str,
    *,
    reshape: bool = False,
    strict: bool = True,
    dry_run: DryRun = False,
    trusted: bool = True,
) -> MatchReport:
    """Gives variables the values of a checkpoint.

    Args:
        session: Where the variables get their values; None for eager ones.
        bindings: The variables.
        path: A V2 prefix, a V1 file or pattern.
        reshape: Whether a tensor takes the variable's shape when it has as many elements.
        strict: Whether anything that is missing or does not fit is an error, and no variable changes then. Otherwise
            what fits is restored, and the report says what was not.
        dry_run: Whether to change nothing, and to report what would be restored; with ``"values"`` it is also verified.
        trusted: Whether a symbolic link may lead out of the checkpoint's directory.

    Returns:
        What was restored and what was not.

    Raises:
        NotFoundError: The checkpoint or a file of it is not there, or, when strict, a tensor.
        InvalidArgumentError: A dtype or a shape differs, when strict.
        DataLossError: The checkpoint is damaged.
        UnimplementedError: The graph has no way to assign a variable.
    """
    with _paths.open_checkpoint(path, trusted=trusted) as reader:
        matches, report = _matching.match(bindings, reader, reshape=reshape)
        if strict:
            _matching.raise_unless_ok(report)
        # What may refuse its values comes first.
        matches.sort(key=lambda item: item.binding.variable.group is None)
        for item in matches:
            # Found again when it is assigned; here it shows what cannot be assigned while nothing has been.
            item.binding.variable.check_assignable(_value_shape(item, reshape))
        if dry_run:
            if dry_run == "values":
                reader.verify_tensors({item.tensor.key for item in matches})
            return report
        if report.num_bytes <= HELD_SIZE:
            with ThreadPoolExecutor(1, "tfsaver-restore") as pool:
                reading = pool.submit(lambda: list(_read(reader, matches, reshape, HELD_SIZE)))
                _transfer.prepare_assign(session, [(item.binding, _value_shape(item, reshape)) for item in matches])
                values = reading.result()
                # The future would hold on to the list otherwise, though not to what is taken out of it.
                del reading
            _transfer.assign(session, _drained(values), batch_size=HELD_SIZE)
            return report
        reader.verify_tensors({item.tensor.key for item in matches})
        _transfer.assign(session, _read_ahead(_read(reader, matches, reshape, _transfer.BATCH_SIZE)))
        return report


def compare_variables(bindings: Sequence[Binding], path: str, *, reshape: bool = False) -> MatchReport:
    """What `restore_variables` would find; nothing is read but the index, and no variable changes.

    Raises:
        NotFoundError: The checkpoint is not there.
        DataLossError: Its index is damaged.
    """
    with _paths.open_checkpoint(path) as reader:
        return _matching.match(bindings, reader, reshape=reshape)[1]


def _read(
    reader: CheckpointReader, matches: Sequence[Match], reshape: bool, batch_size: int
) -> Iterator[tuple[Binding, Array]]:
    """The values of variables, read in batches: small ones together, each on as many threads as there are cores."""
    batch: list[Match] = []
    size = 0
    for item in matches:
        if batch and size + item.tensor.num_bytes > batch_size:
            yield from _read_batch(reader, batch, reshape)
            batch, size = [], 0
        batch.append(item)
        size += item.tensor.num_bytes
    yield from _read_batch(reader, batch, reshape)


def _read_batch(reader: CheckpointReader, batch: Sequence[Match], reshape: bool) -> Iterator[tuple[Binding, Array]]:
    wholes = {item.tensor.key for item in batch if item.binding.tensor_slice is None}
    values = reader.read_tensors(wholes, memory=_MEMORY)
    for item in batch:
        binding, tensor = item
        # Taken out: a second variable that gets the same tensor must not live in the same memory.
        value = values.pop(tensor.key, None) if binding.tensor_slice is None else None
        if value is None:
            out = aligned_empty(tensor.shape, binding.dtype.numpy, _MEMORY)
            value = reader.read(tensor.key, binding.tensor_slice, out=out)
        yield binding, value.reshape(_value_shape(item, reshape))


def _read_ahead(values: Iterator[tuple[Binding, Array]]) -> Iterator[tuple[Binding, Array]]:
    """The same values, each read while the one before is assigned."""
    with ThreadPoolExecutor(1, "tfsaver-restore") as pool:
        following = pool.submit(next, values, None)
        while (value := following.result()) is not None:
            following = pool.submit(next, values, None)
            yield value
            # Let go of before the next is waited for.
            del value


def _drained(values: list[tuple[Binding, Array]]) -> Iterator[tuple[Binding, Array]]:
    """The items of a list, which lets go of each: what a session has copied need not be held until the end."""
    values.reverse()
    while values:
        yield values.pop()


def _value_shape(item: Match, reshape: bool) -> tuple[int, ...]:
    """The shape in which the variable gets its value."""
    wanted = item.binding.variable.shape
    if not reshape or item.binding.tensor_slice is not None or wanted is None:
        return item.tensor.shape
    return item.tensor.shape if None in wanted else tuple(size for size in wanted if size is not None)
