"""What can be restored, as variables with names: a module, a Keras model or layer, an optimizer, lists and dicts of these.

A variable is called

    in a dict        what the dict calls it; in nested ones by all keys joined by /, or by those of the inner dicts alone
    anywhere else    by its full name, as in ``dense/kernel``; in Keras 3 that is its path, ``sequential/dense/kernel``

and is reached on a path from the target: attributes and edges joined by / (``layers/0/kernel``), an element of a list by its
number. In a Keras model it is also called by its name without the model's in front. One that its program gave no name is
called by its path, where that has a word in it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tfsaver.checkpoint.execution import Target as ExecutionTarget
from tfsaver.checkpoint.names.tensor_names import is_default
from tfsaver.checkpoint.objects.object_graph import ObjectGraph
from tfsaver.checkpoint.restoring.program import selected
from tfsaver.checkpoint.selection import Selection
from tfsaver.checkpoint.tensor_source import TensorSource
from tfsaver.compat import _tensorflow
from tfsaver.compat._restore import InSession
from tfsaver.compat.v2.object_state import ObjectState, StatePart
from tfsaver.compat.v2.object_walk import (
    children_of,
    descend,
    is_trackable,
    keys_by_walking,
    objects_with_state,
    paths_of_variables,
)
from tfsaver.compat.v2.target_variable import TargetVariable, name_of
from tfsaver.errors import InvalidArgumentError, UnimplementedError
from tfsaver.targets.keras import finish_layers, keys_in_file, notes_on_vocabularies
from tfsaver.targets.optimizers import is_optimizer, is_variable, variables_of_optimizer


class Target:
    """What is to be restored.

    Args:
        root: As the caller gave it.
        session: Where variables of a graph have their values; None for eager ones, and for the default session.

    Attributes:
        root: The same.
        variables: Its variables, each once.
        notes: What a report should mention.

    Raises:
        InvalidArgumentError: It is nothing that has variables, or has none yet.
        UnimplementedError: It belongs to a graph.
    """

    def __init__(self, root: Any, session: Any = None) -> None:
        if session is None and not _tensorflow.tf.executing_eagerly():
            session = _tensorflow.tf.compat.v1.get_default_session()
            if session is None:
                raise UnimplementedError(
                    "restore: variables of a graph have their values in a session: give it, as in restore(target, "
                    "checkpoint, session=sess), or call this in `with sess.as_default():`"
                )
        self.root = root
        self._session = session
        self.notes: list[str] = []
        self._layers: list[Any] = []
        self._optimizers: list[Any] = []
        found: dict[int, TargetVariable] = {}
        for item in self._collect(root, ()):
            item.session = session
            item.check()
            if (known := found.get(id(item.variable))) is None:
                found[id(item.variable)] = item
            else:
                known.names = tuple(dict.fromkeys((*known.names, *item.names)))
        self.variables: list[TargetVariable | StatePart] = list(found.values())
        _join_parts(list(found.values()))
        # Of objects that save more than variables, by their ids.
        self._states = dict(self._collect_states())
        self.notes += notes_on_vocabularies(self._layers)
        for parts in self._states.values():
            self.variables += parts
        if not self.variables:
            raise InvalidArgumentError(f"there are no variables to restore in {_describe(root)}")
        self._paths = paths_of_variables(root)
        self._relative = dict(self._names_in_models())
        for item in found.values():
            path = next(iter(self.paths(item)), "")
            # The numbers of a list's elements say less than any name.
            if len(item.names) == 1 and is_default(item.names[0]) and not path.replace("/", "").isdigit():
                item.names = (path or item.names[0],)

    def keys_of_objects(
        self, graph: ObjectGraph, source: TensorSource, there: Sequence[str], here: Sequence[str]
    ) -> dict[int, tuple[str, ...]]:
        """See `ObjectProgram`."""
        return keys_by_walking(descend(self.root, here), graph, source, self._states, there)

    def keys_in_file(self, file_paths: Mapping[str, str], source: TensorSource) -> dict[int, tuple[str, ...]]:
        """See `KerasProgram`."""
        return keys_in_file(self._layers, self._optimizers, file_paths, source)

    def finish(self) -> Any:
        """See `Finishing`."""
        finish_layers(self._layers)
        return self.root

    def paths(self, item: TargetVariable | StatePart) -> tuple[str, ...]:
        """The paths on which a variable is reached."""
        path = self._paths.get(id(item.whole)) or self._paths.get(id(item.variable))
        own = ("/".join(path),) if path else ()
        return (*own, *self._relative.get(id(item.variable), ()))

    def select(self, selection: Selection | None) -> list[TargetVariable | StatePart]:
        """The variables that a selection leaves, by their names and paths; raises as `selected`."""
        return selected(self.variables, lambda item: (*item.names, *self.paths(item)), selection)

    def assigning(self, items: Mapping[str, TargetVariable], *, is_held: bool) -> ExecutionTarget | None:
        """What gets the values; None for variables that are assigned one by one."""
        if self._session is None:
            return None
        # In a session no object has a state of its own here.
        bindings = {name: item.binding for name, item in items.items()}
        return InSession(bindings, self._session, is_held=is_held)

    def _collect_states(self) -> Iterator[tuple[int, list[StatePart]]]:
        """What objects save besides variables, such as tables and iterators."""
        for path, value in objects_with_state(self.root):
            what = f"{path}, a {type(value).__name__}, is not a variable and keeps its state"
            if self._session is not None:
                self.notes.append(f"{what}: in a session a tf.compat.v1.train.Saver restores it")
                continue
            try:
                state = ObjectState(path, value)
            except (_tensorflow.tf.errors.OpError, ValueError, TypeError, RuntimeError) as error:
                self.notes.append(f"{what}: TensorFlow cannot save it ({str(error).splitlines()[0]})")
                continue
            yield id(value), state.parts

    def _collect(self, value: Any, keys: tuple[str, ...]) -> Iterator[TargetVariable]:
        """The variables of a value that stands in dicts under these keys, the outermost first."""
        if parts := _parts_of(value):
            info = getattr(parts[0], "_save_slice_info", None)
            full_name = (str(info.full_name),) if info is not None else ()
            names = tuple(dict.fromkeys(_names_in_dicts(keys) or (*full_name, name_of(value))))
            first = 0
            for part in parts:
                # TensorFlow 2's shards are cut along the first axis, in order.
                yield TargetVariable(part, names, whole=value, rows=(first, int(part.shape[0])) if info is None else None)
                first += int(part.shape[0])
        elif is_variable(value):
            yield _variable(value, _names_in_dicts(keys))
        elif isinstance(value, Mapping):
            for key, child in value.items():
                if not isinstance(key, str):
                    raise InvalidArgumentError(f"the keys of a target are names, not {key!r}")
                yield from self._collect(child, (*keys, key))
        elif isinstance(value, (list, tuple)):
            for index, child in enumerate(value):
                yield from self._collect(child, (*keys, str(index)) if keys else ())
        elif isinstance(value, _tensorflow.tf.compat.v1.train.Optimizer):
            yield from _variables_of_old_optimizer(value)
        elif is_optimizer(value):
            self._optimizers.append(value)
            for each in variables_of_optimizer(value):
                names = (name_of(each.variable),)
                yield TargetVariable(each.variable, names, each.slot, each.counts, each.optimizer, each.is_optional)
        elif _is_layer(value):
            self._check_built(value)
            self._layers.append(value)
            for variable in value.weights:
                yield from self._collect(variable, ())
        elif is_trackable(value) or isinstance(value, _tensorflow.tf.Module):
            yield from self._collect_objects(value)
        else:
            raise InvalidArgumentError(
                f"nothing of a target can be {_describe(value)}: a tf.Module, a Keras model, layer or optimizer, a "
                "variable, or lists and dicts of these"
            )

    def _collect_objects(self, root: Any) -> Iterator[TargetVariable]:
        """The variables of the objects that an object leads to; of models and optimizers what they say is theirs."""
        seen = {id(root)}
        waiting = [root]
        for value in waiting:
            for name, child in children_of(value).items():
                if id(child) in seen:
                    continue
                seen.add(id(child))
                seen.update(id(part) for part in _parts_of(child))
                if is_variable(child) or is_optimizer(child) or _is_layer(child):
                    for item in self._collect(child, ()):
                        # TensorFlow's own count of saves, in every tf.train.Checkpoint.
                        item.is_optional |= name == "save_counter" and value is root
                        yield item
                else:
                    waiting.append(child)
        if isinstance(root, _tensorflow.tf.Module):
            for variable in root.variables:
                if id(variable) not in seen:
                    yield from self._collect(variable, ())

    def _check_built(self, layer: Any) -> None:
        # Layers that look words up have a table before they are called, and no variables after.
        if not layer.built and not hasattr(layer, "get_vocabulary"):
            raise InvalidArgumentError(
                f"{_describe(layer)} is not built: it has no variables yet to restore into; call it on an input, or "
                "build() it"
            )
        unbuilt = [
            inner.name for inner in layer._flatten_layers() if not inner.built and not hasattr(inner, "get_vocabulary")
        ]
        if unbuilt:
            shown = ", ".join(unbuilt[:5]) + (", ..." if len(unbuilt) > 5 else "")
            self.notes.append(f"layers of {layer.name} that were never called have no variables, and got none: {shown}")

    def _names_in_models(self) -> Iterator[tuple[int, tuple[str, ...]]]:
        """The names that variables have in their Keras model, by the variables' ids."""
        waiting = [self.root]
        for value in waiting:
            if isinstance(value, (Mapping, list, tuple)):
                waiting += children_of(value).values()
            elif _is_layer(value):
                for variable in value.weights:
                    name = name_of(variable)
                    if name.startswith(f"{value.name}/"):
                        yield id(variable), (name.removeprefix(f"{value.name}/"),)


def _variables_of_old_optimizer(optimizer: Any) -> Iterator[TargetVariable]:
    """The variables of an optimizer of `tf.compat.v1.train`, which have names of their own: ``w/Adam``, ``w/Adam_1``.

    Raises:
        InvalidArgumentError: It has none yet.
    """
    variables = optimizer.variables()
    if not variables:
        raise InvalidArgumentError(
            f"the optimizer {optimizer.get_name()!r} has no variables yet: minimize something once before it is restored"
        )
    yield from (TargetVariable(variable, (name_of(variable),), optimizer=optimizer) for variable in variables)


def _variable(value: Any, names: tuple[str, ...]) -> TargetVariable:
    info = getattr(value, "_save_slice_info", None)
    item = TargetVariable(value, names or (str(info.full_name) if info is not None else name_of(value),))
    # Of a random generator, which a checkpoint from elsewhere cannot have.
    item.is_optional = item.names[0].endswith("seed_generator_state")
    return item


def _join_parts(variables: Sequence[TargetVariable]) -> None:
    """Has the parts of one variable, where they are given one by one, know that they belong together."""
    wholes: dict[tuple[str, tuple[int, ...]], list[TargetVariable]] = {}
    for item in variables:
        if item.part is not None and item.whole is item.variable:
            siblings = wholes.setdefault((item.names[0], item.part[0]), [])
            # The same part once more is another variable of that name.
            if all(other.part != item.part for other in siblings):
                item.whole = siblings[0].whole if siblings else item.variable
                siblings.append(item)


def _names_in_dicts(keys: tuple[str, ...]) -> tuple[str, ...]:
    return tuple("/".join(keys[start:]) for start in range(len(keys)))


def _parts_of(value: Any) -> list[Any]:
    """The shards of a variable that is in some; none for any other."""
    if isinstance(value, _tensorflow.PartitionedVariable):
        return list(value)
    parts = getattr(value, "variables", None) if is_variable(value) else None
    if not isinstance(parts, (list, tuple)):
        return []
    if isinstance(value, _tensorflow.ShardedVariable):
        return list(parts)
    return [part for part in parts if getattr(part, "_save_slice_info", None) is not None]


def _is_layer(value: Any) -> bool:
    # Asked of the class: Keras 2 raises an error of its own for the weights of what is not built.
    return all(hasattr(type(value), name) for name in ("weights", "get_weights")) and hasattr(value, "built")


def _describe(value: Any) -> str:
    name = getattr(value, "name", None)
    return f"{type(value).__name__} {name!r}" if isinstance(name, str) else f"a {type(value).__name__}"
