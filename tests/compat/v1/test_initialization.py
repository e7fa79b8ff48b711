"""Initializers that load from a checkpoint."""

from __future__ import annotations

import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.compat.scenario import Recorded, Scenario
from tfsaver.checkpoint.save import save_checkpoint
from tfsaver.compat.v1 import train

Compare = Callable[..., Recorded]

OLD = {
    "old/kernel": np.arange(6, dtype=np.float32).reshape(3, 2),
    "old/bias": np.array([7, 8], np.float32),
    "old/inner/scale": np.float32(9),
    "step": np.int64(12),
}


def initialize(run: Scenario, *variables: Any) -> None:
    run.session.run(run.v1.global_variables_initializer())
    run.values(*variables)


def new_variables(run: Scenario, scope: str = "new", **options: Any) -> list[Any]:
    with run.v1.variable_scope(scope, use_resource=options.pop("use_resource", True)):
        zeros = run.v1.zeros_initializer()
        return [
            run.v1.get_variable("kernel", [3, 2], initializer=zeros, **options),
            run.v1.get_variable("bias", [2], initializer=zeros, **options),
            run.v1.get_variable("inner/scale", [], initializer=zeros),
        ]


def every_form(run: Scenario, resource: bool) -> None:
    save_checkpoint(OLD, "model-1", durable=False)
    for scope, assignment in {
        "by_scope": {"old/": "by_scope/"},
        "by_name": {"old/kernel": "by_name/kernel", "old/inner/scale": "by_name/inner/scale"},
        "by_inner_scope": {"old/inner/": "by_inner_scope/inner/"},
        "without_slash": [("old/bias", "without_slash/bias"), ("old/bias", "without_slash/bias")],
        "from_root": {"/": "from_root/"},
    }.items():
        variables = new_variables(run, scope, use_resource=resource)
        # What is called by_scope_1 is not in the scope by_scope.
        more = new_variables(run, f"{scope}_1", use_resource=resource)
        if scope == "from_root":
            save_checkpoint({name.removeprefix("old/"): value for name, value in OLD.items()}, "model-2", durable=False)
        run.train.init_from_checkpoint("model-2" if scope == "from_root" else "model-1", assignment)
        initialize(run, *variables, *more)


def variables_themselves(run: Scenario) -> None:
    save_checkpoint(OLD, "model", durable=False)
    kernel, bias, scale = new_variables(run)
    reference = run.v1.Variable(np.zeros(2, np.float32), use_resource=False)
    run.train.init_from_checkpoint("model", [("old/bias", bias), ("old/bias", reference), ("old/kernel", kernel)])
    initialize(run, kernel, bias, scale, reference)


def partitioned(run: Scenario) -> None:
    save_checkpoint(OLD, "model", durable=False)
    options = {"partitioner": run.v1.fixed_size_partitioner(3), "initializer": run.v1.zeros_initializer()}
    by_name, by_list, by_scope = (run.v1.get_variable(f"{name}/kernel", [3, 2], **options) for name in "xyz")
    run.train.init_from_checkpoint("model", {"old/kernel": "x/kernel"})
    run.train.init_from_checkpoint("model", {"old/kernel": list(by_list)})
    run.train.init_from_checkpoint("model", {"old/": "z/"})
    initialize(run, *by_name, *by_list, *by_scope)


def whole_graph_from_the_root(run: Scenario) -> None:
    save_checkpoint({"a": np.float32(1), "b/c": np.float32(2)}, "model", durable=False)
    variables = [run.v1.get_variable(name, [], use_resource=True) for name in ("a", "b/c")]
    run.train.init_from_checkpoint("model", {"/": "/"})
    initialize(run, *variables)


def mistakes(run: Scenario) -> None:
    save_checkpoint(OLD, "model", durable=False)
    new_variables(run)
    run.v1.get_variable("other/kernel", [2, 2])
    init = run.train.init_from_checkpoint
    run.call(init, "nowhere", {"old/": "new/"}, fragment="Failed to find any matching files for nowhere")
    (run.directory / "empty").mkdir()
    run.call(init, "empty", {"old/": "new/"}, fragment="Couldn't find 'checkpoint' file or checkpoints in given directory")
    run.call(init, "model", {"no_bias": "new/bias"}, fragment="Tensor no_bias is not found in model checkpoint")
    run.call(init, "model", {"older/": "new/"}, fragment="is not found in model checkpoint")
    run.call(
        init, "model", {"old": "new/"}, fragment="Assignment map with scope only name new should map to scope only old."
    )
    run.call(init, "model", {"old/kernel": "new/kernal"}, fragment="Assignment map with scope only name new")
    said = "doesn't match with shape of tensor old/kernel"
    run.call(init, "model", {"old/kernel": "other/kernel"}, fragment=said)
    run.call(init, "model", {"old/bias": "new/kernel"}, fragment="doesn't match with shape of tensor old/bias")


def warm(run: Scenario) -> None:
    save_checkpoint({name.replace("old", "new"): value for name, value in OLD.items()}, "model", durable=False)
    everything = new_variables(run)
    everything += new_variables(run, "same")
    step = run.v1.get_variable("step", [], initializer=run.v1.zeros_initializer(), dtype="int64", trainable=False)
    run.train.warm_start("model", "new/k")
    initialize(run, *everything)
    run.train.warm_start("model", ["new/bias", "step"])
    initialize(run, *everything, step)
    names = {"same/kernel": "new/kernel", "same/bias": "new/bias"}
    run.train.warm_start("model", "same/[kb]", var_name_to_prev_var_name=names)
    initialize(run, *everything, step)
    run.train.warm_start("model", [everything[2]])
    initialize(run, *everything, step)
    parts = run.v1.get_variable(
        "parts", [3, 2], initializer=run.v1.zeros_initializer(), partitioner=run.v1.fixed_size_partitioner(3)
    )
    run.train.warm_start("model", "parts", None, {"parts": "new/kernel"})
    initialize(run, *parts)
    run.train.warm_start("model", None)
    run.call(run.train.warm_start, "model", "same/", fragment="Tensor same/")
    said = "var_name_to_prev_var_name that were not used"
    run.call(run.train.warm_start, "model", "new/kernel", None, {"new/kernell": "a"}, fragment=said)
    run.call(run.train.warm_start, "model", 7, fragment="`vars_to_warm_start must be a `list` or `str`")
    run.call(run.train.warm_start, "model", ["new/", step], fragment="If `vars_to_warm_start` is a list, it must be all")
    run.call(run.train.warm_start, "nowhere", fragment="Failed to find any matching files for nowhere")


def warm_vocabulary(run: Scenario) -> None:
    from tensorflow.python.training.warm_starting_util import VocabInfo

    pathlib.Path("old.txt").write_text("apple\nbanana\nguava\n")
    pathlib.Path("new.txt").write_text("banana\ncherry\napple\n")
    save_checkpoint({"embedding": np.arange(6, dtype=np.float32).reshape(3, 2), "b": np.float32(3)}, "model", durable=False)
    words = run.v1.get_variable("words", [4, 2], initializer=run.v1.ones_initializer())
    bias = run.v1.get_variable("b", [], initializer=run.v1.ones_initializer())
    vocabulary = {"words": VocabInfo("new.txt", 3, 1, "old.txt")}
    run.train.warm_start("model", ".*", vocabulary, {"words": "embedding"})
    initialize(run, words, bias)
    run.train.warm_start("model", None, vocabulary, {"words": "embedding"})
    said = "var_name_to_vocab_info that were not used"
    run.call(run.train.warm_start, "model", "b", {"word": VocabInfo("new.txt", 3, 1, "old.txt")}, fragment=said)


def object_based(run: Scenario) -> None:
    with run.tf.Graph().as_default() as graph, run.v1.Session(graph=graph) as session:
        v = run.v1.get_variable("dense/kernel", initializer=np.float32([1, 2]), use_resource=True)
        session.run(v.initializer)
        prefix = run.v1.train.Checkpoint(kernel=v).save(f"{run.directory}/objects", session=session)
    with run.v1.variable_scope("dense"):
        kernel = run.v1.get_variable("kernel", [2], initializer=run.v1.zeros_initializer(), use_resource=True)
    run.train.warm_start(prefix)
    initialize(run, kernel)
    run.v1.get_variable("dense/other", [2])
    run.call(run.train.warm_start, prefix, fragment="")


@pytest.mark.parametrize(
    ("program", "arguments"),
    [
        (every_form, (True,)),
        (every_form, (False,)),
        (variables_themselves, ()),
        (partitioned, ()),
        (whole_graph_from_the_root, ()),
        (mistakes, ()),
        (warm, ()),
        (warm_vocabulary, ()),
        (object_based, ()),
    ],
)
def test_initializers_do_as_tensorflows_do(
    compare: Compare, program: Callable[..., None], arguments: tuple[Any, ...]
) -> None:
    assert compare(program, *arguments)


# Better than TensorFlow's.


@pytest.fixture
def model(tmp_path: pathlib.Path) -> str:
    return save_checkpoint(OLD, tmp_path / "model", durable=False)


def test_all_that_is_missing_is_listed_with_the_nearest_names(tf: Any, session: Any, model: str) -> None:
    v1 = tf.compat.v1
    for name in ("n/kernal", "n/bias", "n/scale"):
        v1.get_variable(name, [])
    with pytest.raises(ValueError, match="2 variables cannot be initialized") as caught:
        train.init_from_checkpoint(model, {"old/": "n/"})
    assert f"Tensor old/kernal is not found in {model} checkpoint; did you mean old/kernel" in str(caught.value)
    assert "Tensor old/scale is not found" in str(caught.value)


def test_no_initializer_changes_when_anything_is_wrong(tf: Any, session: Any, model: str) -> None:
    v1 = tf.compat.v1
    good = v1.get_variable("good", [2], initializer=v1.zeros_initializer(), use_resource=True)
    v1.get_variable("bad", [5], use_resource=True)
    with pytest.raises(ValueError, match="Shape of variable bad:0"):
        train.init_from_checkpoint(model, [("old/bias", "good"), ("old/kernel", "bad")])
    session.run(good.initializer)
    assert session.run(good).tolist() == [0, 0]


def test_wrong_dtype_is_an_error_before_anything_runs(tf: Any, session: Any, model: str) -> None:
    tf.compat.v1.get_variable("v", [2], tf.float64)
    with pytest.raises(ValueError, match="Variable v:0 is of dtype float64, tensor old/bias of float32"):
        train.init_from_checkpoint(model, {"old/bias": "v"})


def test_parts_of_another_full_shape_are_an_error_before_anything_runs(tf: Any, session: Any, model: str) -> None:
    v1 = tf.compat.v1
    parts = v1.get_variable("parts", [4, 2], partitioner=v1.fixed_size_partitioner(2))
    with pytest.raises(ValueError, match=r"Shape of variable parts/part_0:0,parts/part_1:0 \(\(4, 2\)\) doesn't match"):
        train.init_from_checkpoint(model, {"old/kernel": list(parts)})
    # A partitioned variable itself will do as well as the list of its parts.
    fitting = v1.get_variable("fitting", [3, 2], partitioner=v1.fixed_size_partitioner(3))
    train.init_from_checkpoint(model, {"old/kernel": fitting})
    session.run(v1.global_variables_initializer())
    assert np.concatenate(session.run(list(fitting))).tolist() == OLD["old/kernel"].tolist()


@pytest.mark.parametrize("target", [7, None, ("a", "b")])
def test_target_that_is_no_variable_is_a_type_error(tf: Any, session: Any, model: str, target: object) -> None:
    with pytest.raises(TypeError, match="no variable"):
        train.init_from_checkpoint(model, {"old/bias": target})


@pytest.mark.parametrize("target", ["", "kernel"])
def test_scope_without_a_slash_is_refused(tf: Any, session: Any, model: str, target: str) -> None:
    with pytest.raises(ValueError, match="a variable was meant: there is none called"):
        train.init_from_checkpoint(model, {"old/": target})


def test_parts_of_nothing_or_of_two_variables_are_refused(tf: Any, session: Any, model: str) -> None:
    v1 = tf.compat.v1
    first, second = (list(v1.get_variable(name, [4, 2], partitioner=v1.fixed_size_partitioner(2))) for name in "ab")
    whole = v1.get_variable("whole", [3, 2])
    for parts in ([], [first[0], second[1]], [whole]):
        with pytest.raises(ValueError, match="Slices must all be from the same tensor"):
            train.init_from_checkpoint(model, {"old/kernel": parts})


def test_object_based_checkpoint_goes_by_full_names_and_by_keys(tf: Any, session: Any, tmp_path: pathlib.Path) -> None:
    v1 = tf.compat.v1
    with tf.Graph().as_default() as graph, v1.Session(graph=graph) as writer:
        v = v1.get_variable("dense/kernel", initializer=np.float32([1, 2]), use_resource=True)
        writer.run(v.initializer)
        prefix = v1.train.Checkpoint(net=v).save(str(tmp_path / "objects"), session=writer)
    variables = [v1.get_variable(name, [2], use_resource=True) for name in ("kernel", "again")]
    assignment = {"dense/kernel": "kernel", "net/.ATTRIBUTES/VARIABLE_VALUE": "again"}
    train.init_from_checkpoint(prefix, assignment)
    session.run(v1.global_variables_initializer())
    assert [value.tolist() for value in session.run(variables)] == [[1, 2], [1, 2]]


def test_warm_start_checks_everything_before_anything_changes(tf: Any, session: Any, model: str) -> None:
    v1 = tf.compat.v1
    bias = v1.get_variable("old/bias", [2], initializer=v1.zeros_initializer(), use_resource=True)
    with pytest.raises(ValueError, match="old/bia is no variable to warm-start; did you mean old/bias"):
        train.warm_start(model, var_name_to_prev_var_name={"old/bia": "x"})
    v1.get_variable("other", [2])
    with pytest.raises(ValueError, match="Tensor other is not found"):
        train.warm_start(model)
    session.run(bias.initializer)
    assert session.run(bias).tolist() == [0, 0]


def test_values_load_under_a_distribution_strategy(tf: Any, model: str) -> None:
    v1 = tf.compat.v1
    with tf.Graph().as_default():
        strategy = tf.distribute.MirroredStrategy(["/cpu:0"])
        with strategy.scope():
            variable = v1.get_variable("new/bias", [2], initializer=v1.zeros_initializer())
            train.init_from_checkpoint(model, {"old/": "new/"})

        def in_replica() -> None:
            train.init_from_checkpoint(model, {"old/bias": "new/bias"})

        strategy.run(in_replica)
        with v1.Session() as session:
            session.run(v1.global_variables_initializer())
            assert session.run(variable.values[0] if hasattr(variable, "values") else variable).tolist() == [7, 8]
