"""``tfsaver saved-model show``: what a SavedModel offers, what is in it, and how large that is."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tfsaver import schemas
from tfsaver.cli import output, saved_model_survey, screen
from tfsaver.cli.arguments import add_common
from tfsaver.cli.outcome import FOUND, OK, Outcome, error_record
from tfsaver.cli.saved_model_functions import open_shape_text, traced_functions
from tfsaver.cli.saved_model_source import ModelSource, add_source_arguments
from tfsaver.cli.saved_model_survey import GraphRow, ModelSurvey
from tfsaver.cli.text import count, escape, escape_message, human_size, shape_text
from tfsaver.errors import NotFoundError, nearest_names
from tfsaver.framework.tensor_info import TensorInfo
from tfsaver.saved_model.loader import MetaGraph, format_tags
from tfsaver.saved_model.proposal import Proposal, ProposedTensor
from tfsaver.saved_model.signature_def import Signature, SignatureTensor

# Of the candidates, as many as a screen takes; -v has all.
_MAX_PROPOSED = 5
NAME = "show"
HELP = "List the graphs of a SavedModel with their signatures, assets and variables."

_EPILOG = """\
In a shape, ? is an unknown size; [...] is a shape of unknown rank.

The report in the JSON document:
  path            the SavedModel's directory, or the graph's file
  kind            "SavedModel", or "graph" for a file with a graph alone
  schema_version  of the SavedModel; null for a graph alone
  files           path, size (null if it is missing)
  graphs          tags, tensorflow_version, tensorflow_git_version, num_nodes, num_functions, num_function_nodes, init_op
                  (null, or its name), signatures, assets (tensor, path, size), ops (how many nodes by operation, those of
                  functions included), collections (how many entries by name), objects (null, or num_objects; kinds and
                  classes: how many by name), proposal (null where there are signatures or objects, or inputs,
                  other_inputs and outputs: name, dtype, shape; fixed_inputs; call), functions (name, arguments, result,
                  concrete_function), example_features (name, kind, dtype, shape, has_default)
  graphs.signatures
                  key, method_name, inputs and outputs: key, kind ("dense", "sparse", or a class such as
                  "RaggedTensorSpec"), tensors (names), dtype (null without one), shape (null if its rank is
                  unknown, null for an unknown size), has_default
  variables       name, program_name ("" if unknown), dtype, shape, num_parameters, num_bytes
  constants       name, dtype, shape, num_bytes of the weights of a frozen graph
  totals          num_variables, num_parameters, num_bytes
  fingerprint     stored and computed, each null or graph_def_program_hash, signature_def_hash, saved_object_graph_hash,
                  checkpoint_hash, saved_model_checksum as text, singleprint, uuid
  keras_config    class_name and config of the model that Keras 2 wrote; null without one
  errors          of what is damaged: class, message, facts
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the verb."""
    add_source_arguments(parser)
    parser.add_argument("--signature", metavar="KEY", help="only this signature, and nothing else")
    parser.add_argument("--all", dest="verbose", action="store_true", help="the same as -v")
    add_common(parser, epilog=_EPILOG, verbose="name every variable, file, operation and function")


def run(arguments: argparse.Namespace) -> Outcome:
    """Prints what was asked for; `FOUND` when a part of it is damaged."""
    report = None
    with ModelSource(arguments.path, trusted=not arguments.untrusted) as source:
        graphs = source.choose(arguments.tags)
        if arguments.signature is not None:
            graphs = _with_signature(source, graphs, arguments.signature)
        survey = saved_model_survey.take_survey(source, graphs)
        if arguments.json:
            report = _document(source, survey, arguments.signature)
        elif arguments.quiet:
            pass
        elif arguments.signature is not None:
            _print_one_signature(graphs, arguments.signature)
            return Outcome()
        else:
            _print(source, survey, arguments.verbose)
    for error in survey.errors:
        output.print_error(error)
    return Outcome(FOUND if survey.errors else OK, report)


def _with_signature(source: ModelSource, graphs: Sequence[MetaGraph], key: str) -> list[MetaGraph]:
    found = [graph for graph in graphs if key in graph.signatures]
    if not found:
        keys = [other for graph in graphs for other in graph.signatures]
        near = nearest_names(key, keys) or keys
        hint = f": there is {', '.join(map(repr, near))}" if near else ": there is none at all"
        raise NotFoundError(f"no signature {key!r} in {source.path}{hint}")
    return found


def _print_one_signature(graphs: Iterable[MetaGraph], key: str) -> None:
    out = output.open_screen()
    for graph in graphs:
        _print_signature(out, graph.signatures[key])


def _print(source: ModelSource, survey: ModelSurvey, verbose: bool) -> None:
    out = output.open_screen()
    facts = [source.kind]
    if source.model is not None:
        facts.append(count(len(source.meta_graphs), "graph"))
    facts.append(f"{count(len(survey.files), 'file')} of {human_size(sum(file.size or 0 for file in survey.files))}")
    out.line(f"{escape(source.path)}: {', '.join(facts)}", "bold")
    for row in survey.graphs:
        out.line()
        _print_graph(out, row, source, verbose)
    out.line()
    _print_variables(out, survey, verbose)
    _print_fingerprint(out, source, survey, verbose)
    if verbose:
        out.line()
        sizes = [[escape(file.path), "missing" if file.size is None else human_size(file.size)] for file in survey.files]
        out.table([screen.Column("file"), screen.Column("size", is_number=True)], sizes)


def _print_graph(out: screen.Screen, row: GraphRow, source: ModelSource, verbose: bool) -> None:
    graph = row.graph
    facts = [count(row.num_nodes, "node")]
    if row.num_functions:
        facts.append(f"{count(row.num_functions, 'function')} of {count(row.num_function_nodes, 'node')}")
    name = f"graph {escape(format_tags(graph.tags))}" if source.model is not None or graph.tags else "graph"
    out.line(f"{name}: {', '.join(facts)}", "bold")
    if graph.tensorflow_version:
        git_version = graph.proto.meta_info_def.tensorflow_git_version
        hint = f" ({escape(git_version)})" if verbose and git_version else ""
        out.line(f"written by TensorFlow {escape(graph.tensorflow_version)}{hint}")
    if row.init_op is not None:
        out.line(f"init op: {escape(row.init_op)}")
    for asset in row.assets:
        size = "missing" if asset.file.size is None else human_size(asset.file.size)
        out.line(f"asset: {escape(asset.file.path)}, {size}, its path goes to {escape(asset.tensor)}")
    if row.objects is not None:
        kinds = ", ".join(count(number, kind.replace("_", " ")) for kind, number in row.objects.kinds.items())
        out.line(f"{count(row.objects.num_objects, 'object')}: {kinds}")
    if verbose:
        _print_details(out, row)
    if not graph.signatures:
        out.line("no signatures")
    if row.proposal is not None:
        _print_proposal(out, row.proposal, source.file, verbose)
    for signature in graph.signatures.values():
        out.line()
        _print_signature(out, signature)
    if row.features:
        out.line()
        out.line("features of an Example that the graph parses:", "bold")
        for feature in row.features:
            out.line(f"  {escape(str(feature))}")


def _print_proposal(out: screen.Screen, proposal: Proposal, path: str, verbose: bool) -> None:
    """What the graph may be exported with, the likeliest first."""
    if not proposal.inputs and not proposal.other_inputs and not proposal.outputs:
        return
    out.line()
    rows = [["input", *_proposed(tensor)] for tensor in proposal.inputs]
    rows += [["not needed", *_proposed(tensor)] for tensor in proposal.other_inputs[: None if verbose else _MAX_PROPOSED]]
    rows += [["output?", *_proposed(tensor)] for tensor in proposal.outputs[: None if verbose else _MAX_PROPOSED]]
    columns = [screen.Column("", style="dim"), screen.Column("dtype", style="cyan")]
    out.line("likely inputs and outputs, the likeliest output first:", "bold")
    out.table([*columns, screen.Column("shape", style="green"), screen.Column("tensor")], rows)
    if call := proposal.call(repr(path)):
        out.line(f"next: {escape_message(call)}")


def _proposed(tensor: ProposedTensor) -> list[str]:
    return [tensor.dtype or "?", open_shape_text(tensor.shape), escape(tensor.name)]


def _print_details(out: screen.Screen, row: GraphRow) -> None:
    if row.objects is not None and row.objects.classes:
        out.line(f"classes: {_counts(row.objects.classes)}")
    if row.collections:
        out.line(f"collections: {_counts(row.collections)}")
    out.line(f"operations: {_counts(row.ops)}")
    if row.graph.object_graph is not None:
        # Traces may differ in what is not seen here.
        for function in dict.fromkeys(map(str, traced_functions(row.graph.object_graph))):
            out.line(f"function: {escape(function)}")


def _counts(numbers: Mapping[str, int]) -> str:
    return ", ".join(f"{escape(name)} {number:,}" for name, number in numbers.items())


def _print_signature(out: screen.Screen, signature: Signature) -> None:
    method = escape(signature.method_name) or "no method"
    out.line(f"signature {escape(signature.key)}: {method}", "bold")
    rows = [
        ["input", *_cells(key, tensor), "yes" if key in signature.default_inputs else ""]
        for key, tensor in signature.inputs.items()
    ]
    rows += [["output", *_cells(key, tensor), ""] for key, tensor in signature.outputs.items()]
    columns = [screen.Column("", style="dim"), screen.Column("key"), screen.Column("dtype", style="cyan")]
    columns += [screen.Column("shape", style="green"), screen.Column("tensor"), screen.Column("default")]
    if not signature.default_inputs:
        columns, rows = columns[:-1], [cells[:-1] for cells in rows]
    if rows:
        out.table(columns, rows)


def _cells(key: str, tensor: SignatureTensor) -> list[str]:
    kind = "" if tensor.kind == "dense" else f"{escape(tensor.kind)} "
    names = " ".join(map(escape, tensor.names))
    return [escape(key), f"{kind}{tensor.dtype or '?'}", open_shape_text(tensor.shape), names]


def _print_variables(out: screen.Screen, survey: ModelSurvey, verbose: bool) -> None:
    rows = survey.variables
    if not rows:
        out.line("no variables")
        _print_constants(out, survey.constants, verbose)
        return
    if verbose:
        columns = [screen.Column("variable"), screen.Column("dtype", style="cyan"), screen.Column("shape", style="green")]
        columns.append(screen.Column("size", is_number=True))
        has_names = any(row.program_name not in ("", row.name) for row in rows)
        lines = [
            [escape(row.name), row.info.dtype.name, shape_text(row.info.shape), human_size(row.info.num_bytes)]
            + [escape(row.program_name)] * has_names
            for row in rows
        ]
        out.table(columns + [screen.Column("in its program", style="dim")] * has_names, lines)
        out.line()
    total = survey.totals()
    parameters = count(total.num_parameters, "parameter")
    out.line(f"{count(total.num_variables, 'variable')}, {parameters}, {human_size(total.num_bytes)}", "bold")


def _print_constants(out: screen.Screen, constants: list[TensorInfo], verbose: bool) -> None:
    """The weights of a frozen graph."""
    if not constants:
        return
    if verbose:
        columns = [screen.Column("constant"), screen.Column("dtype", style="cyan"), screen.Column("shape", style="green")]
        lines = [
            [escape(info.name), info.dtype.name, shape_text(info.shape), human_size(info.num_bytes)] for info in constants
        ]
        out.table([*columns, screen.Column("size", is_number=True)], lines)
        out.line()
    total = human_size(sum(info.num_bytes for info in constants))
    out.line(f"{count(len(constants), 'constant')} as weights, {total}", "bold")


def _print_fingerprint(out: screen.Screen, source: ModelSource, survey: ModelSurvey, verbose: bool) -> None:
    found = survey.fingerprint
    if found is not None:
        identifier = f", uuid {escape(found.uuid)}" if found.uuid else ""
        out.line(f"fingerprint: {saved_model_survey.singleprint(found)}{identifier}")
    elif verbose and (found := saved_model_survey.computed_fingerprint(source, survey)) is not None:
        out.line(f"fingerprint, computed: {saved_model_survey.singleprint(found)}")


def _document(source: ModelSource, survey: ModelSurvey, signature: str | None) -> dict[str, Any]:
    model = source.model
    variables = [
        {
            "name": row.name,
            "program_name": row.program_name,
            "dtype": row.info.dtype.name,
            "shape": row.info.shape,
            "num_parameters": row.num_parameters,
            "num_bytes": row.info.num_bytes,
        }
        for row in survey.variables
    ]
    computed = saved_model_survey.computed_fingerprint(source, survey)
    return {
        "path": source.path,
        "kind": "SavedModel" if model is not None else "graph",
        "schema_version": model.proto.saved_model_schema_version if model is not None else None,
        "files": [file._asdict() for file in survey.files],
        "graphs": [_graph_record(row, signature, source.file) for row in survey.graphs],
        "variables": variables,
        "constants": [
            {"name": info.name, "dtype": info.dtype.name, "shape": info.shape, "num_bytes": info.num_bytes}
            for info in survey.constants
        ],
        "totals": survey.totals()._asdict(),
        "fingerprint": {"stored": _fingerprint_record(survey.fingerprint), "computed": _fingerprint_record(computed)},
        "keras_config": survey.keras_config,
        "errors": [error_record(error) for error in survey.errors],
    }


def _graph_record(row: GraphRow, key: str | None, path: str) -> dict[str, Any]:
    graph = row.graph
    signatures = [found for found in graph.signatures.values() if key is None or found.key == key]
    objects = graph.object_graph
    return {
        "tags": list(graph.tags),
        "tensorflow_version": graph.tensorflow_version,
        "tensorflow_git_version": graph.proto.meta_info_def.tensorflow_git_version,
        "num_nodes": row.num_nodes,
        "num_functions": row.num_functions,
        "num_function_nodes": row.num_function_nodes,
        "init_op": row.init_op,
        "signatures": [_signature_record(found) for found in signatures],
        "example_features": [feature._asdict() for feature in row.features],
        "assets": [{"tensor": asset.tensor, **asset.file._asdict()} for asset in row.assets],
        "ops": row.ops,
        "collections": row.collections,
        "objects": row.objects and row.objects._asdict(),
        "proposal": row.proposal and _proposal_record(row.proposal, path),
        "functions": [function._asdict() for function in traced_functions(objects)] if objects is not None else [],
    }


def _proposal_record(proposal: Proposal, path: str) -> dict[str, Any]:
    tensors = {
        "inputs": proposal.inputs,
        "other_inputs": proposal.other_inputs,
        "outputs": proposal.outputs,
    }
    record: dict[str, Any] = {key: [tensor._asdict() for tensor in value] for key, value in tensors.items()}
    return {**record, "fixed_inputs": proposal.fixed_inputs, "call": proposal.call(repr(path))}


def _signature_record(signature: Signature) -> dict[str, Any]:
    def records(tensors: Mapping[str, SignatureTensor]) -> list[dict[str, Any]]:
        return [
            {
                "key": key,
                "kind": tensor.kind,
                "tensors": tensor.names,
                "dtype": tensor.dtype,
                "shape": tensor.shape,
                "has_default": tensors is signature.inputs and key in signature.default_inputs,
            }
            for key, tensor in tensors.items()
        ]

    return {
        "key": signature.key,
        "method_name": signature.method_name,
        "inputs": records(signature.inputs),
        "outputs": records(signature.outputs),
    }


def _fingerprint_record(found: schemas.FingerprintDef | None) -> dict[str, str] | None:
    if found is None:
        return None
    hashes = ("graph_def_program_hash", "signature_def_hash", "saved_object_graph_hash", "checkpoint_hash")
    # As text: JSON's numbers have 53 bits in many readers.
    record = {name: str(getattr(found, name)) for name in (*hashes, "saved_model_checksum")}
    return {**record, "singleprint": saved_model_survey.singleprint(found), "uuid": found.uuid}
