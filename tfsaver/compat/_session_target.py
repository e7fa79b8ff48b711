"""The variables of a session as the target of tensors: what `tfsaver.restore` does for objects, done for a graph.

Which tensor a variable gets is asked of `restoring.target_matching`, how its value is made of recipes, and an execution
reads. Here is what differs: the variables have no objects, only the names that a Saver gives them, and all of them get their
values in as few runs of the session as possible.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tfsaver.checkpoint.execution import Data, Sink, Target, as_array
from tfsaver.checkpoint.restoring.program import selected
from tfsaver.checkpoint.selection import Selection
from tfsaver.checkpoint.tensor_source import TensorSource
from tfsaver.compat import _tensorflow, _transfer
from tfsaver.compat._binding import Binding, GraphVariable, graph_variable
from tfsaver.compat._saveables import SavedTensor
from tfsaver.compat._transfer import Array
from tfsaver.compat.v2.target_variable import TargetVariable
from tfsaver.errors import UnimplementedError
from tfsaver.framework import dtypes
from tfsaver.framework.tensor_info import TensorInfo
from tfsaver.framework.tensor_slice import TensorSlice


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
    """Variables that get their values in a session, all at once where these fit in memory.

    Args:
        bindings: The variables, by the names of their tensors.
        session: The session; None for eager variables.
        is_held: Whether the first is assigned only once all values have been read.
    """

    batch_size = 256 << 20

    def __init__(self, bindings: Mapping[str, Binding], session: Any, *, is_held: bool) -> None:
        self._bindings = bindings
        self._session = session
        self._is_held = is_held

    def check(self, source: TensorSource) -> None:
        """Raises what keeps a variable from being assigned.

        Raises:
            UnimplementedError: The graph has no way to assign it.
        """
        for name, binding in self._bindings.items():
            binding.variable.check_assignable(tuple(source.info(name).shape))

    @contextlib.contextmanager
    def open(self, source: TensorSource) -> Iterator[Sink]:
        values: list[tuple[Binding, Array]] = []

        def add(info: TensorInfo, stored: TensorSlice | None, data: Data) -> None:
            value = (self._bindings[info.name], as_array(data))
            if self._is_held:
                values.append(value)
            else:
                _transfer.assign(self._session, [value])

        yield add
        values.reverse()
        _transfer.assign(self._session, (values.pop() for _ in range(len(values))), batch_size=1 << 30)


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
