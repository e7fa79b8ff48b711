"""Checkpoints of objects that were edited as files: tf.train.Checkpoint restores them, and nothing is left over."""

from __future__ import annotations

import pathlib
from typing import Any

import numpy as np
import pytest

import tfsaver
from tfsaver import Selection, load_checkpoint
from tfsaver.checkpoint.objects.object_graph import read_object_graph

VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"


def layer(tf: Any, seed: int) -> Any:
    """An object with two variables."""
    module = tf.Module()
    generator = np.random.default_rng(seed)
    module.w = tf.Variable(generator.normal(size=(3, 4)).astype(np.float32), name="dense/kernel")
    module.b = tf.Variable(generator.normal(size=4).astype(np.float32), name="dense/bias")
    return module


def network(tf: Any, seed: int = 0) -> Any:
    """Two layers, one of them also on another path, and an object without values."""
    net = tf.Module()
    net.body = layer(tf, seed)
    net.head = layer(tf, seed + 100)
    net.layers = [net.body, net.head]
    net.dropout = tf.Module()
    return net


def trained(tf: Any, prefix: pathlib.Path, seed: int = 0) -> tuple[str, Any, Any]:
    """A checkpoint of a network and an optimizer with slots, whose values are no zeros; and the objects."""
    net = network(tf, seed)
    optimizer = tf.compat.v1.train.AdamOptimizer(0.1)
    variables = [net.body.w, net.body.b, net.head.w, net.head.b]
    optimizer.apply_gradients([(tf.ones_like(variable) * (seed + 1), variable) for variable in variables])
    path = tf.train.Checkpoint(net=net, opt=optimizer).save(str(prefix))
    return path, net, optimizer


def with_slots(tf: Any, net: Any) -> Any:
    """A new optimizer that has made its slots, so that a restore must find them."""
    optimizer = tf.compat.v1.train.AdamOptimizer(0.1)
    variables = [net.body.w, net.body.b, net.head.w, net.head.b]
    optimizer.apply_gradients([(tf.zeros_like(variable), variable) for variable in variables])
    return optimizer


def assert_equal(one: Any, other: Any) -> None:
    for name in ("w", "b"):
        np.testing.assert_array_equal(getattr(one, name).numpy(), getattr(other, name).numpy())


def consumed(tf: Any, path: str | None, **objects: Any) -> Any:
    """Restores, and asserts that everything on both sides was."""
    assert path is not None
    checkpoint = tf.train.Checkpoint(**objects)
    status = checkpoint.restore(path)
    status.assert_consumed()
    status.assert_existing_objects_matched()
    return checkpoint


def test_stripped_checkpoint_is_a_whole_one_of_the_model(tf: Any, tmp_path: pathlib.Path) -> None:
    path, net, _ = trained(tf, tmp_path / "ckpt")
    report = tfsaver.strip(path, tmp_path / "stripped")
    slots = {name.rpartition(".OPTIMIZER_SLOT/")[2] for name in report.left_out if "_SLOT" in name}
    assert slots == {f"opt/m{VALUE}", f"opt/v{VALUE}"}
    new = network(tf, 7)
    checkpoint = consumed(tf, report.target, net=new)
    assert_equal(new.body, net.body)
    assert_equal(new.head, net.head)
    assert int(checkpoint.save_counter) == 1
    graph = read_object_graph(load_checkpoint(tmp_path / "stripped"))
    assert graph is not None
    assert not any(node.slots for node in graph.nodes)
    assert ("net", "dropout") in graph.paths().values()


def test_keras_3_model_and_optimizer_are_stripped(tf: Any, tmp_path: pathlib.Path) -> None:
    keras = pytest.importorskip("keras")

    def made() -> Any:
        model = keras.Sequential([keras.layers.Dense(4), keras.layers.Dropout(0.5), keras.layers.Dense(2)])
        model.build((None, 3))
        return model

    model = made()
    optimizer = keras.optimizers.Adam(0.1)
    optimizer.build(model.trainable_variables)
    path = tf.train.Checkpoint(model=model, optimizer=optimizer).save(str(tmp_path / "ckpt"))
    report = tfsaver.strip(path, tmp_path / "stripped")
    assert report.after.num_bytes < report.before.num_bytes
    new = made()
    status = tf.train.Checkpoint(model=new).restore(report.target)
    status.assert_existing_objects_matched()
    for variable, old in zip(new.trainable_variables, model.trainable_variables, strict=True):
        np.testing.assert_array_equal(variable.numpy(), old.numpy())


def test_selected_objects_restore_by_themselves(tf: Any, tmp_path: pathlib.Path) -> None:
    path, net, _ = trained(tf, tmp_path / "ckpt")
    report = tfsaver.select(path, tmp_path / "body", Selection(include="^net/body/", without_optimizer=True))
    new = tf.Module()
    new.body = layer(tf, 5)
    consumed(tf, report.target, net=new)
    assert_equal(new.body, net.body)


def test_selected_variable_keeps_its_slots(tf: Any, tmp_path: pathlib.Path) -> None:
    path, net, optimizer = trained(tf, tmp_path / "ckpt")
    report = tfsaver.select(path, tmp_path / "some", Selection(exclude="^net/head/"))
    new = network(tf, 5)
    fresh = with_slots(tf, new)
    status = tf.train.Checkpoint(net=new, opt=fresh).restore(report.target)
    status.expect_partial()
    np.testing.assert_array_equal(fresh.get_slot(new.body.w, "m").numpy(), optimizer.get_slot(net.body.w, "m").numpy())
    assert_equal(new.body, net.body)
    # What is not in the file stays what it was.
    assert_equal(new.head, network(tf, 5).head)


def test_renamed_objects_restore_under_their_new_names(tf: Any, tmp_path: pathlib.Path) -> None:
    path, net, optimizer = trained(tf, tmp_path / "ckpt")
    report = tfsaver.rename(path, tmp_path / "renamed", [("^net/", "model/"), ("^opt/", "optimizer/")])
    new = network(tf, 7)
    fresh = with_slots(tf, new)
    consumed(tf, report.target, model=new, optimizer=fresh)
    assert_equal(new.body, net.body)
    assert_equal(new.head, net.head)
    for slot in ("m", "v"):
        np.testing.assert_array_equal(fresh.get_slot(new.head.b, slot).numpy(), optimizer.get_slot(net.head.b, slot).numpy())
    with load_checkpoint(tmp_path / "renamed") as reader:
        assert f"model/head/b/.OPTIMIZER_SLOT/optimizer/m{VALUE}" in reader
        assert not any(name.startswith(("net/", "opt/")) for name in reader)


def test_objects_may_move_into_others_and_out_of_them(tf: Any, tmp_path: pathlib.Path) -> None:
    net = tf.Module()
    net.inner = layer(tf, 1)
    path = tf.train.Checkpoint(net=net, single=layer(tf, 2)).save(str(tmp_path / "ckpt"))
    report = tfsaver.rename(path, tmp_path / "renamed", [("^net/inner/", ""), ("^single/", "wrapped/deep/")])
    root = tf.train.Checkpoint(w=tf.Variable(tf.zeros((3, 4))), b=tf.Variable(tf.zeros(4)))
    wrapped = tf.Module()
    wrapped.deep = layer(tf, 9)
    root.wrapped = wrapped
    status = root.restore(report.target)
    status.assert_consumed()
    np.testing.assert_array_equal(root.w.numpy(), net.inner.w.numpy())
    assert_equal(wrapped.deep, layer(tf, 2))


def test_two_objects_change_places(tf: Any, tmp_path: pathlib.Path) -> None:
    path, net, optimizer = trained(tf, tmp_path / "ckpt")
    mapping = {
        "net/body/w": "net/head/w",
        "net/body/b": "net/head/b",
        "net/head/w": "net/body/w",
        "net/head/b": "net/body/b",
    }
    report = tfsaver.rename(path, tmp_path / "renamed", mapping)
    new = tf.Module()
    new.body, new.head = layer(tf, 5), layer(tf, 6)
    optimizer_of_new = with_slots(tf, new)
    status = tf.train.Checkpoint(net=new, opt=optimizer_of_new).restore(report.target)
    status.assert_existing_objects_matched()
    assert_equal(new.body, net.head)
    assert_equal(new.head, net.body)
    np.testing.assert_array_equal(
        optimizer_of_new.get_slot(new.head.w, "m").numpy(), optimizer.get_slot(net.body.w, "m").numpy()
    )


def test_one_tensor_becomes_two_objects(tf: Any, tmp_path: pathlib.Path) -> None:
    source = layer(tf, 3)
    path = tf.train.Checkpoint(a=source).save(str(tmp_path / "ckpt"))
    report = tfsaver.rename(path, tmp_path / "copies", {"a/w": ["a/w", "copy/w"], "a/b": None})
    a, copy = tf.Module(), tf.Module()
    a.w, copy.w = tf.Variable(tf.zeros((3, 4))), tf.Variable(tf.zeros((3, 4)))
    consumed(tf, report.target, a=a, copy=copy)
    np.testing.assert_array_equal(a.w.numpy(), source.w.numpy())
    np.testing.assert_array_equal(copy.w.numpy(), source.w.numpy())


def test_names_with_dots_and_slashes_are_renamed(tf: Any, tmp_path: pathlib.Path) -> None:
    path = tf.train.Checkpoint(weights={"a/b.c": tf.Variable([1.0, 2.0])}).save(str(tmp_path / "ckpt"))
    with load_checkpoint(path) as reader:
        assert f"weights/a.Sb..c{VALUE}" in reader
    report = tfsaver.rename(path, tmp_path / "renamed", {"weights/a.Sb..c": "weights/d.Se"})
    variable = tf.Variable([0.0, 0.0])
    consumed(tf, report.target, weights={"d/e": variable})
    assert variable.numpy().tolist() == [1.0, 2.0]


def test_transposed_slots_follow_their_variable(tf: Any, tmp_path: pathlib.Path) -> None:
    path, net, optimizer = trained(tf, tmp_path / "ckpt")
    report = tfsaver.rename(path, tmp_path / "turned", [("^net/(body|head)/w$", r"net/\1/turned", True)])
    with load_checkpoint(report.target or "") as reader:
        np.testing.assert_array_equal(reader[f"net/body/turned{VALUE}"], net.body.w.numpy().T)
        np.testing.assert_array_equal(
            reader[f"net/body/turned/.OPTIMIZER_SLOT/opt/v{VALUE}"], optimizer.get_slot(net.body.w, "v").numpy().T
        )


def test_mean_of_checkpoints_restores_everything(tf: Any, tmp_path: pathlib.Path) -> None:
    runs = [trained(tf, tmp_path / f"run{seed}", seed) for seed in range(3)]
    report = tfsaver.average([path for path, _, _ in runs], tmp_path / "mean")
    new = network(tf, 9)
    optimizer = with_slots(tf, new)
    consumed(tf, report.target, net=new, opt=optimizer)
    expected = np.mean([net.head.w.numpy().astype(np.float64) for _, net, _ in runs], axis=0).astype(np.float32)
    np.testing.assert_array_equal(new.head.w.numpy(), expected)
    slots = [optimizer.get_slot(net.body.b, "m").numpy().astype(np.float64) for _, net, optimizer in runs]
    np.testing.assert_array_equal(optimizer.get_slot(new.body.b, "m").numpy(), np.mean(slots, axis=0).astype(np.float32))


def test_cast_checkpoint_restores_into_variables_of_the_type(tf: Any, tmp_path: pathlib.Path) -> None:
    path = tf.train.Checkpoint(a=layer(tf, 3)).save(str(tmp_path / "ckpt"))
    report = tfsaver.cast(path, tmp_path / "half", "bfloat16")
    a = tf.Module()
    a.w, a.b = tf.Variable(tf.zeros((3, 4), tf.bfloat16)), tf.Variable(tf.zeros(4, tf.bfloat16))
    consumed(tf, report.target, a=a)
    np.testing.assert_array_equal(a.w.numpy(), tf.cast(layer(tf, 3).w, tf.bfloat16).numpy())


def test_merged_checkpoints_restore_into_both_models(tf: Any, tmp_path: pathlib.Path) -> None:
    first, net, optimizer = trained(tf, tmp_path / "first")
    other = layer(tf, 50)
    checkpoint = tf.train.Checkpoint(other=other)
    checkpoint.save(str(tmp_path / "second"))
    second = checkpoint.save(str(tmp_path / "second"))
    report = tfsaver.merge([first, second], tmp_path / "both")
    new, fresh = network(tf, 9), layer(tf, 9)
    slots = with_slots(tf, new)
    restored = consumed(tf, report.target, net=new, opt=slots, other=fresh)
    assert_equal(new.body, net.body)
    assert_equal(fresh, other)
    assert int(restored.save_counter) == 2
    np.testing.assert_array_equal(slots.get_slot(new.head.w, "v").numpy(), optimizer.get_slot(net.head.w, "v").numpy())


def test_split_checkpoint_restores_part_by_part(tf: Any, tmp_path: pathlib.Path) -> None:
    path, net, _ = trained(tf, tmp_path / "ckpt")
    stripped = tfsaver.strip(path, tmp_path / "stripped").target
    tfsaver.split(stripped, {str(tmp_path / "body"): "^net/body/"}, rest=tmp_path / "rest")
    body, head = tf.Module(), tf.Module()
    body.body, head.head = layer(tf, 7), layer(tf, 8)
    consumed(tf, str(tmp_path / "body"), net=body)
    consumed(tf, str(tmp_path / "rest"), net=head)
    assert_equal(body.body, net.body)
    assert_equal(head.head, net.head)
    merged = tfsaver.merge([tmp_path / "rest", tmp_path / "body"], tmp_path / "again")
    assert merged.target is not None
    new = network(tf, 9)
    consumed(tf, merged.target, net=new)
    assert_equal(new.head, net.head)


def test_table_of_objects_is_pruned_and_renamed(tf: Any, tmp_path: pathlib.Path) -> None:
    def table() -> Any:
        return tf.lookup.experimental.MutableHashTable(tf.string, tf.int64, -1)

    words = table()
    words.insert(tf.constant(["a", "b"]), tf.constant([1, 2], tf.int64))
    path = tf.train.Checkpoint(words=words, v=tf.Variable(1.0)).save(str(tmp_path / "ckpt"))
    renamed = tfsaver.rename(path, tmp_path / "renamed", [("^words", "vocabulary")])
    other = table()
    consumed(tf, renamed.target, vocabulary=other, v=tf.Variable(0.0))
    assert other.lookup(tf.constant(["b"])).numpy().tolist() == [2]
    rest = tfsaver.select(path, tmp_path / "rest", Selection(exclude="^words"))
    variable = tf.Variable(0.0)
    consumed(tf, rest.target, v=variable)
    assert float(variable) == 1.0


def test_sharded_variables_of_objects_keep_their_slices(tf: Any, tmp_path: pathlib.Path) -> None:
    policy = getattr(tf.train.experimental, "MaxShardSizePolicy", None)
    if policy is None:
        pytest.skip("this TensorFlow does not cut variables")
    options = tf.train.CheckpointOptions(experimental_sharding_callback=policy(max_shard_size=1024))
    value = np.arange(2000, dtype=np.float32).reshape(100, 20)
    path = tf.train.Checkpoint(v=tf.Variable(value)).save(str(tmp_path / "ckpt"), options)
    with load_checkpoint(path) as reader:
        assert reader.info(f"v{VALUE}").slices
    for verb, arguments, keys in (
        ("reshard", {"num_shards": 2}, "v"),
        ("rename", {"mapping": {"v": "u"}}, "u"),
        ("average", {}, "v"),
    ):
        source: Any = [path, path] if verb == "average" else path
        prefix = getattr(tfsaver, verb)(source, tmp_path / verb, **arguments).target
        with load_checkpoint(prefix) as reader:
            assert len(reader.info(f"{keys}{VALUE}").slices) > 1
        variable = tf.Variable(np.zeros_like(value))
        consumed(tf, prefix, **{keys: variable})
        np.testing.assert_array_equal(variable.numpy(), value)
