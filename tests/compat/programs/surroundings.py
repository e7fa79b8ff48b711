"""What a program gets, whichever Saver it is run with."""

from __future__ import annotations

import pathlib
import re
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from tfsaver.compat.v1 import train


class Surroundings:
    """What a program gets.

    Attributes:
        tf: TensorFlow.
        v1: `tf.compat.v1`.
        directory: An empty directory of its own.
        way: "tensorflow", "ours" or "patched".
    """

    def __init__(self, tf: Any, directory: pathlib.Path, way: str) -> None:
        self.tf = tf
        self.v1 = tf.compat.v1
        self.directory = directory
        self.way = way

    @property
    def path(self) -> str:
        return str(self.directory)

    def saver(self, *arguments: Any, **options: Any) -> Any:
        """The Saver that the program is to use; None where the program is to make its own."""
        return train.Saver(*arguments, durable=False, **options) if self.way == "ours" else None

    def any_saver(self, *arguments: Any, **options: Any) -> Any:
        """A Saver, for a program that must make one itself."""
        return self.saver(*arguments, **options) or self.v1.train.Saver(*arguments, **options)

    def check(self, saver: Any) -> None:
        """Makes sure that the program's Saver is of the kind that the test is about."""
        assert isinstance(saver, train.Saver) == (self.way != "tensorflow"), type(saver)

    def files(self, pattern: str = "*") -> list[str]:
        """The names of the files, those of events without their times."""
        names = (str(path.relative_to(self.directory)) for path in self.directory.rglob(pattern) if path.is_file())
        return sorted(re.sub(r"events\.out\.tfevents\..*", "events", name) for name in names)

    def state(self) -> str:
        return (self.directory / "checkpoint").read_text().replace(self.path, "{dir}")


Program: TypeAlias = Callable[[Surroundings], Any]
ThreeWays: TypeAlias = Callable[[Program], Any]


def training_graph(given: Surroundings) -> tuple[list[Any], Any]:
    """Variables that grow with each step, in the default graph, and the operation of a step."""
    v1 = given.v1
    step = v1.train.get_or_create_global_step()
    weight = v1.get_variable("weight", initializer=np.float32([0, 0]), use_resource=True)
    bias = v1.get_variable("bias", initializer=np.float32(10), use_resource=False)
    with given.tf.control_dependencies([v1.assign_add(weight, [1.0, 2.0]), v1.assign_add(bias, 1.0)]):
        train = v1.assign_add(step, 1)
    return [weight, bias, step], train


def values(session: Any, variables: list[Any]) -> list[Any]:
    return [np.asarray(value).tolist() for value in session.run(variables)]
