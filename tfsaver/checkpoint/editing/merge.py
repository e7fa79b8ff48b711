"""Several checkpoints as one: the parts of a model, or a trunk and a new head.

A name that several have is a conflict unless its tensors are the same, bit for bit. Conflicts are an error that lists all of
them, or the caller says whose tensor is taken: the first's or the last's. What checkpoints that were written from objects
say of these is merged too, root with root. Their counts of saves are nobody's weights: the last one's is taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tfsaver import schemas
from tfsaver.checkpoint.editing.comparing import ValueDifference
from tfsaver.checkpoint.editing.edit import Checkpoint, describe, notes_on_tree, open_sources, write_result
from tfsaver.checkpoint.editing.edit_report import EditReport, LeftOut, contents_of
from tfsaver.checkpoint.editing.object_graph_merging import merge_object_graphs
from tfsaver.checkpoint.editing.object_graph_parts import TensorsOfKeys
from tfsaver.checkpoint.editing.select import SAVE_COUNTER
from tfsaver.checkpoint.editing.view import View, object_graph_of, tensor_names
from tfsaver.checkpoint.names.name_steps import raise_problems
from tfsaver.checkpoint.tensor_source import TensorSource
from tfsaver.errors import InvalidArgumentError
from tfsaver.lib import file_io

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from tfsaver.checkpoint.editing.edit import WriteOptions

_CHOICES = ("error", "first", "last")


class MergedSource(View):
    """The tensors of several sources.

    Args:
        sources: The sources.
        on_conflict: What to do about names that several have with different tensors: ``error``, ``first``, ``last``.

    Attributes:
        replaced: Of each source, by number, the names whose tensors another source has given, with that source's number.

    Raises:
        InvalidArgumentError: There are conflicts and nobody said whose tensors to take; says all.
    """

    def __init__(self, sources: Sequence[TensorSource], on_conflict: str = "error") -> None:
        super().__init__(sources)
        if on_conflict not in _CHOICES:
            raise InvalidArgumentError(f"on_conflict is {on_conflict!r}, known are {', '.join(map(repr, _CHOICES))}")
        if not sources:
            raise InvalidArgumentError("there are no checkpoints to merge")
        self.replaced: dict[tuple[int, str], int] = {}
        self._owners: dict[str, int] = {}
        problems: list[str] = []
        for number, source in enumerate(self._sources):
            for name in tensor_names(source):
                self._add(number, name, on_conflict, problems)
        self._merged_graph = self._merge_graphs(on_conflict, problems)
        raise_problems("the checkpoints conflict", problems)

    def _add(self, number: int, name: str, on_conflict: str, problems: list[str]) -> None:
        owner = self._owners.setdefault(name, number)
        if owner == number:
            return
        takes_last = on_conflict == "last" or name == SAVE_COUNTER
        if on_conflict == "error" and name != SAVE_COUNTER and (said := self._difference(name, owner, number)):
            problems.append(said)
        if takes_last:
            self._owners[name] = number
            self.replaced[owner, name] = number
        else:
            self.replaced[number, name] = owner

    def _difference(self, name: str, one: int, other: int) -> str:
        """What a name's tensors differ in, as a sentence; empty where in nothing."""
        a, b = self._sources[one], self._sources[other]
        info_a, info_b = a.info(name), b.info(name)
        where = f"{name!r} of {a!r} and of {b!r}"
        if info_a.dtype is not info_b.dtype or tuple(info_a.shape) != tuple(info_b.shape):
            return f"{where}: {info_a.dtype} {list(info_a.shape)} and {info_b.dtype} {list(info_b.shape)}"
        values = ValueDifference()
        for piece_a, piece_b in zip(a.pieces(name), b.pieces(name), strict=True):
            values.add(piece_a, piece_b)
        if not values.num_different:
            return ""
        return f"{where}: {values.num_different:,} of {values.num_elements:,} elements differ"

    def _merge_graphs(self, on_conflict: str, problems: list[str]) -> schemas.TrackableObjectGraph | None:
        graphs = [
            (number, graph) for number, source in enumerate(self._sources) if (graph := object_graph_of(source)) is not None
        ]
        if not graphs:
            return None
        merged, replaced = merge_object_graphs(graphs, takes_last=on_conflict == "last")
        tensors = [TensorsOfKeys(tensor_names(source)) for source in self._sources]
        used = {attribute.checkpoint_key for node in merged.nodes for attribute in node.attributes}
        for item in replaced:
            if on_conflict == "error":
                problems.append(f"one value has the key {item.key!r} here and {item.by!r} there")
            for name in tensors[item.source].of(item.key):
                if self._owners.get(name) == item.source and item.key not in used:
                    del self._owners[name]
                    self.replaced[item.source, name] = next(
                        (number for number, _ in graphs if tensors[number].of(item.by)), item.source
                    )
        return merged

    def _find_names(self) -> Sequence[str]:
        return list(self._owners)

    def _origin(self, name: str) -> tuple[TensorSource, str]:
        return self._sources[self._owners[name]], name

    def _edit_graph(self) -> schemas.TrackableObjectGraph | None:
        return self._merged_graph


def merge(
    checkpoints: Sequence[Checkpoint],
    prefix: file_io.PathLike,
    *,
    on_conflict: str = "error",
    **options: Unpack[WriteOptions],
) -> EditReport:
    """Writes the tensors of several checkpoints as one.

    Args:
        checkpoints: Paths, open sources, or arrays by name.
        prefix: The checkpoint to write.
        on_conflict: What to do about names that several have with different tensors: ``error``, ``first``, ``last``.
        **options: See `WriteOptions`.

    Raises:
        InvalidArgumentError: There are conflicts, says all; or the result would lie over one of the checkpoints.

    Example:
        >>> tfsaver.merge(["trunk", "head"], "model")  # doctest: +SKIP
    """
    with open_sources(checkpoints) as sources:
        view = MergedSource(sources, on_conflict)
        written = write_result(view, prefix, sources, **options)
        left_out = {
            f"{name} of {describe(sources[number])}": LeftOut(
                f"taken from {describe(sources[owner])}", sources[number].info(name).num_bytes
            )
            for (number, name), owner in view.replaced.items()
        }
        return EditReport(
            "merge",
            tuple(map(describe, sources)),
            written,
            contents_of(sources),
            contents_of([view]),
            left_out=left_out,
            notes=notes_on_tree(view, sources),
        )
