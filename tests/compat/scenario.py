"""One program, run once with TensorFlow's Saver and once with ours; what a caller can see of it is recorded.

A scenario writes ``run.call(saver.save, ...)`` in the place of ``saver.save(...)``, and the answer is recorded: what it
returned, or as what an error can be caught, and that it holds the fragment of text that callers look for. `look` records
the names of all files and the text of all state files. The scenario's directory reads "{dir}" in all of it, and is the
working directory.
"""

from __future__ import annotations

import os
import pathlib
import re
import time
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import pytest

from tfsaver.compat import _history
from tfsaver.compat.v1 import train

Recorded: TypeAlias = "list[tuple[Any, ...]]"

# As what a program catches an error that is not one of TensorFlow's; the order tells a class from its bases.
_CAUGHT_AS = (
    NotImplementedError,
    RuntimeError,
    TypeError,
    AttributeError,
    AssertionError,
    IndexError,
    KeyError,
    ValueError,
    OSError,
)


class Clock:
    """The time module with a `time` that stands still."""

    def __init__(self, now: float) -> None:
        self.now = now

    def time(self) -> float:
        return self.now

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)


class Scenario:
    """The surroundings of a program, and what came of it.

    Attributes:
        tf: TensorFlow.
        v1: `tf.compat.v1`.
        session: A session of the scenario's graph, which is the default graph; None in eager mode.
        directory: The working directory, empty at first.
        recorded: What happened.
    """

    def __init__(
        self, implementation: str, tf: Any, session: Any, directory: pathlib.Path, patch: pytest.MonkeyPatch
    ) -> None:
        self.implementation = implementation
        self.tf = tf
        self.v1 = tf.compat.v1
        self.session = session
        self.directory = directory
        self.recorded: Recorded = []
        self._patch = patch

    @property
    def train(self) -> Any:
        return self.v1.train if self.implementation == "tensorflow" else train

    def saver(self, *arguments: Any, **options: Any) -> Any:
        """A Saver; ours need not wait for the disk in a test."""
        if self.implementation == "tfsaver":
            options.setdefault("durable", False)
        return self.train.Saver(*arguments, **options)

    def variable(self, name: str, value: Any, *, resource: bool = True, **options: Any) -> Any:
        """An initialized variable."""
        variable = self.v1.Variable(value, name=name, use_resource=resource, **options)
        self.session.run(variable.initializer)
        return variable

    def two_variables(self, *, resource: bool = True) -> list[Any]:
        return [
            self.variable("v0", np.array([1.0, 2.0], np.float32), resource=resource),
            self.variable("scope/v1", np.int64(7), resource=resource),
        ]

    def set_clock(self, now: float) -> Clock:
        """Stops the clock of both Savers."""
        clock = Clock(now)
        from tensorflow.python.training import saver

        self._patch.setattr(saver, "time", clock)
        self._patch.setattr(_history, "time", clock)
        return clock

    def call(self, function: Callable[..., Any], *arguments: Any, fragment: str | None = None, **options: Any) -> Any:
        """Calls a function and records the answer; `fragment` is of the message of the error that it must raise."""
        if fragment is None:
            answer = function(*arguments, **options)
            self.recorded.append(("returns", self._plain(answer)))
            return answer
        with pytest.raises(Exception, match=re.escape(fragment) or None) as caught:
            function(*arguments, **options)
        error = caught.value
        is_tensorflows = isinstance(error, self.tf.errors.OpError)
        kind = type(error) if is_tensorflows else next(kind for kind in _CAUGHT_AS if isinstance(error, kind))
        self.recorded.append(("raises", kind.__name__, self._plain(fragment)))
        return None

    def call_quietly(self, function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        """Calls a function whose answer is no plain value; that it answers is recorded."""
        answer = function(*arguments, **options)
        self.note(answer is None)
        return answer

    def note(self, *facts: Any) -> None:
        """Records any other fact."""
        self.recorded.append(("note", *map(self._plain, facts)))

    def values(self, *variables: Any) -> None:
        """Records the values of variables."""
        self.note(*(np.asarray(value).tolist() for value in self.session.run(list(variables))))

    def look(self) -> None:
        """Records the files that there are, and what the state files among them say."""
        paths = sorted(path for path in self.directory.rglob("*") if path.is_file())
        self.recorded.append(("files", [str(path.relative_to(self.directory)) for path in paths]))
        for path in paths:
            if b"model_checkpoint_path" in path.read_bytes()[:30]:
                self.recorded.append(("state", path.name, self._plain(_without_octal_escapes(path.read_bytes()))))

    def _plain(self, value: Any) -> Any:
        if isinstance(value, str):
            return value.replace(str(self.directory), "{dir}").replace(os.path.realpath(self.directory), "{dir}")
        if isinstance(value, (list, tuple)):
            return [self._plain(item) for item in value]
        return value


def _without_octal_escapes(text: bytes) -> str:
    """The text with what is beyond ASCII as it is: protobuf 4 spells it in octal escapes, later ones and tfsaver do not."""
    return re.sub(rb"\\([2-3][0-7]{2})", lambda match: bytes([int(match[1], 8)]), text).decode()
