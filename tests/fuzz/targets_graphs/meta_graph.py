"""A graph, and a tool that looks at it or makes another of it: the first byte of an input says which."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError

from tests.fuzz import graph_models, messages
from tests.fuzz import seeds as files
from tests.fuzz.harness import MutateBytes
from tfsaver import schemas
from tfsaver.errors import SaverError
from tfsaver.graph import (
    default_attrs,
    devices,
    essential_variables,
    freezing,
    functions,
    lint,
    op_risks,
    pruning,
    unfreezing,
    variables,
)

NAME = "meta_graph"
# More elements show nothing new.
_MAX_ELEMENTS = 64


def seeds() -> Iterator[bytes]:
    for number, data in enumerate(_graphs()):
        for tool in range(len(_TOOLS)) if number < 5 else (number % len(_TOOLS),):
            yield bytes((tool,)) + data


def _graphs() -> Iterator[bytes]:
    for model in (graph_models.reference_variables(), graph_models.resource_variables()):
        yield model.SerializeToString()
        # What is small is tried more often.
        yield graph_models.without_saver(model).SerializeToString()
    yield graph_models.function_calls().SerializeToString()
    yield from files.case_files("*.meta")
    for data in files.case_files("saved_model.pb"):
        with contextlib.suppress(DecodeError):
            for meta_graph in schemas.SavedModel.FromString(data).meta_graphs:
                yield meta_graph.SerializeToString()


def run(data: bytes) -> None:
    try:
        graph = schemas.MetaGraphDef.FromString(data[1:])
    except DecodeError:
        return
    # Writing it twice would take as long as all the rest.
    before = graph.SerializeToString(deterministic=True) if len(data) % 16 == 0 else None
    with contextlib.suppress(SaverError):
        _TOOLS[sum(data[:1]) % len(_TOOLS)](graph)
    # No tool changes what it is given.
    assert before is None or graph.SerializeToString(deterministic=True) == before


def _lint(graph: schemas.MetaGraphDef) -> None:
    values: dict[str, Any] = {}
    with contextlib.suppress(SaverError):
        values = {each.name: (each.dtype, (2,)) for each in variables.find_variables(graph)}
    for finding in lint.lint(graph, values=values, asset_names=["vocab.txt"]):
        str(finding)


def _scan(graph: schemas.MetaGraphDef) -> None:
    for risk in op_risks.scan(graph):
        str(risk)


def _find_functions(graph: schemas.MetaGraphDef) -> None:
    called = functions.needed_functions(graph.graph_def, graph.graph_def.node)
    assert called <= functions.library_functions(graph.graph_def).keys()
    devices.clear_devices(graph.graph_def)


def _prune(graph: schemas.MetaGraphDef) -> None:
    pruned = pruning.prune_meta_graph(graph, _last(graph))
    assert len(pruned.graph_def.node) <= len(graph.graph_def.node)


def _prune_to_saver(graph: schemas.MetaGraphDef) -> None:
    pruning.prune_meta_graph(graph, keep_saver=True, keep_initializers=False)


def _freeze(graph: schemas.MetaGraphDef) -> None:
    freezing.freeze_graph(graph, _Values(variables.find_variables(graph)), _last(graph))


def _freeze_signatures(graph: schemas.MetaGraphDef) -> None:
    freezing.freeze_graph(graph, _Values(variables.find_variables(graph)))


def _unfreeze(graph: schemas.MetaGraphDef) -> None:
    unfreezing.unfreeze_graph(graph, min_size=16)


def _strip(graph: schemas.MetaGraphDef) -> None:
    default_attrs.attrs_unknown_to_1_15(default_attrs.strip_default_attrs(graph, portable=True).graph_def)


def _last(graph: schemas.MetaGraphDef) -> list[str]:
    return [node.name for node in graph.graph_def.node][-1:]


_TOOLS: tuple[Callable[[schemas.MetaGraphDef], object], ...] = (
    _lint,
    _scan,
    _find_functions,
    _prune,
    _prune_to_saver,
    _freeze,
    _freeze_signatures,
    _unfreeze,
    _strip,
    essential_variables.find_training_state,
)


def mutate(data: bytes, mutate_bytes: MutateBytes, random: random.Random) -> bytes:
    tool = random.randrange(len(_TOOLS)) if not data or not random.randrange(8) else data[0]
    return bytes((tool,)) + messages.mutate(data[1:], mutate_bytes, random)


class _Values(Mapping[str, Any]):
    """A value for each variable, of a shape that it can have."""

    def __init__(self, found: list[Any]) -> None:
        self._variables = {each.name: each for each in found}

    def __getitem__(self, name: str) -> Any:
        variable = self._variables[name]
        shape = [2 if size is None else size for size in (variable.full_shape or variable.shape or ())]
        if np.prod(shape, dtype=object) > _MAX_ELEMENTS or len(shape) > 8:
            shape = [1]
        return np.zeros(shape, variable.dtype.numpy) if variable.dtype.has_fixed_size else np.full(shape, b"", object)

    def __iter__(self) -> Iterator[str]:
        return iter(self._variables)

    def __len__(self) -> int:
        return len(self._variables)

