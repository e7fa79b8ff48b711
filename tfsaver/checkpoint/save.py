"""Writes a mapping from names to arrays as a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tfsaver.checkpoint.checkpoint_target import CheckpointFormat, CheckpointTarget
from tfsaver.checkpoint.execution import DryRun, Execution, Progress
from tfsaver.checkpoint.objects.object_based import for_objects
from tfsaver.checkpoint.objects.object_graph_like import as_object_graph
from tfsaver.checkpoint.tensor_source import as_source
from tfsaver.errors import InvalidArgumentError, OptionError
from tfsaver.lib import file_io
from tfsaver.lib.renamed_options import renamed_options
from tfsaver.lib.storage_options import OpenFileSystem, StorageOptions, takes_storage_options


@renamed_options(mapping="checkpoint", prefix="target")
@takes_storage_options("target")
def save_checkpoint(
    checkpoint: Mapping[str, Any],
    target: file_io.PathLike,
    *,
    format: CheckpointFormat = "V2",  # noqa: A002 - the word every saver uses for it
    num_shards: int = 1,
    overwrite: bool = True,
    dry_run: DryRun = False,
    durable: bool = True,
    object_graph: Any = None,
    trusted: bool = True,
    progress: Progress | None = None,
    storage_options: StorageOptions | None = None,
    fs: OpenFileSystem | None = None,
) -> str:
    """Writes tensors as a checkpoint that TensorFlow reads, in the order of their names.

    The files are those that TensorFlow's Saver writes for variables of these names and values, byte for byte. A dict's
    arrays are written out of their memory. Any other mapping is asked for each value once, and may make it in memory that
    it uses again for the next; of an open checkpoint's large tensors there are only pieces. A V1 checkpoint's file is
    written at the end, and all values are held until then.

    Args:
        checkpoint: Names to arrays, or to what numpy makes arrays of; strings as str or bytes.
        target: The checkpoint's path without suffix. Missing directories are made.
        format: ``V2``, or ``V1`` for programs that read nothing newer.
        num_shards: How many data files there are; tensors go to the one that has least.
        overwrite: Whether an existing checkpoint may be replaced, as TensorFlow's Saver does.
        dry_run: If true, nothing is written: everything is checked that can be without reading values. ``"values"`` reads
            them too.
        durable: Whether to fsync before returning.
        object_graph: The objects that `tf.train.Checkpoint` is to restore the tensors into; None writes names alone. An
            ObjectGraph, its bytes, a dict or list (of dicts and lists) of names in the mapping, or the path of another
            object-based checkpoint or SavedModel whose objects these are. A tensor is for the variable of that key, full
            name or path; `for_objects` says how they are found, and can leave some out.
        trusted: If false, and `object_graph` is a path, a name in a file that leads out of its directory is an error.
        progress: Called with the bytes done and the bytes in all.
        storage_options: For a path in a store: what fsspec makes its file system with. See `StoragePath`.
        fs: An open fsspec file system for it, in place of `storage_options`.

    Returns:
        The checkpoint's name as `load_checkpoint` takes it: `target`, or the pattern of a V1 checkpoint in several files.

    Raises:
        InvalidArgumentError: An unknown format, a name that is no str or empty, fewer shards than one, a prefix that ends
            with a slash; or tensors that do not fit the objects, or are none of theirs.
        NotFoundError: The objects have values that no tensor is for; says everything that is wrong.
        UnimplementedError: A value of a type that the format cannot hold.
        WriteError: The system refuses it, or there is no room. Then everything is as it was.
    """
    if not isinstance(checkpoint, Mapping):
        raise InvalidArgumentError(f"a mapping from names to arrays is needed, not {type(checkpoint).__name__}")
    source = as_source(checkpoint)
    to = CheckpointTarget(
        target,
        format=format,
        num_shards=num_shards,
        keep_slices=False,
        durable=durable,
        replaces="anything" if overwrite else "nothing",
    )
    if object_graph is not None:
        if to.format == "V1":
            raise OptionError("object_graph with format 'V1': TensorFlow restores objects from V2 alone")
        source = for_objects(source, as_object_graph(object_graph, trusted=trusted)).plan
    Execution(source, to, progress=progress).run(dry_run=dry_run)
    return to.path
