"""Tensors of any names as what an object-based checkpoint of a given graph of objects holds.

    w, b, w/Adam, ...   +   a graph of objects    ->    model/kernel/.ATTRIBUTES/VARIABLE_VALUE, ...
                                                        _CHECKPOINTABLE_OBJECT_GRAPH

`object_matching` says which tensor is for which value. Written to files, the plan is what `tf.train.Checkpoint` restores
into objects of that graph, whatever program the tensors come from.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from tfsaver import schemas
from tfsaver.checkpoint.match_report import MatchReport
from tfsaver.checkpoint.names.name_map import NameMapLike
from tfsaver.checkpoint.objects.object_graph import ObjectGraph
from tfsaver.checkpoint.objects.object_graph_like import SAVE_COUNTER_KEY
from tfsaver.checkpoint.objects.object_matching import match_objects
from tfsaver.checkpoint.plan import Plan, as_plan
from tfsaver.checkpoint.recipes import Constant, Recipe
from tfsaver.checkpoint.tensor_source import TensorSource
from tfsaver.errors import InvalidArgumentError, NotFoundError
from tfsaver.framework import tensor_util


class ForObjects(NamedTuple):
    """Tensors under the keys of a graph of objects.

    Attributes:
        plan: The tensors, and the graph.
        report: What came of looking for tensors for the objects.
    """

    plan: Plan
    report: MatchReport


def for_objects(
    source: TensorSource,
    graph: ObjectGraph,
    name_map: NameMapLike = None,
    *,
    strict: bool = True,
    allow_unused: bool = False,
    defaults: Mapping[str, Any] | None = None,
) -> ForObjects:
    """The tensors of a source under the keys of a graph of objects, and the graph itself.

    Args:
        source: The tensors; closing the plan closes it.
        graph: The objects. Where it knows the dtypes and shapes of its values, the tensors must have them.
        name_map: What the tensors' names become before they are compared with the values' keys, full names and paths.
        strict: Whether anything wrong is an error. Otherwise the values without a tensor that fits are left out of the graph
            too, so that the program keeps its own, and the report says which.
        allow_unused: Whether it is right that tensors are left over.
        defaults: Values for what the source has nothing for, by key. The count of saves is 1 unless one is given.

    Raises:
        NotFoundError: Values have no tensor; says everything that is wrong.
        InvalidArgumentError: The mapping does not fit the names; or tensors do not fit, may be one value or another, or
            are left over; says all.
    """
    given = {SAVE_COUNTER_KEY: np.int64(1), **(defaults or {})}
    dropped, report, source = match_objects(source, graph, name_map, defaults=set(given), allow_unused=allow_unused)
    if strict and not report.ok:
        raise (NotFoundError if report.missing else InvalidArgumentError).of_lines(report.lines())
    recipes: dict[str, Recipe] = {}
    origins = dict.fromkeys(report.defaults, "")
    for key in report.defaults:
        recipes[key] = Constant(*tensor_util.as_tensor(given[key], key))
    for item in report.matched:
        origins[item.name] = item.key
    names = sorted(origins)
    objects = schemas.TrackableObjectGraph.FromString(without_values(graph, dropped).serialize())
    offered = as_plan(source)
    made = {item.name: offered.recipe(item.key) for item in report.matched if offered.is_changed(item.key)}
    plan = Plan([source], names, [origins[name] for name in names], recipes={**made, **recipes}, graph=objects)
    return ForObjects(plan, report)


def without_values(graph: ObjectGraph, keys: frozenset[str]) -> ObjectGraph:
    """The same objects without some of their values."""
    if not keys:
        return graph
    nodes = (
        node._replace(attributes=tuple(item for item in node.attributes if item.key not in keys)) for node in graph.nodes
    )
    return ObjectGraph(tuple(nodes), graph.tensors)
