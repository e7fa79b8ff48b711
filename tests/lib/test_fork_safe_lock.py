"""A forked child takes the locks that other threads of its parent held."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
import weakref

import pytest

from tfsaver.lib.fork_safe_lock import ForkSafeLock

_needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")


def _status_of_child(program: str) -> int:
    """The status of a child that a process of its own forks: pytest's threads do not come along."""
    head = """
import os, signal, threading, warnings
from tfsaver.lib.fork_safe_lock import ForkSafeLock

# Python 3.12 and later warn of a fork beside threads, which is what this is about.
warnings.simplefilter("ignore", DeprecationWarning)

def fork():
    child = os.fork()
    if not child:
        signal.alarm(20)
    return child

def end(good):
    os._exit(0 if good else 1)

def exit_as(child):
    os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) & 255)
"""
    return subprocess.run([sys.executable, "-c", head + program], check=False, timeout=60).returncode


def test_one_thread_at_a_time_has_it() -> None:
    lock = ForkSafeLock()
    with lock:
        assert not lock.acquire(blocking=False)
        assert not lock.acquire(timeout=0.01)
    assert lock.acquire(blocking=False)
    lock.release()
    with pytest.raises(RuntimeError, match="not acquired"):
        lock.release()


def test_a_reentrant_one_is_acquired_again_by_its_thread_alone() -> None:
    lock = ForkSafeLock(reentrant=True)
    others = []

    def ask() -> None:
        others.append(lock.acquire(blocking=False))
        if others[-1]:
            lock.release()

    def ask_in_thread() -> None:
        thread = threading.Thread(target=ask)
        thread.start()
        thread.join()

    with lock:
        with lock:
            ask_in_thread()
        ask_in_thread()
    ask_in_thread()
    assert others == [False, False, True]


def test_a_condition_takes_it() -> None:
    changed = threading.Condition(ForkSafeLock())  # type: ignore[arg-type]
    seen = []

    def wait() -> None:
        with changed:
            changed.wait_for(lambda: seen)
            seen.append("waited")
            changed.notify_all()

    thread = threading.Thread(target=wait)
    thread.start()
    with changed:
        seen.append("told")
        changed.notify_all()
        assert changed.wait_for(lambda: len(seen) == 2, timeout=30)
    thread.join()


def test_a_lock_goes_with_its_owner() -> None:
    lock = ForkSafeLock()
    gone = weakref.ref(lock)
    del lock
    gc.collect()
    assert gone() is None


@_needs_fork
def test_child_takes_what_another_thread_held() -> None:
    program = """
lock, is_held, may_end = ForkSafeLock(), threading.Event(), threading.Event()
def hold():
    with lock:
        is_held.set()
        may_end.wait()
thread = threading.Thread(target=hold)
thread.start()
is_held.wait()
child = fork()
if not child:
    with lock:
        pass
    end(lock.acquire(blocking=False))
assert not lock.acquire(blocking=False)
may_end.set()
thread.join()
exit_as(child)
"""
    assert _status_of_child(program) == 0


@_needs_fork
def test_child_of_the_thread_that_holds_it_holds_it_until_its_block_ends() -> None:
    program = """
lock = ForkSafeLock()
with lock:
    child = fork()
    if not child and lock.acquire(blocking=False):
        end(False)
if not child:
    end(lock.acquire(blocking=False))
exit_as(child)
"""
    assert _status_of_child(program) == 0


@_needs_fork
def test_child_leaves_a_reentrant_one_as_often_as_its_thread_entered_it() -> None:
    program = """
lock = ForkSafeLock(reentrant=True)
def is_free():
    found = []
    thread = threading.Thread(target=lambda: found.append(lock.acquire(blocking=False)))
    thread.start()
    thread.join()
    return found[0]
with lock:
    with lock:
        child = fork()
        if not child and is_free():
            end(False)
    if not child and is_free():
        end(False)
if not child:
    end(is_free())
exit_as(child)
"""
    assert _status_of_child(program) == 0


@_needs_fork
def test_grandchild_takes_it_too() -> None:
    program = """
lock, is_held = ForkSafeLock(), threading.Event()
def hold():
    with lock:
        is_held.set()
        threading.Event().wait()
threading.Thread(target=hold, daemon=True).start()
is_held.wait()
child = fork()
if not child:
    is_held.clear()
    threading.Thread(target=hold, daemon=True).start()
    is_held.wait()
    grandchild = fork()
    if not grandchild:
        end(lock.acquire(blocking=False))
    exit_as(grandchild)
exit_as(child)
"""
    assert _status_of_child(program) == 0
