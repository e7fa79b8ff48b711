"""A program around a Supervisor, whose thread saves beside it: python -m tests.compat.programs.supervised directory way."""

from __future__ import annotations

import contextlib
import json
import pathlib
import sys
import time
from typing import Any

import tensorflow as tf

from tests.compat.programs.surroundings import Surroundings, training_graph, values
from tfsaver.compat import patch_tensorflow


def run(given: Surroundings, num_steps: int, *, save: bool) -> list[Any]:
    """Trains for some steps, and waits until all of them are in a checkpoint."""
    with tf.Graph().as_default():
        variables, train = training_graph(given)
        options = {"saver": given.saver()} if given.way == "ours" else {}
        supervisor = tf.compat.v1.train.Supervisor(
            logdir=given.path, save_model_secs=1, save_summaries_secs=0, summary_op=None, **options
        )
        given.check(supervisor.saver)
        with supervisor.managed_session() as session:
            first = values(session, variables)
            for _ in range(num_steps):
                session.run(train)
                if save:
                    supervisor.saver.save(session, supervisor.save_path, global_step=supervisor.global_step)
            last = int(session.run(variables[-1]))
            deadline = time.monotonic() + 120
            while f"model.ckpt-{last}" not in str(supervisor.saver.last_checkpoints[-1:]):
                if time.monotonic() > deadline or supervisor.should_stop():
                    raise TimeoutError(f"step {last} is not saved: {supervisor.saver.last_checkpoints}")
                time.sleep(0.05)
    return [first, last]


def main(directory: str, way: str) -> None:
    tf.compat.v1.disable_eager_execution()
    given = Surroundings(tf, pathlib.Path(directory), way)
    with patch_tensorflow() if way == "patched" else contextlib.nullcontext():
        facts = [*run(given, 20, save=True), *run(given, 20, save=False)]
        with tf.Graph().as_default(), tf.compat.v1.Session() as session:
            variables, _ = training_graph(given)
            given.any_saver().restore(session, tf.compat.v1.train.latest_checkpoint(directory))
            facts.append(values(session, variables))
    print(json.dumps(facts).replace(".0", ""))


if __name__ == "__main__":
    main(*sys.argv[1:])
