"""What two checkpoints differ in: names, types, shapes, values.

Values are compared where the shapes are the same and the types are, or where both types are numbers (see `comparing`). The
norm of a difference says little by itself: beside it stands its share of the norm of what was there before. The structure
that `tfsaver.save` notes beside tensors is compared where both have it; who has it not lacks no tensor.
"""

from __future__ import annotations

import contextlib
import dataclasses
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from tfsaver.checkpoint.editing.comparing import ValueDifference, is_number, norm_of
from tfsaver.checkpoint.editing.rename import Renaming, renamed
from tfsaver.checkpoint.execution import Data, Execution, OnDamage, Part, Progress, Sink, Target
from tfsaver.checkpoint.names.name_map import NameMapLike
from tfsaver.checkpoint.objects.object_graph import TREE_KEY, read_object_graph
from tfsaver.checkpoint.report import Report, count, json_number
from tfsaver.checkpoint.selection import Select, Selectable, Selection, as_selection
from tfsaver.checkpoint.tensor_source import TensorSource
from tfsaver.errors import OptionError
from tfsaver.framework.array_pieces import cut
from tfsaver.framework.tensor_info import TensorInfo
from tfsaver.framework.tensor_shape import Shape
from tfsaver.framework.tensor_slice import TensorSlice


@dataclasses.dataclass(frozen=True)
class TensorDifference:
    """A tensor that both checkpoints have and that is not the same in them.

    Attributes:
        name: Its name.
        dtypes: Its type in the one and in the other.
        shapes: Its shape in the one and in the other.
        values: What its elements differ in; None where they were not compared.
        relative_norm: The norm of the difference in relation to the norm of the first; None where there is none.
    """

    name: str
    dtypes: tuple[str, str]
    shapes: tuple[Shape, Shape]
    values: ValueDifference | None = None
    relative_norm: float | None = None

    @property
    def kinds(self) -> tuple[str, ...]:
        """What differs: ``dtype``, ``shape``, ``values``."""
        facts = {
            "dtype": self.dtypes[0] != self.dtypes[1],
            "shape": self.shapes[0] != self.shapes[1],
            "values": self.values is not None and self.values.num_different > 0,
        }
        return tuple(kind for kind, differs in facts.items() if differs)

    def __str__(self) -> str:
        facts = []
        if self.dtypes[0] != self.dtypes[1]:
            facts.append(f"{self.dtypes[0]} and {self.dtypes[1]}")
        if self.shapes[0] != self.shapes[1]:
            facts.append(f"shapes {list(self.shapes[0])} and {list(self.shapes[1])}")
        if self.values is not None and self.values.num_different:
            facts.append(f"{self.values.num_different:,} of {count(self.values.num_elements, 'element')} differ")
            if self.values.sum_of_squares or self.values.max_abs:
                facts.append(f"by at most {self.values.max_abs:.4g}")
                relative = "" if self.relative_norm is None else f", {self.relative_norm:.3g} of the first"
                facts.append(f"norm {self.values.norm:.4g}{relative}")
            if self.values.num_not_finite:
                facts.append(f"{self.values.num_not_finite:,} infinite or no number")
        elif self.values is not None:
            facts.append("equal values")
        return f"{self.name}: {', '.join(facts)}"


@dataclasses.dataclass(frozen=True)
class DiffReport(Report):
    """What two checkpoints differ in.

    `ok` says whether they are equal. In a condition, the report is still the opposite, and warns: the next release makes
    it `ok`.

    Attributes:
        checkpoints: What was compared.
        only_in_a: Names that only the first has.
        only_in_b: Names that only the second has.
        different: The tensors that both have and that differ.
        equal: The names of those that are the same.
        notes: What else the caller should know, in sentences.
    """

    checkpoints: tuple[str, str]
    only_in_a: tuple[str, ...]
    only_in_b: tuple[str, ...]
    different: tuple[TensorDifference, ...]
    equal: tuple[str, ...]
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether the checkpoints are equal."""
        return not (self.only_in_a or self.only_in_b or self.different)

    def __bool__(self) -> bool:
        warnings.warn(
            "a diff in a condition is true if checkpoints differ; the next release makes it true if they are equal. "
            "Write report.ok or not report.ok",
            FutureWarning,
            stacklevel=2,
        )
        return not self.ok

    def lines(self, *, all_names: bool = False) -> Iterator[str]:
        """Yields the report line by line.

        Args:
            all_names: Whether to name the tensors that are equal too.
        """
        a, b = self.checkpoints
        yield f"a: {a}"
        yield f"b: {b}"
        yield from (f"only in a: {name}" for name in self.only_in_a)
        yield from (f"only in b: {name}" for name in self.only_in_b)
        yield from (f"differs:   {item}" for item in self.different)
        if all_names:
            yield from (f"equal:     {name}" for name in self.equal)
        facts = [f"{count(len(self.equal), 'tensor')} equal"]
        facts += [f"{len(self.different):,} different"] if self.different else []
        facts += [f"{len(self.only_in_a):,} only in a"] if self.only_in_a else []
        facts += [f"{len(self.only_in_b):,} only in b"] if self.only_in_b else []
        yield ", ".join(facts)
        yield from self.notes

    def to_json(self) -> dict[str, Any]:
        """Returns every fact of the report, in types that JSON has."""
        return {
            "ok": self.ok,
            "a": self.checkpoints[0],
            "b": self.checkpoints[1],
            "different": not self.ok,
            "only_in_a": list(self.only_in_a),
            "only_in_b": list(self.only_in_b),
            "tensors": [_record(item) for item in self.different],
            "equal": list(self.equal),
            "num_equal": len(self.equal),
            "notes": list(self.notes),
        }


def compared(
    a: TensorSource,
    b: TensorSource,
    *,
    rtol: float = 0.0,
    atol: float = 0.0,
    ignore_dtype: bool = False,
    select: Select = None,
    mapping: NameMapLike = None,
    progress: Progress | None = None,
) -> DiffReport:
    """What two sources differ in; `tfsaver.diff` has the arguments and the errors."""
    if rtol < 0 or atol < 0:
        raise OptionError(f"tolerances are not negative: rtol {rtol}, atol {atol}")
    renaming = None if mapping is None else renamed(a, mapping)
    one = a if renaming is None else renaming.plan
    rules = None if select is None else as_selection(select)
    if rules is not None:
        rules = rules.matched_in([*one.names, *b.names])
    names_a, names_b = _names(one, rules), _names(b, rules)
    common = [name for name in names_a if name in names_b]
    found = compare_tensors(one, b, common, rtol=rtol, atol=atol, ignore_dtype=ignore_dtype, progress=progress)
    return DiffReport(
        (a.description, b.description),
        tuple(name for name in names_a if name not in names_b and name != TREE_KEY),
        tuple(name for name in names_b if name not in names_a and name != TREE_KEY),
        tuple(item for item in found.values() if item is not None),
        tuple(name for name, item in found.items() if item is None),
        () if renaming is None else tuple(_notes_on(renaming)),
    )


def _notes_on(renaming: Renaming) -> Iterator[str]:
    """What the mapping matched, and what is not compared because nobody can say what it should be."""
    yield from (f"note: {note}" for note in renaming.new_names.notes())
    yield from (f"note: {name} is left out: {why}" for name, why in renaming.new_names.left_out().items() if why)


def compare_tensors(
    a: TensorSource,
    b: TensorSource,
    names: Sequence[str],
    *,
    rtol: float = 0.0,
    atol: float = 0.0,
    ignore_dtype: bool = False,
    on_damage: OnDamage | None = None,
    progress: Progress | None = None,
) -> dict[str, TensorDifference | None]:
    """What tensors that two sources have differ in, by name; None for those that are the same.

    Args:
        a: A source.
        b: Another one.
        names: Tensors that both have.
        rtol: See `tfsaver.diff`, as for those that follow.
        atol: See there.
        ignore_dtype: See there.
        on_damage: Called with each tensor that is damaged, and the error; what it differs in is as good as unknown.
        progress: Called with the bytes of the first that are compared and the bytes in all.

    Raises:
        DataLossError: A tensor is damaged, and there is no `on_damage`.
    """
    comparing = _Comparing(b, names, rtol, atol, ignore_dtype)
    comparing.on_damage = on_damage
    Execution(a, comparing, progress=progress).run()
    return comparing.found


def _names(source: TensorSource, selection: Selection | None) -> dict[str, None]:
    if selection is None:
        return dict.fromkeys(source.names)
    infos = {name: source.info(name) for name in source.names}
    tensors = {name: Selectable(info.shape, info.num_bytes, info.dtype.name) for name, info in infos.items()}
    graph = read_object_graph(source)
    return dict.fromkeys(selection.select(tensors, full_names=None if graph is None else graph.full_names_of_keys()).kept)


class _Comparing(Target):
    """Takes the tensors of one checkpoint, and says what each differs in from that of another.

    Args:
        other: The other checkpoint.
        names: The tensors that both have.
        rtol: See `diff`, as for the others.

    Attributes:
        found: What each tensor differs in, by name; None where in nothing.
    """

    takes_pieces = True

    def __init__(self, other: TensorSource, names: Sequence[str], rtol: float, atol: float, ignore_dtype: bool) -> None:
        self._other = other
        self._names = names
        self._tolerances = (rtol, atol)
        self._ignore_dtype = ignore_dtype
        self.found: dict[str, TensorDifference | None] = {}

    def check(self, source: TensorSource) -> None:
        for name in self._names:
            one, other = source.info(name), self._other.info(name)
            shapes = (tuple(one.shape), tuple(other.shape))
            self.found[name] = TensorDifference(name, (one.dtype.name, other.dtype.name), shapes)

    def parts(self, source: TensorSource) -> Iterator[Part]:
        for name in self._names:
            one, other = source.info(name), self._other.info(name)
            are_numbers = is_number(one.dtype.numpy) and is_number(other.dtype.numpy)
            if tuple(one.shape) == tuple(other.shape) and (one.dtype is other.dtype or are_numbers):
                yield name, None

    @contextlib.contextmanager
    def open(self, source: TensorSource) -> Iterator[Sink]:
        def add(info: TensorInfo, stored: TensorSlice | None, data: Data) -> None:
            values = ValueDifference(*self._tolerances)
            pieces = cut(data) if isinstance(data, np.ndarray) else data
            for one, other in zip(pieces, self._other.pieces(info.name), strict=True):
                values.add(one, other)
            found = self.found[info.name]
            if found is None or (not values.num_different and (self._ignore_dtype or found.dtypes[0] == found.dtypes[1])):
                self.found[info.name] = None
                return
            relative = None
            if values.sum_of_squares and (norm := norm_of(source.pieces(info.name))):
                relative = values.norm / norm
            self.found[info.name] = dataclasses.replace(found, values=values, relative_norm=relative)

        yield add


def _record(item: TensorDifference) -> dict[str, Any]:
    values = item.values
    return {
        "name": item.name,
        "kinds": list(item.kinds),
        "dtypes": list(item.dtypes),
        "shapes": [list(shape) for shape in item.shapes],
        "num_elements": values and values.num_elements,
        "num_different": values and values.num_different,
        "num_not_finite": values and values.num_not_finite,
        "max_abs": values and json_number(values.max_abs),
        "norm": values and json_number(values.norm),
        "relative_norm": json_number(item.relative_norm),
    }
