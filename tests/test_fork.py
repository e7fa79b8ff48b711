"""A process may fork at any moment: its child imports, saves and loads."""

from __future__ import annotations

import ast
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")

_PACKAGE = Path(__file__).resolve().parents[1] / "tfsaver"
_HEAD = """
import faulthandler, os, signal, sys, threading, time, warnings
# Python 3.12 and later warn of a fork beside threads, which is what this is about.
warnings.simplefilter("ignore", DeprecationWarning)

def in_child(work):
    # What a child that is forked now exits with, after it has done some work.
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    faulthandler.dump_traceback_later(40)
    signal.alarm(45)
    status = 1
    try:
        work()
        status = 0
    except BaseException:
        import traceback
        traceback.print_exc()
    finally:
        os._exit(status)
"""


def _run(program: str, folder: Path, **environment: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _HEAD + program], cwd=folder, capture_output=True, text=True, check=False, timeout=180,
        env={**os.environ, **environment},
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


# The thread is in the import when the process forks: its finder says so, and takes its time.
_SLOW_IMPORT = """
import importlib.abc
is_importing = threading.Event()

class Slow(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == SLOW:
            is_importing.set()
            time.sleep(0.5)

sys.meta_path.insert(0, Slow())
threading.Thread(target=lambda: use()).start()
is_importing.wait()
sys.exit(in_child(lambda: use()))
"""


@pytest.mark.parametrize(
    ("slow", "use"),
    [
        ("tfsaver.checkpoint.save", "import tfsaver; tfsaver.save_checkpoint"),
        ("tfsaver.checkpoint.save", "from tfsaver import save_checkpoint"),
        ("tfsaver.tensor_bundle.writer", "import tfsaver; tfsaver.save_checkpoint"),
        ("tfsaver.schemas", "from tfsaver import schemas"),
        ("tfsaver.verbs.convert", "import tfsaver; tfsaver.convert"),
        ("tfsaver.compat.patching", "import tfsaver.compat; tfsaver.compat.patch_tensorflow"),
    ],
)
def test_child_imports_what_a_thread_was_importing(slow: str, use: str, tmp_path: Path) -> None:
    # Imports that the program itself makes are its own.
    head = "import tfsaver.compat\n" if "compat" in slow else "import tfsaver\n"
    _run(f"{head}\nSLOW = {slow!r}\ndef use():\n    {use}\n{_SLOW_IMPORT}", tmp_path)


def test_import_that_forks_does_not_wait_for_itself(tmp_path: Path) -> None:
    program = """
from tfsaver._lazy_imports import lazy_import
with lazy_import(), lazy_import():
    status = in_child(lambda: None)
sys.exit(status or in_child(lambda: None))
"""
    _run(program, tmp_path)


_DIRECTORY = """
from tfsaver.lib.directory_lock import directory_lock, try_directory_lock

def is_free():
    # Asked by a thread: the one that has the lock may take it again.
    found = []
    def ask():
        with try_directory_lock(".") as is_held:
            found.append(is_held)
    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
    return found[0]

def check(good):
    assert good
"""


_KILLED = """
is_held, may_end = threading.Event(), threading.Event()
def hold():
    with directory_lock("."):
        is_held.set()
        may_end.wait()
threading.Thread(target=hold, daemon=True).start()
is_held.wait()
# As long as the parent lives, its thread has the lock.
check(in_child(lambda: check(not is_free())) == 0)
parent = os.getpid()
child = os.fork()
if not child:
    signal.alarm(45)
    os.kill(parent, signal.SIGKILL)
    while os.getppid() == parent:
        time.sleep(0.01)
    # A process that dies loses its children while another of its threads may still be about to close its files.
    deadline = time.monotonic() + 20
    while not is_free() and time.monotonic() < deadline:
        time.sleep(0.01)
    os.mkdir("free" if is_free() else "locked")
    os._exit(0)
may_end.wait()
"""


def test_child_that_outlives_its_parent_does_not_keep_the_directory_locked(tmp_path: Path) -> None:
    program = f"""
import subprocess
killed = subprocess.run([sys.executable, "-c", {_HEAD + _DIRECTORY + _KILLED!r}])
check(killed.returncode == -signal.SIGKILL)
while not os.listdir():
    time.sleep(0.01)
check(os.listdir() == ["free"])
"""
    _run(_DIRECTORY + program, tmp_path)


def test_child_of_the_thread_that_locked_a_directory_does_not_unlock_it(tmp_path: Path) -> None:
    program = """
with directory_lock("."):
    child = os.fork()
    if child:
        check(os.waitpid(child, 0)[1] == 0)
        check(not is_free())
if not child:
    os._exit(0)
check(is_free())
"""
    _run(_DIRECTORY + program, tmp_path)


_SHARED = {
    "a Saver's list of checkpoints": (
        # TensorFlow says at once, and to no logger, which processor it has found.
        "kept = os.dup(2); os.dup2(os.open(os.devnull, os.O_WRONLY), 2); import tensorflow as tf, tfsaver; "
        "shared = tfsaver.Saver([tf.Variable(1.0)]); os.dup2(kept, 2)",
        "shared.set_last_checkpoints_with_time([])",
    ),
    "memory that is used again": (
        "from tfsaver.lib.recycled_memory import RecycledMemory; shared = RecycledMemory(1 << 24)",
        "shared.take(1 << 22)",
    ),
    "the switch that patches TensorFlow": (
        "from tfsaver.compat import patching as shared",
        "shared._lock.acquire()",
    ),
    "the nodes that Savers share": ("from tfsaver.compat import _saver_graph as shared", "shared._lock.acquire()"),
}


@pytest.mark.parametrize(("make", "use"), _SHARED.values(), ids=_SHARED)
def test_child_uses_what_a_thread_had_locked(make: str, use: str, tmp_path: Path) -> None:
    if "tensorflow" in make and importlib.util.find_spec("tensorflow") is None:
        pytest.skip("needs tensorflow: pip install tensorflow")
    program = f"""
{make}
is_held, may_end = threading.Event(), threading.Event()
def hold():
    with shared._lock:
        is_held.set()
        may_end.wait()
threading.Thread(target=hold).start()
is_held.wait()
status = in_child(lambda: {use})
may_end.set()
sys.exit(status)
"""
    _run(program, tmp_path)


@pytest.mark.parametrize("num_shards", [1, 3])
def test_children_save_and_load_while_threads_do(num_shards: int, tmp_path: Path) -> None:
    program = f"""
import numpy as np
# numpy, too, imports this at first use.
import numpy.testing
import tfsaver

values = {{"a": np.arange(20000.0), "b": np.ones(20000)}}
kept = tfsaver.load_checkpoint(tfsaver.save_checkpoint(values, "kept", num_shards={num_shards}, durable=False))
stop = []

def work(name):
    for format in ("V2", "V1"):
        found = tfsaver.save_checkpoint(values, f"{{name}}-{{format}}", format=format, num_shards={num_shards}, durable=False)
        with tfsaver.load_checkpoint(found) as reader:
            for key, value in {{**reader, **reader.read_tensors(values)}}.items():
                np.testing.assert_array_equal(value, values[key])
    # The reader of the parent.
    np.testing.assert_array_equal(kept["a"], values["a"])
    kept.read_tensors(values)

def loop(name):
    while not stop:
        work(name)

threads = [threading.Thread(target=loop, args=(f"thread{{number}}",)) for number in range(2)]
for thread in threads:
    thread.start()
statuses = {{in_child(lambda: work("child")) for _ in range(20)}}
stop.append(True)
for thread in threads:
    thread.join()
sys.exit(max(statuses))
"""
    _run(program, tmp_path)


def test_locks_of_the_package_are_free_in_a_child() -> None:
    users = set()
    for path in _PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            is_imported = isinstance(node, ast.ImportFrom) and node.module == "threading"
            if is_imported or (isinstance(node, ast.Attribute) and node.attr in ("Lock", "RLock", "Semaphore")):
                users.add(path.relative_to(_PACKAGE).as_posix())
    assert users == {"lib/fork_safe_lock.py"}
