"""A SavedModel's directory: the message, the fingerprint, and what a program asks of them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from tests.fuzz import graph_models, pieces
from tests.fuzz import seeds as files
from tests.fuzz.memory_files import mount
from tfsaver import schemas
from tfsaver.errors import SaverError
from tfsaver.graph.op_risks import scan
from tfsaver.saved_model import fingerprint, initialization
from tfsaver.saved_model.graph_tensors import GraphTensors
from tfsaver.saved_model.loader import MetaGraph, load_saved_model
from tfsaver.saved_model.object_graph import object_graph_of_saved_model

NAME = "saved_model"
mutate = pieces.mutate

# More of a kind show nothing new.
_MAX_TENSORS = 8


def seeds() -> Iterator[bytes]:
    model = graph_models.object_model()
    identity = fingerprint.compute_fingerprint(model, b"index")
    yield pieces.pack([identity.SerializeToString(), model.SerializeToString()])
    two = schemas.SavedModel(meta_graphs=[graph_models.reference_variables(), graph_models.resource_variables()])
    yield pieces.pack([b"", two.SerializeToString()])
    for path in files.case_paths("saved_model.pb"):
        beside = path.with_name("fingerprint.pb")
        yield pieces.pack([beside.read_bytes() if beside.exists() else b"", path.read_bytes()])


def run(data: bytes) -> None:
    *first, message = pieces.unpack(data, 2)
    folder = mount({"saved_model.pb": message, **({"fingerprint.pb": first[0]} if first else {})})
    with load_saved_model(folder, trusted=False) as model:
        for meta_graph in model.meta_graphs:
            _use(meta_graph)
        _attempt(lambda: model.signatures)
        assert len(model.variables) == 0
        stored = _attempt(lambda: model.fingerprint)
        computed = _attempt(model.compute_fingerprint)
        if stored is not None and computed is not None:
            assert fingerprint.singleprint(stored).count("/") == fingerprint.singleprint(computed).count("/")


def _use(meta_graph: MetaGraph) -> None:
    for signature in meta_graph.signatures.values():
        str(signature)
    for path in (_attempt(lambda: meta_graph.assets) or {}).values():
        assert path.startswith("/in-memory/assets/") and ".." not in path.split("/")
    _attempt(lambda: meta_graph.init_op)
    if meta_graph.object_graph is not None:
        graph = _attempt(lambda: object_graph_of_saved_model(meta_graph.object_graph))
        if graph is not None:
            graph.serialize()
    tensors = GraphTensors(meta_graph.proto)
    for name in list(tensors.nodes)[:_MAX_TENSORS]:
        for reference in (name, f"{name}:1"):
            _attempt(lambda reference=reference: tensors.tensor(reference))
    list(initialization.file_tensors(meta_graph.graph_def.node))
    scan(meta_graph.proto)


def _attempt(step: Callable[[], Any]) -> Any:
    with contextlib.suppress(SaverError):
        return step()
    return None
