"""The variables of a Saver, and the nodes it has in a graph: the half of it that moves no values.

    Saver(var_list)            the variables are looked up, and nodes are made for whoever gets the graph without the Saver
    Saver(saver_def=...)       the nodes are there, and say what the variables are
    Saver(defer_build=True)    nothing, until `build`

Where eager execution is on there is no graph: the variables are looked up at once, and nothing is made.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tfsaver import schemas
from tfsaver.checkpoint.editing.cast import as_dtype
from tfsaver.checkpoint.execution import DryRun
from tfsaver.checkpoint.losses import Losses
from tfsaver.checkpoint.names.name_map import NameMapLike
from tfsaver.checkpoint.retention import Retention as Policy
from tfsaver.checkpoint.selection import Selection, SelectionReport, as_selection
from tfsaver.compat import _saver_graph, _tensorflow
from tfsaver.compat._kept_checkpoints import KeptCheckpoints
from tfsaver.compat._meta_graph import export_meta_graph
from tfsaver.compat._options import RestoreOptions, Scope
from tfsaver.compat._saver_graph import SaverVariables
from tfsaver.compat._shards import shards_of
from tfsaver.compat._storage import Storage
from tfsaver.compat._var_list import default_var_list, resolve
from tfsaver.errors import InvalidArgumentError


class BuiltSaver(KeptCheckpoints):
    """What a Saver is made of; the arguments are those of `tfsaver.compat.v1.saver.Saver`, which says what they mean."""

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
        if num_data_shards < 1:
            raise InvalidArgumentError(f"num_data_shards is {num_data_shards}, at least 1 is needed")
        self._save_dtype = None if save_dtype is None else as_dtype(save_dtype)
        if cast is None and self._save_dtype is not None:
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
        self.save_losses: Mapping[str, Losses] = {}
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
        hours = (keep_checkpoint_every_n_hours or 0) if self._is_eager else _as_float32(keep_checkpoint_every_n_hours)
        super().__init__(max_to_keep or 0, hours, retention, durable)
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
        self._storage = self._new_storage(variables)
        if self.saver_def is None:
            self._history.start(self._max_to_keep or 0, _as_float32(self._keep_checkpoint_every_n_hours))
        else:
            self._history.start(self.saver_def.max_to_keep, self.saver_def.keep_checkpoint_every_n_hours)

    def _look_up_variables(self) -> tuple[dict[str, Any], SaverVariables]:
        """What is saved, by name: as TensorFlow's builder takes it, and as bindings."""
        if self._var_list is None:
            self._var_list = default_var_list()
        named, bindings, self.selection_report = resolve(self._var_list, self._select)
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
            save_dtype=self._save_dtype,
            own_nodes=_saver_graph.is_own(self._builder),
        )

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

    def _check_built(self, what: str) -> None:
        if not self._is_built and not self._is_eager:
            raise RuntimeError(f"`build()` should be called before {what} if defer_build==True")

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


def _as_float32(hours: float | None) -> float:
    """Hours as they are in a graph, where they pass through a SaverDef."""
    return float(np.float32(hours or 0))
