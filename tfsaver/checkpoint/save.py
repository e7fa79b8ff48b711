"""Writes a mapping from names to arrays as a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tfsaver.checkpoint.checkpoint_target import CheckpointTarget
from tfsaver.checkpoint.execution import Execution
from tfsaver.checkpoint.objects.object_based import for_objects
from tfsaver.checkpoint.objects.object_graph_like import as_object_graph
from tfsaver.checkpoint.tensor_source import as_source
from tfsaver.errors import InvalidArgumentError
from tfsaver.lib import file_io


def save_checkpoint(
    mapping: Mapping[str, Any],
    prefix: file_io.PathLike,
    *,
    format: str = "v2",  # noqa: A002 - the word every saver uses for it
    num_shards: int = 1,
    durable: bool = True,
    object_graph: Any = None,
) -> str:
    """Writes tensors as a checkpoint that TensorFlow reads, in the order of their names.

    The files are those that TensorFlow's Saver writes for variables of these names and values, byte for byte. A dict's
    arrays are written out of their memory. Any other mapping is asked for each value once, and may make it in memory that
    it uses again for the next; of an open checkpoint's large tensors there are only pieces. A V1 checkpoint's file is
    written at the end, and all values are held until then.

    Args:
        mapping: Names to arrays, or to what numpy makes arrays of; strings as str or bytes.
        prefix: The checkpoint's path without suffix. Missing directories are made.
        format: ``v2``, or ``v1`` for programs that know nothing newer.
        num_shards: How many data files there are; tensors go to the one that has least.
        durable: Whether to return only once disks have the bytes.
        object_graph: The objects that `tf.train.Checkpoint` is to restore the tensors into; None writes names alone. An
            ObjectGraph, its bytes, a dict or list (of dicts and lists) of names in the mapping, or the path of another
            object-based checkpoint or SavedModel whose objects these are. A tensor is for the variable of that key, full
            name or path; `for_objects` says how they are found, and can leave some out.

    Returns:
        The checkpoint's name as `load_checkpoint` takes it: `prefix`, or the pattern of a V1 checkpoint in several files.

    Raises:
        InvalidArgumentError: An unknown format, a name that is no str or empty, fewer shards than one, a prefix that ends
            with a slash; or tensors that do not fit the objects, or are none of theirs.
        NotFoundError: The objects have values that no tensor is for; says everything that is wrong.
        UnimplementedError: A value of a type that the format cannot hold.
        WriteError: The system refuses it, or there is no room. Then everything is as it was.
    """
    if not isinstance(mapping, Mapping):
        raise InvalidArgumentError(f"a mapping from names to arrays is needed, not {type(mapping).__name__}")
    source = as_source(mapping)
    if object_graph is not None:
        if format == "v1":
            raise InvalidArgumentError("object_graph with format 'v1': TensorFlow restores objects from V2 alone")
        source = for_objects(source, as_object_graph(object_graph)).plan
    target = CheckpointTarget(prefix, format=format, num_shards=num_shards, keep_slices=False, durable=durable)
    Execution(source, target).run()
    return target.path
