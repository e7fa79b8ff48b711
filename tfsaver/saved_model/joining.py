"""Several SavedModels in one graph: side by side under prefixes, or one's outputs as the other's inputs.

    encoder: x -> features        encoder/x -> encoder/features ┐
    head:    z -> scores                                        └ head/MatMul -> head/scores        connect head:z

Each model is planned as an export of its own, so that what restores and starts it is known; then its names get the prefix,
and the whole is planned again as one graph.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from tfsaver import schemas
from tfsaver.errors import InvalidArgumentError, NotFoundError, nearest_names
from tfsaver.graph import node_builder
from tfsaver.graph.prefixing import prefixed
from tfsaver.graph.pruning import init_operations, tensor_info_names
from tfsaver.graph.tensor_names import CONTROL, is_control, node_of, normalized
from tfsaver.saved_model import constants, export_plan
from tfsaver.saved_model.export_plan import ExportPlan, ExportRequest
from tfsaver.saved_model.loader import SavedModel
from tfsaver.saved_model.sources import ExportSource, open_source

_INIT = "init"


class _Part(NamedTuple):
    """One model under its prefix."""

    prefix: str
    meta_graph: schemas.MetaGraphDef
    plan: ExportPlan

    @property
    def name(self) -> str:
        return self.prefix.removesuffix("/")

    def signature(self) -> schemas.SignatureDef:
        """What is connected: the default signature, or the only one.

        Raises:
            InvalidArgumentError: There are several, none of which is the default.
        """
        signatures = {
            key: each
            for key, each in self.meta_graph.signature_def.items()
            if key not in constants.RESERVED_SIGNATURE_KEYS
        }
        if constants.DEFAULT_SIGNATURE_KEY in signatures:
            return signatures[constants.DEFAULT_SIGNATURE_KEY]
        if len(signatures) != 1:
            there = ", ".join(map(repr, sorted(signatures))) or "none"
            raise InvalidArgumentError(
                f"model {self.name!r} has no signature {constants.DEFAULT_SIGNATURE_KEY!r} to connect: there is {there}"
            )
        return next(iter(signatures.values()))


def join_models(models: Sequence[SavedModel], prefixes: Sequence[str], connect: Mapping[str, str]) -> ExportSource:
    """One graph of several models.

    Args:
        models: The models, each of one graph.
        prefixes: A name for each, before its nodes, its variables and the keys of its signatures.
        connect: Outputs by the inputs that take their values: ``{"head:z": "encoder:features"}``, each the name of a model
            and a key of its signature ``serving_default``. The result has a signature ``serving_default`` of what is left.

    Raises:
        InvalidArgumentError: The prefixes are not different names, or a connection has two types or shapes, or goes round.
        NotFoundError: There is no such model, or its signature has no such key.
    """
    names = [prefix.strip("/") for prefix in prefixes]
    if len(set(names)) != len(models) or not all(names):
        raise InvalidArgumentError(f"models in one graph need a prefix each, all different: {list(prefixes)!r}")
    parts: dict[str, _Part] = {}
    with contextlib.ExitStack() as stack:
        for name, model in zip(names, models, strict=True):
            source = open_source(model)
            plan = export_plan.plan_export(source, ExportRequest())
            stack.callback(source.close)
            parts[name] = _Part(f"{name}/", prefixed(plan.meta_graph, f"{name}/"), plan)
        closing = stack.pop_all()
    joined = schemas.MetaGraphDef()
    for part in parts.values():
        _add(joined, part)
    for key, signature in _signatures(parts, joined.graph_def, connect).items():
        joined.signature_def[key].CopyFrom(signature)
    _add_init_op(joined, parts.values())
    return ExportSource(
        joined,
        _PrefixedValues(parts),
        {
            f"{part.prefix}{tensor}": part.plan.asset_sources[asset.filename]
            for part in parts.values()
            for asset in part.plan.meta_graph.asset_file_def
            for tensor in [asset.tensor_info.name]
        },
        what=" and ".join(model.directory for model in models),
        close=closing.close,
    )


def _add(joined: schemas.MetaGraphDef, part: _Part) -> None:
    joined.graph_def.MergeFrom(part.meta_graph.graph_def)
    versions, producer = joined.graph_def.versions, part.meta_graph.graph_def.versions.producer
    versions.producer = max(versions.producer, producer)
    joined.asset_file_def.extend(part.meta_graph.asset_file_def)
    known = {op.name for op in joined.meta_info_def.stripped_op_list.op}
    joined.meta_info_def.stripped_op_list.op.extend(
        op for op in part.meta_graph.meta_info_def.stripped_op_list.op if op.name not in known
    )
    for key, collection in part.meta_graph.collection_def.items():
        if key not in (constants.MAIN_OP, constants.LEGACY_INIT_OP):
            joined.collection_def[key].MergeFrom(collection)


def _add_init_op(joined: schemas.MetaGraphDef, parts: Any) -> None:
    started = [name for part in parts for name in init_operations(part.meta_graph)]
    if started:
        joined.graph_def.node.append(
            node_builder.node("NoOp", _INIT, [f"{CONTROL}{node_of(name)}" for name in started], {})
        )
        key = constants.INIT_OP_SIGNATURE_KEY
        joined.signature_def[key].outputs[key].name = _INIT


def _signatures(
    parts: Mapping[str, _Part], graph_def: schemas.GraphDef, connect: Mapping[str, str]
) -> dict[str, schemas.SignatureDef]:
    """The signatures of the parts under their prefixes; what is connected is one signature."""
    connected: dict[str, str] = {}
    chained: list[str] = []
    used: set[tuple[str, str]] = set()
    for target, source in connect.items():
        taking, taken_key, taken = _end(parts, target, "inputs")
        giving, given_key, given = _end(parts, source, "outputs")
        _check_fits(target, taken, source, given)
        connected[normalized(taken.name)] = normalized(given.name)
        used |= {(taking, taken_key), (giving, given_key)}
        chained += [each for each in (giving, taking) if each not in chained]
    _rewire(graph_def, connected)
    found: dict[str, schemas.SignatureDef] = {}
    for name, part in parts.items():
        for key, signature in part.meta_graph.signature_def.items():
            if key in constants.RESERVED_SIGNATURE_KEYS:
                continue
            takes = {normalized(each) for info in signature.inputs.values() for each in tensor_info_names(info)}
            if takes.isdisjoint(connected):
                found[f"{name}_{key}"] = signature
    if chained:
        found[constants.DEFAULT_SIGNATURE_KEY] = _chained_signature([parts[name] for name in chained], used)
    return found


def _end(parts: Mapping[str, _Part], text: str, field: str) -> tuple[str, str, schemas.TensorInfo]:
    name, separator, key = text.partition(":")
    what = field.removesuffix("s")
    if not separator or name not in parts:
        there = ", ".join(map(repr, nearest_names(name, parts) or tuple(parts)))
        raise NotFoundError(f"{text!r}: an {what} is MODEL:KEY, and a model's name is its prefix: there is {there}")
    infos = getattr(parts[name].signature(), field)
    if key not in infos:
        there = ", ".join(map(repr, nearest_names(key, infos) or tuple(sorted(infos))))
        raise NotFoundError(f"{text!r}: model {name!r} has no {what} {key!r}: there is {there or 'none'}")
    info = infos[key]
    if info.WhichOneof("encoding") != "name":
        raise InvalidArgumentError(f"{text!r} is a sparse or composite tensor: only dense tensors can be connected")
    return name, key, info


def _check_fits(target: str, taken: schemas.TensorInfo, source: str, given: schemas.TensorInfo) -> None:
    if taken.dtype != given.dtype:
        types = [schemas.DataType.Name(info.dtype) for info in (given, taken)]
        raise InvalidArgumentError(f"{source!r} is {types[0]}, {target!r} takes {types[1]}")
    left, right = (
        None if info.tensor_shape.unknown_rank else [dim.size for dim in info.tensor_shape.dim] for info in (given, taken)
    )
    if left is not None and right is not None:
        sizes = zip(left, right, strict=False)
        if len(left) != len(right) or any(a != b and -1 not in (a, b) for a, b in sizes):
            raise InvalidArgumentError(f"{source!r} has the shape {left}, {target!r} takes {right}")


def _rewire(graph_def: schemas.GraphDef, connected: Mapping[str, str]) -> None:
    """Lets what reads an input read an output of another model, in place.

    Raises:
        InvalidArgumentError: The connections go round.
    """
    for node in graph_def.node:
        for position, reference in enumerate(node.input):
            if not is_control(reference) and normalized(reference) in connected:
                node.input[position] = connected[normalized(reference)]
    inputs = {node.name: [node_of(each) for each in node.input] for node in graph_def.node}
    waiting = [(start, node_of(source)) for source in connected.values() for start in inputs.get(node_of(source), ())]
    seen: set[tuple[str, str]] = set()
    while waiting:
        name, start = waiting.pop()
        if name == start:
            raise InvalidArgumentError(f"the connections go round: {start!r} would need itself")
        if (name, start) not in seen:
            seen.add((name, start))
            waiting += [(each, start) for each in inputs.get(name, ())]


def _chained_signature(parts: Sequence[_Part], used: set[tuple[str, str]]) -> schemas.SignatureDef:
    """What is left open of connected models; a key that two models have gets the model's name."""
    chained = schemas.SignatureDef(method_name=constants.PREDICT)
    for field in ("inputs", "outputs"):
        left = [
            (part.name, key, info)
            for part in parts
            for key, info in sorted(getattr(part.signature(), field).items())
            if (part.name, key) not in used
        ]
        keys = [key for _, key, _ in left]
        for name, key, info in left:
            getattr(chained, field)[f"{name}_{key}" if keys.count(key) > 1 else key].CopyFrom(info)
    return chained


class _PrefixedValues(Mapping[str, Any]):
    """The values of all parts under their names in the new checkpoint."""

    def __init__(self, parts: Mapping[str, _Part]) -> None:
        self._parts = parts
        self._names = {
            f"{part.prefix}{name}": (part, name) for part in parts.values() for name in part.plan.variables.values
        }

    def __getitem__(self, name: str) -> Any:
        part, key = self._names[name]
        return part.plan.variables.values[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)
