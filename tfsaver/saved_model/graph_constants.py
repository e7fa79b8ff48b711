"""The weights of a frozen graph, as named tensors: its constants, under the names that the variables had.

A constant is a weight if it has an axis and a floating-point, complex or quantized type, whatever its size, or if the graph
reads it as it would a variable (an Identity ``w/read`` behind ``w``), or if it has a kilobyte: tables of numbers and
strings. Shapes, axes and other small integers are not weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tfsaver import schemas
from tfsaver.checkpoint.tensor_source import ArraySource
from tfsaver.errors import DataLossError, SaverError, TensorNotFoundError, nearest_names
from tfsaver.framework import dtypes
from tfsaver.framework.tensor_info import TensorInfo
from tfsaver.framework.tensor_shape import from_proto, num_elements
from tfsaver.framework.tensor_util import make_ndarray
from tfsaver.lib import file_io
from tfsaver.saved_model import saved_model_file
from tfsaver.saved_model.sources import read_graph

Array = np.ndarray[Any, Any]

# Shapes and axes are smaller.
_LARGE = 1024
# One value may stand for many; so many bytes no graph has.
_MAX_BYTES = 1 << 31
_WEIGHT_TYPES = ("float", "bfloat", "complex", "half", "double", "q")


class GraphConstants(ArraySource):
    """The weights of a frozen graph as a source of tensors; each is decoded when it is read.

    Args:
        graph_def: The graph.
        path: Where it was read from; for errors.
    """

    def __init__(self, graph_def: schemas.GraphDef, path: str) -> None:
        self._constants = _Constants(graph_def, path)
        self._path = path
        super().__init__(self._constants, path)

    @property
    def description(self) -> str:
        return self._path

    def info(self, name: str) -> TensorInfo:
        """What the graph says of a weight; the value is not decoded."""
        return self._constants.info(name)


class _Constants(Mapping[str, Array]):
    def __init__(self, graph_def: schemas.GraphDef, path: str) -> None:
        self._path = path
        read = {node.input[0] for node in graph_def.node if _reads_variable(node)}
        self._nodes: dict[str, schemas.NodeDef] = {}
        for node in graph_def.node:
            if node.op == "Const" and node.name and "value" in node.attr and _is_weight(node, node.name in read):
                self._nodes[node.name] = node

    def info(self, name: str) -> TensorInfo:
        node = self._node(name)
        tensor = node.attr["value"].tensor
        dtype = dtypes.from_data_type(tensor.dtype)
        shape = tuple(from_proto(tensor.tensor_shape, f"node {name!r}"))
        size = num_elements(shape) * dtype.size if dtype.has_fixed_size else sum(len(each) + 1 for each in tensor.string_val)
        return TensorInfo(name, dtype, shape, size, ())

    def _node(self, name: str) -> schemas.NodeDef:
        if name not in self._nodes:
            raise TensorNotFoundError(name, checkpoint=self._path, near=nearest_names(name, self._nodes))
        return self._nodes[name]

    def __getitem__(self, name: str) -> Array:
        tensor = self._node(name).attr["value"].tensor
        if self.info(name).num_bytes > _MAX_BYTES:
            raise DataLossError(f"{self._path}: the constant {name!r} claims more bytes than a graph can hold")
        try:
            return make_ndarray(tensor, name)
        except SaverError as error:
            error.add_context(f"{self._path}, node {name!r}")
            raise

    def __iter__(self) -> Any:
        return iter(self._nodes)

    def __len__(self) -> int:
        return len(self._nodes)


def weight_constants(graph_def: schemas.GraphDef) -> list[str]:
    """The names of the constants that are weights, in the order of the graph."""
    return list(_Constants(graph_def, "the graph"))


def open_graph_constants(path: str) -> GraphConstants | None:
    """The weights of the graph in a file; None for any other file, and for a checkpoint's ``.meta``.

    Raises:
        DataLossError: The graph is damaged, or has no weights.
    """
    if path.endswith(".meta") or not file_io.exists(path):
        return None
    form = saved_model_file.form_of_file(path)
    if form is None or form.kind == "SavedModel":
        return None
    constants = GraphConstants(read_graph(path).graph_def, path)
    if not constants:
        raise DataLossError(
            f"{path} holds a {form.kind} without constants that are weights: its variables are in a checkpoint; "
            f"`tfsaver saved-model show {path}` lists what it computes"
        )
    return constants


def _reads_variable(node: schemas.NodeDef) -> bool:
    """Whether a node stands where a variable's value is read: w/read, w/Read/ReadVariableOp, x/ReadVariableOp."""
    is_read = node.name.rpartition("/")[2].startswith(("read", "ReadVariableOp"))
    return is_read and bool(node.input) and node.op in ("Identity", "ReadVariableOp")


def _is_weight(node: schemas.NodeDef, is_read: bool) -> bool:
    tensor = node.attr["value"].tensor
    try:
        dtype = dtypes.from_data_type(tensor.dtype)
        shape = from_proto(tensor.tensor_shape, f"node {node.name!r}")
        size = num_elements(shape) * dtype.size if dtype.has_fixed_size else sum(map(len, tensor.string_val))
    except SaverError:
        return False
    if dtype.name in ("resource", "variant") or not num_elements(shape):
        return False
    return is_read or size >= _LARGE or (bool(shape) and dtype.name.startswith(_WEIGHT_TYPES))
