"""A save that cannot be: one error that says of what, why and what is there; nothing left, and everything as it was."""

from __future__ import annotations

import errno
import gc
import os
import resource
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tfsaver.checkpoint.checkpoint_reader import load_checkpoint
from tfsaver.checkpoint.save import save_checkpoint
from tfsaver.checkpoint.tensor_source import ArraySource
from tfsaver.errors import InvalidArgumentError, NoSpaceError, WriteError
from tfsaver.lib import free_space

OLD = {"a": np.arange(1000, dtype=np.float32), "b": np.arange(5)}
NEW = {"a": np.zeros(1000, np.float32), "b": np.ones(5, np.int64)}
KINDS: dict[str, dict[str, Any]] = {
    "v2": {},
    "v2 in shards": {"num_shards": 2},
    "v1": {"format": "V1"},
    "v1 in shards": {"format": "V1", "num_shards": 2},
}


def contents(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


@pytest.fixture(params=list(KINDS), ids=list(KINDS))
def options(request: pytest.FixtureRequest) -> dict[str, Any]:
    """How a checkpoint is written."""
    return KINDS[request.param]


@pytest.fixture
def old(tmp_path: Path, options: dict[str, Any]) -> Iterator[Path]:
    """A directory with a checkpoint in it; afterwards it must be there still, and nothing else."""
    save_checkpoint(OLD, tmp_path / "model", **options)
    before = contents(tmp_path)
    yield tmp_path
    assert contents(tmp_path) == before
    assert not [path for path in tmp_path.rglob("*") if path.is_dir()]


def failure(save: Callable[[], Any]) -> WriteError | None:
    """What a save raises."""
    try:
        save()
    except WriteError as error:
        return error
    return None


class Failing:
    """Lets one call of a function of the system fail, the n-th, and counts them all."""

    def __init__(self, number: int, code: int) -> None:
        self.number = number
        self.code = code
        self.count = 0

    def __call__(self, done: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            self.count += 1
            if self.count == self.number + 1:
                raise OSError(self.code, os.strerror(self.code))
            return done(*arguments, **options)

        return call


@pytest.mark.parametrize(
    ("name", "code"),
    [("write", errno.ENOSPC), ("writev", errno.EDQUOT), ("fsync", errno.EIO), ("replace", errno.EROFS)],
    ids=["write", "writev", "fsync", "replace"],
)
def test_error_of_any_call_is_one_error_and_leaves_the_old_checkpoint(
    old: Path, options: dict[str, Any], name: str, code: int
) -> None:
    number = 0
    while True:
        before = contents(old)
        failing = Failing(number, code)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, name, failing(getattr(os, name)))
            error = failure(lambda: save_checkpoint(NEW, old / "model", **options))
            if error is not None:
                assert error.errno == code and os.strerror(code) in str(error)
                assert error.path == str(old) or error.path.startswith(str(old / "model"))
                assert ".tmp" not in str(error)
                assert isinstance(error, NoSpaceError) == (code in (errno.ENOSPC, errno.EDQUOT))
                assert contents(old) == before, number
            left = [path for path in contents(old) if ".tmp" in path]
            # What names lead to, or may lead to after a power cut, stays for the next save.
            assert not left or (error is None and all(path.startswith("model-of-") for path in left)), number
        if failing.count <= number:
            break
        number += 1
        save_checkpoint(OLD, old / "model", **options)
    save_checkpoint(OLD, old / "model", **options)


def test_disk_that_is_full_is_found_out_before_anything_is_written(
    old: Path, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(free_space, "free_space", lambda directory: 1000)
    opened: list[str] = []
    original = os.open

    def watched(path: str, flags: int, *rest: Any, **more: Any) -> int:
        if flags & os.O_CREAT:
            opened.append(path)
        return original(path, flags, *rest, **more)

    monkeypatch.setattr(os, "open", watched)
    for source in (NEW, ArraySource(NEW)):
        with pytest.raises(NoSpaceError, match=r"No space left on device: 4,0\d\d bytes needed, 1,000 available") as caught:
            save_checkpoint(source, old / "model", **options)
        assert caught.value.needed is not None and caught.value.needed > 4000 and caught.value.available == 1000
        with pytest.raises(NoSpaceError):
            save_checkpoint(source, old / "new" / "directory" / "model", **options)
    assert opened == []


def test_disk_that_does_not_say_how_full_it_is_is_no_reason_not_to_write(
    tmp_path: Path, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(path: str) -> Any:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(os, "statvfs", fail)
    name = save_checkpoint(NEW, tmp_path / "model", **options)
    with load_checkpoint(name) as reader:
        np.testing.assert_array_equal(reader["a"], NEW["a"])


def test_file_that_may_not_be_so_large_is_an_error_of_ours(old: Path, options: dict[str, Any]) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(WriteError, match="File too large: the file would be larger") as caught:
            save_checkpoint(NEW, old / "model", **options)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, ignored)
    assert caught.value.errno == errno.EFBIG


def test_directories_that_were_made_go_when_the_save_fails(old: Path, options: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgumentError):
        save_checkpoint({**NEW, "c": [[1], [2, 3]]}, old / "new" / "directory" / "model", **options)


def test_prefix_that_ends_with_a_slash_names_no_checkpoint(old: Path, options: dict[str, Any]) -> None:
    for source in (NEW, ArraySource(NEW)):
        with pytest.raises(InvalidArgumentError, match="ends with a slash"):
            save_checkpoint(source, f"{old}/", **options)


def test_file_in_the_place_of_a_directory_says_so(old: Path, options: dict[str, Any]) -> None:
    (old / "file").touch()
    with pytest.raises(WriteError, match="file' cannot be written: File exists|file/model.* cannot be written: Not a dir"):
        save_checkpoint(NEW, old / "file" / "model", **options)
    (old / "file").unlink()


def test_directory_in_the_place_of_a_v1_file_says_so(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    with pytest.raises(WriteError, match="model' cannot be written: Is a directory: a directory has that name"):
        save_checkpoint(NEW, tmp_path / "model", format="V1")
    assert list(tmp_path.iterdir()) == [tmp_path / "model"]
    # A V2 checkpoint has files of other names.
    save_checkpoint(NEW, tmp_path / "model")


def test_bare_name_is_in_the_working_directory(tmp_path: Path, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for values in (OLD, NEW):
        name = save_checkpoint(values, "model", **options)
        with load_checkpoint(name) as reader:
            np.testing.assert_array_equal(reader["a"], values["a"])


def test_name_that_is_too_long_says_so(old: Path, options: dict[str, Any]) -> None:
    with pytest.raises(WriteError, match=r"File name too long: the name has \d+ bytes") as caught:
        save_checkpoint(NEW, old / ("m" * 250), **options)
    assert caught.value.errno == errno.ENAMETOOLONG


@pytest.mark.parametrize(
    ("code", "sentence"), [(errno.EACCES, "this user may not write in"), (errno.EROFS, "on a file system that is read-only")]
)
def test_place_where_nothing_may_be_written_says_so(
    old: Path, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch, code: int, sentence: str
) -> None:
    """As root, whom no mode of a directory keeps out, the system has to be asked for it."""
    original = os.open

    def refuse(path: str, flags: int, *rest: Any, **more: Any) -> int:
        if flags & os.O_CREAT:
            raise OSError(code, os.strerror(code), path)
        return original(path, flags, *rest, **more)

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(WriteError, match=sentence) as caught:
        save_checkpoint(NEW, old / "model", **options)
    assert caught.value.errno == code and ".tmp" not in str(caught.value)


@pytest.mark.parametrize("overwrites", [True, False])
def test_stop_between_the_files_of_a_v1_checkpoint_never_mixes_two_and_leaves_nothing_for_long(
    tmp_path: Path, overwrites: bool
) -> None:
    class Killed(BaseException):
        pass

    for number in range(60):
        directory = tmp_path / str(number)
        directory.mkdir()
        name = f"{directory}/model-?????-of-00002"
        if overwrites:
            save_checkpoint(OLD, directory / "model", format="V1", num_shards=2, durable=False)
        calls = 0

        def counted(done: Callable[..., Any], number: int = number) -> Callable[..., Any]:
            def call(*arguments: Any, **options: Any) -> Any:
                nonlocal calls
                calls += 1
                if calls > number:
                    raise Killed
                return done(*arguments, **options)

            return call

        with pytest.MonkeyPatch.context() as patch:
            for function in ("replace", "remove", "link", "symlink", "mkdir", "unlink", "rmdir"):
                patch.setattr(os, function, counted(getattr(os, function)))
            try:
                save_checkpoint(NEW, directory / "model", format="V1", num_shards=2, durable=False)
            except Killed:
                pass
        try:
            with load_checkpoint(name) as reader:
                found = reader.read_tensors()
        except (FileNotFoundError, LookupError):
            found = {}
        is_whole = set(found) == set(OLD)
        assert is_whole or not overwrites, number
        if is_whole:
            assert any(all(np.array_equal(found[key], each[key]) for key in OLD) for each in (OLD, NEW))
        # A process that is gone holds nothing.
        gc.collect()
        save_checkpoint(NEW, directory / "model-2", format="V1", num_shards=2, durable=False)
        expected = [f"{prefix}-0000{shard}-of-00002" for prefix in ("model", "model-2")[not is_whole :] for shard in (0, 1)]
        assert sorted(os.listdir(directory)) == sorted(expected), number
        if calls <= number:
            break
    else:
        pytest.fail("the save never ended")


def test_directory_with_the_name_of_the_index_is_a_write_error(tmp_path: Path) -> None:
    (tmp_path / "model.index").mkdir()
    with pytest.raises(WriteError, match="model.index' cannot be written: Is a directory: a directory has that name"):
        save_checkpoint({"w": np.ones(3)}, tmp_path / "model")
    assert [path.name for path in tmp_path.iterdir()] == ["model.index"]
