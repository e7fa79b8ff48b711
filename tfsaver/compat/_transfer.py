"""Values between a session and memory, in batches of bounded size.

    fetch    session.run([tensor, tensor, ...])                     a batch of small variables, or one big one
    assign   session.run([operation, ...], {value: array, ...})     the same

One run per variable would be slow where there are thousands, one run for all would hold every value twice. A session keeps
what it prepared for each set of fetches and feeds; batches depend on the bindings alone, so that saving a second time
prepares nothing anew.

``session.run`` looks up each of its fetches and feeds in the graph, compares their types and shapes, and makes a key of all
their names before it does any work: for thousands of variables that takes longer than moving their values. So a session is
told of a run once and then called with values alone. What it was told is kept with the session, as it keeps what it prepared
for `run`. Sessions that cannot do that, wrappers among them, run as always. So does a call that fails: then the error is the
one that programs know, with the operation that it is about.
"""

from __future__ import annotations

import abc
import logging
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from tfsaver.checkpoint.tensor_source import TensorSource
from tfsaver.compat import _tensorflow
from tfsaver.compat._binding import Binding, EagerVariable, GraphVariable
from tfsaver.compat._saveables import Saveable, SavedTensor
from tfsaver.errors import TensorNotFoundError
from tfsaver.framework.region import Region
from tfsaver.framework.tensor_info import TensorInfo
from tfsaver.framework.tensor_slice import TensorSlice

Array: TypeAlias = "np.ndarray[Any, Any]"
_Key: TypeAlias = "tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]"

BATCH_SIZE = 64 << 20
# What is no copy takes no memory, and each batch that a session sees for the first time takes it long to prepare.
PREPARED_BATCH_SIZE = 1 << 30

_logger = logging.getLogger(__name__)

# A string's size is known only once it is there; this is a guess for the grouping into batches.
_STRING_SIZE = 64

# Where a session keeps its prepared runs. In the session itself: what it prepares refers to it, and would keep it alive
# anywhere else.
_ATTRIBUTE = "_tfsaver_prepared_runs"
# Each holds an executor: as many as a program with a handful of savers needs.
_MAX_KEPT = 256


class Stream(TensorSource):
    """Values that come one after the other, each once, in an order of their own: what a session gives, or gets.

    An execution asks for the next part, what it is, and its value, in this order; nothing is held but the value that was not
    asked for yet.
    """

    def __init__(self) -> None:
        self._now: tuple[TensorInfo, list[Array]] | None = None

    @abc.abstractmethod
    def arrivals(self) -> Iterator[tuple[TensorInfo, TensorSlice | None, Array]]:
        """The values, which the stream lets go of, with what they are and which part of that."""

    @property
    def makes_on_demand(self) -> bool:
        return True

    def parts(self) -> Iterator[tuple[str, TensorSlice | None]]:
        """The parts, as they come."""
        for info, stored, value in self.arrivals():
            self._now = (info, [value])
            del value
            yield info.name, stored

    def info(self, name: str) -> TensorInfo:
        return self._arrived(name)[0]

    def read(self, name: str, region: Region | None = None) -> Array:
        return self._arrived(name)[1].pop()

    def _arrived(self, name: str) -> tuple[TensorInfo, list[Array]]:
        if self._now is None or self._now[0].name != name:
            raise TensorNotFoundError(name, checkpoint="what has arrived")
        return self._now


def parts_of(source: TensorSource) -> Iterator[tuple[str, TensorSlice | None]]:
    """What a target that takes tensors in any order takes, and in which: as a stream has it, or by name."""
    return source.parts() if isinstance(source, Stream) else ((name, None) for name in source.names)


def fetch(session: Any, bindings: Sequence[Binding]) -> Iterator[tuple[Binding, Array]]:
    """The values of variables in the order of their bindings, fetched in batches as they are asked for.

    An eager variable that has no value yet is left out, and a warning names it.

    Args:
        session: Where graph variables have their values; None when all are eager ones.
        bindings: Variables of one graph, or eager ones.
    """
    limit = PREPARED_BATCH_SIZE if session is not None and are_prepared_by(session) else BATCH_SIZE
    for batch in _batches(bindings, limit):
        values = _run(session, batch)
        values.reverse()
        for binding in batch:
            if values[-1] is None:
                _logger.warning("%s has no value yet and is not saved", binding.name)
                values.pop()
                continue
            # Taken out of the list, so that a value that was written need not stay until the batch is done.
            yield binding, binding.to_array(values.pop())


def values_in(session: Any, binding: Binding) -> Array:
    """The value that a variable has in a session."""
    [(_, value)] = fetch(session, [binding])
    return value


def assign(session: Any, values: Iterable[tuple[Binding, Array]], *, batch_size: int | None = None) -> None:
    """Assigns values to variables in batches, as they come.

    Two variables may share the tensor that their initializers read, and one run cannot feed it two values: the second
    starts a new batch. An object that is no variable gets its values in a run of its own, when the last of them is there.
    The arrays must stay as they are afterwards: a resource variable may go on living in an array's own memory.

    Args:
        session: Where graph variables get their values; None when all are eager ones.
        values: Variables and their values.
        batch_size: The bytes of a batch. Each that was never run before is prepared by the session, which takes long in
            a large graph: values that are in memory anyway better go in one.
    """
    batches = Batches(session, BATCH_SIZE if batch_size is None else batch_size)
    for binding, value in values:
        batches.add(binding, value)
    batches.finish()


class Batches:
    """Assigns values to variables in batches, as they are added; see `assign`."""

    def __init__(self, session: Any, batch_size: int = BATCH_SIZE) -> None:
        self._session = session
        self._batch_size = batch_size
        self._operations: list[Any] = []
        self._feeds: dict[str, Array] = {}
        self._size = 0
        self._waiting: dict[Saveable, dict[int, Array]] = {}

    def add(self, binding: Binding, value: Array) -> None:
        """Assigns a value, now or with others that follow."""
        variable = binding.variable
        if isinstance(variable, SavedTensor):
            known = self._waiting.setdefault(variable.saveable, {})
            known[variable.index] = value
            if len(known) == len(variable.saveable.specs):
                del self._waiting[variable.saveable]
                variable.saveable.restore(self._session, [known[index] for index in range(len(known))])
        elif isinstance(variable, EagerVariable):
            variable.assign(value)
        elif isinstance(variable, GraphVariable):
            assignment = variable.assignment(value.shape)
            if assignment.value_name in self._feeds or self._size + value.nbytes > self._batch_size:
                self.finish()
            self._operations.append(assignment.operation)
            self._feeds[assignment.value_name] = value
            self._size += value.nbytes

    def finish(self) -> None:
        """Assigns what waits for others."""
        operations, feeds = self._operations, self._feeds
        self._operations, self._feeds, self._size = [], {}, 0
        if operations:
            run_operations(self._session, operations, feeds)


def prepare_assign(session: Any, shapes: Iterable[tuple[Binding, Sequence[int]]]) -> None:
    """Has a session prepare what `assign` of all of these in one batch will ask of it: while their values are read, say."""
    operations: list[Any] = []
    feeds: dict[str, None] = {}
    for binding, shape in shapes:
        if not isinstance(binding.variable, GraphVariable):
            continue
        assignment = binding.variable.assignment(shape)
        if assignment.value_name in feeds:
            prepare_operations(session, operations, list(feeds))
            operations, feeds = [], {}
        operations.append(assignment.operation)
        feeds[assignment.value_name] = None
    if operations:
        prepare_operations(session, operations, list(feeds))


def _run(session: Any, batch: Sequence[Binding]) -> list[Any]:
    variables: list[Any] = [binding.variable for binding in batch]
    if session is None:
        return [variable.read() for variable in variables]
    return run_fetches(session, [variable.tensor for variable in variables])


def _batches(bindings: Sequence[Binding], limit: int) -> Iterator[list[Binding]]:
    batch: list[Binding] = []
    total = 0
    for binding in bindings:
        size = expected_size(binding)
        if batch and total + size > limit:
            yield batch
            batch, total = [], 0
        batch.append(binding)
        total += size
    if batch:
        yield batch


def expected_size(binding: Binding) -> int:
    """The bytes of a variable; as much as a batch holds where its shape does not say, so that it is fetched alone."""
    shape = binding.variable.shape
    if shape is None or None in shape:
        return BATCH_SIZE
    return math.prod(size for size in shape if size is not None) * (binding.dtype.size or _STRING_SIZE)


def are_prepared_by(session: Any) -> bool:
    """Whether a session prepares runs. A class that has another `run` has it for a reason."""
    if not _tensorflow.is_imported() or getattr(type(session), "run", None) is not _tensorflow.BaseSession.run:
        return False
    return hasattr(session, "_make_callable_from_options")


def run_fetches(session: Any, tensors: Sequence[Any]) -> list[Any]:
    """The values of tensors, in their order; of a session that prepares runs, in the tensors' own memory."""
    call = _prepared(session, tensors, (), ())
    if call is not None:
        try:
            return list(call())
        except _tensorflow.tf.errors.OpError:
            pass
    return list(session.run(list(tensors)))


def run_operations(session: Any, operations: Sequence[Any], feeds: Mapping[str, Array]) -> None:
    """Runs operations with values in the place of tensors.

    Args:
        session: The session.
        operations: What to run.
        feeds: Values by the names of the tensors in whose place they come.
    """
    call = _prepared(session, (), tuple(feeds), operations)
    if call is not None:
        try:
            call(*feeds.values())
            return
        except _tensorflow.tf.errors.OpError:
            pass
    session.run(list(operations), dict(feeds))


def prepare_operations(session: Any, operations: Sequence[Any], feeds: Sequence[str]) -> None:
    """Prepares what `run_operations` will do, which takes long in a large graph, before the values are there."""
    _prepared(session, (), tuple(feeds), operations)


def _prepared(
    session: Any, fetches: Sequence[Any], feeds: tuple[str, ...], targets: Sequence[Any]
) -> Callable[..., Sequence[Any]] | None:
    """The prepared call; None where the session does not prepare any."""
    if not are_prepared_by(session):
        return None
    kept: dict[_Key, Any] = session.__dict__.setdefault(_ATTRIBUTE, {})
    key = (tuple(tensor.name for tensor in fetches), feeds, tuple(operation.name for operation in targets))
    call = kept.get(key)
    if call is None:
        options = _tensorflow.CallableOptions()
        for names, given in zip((options.fetch, options.feed, options.target), key, strict=True):
            names.extend(given)
        try:
            call = session._make_callable_from_options(options)
        except (_tensorflow.tf.errors.OpError, RuntimeError):
            return None
        while len(kept) >= _MAX_KEPT:
            kept.pop(next(iter(kept)))
        kept[key] = call
    result: Callable[..., Sequence[Any]] = call
    return result
