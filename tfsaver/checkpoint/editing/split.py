"""One checkpoint as several: each tensor goes to the first part that it belongs to.

Parts of a checkpoint that was written from objects have their parts of the description of these, and each the count of
saves, so that each restores by itself into the objects that it has values for.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

from tfsaver.checkpoint.checkpoint_target import resolved
from tfsaver.checkpoint.editing.select import SAVE_COUNTER
from tfsaver.checkpoint.objects.object_graph import read_object_graph
from tfsaver.checkpoint.plan import tensor_names
from tfsaver.checkpoint.selection import Selectable, Selection, as_selection
from tfsaver.checkpoint.tensor_source import TensorSource
from tfsaver.errors import InvalidArgumentError
from tfsaver.lib import file_io

_Rule: TypeAlias = "Selection | str | Sequence[str]"
# A mapping is of one type of keys, so that each that a prefix may have is named.
Rules: TypeAlias = "Mapping[str, _Rule] | Mapping[Path, _Rule] | Mapping[os.PathLike[str], _Rule]"


def deal_out(source: TensorSource, parts: Rules, rest: str | None) -> dict[str, list[str]]:
    """The names of the tensors that each prefix gets."""
    graph = read_object_graph(source)
    full_names = None if graph is None else graph.full_names_of_keys()
    infos = {name: source.info(name) for name in tensor_names(source)}
    counter = [SAVE_COUNTER] if graph is not None and infos.pop(SAVE_COUNTER, None) is not None else []
    tensors = {name: Selectable(info.shape, info.num_bytes, info.dtype.name) for name, info in infos.items()}
    left = dict.fromkeys(tensors)
    shares: dict[str, list[str]] = {}
    if not parts:
        raise InvalidArgumentError("a split needs at least one part")
    # However they are spelled, and through whatever links.
    spellings = {} if rest is None else {resolved(rest): rest}
    for prefix, rule in parts.items():
        path = file_io.as_path(prefix)
        place = resolved(path)
        if place in spellings:
            other = spellings[place]
            also = "" if other == path else f", also spelled {other!r}"
            raise InvalidArgumentError(f"{path!r}{also} is the prefix of two parts")
        spellings[place] = path
        # Patterns are looked for in all names, so that only a part which others leave nothing to is an error.
        kept = [name for name in as_selection(rule).select(tensors, full_names=full_names).kept if name in left]
        if not kept:
            raise InvalidArgumentError(f"{path!r} gets no tensor: the parts before it have all that fit")
        for name in kept:
            del left[name]
        shares[path] = [*kept, *counter]
    if left and rest is None:
        more = f", and {len(left) - 5:,} more" if len(left) > 5 else ""
        raise InvalidArgumentError(
            f"{len(left):,} tensors belong to no part, and there is none for the rest: {', '.join(list(left)[:5])}{more}"
        )
    if left and rest is not None:
        shares[rest] = [*left, *counter]
    return shares
