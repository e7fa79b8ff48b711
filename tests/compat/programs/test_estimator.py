"""An Estimator, the largest program around a Saver: trains, goes on, evaluates, predicts, exports, starts warm."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.compat.programs.surroundings import Surroundings, ThreeWays


def estimated(given: Surroundings) -> Any:
    tf, v1 = given.tf, given.v1

    def inputs() -> Any:
        xs = np.arange(8, dtype=np.float32).reshape(8, 1)
        return tf.data.Dataset.from_tensor_slices(({"x": xs}, 3 * xs)).repeat().batch(4)

    def model(features: Any, labels: Any, mode: str) -> Any:
        kernel = v1.get_variable("kernel", [1, 1], initializer=v1.zeros_initializer())
        predicted = features["x"] @ kernel
        # Where more variables come, the scaffold builds the Saver when it is finalized; an export does not finalize it.
        saver = given.saver(sharded=True, max_to_keep=2, defer_build=mode != "infer")
        scaffold = v1.train.Scaffold(saver=saver)
        if mode == "infer":
            return tf.estimator.EstimatorSpec(mode, {"y": predicted}, scaffold=scaffold)
        loss = tf.reduce_mean((predicted - labels) ** 2)
        step = v1.train.get_or_create_global_step()
        train = v1.train.MomentumOptimizer(0.01, 0.5).minimize(loss, global_step=step)
        return tf.estimator.EstimatorSpec(mode, loss=loss, train_op=train, scaffold=scaffold)

    def new(directory: str, **options: Any) -> Any:
        config = tf.estimator.RunConfig(
            model_dir=f"{given.path}/{directory}",
            save_checkpoints_steps=2,
            keep_checkpoint_max=2,
            log_step_count_steps=None,
            save_summary_steps=None,
        )
        return tf.estimator.Estimator(model, config=config, **options)

    new("run").train(inputs, steps=3)
    again = new("run").train(inputs, steps=2)
    facts: list[Any] = [int(again.get_variable_value("global_step")), again.latest_checkpoint().replace(given.path, "")]
    facts.append(again.get_variable_names())
    facts.append(float(again.evaluate(inputs, steps=1)["loss"]))
    facts.append(next(again.predict(inputs))["y"].tolist())

    def receiver() -> Any:
        x = v1.placeholder(tf.float32, [None, 1], name="x")
        return tf.estimator.export.ServingInputReceiver({"x": x}, {"x": x})

    exported = again.export_saved_model(f"{given.path}/exported", receiver).decode()
    serve = tf.saved_model.load(exported).signatures["serving_default"]
    facts.append(serve(x=tf.constant([[2.0]]))["y"].numpy().tolist())
    warm = new("warm", warm_start_from=f"{given.path}/run").train(inputs, steps=1)
    facts.append(float(warm.get_variable_value("kernel")[0, 0]))
    facts.append([name for name in given.files("*.index") if "exported" not in name])
    return facts


def test_estimator_trains_on_exports_and_starts_warm(tf: Any, three_ways: ThreeWays) -> None:
    if not hasattr(tf, "estimator"):
        pytest.skip("this TensorFlow has no Estimator")
    facts = three_ways(estimated)
    assert facts[:2] == [5, "/run/model.ckpt-5"]
