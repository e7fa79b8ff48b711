"""How many threads are worth having: as many as there are cores that this process may use."""

from __future__ import annotations

import functools
import os

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
