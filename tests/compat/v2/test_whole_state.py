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


def test_tables_and_iterators_are_named(tf: Any, tmp_path: pathlib.Path) -> None:
    root = tf.train.Checkpoint(v=tf.Variable(1.0))
    root.words = tf.lookup.experimental.MutableHashTable(tf.string, tf.int64, -1)
    root.inner = tf.train.Checkpoint(examples=iter(tf.data.Dataset.range(3)))
    path = root.write(str(tmp_path / "state"))
    notes = tfsaver.restore(root, path).notes
    assert any(note.startswith("words, a MutableHashTable, is not a variable") for note in notes)
    assert any(note.startswith("inner/examples, ") for note in notes)
    assert not tfsaver.restore({"v": root.v}, path).notes
