"""Checkpoints that were written from objects are restored into variables by what these were called."""

from __future__ import annotations

import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.compat.scenario import Recorded, Scenario
from tfsaver import load_checkpoint
from tfsaver.compat._restore import compare_variables, restore_variables
from tfsaver.compat._var_list import resolve
from tfsaver.compat.v1.train import Saver

Compare = Callable[..., Recorded]


def with_optimizer(run: Scenario) -> None:
    v1 = run.v1
    weights = v1.get_variable("net/w", initializer=[1.0, 2.0], use_resource=True)
    optimizer = v1.train.AdamOptimizer(0.5)
    step = optimizer.minimize(run.tf.reduce_sum(weights * weights))
    run.session.run(v1.global_variables_initializer())
    run.session.run(step)
    checkpoint = run.v1.train.Checkpoint(net=run.tf.train.Checkpoint(kernel=weights), trainer=optimizer)
    path = checkpoint.write(f"{run.directory}/objects", session=run.session)
    everything = v1.global_variables()
    run.note([variable.op.name for variable in everything])
    expected = run.session.run(everything)
    run.session.run(v1.global_variables_initializer())
    run.call(run.saver().restore, run.session, path)
    run.values(*everything)
    assert all(np.array_equal(*pair) for pair in zip(expected, run.session.run(everything), strict=True))


def by_keys_of_a_dict(run: Scenario) -> None:
    one, two = run.variable("one", [1.0]), run.variable("two", [2.0])
    path = run.v1.train.Checkpoint(a=one, b=two).write(f"{run.directory}/objects", session=run.session)
    run.call(run.saver({"one": two, "two": one}).restore, run.session, path)
    run.values(one, two)
    run.call(
        run.saver({"one": one, "2": two}).restore, run.session, path, fragment="Existing variables not in the checkpoint: 2"
    )
    run.values(one, two)


def other_kinds_of_failure(run: Scenario) -> None:
    one = run.variable("one", [1.0])
    path = run.v1.train.Checkpoint(a=one).write(f"{run.directory}/objects", session=run.session)
    wrong = run.variable("other", np.int32(1))
    run.call(
        run.saver({"one": wrong}).restore,
        run.session,
        path,
        fragment="expected dtype int32 does not equal original dtype float",
    )
    plain = run.v1.train.Saver([one]).save(run.session, f"{run.directory}/names")
    run.call(run.saver({"lost": one}).restore, run.session, plain, fragment="Key lost not found in checkpoint")


def names_that_are_not_unique(run: Scenario) -> None:
    first, second = (run.tf.Variable([value], name="v") for value in (1.0, 2.0))
    nameless = run.tf.train.Checkpoint(table=run.tf.lookup.experimental.MutableHashTable(run.tf.string, run.tf.int64, -1))
    path = run.tf.train.Checkpoint(b=second, a=first, n=nameless).write(f"{run.directory}/objects")
    target = run.tf.Variable([0.0], name="v")
    run.call(run.saver([target]).restore, None, path)
    run.note(target.numpy().tolist())
    named = run.saver({"v": target, "w": run.tf.Variable(0.0)})
    for fragment in ("Existing variables not in the checkpoint: w", "(1 variable name(s) did match)"):
        run.call(named.restore, None, path, fragment=fragment)


@pytest.mark.parametrize("program", [with_optimizer, by_keys_of_a_dict, other_kinds_of_failure])
def test_both_savers_restore_object_based_checkpoints_alike(compare: Compare, program: Callable[[Scenario], None]) -> None:
    assert compare(program)


def test_both_savers_take_the_same_of_several_variables_of_one_name(compare: Compare) -> None:
    assert compare(names_that_are_not_unique, eager=True)


def test_object_based_checkpoint_restores_into_a_finalized_graph(
    tf: Any, graph: Any, session: Any, tmp_path: pathlib.Path
) -> None:
    v1 = tf.compat.v1
    variables = [
        v1.get_variable("ref", initializer=[1.0, 2.0], use_resource=False),
        v1.get_variable("resource", initializer=np.int64(7), use_resource=True),
    ]
    session.run(v1.global_variables_initializer())
    path = v1.train.Checkpoint(a=variables[0], deep=tf.train.Checkpoint(b=variables[1])).write(
        str(tmp_path / "objects"), session=session
    )
    graph.finalize()
    saver = Saver()
    before = len(graph.get_operations())
    with v1.Session(graph=graph) as fresh:
        assert saver.restore(fresh, path) is None
        values = fresh.run(variables)
    assert (values[0].tolist(), int(values[1])) == ([1.0, 2.0], 7)
    assert len(graph.get_operations()) == before


def test_model_is_restored_from_its_objects_by_the_paths_of_its_variables(tf: Any, tmp_path: pathlib.Path) -> None:
    keras = pytest.importorskip("keras", minversion="3", reason="Keras 2's variables are TensorFlow's own")
    model = keras.Sequential([keras.layers.Input([3]), keras.layers.Dense(2), keras.layers.Dense(1)])
    model.compile("adam", "mse")
    model.fit(np.ones((4, 3)), np.ones((4, 1)), verbose=0)
    variables = [*model.variables, *model.optimizer.variables]
    expected = [variable.numpy() for variable in variables]
    path = tf.train.Checkpoint(net=model, trainer=model.optimizer).write(str(tmp_path / "objects"))
    for variable in variables:
        variable.assign(np.zeros(variable.shape, variable.dtype))
    Saver(variables).restore(None, path)
    for variable, value in zip(variables, expected, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value, variable.path)


def test_objects_split_over_files_are_restored(tf: Any, tmp_path: pathlib.Path) -> None:
    try:
        policy = tf.train.experimental.MaxShardSizePolicy(max_shard_size=100)
    except AttributeError:
        pytest.skip("this TensorFlow writes each tensor in one piece")
    variable = tf.Variable(np.arange(100, dtype=np.float32).reshape(20, 5), name="w")
    options = tf.train.CheckpointOptions(experimental_sharding_callback=policy)
    path = tf.train.Checkpoint(w=variable).write(str(tmp_path / "objects"), options=options)
    with load_checkpoint(path) as reader:
        assert len(reader.info("w/.ATTRIBUTES/VARIABLE_VALUE").slices) > 1
    variable.assign(variable * 0.0)
    Saver([variable]).restore(None, path)
    assert variable.numpy().reshape(-1).tolist() == list(range(100))


def test_what_is_found_is_restored_when_the_rest_may_be_missing(tf: Any, tmp_path: pathlib.Path) -> None:
    there, missing = tf.Variable([1.0], name="there"), tf.Variable([5.0], name="missing")
    path = tf.train.Checkpoint(a=there, gone=tf.Variable(3.0, name="gone")).write(str(tmp_path / "objects"))
    there.assign([0.0])
    bindings = resolve([there, missing]).bindings
    report = compare_variables(bindings, path)
    assert there.numpy().tolist() == [0.0]
    assert str(report) == str(restore_variables(None, bindings, path, strict=False))
    assert [(item.name, item.key) for item in report.matched] == [("there", "a/.ATTRIBUTES/VARIABLE_VALUE")]
    assert [item.name for item in report.missing] == ["missing"]
    assert report.unexpected == ("gone/.ATTRIBUTES/VARIABLE_VALUE",)
    assert (there.numpy().tolist(), missing.numpy().tolist()) == ([1.0], [5.0])
