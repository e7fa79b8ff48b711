"""Reads every checkpoint of a folder of cases in a process that cannot import TensorFlow.

    python read_cases.py FOLDER        prints {"case/prefix": [what differs from its expected.json]}

A tensor's hash is of its little-endian bytes in C order; of strings, each one's size as 8 bytes and then its bytes.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

sys.modules["tensorflow"] = None  # type: ignore[assignment]

from tfsaver.checkpoint.checkpoint_reader import CheckpointReader, load_checkpoint  # noqa: E402
from tfsaver.checkpoint.verify import verify_checkpoint  # noqa: E402


def digest(array: Any) -> str:
    if array.dtype == object:
        data = b"".join(len(item).to_bytes(8, "little") + item for item in array.reshape(-1).tolist())
    else:
        data = np.ascontiguousarray(array).tobytes()
    return hashlib.sha256(data).hexdigest()


def differences(reader: CheckpointReader, expected: dict[str, list[Any]]) -> list[str]:
    found = []
    if reader.names != sorted(expected, key=str.encode):
        found.append(f"names: {set(reader.names) ^ set(expected)}")
    for name, (dtype, shape, sha256, *_) in expected.items():
        info = reader.info(name)
        array = reader[name]
        if (info.dtype.name, list(info.shape)) != (dtype, shape) or array.dtype != info.dtype.numpy:
            found.append(f"{name}: {info.dtype} {info.shape}, not {dtype} {shape}")
        if list(array.shape) != shape or digest(array) != sha256:
            found.append(f"{name}: another value")
    return found


def main(folder: str) -> None:
    results = {}
    for listing in sorted(Path(folder).rglob("expected.json")):
        for prefix, expected in json.loads(listing.read_text())["checkpoints"].items():
            path = listing.parent / prefix
            with load_checkpoint(path) as reader:
                found = differences(reader, expected)
            found += [str(problem) for problem in verify_checkpoint(path).problems]
            results[f"{listing.parent.name}/{prefix}"] = found
    json.dump(results, sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1])
