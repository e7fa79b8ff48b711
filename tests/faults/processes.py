"""Children of a process that has one thread: forked with everything imported, and gone when they have answered."""

from __future__ import annotations

import os
import pickle
import sys
import traceback
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


class ChildError(Exception):
    """A child raised, or died; with what it said."""


def fork(run: Callable[[], None]) -> int:
    """Starts a child that runs a function and ends; its parent must have no other thread, whose locks nobody would open."""
    sys.stdout.flush()
    sys.stderr.flush()
    with warnings.catch_warnings():
        # Newer Pythons, and JAX where a test has imported it, warn of other threads; where tests fork themselves, these wait,
        # and the child asks little of anyone.
        warnings.simplefilter("ignore")
        process = os.fork()
    if process:
        return process
    status = 1
    try:
        run()
        status = 0
    except BaseException:  # noqa: BLE001 - what else there is to do in a child
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


def in_child(function: Callable[[], T]) -> T:
    """What a function returns when a child calls it; this process gets none of its threads.

    Raises:
        ChildError: It raised, or the child died of it.
    """
    reading, writing = os.pipe()

    def run() -> None:
        answer: tuple[bool, Any]
        try:
            answer = True, function()
        except Exception as error:  # noqa: BLE001 - told to the parent
            answer = False, f"{type(error).__name__}: {error}"
        with os.fdopen(writing, "wb") as pipe:
            pickle.dump(answer, pipe)

    process = fork(run)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        data = pipe.read()
    _, status = os.waitpid(process, 0)
    if not data:
        raise ChildError(f"the child ended with status {status}")
    succeeded, value = pickle.loads(data)
    if not succeeded:
        raise ChildError(value)
    result: T = value
    return result
