"""How a Saver's variables get to files and back: by our reader and writer, or by the graph's nodes.

    our files      in this process: names, dtypes, shapes and checksums are compared before the first variable changes, a
                   checkpoint appears whole or not at all
    the nodes      where only TensorFlow's runtime can do it; `_runtime` says when

Before nodes restore anything, the checkpoint's names, dtypes and shapes are compared with the variables' all the same.
"""

from __future__ import annotations

import dataclasses
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tfsaver.checkpoint.checkpoint_files import identifying_files
from tfsaver.checkpoint.match_report import MatchReport
from tfsaver.compat import _matching, _runtime, _saver_nodes
from tfsaver.compat._binding import Binding, GraphVariable
from tfsaver.compat._by_operations import ByOperations
from tfsaver.compat._errors import tensorflow_errors
from tfsaver.compat._restore import compare_variables, restore_variables
from tfsaver.compat._save import begin_save, found_as, save_variables
from tfsaver.compat._saver_nodes import SaverVariables
from tfsaver.compat._shards import balanced
from tfsaver.errors import SaverError, UnimplementedError
from tfsaver.lib import file_io
from tfsaver.lib.fork_safe_lock import ForkSafeLock
from tfsaver.tensor_bundle import naming
from tfsaver.tensor_bundle.cleaning import num_shards_of


class Storage:
    """Writes and reads the checkpoints of one Saver.

    Args:
        variables: What is saved and restored; None when it is to be found from the nodes.
        saver_def: The nodes; None when there are none.
        version: SaverDef.V1 or SaverDef.V2.
        sharded: Whether each device has a data file of its own.
        durable: Whether a checkpoint is on the disk when `write` returns.
        num_data_shards: How many data files a checkpoint has that is not sharded.
        own_nodes: Whether the nodes come from a builder of the program, and nothing can stand in for them.
    """

    def __init__(
        self,
        variables: SaverVariables | None,
        saver_def: Any,
        *,
        version: int,
        sharded: bool,
        durable: bool,
        num_data_shards: int = 1,
        own_nodes: bool = False,
    ) -> None:
        self._variables = variables
        self._saver_def = saver_def
        self._version = version
        self._sharded = sharded
        self._durable = durable
        self._num_data_shards = num_data_shards
        self._own_nodes = own_nodes
        # What nodes lead to, in each graph whose session was passed: a SaverDef may come without its graph.
        self._found: weakref.WeakKeyDictionary[Any, SaverVariables | None] = weakref.WeakKeyDictionary()
        self._operations: tuple[SaverVariables, ByOperations] | None = None
        self._lock = ForkSafeLock()

    def write(self, session: Any, save_path: str, prefix: str) -> str:
        """Writes the files of a checkpoint.

        Args:
            session: Where the variables have their values; None in eager mode.
            save_path: What the caller asked to save to, for the error.
            prefix: The checkpoint's prefix.

        Returns:
            What finds it again.

        Raises:
            InvalidArgumentError: The directory is not there.
        """
        variables = self._variables_in(session)
        if variables is None or _runtime.is_needed(session, self._saver_def, variables):
            written = _runtime.save(session, self._saver_def, save_path, prefix)
            if self._durable:
                with tensorflow_errors():
                    _sync(written)
            return written
        operations = self._operations_of(session, variables)
        if self._num_data_shards == 1 and operations.are_to_work(session):
            return operations.save(session, save_path, prefix, durable=self._durable)
        return save_variables(
            session,
            self._shards_of(variables),
            save_path,
            prefix,
            version=self._version,
            durable=self._durable,
            sharded=self._sharded,
        )

    def begin(self, session: Any, save_path: str, prefix: str) -> tuple[str, Callable[[], None]]:
        """Does of `write` what needs the variables as they are now: what only nodes can save, they save now.

        Returns:
            What finds the checkpoint again, and what writes the rest of it, in any thread; that must be called.

        Raises:
            InvalidArgumentError: The directory is not there.
        """
        variables = self._variables_in(session)
        if variables is None or _runtime.is_needed(session, self._saver_def, variables):
            return self.write(session, save_path, prefix), _nothing
        shards = self._shards_of(variables)
        finish = begin_save(
            session, shards, save_path, prefix, version=self._version, durable=self._durable, sharded=self._sharded
        )
        return found_as(prefix, len(shards), version=self._version, sharded=self._sharded), finish

    def _shards_of(self, variables: SaverVariables) -> Sequence[Sequence[Binding]]:
        if self._sharded or self._num_data_shards == 1:
            return variables.shards
        return balanced(variables.bindings, self._num_data_shards)

    def read(self, session: Any, path: str, *, strict: bool = True) -> MatchReport | None:
        """Gives the variables the values of a checkpoint.

        Args:
            session: Where the variables get them; None in eager mode.
            path: A V2 prefix, a V1 file or pattern.
            strict: Whether anything that is missing or does not fit is an error.

        Returns:
            What was restored; None when nodes did it.

        Raises:
            UnimplementedError: Only nodes can do it, and these only all of it.
        """
        variables = self._variables_in(session)
        if variables is None:
            if not strict:
                raise UnimplementedError("strict=False: what the nodes of this Saver restore, only they know")
            _runtime.restore(session, self._saver_def, path)
            return None
        operations = self._operations_of(session, variables)
        if strict and operations.are_to_work(session) and operations.restore(session, path):
            return None
        bindings = _with_known_shapes(session, variables.bindings) if variables.reshape else variables.bindings
        if strict and _runtime.is_needed(session, self._saver_def, variables):
            report = compare_variables(bindings, path, reshape=variables.reshape)
            _matching.raise_unless_ok(report)
            # Nodes ask for the names they were made with; a checkpoint that was written from objects has others.
            if all(tensor.key == tensor.wanted.name for tensor in report.matched):
                _runtime.restore(session, self._saver_def, path)
                return None
        return restore_variables(session, bindings, path, reshape=variables.reshape, strict=strict)

    def _operations_of(self, session: Any, variables: SaverVariables) -> ByOperations:
        with self._lock:
            if self._operations is None or self._operations[0] is not variables:
                self._operations = (variables, ByOperations(None if session is None else self._saver_def, variables))
            return self._operations[1]

    def _variables_in(self, session: Any) -> SaverVariables | None:
        """What is saved from a session, or restored in it; None when only the nodes know."""
        if self._variables is not None or self._own_nodes:
            return None if self._own_nodes else self._variables
        graph = getattr(session, "graph", None)
        if graph is None:
            return None
        with self._lock:
            if graph not in self._found:
                self._found[graph] = _saver_nodes.find_variables(graph, self._saver_def)
            return self._found[graph]


def _with_known_shapes(session: Any, bindings: Sequence[Binding]) -> list[Binding]:
    """The bindings with the shapes that their variables have now, where the graph does not know them."""
    return [_with_known_shape(session, binding) for binding in bindings]


def _with_known_shape(session: Any, binding: Binding) -> Binding:
    variable = binding.variable
    if not isinstance(variable, GraphVariable) or (variable.shape is not None and None not in variable.shape):
        return binding
    shape = np.shape(session.run(variable.tensor))
    return dataclasses.replace(binding, variable=dataclasses.replace(variable, shape=shape))


def _sync(written: str) -> None:
    """Syncs the files that nodes have written, as far as they are on this machine."""
    path = file_io.as_path(written)
    if file_io.is_remote(path):
        return
    try:
        num_shards = num_shards_of(path)
    except SaverError:
        num_shards = None
    paths = identifying_files(path)
    if num_shards is not None:
        paths = [*(naming.data_path(path, shard_id, num_shards) for shard_id in range(num_shards)), *paths]
    for each in filter(file_io.exists, paths):
        file_io.sync_file(each)
    if paths:
        file_io.sync_directory(file_io.split(path)[0])


def _nothing() -> None:
    """What is left to do when all is done."""
