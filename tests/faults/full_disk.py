"""Saves on a file system that is full for real: a small tmpfs, mounted where only one process sees it.

A program saves, then a file takes all the room but so many bytes, then the program saves again. Whether that fails (early or
late) or not, what is there must be whole, and once the file is gone the program can save.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import tempfile
from typing import Any

from tests.faults.processes import in_child
from tests.faults.scenarios import SCENARIOS, Scenario
from tests.faults.sweep import spread
from tests.faults.trials import is_declared

_NEW_NAMESPACE, _NEW_USER = 0x20000, 0x10000000
_PRIVATE, _RECURSIVE = 1 << 18, 1 << 14
_SIZE = 4 << 20
_PAGE = 4096
# Beyond this a save of any scenario has room enough.
_MAX_PAGES = 40

SCENARIOS_ON_A_FULL_DISK = [
    "save_checkpoint, a new prefix",
    "save_checkpoint, over the old one",
    "save_checkpoint, 3 shards over 3",
    "save_checkpoint, V1, over the old one",
    "save_checkpoint, V1 in 2 shards, a new prefix",
    "convert to npz, over the old one",
    "convert to safetensors, over the old one",
    "export_saved_model, a new version",
    "Saver, a new prefix",
    "Saver, over the old one",
    "Saver, retention: the third removes the first",
    "Saver, blocking=False, over the old one",
]


def fill(name: str, limit: int | None = None) -> dict[str, Any] | None:
    """Tries a scenario with so little room left, page by page.

    Args:
        name: The scenario's.
        limit: How many sizes are tried; None for all.

    Returns:
        `tried`, `failed` (as they should) and `problems`; None where the system lets nobody mount.
    """
    return in_child(lambda: _in_namespace(SCENARIOS[name], limit))


def _in_namespace(scenario: Scenario, limit: int | None) -> dict[str, Any] | None:
    base = tempfile.mkdtemp(prefix="full-")
    try:
        if not _mount(base):
            return None
        sizes = [pages * _PAGE for pages in spread(range(_MAX_PAGES), limit)]
        failed = 0
        problems: list[str] = []
        for size in sizes:
            directory = os.path.join(base, "run")
            os.mkdir(directory)
            # A new one each time: what it remembers of checkpoints is gone with the directory.
            program = scenario.program()
            program.open(directory)
            for generation in range(scenario.before):
                program.save(generation)
            failed += _save_in(scenario, program, directory, size, os.path.join(base, "filler"), problems)
            shutil.rmtree(directory)
        return {"tried": len(sizes), "failed": failed, "problems": problems}
    finally:
        # In its own namespace the mount is gone with this process; what is left is the directory.
        _libc.umount2(os.fsencode(base), 2)
        os.rmdir(base)


def _save_in(scenario: Scenario, program: Any, directory: str, size: int, filler: str, problems: list[str]) -> bool:
    """Saves with so many bytes left; returns whether that failed."""
    new = scenario.before
    when = f"with {size} bytes left"
    _fill_but(filler, size)
    text = None
    try:
        program.save(new)
    except Exception as error:
        if not is_declared(error):
            raise
        text = f"{type(error).__name__}: {error}"
    _expect(scenario, directory, {new - 1, new} if text else {new}, f"{when}, {text or 'saved'}", problems)
    os.unlink(filler)
    if text is not None:
        program.save(new)
        _expect(scenario, directory, {new}, f"{when}, saved again", problems)
    return text is not None


def _expect(scenario: Scenario, directory: str, allowed: set[int], when: str, problems: list[str]) -> None:
    try:
        found = scenario.reader.ours(directory)
        if (-1 if found is None else found) not in allowed:
            problems.append(f"{when}: generation {found}")
    except Exception as error:  # noqa: BLE001 - a finding
        problems.append(f"{when}: {type(error).__name__}: {error}")
    try:
        scenario.reader.listed(directory)
    except Exception as error:  # noqa: BLE001 - a finding
        problems.append(f"{when}, listed: {type(error).__name__}: {error}")
    if left := scenario.reader.unexplained(directory):
        problems.append(f"{when}, there is left: {', '.join(left)}")


def _fill_but(path: str, size: int) -> None:
    """Makes a file of such a size that so many bytes are left."""
    with open(path, "wb") as file:
        status = os.statvfs(path)
        os.posix_fallocate(file.fileno(), 0, max(1, status.f_bavail * status.f_frsize - size))


_libc = ctypes.CDLL(None, use_errno=True)


def _mount(path: str) -> bool:
    """Mounts a small tmpfs for this process alone, as root or as the root of a user namespace of its own."""
    user, group = os.getuid(), os.getgid()
    if _libc.unshare(_NEW_NAMESPACE):
        if _libc.unshare(_NEW_USER | _NEW_NAMESPACE):
            return False
        try:
            for name, text in (("setgroups", "deny"), ("uid_map", f"0 {user} 1"), ("gid_map", f"0 {group} 1")):
                with open(f"/proc/self/{name}", "w") as file:
                    file.write(text)
        except OSError:
            return False
    if _libc.mount(b"none", b"/", None, _PRIVATE | _RECURSIVE, None):
        return False
    return not _libc.mount(b"none", os.fsencode(path), b"tmpfs", 0, f"size={_SIZE}".encode())
