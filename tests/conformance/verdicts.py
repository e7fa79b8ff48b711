"""What can come of reading."""

from __future__ import annotations

import enum


class Verdict(enum.Enum):
    """What a route says of a source."""

    OLD = "the values that were written"
    NEW = "the values that were written afterwards"
    DAMAGED = "a DataLossError, a report that is not ok, or an older checkpoint"
    MISSING = "a CheckpointNotFoundError"
    REPLACED = "a CheckpointReplacedError"
    REFUSED = "an InvalidArgumentError or an UnimplementedError"
    SYSTEM = "an OSError"
    GROWN = "several times as many bytes as there are"
    OTHER = "another value or another error"
