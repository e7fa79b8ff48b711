"""Makes a SavedModel out of a graph and values for its variables, without TensorFlow.

    export_saved_model("model.ckpt-1000", "export", outputs=["logits"], versioned=True)

    source -> signatures, each tensor looked up       -> what feeds them cut off, what makes no sense alone refused
           -> what they and the init op need           -> a value for every variable that is left
           -> nodes that restore them, devices cleared -> a directory that appears whole, once it has been read back
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tfsaver import schemas
from tfsaver.checkpoint.execution import DryRun, Progress
from tfsaver.graph.repairs import Repair
from tfsaver.lib import file_io
from tfsaver.lib.storage_options import OpenFileSystem, StorageOptions, takes_storage_options
from tfsaver.saved_model import assets as asset_files
from tfsaver.saved_model import constants, export_plan, sources, tensor_requests
from tfsaver.saved_model.builder import SavedModelBuilder, check_target


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
        source: A checkpoint's prefix, with its ``.meta`` file beside it; a MetaGraphDef or a GraphDef, or the path of one;
            a SavedModel.
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
            ``is_training`` and ``keep_prob``. Each is logged.
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
    request = export_plan.ExportRequest(
        inputs, outputs, signatures, method_name, fixed_inputs, tags, assets, init_op, prune, clear_devices,
        strip_default_attrs, empty_tables, repair,
    )
    opened = sources.open_source(source, variables, trusted=trusted)
    try:
        plan = export_plan.plan_export(opened, request)
        extra = asset_files.arrange_extra_assets(extra_assets or {})
        if dry_run:
            check_target(file_io.as_path(target), versioned=versioned)
            if dry_run == "values":
                for name in plan.variables.values:
                    plan.variables.values[name]
            return file_io.as_path(target)
        with SavedModelBuilder(target, versioned=versioned, durable=durable) as builder:
            if plan.variables.restored:
                builder.write_variables(plan.variables.values, progress=progress)
            builder.add_assets(plan.asset_sources)
            builder.add_extra_assets(extra)
            model = schemas.SavedModel(saved_model_schema_version=constants.SCHEMA_VERSION, meta_graphs=[plan.meta_graph])
            return builder.finish(model, as_text=as_text)
    finally:
        opened.close()
