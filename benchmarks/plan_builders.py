"""What the builders of plans cost for tensors that they leave as they are: seconds and megabytes for a million of them.

    python -m benchmarks.plan_builders [--tensors 1000000] [--json FILE] [BUILDER ...]

Each builder runs in a process of its own, one after the other, on checkpoints of small integer tensors that are open and
whose names have been read. Seconds are the process's CPU time, which others on the machine hardly lengthen, and megabytes
are how far its resident memory rises at most meanwhile (`VmHWM`, reset before). It needs Linux.
"""

from __future__ import annotations

import argparse
import gc
import json
import multiprocessing
import re
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfsaver import load_checkpoint
from tfsaver.checkpoint.checkpoint_reader import CheckpointReader
from tfsaver.checkpoint.editing.average import averaged
from tfsaver.checkpoint.editing.cast import casted
from tfsaver.checkpoint.editing.merge import merged
from tfsaver.checkpoint.editing.rename import renamed
from tfsaver.checkpoint.editing.select import selected
from tfsaver.checkpoint.plan import as_plan
from tfsaver.tensor_bundle.writer import BundleWriter

# The target for a million tensors.
MAX_SECONDS = 1.0
MAX_MEGABYTES = 100.0

# Which checkpoints each takes: "all" has every tensor, "first" and "second" half of them.
BUILDERS: dict[str, tuple[Sequence[str], Callable[[Sequence[CheckpointReader]], Any]]] = {
    "as_plan": (["all"], lambda readers: as_plan(readers[0])),
    "selected, all but 5": (["all"], lambda readers: selected(readers[0], readers[0].names[5:])),
    "renamed, no name": (["all"], lambda readers: renamed(readers[0], [("no_such_name$", "x")])),
    "renamed, 100 names": (["all"], lambda readers: renamed(readers[0], [("^first_000001/", "x/")])),
    "casted, no tensor": (["all"], lambda readers: casted(readers[0], "float16")),
    "casted, 100 tensors": (["all"], lambda readers: casted(readers[0], "int64", include="^first_000001/")),
    "merged, other names": (["first", "second"], merged),
    "averaged, no floats": (["all", "all"], averaged),
    "merged, same names": (["all", "all"], lambda readers: merged(readers, "first")),
}


def write(directory: Path, num_tensors: int) -> None:
    """Writes the checkpoints that the builders take."""
    for checkpoint, scopes in (("first", ["first"]), ("second", ["second"]), ("all", ["first", "second"])):
        with BundleWriter(directory / checkpoint, durable=False) as writer:
            for scope in scopes:
                for number in range(num_tensors // 2):
                    writer.add(f"{scope}_{number // 100:06d}/kernel_{number % 100:02d}", np.full(4, number, np.int32))


def _memory(field: str) -> float:
    sizes = re.findall(rf"{field}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(sizes[0]) * 1024 / 1e6


def measure(builder: str, directory: Path) -> dict[str, float]:
    """Seconds and megabytes of one builder, in this process."""
    checkpoints, build = BUILDERS[builder]
    readers = [load_checkpoint(directory / checkpoint) for checkpoint in checkpoints]
    for reader in readers:
        _ = reader.names
    gc.collect()
    before = _memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    start = time.process_time()
    result = build(readers)
    seconds = time.process_time() - start
    del result
    return {"seconds": seconds, "megabytes": _memory("VmHWM") - before}


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("builders", nargs="*", metavar="BUILDER", help=f"of: {'; '.join(BUILDERS)} (default: all)")
    parser.add_argument("--tensors", type=int, default=1_000_000, help="how many tensors there are (default: 1000000)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write everything measured")
    options = parser.parse_args()
    found = {}
    with tempfile.TemporaryDirectory() as name:
        write(Path(name), options.tensors)
        print(f"{options.tensors:,} tensors\n\n{'':<22}{'CPU seconds':>12}{'MB':>8}")
        for builder in options.builders or BUILDERS:
            # Not forked: memory that the parent has freed would be used again without being counted.
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                found[builder] = pool.apply(measure, (builder, Path(name)))
            print(f"{builder:<22}{found[builder]['seconds']:>12.2f}{found[builder]['megabytes']:>8.1f}", flush=True)
    print(f"\ntarget for a million tensors: {MAX_SECONDS:.2f} s, {MAX_MEGABYTES:.0f} MB")
    if options.json:
        options.json.write_text(json.dumps({"tensors": options.tensors, "builders": found}, indent=2) + "\n")


if __name__ == "__main__":
    main()
