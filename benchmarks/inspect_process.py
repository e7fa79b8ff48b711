"""What a look into a checkpoint costs as a whole process: `tfsaver inspect` beside the same list through TensorFlow.

    python -m benchmarks.inspect_process [--runs 5] [--json FILE] [PREFIX]

Both children print every tensor's name, dtype and shape into a file. Their wall time is taken around the whole process,
interpreter start and imports included, since that is what a person at a prompt waits for; their peak memory is what the
kernel reports when the child is reaped. Runs alternate (A B A B ...) so that both meet the same machine, one run of
each before that warms the page cache and is not counted. This program itself imports nothing heavy: a spawned child's
peak starts at what its parent holds.

Without a PREFIX the checkpoint is one of 5001 variables: gen_many_variables_v2 in the folder that TFSAVER_CASES names,
else one of the same kind that is written first.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]

THROUGH_TENSORFLOW = """
import sys
import tensorflow as tf
reader = tf.train.load_checkpoint(sys.argv[1])
dtypes = reader.get_variable_to_dtype_map()
for name, shape in sorted(reader.get_variable_to_shape_map().items()):
    print(name, dtypes[name].name, shape)
"""
WRITE_A_CHECKPOINT = """
import sys
import numpy as np
from tfsaver.tensor_bundle.writer import BundleWriter
with BundleWriter(sys.argv[1], durable=False) as writer:
    for number in range(5000):
        writer.add(f"scope_{number // 100:02d}/variable_{number:04d}", np.full(2, number, np.float32))
    writer.add("empty", np.zeros((0, 3), np.float32))
"""
COMMANDS: Mapping[str, Sequence[str]] = {
    "tfsaver inspect": ("-m", "tfsaver", "inspect"),
    "import tensorflow": ("-c", THROUGH_TENSORFLOW),
}


def run(arguments: Sequence[str], prefix: str, output: Path) -> dict[str, float]:
    """Seconds and peak MiB of one child, from spawn to reaping."""
    # Compiled modules are kept, as an installation has them.
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment = {**kept, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1", "PYTHONPATH": str(ROOT)}
    with output.open("wb") as out, output.with_suffix(".stderr").open("wb") as err:
        start = time.perf_counter()
        child = os.posix_spawn(
            sys.executable,
            [sys.executable, *arguments, prefix],
            environment,
            file_actions=[(os.POSIX_SPAWN_DUP2, out.fileno(), 1), (os.POSIX_SPAWN_DUP2, err.fileno(), 2)],
        )
        _, status, usage = os.wait4(child, 0)
        seconds = time.perf_counter() - start
    if status != 0:
        sys.exit(f"{' '.join(arguments)} {prefix}: exit {os.waitstatus_to_exitcode(status)}\n{err_text(output)}")
    return {"seconds": seconds, "mebibytes": usage.ru_maxrss / 1024}


def err_text(output: Path) -> str:
    """What the child said on standard error."""
    return output.with_suffix(".stderr").read_text(errors="replace")


def default_checkpoint(directory: Path) -> str:
    """The prefix of a checkpoint with 5001 variables."""
    cases = Path(os.environ.get("TFSAVER_CASES", ROOT.parent / "shared" / "cases"))
    prefix = cases / "gen_many_variables_v2" / "many.ckpt"
    if not prefix.with_name("many.ckpt.index").exists():
        prefix = directory / "many.ckpt"
        run(("-c", WRITE_A_CHECKPOINT), str(prefix), directory / "output")
    return str(prefix)


def measure(prefix: str, num_runs: int, directory: Path) -> dict[str, Any]:
    """Medians of each command, and how many times cheaper the first is."""
    samples: dict[str, list[dict[str, float]]] = {name: [] for name in COMMANDS}
    for number in range(num_runs + 1):
        for name, arguments in COMMANDS.items():
            output = directory / "output"
            sample = run(arguments, prefix, output)
            if number > 0:
                samples[name].append(sample)
            if not output.stat().st_size:
                sys.exit(f"{name} printed nothing")
    medians = {
        name: {unit: statistics.median(sample[unit] for sample in runs) for unit in ("seconds", "mebibytes")}
        for name, runs in samples.items()
    }
    ours, theirs = medians.values()
    return {
        "prefix": prefix,
        "runs": num_runs,
        "medians": medians,
        "share": {unit: ours[unit] / theirs[unit] for unit in ours},
        "samples": samples,
    }


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("prefix", nargs="?", help="a checkpoint (default: one of 5001 variables)")
    parser.add_argument("--runs", type=int, default=5, help="counted runs of each (default: 5)")
    parser.add_argument("--json", metavar="FILE", help="also write everything measured")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        result = measure(options.prefix or default_checkpoint(directory), options.runs, directory)
    print(f"{result['prefix']}\nmedians of {result['runs']} whole processes\n")
    print(f"{'':<20}{'seconds':>10}{'peak MiB':>12}")
    for command, median in result["medians"].items():
        print(f"{command:<20}{median['seconds']:>10.3f}{median['mebibytes']:>12.1f}")
    share = result["share"]
    print(f"{'share':<20}{share['seconds']:>10.3f}{share['mebibytes']:>12.3f}    (target: at most 0.100 of each)")
    if options.json:
        Path(options.json).write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
