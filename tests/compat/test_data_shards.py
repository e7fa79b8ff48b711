"""Data files side by side: the same tensors in files of about one size, which TensorFlow reads as any others."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
from collections import Counter
from typing import Any

import numpy as np
import pytest

from tests.compat.stand_ins import Session, binding
from tfsaver import load_checkpoint, verify
from tfsaver.compat._options import SaveOptions
from tfsaver.compat._save import balanced, begin_save, side_by_side
from tfsaver.compat.v1.train import Saver
from tfsaver.errors import InvalidArgumentError
from tfsaver.framework.tensor_slice import TensorSlice
from tfsaver.tensor_bundle.reader import BundleReader

_READ_BY_TENSORFLOW_1 = """
import json, sys
import tensorflow as tf
reader = tf.compat.v1.train.NewCheckpointReader(sys.argv[1])
shapes = reader.get_variable_to_shape_map()
with tf.compat.v1.Graph().as_default(), tf.compat.v1.Session() as session:
    variables = [tf.compat.v1.get_variable(name, shape, reader.get_variable_to_dtype_map()[name])
                 for name, shape in sorted(shapes.items())]
    tf.compat.v1.train.Saver(variables).restore(session, sys.argv[1])
    sums = {v.op.name: float(session.run(v).sum()) for v in variables}
print(json.dumps(sums))
"""


def sized(*sizes: int) -> list[Any]:
    return [binding(f"v{index:04d}", np.full(size, index % 256, np.uint8)) for index, size in enumerate(sizes)]


def total(shard: list[Any]) -> int:
    return sum(binding.variable.shape[0] for binding in shard)


@pytest.mark.parametrize("num_shards", [1, 2, 3, 7])
@pytest.mark.parametrize("sizes", [[5] * 100, list(range(1, 300)), [1000, *[1] * 50], [*[1] * 50, 1000], [0, 0, 3]])
def test_files_get_about_the_same(sizes: list[int], num_shards: int) -> None:
    bindings = sized(*sizes)
    shards = balanced(bindings, num_shards)
    assert len(shards) == min(num_shards, len(sizes))
    assert sorted(item.name for shard in shards for item in shard) == [item.name for item in bindings]
    assert all([item.name for item in shard] == sorted(item.name for item in shard) for shard in shards)
    totals = [total(shard) for shard in shards]
    assert max(totals) - min(totals) <= max(sizes)


def test_no_file_is_empty_unless_there_is_nothing() -> None:
    assert balanced([], 4) == [[]]
    assert [len(shard) for shard in balanced(sized(1, 2), 4)] == [1, 1]


def test_slices_of_one_tensor_stay_together() -> None:
    parts = []
    for start in range(0, 40, 10):
        item = binding("sliced", np.zeros(10, np.uint8))
        object.__setattr__(item, "full_shape", (40,))
        object.__setattr__(item, "tensor_slice", TensorSlice(((start, 10),)))
        parts.append(item)
    shards = balanced([*sized(40), *parts], 2)
    assert sorted(len(shard) for shard in shards) == [1, 4]


def test_order_lets_files_grow_alike() -> None:
    shards = balanced(sized(*range(1, 200)), 3)
    written: Counter[int] = Counter()
    seen: list[list[Any]] = [[], [], []]
    for shard_id, item in side_by_side(shards):
        seen[shard_id].append(item)
        written[shard_id] += total([item])
        assert max(written.values()) - min(written[number] for number in range(3)) <= 2 * 199
    assert seen == shards


def test_values_that_are_there_are_placed_by_their_own_shards(tmp_path: pathlib.Path) -> None:
    path = str(tmp_path / "model")
    bindings = sized(*range(1, 100), 5000)
    begin_save(Session(), balanced(bindings, 3), path, path, SaveOptions(durable=False), held=False)()
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *(f"model.data-{number:05d}-of-00003" for number in range(3)),
        "model.index",
    ]
    assert verify(path).ok
    with BundleReader(path) as reader:
        for item in bindings:
            np.testing.assert_array_equal(reader.read(item.name), np.asarray(item.variable.tensor))
        assert {reader.entry(item.name).shard_id for item in bindings} == {0, 1, 2}


def test_failure_in_one_file_leaves_none(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writes = []
    write = os.writev

    def fail_later(descriptor: int, pieces: Any) -> int:
        writes.append(descriptor)
        if len(writes) == 3:
            raise OSError(28, "No space left on device")
        return write(descriptor, pieces)

    monkeypatch.setattr(os, "writev", fail_later)
    path = str(tmp_path / "model")
    # TensorFlow's class of it where TensorFlow is in use.
    with pytest.raises(Exception, match="No space"):
        begin_save(Session(), balanced(sized(*[5 << 20] * 6), 2), path, path, SaveOptions(durable=False), held=False)()
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def model(tf: Any, session: Any) -> dict[str, Any]:
    """Variables of several kinds, one of them partitioned, and their values."""
    v1 = tf.compat.v1
    for index in range(20):
        v1.get_variable(f"v{index}", initializer=np.full(1000 + index, index, np.float32), use_resource=index % 2 == 0)
    v1.get_variable("parts", [300, 10], initializer=v1.ones_initializer(), partitioner=v1.fixed_size_partitioner(3))
    session.run(v1.global_variables_initializer())
    values = {f"v{index}": np.full(1000 + index, index, np.float32) for index in range(20)}
    return {**values, "parts": np.ones((300, 10), np.float32)}


@pytest.mark.parametrize("blocking", [True, False])
def test_saver_writes_as_many_files_as_asked_for(
    tf: Any, session: Any, model: dict[str, Any], blocking: bool, tmp_path: pathlib.Path
) -> None:
    saver = Saver(durable=False, num_data_shards=2, max_to_keep=1)
    for step in range(2):
        path = saver.save(session, str(tmp_path / "model"), global_step=step, blocking=blocking)
    saver.wait()
    assert path is not None
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "checkpoint",
        "model-1.data-00000-of-00002",
        "model-1.data-00001-of-00002",
        "model-1.index",
        "model-1.meta",
    ]
    sizes = [os.path.getsize(f"{path}.data-0000{number}-of-00002") for number in range(2)]
    assert max(sizes) < 1.2 * min(sizes)
    assert verify(path).ok
    with load_checkpoint(path) as reader:
        for name, value in model.items():
            np.testing.assert_array_equal(reader[name], value)
    session.run([variable.assign(tf.zeros_like(variable)) for variable in tf.compat.v1.global_variables()])
    saver.restore(session, path)
    for variable in tf.compat.v1.global_variables():
        if not variable.op.name.startswith("parts"):
            np.testing.assert_array_equal(session.run(variable), model[variable.op.name])


def test_installed_tensorflow_reads_it(tf: Any, session: Any, model: dict[str, Any], tmp_path: pathlib.Path) -> None:
    path = Saver(durable=False, num_data_shards=3).save(session, str(tmp_path / "model"))
    reader = tf.train.load_checkpoint(path)
    for name, value in model.items():
        np.testing.assert_array_equal(reader.get_tensor(name), value)
    theirs = tf.compat.v1.train.Saver()
    before = session.run(tf.compat.v1.global_variables())
    session.run([variable.assign(tf.zeros_like(variable)) for variable in tf.compat.v1.global_variables()])
    theirs.restore(session, path)
    for found, value in zip(session.run(tf.compat.v1.global_variables()), before, strict=True):
        np.testing.assert_array_equal(found, value)


def test_tensorflow_1_reads_it(session: Any, model: dict[str, Any], tmp_path: pathlib.Path) -> None:
    root = pathlib.Path(__file__).parents[2]
    python = pathlib.Path(os.environ.get("TFSAVER_TF115_PYTHON") or root / ".venv-tf115" / "bin" / "python")
    if not python.exists():
        pytest.skip(f"needs tensorflow-1.15: nothing at {python}; where there is a Python 3.7, `make interop-env` makes it")
    path = Saver(durable=False, num_data_shards=2).save(session, str(tmp_path / "model"))
    assert path is not None
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        [str(python), "-c", _READ_BY_TENSORFLOW_1, path],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=tmp_path,
        env={**environment, "CUDA_VISIBLE_DEVICES": "-1", "PYTHONWARNINGS": "ignore"},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    sums = json.loads(done.stdout)
    assert sums == {name: float(value.sum()) for name, value in model.items()}


def test_contradictions_are_errors(tf: Any, session: Any, model: dict[str, Any]) -> None:
    for options in ({"sharded": True}, {"write_version": tf.compat.v1.train.SaverDef.V1}):
        with pytest.raises(InvalidArgumentError, match="num_data_shards=2"):
            Saver(num_data_shards=2, **options)
    with pytest.raises(InvalidArgumentError, match="at least 1"):
        Saver(num_data_shards=0)


def test_ten_thousand_small_variables_take_few_writes(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: Counter[str] = Counter()
    for name in ("write", "writev"):
        original = getattr(os, name)

        def counted(descriptor: int, data: Any, name: str = name, original: Any = original) -> int:
            calls[name] += 1
            count: int = original(descriptor, data)
            return count

        monkeypatch.setattr(os, name, counted)
    bindings = [binding(f"layer/{index:05d}/kernel", np.full(100, index, np.float32)) for index in range(10_000)]
    for num_shards in (1, 2):
        calls.clear()
        path = str(tmp_path / f"model{num_shards}")
        begin_save(Session(), balanced(bindings, num_shards), path, path, SaveOptions(durable=False), held=False)()
        # 10,000 values in runs of hundreds, and the blocks of the index.
        assert calls["writev"] <= 50
        assert calls["writev"] + calls["write"] <= 500
        assert verify(path).ok
