"""What a fuzz target is, how one is found, and what counts as a finding.

A target is a module in a folder ``targets_*`` beside this file, called by its file's name, with

    NAME                                   what it is called in tables
    seeds() -> Iterable[bytes]             inputs to begin with
    run(data: bytes) -> None               does with the input whatever a user may do with such a file
    mutate(data, mutate_bytes, random)     optional: another input made of `data`, for formats whose parts must fit together;
                                           `mutate_bytes` changes a part as the fuzzer would the whole
    MAX_SIZE                               optional: bytes of the largest input, 4096 if it is not there; small ones are fast

An error that is a SaverError is what the format's reader is for. Any other one is a finding, and so is an input that takes
more than a second of the processor's time, or memory beyond `max_peak`.
"""

from __future__ import annotations

import importlib
import pathlib
import random
import time
import tracemalloc
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

_MAX_SIZE = 4096
MAX_SECONDS = 1.0
# What every input may take, and what each of its bytes may.
_BASE_PEAK = 4 << 20
_PEAK_PER_BYTE = 256

MutateBytes = Callable[[bytes], bytes]

_FOLDER = pathlib.Path(__file__).resolve().parent


class FindingError(AssertionError):
    """An input that takes too much."""


class Target(NamedTuple):
    """A loaded target."""

    name: str
    seeds: Callable[[], Iterable[bytes]]
    run: Callable[[bytes], None]
    mutate: Callable[[bytes, MutateBytes, random.Random], bytes] | None = None
    max_size: int = _MAX_SIZE


def target_names() -> list[str]:
    """The names of all targets; none of them is imported."""
    return sorted(path.stem for path in _FOLDER.glob("targets_*/*.py") if not path.stem.startswith("_"))


def load_target(name: str) -> Target:
    """The target of that name."""
    (path,) = _FOLDER.glob(f"targets_*/{name}.py")
    module: Any = importlib.import_module(f"tests.fuzz.{path.parent.name}.{name}")
    max_size = getattr(module, "MAX_SIZE", _MAX_SIZE)
    return Target(module.NAME, module.seeds, module.run, getattr(module, "mutate", None), max_size)


def small_seeds(target: Target) -> list[bytes]:
    """The target's seeds that are no larger than its inputs may be."""
    return [seed for seed in target.seeds() if len(seed) <= target.max_size]


def max_peak(size: int) -> int:
    """Bytes of memory that an input of `size` bytes may take."""
    return _BASE_PEAK + _PEAK_PER_BYTE * size


def run_once(target: Target, data: bytes) -> None:
    """Runs a target on one input; raises what is a finding."""
    from tfsaver.errors import SaverError  # where a fuzzer instruments tfsaver, it must be the first to import it

    # To ask for the time of the clock is cheap, to ask for the processor's is not: only what may be slow is measured so.
    for clock in (time.perf_counter, time.process_time):
        start = clock()
        try:
            target.run(data)
        except SaverError:
            pass
        seconds = clock() - start
        if seconds <= MAX_SECONDS:
            return
    raise FindingError(f"{target.name}: {len(data)} bytes took {seconds:.1f} seconds")


def run_measured(target: Target, data: bytes) -> int:
    """The same with every allocation counted; returns the peak, which may not be beyond `max_peak`."""
    tracemalloc.start()
    try:
        run_once(target, data)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    if peak > max_peak(len(data)):
        raise FindingError(f"{target.name}: {len(data)} bytes took {peak} bytes of memory, {max_peak(len(data))} may be")
    return peak


def changed(target: Target, data: bytes, mutate_bytes: MutateBytes, seed: int) -> bytes:
    """Another input, by the target's own way to change one where it has such."""
    if target.mutate is None:
        return mutate_bytes(data)[: target.max_size]
    return target.mutate(data, mutate_bytes, random.Random(seed))[: target.max_size]
