"""`tf.compat.v1.train.import_meta_graph` and `export_meta_graph`, with our Saver.

    import_meta_graph("model-1000.meta")     nodes and collections into the default graph -> Saver of its saver_def
    export_meta_graph("model.meta")          the way back

TensorFlow reads the file and builds the graph. The Saver is ours: it finds the variables behind the nodes that the saver_def
names, wherever those nodes were imported to.
"""

from __future__ import annotations

import logging
import re
from typing import Any

from tfsaver.compat import _tensorflow
from tfsaver.compat._meta_graph import export_meta_graph
from tfsaver.compat.v1.saver import Saver

__all__ = ["export_meta_graph", "import_meta_graph"]

_RELEASE = re.compile(r"\d+(\.\d+)*")
_VERSION = re.compile(rf"{_RELEASE.pattern}([-._]?(a|b|rc|dev|post)[-._]?\d*)*(\+[\w.-]+)?|")

_logger = logging.getLogger(__name__)


def import_meta_graph(
    meta_graph_or_file: Any, clear_devices: bool = False, import_scope: str | None = None, **kwargs: Any
) -> Saver | None:
    """Adds a graph to the default graph, with its collections.

    Args:
        meta_graph_or_file: A MetaGraphDef, which stays as it is, or the path of a file with one.
        clear_devices: Whether nodes forget their devices.
        import_scope: The name scope for all nodes.
        **kwargs: `graph`, `input_map`, `unbound_inputs_col_name`, `restore_collections_predicate` and `return_elements`.

    Returns:
        The Saver that was exported with the graph; a new one of all variables if there was none; None when there are no
        variables either.

    Raises:
        RuntimeError: In eager mode.
        OSError: The file is not there, or is no MetaGraphDef.
        ValueError: Inputs are unbound and not in `input_map`.
    """
    if _tensorflow.tf.executing_eagerly():
        raise RuntimeError(
            "Exporting/importing meta graphs is not supported when eager execution is enabled. No graph exists when eager "
            "execution is enabled."
        )
    meta_graph_def = _own_copy(meta_graph_or_file)
    variables, _ = _tensorflow.meta_graph.import_scoped_meta_graph_with_return_elements(
        meta_graph_def, clear_devices=clear_devices, import_scope=import_scope, **kwargs
    )
    if meta_graph_def.HasField("saver_def"):
        return Saver(saver_def=meta_graph_def.saver_def, name=_scope(variables, import_scope))
    if _has_variables(import_scope):
        return Saver()
    _logger.info("No Saver: there are no variables in the graph to restore")
    return None


def _has_variables(scope: str | None) -> bool:
    v1 = _tensorflow.tf.compat.v1
    keys = v1.GraphKeys
    return any(v1.get_collection(key, scope) for key in (keys.GLOBAL_VARIABLES, keys.SAVEABLE_OBJECTS))


def _own_copy(meta_graph_or_file: Any) -> Any:
    """A MetaGraphDef that may be changed: importing gives its saver_def the names of the imported nodes."""
    message = _tensorflow.tf.compat.v1.MetaGraphDef
    if isinstance(meta_graph_or_file, message):
        copy = message()
        copy.CopyFrom(meta_graph_or_file)
    else:
        copy = _tensorflow.meta_graph.read_meta_graph_file(meta_graph_or_file)
    # Importing compares the version that wrote the graph, and fails at such as "0.12.head", which has no place in an order.
    info = copy.meta_info_def
    if not _VERSION.fullmatch(info.tensorflow_version) and (release := _RELEASE.match(info.tensorflow_version)):
        info.tensorflow_version = release[0]
    return copy


def _scope(variables: dict[str, Any], import_scope: str | None) -> str | None:
    """The scope that nodes were imported to: a variable knows, which was told where it came to be.

    It is another than `import_scope` inside of a name scope, and when a scope of that name was there already.
    """
    for exported_name, variable in variables.items():
        return str(variable.name)[: -len(exported_name)]
    return import_scope
