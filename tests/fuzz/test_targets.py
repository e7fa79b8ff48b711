"""The fuzz targets without a fuzzer: their seeds, and what Hypothesis makes of them. Nothing but tfsaver's errors.

Which bytes reach new code only a fuzzer knows: `python -m tests.fuzz`, where atheris is installed.
"""

from __future__ import annotations

import functools

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz import harness, pieces

NAMES = harness.target_names()
# Seeds of one target that are run: those of other programs' files are many.
_MAX_SEEDS = 30


@functools.cache
def target_and_seeds(name: str) -> tuple[harness.Target, list[bytes]]:
    target = harness.load_target(name)
    seeds = harness.small_seeds(target)
    return target, seeds[:: max(1, len(seeds) // _MAX_SEEDS)]


@pytest.mark.parametrize("name", NAMES)
def test_target_has_its_name_and_runs_its_seeds_in_little_memory(name: str) -> None:
    target, seeds = target_and_seeds(name)
    assert target.name == name
    assert seeds
    # Tables and caches are made by the first run.
    for seed in seeds:
        harness.run_once(target, seed)
    for seed in seeds:
        harness.run_measured(target, seed)


@st.composite
def changes(draw: st.DrawFn, data: bytes) -> bytes:
    """`data` with some bytes replaced, cut out or put in."""
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(data)))
        end = min(len(data), start + draw(st.sampled_from([0, 1, 1, 2, 8, 30])))
        data = data[:start] + draw(st.binary(max_size=max(1, end - start))) + data[end:]
    return data


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(draws=st.data())
def test_changed_seeds_and_any_bytes_raise_only_our_errors(name: str, draws: st.DataObject) -> None:
    target, seeds = target_and_seeds(name)
    start = draws.draw(st.sampled_from(seeds) | st.binary(max_size=200))
    changed = harness.changed(target, start, lambda piece: draws.draw(changes(piece)), draws.draw(st.integers(0, 1 << 30)))
    harness.run_once(target, changed)


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=16))
def test_pieces_are_unpacked_as_they_were_packed(parts: list[bytes]) -> None:
    assert pieces.unpack(pieces.pack(parts)) == parts


@given(st.binary(max_size=300))
def test_any_bytes_are_pieces(data: bytes) -> None:
    assert pieces.pack(pieces.unpack(data)) == data


def test_error_that_is_not_ours_and_memory_beyond_the_bound_are_findings() -> None:
    def run(data: bytes) -> None:
        if data == b"error":
            raise ValueError("not ours")
        bytearray(harness.max_peak(len(data)) + 1)

    target = harness.Target("bad", lambda: [b""], run)
    with pytest.raises(ValueError, match="not ours"):
        harness.run_once(target, b"error")
    with pytest.raises(harness.FindingError, match="bytes of memory"):
        harness.run_measured(target, b"memory")
