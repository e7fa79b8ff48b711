"""The variables of a SavedModel, as a Mapping from names to values, read when they are asked for.

A model of TensorFlow 1 keeps its variables by name: ``dense/kernel``. One of TensorFlow 2 keeps them by the path that leads
to them through its objects, with a suffix: ``layers/0/kernel/.ATTRIBUTES/VARIABLE_VALUE``. Here the suffix is left out, and
a variable is found under three names: the path, the whole key, and, where only one variable has it, the name that it had in
its program (``dense/kernel``).
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from tfsaver.checkpoint.checkpoint_reader import CheckpointReader
from tfsaver.checkpoint.objects import object_graph
from tfsaver.errors import CheckpointNotFoundError, TensorNotFoundError, nearest_names
from tfsaver.framework.dtypes import DType
from tfsaver.framework.tensor_info import TensorInfo
from tfsaver.framework.tensor_shape import Shape

Array = np.ndarray[Any, Any]

_MAX_MISSING = 8
_SUFFIX = "/.ATTRIBUTES/VARIABLE_VALUE"


class SavedModelVariables(Mapping[str, Array]):
    """The variables of a SavedModel; none where it has no checkpoint.

    Attributes:
        checkpoint: The checkpoint that they are in, under its own keys; None where there is none.
        objects: The objects that the checkpoint was written from, for a model of TensorFlow 2; None where the data file
            that holds them is missing.
        missing_files: Data files that the index names and that are not there: the variables of such a checkpoint have
            names, types and shapes, and reading a value of a missing file raises `CheckpointNotFoundError`.
    """

    def __init__(self, checkpoint: CheckpointReader | None, directory: str) -> None:
        self.checkpoint = checkpoint
        self._directory = directory
        self.missing_files = _missing_files(checkpoint)
        self.objects = None if checkpoint is None else self._read_objects(checkpoint)
        is_of_objects = checkpoint is not None and object_graph.OBJECT_GRAPH_KEY in checkpoint
        self._keys: dict[str, str] = {}
        for key in checkpoint or ():
            if key != object_graph.OBJECT_GRAPH_KEY:
                self._keys[key.removesuffix(_SUFFIX) if is_of_objects else key] = key
        self._full_names = {} if self.objects is None else self.objects.full_names_of_keys()
        self._program_names = self._unique_names()

    def _read_objects(self, checkpoint: CheckpointReader) -> object_graph.ObjectGraph | None:
        try:
            return object_graph.read_object_graph(checkpoint)
        except CheckpointNotFoundError:
            if not self.missing_files:
                raise
            return None

    def _unique_names(self) -> dict[str, str]:
        if self.objects is None:
            return {}
        # A variable that several paths lead to is one all the same.
        keys = {attribute.key: attribute.full_name for attribute in self.objects.attributes if attribute.full_name}
        counts = Counter(keys.values())
        return {name: key for key, name in keys.items() if counts[name] == 1 and self.checkpoint and key in self.checkpoint}

    def key(self, name: str) -> str:
        """The name that a variable has in the checkpoint.

        Raises:
            TensorNotFoundError: There is no such variable; names the nearest ones.
        """
        if name in self._keys:
            return self._keys[name]
        if self.checkpoint is not None and name in self.checkpoint:
            return name
        if name in self._program_names:
            return self._program_names[name]
        where = self._directory if self.checkpoint is None else self.checkpoint.prefix
        raise TensorNotFoundError(name, checkpoint=where, near=nearest_names(name, [*self._keys, *self._program_names]))

    def program_name(self, name: str) -> str:
        """The name that a variable had in its program; empty where it is not known."""
        if self.objects is None:
            return name if name == self.key(name) else ""
        return self._full_names.get(self.key(name), "")

    def info(self, name: str) -> TensorInfo:
        """Type, shape, size and places of a variable, without its value being read."""
        key = self.key(name)
        assert self.checkpoint is not None  # noqa: S101 - it has the key
        return self.checkpoint.info(key)

    def dtype_and_shape(self, name: str) -> tuple[DType, Shape]:
        """Type and shape of a variable, without its value being read."""
        info = self.info(name)
        return info.dtype, info.shape

    def __getitem__(self, name: str) -> Array:
        key = self.key(name)
        assert self.checkpoint is not None  # noqa: S101 - it has the key
        return self.checkpoint.read(key)

    def __contains__(self, name: object) -> bool:
        if not isinstance(name, str):
            return False
        try:
            self.key(name)
        except TensorNotFoundError:
            return False
        return True

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)

    def __repr__(self) -> str:
        return f"<{len(self)} variables of {self._directory!r}>"

    def close(self) -> None:
        """Closes the checkpoint's files."""
        if self.checkpoint is not None:
            self.checkpoint.close()


def _missing_files(checkpoint: CheckpointReader | None) -> tuple[str, ...]:
    """The data files of a checkpoint that its index names and that are not there, as far as an error lists them."""
    return () if checkpoint is None else tuple(itertools.islice(checkpoint.implementation.missing_files(), _MAX_MISSING))
