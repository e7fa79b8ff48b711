"""Writes through a map beside a thread that writes: every byte in its place, and no room or no such system is no error."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tfsaver.checkpoint.checkpoint_reader import load_checkpoint
from tfsaver.checkpoint.verify import verify_checkpoint
from tfsaver.lib.local_file_system import LocalWritableFile
from tfsaver.lib.overlapped_file import OverlappedFile
from tfsaver.tensor_bundle import mapped_writes
from tfsaver.tensor_bundle.mapped_writes import MappedWrites
from tfsaver.tensor_bundle.mapped_writes import mapped_writes as writes_beside
from tfsaver.tensor_bundle.writer import BundleWriter

RANDOM = np.random.default_rng(0)


@pytest.fixture
def in_memory() -> Iterator[Path]:
    """A directory on a tmpfs."""
    if not os.access("/dev/shm", os.W_OK):
        pytest.skip("/dev/shm is not there, or not writable")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
        if not is_tmpfs(Path(directory)):
            pytest.skip("/dev/shm is no tmpfs")
        yield Path(directory)


def is_tmpfs(directory: Path) -> bool:
    file = LocalWritableFile(str(directory / "probe"))
    try:
        return writes_beside(file) is not None
    finally:
        file.close()


class Turns:
    """Says by a list of booleans whether the caller or the thread writes a batch."""

    def __init__(self, beside: MappedWrites, turns: list[bool]) -> None:
        self._beside = beside
        self._turns = turns
        self.num_taken = 0

    def write(self, pieces: Any, offset: int) -> bool:
        if self._turns and self._turns.pop() and self._beside.write(pieces, offset):
            self.num_taken += 1
            return True
        return False

    def end(self, size: int) -> None:
        self._beside.end(size)


class NeverFree:
    """A queue of places that says that there are none, and always has one."""

    def empty(self) -> bool:
        return True

    def get(self) -> None:
        pass

    def put(self, item: None) -> None:
        pass


@pytest.mark.parametrize("seed", range(8))
def test_batches_of_two_writers_are_one_file(in_memory: Path, seed: int) -> None:
    random = np.random.default_rng(seed)
    pieces = [RANDOM.bytes(int(size)) for size in random.integers(0, 3 << 20, 40)]
    turns = list(map(bool, random.integers(0, 2, 100)))
    inner = LocalWritableFile(str(in_memory / "file"))
    beside = Turns(MappedWrites(inner), turns)
    file = OverlappedFile(inner, beside)
    file._work.free = NeverFree()  # type: ignore[assignment]
    for number, piece in enumerate(pieces):
        file.append(piece)
        if number == 20:
            file.drain()
            assert (in_memory / "file").read_bytes() == b"".join(pieces[:21])
    file.drain()
    file.close()
    assert (in_memory / "file").read_bytes() == b"".join(pieces)
    assert beside.num_taken > 3


@pytest.mark.parametrize("offset", [0, 1, 4095, 4096, 4097])
@pytest.mark.parametrize("sizes", [[1], [4096], [0, 5000, 0, 1]])
def test_any_place_will_do(in_memory: Path, offset: int, sizes: list[int]) -> None:
    file = LocalWritableFile(str(in_memory / "file"))
    file.append(b"-" * offset)
    pieces = [RANDOM.bytes(size) for size in sizes]
    beside = MappedWrites(file)
    assert beside.write([memoryview(piece) for piece in pieces], offset)
    beside.end(offset + sum(sizes))
    file.skip(sum(sizes))
    file.append(b"the end")
    file.close()
    assert (in_memory / "file").read_bytes() == b"-" * offset + b"".join(pieces) + b"the end"


def test_arrays_of_any_type_are_their_bytes(in_memory: Path) -> None:
    file = LocalWritableFile(str(in_memory / "file"))
    array = RANDOM.standard_normal((30, 40))
    beside = MappedWrites(file)
    assert beside.write([array.data], 0)
    beside.end(array.nbytes)
    file.close()
    assert (in_memory / "file").read_bytes() == array.tobytes()


def test_nothing_is_nobodys_to_write(in_memory: Path) -> None:
    file = LocalWritableFile(str(in_memory / "file"))
    assert not MappedWrites(file).write([b"", b""], 0)
    file.close()


def _no_length(*_: Any) -> None:
    raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))


@pytest.mark.parametrize(
    ("name", "refuse"),
    [("ftruncate", _no_length), ("mmap", lambda *_: mapped_writes._FAILED), ("madvise", lambda *_: -1)],
)
def test_what_the_system_refuses_the_thread_writes(
    in_memory: Path, monkeypatch: pytest.MonkeyPatch, name: str, refuse: Callable[..., Any]
) -> None:
    file = LocalWritableFile(str(in_memory / "file"))
    beside = MappedWrites(file)
    with monkeypatch.context() as patch:
        patch.setattr(os if name == "ftruncate" else mapped_writes._libc(), name, refuse)
        assert not beside.write([b"12345"], 0)
    # It is not asked again: what was refused once would be again.
    assert not beside.write([b"12345"], 0)
    beside.end(0)
    file.append(b"678")
    file.close()
    assert (in_memory / "file").read_bytes() == b"678"


def test_full_file_system_is_an_error_and_no_signal(in_memory: Path) -> None:
    """In a process of its own: a page that cannot be had would end it."""
    program = textwrap.dedent(
        """
        import sys
        from tfsaver.lib.local_file_system import LocalWritableFile
        from tfsaver.tensor_bundle.mapped_writes import MappedWrites
        file = LocalWritableFile(sys.argv[1])
        piece = bytes(8 << 20)
        beside, written = MappedWrites(file), 0
        while beside.write([piece], written):
            written += len(piece)
        print(written)
        """
    )
    mounted = in_memory / "small"
    mounted.mkdir()
    mount = f"mount -t tmpfs -o size=32m none {mounted} && {sys.executable} -c '{program}' {mounted}/file"
    done = subprocess.run(
        ["unshare", "--mount", "--map-root-user", "sh", "-c", mount], capture_output=True, text=True, check=False
    )
    if "Operation not permitted" in done.stderr or "not found" in done.stderr:
        pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
    assert (done.returncode, done.stderr) == (0, "")
    assert int(done.stdout) == 24 << 20 or int(done.stdout) == 32 << 20


def test_file_on_a_disk_has_no_such_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = LocalWritableFile(str(tmp_path / "file"))
    kind = os.stat(tmp_path).st_dev == os.stat("/dev/shm").st_dev if os.path.isdir("/dev/shm") else False
    assert (writes_beside(file) is None) or kind
    monkeypatch.setattr(sys, "platform", "darwin")
    assert writes_beside(file) is None
    file.close()


def test_checkpoint_is_the_same_byte_for_byte(in_memory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[int] = []
    original = MappedWrites.write

    def counted(self: MappedWrites, pieces: Any, offset: int) -> bool:
        is_written = original(self, pieces, offset)
        taken.append(is_written)
        return is_written

    tensors = {f"v{number:02d}": RANDOM.standard_normal((500, 1000 + number)) for number in range(30)}
    with BundleWriter(in_memory / "direct") as writer:
        for name, value in tensors.items():
            writer.add(name, value)
    monkeypatch.setattr(MappedWrites, "write", counted)
    monkeypatch.setattr("tfsaver.tensor_bundle.writer.num_usable_cores", lambda: 2)
    # On a slow machine the thread may keep up with the caller, who then has nothing to write.
    for _ in range(20):
        with BundleWriter(in_memory / "overlapped", writes="overlapped") as writer:
            for name, value in tensors.items():
                writer.add(name, value)
        for suffix in ("index", "data-00000-of-00001"):
            assert (in_memory / f"overlapped.{suffix}").read_bytes() == (in_memory / f"direct.{suffix}").read_bytes()
        if any(taken):
            break
    assert any(taken)
    assert verify_checkpoint(in_memory / "overlapped").ok
    with load_checkpoint(in_memory / "overlapped") as reader:
        np.testing.assert_array_equal(reader.read_tensors(["v07"])["v07"], tensors["v07"])
