"""What one loader refuses and another takes: the C++ loader, compat.v1's, `tf.saved_model.load`, Keras, TFLite, tf2onnx.

Each cause is one finding, however many nodes it has, and says which loader refuses and what to do about it. What only
`tf.saved_model.load` refuses, which makes objects, is in `lint_objects`.

    operations that TensorFlow has not      all loaders, unless the library is loaded
    calls of Python                         every process but the one that made the graph
    operations without a kernel             the C++ loader and compat.v1, which place all nodes
    devices of other machines, or GPUs      the C++ loader and compat.v1, which place nodes where they say
    `_output_shapes` that do not fit        every loader that imports the graph
    one tensor under two input keys         the C++ loader, which feeds it twice
    no signature                            the C++ loader has nothing to call
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from tfsaver import schemas
from tfsaver.errors import InvalidArgumentError
from tfsaver.graph.devices import Device
from tfsaver.graph.findings import V1, V2, Finding, Loader, error, shown, warning
from tfsaver.graph.functions import bodies, library_functions
from tfsaver.graph.lint_objects import lint_objects
from tfsaver.graph.lint_shapes import EXACT_SHAPES, ShapeInference, shape_text
from tfsaver.graph.lint_signatures import RESERVED
from tfsaver.graph.load_scope import LoadScope, is_removed, lacks_kernel
from tfsaver.graph.op_risk_table import is_registered
from tfsaver.graph.pruning import tensor_info_names
from tfsaver.graph.reach import Reach
from tfsaver.graph.tensor_names import COLOCATION, colocation_groups

_PYTHON_OPS = frozenset({"PyFunc", "PyFuncStateless", "EagerPyFunc"})


def lint_loaders(
    meta_graph: schemas.MetaGraphDef, nodes: Mapping[str, schemas.NodeDef], scope: LoadScope
) -> Iterator[Finding]:
    """The findings that depend on the loader."""
    library = library_functions(meta_graph.graph_def)
    says_what_runs = any(key not in RESERVED for key in meta_graph.signature_def)
    # A training graph says where it was trained.
    is_served = says_what_runs or bool(meta_graph.meta_info_def.tags)
    reach = Reach(meta_graph.graph_def, meta_graph if says_what_runs else None)
    found: dict[tuple[str, str], _Places] = {}
    for function, body in bodies(meta_graph.graph_def):
        for node in body:
            place = f"{function}/{node.name}" if function else node.name
            is_known = node.op in library or (is_registered(node.op) and not is_removed(node.op))
            if not is_known:
                refused_by = scope.body(function)
                # They convert what tf.saved_model.load makes.
                converters: tuple[Loader, ...] = ("TFLite", "tf2onnx") if V2 in refused_by else ()
                found.setdefault(("operation", node.op), _Places()).add(
                    place, refused_by + converters, scope.perhaps(function)
                )
            elif node.op in _PYTHON_OPS and reach.reaches(function, node.name):
                found.setdefault(("python", ""), _Places()).add(place, ())
            if lacks_kernel(node.op) and not function:
                found.setdefault(("kernel", node.op), _Places()).add(place, scope.placers)
            if node.device and is_served and _is_elsewhere(node.device):
                # In a function a device only matters when it runs. Colocated nodes go where the first of them goes.
                placers = () if function and function not in scope.inlined else scope.placers
                unsure = (V1,) if not function and len(placers) > 1 and _is_colocated(node) else ()
                placers = tuple(each for each in placers if each not in unsure)
                if placers or reach.reaches(function, node.name):
                    found.setdefault(("device", node.device), _Places()).add(place, placers, unsure)
    for (kind, what), places in found.items():
        code, sentence = _SENTENCES[kind]
        yield warning(
            code, places.first, f"{places} {sentence.format(shown(what))}", tuple(places.refused_by), tuple(places.unsure)
        )
    yield from _lint_output_shapes(meta_graph.graph_def, nodes, scope)
    yield from _lint_input_keys(meta_graph, scope)
    yield from lint_objects(meta_graph, library, scope)
    if meta_graph.meta_info_def.tags and not says_what_runs:
        yield _no_signature(meta_graph.object_graph_def)


class _Places:
    """The nodes with one cause, and the loaders that refuse them."""

    def __init__(self) -> None:
        self.first = ""
        self._count = 0
        self.refused_by: dict[Loader, None] = {}
        self.unsure: dict[Loader, None] = {}

    def add(self, place: str, refused_by: Iterable[Loader], unsure: Iterable[Loader] = ()) -> None:
        self.first = self.first or place
        self._count += 1
        self.refused_by.update(dict.fromkeys(refused_by))
        self.unsure.update(dict.fromkeys(unsure))

    def __str__(self) -> str:
        return "is a node" if self._count == 1 else f"is the first of {self._count:,} nodes"


# The code, and what follows "is a node" or "is the first of 3 nodes".
_SENTENCES = {
    "operation": (
        "unknown-operation",
        "of the operation {}, which TensorFlow does not have: every loader that looks at it refuses the graph unless the "
        "operation's library is loaded before, with tf.load_op_library; TFLite and tf2onnx cannot convert it",
    ),
    "kernel": (
        "no-kernel",
        "of the operation {}, which TensorFlow cannot run on a CPU any more, or never could: the C++ loader and compat.v1 "
        "refuse the graph; tfsaver.export_saved_model(MODEL, TARGET) leaves out what no signature needs",
    ),
    "python": (
        "python-function",
        "that calls a Python function of the process that made the graph{}: every loader takes the graph, and running it "
        "fails in another process, a server and TFLite among them",
    ),
    "device": (
        "foreign-device",
        "on the device {}: the C++ loader and compat.v1 refuse to run them where it is missing; "
        "tfsaver.export_saved_model(MODEL, TARGET) clears devices, in functions too",
    ),
}


def _is_colocated(node: schemas.NodeDef) -> bool:
    return any(entry[len(COLOCATION) :] != node.name.encode() for entry in colocation_groups(node))


def _is_elsewhere(text: str) -> bool:
    """Whether a machine with one CPU and no other programs lacks a device."""
    try:
        device = Device.parse(text)
    except InvalidArgumentError:
        return True
    is_here = device.job in ("", "localhost") and device.replica in ("", "0") and device.task in ("", "0")
    return not (is_here and device.kind in ("", "CPU", "XLA_CPU") and device.index in ("", "*", "0"))


def _lint_output_shapes(
    graph_def: schemas.GraphDef, nodes: Mapping[str, schemas.NodeDef], scope: LoadScope
) -> Iterator[Finding]:
    """Compares what nodes say of their own shapes with what TensorFlow infers."""
    producer = graph_def.versions.producer
    if producer < EXACT_SHAPES:
        return
    inferred = ShapeInference(nodes, producer, library_functions(graph_def))
    for node in graph_def.node:
        shapes = node.attr["_output_shapes"].list.shape if "_output_shapes" in node.attr else ()
        if not shapes:
            continue
        actual = inferred.shape(node.name)
        said = None if shapes[0].unknown_rank else tuple(dim.size if dim.size >= 0 else None for dim in shapes[0].dim)
        if said is not None and actual is not None and not _agree(said, actual):
            sentence = (
                f"its _output_shapes say {shape_text(said)}, and it is {shape_text(actual)}: importing the graph fails; "
                "without the attribute TensorFlow infers the shape: tfsaver.export_saved_model(MODEL, TARGET)"
            )
            yield error("wrong-output-shapes", node.name, sentence, scope.importers)


def _agree(first: Sequence[int | None], second: Sequence[int | None]) -> bool:
    return len(first) == len(second) and all(
        left == right or None in (left, right) for left, right in zip(first, second, strict=True)
    )


def _lint_input_keys(meta_graph: schemas.MetaGraphDef, scope: LoadScope) -> Iterator[Finding]:
    refused_by: tuple[Loader, ...] = () if scope.has_objects else (V2,)
    for key, signature in sorted(meta_graph.signature_def.items()):
        seen: dict[str, str] = {}
        for name, info in sorted(signature.inputs.items()):
            for tensor in tensor_info_names(info):
                if tensor in seen:
                    sentence = (
                        f"is the tensor {shown(tensor)}, as is the input {shown(seen[tensor])}: the C++ loader refuses a "
                        "request that feeds both; tfsaver.export_saved_model(MODEL, TARGET, signatures=...) with one key "
                        "mends it"
                    )
                    yield warning("same-input-twice", f"{key}.inputs[{name}]", sentence, refused_by)
                seen.setdefault(tensor, name)


def _no_signature(objects: schemas.SavedObjectGraph) -> Finding:
    functions = [
        child.local_name
        for child in (objects.nodes[0].children if objects.nodes else ())
        if 0 <= child.node_id < len(objects.nodes)
        and objects.nodes[child.node_id].WhichOneof("kind") in ("function", "bare_concrete_function")
    ]
    if functions:
        first = "__call__" if "__call__" in functions else functions[0]
        names = ", ".join(map(shown, functions[:8])) + (" ..." if len(functions) > 8 else "")
        way = (
            f"its functions are {names}; tfsaver.export_saved_model(MODEL, TARGET, "
            f"signatures={{'serving_default': {first!r}}}) makes a signature of one"
        )
    else:
        way = "tfsaver.export_saved_model(MODEL, TARGET, outputs=[...]) makes one"
    return warning("no-signature", "signatures", f"has no signature: the C++ loader and servers have nothing to call; {way}")
