"""Thousands of small variables: where TensorFlow's own operations move the values, and everything around them is ours.

A value of four kilobytes takes a microsecond to copy, and many times that to be named, wrapped and looked at from Python.
From a hundred or so of such variables on, one operation of the graph that moves all of them is what is fastest. So then

    save       SaveV2 writes a bundle into a temporary directory; its files are synced and renamed, the index last
    restore    names, dtypes and shapes are compared; then RestoreV2 reads all tensors, checks their checksums, and only then
               the first variable is assigned

which is what the Saver promises for any variables. A checkpoint whose index was compared before, and is still the same file,
is not compared again.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import Any

from tfsaver import schemas
from tfsaver.checkpoint.match_report import MatchReport
from tfsaver.compat import _runtime, _tensorflow
from tfsaver.compat._binding import GraphVariable
from tfsaver.compat._errors import tensorflow_errors
from tfsaver.compat._paths import parent_directory
from tfsaver.compat._restore import compare_variables
from tfsaver.compat._saver_graph import SaverVariables, restores_at_once
from tfsaver.lib import file_identity, file_io
from tfsaver.lib.file_identity import FileIdentity
from tfsaver.lib.free_space import check_free_space
from tfsaver.lib.temporary_directory import temporary_directory
from tfsaver.tensor_bundle import naming
from tfsaver.tensor_bundle.cleaning import clean_directory
from tfsaver.tensor_bundle.renaming import remove_bundle, rename_bundle

# Below this number of them it does not matter.
_MIN_NUM = 128
# Above this size, on average, what counts is how fast bytes move, and there our reader and writer are faster.
_MAX_MEAN_SIZE = 32 << 10


class ByOperations:
    """Saves and restores the variables of one Saver in one graph by its nodes, where that is better.

    Args:
        saver_def: The Saver's nodes; None when there are none.
        variables: What they save and restore.
    """

    def __init__(self, saver_def: Any, variables: SaverVariables) -> None:
        self._saver_def = saver_def
        self._variables = variables
        self._is_one_operation: bool | None = None
        self._compared: tuple[str, FileIdentity] | None = None
        sizes = _sizes(variables) if _is_plain(saver_def, variables) else []
        self._size = sum(sizes)
        self._are_many_small = len(sizes) >= _MIN_NUM and sum(sizes) <= _MAX_MEAN_SIZE * len(sizes)

    def are_to_work(self, session: Any) -> bool:
        """Whether the nodes are to save and to restore: in this process, and by one operation each way."""
        if not self._are_many_small or session is None or _runtime.target_of(session):
            return False
        if self._is_one_operation is None:
            self._is_one_operation = restores_at_once(session.graph, self._saver_def)
        return self._is_one_operation

    def save(self, session: Any, save_path: str, prefix: str, *, durable: bool) -> str:
        """Writes a checkpoint; whatever fails, no file is left behind."""
        path = file_io.as_path(prefix)
        with (
            parent_directory(path, save_path, may_be_made=True, durable=durable),
            tensorflow_errors(),
            _temporary_prefix(path, self._size) as temporary,
        ):
            _runtime.save(session, self._saver_def, save_path, temporary)
            rename_bundle(temporary, path, durable=durable)
        return prefix

    def restore(self, session: Any, path: str) -> bool:
        """Gives the variables the values of a checkpoint.

        Returns:
            Whether it was done. If not, nothing has changed, and there may be something to report.
        """
        index = _index_of(path)
        if index is None:
            return False
        if index != self._compared:
            report = compare_variables(self._variables.bindings, path)
            if not _is_as_named(report):
                return False
            self._compared = index
        try:
            _runtime.restore(session, self._saver_def, path)
        except _tensorflow.tf.errors.OpError:
            # Read again by our reader, which says what is wrong, and where.
            self._compared = None
            return False
        return True


@contextlib.contextmanager
def _temporary_prefix(path: str, size: int) -> Iterator[str]:
    """Where a bundle of so many bytes may be written before it gets its prefix; nothing is there after the block."""
    if file_io.is_remote(path):
        temporary = file_io.temporary_name(path)
        try:
            yield temporary
        except BaseException:
            remove_bundle(temporary)
            raise
        return
    directory, base = file_io.split(path)
    clean_directory(directory)
    check_free_space(path, size)
    # Its lock says that somebody is writing; the operation holds none.
    with temporary_directory(path) as place:
        yield file_io.join(place, base)


def _sizes(variables: SaverVariables) -> list[int]:
    """The bytes of each variable; nothing where not all are variables of known shape."""
    sizes = []
    for binding in variables.bindings:
        variable = binding.variable
        if not isinstance(variable, GraphVariable) or variable.shape is None or None in variable.shape:
            return []
        sizes.append(math.prod(size for size in variable.shape if size is not None) * max(1, binding.dtype.size))
    return sizes


def _is_plain(saver_def: Any, variables: SaverVariables) -> bool:
    if saver_def is None or saver_def.sharded or saver_def.version != schemas.SaverDef.V2:
        return False
    return len(variables.shards) == 1 and not variables.reshape


def _index_of(path: str) -> tuple[str, FileIdentity] | None:
    if file_io.is_remote(path):
        return None
    index = naming.index_path(path)
    try:
        return index, file_identity.of_path(index)
    except OSError:
        return None


def _is_as_named(report: MatchReport) -> bool:
    """Whether every variable finds its tensor under its own name, which is the one that the nodes ask for."""
    return report.ok and all(tensor.key == tensor.wanted.name for tensor in report.matched)
