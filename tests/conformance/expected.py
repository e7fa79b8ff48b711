"""What a cell is to end in: one verdict for each fault, whatever the source and the route.

`expected` says it, `judge` finds it in what a route returned or raised. Values are compared with the arrays that were
written, by dtype, shape and bits.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from tests.conformance.faults import SHARED, Fault, Place
from tests.conformance.routes import (
    Form,
    ReportedError,
    Result,
    ResultError,
    Route,
    Same,
    Sound,
    Takes,
    UnreadableError,
    keeps_reader,
    kinds_taken,
)
from tests.conformance.sources import NEW, OLD, Kind, Source, Values
from tests.conformance.verdicts import Verdict
from tfsaver.errors import (
    CheckpointNotFoundError,
    CheckpointReplacedError,
    DataLossError,
    InvalidArgumentError,
    SaverError,
    UnimplementedError,
)
from tfsaver.testing import is_same

# Several times what any of the sources has, whatever its index says.
MAX_SIZE = 64 * 1024


class Reason(enum.Enum):
    """Why a cell cannot exist."""

    FORMAT = "the format cannot hold it"
    ROUTE = "the route cannot take it"
    PROCESS = "the fault needs a process without TensorFlow"

    @property
    def letter(self) -> str:
        return self.name[0]


Expected: TypeAlias = "frozenset[Verdict]"


def hole(source: Source, route: Route, fault: Fault) -> Reason | None:
    """Why there is no such cell; None where there is one."""
    if source.kind not in kinds_taken(route) or (route.takes is Takes.DIRECTORY and not source.has_state):
        return Reason.ROUTE
    if route.name == "map" and not source.mappable:
        return Reason.ROUTE
    if source.extra and not route.takes_strings:
        return Reason.ROUTE
    if source.kind not in fault.kinds or (fault.needs_slices and not source.sliced):
        return Reason.FORMAT
    if (fault.needs_checksums and not source.checked) or (fault.needs_strings and not source.extra):
        return Reason.FORMAT
    if fault.is_by_state and not source.has_state:
        return Reason.FORMAT
    if not fault.trusted and not (keeps_reader(route) or route.chooses):
        return Reason.ROUTE
    if (fault.place is Place.BYTES and route.moves_files) or (fault.is_cast and route.casts is None):
        return Reason.ROUTE
    if fault.is_starved and route.needs == "tensorflow":
        return Reason.PROCESS
    return None


def expected(source: Source, route: Route, fault: Fault, *, again: bool) -> Expected:
    """The verdicts that are right: mostly one; more where it depends on what a reader still has, and each is true.

    Args:
        source: The source.
        route: The route.
        fault: The fault.
        again: Whether the reader is the one from before the fault.
    """
    verdicts = (fault.again if again else fault.anew) or frozenset()
    is_v1 = source.kind is Kind.V1
    if not route.reads_values and fault.place in (Place.BYTES, Place.VALUES):
        # In V1 the names are in the same file.
        return verdicts | {Verdict.OLD} if is_v1 else frozenset({Verdict.OLD})
    if again and (is_v1 or not route.reads_values):
        # The index has been read; of a V1 file perhaps the blocks too.
        verdicts |= {Verdict.OLD}
    if fault.needs_strings and route.needs == "tensorflow":
        # The variables are others.
        verdicts |= {Verdict.OLD}
    if route.name == "map" and Verdict.SYSTEM in verdicts:
        # A mapping takes no read.
        verdicts |= {Verdict.OLD}
    if Verdict.MISSING in verdicts:
        # A report says that the checkpoint is not ok; TensorFlow's Saver says that the argument is wrong.
        verdicts |= {Verdict.DAMAGED} if route.takes in (Takes.PATH, Takes.DIRECTORY) else set()
        verdicts |= {Verdict.REFUSED} if route.name == "saver" else set()
    # An older checkpoint is taken, with the reason as a warning; but a process without descriptors could read none of them.
    if route.chooses and not fault.is_starved and verdicts & {Verdict.REFUSED, Verdict.SYSTEM}:
        verdicts |= {Verdict.DAMAGED}
    return verdicts - {Verdict.GROWN} if route.copies else verdicts


def judge(run: Callable[[], Result], source: Source) -> tuple[frozenset[Verdict], str]:
    """Runs a route and says what came of it, as verdicts that are all true of it, and in words."""
    try:
        result = run()
    except Exception as error:  # noqa: BLE001 - any error is a verdict
        return frozenset({_of_error(error)}), f"{type(error).__name__}: {error}"
    if isinstance(result, Sound):
        return frozenset({Verdict.OLD, Verdict.NEW, Verdict.GROWN}), "sound"
    if isinstance(result, Same):
        found = frozenset(verdict for verdict in (Verdict.OLD, Verdict.NEW) if verdict.name.lower() in result)
        return found or frozenset({Verdict.OTHER}), f"the same as {set(result) or 'neither'}"
    if isinstance(result, Form):
        wanted = {source.key(name): (np.asarray(value).dtype, np.shape(value)) for name, value in source.all_of(OLD).items()}
        same = {name: form for name, form in result.items() if not name.startswith(SHARED)} == wanted
        return frozenset({Verdict.OLD, Verdict.NEW} if same else {Verdict.OTHER}), f"{dict(result)}"
    return _of_values(result, source)


def _of_values(result: Values, source: Source) -> tuple[frozenset[Verdict], str]:
    values = {_plain(name): np.asarray(value) for name, value in result.items()}
    own = {name: value for name, value in values.items() if not name.startswith(("_", "save_counter", SHARED))}
    size = sum(value.nbytes for value in values.values())
    if size > MAX_SIZE:
        return frozenset({Verdict.GROWN}), f"{len(values)} tensors of {size} bytes"
    verdicts = [verdict for verdict, wanted in ((Verdict.OLD, OLD), (Verdict.NEW, NEW)) if _are_same(own, source.all_of(wanted))]
    return frozenset(verdicts or [Verdict.OTHER]), "; ".join(_differences(own, source))


def _plain(name: str) -> str:
    return name.removesuffix("/.ATTRIBUTES/VARIABLE_VALUE")


def _are_same(values: Values, wanted: Values) -> bool:
    return values.keys() == wanted.keys() and all(is_same(values[name], wanted[name]) for name in wanted)


def _differences(values: Values, source: Source) -> list[str]:
    """For each tensor, whether its value is the old one, the new one, or another."""
    contents = {"old": source.all_of(OLD), "new": source.all_of(NEW)}
    found = []
    for name in sorted(values.keys() | contents["old"].keys()):
        if name not in values or name not in contents["old"]:
            found.append(f"{name!r} is {'too many' if name in values else 'missing'}")
            continue
        value = values[name]
        which = [label for label, wanted in contents.items() if is_same(value, wanted[name])]
        found.append(f"{name!r} is {which[0] if which else f'another value: {value.dtype} {value.shape} {value.tobytes()[:12]!r}'}")
    return found


def _of_error(error: BaseException) -> Verdict:
    # TensorFlow's classes are raised from ours.
    while not isinstance(error, (SaverError, OSError, ReportedError, UnreadableError, ResultError)) and error.__cause__ is not None:
        error = error.__cause__
    for kind, verdict in _OF_ERRORS:
        if isinstance(error, kind):
            return verdict
    return Verdict.OTHER


_OF_ERRORS: tuple[tuple[type[BaseException], Verdict], ...] = (
    (ReportedError, Verdict.DAMAGED),
    (UnreadableError, Verdict.SYSTEM),
    (CheckpointReplacedError, Verdict.REPLACED),
    (DataLossError, Verdict.DAMAGED),
    (CheckpointNotFoundError, Verdict.MISSING),
    (FileNotFoundError, Verdict.MISSING),
    (UnimplementedError, Verdict.REFUSED),
    (InvalidArgumentError, Verdict.REFUSED),
    (OSError, Verdict.SYSTEM),
)
