"""Programs that save, without TensorFlow: each is opened in a directory and saves one generation after another."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Protocol

import tfsaver
from tests.faults import values
from tests.saved_model.graphs import dense
from tfsaver.checkpoint.checkpoint_management import update_checkpoint_state


class Program(Protocol):
    """A program that saves."""

    def open(self, directory: str) -> None:
        """Begins in a directory, where an earlier process may have saved before."""

    def save(self, generation: int) -> None:
        """Saves the values of a generation."""


class Writes:
    """Calls a function that writes a checkpoint, and then names it in the state file.

    Args:
        write: Writes a generation as a checkpoint of a prefix; returns the checkpoint's name.
        overwrites: Whether all generations have one prefix.
    """

    def __init__(self, write: Callable[[int, str], Any], *, overwrites: bool = False) -> None:
        self._write = write
        self._overwrites = overwrites
        self._directory = ""

    def open(self, directory: str) -> None:
        self._directory = directory

    def save(self, generation: int) -> None:
        prefix = os.path.join(self._directory, "model" if self._overwrites else f"model-{generation}")
        written = self._write(generation, prefix)
        update_checkpoint_state(self._directory, written if isinstance(written, str) else prefix)


def save_checkpoint(make: values.Make = values.few, **options: Any) -> Callable[[int, str], str]:
    return lambda generation, prefix: tfsaver.save_checkpoint(make(generation), prefix, **options)


def save_with_more_shards(generation: int, prefix: str) -> str:
    return tfsaver.save_checkpoint(values.few(generation), prefix, num_shards=2 + generation % 2)


def save_tree(generation: int, prefix: str) -> str:
    return tfsaver.save(values.nested(generation), prefix)


def reshard(generation: int, prefix: str) -> None:
    tfsaver.reshard(values.few(generation), prefix, num_shards=2, overwrite=True)


def merge(generation: int, prefix: str) -> None:
    everything = values.few(generation)
    names = sorted(everything)
    parts = [{name: everything[name] for name in part} for part in (names[:3], names[3:])]
    tfsaver.merge(parts, prefix, overwrite=True)


def convert_to_checkpoint(generation: int, prefix: str) -> None:
    tfsaver.convert(values.few(generation), prefix, format="V2", overwrite=True)


class Converts:
    """Writes a file of another format, which replaces the one before."""

    def __init__(self, name: str, **options: Any) -> None:
        self._name = name
        self._options = options
        self._directory = ""

    def open(self, directory: str) -> None:
        self._directory = directory

    def save(self, generation: int) -> None:
        path = os.path.join(self._directory, self._name)
        tfsaver.convert(values.plain(generation), path, **self._options)


class Exports:
    """Exports a SavedModel of a graph written by hand.

    Args:
        versioned: Whether each generation is a version of one model.
    """

    def __init__(self, *, versioned: bool = False) -> None:
        self._versioned = versioned
        self._directory = ""

    def open(self, directory: str) -> None:
        self._directory = directory

    def save(self, generation: int) -> None:
        tfsaver.export_saved_model(
            dense(),
            self._directory if self._versioned else free_place(self._directory, generation),
            outputs=["layer/y"],
            variables=values.exported(generation),
            extra_assets={"notes.txt": __file__},
            versioned=self._versioned,
        )


def free_place(directory: str, generation: int) -> str:
    """Where an export goes: to the same place again where an earlier one has come to nothing."""
    first = os.path.join(directory, "export-0")
    return os.path.join(directory, f"export-{generation}") if os.path.exists(first) else first
