"""What a save leaves to a power cut, told from its system calls: each file is synced before it has its name, each name after."""

from __future__ import annotations

import os
import re
from collections.abc import Callable

import pytest

from tests.faults.scenarios import SCENARIOS
from tests.faults.system_calls import CHANGE, REMOVE, RENAME, SYNC
from tests.faults.tracer import Call
from tests.faults.worker import Worker

pytestmark = pytest.mark.usefixtures("tracing")

_DURABLE = [name for name in SCENARIOS if "durable=False" not in name]


_TEMPORARY = re.compile(r"\.tmp|temp-")


def _is_in(path: str, directory: str) -> bool:
    return path == directory or path.startswith(f"{directory}/")


def renamed_unsynced(calls: list[Call]) -> list[str]:
    """The files that got the name that readers look for before what was written was on the disk."""
    dirty: set[str] = set()
    found = []
    for call in calls:
        if call.name in CHANGE:
            dirty.add(call.path)
        elif call.name in SYNC or call.name in REMOVE:
            dirty.discard(call.path)
        elif call.name in RENAME:
            # With a directory goes what is in it.
            moved = {path for path in dirty if _is_in(path, call.path)}
            if not _TEMPORARY.search(call.target):
                found += moved
            dirty = (dirty - moved) | {call.target + path[len(call.path) :] for path in moved}
    return sorted(found)


def unsynced_directories(calls: list[Call]) -> set[str]:
    """The directories whose last new name may not be on the disk when the save has ended."""
    dirty: set[str] = set()
    for call in calls:
        if call.name in RENAME and not _TEMPORARY.search(call.target):
            dirty.add(os.path.dirname(call.target) or ".")
        elif call.name in SYNC or call.name in REMOVE:
            dirty.discard(call.path)
    return dirty


def test_a_rename_before_a_sync_is_found() -> None:
    write, sync, rename = Call("write", "a.tmp", 1), Call("fsync", "a.tmp"), Call("rename", "a.tmp", 0, "a")
    assert renamed_unsynced([write, rename, sync]) == ["a.tmp"]
    assert renamed_unsynced([write, sync, rename]) == []
    within = Call("rename", "d.tmp/x", 0, "d.tmp/y")
    assert renamed_unsynced([Call("write", "d.tmp/x", 1), within, Call("rename", "d.tmp", 0, "d")]) == ["d.tmp/y"]
    assert renamed_unsynced([Call("write", "d.tmp/x", 1), within, Call("fsync", "d.tmp/y"), Call("rename", "d.tmp", 0, "d")]) == []
    assert unsynced_directories([rename]) == {"."}
    assert unsynced_directories([rename, Call("fsync", ".")]) == set()
    assert unsynced_directories([Call("fsync", "."), rename]) == {"."}


@pytest.mark.parametrize("name", _DURABLE, indirect=True)
def test_nothing_has_its_name_before_the_disk_has_its_bytes(name: str, worker_of: Callable[[str], Worker]) -> None:
    worker = worker_of("tensorflow" if SCENARIOS[name].needs_tensorflow else "plain")
    calls = [Call(*call) for call in worker.ask("calls", name=name)]
    assert any(call.name in RENAME for call in calls)
    assert renamed_unsynced(calls) == []
    assert unsynced_directories(calls) == set()


def test_saving_without_durable_syncs_nothing(worker_of: Callable[[str], Worker]) -> None:
    calls = [Call(*call) for call in worker_of("plain").ask("calls", name="save_checkpoint, durable=False, over the old one")]
    # The state file is written by another function, which is not told.
    assert [str(call) for call in calls if call.name in SYNC and not call.path.startswith(("checkpoint", "."))] == []
