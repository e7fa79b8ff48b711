"""Several SavedModels as one: their graphs under tags of their own over one checkpoint, or all in one graph.

Graphs of one SavedModel share their variables by name. So a name that two models have must mean the same value, bit for bit,
unless `prefixes` gives the variables of each model names of their own in the checkpoint: the graph then gets a Saver that
restores them by these. A file of the same name with other content gets a number at its end.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from tfsaver import schemas
from tfsaver.checkpoint.checkpoint_reader import CheckpointReader
from tfsaver.checkpoint.execution import DryRun, Progress
from tfsaver.errors import InvalidArgumentError, UnimplementedError
from tfsaver.graph.save_restore import with_saver
from tfsaver.graph.saver_keys import saver_keys
from tfsaver.graph.variables import find_variables
from tfsaver.lib import file_io
from tfsaver.lib.renamed_options import renamed_options
from tfsaver.lib.storage_options import OpenFileSystem, StorageOptions, takes_storage_options
from tfsaver.saved_model import assets, constants
from tfsaver.saved_model.builder import SavedModelBuilder, check_target
from tfsaver.saved_model.export_plan import ExportRequest
from tfsaver.saved_model.exporter import write_export
from tfsaver.saved_model.joining import join_models
from tfsaver.saved_model.loader import SavedModel, format_tags, load_saved_model


@renamed_options(paths="saved_models", export_dir="target")
@takes_storage_options("saved_models", "target")
def merge_saved_models(
    saved_models: Sequence[file_io.PathLike],
    target: file_io.PathLike,
    *,
    tags: Sequence[Iterable[str]] | None = None,
    prefixes: Sequence[str] | None = None,
    connect: Mapping[str, str] | None = None,
    as_text: bool = False,
    versioned: bool = False,
    durable: bool = True,
    dry_run: DryRun = False,
    trusted: bool = True,
    progress: Progress | None = None,
    storage_options: StorageOptions | None = None,
    fs: OpenFileSystem | None = None,
) -> str:
    """Writes a SavedModel with the graphs of several.

    Args:
        saved_models: The SavedModels, in the order that their graphs shall have; a loader takes the first whose tags are
            asked for.
        target: Where the new one shall be, as `export_saved_model` has it.
        tags: Other tags for the graph of each model, which then must have only one.
        prefixes: What the names of each model's variables begin with in the new checkpoint: ``["a", "b"]`` makes ``a/w`` and
            ``b/w`` of two variables ``w``. "" leaves them as they are. Nodes and signatures keep their names. By default,
            if `tags` are given and two models have different values for a name, the tags.
        connect: Makes one graph of all models, in which the names of nodes and the keys of signatures begin with the
            prefixes too, and connects outputs with inputs: ``{"head:x": "encoder:features"}`` gives the input ``x`` of the
            model with the prefix ``head`` the output ``features`` of ``encoder``. What is not connected makes up the
            signature ``serving_default``. ``{}`` connects nothing. `tags` are then those of the one graph.
        as_text: Whether to write ``saved_model.pbtxt``.
        versioned: Whether `target` is the directory of a server's versions.
        durable: Whether to return only once disks have the bytes.
        dry_run: If true, nothing is written: everything is checked, and `target` is returned.
        trusted: If false, a symbolic link that leads out of a model's directory is an error.
        progress: Called with the bytes of variables done and the bytes in all.
        storage_options: For a path in a store: what fsspec makes its file system with. See `StoragePath`.
        fs: An open fsspec file system for it, in place of `storage_options`.

    Returns:
        The directory of the SavedModel.

    Raises:
        InvalidArgumentError: Two graphs have the same tags, or two models different values for one variable; or a number of
            prefixes that is not the number of models; or a connection of two types or shapes.
        NotFoundError: A connection names no model, or no key of its signature.
        UnimplementedError: One of several is a model of objects.
        AlreadyExistsError: Something is at `target` already.
        UntrustedPathError: A model is not trusted, and symbolic links lead out of it.
    """
    with contextlib.ExitStack() as stack:
        models = [stack.enter_context(load_saved_model(path, trusted=trusted)) for path in saved_models]
        if connect is not None:
            given = [name for each in tags or () for name in ([each] if isinstance(each, str) else each)]
            return write_export(
                join_models(models, prefixes or (), connect),
                target,
                ExportRequest(tags=given or (constants.SERVING,), clear_devices=False),
                as_text=as_text,
                versioned=versioned,
                durable=durable,
                dry_run=dry_run,
                progress=progress,
            )
        merged = schemas.SavedModel(saved_model_schema_version=constants.SCHEMA_VERSION)
        for number, model in enumerate(models):
            merged.meta_graphs.extend(model.proto.meta_graphs)
            if tags is not None:
                _set_tags(merged, model, tags[number] if number < len(tags) else ())
        _check_graphs(merged, models)
        asset_sources = _merge_assets(merged, models)
        if prefixes is not None and len(prefixes) != len(models):
            raise InvalidArgumentError(f"there are {len(models)} models, and {len(prefixes)} prefixes")
        begins = [prefix and prefix.rstrip("/") + "/" for prefix in prefixes or [""] * len(models)]
        found, contradiction = _merge_variables(models, begins)
        if contradiction and tags is not None and prefixes is None:
            # Whoever gives each graph its tags has told them apart.
            begins = ["_".join(graph.meta_info_def.tags) + "/" for graph in merged.meta_graphs]
            found, contradiction = _merge_variables(models, begins)
        if contradiction:
            names = [f"model_{number}" for number, _ in enumerate(models, 1)]
            raise InvalidArgumentError(f"{contradiction}: prefixes={names} gives each model names of its own")
        values = _FromSeveral(found)
        graphs = iter(range(len(merged.meta_graphs)))
        for prefix, model in zip(begins, models, strict=True):
            for _, number in zip(model.meta_graphs, graphs, strict=False):
                if prefix:
                    merged.meta_graphs[number].CopyFrom(_restored_from(merged.meta_graphs[number], prefix))
        if dry_run:
            check_target(file_io.as_path(target), versioned=versioned)
            return file_io.as_path(target)
        with SavedModelBuilder(target, versioned=versioned, durable=durable) as builder:
            if values:
                builder.write_variables(values, progress=progress)
            builder.add_assets(asset_sources)
            return builder.finish(merged, as_text=as_text)


def _set_tags(merged: schemas.SavedModel, model: SavedModel, tags: Iterable[str]) -> None:
    if len(model.meta_graphs) != 1:
        raise InvalidArgumentError(f"{model.directory} holds {len(model.meta_graphs)} graphs, tags can be given to one")
    info = merged.meta_graphs[-1].meta_info_def
    del info.tags[:]
    info.tags.extend(sorted({tags} if isinstance(tags, str) else set(tags)))


def _check_graphs(merged: schemas.SavedModel, models: Sequence[SavedModel]) -> None:
    if not merged.meta_graphs:
        raise InvalidArgumentError("there are no graphs to merge")
    seen: set[frozenset[str]] = set()
    for graph in merged.meta_graphs:
        tags = frozenset(graph.meta_info_def.tags)
        if tags in seen:
            raise InvalidArgumentError(f"two graphs have the tags {format_tags(sorted(tags))}: tags= gives them others")
        seen.add(tags)
        if graph.HasField("object_graph_def") and len(models) > 1:
            raise UnimplementedError("a model of objects has a checkpoint of its own: forget_objects() and prune() it first")


def _merge_assets(merged: schemas.SavedModel, models: Sequence[SavedModel]) -> dict[str, str]:
    """Gives the files of all graphs one set of names."""
    paths: dict[str, str] = {}
    graphs = [(graph, number) for number, graph in enumerate(graph for model in models for graph in model.meta_graphs)]
    for graph, number in graphs:
        paths.update({f"{number} {tensor}": path for tensor, path in graph.assets.items()})
    arranged, sources = assets.arrange_assets(paths)
    for number, proto in enumerate(merged.meta_graphs):
        own = [asset for asset in arranged if asset.tensor_name.startswith(f"{number} ")]
        if own:
            assets.write_assets(
                proto, [assets.Asset(asset.tensor_name.partition(" ")[2], asset.filename) for asset in own]
            )
    return sources


def _restored_from(meta_graph: schemas.MetaGraphDef, prefix: str) -> schemas.MetaGraphDef:
    """A copy of a graph whose Saver knows the variables by names that begin with `prefix`."""
    if not meta_graph.HasField("saver_def"):
        return meta_graph
    restored = set(saver_keys(meta_graph.graph_def, meta_graph.saver_def))
    variables = [each for each in find_variables(meta_graph) if each.node in restored]
    if len(variables) != len(restored):
        raise UnimplementedError("a Saver that restores more than variables, such as tables: prefixes cannot be given")
    # The old Saver's nodes stay: VariableDefs name them as what initializes a variable.
    return with_saver(meta_graph, [dataclasses.replace(each, name=prefix + each.name) for each in variables])


def _merge_variables(
    models: Sequence[SavedModel], prefixes: Sequence[str]
) -> tuple[dict[str, tuple[CheckpointReader, str]], str]:
    """The variables of all models by their new names, each in the first checkpoint that has it, under the name there.

    Returns:
        The variables; and what contradicts itself: "" where nothing does.
    """
    first: dict[str, tuple[CheckpointReader, str]] = {}
    for prefix, model in zip(prefixes, models, strict=True):
        checkpoint = model.variables.checkpoint
        if checkpoint is None:
            continue
        for name in checkpoint:
            other, key = first.setdefault(prefix + name, (checkpoint, name))
            if other is not checkpoint and not _is_same(other, key, checkpoint, name):
                return first, f"variable {name!r} has one value in {other.prefix} and another in {checkpoint.prefix}"
    return first, ""


class _FromSeveral(Mapping[str, Any]):
    """Values by name, each from the checkpoint that has it."""

    def __init__(self, checkpoints: Mapping[str, tuple[CheckpointReader, str]]) -> None:
        self._checkpoints = checkpoints

    def __getitem__(self, name: str) -> Any:
        checkpoint, key = self._checkpoints[name]
        return checkpoint.read(key)

    def __iter__(self) -> Iterator[str]:
        return iter(self._checkpoints)

    def __len__(self) -> int:
        return len(self._checkpoints)


def _is_same(left: CheckpointReader, key: str, right: CheckpointReader, name: str) -> bool:
    if left.info(key)[1:3] != right.info(name)[1:3]:
        return False
    first, second = left.read(key), right.read(name)
    if first.dtype == object:
        return bool((first == second).all())
    return first.tobytes() == second.tobytes()
