"""`tf.compat.v1.train.Saver` on our own reader and writer.

    Saver(var_list)            var_list -> bindings: each variable and the name of its tensor; and the nodes that
                               TensorFlow's Saver has, for whoever gets the graph without the Saver
    saver.save(sess, path)     values -> path.index, path.data-*, then the state file, then one old checkpoint goes,
                               then path.meta
                               (with blocking=False the files are written while the program goes on, see `_background`)
    saver.restore(sess, path)  all names, dtypes, shapes and checksums first, then the variables

Constructor, attributes, methods, return values, files and errors are TensorFlow's, whose programs need no change. How it is
made, its variables and its nodes are in `_built_saver`, the checkpoints that it keeps in `_kept_checkpoints`. The nodes are
not needed to save and restore in this process: a Saver may be made, as often as one likes, on a graph that is finalized.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from typing import Any

from tfsaver import schemas
from tfsaver.checkpoint import checkpoint_location, checkpoint_management
from tfsaver.checkpoint.checkpoint_state import STATE_FILE_NAME
from tfsaver.checkpoint.execution import DryRun
from tfsaver.checkpoint.match_report import MatchReport
from tfsaver.checkpoint.names.name_map import NameMapLike
from tfsaver.checkpoint.selection import Select
from tfsaver.compat import _background, _paths, _restart, _tensorflow
from tfsaver.compat._built_saver import BuiltSaver
from tfsaver.compat._errors import tensorflow_errors
from tfsaver.compat._history import enter
from tfsaver.compat._meta_graph import begin_export
from tfsaver.compat._options import RestoreOptions, SaveOptions, Scope, patched
from tfsaver.errors import InvalidArgumentError, PathConflictError, SaverError
from tfsaver.lib import file_io

_logger = logging.getLogger(__name__)


class Saver(BuiltSaver):
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
        if latest_filename is None:
            latest_filename = STATE_FILE_NAME
        if self._write_version != schemas.SaverDef.V2:
            _logger.warning("TensorFlow's V1 checkpoint format has been deprecated; consider SaverDef.V2")
        if os.path.split(latest_filename)[0]:
            raise InvalidArgumentError(f"'latest_filename' must not contain path components: {latest_filename!r}")
        prefix = save_path = _paths.to_text(save_path)
        if global_step is None and not os.path.basename(save_path):
            raise InvalidArgumentError(
                f"save_path {save_path!r} is a directory, and its checkpoint would have no name, so that no state file "
                f"could name it: save to {os.path.join(save_path, 'model.ckpt')!r}"
            )
        if global_step is not None:
            prefix = _paths.numbered(save_path, global_step, self._session(sess), padded=self._pad_step_number)
        elif os.path.basename(save_path) == latest_filename and not self._sharded:
            # A V1 checkpoint of that name would be the state file itself.
            raise InvalidArgumentError(f"'latest_filename' collides with 'save_path' {save_path!r}: use another one")
        metric = self._checked_metric(metric)
        if not self._is_eager and not isinstance(sess, _tensorflow.SessionInterface):
            raise TypeError(f"'sess' must be a Session; {sess}")
        if write_state and not self._is_empty and self._collides(prefix, latest_filename):
            raise PathConflictError(f"{prefix!r} conflicts with path used for checkpoint state: use another save_path")
        # TensorFlow takes a URL for a relative path, and names checkpoints relative to its directory.
        relative = self._save_relative_paths or save_path.startswith("file://")
        relative = relative or (write_state and _paths.needs_relative_paths(prefix))
        options = SaveOptions(
            version=self._write_version,
            durable=self._durable,
            save_relative_paths=relative,
            latest_filename=latest_filename,
            meta_graph_suffix=meta_graph_suffix,
            metric=metric,
        )
        if blocking is None:
            blocking = self._blocking
        # Where nodes were made is looked up in the graph itself, which may grow meanwhile.
        blocking = blocking or (save_debug_info and write_meta_graph and not self._is_eager and not sess.graph.finalized)
        export: Callable[[], None] | None = None
        # One save at a time: what one thread writes must not be what another removes as its oldest.
        with self._lock, _background.taken(prefix) as keep_taken:
            self.wait()
            if self._is_eager:
                self.saver_def = self._eager_saver_def(prefix, is_save=True)
            elif write_meta_graph:
                export = begin_export(
                    self.export_meta_graph,
                    sess.graph,
                    checkpoint_management.meta_graph_filename(prefix, meta_graph_suffix),
                    at_once=not blocking,
                    durable=self._durable,
                    strip_default_attrs=strip_default_attrs,
                    save_debug_info=save_debug_info,
                )
            written = prefix
            write: Callable[[], None] | None = None
            if blocking and not self._is_empty:
                written = self._storage.write(self._session(sess), save_path, prefix)
            elif not self._is_empty:
                written, write = self._storage.begin(self._session(sess), save_path, prefix)

            casting = None if self._is_empty else self._storage.casting

            def finish() -> None:
                if write is not None:
                    write()
                if casting is not None:
                    self.save_losses = casting.losses
                    for name, losses in casting.losses.items():
                        _logger.info("%s: %s: cast: %s", written, name, losses)
                if write_state and not self._is_empty:
                    enter(self._history, written, os.path.dirname(save_path), options)
                if export is not None:
                    export()

            if blocking:
                finish()
            else:
                self._background.start(prefix, finish, keep_taken())
        return None if self._is_empty else written

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

    def _read(self, sess: Any, path: str, called_with: RestoreOptions) -> MatchReport | None:
        _logger.info("Restoring parameters from %s", path)
        _background.wait_for(path)
        options = called_with.over(self._restore_options).over(patched())
        initializes = options.initialize_missing
        if initializes is None:
            # Whoever asks a call for less than everything goes on to initialize; a session that calls by itself does not.
            initializes = called_with.strict is None and options.strict is False
        report = self._storage.read(self._session(sess), file_io.as_path(path), options, initializes=initializes)
        if options.is_plain:
            report = None
        elif report is not None and (called_with.strict is None or not report.ok):
            _logger.info("%s", report)
        if self._is_eager:
            self.saver_def = self._eager_saver_def(path, is_save=False)
        return report

    @staticmethod
    def from_proto(saver_def: Any, import_scope: str | None = None) -> Saver:
        """A Saver of the graph nodes that a SaverDef names, inside of a scope."""
        return Saver(saver_def=saver_def, name=import_scope)

    def _collides(self, prefix: str, latest_filename: str) -> bool:
        if self._sharded and self._write_version != schemas.SaverDef.V2:
            return False
        return _paths.collides(
            prefix, latest_filename, version=self._write_version, save_relative_paths=self._save_relative_paths
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
