"""TensorFlow restores our trees, and its checkpoints are trees to us."""

from __future__ import annotations

import pathlib
from collections import OrderedDict, namedtuple
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import tfsaver

tf = pytest.importorskip("tensorflow", minversion="2.0")

Point = namedtuple("Point", "x y")

TREE: dict[str, Any] = {
    "model": {
        "layers": [{"w": np.arange(6.0, dtype=np.float32).reshape(2, 3)}, {"w": np.ones((3, 1), ml_dtypes.bfloat16)}],
        "a/b.c": np.int64(3),
        "pair": (np.ones(2), np.zeros(3, np.int8)),
        "point": Point(np.ones(1), np.full(2, 7, np.uint8)),
        "empty": {},
    },
    "0.weight": np.full((2, 2), 1 + 2j, np.complex64),
    "flags": np.array([True, False]),
    "epoch": 3,
    "note": "for people",
}


def variables(tree: Any) -> Any:
    """The same nest, of variables without the values; of Python's own values none."""
    if isinstance(tree, dict):
        return {key: variables(item) for key, item in tree.items() if not isinstance(item, int | str)}
    if hasattr(tree, "_fields"):
        return type(tree)(*map(variables, tree))
    if isinstance(tree, list | tuple):
        return type(tree)(map(variables, tree))
    return tf.Variable(tf.zeros(np.shape(tree), tree.dtype))


def assert_equal(found: Any, expected: Any) -> None:
    if isinstance(found, dict):
        for key in found:
            assert_equal(found[key], expected[key])
    elif isinstance(found, list | tuple):
        for pair in zip(found, expected, strict=True):
            assert_equal(*pair)
    else:
        assert found.numpy().tobytes() == np.asarray(expected).tobytes()


def test_checkpoint_restores_a_tree_and_misses_nothing(tmp_path: pathlib.Path) -> None:
    prefix = tfsaver.save(TREE, tmp_path / "tree")
    target = variables(TREE)
    checkpoint = tf.train.Checkpoint(**target)
    status = checkpoint.restore(prefix)
    status.assert_consumed()
    status.assert_existing_objects_matched()
    assert_equal(target, TREE)
    assert int(checkpoint.save_counter) == 1
    assert checkpoint.save(str(tmp_path / "next")).endswith("next-2")


def test_checkpoint_restores_tied_variables_and_a_root_of_its_own(tmp_path: pathlib.Path) -> None:
    weight = np.ones(3, np.float32)
    prefix = tfsaver.save({"embed": {"w": weight}, "head": weight}, tmp_path / "tied")
    tied = tf.Variable(tf.zeros(3))
    tf.train.Checkpoint(embed={"w": tied}, head=tied).restore(prefix).assert_consumed()
    assert tied.numpy().tolist() == [1, 1, 1]
    alone = tf.Variable([5.0])
    tf.train.Checkpoint(alone).restore(tfsaver.save(weight[:1], tmp_path / "alone")).assert_consumed()
    assert alone.numpy().tolist() == [1]


def test_torch_like_state_dict_restores_by_its_keys(tmp_path: pathlib.Path) -> None:
    state = OrderedDict([("1.weight", np.ones((2, 3))), ("0.bias", np.zeros(2))])
    target = tf.train.Checkpoint(**variables(state))
    target.restore(tfsaver.save(state, tmp_path / "state")).assert_consumed()
    assert getattr(target, "1.weight").numpy().tolist() == state["1.weight"].tolist()


def test_tensorflow_lists_and_reads_the_tensors(tmp_path: pathlib.Path) -> None:
    prefix = tfsaver.save(TREE, tmp_path / "tree", num_shards=2)
    reader = tf.train.load_checkpoint(prefix)
    shapes = reader.get_variable_to_shape_map()
    assert shapes["model/layers/0/w/.ATTRIBUTES/VARIABLE_VALUE"] == [2, 3]
    assert sorted(shapes.items()) == tfsaver.list_variables(prefix)
    for name in shapes:
        assert np.asarray(reader.get_tensor(name)).tobytes() == np.asarray(
            tfsaver.load_variable(prefix, name)
        ).tobytes() or (name.startswith("_"))


@pytest.mark.parametrize("is_saved", [True, False])
def test_checkpoint_of_tensorflow_is_the_tree_it_was_written_from(is_saved: bool, tmp_path: pathlib.Path) -> None:
    target = variables(TREE)
    tf.train.Checkpoint(**target).restore(tfsaver.save(TREE, tmp_path / "ours"))
    theirs = tf.train.Checkpoint(**target)
    prefix = theirs.save(str(tmp_path / "theirs")) if is_saved else theirs.write(str(tmp_path / "theirs"))
    loaded = tfsaver.load(prefix)
    assert set(loaded) == set(target)
    assert isinstance(loaded["model"]["layers"], list) and isinstance(loaded["model"]["pair"], list)
    assert loaded["model"]["a/b.c"].tolist() == 3 and loaded["model"]["empty"] == {}
    assert loaded["model"]["layers"][1]["w"].tobytes() == TREE["model"]["layers"][1]["w"].tobytes()
    assert loaded["model"]["point"]["x"] is loaded["model"]["point"]["0"]
    assert loaded["flags"].tolist() == [True, False]


def test_tensors_and_variables_of_tensorflow_are_saved_and_come_back_as_arrays(tmp_path: pathlib.Path) -> None:
    variable = tf.Variable([[1.0, 2.0]])
    tree = {
        "v": variable,
        "again": variable,
        "t": tf.constant([1, 2]),
        "s": tf.constant(["a", b"\xff"]),
        "h": tf.cast(1.5, tf.bfloat16),
    }
    loaded = tfsaver.load(tfsaver.save(tree, tmp_path / "tree"))
    assert loaded["v"].tolist() == [[1, 2]] and loaded["v"] is loaded["again"]
    assert loaded["t"].dtype == np.int32 and loaded["s"].tolist() == [b"a", b"\xff"] and loaded["h"] == 1.5
    keras = pytest.importorskip("keras", minversion="3")
    assert tfsaver.load(tfsaver.save([keras.Variable([3.0])], tmp_path / "keras"))[0].tolist() == [3.0]


def test_keras_model_and_its_optimizer_are_all_in_the_tree(tmp_path: pathlib.Path) -> None:
    keras = pytest.importorskip("keras", minversion="3")
    model = keras.Sequential([keras.layers.Input([3]), keras.layers.Dense(2, name="first"), keras.layers.Dense(1)])
    model.compile("adam", "mse")
    model.fit(np.ones((4, 3)), np.ones((4, 1)), verbose=0)
    prefix = tf.train.Checkpoint(net=model, trainer=model.optimizer).write(str(tmp_path / "objects"))
    loaded = tfsaver.load(prefix)
    waiting, arrays = [loaded], []
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict | list):
            waiting += item.values() if isinstance(item, dict) else item
        else:
            arrays.append(item)
    found = {array.tobytes() for array in arrays}
    for variable in [*model.variables, *model.optimizer.variables]:
        assert variable.numpy().tobytes() in found, variable.path
    kernels = tfsaver.load(prefix, select="kernel$", mapping=lambda name: name.split("/", 1)[1])
    assert {array.shape for array in kernels.values()} == {(3, 2), (2, 1)}
