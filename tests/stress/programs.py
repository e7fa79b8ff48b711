"""The programs of which two or three run at once: writers, and readers that go on until they are told to stop.

    python -m tests.stress.programs <verb> <arguments as JSON>

A program says that it is ready with a line, starts with a line, and says at the end what it did in JSON. What is saved shows
who saved it: each element of each tensor is the number of the save, which no other save of any writer has.
"""

from __future__ import annotations

import json
import os
import random
import select
import sys
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np

from tfsaver import latest_checkpoint, load_checkpoint, save_checkpoint
from tfsaver.checkpoint.retention import Retention
from tfsaver.checkpoint.verify import verify_checkpoint
from tfsaver.compat._history import CountedHistory, History, LedgerHistory, enter
from tfsaver.compat._options import SaveOptions
from tfsaver.errors import CheckpointNotFoundError, CheckpointReplacedError, DataLossError

# Of different sizes, so that two of different saves never fit together by chance.
SIZES = {"a": 1, "b": 3000, "c": 20_000, "d": 17}


class MixtureError(Exception):
    """What was read is of no one save."""


def values_of(number: int) -> dict[str, Any]:
    return {name: np.full(size, number, np.int64) for name, size in SIZES.items()}


def number_of(values: dict[str, Any]) -> int:
    """The save that values are of."""
    numbers = {int(number) for value in values.values() for number in np.unique(value)}
    if len(numbers) != 1 or any(len(value) != SIZES[name] for name, value in values.items()):
        raise MixtureError(f"{sorted(numbers)} in {sorted(values)}")
    return numbers.pop()


def write_prefix(prefix: str, first: int, count: int, num_shards: list[int], version: str = "V2") -> list[int]:
    """Saves to one prefix again and again."""
    for number in range(first, first + count):
        shards = num_shards[number % len(num_shards)]
        save_checkpoint(values_of(number), prefix, num_shards=shards, format=version, durable=False)
    return list(range(first, first + count))


def write_directory(
    directory: str, name: str, first: int, count: int, max_to_keep: int, has_policy: bool = False
) -> list[int]:
    """Saves to one prefix after the other, with a state file and retention: what a Saver does around its variables."""
    history: History = CountedHistory(max_to_keep, 0)
    if has_policy:
        history = LedgerHistory(Retention(last=max_to_keep), durable=False)
    # The hours of a Saver are far in the future.
    history.next_checkpoint_time = float("inf")
    for number in range(first, first + count):
        prefix = os.path.join(directory, f"{name}-{number}")
        save_checkpoint(values_of(number), prefix, durable=False)
        enter(history, prefix, directory, SaveOptions(durable=False))
    return list(range(first, first + count))


def write_as_saver(directory: str, name: str, first: int, count: int, max_to_keep: int) -> list[int]:
    """The same with a Saver and its session."""
    import tensorflow as tf

    from tfsaver.compat.v1.train import Saver

    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        variables = {name: v1.get_variable(name, initializer=value) for name, value in values_of(0).items()}
        saver = Saver(max_to_keep=max_to_keep, durable=False)
        for number in range(first, first + count):
            for key, value in values_of(number).items():
                variables[key].load(value, session)
            saver.save(session, os.path.join(directory, name), number, write_meta_graph=False)
    return list(range(first, first + count))


def write_as_tensorflow(prefix: str, first: int, count: int) -> list[int]:
    """Saves to one prefix by TensorFlow's operation, which renames the data first and the index last."""
    import tensorflow as tf

    for number in range(first, first + count):
        values = values_of(number)
        tf.raw_ops.SaveV2(
            prefix=prefix, tensor_names=list(values), shape_and_slices=[""] * len(values), tensors=list(values.values())
        )
    return list(range(first, first + count))


def read_prefix(prefix: str, by_tensorflow: bool = False) -> dict[str, Any]:
    """Reads one prefix in all ways, until told to stop."""
    allowed: tuple[type[Exception], ...] = (CheckpointNotFoundError, CheckpointReplacedError)
    if by_tensorflow:
        # Between its two renames.
        allowed = (*allowed, DataLossError)
    return _read_until_told(
        {
            "together": lambda: number_of(_opened(prefix, lambda reader: reader.read_tensors())),
            "one by one": lambda: number_of(_opened(prefix, lambda reader: {name: reader[name] for name in reader})),
            "unverified": lambda: number_of(
                _opened(prefix, lambda reader: {name: reader.read(name, verify=False) for name in SIZES})
            ),
            "mapped": lambda: number_of(_opened(prefix, lambda reader: {name: reader.map(name) for name in SIZES})),
            "verified": lambda: _verified(prefix),
        },
        allowed,
    )


def read_v1_file(prefix: str) -> dict[str, Any]:
    """Reads a checkpoint that is one file."""
    return _read_until_told(
        {
            "one by one": lambda: number_of(_opened(prefix, lambda reader: {name: reader[name] for name in reader})),
            "verified": lambda: _verified(prefix),
        }
    )


def read_directory(directory: str) -> dict[str, Any]:
    """Follows the newest checkpoint of a directory, in all ways."""
    return _read_until_told(
        {
            "directory": lambda: number_of(_opened(directory, lambda reader: reader.read_tensors())),
            "latest": lambda: _of_latest(latest_checkpoint(directory)),
            "latest verified": lambda: _of_latest(latest_checkpoint(directory, verified=True)),
        }
    )


def read_as_tensorflow(prefix: str) -> dict[str, Any]:
    """The same by TensorFlow's reader."""
    import tensorflow as tf

    def read(path: str | None) -> int | None:
        if path is None:
            return None
        reader = tf.train.load_checkpoint(path)
        return number_of({name: reader.get_tensor(name) for name in SIZES})

    def newest() -> str | None:
        return str(tf.train.latest_checkpoint(prefix)) if os.path.isdir(prefix) else prefix

    return _read_until_told({"tensorflow": lambda: read(newest())}, (tf.errors.OpError, RuntimeError, IndexError))


def _of_latest(path: str | None) -> int | None:
    return None if path is None else number_of(_opened(path, lambda reader: reader.read_tensors()))


def _opened(path: str, read: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
    with load_checkpoint(path) as reader:
        return read(reader)


def _verified(prefix: str) -> None:
    report = verify_checkpoint(prefix)
    if not report.ok:
        raise DataLossError(str(report))


def _read_until_told(
    readers: dict[str, Callable[[], int | None]],
    allowed: tuple[type[Exception], ...] = (CheckpointNotFoundError, CheckpointReplacedError),
) -> dict[str, Any]:
    counts = {name: Counter[str]() for name in readers}
    numbers: dict[str, set[int]] = {name: set() for name in readers}
    choose = random.Random(0)
    is_last = False
    while not is_last:
        # Once more when the writers are done: what is there then must be read by all.
        is_last = bool(select.select([sys.stdin], [], [], 0)[0])
        for name in sorted(readers, key=lambda _: choose.random()):
            try:
                number = readers[name]()
            except allowed as error:
                if is_last:
                    raise
                counts[name][type(error).__name__] += 1
            else:
                counts[name]["read"] += 1
                if number is not None:
                    numbers[name].add(number)
    return {name: {**counts[name], "numbers": sorted(numbers[name])} for name in readers}


def main() -> None:
    verb, arguments = sys.argv[1], json.loads(sys.argv[2])
    program = globals()[verb]
    if verb.endswith(("tensorflow", "saver")):
        import tensorflow  # noqa: F401 - takes seconds, in which the others would be done
    print("ready", flush=True)
    sys.stdin.readline()
    print(json.dumps(program(**arguments)), flush=True)


if __name__ == "__main__":
    main()
