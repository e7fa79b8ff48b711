"""Parts that ranks write and a commit that anybody makes: whole, or an error that names ranks and tensors."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tfsaver
from tfsaver.errors import CheckpointReplacedError, DataLossError, InvalidArgumentError, NotFoundError, SaverError
from tfsaver.tensor_bundle import rank_parts

TABLE = np.arange(40, dtype=np.float32).reshape(8, 5)
WORLD = 4


def _write(prefix: object, rank: int, *, save_id: str = "1", change: Callable[[Any], None] | None = None, step: int = 3) -> None:
    with tfsaver.ShardWriter(str(prefix), rank=rank, world_size=WORLD, save_id=save_id, durable=False) as shard:
        rows = slice(2 * rank, 2 * rank + 2)
        shard.add_slice("table", (8, 5), (rows, slice(0, 5)), TABLE[rows] + step)
        shard.add(f"only/{rank}", np.full(3, rank + step, np.int64))
        shard.add("step", np.int64(step), replicated=True)
        shard.add("words", ["a", "bb"], replicated=True)
        if change is not None:
            change(shard)


def _commit(prefix: object, save_id: str = "1", **options: Any) -> str:
    return tfsaver.commit(str(prefix), world_size=WORLD, save_id=save_id, durable=False, **options)


def _check(prefix: object, step: int = 3) -> None:
    assert tfsaver.verify(str(prefix)).ok
    with tfsaver.load_checkpoint(str(prefix)) as reader:
        assert (reader["table"] == TABLE + step).all() and reader["step"] == step and list(reader["words"]) == [b"a", b"bb"]
        assert all((reader[f"only/{rank}"] == rank + step).all() for rank in range(WORLD))


def test_parts_of_all_ranks_become_one_checkpoint(tmp_path: Path) -> None:
    for rank in (2, 0, 3, 1):
        _write(tmp_path / "model", rank)
    assert not tfsaver.checkpoint_exists(tmp_path / "model")
    assert tfsaver.pending(tmp_path / "model") == [("1", 4, (0, 1, 2, 3))]
    assert _commit(tmp_path / "model") == str(tmp_path / "model")
    _check(tmp_path / "model")
    assert tfsaver.pending(tmp_path / "model") == []
    # Once more is the same.
    _commit(tmp_path / "model")
    assert sorted(path.name for path in tmp_path.glob("model.data*")) == [f"model.data-0000{rank}-of-00004" for rank in range(4)]


def test_tensorflow_reads_what_was_committed(tmp_path: Path) -> None:
    tf = pytest.importorskip("tensorflow")
    for rank in range(WORLD):
        _write(tmp_path / "model", rank)
    _commit(tmp_path / "model")
    reader = tf.train.load_checkpoint(str(tmp_path / "model"))
    assert (reader.get_tensor("table") == TABLE + 3).all() and (reader.get_tensor("only/2") == 5).all()


def test_next_save_of_a_prefix_leaves_the_old_checkpoint_until_its_commit(tmp_path: Path) -> None:
    prefix = tmp_path / "model"
    for step in (1, 2, 3):
        for rank in range(WORLD):
            _write(prefix, rank, save_id=str(step), step=step)
            if step > 1:
                _check(prefix, step - 1)
        _commit(prefix, str(step))
        _check(prefix, step)
    assert len(list(tmp_path.glob("model.data*"))) == 4


def test_missing_ranks_are_named(tmp_path: Path) -> None:
    for rank in (0, 3):
        _write(tmp_path / "model", rank)
    assert tfsaver.pending(tmp_path / "model")[0].missing == (1, 2)
    with pytest.raises(NotFoundError, match=r"save_id '1': ranks 1, 2 of 4 have not written a part"):
        _commit(tmp_path / "model")
    with pytest.raises(NotFoundError, match=r"there are parts of world_size 4"):
        tfsaver.commit(tmp_path / "model", world_size=8, save_id="1")
    assert not tfsaver.checkpoint_exists(tmp_path / "model")
    tfsaver.abandon(tmp_path / "model", save_id="1")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("rank", "change", "error", "words"),
    [
        (1, lambda shard: shard.add("only/0", 1), InvalidArgumentError, "ranks 0, 1 all have 'only/0'"),
        (1, lambda shard: shard.add("extra0", 1, replicated=True), InvalidArgumentError, "has not added the replicated"),
        (2, lambda shard: shard.add_slice("other", (4,), np.s_[0:2], [1, 2]), DataLossError, "'other', of which rank 2 wrote"),
        (2, lambda shard: shard.add_slice("table", (8, 5), np.s_[0:1, 0:5], TABLE[:1]), DataLossError, "ranks 0, 1, 2, 3 wrote"),
    ],
)
def test_parts_that_do_not_fit_name_ranks_and_tensors(
    tmp_path: Path, rank: int, change: Callable[[Any], None], error: type[SaverError], words: str
) -> None:
    for number in range(WORLD):
        _write(tmp_path / "model", number, change=change if number == rank else None)
    with pytest.raises(error, match=words):
        _commit(tmp_path / "model")
    assert not tfsaver.checkpoint_exists(tmp_path / "model")


def test_unequal_replicas_are_an_error(tmp_path: Path) -> None:
    for rank in range(WORLD):
        with tfsaver.ShardWriter(tmp_path / "model", rank=rank, world_size=WORLD, save_id=1, durable=False) as shard:
            shard.add("step", np.int64(7 if rank == 2 else 3), replicated=True)
    with pytest.raises(InvalidArgumentError, match="'step' has other values in rank 2 than in rank 0"):
        _commit(tmp_path / "model")


def test_part_whose_data_changed_is_an_error(tmp_path: Path) -> None:
    for rank in range(WORLD):
        _write(tmp_path / "model", rank)
    path = tmp_path / "model.data-00001-of-00004"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataLossError, match="rank 1's manifest"):
        _commit(tmp_path / "model")
    path.unlink()
    with pytest.raises(DataLossError, match="rank 1 has written a manifest, and its data are not there"):
        _commit(tmp_path / "model")


def test_save_that_another_overtook_is_an_error(tmp_path: Path) -> None:
    prefix = tmp_path / "model"
    with tfsaver.ShardWriter(prefix, rank=0, world_size=1, save_id="a", durable=False) as shard:
        shard.add("w", 1)
    with tfsaver.ShardWriter(prefix, rank=0, world_size=2, save_id="b", durable=False) as shard:
        shard.add("w", 2)
    tfsaver.commit(prefix, world_size=1, save_id="a")
    (tmp_path / "model.parts" / "b" / "rank-00000-of-00002").unlink()
    tfsaver.save_checkpoint({"w": 3}, prefix, num_shards=2)
    for rank in range(2):
        with tfsaver.ShardWriter(prefix, rank=rank, world_size=2, save_id="c", durable=False) as shard:
            shard.add(f"w{rank}", 4)
    first = tmp_path / "model.parts" / "c" / "rank-00000-of-00002"
    first.write_bytes(first.read_bytes())
    assert tfsaver.commit(prefix, world_size=2, save_id="c") == str(prefix)
    assert tfsaver.load_checkpoint(prefix).names == ["w0", "w1"]
    assert issubclass(CheckpointReplacedError, SaverError)


def test_large_slice_is_stored_as_several(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rank_parts, "_MAX_SLICE_SIZE", 64)
    monkeypatch.setattr(rank_parts, "_MIN_SLICE_SIZE", 16)
    table = np.arange(2 * 6 * 40, dtype=np.float32).reshape(2, 6, 40)
    for rank in range(2):
        with tfsaver.ShardWriter(tmp_path / "m", rank=rank, world_size=2, save_id=1, durable=False) as shard:
            shard.add_slice("t", table.shape, np.s_[:, 3 * rank : 3 * rank + 3], table[:, 3 * rank : 3 * rank + 3])
    tfsaver.commit(tmp_path / "m", world_size=2, save_id=1)
    with tfsaver.load_checkpoint(tmp_path / "m") as reader:
        assert (reader["t"] == table).all() and all(4 * np.prod(each.resolve(table.shape).shape) <= 64 for each in reader.info("t").slices)
        wanted = {"t": np.s_[1:2, 2:5, 7:21]}
        assert (tfsaver.load_slices(reader, wanted)["t"] == table[1:2, 2:5, 7:21]).all()
        out = np.empty((1, 3, 14), np.float32)
        assert tfsaver.load_slices(reader, wanted, out={"t": out})["t"] is out and (out == table[1:2, 2:5, 7:21]).all()


_KILLED = """
import os
import sys
import tfsaver

calls, stop = 0, 0

def counted(function):
    def call(*args, **options):
        global calls
        calls += 1
        if calls == stop:
            os._exit(9)
        return function(*args, **options)
    return call

# What each of them asks of the system, once before it is done.
for name in ("open", "mkdir", "replace", "remove", "rmdir", "fsync", "write", "writev", "close", "stat", "listdir", "scandir"):
    setattr(os, name, counted(getattr(os, name)))

commit, load_checkpoint = tfsaver.commit, tfsaver.load_checkpoint
prefix, world_size = sys.argv[1], int(sys.argv[2])
for number in range(1, 1000):
    child = os.fork()
    if not child:
        calls, stop = 0, number
        commit(prefix, world_size=world_size, save_id="2", durable=False)
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    print(code, int(load_checkpoint(prefix)["step"]), flush=True)
    if code != 9:
        break
"""


def test_commit_that_is_killed_anywhere_is_repeated(tmp_path: Path) -> None:
    """Each kill is one system call later, from the state that the one before has left."""
    prefix = tmp_path / "model"
    for rank in range(WORLD):
        _write(prefix, rank)
    _commit(prefix)
    for rank in range(WORLD):
        _write(prefix, rank, save_id="2", step=9)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", _KILLED, str(prefix), str(WORLD)], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0 and not done.stderr, done.stderr
    codes, steps = zip(*(map(int, line.split()) for line in done.stdout.splitlines()), strict=True)
    assert set(codes[:-1]) == {9} and codes[-1] == 0 and len(codes) > 15
    # The old checkpoint, and from some point on the new one.
    assert set(steps) == {3, 9} and list(steps) == sorted(steps)
    _commit(prefix, "2")
    _check(prefix, 9)
    assert sorted(path.name for path in tmp_path.glob("model.*")) == [
        *(f"model.data-0000{shard}-of-00005" for shard in range(5)),
        "model.index",
    ]


def test_arguments_that_make_no_sense(tmp_path: Path) -> None:
    for options in ({"rank": 4, "world_size": 4}, {"rank": -1, "world_size": 4}, {"rank": 0, "world_size": 0}):
        with pytest.raises(InvalidArgumentError, match="ranks are 0 to world_size - 1"):
            tfsaver.ShardWriter(tmp_path / "m", save_id=1, **options)
    with pytest.raises(InvalidArgumentError, match="save_id"):
        tfsaver.ShardWriter(tmp_path / "m", rank=0, world_size=1, save_id="../x")


def test_tensors_of_torch_are_parts(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    with tfsaver.ShardWriter(tmp_path / "m", rank=0, world_size=1, save_id=1, durable=False) as shard:
        shard.add("b", torch.arange(4, dtype=torch.bfloat16))
        shard.add_slice("w", (4, 2), np.s_[0:4, 0:1], torch.ones(4, 1))
        shard.add_slice("w", (4, 2), np.s_[0:4, 1:2], torch.zeros(4, 1))
    tfsaver.commit(tmp_path / "m", world_size=1, save_id=1)
    with tfsaver.load_checkpoint(tmp_path / "m") as reader:
        assert str(reader["b"].dtype) == "bfloat16" and reader["b"].tolist() == [0, 1, 2, 3]
        assert reader["w"].tolist() == [[1, 0]] * 4
