"""A SavedModel as one GraphDef, its variables as constants: the form that old programs and converters read."""

from __future__ import annotations

from collections.abc import Iterable

from tfsaver import schemas
from tfsaver.graph.freezing import freeze_graph
from tfsaver.lib import file_io
from tfsaver.lib.renamed_options import renamed_options
from tfsaver.saved_model.loader import load_saved_model


@renamed_options(path="saved_model")
def freeze_saved_model(
    saved_model: file_io.PathLike,
    outputs: Iterable[str] = (),
    *,
    tags: Iterable[str] | str | None = None,
    trusted: bool = True,
) -> schemas.GraphDef:
    """The graph of a SavedModel with constants for its variables.

    The way back is `graph.unfreezing.unfreeze_graph`, whose graph and values `export_saved_model` takes.

    Args:
        saved_model: The SavedModel.
        outputs: Tensors or operations to keep; those of all signatures when there are none.
        tags: Which of several graphs.
        trusted: If false, a symbolic link that leads out of the model's directory is an error.

    Raises:
        CheckpointNotFoundError: There is no SavedModel.
        NotFoundError: No graph has these tags, a variable has no value, or an output is not in the graph.
        UnimplementedError: The graph changes its variables when it is run.
    """
    with load_saved_model(saved_model, trusted=trusted) as model:
        return freeze_graph(model.meta_graph(tags).proto, model.variables, outputs)
