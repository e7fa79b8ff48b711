"""`tf.compat.v1.saved_model.signature_def_utils.MethodNameUpdater`: gives signatures of a SavedModel another method.

That is a matter of the file alone: no graph is made, and TensorFlow is not needed.
"""

from __future__ import annotations

from collections.abc import Iterable

from tfsaver.compat._errors import tensorflow_errors
from tfsaver.compat.v1.saved_model._files import read_as_tensorflow
from tfsaver.errors import InvalidArgumentError
from tfsaver.lib import file_io
from tfsaver.saved_model import saved_model_file
from tfsaver.saved_model.loader import as_tags, format_tags


class MethodNameUpdater:
    """Changes the methods of signatures, and writes the SavedModel again.

    Args:
        export_dir: The SavedModel's directory.

    Raises:
        OSError: There is none, or it is damaged.

    Example:
        >>> updater = MethodNameUpdater("export")  # doctest: +SKIP
        >>> updater.replace_method_name("serving_default", "tensorflow/serving/predict")  # doctest: +SKIP
        >>> updater.save()  # doctest: +SKIP
    """

    def __init__(self, export_dir: file_io.PathLike) -> None:
        self._export_dir = file_io.as_path(export_dir)
        self._saved_model = read_as_tensorflow(self._export_dir)
        path = saved_model_file.find_saved_model(self._export_dir)
        self._is_text = path is not None and path.endswith(".pbtxt")

    def replace_method_name(self, signature_key: str, method_name: str, tags: str | Iterable[str] | None = None) -> None:
        """Gives a signature another method.

        Args:
            signature_key: The signature.
            method_name: Its new method.
            tags: Of which graph; of all graphs, which must all have that signature, if not given.

        Raises:
            InvalidArgumentError: A ValueError; an argument is empty, there is no graph of these tags, or a graph has no such
                signature. Nothing is changed then.
        """
        for name, value in (("signature_key", signature_key), ("method_name", method_name)):
            if not value:
                raise InvalidArgumentError(f"`{name}` must be defined.")
        wanted = None if tags is None else as_tags(tags)
        found = [
            meta_graph
            for meta_graph in self._saved_model.meta_graphs
            if wanted is None or as_tags(meta_graph.meta_info_def.tags) == wanted
        ]
        if not found:
            raise InvalidArgumentError(
                f"MetaGraphDef associated with tags {tags} could not be found in SavedModel {self._export_dir!r}"
            )
        for meta_graph in found:
            if signature_key not in meta_graph.signature_def:
                there = ", ".join(map(repr, sorted(meta_graph.signature_def))) or "none at all"
                its_tags = format_tags(as_tags(meta_graph.meta_info_def.tags))
                raise InvalidArgumentError(
                    f"MetaGraphDef associated with tags {its_tags} does not have a "
                    f"signature_def with key: {signature_key!r}; there is {there}"
                )
        for meta_graph in found:
            meta_graph.signature_def[signature_key].method_name = method_name

    @tensorflow_errors()
    def save(self, new_export_dir: file_io.PathLike | None = None) -> None:
        """Writes the SavedModel's own file, in the form that it was read in; variables and assets stay where they are.

        Args:
            new_export_dir: Where to; in the place of the one that was read if not given.

        Raises:
            tf.errors.OpError: It cannot be written.
        """
        directory = file_io.as_path(new_export_dir) if new_export_dir else self._export_dir
        name = saved_model_file.FILE_NAMES[1 if self._is_text else 0]
        data = saved_model_file.format_saved_model(self._saved_model, as_text=self._is_text)
        file_io.make_directory(directory)
        file_io.write_file(file_io.join(directory, name), data)
