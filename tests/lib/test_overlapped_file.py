"""A file written in the background: every byte in its order, errors where the caller sees them, bounded waiting."""

from __future__ import annotations

import _thread
import errno
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfsaver.lib import gathered_file, overlapped_file
from tfsaver.lib.local_file_system import LocalWritableFile
from tfsaver.lib.overlapped_file import OverlappedFile


class MemoryFile:
    """Keeps what is appended, by call; `before` is called first."""

    path = "memory"

    def __init__(self, before: Callable[[], None] = lambda: None) -> None:
        self.batches: list[bytes] = []
        self.calls: list[str] = []
        self._before = before

    @property
    def data(self) -> bytes:
        return b"".join(self.batches)

    def append(self, data: Any) -> None:
        self.append_all([data])

    def append_all(self, pieces: list[Any]) -> None:
        self._before()
        self.batches.append(b"".join(bytes(memoryview(piece).cast("B")) for piece in pieces))

    def sync(self) -> None:
        self.calls.append("sync")

    def close(self) -> None:
        self.calls.append("close")


@given(st.lists(st.binary(max_size=2000), max_size=60), st.integers(1, 3000), st.integers(1, 20))
@settings(deadline=None, max_examples=50)
def test_bytes_come_in_the_order_in_which_they_were_appended(pieces: list[bytes], batch: int, count: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gathered_file, "BATCH_SIZE", batch)
        patch.setattr(gathered_file, "MAX_PIECES", count)
        inner = MemoryFile()
        file = OverlappedFile(inner)
        for piece in pieces:
            file.append(piece)
        file.drain()
        file.close()
    assert inner.data == b"".join(pieces)
    assert inner.calls == ["close"]


def test_ten_thousand_tiny_pieces_take_few_calls() -> None:
    inner = MemoryFile()
    file = OverlappedFile(inner)
    file.append_all([index.to_bytes(4, "little") for index in range(10_000)])
    file.sync()
    file.close()
    assert inner.data == b"".join(index.to_bytes(4, "little") for index in range(10_000))
    assert len(inner.batches) <= 25
    assert inner.calls == ["sync", "close"]


def test_what_was_appended_is_borrowed_and_let_go_of() -> None:
    inner = MemoryFile()
    file = OverlappedFile(inner)
    data = bytearray(b"before")
    file.append(data)
    data[:] = b"behind"
    with pytest.raises(BufferError):
        data.append(0)
    file.drain()
    data.append(0)
    file.close()
    assert inner.data == b"behind"


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), MemoryError(), KeyboardInterrupt()])
def test_error_in_the_thread_is_raised_by_a_later_call(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathered_file, "BATCH_SIZE", 1)

    def fail() -> None:
        raise error

    inner = MemoryFile(fail)
    file = OverlappedFile(inner)

    def append_until_it_fails() -> None:
        # More than fit into the queue: whoever hands over is not left waiting by a thread that failed.
        for _ in range(1000):
            file.append(b"x")
        file.drain()

    with pytest.raises(type(error)) as caught:
        append_until_it_fails()
    assert caught.value is error
    with pytest.raises(type(error)):
        file.drain()
    with pytest.raises(type(error)):
        file.append(b"x")
    file.close()
    assert inner.batches == []


def test_close_without_drain_writes_nothing_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathered_file, "BATCH_SIZE", 1)
    may_write, writing = threading.Event(), threading.Event()

    def wait() -> None:
        writing.set()
        assert may_write.wait(60)

    inner = MemoryFile(wait)
    file = OverlappedFile(inner)
    for _ in range(5):
        file.append(b"x")
    assert writing.wait(60)
    closing = threading.Thread(target=file.close)
    closing.start()
    while not file._work.is_abandoned:
        pass
    may_write.set()
    closing.join(60)
    assert inner.data == b"x"
    assert inner.calls == ["close"]


def test_no_more_waits_than_is_promised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathered_file, "BATCH_SIZE", 1)
    may_write = threading.Semaphore(0)
    inner = MemoryFile(lambda: may_write.acquire() and None)
    file = OverlappedFile(inner)
    appended = []

    def append() -> None:
        for _ in range(100):
            file.append(b"x")
            appended.append(1)

    thread = threading.Thread(target=append)
    thread.start()
    # One batch is being written, so many wait, and one waits to be handed over.
    limit = overlapped_file._MAX_BATCHES + 1
    while len(appended) < limit:
        thread.join(0.001)
    assert thread.is_alive() and len(appended) == limit
    may_write.release(100)
    thread.join(60)
    file.drain()
    file.close()
    assert inner.data == b"x" * 100
    assert overlapped_file.MAX_PENDING < 64 << 20


def test_without_a_thread_the_caller_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    monkeypatch.setattr(gathered_file, "BATCH_SIZE", 3)
    monkeypatch.setattr(_thread, "start_new_thread", refuse)
    inner = MemoryFile()
    file = OverlappedFile(inner)
    for piece in (b"ab", b"cd", b"e"):
        file.append(piece)
    file.drain()
    file.close()
    assert inner.batches == [b"abcd", b"e"]
    assert inner.calls == ["close"]


@pytest.mark.parametrize("taken", [1, 2, 3, 7, 100])
def test_rest_of_a_partial_write_follows(taken: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writev, write = os.writev, os.write

    def write_less(descriptor: int, pieces: list[Any]) -> int:
        data = b"".join(bytes(memoryview(piece).cast("B")) for piece in pieces)
        return write(descriptor, data[:taken])

    monkeypatch.setattr(os, "writev", write_less)
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:taken]))
    pieces: list[Any] = [b"ab", b"", b"cde", bytearray(b"f"), memoryview(b"ghij"), b"k" * 20]
    file = LocalWritableFile(str(tmp_path / "file"))
    file.append_all(pieces)
    file.append(b"end")
    file.close()
    assert (tmp_path / "file").read_bytes() == b"".join(map(bytes, pieces)) + b"end"
    monkeypatch.setattr(os, "writev", writev)


def test_more_pieces_than_one_call_takes(tmp_path: Path) -> None:
    file = LocalWritableFile(str(tmp_path / "file"))
    pieces: list[Any] = [bytes([index % 256]) for index in range(5000)]
    file.append_all(pieces)
    file.append_all([])
    file.close()
    assert (tmp_path / "file").read_bytes() == b"".join(pieces)


def test_interrupt_at_any_call_neither_hangs_nor_leaves_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """The caller's next call raises, as Ctrl-C makes it; the file is then discarded, or lost."""
    monkeypatch.setattr(gathered_file, "BATCH_SIZE", 1)
    # Under pytest threads of its own come and go.
    before = _thread._count()
    num_interrupts = 0
    for count in range(2, 80, 3):
        inner = MemoryFile()
        file = OverlappedFile(inner)
        calls = 0

        def interrupt(frame: Any, event: str, argument: Any, limit: int = count) -> None:
            nonlocal calls
            calls += frame.f_code.co_filename == overlapped_file.__file__
            if calls >= limit:
                sys.setprofile(None)
                raise KeyboardInterrupt

        try:
            sys.setprofile(interrupt)
            for _ in range(20):
                file.append(b"x")
            file.drain()
            file.close()
        except KeyboardInterrupt:
            num_interrupts += 1
            if count % 2:
                file.close()
        finally:
            sys.setprofile(None)
        del file
    assert num_interrupts > 10
    end = time.monotonic() + 30
    while _thread._count() > before and time.monotonic() < end:
        time.sleep(0.01)
    assert _thread._count() <= before
