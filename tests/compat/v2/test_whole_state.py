"""Everything that a target has is restored, or named: copies, numbers outside of a scope, tables and iterators."""

from __future__ import annotations

import pathlib
from typing import Any

import numpy as np
import pytest

import tfsaver
from tfsaver.errors import RestoreError


def _saved_twice(tf: Any, tmp_path: pathlib.Path, second: float) -> str:
    """What Keras 3's export makes: two lists with other objects for the same variables."""
    one, two = ([tf.Variable([1.0, value], name="dense/kernel")] for value in (2.0, second))
    path: str = tf.train.Checkpoint(_all_variables=one, variables=two).write(str(tmp_path / "twice"))
    return path


def test_copies_of_a_variable_are_one(tf: Any, tmp_path: pathlib.Path) -> None:
    variable = tf.Variable([0.0, 0.0])
    tfsaver.restore({"dense/kernel": variable}, _saved_twice(tf, tmp_path, 2.0))
    assert variable.numpy().tolist() == [1, 2]


def test_variables_of_one_name_that_differ_in_a_bit_stay_ambiguous(tf: Any, tmp_path: pathlib.Path) -> None:
    variable = tf.Variable([0.0, 0.0])
    with pytest.raises(RestoreError, match="several tensors have its name"):
        tfsaver.restore({"dense/kernel": variable}, _saved_twice(tf, tmp_path, np.nextafter(np.float32(2), np.float32(3))))


def test_scope_keeps_the_numbers_that_belong_to_all_scopes(tf: Any) -> None:
    model = tf.keras.Sequential([tf.keras.Input([2]), tf.keras.layers.Dense(3, name="a")], name="net")
    optimizer = tf.keras.optimizers.Adam()
    optimizer.build(model.trainable_variables)
    rows = np.arange(6, dtype=np.float32).reshape(2, 3)
    tensors: dict[str, Any] = {"actor/a/kernel": rows, "actor/a/bias": rows[0], "critic/a/kernel": -rows, "other": rows}
    for number, word in enumerate(("Adam", "Adam_1"), 1):
        tensors |= {f"actor/a/kernel/{word}": rows + number, f"actor/a/bias/{word}": rows[0] + number}
    steps = {"beta1_power": np.float32(0.9**7), "beta2_power": np.float32(0.999**7), "global_step": np.int64(7)}
    report = tfsaver.restore({"model": model, "optimizer": optimizer}, {**tensors, **steps}, scope="actor")
    assert report.ok and int(optimizer.iterations) == 7 and "other" not in report.unexpected
    np.testing.assert_array_equal(model.layers[0].kernel, rows)
    without = tfsaver.restore({"model": model, "optimizer": optimizer}, tensors, scope="actor", strict=False)
    # Keras 3 puts the optimizer's name before it, and numbers the optimizers of a process.
    assert [item.name.rpartition("/")[2] for item in without.missing] == ["iteration"]


def _stateful(tf: Any) -> Any:
    root = tf.train.Checkpoint(v=tf.Variable(0.0))
    root.words = tf.lookup.experimental.MutableHashTable(tf.string, tf.int64, -1)
    root.inner = tf.train.Checkpoint(examples=iter(tf.data.Dataset.range(9)), generator=tf.random.Generator.from_seed(1))
    root.tables = [tf.lookup.experimental.DenseHashTable(tf.int64, tf.float32, -1, empty_key=-1, deleted_key=-2)]
    return root


def test_tables_iterators_and_generators_get_their_state(tf: Any, tmp_path: pathlib.Path) -> None:
    old, new = _stateful(tf), _stateful(tf)
    old.words.insert(["a", "b"], [1, 2])
    old.tables[0].insert([5], [2.5])
    next(old.inner.examples), next(old.inner.examples)
    path = old.write(str(tmp_path / "state"))
    old.inner.generator.normal([3])
    new.words.insert(["c"], [9])
    # The generator's number was read before: TensorFlow writes it as it was.
    assert tfsaver.restore(new, path).ok and tfsaver.compare(new, path)
    assert new.words.lookup(tf.constant(["a", "b", "c"])).numpy().tolist() == [1, 2, -1]
    assert float(new.tables[0].lookup(tf.constant(5, tf.int64))) == 2.5 and int(next(new.inner.examples)) == 2
    tf.train.Checkpoint(new).restore(path)
    assert not tfsaver.restore({"v": new.v}, path).left
    new.words.insert(["a"], [7])
    assert [item.name for item in tfsaver.compare(new, path).different] == ["words-values"]


def test_strict_restore_needs_the_state_of_every_object(tf: Any, tmp_path: pathlib.Path) -> None:
    path = tf.train.Checkpoint(v=tf.Variable(1.0)).write(str(tmp_path / "without"))
    root = _stateful(tf)
    with pytest.raises(RestoreError, match="words-keys"):
        tfsaver.restore(root, path)
    assert float(root.v) == 0
    report = tfsaver.restore(root, {"v": np.float32(3), "StateVar": np.zeros(3, np.int64)})
    assert {"words-keys", "words-values"} < set(report.left) and float(root.v) == 3


def test_part_of_the_state_of_an_object_changes_nothing(tf: Any, tmp_path: pathlib.Path) -> None:
    root = tf.train.Checkpoint(words=tf.lookup.experimental.MutableHashTable(tf.string, tf.int64, -1))
    keys = {"words-keys": np.array([b"a"], object)}
    report = tfsaver.restore(root, keys, strict=False)
    assert report.withheld == ("words-keys",) and int(root.words.size()) == 0


def test_normalization_computes_with_what_was_restored(tf: Any) -> None:
    layer = tf.keras.layers.Normalization(name="n")
    model = tf.keras.Sequential([tf.keras.Input([1]), layer], name="net")
    values = {"n/mean": np.float32([2]), "n/variance": np.float32([4]), "n/count": np.int32(1)}
    own = {variable.name.rpartition("/")[2]: variable for variable in model.weights}
    tensors = {f"n/{name}": values[f"n/{name.partition(':')[0]}"].astype(np.asarray(own[name]).dtype) for name in own}
    assert tfsaver.restore(model, tensors).ok
    assert model.predict(np.float32([[4]]), verbose=0).tolist() == [[1]]


@pytest.mark.parametrize("kind", ["Adafactor", "Muon", "Nadam", "Lion"])
def test_what_only_an_optimizer_numbers_is_restored(tf: Any, tmp_path: pathlib.Path, kind: str) -> None:
    keras = tf.keras
    if not hasattr(keras, "Variable") or not hasattr(keras.optimizers, kind):
        pytest.skip(f"needs Keras 3 with {kind}")

    class Blocks(keras.Model):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__(name="net")
            self.blocks = [keras.layers.Dense(3) for _ in range(2)]

        def call(self, inputs: Any) -> Any:
            return self.blocks[1](self.blocks[0](inputs))

    def made() -> tuple[Any, Any]:
        model = Blocks()
        model(np.zeros([1, 3], np.float32))
        optimizer = getattr(keras.optimizers, kind)()
        optimizer.build(model.trainable_variables)
        return model, optimizer

    old_model, old = made()
    for _ in range(3):
        old.apply([value * 0.5 + 1 for value in old_model.trainable_variables])
    path = tf.train.Checkpoint(model=old_model, optimizer=old).write(str(tmp_path / "state"))
    model, optimizer = made()
    assert tfsaver.restore({"model": model, "optimizer": optimizer}, path).ok
    pairs = [*zip(old_model.weights, model.weights, strict=True), *zip(old.variables, optimizer.variables, strict=True)]
    assert all(np.array_equal(one.numpy(), other.numpy()) for one, other in pairs)
    if kind == "Nadam":
        assert float(optimizer._u_product) == float(old._u_product) != 1
        # Another program's optimizer says the steps, and not their product.
        optimizer._u_product.assign(1)
        tensors = {optimizer.iterations.path: np.asarray(old.iterations)}
        tfsaver.restore({"optimizer": optimizer}, tensors, strict=False)
        np.testing.assert_allclose(float(optimizer._u_product), float(old._u_product), rtol=1e-6)


def test_scope_of_objects_keeps_the_optimizer_beside_them(tf: Any, tmp_path: pathlib.Path) -> None:
    keras = tf.keras

    def made() -> tuple[Any, Any]:
        model = keras.Sequential([keras.Input([2]), keras.layers.Dense(3, name="a")], name="net")
        optimizer = keras.optimizers.Adagrad(0.5)
        optimizer.build(model.trainable_variables)
        return model, optimizer

    old_model, old = made()
    old.apply_gradients([(value + 1, value) for value in old_model.trainable_variables])
    path = tf.train.Checkpoint(agent=tf.train.Checkpoint(net=old_model), optimizer=old).write(str(tmp_path / "state"))
    model, optimizer = made()
    assert tfsaver.restore({"net": model, "optimizer": optimizer}, path, scope="agent").ok
    assert int(optimizer.iterations) == 1
    np.testing.assert_array_equal(model.layers[0].kernel, old_model.layers[0].kernel)
    variables = [each.variables() if callable(each.variables) else each.variables for each in (old, optimizer)]
    assert all(np.array_equal(one.numpy(), other.numpy()) for one, other in zip(*variables, strict=True))
