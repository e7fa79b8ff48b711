"""A source that stands on others and shows them edited: what all such views have in common.

Two tensors are none of a model's, but describe the others, and every edit must keep them true:

    _CHECKPOINTABLE_OBJECT_GRAPH    the objects that TensorFlow restores: a view changes it along with the tensors
    _TFSAVER_TREE                   the nest that `tfsaver.load` gives back: it stays where all tensors have stayed under
                                    their names, and goes with the first that has not; then the objects say what is there
"""

from __future__ import annotations

import abc
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from tfsaver import schemas
from tfsaver.checkpoint.objects.object_graph import (
    DESCRIPTIONS,
    OBJECT_GRAPH_KEY,
    TREE_KEY,
    read_object_graph,
)
from tfsaver.checkpoint.tensor_source import Array, TensorSource
from tfsaver.errors import TensorNotFoundError, nearest_names
from tfsaver.framework import dtypes
from tfsaver.framework.region import Region, as_tensor_slice
from tfsaver.framework.tensor_info import TensorInfo
from tfsaver.framework.tensor_slice import TensorSlice
from tfsaver.lib.cached_property import cached_property


class View(TensorSource):
    """One source or several, edited.

    A subclass says which tensors there are in `_find_names`, what describes them not among them, and overrides
    what it changes of a tensor; what it does not override comes from `_origin`.

    Args:
        sources: What the view stands on; closed with it.
    """

    def __init__(self, sources: Sequence[TensorSource]) -> None:
        self._sources = list(sources)

    @abc.abstractmethod
    def _find_names(self) -> Sequence[str]:
        """The names of the view's tensors."""

    @abc.abstractmethod
    def _origin(self, name: str) -> tuple[TensorSource, str]:
        """Where a tensor of the view comes from, and its name there."""

    def _edit_graph(self) -> schemas.TrackableObjectGraph | None:
        """The description of the objects as the view shows it; None where there is none."""
        return object_graph_of(self._sources[0])

    def _find_tree(self) -> TensorSource | None:
        """The source whose tree is the view's, if it names no tensor that the view has not."""
        return self._sources[0] if len(self._sources) == 1 else None

    def _info(self, name: str) -> TensorInfo:
        source, origin = self._origin(name)
        return source.info(origin)._replace(name=name)

    def _slices(self, name: str) -> tuple[TensorSlice, ...]:
        source, origin = self._origin(name)
        return source.slices(origin)

    def _read(self, name: str, region: Region | None) -> Array:
        source, origin = self._origin(name)
        return source.read(origin, region)

    def _pieces(self, name: str, stored: TensorSlice | None) -> Iterator[Array]:
        source, origin = self._origin(name)
        return source.pieces(origin, stored)

    # What the view is to others.

    @cached_property
    def _known(self) -> dict[str, None]:
        return dict.fromkeys(sorted({*self._find_names(), *self._descriptions}))

    @cached_property
    def _descriptions(self) -> dict[str, Array]:
        """What describes the tensors, as the string tensors that they are."""
        found = {}
        graph = self._edit_graph()
        if graph is not None:
            found[OBJECT_GRAPH_KEY] = np.empty((), object)
            found[OBJECT_GRAPH_KEY][()] = graph.SerializeToString(deterministic=True)
        source = self._find_tree()
        if source is not None and TREE_KEY in source and set(self._find_names()) == set(tensor_names(source)):
            info = source.info(TREE_KEY)
            # Anybody may call anything so; only this is what `tfsaver.save` writes.
            if info.dtype is dtypes.STRING and info.shape == ():
                found[TREE_KEY] = source[TREE_KEY]
        return found

    @property
    def prefix(self) -> str | None:
        """The checkpoints that the view stands on, for people; None where it stands on none."""
        return ", ".join(dict.fromkeys(source.prefix for source in self._sources if source.prefix)) or None

    @property
    def names(self) -> list[str]:
        return list(self._known)

    def __contains__(self, name: object) -> bool:
        return name in self._known

    def info(self, name: str) -> TensorInfo:
        if name in DESCRIPTIONS and name in self._descriptions:
            return TensorInfo(name, dtypes.STRING, (), len(self._descriptions[name].item()), ())
        self._check(name)
        return self._info(name)

    def slices(self, name: str) -> tuple[TensorSlice, ...]:
        if name in DESCRIPTIONS:
            return ()
        self._check(name)
        return self._slices(name)

    def read(self, name: str, region: Region | None = None) -> Array:
        if name in DESCRIPTIONS and name in self._descriptions:
            if region is not None:
                as_tensor_slice(region, (), name)
            copy: Array = self._descriptions[name].copy()
            return copy
        self._check(name)
        return self._read(name, region)

    def pieces(self, name: str, stored: TensorSlice | None = None) -> Iterator[Array]:
        if name in DESCRIPTIONS and name in self._descriptions:
            return iter([self._descriptions[name].reshape(1)])
        self._check(name)
        return self._pieces(name, stored)

    def close(self) -> None:
        for source in self._sources:
            source.close()

    def _check(self, name: str) -> None:
        if name not in self._known:
            raise TensorNotFoundError(name, checkpoint=repr(self), near=nearest_names(name, self._known))

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {', '.join(map(repr, self._sources))}>"


def tensor_names(source: TensorSource) -> list[str]:
    """The names of a source's tensors without those that describe the others."""
    return [name for name in source.names if name not in DESCRIPTIONS]


def object_graph_of(source: TensorSource) -> schemas.TrackableObjectGraph | None:
    """What a checkpoint says of the objects that it was written from, to be edited; None where it was written from names.

    Raises:
        DataLossError: It is no object graph, or an edge of it leads nowhere.
    """
    if read_object_graph(source) is None:
        return None
    value: Any = source[OBJECT_GRAPH_KEY].item()
    return schemas.TrackableObjectGraph.FromString(value)
