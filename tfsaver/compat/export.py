"""`tfsaver.export_saved_model` for every kind of source: a session as well as what needs no TensorFlow.

    export_saved_model(sess, "export", outputs={"probabilities": softmax}, versioned=True)

TensorFlow is only used where a session has been passed, by whom it was imported already.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from google.protobuf.message import Message

from tfsaver.checkpoint.execution import DryRun, Progress
from tfsaver.checkpoint.selection import Select
from tfsaver.compat import _tensorflow
from tfsaver.compat._session_source import is_session, session_source
from tfsaver.compat.v1.saved_model.utils import tensor_info
from tfsaver.graph.repairs import Repair
from tfsaver.lib import file_io
from tfsaver.lib.renamed_options import renamed_options
from tfsaver.lib.storage_options import OpenFileSystem, StorageOptions, takes_storage_options
from tfsaver.saved_model import constants, exporter, sources, tensor_requests
from tfsaver.saved_model.decoding import Decoding
from tfsaver.saved_model.export_plan import ExportRequest

__all__ = ["export_saved_model"]


@renamed_options(export_dir="target")
@takes_storage_options("source", "target", "variables")
def export_saved_model(
    source: Any,
    target: file_io.PathLike,
    *,
    inputs: tensor_requests.Tensors | None = None,
    outputs: tensor_requests.Tensors | None = None,
    signatures: Mapping[str, Any] | None = None,
    method_name: str = constants.PREDICT,
    fixed_inputs: Mapping[Any, Any] | None = None,
    variables: sources.Variables | None = None,
    tags: Iterable[str] | str = (constants.SERVING,),
    assets: Mapping[Any, Any] | Iterable[Any] | None = None,
    extra_assets: Mapping[str, file_io.PathLike] | None = None,
    init_op: Any = None,
    as_text: bool = False,
    versioned: bool = False,
    prune: bool = True,
    clear_devices: bool = True,
    strip_default_attrs: bool = True,
    empty_tables: Iterable[str] = (),
    repair: Iterable[Repair] | Repair = (),
    freeze: Select = None,
    decode: Mapping[str, Decoding] | None = None,
    warmup: Sequence[Mapping[str, Any]] = (),
    durable: bool = True,
    dry_run: DryRun = False,
    trusted: bool | None = None,
    progress: Progress | None = None,
    storage_options: StorageOptions | None = None,
    fs: OpenFileSystem | None = None,
) -> str:
    """Exports a graph for serving.

    Only what the signatures and the init op need is exported, with the variables that are part of that. It is checked
    before anything is written: that the signatures' tensors are in the graph, with their types and shapes; that they feed
    what their outputs need; that every variable has a value of its type and shape. What was written is read back before it
    gets its name.

    Args:
        source: A session, whose variables have the values, and of which tensors may be sparse, ragged, or variables; a
            checkpoint's prefix, with its ``.meta`` file beside it; a MetaGraphDef or a GraphDef, or the path of one; a
            SavedModel.
        target: Where the SavedModel shall be; it must not be there yet, or be empty.
        inputs: Of the signature ``serving_default``: tensors by key, or a list of them, each a name, something with a
            name, or a TensorInfo. By default the placeholders that the outputs need. A tensor that is no placeholder
            becomes one, and what computed it is left out.
        outputs: Of the signature ``serving_default``, in the same way.
        signatures: More signatures by key: SignatureDefs, or mappings with ``inputs``, ``outputs`` and ``method_name``; of a
            model of TensorFlow 2 also the names of its functions, such as ``"__call__"``, or of their traces. By default
            those that the source has.
        method_name: What a server may do with ``serving_default``.
        fixed_inputs: Placeholders that become constants: ``{"keep_prob": 1.0, "is_training": False}``.
        variables: Values for the variables, in the place of the source's own: a mapping by names, or a checkpoint.
        tags: By which a loader finds the graph.
        assets: Files that the graph reads, besides those that it says itself: paths by the tensors that hold them, or those
            tensors alone.
        extra_assets: Files for the server: paths by their names below ``assets.extra/``.
        init_op: The operation that a loader runs after restoring. By default what the source names, or what initializes the
            tables and local variables that are exported.
        as_text: Whether to write ``saved_model.pbtxt``.
        versioned: Whether `target` is the directory of a server's versions, in which a new one appears in one step.
        prune: Whether to leave out what is not needed.
        clear_devices: Whether nodes forget the devices that they were made for.
        strip_default_attrs: Whether to leave out attributes that only say the default, so that older programs can load the
            graph too.
        empty_tables: Lookup tables that may be empty when a server starts; any other table that nothing fills is an error.
        repair: Changes to the graph: ``"references"`` gives operations on variables that were frozen their forms for values,
            ``"batch"`` lets placeholders of one example take any number, ``"training"`` fixes placeholders such as
            ``is_training`` and ``keep_prob``, ``"resources"`` makes resource variables of reference variables. Each change
            is logged.
        freeze: Variables that become constants: a `Selection`, or patterns of which one must occur in a name.
        decode: Decoders before inputs, by their keys: ``{"images": "image/255"}`` takes the bytes of image files.
            ``"image"`` gives pixels from 0 to 255, ``"image/255"`` from 0 to 1, ``"image/127.5-1"`` from -1 to 1, resized
            to the input's shape; ``"json"`` takes Examples as JSON for a graph that parses serialized ones.
        warmup: Requests that a server runs before it serves the model, each with values by the keys of the inputs of
            ``serving_default``, or of the only signature.
        durable: Whether to return only once disks have the bytes.
        dry_run: If true, nothing is written: everything is checked that is known without values, and `target` is returned.
            ``"values"`` reads the values too.
        trusted: By default, a file that the source's graph names is an error unless it is in the source's directory: a graph
            can name any file of this machine. True copies such files. False also refuses state files and symbolic links
            that lead out of the directory.
        progress: Called with the bytes of variables done and the bytes in all.
        storage_options: For a path in a store: what fsspec makes its file system with. See `StoragePath`.
        fs: An open fsspec file system for it, in place of `storage_options`.

    Returns:
        The directory of the SavedModel.

    Raises:
        InvalidArgumentError: There is nothing to export, or the arguments contradict each other or the graph.
        NotFoundError: A tensor, a value or a file is not there; says which, and what is near.
        ShapeMismatchError: A value or a signature has another shape than the graph.
        UntrustedPathError: The graph names files outside of the source's directory; lists all of them.
        AlreadyExistsError: Something is at `target` already.
        DataLossError: The source is damaged.
    """
    if is_session(source):
        source = session_source(source)
        inputs, outputs, signatures = _named(inputs), _named(outputs), _signatures(signatures)
    opened = sources.open_source(source, variables, trusted=trusted)
    request = ExportRequest(
        inputs, outputs, signatures, method_name, fixed_inputs, tags, assets, init_op, prune, clear_devices,
        strip_default_attrs, empty_tables, repair, freeze, decode,
    )  # fmt: skip
    return exporter.write_export(
        opened,
        target,
        request,
        extra_assets=extra_assets,
        warmup=warmup,
        as_text=as_text,
        versioned=versioned,
        durable=durable,
        dry_run=dry_run,
        progress=progress,
    )


def _signatures(signatures: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if signatures is None:
        return None
    return {
        key: signature
        if isinstance(signature, Message)
        else {name: _named(part) if name in ("inputs", "outputs") else part for name, part in signature.items()}
        for key, signature in signatures.items()
    }


def _named(tensors: Any) -> Any:
    """Tensors of a program as what has a name, or as TensorInfos where one name is not enough."""
    if isinstance(tensors, Mapping):
        return {key: _one(tensor) for key, tensor in tensors.items()}
    if isinstance(tensors, Iterable) and not isinstance(tensors, str) and not hasattr(tensors, "name"):
        return [_value(tensor) for tensor in tensors]
    return tensors if tensors is None else _value(tensors)


def _one(tensor: Any) -> Any:
    tensor = _value(tensor)
    return tensor_info(tensor) if isinstance(tensor, _tensorflow.tf.__internal__.CompositeTensor) else tensor


def _value(tensor: Any) -> Any:
    """What a variable's name names is not its value."""
    is_variable = isinstance(tensor, (_tensorflow.BaseResourceVariable, _tensorflow.RefVariable))
    return tensor.graph.as_graph_element(tensor) if is_variable else tensor
