"""`tf.compat.v1.saved_model.main_op`: what a loader shall run once the variables are restored."""

from __future__ import annotations

from typing import Any

from tfsaver.compat import _tensorflow

__all__ = ["main_op", "main_op_with_restore"]


def main_op() -> Any:
    """An operation that initializes all variables, global and local, and all tables of the default graph.

    A loader runs it after it has restored the variables, which get their initial values again: what a trained model needs
    is only the initialization of local variables and tables.
    """
    v1 = _tensorflow.tf.compat.v1
    return v1.group(v1.global_variables_initializer(), v1.local_variables_initializer(), v1.tables_initializer())


def main_op_with_restore(restore_op_name: Any) -> Any:
    """The same, and then another operation.

    Args:
        restore_op_name: The operation, or its name.
    """
    v1 = _tensorflow.tf.compat.v1
    initialized = main_op()
    restore = restore_op_name
    if isinstance(restore, str):
        restore = v1.get_default_graph().as_graph_element(restore, allow_tensor=True, allow_operation=True)
    # What is there already does not wait for what is new: it runs in the same step, in whatever order.
    with v1.control_dependencies([initialized]):
        return v1.group(restore)
