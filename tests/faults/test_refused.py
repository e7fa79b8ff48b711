"""ENOSPC, EIO and short writes at every system call of a save: it succeeds or says why, and leaves no trace of itself."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.faults.scenarios import SCENARIOS
from tests.faults.sweep import Sweep
from tests.faults.worker import Worker
from tests.plugins.exhaustive import sample_size

pytestmark = pytest.mark.usefixtures("tracing")

_SAMPLES = {False: 4, True: 2}


@pytest.mark.parametrize("name", SCENARIOS, indirect=True)
def test_whatever_call_fails_the_save_succeeds_or_has_never_been(
    name: str, worker_of: Callable[[str], Worker], record_property: Callable[[str, object], None]
) -> None:
    needs_tensorflow = SCENARIOS[name].needs_tensorflow
    worker = worker_of("tensorflow" if needs_tensorflow else "plain")
    swept = Sweep(*worker.ask("sweep", name=name, what="refused", limit=sample_size(_SAMPLES[needs_tensorflow])))
    record_property("evidence", f"refused: {name}: {swept.num_good} of {swept.num_tried} points as promised")
    assert swept.problems == []
    assert swept.num_tried == swept.num_good > 1
