"""What an export costs as a whole process: a checkpoint and its .meta file to a SavedModel, beside TensorFlow doing it.

    python -m benchmarks.export_process [--runs 5] [--json FILE]

One child calls `tfsaver.export_saved_model`, which reads the graph as data; the other imports the graph into a session,
restores its variables and writes the SavedModel with TensorFlow's own `simple_save`. Interpreter start and imports are part
of both, as they are of a job that exports. Runs alternate (A B A B ...), one of each before that is not counted.

The model is a trained one of moderate size, written by TensorFlow first: 24 dense layers of 256 units with Adam, so that the
checkpoint holds three times what is served, and a thousand nodes of gradients, summaries and updates that are not.
tfsaver leaves those out and waits for the disk; TensorFlow does neither, which is said by the sizes below the table.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import statistics
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.inspect_process import run

NUM_LAYERS = 24
WIDTH = 256

WRITE_A_MODEL = f"""
import sys
import numpy as np
import tensorflow as tf
tf1 = tf.compat.v1
with tf.Graph().as_default(), tf1.Session() as session:
    x = hidden = tf1.placeholder(tf.float32, [None, {WIDTH}], name="x")
    for number in range({NUM_LAYERS}):
        with tf1.variable_scope(f"layer_{{number}}", use_resource=True):
            kernel = tf1.get_variable("kernel", [{WIDTH}, {WIDTH}], initializer=tf1.glorot_uniform_initializer(seed=number))
            bias = tf1.get_variable("bias", [{WIDTH}], initializer=tf1.zeros_initializer())
            hidden = tf.nn.relu(tf.nn.bias_add(tf.matmul(hidden, kernel), bias))
            tf1.summary.histogram("hidden", hidden)
    logits = tf.identity(hidden, name="logits")
    step = tf1.train.get_or_create_global_step()
    train = tf1.train.AdamOptimizer(0.001).minimize(tf.reduce_mean(tf.square(logits - x)), step)
    session.run(tf1.global_variables_initializer())
    session.run(train, {{x: np.ones((4, {WIDTH}), np.float32)}})
    tf1.train.Saver().save(session, sys.argv[1])
"""
THROUGH_TFSAVER = """
import sys
import tfsaver
export_dir, prefix = sys.argv[1:]
tfsaver.export_saved_model(prefix, export_dir, inputs={"x": "x:0"}, outputs={"logits": "logits:0"})
"""
THROUGH_TENSORFLOW = """
import sys
import tensorflow as tf
tf1 = tf.compat.v1
export_dir, prefix = sys.argv[1:]
with tf.Graph().as_default() as graph, tf1.Session() as session:
    tf1.train.import_meta_graph(prefix + ".meta", clear_devices=True).restore(session, prefix)
    inputs = {"x": graph.get_tensor_by_name("x:0")}
    tf1.saved_model.simple_save(session, export_dir, inputs, {"logits": graph.get_tensor_by_name("logits:0")})
"""
RUN_AN_EXPORT = f"""
import sys
import numpy as np
import tensorflow as tf
export_dir, result = sys.argv[1:]
serve = tf.saved_model.load(export_dir).signatures["serving_default"]
x = np.random.RandomState(0).rand(4, {WIDTH}).astype(np.float32)
np.save(result, serve(x=tf.constant(x))["logits"].numpy())
"""
UNITS = ("seconds", "cpu_seconds", "mebibytes")
PROGRAMS: Mapping[str, str] = {"tfsaver": THROUGH_TFSAVER, "tensorflow": THROUGH_TENSORFLOW}


def cpu_seconds() -> float:
    """What all children so far have computed: unlike their wall time, hardly longer on a machine that others use."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def size_of(directory: Path) -> int:
    """The bytes of all files below a directory."""
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())


def check_same(directory: Path) -> None:
    """Both exports give the same numbers, bit for bit, in TensorFlow."""
    results = []
    for name in PROGRAMS:
        result = directory / f"{name}.npy"
        run(("-c", RUN_AN_EXPORT, str(directory / name)), str(result), directory / "output")
        results.append(result.read_bytes())
    if results[0] != results[1]:
        sys.exit("the two exports give different numbers")


def measure(num_runs: int, directory: Path) -> dict[str, Any]:
    """Medians of each program, and how many times cheaper the first is."""
    prefix = directory / "model" / "model.ckpt"
    prefix.parent.mkdir()
    run(("-c", WRITE_A_MODEL), str(prefix), directory / "output")
    samples: dict[str, list[dict[str, float]]] = {name: [] for name in PROGRAMS}
    for number in range(num_runs + 1):
        for name, program in PROGRAMS.items():
            shutil.rmtree(directory / name, ignore_errors=True)
            before = cpu_seconds()
            sample = run(("-c", program, str(directory / name)), str(prefix), directory / "output")
            if number > 0:
                samples[name].append({**sample, "cpu_seconds": cpu_seconds() - before})
    check_same(directory)
    medians = {
        name: {unit: statistics.median(sample[unit] for sample in runs) for unit in UNITS} for name, runs in samples.items()
    }
    ours, theirs = medians.values()
    return {
        "runs": num_runs,
        "medians": medians,
        "times": {unit: theirs[unit] / ours[unit] for unit in ours},
        "sizes": {name: size_of(directory / name) for name in ("model", *PROGRAMS)},
        "samples": samples,
    }


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5, help="counted runs of each (default: 5)")
    parser.add_argument("--json", metavar="FILE", help="also write everything measured")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        result = measure(options.runs, Path(name))
    print(f"a checkpoint and its .meta to a SavedModel\nmedians of {result['runs']} whole processes\n")
    print(f"{'':<12}{'seconds':>10}{'CPU seconds':>14}{'peak MiB':>12}{'export, MB':>14}")
    for program, median in result["medians"].items():
        cells = f"{median['seconds']:>10.3f}{median['cpu_seconds']:>14.3f}{median['mebibytes']:>12.1f}"
        print(f"{program:<12}{cells}{result['sizes'][program] / 1e6:>14.1f}")
    times = result["times"]
    cells = f"{times['seconds']:>10.1f}{times['cpu_seconds']:>14.1f}{times['mebibytes']:>12.1f}"
    print(f"{'times':<12}{cells}    (target: at least 10 times faster)")
    print(f"\nthe checkpoint with its .meta: {result['sizes']['model'] / 1e6:.1f} MB; both exports give the same numbers")
    if options.json:
        Path(options.json).write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
