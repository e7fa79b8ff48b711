"""Several SavedModels as one: their graphs side by side, each under its own tags, over one checkpoint.

Graphs of one SavedModel share their variables by name. So a name that two models have must mean the same value, bit for bit;
a file of the same name with other content gets a number at its end.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from tfsaver import schemas
from tfsaver.checkpoint.checkpoint_reader import CheckpointReader
from tfsaver.checkpoint.execution import Progress
from tfsaver.errors import InvalidArgumentError, UnimplementedError
from tfsaver.lib import file_io
from tfsaver.lib.renamed_options import renamed_options
from tfsaver.saved_model import assets, constants
from tfsaver.saved_model.builder import SavedModelBuilder
from tfsaver.saved_model.loader import SavedModel, format_tags, load_saved_model


@renamed_options(paths="saved_models", export_dir="target")
def merge_saved_models(
    saved_models: Sequence[file_io.PathLike],
    target: file_io.PathLike,
    *,
    tags: Sequence[Iterable[str]] | None = None,
    as_text: bool = False,
    versioned: bool = False,
    durable: bool = True,
    trusted: bool = True,
    progress: Progress | None = None,
) -> str:
    """Writes a SavedModel with the graphs of several.

    Args:
        saved_models: The SavedModels, in the order that their graphs shall have; a loader takes the first whose tags are
            asked for.
        target: Where the new one shall be, as `export_saved_model` has it.
        tags: Other tags for the graph of each model, which then must have only one.
        as_text: Whether to write ``saved_model.pbtxt``.
        versioned: Whether `target` is the directory of a server's versions.
        durable: Whether to return only once disks have the bytes.
        trusted: If false, a symbolic link that leads out of a model's directory is an error.
        progress: Called with the bytes of variables done and the bytes in all.

    Returns:
        The directory of the SavedModel.

    Raises:
        InvalidArgumentError: Two graphs have the same tags, or two models different values for one variable.
        UnimplementedError: One of several is a model of objects.
        AlreadyExistsError: Something is at `target` already.
        UntrustedPathError: A model is not trusted, and symbolic links lead out of it.
    """
    with contextlib.ExitStack() as stack:
        models = [stack.enter_context(load_saved_model(path, trusted=trusted)) for path in saved_models]
        merged = schemas.SavedModel(saved_model_schema_version=constants.SCHEMA_VERSION)
        for number, model in enumerate(models):
            merged.meta_graphs.extend(model.proto.meta_graphs)
            if tags is not None:
                _set_tags(merged, model, tags[number] if number < len(tags) else ())
        _check_graphs(merged, models)
        asset_sources = _merge_assets(merged, models)
        values = _merge_variables(models)
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
            raise InvalidArgumentError(f"two graphs have the tags {format_tags(sorted(tags))}: give them others")
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


def _merge_variables(models: Sequence[SavedModel]) -> Mapping[str, Any]:
    """The variables of all models, each read from the first that has it.

    Raises:
        InvalidArgumentError: Another one has another value of that name.
    """
    first: dict[str, CheckpointReader] = {}
    for model in models:
        checkpoint = model.variables.checkpoint
        if checkpoint is None:
            continue
        for name in checkpoint:
            other = first.setdefault(name, checkpoint)
            if other is not checkpoint and not _is_same(other, checkpoint, name):
                raise InvalidArgumentError(
                    f"variable {name!r} has one value in {other.prefix} and another in {checkpoint.prefix}"
                )
    return _FromSeveral(first)


class _FromSeveral(Mapping[str, Any]):
    """Values by name, each from the checkpoint that has it."""

    def __init__(self, checkpoints: Mapping[str, CheckpointReader]) -> None:
        self._checkpoints = checkpoints

    def __getitem__(self, name: str) -> Any:
        return self._checkpoints[name].read(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._checkpoints)

    def __len__(self) -> int:
        return len(self._checkpoints)


def _is_same(left: CheckpointReader, right: CheckpointReader, name: str) -> bool:
    if left.info(name)[1:3] != right.info(name)[1:3]:
        return False
    first, second = left.read(name), right.read(name)
    if first.dtype == object:
        return bool((first == second).all())
    return first.tobytes() == second.tobytes()
