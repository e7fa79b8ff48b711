"""`tfsaver convert --to object`: what it writes, tf.train.Checkpoint restores, and nothing is left over on either side."""

from __future__ import annotations

import pathlib
import shutil
from typing import Any

import numpy as np
import pytest

import tfsaver
from tfsaver.cli.main import main
from tfsaver.compat.v2.object_graph import object_graph_of
from tfsaver.errors import InvalidArgumentError

KERNEL = np.arange(6, dtype=np.float32).reshape(3, 2)
BIAS = np.array([7, 8], np.float32)

PROGRAM = """\
import tensorflow as tf


def make_objects():
    model = tf.Module()
    model.dense = {"kernel": tf.Variable(tf.zeros([3, 2]), name="fc/kernel"), "bias": tf.Variable(tf.zeros([2]), name="fc/bias")}
    optimizer = tf.Module()
    optimizer.rate = tf.Variable(0.5)
    optimizer.step = tf.Variable(0, dtype=tf.int64)
    return {"model": model, "optimizer": optimizer}


NOTHING = 5
"""


@pytest.fixture
def old(tmp_path: pathlib.Path) -> str:
    """What a program of TensorFlow 1 saved: a model, its step, and slots of an optimizer."""
    tensors = {"fc/kernel": KERNEL, "fc/bias": BIAS, "fc/kernel/Momentum": KERNEL * 0, "global_step": np.int64(40)}
    return tfsaver.save_checkpoint(tensors, tmp_path / "old", durable=False)


@pytest.fixture
def program(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    (tmp_path / "program").mkdir()
    path = tmp_path / "program" / "program_of_this_test.py"
    path.write_text(PROGRAM)
    monkeypatch.syspath_prepend(str(path.parent))
    return path


def layers(tf: Any) -> Any:
    model = tf.Module()
    model.dense = {"kernel": tf.Variable(tf.zeros([3, 2]), name="fc/kernel"), "bias": tf.Variable(tf.zeros([2]), name="fc/bias")}
    return model


def assert_restored(tf: Any, prefix: Any, **objects: Any) -> Any:
    checkpoint = tf.train.Checkpoint(**objects)
    status = checkpoint.restore(str(prefix))
    status.assert_consumed()
    status.assert_existing_objects_matched()
    np.testing.assert_array_equal(objects["model"].dense["kernel"].numpy(), KERNEL)
    np.testing.assert_array_equal(objects["model"].dense["bias"].numpy(), BIAS)
    return checkpoint


@pytest.mark.parametrize("has_variables", [True, False])
def test_saved_model_says_the_objects_with_and_without_its_variables(
    tf: Any, old: str, tmp_path: pathlib.Path, has_variables: bool
) -> None:
    tf.saved_model.save(layers(tf), str(tmp_path / "export"))
    if not has_variables:
        shutil.rmtree(tmp_path / "export" / "variables")
    arguments = ["convert", old, str(tmp_path / "new"), "--to", "object", "--like", str(tmp_path / "export"), "-q"]
    arguments += ["--exclude", "Momentum|global_step"]
    assert main([*arguments, "--under", "model"]) == 0
    assert_restored(tf, tmp_path / "new", model=layers(tf))
    assert main([*arguments, "--overwrite"]) == 0
    model = layers(tf)
    tf.train.Checkpoint(model).restore(str(tmp_path / "new")).assert_consumed()
    np.testing.assert_array_equal(model.dense["kernel"].numpy(), KERNEL)


@pytest.mark.parametrize("how", ["file", "module"])
def test_function_makes_the_objects_and_values_are_given_for_what_was_never_saved(
    tf: Any, old: str, program: pathlib.Path, tmp_path: pathlib.Path, how: str, capsys: pytest.CaptureFixture[str]
) -> None:
    like = f"{program if how == 'file' else program.stem}:make_objects"
    arguments = ["convert", old, str(tmp_path / "new"), "--to", "object", "--like", like, "--map", "global_step=optimizer/step"]
    assert main(arguments) == 1
    said = capsys.readouterr().err
    assert "optimizer/rate" in said and "fc/kernel/Momentum" in said
    assert not (tmp_path / "new.index").exists()
    assert main([*arguments, "--allow-unused", "--default", "optimizer/rate=0.125"]) == 0
    said = capsys.readouterr().out
    assert "for none of the objects: 1 tensor, 24 bytes\n    fc/kernel/Momentum" in said
    optimizer = tf.Module()
    optimizer.rate, optimizer.step = tf.Variable(0.0), tf.Variable(0, dtype=tf.int64)
    assert_restored(tf, tmp_path / "new", model=layers(tf), optimizer=optimizer)
    assert (optimizer.rate.numpy(), optimizer.step.numpy()) == (0.125, 40)


def test_keras_optimizer_gets_the_rate_that_tensorflow_1_had_in_its_program(tf: Any, tmp_path: pathlib.Path) -> None:
    keras = pytest.importorskip("keras")
    if int(keras.__version__.partition(".")[0]) < 3:
        pytest.skip(f"the variables have the names that Keras 3 gives them, not Keras {keras.__version__}")

    def make() -> dict[str, Any]:
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, name="fc")])
        model.compile(keras.optimizers.SGD(0.5, momentum=0.9), "mse")
        model.optimizer.build(model.trainable_variables)
        return {"model": model, "optimizer": model.optimizer}

    graph = object_graph_of(make())
    tensors = {"fc/kernel": KERNEL, "fc/bias": BIAS, "fc/kernel/Momentum": KERNEL + 1, "fc/bias/Momentum": BIAS + 1}
    endings = {"fc/kernel": "/fc/kernel", "fc/bias": "/fc/bias"}
    endings |= {"fc/kernel/Momentum": "_kernel_momentum", "fc/bias/Momentum": "_bias_momentum"}
    mapping = {
        name: next(item.key for item in graph.attributes if item.full_name.endswith(ending)) for name, ending in endings.items()
    }
    report = tfsaver.convert(
        tensors,
        tmp_path / "new",
        format="object",
        like=graph,
        mapping=mapping,
        defaults={"optimizer/_learning_rate": 0.25, "optimizer/_iterations": 40},
        durable=False,
    )
    assert report.num_bytes > sum(value.nbytes for value in tensors.values())
    objects = make()
    status = tf.train.Checkpoint(**objects).restore(str(tmp_path / "new"))
    status.assert_consumed()
    assert (float(objects["optimizer"].learning_rate), int(objects["optimizer"].iterations)) == (0.25, 40)
    np.testing.assert_array_equal(objects["model"].get_weights()[0], KERNEL)
    np.testing.assert_array_equal(np.asarray(objects["optimizer"].momentums[0]), KERNEL + 1)


def test_values_are_given_for_what_the_objects_have(old: str, tmp_path: pathlib.Path) -> None:
    like = {"kernel": "fc/kernel", "rate": "rate", "step": "step"}
    tfsaver.save_checkpoint({"fc/kernel": KERNEL, "rate": np.float32(0), "step": np.int64(1)}, tmp_path / "like", object_graph=like)
    options: dict[str, Any] = {"format": "object", "like": tmp_path / "like", "durable": False, "allow_unused": True}
    with pytest.raises(InvalidArgumentError) as error:
        tfsaver.convert(old, tmp_path / "new", defaults={"rat": 1, "step": 0.5, "rate": "fast"}, **options)
    assert "'rat' is no value of the objects; did you mean 'rate'" in str(error.value)
    assert "'step': int64 is needed, which 0.5 is not" in str(error.value)
    assert "'rate': float32 is needed, not string" in str(error.value)
    tfsaver.convert(old, tmp_path / "new", defaults={"rate": 2, "kernel": 5, "step": 3}, **options)
    with tfsaver.load_checkpoint(tmp_path / "new") as reader:
        found = {name.split("/")[0]: reader[name] for name in reader.names if "/" in name}
    # What the source has counts.
    np.testing.assert_array_equal(found["kernel"], KERNEL)
    assert (found["rate"].dtype, found["rate"].item(), found["step"].item()) == (np.float32, 2.0, 3)


@pytest.mark.parametrize(
    ("like", "words"),
    [
        ("{}:missing", "there is no function 'missing'"),
        ("{}:NOTHING", "there is no function 'NOTHING'"),
        ("no_such_package.module:make", "there is no module 'no_such_package.module'"),
        ("no_such_file.py:make", "no_such_file.py: there is no such file"),
    ],
)
def test_function_that_is_not_there_is_an_error(
    old: str, program: pathlib.Path, tmp_path: pathlib.Path, like: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("tensorflow")
    assert main(["convert", old, str(tmp_path / "new"), "--to", "object", "--like", like.format(program)]) == 3
    assert words in capsys.readouterr().err


def test_options_for_objects_go_with_objects_alone(old: str, tmp_path: pathlib.Path) -> None:
    for options in ({"under": "model"}, {"defaults": {"a": 1}}):
        with pytest.raises(InvalidArgumentError, match="are for the format object with like"):
            tfsaver.convert(old, tmp_path / "x.npz", **options)  # type: ignore[arg-type]
