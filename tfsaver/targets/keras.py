"""What Keras's layers have besides variables, on any backend, and where Keras's files have the variables.

Nothing is imported here: who gives a model has its library.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from tfsaver.checkpoint.tensor_source import TensorSource
from tfsaver.targets.optimizers import is_optimizer

_OPTIMIZER = "optimizer/vars/"


def finish_layers(layers: Iterable[Any]) -> None:
    """Has layers make anew what they make of their variables once and keep: the mean that Normalization computes with."""
    for layer in layers_in(layers):
        if getattr(layer, "adapt_mean", None) is not None and callable(getattr(layer, "finalize_state", None)):
            layer.finalize_state()


def notes_on_vocabularies(layers: Iterable[Any]) -> Iterator[str]:
    """The vocabularies of layers that have theirs in no variable."""
    for layer in layers_in(layers):
        table = getattr(layer, "lookup_table", None)
        if callable(getattr(layer, "get_vocabulary", None)) and table is not None and not hasattr(table, "insert"):
            what = f"{layer.name}, a {type(layer).__name__}, keeps its vocabulary"
            yield f"{what}: it is in no tensor of a checkpoint; layer.set_vocabulary(...) sets another"


def layers_in(layers: Iterable[Any]) -> Iterator[Any]:
    """Layers, and all that are in them, each once."""
    seen: set[int] = set()
    for layer in layers:
        for inner in layer._flatten_layers():
            if id(inner) not in seen:
                seen.add(id(inner))
                yield inner


def keys_in_file(
    layers: Iterable[Any], optimizers: Sequence[Any], file_paths: Mapping[str, str], source: TensorSource
) -> dict[int, tuple[str, ...]]:
    """The tensors of a file of Keras 3 that Keras would load into variables, by the variables' ids.

    A model and a file that have the same paths and shapes go together by these, as in `load_weights`: the names that Keras
    gives to layers without one are numbered anew in each process. Where all variables find their own names in the file,
    these decide.

    Args:
        layers: The models that are restored.
        optimizers: The optimizers that are restored.
        file_paths: Where each tensor lies in the file, by its name.
        source: The file.
    """
    names = {path: name for name, path in file_paths.items()}
    of_optimizer = {path: name for path, name in names.items() if path.startswith(_OPTIMIZER)}
    found: dict[int, tuple[str, ...]] = {}
    for layer in layers:
        variables = paths_in_files(layer)
        own = (variable.path.removeprefix(f"{layer.name}/") for variable in variables.values())
        if all(name in source for name in own):
            continue
        if variables.keys() == names.keys() - of_optimizer.keys() and _have_shapes(variables, names, source):
            found.update((id(variable), (names[path],)) for path, variable in variables.items())
    if len(optimizers) == 1:
        inner = optimizers[0].variables
        variables = {f"{_OPTIMIZER}{index}": each for index, each in enumerate(inner() if callable(inner) else inner)}
        if variables.keys() == of_optimizer.keys() and _have_shapes(variables, names, source):
            found.update((id(variable), (names[path],)) for path, variable in variables.items())
    return found


def paths_in_files(layer: Any) -> dict[str, Any]:
    """The variables of a model of Keras 3 by the paths that they have in its `.weights.h5` files, without its optimizer's.

    Nothing where this Keras does not say how it walks through a model.
    """
    walk = getattr(sys.modules.get("keras.src.saving.saving_lib"), "_walk_saveable", None)
    if walk is None:
        return {}
    found: dict[str, Any] = {}
    seen: set[int] = set()

    def visit(value: Any, path: str) -> None:
        if id(value) in seen or is_optimizer(value):
            return
        seen.add(id(value))
        stored: dict[str, Any] = {}
        value.save_own_variables(stored)
        found.update((f"{path}vars/{key}", variable) for key, variable in stored.items() if hasattr(variable, "path"))
        for name, child in walk(value):
            visit_child(child, f"{path}{name}/")

    def visit_child(child: Any, path: str) -> None:
        if _is_saveable(child):
            visit(child, path)
        elif isinstance(child, (list, dict, tuple)) and id(child) not in seen:
            seen.add(id(child))
            counts: dict[str, int] = {}
            for each in child.values() if isinstance(child, dict) else child:
                if _is_saveable(each) or isinstance(each, (list, dict, tuple)):
                    word = snake_case(type(each).__name__) if _is_saveable(each) else "container"
                    counts[word] = counts.get(word, -1) + 1
                    visit_child(each, f"{path}{word}_{counts[word]}/" if counts[word] else f"{path}{word}/")

    visit(layer, "")
    return found


def snake_case(name: str) -> str:
    """The name of a class as Keras's files have it."""
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", re.sub(r"\W+", "", name))
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()


def _is_saveable(value: Any) -> bool:
    return hasattr(value, "save_own_variables") and hasattr(value, "_obj_type")


def _have_shapes(variables: Mapping[str, Any], names: Mapping[str, str], source: TensorSource) -> bool:
    return all(
        tuple(source.info(names[path]).shape) == tuple(map(int, variable.shape)) for path, variable in variables.items()
    )
