"""`tf.compat.v1.train`, as far as it is about checkpoints: change the import, keep the program.

The functions are those of `tfsaver.checkpoint`, which need no TensorFlow. Their errors become TensorFlow's classes when
TensorFlow is in use by the same process, and stay ours when it is not.
"""

from __future__ import annotations

from tfsaver.checkpoint.checkpoint_management import (
    checkpoint_exists,
    generate_checkpoint_state_proto,
    get_checkpoint_mtimes,
    get_checkpoint_state,
    latest_checkpoint,
    remove_checkpoint,
)
from tfsaver.compat.v1.saver import Saver

__all__ = [
    "Saver",
    "checkpoint_exists",
    "generate_checkpoint_state_proto",
    "get_checkpoint_mtimes",
    "get_checkpoint_state",
    "latest_checkpoint",
    "remove_checkpoint",
]
