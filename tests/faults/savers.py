"""Programs that save with a Saver, tfsaver's or TensorFlow's own: the same graph, the same steps.

Graph and session are made when the program is opened, in the process that saves: both have threads, which a fork ends.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import Any

import tensorflow as tf

import tfsaver
from tests.faults import values
from tests.faults.programs import free_place

v1 = tf.compat.v1


class Saves:
    """A training program that saves.

    Args:
        saver: Makes the Saver.
        overwrites: Whether all generations have one prefix.
        make: The variables' values.
        num_devices: Over how many devices the variables are distributed.
        options: For `save`.
    """

    def __init__(
        self,
        saver: Callable[..., Any],
        *,
        overwrites: bool = False,
        make: values.Make = values.few,
        num_devices: int = 1,
        save_options: dict[str, Any] | None = None,
        **options: Any,
    ) -> None:
        self._make = make
        self._overwrites = overwrites
        self._save_options = save_options or {}
        self._num_devices = num_devices
        self._new_saver = functools.partial(saver, **options)
        self._directory = ""
        self._session: Any = None

    def open(self, directory: str) -> None:
        self._directory = directory
        with tf.Graph().as_default() as graph:
            self._feeds: dict[str, Any] = {}
            assigned = []
            for number, (name, array) in enumerate(sorted(self._make(0).items())):
                with tf.device(f"/cpu:{number % self._num_devices}"):
                    dtype = tf.as_dtype(array.dtype)
                    variable = v1.get_variable(name, array.shape, dtype, trainable=False, use_resource=True)
                    self._feeds[name] = v1.placeholder(dtype, array.shape)
                    assigned.append(variable.assign(self._feeds[name], read_value=False))
            self._assign = tf.group(*assigned)
            self._saver = self._new_saver()
        config = v1.ConfigProto(
            device_count={"CPU": self._num_devices}, intra_op_parallelism_threads=1, inter_op_parallelism_threads=1
        )
        self._session = v1.Session(graph=graph, config=config)
        state = v1.train.get_checkpoint_state(directory)
        if state is not None:
            # What programs do that go on where an earlier one stopped.
            self._saver.recover_last_checkpoints(list(state.all_model_checkpoint_paths))

    def save(self, generation: int) -> None:
        tensors = self._make(generation)
        with self._session.graph.as_default():
            self._session.run(self._assign, {self._feeds[name]: array for name, array in tensors.items()})
            step = None if self._overwrites else generation
            path = os.path.join(self._directory, "model")
            self._saver.save(self._session, path, global_step=step, **self._save_options)
            if not self._save_options.get("blocking", True):
                self._saver.wait()


class ExportsSession:
    """A program that exports the variables of a session as a SavedModel, by tfsaver or by TensorFlow's own builder."""

    def __init__(self, *, by_tensorflow: bool = False) -> None:
        self._by_tensorflow = by_tensorflow
        self._directory = ""
        self._session: Any = None

    def open(self, directory: str) -> None:
        self._directory = directory
        with tf.Graph().as_default() as graph:
            shapes = {name: array.shape for name, array in values.exported(0).items()}
            self._x = v1.placeholder(tf.float32, [None, 3], "x")
            variables = {name: v1.get_variable(name, shape, use_resource=True) for name, shape in shapes.items()}
            self._feeds = {name: v1.placeholder(tf.float32, shape) for name, shape in shapes.items()}
            self._assign = tf.group(*(variables[name].assign(self._feeds[name], read_value=False) for name in shapes))
            self._y = tf.add(tf.matmul(self._x, variables["kernel"]), variables["bias"], "y")
        self._session = v1.Session(graph=graph)

    def save(self, generation: int) -> None:
        feeds = {self._feeds[name]: array for name, array in values.exported(generation).items()}
        path = free_place(self._directory, generation)
        with self._session.graph.as_default():
            self._session.run(self._assign, feeds)
            if self._by_tensorflow:
                v1.saved_model.simple_save(self._session, path, {"x": self._x}, {"y": self._y})
            else:
                tfsaver.export_saved_model(self._session, path, inputs={"x": self._x}, outputs={"y": self._y})
