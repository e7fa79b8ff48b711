"""Saving and restoring by the nodes of a graph, in TensorFlow's own runtime.

Our reader and writer work in the process of the program. That is the wrong place where

    a session is on a cluster, and a Saver is sharded or its variables live on other servers: each server writes and reads
    its own variables, and the files are where the servers are
    the nodes are of another kind: a program's own builder made them, or a SaverDef came without its variables and leads to
    something that is no variable

There the nodes run. What can be said beforehand is: names, dtypes and shapes are compared before the restore operation runs.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from tfsaver.compat import _tensorflow
from tfsaver.compat._paths import missing_parent
from tfsaver.compat._saver_graph import SaverVariables
from tfsaver.compat._shards import device_of

_WHY = (
    "Restoring from checkpoint failed. This is most likely due to {} from the checkpoint. The graph must be the one that "
    "the checkpoint was saved from. Original error:\n\n{}"
)
_MISSING = "a Variable name or other graph key that is missing"
_MISMATCH = "a mismatch between the current graph and the graph"


def is_needed(session: Any, saver_def: Any, variables: SaverVariables | None) -> bool:
    """Whether the nodes have to do it.

    Args:
        session: What would run them.
        saver_def: Which they are; None if there are none.
        variables: What they save and restore; None when only they know.
    """
    if saver_def is None:
        return False
    if variables is None:
        return True
    if not target_of(session):
        return False
    return bool(saver_def.sharded) or any(_is_elsewhere(device_of(binding)) for binding in variables.bindings)


def target_of(session: Any) -> Any:
    """The server that a session talks to; nothing when it runs in this process, or does not say."""
    try:
        return getattr(session, "sess_str", b"")
    except NotImplementedError:
        return b""


def _is_elsewhere(device: str) -> bool:
    spec = _tensorflow.tf.DeviceSpec.from_string(device)
    return spec.job is not None or spec.task is not None


def save(session: Any, saver_def: Any, save_path: str, prefix: str) -> str:
    """Runs the save operation.

    Returns:
        What it returns: the prefix, or a pattern for the shards of a V1 checkpoint.

    Raises:
        InvalidArgumentError: The directory is not there.
        tf.errors.OpError: Whatever TensorFlow's runtime says.
    """
    errors = _tensorflow.tf.errors
    try:
        saved = session.run(saver_def.save_tensor_name, {saver_def.filename_tensor_name: prefix})
    except (errors.FailedPreconditionError, errors.NotFoundError) as error:
        if (missing := missing_parent(save_path)) is not None:
            raise missing from error
        raise
    return str(_tensorflow.tf.compat.as_str(saved))


def restore(session: Any, saver_def: Any, path: str) -> None:
    """Runs the restore operation.

    Raises:
        tf.errors.OpError: Whatever TensorFlow's runtime says.
    """
    with _explained():
        session.run(saver_def.restore_op_name, {saver_def.filename_tensor_name: path})


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    errors = _tensorflow.tf.errors
    try:
        yield
    except errors.NotFoundError as error:
        raise type(error)(error.node_def, error.op, _WHY.format(_MISSING, error.message)) from error
    except errors.InvalidArgumentError as error:
        raise type(error)(error.node_def, error.op, _WHY.format(_MISMATCH, error.message)) from error
