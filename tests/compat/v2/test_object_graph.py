"""The objects of a program are described as TensorFlow describes them: byte for byte what tf.train.Checkpoint writes."""

from __future__ import annotations

import importlib.util
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tfsaver import load_checkpoint, save_checkpoint
from tfsaver.checkpoint.objects.object_based import for_objects
from tfsaver.checkpoint.objects.object_graph import OBJECT_GRAPH_KEY
from tfsaver.checkpoint.objects.object_graph_like import SAVE_COUNTER_KEY
from tfsaver.checkpoint.tensor_source import ArraySource
from tfsaver.checkpoint.wanted_tensor import WantedTensor
from tfsaver.compat.v2.object_graph import object_graph_of
from tfsaver.errors import InvalidArgumentError

pytestmark = pytest.mark.filterwarnings("ignore")


def module(tf: Any) -> Any:
    """Lists, dicts and tuples in each other, a variable on several paths, names with / and . in them."""
    made = tf.Module(name="m")
    made.z = tf.Variable([1.0, 2.0], name="zz")
    made.a = tf.Variable(1, name="a/b.c")
    made.value = tf.Variable(True)
    made.items = [tf.Variable(2.0), {"x/y.z": tf.Variable(3.0), "": made.z, ".S": tf.Variable("text")}]
    made.pair = (made.a, tf.Variable(np.ones((2, 0)), dtype=tf.bfloat16))
    made.nothing = tf.Module()
    made.nothing.back = made
    return made


def trained_by_tensorflow(tf: Any) -> dict[str, Any]:
    net = module(tf)
    optimizer = tf.compat.v1.train.AdamOptimizer(0.1)
    optimizer.minimize(lambda: net.z[0] * net.items[0], var_list=[net.z, net.items[0]])
    momentum = tf.compat.v1.train.MomentumOptimizer(0.1, 0.9)
    momentum.minimize(lambda: net.z[0], var_list=[net.z])
    return {"net": net, "optimizer": optimizer, "sgd": [momentum]}


def trained_by_keras(tf: Any) -> dict[str, Any]:
    if importlib.util.find_spec("keras") is None:
        pytest.skip("needs keras: pip install keras")
    keras = tf.keras
    inputs = keras.Input((3,))
    hidden = keras.layers.BatchNormalization()(keras.layers.Dense(4, name="a.b")(inputs))
    model = keras.Model(inputs, keras.layers.Dense(2)(keras.layers.Dropout(0.5)(hidden)))
    model.compile("adam", "mse")
    model.fit(np.ones((2, 3)), np.ones((2, 2)), verbose=0)
    return {"model": model, "optimizer": model.optimizer}


def tables(tf: Any) -> dict[str, Any]:
    table = tf.lookup.experimental.MutableHashTable(tf.string, tf.int64, 0)
    table.insert(tf.constant(["a", "b"]), tf.constant([1, 2], tf.int64))
    return {"table": table, "generator": tf.random.Generator.from_seed(1), "step": tf.Variable(1)}


PROGRAMS = [lambda tf: {"m": module(tf)}, trained_by_tensorflow, trained_by_keras, tables]
NAMES = ["module", "slots", "keras", "tables"]


@pytest.mark.parametrize("program", PROGRAMS, ids=NAMES)
def test_bytes_are_those_that_tensorflow_writes(
    tf: Any, tmp_path: pathlib.Path, program: Callable[[Any], dict[str, Any]]
) -> None:
    objects = program(tf)
    checkpoint = tf.train.Checkpoint(**objects)
    for graph in (object_graph_of(checkpoint), object_graph_of(objects)):
        with load_checkpoint(checkpoint.save(str(tmp_path / "model"))) as reader:
            assert graph.serialize() == reader[OBJECT_GRAPH_KEY].item()
            infos = {name: reader.info(name) for name in reader.names if name != OBJECT_GRAPH_KEY}
        assert graph.tensors.keys() == infos.keys()
        for name, wanted in graph.tensors.items():
            assert wanted.dtype == infos[name].dtype, name
            assert wanted.shape in (None, tuple(infos[name].shape)), name


def test_object_alone_is_the_root(tf: Any, tmp_path: pathlib.Path) -> None:
    net = module(tf)
    more = tf.train.Checkpoint(net, step=tf.Variable(3), a=net.a)
    for target, checkpoint in ((net, tf.train.Checkpoint(net)), (more, more), (net.items, tf.train.Checkpoint(net.items))):
        with load_checkpoint(checkpoint.save(str(tmp_path / "model"))) as reader:
            assert object_graph_of(target).serialize() == reader[OBJECT_GRAPH_KEY].item()


def test_what_tensorflow_does_not_track_is_refused(tf: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="not int"):
        object_graph_of(7)
    with pytest.raises(InvalidArgumentError, match="tf.train.Checkpoint"):
        object_graph_of({"a": object()})


def values_of(wanted: dict[str, WantedTensor], seed: int) -> dict[str, Any]:
    """Other values for all tensors, of their dtypes and shapes."""
    generator = np.random.default_rng(seed)
    made: dict[str, Any] = {}
    for name, tensor in wanted.items():
        shape = (2,) if tensor.shape is None else tuple(size or 0 for size in tensor.shape)
        if tensor.dtype.name == "string":
            made[name] = np.array([f"{name} {index}".encode() for index in range(int(np.prod(shape)))], object).reshape(shape)
        else:
            made[name] = generator.integers(0, 2, shape).astype(tensor.dtype.numpy)
    return made


@pytest.mark.parametrize("program", PROGRAMS, ids=NAMES)
def test_tensorflow_takes_what_is_written_and_leaves_nothing_over(
    tf: Any, tmp_path: pathlib.Path, program: Callable[[Any], dict[str, Any]]
) -> None:
    objects = program(tf)
    graph = object_graph_of(objects)
    values = values_of(graph.tensors, 1)
    with for_objects(ArraySource(values), graph).plan as source:
        prefix = save_checkpoint(source, tmp_path / "ours")
    checkpoint = tf.train.Checkpoint(**objects)
    status = checkpoint.restore(prefix)
    status.assert_consumed()
    status.assert_existing_objects_matched()
    assert int(checkpoint.save_counter) == values[SAVE_COUNTER_KEY]
    # What TensorFlow holds now is what it writes now.
    with load_checkpoint(checkpoint.write(str(tmp_path / "theirs"))) as reader:
        assert reader[OBJECT_GRAPH_KEY] == graph.serialize()
        for name in values:
            if not name.startswith("table/"):
                np.testing.assert_array_equal(reader[name], values[name], err_msg=name)
