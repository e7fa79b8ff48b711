"""The file of a retention ledger, `checkpoint.retention.json` beside the state file `checkpoint`.

A name that no reader takes for a checkpoint, and JSON that a person can read and mend::

    {
     "version": 1,
     "series": {"model.ckpt": {"began": 1700000000.0}},          when `every_hours` began to count
     "checkpoints": [                                            oldest first
      {"name": "model.ckpt-200", "series": "model.ckpt", "time": 1700000360.5,
       "format": "V2", "metric": 0.25, "pinned": true}           the metric, the pin, a suffix other than "meta": if any
     ]
    }

A name has no directory, nor has a suffix: a ledger is of what lies beside it and of nothing else, since what it names may
be removed, and the directory may move. Fields that this version does not know stay as they are; a newer version's file is
left alone and is an error.
"""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

from tfsaver.errors import InvalidArgumentError, UnimplementedError
from tfsaver.lib import file_io

__all__ = ["LEDGER_SUFFIX", "LedgerEntry", "LedgerPage", "read_ledger", "write_ledger"]

LEDGER_SUFFIX = ".retention.json"
_VERSION = 1


@dataclasses.dataclass(frozen=True)
class LedgerEntry:
    """A checkpoint in the ledger.

    Attributes:
        name: The last part of its prefix.
        series: What it is counted with.
        time: When it was written, in seconds since the epoch.
        format: "V2" or "V1".
        metric: How good it is; None when nobody said.
        is_pinned: Whether it stays until it is unpinned.
        meta_graph_suffix: How the name of its meta graph ends.
        unknown: The fields of the file that this version does not know.
    """

    name: str
    series: str
    time: float
    format: str = "V2"
    metric: float | None = None
    is_pinned: bool = False
    meta_graph_suffix: str = "meta"
    unknown: dict[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class LedgerPage:
    """All that the file says.

    Attributes:
        entries: The checkpoints, oldest first.
        series: The facts of each series, by name.
        unknown: The fields of the file that this version does not know.
    """

    entries: list[LedgerEntry] = dataclasses.field(default_factory=list)
    series: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)
    unknown: dict[str, Any] = dataclasses.field(default_factory=dict)


def read_ledger(path: str) -> LedgerPage | None:
    """What the file says; None when there is none.

    Raises:
        InvalidArgumentError: It is no ledger.
        UnimplementedError: It is one of a newer version.
    """
    try:
        data = file_io.read_file(path)
    except FileNotFoundError:
        return None
    try:
        fields = json.loads(data, parse_constant=_refuse_constant)
        version = fields.pop("version")
        if not isinstance(version, int) or isinstance(version, bool):
            raise TypeError(f"its version is {version!r}")
        if version > _VERSION:
            raise UnimplementedError(f"{path} is of version {version}, and this library knows up to {_VERSION}")
        series = fields.pop("series", {})
        for name, facts in series.items():
            if not isinstance(facts, dict) or not _is_number(facts.get("began", 0)):
                raise TypeError(f"series {name!r} is {facts!r}")
        return LedgerPage([_parse_entry(entry) for entry in fields.pop("checkpoints")], series, fields)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        # The text of an error is what a person reads, and a KeyError's is no more than the key.
        reason = f"no field {error}" if isinstance(error, KeyError) else str(error)
        raise InvalidArgumentError(f"{path} is no retention ledger: {reason}") from error


def write_ledger(path: str, page: LedgerPage, *, durable: bool = True) -> None:
    """Writes the file, in one atomic step."""
    fields = {
        "version": _VERSION,
        **page.unknown,
        "series": page.series,
        "checkpoints": [_format_entry(entry) for entry in page.entries],
    }
    text = json.dumps(fields, indent=1, ensure_ascii=True, allow_nan=False)
    file_io.write_file(path, f"{text}\n".encode(), durable=durable)


def _refuse_constant(text: str) -> Any:
    raise ValueError(f"{text} is not JSON")


def _parse_entry(fields: dict[str, Any]) -> LedgerEntry:
    fields = dict(fields)
    metric = fields.pop("metric", None)
    entry = LedgerEntry(
        name=fields.pop("name"),
        series=fields.pop("series"),
        time=fields.pop("time"),
        format=fields.pop("format", "V2"),
        metric=metric,
        is_pinned=fields.pop("pinned", False),
        meta_graph_suffix=fields.pop("meta_graph_suffix", "meta"),
        unknown=fields,
    )
    if not _is_number(entry.time) or not (metric is None or _is_number(metric)):
        raise TypeError(f"{entry.name!r} has a time {entry.time!r} and a metric {metric!r}")
    for text in (entry.name, entry.series, entry.format, entry.meta_graph_suffix):
        if not isinstance(text, str):
            raise TypeError(f"{text!r} in the place of a text")
    if entry.name in ("", ".", "..") or not _is_part_of_name(entry.name):
        raise TypeError(f"{entry.name!r} is no name of a checkpoint")
    if not _is_part_of_name(entry.meta_graph_suffix):
        raise TypeError(f"{entry.meta_graph_suffix!r} is no suffix of a file's name")
    if not isinstance(entry.is_pinned, bool):
        raise TypeError(f"{entry.name!r} has a pin {entry.is_pinned!r}")
    return entry


def _is_number(value: Any) -> bool:
    """Whether it is a number that a float can be."""
    try:
        return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:
        return False


def _is_part_of_name(text: str) -> bool:
    """Whether a path that ends in it stays in its directory, on every system."""
    return not any(character in text for character in "/\\\0") and text[1:2] != ":"


def _format_entry(entry: LedgerEntry) -> dict[str, Any]:
    fields: dict[str, Any] = {"name": entry.name, "series": entry.series, "time": entry.time, "format": entry.format}
    if entry.metric is not None:
        fields["metric"] = entry.metric
    if entry.is_pinned:
        fields["pinned"] = True
    if entry.meta_graph_suffix != "meta":
        fields["meta_graph_suffix"] = entry.meta_graph_suffix
    return {**entry.unknown, **fields}
