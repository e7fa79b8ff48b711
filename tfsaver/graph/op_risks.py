"""What a graph can do to the machine that runs it, beyond computing.

A graph is a program, and `op_risk_table` says which operations reach outside of it. A saved model that only computes has
none of them but those of its own Saver and of the vocabularies among its assets; `scan` marks these as expected.

A node in a function counts, called or not; so does a layer of Python code in the description of a model's objects.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from tfsaver import schemas
from tfsaver.checkpoint.report import Report, count
from tfsaver.errors import SaverError
from tfsaver.graph.collection_defs import asset_files
from tfsaver.graph.functions import bodies
from tfsaver.graph.op_risk_table import Risk, risks_of
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
    """

    risk: Risk
    op: str
    place: str
    reason: str
    values: tuple[str, ...] = ()
    is_expected: bool = False

    def __str__(self) -> str:
        values = f": {', '.join(map(repr, self.values))}" if self.values else ""
        return f"{self.place} ({self.op}) {self.risk}, {self.reason}{values}"


class RiskReport(list[RiskFinding], Report):
    """The nodes that can do more than compute, expected ones too.

    In a condition, the report is `ok`.
    """

    @property
    def ok(self) -> bool:
        """Whether every finding is expected: beyond that, the graph only computes."""
        return all(finding.is_expected for finding in self)

    def lines(self, *, all_names: bool = False) -> Iterator[str]:
        """Yields the report line by line.

        Args:
            all_names: Whether to name what is expected too.
        """
        found = [finding for finding in self if all_names or not finding.is_expected]
        yield f"{'OK' if self.ok else 'not OK'}, {count(len(found), 'finding')}"
        yield from (f"  {finding}" for finding in found)

    def to_json(self) -> dict[str, Any]:
        """Returns every fact of the report, in types that JSON has."""
        findings = [{**dataclasses.asdict(finding), "risk": finding.risk.value} for finding in self]
        return {"ok": self.ok, "findings": findings}


# What is shown of the constants: paths are shorter, and lists of files mean the same from the third on.
_MAX_TEXTS = 16
_MAX_TEXT = 300
_LAYER = (Risk.RUNS_CODE, "a layer of Python code, which Keras runs when it loads the model")
# In the description of a layer, as Keras writes it.
_PYTHON_LAYER = re.compile(r'"class_name"\s*:\s*"(?:Lambda|TensorFlowOpLayer>Lambda)"')


def scan(graph: schemas.MetaGraphDef | schemas.GraphDef) -> RiskReport:
    """Every node that can do more than compute, in the order of the graph and then of its functions."""
    graph_def, meta_graph = graph_and_meta_graph(graph)
    expected = _expected_nodes(meta_graph) if meta_graph is not None else set()
    findings = RiskReport()
    for number, (function, nodes) in enumerate(bodies(graph_def)):
        risky = [(index, node) for index, node in enumerate(nodes) if risks_of(node.op)]
        if not risky:
            continue
        sources = {node.name: node for node in nodes if node.op in ("Const", "Identity")}
        texts: dict[str, tuple[str, ...]] = {}
        for index, node in risky:
            place = f"{function}/{node.name}" if function else node.name
            values = _names_given_to(node, sources, texts)
            findings += [
                RiskFinding(risk, node.op, place, reason, values, (number, index) in expected)
                for risk, reason in risks_of(node.op)
                if not _is_ruled_out(node, risk, values)
            ]
    if meta_graph is not None:
        findings += _scan_objects(meta_graph)
    return findings


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
    restoring = _reach(nodes, [node_of(saver_def.restore_op_name)])
    saving = _reach(nodes, [node_of(saver_def.save_tensor_name)])
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


def _reach(nodes: dict[str, schemas.NodeDef], waiting: Iterable[str]) -> set[str]:
    seen: set[str] = set()
    stack = [name for name in waiting if name in nodes]
    while stack:
        name = stack.pop()
        if name not in seen:
            seen.add(name)
            stack += [source for reference in nodes[name].input if (source := node_of(reference)) in nodes]
    return seen


def _scan_objects(meta_graph: schemas.MetaGraphDef) -> Iterator[RiskFinding]:
    for position, node in enumerate(meta_graph.object_graph_def.nodes):
        if node.WhichOneof("kind") == "user_object" and _may_be_python(node.user_object.metadata):
            risk, reason = _LAYER
            yield RiskFinding(risk, node.user_object.identifier, f"object {position}", reason)


def _may_be_python(metadata: str) -> bool:
    """Whether the description of an object names a layer of Python code, however it spells it."""
    try:
        # Every character as itself, so that no spelling of a word hides it.
        return _PYTHON_LAYER.search(json.dumps(json.loads(metadata), ensure_ascii=False)) is not None
    except RecursionError:
        # Who calls from less deep may read it.
        return True
    except ValueError:
        return _PYTHON_LAYER.search(metadata) is not None
