"""What `show` tells of a SavedModel, gathered once for text and JSON alike.

One thing that is damaged does not hide the others: it is left out, and its error kept aside.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

from tfsaver import schemas
from tfsaver.cli.saved_model_source import ModelSource
from tfsaver.errors import SaverError
from tfsaver.framework.tensor_info import TensorInfo
from tfsaver.framework.tensor_shape import num_elements
from tfsaver.lib import file_io
from tfsaver.saved_model import fingerprint
from tfsaver.saved_model.examples import ExampleFeature, example_features
from tfsaver.saved_model.graph_constants import GraphConstants
from tfsaver.saved_model.loader import MetaGraph
from tfsaver.saved_model.proposal import Proposal, propose
from tfsaver.verbs.survey import stored_files

# A SavedModel has two levels of directories; links that lead in circles have more.
_MAX_DEPTH = 6
_T = TypeVar("_T")


class ModelFile(NamedTuple):
    """A file and its size, which is None where it is missing."""

    path: str
    size: int | None


class VariableRow(NamedTuple):
    """A variable: the name in the model, the one that its program had (maybe empty), and what the index says."""

    name: str
    program_name: str
    info: TensorInfo

    @property
    def num_parameters(self) -> int:
        """Its elements, if they are numbers."""
        return num_elements(self.info.shape) if self.info.dtype.has_fixed_size else 0


class Totals(NamedTuple):
    """Sums over the variables."""

    num_variables: int
    num_parameters: int
    num_bytes: int


class AssetRow(NamedTuple):
    """An asset: the tensor that is fed its path, and its file."""

    tensor: str
    file: ModelFile


class Objects(NamedTuple):
    """The objects of TensorFlow 2 by their kinds, and those that programs made by the names of their classes."""

    num_objects: int
    kinds: dict[str, int]
    classes: dict[str, int]


@dataclass
class GraphRow:
    """A graph at a glance; `proposal` is for a graph without signatures and objects, `features` are those of Examples."""

    graph: MetaGraph
    num_nodes: int
    num_functions: int
    num_function_nodes: int
    ops: dict[str, int]
    init_op: str | None
    assets: list[AssetRow]
    collections: dict[str, int]
    objects: Objects | None
    proposal: Proposal | None
    features: list[ExampleFeature]


@dataclass
class ModelSurvey:
    """A SavedModel, or a graph alone, at a glance; `constants` are the weights of a graph without a checkpoint."""

    graphs: list[GraphRow] = field(default_factory=list)
    variables: list[VariableRow] = field(default_factory=list)
    constants: list[TensorInfo] = field(default_factory=list)
    files: list[ModelFile] = field(default_factory=list)
    fingerprint: schemas.FingerprintDef | None = None
    keras_config: dict[str, Any] | None = None
    errors: list[Exception] = field(default_factory=list)

    def totals(self) -> Totals:
        """The sums over the variables."""
        rows = self.variables
        return Totals(len(rows), sum(row.num_parameters for row in rows), sum(row.info.num_bytes for row in rows))

    def attempt(self, look: Callable[[], _T], otherwise: _T) -> _T:
        """What `look` returns; where it finds damage, `otherwise`, and the error is kept."""
        try:
            return look()
        except (SaverError, OSError) as error:
            self.errors.append(error)
            return otherwise


def take_survey(source: ModelSource, graphs: list[MetaGraph]) -> ModelSurvey:
    """All there is to tell, of some of the graphs."""
    survey = ModelSurvey(errors=[*source.errors, *source.missing_data()])
    survey.graphs = [_graph_row(graph, survey) for graph in graphs]
    for name in source.variables:
        info = survey.attempt(lambda name=name: source.variables.info(name), None)  # type: ignore[misc]
        if info is not None:
            survey.variables.append(VariableRow(name, source.variables.program_name(name), info))
    if source.model is None and source.variables.checkpoint is None:
        constants = GraphConstants(source.meta_graphs[0].graph_def, source.path)
        survey.constants = [constants.info(name) for name in constants]
    survey.files = list(_files(source))
    model = source.model
    if model is not None:
        survey.fingerprint = survey.attempt(lambda: model.fingerprint, None)
        survey.keras_config = survey.attempt(lambda: model.keras_config, None)
    return survey


def computed_fingerprint(source: ModelSource, survey: ModelSurvey) -> schemas.FingerprintDef | None:
    """The fingerprint that a SavedModel has as it is; some time's work for a large graph."""
    model = source.model
    if model is None or source.errors or source.variables.missing_files:
        return None
    return survey.attempt(model.compute_fingerprint, None)


def singleprint(found: schemas.FingerprintDef) -> str:
    """What stays the same when a program and its weights do."""
    return fingerprint.singleprint(found)


def _graph_row(graph: MetaGraph, survey: ModelSurvey) -> GraphRow:
    functions = graph.graph_def.library.function
    ops = Counter(node.op for node in graph.graph_def.node)
    for function in functions:
        ops.update(node.op for node in function.node_def)
    nothing: dict[str, str] = {}
    no_features: list[ExampleFeature] = []
    assets = survey.attempt(lambda: graph.assets, nothing)
    collections = {
        key: len(getattr(value, value.WhichOneof("kind")).value) if value.WhichOneof("kind") else 0
        for key, value in sorted(graph.proto.collection_def.items())
    }
    return GraphRow(
        graph,
        num_nodes=len(graph.graph_def.node),
        num_functions=len(functions),
        num_function_nodes=sum(len(function.node_def) for function in functions),
        ops=dict(sorted(ops.items(), key=lambda item: (-item[1], item[0]))),
        init_op=survey.attempt(lambda: graph.init_op, None),
        assets=[AssetRow(tensor, ModelFile(path, _size(path))) for tensor, path in assets.items()],
        collections=collections,
        objects=_objects(graph),
        proposal=_proposal(graph),
        features=survey.attempt(lambda: example_features(graph.proto), no_features),
    )


def _proposal(graph: MetaGraph) -> Proposal | None:
    return None if graph.signatures or graph.object_graph is not None else propose(graph.proto)


def _objects(graph: MetaGraph) -> Objects | None:
    if graph.object_graph is None:
        return None
    nodes = graph.object_graph.nodes
    kinds = Counter((node.WhichOneof("kind") or "nothing") for node in nodes)
    classes = Counter(node.user_object.identifier for node in nodes if node.WhichOneof("kind") == "user_object")
    return Objects(len(nodes), dict(sorted(kinds.items())), dict(sorted(classes.items())))


def _files(source: ModelSource) -> Iterator[ModelFile]:
    if source.model is not None:
        yield from _files_in(source.path, _MAX_DEPTH)
        yield from (ModelFile(path, None) for path in source.variables.missing_files)
        return
    yield ModelFile(source.file, _size(source.file))
    if source.variables.checkpoint is not None:
        yield from (ModelFile(file.path, file.size) for file in stored_files(source.variables.checkpoint, source.path))


def _files_in(directory: str, depth: int) -> Iterator[ModelFile]:
    for name in sorted(file_io.list_directory(directory)):
        path = file_io.join(directory, name)
        if not file_io.is_directory(path):
            yield ModelFile(path, _size(path))
        # Links to directories may lead around in circles, as many as there are.
        elif depth > 0 and not os.path.islink(path):
            yield from _files_in(path, depth - 1)


def _size(path: str) -> int | None:
    try:
        file = file_io.open_for_reading(path)
    except OSError:
        return None
    try:
        return file.size
    finally:
        file.close()
