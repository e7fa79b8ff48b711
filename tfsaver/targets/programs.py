"""Programs that are restored without TensorFlow: modules, models, optimizers and trees of arrays.

    torch.nn.Module     ``encoder.dense.weight``, as in its state_dict, and with slashes: ``encoder/dense/weight``
    Keras 3             on the backends of JAX and PyTorch: its path, ``net/dense/kernel``, and without the model's name
    optimizers          Keras 3's; their variables by their paths
    trees               arrays of numpy, JAX and PyTorch in dicts, lists, tuples, dataclasses, and in what JAX knows as a
                        tree: by all keys joined by / or by dots, or by the inner ones alone

All of them may stand in dicts and lists. Nothing is imported here: who gives a module has its library.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import Any

from tfsaver.checkpoint.execution import Target
from tfsaver.checkpoint.restoring.program import selected
from tfsaver.checkpoint.selection import Selection
from tfsaver.checkpoint.tensor_source import TensorSource
from tfsaver.errors import InvalidArgumentError, SaverError
from tfsaver.targets import array_trees
from tfsaver.targets.keras import finish_layers, keys_in_file, notes_on_vocabularies
from tfsaver.targets.optimizers import is_optimizer, variables_of_optimizer
from tfsaver.targets.variables import (
    ArrayVariable,
    KerasVariable,
    ModuleVariable,
    TorchVariable,
    is_array,
    is_torch_tensor,
)

_ACCEPTED = (
    "a torch.nn.Module, a Keras model, layer, optimizer or variable, an array of numpy, JAX or PyTorch, or dicts, lists and "
    "dataclasses of these; with TensorFlow installed also a tf.Module or a tf.Variable"
)
# The packages of what `tfsaver.compat` restores.
_TENSORFLOWS = frozenset({"tensorflow", "tf_keras"})


class ModuleProgram:
    """The variables of a program, by names alone; see `Program`.

    Args:
        target: As the caller gave it.

    Raises:
        InvalidArgumentError: Something in it has no variables, or none yet; or there are none at all.
    """

    root: Any = None

    def __init__(self, target: Any) -> None:
        self.notes: list[str] = []
        self._target = target
        self._layers: list[Any] = []
        self._optimizers: list[Any] = []
        found: dict[int, ModuleVariable] = {}
        for item in self._collect(target, ()):
            if (known := found.get(id(item.variable))) is None:
                found[id(item.variable)] = item
            else:
                known.names = tuple(dict.fromkeys((*known.names, *item.names)))
        self.variables: list[Any] = list(found.values())
        self.notes += notes_on_vocabularies(self._layers)
        if not self.variables:
            raise InvalidArgumentError(f"there are no variables to restore in {_describe(target)}")

    def paths(self, item: ModuleVariable) -> tuple[str, ...]:
        """None: the names are paths."""
        return ()

    def select(self, selection: Selection | None) -> list[Any]:
        """The variables that a selection leaves; raises as `selected`."""
        return selected(self.variables, lambda item: item.names, selection)

    def assigning(self, items: Mapping[str, Any], *, is_held: bool) -> Target | None:
        """None: they are assigned one by one."""
        return None

    def keys_in_file(self, file_paths: Mapping[str, str], source: TensorSource) -> dict[int, tuple[str, ...]]:
        """See `KerasProgram`."""
        return keys_in_file(self._layers, self._optimizers, file_paths, source)

    def finish(self) -> Any:
        """See `Finishing`."""
        finish_layers(self._layers)
        arrays = [item for item in self.variables if isinstance(item, ArrayVariable) and item.value is not item.variable]
        made = array_trees.replaced(self._target, {id(item.variable): item.value for item in arrays})
        if made is not self._target:
            self.notes.append("arrays stand in what cannot be changed: the report's target is the tree with the new ones")
        return made

    def _collect(self, value: Any, keys: tuple[str, ...], *, is_field: bool = False) -> Iterator[ModuleVariable]:
        """The variables of a value that is reached by these keys; a field may be anything."""
        if len(keys) > array_trees.MAX_DEPTH:
            raise InvalidArgumentError(f"the target is nested deeper than {array_trees.MAX_DEPTH} containers")
        if _is_module(value):
            yield from _variables_of_module(value, keys)
        elif is_torch_tensor(value):
            yield TorchVariable(value, _names(keys))
        elif is_array(value):
            try:
                item = ArrayVariable(value, _names(keys))
                item.dtype  # noqa: B018 - says whether a checkpoint can hold it
            except SaverError as error:
                self.notes.append(f"{'/'.join(keys)} keeps its value: {error}")
            else:
                yield item
        elif _is_keras_variable(value):
            yield KerasVariable(value, (*_names(keys), value.path) if keys else (value.path,))
        elif _is_keras(value) and is_optimizer(value):
            self._optimizers.append(value)
            for each in variables_of_optimizer(value):
                yield KerasVariable(
                    each.variable,
                    _scoped((each.variable.path,), keys),
                    slot=each.slot,
                    counts=each.counts,
                    optimizer=each.optimizer,
                    is_optional=each.is_optional,
                )
        elif _is_layer(value):
            self._layers.append(value)
            yield from _variables_of_layer(value, keys)
        elif (children := array_trees.children_of(value)) is not None:
            for name, child in children:
                yield from self._collect(child, (*keys, name), is_field=array_trees.is_rigid(value))
        elif isinstance(value, (int, float, complex)) and not isinstance(value, bool) and keys:
            self.notes.append(f"{'/'.join(keys)}, a number of Python, keeps its value: numpy.asarray({value!r}) is restored")
        elif not (keys and (is_field or value is None or isinstance(value, (bool, str, bytes)) or callable(value))):
            where = f" at {'/'.join(keys)}" if keys else ""
            raise InvalidArgumentError(f"nothing of a target can be {_describe(value)}{where}: {_ACCEPTED}")


def program_of(target: Any) -> ModuleProgram | None:
    """The variables of what needs no TensorFlow; None for what `tfsaver.compat` restores.

    Raises:
        InvalidArgumentError: It has no variables, or none yet.
    """
    return None if _needs_tensorflow(target) else ModuleProgram(target)


def _needs_tensorflow(value: Any) -> bool:
    """Whether something is TensorFlow's, or is in TensorFlow's Keras; or may be that, where nothing is known of it."""
    waiting = [value]
    seen = set()
    is_known = False
    for each in waiting:
        if id(each) in seen:
            continue
        seen.add(id(each))
        if _is_keras(each):
            if sys.modules["keras"].backend.backend() == "tensorflow":
                return True
            is_known = True
        elif any(cls.__module__.partition(".")[0] in _TENSORFLOWS for cls in type(each).__mro__):
            return True
        elif _is_module(each) or is_torch_tensor(each) or is_array(each):
            is_known = True
        elif (children := array_trees.children_of(each)) is not None:
            waiting += [child for _, child in children]
    return not is_known and sys.modules.get("tensorflow") is not None


def _is_module(value: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.nn.Module) and not _is_keras(value)


def _is_keras(value: Any) -> bool:
    keras = sys.modules.get("keras")
    if keras is None or not hasattr(keras, "Variable"):
        return keras is not None and isinstance(value, (getattr(keras, "Layer", ()), getattr(keras, "Optimizer", ())))
    return isinstance(value, (keras.Layer, keras.Optimizer, keras.Variable))


def _is_layer(value: Any) -> bool:
    return _is_keras(value) and isinstance(value, sys.modules["keras"].Layer)


def _is_keras_variable(value: Any) -> bool:
    return _is_keras(value) and isinstance(value, sys.modules["keras"].Variable)


def _variables_of_module(module: Any, keys: tuple[str, ...]) -> Iterator[ModuleVariable]:
    names: dict[int, list[str]] = {}
    tensors: dict[int, Any] = {}
    for name, tensor in module.state_dict(keep_vars=True).items():
        if not is_torch_tensor(tensor):
            # What a module's own code adds to its state, such as a version.
            continue
        # A tensor that is tied has several names.
        names.setdefault(id(tensor), []).append(name)
        tensors[id(tensor)] = tensor
    for number, tensor in tensors.items():
        own = (*names[number], *(name.replace(".", "/") for name in names[number]))
        is_optional = names[number][0].endswith("num_batches_tracked")
        yield TorchVariable(tensor, _scoped(own, keys), is_optional=is_optional)


def _variables_of_layer(layer: Any, keys: tuple[str, ...]) -> Iterator[ModuleVariable]:
    if not layer.built:
        raise InvalidArgumentError(f"{layer.name} is not built: it has no variables yet; call it on an input, or build() it")
    prefix = f"{layer.name}/"
    for variable in layer.weights:
        own = (variable.path, variable.path.removeprefix(prefix))
        yield KerasVariable(variable, _scoped(own, keys), is_optional=variable.path.endswith("seed_generator_state"))


def _names(keys: tuple[str, ...]) -> tuple[str, ...]:
    """What an array is called that is reached by these keys."""
    if not keys:
        return ("value",)
    ends = [keys[start:] for start in range(len(keys))]
    return (*("/".join(end) for end in ends), *(".".join(end) for end in ends))


def _scoped(names: tuple[str, ...], keys: tuple[str, ...]) -> tuple[str, ...]:
    """The names of a variable, and the same below the keys that lead to its module."""
    scopes = ["/".join(keys[start:]) for start in range(len(keys))]
    return (*names, *(f"{scope}/{name}" for scope in scopes for name in names if "." not in name))


def _describe(value: Any) -> str:
    if _is_module(value):
        return f"the module {type(value).__name__}"
    if _is_layer(value):
        return f"the model {value.name}"
    return f"a {type(value).__name__}"
