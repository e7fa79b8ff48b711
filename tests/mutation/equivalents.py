"""Mutants that no test can catch, because they do the same, and why."""

from __future__ import annotations

from typing import NamedTuple


class Equivalent(NamedTuple):
    """A mutant by its file, its function and the line before and after the change."""

    file: str
    function: str
    before: str
    after: str
    reason: str


# The number is how much is done at once, or is kept; no result depends on it.
_SIZE = "a size that only speed and memory depend on"

EQUIVALENTS = (
    Equivalent(
        "tfsaver/checkpoint/names/name_steps.py",
        "RenameScope.rename",
        'scopes = sorted({name.split("/", 1)[0] for name in names if "/" in name})',
        'scopes = sorted({name.split("/", 2)[0] for name in names if "/" in name})',
        "the first part is the same however often the rest is split",
    ),
    Equivalent(
        "tfsaver/checkpoint/names/rnn_cell_names.py",
        "_of_oldest",
        'if "/Linear/" not in name and "LSTMCell/" not in name:',
        "if False:",
        "a shortcut: each of the patterns has one of these words",
    ),
    Equivalent(
        "tfsaver/tensor_bundle/read_many.py", "", "_MAX_GAP = 4 << 10", "_MAX_GAP = 4 << 9", _SIZE
    ),
    Equivalent(
        "tfsaver/tensor_bundle/read_many.py", "", "_MAX_KEPT_SIZE = 64 << 20", "_MAX_KEPT_SIZE = 63 << 20", _SIZE
    ),
)
