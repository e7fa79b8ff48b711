"""The page that `report` writes: its facts as JSON, and the file around them.

    report_files/page.html      the document, with places for the rest
    report_files/page.css       light, dark and print
    report_files/page.js        draws the facts; everything from a file becomes text of the page, never markup
    report_files/echarts/       Apache ECharts, with its licence

The page loads nothing and sends nothing: its Content-Security-Policy allows the two scripts by their hashes and no request.
The JSON has no ``<``, ``>`` or ``&``, so that no name in it can end its element.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import html
import importlib.resources
import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from tfsaver._version import __version__
from tfsaver.checkpoint.checkpoint_reader import CheckpointReader
from tfsaver.checkpoint.editing.diff import TensorDifference
from tfsaver.checkpoint.measuring import Measures
from tfsaver.checkpoint.names.name_steps import split_attribute
from tfsaver.checkpoint.objects.object_graph import DESCRIPTIONS, read_object_graph
from tfsaver.checkpoint.tensor_source import TensorSource
from tfsaver.errors import SaverError
from tfsaver.graph.scope_graph import scope_graph
from tfsaver.lib import html_tables
from tfsaver.saved_model.loader import MetaGraph, SavedModel, format_tags
from tfsaver.saved_model.signature_def import Signature, SignatureTensor, natural_order
from tfsaver.verbs import survey as surveying
from tfsaver.verbs.survey import Survey, TensorRow

# What a tensor is for; `structure` describes the objects or the tree that the others are of.
ROLES = ("model", "average", "optimizer", "metric", "iterator", "structure")
# Past that, a tree is of use to nobody, and the browser lays out every line.
_MAX_OBJECT_LINES = 20_000
# Rows of the heatmap, those that change most.
_MAX_LAYERS = 400
_PLACE = re.compile(r"\{\{(\w+)\}\}")


@dataclasses.dataclass(frozen=True)
class Subject:
    """A checkpoint that a page shows.

    Attributes:
        path: As the caller gave it.
        source: Its tensors.
        model: The SavedModel that they are of; None for a checkpoint.
        survey: What its index says of the tensors that are shown.
        measures: What the values are like, by name.
        damaged: Why tensors could not be read, by name.
    """

    path: str
    source: TensorSource
    model: SavedModel | None
    survey: Survey
    measures: Mapping[str, Measures]
    damaged: Mapping[str, SaverError]


@dataclasses.dataclass(frozen=True)
class Update:
    """What happened between one checkpoint and the next.

    Attributes:
        differences: Of each tensor that both have and that is sound; None where it is the same.
        added: The names that only the later one has.
        removed: The names that only the earlier one has.
    """

    differences: Mapping[str, TensorDifference | None]
    added: Sequence[str]
    removed: Sequence[str]


def render(subjects: Sequence[Subject], updates: Sequence[Update]) -> bytes:
    """The page.

    Args:
        subjects: The checkpoints, oldest first; the last is shown in full.
        updates: What each differs in from the one before.
    """
    echarts, script = _file("echarts", "echarts.min.js"), _file("page.js")
    hashes = " ".join(f"'sha256-{_hash(text)}'" for text in (echarts, script))
    places = {
        "title": html.escape(f"{subjects[-1].path} - tfsaver report", quote=True),
        "policy": f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
        "form-action 'none'",
        "style": _file("page.css"),
        "tables": _tables(subjects[-1]),
        "facts": as_json(facts_of(subjects, updates)),
        "echarts": echarts,
        "script": script,
    }
    # Once, so that nothing in a place is taken for another place.
    page = _PLACE.sub(lambda place: places[place[1]], _file("page.html"))
    return page.encode("utf-8", "backslashreplace")


def _tables(subject: Subject) -> str:
    """What a page shows where scripts do not run: the largest tensors, and the signatures."""
    rows = sorted(subject.survey.rows, key=lambda row: -row.info.num_bytes)
    infos = ((row.info, _role(row)) for row in rows)
    cells = ((info.name, info.dtype.name, list(info.shape), role, f"{info.num_bytes:,}") for info, role in infos)
    titles = ["name", "dtype", "shape", "role", "bytes"]
    return html_tables.table(f"{subject.path}: the largest tensors", titles, cells, len(rows), numbers=1)


def as_json(facts: Any) -> str:
    """JSON for an element of HTML: in ASCII, and without a character that means anything in markup."""
    text = json.dumps(facts, allow_nan=False, separators=(",", ":"))
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def facts_of(subjects: Sequence[Subject], updates: Sequence[Update]) -> dict[str, Any]:
    """Everything that the page shows, in types that JSON has. Tensors are columns, which take less than records."""
    last = subjects[-1]
    return {
        "tfsaver": __version__,
        "checkpoints": [_checkpoint(subject) for subject in subjects],
        "roles": list(ROLES),
        "tensors": _tensors(last),
        "files": _files(last),
        "objects": _objects(last),
        "model": _model(last),
        "run": _run(subjects, updates) if updates else None,
    }


def _checkpoint(subject: Subject) -> dict[str, Any]:
    found = subject.survey
    total = surveying.totals(found.rows)
    return {
        "path": subject.path,
        "kind": "SavedModel" if subject.model is not None else found.description,
        "prefix": found.prefix,
        "byte_order": found.byte_order,
        "num_shards": found.num_shards,
        "object_based": found.is_object_based,
        "num_tensors": total.num_tensors,
        "num_parameters": total.num_parameters,
        "num_bytes": total.num_bytes,
        "num_damaged": len(subject.damaged),
        "optimizers": [each._asdict() for each in surveying.optimizer_totals(found.rows)],
    }


def _tensors(subject: Subject) -> dict[str, Any]:
    rows = subject.survey.rows
    damaged = list(subject.survey.damaged)
    dtypes = sorted({row.info.dtype.name for row in rows})
    numbers = {name: number for number, name in enumerate(dtypes)}
    measures = [subject.measures.get(row.info.name) for row in rows]
    errors = {
        number: str(subject.damaged[name])
        for number, name in enumerate([*(row.info.name for row in rows), *damaged])
        if name in subject.damaged
    }
    rest = len(damaged)
    return {
        "dtypes": dtypes,
        "name": [row.info.name for row in rows] + damaged,
        "dtype": [numbers[row.info.dtype.name] for row in rows] + [-1] * rest,
        "shape": [list(row.info.shape) for row in rows] + [None] * rest,
        "bytes": [row.info.num_bytes for row in rows] + [0] * rest,
        "role": [ROLES.index(_role(row)) for row in rows] + [0] * rest,
        "why": [_why(row) for row in rows] + [""] * rest,
        "pieces": [_pieces(row) for row in rows] + [None] * rest,
        "stats": [_stats(each) for each in measures] + [None] * rest,
        "histogram": [_histogram(each) for each in measures] + [None] * rest,
        "errors": errors,
    }


def _role(row: TensorRow) -> str:
    if row.info.name in DESCRIPTIONS:
        return "structure"
    if row.average_of is not None:
        return "average"
    return "model" if row.training is None else row.training.role


def _why(row: TensorRow) -> str:
    if row.average_of is not None:
        return f"average of {row.average_of}"
    if row.optimizer is not None and row.optimizer.variable is not None:
        return f"{row.optimizer.optimizer}: {row.optimizer.slot} of {row.optimizer.variable}"
    return row.reason if row.training is not None else ""


def _pieces(row: TensorRow) -> list[list[Any]] | None:
    """Shard, offset, size and slice of each piece; None for what lies in no file as it is."""
    pieces = [
        [piece.shard_id, piece.offset, piece.size, *([] if piece.tensor_slice is None else [str(piece.tensor_slice)])]
        for piece in row.info.pieces
    ]
    return pieces or None


def _stats(measures: Measures | None) -> list[float | None] | None:
    if measures is None:
        return None
    values = (measures.min, measures.max, measures.mean, measures.norm)
    return [*map(_rounded, values), measures.num_nan, measures.num_infinite, measures.num_zero]


def _rounded(value: float | None) -> float | None:
    """A number that JSON has, in as many digits as a page shows."""
    return None if value is None or not math.isfinite(value) else float(f"{value:.6g}")


def _histogram(measures: Measures | None) -> list[Any] | None:
    """Exponent of the width, first multiple of it, counts."""
    if measures is None or not measures.histogram.counts:
        return None
    return [measures.histogram.exponent, measures.histogram.first, measures.histogram.counts]


def _files(subject: Subject) -> list[dict[str, Any]]:
    if not isinstance(subject.source, CheckpointReader):
        return []
    return [file._asdict() for file in surveying.stored_files(subject.source, subject.path)]


def _objects(subject: Subject) -> dict[str, Any] | None:
    """The lines of the object tree with their depths; None for what was written from names."""
    try:
        graph = read_object_graph(subject.source)
    except (SaverError, OSError) as error:
        return {"error": str(error), "lines": [], "num_left": 0}
    if graph is None:
        return None
    lines: list[tuple[int, str]] = []
    num_left = 0
    for line in graph.lines():
        if len(lines) == _MAX_OBJECT_LINES:
            num_left += 1
            continue
        text = line.lstrip(" ")
        lines.append(((len(line) - len(text)) // 2, text))
    return {"error": None, "lines": lines, "num_left": num_left}


def _model(subject: Subject) -> dict[str, Any] | None:
    if subject.model is None:
        return None
    graphs = [
        {
            "tags": format_tags(graph.tags),
            "tensorflow_version": graph.tensorflow_version,
            "num_nodes": len(graph.graph_def.node),
            "num_functions": len(graph.graph_def.library.function),
            "signatures": [
                {**_signature(signature), "graph": _scope_graph(graph, signature.key)}
                for signature in graph.signatures.values()
            ],
        }
        for graph in subject.model.meta_graphs
    ]
    return {"directory": subject.model.directory, "graphs": graphs}


def _scope_graph(graph: MetaGraph, key: str) -> dict[str, Any]:
    """What a signature's outputs depend on, by scopes."""
    found = scope_graph(graph.graph_def, graph.proto.signature_def[key])
    return {
        "scopes": [[scope.path, scope.kind, sum(scope.ops.values()), scope.top_ops] for scope in found.scopes],
        "edges": [[*pair, number] for pair, number in found.edges.items()],
        "is_whole": found.is_whole,
    }


def _signature(signature: Signature) -> dict[str, Any]:
    return {
        "key": signature.key,
        "method": signature.method_name,
        "inputs": _signature_tensors(signature.inputs),
        "outputs": _signature_tensors(signature.outputs),
    }


def _signature_tensors(tensors: Mapping[str, SignatureTensor]) -> list[dict[str, Any]]:
    return [{"key": key, **tensor._asdict()} for key, tensor in tensors.items()]


def _run(subjects: Sequence[Subject], updates: Sequence[Update]) -> dict[str, Any]:
    steps = [_layers(before, update) for before, update in zip(subjects, updates, strict=False)]
    largest: dict[str, float] = {}
    for step in steps:
        for layer, value in step.items():
            largest[layer] = max(largest.get(layer, 0.0), math.inf if value is None else value)
    shown = natural_order(sorted(largest, key=lambda layer: (-largest[layer], layer))[:_MAX_LAYERS])
    return {
        "layers": shown,
        "num_left": len(largest) - len(shown),
        # None where a layer is not in both.
        "values": [[_rounded(step.get(layer)) for layer in shown] for step in steps],
        "changes": [
            {
                "added": list(update.added),
                "removed": list(update.removed),
                "num_changed": sum(item is not None for item in update.differences.values()),
                "num_equal": sum(item is None for item in update.differences.values()),
            }
            for update in updates
        ],
    }


def _layers(before: Subject, update: Update) -> dict[str, float | None]:
    """The norm of each layer's update in relation to the norm of the layer; None where that was zero."""
    rows = {row.info.name: row for row in before.survey.rows}
    squares: dict[str, tuple[float, float]] = {}
    for name, item in update.differences.items():
        if _role(rows[name]) != "model" or name not in before.measures or _is_counter(rows[name]):
            continue
        change = 0.0 if item is None or item.values is None else item.values.norm
        layer = layer_of(name)
        of_change, of_layer = squares.get(layer, (0.0, 0.0))
        squares[layer] = (math.hypot(of_change, change), math.hypot(of_layer, before.measures[name].norm))
    return {
        layer: change / norm if norm else (None if change else 0.0) for layer, (change, norm) in squares.items()
    }


def _is_counter(row: TensorRow) -> bool:
    """Whether it counts steps, and has no direction to move in."""
    return not row.info.shape and row.info.dtype.numpy.kind in "iu"


def layer_of(name: str) -> str:
    """The scope that a tensor is in: its name without the last part, or its name where that is all there is."""
    path = split_attribute(name)[0]
    return path.rpartition("/")[0] or path


def _file(*names: str) -> str:
    place = importlib.resources.files("tfsaver.verbs").joinpath("report_files")
    for name in names:
        place = place.joinpath(name)
    return place.read_text("utf-8")


def _hash(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")


