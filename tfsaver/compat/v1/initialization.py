"""Initializers that load from a checkpoint: `init_from_checkpoint` and `warm_start`.

    assignment_map                          ->  pairs                                   ->  the graph
    {"old/": "new/"}                            ("old/kernel", <variable new/kernel>)       new/kernel's initializer is now a
    {"old/kernel": variable}                    ("old/bias", [<part 0>, <part 1>])          RestoreV2 of old/kernel
    [("old/kernel", "new/kernel"), ...]         ...

What the checkpoint holds is read here, and all pairs are checked against it before the first initializer changes: names,
dtypes and shapes, with the nearest names for what is missing. The change itself is TensorFlow's own function, which knows
graphs, devices and distribution strategies; it gets the pairs, of which each is one variable and one tensor. The values load
when the initializers run.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from tfsaver.checkpoint.checkpoint_reader import CheckpointReader
from tfsaver.checkpoint.objects.object_graph import read_object_graph
from tfsaver.compat import _tensorflow
from tfsaver.compat.v1 import checkpoint_utils
from tfsaver.errors import InvalidArgumentError, nearest_names
from tfsaver.framework import dtypes
from tfsaver.lib import file_io

__all__ = ["init_from_checkpoint", "warm_start"]

_logger = logging.getLogger(__name__)


class _Pair(NamedTuple):
    """A tensor of the checkpoint and the variable, or the parts of a variable, that it initializes."""

    name: str
    variable: Any


@_tensorflow.unconverted
def init_from_checkpoint(ckpt_dir_or_file: file_io.PathLike, assignment_map: Any) -> None:
    """Makes variables load their initial values from a checkpoint, when their initializers run.

    An object-based checkpoint's tensors go by their full names as well as by their keys.

    Args:
        ckpt_dir_or_file: A checkpoint, or a directory, whose latest is meant.
        assignment_map: From names in the checkpoint to variables: a dict, or a list of pairs where one tensor initializes
            several variables. A variable is given itself, as the list of its parts, or by its name in `get_variable`'s
            store. A name that ends with ``/`` is a scope: all variables of the scope on the right are loaded from the one on
            the left, and ``/`` alone is the root.

    Raises:
        InvalidArgumentError: A ValueError; tensors are missing or do not fit, or a scope is mapped to a name. All that is
            wrong is listed, and no initializer has changed.
        tf.errors.NotFoundError: There is no checkpoint.
        tf.errors.DataLossError: It is damaged.
    """
    with checkpoint_utils.load_checkpoint(ckpt_dir_or_file) as reader:
        items = assignment_map.items() if isinstance(assignment_map, Mapping) else assignment_map
        pairs = []
        for name, target in sorted(items, key=lambda item: item[0]):
            pairs += _resolve(name, target, reader.names)
        _replace_initializers(reader, pairs)


@_tensorflow.unconverted
def warm_start(
    ckpt_to_initialize_from: file_io.PathLike,
    vars_to_warm_start: Any = ".*",
    var_name_to_vocab_info: Mapping[str, Any] | None = None,
    var_name_to_prev_var_name: Mapping[str, str] | None = None,
) -> None:
    """Makes the variables of a model load their initial values from an earlier model's checkpoint.

    Args:
        ckpt_to_initialize_from: A checkpoint, or a directory, whose latest is meant.
        vars_to_warm_start: Which variables: a pattern for the names of trainable variables, a list of patterns for those of
            global variables, or a list of variables. None for those of `var_name_to_vocab_info` alone.
        var_name_to_vocab_info: For variables with a row, or a column, for each word of a vocabulary that has changed: by
            name, a `tf.estimator.VocabInfo`.
        var_name_to_prev_var_name: By name, what a variable is called in the checkpoint, where that differs.

    Raises:
        InvalidArgumentError: A ValueError; a name is of no variable, tensors are missing or do not fit. No initializer has
            changed.
        tf.errors.NotFoundError: There is no checkpoint.
        tf.errors.DataLossError: It is damaged.
    """
    variables = _by_name(_variables_to_warm_start(vars_to_warm_start))
    vocabularies = {name: info for name, info in (var_name_to_vocab_info or {}).items() if info}
    previous = dict(var_name_to_prev_var_name or {})
    for argument, names in (("var_name_to_prev_var_name", previous), ("var_name_to_vocab_info", vocabularies)):
        if unused := [name for name in names if name not in variables]:
            problems = [_hint(f"{name} is no variable to warm-start", name, variables) for name in unused]
            said = f"You provided the following variables in {argument} that were not used: {unused}. "
            raise InvalidArgumentError(said + "; ".join(problems))
    with checkpoint_utils.load_checkpoint(ckpt_to_initialize_from) as reader:
        pairs = [
            _Pair(previous.get(name) or name, parts[0] if len(parts) == 1 else parts)
            for name, parts in variables.items()
            if name not in vocabularies and vars_to_warm_start
        ]
        with_vocabulary = {name: previous.get(name) or name for name in vocabularies}
        keys = _find([*(pair.name for pair in pairs), *with_vocabulary.values()], reader)
        _replace_initializers(reader, pairs)
        prefix = reader.prefix
    if with_vocabulary:
        _tensorflow.warm_start(
            prefix,
            [part for name in with_vocabulary for part in variables[name]],
            vocabularies,
            {name: keys[stored] for name, stored in with_vocabulary.items()},
        )
    _logger.info("Warm-started %d variables from %s", len(pairs) + len(with_vocabulary), prefix)


def _resolve(name: str, target: Any, stored: Sequence[str]) -> list[_Pair]:
    """The pairs that one entry of an assignment map stands for."""
    if _is_variable(target) or (isinstance(target, list) and all(map(_is_variable, target))):
        return [_Pair(name, target)]
    if isinstance(target, _tensorflow.PartitionedVariable):
        return [_Pair(name, list(target))]
    if not isinstance(target, str):
        raise TypeError(f"{name!r} is assigned to {target!r}, which is no variable, list of its parts, name or scope")
    store = _variable_store()
    variable = _from_store(target, store)
    if variable is not None:
        return [_Pair(name, variable)]
    scope, slash, _ = target.rpartition("/")
    if not name.endswith("/") or not slash:
        said = f"Assignment map with scope only name {scope} should map to scope only {name}. "
        said += f"Should be 'scope/': 'other_scope/'. Or a variable was meant: there is none called {target}"
        raise InvalidArgumentError(_hint(said, target, sorted({_without_part(known) for known in store})))
    inside = sorted({_without_part(known) for known in store if not scope or known.startswith(f"{scope}/")})
    if not inside:
        _logger.warning("%r is assigned to %r, where there are no variables", name, target)
    pairs = []
    for full_name in inside:
        rest = full_name[len(scope) + 1 :] if scope else full_name
        pairs.append(_Pair((rest if name == "/" else name + rest).rstrip("/"), _from_store(full_name, store)))
    return pairs


def _replace_initializers(reader: CheckpointReader, pairs: Sequence[_Pair]) -> None:
    """Checks all pairs, then changes the initializers."""
    keys = _find([pair.name for pair in pairs], reader)
    problems = [problem for pair in pairs for problem in _misfits(reader, keys[pair.name], pair.variable)]
    if problems:
        raise InvalidArgumentError(_listed(problems))
    if pairs:
        _tensorflow.init_from_checkpoint(reader.prefix, [(keys[pair.name], pair.variable) for pair in pairs])


def _find(names: Sequence[str], reader: CheckpointReader) -> dict[str, str]:
    """The key of each name in the checkpoint.

    Raises:
        InvalidArgumentError: Some are missing; all of them are listed.
    """
    stored = frozenset(reader.names)
    keys = {name: name for name in names if name in stored}
    missing = [name for name in dict.fromkeys(names) if name not in keys]
    if missing:
        graph = read_object_graph(reader)
        if graph is not None:
            by_full_name = {name: key for name, key in graph.keys_of_full_names().items() if key in stored}
            keys |= {name: by_full_name[name] for name in missing if name in by_full_name}
            stored |= by_full_name.keys()
            missing = [name for name in missing if name not in keys]
    if missing:
        found = f"is not found in {reader.prefix} checkpoint"
        raise InvalidArgumentError(_listed([_hint(f"Tensor {name} {found}", name, sorted(stored)) for name in missing]))
    return keys


def _misfits(reader: CheckpointReader, key: str, variable: Any) -> list[str]:
    """What of a variable does not fit a tensor: one sentence, or none."""
    parts = variable if isinstance(variable, list) else [variable]
    info = reader.info(key)
    label = ",".join(part.name for part in parts)
    shape = _tensorflow.tf.TensorShape(info.shape)
    wanted = _tensorflow.tf.TensorShape(_full_shape(variable)) if isinstance(variable, list) else variable.shape
    if not wanted.is_compatible_with(shape):
        return [f"Shape of variable {label} ({wanted}) doesn't match with shape of tensor {key} ({list(info.shape)})"]
    dtype = parts[0].dtype.base_dtype
    if dtype.as_datatype_enum != info.dtype.data_type:
        stored = info.dtype.name
        return [
            f"Variable {label} is of dtype {dtypes.from_data_type(dtype.as_datatype_enum).name}, tensor {key} of {stored}"
        ]
    return []


def _full_shape(parts: Sequence[Any]) -> Sequence[int]:
    """The shape of the variable that these are the parts of.

    Raises:
        InvalidArgumentError: They are not the parts of one variable.
    """
    infos = [part._get_save_slice_info() for part in parts]
    names = {info.full_name if info else part.name: info for info, part in zip(infos, parts, strict=True)}
    if len(names) != 1 or None in infos:
        raise InvalidArgumentError(f"Slices must all be from the same tensor: {' != '.join(names) or 'there are none'}")
    shape: Sequence[int] = infos[0].full_shape
    return shape


def _variables_to_warm_start(wanted: Any) -> list[Any]:
    v1 = _tensorflow.tf.compat.v1
    if wanted is None or isinstance(wanted, str):
        return list(v1.get_collection(v1.GraphKeys.TRAINABLE_VARIABLES, scope=wanted))
    if not isinstance(wanted, list):
        raise InvalidArgumentError(f"`vars_to_warm_start must be a `list` or `str`.  Given type is {type(wanted)}")
    if all(isinstance(item, str) for item in wanted):
        found = [v for item in wanted for v in v1.get_collection(v1.GraphKeys.GLOBAL_VARIABLES, scope=item)]
        # Two patterns may find one variable.
        return list({id(variable): variable for variable in found}.values())
    if all(map(_is_variable, wanted)):
        return wanted
    types = [type(item) for item in wanted]
    raise InvalidArgumentError(
        f"If `vars_to_warm_start` is a list, it must be all `Variable` or all `str`.  Given types are {types}"
    )


def _by_name(variables: Iterable[Any]) -> dict[str, list[Any]]:
    """The variables by name, the parts of a partitioned one together."""
    by_name: dict[str, list[Any]] = {}
    for variable in variables:
        info = variable._get_save_slice_info()
        by_name.setdefault(info.full_name if info else variable.op.name, []).append(variable)
    return by_name


def _is_variable(value: Any) -> bool:
    return isinstance(value, (_tensorflow.tf.Variable, _tensorflow.BaseResourceVariable)) or hasattr(
        value, "_should_act_as_resource_variable"
    )


def _variable_store() -> Mapping[str, Any]:
    """The variables that `get_variable` has made in the default graph, by name; parts are called ``name/part_0``."""
    # TensorFlow keeps its store in a collection of the graph.
    stores = _tensorflow.tf.compat.v1.get_collection(("__variable_store",))
    variables: Mapping[str, Any] = stores[0]._vars if stores else {}
    return variables


def _from_store(name: str, store: Mapping[str, Any]) -> Any:
    """The variable of that name, or its parts in their order; None when there is neither."""
    if name in store:
        return store[name]
    parts: list[Any] = []
    while (part := f"{name}/part_{len(parts)}") in store:
        parts.append(store[part])
    return parts or None


def _without_part(name: str) -> str:
    return name.partition("/part_")[0]


def _hint(sentence: str, name: str, names: Iterable[str]) -> str:
    near = nearest_names(name, names)
    return f"{sentence}; did you mean {', '.join(near)}?" if near else sentence


def _listed(problems: Sequence[str]) -> str:
    if len(problems) == 1:
        return problems[0]
    return "\n".join([f"{len(problems)} variables cannot be initialized:", *problems])
