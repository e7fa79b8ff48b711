"""``tfsaver saved-model lint``: what is wrong with a graph, and with what belongs to it."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

from tfsaver import schemas
from tfsaver.checkpoint.verify import verify_checkpoint
from tfsaver.cli import output
from tfsaver.cli.arguments import add_common
from tfsaver.cli.outcome import FOUND, OK, Outcome
from tfsaver.cli.saved_model_source import ModelSource, add_source_arguments
from tfsaver.cli.text import count, describe, escape, escape_message
from tfsaver.errors import CheckpointNotFoundError, SaverError
from tfsaver.framework.dtypes import DType
from tfsaver.framework.tensor_shape import Shape
from tfsaver.graph.findings import CONVERTERS, LOADERS, V2, Finding, Severity, error, verdicts, warning
from tfsaver.graph.lint import lint
from tfsaver.graph.load_scope import LoadScope
from tfsaver.lib import file_io
from tfsaver.saved_model import constants
from tfsaver.saved_model.loader import format_tags

NAME = "lint"
HELP = "Find what keeps a SavedModel from being loaded or run, without running it."

_EPILOG = """\
An error keeps a program from loading or running the graph, a warning keeps some programs from it, a note none. Each finding
has a code, and --ignore CODE leaves it out. Variables are compared with the checkpoint, and assets with the files, if these
are there. The exit code is 1 if there is an error, or with --strict a warning.

The report in the JSON document:
  path      the SavedModel's directory, or the graph's file
  ok        whether nothing was found that counts
  loaders   "loads", "refuses" or "cannot say" for C++, compat.v1, tf.saved_model.load, Keras, TFLite, tf2onnx
  findings  tags (null for what belongs to no graph), code, severity ("error", "warning", "note"), place, sentence,
            refused_by and unsure: the loaders that refuse the model for it, or may
"""
# Larger checkpoints are for `tfsaver verify`, which shows how far it is.
_MAX_VERIFIED = 256 << 20
_MAX_PROBLEMS = 8
_STYLES = {Severity.ERROR: "red", Severity.WARNING: "yellow", Severity.NOTE: "dim"}


class _Row(NamedTuple):
    tags: tuple[str, ...] | None
    finding: Finding
    is_ignored: bool


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the verb."""
    add_source_arguments(parser)
    parser.add_argument("--strict", action="store_true", help="let warnings count like errors")
    parser.add_argument("--ignore", metavar="CODE", action="append", default=[], help="leave out a code; may be repeated")
    add_common(
        parser, epilog=_EPILOG, verbose="list ignored findings, too", quiet="print no notes, and nothing if all is well"
    )


def run(arguments: argparse.Namespace) -> Outcome:
    """Prints what is wrong; `FOUND` when it keeps a program from loading or running the graph."""
    counting = {Severity.ERROR, Severity.WARNING} if arguments.strict else {Severity.ERROR}
    report = None
    with ModelSource(arguments.path, trusted=not arguments.untrusted) as source:
        values = _values(source)
        assets = _asset_names(source)
        is_only = len(source.meta_graphs) == 1
        graphs = source.choose(arguments.tags) if source.meta_graphs else []
        scope = LoadScope(graphs[0].proto if graphs else schemas.MetaGraphDef(), is_only_graph=is_only)
        found: list[tuple[tuple[str, ...] | None, Finding]] = [(None, finding) for finding in _lint_model(source, scope)]
        for graph in graphs:
            found += [
                (graph.tags, finding)
                for finding in lint(graph.proto, values=values, asset_names=assets, is_only_graph=is_only)
            ]
        rows = [_Row(tags, finding, finding.code in arguments.ignore) for tags, finding in found]
        counted = [row for row in rows if not row.is_ignored]
        is_ok = not any(row.finding.severity in counting for row in counted)
        if arguments.json:
            loaders = verdicts(row.finding for row in counted)
            report = {"path": source.path, "ok": is_ok, "loaders": loaders, "findings": [_record(row) for row in counted]}
        else:
            _print(source, rows if arguments.verbose else counted, is_ok, arguments.quiet)
    return Outcome(OK if is_ok else FOUND, report)


def _values(source: ModelSource) -> dict[str, tuple[DType, Shape]] | None:
    """Type and shape of each tensor in the checkpoint; None for a graph without one, of which nobody can tell."""
    checkpoint = source.variables.checkpoint
    if checkpoint is None:
        return {} if source.model is not None and not source.errors else None
    values = {}
    for name in checkpoint:
        try:
            info = checkpoint.info(name)
        except SaverError as damage:
            source.errors.append(damage)
            continue
        values[name] = (info.dtype, info.shape)
    return values


def _asset_names(source: ModelSource) -> list[str] | None:
    """The files among a SavedModel's assets; None for a graph alone, which has no place for them."""
    if source.model is None:
        return None
    return list(_names_below(file_io.join(source.path, constants.ASSETS_DIRECTORY), ""))


def _names_below(directory: str, prefix: str) -> list[str]:
    names = []
    for name in file_io.list_directory(directory):
        path = file_io.join(directory, name)
        is_nested = file_io.is_directory(path) and prefix.count("/") < 4
        names += _names_below(path, f"{prefix}{name}/") if is_nested else [prefix + name]
    return names


def _lint_model(source: ModelSource, scope: LoadScope) -> Iterator[Finding]:
    """What is wrong beside the graphs.

    Args:
        source: The model.
        scope: Of the graph that is looked at.
    """
    folder = constants.VARIABLES_DIRECTORY
    for damage in source.errors:
        is_missing = isinstance(damage, CheckpointNotFoundError)
        yield error("damaged-checkpoint", folder, describe(damage), scope.openers if is_missing else scope.readers)
    for missing in source.missing_data():
        yield error("missing-data", folder, describe(missing), scope.readers)
    if source.model is None:
        return
    yield from _lint_checkpoint(source, scope)
    version = source.model.proto.saved_model_schema_version
    if version != constants.SCHEMA_VERSION:
        yield warning(
            "schema-version", "saved_model_schema_version", f"is {version}, programs write {constants.SCHEMA_VERSION}"
        )
    if not source.meta_graphs:
        yield error("no-graph", file_io.split(source.file)[1], "holds no graph", LOADERS)
    for tags, number in Counter(graph.tags for graph in source.meta_graphs).items():
        if number > 1:
            yield warning(
                "duplicate-tags", format_tags(tags), f"are the tags of {number} graphs; loaders find the first alone"
            )


def _lint_checkpoint(source: ModelSource, scope: LoadScope) -> Iterator[Finding]:
    """Damage of the variables' files, and what their objects need and they lack."""
    checkpoint = source.variables.checkpoint
    if checkpoint is None or source.variables.missing_files:
        return
    if sum(info.num_bytes for info in checkpoint.infos()) <= _MAX_VERIFIED:
        for problem in verify_checkpoint(checkpoint).problems[:_MAX_PROBLEMS]:
            yield error("damaged-checkpoint", constants.VARIABLES_DIRECTORY, describe(problem.error), scope.readers)
    objects = source.variables.objects
    lacking = [each.key for each in objects.attributes if each.key not in checkpoint] if objects is not None else []
    if lacking and scope.has_objects:
        more = f" and {len(lacking) - 1} more" if len(lacking) > 1 else ""
        sentence = f"its objects need {lacking[0]!r}{more}, which the checkpoint has not: {V2} refuses it"
        yield warning("no-value", constants.VARIABLES_DIRECTORY, sentence, (V2,))


def _record(row: _Row) -> dict[str, Any]:
    finding = row.finding
    return {
        "tags": row.tags,
        "code": finding.code,
        "severity": finding.severity.value,
        "place": finding.place,
        "sentence": finding.sentence,
        "refused_by": finding.refused_by,
        "unsure": finding.unsure,
    }


def _print(source: ModelSource, rows: list[_Row], is_ok: bool, is_quiet: bool) -> None:
    out = output.open_screen()
    path = escape(source.path)
    names_graphs = len(source.meta_graphs) > 1
    for tags, finding, is_ignored in rows:
        if finding.severity is Severity.NOTE and is_quiet:
            continue
        graph = f"{escape(format_tags(tags))}: " if names_graphs and tags is not None else ""
        note = " (ignored)" if is_ignored else ""
        out.line(f"{path}: {graph}{escape_message(str(finding))}{note}", _STYLES[finding.severity])
    numbers = Counter(row.finding.severity for row in rows if not row.is_ignored)
    found = ", ".join(count(numbers[severity], severity.value) for severity in Severity if numbers[severity])
    expected = verdicts(row.finding for row in rows if not row.is_ignored)
    refusing = [loader for loader, verdict in expected.items() if verdict == "refuses"]
    unsure = [loader for loader, verdict in expected.items() if verdict == "cannot say" and loader not in CONVERTERS]
    facts = [found] if found else []
    who = "every loader" if len(refusing) == len(expected) else ", ".join(refusing)
    facts += [f"refused by {who}"] if refusing else []
    facts += [f"cannot say whether {', '.join(unsure)} can load it"] if unsure else []
    if not is_ok:
        out.line(f"{path}: WRONG, {'; '.join(facts)}", "bold red")
    elif refusing or unsure:
        out.line(f"{path}: OK for the other loaders, {'; '.join(facts)}", "yellow")
    elif not is_quiet:
        out.line(f"{path}: OK" + (f", {found}" if found else ""), "green")
