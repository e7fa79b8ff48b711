"""Opens a SavedModel as data: nothing of it is run, so nothing of it can fail for want of an operation.

    model = load_saved_model("export/1732230000")
    model.signatures["serving_default"].inputs["x"].shape
    model.variables["dense/kernel"]                           # a numpy array, read now
    model.meta_graph({"serve", "gpu"}).graph_def
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any

from tfsaver import schemas
from tfsaver.checkpoint.checkpoint_reader import load_checkpoint
from tfsaver.checkpoint.untrusted import check_files
from tfsaver.errors import CheckpointNotFoundError, DataLossError, InvalidArgumentError, NotFoundError
from tfsaver.lib import file_io, html_tables
from tfsaver.lib.cached_property import cached_property
from tfsaver.lib.confinement import Confinement
from tfsaver.lib.renamed_options import renamed_options
from tfsaver.lib.storage_options import OpenFileSystem, StorageOptions, takes_storage_options
from tfsaver.saved_model import assets, constants, fingerprint, keras_metadata, saved_model_file
from tfsaver.saved_model.signature_def import Signature, natural_order, read_signature
from tfsaver.saved_model.variables import SavedModelVariables


class MetaGraph:
    """One of the graphs of a SavedModel, with what belongs to it.

    Attributes:
        proto: The MetaGraphDef as it is in the file.
        tags: By which a loader chooses it.
        directory: The SavedModel that it belongs to.
        trusted: Whether symbolic links among its assets may lead out of it.
    """

    def __init__(self, proto: schemas.MetaGraphDef, directory: str, *, trusted: bool = True) -> None:
        self.proto = proto
        self.tags = tuple(sorted(set(proto.meta_info_def.tags)))
        self.directory = directory
        self.trusted = trusted

    @property
    def graph_def(self) -> schemas.GraphDef:
        """The graph itself."""
        return self.proto.graph_def

    @property
    def meta_info_def(self) -> schemas.MetaGraphDef.MetaInfoDef:
        """Who wrote it, and its tags, as in the file."""
        return self.proto.meta_info_def

    @property
    def signature_def(self) -> Mapping[str, schemas.SignatureDef]:
        """The signatures as in the file, the reserved ones among them."""
        return self.proto.signature_def

    @cached_property
    def signatures(self) -> dict[str, Signature]:
        """The signatures by their keys, without the reserved ones, which are none."""
        found = self.proto.signature_def
        keys = [key for key in natural_order(found) if key not in constants.RESERVED_SIGNATURE_KEYS]
        return {key: read_signature(key, found[key]) for key in keys}

    @cached_property
    def assets(self) -> dict[str, str]:
        """The path of the file that each asset's tensor is fed, by the tensor's name.

        Raises:
            DataLossError: A file would be outside of the SavedModel.
            UntrustedPathError: The model is not trusted, and symbolic links lead out of it.
        """
        directory = file_io.join(self.directory, constants.ASSETS_DIRECTORY)
        found = {asset.tensor_name: file_io.join(directory, asset.filename) for asset in assets.read_assets(self.proto)}
        Confinement(self.directory, self.trusted).check(*found.values())
        return found

    @property
    def init_op(self) -> str | None:
        """The operation that a loader runs after it has restored the variables; None where there is none.

        Raises:
            DataLossError: A collection that must name one names more.
        """
        return find_init_op(self.proto)

    @property
    def object_graph(self) -> schemas.SavedObjectGraph | None:
        """What TensorFlow 2 makes objects from; None for a model of TensorFlow 1."""
        return self.proto.object_graph_def if self.proto.HasField("object_graph_def") else None

    @property
    def tensorflow_version(self) -> str:
        """The release that wrote it; empty where it does not say."""
        return self.proto.meta_info_def.tensorflow_version

    def __repr__(self) -> str:
        return f"<MetaGraph {format_tags(self.tags)}: {len(self.graph_def.node)} nodes>"


class SavedModel:
    """An open SavedModel; use `load_saved_model` to get one.

    Attributes:
        directory: Where it is.
        file: The file that holds the SavedModel message.
        proto: The SavedModel message as it is in the file.
        meta_graphs: Its graphs, in the order of the file.
        trusted: Whether symbolic links in it may lead out of it.
    """

    def __init__(self, directory: str, file: str, *, trusted: bool = True) -> None:
        self.directory = directory
        self.file = file
        self.trusted = trusted
        self.proto = saved_model_file.read_saved_model_file(file)
        self.meta_graphs = [MetaGraph(proto, directory, trusted=trusted) for proto in self.proto.meta_graphs]

    def meta_graph(self, tags: Iterable[str] | str | None = None) -> MetaGraph:
        """The graph of some tags.

        Args:
            tags: All of its tags, in any order; one as a str; none for a model that has only one graph.

        Raises:
            NotFoundError: No graph has exactly these tags; names those there are.
            InvalidArgumentError: No tags were given, and there are several graphs.
        """
        there = ", ".join(format_tags(graph.tags) for graph in self.meta_graphs) or "no graph at all"
        if tags is None:
            if len(self.meta_graphs) == 1:
                return self.meta_graphs[0]
            if self.meta_graphs:
                raise InvalidArgumentError(f"{self.directory} holds several graphs, tags must say which: {there}")
        wanted = as_tags(tags or ())
        for graph in self.meta_graphs:
            if graph.tags == wanted:
                return graph
        raise NotFoundError(f"no graph with the tags {format_tags(wanted)} in {self.directory}: there is {there}")

    @property
    def signatures(self) -> dict[str, Signature]:
        """The signatures of the graph with the tag ``serve``, or of the only one there is."""
        return self.meta_graph(None if len(self.meta_graphs) == 1 else constants.SERVING).signatures

    @cached_property
    def variables(self) -> SavedModelVariables:
        """The variables by name; they are empty where the model has no checkpoint.

        Where a data file is missing, the variables are listed, and reading one raises `CheckpointNotFoundError`.

        Raises:
            DataLossError: The checkpoint's index is damaged.
            UntrustedPathError: The model is not trusted, and a file of the checkpoint is outside of it.
        """
        return open_variables(self.directory, trusted=self.trusted)

    @property
    def fingerprint(self) -> schemas.FingerprintDef | None:
        """What ``fingerprint.pb`` says; None where there is none."""
        return fingerprint.read_fingerprint(self.directory)

    @property
    def keras_config(self) -> dict[str, Any] | None:
        """The configuration of the model that Keras 2 wrote; None where it did not.

        Raises:
            DataLossError: ``keras_metadata.pb`` cannot be read.
        """
        return keras_metadata.read_keras_config(self.directory)

    def compute_fingerprint(self) -> schemas.FingerprintDef:
        """The fingerprint that the model has as it is."""
        checkpoint = self.variables.checkpoint
        index = None if checkpoint is None else file_io.read_file(checkpoint.prefix + ".index")
        return fingerprint.compute_fingerprint(self.proto, index)

    def close(self) -> None:
        """Closes the files of the variables."""
        if "variables" in self.__dict__:
            self.variables.close()

    def __enter__(self) -> SavedModel:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _repr_html_(self) -> str:
        """What a notebook shows: the signatures of each graph, then the variables."""
        shown = []
        for graph in self.meta_graphs:
            rows = [
                (signature.key, side, key, tensor)
                for signature in graph.signatures.values()
                for side, tensors in (("in", signature.inputs), ("out", signature.outputs))
                for key, tensor in tensors.items()
            ]
            caption = f"{self.directory}: {format_tags(graph.tags)}"
            shown.append(html_tables.table(caption, ["signature", "", "key", "tensor"], rows, len(rows)))
        if self.variables.checkpoint is not None:
            shown.append(self.variables.checkpoint._repr_html_())
        return "".join(shown)

    def __repr__(self) -> str:
        return f"<SavedModel {self.directory!r}: {', '.join(format_tags(graph.tags) for graph in self.meta_graphs)}>"


@renamed_options(path="saved_model")
@takes_storage_options("saved_model")
def load_saved_model(
    saved_model: file_io.PathLike,
    *,
    trusted: bool = True,
    storage_options: StorageOptions | None = None,
    fs: OpenFileSystem | None = None,
) -> SavedModel:
    """Opens a SavedModel.

    Args:
        saved_model: Its directory, or the file with the SavedModel in it, ``saved_model.pb`` or of any other name; or the
            directory of its versions, which are directories whose names are numbers: then the highest, as servers have it.
        trusted: Whether symbolic links may lead out of the directory: from the file itself, its variables, its assets. The
            name of an asset never may.
        storage_options: For a path in a store: what fsspec makes its file system with. See `StoragePath`.
        fs: An open fsspec file system for it, in place of `storage_options`.

    Raises:
        CheckpointNotFoundError: There is none.
        DataLossError: It is damaged, or the file holds something else, such as a frozen graph.
        UntrustedPathError: It is not trusted, and the file is outside of the directory.
        UnimplementedError: It is chunked, in a way that tfsaver does not read.
    """
    given = file_io.as_path(saved_model)
    file = find_graph_file(given)
    if file is None:
        found = "a directory without a SavedModel is there" if file_io.is_directory(given) else ""
        raise CheckpointNotFoundError(given, looked_for=saved_model_file.FILE_NAMES, found=found)
    directory = file_io.split(file)[0] or "."
    Confinement(given if file_io.is_directory(given) else directory, trusted).check(file)
    return SavedModel(directory, file, trusted=trusted)


def find_graph_file(path: str) -> str | None:
    """The file that a path means, where it means a SavedModel or a graph.

    Args:
        path: A file, a SavedModel's directory, or the directory of its versions, of which the highest counts.

    Returns:
        The file's path; None where there is none. What the file holds is not looked at.
    """
    if not file_io.is_directory(path):
        if file_io.exists(path):
            return path
        # A file that is a SavedModel by its name may be written in another form.
        parent, name = file_io.split(path)
        return saved_model_file.find_saved_model(parent or ".") if name in saved_model_file.FILE_NAMES else None
    directories = (path, *(file_io.join(path, version) for version in list_versions(path)))
    return next((file for each in directories if (file := saved_model_file.find_saved_model(each))), None)


def open_variables(directory: str, *, trusted: bool = True) -> SavedModelVariables:
    """The variables of a SavedModel's directory.

    Raises:
        DataLossError: The checkpoint's index is damaged.
        UntrustedPathError: The directory is not trusted, and a file of the checkpoint is outside of it.
    """
    folder = file_io.join(directory, constants.VARIABLES_DIRECTORY)
    prefix = file_io.join(folder, constants.VARIABLES_FILE_NAME)
    check_files(Confinement(directory, trusted), prefix)
    try:
        checkpoint = load_checkpoint(prefix)
    except CheckpointNotFoundError:
        # Data without their index is not a model without variables.
        data = f"{constants.VARIABLES_FILE_NAME}.data-"
        if any(name.startswith(data) for name in file_io.list_directory(folder)):
            raise
        return SavedModelVariables(None, directory)
    return SavedModelVariables(checkpoint, directory)


def list_versions(directory: str) -> list[str]:
    """The names in a directory that are versions for a server: numbers, the highest first."""
    names = [name for name in file_io.list_directory(directory) if name.isascii() and name.isdecimal()]
    return sorted(names, key=int, reverse=True)


def find_init_op(meta_graph: schemas.MetaGraphDef) -> str | None:
    """The operation that initialises a graph: by the reserved signature, or a collection with one name.

    Raises:
        DataLossError: The collection has several.
    """
    key = constants.INIT_OP_SIGNATURE_KEY
    if key in meta_graph.signature_def:
        outputs = meta_graph.signature_def[key].outputs
        return outputs[key].name if key in outputs else None
    for collection in (constants.MAIN_OP, constants.LEGACY_INIT_OP):
        if collection in meta_graph.collection_def:
            names = meta_graph.collection_def[collection].node_list.value
            if len(names) != 1:
                raise DataLossError(f"collection {collection}: one operation is needed, there are {len(names)}")
            return str(names[0])
    return None


def as_tags(tags: Iterable[str] | str) -> tuple[str, ...]:
    """Tags in one order; a str is one tag.

    Raises:
        InvalidArgumentError: One is no str.
    """
    collected = {tags} if isinstance(tags, str) else set(tags)
    if not all(isinstance(tag, str) for tag in collected):
        raise InvalidArgumentError(f"tags must be str, not {collected!r}")
    return tuple(sorted(collected))


def format_tags(tags: Iterable[str]) -> str:
    """Tags as a text, as in ``{gpu, serve}``."""
    return "{" + ", ".join(tags) + "}"
