"""`tf.compat.v1.train`, as far as it is about checkpoints: change the import, keep the program.

Most functions are those of `tfsaver.checkpoint`, which need no TensorFlow; the others differ from them in the names of
arguments and in the classes of errors, which are TensorFlow's when TensorFlow is in use by the same process, and ours when
it is not.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tfsaver.checkpoint import checkpoint_management
from tfsaver.checkpoint.checkpoint_management import (
    checkpoint_exists,
    generate_checkpoint_state_proto,
    get_checkpoint_mtimes,
    get_checkpoint_state,
    latest_checkpoint,
    remove_checkpoint,
)
from tfsaver.compat._errors import translate
from tfsaver.compat.v1.checkpoint_utils import (
    NewCheckpointReader,
    checkpoints_iterator,
    list_variables,
    load_checkpoint,
    load_variable,
)
from tfsaver.compat.v1.initialization import init_from_checkpoint, warm_start
from tfsaver.compat.v1.meta_graph import export_meta_graph, import_meta_graph
from tfsaver.compat.v1.saver import Saver
from tfsaver.errors import NotFoundError
from tfsaver.lib import file_io

__all__ = [
    "NewCheckpointReader",
    "Saver",
    "checkpoint_exists",
    "checkpoints_iterator",
    "export_meta_graph",
    "generate_checkpoint_state_proto",
    "get_checkpoint_mtimes",
    "get_checkpoint_state",
    "import_meta_graph",
    "init_from_checkpoint",
    "latest_checkpoint",
    "list_variables",
    "load_checkpoint",
    "load_variable",
    "remove_checkpoint",
    "update_checkpoint_state",
    "warm_start",
]


def update_checkpoint_state(
    save_dir: file_io.PathLike,
    model_checkpoint_path: file_io.PathLike,
    all_model_checkpoint_paths: Iterable[file_io.PathLike] | None = None,
    latest_filename: file_io.PathLike | None = None,
    all_model_checkpoint_timestamps: Sequence[float] | None = None,
    last_preserved_timestamp: float | None = None,
) -> None:
    """Writes a directory's state file; see `tfsaver.checkpoint.checkpoint_management`.

    Raises:
        InvalidArgumentError: A ValueError; the arguments contradict each other.
        PathConflictError: A RuntimeError; the state file would take the place of the checkpoint.
        tf.errors.NotFoundError: There is no directory `save_dir`.
    """
    try:
        checkpoint_management.update_checkpoint_state(
            save_dir,
            model_checkpoint_path,
            all_model_checkpoint_paths,
            latest_filename,
            all_model_checkpoint_timestamps,
            last_preserved_timestamp,
        )
    except (NotFoundError, OSError) as error:
        raise translate(error) from error
