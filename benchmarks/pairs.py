"""Compares two checkouts of tfsaver: the same work in both, in turn, and the median of the ratios of the pairs.

    python -m benchmarks.pairs ../older-checkout                    this checkout against that one, 10 pairs of everything
    python -m benchmarks.pairs ../older-checkout --only read verify --pairs 3

A ratio above 1 says that this checkout is faster. For each pair each checkout has a process, which does every piece of work
once to warm up and then three times; the median counts. Files lie in memory where there is /dev/shm, and free memory is kept
from the machine's host between the processes (see `kept_memory`). Peaks are the kernel's own, without what the process had
before the work began.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import importlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import tfsaver

_ROOT = Path(__file__).resolve().parents[1]
_MEMORY = Path("/dev/shm")
_REPEATS = 3
# What a worker may want, files in memory included.
_NEEDED = 3 << 30
_NUM_ENTRIES = 1_000_000


def _prepare(directory: Path) -> None:
    for count in (10, 1000):
        elements = 250_000_000 // count
        rng = np.random.default_rng(count)
        values = {f"layer_{number:04}/kernel": rng.random(elements, np.float32) for number in range(count)}
        tfsaver.save_checkpoint(values, directory / f"in-{count}", durable=False)
        _convert()(values, directory / f"in-{count}.safetensors", durable=False)
    with tfsaver.BundleWriter(directory / "entries", durable=False) as writer:
        one = np.zeros((), np.float32)
        for number in range(_NUM_ENTRIES):
            writer.add(f"table/row_{number:07}", one)


def _convert() -> Callable[..., object]:
    # In older checkouts `tfsaver.convert` is a package once something of it has been imported.
    convert: Callable[..., object] = getattr(tfsaver.convert, "convert", tfsaver.convert)
    return convert


def _restore(directory: Path) -> Callable[[], object]:
    os.environ.update(TF_CPP_MIN_LOG_LEVEL="3", CUDA_VISIBLE_DEVICES="")
    tf: Any = importlib.import_module("tensorflow.compat.v1")
    tf.disable_eager_execution()
    with tfsaver.load_checkpoint(directory / "in-1000") as reader:
        variables = [tf.get_variable(name, reader.shape(name), use_resource=True) for name in reader]
    saver, session = tfsaver.Saver(variables), tf.Session()
    return lambda: saver.restore(session, str(directory / "in-1000"))


def _work(case: str, directory: Path) -> Callable[[], object]:
    """What is measured; what it needs has been imported when this returns."""
    if case == "restore 1 GB in 1,000":
        return _restore(directory)
    if (verb := case.partition(", 1 GB")[0]) in _VERBS:
        source = directory / ("in-1000" if case.endswith("1,000") else "in-10")
        return _VERBS[verb](source, directory / "out")
    many, entries = directory / "in-1000", directory / "entries"
    names = [f"layer_{number:04}/kernel" for number in range(0, 1000, 5)]
    rows = [f"table/row_{number:07}" for number in range(0, _NUM_ENTRIES, 1000)]

    def read_all() -> None:
        with tfsaver.load_checkpoint(many) as reader:
            reader.read_tensors()

    def read_one() -> None:
        for name in names:
            with tfsaver.load_checkpoint(many) as reader:
                reader[name]

    def look_up() -> None:
        for _ in range(5):
            with tfsaver.load_checkpoint(entries) as reader:
                for row in rows:
                    reader.shape(row)

    # Their names are looked for when they are first used.
    works: dict[str, Callable[[], object]] = {
        "read all, 1 GB in 1,000": read_all,
        "verify, 1 GB in 1,000": lambda verify=tfsaver.verify: verify(many),
        "read one of 1,000": read_one,
        "open and look up in 1 M entries": look_up,
    }
    return works[case]


_QUIET = {"durable": False, "overwrite": True}


def _to_safetensors(source: Path, out: Path) -> Callable[[], object]:
    convert = _convert()
    return lambda: convert(source, out.with_suffix(".safetensors"), durable=False)


def _from_safetensors(source: Path, out: Path) -> Callable[[], object]:
    convert = _convert()
    return lambda: convert(source.with_suffix(".safetensors"), out, **_QUIET)


# Each gives what is measured, with what it needs imported: names of `tfsaver` are looked for when they are first used.
_VERBS: dict[str, Callable[[Path, Path], Callable[[], object]]] = {
    "rename": lambda source, out, verb=tfsaver.rename: lambda: verb(source, out, {}, **_QUIET),
    "cast": lambda source, out, verb=tfsaver.cast: lambda: verb(source, out, "bfloat16", **_QUIET),
    "average": lambda source, out, verb=tfsaver.average: lambda: verb([source, source], out, **_QUIET),
    "merge": lambda source, out, verb=tfsaver.merge: lambda: verb([source, {"other": np.zeros(1)}], out, **_QUIET),
    "strip": lambda source, out, verb=tfsaver.strip: lambda: verb(source, out, meta=False, **_QUIET),
    "diff": lambda source, _, verb=tfsaver.diff: lambda: verb(source, source),
    "to safetensors": _to_safetensors,
    "from safetensors": _from_safetensors,
}


CASES = (
    "read all, 1 GB in 1,000",
    "verify, 1 GB in 1,000",
    "read one of 1,000",
    "open and look up in 1 M entries",
    *(f"{verb}, 1 GB in {count}" for verb in _VERBS for count in ("10", "1,000")),
    # Last: TensorFlow has threads and memory of its own.
    "restore 1 GB in 1,000",
)


def _measure(case: str, directory: Path) -> dict[str, float]:
    work = _work(case, directory)
    gc.collect()
    # Linux begins anew to look for the highest.
    Path("/proc/self/clear_refs").write_text("5")
    before = _peak()
    work()
    seconds = []
    for _ in range(_REPEATS):
        begin = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - begin)
    return {"seconds": statistics.median(seconds), "mib": (_peak() - before) / 1024}


def _peak() -> int:
    """The most memory the process has had, in KiB."""
    lines = Path("/proc/self/status").read_text("utf-8").splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM:")).split()[1])


def _run(checkout: Path, *arguments: str) -> Any:
    done = subprocess.run(
        # Not as a script, which would put its own directory in front of the checkout.
        [sys.executable, "-c", f"import runpy; runpy.run_path({__file__!r}, run_name='__main__')", *arguments],
        env={**os.environ, "PYTHONPATH": str(checkout)}, cwd="/", stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    return json.loads(done.stdout or "null")


def _compare(other: Path, directory: Path, cases: list[str], num_pairs: int, kept: Any) -> None:
    print(f"| work | ratio, median of {num_pairs} pairs | lowest to highest | peak here | peak there |")
    print("|---|---|---|---|---|", flush=True)
    found: dict[Path, list[Any]] = {_ROOT: [], other: []}
    for number in range(num_pairs):
        # Each is first in every other pair.
        for checkout in (_ROOT, other) if number % 2 else (other, _ROOT):
            with kept.released():
                found[checkout].append(_run(checkout, "--worker", "\n".join(cases), "--directory", str(directory)))
    for case in cases:
        here, there = ([each[case] for each in found[checkout]] for checkout in (_ROOT, other))
        ratios = [b["seconds"] / a["seconds"] for a, b in zip(here, there, strict=True)]
        peaks = [statistics.median(each["mib"] for each in side) for side in (here, there)]
        low, median, high = min(ratios), statistics.median(ratios), max(ratios)
        print(f"| {case} | {median:.2f} | {low:.2f} to {high:.2f} | {peaks[0]:.0f} MiB | {peaks[1]:.0f} MiB |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("other", type=Path, nargs="?", help="the other checkout, its schemas built")
    parser.add_argument("--only", nargs="+", default=[""], metavar="TEXT", help="work with one of these in its name")
    parser.add_argument("--pairs", type=int, default=10, help="how often each checkout does each piece of work")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("--directory", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker == "prepare":
        _prepare(options.directory)
    elif options.worker:
        print(json.dumps({case: _measure(case, options.directory) for case in options.worker.split("\n")}))
    elif options.other is None:
        parser.error("which checkout is this one to be compared with?")
    else:
        directory = Path(tempfile.mkdtemp(prefix="tfsaver-pairs-", dir=_MEMORY if _MEMORY.is_dir() else None))
        try:
            _run(_ROOT, "--worker", "prepare", "--directory", str(directory))
            cases = [case for case in CASES if any(text in case for text in options.only)]
            # A worker of another checkout need not have it.
            kept_memory = importlib.import_module("benchmarks.kept_memory")
            total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
            with contextlib.closing(kept_memory.KeptMemory(total)) as kept:
                kept.leave(_NEEDED)
                _compare(options.other.resolve(), directory, cases, options.pairs, kept)
        finally:
            shutil.rmtree(directory)


if __name__ == "__main__":
    main()
