"""`tf.compat.v1.saved_model.Builder`: a SavedModel of graphs and a session.

    builder = Builder("export")                               the directory, empty
    builder.add_meta_graph_and_variables(sess, ["serve"])     variables/, assets/
    builder.add_meta_graph(["serve", "gpu"])                  other graphs over the same variables
    builder.save()                                            saved_model.pb, by which others see that it is complete

Names of arguments, files, errors and rules are TensorFlow's. What differs: the graph is the session's, never an empty one
that happens to be the default; a call that fails takes back the files it has written; the graph may be finalized, then
the nodes that restore the variables are added to what is exported and not to the graph.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import weakref
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple, Protocol

from tfsaver.compat import _paths, _tensorflow
from tfsaver.compat._errors import tensorflow_errors
from tfsaver.compat._session_source import plain_session
from tfsaver.compat.v1.saved_model import _graph_collections, constants, signature_constants, tag_constants
from tfsaver.compat.v1.saved_model._assets import AssetFiles
from tfsaver.compat.v1.saved_model._messages import message_class
from tfsaver.compat.v1.saved_model._restore_nodes import with_restore_nodes
from tfsaver.compat.v1.saved_model._signature_checks import check_against_graph, checked_signatures
from tfsaver.compat.v1.saved_model.signature_def_utils import op_signature_def, predict_signature_def
from tfsaver.compat.v1.saver import Saver
from tfsaver.errors import InvalidArgumentError
from tfsaver.lib import file_io
from tfsaver.saved_model import saved_model_file
from tfsaver.saved_model.assets import Asset

__all__ = ["SavedModelBuilder", "simple_save"]


class _Options(NamedTuple):
    """What both Builders are asked for."""

    tags: Iterable[str] | str
    signatures: Mapping[str, Any] | None
    clear_devices: bool
    strip_default_attrs: bool
    saver: Any


class _More(Protocol):
    """What a MetaGraph has besides nodes and variables: assets, the operations that initialize and train it."""

    def prepare(self, graph: Any, files: AssetFiles, undo: contextlib.ExitStack) -> None:
        """Copies the assets, and changes the graph's collections; `undo` takes both back."""

    def complete(self, meta_graph: Any) -> None:
        """Changes the MetaGraphDef that was exported."""


class _InCollections:
    """Kept in collections of the graph."""

    def __init__(self, assets: Iterable[Any] | None, main_op: Any, train_op: Any) -> None:
        self._tensors = () if assets is None else assets
        self._main_op = main_op
        self._train_op = train_op

    def prepare(self, graph: Any, files: AssetFiles, undo: contextlib.ExitStack) -> None:
        _graph_collections.add_main_op(graph, self._main_op, undo)
        _graph_collections.add_train_op(graph, self._train_op, undo)
        files.add(graph, self._tensors, undo)

    def complete(self, meta_graph: Any) -> None:
        """Nothing: the collections were exported."""


class _InFields:
    """Kept in the MetaGraphDef alone: `asset_file_def`, and signatures under reserved keys."""

    def __init__(self, assets: Iterable[Any] | None, init_op: Any, train_op: Any) -> None:
        self._tensors = () if assets is None else assets
        self._operations = {constants.INIT_OP_SIGNATURE_KEY: init_op, constants.TRAIN_OP_SIGNATURE_KEY: train_op}
        self._assets: list[Asset] = []

    def prepare(self, graph: Any, files: AssetFiles, undo: contextlib.ExitStack) -> None:
        self._assets = files.copy(self._tensors, undo)

    def complete(self, meta_graph: Any) -> None:
        for asset in self._assets:
            meta_graph.asset_file_def.add(filename=asset.filename).tensor_info.name = asset.tensor_name
        for key, operation in self._operations.items():
            if operation is not None:
                meta_graph.signature_def[key].CopyFrom(op_signature_def(operation, key))


class _Builder:
    """What both Builders do; they differ in where a graph keeps what is more than nodes and variables."""

    def __init__(self, export_dir: file_io.PathLike, *, check_signatures: bool = False, durable: bool = True) -> None:
        self._export_dir = _paths.to_text(export_dir)
        self._directory = file_io.as_path(export_dir)
        self._check_signatures = check_signatures
        self._durable = durable
        self._saved_model = message_class("SavedModel")(saved_model_schema_version=constants.SAVED_MODEL_SCHEMA_VERSION)
        self._has_saved_variables = False
        # Callers' Savers of each graph, by the operation that restores.
        self._savers: weakref.WeakKeyDictionary[Any, dict[str, Any]] = weakref.WeakKeyDictionary()
        self._assets = AssetFiles(self._directory, durable=durable)
        if file_io.is_directory(self._directory):
            if file_io.list_directory(self._directory):
                raise AssertionError(
                    f"Export directory {self._export_dir} already exists, and isn't empty: choose another one, or empty it"
                )
        elif file_io.exists(self._directory):
            raise _tensorflow.tf.errors.NotFoundError(
                None, None, f"Could not find directory {self._export_dir}: it is a file"
            )
        else:
            with tensorflow_errors():
                file_io.make_directory(self._directory, durable=durable)

    @tensorflow_errors()
    def save(
        self,
        as_text: bool = False,
        experimental_image_format: bool = False,
        experimental_image_writer_options: Any = None,
    ) -> bytes:
        """Writes the SavedModel's own file, with all graphs that were added until now; the file appears whole.

        Args:
            as_text: Whether it is a text.
            experimental_image_format: The chunked format, which no public release of TensorFlow can write, nor tfsaver.
            experimental_image_writer_options: For that format.

        Returns:
            The path of the file.

        Raises:
            RuntimeError: `experimental_image_format` is set.
            tf.errors.OpError: The file cannot be written.
        """
        if experimental_image_format:
            raise RuntimeError("No proto_splitter is provided: the chunked format cannot be written; larger graphs neither")
        name = constants.SAVED_MODEL_FILENAME_PBTXT if as_text else constants.SAVED_MODEL_FILENAME_PB
        data = saved_model_file.format_saved_model(self._saved_model, as_text=False)
        if as_text:
            data = str(self._saved_model).encode()
        file_io.make_directory(self._directory, durable=self._durable)
        file_io.write_file(file_io.join(self._directory, name), data, durable=self._durable)
        return os.fsencode(os.path.join(self._export_dir, name))

    def _add_first(self, sess: Any, more: _More, options: _Options) -> None:
        """Adds the graph of a session, and writes variables and assets."""
        if self._has_saved_variables:
            raise AssertionError(
                "Graph state including variables and assets has already been saved; add further graphs with add_meta_graph()"
            )
        sess = plain_session(sess)
        graph = getattr(sess, "graph", None) or _tensorflow.tf.compat.v1.get_default_graph()
        labels, signatures = _as_tags(options.tags), checked_signatures(options.signatures)
        with self._adding(graph, more) as undo:
            directory = file_io.join(self._directory, constants.VARIABLES_DIRECTORY)
            undo.callback(_remove_tree, directory)
            with tensorflow_errors():
                file_io.make_directory(directory, durable=self._durable)
            saver = self._saver(graph, options.saver)
            path = os.path.join(self._export_dir, constants.VARIABLES_DIRECTORY, constants.VARIABLES_FILENAME)
            saver.save(sess, path, write_meta_graph=False, write_state=False)
            self._append(saver, graph, labels, signatures, more, options)
        self._has_saved_variables = True

    def _add_further(self, more: _More, options: _Options) -> None:
        """Adds the default graph."""
        if not self._has_saved_variables:
            raise AssertionError(
                "Graph state including variables and assets has not been saved yet; add_meta_graph_and_variables() first"
            )
        graph = _tensorflow.tf.compat.v1.get_default_graph()
        labels, signatures = _as_tags(options.tags), checked_signatures(options.signatures)
        with self._adding(graph, more):
            self._append(self._saver(graph, options.saver), graph, labels, signatures, more, options)

    @contextlib.contextmanager
    def _adding(self, graph: Any, more: _More) -> Iterator[contextlib.ExitStack]:
        """Prepares a graph, the default one within the block; what this and the block have done is undone if that fails."""
        if not graph.get_operations():
            raise InvalidArgumentError(
                "the graph is empty, and so would be the model; the graph is the session's, or else the default one"
            )
        with graph.as_default(), contextlib.ExitStack() as undo:
            more.prepare(graph, self._assets, undo)
            yield undo
            undo.pop_all()

    def _saver(self, graph: Any, saver: Any) -> Any:
        """The Saver of a graph; of two that a caller made, each has the names of its own nodes in its MetaGraph."""
        if saver is None:
            return Saver(sharded=True, allow_empty=True, durable=self._durable)
        if isinstance(saver, Saver) and saver.saver_def is not None:
            savers = self._savers.setdefault(graph, {})
            if savers.setdefault(saver.saver_def.restore_op_name, saver) is not saver:
                saver._leave_shared_nodes()
                savers.setdefault(saver.saver_def.restore_op_name, saver)
        return saver

    def _append(
        self, saver: Any, graph: Any, tags: list[str], signatures: Mapping[str, Any], more: _More, options: _Options
    ) -> None:
        clear_devices = options.clear_devices
        meta_graph = _export(
            graph, saver, clear_devices=clear_devices, strip_default_attrs=options.strip_default_attrs
        )
        if graph.finalized and not meta_graph.HasField("saver_def"):
            directory = file_io.join(self._directory, constants.VARIABLES_DIRECTORY)
            meta_graph = with_restore_nodes(meta_graph, file_io.join(directory, constants.VARIABLES_FILENAME))
        for node in meta_graph.graph_def.node if clear_devices else ():
            node.device = ""
        meta_graph.meta_info_def.tags.extend(tags)
        for key, signature in signatures.items():
            meta_graph.signature_def[key].CopyFrom(signature)
        if self._check_signatures:
            check_against_graph(meta_graph)
        more.complete(meta_graph)
        self._saved_model.meta_graphs.append(meta_graph)


class SavedModelBuilder(_Builder):
    """Writes a SavedModel.

    Args:
        export_dir: Its directory, which must be empty if it is there.
        check_signatures: Whether every tensor of a signature is looked up in the graph. TensorFlow never does, and programs
            have signatures that name what they like.
        durable: Whether a call returns only once the disk has what it has written.

    Raises:
        AssertionError: The directory is not empty.
        tf.errors.NotFoundError: It is no directory.
    """

    def add_meta_graph_and_variables(
        self,
        sess: Any,
        tags: Iterable[str] | str,
        signature_def_map: Mapping[str, Any] | None = None,
        assets_collection: Iterable[Any] | None = None,
        legacy_init_op: Any = None,
        clear_devices: bool = False,
        main_op: Any = None,
        strip_default_attrs: bool = False,
        saver: Any = None,
        *,
        train_op: Any = None,
    ) -> None:
        """Adds the first graph, and writes the variables, which all graphs share, and the assets.

        Args:
            sess: The session with the variables, which may be a monitored one; the graph is its graph.
            tags: By which a loader chooses the graph; a str is one tag.
            signature_def_map: SignatureDefs by their keys.
            assets_collection: String constants of the graph, each the path of a file.
            legacy_init_op: The same as `main_op`, which counts if both are given.
            clear_devices: Whether nodes forget their devices.
            main_op: The operation that a loader runs after it has restored the variables.
            strip_default_attrs: Whether attributes that have their default are left out, so that older programs read it.
            saver: What writes the variables and exports the graph; by default a Saver of all variables, in shards.
            train_op: The operation, or the tensor, that trains the graph; it is recorded, and never run.

        Raises:
            AssertionError: It was called before; or a signature is incomplete.
            KeyError: The key of a signature is a reserved one.
            TypeError: An argument or an asset is of a wrong type.
            ValueError: The graph is empty, or has another main op; an asset's path is empty.
            tf.errors.OpError: A variable has no value, an asset is not there, a file cannot be written.
        """
        more = _InCollections(assets_collection, legacy_init_op if main_op is None else main_op, train_op)
        self._add_first(sess, more, _Options(tags, signature_def_map, clear_devices, strip_default_attrs, saver))

    def add_meta_graph(
        self,
        tags: Iterable[str] | str,
        signature_def_map: Mapping[str, Any] | None = None,
        assets_collection: Iterable[Any] | None = None,
        legacy_init_op: Any = None,
        clear_devices: bool = False,
        main_op: Any = None,
        strip_default_attrs: bool = False,
        saver: Any = None,
        *,
        train_op: Any = None,
    ) -> None:
        """Adds the default graph, whose variables are among those that are written already.

        Args and errors are those of `add_meta_graph_and_variables`; it raises an AssertionError if that was not called.
        """
        more = _InCollections(assets_collection, legacy_init_op if main_op is None else main_op, train_op)
        self._add_further(more, _Options(tags, signature_def_map, clear_devices, strip_default_attrs, saver))


class _SavedModelBuilder(_Builder):
    """The Builder that TensorFlow's own code calls: assets as a list, an init op; no collection of the graph changes.

    Args:
        export_dir: See `SavedModelBuilder`.
        check_signatures: See `SavedModelBuilder`.
        durable: See `SavedModelBuilder`.
    """

    def add_meta_graph_and_variables(
        self,
        sess: Any,
        tags: Iterable[str] | str,
        signature_def_map: Mapping[str, Any] | None = None,
        assets_list: Iterable[Any] | None = None,
        clear_devices: bool = False,
        init_op: Any = None,
        train_op: Any = None,
        strip_default_attrs: bool = False,
        saver: Any = None,
    ) -> None:
        """Adds the first graph, and writes the variables and the assets; see `SavedModelBuilder`."""
        more = _InFields(assets_list, init_op, train_op)
        self._add_first(sess, more, _Options(tags, signature_def_map, clear_devices, strip_default_attrs, saver))

    def add_meta_graph(
        self,
        tags: Iterable[str] | str,
        signature_def_map: Mapping[str, Any] | None = None,
        assets_list: Iterable[Any] | None = None,
        clear_devices: bool = False,
        init_op: Any = None,
        train_op: Any = None,
        saver: Any = None,
    ) -> None:
        """Adds the default graph, always without attributes that have their default, as TensorFlow does."""
        more = _InFields(assets_list, init_op, train_op)
        self._add_further(more, _Options(tags, signature_def_map, clear_devices, True, saver))


def simple_save(
    session: Any,
    export_dir: file_io.PathLike,
    inputs: Mapping[str, Any],
    outputs: Mapping[str, Any],
    legacy_init_op: Any = None,
) -> None:
    """Writes a SavedModel with one graph, that of a session, for prediction.

    Files that the graph's collection ``asset_filepaths`` names come along, devices are left out. When it fails, no directory
    is left behind that was not there before.

    Args:
        session: The session with graph and variables.
        export_dir: The SavedModel's directory, which must be empty if it is there.
        inputs: Tensors by the keys that a caller shall use for them.
        outputs: The same.
        legacy_init_op: The operation that a loader runs after it has restored the variables.

    Raises:
        ValueError: There are no inputs or no outputs, or the graph is empty.
        AssertionError: The directory is not empty.
        tf.errors.OpError: A variable has no value, a file cannot be written.
    """
    with session.graph.as_default():
        signature = predict_signature_def(inputs, outputs)
    path = file_io.as_path(export_dir)
    was_there = file_io.exists(path)
    builder = SavedModelBuilder(export_dir)
    try:
        builder.add_meta_graph_and_variables(
            session,
            [tag_constants.SERVING],
            signature_def_map={signature_constants.DEFAULT_SERVING_SIGNATURE_DEF_KEY: signature},
            assets_collection=session.graph.get_collection(_tensorflow.tf.compat.v1.GraphKeys.ASSET_FILEPATHS),
            main_op=legacy_init_op,
            clear_devices=True,
        )
        builder.save()
    except BaseException:
        if not was_there:
            _remove_tree(path)
        raise


def _export(graph: Any, saver: Any, *, clear_devices: bool, strip_default_attrs: bool) -> Any:
    if not (clear_devices and graph.finalized):
        return saver.export_meta_graph(clear_devices=clear_devices, strip_default_attrs=strip_default_attrs)
    # TensorFlow's function would empty a collection of the graph, which is finalized; devices are cleared later.
    return saver.export_meta_graph(clear_devices=False, strip_default_attrs=strip_default_attrs)


def _as_tags(tags: Iterable[str] | str) -> list[str]:
    """Tags in their order; a str is one tag, and not its letters."""
    return [tags] if isinstance(tags, str) else [os.fsdecode(tag) for tag in tags]


def _remove_tree(directory: str) -> None:
    # A store has no directories; what was begun there has removed its own files.
    if not file_io.is_remote(directory):
        shutil.rmtree(directory, ignore_errors=True)
