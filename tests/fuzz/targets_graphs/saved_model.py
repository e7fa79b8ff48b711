"""A SavedModel's directory: the message, the fingerprint, and something that a program asks of them.

The parts of an input: a byte that says what is asked, the fingerprint, the message.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator
from typing import Any

from tests.fuzz import graph_models, messages, pieces
from tests.fuzz import seeds as files
from tests.fuzz.harness import MutateBytes
from tests.fuzz.memory_files import FOLDER, mount
from tfsaver import schemas
from tfsaver.errors import SaverError
from tfsaver.graph.op_risks import scan
from tfsaver.saved_model import exported_assets, fingerprint
from tfsaver.saved_model.graph_tensors import GraphTensors
from tfsaver.saved_model.loader import SavedModel, load_saved_model
from tfsaver.saved_model.object_graph import object_graph_of_saved_model

NAME = "saved_model"

# More of a kind show nothing new.
_MAX_TENSORS = 8


def seeds() -> Iterator[bytes]:
    model = graph_models.object_model()
    model.meta_graphs[0].graph_def.CopyFrom(graph_models.function_calls().graph_def)
    identity = fingerprint.compute_fingerprint(model, b"index")
    for kind in range(len(_KINDS)):
        yield pieces.pack([bytes((kind,)), identity.SerializeToString(), model.SerializeToString()])
    reference, resource = graph_models.reference_variables(), graph_models.resource_variables()
    two = schemas.SavedModel(meta_graphs=[graph_models.without_saver(reference), graph_models.function_calls()])
    yield pieces.pack([b"", b"", two.SerializeToString()])
    yield pieces.pack([b"\3", b"", schemas.SavedModel(meta_graphs=[resource]).SerializeToString()])
    for number, path in enumerate(files.case_paths("saved_model.pb")):
        beside = path.with_name("fingerprint.pb")
        kind = bytes((number % len(_KINDS),))
        yield pieces.pack([kind, beside.read_bytes() if beside.exists() else b"", path.read_bytes()])


def run(data: bytes) -> None:
    kind, identity, message = [*pieces.unpack(data, 3), b"", b""][:3]
    folder = mount({"saved_model.pb": message, **({"fingerprint.pb": identity} if identity else {})})
    with load_saved_model(folder) as model:
        _KINDS[sum(kind[:1]) % len(_KINDS)](model)


def mutate(data: bytes, mutate_bytes: MutateBytes, random: random.Random) -> bytes:
    parts = [*pieces.unpack(data, 3), b"", b""][:3]
    if not random.randrange(8):
        parts[0] = bytes((random.randrange(len(_KINDS)),))
    changed = random.choice((1, 2, 2, 2, 2, 2))
    parts[changed] = messages.mutate(parts[changed], mutate_bytes, random)
    return pieces.pack(parts)


def _show(model: SavedModel) -> None:
    assert len(model.variables) == 0
    for meta_graph in model.meta_graphs:
        for signature in meta_graph.signatures.values():
            str(signature)
        for path in (_attempt(lambda meta_graph=meta_graph: meta_graph.assets) or {}).values():
            assert path.startswith(f"{FOLDER}/assets/") and ".." not in path.split("/")
        _attempt(lambda meta_graph=meta_graph: meta_graph.init_op)
        list(exported_assets.file_tensors(meta_graph.graph_def.node))
    assert model.signatures is not None


def _identify(model: SavedModel) -> None:
    stored = _attempt(lambda: model.fingerprint)
    # Hashing takes ten times as long as all the rest.
    if stored is not None and len(stored.uuid) % 4 == 0:
        computed = model.compute_fingerprint()
        assert fingerprint.singleprint(stored).count("/") == fingerprint.singleprint(computed).count("/")


def _find_objects(model: SavedModel) -> None:
    for meta_graph in model.meta_graphs:
        if meta_graph.object_graph is not None:
            object_graph_of_saved_model(meta_graph.object_graph).serialize()


def _find_tensors(model: SavedModel) -> None:
    for meta_graph in model.meta_graphs:
        tensors = GraphTensors(meta_graph.proto)
        for name in list(tensors.nodes)[:_MAX_TENSORS]:
            for reference in (name, f"{name}:1"):
                _attempt(lambda tensors=tensors, reference=reference: tensors.tensor(reference))


def _scan(model: SavedModel) -> None:
    for meta_graph in model.meta_graphs:
        scan(meta_graph.proto)


_KINDS: tuple[Callable[[SavedModel], None], ...] = (_show, _identify, _find_objects, _find_tensors, _scan)


def _attempt(step: Callable[[], Any]) -> Any:
    with contextlib.suppress(SaverError):
        return step()
    return None
