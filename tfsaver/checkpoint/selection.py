"""The essential ones of many tensors: by name, by what they are for, and what is saved by leaving the others out.

A checkpoint of a training program is mostly not the model: Adam keeps two numbers for each parameter. A selection says what
to write, in the order of these questions, and the first that says no is the reason that the report gives::

    trainable_only       is it one of the variables that are trained?      (the program knows, not the names)
    collection           is it in that collection of the graph?            (likewise)
    include              does one of the patterns occur in its name?
    exclude              does none of these?
    without_optimizer    is it no state of an optimizer?                   (see `training_tensors`)

Patterns are regular expressions, searched for anywhere in a name: ``^bert/`` is a scope, ``/kernel$`` an ending. In a
checkpoint that was written from objects they are searched for in the path, as rules that rename are, and in the whole key.
"""

from __future__ import annotations

import collections
import dataclasses
import math
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from tfsaver.checkpoint.checkpoint_reader import CheckpointReader
from tfsaver.checkpoint.names.name_steps import split_attribute
from tfsaver.checkpoint.objects.object_graph import DESCRIPTIONS, read_object_graph
from tfsaver.checkpoint.optimizers.training_tensors import find_training_tensors
from tfsaver.checkpoint.report import Report, count
from tfsaver.errors import InvalidArgumentError, NothingSelectedError, nearest_names
from tfsaver.framework.tensor_shape import Shape

__all__ = ["Select", "Selectable", "Selection", "SelectionReport"]

_NAMES_IN_TEXT = 3


class Selectable(NamedTuple):
    """What a selection wants to know of a tensor.

    Attributes:
        shape: Its shape; None when it is not known before the value is there.
        num_bytes: What it takes in a checkpoint; 0 when it is not known.
        dtype: The name of its dtype; None when it is not known.
    """

    shape: Shape | None
    num_bytes: int
    dtype: str | None = None


@dataclasses.dataclass(frozen=True)
class SelectionReport(Report):
    """What a selection keeps and what it leaves out; nothing is read or written yet.

    Attributes:
        kept: The names of the tensors that are kept, in the order given.
        left_out: Of each tensor that is left out, by name, the reason.
        num_parameters_kept: How many numbers are in the tensors that are kept.
        num_parameters_left_out: The same of those that are left out.
        num_bytes_kept: How many bytes the tensors that are kept take.
        num_bytes_left_out: How many bytes are saved.
        notes: What is odd about the selection, in sentences.
    """

    kept: tuple[str, ...]
    left_out: Mapping[str, str]
    num_parameters_kept: int
    num_parameters_left_out: int
    num_bytes_kept: int
    num_bytes_left_out: int
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether something is kept; a selection that keeps nothing of any tensors is an error."""
        return bool(self.kept) or not self.left_out

    @property
    def share_left_out(self) -> float:
        """The part of all bytes that is left out, from 0 to 1."""
        total = self.num_bytes_kept + self.num_bytes_left_out
        return self.num_bytes_left_out / total if total else 0.0

    def lines(self, *, all_names: bool = False) -> Iterator[str]:
        """Yields the report line by line.

        Args:
            all_names: Whether to name every tensor, or only the first few of those that are left out.
        """
        yield (
            f"kept:     {count(len(self.kept), 'tensor')}, {count(self.num_parameters_kept, 'parameter')}, "
            f"{count(self.num_bytes_kept, 'byte')}"
        )
        if all_names:
            yield from (f"    {name}" for name in self.kept)
        yield (
            f"left out: {count(len(self.left_out), 'tensor')}, {count(self.num_parameters_left_out, 'parameter')}, "
            f"{count(self.num_bytes_left_out, 'byte')} ({self.share_left_out:.1%} of all)"
        )
        names_by_reason = collections.defaultdict(list)
        for name, reason in self.left_out.items():
            names_by_reason[reason].append(name)
        for reason, names in names_by_reason.items():
            shown = names if all_names else names[:_NAMES_IN_TEXT]
            more = f", and {len(names) - len(shown):,} more" if len(names) > len(shown) else ""
            yield f"    {reason}: {', '.join(shown)}{more}"
        yield from self.notes

    def to_json(self) -> dict[str, Any]:
        """Returns every fact of the report, in types that JSON has."""
        return {
            "ok": self.ok,
            "kept": list(self.kept),
            "left_out": [{"name": name, "reason": reason} for name, reason in self.left_out.items()],
            "num_parameters_kept": self.num_parameters_kept,
            "num_parameters_left_out": self.num_parameters_left_out,
            "num_bytes_kept": self.num_bytes_kept,
            "num_bytes_left_out": self.num_bytes_left_out,
            "share_left_out": self.share_left_out,
            "notes": list(self.notes),
        }


@dataclasses.dataclass(frozen=True)
class Selection:
    """Which tensors are essential; see the module for the order of the rules.

    Attributes:
        include: Patterns, of which one must occur in a name; none for all names. A single pattern need not be in a list.
        exclude: Patterns, of which none may occur.
        without_optimizer: Whether what only training needs is left out: slots of optimizers, numbers such as beta1_power,
            sums of metrics, states of iterators.
        trainable_only: Whether only variables that are trained are kept.
        collection: The key of the graph's collection that a variable must be in; None for no such rule.
        allow_unmatched: Whether a pattern may occur in no name. Otherwise that is an error, of patterns to exclude too.

    Raises:
        InvalidArgumentError: A pattern is no regular expression, or there is no rule.

    Example:
        >>> print(Selection(without_optimizer=True).select_from(load_checkpoint("/tmp/model")))  # doctest: +SKIP
        kept:     2 tensors, 7,850 parameters, 31,400 bytes
        left out: 6 tensors, 15,702 parameters, 62,808 bytes (66.7% of all)
            state of the optimizer Adam: beta1_power, beta2_power, dense/bias/Adam, and 3 more
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    without_optimizer: bool = False
    trainable_only: bool = False
    collection: str | None = None
    allow_unmatched: bool = False

    def __post_init__(self) -> None:
        for field in ("include", "exclude"):
            given = getattr(self, field)
            patterns = (given,) if isinstance(given, str) else tuple(given or ())
            for pattern in patterns:
                try:
                    re.compile(pattern)
                except (re.error, TypeError) as error:
                    raise InvalidArgumentError(f"{field}: {pattern!r} is no regular expression: {error}") from error
            # Frozen to whoever has it, not to itself.
            object.__setattr__(self, field, patterns)
        if not (self.include or self.exclude or self.without_optimizer or self.trainable_only or self.collection):
            raise InvalidArgumentError(
                "a selection needs a rule: include, exclude, without_optimizer, trainable_only or collection"
            )

    def select(
        self,
        tensors: Mapping[str, Selectable],
        *,
        trainable: Collection[str] | None = None,
        in_collection: Collection[str] | None = None,
        full_names: Mapping[str, str] | None = None,
        training: Mapping[str, str] | None = None,
        others: Collection[str] = (),
    ) -> SelectionReport:
        """Decides about every tensor.

        Args:
            tensors: All there are, by name.
            trainable: The names of the variables that are trained, for `trainable_only`.
            in_collection: The names of the variables in the collection, for `collection`.
            full_names: For an object-based checkpoint, the names in the program by key (see `training_tensors`).
            training: Why each tensor that only training needs is one, where a graph was asked; None for names and structure.
            others: Names about which something else has decided, and in which patterns may occur all the same.

        Raises:
            NothingSelectedError: A pattern occurs in no name, or nothing is kept.
            InvalidArgumentError: What only the program knows was asked for and not given.
        """
        unmatched = self.unmatched([*tensors, *others])
        if tensors and not self.allow_unmatched:
            raise_unmatched(unmatched)
        reasons = self._reasons(tensors, trainable, in_collection, full_names, training)
        kept = tuple(name for name in tensors if name not in reasons)
        if tensors and not kept:
            raise NothingSelectedError(f"the selection keeps none of {count(len(tensors), 'tensor')}: {self}")
        left_out = {name: reasons[name] for name in tensors if name in reasons}
        return SelectionReport(
            kept,
            left_out,
            num_parameters_kept=_num_parameters(tensors[name] for name in kept),
            num_parameters_left_out=_num_parameters(tensors[name] for name in left_out),
            num_bytes_kept=sum(tensors[name].num_bytes for name in kept),
            num_bytes_left_out=sum(tensors[name].num_bytes for name in left_out),
            notes=tuple(f"note: {sentence}" for sentence in unmatched) if tensors else (),
        )

    def unmatched(self, names: Collection[str]) -> list[str]:
        """The patterns that occur in none of some names, in sentences."""
        found = []
        for word, patterns in (("included", self.include), ("excluded", self.exclude)):
            for pattern in patterns:
                if not any(map(occurrence_of(pattern), names)):
                    near = nearest_names(pattern.strip("^$"), {split_attribute(name)[0] for name in names})
                    hint = f"; did you mean {', '.join(map(repr, near))}?" if near else ""
                    found.append(f"{pattern!r}, to be {word}, is in none of {count(len(names), 'name')}{hint}")
        return found

    def matched_in(self, names: Collection[str]) -> Selection:
        """The same rules for several checkpoints, of which each may lack what a pattern names.

        Args:
            names: The names of all of them.

        Raises:
            NothingSelectedError: A pattern occurs in no name.
        """
        if not self.allow_unmatched:
            raise_unmatched(self.unmatched(names))
        return dataclasses.replace(self, allow_unmatched=True)

    def select_from(self, reader: CheckpointReader) -> SelectionReport:
        """Decides about the tensors of a checkpoint, which says nothing of what is trained or in which collection.

        What describes the objects of an object-based checkpoint is no tensor of the model, and is not in the report.

        Raises:
            InvalidArgumentError: As for `select`.
        """
        graph = read_object_graph(reader)
        infos = (info for info in reader.infos() if info.name not in DESCRIPTIONS)
        tensors = {info.name: Selectable(info.shape, info.num_bytes, info.dtype.name) for info in infos}
        return self.select(tensors, full_names=None if graph is None else graph.full_names_of_keys())

    def _reasons(
        self,
        tensors: Mapping[str, Selectable],
        trainable: Collection[str] | None,
        in_collection: Collection[str] | None,
        full_names: Mapping[str, str] | None,
        training: Mapping[str, str] | None,
    ) -> dict[str, str]:
        """Why each tensor that is left out is left out."""
        reasons: dict[str, str] = {}

        def leave_out(names: Iterable[str], reason: str) -> None:
            for name in names:
                reasons.setdefault(name, reason)

        if self.trainable_only:
            known = _known(trainable, "trainable_only=True", "which variables are trained")
            leave_out((name for name in tensors if name not in known), "not trainable")
        if self.collection is not None:
            known = _known(in_collection, f"collection={self.collection!r}", "what is in a collection")
            leave_out((name for name in tensors if name not in known), f"not in the collection {self.collection!r}")
        if self.include:
            included = {name for pattern in self.include for name in filter(occurrence_of(pattern), tensors)}
            leave_out((name for name in tensors if name not in included), "not included")
        for pattern in self.exclude:
            leave_out((name for name in tensors if occurs_in(pattern, name)), f"excluded by {pattern!r}")
        if self.without_optimizer and training is not None:
            for name in tensors.keys() & training.keys():
                leave_out([name], training[name])
        elif self.without_optimizer:
            shapes = {name: tensor.shape for name, tensor in tensors.items() if tensor.shape is not None}
            dtypes = {name: tensor.dtype for name, tensor in tensors.items() if tensor.dtype is not None}
            for name, found in find_training_tensors(shapes, full_names, dtypes=dtypes).found.items():
                leave_out([name], found.reason)
        return reasons


def raise_unmatched(unmatched: Sequence[str]) -> None:
    """Raises one error of all patterns that occur in no name.

    Raises:
        NothingSelectedError: There is one.
    """
    if unmatched:
        hint = "allow_unmatched=True (--allow-unmatched) permits it"
        raise NothingSelectedError(f"{'; '.join(unmatched)} ({hint})")


def occurs_in(pattern: str, name: str) -> bool:
    """Whether a pattern occurs in a tensor's name: in the path of an object, or in all of the key."""
    return occurrence_of(pattern)(name)


def occurrence_of(pattern: str) -> Callable[[str], bool]:
    """`occurs_in` for one pattern and many names."""
    search = re.compile(pattern).search

    def is_in(name: str) -> bool:
        path, attribute = split_attribute(name)
        return search(path) is not None or (attribute != "" and search(name) is not None)

    return is_in


def _known(names: Collection[str] | None, rule: str, what: str) -> Collection[str]:
    if names is None:
        raise InvalidArgumentError(f"{rule} needs a program's graph: a checkpoint does not say {what}")
    return names


def _num_parameters(tensors: Iterable[Selectable]) -> int:
    return sum(math.prod(tensor.shape) for tensor in tensors if tensor.shape is not None)


def as_selection(select: Any, *, allow_unmatched: bool = False) -> Selection:
    """What a caller may give as a selection: one, or what it has as its `include`.

    Args:
        select: What the caller gave.
        allow_unmatched: Whether a pattern may occur in no name, whatever the selection says.

    Raises:
        InvalidArgumentError: It is neither.
    """
    if isinstance(select, Selection):
        return dataclasses.replace(select, allow_unmatched=True) if allow_unmatched else select
    if isinstance(select, str) or (isinstance(select, (list, tuple)) and all(isinstance(item, str) for item in select)):
        return Selection(include=(select,) if isinstance(select, str) else tuple(select), allow_unmatched=allow_unmatched)
    raise InvalidArgumentError(f"a selection is a Selection, a pattern or a list of patterns, not {select!r}")


# What the `select=` of a verb takes: a selection, or patterns of which one must occur in a name; None for all tensors.
Select: TypeAlias = "Selection | str | Sequence[str] | None"


def select_of_patterns(options: dict[str, Any]) -> None:
    """Turns the earlier options `include` and `exclude` of a call into `select`."""
    patterns = {field: options.pop(field) for field in ("include", "exclude") if field in options}
    if any(patterns.values()):
        options["select"] = Selection(**patterns)
