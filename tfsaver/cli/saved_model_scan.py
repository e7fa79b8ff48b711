"""``tfsaver saved-model scan``: what a graph can do to the machine that runs it."""

from __future__ import annotations

import argparse
import fnmatch
from collections.abc import Iterable
from typing import Any, NamedTuple

from tfsaver.cli import output
from tfsaver.cli.arguments import add_common
from tfsaver.cli.outcome import FOUND, OK, Outcome
from tfsaver.cli.saved_model_keras import scan_keras_metadata
from tfsaver.cli.saved_model_source import ModelSource, add_source_arguments
from tfsaver.cli.text import count, escape, escape_message
from tfsaver.graph.op_risks import RiskFinding, scan
from tfsaver.saved_model.loader import format_tags

NAME = "scan"
HELP = "Find operations that read or write files, run code, or reach the network, in graphs and in their functions."

_EPILOG = """\
Weights are inert, but a graph is a program that runs with the rights of its process. A SavedModel saves and restores its
own variables and reads its own assets; that is expected and no finding, and neither is what --allow names. A finding says
what an operation can do, and by which nodes a signature, the init op or an object's function reaches it; not that it does
harm. Dead nodes that only read are apart: a training pipeline. An operation that TensorFlow's registry does
not have is native code.

The report in the JSON document:
  path      the SavedModel's directory, or the graph's file
  ok        whether nothing was found
  findings  tags (null for what belongs to no graph), op, place (the node; in a function, function/node), risk, reason,
            values (names of files and the like in the graph, or of layers), reached (false for a dead node), path (what
            leads there, from a signature on), expected, allowed, counts
"""


class _Row(NamedTuple):
    tags: tuple[str, ...] | None
    finding: RiskFinding
    is_allowed: bool

    @property
    def counts(self) -> bool:
        return self.finding.counts and not self.is_allowed


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the verb."""
    add_source_arguments(parser)
    parser.add_argument(
        "--allow",
        metavar="OP",
        action="append",
        default=[],
        help="operations to ignore, separated by commas; * stands for any text; may be repeated",
    )
    add_common(
        parser, epilog=_EPILOG, verbose="list what is expected, allowed or dead, too", quiet="print only findings that count"
    )


def run(arguments: argparse.Namespace) -> Outcome:
    """Prints what was found; `FOUND` when that is anything."""
    report = None
    allowed = allowed_names(arguments.allow)
    with ModelSource(arguments.path, with_variables=False, trusted=not arguments.untrusted) as source:
        rows = [
            _Row(graph.tags, finding, is_allowed(finding.op, allowed))
            for graph in source.choose(arguments.tags)
            for finding in scan(graph.proto)
        ]
        if source.model is not None:
            rows += [_Row(None, finding, is_allowed(finding.op, allowed)) for finding in scan_keras_metadata(source.path)]
        is_ok = not any(row.counts for row in rows)
        if arguments.json:
            report = {"path": source.path, "ok": is_ok, "findings": [_record(row) for row in rows]}
        else:
            _print(source, rows, arguments)
    return Outcome(OK if is_ok else FOUND, report)


def allowed_names(texts: Iterable[str]) -> list[str]:
    """The names in the values of --allow."""
    return [name.strip() for text in texts for name in text.split(",") if name.strip()]


def is_allowed(op: str, allowed: Iterable[str]) -> bool:
    """Whether an operation is among names in which * is any text."""
    return any(fnmatch.fnmatchcase(op, name) for name in allowed)


def _record(row: _Row) -> dict[str, Any]:
    finding = row.finding
    return {
        "tags": row.tags,
        "op": finding.op,
        "place": finding.place,
        "risk": finding.risk.value,
        "reason": finding.reason,
        "values": finding.values,
        "reached": finding.is_reached,
        "path": finding.path,
        "expected": finding.is_expected,
        "allowed": row.is_allowed,
        "counts": row.counts,
    }


def _why_not(row: _Row) -> str:
    if row.is_allowed:
        return "allowed"
    return "expected" if row.finding.is_expected else "dead"


def _print(source: ModelSource, rows: list[_Row], arguments: argparse.Namespace) -> None:
    out = output.open_screen()
    path = escape(source.path)
    names_graphs = len(source.meta_graphs) > 1
    for row in rows:
        if row.counts or arguments.verbose:
            graph = f"{escape(format_tags(row.tags))}: " if names_graphs and row.tags is not None else ""
            note = "" if row.counts else f" ({_why_not(row)})"
            out.line(f"{path}: {graph}{escape_message(str(row.finding))}{note}", "red" if row.counts else "dim")
    found = len({(row.tags, row.finding.place) for row in rows if row.counts})
    others = [row for row in rows if not row.counts]
    facts = []
    if num_expected := len({(row.tags, row.finding.place) for row in others if row.finding.is_expected}):
        facts.append(f"{num_expected:,} of the Saver and the assets")
    unexpected = [row for row in others if not row.finding.is_expected]
    if num_allowed := len({(row.tags, row.finding.place) for row in unexpected if row.is_allowed}):
        facts.append(f"{num_allowed:,} allowed")
    if num_dead := len({(row.tags, row.finding.place) for row in unexpected if not row.is_allowed}):
        facts.append(f"{num_dead:,} that no signature reaches")
    rest = f", besides {' and '.join(facts)}" if facts else ""
    if found:
        kinds = ", ".join(dict.fromkeys(str(row.finding.risk) for row in rows if row.counts))
        out.line(f"{path}: FOUND, {count(found, 'place')} that can do more than compute: {kinds}", "bold red")
    elif not arguments.quiet:
        out.line(f"{path}: OK, nothing that can do more than compute{rest}", "green")
