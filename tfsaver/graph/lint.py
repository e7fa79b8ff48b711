"""What is wrong with a graph, found without running it.

Nodes and functions first (`lint_nodes`), then what names them from outside: signatures, init operations, assets and
collections (`lint_signatures`), variables, tables and the Saver (`lint_variables`), and last what some loaders refuse and
others take (`lint_loaders`). Nothing here raises for a damaged graph:
that is what is looked for. A finding is an error where TensorFlow's C++ loader refuses the graph, or a session that runs it
fails.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping

from tfsaver import schemas
from tfsaver.framework.dtypes import DType
from tfsaver.framework.tensor_shape import Shape
from tfsaver.graph.findings import LintReport, note
from tfsaver.graph.lint_loaders import lint_loaders
from tfsaver.graph.lint_nodes import lint_nodes
from tfsaver.graph.lint_signatures import SignatureLint
from tfsaver.graph.lint_variables import lint_variables
from tfsaver.graph.op_defs import op_defs
from tfsaver.graph.variables import graph_and_meta_graph

# After so many nobody reads on, and a graph of many small nodes has far more than it has bytes.
MAX_FINDINGS = 10_000


def lint(
    graph: schemas.MetaGraphDef | schemas.GraphDef,
    *,
    values: Mapping[str, tuple[DType, Shape]] | None = None,
    asset_names: Collection[str] | None = None,
) -> LintReport:
    """The findings, in the order of the graph; after 10,000 one that says that there are more.

    Args:
        graph: Of a bare GraphDef, only nodes and functions are looked at, and its variables with `values`.
        values: The type and the shape of each tensor in its checkpoint; None where that is not known.
        asset_names: The names of the files among its assets; None where that is not known.
    """
    graph_def, meta_graph = graph_and_meta_graph(graph)
    if meta_graph is None:
        meta_graph = schemas.MetaGraphDef(graph_def=graph_def)
    known = op_defs(meta_graph)
    nodes = {node.name: node for node in graph_def.node}
    signatures = SignatureLint(meta_graph, nodes, known)
    found = itertools.chain(
        lint_nodes(graph_def, known),
        signatures.lint(asset_names),
        lint_variables(meta_graph, nodes, signatures, values),
        lint_loaders(meta_graph),
    )
    findings = LintReport(itertools.islice(found, MAX_FINDINGS))
    if len(findings) == MAX_FINDINGS and next(found, None) is not None:
        findings.append(note("more-findings", "graph", f"has more to find than these {MAX_FINDINGS:,}"))
    return findings
