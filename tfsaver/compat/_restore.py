"""From a checkpoint into variables, all or nothing: an execution whose source is the file and whose target is the variables.

Every name, dtype and shape is compared before a byte of a tensor is read, and every byte is read and its checksum compared
before the first variable changes: a program that catches the error goes on with the values it had.

That costs memory or time. What takes up to `HELD_SIZE` is read into memory whole and then assigned, which costs nothing
beyond what TensorFlow needs for the same: its restore operation holds all tensors too, and a resource variable takes over
the array that it is fed, as long as that is aligned. More is read twice, once to verify and once to assign, so that no more
than two batches are held. The second pass verifies again, and could fail only if the file changed or the disk broke in
between; the variables assigned by then keep their new values, which nothing can prevent in bounded memory.

Something that is not a variable, a lookup table or an object that a program saves its own way, takes its tensors by running
its own code, which may refuse them; such objects get theirs before the variables do.

    restore_variables    each variable gets the tensor of its own name, dtype and shape; errors are in TensorFlow's words
    SessionTarget        the same variables for `tfsaver.restore`'s way: any mapping, casts, guesses; it asks
                         `restoring.target_matching` which tensor a variable gets, and makes values of recipes
    InSession            where the values of both go: as few runs of the session as possible
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

from tfsaver.checkpoint.checkpoint_reader import CheckpointReader
from tfsaver.checkpoint.execution import Data, DryRun, Execution, Part, Sink, Target, as_array
from tfsaver.checkpoint.match_report import MatchedTensor, MatchReport
from tfsaver.checkpoint.restoring.matching import match_tensors
from tfsaver.checkpoint.restoring.program import selected
from tfsaver.checkpoint.selection import Selection
from tfsaver.checkpoint.tensor_source import TensorSource
from tfsaver.checkpoint.wanted_tensor import WantedTensor
from tfsaver.compat import _paths, _tensorflow, _transfer
from tfsaver.compat._binding import Binding, GraphVariable, graph_variable
from tfsaver.compat._saveables import SavedTensor
from tfsaver.compat._transfer import Array, Stream
from tfsaver.compat.v2.target_variable import TargetVariable
from tfsaver.errors import InvalidArgumentError, MissingSlicesError, NotFoundError, UnimplementedError
from tfsaver.framework import dtypes
from tfsaver.framework.tensor_info import TensorInfo
from tfsaver.framework.tensor_slice import TensorSlice
from tfsaver.lib.recycled_memory import RecycledMemory
from tfsaver.targets.assignment import HELD_SIZE
from tfsaver.tensor_bundle.slabs import aligned_empty

# A variable that is restored again lets go of memory that the next restore can have: programs that evaluate one checkpoint
# after another never wait for new memory but once.
_MEMORY = RecycledMemory(HELD_SIZE)

_MISSING = (
    "Restoring from checkpoint failed. This is most likely due to a Variable name or other graph key that is missing from "
    "the checkpoint."
)
_MISMATCH = (
    "Restoring from checkpoint failed. This is most likely due to a mismatch between the current graph and the graph from "
    "the checkpoint."
)


class Match(NamedTuple):
    """A variable and the tensor it gets."""

    binding: Binding
    tensor: MatchedTensor


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
        matches, report = match(bindings, reader, reshape=reshape)
        if strict:
            raise_unless_ok(report)
        # What may refuse its values comes first.
        matches.sort(key=lambda item: item.binding.variable.group is None)
        is_held = report.num_bytes <= HELD_SIZE
        source = _StoredValues(reader, matches, reshape=reshape, is_held=is_held)
        target = InSession(source.bindings, session, is_held=is_held)
        execution = Execution(source, target)
        if dry_run or not is_held:
            # What cannot be assigned shows before anything is read.
            execution.run(dry_run=True)
            if dry_run is not True:
                reader.verify_tensors({item.tensor.key for item in matches})
        if not dry_run:
            with source.reading():
                execution.run()
        return report


def compare_variables(bindings: Sequence[Binding], path: str, *, reshape: bool = False) -> MatchReport:
    """What `restore_variables` would find; nothing is read but the index, and no variable changes.

    Raises:
        NotFoundError: The checkpoint is not there.
        DataLossError: Its index is damaged.
    """
    with _paths.open_checkpoint(path) as reader:
        return match(bindings, reader, reshape=reshape)[1]


def match(
    bindings: Sequence[Binding], reader: CheckpointReader, *, reshape: bool = False
) -> tuple[list[Match], MatchReport]:
    """What each variable gets from a checkpoint, and the report about all of them.

    Args:
        bindings: The variables.
        reader: The checkpoint.
        reshape: Whether a tensor with as many elements in another shape fits.
    """
    wanted = list(map(_wanted, bindings))
    report = match_tensors(wanted, reader, reshape=reshape)
    # What is matched is what was wanted: to compare them all by what is in them takes longer than to match them.
    binding_of = {id(item): binding for item, binding in zip(wanted, bindings, strict=True)}
    return [Match(binding_of[id(tensor.wanted)], tensor) for tensor in report.matched], report


def raise_unless_ok(report: MatchReport) -> None:
    """Raises what TensorFlow raises, with everything that is wrong and what may help.

    Raises:
        NotFoundError: Tensors are missing.
        InvalidArgumentError: Dtypes or shapes differ.
        MissingSlicesError: Everything fits, but the checkpoint lacks slices of partitioned tensors.
    """
    if report.missing:
        count = f"{len(report.missing)} of {report.num_wanted} tensors are missing:"
        raise NotFoundError("\n".join([f"{_MISSING} {count}", *report.details()]))
    if report.mismatched:
        count = f"{len(report.mismatched)} of {report.num_wanted} tensors do not fit:"
        message = "\n".join([f"{_MISMATCH} {count}", *report.details()])
        # The program is the one that saved: it is the checkpoint that is not whole.
        is_damage = all(item.fact == "slices" for item in report.mismatched)
        raise MissingSlicesError(message) if is_damage else InvalidArgumentError(message)


def _wanted(binding: Binding) -> WantedTensor:
    variable = binding.variable
    return WantedTensor(
        binding.name, binding.dtype, variable.shape, binding.full_shape, binding.tensor_slice, variable.group
    )


class _StoredValues(Stream):
    """What variables get from a checkpoint, each in the shape that its variable takes.

    Args:
        reader: The checkpoint.
        matches: The variables and their tensors, in the order in which they are assigned.
        reshape: Whether a tensor takes the variable's shape.
        is_held: Whether everything is read before the first value is given.

    Attributes:
        bindings: The variables, by the names that their values have here.
    """

    def __init__(self, reader: CheckpointReader, matches: Sequence[Match], *, reshape: bool, is_held: bool) -> None:
        super().__init__()
        self._reader = reader
        self._matches = matches
        self._reshape = reshape
        self._is_held = is_held
        self._infos: dict[str, TensorInfo] = {}
        self.bindings: dict[str, Binding] = {}
        for binding, tensor in matches:
            # The parts of a variable have one name in the checkpoint.
            name = binding.name if binding.name not in self._infos else f"{binding.name} {len(self._infos)}"
            self._infos[name] = TensorInfo(name, binding.dtype, _value_shape(binding, tensor, reshape), tensor.num_bytes, ())
            self.bindings[name] = binding
        self._arriving: Iterator[list[Array]] = iter(())

    @property
    def names(self) -> list[str]:
        return list(self._infos)

    def info(self, name: str) -> TensorInfo:
        return self._infos[name]

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """Begins to read, in a thread; the session can prepare its runs meanwhile."""
        values = self._read(HELD_SIZE if self._is_held else _transfer.BATCH_SIZE)
        with ThreadPoolExecutor(1, "tfsaver-restore") as pool:
            if self._is_held:
                self._arriving = _drained(pool.submit(lambda: list(values)))
            else:
                self._arriving = _read_ahead(pool, values, pool.submit(next, values, None))
            yield

    def arrivals(self) -> Iterator[tuple[TensorInfo, TensorSlice | None, Array]]:
        names = iter(self._infos)
        for arrived in self._arriving:
            name = next(names)
            yield self._infos[name], None, arrived.pop()

    def _read(self, batch_size: int) -> Iterator[Array]:
        """The values, read in batches: small ones together, each on as many threads as there are cores."""
        batch: list[Match] = []
        size = 0
        for item in self._matches:
            if batch and size + item.tensor.num_bytes > batch_size:
                yield from self._read_batch(batch)
                batch, size = [], 0
            batch.append(item)
            size += item.tensor.num_bytes
        yield from self._read_batch(batch)

    def _read_batch(self, batch: Sequence[Match]) -> Iterator[Array]:
        wholes = {tensor.key for binding, tensor in batch if binding.tensor_slice is None}
        values = self._reader.read_tensors(wholes, memory=_MEMORY)
        for binding, tensor in batch:
            # Taken out: a second variable that gets the same tensor must not live in the same memory.
            value = values.pop(tensor.key, None) if binding.tensor_slice is None else None
            if value is None:
                out = aligned_empty(tensor.shape, binding.dtype.numpy, _MEMORY)
                value = self._reader.read(tensor.key, binding.tensor_slice, out=out)
            yield value.reshape(_value_shape(binding, tensor, self._reshape))


def _drained(reading: Future[list[Array]]) -> Iterator[list[Array]]:
    """The arrays of a list, which lets go of each: what a session has copied need not be held until the end."""
    values = reading.result()
    values.reverse()
    while values:
        yield [values.pop()]


def _read_ahead(
    pool: ThreadPoolExecutor, values: Iterator[Array], following: Future[Array | None]
) -> Iterator[list[Array]]:
    """The same values, each read while the one before is assigned."""
    while (value := following.result()) is not None:
        following = pool.submit(next, values, None)
        arrived = [value]
        del value
        yield arrived


def _value_shape(binding: Binding, tensor: MatchedTensor, reshape: bool) -> tuple[int, ...]:
    """The shape in which the variable gets its value."""
    wanted = binding.variable.shape
    if not reshape or binding.tensor_slice is not None or wanted is None:
        return tensor.shape
    return tensor.shape if None in wanted else tuple(size for size in wanted if size is not None)


class BoundVariable(TargetVariable):
    """A variable by the name that a Saver gives it."""

    def __init__(self, binding: Binding, whole: Binding) -> None:
        super().__init__(binding, (binding.name,), whole=whole)

    def __post_init__(self) -> None:
        """A binding wraps nothing."""

    @property
    def binding(self) -> Binding:
        """The variable and its name."""
        found: Binding = self.variable
        return found

    @property
    def dtype(self) -> dtypes.DType:
        return self.binding.dtype

    @property
    def shape(self) -> tuple[int | None, ...] | None:
        return self.binding.variable.shape

    @property
    def part(self) -> tuple[tuple[int, ...], TensorSlice] | None:
        if self.binding.tensor_slice is None or self.binding.full_shape is None:
            return None
        return self.binding.full_shape, self.binding.tensor_slice


class SessionTarget:
    """The variables of a Saver, as `restore_source` takes a target.

    Args:
        bindings: The variables.
        session: Where they get their values; None for eager ones.
        options: The options in force, by name, for the error.

    Attributes:
        root: None: there are no objects.
        variables: The variables.
        notes: What a report should mention.
    """

    root = None

    def __init__(self, bindings: Sequence[Binding], session: Any, options: Sequence[str]) -> None:
        self.notes: list[str] = []
        self._session = session
        self._options = options
        wholes: dict[str, Binding] = {}
        self.variables: list[TargetVariable] = [
            BoundVariable(binding, wholes.setdefault(binding.name, binding)) for binding in bindings
        ]

    def paths(self, item: TargetVariable) -> tuple[str, ...]:
        """None: a graph's variables are reached by their names alone."""
        return ()

    def select(self, selection: Selection | None) -> list[TargetVariable]:
        """The variables that are to be restored; see `tfsaver.compat.v2.targets.Target.select`.

        Raises:
            InvalidArgumentError: A pattern occurs nowhere, or nothing is left.
            UnimplementedError: Something is restored by its own code, which takes its own tensors as they are; names all.
        """
        chosen = selected(self.variables, lambda item: item.names, selection)
        objects = sorted({item.variable.name for item in chosen if isinstance(item.variable.variable, SavedTensor)})
        if objects:
            given = ", ".join(f"{name}=" for name in self._options)
            raise UnimplementedError(
                f"{given} can be applied to variables alone, and these belong to objects that restore themselves: "
                f"{', '.join(objects)}; leave them out with select=Selection(exclude=...), and restore them by a Saver of "
                "their own"
            )
        return chosen

    def assigning(self, items: Mapping[str, TargetVariable], *, is_held: bool) -> Target:
        """The target of the values."""
        return InSession({name: item.variable for name, item in items.items()}, self._session, is_held=is_held)


class InSession(Target):
    """Variables that get their values in a session, in as few runs as possible.

    Args:
        bindings: The variables, by the names of their tensors.
        session: The session; None for eager variables.
        is_held: Whether the first is assigned only once all values have been read.
    """

    def __init__(self, bindings: Mapping[str, Binding], session: Any, *, is_held: bool) -> None:
        self._bindings = bindings
        self._session = session
        self._is_held = is_held

    def check(self, source: TensorSource) -> None:
        """Raises what keeps a variable from being assigned.

        Raises:
            UnimplementedError: The graph has no way to assign it.
        """
        # A stream reads together what it reads.
        self.batch_size = 0 if isinstance(source, Stream) else 256 << 20
        for name, binding in self._bindings.items():
            # Found again when it is assigned; here it shows what cannot be assigned while nothing has been.
            binding.variable.check_assignable(tuple(source.info(name).shape))

    def parts(self, source: TensorSource) -> Iterator[Part]:
        return _transfer.parts_of(source)

    @contextlib.contextmanager
    def open(self, source: TensorSource) -> Iterator[Sink]:
        if not self._is_held:
            batches = _transfer.Batches(self._session)
            yield lambda info, stored, data: batches.add(self._bindings[info.name], as_array(data))
            batches.finish()
            return
        if isinstance(source, Stream):
            # Takes long in a large graph, and values are being read meanwhile.
            shapes = ((binding, tuple(source.info(name).shape)) for name, binding in self._bindings.items())
            _transfer.prepare_assign(self._session, shapes)
        values: list[tuple[Binding, Array]] = []

        def add(info: TensorInfo, stored: TensorSlice | None, data: Data) -> None:
            values.append((self._bindings[info.name], as_array(data)))

        yield add
        values.reverse()
        _transfer.assign(self._session, (values.pop() for _ in range(len(values))), batch_size=HELD_SIZE)


def initialize(session: Any, bindings: Sequence[Binding]) -> tuple[str, ...]:
    """Runs the initializers of the variables that have no value yet: those given, and all others of the session's graph.

    Nothing is added to the graph, which may be finalized.

    Returns:
        The names of the variables that were initialized.
    """
    if session is None:
        return ()
    found: dict[str, tuple[str, Any, Any]] = {}
    for binding in bindings:
        variable = binding.variable
        if isinstance(variable, GraphVariable) and variable.initializer is not None:
            found[variable.operation.name] = (binding.name, variable.operation, variable.initializer)
    for each in session.graph.get_collection(_tensorflow.tf.compat.v1.GraphKeys.GLOBAL_VARIABLES):
        bound = graph_variable(each)
        if bound is not None and bound.initializer is not None:
            found.setdefault(bound.operation.name, (bound.label, bound.operation, bound.initializer))
    waiting = {name: item for name, item in found.items() if not _has_value(session, item[1])}
    done: list[str] = []
    while waiting:
        initialized = _initialized(session, list(waiting.values()))
        if not initialized:
            # One run with all of them raises what keeps them from it.
            session.run([initializer for _, _, initializer in waiting.values()])
            initialized = [name for name, _, _ in waiting.values()]
        done += initialized
        waiting = {key: item for key, item in waiting.items() if item[0] not in initialized}
    return tuple(sorted(done))


def _initialized(session: Any, items: Sequence[tuple[str, Any, Any]]) -> list[str]:
    """Runs initializers, all at once or, where one needs the value of another variable, those that can be run."""
    errors = _tensorflow.tf.errors
    try:
        session.run([initializer for _, _, initializer in items])
    except errors.FailedPreconditionError:
        done = []
        for name, _, initializer in items:
            with contextlib.suppress(errors.FailedPreconditionError):
                session.run(initializer)
                done.append(name)
        return done
    return [name for name, _, _ in items]


def _has_value(session: Any, operation: Any) -> bool:
    """Whether a variable has a value, as an operation that is there already says it, or the attempt to read it."""
    consumers = operation.outputs[0].consumers()
    asking = next((op for op in consumers if op.type in ("VarIsInitializedOp", "IsVariableInitialized")), None)
    if asking is not None:
        return bool(session.run(asking.outputs[0]))
    reading = next((op for op in consumers if op.type == "ReadVariableOp"), operation.outputs[0])
    try:
        session.run(reading)
    except _tensorflow.tf.errors.FailedPreconditionError:
        return False
    return True
