"""Threads for work that can be done in any order: as many as there are cores that this process may use."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Collection

# Not `concurrent.futures.ThreadPoolExecutor`, which is imported when it is first asked for: a process that is forked
# meanwhile would wait for that import forever.
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

_CGROUP_LIMIT = "/sys/fs/cgroup/cpu.max"


def num_usable_cores() -> int:
    """The cores that the process may run on, and no more than its container's share of them; at least 1."""
    try:
        num_cores = len(os.sched_getaffinity(0))
    except AttributeError:
        num_cores = os.cpu_count() or 1
    return max(1, min(num_cores, _share_of_cores()))


@functools.cache
def _share_of_cores() -> int:
    """What the control group allows, rounded up; a large number where it sets no limit."""
    try:
        with open(_CGROUP_LIMIT, encoding="ascii") as file:
            quota, period = file.read().split()
        return -(-int(quota) // int(period))
    except (OSError, ValueError):
        return 1 << 16


class Task(NamedTuple):
    """Something to do, and how many bytes it counts for in the progress."""

    run: Callable[[], object]
    size: int = 0


def run_tasks(
    tasks: Collection[Task], num_workers: int | None = None, progress: Callable[[int], object] | None = None
) -> None:
    """Runs tasks on several threads, of which the caller's is one.

    Args:
        tasks: What to do; each task is started in this order.
        num_workers: How many threads; None for as many as there are cores.
        progress: Called by the caller's thread with how many bytes are done, now and then and at the end.

    Raises:
        BaseException: The first error of a task, once no task is running any more; the remaining tasks are not started.
    """
    num_workers = min(num_usable_cores() if num_workers is None else num_workers, len(tasks))
    # An iterator over a list gives each of its items to one thread.
    waiting = iter(tasks)
    errors: list[BaseException] = []
    sizes: list[int] = []
    done = 0

    def report() -> None:
        nonlocal done
        while sizes:
            done += sizes.pop()
        if progress is not None:
            progress(done)

    def work(reports: bool) -> None:
        for task in waiting:
            if errors:
                return
            try:
                task.run()
                sizes.append(task.size)
                if reports:
                    report()
            except BaseException as error:  # noqa: BLE001 - raised again below, by the thread that called
                errors.append(error)
                return

    if num_workers <= 1:
        work(reports=True)
    else:
        with ThreadPoolExecutor(num_workers, "tfsaver-worker") as pool:
            for _ in range(num_workers - 1):
                pool.submit(work, reports=False)
            work(reports=True)
    if errors:
        raise errors[0]
    report()
