"""Opens what a verb is given: a path of any format, an open source, or a mapping from names to arrays."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from tfsaver.checkpoint.checkpoint_reader import CheckpointReader, load_checkpoint
from tfsaver.checkpoint.editing.select import report_of_selection, selected
from tfsaver.checkpoint.identify import identity_of_wrong
from tfsaver.checkpoint.selection import Select, as_selection
from tfsaver.checkpoint.tensor_source import TensorSource, as_source
from tfsaver.errors import DataLossError, InvalidArgumentError, UnimplementedError
from tfsaver.formats.atomic import downloaded
from tfsaver.formats.registry import format_of_source
from tfsaver.graph.training_state import training_state_for
from tfsaver.lib import file_io
from tfsaver.lib.confinement import Confinement
from tfsaver.saved_model.graph_constants import open_graph_constants
from tfsaver.tensor_bundle import naming

# What every verb takes as its checkpoint.
Checkpoint: TypeAlias = "file_io.PathLike | TensorSource | Mapping[str, Any]"


@contextlib.contextmanager
def open_source(
    checkpoint: Checkpoint,
    *,
    format: str | None = None,  # noqa: A002 - the word every saver uses for it
    trusted: bool = True,
) -> Iterator[TensorSource]:
    """Opens a checkpoint for the length of a `with` block; a source that is already open stays open.

    Args:
        checkpoint: A path, an open source, or arrays by name. The constants of a frozen graph are tensors.
        format: The format of a path whose name does not say it.
        trusted: If false, a name in a file that leads out of the file's directory is an error.

    Raises:
        FileNotFoundError: There is nothing at the path.
        InvalidArgumentError: There is no such format, or it is neither a path nor a mapping.
    """
    if isinstance(checkpoint, Mapping):
        yield as_source(checkpoint)
        return
    with open_path(file_io.as_path(checkpoint), format, trusted=trusted) as source:
        yield source


def open_path(path: str, format: str | None = None, *, trusted: bool = True) -> TensorSource:  # noqa: A002 - as above
    """Opens a file of any format, see `open_source`.

    Raises:
        SaverError: As `load_checkpoint`, and the formats' own.
    """
    Confinement.around(path, trusted).check(path)
    if format is None and file_io.is_remote(path) and file_io.exists(naming.index_path(path)):
        # What else the name might mean would be a request each.
        return load_checkpoint(path, trusted=trusted)
    row = format_of_source(path, format, trusted=trusted)
    if row.is_checkpoint:
        is_prefix = file_io.exists(naming.index_path(path))
        if format is None and not is_prefix and (constants := open_graph_constants(path)) is not None:
            return constants
        return load_checkpoint(path, trusted=trusted)
    try:
        # A copy of a file in a store stays open, and needs no name for it.
        with downloaded(path) as local:
            return row.open(local)
    except (DataLossError, UnimplementedError) as error:
        found = identity_of_wrong(path)
        # That a damaged file is of the format that it was taken for says nothing new.
        if found is not None and found.format != row.name and not error.advice:
            error.advice = found.advice
        raise


@contextlib.contextmanager
def open_sources(checkpoints: Iterable[Checkpoint], *, trusted: bool = True) -> Iterator[list[TensorSource]]:
    """Opens several checkpoints, see `open_source`.

    Raises:
        InvalidArgumentError: A single checkpoint was given instead of a list.
    """
    if isinstance(checkpoints, (str, bytes, os.PathLike, Mapping)):
        raise InvalidArgumentError(f"a list of checkpoints is needed, not {type(checkpoints).__name__}: [{checkpoints!r}]")
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(open_source(item, trusted=trusted)) for item in checkpoints]


def choose(source: TensorSource, select: Select, *, allow_unmatched: bool = False) -> TensorSource:
    """The tensors of a source that the caller selects; the source itself where nothing is selected."""
    if select is None:
        return source
    select = as_selection(select, allow_unmatched=allow_unmatched)
    return selected(source, report_of_selection(source, select, {}, training_state_for(source, select)).kept)


def choose_each(sources: Sequence[TensorSource], select: Select) -> list[TensorSource]:
    """The same of several sources; a pattern must occur in a name of one of them."""
    if select is None:
        return list(sources)
    rules = as_selection(select).matched_in([name for source in sources for name in source.names])
    return [choose(source, rules) for source in sources]


def kind_of(source: TensorSource, description: str) -> str:
    """What a report calls an open source: a checkpoint's version, else the format's description."""
    return f"{source.version} checkpoint" if isinstance(source, CheckpointReader) else description
