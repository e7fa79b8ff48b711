"""Killed at every system call of a save: old or new values are there for both readers, and the next save cleans up."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.faults.scenarios import SCENARIOS
from tests.faults.sweep import Sweep
from tests.faults.worker import Worker
from tests.plugins.exhaustive import sample_size

pytestmark = pytest.mark.usefixtures("tracing")

_HAVE_TWINS = [name for name, scenario in SCENARIOS.items() if scenario.tensorflows is not None]
# Forks of a process that has imported TensorFlow take their time.
_SAMPLES = {False: 8, True: 3}


@pytest.mark.parametrize("name", SCENARIOS, indirect=True)
def test_whatever_call_is_the_last_one_a_checkpoint_is_there(
    name: str, worker_of: Callable[[str], Worker], record_property: Callable[[str, object], None]
) -> None:
    needs_tensorflow = SCENARIOS[name].needs_tensorflow
    worker = worker_of("tensorflow" if needs_tensorflow else "plain")
    swept = Sweep(*worker.ask("sweep", name=name, what="killed", limit=sample_size(_SAMPLES[needs_tensorflow])))
    record_property("evidence", f"killed: {name}: {swept.num_readable} of {swept.num_tried} points readable")
    assert swept.problems == []
    assert swept.num_tried == swept.num_readable == swept.num_good > 1


@pytest.mark.parametrize("name", _HAVE_TWINS, indirect=True)
def test_how_many_points_tensorflow_survives_is_counted(
    name: str, worker_of: Callable[[str], Worker], record_property: Callable[[str, object], None]
) -> None:
    swept = Sweep(
        *worker_of("tensorflow").ask("sweep", name=name, what="killed", limit=sample_size(3), tensorflows=True)
    )
    record_property("evidence", f"killed: {name}, TensorFlow's own: {swept.num_readable} of {swept.num_tried} points readable")
    # Nothing is promised: what must be right is the counting.
    assert 0 <= swept.num_readable <= swept.num_tried
    assert swept.num_tried > 1
