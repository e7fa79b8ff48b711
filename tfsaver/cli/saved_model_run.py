"""``tfsaver saved-model run``: what a signature gives for some values, by TensorFlow."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import os
import sys
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from tfsaver.cli import output, saved_model_inputs, values
from tfsaver.cli.arguments import add_common, checkpoint_path
from tfsaver.cli.outcome import Outcome
from tfsaver.cli.saved_model_scan import allowed_names, is_allowed
from tfsaver.cli.saved_model_source import ModelSource, add_source_arguments
from tfsaver.cli.text import escape, shape_text
from tfsaver.errors import InvalidArgumentError, MissingExtraError, NotFoundError, UnimplementedError, nearest_names
from tfsaver.framework import dtypes, tensor_util
from tfsaver.graph.op_risks import scan
from tfsaver.lib import file_io
from tfsaver.saved_model import assets, constants
from tfsaver.saved_model.examples import example_features
from tfsaver.saved_model.loader import MetaGraph, SavedModel
from tfsaver.saved_model.signature_def import Signature

Array = np.ndarray[Any, Any]

NAME = "run"
HELP = "Run a signature of a SavedModel in TensorFlow, and print its outputs."

_EPILOG = """\
A graph is a program, and this verb runs it with your rights. It first looks for what `scan` finds, and refuses if that is
anything: --allow names operations that may run, --allow '*' allows all.

VALUE is a Python literal or JSON, such as 1.5 or [[1, 2], [3, 4]] or 'text'; its type is the signature's. NAME=@FILE reads
an array from a .npy or .npz file, values from a .json file, and for a string the bytes of any other file, such as an image
or a serialized Example; given again, it makes a batch. NAME=@bytes:FILE and NAME=@json:FILE say which is meant. @FILE alone
is a .npz or .json file with all inputs, also as a server takes it: {"instances": [...]}, {"b64": ...}, {"examples": [...]}.
NAME=@examples:FILE makes serialized Examples of JSON: [{"age": 3, "words": ["a", "b"]}], of the types that the parser has.
With --output, each output becomes a file KEY.npy in that directory. A sparse output is three: KEY.values, KEY.indices,
KEY.dense_shape.

The report in the JSON document:
  path       the SavedModel's directory
  signature  its key
  outputs    key, dtype, shape, value (lists; "nan", "inf" and "-inf" as text; complex numbers as pairs), file (null, or its
             path)
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the verb."""
    add_source_arguments(parser)
    parser.add_argument(
        "--signature", metavar="KEY", default=constants.DEFAULT_SIGNATURE_KEY, help="the signature (%(default)s)"
    )
    parser.add_argument(
        "--input",
        metavar="NAME=VALUE",
        dest="inputs",
        type=saved_model_inputs.input_argument,
        nargs="+",
        action="extend",
        default=[],
        help="the value of an input, NAME=@FILE, or @FILE with all inputs; may be repeated",
    )
    parser.add_argument("--output", metavar="DIR", type=checkpoint_path, help="write the outputs to .npy files in DIR")
    parser.add_argument(
        "--allow", metavar="OP", action="append", default=[], help="an operation that may run; * stands for any text"
    )
    add_common(parser, epilog=_EPILOG, verbose="print every element of the outputs")


def run(arguments: argparse.Namespace) -> Outcome:
    """Prints the outputs of the signature."""
    with ModelSource(arguments.path, with_variables=False, trusted=not arguments.untrusted) as source:
        if source.model is None:
            raise InvalidArgumentError(f"{source.path}: only a SavedModel can be run: export the graph first")
        graph = _choose_graph(source, arguments)
        _refuse_files_outside(source.model, graph)
        signature = graph.signatures[arguments.signature]
        inputs = saved_model_inputs.read_inputs(signature, arguments.inputs, example_features(graph.proto))
        defaults = graph.proto.signature_def[signature.key].defaults
        inputs |= saved_model_inputs.default_inputs(signature, defaults, inputs)
        _refuse_risks(graph, allowed_names(arguments.allow), source.path)
        fetches = _fetches(signature)
        files = _output_files(fetches, arguments.output)
        arrays = _run_in_tensorflow(source.path, graph, signature, inputs, fetches)
    for key, path in files.items():
        _write(path, arrays[key])
    if arguments.json:
        outputs = [_record(key, array, files.get(key)) for key, array in arrays.items()]
        return Outcome(report={"path": source.path, "signature": signature.key, "outputs": outputs})
    if arguments.quiet:
        return Outcome()
    out = output.open_screen()
    for key, array in arrays.items():
        dtype = dtypes.from_numpy(array.dtype)
        out.line(f"{escape(key)}  {dtype}  {shape_text(array.shape)}", "bold")
        out.line(escape(files[key]) if key in files else values.format_array(array, dtype, is_whole=arguments.verbose))
    return Outcome()


def _refuse_files_outside(model: SavedModel, graph: MetaGraph) -> None:
    """Opens what TensorFlow will open by itself: an asset's name that leads out is an error, and so is, where the model is
    not trusted, a link.
    """
    graph.assets  # noqa: B018 - a property that checks
    if not model.trusted:
        model.variables.close()


def _choose_graph(source: ModelSource, arguments: argparse.Namespace) -> MetaGraph:
    """The graph that has the signature, or the one of the tags."""
    graphs = source.choose(arguments.tags)
    found = [graph for graph in graphs if arguments.signature in graph.signatures]
    if not found:
        keys = [key for graph in graphs for key in graph.signatures]
        near = nearest_names(arguments.signature, keys) or keys
        there = f"there is {', '.join(map(repr, near))}" if near else "there is none at all"
        raise NotFoundError(f"no signature {arguments.signature!r} in {source.path}: {there}; --signature says which")
    if len(found) > 1:
        raise InvalidArgumentError(f"{len(found)} graphs have a signature {arguments.signature!r}: --tags says which")
    return found[0]


def _refuse_risks(graph: MetaGraph, allowed: list[str], path: str) -> None:
    findings = [finding for finding in scan(graph.proto) if finding.counts and not is_allowed(finding.op, allowed)]
    if findings:
        ops = ", ".join(sorted({finding.op for finding in findings}))
        raise InvalidArgumentError(
            f"{path} was not run, since it can do more than compute: {findings[0]}; what you trust is named by --allow {ops}"
        )


def _fetches(signature: Signature) -> dict[str, str]:
    """The tensors to compute by the names to show them under: three for a sparse output."""
    fetches = {}
    for key, tensor in signature.outputs.items():
        if tensor.kind == "dense":
            fetches[key] = tensor.names[0]
        elif tensor.kind == "sparse":
            fetches.update(zip([f"{key}.values", f"{key}.indices", f"{key}.dense_shape"], tensor.names, strict=True))
        else:
            raise UnimplementedError(f"output {key!r} is {tensor}: only dense and sparse ones can be shown")
    return fetches


def _output_files(keys: Iterable[str], directory: str | None) -> dict[str, str]:
    """Where to write each output, looked at before anything runs."""
    if directory is None:
        return {}
    for key in keys:
        if not assets.is_inside(key):
            raise InvalidArgumentError(f"output {key!r} makes no name of a file")
    return {key: file_io.join(directory, f"{key}.npy") for key in keys}


def _run_in_tensorflow(
    path: str, graph: MetaGraph, signature: Signature, inputs: dict[str, Any], fetches: dict[str, str]
) -> dict[str, Array]:
    # Its lines about the machine's CPU are of no interest to who asked for numbers.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        with _without_log():
            tf = importlib.import_module("tfsaver.compat._tensorflow").tf
            loader = importlib.import_module("tfsaver.compat.v1.saved_model.loader")
            tf.compat.v1.Session(graph=tf.Graph()).close()
    except MissingExtraError as error:
        raise MissingExtraError("tensorflow", extra="tensorflow", purpose="running a SavedModel") from error
    feeds = {signature.inputs[key].names[0]: array for key, array in inputs.items()}
    try:
        with tf.Graph().as_default() as target, tf.compat.v1.Session(graph=target) as session:
            loader.load(session, graph.tags, path)
            found = session.run(fetches, feeds)
    except (tf.errors.OpError, ValueError, TypeError, KeyError, RuntimeError) as error:
        raise InvalidArgumentError(f"{path} cannot be run: {str(error).strip()}") from error
    return {key: tensor_util.as_tensor(found[key], key)[0] for key in fetches}


@contextlib.contextmanager
def _without_log() -> Iterator[None]:
    """Discards what TensorFlow writes to the standard error while it starts: it does so before its log has a level."""
    sys.stderr.flush()
    try:
        kept = os.dup(2)
    except OSError:
        # A process without a standard error.
        yield
        return
    try:
        with open(os.devnull, "wb") as nothing:
            os.dup2(nothing.fileno(), 2)
        yield
    finally:
        sys.stderr.flush()
        os.dup2(kept, 2)
        os.close(kept)


def _write(path: str, array: Array) -> None:
    """Writes a .npy file without pickles: strings as numpy's own bytes, what numpy has no name for as float32."""
    if array.dtype == object:
        if any(item.endswith(b"\0") for item in array.flat):
            raise UnimplementedError(f"{path}: a string with a zero byte at its end, which a .npy file would lose")
        array = array.astype(np.bytes_)
    elif array.dtype.kind == "V":
        array = array.astype(np.float32)
    content = io.BytesIO()
    np.save(content, array, allow_pickle=False)
    file_io.make_directory(file_io.split(path)[0])
    file_io.write_file(path, content.getvalue())


def _record(key: str, array: Array, path: str | None) -> dict[str, Any]:
    return {
        "key": key,
        "dtype": dtypes.from_numpy(array.dtype).name,
        "shape": array.shape,
        "value": values.to_json(array),
        "file": path,
    }
