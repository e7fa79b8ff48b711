"""A graph, and every tool that looks at one or makes another of it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError

from tests.fuzz import graph_models
from tests.fuzz import seeds as files
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
    yield graph_models.reference_variables().SerializeToString()
    yield graph_models.resource_variables().SerializeToString()
    yield from files.case_files("*.meta")
    for data in files.case_files("saved_model.pb"):
        with contextlib.suppress(DecodeError):
            for meta_graph in schemas.SavedModel.FromString(data).meta_graphs:
                yield meta_graph.SerializeToString()


def run(data: bytes) -> None:
    try:
        graph = schemas.MetaGraphDef.FromString(data)
    except DecodeError:
        return
    before = graph.SerializeToString(deterministic=True)
    _use(graph)
    # No tool changes what it is given.
    assert graph.SerializeToString(deterministic=True) == before


def _use(graph: schemas.MetaGraphDef) -> None:
    found = _attempt(lambda: variables.find_variables(graph)) or []
    for finding in lint.lint(graph, values={each.name: (each.dtype, (2,)) for each in found}, asset_names=["vocab.txt"]):
        str(finding)
    for risk in op_risks.scan(graph):
        str(risk)
    _attempt(lambda: essential_variables.find_training_state(graph))
    nodes = [node.name for node in graph.graph_def.node]
    called = functions.needed_functions(graph.graph_def, graph.graph_def.node)
    assert called <= functions.library_functions(graph.graph_def).keys()
    pruned = _attempt(lambda: pruning.prune_meta_graph(graph, nodes[-1:]))
    if pruned is not None:
        assert len(pruned.graph_def.node) <= len(nodes)
    _attempt(lambda: pruning.prune_meta_graph(graph, keep_saver=True, keep_initializers=False))
    _attempt(lambda: freezing.freeze_graph(graph, _Values(found), nodes[-1:]))
    _attempt(lambda: freezing.freeze_graph(graph, _Values(found)))
    _attempt(lambda: unfreezing.unfreeze_graph(graph, min_size=16))
    stripped = default_attrs.strip_default_attrs(graph, portable=True)
    default_attrs.attrs_unknown_to_1_15(stripped.graph_def)
    devices.clear_devices(graph.graph_def)


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


def _attempt(step: Callable[[], Any]) -> Any:
    with contextlib.suppress(SaverError):
        return step()
    return None
