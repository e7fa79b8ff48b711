"""What Keras's layers have besides variables, on any backend.

Nothing is imported here: who gives a model has its library.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any


def finish_layers(layers: Iterable[Any]) -> None:
    """Has layers make anew what they make of their variables once and keep: the mean that Normalization computes with."""
    for layer in layers_in(layers):
        if getattr(layer, "adapt_mean", None) is not None and callable(getattr(layer, "finalize_state", None)):
            layer.finalize_state()


def notes_on_vocabularies(layers: Iterable[Any]) -> Iterator[str]:
    """The vocabularies of layers that have theirs in no variable."""
    for layer in layers_in(layers):
        table = getattr(layer, "lookup_table", None)
        if callable(getattr(layer, "get_vocabulary", None)) and table is not None and not hasattr(table, "insert"):
            what = f"{layer.name}, a {type(layer).__name__}, keeps its vocabulary"
            yield f"{what}: no checkpoint has it, and layer.set_vocabulary(...) sets another"


def layers_in(layers: Iterable[Any]) -> Iterator[Any]:
    """Layers, and all that are in them, each once."""
    seen: set[int] = set()
    for layer in layers:
        for inner in layer._flatten_layers():
            if id(inner) not in seen:
                seen.add(id(inner))
                yield inner
