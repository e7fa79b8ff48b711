"""`tf.compat.v1.train.Saver` on our own reader and writer.

    Saver(var_list)            var_list -> bindings: each variable and the name of its tensor; and the nodes that
                               TensorFlow's Saver has, for whoever gets the graph without the Saver
    saver.save(sess, path)     values -> path.index, path.data-*, then the state file, then one old checkpoint goes,
                               then path.meta
                               (with blocking=False the files are written while the program goes on, see `_background`)
    saver.restore(sess, path)  all names, dtypes, shapes and checksums first, then the variables

Constructor, attributes, methods, return values, files and errors are TensorFlow's, whose programs need no change. The nodes
are not needed to save and restore in this process: a Saver may be made, as often as one likes, on a graph that is finalized.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from typing import Any

import numpy as np

from tfsaver import schemas
from tfsaver.checkpoint import checkpoint_management
from tfsaver.checkpoint.checkpoint_state import STATE_FILE_NAME
from tfsaver.checkpoint.restoring.restore_report import RestoreReport
from tfsaver.checkpoint.retention import Retention as Policy
from tfsaver.checkpoint.selection import Selection, SelectionReport, as_selection
from tfsaver.compat import _background, _paths, _restart, _saver_graph, _tensorflow
from tfsaver.compat._errors import tensorflow_errors
from tfsaver.compat._kept_checkpoints import KeptCheckpoints
from tfsaver.compat._meta_graph import begin_export, export_meta_graph
from tfsaver.compat._saver_nodes import SaverVariables
from tfsaver.compat._selection import select_saveables
from tfsaver.compat._shards import shards_of
from tfsaver.compat._storage import Storage
from tfsaver.compat._var_list import default_var_list, name_saveables
from tfsaver.compat._variables import to_bindings
from tfsaver.errors import InvalidArgumentError, PathConflictError
from tfsaver.lib import file_io

_logger = logging.getLogger(__name__)


class Saver(KeptCheckpoints):
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

    Attributes:
        saver_def: The SaverDef of the graph nodes; None when there are none.
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
        retention: Policy | None = None,
        select: Selection | str | list[str] | None = None,
        num_data_shards: int = 1,
        blocking: bool = True,
    ) -> None:
        if defer_build and var_list:
            raise InvalidArgumentError(
                "If `var_list` is provided then build cannot be deferred. Either set defer_build=False or var_list=None."
            )
        if saver_def is not None and select is not None:
            raise InvalidArgumentError("select=: the nodes of a saver_def save what they save, all of it")
        if saver_def is None and write_version not in (schemas.SaverDef.V1, schemas.SaverDef.V2):
            raise TypeError(f"write_version is {write_version!r}; SaverDef.V1 and SaverDef.V2 are the formats there are")
        if num_data_shards < 1:
            raise InvalidArgumentError(f"num_data_shards is {num_data_shards}, at least 1 is needed")
        self._num_data_shards = num_data_shards
        self._blocking = blocking
        self._is_eager = _tensorflow.tf.executing_eagerly()
        if self._is_eager and var_list is None:
            raise RuntimeError("When eager execution is enabled, `var_list` must specify a list or dict")
        self._var_list = var_list
        self._reshape = reshape
        self._sharded = sharded
        self._max_to_keep = max_to_keep
        self._keep_checkpoint_every_n_hours = keep_checkpoint_every_n_hours
        self._name = name
        self._restore_sequentially = restore_sequentially
        self.saver_def: Any = saver_def
        self._builder = builder
        self._is_built = False
        self._allow_empty = allow_empty
        self._is_empty: bool | None = None
        self._write_version = write_version
        self._pad_step_number = pad_step_number
        self._filename = filename
        self._save_relative_paths = save_relative_paths
        self._object_restore_saver: Any = None
        self._durable = durable
        self._select = None if select is None else as_selection(select)
        self.selection_report: SelectionReport | None = None
        # In a graph the hours pass through a SaverDef, where they are a float of 32 bits.
        hours = keep_checkpoint_every_n_hours or 0
        super().__init__(max_to_keep or 0, hours if self._is_eager else float(np.float32(hours)), retention, durable)
        if self._is_eager:
            self._storage = self._new_storage(self._look_up_variables()[1])
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
        if self.saver_def is not None:
            self._write_version = self.saver_def.version
            self._retention.max_to_keep = self.saver_def.max_to_keep
            self._retention.keep_every_n_hours = self.saver_def.keep_checkpoint_every_n_hours
        self._storage = self._new_storage(variables)
        self._retention.start()

    def _look_up_variables(self) -> tuple[dict[str, Any], SaverVariables]:
        """What is saved, by name: as TensorFlow's builder takes it, and as bindings."""
        if self._var_list is None:
            self._var_list = default_var_list()
        if self._select is None:
            named = name_saveables(self._var_list)
        else:
            named, self.selection_report = select_saveables(self._var_list, self._select)
        bindings = to_bindings(named)
        self._is_empty = not bindings
        if self._is_empty and not self._allow_empty:
            raise InvalidArgumentError("No variables to save")
        return named, SaverVariables(shards_of(bindings, sharded=self._sharded), self._reshape)

    def _add_nodes(self, named: dict[str, Any], variables: SaverVariables) -> Any:
        return _saver_graph.add_nodes(
            named,
            variables.bindings,
            builder=self._builder,
            version=self._write_version,
            reshape=self._reshape,
            sharded=self._sharded,
            max_to_keep=self._max_to_keep,
            keep_checkpoint_every_n_hours=self._keep_checkpoint_every_n_hours,
            name=self._name,
            restore_sequentially=self._restore_sequentially,
            filename=self._filename,
        )

    def _new_storage(self, variables: SaverVariables | None) -> Storage:
        sharded = self._sharded if self.saver_def is None else self.saver_def.sharded
        if self._num_data_shards > 1 and (sharded or self._write_version != schemas.SaverDef.V2):
            raise InvalidArgumentError(
                f"num_data_shards={self._num_data_shards}: a sharded checkpoint has a data file for each device, "
                "and V1 has no data files"
            )
        return Storage(
            variables,
            self.saver_def,
            version=self._write_version,
            sharded=sharded,
            durable=self._durable,
            num_data_shards=self._num_data_shards,
            own_nodes=_saver_graph.is_own(self._builder),
        )

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

            def finish() -> None:
                if write is not None:
                    write()
                if write_state and not self._is_empty:
                    self._write_state(
                        save_path,
                        written,
                        latest_filename,
                        save_relative_paths=self._save_relative_paths,
                        version=self._write_version,
                        meta_graph_suffix=meta_graph_suffix,
                        metric=metric,
                    )
                if export is not None:
                    export()

            if blocking:
                finish()
            else:
                keep_taken()
                self._background.start(prefix, finish)
        return None if self._is_empty else written

    def restore(self, sess: Any, save_path: file_io.PathLike | None, *, strict: bool = True) -> RestoreReport | None:
        """Gives the variables the values of a checkpoint: all of them, or none when anything is wrong.

        See `restore_latest` for a directory, and `patch_tensorflow(fall_back=True)` for programs that name the newest
        checkpoint themselves and are to go on from the one before when it is damaged.

        Args:
            sess: The session whose variables change; they need not be initialized. Of no use in eager mode.
            save_path: What `save` returned: a V2 prefix, or the file or the pattern of a V1 checkpoint.
            strict: Whether it is an error when a tensor is missing or does not fit. Otherwise what fits is restored.

        Returns:
            None when strict, as TensorFlow's; otherwise what was restored, what was not, and why.

        Raises:
            InvalidArgumentError: A ValueError; there is no checkpoint at `save_path`.
            tf.errors.NotFoundError: Tensors are missing; the error lists them.
            tf.errors.InvalidArgumentError: Dtypes or shapes differ; the error lists them.
            tf.errors.DataLossError: The checkpoint is damaged.
        """
        self.wait()
        if self._is_empty:
            return None
        if save_path is None:
            raise InvalidArgumentError("Can't load save_path when it is None.")
        save_path = _paths.to_text(save_path)
        if save_path:
            _background.wait_for(save_path)
        falls_back = bool(save_path) and _restart.is_falling_back()
        if not falls_back and (not save_path or not checkpoint_management.checkpoint_exists(save_path)):
            raise InvalidArgumentError(f"The passed save_path is not a valid checkpoint: {save_path}")
        self._check_built("restore")
        with tensorflow_errors():
            if falls_back:
                _, report = _restart.restore_or_older(save_path, lambda path: self._read(sess, path, strict))
            else:
                report = self._read(sess, save_path, strict)
        return None if strict else report

    def restore_latest(
        self,
        sess: Any,
        checkpoint_dir: file_io.PathLike,
        latest_filename: str | None = None,
        *,
        strict: bool = True,
        trusted: bool = True,
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
            strict: As for `restore`.
            trusted: Whether the state file may name a checkpoint outside of the directory.

        Returns:
            The prefix of what was restored. None when there is no checkpoint, or there are no variables.

        Raises:
            tf.errors.DataLossError: There are checkpoints, and none is whole; says why of each.
            tf.errors.NotFoundError: Tensors are missing.
            tf.errors.InvalidArgumentError: Dtypes or shapes differ.
        """
        self.wait()
        if self._is_empty:
            return None
        self._check_built("restore")
        with tensorflow_errors():
            latest, _ = _restart.restore_newest(
                checkpoint_dir, lambda path: self._read(sess, path, strict), latest_filename, trusted=trusted
            )
        if latest.prefix is not None and not self._retention.paths:
            self.recover_last_checkpoints(_restart.recorded_checkpoints(checkpoint_dir, latest, latest_filename))
        return latest.prefix

    def _read(self, sess: Any, path: str, strict: bool) -> RestoreReport | None:
        _logger.info("Restoring parameters from %s", path)
        _background.wait_for(path)
        report = self._storage.read(self._session(sess), file_io.as_path(path), strict=strict)
        if self._is_eager:
            self.saver_def = self._eager_saver_def(path, is_save=False)
        return report

    def _check_built(self, what: str) -> None:
        if not self._is_built and not self._is_eager:
            raise RuntimeError(f"`build()` should be called before {what} if defer_build==True")

    def as_saver_def(self) -> Any:
        """The SaverDef of the graph nodes; None when there are none."""
        return self.saver_def

    def to_proto(self, export_scope: str | None = None) -> Any:
        """The SaverDef of the graph nodes, with the names they have in an export of a scope; None if they are not in it."""
        if export_scope is None or self.saver_def is None:
            return self.saver_def
        return _saver_graph.without_scope(self.saver_def, export_scope)

    @staticmethod
    def from_proto(saver_def: Any, import_scope: str | None = None) -> Saver:
        """A Saver of the graph nodes that a SaverDef names, inside of a scope."""
        return Saver(saver_def=saver_def, name=import_scope)

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

    def _session(self, sess: Any) -> Any:
        return None if self._is_eager else sess

    def _eager_saver_def(self, path: str, *, is_save: bool) -> Any:
        """Without a graph, a SaverDef says where the last save or restore was; some programs look."""
        return _tensorflow.tf.compat.v1.train.SaverDef(
            filename_tensor_name=path,
            save_tensor_name=path if is_save else "",
            max_to_keep=self._max_to_keep or 0,
            sharded=self._sharded,
            keep_checkpoint_every_n_hours=self._keep_checkpoint_every_n_hours,
            version=self._write_version,
        )

    def _collides(self, prefix: str, latest_filename: str) -> bool:
        if self._sharded and self._write_version != schemas.SaverDef.V2:
            return False
        return _paths.collides(
            prefix, latest_filename, version=self._write_version, save_relative_paths=self._save_relative_paths
        )
