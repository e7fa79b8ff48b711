"""What is wrong with signatures, init operations, assets and collections: all that names a graph's nodes from outside."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from tfsaver import schemas
from tfsaver.errors import SaverError
from tfsaver.graph.collection_defs import asset_files, dangling_entries, node_list
from tfsaver.graph.findings import CPP, V1, V2, Finding, Loader, error, note, shown, warning
from tfsaver.graph.load_scope import LoadScope
from tfsaver.graph.op_defs import data_type_name, num_outputs, output_type
from tfsaver.graph.pruning import (
    INIT_OP_COLLECTIONS,
    INIT_OP_SIGNATURE,
    TRAIN_OP_SIGNATURE,
    init_operations,
    tensor_info_names,
)
from tfsaver.graph.tables import FILE_INPUTS
from tfsaver.graph.tensor_names import node_of, output_index
from tfsaver.lib.cached_property import cached_property

RESERVED = (INIT_OP_SIGNATURE, TRAIN_OP_SIGNATURE)
_PREFIX = "__saved_model"
# How often the whole graph is walked for all signatures together. Few models have more than ten.
_MAX_WALKS = 32
# GraphDefs before this version had scalars for placeholders of any shape.
_SCALAR_PLACEHOLDERS = 24
_FED_OPS = frozenset({"Placeholder", "PlaceholderV2"})


class SignatureLint:
    """Looks at a MetaGraphDef whose nodes are `nodes`."""

    def __init__(
        self,
        meta_graph: schemas.MetaGraphDef,
        nodes: Mapping[str, schemas.NodeDef],
        known: Mapping[str, schemas.OpDef],
        scope: LoadScope,
    ) -> None:
        self._meta_graph = meta_graph
        self._nodes = nodes
        self._known = known
        self._scope = scope
        # What has no objects gets functions for its signatures.
        self._liftable: tuple[Loader, ...] = () if scope.has_objects else (V2,)
        self._producer = meta_graph.graph_def.versions.producer
        self._steps = _MAX_WALKS * (len(nodes) + sum(len(node.input) for node in nodes.values()) + 1)

    def lint(self, asset_names: Collection[str] | None) -> Iterator[Finding]:
        for key, signature in sorted(self._meta_graph.signature_def.items()):
            if key in RESERVED:
                yield from self._lint_operation_signature(key, signature)
            else:
                yield from self._lint_signature(key, signature)
        yield from self._lint_init_op()
        yield from self._lint_assets(asset_names)
        yield from self._lint_collections()

    def init_ops(self) -> list[str]:
        """The operation that a loader runs after it has restored."""
        return init_operations(self._meta_graph)

    def _lint_operation_signature(self, key: str, signature: schemas.SignatureDef) -> Iterator[Finding]:
        if key not in signature.outputs:
            yield error("bad-init-op", key, f"has no output {shown(key)} that names an operation", (), self._scope.starters)
        elif node_of(signature.outputs[key].name) not in self._nodes:
            sentence = f"names {shown(signature.outputs[key].name)}, which is not there"
            yield error("bad-init-op", key, sentence, self._scope.starters)
        elif self._is_beyond(signature.outputs[key].name):
            sentence = f"names {shown(signature.outputs[key].name)}, an output that the operation does not have"
            yield warning("bad-init-op", key, sentence, (V1, *self._liftable))
        elif self._liftable and any(
            self._nodes[name].op in _FED_OPS for name in self.reach([node_of(signature.outputs[key].name)])
        ):
            sentence = f"needs a placeholder, which {V2} does not feed in a model of several graphs, or without objects"
            yield warning("unfed-placeholder", key, sentence, self._liftable)

    def _is_beyond(self, name: str) -> bool:
        """Whether a name has the number of an output that its node does not have."""
        node = self._nodes[node_of(name)]
        op_def = self._known.get(node.op)
        count = num_outputs(node, op_def) if op_def is not None else None
        index = output_index(name)
        return ":" in name and count is not None and index is not None and index >= count

    def _lint_signature(self, key: str, signature: schemas.SignatureDef) -> Iterator[Finding]:
        if key.startswith(_PREFIX):
            yield warning("reserved-key", key, f"names that begin with {_PREFIX} are TensorFlow's own")
        if not signature.method_name:
            yield note("no-method-name", key, "has no method name, without which TensorFlow Serving refuses it")
        if not signature.outputs:
            # Policies have such: what they begin with is nothing.
            finding = warning if signature.inputs else note
            yield finding("empty-signature", key, "has no outputs")
        for direction, tensors in (("input", signature.inputs), ("output", signature.outputs)):
            for name, info in sorted(tensors.items()):
                yield from self._lint_tensor(info, f"{key}.{direction}s[{name}]")
                if direction == "input":
                    yield from self._lint_fed_shape(info, f"{key}.inputs[{name}]")
        yield from self._lint_feeds(key, signature)

    def _lint_tensor(self, info: schemas.TensorInfo, place: str) -> Iterator[Finding]:
        names = list(tensor_info_names(info))
        if not names:
            yield error("no-tensor", place, "names no tensor", (), self._liftable)
        for name in names:
            yield from self._lint_name(name, info, place)
        for size in (dim.size for dim in info.tensor_shape.dim):
            if size < -1:
                yield error("negative-shape", place, f"has a size of {size} in its shape")
                break

    def _lint_fed_shape(self, info: schemas.TensorInfo, place: str) -> Iterator[Finding]:
        """What a signature lets callers feed, its placeholder takes."""
        node = self._nodes.get(node_of(info.name)) if info.WhichOneof("encoding") == "name" else None
        if node is None or node.op not in _FED_OPS or not info.HasField("tensor_shape") or "shape" not in node.attr:
            return
        shape = node.attr["shape"].shape
        if shape.unknown_rank or (not shape.dim and self._producer < _SCALAR_PLACEHOLDERS):
            return
        taken, said = [dim.size for dim in shape.dim], [dim.size for dim in info.tensor_shape.dim]
        fits = len(taken) == len(said) and all(size in (-1, other) for size, other in zip(taken, said, strict=True))
        if info.tensor_shape.unknown_rank or not fits:
            wide = "any shape" if info.tensor_shape.unknown_rank else str(said)
            yield error("wider-than-placeholder", place, f"takes {wide}, and the placeholder {shown(node.name)} {taken}")

    def _lint_name(self, name: str, info: schemas.TensorInfo, place: str) -> Iterator[Finding]:
        node = self._nodes.get(node_of(name))
        if node is None:
            yield error("no-such-tensor", place, f"names {shown(name)}, which is not in the graph", self._liftable)
            return
        if ":" not in name:
            yield warning("no-output-number", place, f"names {shown(name)}; a tensor's name ends in :0 or another number")
        index = output_index(name)
        op_def = self._known.get(node.op)
        count = num_outputs(node, op_def) if op_def is not None else None
        if op_def is None or count is None or index is None:
            return
        if index >= count:
            sentence = f"names {shown(name)}, and {shown(node.name)} has {count} outputs"
            yield error("no-such-tensor", place, sentence, self._liftable)
            return
        data_type = output_type(node, op_def, index) or 0
        if info.WhichOneof("encoding") == "name" and info.dtype and info.dtype % 100 != data_type % 100:
            stated, actual = data_type_name(info.dtype), data_type_name(data_type)
            yield error("wrong-dtype", place, f"says that {shown(name)} is {stated}; it is {actual}")

    def _lint_feeds(self, key: str, signature: schemas.SignatureDef) -> Iterator[Finding]:
        if self._steps < 0:
            return
        fed = {node_of(name) for info in signature.inputs.values() for name in tensor_info_names(info)}
        wanted = [node_of(name) for info in signature.outputs.values() for name in tensor_info_names(info)]
        needed = self.reach(wanted, fed)
        self._steps -= len(wanted) + sum(1 + len(self._nodes[name].input) for name in needed)
        if self._steps < 0:
            sentence = "is the last whose inputs are checked: all together need too much of the graph"
            yield note("unchecked-signatures", key, sentence)
        for name in sorted(needed):
            if self._nodes[name].op in _FED_OPS:
                sentence = f"its outputs need {shown(name)}, a placeholder that is no input"
                yield error("unfed-placeholder", key, sentence, self._liftable)

    def reach(self, wanted: Collection[str], fed: Collection[str] = ()) -> set[str]:
        """What some nodes need, but for what is fed and what only that needs."""
        seen: set[str] = set()
        waiting = list(wanted)
        while waiting:
            name = waiting.pop()
            if name in seen or name in fed or name not in self._nodes:
                continue
            seen.add(name)
            waiting += [node_of(reference) for reference in self._nodes[name].input]
        return seen

    @cached_property
    def needed_by_signatures(self) -> set[str]:
        """What the outputs of all signatures need."""
        infos = [info for signature in self._meta_graph.signature_def.values() for info in signature.outputs.values()]
        return self.reach([node_of(name) for info in infos for name in tensor_info_names(info)])

    def _lint_init_op(self) -> Iterator[Finding]:
        if INIT_OP_SIGNATURE in self._meta_graph.signature_def:
            # Then no loader looks for an init op in collections.
            return
        for key in INIT_OP_COLLECTIONS:
            names = node_list(self._meta_graph, key)
            if len(names) > 1:
                yield error("bad-init-op", key, f"names {len(names)} operations; loaders take one", self._scope.starters)
            for name in names:
                if node_of(name) not in self._nodes:
                    yield error("bad-init-op", key, f"names {shown(name)}, which is not there", self._scope.starters)

    def _lint_assets(self, asset_names: Collection[str] | None) -> Iterator[Finding]:
        try:
            assets = asset_files(self._meta_graph)
        except SaverError as problem:
            yield error("bad-asset", "assets", str(problem), (), self._scope.starters)
            return
        seen: dict[str, str] = {}
        fed = self._scope.placers
        started = self.reach([node_of(name) for name in self.init_ops()]) if assets else set()
        for asset in assets:
            tensor, place = asset.tensor_info.name, f"asset {shown(asset.filename)}"
            if node_of(tensor) not in self._nodes:
                yield error("bad-asset", place, f"is given to {shown(tensor)}, which is not there", fed, self._liftable)
            if tensor in seen:
                sentence = f"is given to {shown(tensor)}, to which {shown(seen[tensor])} is given too"
                is_run = len(fed) > 1
                yield error("bad-asset", place, sentence, (CPP,) if is_run else (), () if is_run else (CPP,))
            seen[tensor] = asset.filename
            if escapes(asset.filename):
                yield error("escaping-asset", place, "its name leads out of the directory of assets")
            elif asset_names is not None and asset.filename not in asset_names:
                is_read = node_of(tensor) in started and self._reads_files(started)
                yield error("missing-asset", place, "is not among the files", self._scope.starters if is_read else ())

    def _reads_files(self, started: Collection[str]) -> bool:
        """Whether something that runs at start reads a file, or calls what may."""
        return any(self._nodes[name].op in FILE_INPUTS or "f" in self._nodes[name].attr for name in started)

    def _lint_collections(self) -> Iterator[Finding]:
        for key in sorted(self._meta_graph.collection_def):
            if key in INIT_OP_COLLECTIONS and INIT_OP_SIGNATURE not in self._meta_graph.signature_def:
                continue
            try:
                dangling = dangling_entries(self._meta_graph, key, self._nodes)
            except SaverError as problem:
                yield error("bad-collection", key, str(problem), self._scope.importers[1:])
                continue
            if dangling:
                others = f" and {len(dangling) - 1} more" if len(dangling) > 1 else ""
                sentence = f"names {shown(dangling[0])}{others}, not there; Python programs cannot import it"
                yield warning("dangling-collection", key, sentence, self._scope.importers[1:])


def escapes(filename: str) -> bool:
    """Whether the name of an asset is none of a file below the directory of assets."""
    parts = filename.replace("\\", "/").split("/")
    return not filename or parts[0] == "" or ".." in parts or ":" in parts[0] or "\0" in filename
