"""Who holds a directory, and who waits."""

from __future__ import annotations

import errno
import fcntl
import os
import pathlib
import subprocess
import sys
import threading

import pytest

from tfsaver.lib.directory_lock import directory_lock, try_directory_lock


def test_second_holder_waits_for_the_first(tmp_path: pathlib.Path) -> None:
    order: list[str] = []
    holding, released = threading.Event(), threading.Event()

    def first() -> None:
        with directory_lock(str(tmp_path)):
            holding.set()
            released.wait(30)
            order.append("first")

    thread = threading.Thread(target=first)
    thread.start()
    assert holding.wait(30)
    second = threading.Thread(target=lambda: _append_inside(tmp_path, order))
    second.start()
    released.set()
    thread.join(30)
    second.join(30)
    assert order == ["first", "second"]


def _append_inside(directory: pathlib.Path, order: list[str]) -> None:
    with directory_lock(str(directory)):
        order.append("second")


def test_other_process_is_kept_out(tmp_path: pathlib.Path) -> None:
    program = (
        "import fcntl, os, sys\n"
        "try: fcntl.flock(os.open(sys.argv[1], os.O_RDONLY), fcntl.LOCK_EX | fcntl.LOCK_NB)\n"
        "except BlockingIOError: print('held')\n"
        "else: print('free')\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    with directory_lock(str(tmp_path)):
        assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "held\n"
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "free\n"


def test_lock_leaves_no_file_and_ends_with_an_error(tmp_path: pathlib.Path) -> None:
    with pytest.raises(KeyError), directory_lock(str(tmp_path)):
        raise KeyError
    with directory_lock(str(tmp_path)):
        assert os.listdir(tmp_path) == []


def test_missing_directory_is_an_error(tmp_path: pathlib.Path) -> None:
    with pytest.raises(FileNotFoundError), directory_lock(str(tmp_path / "none")):
        raise AssertionError


def test_without_a_lock_in_the_file_system_the_block_runs(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", flock)
    ran = []
    with directory_lock(str(tmp_path)):
        ran.append(True)
    with directory_lock("memory://nowhere"):
        ran.append(True)
    assert ran == [True, True]


def test_empty_directory_is_the_working_directory(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with directory_lock(""):
        assert os.getcwd() == str(tmp_path)


def test_thread_that_has_a_lock_may_take_it_again(tmp_path: pathlib.Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    with directory_lock(str(tmp_path)):
        with directory_lock(str(tmp_path / "link")), try_directory_lock(str(tmp_path)) as is_held:
            assert is_held
        assert not _is_free_for_a_thread(tmp_path)
    assert _is_free_for_a_thread(tmp_path)


def _is_free_for_a_thread(directory: pathlib.Path) -> bool:
    answers: list[bool] = []

    def ask() -> None:
        with try_directory_lock(str(directory)) as is_held:
            answers.append(is_held)

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join(30)
    return answers == [True]


def test_lock_ends_though_a_process_that_was_started_meanwhile_has_the_descriptor(tmp_path: pathlib.Path) -> None:
    with directory_lock(str(tmp_path)):
        [descriptor] = [
            int(name) for name in os.listdir("/proc/self/fd") if _is_same_file(f"/proc/self/fd/{name}", tmp_path)
        ]
        child = subprocess.Popen(["sleep", "60"], pass_fds=[descriptor])
    try:
        assert _is_free_for_a_thread(tmp_path)
    finally:
        child.kill()
        child.wait()


def _is_same_file(link: str, directory: pathlib.Path) -> bool:
    try:
        return os.path.samefile(link, directory)
    except OSError:
        return False


def test_lock_that_is_not_waited_for_says_where_there_is_none(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", flock)
    with try_directory_lock(str(tmp_path)) as is_held, try_directory_lock("memory://nowhere") as elsewhere:
        assert not is_held and not elsewhere
