"""Writes a target's seeds as files, which is how libFuzzer takes them."""

from __future__ import annotations

import hashlib
import pathlib
import sys

from tests.fuzz import harness


def main(name: str, folder: str) -> None:
    for seed in harness.small_seeds(harness.load_target(name)):
        pathlib.Path(folder, hashlib.sha1(seed).hexdigest()).write_bytes(seed)


if __name__ == "__main__":
    main(*sys.argv[1:])
