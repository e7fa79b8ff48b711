"""As many workers as cores that the process may use: by its affinity, and by what its container allows."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tfsaver.lib import workers
from tfsaver.lib.workers import Task, run_tasks


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    workers._share_of_cores.cache_clear()
    yield
    workers._share_of_cores.cache_clear()


@pytest.mark.parametrize(
    ("affinity", "limit", "expected"),
    [
        (8, "max 100000", 8),
        (8, "200000 100000", 2),
        (8, "250000 100000", 3),
        (8, "50000 100000", 1),
        (2, "800000 100000", 2),
        (1, "max 100000", 1),
        (8, "", 8),
        (8, "nonsense", 8),
        (8, "0 100000", 1),
        (4, None, 4),
    ],
)
def test_cores_are_those_of_affinity_and_control_group(
    affinity: int, limit: str | None, expected: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if limit is not None:
        (tmp_path / "cpu.max").write_text(limit + "\n")
    monkeypatch.setattr(workers, "_CGROUP_LIMIT", str(tmp_path / "cpu.max"))
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(affinity)), raising=False)
    assert workers.num_usable_cores() == expected


def test_system_without_affinity_counts_its_cores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "_CGROUP_LIMIT", str(tmp_path / "none"))
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert workers.num_usable_cores() == 6
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert workers.num_usable_cores() == 1


def test_here_is_at_least_one() -> None:
    assert 1 <= workers.num_usable_cores() <= (os.cpu_count() or 1)


@pytest.mark.parametrize("num_workers", [1, 2, 3, 8])
def test_first_error_ends_the_tasks(num_workers: int) -> None:
    done: list[int] = []

    def fail() -> None:
        raise OSError("no more")

    tasks = [Task(functools.partial(done.append, number)) for number in range(10)]
    with pytest.raises(OSError, match="no more"):
        run_tasks([*tasks, Task(fail), *tasks * 100], num_workers)
    assert len(done) < 1010
    run_tasks([], num_workers)


@pytest.mark.parametrize("num_workers", [1, 2, 8])
def test_progress_grows_to_the_size_of_all_tasks(num_workers: int) -> None:
    calls: list[int] = []
    run_tasks([Task(lambda: None, size) for size in range(50)], num_workers, calls.append)
    assert calls == sorted(calls) and calls[-1] == sum(range(50))
