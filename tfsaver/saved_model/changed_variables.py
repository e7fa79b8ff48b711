"""The variables of a SavedModel with some values replaced, some left out; read when they are asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tfsaver.errors import InvalidArgumentError, NotFoundError, ShapeMismatchError
from tfsaver.framework import tensor_util
from tfsaver.framework.dtypes import DType
from tfsaver.framework.tensor_shape import Shape
from tfsaver.saved_model import sources
from tfsaver.saved_model.variables import SavedModelVariables


class ChangedVariables(Mapping[str, Any]):
    """The values by all names that `SavedModelVariables` knows."""

    def __init__(self, original: SavedModelVariables, *, trusted: bool = True) -> None:
        self._original = original
        self._trusted = trusted
        self._replaced: dict[str, Any] = {}
        # The key in the old checkpoint by the name in the new one, once some are left out.
        self._kept: dict[str, str] | None = None

    @property
    def has_checkpoint(self) -> bool:
        """Whether there is anything to write."""
        return self._original.checkpoint is not None and (self._kept is None or bool(self._kept))

    def replace(self, variables: sources.Variables) -> list[str]:
        """Takes other values; returns the names of those that are replaced. Raises what the editor says."""
        values, close = sources.open_variables(variables, trusted=self._trusted)
        try:
            found = {name: other for name in self._original if (other := self._name_in(values, name)) is not None}
            if not found:
                raise NotFoundError(f"none of the {len(self._original)} variables of the model is among the values")
            read = {}
            for name, other in found.items():
                read[self._original.key(name)] = self._checked(name, other, values[other])
            self._replaced.update(read)
        finally:
            close()
        return list(found)

    def _name_in(self, values: Mapping[str, Any], name: str) -> str | None:
        names = (name, self._original.key(name), self._original.program_name(name))
        return next((each for each in names if each and each in values), None)

    def _checked(self, name: str, other: str, value: Any) -> Any:
        info = self._original.info(name)
        array, dtype = tensor_util.as_tensor(value, other)
        if dtype is not info.dtype:
            raise InvalidArgumentError(f"variable {name!r} is {info.dtype}, the value {other!r} is {dtype}")
        if array.shape != info.shape:
            raise ShapeMismatchError(f"the value {other!r} of variable {name!r}", expected=info.shape, actual=array.shape)
        return array

    def keep(self, names: Mapping[str, str]) -> None:
        """Leaves out all but some, given by the names that they shall have in the new checkpoint."""
        before = self._kept
        self._kept = {new: self._key(old) if before is None else before.get(old, old) for new, old in names.items()}

    def by_key(self) -> Mapping[str, Any]:
        """The values by their names in the new checkpoint, with what describes the objects unless some were left out."""
        checkpoint = self._original.checkpoint
        keys = self._kept
        if keys is None:
            keys = {key: key for key in checkpoint or ()}
        return _ByKey(self, keys)

    def value(self, key: str) -> Any:
        """The value of a key of the old checkpoint."""
        if key in self._replaced:
            return self._replaced[key]
        return self._original[key] if self._original.checkpoint is None else self._original.checkpoint[key]

    def dtype_and_shape(self, name: str) -> tuple[DType, Shape]:
        """Type and shape of a variable, which no replacement changes."""
        checkpoint = self._original.checkpoint
        key = self._key(name)
        if checkpoint is None:
            return self._original.dtype_and_shape(key)
        info = checkpoint.info(key)
        return info.dtype, info.shape

    def _key(self, name: str) -> str:
        if self._kept is not None and name in self._kept:
            return self._kept[name]
        return self._original.key(name)

    def __getitem__(self, name: str) -> Any:
        return self.value(self._key(name))

    def __contains__(self, name: object) -> bool:
        return (self._kept is not None and name in self._kept) or name in self._original

    def __iter__(self) -> Iterator[str]:
        return iter(self._original if self._kept is None else self._kept)

    def __len__(self) -> int:
        return len(self._original if self._kept is None else self._kept)


class _ByKey(Mapping[str, Any]):
    def __init__(self, variables: ChangedVariables, keys: Mapping[str, str]) -> None:
        self._variables = variables
        self._keys = keys

    def __getitem__(self, name: str) -> Any:
        return self._variables.value(self._keys[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)


