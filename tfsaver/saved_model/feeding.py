"""Where a graph is cut so that it can be fed: what the outputs of a signature need once its inputs are given.

    file names -> reader -> queue -> batch:0 -> conv -> logits:0        inputs={"image": "batch:0"}
                                     Placeholder -> conv -> logits:0

A graph that was trained reads its input by itself. Exported, the tensor that is an input becomes a Placeholder, and what
made it is needed no more. The tensor stays what it is where another signature computes it: then it is fed as it stands.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from typing import Any

from tfsaver import schemas
from tfsaver.errors import InvalidArgumentError, ShapeMismatchError
from tfsaver.framework import dtypes, tensor_shape, tensor_util
from tfsaver.graph.tensor_names import FreeNames, is_control, node_of, output_index
from tfsaver.saved_model import tensor_requests
from tfsaver.saved_model.graph_tensors import PLACEHOLDER_OPS, GraphTensors
from tfsaver.saved_model.signature_def import tensor_names

# What takes the next element of an input pipeline.
_PIPELINE_OPS = """IteratorGetNext IteratorGetNextSync IteratorGetNextAsOptional InfeedDequeue InfeedDequeueTuple Unstage
    QueueDequeue QueueDequeueV2 QueueDequeueMany QueueDequeueManyV2 QueueDequeueUpTo QueueDequeueUpToV2
    ReaderRead ReaderReadV2 ReaderReadUpTo ReaderReadUpToV2"""
PIPELINE_OPS = frozenset(_PIPELINE_OPS.split())


def needed_nodes(nodes: Mapping[str, schemas.NodeDef], outputs: Iterable[str], fed: Iterable[str] = ()) -> set[str]:
    """The nodes that run for some outputs (tensors or operations) when some tensors are fed."""
    given = {_full(name) for name in fed}
    waiting = [name for name in outputs if is_control(name) or _full(name) not in given]
    found: set[str] = set()
    while waiting:
        name = node_of(waiting.pop())
        if name in found or name not in nodes:
            continue
        found.add(name)
        waiting += [each for each in nodes[name].input if is_control(each) or _full(each) not in given]
    return found


def signature_tensors(infos: Mapping[str, schemas.TensorInfo]) -> list[str]:
    """The tensors that some inputs or outputs stand for."""
    return [name for info in infos.values() for name in tensor_names(info)]


def open_placeholders(
    nodes: Mapping[str, schemas.NodeDef], outputs: Iterable[str], fed: Iterable[str] = ()
) -> list[str]:
    """The placeholders without a default that outputs need and nobody feeds, in the order of the graph."""
    needed = needed_nodes(nodes, outputs, fed)
    asks = PLACEHOLDER_OPS - {"PlaceholderWithDefault"}
    return [f"{name}:0" for name, node in nodes.items() if name in needed and node.op in asks]


def open_pipelines(nodes: Mapping[str, schemas.NodeDef], outputs: Iterable[str], fed: Iterable[str] = ()) -> list[str]:
    """The tensors that outputs need and that come from a queue or an iterator, in the order of the graph."""
    given = {_full(name) for name in fed}
    read: dict[str, None] = dict.fromkeys(_full(name) for name in outputs)
    needed = needed_nodes(nodes, read, given)
    for name in nodes:
        if name in needed:
            read.update(dict.fromkeys(_full(each) for each in nodes[name].input if not is_control(each)))
    pipelines = {name for name in needed if nodes[name].op in PIPELINE_OPS}
    return [name for name in read if name not in given and node_of(name) in pipelines]


def cut_at_inputs(meta_graph: schemas.MetaGraphDef, signatures: Mapping[str, schemas.SignatureDef]) -> None:
    """Puts Placeholders in the place of inputs that the graph computes and no signature needs computed; in place.

    The signatures are changed to name the Placeholders.
    """
    graph = GraphTensors(meta_graph)
    computed: set[str] = set()
    wanted: dict[str, None] = {}
    for signature in signatures.values():
        fed = signature_tensors(signature.inputs)
        computed |= needed_nodes(graph.nodes, signature_tensors(signature.outputs), fed)
        wanted.update(dict.fromkeys(name for name in fed if graph.node(name).op not in PLACEHOLDER_OPS))
    names = FreeNames(graph.nodes)
    for name in wanted:
        if node_of(name) in computed and _is_read(graph.nodes, computed, name, signatures):
            continue
        tensor = graph.tensor(name)
        if not tensor.data_type:
            raise InvalidArgumentError(f"input {name}: to cut the graph there, its type must be known: give a TensorInfo")
        free = names.take(f"{node_of(name)}_input" + (f"_{output_index(name)}" if output_index(name) else ""))
        _rewire(meta_graph.graph_def, name, free)
        for signature in signatures.values():
            for info in (*signature.inputs.values(), *signature.outputs.values()):
                _rename(info, name, f"{free}:0")
        meta_graph.graph_def.node.append(tensor_requests.placeholder(free, tensor.data_type, tensor.shape))


def make_constant(meta_graph: schemas.MetaGraphDef, constants: Mapping[Any, Any]) -> None:
    """Replaces placeholders by constants, in place: a rate of dropout, a flag that says whether it is training.

    Raises:
        NotFoundError: There is no such placeholder.
        InvalidArgumentError: It is none, or the value has not its type.
        ShapeMismatchError: The value has not its shape.
    """
    graph = GraphTensors(meta_graph)
    for key, value in constants.items():
        name = tensor_requests.tensor_name(key)
        node = graph.node(name)
        if node.op not in PLACEHOLDER_OPS:
            raise InvalidArgumentError(f"constant {name!r} is a {node.op}, only a placeholder can become a constant")
        tensor = graph.tensor(name)
        dtype = dtypes.from_data_type(tensor.data_type)
        array, given = tensor_util.as_tensor(value, name)
        if given is not dtype:
            # A Python number has no type of its own.
            if not isinstance(value, bool | int | float) or not dtype.has_fixed_size:
                raise InvalidArgumentError(f"constant {name!r} is {given}, the placeholder is {dtype}")
            array = array.astype(dtype.numpy)
        shape = tensor.shape
        if shape is not None and (
            len(shape) != array.ndim or any(a not in (None, b) for a, b in zip(shape, array.shape, strict=True))
        ):
            raise ShapeMismatchError(name, expected=shape, actual=array.shape)
        content = schemas.TensorProto(dtype=dtype.data_type, tensor_shape=tensor_shape.to_proto(array.shape))
        if dtype.has_fixed_size:
            content.tensor_content = array.tobytes()
        else:
            content.string_val.extend(array.reshape(-1).tolist())
        node.op = "Const"
        del node.input[:]
        node.attr.pop("shape", None)
        node.attr["dtype"].type = dtype.data_type
        node.attr["value"].tensor.CopyFrom(content)


def check_fed(
    nodes: Mapping[str, schemas.NodeDef], signatures: Mapping[str, schemas.SignatureDef], with_pipelines: Container[str] = ()
) -> None:
    """Checks that each signature feeds what its outputs need.

    Args:
        with_pipelines: The keys of signatures that may read from queues and iterators, since the source has them so.

    Raises:
        InvalidArgumentError: One needs a placeholder, or the next element of an input pipeline, that it does not feed.
    """
    for key, signature in signatures.items():
        outputs, fed = signature_tensors(signature.outputs), signature_tensors(signature.inputs)
        missing = open_placeholders(nodes, outputs, fed)
        pipelines = [] if key in with_pipelines else open_pipelines(nodes, outputs, fed)
        if pipelines:
            raise InvalidArgumentError(
                f"signature {key!r} has outputs that need {', '.join(pipelines)} from an input pipeline, which a server has "
                "not: make these tensors inputs"
            )
        if missing:
            raise InvalidArgumentError(
                f"signature {key!r} has outputs that need {', '.join(missing)}, which none of its inputs feeds: make it an "
                "input, or give it a value with fixed_inputs={...}"
            )


def _full(name: str) -> str:
    return name if ":" in name else f"{name}:0"


def _is_read(
    nodes: Mapping[str, schemas.NodeDef], computed: set[str], name: str, signatures: Mapping[str, schemas.SignatureDef]
) -> bool:
    """Whether a signature computes the tensor, not only another output of its node."""
    full = _full(name)
    if any(not is_control(each) and _full(each) == full for node in computed for each in nodes[node].input):
        # A consumer may have run for a signature that feeds the tensor; only those that do not are of interest.
        for signature in signatures.values():
            if full not in map(_full, signature_tensors(signature.inputs)):
                needed = needed_nodes(nodes, signature_tensors(signature.outputs), signature_tensors(signature.inputs))
                if node_of(name) in needed:
                    return True
    return any(
        full in map(_full, signature_tensors(signature.outputs))
        and full not in map(_full, signature_tensors(signature.inputs))
        for signature in signatures.values()
    )


def _rewire(graph_def: schemas.GraphDef, tensor: str, placeholder: str) -> None:
    for node in graph_def.node:
        for position, each in enumerate(node.input):
            if not is_control(each) and _full(each) == _full(tensor):
                node.input[position] = placeholder


def _rename(info: schemas.TensorInfo, old: str, new: str) -> None:
    if info.WhichOneof("encoding") == "name" and info.name == old:
        info.name = new
    elif info.WhichOneof("encoding") == "coo_sparse":
        parts = info.coo_sparse
        for field in ("values_tensor_name", "indices_tensor_name", "dense_shape_tensor_name"):
            if getattr(parts, field) == old:
                setattr(parts, field, new)
    else:
        for component in info.composite_tensor.components:
            _rename(component, old, new)
