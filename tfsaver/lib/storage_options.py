"""`storage_options=` and `fs=` of the functions that take paths: the paths carry them from there on."""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable, Mapping
from typing import Any, ParamSpec, TypeAlias, TypeVar

from tfsaver.errors import InvalidArgumentError
from tfsaver.lib import file_io
from tfsaver.lib.storage_path import StoragePath

# What fsspec makes a file system with, and one that is made: fsspec is optional.
StorageOptions: TypeAlias = "Mapping[str, Any]"
OpenFileSystem: TypeAlias = Any

_P = ParamSpec("_P")
_R = TypeVar("_R")


def takes_storage_options(*names: str, keys: str = "") -> Callable[[Callable[_P, _R]], Callable[_P, _R]]:
    """A decorator for a function with the options `storage_options` and `fs`.

    It makes a `StoragePath` of each path that is in a store. The function itself ignores both options.

    Args:
        *names: The function's arguments that may be paths, or lists of paths.
        keys: The argument that is a mapping whose keys are paths.
    """

    def decorate(function: Callable[_P, _R]) -> Callable[_P, _R]:
        @functools.wraps(function)
        def call(*args: _P.args, **options: _P.kwargs) -> _R:
            storage_options, fs = options.get("storage_options"), options.get("fs")
            if storage_options is None and fs is None:
                return function(*args, **options)
            given = inspect.signature(function).bind(*args, **options)
            _bind(given.arguments, names, keys, storage_options, fs)
            return function(*given.args, **given.kwargs)

        return call

    return decorate


def _bind(arguments: dict[str, Any], names: tuple[str, ...], keys: str, storage_options: Any, fs: Any) -> None:
    if storage_options is not None and fs is not None:
        raise InvalidArgumentError("storage_options= makes a file system and fs= is one: give one of them")
    if storage_options is not None and not isinstance(storage_options, Mapping):
        raise InvalidArgumentError(f"storage_options= is a mapping of names, not {type(storage_options).__name__}")
    if fs is not None and not hasattr(fs, "unstrip_protocol"):
        raise InvalidArgumentError(f"fs= is a file system of fsspec, not {type(fs).__name__}")
    paths = {name: arguments[name] for name in names if name in arguments}
    bound = {name: with_storage(value, storage_options, fs) for name, value in paths.items()}
    if keys:
        bound[keys] = {with_storage(key, storage_options, fs): value for key, value in arguments[keys].items()}
    if not any(map(_is_bound, (*bound.values(), *bound.get(keys, ())))) and (fs is None or not _is_local(fs)):
        option = "fs" if storage_options is None else "storage_options"
        shown = ", ".join(f"{name}={value!r}" for name, value in paths.items() if isinstance(value, (str, os.PathLike)))
        raise InvalidArgumentError(f"{option}= is for a path in a store, as s3://bucket/model, and there is none: {shown}")
    arguments.update(bound)


def with_storage(value: Any, storage_options: Mapping[str, Any] | None = None, fs: Any = None) -> Any:
    """A path with the options of its store; the paths of a list; anything else, and a local path, as it is.

    Raises:
        InvalidArgumentError: `fs` is not the file system of the path's scheme.
    """
    if isinstance(value, (list, tuple)):
        return [with_storage(each, storage_options, fs) for each in value]
    if isinstance(value, StoragePath) or not isinstance(value, (str, bytes, os.PathLike)):
        return value
    path = file_io.as_path(value)
    if fs is not None:
        if not file_io.is_remote(path):
            path = file_io.as_path(fs.unstrip_protocol(path))
        elif (scheme := path.partition("://")[0]) not in _protocols(fs):
            raise InvalidArgumentError(f"{path}: fs is a {type(fs).__name__}, which is not for {scheme}://")
    return StoragePath(path, storage_options=storage_options, fs=fs) if file_io.is_remote(path) else path


def _is_bound(value: Any) -> bool:
    return isinstance(value, StoragePath) or (isinstance(value, (list, tuple)) and any(map(_is_bound, value)))


def _is_local(fs: Any) -> bool:
    return "file" in _protocols(fs)


def _protocols(fs: Any) -> tuple[str, ...]:
    return (fs.protocol,) if isinstance(fs.protocol, str) else tuple(fs.protocol)
