"""Tensors of any names as what an object-based checkpoint of a given graph of objects holds.

    w, b, w/Adam, ...   +   a graph of objects    ->    model/kernel/.ATTRIBUTES/VARIABLE_VALUE, ...
                                                        _CHECKPOINTABLE_OBJECT_GRAPH

`object_matching` says which tensor is for which value. Written to files, the view is what `tf.train.Checkpoint` restores
into objects of that graph, whatever program the tensors come from.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tfsaver.checkpoint.names.name_map import NameMapLike
from tfsaver.checkpoint.objects.object_graph import OBJECT_GRAPH_KEY, ObjectGraph
from tfsaver.checkpoint.objects.object_graph_like import SAVE_COUNTER_KEY
from tfsaver.checkpoint.objects.object_matching import Origin, match_objects
from tfsaver.checkpoint.objects.objects_report import ObjectsReport
from tfsaver.checkpoint.tensor_source import Array, ArraySource, TensorSource
from tfsaver.errors import TensorNotFoundError, nearest_names
from tfsaver.framework.region import Region, as_tensor_slice
from tfsaver.framework.tensor_info import TensorInfo
from tfsaver.framework.tensor_shape import Shape
from tfsaver.framework.tensor_slice import TensorSlice


def object_based_source(
    source: TensorSource,
    graph: ObjectGraph,
    name_map: NameMapLike = None,
    *,
    strict: bool = True,
    allow_unused: bool = False,
    defaults: Mapping[str, Any] | None = None,
) -> ObjectBasedSource:
    """The tensors of a source under the keys of a graph of objects, and the graph itself.

    Args:
        source: The tensors; closing the result closes it.
        graph: The objects. Where it knows the dtypes and shapes of its values, the tensors must have them.
        name_map: What the tensors' names become before they are compared with the values' keys, full names and paths.
        strict: Whether anything wrong is an error. Otherwise the values without a tensor that fits are left out of the graph
            too, so that the program keeps its own, and `report` says which.
        allow_unused: Whether it is right that tensors are left over.
        defaults: Values for what the source has nothing for, by key. The count of saves is 1 unless one is given.

    Raises:
        NotFoundError: Values have no tensor; says everything that is wrong.
        InvalidArgumentError: The mapping does not fit the names; or tensors do not fit, may be one value or another, or
            are left over; says all.
    """
    given = ArraySource({SAVE_COUNTER_KEY: np.int64(1), **(defaults or {})}, "the defaults")
    match = match_objects(source, graph, name_map, defaults=set(given), allow_unused=allow_unused)
    if strict:
        match.report.raise_unless_ok()
    return ObjectBasedSource(source, given, without_values(graph, match.dropped), match.origins, match.report)


def without_values(graph: ObjectGraph, keys: frozenset[str]) -> ObjectGraph:
    """The same objects without some of their values."""
    if not keys:
        return graph
    nodes = (
        node._replace(attributes=tuple(item for item in node.attributes if item.key not in keys)) for node in graph.nodes
    )
    return ObjectGraph(tuple(nodes), graph.tensors)


class ObjectBasedSource(TensorSource):
    """Tensors under the keys of a graph of objects; `object_based_source` makes one.

    Attributes:
        graph: The objects.
        report: What came of looking for tensors for them.
    """

    def __init__(
        self,
        source: TensorSource,
        defaults: TensorSource,
        graph: ObjectGraph,
        origins: Mapping[str, Origin],
        report: ObjectsReport,
    ) -> None:
        self.graph = graph
        self.report = report
        self._source = source
        self._defaults = defaults
        own = {OBJECT_GRAPH_KEY: np.array(graph.serialize(), object)}
        self._own = ArraySource(own, "the objects")
        places = {
            **{name: (self._source, origin) for name, origin in origins.items()},
            **{name: (defaults, Origin(name, None)) for name in report.defaults},
            OBJECT_GRAPH_KEY: (self._own, Origin(OBJECT_GRAPH_KEY, None)),
        }
        self._places = {name: places[name] for name in sorted(places)}

    @property
    def names(self) -> list[str]:
        return list(self._places)

    def __contains__(self, name: object) -> bool:
        return name in self._places

    def info(self, name: str) -> TensorInfo:
        source, origin = self._place(name)
        info = source.info(origin.name)
        if origin.transpose is None:
            return info._replace(name=name)
        # The bytes lie nowhere in this order.
        return info._replace(name=name, shape=_permuted(info.shape, origin.transpose), pieces=())

    def read(self, name: str, region: Region | None = None) -> Array:
        source, origin = self._place(name)
        if origin.transpose is None:
            return source.read(origin.name, region)
        if region is None:
            whole: Array = source.read(origin.name).transpose(origin.transpose)
            return whole
        shape = tuple(source.info(origin.name).shape)
        part, dropped = as_tensor_slice(region, _permuted(shape, origin.transpose), name)
        back = tuple(origin.transpose.index(axis) for axis in range(len(shape)))
        stored = TensorSlice(tuple(part.extents[axis] for axis in back))
        result: Array = source.read(origin.name, stored).transpose(origin.transpose).squeeze(dropped)
        return result

    def close(self) -> None:
        self._source.close()

    def _place(self, name: str) -> tuple[TensorSource, Origin]:
        try:
            return self._places[name]
        except KeyError:
            near = nearest_names(name, self._places)
            raise TensorNotFoundError(name, checkpoint=self.report.checkpoint, near=near) from None


def _permuted(shape: Shape, axes: tuple[int, ...]) -> Shape:
    return tuple(shape[axis] for axis in axes)
