"""What is wrong with a graph, found without running it.

Nodes and functions first (`lint_nodes`), then what names them from outside: signatures, init operations, assets and
collections (`lint_signatures`), variables, tables and the Saver (`lint_variables`), and last what some loaders refuse and
others take (`lint_loaders`). Nothing here raises for a damaged graph:
that is what is looked for. A finding is an error where TensorFlow's C++ loader refuses the graph, or a session that runs it
fails.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Iterator, Mapping

from tfsaver import schemas
from tfsaver.framework.dtypes import DType
from tfsaver.framework.tensor_shape import Shape
from tfsaver.graph.findings import Finding, LintReport, note
from tfsaver.graph.lint_loaders import lint_loaders
from tfsaver.graph.lint_nodes import lint_nodes
from tfsaver.graph.lint_shapes import lint_shapes
from tfsaver.graph.lint_signatures import SignatureLint
from tfsaver.graph.lint_variables import lint_variables
from tfsaver.graph.load_scope import LoadScope
from tfsaver.graph.op_defs import op_defs
from tfsaver.graph.variables import graph_and_meta_graph

# After so many nobody reads on, and a graph of many small nodes has far more than it has bytes.
MAX_FINDINGS = 10_000


def lint(
    graph: schemas.MetaGraphDef | schemas.GraphDef,
    *,
    values: Mapping[str, tuple[DType, Shape]] | None = None,
    asset_names: Collection[str] | None = None,
    is_only_graph: bool = True,
) -> LintReport:
    """The findings, in the order of the graph; after 10,000 one that says that there are more.

    Args:
        graph: Of a bare GraphDef, only nodes and functions are looked at, and its variables with `values`.
        values: The type and the shape of each tensor in its checkpoint; None where that is not known.
        asset_names: The names of the files among its assets; None where that is not known.
        is_only_graph: Whether its SavedModel has no other graph.
    """
    graph_def, meta_graph = graph_and_meta_graph(graph)
    if meta_graph is None:
        meta_graph = schemas.MetaGraphDef(graph_def=graph_def)
    known = op_defs(meta_graph)
    nodes = {node.name: node for node in graph_def.node}
    scope = LoadScope(meta_graph, is_only_graph=is_only_graph)
    signatures = SignatureLint(meta_graph, nodes, known, scope)
    # What has a wrong input has a wrong shape for that reason.
    wrong: set[str] = set()
    found = itertools.chain(
        _noted(lint_nodes(graph_def, known, scope), wrong),
        (each for each in lint_shapes(graph_def, nodes, scope.importers) if each.place not in wrong),
        signatures.lint(asset_names),
        lint_variables(meta_graph, nodes, signatures, values, scope),
        lint_loaders(meta_graph, nodes, scope),
    )
    findings = LintReport(itertools.islice(found, MAX_FINDINGS))
    if len(findings) == MAX_FINDINGS and next(found, None) is not None:
        findings.append(note("more-findings", "graph", f"has more to find than these {MAX_FINDINGS:,}"))
    return findings


def _noted(findings: Iterable[Finding], places: set[str]) -> Iterator[Finding]:
    """The findings, whose places are added to some."""
    for finding in findings:
        places.add(finding.place)
        yield finding
