"""Writes the SavedModel of an export that is planned, without TensorFlow.

    source -> signatures, each tensor looked up       -> what feeds them cut off, what makes no sense alone refused
           -> what they and the init op need           -> a value for every variable that is left
           -> nodes that restore them, devices cleared -> a directory that appears whole, once it has been read back

The options stand in `tfsaver.compat.export`, which callers use.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tfsaver import schemas
from tfsaver.checkpoint.execution import DryRun, Progress
from tfsaver.errors import InvalidArgumentError
from tfsaver.lib import file_io
from tfsaver.saved_model import assets as asset_files
from tfsaver.saved_model import constants, export_plan
from tfsaver.saved_model import warmup as warmup_file
from tfsaver.saved_model.builder import SavedModelBuilder, check_target
from tfsaver.saved_model.signature_def import read_signature
from tfsaver.saved_model.sources import ExportSource


def write_export(
    source: ExportSource,
    target: file_io.PathLike,
    request: export_plan.ExportRequest,
    *,
    extra_assets: Mapping[str, file_io.PathLike] | None = None,
    warmup: Sequence[Mapping[str, Any]] = (),
    as_text: bool,
    versioned: bool,
    durable: bool,
    dry_run: DryRun,
    progress: Progress | None,
) -> str:
    """Plans an export, writes it, and closes its source; arguments as `export_saved_model` has them.

    Returns:
        The directory of the SavedModel.

    Raises:
        SaverError: As `export_saved_model` has it.
    """
    try:
        plan = export_plan.plan_export(source, request)
        extra = asset_files.arrange_extra_assets(extra_assets or {})
        requests = _warmup_requests(plan.meta_graph, warmup) if warmup else None
        if requests is not None and warmup_file.FILE_NAME in extra:
            raise InvalidArgumentError(f"warmup= makes {warmup_file.FILE_NAME}, which extra_assets has too")
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
            if requests is not None:
                builder.add_file(f"{constants.EXTRA_ASSETS_DIRECTORY}/{warmup_file.FILE_NAME}", requests)
            model = schemas.SavedModel(saved_model_schema_version=constants.SCHEMA_VERSION, meta_graphs=[plan.meta_graph])
            return builder.finish(model, as_text=as_text)
    finally:
        source.close()


def _warmup_requests(meta_graph: schemas.MetaGraphDef, requests: Sequence[Mapping[str, Any]]) -> bytes:
    """The warmup requests for the default signature, or for the only one."""
    keys = [key for key in meta_graph.signature_def if key not in constants.RESERVED_SIGNATURE_KEYS]
    key = constants.DEFAULT_SIGNATURE_KEY if constants.DEFAULT_SIGNATURE_KEY in keys or len(keys) != 1 else keys[0]
    if key not in keys:
        raise InvalidArgumentError(f"warmup= is for the signature {key!r}: there is {', '.join(map(repr, sorted(keys)))}")
    return warmup_file.make_warmup_requests(read_signature(key, meta_graph.signature_def[key]), requests)
