"""A session as something to export: its graph, and the values that its variables have now.

No node is added: values are fetched by the tensors that are there. A value is fetched when it is asked for, so that what an
export leaves out (the slots of an optimizer) never leaves the session. Local variables have no value here: what initializes
them goes along. A mutable table has its keys and values here if the graph has the node that reads them, which TensorFlow
makes with the table.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from tfsaver import schemas
from tfsaver.compat import _tensorflow, _transfer
from tfsaver.compat._binding import Binding, graph_variable
from tfsaver.compat._meta_graph import export_meta_graph
from tfsaver.compat._transfer import Array
from tfsaver.errors import TensorNotFoundError, nearest_names
from tfsaver.framework.dtypes import DType
from tfsaver.framework.tensor_shape import Shape
from tfsaver.framework.tensor_util import as_tensor
from tfsaver.graph.graph_variable import GraphVariable
from tfsaver.graph.tables import EXPORT_OPS
from tfsaver.graph.variables import find_variables
from tfsaver.lib.cached_property import cached_property
from tfsaver.saved_model.sources import ExportSource

_logger = logging.getLogger(__name__)


def is_session(source: Any) -> bool:
    """Whether something is a session, as far as can be told without TensorFlow."""
    return hasattr(source, "graph") and callable(getattr(source, "run", None))


def plain_session(session: Any) -> Any:
    """The session below a monitored one, in which no hook runs; any other as it is."""
    if hasattr(session, "run_step_fn"):
        return session.run_step_fn(lambda step_context: step_context.session)
    return session


def session_source(session: Any) -> ExportSource:
    """What is to be exported of a session.

    Args:
        session: A session, which may be a monitored one.
    """
    session = plain_session(session)
    graph = session.graph
    # Without a Saver: the exporter makes the nodes that restore what it has kept.
    exported = export_meta_graph(graph=graph, graph_def=graph.as_graph_def(add_shapes=True))
    meta_graph = schemas.MetaGraphDef.FromString(exported.SerializeToString())
    keys = _tensorflow.tf.compat.v1.GraphKeys
    values = SessionVariables(session, meta_graph)
    objects = [item.name for item in graph.get_collection(keys.SAVEABLE_OBJECTS) if not values.has_table(item.op)]
    if objects:
        _logger.warning("What is no variable is exported without its content: %s", ", ".join(objects))
    return ExportSource(meta_graph, values, what="the session's graph")


class SessionVariables(Mapping[str, Array]):
    """The values of a session's variables by their names in a checkpoint; parts of a tensor also by those of their nodes.

    Those of a mutable table are here as the name of its node with ``-keys`` and ``-values`` behind it.

    Args:
        session: The session.
        meta_graph: Its graph.
    """

    def __init__(self, session: Any, meta_graph: schemas.MetaGraphDef) -> None:
        self._session = session
        self._parts: dict[str, list[tuple[GraphVariable, Binding]]] = {}
        self._whole: dict[str, Binding] = {}
        graph = session.graph
        local = _local_nodes(graph)
        for variable in find_variables(meta_graph):
            found = graph_variable(_value_of(graph.get_tensor_by_name(f"{variable.node}:0")))
            # A variable that nothing reads has no value that could be fetched.
            if found is None or variable.node in local:
                continue
            binding = Binding(variable.name, found)
            if variable.is_part:
                self._parts.setdefault(variable.name, []).append((variable, binding))
                self._whole[variable.node] = binding
            else:
                self._whole[variable.name] = binding
        self._tables: dict[str, tuple[Any, int]] = {}
        self._read_tables: dict[Any, tuple[Array, ...]] = {}
        for operation in graph.get_operations():
            if operation.type in EXPORT_OPS.values() and _can_be_run(operation):
                for position, part in enumerate(("keys", "values")):
                    self._tables.setdefault(f"{operation.inputs[0].op.name}-{part}", (operation, position))

    def has_table(self, table: Any) -> bool:
        """Whether the content of what a saveable object saves is that of a table, and is here."""
        handle = getattr(table, "resource_handle", None)
        return handle is not None and f"{handle.op.name}-keys" in self._tables

    @cached_property
    def _names(self) -> dict[str, None]:
        return dict.fromkeys([*self._whole, *self._parts, *self._tables])

    def dtype_and_shape(self, name: str) -> tuple[DType, Shape]:
        """Type and shape of a value; it is fetched for that only where the graph does not say."""
        if name in self._parts:
            variable, binding = self._parts[name][0]
            return binding.dtype, tuple(variable.full_shape or ())
        if name in self._tables:
            array, dtype = as_tensor(self[name], name)
            return dtype, array.shape
        binding = self._binding(name)
        shape = binding.variable.shape
        if shape is None or None in shape:
            return binding.dtype, self[name].shape
        return binding.dtype, tuple(size for size in shape if size is not None)

    def _binding(self, name: str) -> Binding:
        try:
            return self._whole[name]
        except KeyError:
            near = nearest_names(name, self._names)
            raise TensorNotFoundError(name, checkpoint="the session", near=near) from None

    def _table(self, name: str) -> Array:
        operation, position = self._tables[name]
        if operation not in self._read_tables:
            # Keys and values are in one order only if one run gives both.
            self._read_tables[operation] = tuple(self._session.run(list(operation.outputs)))
        return self._read_tables[operation][position]

    def __getitem__(self, name: str) -> Array:
        if name in self._tables:
            return self._table(name)
        if name not in self._parts:
            ((binding, value),) = _transfer.fetch(self._session, [self._binding(name)])
            return value.copy() if binding.changes_in_place else value
        parts = self._parts[name]
        whole = np.empty(parts[0][0].full_shape or (), parts[0][1].dtype.numpy)
        fetched = _transfer.fetch(self._session, [binding for _, binding in parts])
        for (variable, _), (_, value) in zip(parts, fetched, strict=True):
            if variable.tensor_slice is not None:
                whole[tuple(slice(start, start + length) for start, length in variable.tensor_slice.extents)] = value
        return whole

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def _value_of(variable: Any) -> Any:
    """The tensor with the value of a resource variable whose handle is given; a reference variable is its own."""
    if variable.op.type != "VarHandleOp":
        return variable
    # What waits for something, or is part of a branch or a loop, would make that run.
    readers = (
        consumer.outputs[0]
        for consumer in variable.consumers()
        if consumer.type == "ReadVariableOp" and _can_be_run(consumer)
    )
    return next(readers, variable)


def _can_be_run(operation: Any) -> bool:
    return not operation.control_inputs and operation._get_control_flow_context() is None


def _local_nodes(graph: Any) -> set[str]:
    keys = _tensorflow.tf.compat.v1.GraphKeys
    names = {
        key: {variable.op.name for variable in graph.get_collection(key)}
        for key in (keys.LOCAL_VARIABLES, keys.GLOBAL_VARIABLES)
    }
    return names[keys.LOCAL_VARIABLES] - names[keys.GLOBAL_VARIABLES]
