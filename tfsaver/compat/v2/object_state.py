"""What objects save besides variables, such as the words of a lookup table or the position of an iterator.

TensorFlow gives no other way to such values than a checkpoint. So the object is written alone, which says what its tensors
are called and of what type they are; and it is restored from a checkpoint of the same form with the new values. All tensors
of an object are restored together, as the last of them comes.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np

from tfsaver.checkpoint.checkpoint_reader import load_checkpoint
from tfsaver.checkpoint.objects.object_graph import read_object_graph
from tfsaver.checkpoint.save import save_checkpoint
from tfsaver.checkpoint.tensor_source import Array
from tfsaver.compat import _tensorflow
from tfsaver.framework.dtypes import DType
from tfsaver.framework.tensor_slice import TensorSlice
from tfsaver.lib import file_io

_EDGE = "of"


class ObjectState:
    """The state of an object.

    Args:
        path: The path to the object.
        trackable: The object.

    Attributes:
        parts: Its tensors.

    Raises:
        Exception: Whatever TensorFlow raises when the object cannot be saved as it is.
    """

    def __init__(self, path: str, trackable: Any) -> None:
        self.path = path
        self._checkpoint = _tensorflow.tf.train.Checkpoint(**{_EDGE: trackable})
        self._waiting: dict[str, Array] = {}
        self._compared: dict[str, tuple[Array, Array]] = {}
        self.parts: list[StatePart] = []
        with tempfile.TemporaryDirectory() as directory, load_checkpoint(self._written(directory)) as reader:
            graph = read_object_graph(reader)
            assert graph is not None  # noqa: S101 - TensorFlow wrote it from objects
            for attribute in graph.nodes[graph.nodes[0].children[_EDGE]].attributes:
                for key in reader.names:
                    if key.startswith(attribute.key):
                        ending = key.removeprefix(attribute.key)
                        names = tuple(f"{name}{ending}" for name in (path, attribute.full_name) if name)
                        part = StatePart(self, key, attribute.name, ending, names, reader.info(key).dtype)
                        self.parts.append(part)

    def values(self) -> dict[str, Array]:
        """The tensors that the object has now, by the keys that it has when it is saved alone."""
        with tempfile.TemporaryDirectory() as directory, load_checkpoint(self._written(directory)) as reader:
            return dict(reader)

    def put(self, key: str, value: Array) -> None:
        """Gives the object one of its tensors; the last one restores it."""
        self._waiting[key] = value
        if len(self._waiting) < len(self.parts):
            return
        values, self._waiting = {**self.values(), **self._waiting}, {}
        with tempfile.TemporaryDirectory() as directory:
            prefix = save_checkpoint(values, file_io.join(directory, "state"), durable=False)
            self._checkpoint.read(prefix).assert_nontrivial_match()

    def num_different(self, key: str, expected: Array) -> tuple[int, int]:
        """How many rows differ from what is expected, and how many there are: once all tensors were asked for, else 0.

        A table gives its keys in any order, each with its value.
        """
        self._compared[key] = (expected, self.values()[key])
        if len(self._compared) < len(self.parts):
            return 0, 0
        wanted, there = (Counter(_rows([pair[side] for pair in self._compared.values()])) for side in (0, 1))
        self._compared = {}
        return (wanted - there).total() + (there - wanted).total(), wanted.total()

    def _written(self, directory: str) -> str:
        return str(self._checkpoint.write(file_io.join(directory, "values")))


class StatePart:
    """A tensor of an object's state, as a variable that is to be restored.

    Attributes:
        attribute: What the object calls the value that it belongs to.
        ending: What the tensor's key has behind the value's.
        state: The state that it is a part of.
        names: The path to the object, and what TensorFlow calls it, with the ending.
    """

    slot = None
    counts = None
    optimizer = None
    part: tuple[tuple[int, ...], TensorSlice] | None = None
    shape = None
    # A checkpoint of names mostly has no such thing.
    is_optional = True

    def __init__(
        self, state: ObjectState, key: str, attribute: str, ending: str, names: tuple[str, ...], dtype: DType
    ) -> None:
        self.state = state
        self.attribute = attribute
        self.ending = ending
        self.names = names
        self.dtype = dtype
        self.variable = self.whole = self
        self._key = key

    @property
    def own_name(self) -> str:
        """What it is called."""
        return self.names[0]

    def numpy(self) -> Array:
        """The value."""
        return self.state.values()[self._key]

    current = numpy

    def assign(self, value: Any) -> None:
        """Gives the object the value, with those of its other tensors."""
        self.state.put(self._key, np.asarray(value))

    def num_different(self, expected: Array) -> tuple[int, int]:
        """See `ObjectState.num_different`."""
        return self.state.num_different(self._key, expected)


def _rows(columns: list[Array]) -> Iterator[tuple[Any, ...]]:
    if not all(column.ndim for column in columns) or len({len(column) for column in columns}) > 1:
        columns = [column[np.newaxis] for column in columns]
    cells = (
        [repr(cell) for cell in column.tolist()] if column.dtype.hasobject else [cell.tobytes() for cell in column]
        for column in columns
    )
    return zip(*cells, strict=True)
