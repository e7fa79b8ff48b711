"""Checkpoints on an object store, and of many processes: the claims of `docs/more_than_one_machine.md`, measured.

    python -m benchmarks.stores                    all of it, as JSON
    python -m benchmarks.stores merge reads        some of it

`reads` and `upload` ask moto in a process of its own, which answers each request after 50 ms. The tensor of 67 MB is read in
turn with a plain `cat_file` of the same bytes: ratios travel between machines, absolute numbers do not.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

_LATENCY = 0.05
_ROUNDS = 5
_NUM_PARTS, _NUM_ENTRIES = 1000, 1_000_000
_UPLOADED = 400 << 20


def _serve(connection: Any) -> None:
    from tests.stores.s3_server import S3Server  # noqa: PLC0415 - only the server's process needs it

    server = S3Server()
    server.latency = _LATENCY
    connection.send(server.url)
    connection.recv()
    server.close()


def _timed(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _in_turn(ours: Callable[[], object], plain: Callable[[], object]) -> dict[str, float]:
    """The medians of both, and of the rounds' ratios; the first round does not count."""
    rounds = [(_timed(ours), _timed(plain)) for _ in range(_ROUNDS + 1)][1:]
    return {
        "seconds": statistics.median(each for each, _ in rounds),
        "plain": statistics.median(each for _, each in rounds),
        "ratio": statistics.median(each / other for each, other in rounds),
    }


def reads() -> dict[str, Any]:
    """1,000 variables at 50 ms a request; a tensor of 67 MB against a plain copy of its bytes."""
    import fsspec  # noqa: PLC0415 - after the environment names the server

    import tfsaver  # noqa: PLC0415

    system = fsspec.filesystem("s3", use_listings_cache=False)
    system.mkdir("bench")
    small = {f"layer_{number:04}": np.full((1000,), number, np.float32) for number in range(1000)}
    tfsaver.save_checkpoint(small, "s3://bench/small")
    tfsaver.save_checkpoint({"large": np.arange(67_000_000 // 4, dtype=np.float32)}, "s3://bench/large")
    reader = tfsaver.load_checkpoint("s3://bench/large")
    data = "bench/large.data-00000-of-00001"
    return {
        "verify of 1,000 variables": _timed(lambda: tfsaver.verify("s3://bench/small")),
        "dict(reader) of 1,000 variables": _timed(lambda: dict(tfsaver.load_checkpoint("s3://bench/small"))),
        "67 MB tensor": _in_turn(lambda: reader["large"], lambda: system.cat_file(data, start=0, end=67_000_000)),
    }


def _upload() -> None:
    import tfsaver  # noqa: PLC0415

    values = {"w": np.ones(_UPLOADED // 4, np.float32)}
    tfsaver.save_checkpoint({"w": np.ones(8)}, "s3://bench-up/warm")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    tfsaver.save_checkpoint(values, "s3://bench-up/model")
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)


def upload() -> dict[str, Any]:
    """The memory that an upload of 400 MB takes beyond the caller's."""
    import fsspec  # noqa: PLC0415 - as above

    fsspec.filesystem("s3", use_listings_cache=False).mkdir("bench-up")
    code = "from benchmarks import stores; stores._upload()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return {"MiB beyond the caller's": int(done.stdout) / 1024}


def _write_manifests(directory: str) -> None:
    import tfsaver  # noqa: PLC0415 - only here

    each = _NUM_ENTRIES // _NUM_PARTS
    for rank in range(_NUM_PARTS):
        with tfsaver.ShardWriter(f"{directory}/m", rank=rank, world_size=_NUM_PARTS, save_id="1", durable=False) as shard:
            for number in range(each):
                shard.add(f"model/layer_{number * _NUM_PARTS + rank:07}/kernel", np.float32(rank))


def _merge(directory: str) -> None:
    import tfsaver  # noqa: PLC0415 - only here

    seconds = _timed(lambda: tfsaver.commit(f"{directory}/m", world_size=_NUM_PARTS, save_id="1", durable=False))
    print(json.dumps([seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]))


def merge() -> dict[str, Any]:
    """A commit of 1,000 parts with 1,000,000 entries."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
        _write_manifests(directory)
        code = f"from benchmarks import stores; stores._merge({directory!r})"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        seconds, peak = json.loads(done.stdout)
    return {"seconds": seconds, "peak MiB": peak}


def main(names: list[str]) -> None:
    """Measures what is asked for, and prints it."""
    benchmarks: dict[str, Callable[[], dict[str, Any]]] = {"reads": reads, "upload": upload, "merge": merge}
    found = {}
    context = multiprocessing.get_context("spawn")
    connection, end = context.Pipe()
    server = context.Process(target=_serve, args=(end,), daemon=True)
    server.start()
    keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}
    os.environ.update(keys, AWS_ENDPOINT_URL=connection.recv())
    os.environ["PYTHONPATH"] = str(Path(__file__).parents[1])
    try:
        for name in names or benchmarks:
            found[name] = benchmarks[name]()
    finally:
        connection.send(None)
        server.join()
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main(sys.argv[1:])
