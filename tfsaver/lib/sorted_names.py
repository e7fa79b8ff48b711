"""Where names stand in a sorted list, for many names at once."""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Iterator, Sequence


def positions(names: Sequence[str], wanted: Sequence[str]) -> Iterable[int]:
    """The position of each wanted name among sorted names; -1 for one that is not there.

    Names that are wanted in their order are found without a search: each is nearly always the one after the last.
    """
    return range(len(names)) if wanted == names else _one_by_one(names, wanted)


def _one_by_one(names: Sequence[str], wanted: Sequence[str]) -> Iterator[int]:
    position = 0
    end = len(names)
    for name in wanted:
        if position == end or names[position] != name:
            position = bisect.bisect_left(names, name)
            if position == end or names[position] != name:
                yield -1
                continue
        yield position
        position += 1
