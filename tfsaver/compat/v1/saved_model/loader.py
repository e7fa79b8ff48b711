"""`tf.compat.v1.saved_model.load`: one graph of a SavedModel into a session.

    nodes and collections    by TensorFlow's import, into the session's graph
    variables                by our Saver, of the SaverDef's nodes
    the init op              by the session, which is fed the path of every asset

The three steps are methods of `SavedModelLoader`. It remembers what was imported where: in a graph that a model is loaded
into twice, the init op of the second is found, and not that of the first.
"""

from __future__ import annotations

import contextlib
import logging
import weakref
from collections.abc import Iterable
from typing import Any

from tfsaver import schemas
from tfsaver.compat import _tensorflow
from tfsaver.compat._errors import tensorflow_errors
from tfsaver.compat.v1.saved_model import constants
from tfsaver.compat.v1.saved_model._files import read_as_tensorflow
from tfsaver.compat.v1.saved_model._messages import message_class
from tfsaver.compat.v1.saver import Saver
from tfsaver.errors import InvalidArgumentError
from tfsaver.graph.tensor_names import node_of
from tfsaver.lib import file_io
from tfsaver.saved_model import assets as asset_files
from tfsaver.saved_model import saved_model_file
from tfsaver.saved_model.loader import as_tags, find_init_op, format_tags

__all__ = ["SavedModelLoader", "contains_saved_model", "load", "maybe_saved_model_directory"]

_logger = logging.getLogger(__name__)

_SAVER_NAMES = ("filename_tensor_name", "save_tensor_name", "restore_op_name")


def maybe_saved_model_directory(export_dir: file_io.PathLike) -> bool:
    """Whether a directory has the file that makes it a SavedModel; whether that can be read is another question."""
    return saved_model_file.find_saved_model(file_io.as_path(export_dir)) is not None


contains_saved_model = maybe_saved_model_directory


def load(
    sess: Any, tags: Iterable[str] | str, export_dir: file_io.PathLike, import_scope: str | None = None, **saver_kwargs: Any
) -> Any:
    """Loads a graph of a SavedModel into a session: nodes, variables, and what the init op makes.

    Args:
        sess: The session; the graph is its graph, which need not be the default one.
        tags: All tags of the graph, in any order; a str is one tag.
        export_dir: The SavedModel's directory.
        import_scope: The name scope for all nodes.
        **saver_kwargs: What `import_meta_graph` takes: `clear_devices`, `input_map`, ...

    Returns:
        The MetaGraphDef, with the names that its file has; but the SaverDef's are those of the session's graph.

    Raises:
        OSError: There is no SavedModel, or it is damaged.
        RuntimeError: It has no graph of these tags, or a graph with several init ops.
        ValueError: It has no variables, but its graph has.
        tf.errors.OpError: The variables cannot be restored, the init op fails, an asset would be outside of the directory.
    """
    return SavedModelLoader(export_dir).load(sess, tags, import_scope, **saver_kwargs)


class SavedModelLoader:
    """Loads graphs of one SavedModel.

    Args:
        export_dir: Its directory.

    Raises:
        OSError: There is none, or it is damaged.
    """

    def __init__(self, export_dir: file_io.PathLike) -> None:
        self._directory = file_io.as_path(export_dir)
        self._ours = read_as_tensorflow(self._directory)
        self._saved_model = message_class("SavedModel").FromString(self._ours.SerializeToString())
        # The names that things have got in a graph, by which of the model's graphs they are of, and the scope asked for.
        self._names: weakref.WeakKeyDictionary[Any, dict[Any, dict[str, str]]] = weakref.WeakKeyDictionary()

    @property
    def export_dir(self) -> str:
        """The SavedModel's directory."""
        return self._directory

    @property
    def variables_path(self) -> str:
        """The prefix of the checkpoint with the variables."""
        directory = file_io.join(self._directory, constants.VARIABLES_DIRECTORY)
        return file_io.join(directory, constants.VARIABLES_FILENAME)

    @property
    def saved_model(self) -> Any:
        """The SavedModel message."""
        return self._saved_model

    def get_meta_graph_def_from_tags(self, tags: Iterable[str] | str) -> Any:
        """The MetaGraphDef that has exactly these tags, the first if there are several.

        Raises:
            RuntimeError: There is none; names those there are.
        """
        return self._saved_model.meta_graphs[self._index(tags)]

    def _index(self, tags: Iterable[str] | str) -> int:
        there = [as_tags(meta_graph.meta_info_def.tags) for meta_graph in self._saved_model.meta_graphs]
        wanted = [as_tags(tags)]
        if isinstance(tags, str):
            # TensorFlow's Builder takes a str for the tags that are its letters.
            wanted.append(as_tags(set(tags)))
        for each in wanted:
            if each in there:
                return there.index(each)
        raise RuntimeError(
            f"MetaGraphDef associated with tags {format_tags(wanted[0])} could not be found in SavedModel "
            f"{self._directory!r}, which has {', '.join(map(format_tags, there)) or 'no graph at all'}"
        )

    def load_graph(
        self, graph: Any, tags: Iterable[str] | str, import_scope: str | None = None, **saver_kwargs: Any
    ) -> tuple[Saver | None, Any]:
        """Adds nodes and collections to a graph; variables have no values yet.

        Returns:
            The Saver of the variables, None if there are none; and what was asked for with `return_elements`.

        Raises:
            RuntimeError: There is no graph of these tags.
        """
        index = self._index(tags)
        meta_graph = message_class("MetaGraphDef")()
        meta_graph.CopyFrom(self._saved_model.meta_graphs[index])
        asked = saver_kwargs.pop("return_elements", None)
        there = {node.name for node in meta_graph.graph_def.node}
        needed = [name for name in self._needed_names(index) if node_of(name) in there]
        with graph.as_default():
            _, elements = _tensorflow.meta_graph.import_scoped_meta_graph_with_return_elements(
                meta_graph, import_scope=import_scope, return_elements=[*(asked or ()), *needed], **saver_kwargs
            )
            elements = list(elements or ())
            imported = elements[len(elements) - len(needed) :]
            # What was taken already has got a number: whatever import_scope says, these are the names.
            names = {name: element.name for name, element in zip(needed, imported, strict=True)}
            self._names.setdefault(graph, {})[index, import_scope] = names
            saver = None
            if meta_graph.HasField("saver_def"):
                for field in _SAVER_NAMES:
                    name = getattr(meta_graph.saver_def, field)
                    setattr(meta_graph.saver_def, field, names.get(name) or _scoped(name, import_scope))
                saver = Saver(saver_def=meta_graph.saver_def)
            elif _has_variables(import_scope):
                saver = Saver()
        return saver, elements[: len(asked)] if asked is not None else None

    def _needed_names(self, index: int) -> list[str]:
        """The tensors and operations of a graph that restore and initialize it."""
        meta_graph = self._ours.meta_graphs[index]
        with tensorflow_errors():
            names = [asset.tensor_name for asset in asset_files.read_assets(meta_graph)]
        names += [getattr(meta_graph.saver_def, field) for field in _SAVER_NAMES]
        with contextlib.suppress(RuntimeError):
            names.append(_init_op(meta_graph) or "")
        return list(dict.fromkeys(filter(None, names)))

    def restore_variables(self, sess: Any, saver: Any, import_scope: str | None = None) -> None:
        """Gives the variables of a session their values.

        Args:
            sess: The session.
            saver: What `load_graph` returned, or another Saver.
            import_scope: The scope that was imported to.

        Raises:
            ValueError: `saver` is none though there are variables, or there is no checkpoint.
            tf.errors.OpError: They cannot be restored.
        """
        with sess.graph.as_default():
            if saver is None and not _has_variables(import_scope):
                _logger.info("The SavedModel has no variables; none are restored")
            elif isinstance(saver, (Saver, _tensorflow.tf.compat.v1.train.Saver)):
                saver.restore(sess, self.variables_path)
            else:
                raise InvalidArgumentError(
                    f"No tf.train.Saver object was passed to `SavedModelLoader.restore_variables`, but {saver!r}, and the "
                    "graph has variables"
                )

    @tensorflow_errors()
    def run_init_ops(self, sess: Any, tags: Iterable[str] | str, import_scope: str | None = None) -> None:
        """Runs the operation that initializes a graph, if it has one; assets' tensors are fed the paths of their files.

        Raises:
            RuntimeError: There is no graph of these tags, or it has several init ops.
            tf.errors.NotFoundError: The session's graph has not the operation.
            tf.errors.DataLossError: An asset would be outside of the SavedModel.
        """
        index = self._index(tags)
        meta_graph = self._ours.meta_graphs[index]
        names = self._names.get(sess.graph, {}).get((index, import_scope), {})

        def imported(name: str) -> str:
            return names.get(name) or _scoped(name, import_scope)

        directory = file_io.join(self._directory, constants.ASSETS_DIRECTORY)
        feeds = {
            imported(asset.tensor_name): file_io.join(directory, asset.filename)
            for asset in asset_files.read_assets(meta_graph)
        }
        name = _init_op(meta_graph)
        if not name:
            return
        try:
            init_op = sess.graph.as_graph_element(imported(name), allow_tensor=True, allow_operation=True)
        except (KeyError, ValueError) as error:
            message = f"the init op {imported(name)!r} could not be found in the graph"
            raise _tensorflow.tf.errors.NotFoundError(None, None, message) from error
        sess.run([init_op], feed_dict=feeds)

    def load(self, sess: Any, tags: Iterable[str] | str, import_scope: str | None = None, **saver_kwargs: Any) -> Any:
        """Does all three; see `load`."""
        tags = tags if isinstance(tags, str) else list(tags)
        with sess.graph.as_default():
            saver, _ = self.load_graph(sess.graph, tags, import_scope, **saver_kwargs)
            self.restore_variables(sess, saver, import_scope)
            self.run_init_ops(sess, tags, import_scope)
        meta_graph = message_class("MetaGraphDef")()
        meta_graph.CopyFrom(self.get_meta_graph_def_from_tags(tags))
        if saver is not None and meta_graph.HasField("saver_def"):
            meta_graph.saver_def.CopyFrom(saver.saver_def)
        return meta_graph


def _init_op(meta_graph: schemas.MetaGraphDef) -> str | None:
    for key in (constants.MAIN_OP_KEY, constants.LEGACY_INIT_OP_KEY):
        if key in meta_graph.collection_def and len(names := meta_graph.collection_def[key].node_list.value) != 1:
            raise RuntimeError(f"Expected exactly one SavedModel init op; collection {key!r} has {len(names)}")
    return find_init_op(meta_graph)


def _scoped(name: str, scope: str | None) -> str:
    return f"{scope.rstrip('/')}/{name}" if scope and name else name


def _has_variables(scope: str | None) -> bool:
    v1 = _tensorflow.tf.compat.v1
    keys = v1.GraphKeys
    return any(v1.get_collection(key, scope) for key in (keys.GLOBAL_VARIABLES, keys.SAVEABLE_OBJECTS))
