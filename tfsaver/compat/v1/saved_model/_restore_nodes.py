"""The nodes that restore the variables, for a graph that is finalized and had no Saver before.

Such a graph takes no nodes any more, which TensorFlow's Builder needs; what is exported is a copy of it, and takes them.
"""

from __future__ import annotations

from typing import Any

from tfsaver import schemas
from tfsaver.checkpoint.checkpoint_reader import load_checkpoint
from tfsaver.graph.save_restore import with_saver
from tfsaver.graph.variables import find_variables
from tfsaver.lib import file_io


def with_restore_nodes(meta_graph: Any, prefix: str) -> Any:
    """A MetaGraphDef that restores the variables of a checkpoint; as it is if there is no checkpoint.

    Raises:
        RuntimeError: The checkpoint has something that is no variable: what restores it is not ours to make.
    """
    if not file_io.exists(f"{prefix}.index"):
        return meta_graph
    ours = schemas.MetaGraphDef.FromString(meta_graph.SerializeToString())
    with load_checkpoint(prefix) as reader:
        variables = [variable for variable in find_variables(ours) if variable.name in reader]
        others = set(reader) - {variable.name for variable in variables}
    if others:
        raise RuntimeError(
            f"Graph is finalized and cannot be modified, so that nothing can restore {', '.join(sorted(others))}: "
            "make a Saver before the graph is finalized"
        )
    return type(meta_graph).FromString(with_saver(ours, variables).SerializeToString())
