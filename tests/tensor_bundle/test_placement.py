"""A bundle appears in one step: whatever call fails or never comes, what is there is the old bundle whole, or the new one."""

from __future__ import annotations

import errno
import fcntl
import multiprocessing
import os
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tfsaver.checkpoint.checkpoint_reader import load_checkpoint
from tfsaver.checkpoint.verify import verify_checkpoint
from tfsaver.lib import file_io
from tfsaver.tensor_bundle.merge import merge_bundles
from tfsaver.tensor_bundle.renaming import rename_bundle
from tfsaver.tensor_bundle.writer import BundleWriter

OLD, NEW = np.arange(1000, dtype=np.float32), np.arange(1000, dtype=np.float32)[::-1].copy()
CALLS = ("open_for_writing", "create", "replace", "link", "remove", "sync_directory")


class Killed(BaseException):
    """Stands for the end of the process: nobody catches it, and nothing is cleaned up after it."""


def write(prefix: pathlib.Path, value: Any, num_shards: int = 1) -> None:
    with BundleWriter(prefix, num_shards=num_shards) as writer:
        for index in range(4):
            writer.add(f"w{index}", value + index, shard_id=index % num_shards)


def value_in(prefix: pathlib.Path) -> Any:
    assert verify_checkpoint(prefix).ok
    with load_checkpoint(prefix) as reader:
        values = reader.read_tensors()
    assert list(values) == ["w0", "w1", "w2", "w3"]
    for index in range(4):
        np.testing.assert_array_equal(values[f"w{index}"], values["w0"] + index)
    return values["w0"]


def refuse(source: str, target: str) -> None:
    """As a file system does that has no links."""
    raise OSError(errno.EPERM, os.strerror(errno.EPERM), source, target)


def names(directory: pathlib.Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def stop_after(monkeypatch: pytest.MonkeyPatch, count: int, error: Callable[[], BaseException]) -> list[str]:
    """From the given number of calls that change something on, every one raises; returns the calls so far."""
    calls: list[str] = []

    def counted(name: str, done: Any) -> Any:
        def call(*arguments: Any) -> Any:
            if len(calls) >= count:
                raise error()
            calls.append(name)
            return done(*arguments)

        return call

    for name in CALLS:
        monkeypatch.setattr(file_io, name, counted(name, getattr(file_io, name)))
    return calls


@pytest.mark.parametrize("num_shards", [1, 2, 3])
@pytest.mark.parametrize("num_old_shards", [0, 1, 2])
def test_stop_at_any_call_leaves_the_old_or_the_new(tmp_path: pathlib.Path, num_shards: int, num_old_shards: int) -> None:
    seen = set()
    for count in range(60):
        directory = tmp_path / str(count)
        directory.mkdir()
        prefix = directory / "model"
        if num_old_shards:
            write(prefix, OLD, num_old_shards)
        with pytest.MonkeyPatch.context() as patch:
            stop_after(patch, count, Killed)
            try:
                write(prefix, NEW, num_shards)
                is_finished = True
            except Killed:
                is_finished = False
        if is_finished:
            break
        if not num_old_shards and not (directory / "model.index").exists():
            continue
        found = value_in(prefix)
        seen.add(found.tobytes())
        assert found.tobytes() in (OLD.tobytes(), NEW.tobytes())
    else:
        pytest.fail("the save never ended")
    assert count > 4
    if num_old_shards:
        assert OLD.tobytes() in seen
    np.testing.assert_array_equal(value_in(prefix), NEW)
    # A save that was not stopped leaves the names that everybody expects, and nothing else.
    expected = ["model.index", *(f"model.data-{number:05d}-of-{num_shards:05d}" for number in range(num_shards))]
    assert names(directory) == sorted(expected)


@pytest.mark.parametrize("num_old_shards", [1, 2])
def test_save_after_a_stop_makes_everything_as_it_should_be(tmp_path: pathlib.Path, num_old_shards: int) -> None:
    for count in range(4, 30):
        directory = tmp_path / str(count)
        directory.mkdir()
        prefix = directory / "model"
        write(prefix, OLD, num_old_shards)
        with pytest.MonkeyPatch.context() as patch:
            stop_after(patch, count, Killed)
            try:
                write(prefix, NEW, num_old_shards)
                break
            except Killed:
                pass
        write(prefix, NEW + 1, num_old_shards)
        np.testing.assert_array_equal(value_in(prefix), NEW + 1)


@pytest.mark.parametrize("num_shards", [1, 2])
def test_error_at_any_call_leaves_the_old_or_the_new_and_no_temporary_file(tmp_path: pathlib.Path, num_shards: int) -> None:
    for count in range(40):
        directory = tmp_path / str(count)
        directory.mkdir()
        prefix = directory / "model"
        write(prefix, OLD, num_shards)
        before = names(directory)
        with pytest.MonkeyPatch.context() as patch:
            calls: list[str] = []

            def failing(name: str, done: Any, calls: list[str] = calls, count: int = count) -> Any:
                def call(*arguments: Any) -> Any:
                    calls.append(name)
                    if len(calls) == count + 1:
                        raise OSError(errno.EIO, os.strerror(errno.EIO), arguments[0])
                    return done(*arguments)

                return call

            for name in ("open_for_writing", "replace", "link"):
                patch.setattr(file_io, name, failing(name, getattr(file_io, name)))
            try:
                write(prefix, NEW, num_shards)
                failure = None
            except OSError as error:
                failure = error.errno
        found = value_in(prefix)
        if failure is not None:
            assert failure == errno.EIO
            np.testing.assert_array_equal(found, OLD)
            assert names(directory) == before
        else:
            np.testing.assert_array_equal(found, NEW)
            assert not any(".tmp" in name for name in names(directory))
        if len(calls) <= count:
            break
    else:
        pytest.fail("the save never ended")


def test_without_links_the_new_bundle_keeps_one_shard_more(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(source: str, target: str) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM), target)

    monkeypatch.setattr(file_io, "link", refuse)
    write(tmp_path / "model", OLD)
    for value in (NEW, OLD, NEW):
        write(tmp_path / "model", value)
        np.testing.assert_array_equal(value_in(tmp_path / "model"), value)
    assert len(names(tmp_path)) <= 5


@pytest.mark.parametrize("num_shards", [1, 2])
def test_renamed_and_merged_bundles_replace_others_in_the_same_way(tmp_path: pathlib.Path, num_shards: int) -> None:
    write(tmp_path / "model", OLD, num_shards)
    write(tmp_path / "other", NEW, num_shards)
    rename_bundle(str(tmp_path / "other"), str(tmp_path / "model"))
    np.testing.assert_array_equal(value_in(tmp_path / "model"), NEW)
    expected = ["model.index", *(f"model.data-{number:05d}-of-{num_shards:05d}" for number in range(num_shards))]
    assert names(tmp_path) == sorted(expected)
    write(tmp_path / "part", OLD, num_shards)
    merge_bundles([tmp_path / "part"], tmp_path / "model")
    np.testing.assert_array_equal(value_in(tmp_path / "model"), OLD)
    assert names(tmp_path) == sorted(expected)


@pytest.mark.parametrize("has_old", [False, True])
def test_stop_of_a_merge_leaves_the_inputs_whole_or_the_result(tmp_path: pathlib.Path, has_old: bool) -> None:
    for count in range(60):
        directory = tmp_path / str(count)
        directory.mkdir()
        inputs = [directory / "a", directory / "b"]
        for number, prefix in enumerate(inputs):
            with BundleWriter(prefix) as writer:
                for index in (2 * number, 2 * number + 1):
                    writer.add(f"w{index}", NEW + index)
        if has_old:
            write(directory / "model", OLD, 2)
        with pytest.MonkeyPatch.context() as patch:
            stop_after(patch, count, Killed)
            try:
                merge_bundles(inputs, directory / "model")
                is_finished = True
            except Killed:
                is_finished = False
        found = value_in(directory / "model") if (directory / "model.index").exists() else None
        is_merged = found is not None and np.array_equal(found, NEW)
        if has_old and not is_merged:
            np.testing.assert_array_equal(found, OLD)
        assert is_merged or all(verify_checkpoint(prefix).ok for prefix in inputs), count
        if is_finished:
            assert is_merged and not any(name.startswith(("a.", "b.")) for name in names(directory))
            break
    else:
        pytest.fail("the merge never ended")


@pytest.mark.parametrize("has_links", [True, False])
def test_sync_that_fails_after_the_step_brings_the_old_bundle_back(tmp_path: pathlib.Path, has_links: bool) -> None:
    """Nobody knows whether the disk has the new name: who is told that the save failed finds what was there before."""
    prefix = tmp_path / "model"
    for num_old_shards, num_shards in ((0, 1), (1, 1), (1, 2), (2, 2)):
        if num_old_shards:
            write(prefix, OLD, num_old_shards)
        before = names(tmp_path)
        calls: list[str] = []
        with pytest.MonkeyPatch.context() as patch:
            done = file_io.sync_directory

            def failing(path: str, calls: list[str] = calls, done: Any = done) -> None:
                calls.append(path)
                if len(calls) == 2:
                    raise OSError(errno.EIO, os.strerror(errno.EIO), path)
                done(path)

            patch.setattr(file_io, "sync_directory", failing)
            if not has_links:
                patch.setattr(file_io, "link", refuse)
            with pytest.raises(OSError, match="Input/output error"):
                write(prefix, NEW, num_shards)
        assert names(tmp_path) == before
        if num_old_shards:
            np.testing.assert_array_equal(value_in(prefix), OLD)


def refuse_locks(*_: Any) -> None:
    """As a file system does that has no locks."""
    raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))


@pytest.mark.parametrize("has_links", [True, False])
@pytest.mark.parametrize(("num_old_shards", "num_shards"), [(0, 1), (1, 1), (2, 1), (2, 2)])
def test_without_locks_a_stop_at_any_call_leaves_the_old_or_the_new(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, has_links: bool, num_old_shards: int, num_shards: int
) -> None:
    monkeypatch.setattr(fcntl, "flock", refuse_locks)
    if not has_links:
        monkeypatch.setattr(file_io, "link", refuse)
    seen = set()
    for count in range(60):
        directory = tmp_path / str(count)
        directory.mkdir()
        prefix = directory / "model"
        if num_old_shards:
            write(prefix, OLD, num_old_shards)
        with pytest.MonkeyPatch.context() as patch:
            stop_after(patch, count, Killed)
            try:
                write(prefix, NEW, num_shards)
                is_finished = True
            except Killed:
                is_finished = False
        if num_old_shards or (directory / "model.index").exists():
            found = value_in(prefix)
            seen.add(found.tobytes())
            assert found.tobytes() in (OLD.tobytes(), NEW.tobytes())
        if is_finished:
            break
        write(prefix, NEW + 1, num_shards)
        np.testing.assert_array_equal(value_in(prefix), NEW + 1)
    else:
        pytest.fail("the save never ended")
    assert NEW.tobytes() in seen
    final = num_shards + 1 if num_old_shards == num_shards else num_shards
    expected = ["model.index", *(f"model.data-{number:05d}-of-{final:05d}" for number in range(final))]
    assert names(directory) == sorted(expected)


def test_without_locks_an_error_before_the_step_leaves_the_old_bundle_and_no_other_file(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fcntl, "flock", refuse_locks)
    write(tmp_path / "model", OLD, 2)
    before = names(tmp_path)
    for name in ("open_for_writing", "create", "replace", "sync_directory"):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(file_io, name, lambda *_: refuse("", name))  # noqa: B023 - called in this turn
            with pytest.raises(OSError, match="not permitted"):
                write(tmp_path / "model", NEW, 2)
        np.testing.assert_array_equal(value_in(tmp_path / "model"), OLD)
        assert names(tmp_path) == before


def test_without_locks_files_that_another_writer_has_claimed_again_are_not_removed(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two writers see one old bundle; until the second would remove it, a third uses the names for its data."""
    monkeypatch.setattr(fcntl, "flock", refuse_locks)
    prefix = tmp_path / "model"
    write(prefix, OLD)
    replace = file_io.replace
    is_inner = False

    def others_first(source: str, target: str) -> None:
        nonlocal is_inner
        if target.endswith(".index") and not is_inner:
            is_inner = True
            write(prefix, OLD + 1)
            write(prefix, OLD + 2)
            assert (tmp_path / "model.data-00000-of-00001").exists()
        replace(source, target)

    monkeypatch.setattr(file_io, "replace", others_first)
    write(prefix, NEW)
    np.testing.assert_array_equal(value_in(prefix), NEW)
    assert (tmp_path / "model.data-00000-of-00001").exists()


def save_again_and_again(prefix: pathlib.Path, value: float) -> None:
    fcntl.flock = refuse_locks
    for number in range(30):
        with BundleWriter(prefix, num_shards=2, durable=False) as writer:
            for index in range(4):
                writer.add(f"w{index}", OLD + value + number + index, shard_id=index % 2)


def test_without_locks_what_two_writers_of_a_prefix_leave_is_whole(tmp_path: pathlib.Path) -> None:
    write(tmp_path / "model", OLD, 2)
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=save_again_and_again, args=(tmp_path / "model", 100.0 * k)) for k in range(2)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0, 0]
    value_in(tmp_path / "model")
    assert not any(".tmp" in name for name in names(tmp_path))


def test_without_locks_renamed_and_merged_bundles_replace_others(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fcntl, "flock", refuse_locks)
    write(tmp_path / "other", NEW)
    rename_bundle(str(tmp_path / "other"), str(tmp_path / "model"))
    np.testing.assert_array_equal(value_in(tmp_path / "model"), NEW)
    assert names(tmp_path) == ["model.data-00000-of-00001", "model.index"]
    write(tmp_path / "part", OLD)
    merge_bundles([tmp_path / "part"], tmp_path / "model")
    np.testing.assert_array_equal(value_in(tmp_path / "model"), OLD)
    assert names(tmp_path) == ["model.data-00000-of-00002", "model.data-00001-of-00002", "model.index"]
