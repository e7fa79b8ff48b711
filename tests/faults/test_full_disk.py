"""A disk that is full for real."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.faults.full_disk import SCENARIOS_ON_A_FULL_DISK
from tests.faults.scenarios import SCENARIOS
from tests.faults.worker import Worker
from tests.plugins.exhaustive import sample_size


@pytest.mark.parametrize("name", SCENARIOS_ON_A_FULL_DISK, indirect=True)
def test_a_save_that_finds_no_room_leaves_everything_as_it_was(
    name: str, worker_of: Callable[[str], Worker], record_property: Callable[[str, object], None]
) -> None:
    worker = worker_of("tensorflow" if SCENARIOS[name].needs_tensorflow else "plain")
    filled = worker.ask("fill", name=name, limit=sample_size(4))
    if filled is None:
        pytest.skip("this system lets nobody mount a file system of their own")
    record_property("evidence", f"full disk: {name}: {filled['tried']} sizes, {filled['failed']} too small")
    assert filled["problems"] == []
    assert 0 < filled["failed"] < filled["tried"]
