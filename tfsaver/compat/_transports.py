"""How a Saver's variables get to files and back: by our reader and writer, or by the graph's nodes.

    Files    in this process: names, dtypes, shapes and checksums are compared before the first variable changes, a
             checkpoint appears whole or not at all
    Nodes    in TensorFlow's runtime, where only that can do it:
             a session is on a cluster, and a Saver is sharded or its variables live on other servers: each server writes and
             reads its own variables, and the files are where the servers are
             the nodes are of another kind: a program's own builder made them, or a SaverDef came without its variables and
             leads to something that is not a variable
             the session's graph is a copy of the Saver's, in which the nodes of the same names save something else
             a tensor is a variant, the state of a dataset's iterator: numpy cannot hold it

Both have the same two methods, and `Transports` chooses between them, once for each graph and the server of its session.
Before nodes restore anything, the checkpoint's names, dtypes and shapes are compared with the variables' all the same.

For thousands of small variables the files are ours, and TensorFlow's own operations move the values. A value of four
kilobytes takes a microsecond to copy, and many times that to be named, wrapped and looked at from Python. From a hundred or
so of such variables on, one operation of the graph that moves all of them is what is fastest. So then

    save       SaveV2 writes a bundle into a temporary directory; its files are synced and renamed, the index last
    restore    names, dtypes and shapes are compared; then RestoreV2 reads all tensors, checks their checksums, and only then
               the first variable is assigned

which is what the Saver promises for any variables. A checkpoint whose index was compared before, and is still the same file,
is not compared again.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
import weakref
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from tfsaver.checkpoint.checkpoint_files import identifying_files
from tfsaver.checkpoint.match_report import MatchReport
from tfsaver.checkpoint.selection import as_selection
from tfsaver.compat import _paths, _restore, _save, _saver_graph, _tensorflow
from tfsaver.compat._binding import Binding, GraphVariable
from tfsaver.compat._errors import writing
from tfsaver.compat._options import RestoreOptions, SaveOptions
from tfsaver.compat._saveables import SavedTensor
from tfsaver.compat._saver_graph import SaverVariables
from tfsaver.errors import InvalidArgumentError, RestoreError, SaverError, UnimplementedError
from tfsaver.lib import file_identity, file_io
from tfsaver.lib.file_identity import FileIdentity
from tfsaver.lib.fork_safe_lock import ForkSafeLock
from tfsaver.lib.free_space import check_free_space
from tfsaver.lib.temporary_directory import temporary_directory
from tfsaver.targets.restoring import restore_source
from tfsaver.tensor_bundle import naming
from tfsaver.tensor_bundle.cleaning import clean_directory, num_shards_of
from tfsaver.tensor_bundle.renaming import remove_bundle, rename_bundle

# Below this number of variables it does not matter what moves them.
_MIN_NUM = 128
# Above this size, on average, what counts is how fast bytes move, and there our reader and writer are faster.
_MAX_MEAN_SIZE = 32 << 10

_WHY = (
    "Restoring from checkpoint failed. This is most likely due to {} from the checkpoint. The graph must be the one that "
    "the checkpoint was saved from. Original error:\n\n{}"
)
_MISSING = "a Variable name or other graph key that is missing"
_MISMATCH = "a mismatch between the current graph and the graph"


class Begun(NamedTuple):
    """A save of which everything is done that needs the variables.

    Attributes:
        found_as: What finds the checkpoint again: its prefix, or the pattern of a V1 checkpoint in several files.
        finish: Does the rest.
    """

    found_as: str
    finish: _save.Finish


class Transport(Protocol):
    """One way for the variables of a Saver.

    Attributes:
        bindings: The variables, as far as they are known.
    """

    bindings: Sequence[Binding]

    def save(self, session: Any, save_path: str, prefix: str, options: SaveOptions) -> Begun:
        """Begins to write the files of a checkpoint.

        Args:
            session: Where the variables have their values; None in eager mode.
            save_path: What the caller asked to save to, for the error.
            prefix: The checkpoint's prefix.
            options: How to save; unless it blocks, the variables may change as soon as this returns.

        Raises:
            InvalidArgumentError: The directory is not there.
            UnimplementedError: The options ask for what this way cannot do.
        """

    def restore(self, session: Any, path: str, options: RestoreOptions) -> MatchReport | None:
        """Gives the variables the values of a checkpoint.

        Args:
            session: Where the variables get them; None in eager mode.
            path: A V2 prefix, a V1 file or pattern.
            options: How; plain ones say that every variable gets the tensor of its name, dtype and shape.

        Returns:
            What was restored; None when nodes did it.

        Raises:
            UnimplementedError: Only nodes can do it, and these only all of it.
        """


class Transports:
    """Chooses how the variables of a Saver get to files and back.

    Args:
        variables: What is saved and restored; None when it is to be found from the nodes.
        saver_def: The nodes; None when there are none.
        has_own_nodes: Whether the nodes come from a builder of the program, and nothing can stand in for them.
    """

    def __init__(self, variables: SaverVariables | None, saver_def: Any, *, has_own_nodes: bool = False) -> None:
        self._variables = variables
        self._saver_def = saver_def
        self._has_own_nodes = has_own_nodes
        self._eager: Transport | None = None
        # A SaverDef may come without its graph, and sessions of one graph may be on different servers.
        self._chosen: weakref.WeakKeyDictionary[Any, dict[Any, Transport]] = weakref.WeakKeyDictionary()
        self._lock = ForkSafeLock()

    def of(self, session: Any) -> Transport:
        """The way for the variables in a session; None stands for eager mode."""
        with self._lock:
            graph = getattr(session, "graph", None)
            if graph is None:
                self._eager = self._eager or self._choose(session)
                return self._eager
            chosen = self._chosen.setdefault(graph, {})
            server = server_of(session)
            if server not in chosen:
                chosen[server] = self._choose(session)
            return chosen[server]

    def _choose(self, session: Any) -> Transport:
        graph = getattr(session, "graph", None)
        variables = None if self._has_own_nodes else self._variables
        if not self._has_own_nodes and graph is not None and (variables is None or self._is_changed(graph)):
            variables = _saver_graph.find_variables(graph, self._saver_def)
        if variables is None:
            return Nodes(self._saver_def, None)
        files = Files(variables, None if session is None else self._saver_def)
        opaque = None if session is None else next(filter(_is_opaque, files.bindings), None)
        if opaque is not None and self._saver_def is None:
            raise UnimplementedError(
                f"{opaque.variable.label}: only nodes of the graph can save a {opaque.dtype.name}, and the graph is "
                "finalized: make the Saver before that"
            )
        is_elsewhere = self._saver_def is not None and server_of(session) and _is_on_servers(self._saver_def, files.bindings)
        return Nodes(self._saver_def, files) if is_elsewhere or opaque is not None else files

    def _is_changed(self, graph: Any) -> bool:
        """Whether it is another graph than the Saver was made in, with nodes of its own that say what is saved.

        A copy of a graph may save something else under the same names, such as the rounded values of the variables.
        """
        if self._variables is None or self._saver_def is None or not self._variables.bindings:
            return False
        is_other = _saver_graph.graph_of(self._variables.bindings) is not graph
        return is_other and _saver_graph.has_nodes(graph, self._saver_def)


class Files:
    """Saves and restores variables by our writer and reader.

    Args:
        variables: The variables.
        saver_def: Their nodes, which move them where that is faster; None when there are none.
    """

    def __init__(self, variables: SaverVariables, saver_def: Any) -> None:
        self.bindings: Sequence[Binding] = variables.bindings
        self._variables = variables
        self._operation = _Operation(saver_def, variables)

    def save(self, session: Any, save_path: str, prefix: str, options: SaveOptions) -> Begun:
        is_plain = options.blocking and options.num_data_shards == 1 and options.save_dtype is None
        if is_plain and self._operation.is_faster(session):
            self._operation.save(session, save_path, prefix, durable=options.durable)
            return Begun(prefix, _nothing)
        shards: Sequence[Sequence[Binding]] = self._variables.shards
        if not options.sharded and options.num_data_shards > 1:
            shards = _save.balanced(self.bindings, options.num_data_shards)
        finish = _save.begin_save(session, shards, save_path, prefix, options, held=not options.blocking)
        return Begun(_save.found_as(prefix, len(shards), options), finish)

    def restore(self, session: Any, path: str, options: RestoreOptions) -> MatchReport | None:
        if options.is_plain and self._operation.is_faster(session) and self._operation.restore(session, path):
            return None
        reshape = self._variables.reshape
        bindings = _with_known_shapes(session, self.bindings) if reshape else self.bindings
        strict, dry_run, trusted = options.strict is not False, options.dry_run or False, options.trusted is not False
        if not options.names:
            return _restore.restore_variables(
                session, bindings, path, reshape=reshape, strict=strict, dry_run=dry_run, trusted=trusted
            )
        if reshape:
            raise InvalidArgumentError(f"{options.names[0]}= and Saver(reshape=True) exclude each other")
        target = _restore.SessionTarget(bindings, session, options.names)
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
                    strict=strict,
                    dry_run=dry_run,
                )
            except RestoreError as error:
                # In the words that TensorFlow has, where it has some.
                _restore.raise_unless_ok(error.report)
                raise

    def compare(self, session: Any, path: str) -> MatchReport:
        """What a plain `restore` would find; nothing is read but the index, and no variable changes."""
        reshape = self._variables.reshape
        bindings = _with_known_shapes(session, self.bindings) if reshape else self.bindings
        return _restore.compare_variables(bindings, path, reshape=reshape)


class Nodes:
    """Saves and restores by the nodes of a graph, in TensorFlow's own runtime.

    Args:
        saver_def: The nodes.
        files: The same variables in this process; None where only the nodes know what they save.
    """

    def __init__(self, saver_def: Any, files: Files | None) -> None:
        self.bindings: Sequence[Binding] = () if files is None else files.bindings
        self._saver_def = saver_def
        self._files = files
        self._is_opaque = any(map(_is_opaque, self.bindings))

    def save(self, session: Any, save_path: str, prefix: str, options: SaveOptions) -> Begun:
        what = f"{self.bindings[0].name} and others on a cluster" if self.bindings else "the nodes of its SaverDef"
        if options.save_dtype is not None:
            raise UnimplementedError(
                f"save_dtype={options.save_dtype}: {what} are saved by TensorFlow's runtime, as they are"
            )
        if options.num_data_shards > 1:
            raise UnimplementedError(
                f"num_data_shards={options.num_data_shards}: {what} are saved by TensorFlow's runtime, into as many files "
                "as there are servers; sharded=True has a file for each"
            )
        if self._is_opaque and options.is_v2 and not server_of(session):
            _save_whole(session, self._saver_def, save_path, prefix, size=0, durable=options.durable)
            return Begun(prefix, _nothing)
        written = run_save(session, self._saver_def, save_path, prefix)
        if options.durable:
            with writing(file_io.as_path(written)):
                _sync(written)
        return Begun(written, _nothing)

    def restore(self, session: Any, path: str, options: RestoreOptions) -> MatchReport | None:
        if (self._files is None or self._is_opaque) and not options.is_plain:
            said = ", ".join(f"{name}={value!r}" for name, value in vars(options).items() if value is not None)
            raise UnimplementedError(
                f"{said}: {self._saver_def.restore_op_name} restores what this Saver saves, and only the nodes behind "
                "it know what that is: a Saver of the variables alone, Saver(var_list=...), can do that"
            )
        if self._files is not None and options.is_plain:
            report = self._files.compare(session, path)
            _restore.raise_unless_ok(report)
            if not _is_as_named(report) and not self._is_opaque:
                # Nodes ask for the names they were made with; a checkpoint that was written from objects has others.
                return self._files.restore(session, path, options)
        elif self._files is not None:
            return self._files.restore(session, path, options)
        run_restore(session, self._saver_def, path)
        return None


class _Operation:
    """Moves many small variables by one operation of their graph, to files that are ours and from them.

    Args:
        saver_def: The nodes; None when there are none.
        variables: What they save and restore.
    """

    def __init__(self, saver_def: Any, variables: SaverVariables) -> None:
        self._saver_def = saver_def
        self._bindings = variables.bindings
        self._is_one: bool | None = None
        self._compared: tuple[str, FileIdentity] | None = None
        sizes = _sizes(variables) if _is_plain(saver_def, variables) else []
        self._size = sum(sizes)
        self._are_many_small = len(sizes) >= _MIN_NUM and sum(sizes) <= _MAX_MEAN_SIZE * len(sizes)

    def is_faster(self, session: Any) -> bool:
        """Whether the nodes are to save and to restore: in this process, and by one operation each way."""
        if not self._are_many_small or session is None or server_of(session):
            return False
        if self._is_one is None:
            self._is_one = _saver_graph.restores_at_once(session.graph, self._saver_def)
        return self._is_one

    def save(self, session: Any, save_path: str, prefix: str, *, durable: bool) -> None:
        """Writes a checkpoint; whatever fails, no file is left behind."""
        _save_whole(session, self._saver_def, save_path, prefix, size=self._size, durable=durable)

    def restore(self, session: Any, path: str) -> bool:
        """Gives the variables the values of a checkpoint.

        Returns:
            Whether it was done. If not, nothing has changed, and there may be something to report.
        """
        index = _index_of(path)
        if index is None:
            return False
        if index != self._compared:
            if not _is_as_named(_restore.compare_variables(self._bindings, path)):
                return False
            self._compared = index
        try:
            run_restore(session, self._saver_def, path)
        except _tensorflow.tf.errors.OpError:
            # Read again by our reader, which says what is wrong, and where.
            self._compared = None
            return False
        return True


def _save_whole(session: Any, saver_def: Any, save_path: str, prefix: str, *, size: int, durable: bool) -> None:
    """Runs the save operation of V2 in this process; the checkpoint appears whole, or no file is left behind."""
    path = file_io.as_path(prefix)
    may_be_made = not saver_def.sharded
    with (
        _paths.parent_directory(path, save_path, may_be_made=may_be_made, durable=durable),
        writing(path),
        _temporary_prefix(path, size) as temporary,
    ):
        run_save(session, saver_def, save_path, temporary)
        rename_bundle(temporary, path, durable=durable)


def run_save(session: Any, saver_def: Any, save_path: str, prefix: str) -> str:
    """Runs the save operation.

    Returns:
        What it returns: the prefix, or a pattern for the shards of a V1 checkpoint.

    Raises:
        InvalidArgumentError: The directory is not there.
        tf.errors.OpError: Whatever TensorFlow's runtime says.
    """
    errors = _tensorflow.tf.errors
    try:
        saved = session.run(saver_def.save_tensor_name, {saver_def.filename_tensor_name: os.fsencode(prefix)})
    except (errors.FailedPreconditionError, errors.NotFoundError) as error:
        if (missing := _paths.missing_parent(save_path)) is not None:
            raise missing from error
        raise
    return os.fsdecode(saved)


def run_restore(session: Any, saver_def: Any, path: str) -> None:
    """Runs the restore operation.

    Raises:
        tf.errors.OpError: Whatever TensorFlow's runtime says.
    """
    errors = _tensorflow.tf.errors
    try:
        session.run(saver_def.restore_op_name, {saver_def.filename_tensor_name: os.fsencode(path)})
    except errors.NotFoundError as error:
        raise type(error)(error.node_def, error.op, _WHY.format(_MISSING, error.message)) from error
    except errors.InvalidArgumentError as error:
        raise type(error)(error.node_def, error.op, _WHY.format(_MISMATCH, error.message)) from error


def server_of(session: Any) -> Any:
    """The server that a session talks to; nothing when it runs in this process, or does not say."""
    try:
        return getattr(session, "sess_str", b"")
    except NotImplementedError:
        return b""


def _is_opaque(binding: Binding) -> bool:
    return isinstance(binding.variable, SavedTensor) and binding.variable.is_opaque


def _is_on_servers(saver_def: Any, bindings: Sequence[Binding]) -> bool:
    """Whether the servers of a cluster have the files, or variables."""
    return bool(saver_def.sharded) or any(_names_a_server(_save.device_of(binding)) for binding in bindings)


def _names_a_server(device: str) -> bool:
    spec = _tensorflow.tf.DeviceSpec.from_string(device)
    return spec.job is not None or spec.task is not None


def _with_known_shapes(session: Any, bindings: Sequence[Binding]) -> list[Binding]:
    """The bindings with the shapes that their variables have now, where the graph does not know them."""
    return [_with_known_shape(session, binding) for binding in bindings]


def _with_known_shape(session: Any, binding: Binding) -> Binding:
    variable = binding.variable
    if not isinstance(variable, GraphVariable) or (variable.shape is not None and None not in variable.shape):
        return binding
    shape = np.shape(session.run(variable.tensor))
    return dataclasses.replace(binding, variable=dataclasses.replace(variable, shape=shape))


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
    if saver_def is None or saver_def.sharded or not SaveOptions(version=saver_def.version).is_v2:
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


def _nothing() -> dict[str, Any]:
    """What is left to do when all is done, and what that loses."""
    return {}
