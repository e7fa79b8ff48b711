"""What is wrong today, and what is printed in its place; a line goes when its cells are right.

A key is a regular expression for the whole id of cells (``source-route-fault``) or rules. Every cell that one fits must fail.
"""

from __future__ import annotations

import re

KNOWN_FAULTS: dict[str, str] = {}


def known_fault(identifier: str) -> str | None:
    """What is wrong with a cell or a rule; None when nothing is known of it."""
    return next((why for pattern, why in KNOWN_FAULTS.items() if re.fullmatch(pattern, identifier)), None)
