"""Opens what a verb is given: a path of any format, an open source, or a mapping from names to arrays."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeAlias

from tfsaver.checkpoint.checkpoint_reader import CheckpointReader, load_checkpoint
from tfsaver.checkpoint.editing.select import report_of_selection, selected
from tfsaver.checkpoint.selection import Select
from tfsaver.checkpoint.tensor_source import TensorSource, as_source
from tfsaver.errors import InvalidArgumentError
from tfsaver.formats.atomic import downloaded
from tfsaver.formats.registry import format_of_source
from tfsaver.graph.training_state import training_state_for
from tfsaver.lib import file_io
from tfsaver.lib.confinement import Confinement
from tfsaver.saved_model.graph_constants import open_graph_constants

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
    path = file_io.as_path(checkpoint)
    if format is None and (constants := open_graph_constants(path)) is not None:
        Confinement.around(path, trusted).check(path)
        yield constants
        return
    row = format_of_source(path, format)
    if row.is_checkpoint:
        with load_checkpoint(path, trusted=trusted) as reader:
            yield reader
        return
    Confinement.around(path, trusted).check(path)
    with downloaded(path) as local, row.open(local) as source:
        yield source


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


def choose(source: TensorSource, select: Select) -> TensorSource:
    """The tensors of a source that the caller selects; the source itself where nothing is selected."""
    if select is None:
        return source
    return selected(source, report_of_selection(source, select, {}, training_state_for(source, select)).kept)


def kind_of(source: TensorSource, description: str) -> str:
    """What a report calls an open source: a checkpoint's version, else the format's description."""
    return f"{source.version} checkpoint" if isinstance(source, CheckpointReader) else description
