"""Foreign files that are damaged, changed or removed, before or while they are open: our errors, and never wrong values."""

from __future__ import annotations

import errno
import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tfsaver
from tests.tensor_bundle.tensors import assert_equal
from tfsaver.checkpoint.execution import Execution
from tfsaver.checkpoint.tensor_source import ArraySource
from tfsaver.errors import (
    CheckpointNotFoundError,
    CheckpointReplacedError,
    DataLossError,
    InvalidArgumentError,
    SaverError,
    TruncatedError,
)
from tfsaver.formats import file_source
from tfsaver.formats.file_source import OpenFile, PinnedDirectory, library_errors
from tfsaver.formats.registry import FORMATS
from tfsaver.lib.local_file_system import LocalRandomAccessFile

# Each larger than what a library reads ahead.
_ARRAYS = {name: np.random.default_rng(0).random((200, 100), np.float32) for name in ("a", "b", "c")}
_FILES = {"safetensors": "w.safetensors", "npz": "w.npz", "torch": "w.pt", "legacy torch": "w.pth", "keras": "w.weights.h5"}
_LIBRARIES = {"torch": "torch", "legacy torch": "torch", "keras": "h5py", "safetensors": "safetensors", "npz": "numpy"}
# Read whole when they are opened.
_HELD = {"legacy torch"}

every_format = pytest.mark.parametrize("kind", _FILES)
every_lazy_format = pytest.mark.parametrize("kind", [kind for kind in _FILES if kind not in _HELD])


def written(kind: str, directory: Path, arrays: dict[str, Any] = _ARRAYS) -> Path:
    """A file of long ago, so that a change shows in its time."""
    pytest.importorskip(_LIBRARIES[kind])
    path = directory / _FILES[kind]
    if kind == "legacy torch":
        import torch

        tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
        torch.save(tensors, path, _use_new_zipfile_serialization=False)
    else:
        Execution(ArraySource(arrays), FORMATS[kind].target(path, durable=False)).run()
    os.utime(path, (1, 1))
    return path


def opened(kind: str, path: Path) -> Any:
    return FORMATS[kind.removeprefix("legacy ")].open(str(path))


def read_all(source: Any) -> None:
    with source:
        for name in source.names:
            source.read(name)


# A page that is cut off a mapped file ends the process that looks at it, and a limit on descriptors is the process's.
_IN_A_PROCESS = """
import os, resource, sys
import numpy as np
from tfsaver.checkpoint.execution import Execution
from tfsaver.checkpoint.tensor_source import ArraySource
from tfsaver.formats.registry import FORMATS
from tfsaver.errors import TruncatedError
from tfsaver.framework import dtypes

for kind, name in (("safetensors", "w.safetensors"), ("torch", "w.pt")):
    for dtype in ("float32", "float8_e5m2", "bfloat16"):
        array = np.arange(100_000).astype(dtypes.from_name(dtype).numpy)
        for share in (0.0, 0.3, 0.999):
            for region in (None, np.s_[50_000:60_000], np.s_[-1]):
                Execution(ArraySource({"w": array}), FORMATS[kind].target(name, durable=False)).run()
                source = FORMATS[kind].open(name)
                os.truncate(name, int(os.path.getsize(name) * share))
                try:
                    source.read("w", region)
                except TruncatedError as error:
                    assert "was cut short after it was opened" in str(error), error
                else:
                    sys.exit(f"{kind} {dtype} cut to {share}: values")
                source.close()

# A library that gets no descriptor.
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
for kind, name in (("safetensors", "w.safetensors"), ("torch", "w.pt"), ("npz", "w.npz"), ("keras", "w.weights.h5")):
    Execution(ArraySource({"w": np.ones(9)}), FORMATS[kind].target(name, durable=False)).run()
    # What it imports, it has then imported.
    FORMATS[kind].open(name).close()
    for spare in range(4):
        taken = []
        try:
            while True:
                taken.append(os.dup(0))
        except OSError:
            pass
        for _ in range(spare):
            os.close(taken.pop())
        try:
            FORMATS[kind].open(name).close()
        except OSError as error:
            assert error.errno == 24, (kind, spare, error)
        finally:
            for descriptor in taken:
                os.close(descriptor)
print("done")
"""


def test_neither_a_mapped_file_that_is_cut_short_nor_a_lack_of_descriptors_is_another_error(tmp_path: Path) -> None:
    for library in _LIBRARIES.values():
        pytest.importorskip(library)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _IN_A_PROCESS], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False,
        env={**os.environ, "PYTHONPATH": str(Path(tfsaver.__file__).parents[1])},
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr


@pytest.mark.parametrize("kind", ["npz", "keras"])
def test_a_file_that_is_cut_short_while_open_is_truncated(kind: str, tmp_path: Path) -> None:
    for share in (0.0, 0.5, 0.99):
        path = written(kind, tmp_path)
        with opened(kind, path) as source:
            os.truncate(path, int(path.stat().st_size * share))
            for name in source.names:
                with pytest.raises(TruncatedError, match="was cut short after it was opened"):
                    source.read(name)
                with pytest.raises(TruncatedError, match="was cut short after it was opened"):
                    source.read(name, np.s_[5:6])


@every_format
def test_a_file_that_was_cut_short_before_is_our_error(kind: str, tmp_path: Path) -> None:
    path = written(kind, tmp_path)
    content = path.read_bytes()
    for size in (0, 3, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:size])
        with pytest.raises(SaverError):
            read_all(opened(kind, path))


@every_format
def test_bytes_that_are_flipped_at_the_end_are_our_error_or_do_not_matter(kind: str, tmp_path: Path) -> None:
    path = written(kind, tmp_path)
    content = path.read_bytes()
    for position in range(1, 64, 3):
        path.write_bytes(content[:-position] + bytes([content[-position] ^ 0xFF]) + content[len(content) - position + 1 :])
        try:
            read_all(opened(kind, path))
        except SaverError:
            continue


@every_format
def test_a_file_that_is_replaced_or_removed_while_open_gives_its_own_values(kind: str, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    path = written(kind, tmp_path)
    with opened(kind, path) as source:
        os.replace(written(kind, other, {name: -array for name, array in _ARRAYS.items()}), path)
        assert_equal(source.read("a"), _ARRAYS["a"])
        os.remove(path)
        assert_equal(source.read("b", np.s_[3:7, 2]), _ARRAYS["b"][3:7, 2])
        assert_equal(source.read("c"), _ARRAYS["c"])


@every_lazy_format
def test_a_file_that_is_written_over_while_open_is_replaced(kind: str, tmp_path: Path) -> None:
    path = written(kind, tmp_path)
    with opened(kind, path) as source:
        with open(path, "r+b") as file:
            file.seek(-20_000, os.SEEK_END)
            file.write(b"x" * 100)
        for name in source.names:
            with pytest.raises(CheckpointReplacedError, match="was written to after it was opened"):
                source.read(name)


def test_a_file_that_is_read_whole_when_it_is_opened_may_change(tmp_path: Path) -> None:
    path = written("legacy torch", tmp_path)
    with opened("legacy torch", path) as source:
        os.truncate(path, 0)
        assert_equal(source.read("c"), _ARRAYS["c"])


def refuse(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def refused(*_: Any) -> Any:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(LocalRandomAccessFile, "read", refused)
    monkeypatch.setattr(LocalRandomAccessFile, "readinto", refused)


@every_lazy_format
@pytest.mark.parametrize("number", [errno.EIO, errno.EINVAL, errno.ESTALE])
def test_a_refused_read_is_the_systems_error(
    kind: str, number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(kind, written(kind, tmp_path)) as source:
        with monkeypatch.context() as patch:
            refuse(patch, number)
            with pytest.raises(OSError, match=os.strerror(number)) as error:
                source.read("a")
        assert error.value.errno == number
        assert not isinstance(error.value, SaverError)
        assert_equal(source.read("a"), _ARRAYS["a"])


@every_format
def test_a_refused_read_while_a_file_is_opened_is_the_systems_error(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(kind, tmp_path)
    refuse(monkeypatch, errno.EIO)
    with pytest.raises(OSError, match=os.strerror(errno.EIO)) as error:
        opened(kind, path)
    assert not isinstance(error.value, SaverError)


@every_format
@pytest.mark.parametrize("number", [errno.EMFILE, errno.EACCES])
def test_a_file_that_the_system_does_not_open_is_its_error(
    kind: str, number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(kind, tmp_path)

    def refused(*_: Any, **__: Any) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "open", refused)
    with pytest.raises(OSError, match=os.strerror(number)) as error:
        opened(kind, path)
    assert error.value.errno == number
    assert not isinstance(error.value, SaverError)


@every_format
def test_a_file_that_is_a_directory_or_a_pipe_or_missing_is_said_to_be(kind: str, tmp_path: Path) -> None:
    pytest.importorskip(_LIBRARIES[kind])
    with pytest.raises(DataLossError, match="is a directory"):
        opened(kind, tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataLossError, match="a pipe, a socket or a device"):
        opened(kind, tmp_path / "pipe")
    with pytest.raises(FileNotFoundError):
        opened(kind, tmp_path / "missing")


@every_lazy_format
def test_a_closed_file_is_said_to_be_closed(kind: str, tmp_path: Path) -> None:
    source = opened(kind, written(kind, tmp_path))
    source.close()
    source.close()
    with pytest.raises(InvalidArgumentError, match="is closed"):
        source.read("a")


@every_lazy_format
def test_a_conversion_of_a_file_that_is_cut_short_leaves_nothing(kind: str, tmp_path: Path) -> None:
    path = written(kind, tmp_path)
    done: list[int] = []

    def cut(*_: int) -> None:
        done.append(1)
        os.truncate(path, 1000)

    target = tmp_path / "out.npz"
    with pytest.raises(TruncatedError, match="was cut short after it was opened"):
        tfsaver.convert(path, target, durable=False, progress=cut)
    assert done
    assert os.listdir(tmp_path) == [path.name]


def test_every_damage_of_a_torch_file_is_our_error(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    seeded = random.Random(0)
    for kind in ("torch", "legacy torch"):
        path = written(kind, tmp_path, {"a": np.arange(60.0), "b": np.arange(300.0), "c": np.ones(3, np.float32)})
        whole = path.read_bytes()
        for number in range(120):
            damaged = bytearray(whole)
            first = 0 if number % 2 else len(damaged) - 64
            for _ in range(seeded.choice([1, 2, 3])):
                damaged[seeded.randrange(first, len(damaged))] = seeded.randrange(256)
            if seeded.random() < 0.5:
                place, source = seeded.randrange(len(damaged)), seeded.randrange(len(damaged))
                damaged[place:place] = damaged[source : source + 20] * seeded.choice([1, 200])
            elif seeded.random() < 0.3:
                del damaged[seeded.randrange(len(damaged)) :]
            path.write_bytes(damaged)
            try:
                read_all(opened(kind, path))
            except SaverError:
                continue


def test_a_torch_file_of_the_other_byte_order_is_read(tmp_path: Path) -> None:
    import zipfile

    path = written("torch", tmp_path, {"w": np.arange(10.0)})
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            if name.endswith("/byteorder"):
                content = {b"little": b"big", b"big": b"little"}[content]
            elif "/data/" in name:
                content = np.frombuffer(content, np.float64).byteswap().tobytes()
            archive.writestr(name, content)
    with opened("torch", path) as source:
        assert_equal(source.read("w"), np.arange(10.0))


def test_torch_views_are_read_from_their_places(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    base = torch.arange(600.0).reshape(20, 30) * (1 + 2j)
    views = {
        "turned": base.t()[3:9],
        "column": base[:, 4],
        "steps": base[1::3, ::7],
        "repeated": base[2:3].expand(5, 30),
        "conjugate": base.conj()[2:, 1:],
        "negative": (base * 2).conj().imag[:, 3:5],
    }
    torch.save(views, tmp_path / "w.pt")
    with opened("torch", tmp_path / "w.pt") as source:
        for name, view in views.items():
            expected = view.resolve_conj().resolve_neg().numpy()
            assert_equal(source.read(name), expected)
            assert_equal(source.read(name, np.s_[1:3]), expected[1:3])


def test_a_torch_file_is_read_where_the_system_does_not_say_what_is_mapped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written("torch", tmp_path)
    monkeypatch.setattr("tfsaver.formats.torch._MAPPINGS", str(tmp_path / "missing"))
    with opened("torch", path) as source:
        assert_equal(source.read("a"), _ARRAYS["a"])
        value = source.read("b", np.s_[2:4])
        os.truncate(path, 0)
        assert_equal(value, _ARRAYS["b"][2:4])
        with pytest.raises(TruncatedError):
            source.read("b")


@pytest.mark.parametrize("sizes", [(4 << 20, 64 << 10, 8), (256, 64, 2), (64, 8, 1)])
def test_a_strided_read_is_what_numpy_gives(sizes: tuple[int, int, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, size in zip(("_MAX_BLOCK_SIZE", "_MIN_BLOCK_SIZE", "_MAX_WASTE"), sizes, strict=True):
        monkeypatch.setattr(file_source, name, size)
    whole = np.arange(2000, dtype=np.int16)
    (tmp_path / "w").write_bytes(b"head" + whole.tobytes())
    file = OpenFile(str(tmp_path / "w"), "file")
    seeded = random.Random(1)
    for _ in range(60):
        array = whole.reshape(seeded.choice([(2000,), (40, 50), (4, 20, 25), (1, 2000), (2000, 1)]))
        array = array.transpose(seeded.sample(range(array.ndim), array.ndim))
        array = array[tuple(slice(None, None, seeded.choice([1, 1, 3])) for _ in array.shape)]
        bounds = [sorted((seeded.randint(0, size), seeded.randint(0, size))) for size in array.shape]
        indices = tuple(slice(*each) for each in bounds)
        strides = [stride // 2 for stride in array.strides]
        assert_equal(file.read_strided(4, array.dtype, array.shape, strides), np.ascontiguousarray(array))
        found = file.read_strided(4, array.dtype, array.shape, strides, indices)
        assert_equal(found, np.ascontiguousarray(array[indices]))
    with pytest.raises(TruncatedError):
        file.read_strided(6, whole.dtype, (2000,), (1,))
    file.close()


@pytest.mark.parametrize(
    ("message", "number"),
    [
        ("UNKNOWN: Failed to open: Too many levels of symbolic links [os_error_code='40']", errno.ELOOP),
        ("unable to mmap 6 bytes from file <w.pt>: Cannot allocate memory (12)", errno.ENOMEM),
        ("Too many open files (os error 24)", errno.EMFILE),
    ],
)
def test_the_number_of_the_system_in_a_message_makes_it_the_systems_error(message: str, number: int, tmp_path: Path) -> None:
    with pytest.raises(OSError, match=os.strerror(number)) as error, library_errors("w", PinnedDirectory(str(tmp_path))):
        raise RuntimeError(message)
    assert error.value.errno == number


@pytest.mark.parametrize("message", ["Invalid argument (22)", "shape (24) is odd", "No such file or directory (os error 2)"])
def test_other_numbers_in_a_message_are_damage(message: str, tmp_path: Path) -> None:
    with pytest.raises(DataLossError, match="it is damaged: "), library_errors("it is damaged", PinnedDirectory(str(tmp_path))):
        raise RuntimeError(message)


def _remove(path: Path) -> None:
    path.unlink()


def _cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def _write(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"x")


def _replace(path: Path) -> None:
    new = path.with_name("new")
    new.write_bytes(path.read_bytes())
    os.replace(new, path)


@pytest.mark.parametrize(
    ("change", "expected"),
    [(_remove, CheckpointNotFoundError), (_cut, TruncatedError), (_write, CheckpointReplacedError), (_replace, CheckpointReplacedError)],
)  # fmt: skip
def test_an_orbax_checkpoint_that_changes_while_open_says_how(
    change: Callable[[Path], None], expected: type[Exception], tmp_path: Path
) -> None:
    pytest.importorskip("orbax.checkpoint")
    Execution(ArraySource(_ARRAYS), FORMATS["orbax"].target(tmp_path / "x", durable=False)).run()
    with FORMATS["orbax"].open(str(tmp_path / "x")) as source:
        files = [file for file in (tmp_path / "x").rglob("*") if file.is_file()]
        change(max(files, key=lambda file: file.stat().st_size))
        with pytest.raises(expected):
            source.read("a")
