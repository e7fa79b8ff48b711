"""Saves to an object store that fail at any request: the old checkpoint or the new one, never neither."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable

import numpy as np
import pytest

import tfsaver
from tests.stores.s3_server import RefusedError, Request, S3Server
from tfsaver.errors import AlreadyExistsError, CheckpointReplacedError, SaverError, StorageError
from tfsaver.lib import file_io


def _generation(number: int) -> dict[str, np.ndarray]:
    return {name: np.full((100,), number, np.float32) for name in ("a", "b", "c")}


def _found(prefix: str) -> set[float]:
    """The generations whose values a checkpoint has; verified."""
    assert tfsaver.verify(prefix).ok
    with tfsaver.load_checkpoint(prefix) as reader:
        return {float(value) for name in reader for value in np.unique(reader[name])}


def _remove_orphans(prefix: str) -> None:
    """Removes what failed saves have uploaded: they were refused that, too."""
    directory, base = prefix.rsplit("/", 1)
    with tfsaver.load_checkpoint(prefix) as reader:
        used = {path.rpartition("/")[2] for path in reader.paths}
    for name in file_io.list_directory(directory):
        if name.startswith(base) and name not in used:
            file_io.remove(f"{directory}/{name}")


def _refuse_from(first: int) -> Callable[[Request], None]:
    count = itertools.count()

    def fault(request: Request) -> None:
        if next(count) >= first:
            raise RefusedError(403, "AccessDenied")

    return fault


@pytest.mark.parametrize("num_shards", [1, 2])
def test_save_refused_at_any_request_leaves_the_old_or_the_new_checkpoint(
    server: S3Server, bucket: str, num_shards: int
) -> None:
    prefix = f"{bucket}/model"
    tfsaver.save_checkpoint(_generation(0), prefix)
    current = 0
    for first in range(30):
        server.fault = _refuse_from(first)
        try:
            tfsaver.save_checkpoint(_generation(first + 1), prefix, num_shards=num_shards)
            is_done = True
        except StorageError:
            is_done = False
        finally:
            server.fault = None
        found = _found(prefix)
        assert found in ({float(current)}, {float(first + 1)})
        assert not is_done or found == {float(first + 1)}
        current = int(found.pop())
        if is_done:
            break
        _remove_orphans(prefix)
    else:
        pytest.fail("a save takes more requests than were tried")


def test_new_prefix_has_a_whole_checkpoint_or_none(server: S3Server, bucket: str) -> None:
    for first in range(6):
        prefix = f"{bucket}/model-{first}"
        server.fault = _refuse_from(first)
        try:
            tfsaver.save_checkpoint(_generation(first), prefix)
        except SaverError:
            server.fault = None
            with pytest.raises(SaverError):
                tfsaver.load_checkpoint(prefix)
        else:
            server.fault = None
            assert _found(prefix) == {float(first)}
        # What a failed save left is in nobody's way.
        tfsaver.save_checkpoint(_generation(9), prefix)
        assert _found(prefix) == {9.0}


def test_store_that_asks_for_patience_gets_it(server: S3Server, bucket: str) -> None:
    prefix = tfsaver.save_checkpoint(_generation(1), f"{bucket}/model")
    count = itertools.count()

    def fault(request: Request) -> None:
        if next(count) in (0, 3):
            raise RefusedError(503, "SlowDown")

    server.fault = fault
    with tfsaver.load_checkpoint(prefix) as reader:
        assert (reader["a"] == 1).all()


def test_missing_bucket_is_an_error_and_is_not_made(bucket: str) -> None:
    import fsspec

    with pytest.raises(StorageError, match="no-such-bucket"):
        tfsaver.save_checkpoint(_generation(1), "s3://no-such-bucket/run/model")
    assert not fsspec.filesystem("s3", use_listings_cache=False).exists("no-such-bucket")


def test_reader_of_a_replaced_checkpoint_says_so(bucket: str) -> None:
    prefix = tfsaver.save_checkpoint(_generation(1), f"{bucket}/model")
    with tfsaver.load_checkpoint(prefix) as reader:
        assert (reader["a"] == 1).all()
        tfsaver.save_checkpoint(_generation(2), prefix)
        with pytest.raises(CheckpointReplacedError):
            reader["b"]
    assert _found(prefix) == {2.0}


def test_two_writers_of_one_prefix_leave_one_of_their_checkpoints(bucket: str) -> None:
    prefix = f"{bucket}/model"
    tfsaver.save_checkpoint(_generation(0), prefix)
    wrong: list[object] = []
    is_over = threading.Event()

    def write(number: int) -> None:
        for _ in range(5):
            try:
                tfsaver.save_checkpoint(_generation(number), prefix)
            except (AlreadyExistsError, CheckpointReplacedError, StorageError):
                # The other one writes these names.
                pass

    def read() -> None:
        while not is_over.is_set():
            try:
                with tfsaver.load_checkpoint(prefix) as reader:
                    values = {float(value) for name in reader for value in np.unique(reader[name])}
                if len(values) != 1:
                    wrong.append(values)
            except SaverError:
                pass

    writers = [threading.Thread(target=write, args=(number,)) for number in (1, 2)]
    reader = threading.Thread(target=read)
    for thread in (*writers, reader):
        thread.start()
    for thread in writers:
        thread.join()
    is_over.set()
    reader.join()
    assert not wrong
    assert len(_found(prefix)) == 1
