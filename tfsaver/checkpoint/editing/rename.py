"""A checkpoint's tensors under other names, and turned where the new program has them turned.

The mapping goes from the old name to the new one, see `name_map`. In a checkpoint that was written from objects a name is a
path, and the description of the objects changes with it, so that a program whose objects have the new names restores it:

    net/dense/kernel/.ATTRIBUTES/...                     -> model/dense/kernel/.ATTRIBUTES/...
    net/dense/kernel/.OPTIMIZER_SLOT/opt/m/.ATTRIBUTES/  -> follows its variable, unless the mapping speaks of it

A tensor that is turned is read whole, and is no longer in slices; all others stream.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from tfsaver import schemas
from tfsaver.checkpoint.editing import object_graph_renaming
from tfsaver.checkpoint.editing.edit import Checkpoint, describe, notes_on_tree, open_sources, write_result
from tfsaver.checkpoint.editing.edit_report import EditReport, LeftOut, contents_of
from tfsaver.checkpoint.editing.view import View, object_graph_of, tensor_names
from tfsaver.checkpoint.names.name_map import NameMapLike, Renamed, as_name_map
from tfsaver.checkpoint.names.name_steps import raise_problems, split_attribute
from tfsaver.checkpoint.tensor_source import Array, TensorSource
from tfsaver.framework.array_pieces import cut
from tfsaver.framework.region import Region, as_tensor_slice
from tfsaver.framework.tensor_info import TensorInfo
from tfsaver.framework.tensor_slice import TensorSlice
from tfsaver.lib import file_io

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from tfsaver.checkpoint.editing.edit import WriteOptions


class RenamedSource(View):
    """A source under other names.

    Args:
        source: The source.
        name_map: From old names to new ones, see `name_map.as_name_map`.

    Attributes:
        new_names: What each tensor of the source becomes; the empty tuple for one that is left out.

    Raises:
        InvalidArgumentError: Tensors would get one name, names in a dict name nothing, or axes do not fit; says all.
    """

    def __init__(self, source: TensorSource, name_map: NameMapLike) -> None:
        super().__init__([source])
        self.new_names = as_name_map(name_map).apply(tensor_names(source))
        self._object_graph = object_graph_of(source)
        if self._object_graph is not None:
            self._make_keys(self._object_graph)
        self._origins = {
            target.name: (old, target.transpose) for old, targets in self.new_names.items() for target in targets
        }
        self._check_axes()

    def _make_keys(self, graph: schemas.TrackableObjectGraph) -> None:
        """Gives new names the form that keys have, and slots that of their variables."""
        for old, targets in self.new_names.items():
            attribute = split_attribute(old)[1]
            self.new_names[old] = tuple(
                target if split_attribute(target.name)[1] else target._replace(name=target.name + attribute)
                for target in targets
            )
        plain = {old: tuple(target.name for target in targets) for old, targets in self.new_names.items()}
        problems: list[str] = []
        taken: dict[str, str] = {}
        for old, names in object_graph_renaming.follow_variables(graph, plain).items():
            if names != plain[old]:
                self.new_names[old] = tuple(Renamed(name, self._turn_of_slot(old, plain)) for name in names)
            problems += [f"{taken[name]!r} and {old!r} both become {name!r}" for name in names if name in taken]
            taken.update(dict.fromkeys(names, old))
        raise_problems("the mapping does not fit the objects", problems)

    def _turn_of_slot(self, slot: str, plain: dict[str, tuple[str, ...]]) -> tuple[int, ...] | None:
        """How a slot is turned that follows its variable: like it, where it has its shape."""
        path, _, attribute = slot.partition("/.OPTIMIZER_SLOT/")
        variable = path + split_attribute(attribute)[1]
        targets = self.new_names.get(variable, ())
        if not targets or self._sources[0].info(variable).shape != self._sources[0].info(slot).shape:
            return None
        return targets[0].transpose

    def _check_axes(self) -> None:
        problems = []
        for old, axes in self._origins.values():
            if axes is not None and len(axes) != len(shape := self._sources[0].info(old).shape):
                problems.append(f"{old!r} of shape {list(shape)} has not the {len(axes)} axes to be transposed")
        raise_problems("the mapping does not fit the shapes", problems)

    def _find_names(self) -> Sequence[str]:
        return list(self._origins)

    def _origin(self, name: str) -> tuple[TensorSource, str]:
        return self._sources[0], self._origins[name][0]

    def _edit_graph(self) -> schemas.TrackableObjectGraph | None:
        if self._object_graph is None:
            return None
        names = {old: tuple(target.name for target in targets) for old, targets in self.new_names.items()}
        return object_graph_renaming.rename_object_graph(self._object_graph, names)

    def _info(self, name: str) -> TensorInfo:
        info = super()._info(name)
        axes = self._origins[name][1]
        return info if axes is None else info._replace(shape=tuple(info.shape[axis] for axis in axes), pieces=())

    def _slices(self, name: str) -> tuple[TensorSlice, ...]:
        return super()._slices(name) if self._origins[name][1] is None else ()

    def _read(self, name: str, region: Region | None) -> Array:
        old, axes = self._origins[name]
        if axes is None or region is None:
            value = self._sources[0].read(old, region)
            return value if axes is None else value.transpose(axes)
        shape = self._info(name).shape
        part, dropped = as_tensor_slice(region, shape, name)
        extents = part.resolve(shape).extents
        turned = TensorSlice(tuple(extents[axes.index(axis)] for axis in range(len(axes))))
        result: Array = self._sources[0].read(old, turned).transpose(axes).squeeze(dropped)
        return result

    def _pieces(self, name: str, stored: TensorSlice | None) -> Iterator[Array]:
        return super()._pieces(name, stored) if self._origins[name][1] is None else cut(self._read(name, stored))


def rename(
    checkpoint: Checkpoint, prefix: file_io.PathLike, mapping: NameMapLike, **options: Unpack[WriteOptions]
) -> EditReport:
    """Writes a checkpoint's tensors under other names.

    Args:
        checkpoint: A path, an open source, or arrays by name.
        prefix: The checkpoint to write.
        mapping: From old names to new ones: a dict, a list of rules, the name of a table, a path of a .toml or .json file, a
            function; see `name_map`.
        **options: See `WriteOptions`.

    Raises:
        InvalidArgumentError: The mapping does not fit the names, says all; or the result would lie over its source.

    Example:
        >>> tfsaver.rename("model.ckpt-1000", "renamed", [("/weights$", "/kernel"), ("/biases$", "/bias")])  # doctest: +SKIP
    """
    with open_sources([checkpoint]) as [source]:
        view = RenamedSource(source, mapping)
        written = write_result(view, prefix, [source], **options)
        return EditReport(
            "rename",
            (describe(source),),
            written,
            contents_of([source]),
            contents_of([view]),
            left_out={
                old: LeftOut("the mapping says so", source.info(old).num_bytes)
                for old, targets in view.new_names.items()
                if not targets
            },
            renamed={
                old: tuple(_with_axes(target) for target in targets)
                for old, targets in view.new_names.items()
                if targets and targets != (Renamed(old),)
            },
            notes=notes_on_tree(view, [source]),
        )


def _with_axes(target: Renamed) -> str:
    return target.name if target.transpose is None else f"{target.name} transposed {list(target.transpose)}"
