"""The essential variables of a program."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tfsaver.checkpoint.selection import Selection
from tfsaver.compat._var_list import resolve
from tfsaver.compat.v1.saver import Saver
from tfsaver.errors import InvalidArgumentError


@pytest.fixture
def model(tf: Any, graph: Any) -> Any:
    """A trained model: a partitioned kernel, a bias, Adam's slots, a step, a moving mean."""
    v1 = tf.compat.v1
    kernel = v1.get_variable("dense/kernel", [6, 2], partitioner=v1.fixed_size_partitioner(2), use_resource=True)
    bias = v1.get_variable("dense/bias", [2])
    v1.get_variable("dense/mean", [2], trainable=False, collections=[v1.GraphKeys.GLOBAL_VARIABLES, "moving"])
    step = v1.train.get_or_create_global_step()
    loss = tf.reduce_sum([tf.reduce_sum(tf.square(part)) for part in (*kernel, bias)])
    v1.train.AdamOptimizer().minimize(loss, global_step=step)
    return v1.global_variables()


def test_optimizer_is_left_out(model: Any) -> None:
    kept, _, report = resolve(model, Selection(without_optimizer=True))
    assert sorted(kept) == ["dense/bias", "dense/kernel", "dense/mean", "global_step"]
    assert report.kept == tuple(sorted(kept))
    assert (report.num_bytes_kept, report.num_parameters_kept) == (4 * (12 + 2 + 2) + 8, 17)
    assert report.num_bytes_left_out == 4 * (2 * 14 + 2)
    assert "state of the optimizer Adam: beta1_power" in str(report)


def test_trained_variables(model: Any) -> None:
    kept, _, report = resolve(model, Selection(trainable_only=True))
    assert sorted(kept) == ["dense/bias", "dense/kernel"]
    assert report.left_out["global_step"] == "not trainable"


def test_collection(model: Any) -> None:
    kept, _, _ = resolve(model, Selection(collection="moving"))
    assert list(kept) == ["dense/mean"]


def test_names_are_those_of_the_checkpoint(model: Any) -> None:
    renamed = {f"v{number}": variable for number, variable in enumerate(model) if "part_" not in variable.name}
    kept, _, _ = resolve(renamed, Selection(include="^v[34]$"))
    assert sorted(kept) == ["v3", "v4"]


def test_what_is_kept_is_a_var_list(model: Any) -> None:
    kept, _, _ = resolve(model, Selection(without_optimizer=True))
    again, _, report = resolve(kept, Selection(include="kernel"))
    assert list(again) == ["dense/kernel"] == list(report.kept)


def test_variable_of_unknown_shape_has_no_bytes(tf: Any, graph: Any) -> None:
    v1 = tf.compat.v1
    unknown = v1.Variable(v1.placeholder(tf.float32), validate_shape=False, name="v", use_resource=False)
    _, _, report = resolve([unknown], Selection(include="v"))
    assert (report.kept, report.num_bytes_kept) == (("v",), 0)


def test_eager_variables_know_whether_they_are_trained(tf: Any) -> None:
    trained, fixed = tf.Variable(np.float32([1, 2]), name="a"), tf.Variable(1.0, name="b", trainable=False)
    kept, _, report = resolve([trained, fixed], Selection(trainable_only=True))
    assert list(kept) == ["a"] and report.num_bytes_kept == 8


def test_nothing_left_is_an_error(model: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="keeps none of"):
        resolve(model, Selection(collection="no such collection"))


def test_saver_takes_a_pattern_for_a_selection(model: Any) -> None:
    report = Saver(select="^dense/kernel").selection_report
    assert report.kept == Saver(select=Selection(include=("^dense/kernel",))).selection_report.kept
    assert "dense/kernel" in report.kept and report.left_out["dense/bias"] == "not included"
    with pytest.raises(InvalidArgumentError, match="a selection is a Selection, a pattern or a list of patterns, not 7"):
        Saver(select=7)
