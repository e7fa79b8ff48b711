"""Positions of names in a sorted list are those that a search finds."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tfsaver.lib.sorted_names import positions

names = st.lists(st.text("ab", max_size=3))


@given(names, names)
def test_positions_are_found_in_any_order(has: list[str], wanted: list[str]) -> None:
    ordered = sorted(set(has))
    expected = [ordered.index(name) if name in ordered else -1 for name in wanted]
    assert list(positions(ordered, wanted)) == expected
    assert list(positions(ordered, list(ordered))) == list(range(len(ordered)))
