"""The tracer itself, on children that make calls one knows."""

from __future__ import annotations

import errno
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.processes import fork
from tests.faults.tracer import Fault, Kind, Trace, Tracer

pytestmark = pytest.mark.usefixtures("tracing")

TEN = b"0123456789"


def follow(directory: Path, run: Callable[[], None], fault: Fault | None = None) -> Trace:
    goes, go = os.pipe()

    def wait_and_run() -> None:
        os.read(goes, 1)
        run()

    process = fork(wait_and_run)
    try:
        return Tracer(process, str(directory), fault).follow(go)
    finally:
        os.close(goes)
        os.close(go)


def write(path: Path) -> Callable[[], None]:
    """Makes, writes, syncs and renames a file, by a path that is relative to a descriptor, and in a directory of its own."""

    def run() -> None:
        os.mkdir(path.parent / "made")
        inside = os.open(path.parent, os.O_RDONLY)
        file = os.open(path.name, os.O_WRONLY | os.O_CREAT, dir_fd=inside)
        done = os.write(file, TEN)
        os.writev(file, [TEN[done:], b"ab"])
        os.fsync(file)
        os.close(file)
        os.replace(path, path.with_suffix(".done"))
        os.rmdir(path.parent / "made")

    return run


def test_calls_are_counted_in_their_order_and_others_are_not(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    inside, outside = write(tmp_path / "in" / "file"), write(tmp_path / "out" / "file")

    def run() -> None:
        outside()
        inside()
        assert (tmp_path / "in" / "file.done").read_bytes() == TEN + b"ab"

    trace = follow(tmp_path / "in", run)
    assert trace.status == 0
    assert not trace.hit
    names = [call.name.removesuffix("at").removesuffix("at2") for call in trace.calls]
    assert names == ["mkdir", "open", "write", "writev", "fsync", "rename", "rmdir"] or names[-1] == "unlink"
    assert [call.path for call in trace.calls] == ["made", "file", "file", "file", "file", "file", "made"]
    assert [call.count for call in trace.calls] == [0, 0, 10, 2, 0, 0, 0]


@pytest.mark.parametrize(
    ("at", "left"),
    [
        (0, {}),
        (1, {"made": None}),
        (2, {"made": None, "file": b""}),
        (3, {"made": None, "file": TEN}),
        (5, {"made": None, "file": TEN + b"ab"}),
        (6, {"made": None, "file.done": TEN + b"ab"}),
    ],
)
def test_a_call_that_kills_is_not_made(tmp_path: Path, at: int, left: dict[str, bytes | None]) -> None:
    trace = follow(tmp_path, write(tmp_path / "file"), Fault(at, Kind.KILL))
    assert os.WTERMSIG(trace.status) == signal.SIGKILL
    assert trace.hit
    assert len(trace.calls) == at + 1
    found = {path.name: None if path.is_dir() else path.read_bytes() for path in tmp_path.iterdir()}
    assert found == left


@pytest.mark.parametrize(("at", "left"), [(2, TEN[:5]), (3, TEN + b"a")])
def test_half_of_a_write_is_half_of_its_bytes(tmp_path: Path, at: int, left: bytes) -> None:
    trace = follow(tmp_path, write(tmp_path / "file"), Fault(at, Kind.KILL_HALFWAY))
    assert os.WTERMSIG(trace.status) == signal.SIGKILL
    assert (tmp_path / "file").read_bytes() == left


def test_a_short_write_says_so(tmp_path: Path) -> None:
    trace = follow(tmp_path, write(tmp_path / "file"), Fault(2, Kind.SHORT))
    assert trace.status == 0
    assert (tmp_path / "file.done").read_bytes() == TEN + b"ab"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize("at", range(7))
def test_a_call_that_fails_says_so_and_does_nothing(tmp_path: Path, at: int, number: int) -> None:
    said = tmp_path.with_name(f"{tmp_path.name}.said")

    def run() -> None:
        try:
            write(tmp_path / "file")()
        except OSError as error:
            said.write_text(str(error.errno))

    trace = follow(tmp_path, run, Fault(at, Kind.FAIL, number))
    assert trace.status == 0
    assert said.read_text() == str(number)
    assert len(trace.calls) == at + 1


def test_a_full_disk_stays_full_for_what_takes_room(tmp_path: Path) -> None:
    def run() -> None:
        for name in ("a", "b"):
            with pytest.raises(OSError, match="No space left"):
                (tmp_path / name).write_bytes(TEN)
        os.unlink(tmp_path / "there")

    (tmp_path / "there").touch()
    trace = follow(tmp_path, run, Fault(0, Kind.FAIL, errno.ENOSPC, stays=True))
    assert trace.status == 0
    assert list(tmp_path.iterdir()) == []


def test_threads_are_followed_that_were_there_and_that_come(tmp_path: Path) -> None:
    goes, go = os.pipe()

    def run() -> None:
        later = threading.Event()
        early = threading.Thread(target=lambda: (later.wait(), (tmp_path / "early").touch()))
        early.start()
        os.read(goes, 1)
        late = threading.Thread(target=lambda: (tmp_path / "late").touch())
        late.start()
        late.join()
        later.set()
        early.join()

    process = fork(run)
    try:
        trace = Tracer(process, str(tmp_path)).follow(go)
    finally:
        os.close(goes)
        os.close(go)
    assert trace.status == 0
    assert [call.path for call in trace.calls] == ["late", "early"]
