"""A checkpoint that is replaced, written over or removed while it is read: the old one, the new one, or a clear error."""

from __future__ import annotations

import os
import pathlib
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.checkpoint.interleaving import Content, Run, State, runs, state_of, states_of
from tests.plugins.exhaustive import is_exhaustive
from tfsaver import latest_checkpoint, load_checkpoint, save_checkpoint
from tfsaver.checkpoint.checkpoint_management import remove_checkpoint, update_checkpoint_state
from tfsaver.checkpoint.verify import verify_checkpoint
from tfsaver.errors import CheckpointNotFoundError, CheckpointReplacedError, ChecksumError, DataLossError
from tfsaver.framework.tensor_slice import EVERYTHING, TensorSlice
from tfsaver.tensor_bundle.reader import BundleReader
from tfsaver.tensor_bundle.writer import BundleWriter

# A place in a checkpoint for each of these; every value of one differs from the one of the other.
OLD, NEW, NEWER = 0, 1000, 2000
SHAPE = (6, 5)
EXHAUSTIVE = is_exhaustive()


def write(prefix: pathlib.Path, start: int, num_shards: int = 2, names: str = "abc") -> None:
    with BundleWriter(prefix, num_shards=num_shards, durable=False) as writer:
        for number, name in enumerate(names):
            value = np.arange(30, dtype=np.int64).reshape(SHAPE) + start + 100 * number
            writer.add(name, value, shard_id=number % num_shards)


def start_of(name: str, value: Any, names: str = "abc") -> int:
    """Which checkpoint a value is of, all of it."""
    first = int(np.asarray(value).flat[0])
    start = first - first % 1000
    expected = np.arange(30).reshape(SHAPE) + start + 100 * names.index(name)
    np.testing.assert_array_equal(value, expected if np.shape(value) == SHAPE else expected[2:4])
    return start


def one_by_one(directory: pathlib.Path) -> set[int]:
    with load_checkpoint(directory / "model") as reader:
        return {start_of(name, reader[name]) for name in reader.names}


def parts_unverified(directory: pathlib.Path) -> set[int]:
    with load_checkpoint(directory / "model") as reader:
        parts = {name: reader.read(name, np.s_[2:4], verify=False) for name in "abc"}
    expected = {name: int(part[0, 0]) - 10 for name, part in parts.items()}
    for name, part in parts.items():
        np.testing.assert_array_equal(part, np.arange(10).reshape(2, 5) + expected[name] + 10)
    return {value - value % 1000 for value in expected.values()}


def together(directory: pathlib.Path) -> set[int]:
    with load_checkpoint(directory / "model") as reader:
        return {start_of(name, value) for name, value in reader.read_tensors(num_workers=1).items()}


def mapped(directory: pathlib.Path) -> set[int]:
    with load_checkpoint(directory / "model") as reader:
        return {start_of(name, reader.map(name)) for name in "abc"}


def mapped_unverified(directory: pathlib.Path) -> set[int]:
    with load_checkpoint(directory / "model") as reader:
        return {start_of(name, reader.map(name, verify=False)) for name in "abc"}


def compared_then_read(directory: pathlib.Path) -> set[int]:
    """As a restore does it: what there is, and then all of it."""
    with load_checkpoint(directory / "model") as reader:
        assert {name: reader.shape(name) for name in reader.names} == dict.fromkeys("abc", SHAPE)
        return {start_of(name, value) for name, value in reader.read_tensors("abc", num_workers=1).items()}


def verified_then_read(directory: pathlib.Path) -> set[int]:
    with load_checkpoint(directory / "model") as reader:
        reader.verify_tensors("abc", num_workers=1)
        return {start_of(name, reader.read(name, verify=False)) for name in "abc"}


def by_the_formats_reader(directory: pathlib.Path) -> set[int]:
    with BundleReader(directory / "model") as reader:
        return {start_of(name, reader.read(name, verify=False)) for name in "abc"}


READERS = [
    one_by_one,
    parts_unverified,
    together,
    mapped,
    mapped_unverified,
    compared_then_read,
    verified_then_read,
    by_the_formats_reader,
]
# Of these and one data file every interleaving is tried, of the others those in which the writer goes on at two places.
ALL_OF_THEM = (one_by_one, parts_unverified, together)


def outcomes(
    path: pathlib.Path,
    states: list[State],
    read: Callable[[pathlib.Path], set[int]],
    *allowed: type[Exception],
    with_reads: bool = False,
) -> Counter[Any]:
    """How often each checkpoint was read, and each error raised; a mixture fails, and so does any other error."""
    counts: Counter[Any] = Counter()
    max_advances: int | None = 1
    if EXHAUSTIVE:
        max_advances = None if read in ALL_OF_THEM and len(states[0]) == 2 else 2
    for run in runs(path, states, read, max_advances=max_advances, with_reads=with_reads):
        counts[_outcome(run, allowed)] += 1
    return counts


def _outcome(run: Run, allowed: tuple[type[Exception], ...]) -> Any:
    if run.error is None:
        assert len(run.result) == 1, f"a mixture of {sorted(run.result)}"
        return next(iter(run.result))
    if not isinstance(run.error, allowed):
        raise run.error
    return next(kind for kind in allowed if isinstance(run.error, kind))


def recorded(directory: pathlib.Path, num_old: int, num_new: int) -> list[State]:
    """Our writer replacing a checkpoint."""
    directory.mkdir()
    write(directory / "model", OLD, num_old)
    return states_of(directory, lambda: write(directory / "model", NEW, num_new))


def pair(directory: pathlib.Path, num_shards: int = 2) -> tuple[State, State]:
    directory.mkdir()
    write(directory / "model", OLD, num_shards)
    old = state_of(directory, 10**18)
    write(directory / "model", NEW, num_shards)
    return old, state_of(directory, 2 * 10**18)


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize(("num_old", "num_new"), [(1, 1), (2, 2), (1, 2), (2, 1)] if EXHAUSTIVE else [(1, 1), (2, 2)])
def test_our_writer_replaces_it(
    tmp_path: pathlib.Path, read: Callable[[pathlib.Path], set[int]], num_old: int, num_new: int
) -> None:
    states = recorded(tmp_path / "recorded", num_old, num_new)
    assert len(states) > 3
    found = outcomes(tmp_path / "read", states, read, CheckpointReplacedError)
    assert found[OLD] > 0 and found[NEW] > 0
    # Whoever takes all at once gets all; so does whoever has had but names and shapes before.
    if read in (together, compared_then_read):
        assert not found[CheckpointReplacedError]
    print(f"{read.__name__}, {num_old} to {num_new} data files: {dict(found)}")


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("num_shards", [1, 2])
def test_tensorflow_renames_data_first_and_the_index_last(
    tmp_path: pathlib.Path, read: Callable[[pathlib.Path], set[int]], num_shards: int
) -> None:
    old, new = pair(tmp_path / "pair", num_shards)
    states = [old]
    for name in sorted(new):
        states.append({**states[-1], name: new[name]})
    assert states[-1] == new and len(states) == num_shards + 2
    found = outcomes(tmp_path / "read", states, read, CheckpointReplacedError, DataLossError)
    assert found[OLD] > 0 and found[NEW] > 0
    # Between the renames nobody can read it.
    assert found[DataLossError] > 0


@pytest.mark.parametrize("read", READERS)
def test_index_is_written_over_in_place(tmp_path: pathlib.Path, read: Callable[[pathlib.Path], set[int]]) -> None:
    old, new = pair(tmp_path / "pair")
    index = new["model.index"].data
    data = {name: content for name, content in new.items() if name != "model.index"}

    def half(size: int, number: int) -> Content:
        return Content(index[:size], new["model.index"].time_ns + number, is_same=True)

    states = [old, {**old, **data}]
    states += [{**states[-1], "model.index": half(size, number)} for number, size in enumerate([0, 40, len(index)])]
    found = outcomes(tmp_path / "read", states, read, CheckpointReplacedError, DataLossError, with_reads=True)
    assert found[OLD] > 0 and found[NEW] > 0


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("num_shards", [1, 2])
def test_it_is_removed(tmp_path: pathlib.Path, read: Callable[[pathlib.Path], set[int]], num_shards: int) -> None:
    (tmp_path / "recorded").mkdir()
    write(tmp_path / "recorded" / "model", OLD, num_shards)
    states = states_of(tmp_path / "recorded", lambda: remove_checkpoint(tmp_path / "recorded" / "model"))
    assert len(states) == num_shards + 2 and not states[-1]
    found = outcomes(tmp_path / "read", states, read, CheckpointNotFoundError)
    assert found[OLD] > 0 and found[CheckpointNotFoundError] > 0


@pytest.mark.parametrize("read", READERS)
def test_it_is_removed_and_saved_again(tmp_path: pathlib.Path, read: Callable[[pathlib.Path], set[int]]) -> None:
    directory = tmp_path / "recorded"
    directory.mkdir()
    write(directory / "model", OLD)
    removing = states_of(directory, lambda: remove_checkpoint(directory / "model"))
    saving = states_of(directory, lambda: write(directory / "model", NEW))
    found = outcomes(
        tmp_path / "read", [*removing, *saving[1:]], read, CheckpointNotFoundError, CheckpointReplacedError, DataLossError
    )
    assert found[OLD] > 0 and found[NEW] > 0


@pytest.mark.parametrize("read", [one_by_one, parts_unverified, together, compared_then_read])
def test_it_is_replaced_by_one_of_other_tensors(tmp_path: pathlib.Path, read: Callable[[pathlib.Path], set[int]]) -> None:
    directory = tmp_path / "recorded"
    directory.mkdir()
    write(directory / "model", OLD, names="abcd")
    states = states_of(directory, lambda: write(directory / "model", NEW, names="abc"))

    def read_three(directory: pathlib.Path) -> set[int]:
        with load_checkpoint(directory / "model") as reader:
            names = reader.names
            starts = {start_of(name, reader[name], "abcd") for name in names}
        assert names == list("abcd" if starts == {OLD} else "abc")
        return starts

    found = outcomes(tmp_path / "read", states, read_three, CheckpointReplacedError)
    assert found[OLD] > 0 and found[NEW] > 0 and found[CheckpointReplacedError] > 0


def test_same_values_saved_again_are_no_other_checkpoint(tmp_path: pathlib.Path) -> None:
    directory = tmp_path / "recorded"
    directory.mkdir()
    write(directory / "model", OLD)
    # With the tensors and bytes where they were, but other files.
    states = states_of(directory, lambda: write(directory / "model", OLD))
    states.append({name: Content(content.data, content.time_ns + 5) for name, content in states[-1].items()})
    assert set(outcomes(tmp_path / "read", states, one_by_one)) == {OLD}


def test_directory_that_goes_on_to_the_next_checkpoint_is_read_from_there(tmp_path: pathlib.Path) -> None:
    directory = tmp_path / "recorded"
    directory.mkdir()

    def save(step: int) -> None:
        write(directory / f"model-{step}", 1000 * step)
        update_checkpoint_state(directory, f"{directory}/model-{step}", save_relative_paths=True, durable=False)

    def save_and_remove() -> None:
        save(2)
        remove_checkpoint(directory / "model-1")

    save(1)
    states = states_of(directory, save_and_remove)

    def read(directory: pathlib.Path) -> set[int]:
        with load_checkpoint(directory) as reader:
            return {start_of(name, value) for name, value in reader.read_tensors(num_workers=1).items()}

    def read_latest(directory: pathlib.Path) -> set[int]:
        path = latest_checkpoint(directory)
        assert path is not None
        with load_checkpoint(path) as reader:
            return {start_of(name, value) for name, value in reader.read_tensors(num_workers=1).items()}

    found = outcomes(tmp_path / "read", states, read, CheckpointNotFoundError)
    assert found[1000] > 0 and found[2000] > 0
    found = outcomes(tmp_path / "latest", states, read_latest, CheckpointNotFoundError)
    assert found[1000] > 0 and found[2000] > 0 and found[CheckpointNotFoundError] > 0


def test_missing_shard_says_what_became_of_the_rest(tmp_path: pathlib.Path) -> None:
    write(tmp_path / "model", OLD)
    first, second = (tmp_path / f"model.data-0000{number}-of-00002" for number in range(2))
    with load_checkpoint(tmp_path / "model") as reader:
        second.unlink()
        with pytest.raises(CheckpointNotFoundError, match="the index is there, its data shard 1 is not"):
            reader.read("b")
        assert start_of("a", reader.read("a")) == OLD
        (tmp_path / "model.index").unlink()
        first.unlink()
        # What is open stays.
        assert start_of("c", reader.read("c")) == OLD
        with pytest.raises(CheckpointNotFoundError, match="removed while it was read.*data shard 1") as caught:
            reader.read("b")
        assert caught.value.looked_for == (str(second),)


def test_replaced_checkpoint_is_an_error_that_names_it(tmp_path: pathlib.Path) -> None:
    write(tmp_path / "model", OLD)
    with load_checkpoint(tmp_path / "model") as reader:
        reader.read("a")
        write(tmp_path / "model", NEW)
        assert start_of("c", reader.read("c")) == OLD
        with pytest.raises(
            CheckpointReplacedError, match="'.*model' was replaced while it was read: .*model.index is another"
        ):
            reader.read("b")


def test_reader_of_which_the_format_was_asked_for_stays_with_it(tmp_path: pathlib.Path) -> None:
    write(tmp_path / "model", OLD)
    with load_checkpoint(tmp_path / "model") as reader:
        assert isinstance(reader.implementation, BundleReader)
        write(tmp_path / "model", NEW)
        with pytest.raises(CheckpointReplacedError):
            reader.read("a")


def test_data_that_are_newer_than_the_index_are_read_with_their_checksum(tmp_path: pathlib.Path) -> None:
    write(tmp_path / "model", OLD, 1)
    path = tmp_path / "model.data-00000-of-00001"
    data = bytearray(path.read_bytes())
    data[0] ^= 1
    path.write_bytes(data)
    index_time = os.stat(tmp_path / "model.index").st_mtime_ns
    os.utime(path, ns=(index_time, index_time + 1))
    with load_checkpoint(tmp_path / "model") as reader, pytest.raises(ChecksumError):
        reader.read("a", np.s_[:1], verify=False)
    os.utime(path, ns=(index_time, index_time))
    with load_checkpoint(tmp_path / "model") as reader:
        assert reader.read("a", np.s_[:1], verify=False)[0, 0] == 1
        assert start_of("b", reader.read("b", verify=False)) == OLD


def test_doubtful_tensor_is_always_checked(tmp_path: pathlib.Path) -> None:
    write(tmp_path / "model", OLD, 1)
    path = tmp_path / "model.data-00000-of-00001"
    os.utime(path, ns=(2**62, 2**62))
    with BundleReader(tmp_path / "model") as reader:
        for region in (None, TensorSlice(((0, 1), EVERYTHING))):
            assert reader.read("a", region, verify=False)[0, 0] == OLD
        content = bytearray(path.read_bytes())
        content[8] ^= 1
        path.write_bytes(content)
        for region in (None, TensorSlice(((0, 1), EVERYTHING))):
            with pytest.raises(ChecksumError, match="data newer than the index"):
                reader.read("a", region, verify=False)


def test_v1_file_that_is_replaced_or_removed_is_read_to_its_end(tmp_path: pathlib.Path) -> None:
    path = save_checkpoint({"w": np.arange(1000), "v": np.arange(5)}, tmp_path / "m", format="V1", durable=False)
    with load_checkpoint(path) as reader:
        save_checkpoint({"w": np.zeros(1000, int), "v": np.zeros(5, int)}, tmp_path / "m", format="V1", durable=False)
        assert reader["w"][999] == 999
        os.remove(path)
        assert reader["v"][4] == 4


def test_v1_checkpoint_of_several_files_is_opened_again_when_one_is_replaced(tmp_path: pathlib.Path) -> None:
    directory = tmp_path / "recorded"
    directory.mkdir()

    def save(start: int) -> None:
        values = {name: np.arange(30).reshape(SHAPE) + start + 100 * number for number, name in enumerate("abc")}
        save_checkpoint(values, directory / "model", format="V1", num_shards=2, durable=False)

    save(OLD)
    old = state_of(directory, 10**18)
    save(NEW)
    new = state_of(directory, 2 * 10**18)
    # Both at once, as far as anyone can do that.
    states = [old, {**old, **new}]
    found = outcomes(tmp_path / "read", states, together)
    assert set(found) == {OLD, NEW}


def test_verification_of_a_checkpoint_that_is_replaced_is_of_the_old_or_the_new(tmp_path: pathlib.Path) -> None:
    states = recorded(tmp_path / "recorded", 2, 2)

    def verify(directory: pathlib.Path) -> set[int]:
        report = verify_checkpoint(directory / "model")
        assert report.ok and report.num_tensors == 3, str(report)
        return {OLD}

    assert set(outcomes(tmp_path / "read", states, verify)) == {OLD}


def test_checkpoint_in_a_store_is_one(tmp_path: pathlib.Path) -> None:
    pytest.importorskip("fsspec")
    name = f"memory://{tmp_path.name}/model"
    save_checkpoint({"w": np.arange(5)}, name, durable=False)
    with load_checkpoint(name) as reader:
        assert reader["w"].tolist() == [0, 1, 2, 3, 4]
        assert reader.names == ["w"]
    with load_checkpoint(name) as reader:
        assert reader.names == ["w"]
        save_checkpoint({"w": np.arange(6)}, name, durable=False)
        with pytest.raises((CheckpointReplacedError, DataLossError)):
            reader.read("w")
