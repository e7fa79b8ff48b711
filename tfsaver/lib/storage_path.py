"""A path in a store that carries the file system it belongs to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, SupportsIndex


class StoragePath(str):
    """A URL with the options of its store, for every function that takes a path.

    It is the URL as text. Whatever is made of it by adding, cutting or joining is a `StoragePath` with the same options, and
    so is what a file in the store names: the files of a checkpoint are all reached as its prefix is.

    Args:
        url: For example ``s3://bucket/run/model-100``.
        storage_options: What fsspec makes the file system with.
        fs: An open fsspec file system, in place of the options.

    Example:
        >>> path = StoragePath("s3://bucket/run", storage_options={"profile": "training"})
        >>> path + "/model.index"
        's3://bucket/run/model.index'
    """

    storage_options: Mapping[str, Any]
    fs: Any

    def __new__(cls, url: str, *, storage_options: Mapping[str, Any] | None = None, fs: Any = None) -> StoragePath:
        path = super().__new__(cls, url)
        path.storage_options = dict(storage_options or {})
        path.fs = fs
        return path

    def at(self, url: str) -> StoragePath:
        """Another path of the same store."""
        path = super().__new__(type(self), url)
        path.storage_options, path.fs = self.storage_options, self.fs
        return path

    def has_store_of(self, other: str) -> bool:
        """Whether two paths are reached in the same way."""
        return isinstance(other, StoragePath) and (self.storage_options, self.fs) == (other.storage_options, other.fs)

    def __reduce__(self) -> tuple[Any, ...]:
        return _made_again, (str(self), self.storage_options, self.fs)

    def __add__(self, other: str) -> StoragePath:
        return self.at(super().__add__(other))

    def __getitem__(self, key: SupportsIndex | slice) -> str:
        part = super().__getitem__(key)
        return self.at(part) if isinstance(key, slice) and not key.start else part

    def removesuffix(self, suffix: str, /) -> StoragePath:
        return self.at(super().removesuffix(suffix))

    def rstrip(self, chars: str | None = None, /) -> StoragePath:
        return self.at(super().rstrip(chars))


def _made_again(url: str, storage_options: Mapping[str, Any], fs: Any) -> StoragePath:
    return StoragePath(url, storage_options=storage_options, fs=fs)
