"""What is wrong with nodes: names, inputs, circles, attributes, constants, functions."""

from __future__ import annotations

import dataclasses
import itertools
import math
import re
from collections.abc import Iterable, Iterator, Mapping

from tfsaver import schemas
from tfsaver.errors import SaverError
from tfsaver.framework import dtypes
from tfsaver.framework.tensor_util import decode_values, make_ndarray
from tfsaver.graph.findings import CPP, V1, V2, Finding, Loader, Severity, error, shown, warning
from tfsaver.graph.functions import called_functions, functions_in, library_functions
from tfsaver.graph.load_scope import LoadScope
from tfsaver.graph.op_defs import (
    data_type_name,
    input_type,
    is_reference,
    num_inputs,
    num_outputs,
    output_position,
    output_type,
)
from tfsaver.graph.tensor_names import COLOCATION, data_inputs, is_control, node_of, output_index

_NAME = re.compile(r"[A-Za-z0-9.][A-Za-z0-9_.\\/>-]*")
_FUNCTION_NODE_NAME = re.compile(r"[A-Za-z0-9._][A-Za-z0-9_.\\/>-]*")
# A constant larger than this is only looked at from outside.
_MAX_DECODED = 1 << 16
# Elements for a byte of the constant: more than any that has a value for each.
_MAX_RATIO = 16
# The bytes of an element in a constant's content; types of half a byte have other rules.
_WIDTHS = {
    dtype.data_type: dtype.size for dtype in dtypes.ALL if dtype.has_fixed_size and not dtype.name.endswith(("int4", "int2"))
}
# Dimensions that a tensor of TensorFlow can have.
_MAX_RANK = 254


def lint_nodes(
    graph_def: schemas.GraphDef, known: Mapping[str, schemas.OpDef], scope: LoadScope
) -> Iterator[Finding]:
    """The findings in the graph itself, then those in each function."""
    library = library_functions(graph_def)
    if not graph_def.node:
        yield warning("empty-graph", "graph", "has no nodes")
    yield from _refused(_Body(None, graph_def.node, (), known, library).lint(), scope.importers)
    yield from _lint_library(graph_def, library)
    for function in graph_def.library.function:
        name = function.signature.name
        body = _Body(name, function.node_def, function.signature.input_arg, known, library)
        found = list(itertools.chain(body.lint(), _lint_returns(function, body)))
        calls = [finding for finding in found if finding.code == "unknown-function"]
        yield from _refused((each for each in found if each not in calls), scope.body(name), scope.perhaps(name))
        # That a function is not there, a session finds when the call runs.
        yield from _refused(calls, (V2,), (CPP, V1))


def _refused(
    findings: Iterable[Finding], refused_by: tuple[Loader, ...], unsure: tuple[Loader, ...] = ()
) -> Iterator[Finding]:
    """The findings, each with the loaders that look at these nodes."""
    for finding in findings:
        is_error = finding.severity is Severity.ERROR
        yield dataclasses.replace(finding, refused_by=refused_by, unsure=unsure) if is_error else finding


class _Body:
    """The nodes of a function, by its name, which may be empty in a damaged graph; or of the graph, for None."""

    def __init__(
        self,
        function: str | None,
        nodes: Iterable[schemas.NodeDef],
        arguments: Iterable[schemas.OpDef.ArgDef],
        known: Mapping[str, schemas.OpDef],
        library: Mapping[str, schemas.FunctionDef],
    ) -> None:
        self._function = function
        self._nodes = list(nodes)
        self._known = known
        self._library = library
        self.by_name = {node.name: node for node in self._nodes}
        self._arguments = {each.name: each.type for each in arguments}
        self.there = self.by_name.keys() | self._arguments.keys()
        self._num_outputs: dict[str, int | None] = {}

    def lint(self) -> Iterator[Finding]:
        seen: set[str] = set()
        for node in self._nodes:
            place = self._place(node)
            if not (_NAME if self._function is None else _FUNCTION_NODE_NAME).fullmatch(node.name):
                yield error("bad-name", place, f"{shown(node.name)} is no name that a node can have")
            if node.name in seen:
                yield error("duplicate-name", place, "two nodes have this name")
            seen.add(node.name)
            yield from self._lint_inputs(node, place)
            yield from self._lint_attrs(node, place)
            if node.op == "Const":
                yield from lint_const(node, place)
        yield from self._lint_circles()

    def _place(self, node: schemas.NodeDef) -> str:
        return f"{self._function}/{node.name}" if self._function is not None else node.name or "(a node without a name)"

    def _lint_inputs(self, node: schemas.NodeDef, place: str) -> Iterator[Finding]:
        after_control = False
        op_def = self._known.get(node.op)
        wanted = num_inputs(node, op_def) if op_def is not None else None
        given = len(data_inputs(node))
        if wanted is not None and given != wanted:
            yield error("wrong-number-of-inputs", place, f"a {node.op} takes {wanted:,} inputs here, and is given {given:,}")
            op_def = None
        position = -1
        for reference in node.input:
            source = node_of(reference)
            if is_control(reference):
                after_control = True
                if source not in self.there:
                    yield error("dangling-control", place, f"must wait for {shown(source)}, which is not there")
                continue
            if after_control:
                yield error("input-after-control", place, f"its input {shown(reference)} stands behind a control input")
            position += 1
            if source not in self.there:
                yield error("dangling-input", place, f"its input {shown(reference)} is not there")
                continue
            if self._function is None:
                yield from self._lint_output(reference, source, place)
            if op_def is not None:
                yield from self._lint_type(node, op_def, position, reference, place)

    def _lint_output(self, reference: str, source: str, place: str) -> Iterator[Finding]:
        index = output_index(reference)
        if index is None:
            yield error("bad-input", place, f"its input {shown(reference)} has no number of an output")
            return
        if source not in self._num_outputs:
            node = self.by_name[source]
            self._num_outputs[source] = num_outputs(node, self._known[node.op]) if node.op in self._known else None
        count = self._num_outputs[source]
        if count is not None and index >= count:
            sentence = f"its input {shown(reference)} is beyond the {count} outputs of {shown(source)}"
            yield error("no-such-output", place, sentence)

    def _lint_type(
        self, node: schemas.NodeDef, op_def: schemas.OpDef, position: int, reference: str, place: str
    ) -> Iterator[Finding]:
        """What flows along an edge is what the operation at its end takes."""
        source = self.by_name.get(node_of(reference))
        wanted = input_type(node, op_def, position)
        if wanted is None or not wanted.data_type:
            return
        if source is None:
            index, source_def, given = 0, None, self._arguments.get(node_of(reference)) or None
        else:
            source_def = self._known.get(source.op)
            if source_def is None:
                return
            in_graph = self._function is None
            position_of = output_index(reference) if in_graph else output_position(source, source_def, reference)
            if position_of is None:
                return
            index, given = position_of, output_type(source, source_def, position_of)
        if not given:
            return
        if wanted.data_type != given:
            takes, gives = data_type_name(wanted.data_type), data_type_name(given)
            sentence = f"its input {shown(reference)} is {gives}, and a {node.op} takes {takes} as {shown(wanted.name)}"
            yield error("wrong-input-type", place, sentence)
        elif wanted.is_ref and source is not None and source_def and is_reference(source, source_def, index) is False:
            sentence = f"its input {shown(reference)} is a value, and a {node.op} takes a reference to a variable"
            sentence += "; export_saved_model(..., repair='references') mends what reads a variable that was frozen"
            yield error("value-for-reference", place, sentence)

    def _lint_attrs(self, node: schemas.NodeDef, place: str) -> Iterator[Finding]:
        op_def = self._known.get(node.op)
        if op_def is not None:
            yield from _lint_allowed(node, op_def, place)
        yield from self._lint_handle(node, place)
        if op_def is not None:
            for attr in op_def.attr:
                # A Const without a value has a finding of its own.
                is_value = node.op == "Const" and attr.name == "value"
                if attr.name not in node.attr and not attr.HasField("default_value") and not is_value:
                    yield error("missing-attribute", place, f"a {node.op} must have {shown(attr.name)}")
        for name, value in node.attr.items():
            kind = value.WhichOneof("value")
            if name == "_class" and self._function is None:
                for entry in value.list.s:
                    beside = entry.removeprefix(COLOCATION).decode("utf-8", "replace")
                    if entry.startswith(COLOCATION) and beside not in self.there:
                        yield error("dangling-colocation", place, f"must be beside {shown(beside)}, which is not there")
            elif kind == "shape":
                yield from _lint_shape(value.shape, place, name)
            elif kind == "list":
                for shape in value.list.shape:
                    yield from _lint_shape(shape, place, name)
            elif kind == "placeholder" and self._function is None:
                sentence = f"{shown(name)} stands for a function's {shown(value.placeholder)}"
                yield error("placeholder-attribute", place, sentence)
        for called in sorted(set(functions_in(node.attr))):
            if called and called not in self._library:
                yield error("unknown-function", place, f"calls {shown(called)}, which is not in the library")

    def _lint_handle(self, node: schemas.NodeDef, place: str) -> Iterator[Finding]:
        """What reads or assigns a variable has the variable's type."""
        if node.op not in ("ReadVariableOp", "AssignVariableOp") or not node.input or "dtype" not in node.attr:
            return
        source = self.by_name.get(node_of(node.input[0]))
        if source is None or source.op != "VarHandleOp" or "dtype" not in source.attr:
            return
        wanted, given = node.attr["dtype"].type, source.attr["dtype"].type
        if wanted and given and wanted != given:
            types = data_type_name(wanted), data_type_name(given)
            yield error("wrong-input-type", place, f"takes {shown(source.name)} as {types[0]}, and it is {types[1]}")

    def _lint_circles(self) -> Iterator[Finding]:
        """At most one: the first circle that does not close through a loop's NextIteration."""
        inputs = {
            node.name: [source for each in node.input if (source := node_of(each)) in self.by_name]
            for node in self._nodes
            if node.op not in ("NextIteration", "RefNextIteration")
        }
        consumers: dict[str, list[str]] = {}
        missing = dict.fromkeys(self.by_name, 0)
        for name, sources in inputs.items():
            # A name that two nodes have counts once, as it does in `missing`.
            missing[name] = len(sources)
            for source in sources:
                consumers.setdefault(source, []).append(name)
        ready = [name for name, count in missing.items() if not count]
        while ready:
            for consumer in consumers.get(ready.pop(), ()):
                missing[consumer] -= 1
                if not missing[consumer]:
                    ready.append(consumer)
        left = {name for name, count in missing.items() if count > 0}
        if not left:
            return
        # From any node that is left, going to what it waits for must come around.
        path: dict[str, None] = {}
        name = next(node.name for node in self._nodes if node.name in left)
        while name not in path:
            path[name] = None
            name = next(source for source in inputs[name] if source in left)
        circle = list(path)[list(path).index(name) :]
        shown = " <- ".join([*circle[:6], *(["..."] if len(circle) > 6 else []), name])
        yield error("cycle", self._place(self.by_name[name]), f"waits for itself: {shown}")


def _lint_allowed(node: schemas.NodeDef, op_def: schemas.OpDef, place: str) -> Iterator[Finding]:
    """An attribute has one of the types that its operation can have."""
    for attr in op_def.attr:
        if attr.type != "type" or not attr.allowed_values.list.type or attr.name not in node.attr:
            continue
        data_type = node.attr[attr.name].type
        if data_type and data_type not in attr.allowed_values.list.type:
            sentence = f"a {node.op} cannot have {data_type_name(data_type)} as {shown(attr.name)}"
            yield error("wrong-attribute", place, sentence)


def _lint_shape(shape: schemas.TensorShapeProto, place: str, name: str) -> Iterator[Finding]:
    sizes = [dim.size for dim in shape.dim]
    if shape.unknown_rank and sizes:
        yield error("bad-shape", place, f"{shown(name)} has an unknown rank, and the sizes {sizes}")
    if any(size < -1 for size in sizes):
        yield error("negative-shape", place, f"{shown(name)} is the shape {sizes}, in which a size is negative")


def lint_const(node: schemas.NodeDef, place: str) -> Iterator[Finding]:
    """What is wrong with the value of a Const."""
    if "value" not in node.attr or not node.attr["value"].HasField("tensor"):
        yield error("const-without-value", place, "is a Const without a value")
        return
    tensor = node.attr["value"].tensor
    sizes = [dim.size for dim in tensor.tensor_shape.dim]
    if any(size < 0 for size in sizes) or tensor.tensor_shape.unknown_rank:
        yield error("negative-shape", place, f"its value has the shape {sizes}, in which a size is negative or unknown")
        return
    if "dtype" in node.attr and node.attr["dtype"].type != tensor.dtype:
        stated, actual = data_type_name(node.attr["dtype"].type), data_type_name(tensor.dtype)
        yield error("const-wrong-dtype", place, f"says that it is {stated}, its value is {actual}")
        return
    # Of many sizes even the product takes long.
    if len(sizes) > _MAX_RANK:
        yield error("bad-const", place, f"its value has {len(sizes)} dimensions, at most {_MAX_RANK} are allowed")
        return
    content = len(tensor.tensor_content)
    width = _WIDTHS.get(tensor.dtype)
    if content and width is not None and math.prod(sizes) * width != content:
        yield error("bad-const", place, f"its value has the shape {sizes}, and {content:,} bytes of content")
        return
    if math.prod(sizes) > _MAX_DECODED or tensor.ByteSize() > _MAX_DECODED:
        return
    try:
        if tensor.tensor_content or math.prod(sizes) <= _MAX_RATIO * (tensor.ByteSize() + _MAX_RATIO):
            make_ndarray(tensor, "its value")
        else:
            # One value that stands for many: the values alone, since thousands of nodes may be such.
            decode_values(memoryview(tensor.SerializeToString()), dtypes.from_data_type(tensor.dtype), "its value")
    except NotImplementedError:
        return
    except SaverError as problem:
        yield error("bad-const", place, str(problem))


def _lint_library(
    graph_def: schemas.GraphDef, library: Mapping[str, schemas.FunctionDef]
) -> Iterator[Finding]:
    seen: set[str] = set()
    calls: dict[str, set[str]] = {}
    for function in graph_def.library.function:
        name = function.signature.name
        if name in seen:
            yield error("duplicate-function", name, "two functions have this name", unsure=(CPP, V1, V2))
        seen.add(name)
        calls[name] = called_functions(function.node_def, library)
        if name in calls[name]:
            yield error("recursive-function", name, "calls itself", (CPP,), (V1, V2))
    for gradient in graph_def.library.gradient:
        for name in (gradient.function_name, gradient.gradient_func):
            if name not in library:
                sentence = "has or is a gradient, and is not in the library"
                yield warning("unknown-function", name, sentence, unsure=(CPP, V1, V2))
    yield from _lint_mutual_recursion(calls)


def _lint_mutual_recursion(calls: Mapping[str, set[str]]) -> Iterator[Finding]:
    # Take away, again and again, what calls nothing that is left.
    callers: dict[str, set[str]] = {}
    open_calls = {name: {each for each in called if each != name} for name, called in calls.items()}
    for name, called in open_calls.items():
        for each in called:
            callers.setdefault(each, set()).add(name)
    ready = [name for name, called in open_calls.items() if not called]
    while ready:
        done = ready.pop()
        for caller in callers.get(done, ()):
            open_calls[caller].discard(done)
            if not open_calls[caller]:
                ready.append(caller)
    left = [name for name, called in open_calls.items() if called]
    if left:
        around = _circle(left[0], open_calls)
        sentence = f"calls itself by way of others: {' -> '.join(around)}"
        yield warning("recursive-function", around[0], sentence, unsure=(CPP, V1, V2))


def _circle(start: str, calls: Mapping[str, set[str]]) -> list[str]:
    path: dict[str, None] = {}
    name = start
    while name not in path:
        path[name] = None
        name = min(calls[name])
    return [*list(path)[list(path).index(name) :], name]


def _lint_returns(function: schemas.FunctionDef, body: _Body) -> Iterator[Finding]:
    name = function.signature.name
    for output in function.signature.output_arg:
        if output.name not in function.ret:
            yield error("missing-return", name, f"does not say what its output {shown(output.name)} is")
    for output_name, reference in function.ret.items():
        if node_of(reference) not in body.there:
            sentence = f"its output {shown(output_name)} is {shown(reference)}, which is not there"
            yield error("dangling-return", name, sentence)
    for output_name, reference in function.control_ret.items():
        if node_of(reference) not in body.there:
            sentence = f"its control output {shown(output_name)} is {shown(reference)}, which is not there"
            yield error("dangling-return", name, sentence)
