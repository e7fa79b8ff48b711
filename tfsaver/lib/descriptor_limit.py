"""How many files this process may open.

A writer keeps one descriptor for each data file until all of them have their names: open while it writes, and then for the
lock that tells other processes that the file's writer is alive. So the limit is looked at before anything is written. A
reader opens files again that it has closed, and makes do with a share of the descriptors.
"""

from __future__ import annotations

import os

from tfsaver.errors import InvalidArgumentError

try:
    import resource
except ImportError:
    # Not a POSIX system: there is no such limit to ask for.
    resource = None  # type: ignore[assignment]

# Beyond the data files: the locked directory, the index, the old checkpoint's index, and what the tensors are read from.
_NUM_OTHERS = 16
_DESCRIPTORS = "/proc/self/fd"
# A reader has at most this share of them: the process has other checkpoints and files open too.
_READERS_SHARE = 8
_MIN_FOR_READING = 4
_MAX_FOR_READING = 512


def descriptors_for_reading() -> int:
    """How many data files of one checkpoint have a descriptor at once, while it is read."""
    if resource is None:
        return _MAX_FOR_READING
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit == resource.RLIM_INFINITY:
        return _MAX_FOR_READING
    return max(_MIN_FOR_READING, min(limit // _READERS_SHARE, _MAX_FOR_READING))


def check_descriptors(path: str, num_files: int) -> None:
    """Makes sure that so many files of one checkpoint can be open at once.

    Args:
        path: The prefix or the file that is to be written, for the error.
        num_files: How many data files there are. Of a single one the system itself says what is wrong.

    Raises:
        InvalidArgumentError: The limit of open files is too low; says how many are needed, and what to type.
    """
    if resource is None or num_files == 1:
        return
    limit, hard_limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit == resource.RLIM_INFINITY:
        return
    num_open = _num_open(limit)
    needed = num_files + _NUM_OTHERS
    if num_open + needed <= limit:
        return
    # Others may be opened meanwhile: a round number leaves some room.
    wanted = -(-(num_open + needed) // 1000) * 1000
    ways = [f"type `ulimit -n {wanted}` before starting it"]
    if hard_limit != resource.RLIM_INFINITY and wanted > hard_limit:
        ways[0] += f" (only root may: the hard limit is {hard_limit})"
    available = limit - num_open
    if available > _NUM_OTHERS:
        ways.append(f"use num_shards={available - _NUM_OTHERS} or fewer")
    raise InvalidArgumentError(
        f"{path!r}: {num_files} data files need {needed} open files, and this process may open {max(0, available)} more "
        f"(ulimit -n is {limit}, {num_open} are open): {', or '.join(ways)}"
    )


def _num_open(limit: int) -> int:
    """How many descriptors below the limit are in use; 0 where the system does not say."""
    try:
        numbers = [int(name) for name in os.listdir(_DESCRIPTORS)]
    except OSError:
        return 0
    # One is the list's own.
    return max(0, sum(number < limit for number in numbers) - 1)
