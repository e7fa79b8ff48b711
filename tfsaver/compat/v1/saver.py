"""`tf.compat.v1.train.Saver` on our own reader and writer.

    Saver(var_list)            the variables are looked up, and the graph gets the nodes that TensorFlow's Saver has, for
                               whoever gets the graph without the Saver
    Saver(saver_def=...)       the nodes are there, and say what the variables are
    Saver(defer_build=True)    nothing, until `build`

    saver.save(sess, path)     values -> path.index, path.data-*, then the state file, then one old checkpoint goes,
                               then path.meta
                               (with blocking=False the files are written while the program goes on, see `_background`)
    saver.restore(sess, path)  all names, dtypes, shapes and checksums first, then the variables

Constructor, attributes, methods, return values, files and errors are TensorFlow's, whose programs need no change. Which
variables there are is said by `_var_list` and `_saver_graph`, how they get to files and back by `_transports`, which
checkpoints stay by `_history`. The nodes are not needed to save and restore in this process: a Saver may be made, as often
as one likes, on a graph that is finalized. Where eager execution is on there is no graph: the variables are looked up at
once, and nothing is made.
"""

from __future__ import annotations

import dataclasses
import logging
import os
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from tfsaver import schemas
from tfsaver.checkpoint import checkpoint_location, checkpoint_management
from tfsaver.checkpoint.checkpoint_state import STATE_FILE_NAME
from tfsaver.checkpoint.editing.cast import as_dtype
from tfsaver.checkpoint.execution import DryRun
from tfsaver.checkpoint.losses import Losses
from tfsaver.checkpoint.match_report import MatchReport
from tfsaver.checkpoint.names.name_map import NameMapLike
from tfsaver.checkpoint.retention import Retention
from tfsaver.checkpoint.selection import Select, Selection, SelectionReport, as_selection
from tfsaver.compat import _background, _paths, _restart, _saver_graph, _tensorflow
from tfsaver.compat._background import BackgroundSaves
from tfsaver.compat._errors import tensorflow_errors
from tfsaver.compat._history import CountedHistory, History, LedgerHistory, enter
from tfsaver.compat._meta_graph import begin_export, export_meta_graph
from tfsaver.compat._options import RestoreOptions, SaveOptions, Scope, patched
from tfsaver.compat._restore import initialize
from tfsaver.compat._save import shards_of
from tfsaver.compat._saver_graph import SaverVariables
from tfsaver.compat._transports import Transports
from tfsaver.compat._var_list import default_var_list, resolve
from tfsaver.errors import InvalidArgumentError, PathConflictError, SaverError
from tfsaver.lib import file_io
from tfsaver.lib.fork_safe_lock import ForkSafeLock

_logger = logging.getLogger(__name__)


class Saver:
    """Saves variables to checkpoints and restores them.

    Args:
        var_list: Variables: None for all global ones of the default graph, a list, or a dict from names to variables.
        reshape: Whether a restored tensor takes the variable's shape when it has as many elements.
        sharded: Whether each device has a data file of its own. On a cluster each server writes its own then.
        max_to_keep: How many checkpoints are kept; 0 or None for all.
        keep_checkpoint_every_n_hours: One checkpoint in so many hours is kept for good; 0 or None keeps every one.
        name: The name scope of the graph nodes. With a `saver_def`, the scope that it was imported to.
        restore_sequentially: Without effect, as in TensorFlow.
        saver_def: The SaverDef of nodes that are there: no others are made, its settings count, and the variables are those
            that its nodes save.
        builder: What makes the graph nodes in the place of TensorFlow's builder; then nothing but these saves and restores.
        defer_build: Whether the variables are looked up by `build()` only.
        allow_empty: Whether there may be no variables; then `save` writes no more than a meta graph, and `restore` nothing.
        write_version: SaverDef.V1 or SaverDef.V2.
        pad_step_number: Whether a step in a file name has eight digits.
        save_relative_paths: Whether the state file names checkpoints relative to its directory, which can be moved then.
        filename: Where the graph nodes save to when whoever runs them does not say.
        durable: Whether `save` returns only once the disk has the bytes. TensorFlow never waits for that.
        retention: A policy that says which checkpoints are kept, over restarts, in the place of `max_to_keep` and the hours.
        select: Which of the variables are saved and restored at all, or a pattern, or several, that occur in their names;
            `selection_report` says what that saves.
        num_data_shards: How many data files a checkpoint has, all of about the same size and each written by a thread of
            its own: faster where one file is the limit. That is not `sharded`, which is about devices. TensorFlow reads
            the files as any others; scripts that look for ``data-00000-of-00001`` do not.
        blocking: What `save` does that does not say: hooks and sessions that save by themselves never do.
        mapping: This and what follows up to `accept_guesses` is what `restore` does that does not say, and means what it
            means there: sessions and hooks that restore by themselves never do. `select` is above.
        cast: See `restore`.
        scope: See `restore`.
        strict: See `restore`.
        dry_run: See `restore`.
        trusted: See `restore`.
        initialize_missing: See `restore`.
        averages: See `restore`.
        accept_guesses: See `restore`.
        save_dtype: A type of numbers, such as ``bfloat16``, in which variables of that kind are saved. What that loses is
            logged and in `save_losses`; a loss beyond precision is an error. `restore` casts back unless ``cast=False``.

    Attributes:
        saver_def: The SaverDef of the graph nodes; None when there are none.
        save_losses: What the last save lost by `save_dtype`, by the names of the tensors.
        selection_report: What `select` keeps and leaves out; None without it, and before `build`.

    Raises:
        MissingExtraError: TensorFlow is not installed.
        InvalidArgumentError: A ValueError; the arguments contradict each other, or there is nothing to save.
        TypeError: `var_list` or an element of it is of no type that can be saved.
    """

    def __init__(
        self,
        var_list: Any = None,
        reshape: bool = False,
        sharded: bool = False,
        max_to_keep: int | None = 5,
        keep_checkpoint_every_n_hours: float | None = 10000.0,
        name: str | None = None,
        restore_sequentially: bool = False,
        saver_def: Any = None,
        builder: Any = None,
        defer_build: bool = False,
        allow_empty: bool = False,
        write_version: int = schemas.SaverDef.V2,
        pad_step_number: bool = False,
        save_relative_paths: bool = False,
        filename: str | None = None,
        *,
        durable: bool = True,
        retention: Retention | None = None,
        select: Selection | str | list[str] | None = None,
        num_data_shards: int = 1,
        blocking: bool = True,
        mapping: NameMapLike = None,
        cast: bool | None = None,
        scope: Scope = None,
        strict: bool | None = None,
        dry_run: DryRun | None = None,
        trusted: bool | None = None,
        initialize_missing: bool | None = None,
        averages: bool | None = None,
        accept_guesses: bool | None = None,
        save_dtype: Any = None,
    ) -> None:
        if defer_build and var_list:
            raise InvalidArgumentError(
                "If `var_list` is provided then build cannot be deferred. Either set defer_build=False or var_list=None."
            )
        if saver_def is not None and select is not None:
            raise InvalidArgumentError("select=: the nodes of a saver_def save what they save, all of it")
        if saver_def is None and write_version not in (schemas.SaverDef.V1, schemas.SaverDef.V2):
            raise TypeError(f"write_version is {write_version!r}; SaverDef.V1 and SaverDef.V2 are the formats there are")
        if cast is None and save_dtype is not None:
            # What was saved in another type is restored from it.
            cast = True
        self._restore_options = RestoreOptions(
            mapping=mapping,
            cast=cast,
            scope=scope,
            strict=strict,
            dry_run=dry_run,
            trusted=trusted,
            initialize_missing=initialize_missing,
            averages=averages,
            accept_guesses=accept_guesses,
        )
        self._options = SaveOptions(
            version=write_version,
            sharded=sharded,
            num_data_shards=num_data_shards,
            durable=durable,
            save_dtype=None if save_dtype is None else as_dtype(save_dtype),
            pad_step_number=pad_step_number,
            save_relative_paths=save_relative_paths,
            blocking=blocking,
        )
        self._is_eager = _tensorflow.tf.executing_eagerly()
        if self._is_eager and var_list is None:
            raise RuntimeError("When eager execution is enabled, `var_list` must specify a list or dict")
        self.saver_def: Any = saver_def
        self.save_losses: Mapping[str, Losses] = {}
        self.selection_report: SelectionReport | None = None
        self._select = None if select is None else as_selection(select)
        # Under the names that TensorFlow's Saver has for them, where some programs look.
        self._var_list = var_list
        self._reshape = reshape
        self._sharded = sharded
        self._max_to_keep = max_to_keep
        self._keep_checkpoint_every_n_hours = keep_checkpoint_every_n_hours
        self._name = name
        self._restore_sequentially = restore_sequentially
        self._builder = builder
        self._is_built = False
        self._allow_empty = allow_empty
        self._is_empty: bool | None = None
        self._write_version = write_version
        self._pad_step_number = pad_step_number
        self._filename = filename
        self._save_relative_paths = save_relative_paths
        self._object_restore_saver: Any = None
        # A supervisor saves from a thread of its own.
        self._lock = ForkSafeLock(reentrant=True)
        self._background = BackgroundSaves()
        # In a graph the hours pass through a SaverDef, where they are a float of 32 bits.
        hours = keep_checkpoint_every_n_hours or 0
        hours = hours if self._is_eager else float(np.float32(hours))
        self._history: History = CountedHistory(max_to_keep or 0, hours)
        if retention is not None:
            self._history = LedgerHistory(retention, durable=durable)
        if self._is_eager:
            self._transports = Transports(self._look_up_variables()[1], None)
            self._options = self._options.of_nodes(None)
        elif not defer_build:
            self.build()

    def build(self) -> None:
        """Looks the variables up and makes the graph nodes, unless that was done before.

        Raises:
            RuntimeError: Called in eager mode, where it has nothing to do.
            InvalidArgumentError: A ValueError; there is nothing to save.
        """
        if self._is_eager:
            raise RuntimeError("Use save/restore instead of build in eager mode.")
        if self._is_built:
            return
        # Set first, as in TensorFlow: a build that fails is not tried again by whoever calls `build` next.
        self._is_built = True
        variables = None
        if self.saver_def is None:
            named, variables = self._look_up_variables()
            if not self._is_empty:
                self.saver_def = self._add_nodes(named, variables)
        else:
            if self._name:
                _saver_graph.add_scope(self.saver_def, self._name)
            _saver_graph.check(self.saver_def)
        self._options = self._options.of_nodes(self.saver_def)
        self._write_version = self._options.version
        self._transports = Transports(variables, self.saver_def, has_own_nodes=_saver_graph.is_own(self._builder))
        if self.saver_def is None:
            self._history.start(self._max_to_keep or 0, float(np.float32(self._keep_checkpoint_every_n_hours or 0)))
        else:
            self._history.start(self.saver_def.max_to_keep, self.saver_def.keep_checkpoint_every_n_hours)

    def save(
        self,
        sess: Any,
        save_path: file_io.PathLike,
        global_step: Any = None,
        latest_filename: str | None = None,
        meta_graph_suffix: str = "meta",
        write_meta_graph: bool = True,
        write_state: bool = True,
        strip_default_attrs: bool = False,
        save_debug_info: bool = False,
        *,
        metric: float | None = None,
        blocking: bool | None = None,
    ) -> str | None:
        """Saves the variables.

        A save that fails leaves no file behind and keeps the state file and the list of checkpoints as they were. When only
        the state file or the meta graph cannot be written, the checkpoint itself is there, whole.

        With ``blocking=False`` it returns as soon as the values are safe from the next step, and a thread does the rest in
        the same order: nobody finds the checkpoint before it is whole. The values take memory of their own as far as they
        change until then: for all of the variables, at most. A Saver has one such save at a time: the next call that
        saves, restores or asks for checkpoints waits for it, `wait` does nothing else, and the interpreter does so when it
        ends. What goes wrong in the thread is logged at once, and raised by that next call. A directory that is not there,
        a variable without a value and whatever else can be known before anything is written is raised here. A graph
        that is not finalized is exported here too, and what only nodes of the graph can save is saved here.

        Args:
            sess: The session with the values; of no use in eager mode.
            save_path: The prefix of the files, to which the step is added.
            global_step: An integer, or a tensor, a variable or the name of a tensor that has one.
            latest_filename: The name of the state file, `checkpoint` by default.
            meta_graph_suffix: How the name of the meta graph ends.
            write_meta_graph: Whether the graph is written as well.
            write_state: Whether the state file is written, and old checkpoints are removed.
            strip_default_attrs: Whether attributes that have their default are left out of the meta graph.
            save_debug_info: Whether the places in the source where nodes were made are written beside the meta graph.
            metric: How good the values are, for a retention policy that keeps the best.
            blocking: Whether all is done when it returns; as the Saver was made when None. Until all is done, a relative
                `save_path` needs the working directory that it had.

        Returns:
            The prefix of the checkpoint, for `restore`. None when there are no variables.

        Raises:
            RuntimeError: `build()` was not called.
            InvalidArgumentError: A ValueError; the directory is not there, or names collide.
            TypeError: `sess` is no session, or `save_path` no path.
            tf.errors.OpError: A variable has no value, a file cannot be written.
        """
        self.wait()
        self._check_built("save")
        options = dataclasses.replace(
            self._options,
            blocking=self._options.blocking if blocking is None else blocking,
            latest_filename=STATE_FILE_NAME if latest_filename is None else latest_filename,
            meta_graph_suffix=meta_graph_suffix,
            write_meta_graph=write_meta_graph,
            write_state=write_state,
            strip_default_attrs=strip_default_attrs,
            save_debug_info=save_debug_info,
            metric=self._checked_metric(metric),
        )
        if not options.is_v2:
            _logger.warning("TensorFlow's V1 checkpoint format has been deprecated; consider SaverDef.V2")
        save_path = _paths.to_text(save_path)
        session = None if self._is_eager else sess
        prefix = self._prefix(save_path, global_step, session, options)
        if not self._is_eager and not isinstance(sess, _tensorflow.SessionInterface):
            raise TypeError(f"'sess' must be a Session; {sess}")
        if write_state and not self._is_empty:
            if _paths.collides(prefix, options):
                raise PathConflictError(f"{prefix!r} conflicts with path used for checkpoint state: use another save_path")
            # TensorFlow takes a URL for a relative path, and names checkpoints relative to its directory.
            if save_path.startswith("file://") or _paths.needs_relative_paths(prefix):
                options = dataclasses.replace(options, save_relative_paths=True)
        if save_debug_info and write_meta_graph and session is not None and not session.graph.finalized:
            # Where nodes were made is looked up in the graph itself, which may grow meanwhile.
            options = dataclasses.replace(options, blocking=True)
        # One save at a time: what one thread writes must not be what another removes as its oldest.
        with self._lock, _background.taken(prefix) as keep_taken:
            self.wait()
            if session is None:
                self.saver_def = self._eager_saver_def(prefix, is_save=True)
            export = None
            if session is not None and write_meta_graph:
                export = begin_export(self.export_meta_graph, session.graph, prefix, options)
            begun = None
            if not self._is_empty:
                begun = self._transports.of(session).save(session, save_path, prefix, options)

            def finish() -> None:
                if begun is not None:
                    self._note_losses(begun.found_as, begun.finish())
                    if options.write_state:
                        enter(self._history, begun.found_as, file_io.split(save_path)[0], options)
                if export is not None:
                    export()

            if options.blocking:
                finish()
            else:
                self._background.start(prefix, finish, keep_taken())
        return None if begun is None else begun.found_as

    def restore(
        self,
        sess: Any,
        save_path: file_io.PathLike | None,
        *,
        mapping: NameMapLike = None,
        cast: bool | None = None,
        scope: Scope = None,
        select: Select = None,
        strict: bool | None = None,
        dry_run: DryRun | None = None,
        trusted: bool | None = None,
        initialize_missing: bool | None = None,
        averages: bool | None = None,
        accept_guesses: bool | None = None,
    ) -> MatchReport | None:
        """Gives the variables the values of a checkpoint: all of them, or none when anything is wrong.

        See `restore_latest` for a directory, and `patch_tensorflow(fall_back=True)` for programs that name the newest
        checkpoint themselves and are to go on from the one before when it is damaged.

        Args:
            sess: The session whose variables change; they need not be initialized. Of no use in eager mode.
            save_path: What `save` returned: a V2 prefix, or the file or the pattern of a V1 checkpoint.
            mapping: From names in the checkpoint to those of the Saver's variables: what a report proposes, a dict, rules, a
                file, a ready table; see `tfsaver.restore`. Of this and all that follows, what is None is as the Saver was
                made, or as `patch_tensorflow` says.
            cast: Whether numbers of another dtype are converted; a loss beyond precision is an error.
            scope: Words in front of the names in the checkpoint, or the words there and the words here.
            select: The variables to restore: a `Selection`, or patterns of which one must occur in a name.
            strict: Whether it is an error when a tensor is missing or does not fit. Otherwise what fits is restored.
            dry_run: Whether to report only: nothing is assigned; with ``"values"`` all that would be restored is read, too.
            trusted: If false, a name in a file that leads out of the checkpoint's directory is an error.
            initialize_missing: Whether the graph's variables that have no value afterwards get their initial values. A
                Saver that was made with ``strict=False``, or a patch with it, does so unless told otherwise.
            averages: Whether a variable gets its moving average where the checkpoint has one; the others get their values.
            accept_guesses: Whether tensors are taken that fit and whose names are merely similar.

        Returns:
            None for a strict restore without options, as TensorFlow's; otherwise what was restored, what was not, and why.

        Raises:
            InvalidArgumentError: A ValueError; there is no checkpoint at `save_path`.
            tf.errors.NotFoundError: Tensors are missing; the error lists them.
            tf.errors.InvalidArgumentError: Dtypes or shapes differ; the error lists them.
            tf.errors.DataLossError: The checkpoint is damaged.
            tf.errors.UnimplementedError: Options are given, and something is restored by nodes of the graph or by an
                object's own code; names it.
        """
        options = RestoreOptions(
            mapping, cast, scope, select, strict, dry_run, trusted, initialize_missing, averages, accept_guesses
        )
        self.wait()
        if self._is_empty:
            return None
        if save_path is None:
            raise InvalidArgumentError(
                "Can't load save_path when it is None. latest_checkpoint returns None where a directory has no state file, "
                "or one that names no checkpoint that is there; restore_latest finds the newest sound one without it"
            )
        save_path = _paths.to_text(save_path)
        if save_path:
            _background.wait_for(save_path)
        falls_back = bool(save_path) and _restart.is_falling_back()
        if not falls_back and (not save_path or not checkpoint_management.checkpoint_exists(save_path)):
            raise InvalidArgumentError(f"The passed save_path is not a valid checkpoint: {save_path}{_why_none(save_path)}")
        self._check_built("restore")
        with tensorflow_errors():
            if falls_back:
                _, report = _restart.restore_or_older(save_path, lambda path: self._read(sess, path, options))
            else:
                report = self._read(sess, save_path, options)
        return report

    def restore_latest(
        self,
        sess: Any,
        checkpoint_dir: file_io.PathLike,
        latest_filename: str | None = None,
        *,
        mapping: NameMapLike = None,
        cast: bool | None = None,
        scope: Scope = None,
        select: Select = None,
        strict: bool | None = None,
        dry_run: DryRun | None = None,
        trusted: bool | None = None,
        initialize_missing: bool | None = None,
        averages: bool | None = None,
        accept_guesses: bool | None = None,
    ) -> str | None:
        """Restores the newest checkpoint of a directory that is whole: all that a program does at a restart.

        Each byte is read once: a checkpoint is restored if it can be. One that is damaged, half deleted or gone is skipped,
        and the log says so, with the reason, as a warning. One that does not fit the variables is an error like in
        `restore`, since to go on with an older one would hide that the program has changed. A Saver that has saved nothing
        yet takes the checkpoints that the state file lists for its own, as by `recover_last_checkpoints`, and the skipped
        ones for the oldest.

        Args:
            sess: The session whose variables change; of no use in eager mode.
            checkpoint_dir: The directory of the checkpoints, with a state file or without.
            latest_filename: The name of the state file, `checkpoint` by default.
            mapping: This and all that follows: as for `restore`.
            cast: See there.
            scope: See there.
            select: See there.
            strict: See there.
            dry_run: Whether nothing is assigned: only the checkpoint that would be restored is found.
            trusted: If false, neither the state file nor a symbolic link may lead out of the directory.
            initialize_missing: See `restore`.
            averages: See there.
            accept_guesses: See there.

        Returns:
            The prefix of what was restored. None when there is no checkpoint, or there are no variables.

        Raises:
            tf.errors.DataLossError: There are checkpoints, and none is whole; says why of each.
            tf.errors.NotFoundError: Tensors are missing.
            tf.errors.InvalidArgumentError: Dtypes or shapes differ.
        """
        options = RestoreOptions(
            mapping, cast, scope, select, strict, dry_run, trusted, initialize_missing, averages, accept_guesses
        )
        is_trusted = options.over(self._restore_options).over(patched()).trusted is not False
        self.wait()
        if self._is_empty:
            return None
        self._check_built("restore")
        with tensorflow_errors():
            latest, _ = _restart.restore_newest(
                checkpoint_dir, lambda path: self._read(sess, path, options), latest_filename, trusted=is_trusted
            )
        if latest.prefix is not None and not self._history.checkpoints:
            self.recover_last_checkpoints(_restart.recorded_checkpoints(checkpoint_dir, latest, latest_filename))
        return latest.prefix

    def wait(self) -> None:
        """Waits until the save that goes on in the background, if any, has ended.

        Raises:
            Exception: It failed, or one did before that nobody has heard of: the error that ``blocking=True`` would have
                raised. Its cause is the error of the thread.
        """
        self._background.wait()

    @property
    def last_checkpoints(self) -> list[str]:
        """The checkpoints that were not removed yet, oldest first; what `recover_last_checkpoints` takes."""
        self.wait()
        return [path for path, _ in self._history.checkpoints]

    def set_last_checkpoints(self, last_checkpoints: list[str]) -> None:
        """Deprecated: use `set_last_checkpoints_with_time`. Checkpoints set here are never removed."""
        if not isinstance(last_checkpoints, list):
            raise AssertionError(f"last_checkpoints must be a list, not {type(last_checkpoints).__name__}")
        self.set_last_checkpoints_with_time([(path, np.inf) for path in last_checkpoints])

    def set_last_checkpoints_with_time(self, last_checkpoints_with_time: list[tuple[str, float]]) -> None:
        """Replaces the list of checkpoints by pairs of a path and seconds since the epoch, oldest first."""
        if not isinstance(last_checkpoints_with_time, list):
            raise AssertionError(f"last_checkpoints must be a list, not {type(last_checkpoints_with_time).__name__}")
        with self._lock:
            self.wait()
            self._history.checkpoints = last_checkpoints_with_time

    def recover_last_checkpoints(self, checkpoint_paths: Iterable[str]) -> None:
        """Replaces the list of checkpoints after a restart by those of `checkpoint_paths` that are there."""
        with self._lock:
            self.wait()
            self._history.recover(checkpoint_paths)

    def pin(self, save_path: file_io.PathLike) -> None:
        """Keeps a checkpoint for good, or until `unpin`, whatever the retention policy says.

        Raises:
            InvalidArgumentError: The Saver has no policy.
            tf.errors.NotFoundError: There is no such checkpoint.
        """
        ledgers = self._ledgers("pin()")
        with tensorflow_errors(), self._lock:
            self.wait()
            ledgers.pin(save_path)

    def unpin(self, save_path: file_io.PathLike) -> None:
        """Leaves a checkpoint to the retention policy again; raises as `pin`."""
        ledgers = self._ledgers("unpin()")
        with tensorflow_errors(), self._lock:
            self.wait()
            ledgers.unpin(save_path)

    def as_saver_def(self) -> Any:
        """The SaverDef of the graph nodes; None when there are none."""
        return self.saver_def

    def to_proto(self, export_scope: str | None = None) -> Any:
        """The SaverDef of the graph nodes, with the names they have in an export of a scope; None if they are not in it."""
        if export_scope is None or self.saver_def is None:
            return self.saver_def
        return _saver_graph.without_scope(self.saver_def, export_scope)

    def export_meta_graph(
        self,
        filename: str | None = None,
        collection_list: Any = None,
        as_text: bool = False,
        export_scope: str | None = None,
        clear_devices: bool = False,
        clear_extraneous_savers: bool = False,
        strip_default_attrs: bool = False,
        save_debug_info: bool = False,
    ) -> Any:
        """The default graph as a MetaGraphDef with this Saver's nodes named; see `meta_graph.export_meta_graph`."""
        return export_meta_graph(
            filename=filename,
            graph_def=_tensorflow.tf.compat.v1.get_default_graph().as_graph_def(add_shapes=True),
            saver_def=self.saver_def,
            collection_list=collection_list,
            as_text=as_text,
            export_scope=export_scope,
            clear_devices=clear_devices,
            clear_extraneous_savers=clear_extraneous_savers,
            strip_default_attrs=strip_default_attrs,
            save_debug_info=save_debug_info,
        )

    @staticmethod
    def from_proto(saver_def: Any, import_scope: str | None = None) -> Saver:
        """A Saver of the graph nodes that a SaverDef names, inside of a scope."""
        return Saver(saver_def=saver_def, name=import_scope)

    # TensorFlow keeps these on the Saver itself, where some programs look.
    @property
    def _last_checkpoints(self) -> list[tuple[str, float]]:
        self.wait()
        return self._history.checkpoints

    @property
    def _checkpoints_to_be_deleted(self) -> list[tuple[str, float]]:
        self.wait()
        return self._history.candidates

    @property
    def _next_checkpoint_time(self) -> float:
        return self._history.next_checkpoint_time

    def _look_up_variables(self) -> tuple[dict[str, Any], SaverVariables]:
        """What is saved, by name: as TensorFlow's builder takes it, and as bindings."""
        if self._var_list is None:
            self._var_list = default_var_list()
        named, bindings, self.selection_report = resolve(self._var_list, self._select)
        self._is_empty = not bindings
        if self._is_empty and not self._allow_empty:
            raise InvalidArgumentError("No variables to save")
        return named, SaverVariables(shards_of(bindings, sharded=self._sharded), self._reshape)

    def _leave_shared_nodes(self) -> None:
        """Gives a Saver that may share the nodes of another one nodes of its own, where it knows its variables."""
        if self.saver_def is None or self._var_list is None or self._builder is not None:
            return
        named, variables = self._look_up_variables()
        saver_def = self._add_nodes(named, variables, may_share=False)
        if saver_def is not None:
            self.saver_def = saver_def
            self._transports = Transports(variables, saver_def)

    def _add_nodes(self, named: dict[str, Any], variables: SaverVariables, *, may_share: bool = True) -> Any:
        return _saver_graph.add_nodes(
            named,
            variables.bindings,
            builder=self._builder,
            version=self._write_version,
            may_share=may_share,
            reshape=self._reshape,
            sharded=self._sharded,
            max_to_keep=self._max_to_keep,
            keep_checkpoint_every_n_hours=self._keep_checkpoint_every_n_hours,
            name=self._name,
            restore_sequentially=self._restore_sequentially,
            filename=self._filename,
        )

    def _prefix(self, save_path: str, global_step: Any, session: Any, options: SaveOptions) -> str:
        """The checkpoint's prefix: the path with the step, if there is one.

        Raises:
            InvalidArgumentError: No state file could name it, or it is that of the state file.
        """
        if global_step is not None:
            return _paths.numbered(save_path, global_step, session, padded=options.pad_step_number)
        name = os.path.basename(save_path)
        if not name:
            raise InvalidArgumentError(
                f"save_path {save_path!r} is a directory, and its checkpoint would have no name, so that no state file "
                f"could name it: save to {os.path.join(save_path, 'model.ckpt')!r}"
            )
        if name == options.latest_filename and not self._sharded:
            # A V1 checkpoint of that name would be the state file itself.
            raise InvalidArgumentError(f"'latest_filename' collides with 'save_path' {save_path!r}: use another one")
        return save_path

    def _note_losses(self, written: str, losses: Mapping[str, Losses]) -> None:
        self.save_losses = losses
        for name, lost in losses.items():
            _logger.info("%s: %s: cast: %s", written, name, lost)

    def _read(self, sess: Any, path: str, called_with: RestoreOptions) -> MatchReport | None:
        _logger.info("Restoring parameters from %s", path)
        _background.wait_for(path)
        options = called_with.over(self._restore_options).over(patched())
        initializes = options.initialize_missing
        if initializes is None:
            # Whoever asks a call for less than everything goes on to initialize; a session that calls by itself does not.
            initializes = called_with.strict is None and options.strict is False
        session = None if self._is_eager else sess
        transport = self._transports.of(session)
        report = transport.restore(session, file_io.as_path(path), options)
        if initializes and not options.dry_run:
            initialized = initialize(session, transport.bindings)
            report = None if report is None else dataclasses.replace(report, initialized=initialized)
        if options.is_plain:
            report = None
        elif report is not None and (called_with.strict is None or not report.ok):
            _logger.info("%s", report)
        if session is None:
            self.saver_def = self._eager_saver_def(path, is_save=False)
        return report

    def _add_collection_def(self, meta_graph_def: Any, key: str, export_scope: str | None = None) -> None:
        """Adds a collection of the default graph to a MetaGraphDef; some programs call it, as TensorFlow keeps it here."""
        _tensorflow.meta_graph.add_collection_def(meta_graph_def, key, export_scope=export_scope)

    def _ledgers(self, what: str) -> LedgerHistory:
        if not isinstance(self._history, LedgerHistory):
            raise InvalidArgumentError(f"{what} is for a Saver with a retention policy: Saver(retention=Retention(...))")
        return self._history

    def _checked_metric(self, metric: Any) -> float | None:
        """A metric as a number; what is not one shows before anything is written."""
        if metric is None:
            return None
        self._ledgers("metric=")
        try:
            return float(metric)
        except (TypeError, ValueError):
            raise InvalidArgumentError(f"metric={metric!r}: a metric is a number") from None

    def _check_built(self, what: str) -> None:
        if not self._is_built and not self._is_eager:
            raise RuntimeError(f"`build()` should be called before {what} if defer_build==True")

    def _eager_saver_def(self, path: str, *, is_save: bool) -> Any:
        """Without a graph, a SaverDef says where the last save or restore was; some programs look."""
        # A message holds UTF-8, and a file name need not be.
        text = os.fsencode(path).decode(errors="replace")
        return _tensorflow.tf.compat.v1.train.SaverDef(
            filename_tensor_name=text,
            save_tensor_name=text if is_save else "",
            max_to_keep=self._max_to_keep or 0,
            sharded=self._sharded,
            keep_checkpoint_every_n_hours=self._keep_checkpoint_every_n_hours,
            version=self._write_version,
        )


def _why_none(save_path: str) -> str:
    """What is at a path that is no checkpoint, behind TensorFlow's sentence for that."""
    if not save_path:
        return ""
    try:
        location = checkpoint_location.locate_checkpoint(save_path)
    except (SaverError, OSError) as error:
        return f" ({error})"
    return f" (it leads to {location.prefix}: restore that, or restore_latest restores the newest of a directory)"
