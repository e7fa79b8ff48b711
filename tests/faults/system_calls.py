"""The system calls that change files, by their numbers on two machines, and where their paths and descriptors are.

Only calls that change what a directory or a file holds, or what of it a disk has, are points of interest: what a program
reads cannot hurt. A path is an argument of its own, or comes after the descriptor of the directory that it is relative to.
"""

from __future__ import annotations

import os
import platform
from typing import NamedTuple

# The descriptor that stands for the working directory, as the kernel sees it in a register.
AT_FDCWD = -100


class Rule(NamedTuple):
    """How to read one system call.

    Attributes:
        name: What it is called.
        descriptors: Which arguments are descriptors of files that are changed.
        paths: Pairs of arguments: the descriptor a path is relative to (None: the working directory), and the path.
        count: Which argument says how many bytes (or buffers, if `is_vector`) are written; None for what writes none.
        is_vector: Whether it writes several buffers.
        flags: Which argument has the flags of an open, which counts only where it makes or empties a file.
    """

    name: str
    descriptors: tuple[int, ...] = ()
    paths: tuple[tuple[int | None, int], ...] = ()
    count: int | None = None
    is_vector: bool = False
    flags: int | None = None


_X86_64 = {
    1: Rule("write", (0,), count=2),
    18: Rule("pwrite64", (0,), count=2),
    20: Rule("writev", (0,), count=2, is_vector=True),
    296: Rule("pwritev", (0,), count=2, is_vector=True),
    328: Rule("pwritev2", (0,), count=2, is_vector=True),
    40: Rule("sendfile", (0,), count=3),
    326: Rule("copy_file_range", (2,), count=4),
    74: Rule("fsync", (0,)),
    75: Rule("fdatasync", (0,)),
    277: Rule("sync_file_range", (0,)),
    306: Rule("syncfs", (0,)),
    76: Rule("truncate", paths=((None, 0),)),
    77: Rule("ftruncate", (0,)),
    285: Rule("fallocate", (0,)),
    2: Rule("open", paths=((None, 0),), flags=1),
    257: Rule("openat", paths=((0, 1),), flags=2),
    85: Rule("creat", paths=((None, 0),)),
    82: Rule("rename", paths=((None, 0), (None, 1))),
    264: Rule("renameat", paths=((0, 1), (2, 3))),
    316: Rule("renameat2", paths=((0, 1), (2, 3))),
    86: Rule("link", paths=((None, 0), (None, 1))),
    265: Rule("linkat", paths=((0, 1), (2, 3))),
    88: Rule("symlink", paths=((None, 1),)),
    266: Rule("symlinkat", paths=((1, 2),)),
    87: Rule("unlink", paths=((None, 0),)),
    263: Rule("unlinkat", paths=((0, 1),)),
    83: Rule("mkdir", paths=((None, 0),)),
    258: Rule("mkdirat", paths=((0, 1),)),
    84: Rule("rmdir", paths=((None, 0),)),
}
_AARCH64 = {
    64: Rule("write", (0,), count=2),
    68: Rule("pwrite64", (0,), count=2),
    66: Rule("writev", (0,), count=2, is_vector=True),
    70: Rule("pwritev", (0,), count=2, is_vector=True),
    287: Rule("pwritev2", (0,), count=2, is_vector=True),
    71: Rule("sendfile", (0,), count=3),
    285: Rule("copy_file_range", (2,), count=4),
    82: Rule("fsync", (0,)),
    83: Rule("fdatasync", (0,)),
    84: Rule("sync_file_range", (0,)),
    267: Rule("syncfs", (0,)),
    45: Rule("truncate", paths=((None, 0),)),
    46: Rule("ftruncate", (0,)),
    47: Rule("fallocate", (0,)),
    56: Rule("openat", paths=((0, 1),), flags=2),
    38: Rule("renameat", paths=((0, 1), (2, 3))),
    276: Rule("renameat2", paths=((0, 1), (2, 3))),
    37: Rule("linkat", paths=((0, 1), (2, 3))),
    36: Rule("symlinkat", paths=((1, 2),)),
    35: Rule("unlinkat", paths=((0, 1),)),
    34: Rule("mkdirat", paths=((0, 1),)),
}
_BY_MACHINE = {"x86_64": _X86_64, "aarch64": _AARCH64}

RULES: dict[int, Rule] = _BY_MACHINE.get(platform.machine(), {})

_WRITES = {"write", "pwrite64", "writev", "pwritev", "pwritev2", "sendfile", "copy_file_range"}
_SIZES = {"truncate", "ftruncate", "fallocate"}
_NAMES = {"open", "openat", "creat", "link", "linkat", "symlink", "symlinkat", "mkdir", "mkdirat"}
RENAME = frozenset({"rename", "renameat", "renameat2"})
# What takes room, and so what a full disk refuses.
TAKE_ROOM = RENAME | _WRITES | _SIZES | _NAMES
REMOVE = frozenset({"unlink", "unlinkat", "rmdir"})
SYNC = frozenset({"fsync", "fdatasync", "sync_file_range", "syncfs"})
# After which a file has to be synced.
CHANGE = frozenset(_WRITES | _SIZES)


def makes_or_empties(flags: int) -> bool:
    """Whether an open with these flags changes a directory or a file."""
    return bool(flags & (os.O_CREAT | os.O_TRUNC) or flags & os.O_TMPFILE == os.O_TMPFILE)
