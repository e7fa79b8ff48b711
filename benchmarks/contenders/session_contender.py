"""A Saver with a live session: the graph, the variables and the steps; which Saver it is, the two classes below say.

    save                 of a session that has been saved before
    save_first           the first save of a session, which has restored
    restore_new_session  the first thing that is asked of a session: variables without a value, nothing prepared
    restore_fresh        variables without a value, in a session that has restored before: they were destroyed meanwhile
    restore_used         variables that have values

Variables get their first values from one operation each, so that they live where TensorFlow put them, not in a numpy array.
All Savers restore the same checkpoint, the first of them writes it. Meta graphs are left out: TensorFlow writes them for
both.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

import tfsaver
from benchmarks import places
from benchmarks.contenders.contender import Contender, Work, WrongResultError
from benchmarks.workloads import LazyArrays, Workload

tf1 = tf.compat.v1
# As in a program of graphs and sessions; TensorFlow's Saver would look for eager variables otherwise.
tf1.disable_eager_execution()


class SessionContender(Contender):
    """A graph with the variables of a workload, a session, and a Saver.

    Args:
        workload: The variables.
        directory: Where its files are.
        use_resource: Whether they are resource variables, as they have been by default since TensorFlow 2; RefVariables
            otherwise.
    """

    def __init__(self, workload: Workload, directory: Path, *, use_resource: bool = True) -> None:
        super().__init__(workload, directory)
        # Beside the contenders' own directories, and theirs together.
        self._source = directory.parent / "checkpoint"
        self._graph = tf.Graph()
        with self._graph.as_default():
            self.variables = self._make_variables(use_resource)
            self._initializer = tf1.global_variables_initializer()
            self._destroy = None
            if use_resource:
                operations = [
                    tf.raw_ops.DestroyResourceOp(resource=variable.handle, ignore_lookup_error=True)
                    for variable in self.variables
                ]
                self._destroy = tf.group(*operations)
            self.saver = self.make_saver()
        self._session: Any = None
        self._has_saved = False

    def make_saver(self) -> Any:
        """The Saver of all variables, in the default graph."""
        raise NotImplementedError

    def _make_variables(self, use_resource: bool) -> list[Any]:
        shape = tf.constant([self.workload.num_elements])
        variables = []
        for number, name in enumerate(self.workload.names()):
            # Not the stateless kind: TensorFlow computes that in advance, and keeps the values as constants.
            values = tf.raw_ops.RandomUniform(shape=shape, dtype=tf.float32, seed=1, seed2=number + 1)
            values.set_shape([self.workload.num_elements])
            variables.append(tf1.Variable(values, name=name, use_resource=use_resource))
        return variables

    @property
    def _prefix(self) -> str:
        return str(self._source / "model")

    def make_source(self) -> None:
        if not self._source.exists():
            self._source.mkdir(parents=True)
            tfsaver.save_checkpoint(LazyArrays(self.workload), self._prefix, durable=False)

    def close(self) -> None:
        if self._session is not None:
            self._session.close()
            self._session = None

    def _new_session(self) -> Any:
        self.close()
        self._session = tf1.Session(graph=self._graph)
        self._has_saved = False
        return self._session

    def _session_with_values(self) -> Any:
        if self._session is None and self._source.exists():
            self.saver.restore(self._new_session(), self._prefix)
        elif self._session is None:
            self._new_session().run(self._initializer)
        return self._session

    def _save(self, directory: Path) -> str:
        prefix: str = self.saver.save(self._session, str(directory / "model"), write_meta_graph=False)
        return prefix

    @contextlib.contextmanager
    def measured_save(self, name: str, save: Callable[[Path], Any]) -> Iterator[Work]:
        """A step that saves into a new directory; TensorFlow reads a few tensors of it once, to compare."""
        with places.emptied(self.directory / "saved") as directory:
            self._has_saved = True
            work = Work(lambda: save(directory))
            yield work
            if self.is_unchecked(name):
                self._check_saved(name, str(directory / "model"))

    def _check_saved(self, name: str, prefix: str) -> None:
        reader = tf.train.load_checkpoint(prefix)
        variables = [self.variables[number] for number in self.workload.samples()]
        for variable, value in zip(variables, self._session.run(variables), strict=True):
            if not np.array_equal(reader.get_tensor(variable.op.name), value):
                raise WrongResultError(f"{type(self).__name__}.{name}: {variable.op.name} has other values")

    @contextlib.contextmanager
    def save(self) -> Iterator[Work]:
        self._session_with_values()
        with self.measured_save("save", self._save) as work:
            yield work

    @contextlib.contextmanager
    def save_first(self) -> Iterator[Work]:
        if self._session is None or self._has_saved:
            self.make_source()
            self.saver.restore(self._new_session(), self._prefix)
        with self.measured_save("save_first", self._save) as work:
            yield work

    @contextlib.contextmanager
    def _measured_restore(self, name: str) -> Iterator[Work]:
        session = self._session
        yield Work(lambda: self.saver.restore(session, self._prefix))
        by_name = {variable.op.name: variable for variable in self.variables}
        self.check(name, lambda names: session.run([by_name[name] for name in names]))

    @contextlib.contextmanager
    def restore_new_session(self) -> Iterator[Work]:
        self.make_source()
        self._new_session()
        with self._measured_restore("restore_new_session") as work:
            yield work

    @contextlib.contextmanager
    def restore_fresh(self) -> Iterator[Work]:
        self.make_source()
        if self._session is None:
            self._new_session()
        self._session.run(self._destroy)
        with self._measured_restore("restore_fresh") as work:
            yield work

    @contextlib.contextmanager
    def restore_used(self) -> Iterator[Work]:
        self.make_source()
        self._session_with_values()
        with self._measured_restore("restore_used") as work:
            yield work

    @contextlib.contextmanager
    def restore_cold(self) -> Iterator[Work]:
        """As `restore_fresh`, from files of which nothing is in memory."""
        self.make_source()
        places.evict(self._source)
        with self.restore_fresh() as work:
            yield work
