"""What a graph can do to the machine that runs it, beyond computing.

A graph is a program, and `op_risk_table` says which operations reach outside of it. A saved model that only computes has
none of them but those of its own Saver and of the vocabularies among its assets; `scan` marks these as expected.

`reach` says what a signature, an init op or an object's function leads to, and by which nodes. A dead node is apart: it does
not count if it only reads, prints or waits, as the pipeline of a training does, or belongs to a Saver that a program left
behind. A dead node that writes, runs code or opens a connection does count, since a program can run it by its name, and
so does native code, which is loaded with the graph. A layer of Python code in the description of a model's objects counts.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from tfsaver import schemas
from tfsaver.checkpoint.report import Report, count
from tfsaver.errors import SaverError
from tfsaver.graph.collection_defs import asset_files
from tfsaver.graph.functions import bodies, library_functions
from tfsaver.graph.op_risk_table import NATIVE_CODE, Risk, risks_of
from tfsaver.graph.reach import Reach, nodes_before
from tfsaver.graph.saver_keys import strings_of
from tfsaver.graph.tensor_names import node_of
from tfsaver.graph.variables import graph_and_meta_graph


@dataclasses.dataclass(frozen=True)
class RiskFinding:
    """A node that can do more than compute.

    Attributes:
        risk: What.
        op: The operation.
        place: The node; in a function, `function/node` as messages of TensorFlow have it.
        reason: Why the operation can.
        values: The constants among its inputs: names of files, as far as they are in the graph; of very many, or very long
            ones, the beginning, and an ellipsis.
        is_expected: Whether it belongs to the graph's Saver, or reads one of its assets.
        is_reached: Whether a signature, an init op or an object's function leads to it; always in a graph without these.
        path: What leads to it: what a user calls, and then the nodes; empty where nothing does, or nothing says.
    """

    risk: Risk
    op: str
    place: str
    reason: str
    values: tuple[str, ...] = ()
    is_expected: bool = False
    is_reached: bool = True
    path: tuple[str, ...] = ()

    @property
    def counts(self) -> bool:
        """Whether it speaks against the graph."""
        is_idle = not self.is_reached and self.risk not in _COUNT_WHEN_DEAD
        return not (self.is_expected or is_idle)

    def __str__(self) -> str:
        values = f": {', '.join(map(repr, self.values))}" if self.values else ""
        # The node itself ends the way, and is named already.
        way = f"; reached by {' > '.join(self.path[:-1])}" if self.path else ""
        dead = "" if self.is_reached else "; no signature reaches it"
        return f"{self.place} ({self.op}) {self.risk}, {self.reason}{values}{way}{dead}"


class RiskReport(list[RiskFinding], Report):
    """The nodes that can do more than compute, expected and dead ones too.

    In a condition, the report is `ok`.
    """

    @property
    def ok(self) -> bool:
        """Whether no finding counts: beyond what is expected, the graph only computes."""
        return not any(finding.counts for finding in self)

    def lines(self, *, all_names: bool = False) -> Iterator[str]:
        """Yields the report line by line.

        Args:
            all_names: Whether to name what is expected or dead too.
        """
        found = [finding for finding in self if all_names or finding.counts]
        yield f"{'OK' if self.ok else 'not OK'}, {count(len(found), 'finding')}"
        yield from (f"  {finding}" for finding in found)

    def to_json(self) -> dict[str, Any]:
        """Returns every fact of the report, in types that JSON has."""
        findings = [{**dataclasses.asdict(finding), "risk": finding.risk.value} for finding in self]
        return {"ok": self.ok, "findings": findings}


# What is shown of the constants: paths are shorter, and lists of files mean the same from the third on.
_MAX_TEXTS = 16
_MAX_TEXT = 300
_COUNT_WHEN_DEAD = frozenset({Risk.WRITES_FILES, Risk.RUNS_CODE, Risk.NETWORK})
LAYER = "a layer of Python code, which Keras runs when it loads the model"
# In the description of a layer, as Keras writes it.
_PYTHON_LAYER = re.compile(r'"class_name"\s*:\s*"(?:\w+>)?Lambda"')


def scan(graph: schemas.MetaGraphDef | schemas.GraphDef) -> RiskReport:
    """Every node that can do more than compute, in the order of the graph and then of its functions."""
    graph_def, meta_graph = graph_and_meta_graph(graph)
    expected = _expected_nodes(meta_graph) if meta_graph is not None else set()
    findings = RiskReport()
    library = library_functions(graph_def)
    reach = Reach(graph_def, meta_graph)
    for number, (function, nodes) in enumerate(bodies(graph_def)):
        risky = [(index, node) for index, node in enumerate(nodes) if _risks(node.op, library)]
        if not risky:
            continue
        sources = {node.name: node for node in nodes if node.op in _SOURCES}
        texts: dict[str, tuple[str, ...]] = {}
        for index, node in risky:
            place = f"{function}/{node.name}" if function else node.name
            values = _names_given_to(node, sources, texts)
            is_reached = reach.reaches(function, node.name)
            is_expected = (number, index) in expected or (not (is_reached or function) and _is_of_a_saver(node, sources))
            findings += [
                RiskFinding(
                    risk, node.op, place, reason, values, is_expected, is_reached, reach.way(function, node.name)
                )
                for risk, reason in _risks(node.op, library)
                if not _is_ruled_out(node, risk, values)
            ]
    if meta_graph is not None:
        findings += _scan_objects(meta_graph)
    return findings


def _risks(op: str, library: Mapping[str, object]) -> Iterator[tuple[Risk, str]]:
    """What an operation can do; of one that is a function of the graph's own, its body tells."""
    return ((risk, reason) for risk, reason in risks_of(op) if op not in library or reason != NATIVE_CODE)


def _is_of_a_saver(node: schemas.NodeDef, sources: Mapping[str, schemas.NodeDef]) -> bool:
    """Whether a node saves or restores under a name that whoever runs it must give, as a Saver's do.

    A node with a name of its own is not a Saver's, but for the name that Savers have had as a constant.
    """
    if node.op not in _SAVING_OPS or not node.input:
        return False
    name = node_of(node.input[1 if node.op == "MergeV2Checkpoints" and len(node.input) > 1 else 0])
    for _ in range(16):
        source = sources.get(name)
        if source is None:
            return False
        if source.op in _GIVEN:
            return True
        if source.op == "Const":
            return strings_of(source) == ("model",)
        if not source.input:
            return False
        name = node_of(source.input[0])
    return False


def _names_given_to(
    node: schemas.NodeDef, sources: Mapping[str, schemas.NodeDef], texts: dict[str, tuple[str, ...]]
) -> tuple[str, ...]:
    # One input is the name; among the others of a Saver are thousands of names of tensors.
    index = next((index for prefix, index in _NAME_INPUT.items() if node.op.startswith(prefix)), 0)
    if index >= len(node.input):
        return ()
    source = _source_of(node.input[index], sources)
    if source not in texts:
        # Any number of nodes may take one constant of any size.
        texts[source] = _beginning(strings_of(sources.get(source)))
    return texts[source]


def _beginning(values: tuple[str, ...]) -> tuple[str, ...]:
    shown = [value if len(value) <= _MAX_TEXT else f"{value[:_MAX_TEXT]}..." for value in values[:_MAX_TEXTS]]
    return (*shown, *(["..."] if len(values) > _MAX_TEXTS else []))


def _source_of(reference: str, nodes: Mapping[str, schemas.NodeDef]) -> str:
    """The node that a value comes from, through those that pass it on."""
    name = node_of(reference)
    for _ in range(16):
        node = nodes.get(name)
        if node is None or node.op != "Identity" or not node.input:
            break
        name = node_of(node.input[0])
    return name


# What names of files pass through on their way to what reads or writes.
_SOURCES = frozenset(
    {"Const", "Identity", "Placeholder", "PlaceholderV2", "PlaceholderWithDefault", "StringJoin", "ShardedFilename"}
)

# The input that is the name of a file, where that is not the first.
_NAME_INPUT = {
    "InitializeTableFromTextFile": 1,
    "CacheDataset": 1,
    "SaveDataset": 1,
    "DatasetToTFRecord": 1,
    "SnapshotDataset": 1,
    "MergeV2Checkpoints": 1,
}


def _is_ruled_out(node: schemas.NodeDef, risk: Risk, values: tuple[str, ...]) -> bool:
    """Whether this very node cannot do what its operation can."""
    if node.op == "PrintV2" and risk is Risk.WRITES_FILES:
        return not node.attr["output_stream"].s.startswith(b"file://") if "output_stream" in node.attr else True
    if node.op.startswith(("DecodeProto", "EncodeProto")):
        source = node.attr["descriptor_source"].s if "descriptor_source" in node.attr else b""
        return source in (b"", b"local://") or source.startswith(b"bytes://")
    if node.op.endswith("FixedUnigramCandidateSampler"):
        return "vocab_file" not in node.attr or not node.attr["vocab_file"].s
    # A cache without a name is in memory.
    return node.op.startswith("CacheDataset") and values == ("",)


def _expected_nodes(meta_graph: schemas.MetaGraphDef) -> set[tuple[int, int]]:
    """The nodes that save and restore, and those that read an asset: the number of the body, 0 for the graph, and theirs.

    Not their names: in a crafted graph two nodes have one, and a function `save` with a node `SaveV2` reads like the node
    `save/SaveV2`.
    """
    nodes = {node.name: node for node in meta_graph.graph_def.node}
    numbers = {node.name: number for number, node in enumerate(meta_graph.graph_def.node)}
    saver_def = meta_graph.saver_def
    expected: set[tuple[int, int]] = set()
    library = {each.signature.name: (number, each) for number, each in enumerate(meta_graph.graph_def.library.function, 1)}
    restoring = nodes_before(nodes, [node_of(saver_def.restore_op_name)])
    saving = nodes_before(nodes, [node_of(saver_def.save_tensor_name)])
    # What restores runs whenever the model is loaded: nothing that it needs is to save anything.
    for names, ops in ((restoring, _RESTORING_OPS), (saving - restoring, _SAVING_OPS)):
        expected.update((0, numbers[name]) for name in names if nodes[name].op in ops)
        for name in names:
            called = nodes[name].attr["f"].func.name if "f" in nodes[name].attr else ""
            number, function = library.pop(called, (0, schemas.FunctionDef()))
            expected.update((number, index) for index, node in enumerate(function.node_def) if node.op in ops)
    try:
        assets = {node_of(asset.tensor_info.name) for asset in asset_files(meta_graph)}
    except SaverError:
        assets = set()
    for node in nodes.values():
        reads_table = node.op.startswith("InitializeTableFromTextFile") and len(node.input) > 1
        if reads_table and _source_of(node.input[1], nodes) in assets:
            expected.add((0, numbers[node.name]))
    return expected


# What a Saver consists of, and nothing else that may hide among what it needs.
_RESTORING_OPS = frozenset({"RestoreV2", "RestoreSlice", "Restore"})
_SAVING_OPS = _RESTORING_OPS | {"SaveV2", "SaveSlices", "Save", "MergeV2Checkpoints"}
_GIVEN = frozenset({"Placeholder", "PlaceholderV2", "PlaceholderWithDefault"})


def _scan_objects(meta_graph: schemas.MetaGraphDef) -> Iterator[RiskFinding]:
    for position, node in enumerate(meta_graph.object_graph_def.nodes):
        if node.WhichOneof("kind") == "user_object":
            layers = python_layers(node.user_object.metadata)
            if layers is not None:
                place = f"object {position}"
                yield RiskFinding(Risk.RUNS_CODE, node.user_object.identifier, place, LAYER, tuple(layers))


def python_layers(metadata: str) -> list[str] | None:
    """The names of the layers of Python code in the description of an object, however spelled; None without any."""
    try:
        tree = json.loads(metadata)
        # Every character as itself, so that no spelling of a word hides it.
        is_python = _PYTHON_LAYER.search(json.dumps(tree, ensure_ascii=False)) is not None
    except RecursionError:
        # Who calls from less deep may read it.
        return []
    except ValueError:
        return [] if _PYTHON_LAYER.search(metadata) is not None else None
    return list(_beginning(tuple(dict.fromkeys(_layer_names(tree))))) if is_python else None


def _layer_names(tree: Any) -> Iterator[str]:
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            kind, config = node.get("class_name"), node.get("config")
            if isinstance(kind, str) and kind.rpartition(">")[2] == "Lambda":
                name = node.get("name") or (config.get("name") if isinstance(config, dict) else None)
                if isinstance(name, str):
                    yield name
            waiting.extend(reversed(list(node.values())))
        elif isinstance(node, list):
            waiting.extend(reversed(node))
