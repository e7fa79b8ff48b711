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
from tfsaver.checkpoint.selection import as_selection
from tfsaver.compat import _matching, _paths, _runtime, _saver_graph, _session_target
from tfsaver.compat._binding import Binding, GraphVariable
from tfsaver.compat._by_operations import ByOperations
from tfsaver.compat._errors import tensorflow_errors
from tfsaver.compat._options import RestoreOptions
from tfsaver.compat._restore import compare_variables, restore_variables
from tfsaver.compat._save import Casting, begin_save, found_as, save_variables
from tfsaver.compat._saver_graph import SaverVariables
from tfsaver.compat._shards import balanced
from tfsaver.errors import InvalidArgumentError, RestoreError, SaverError, UnimplementedError
from tfsaver.framework.dtypes import DType
from tfsaver.lib import file_io
from tfsaver.lib.fork_safe_lock import ForkSafeLock
from tfsaver.targets.restoring import restore_source
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
        save_dtype: The type in which numbers of its kind are written; None for the variables' own.
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
        save_dtype: DType | None = None,
    ) -> None:
        self._variables = variables
        self._saver_def = saver_def
        self._version = version
        self._sharded = sharded
        self._durable = durable
        self._num_data_shards = num_data_shards
        self._own_nodes = own_nodes
        self._save_dtype = save_dtype
        self.casting: Casting | None = None
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
        self.casting = None if self._save_dtype is None else Casting(self._save_dtype)
        if variables is None or _runtime.is_needed(session, self._saver_def, variables):
            self._refuse_by_nodes(variables)
            written = _runtime.save(session, self._saver_def, save_path, prefix)
            if self._durable:
                with tensorflow_errors():
                    _sync(written)
            return written
        operations = self._operations_of(session, variables)
        if self._num_data_shards == 1 and self.casting is None and operations.are_to_work(session):
            return operations.save(session, save_path, prefix, durable=self._durable)
        return save_variables(
            session,
            self._shards_of(variables),
            save_path,
            prefix,
            version=self._version,
            durable=self._durable,
            sharded=self._sharded,
            casting=self.casting,
        )

    def _refuse_by_nodes(self, variables: SaverVariables | None) -> None:
        """Raises what the nodes of a graph cannot do, before they do anything.

        Raises:
            UnimplementedError: It is asked for; names what is saved by nodes.
        """
        what = "the nodes of its SaverDef" if variables is None else f"{variables.bindings[0].name} and others on a cluster"
        if self._save_dtype is not None:
            raise UnimplementedError(f"save_dtype={self._save_dtype}: {what} are saved by TensorFlow's runtime, as they are")
        if self._num_data_shards > 1:
            raise UnimplementedError(
                f"num_data_shards={self._num_data_shards}: {what} are saved by TensorFlow's runtime, into as many files "
                "as there are servers; sharded=True has a file for each"
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
        self.casting = None if self._save_dtype is None else Casting(self._save_dtype)
        shards = self._shards_of(variables)
        finish = begin_save(
            session,
            shards,
            save_path,
            prefix,
            version=self._version,
            durable=self._durable,
            sharded=self._sharded,
            casting=self.casting,
        )
        return found_as(prefix, len(shards), version=self._version, sharded=self._sharded), finish

    def _shards_of(self, variables: SaverVariables) -> Sequence[Sequence[Binding]]:
        if self._sharded or self._num_data_shards == 1:
            return variables.shards
        return balanced(variables.bindings, self._num_data_shards)

    def read(self, session: Any, path: str, options: RestoreOptions, *, initializes: bool = False) -> MatchReport | None:
        """Gives the variables the values of a checkpoint.

        Args:
            session: Where the variables get them; None in eager mode.
            path: A V2 prefix, a V1 file or pattern.
            options: How; plain ones say that every variable gets the tensor of its name, dtype and shape.
            initializes: Whether variables that have no value afterwards get their initial values.

        Returns:
            What was restored; None when nodes did it.

        Raises:
            UnimplementedError: Only nodes can do it, and these only all of it.
        """
        report = self._read(session, path, options)
        if not initializes or options.dry_run:
            return report
        variables = self._variables_in(session)
        initialized = _session_target.initialize(session, () if variables is None else variables.bindings)
        return None if report is None else dataclasses.replace(report, initialized=initialized)

    def _read(self, session: Any, path: str, options: RestoreOptions) -> MatchReport | None:
        variables = self._variables_in(session)
        strict = options.is_plain
        if variables is None:
            if not strict:
                said = ", ".join(f"{name}={value!r}" for name, value in vars(options).items() if value is not None)
                raise UnimplementedError(
                    f"{said}: {self._saver_def.restore_op_name} restores what this Saver saves, and only the nodes behind "
                    "it know what that is: a Saver of the variables alone, Saver(var_list=...), can do that"
                )
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
        is_strict, trusted = options.strict is not False, options.trusted is not False
        if not options.names:
            return restore_variables(
                session,
                bindings,
                path,
                reshape=variables.reshape,
                strict=is_strict,
                dry_run=options.dry_run or False,
                trusted=trusted,
            )
        if variables.reshape:
            raise InvalidArgumentError(f"{options.names[0]}= and Saver(reshape=True) exclude each other")
        target = _session_target.SessionTarget(bindings, session, options.names)
        with _paths.open_checkpoint(path, trusted=trusted) as reader:
            try:
                return restore_source(
                    target,
                    reader,
                    mapping=options.name_map,
                    by="name",
                    scope=options.scope,
                    select=None if options.select is None else as_selection(options.select),
                    cast=bool(options.cast),
                    accept_guesses=bool(options.accept_guesses),
                    strict=is_strict,
                    dry_run=options.dry_run or False,
                )
            except RestoreError as error:
                # In the words that TensorFlow has, where it has some.
                _matching.raise_unless_ok(error.report)
                raise

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
                self._found[graph] = _saver_graph.find_variables(graph, self._saver_def)
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
