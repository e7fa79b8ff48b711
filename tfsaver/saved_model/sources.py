"""What can be exported: a graph, and a value for each of its variables, from whatever a caller has.

    a checkpoint's prefix        its .meta file beside it, and the checkpoint
    a .meta file                 the same
    a file with a graph          a GraphDef or a MetaGraphDef, binary or text, whatever it is called; its variables, if it
                                 has any, are given besides
    a MetaGraphDef or GraphDef   of tfsaver's schemas or of TensorFlow's own; the same
    a SavedModel                 its directory, or opened; of several graphs, one: `model.meta_graph("serve")`
    an ExportSource              for who has something else, such as a session
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeAlias

from google.protobuf.message import Message

from tfsaver import schemas
from tfsaver.checkpoint.checkpoint_reader import CheckpointReader, load_checkpoint
from tfsaver.checkpoint.identify import advice_on
from tfsaver.errors import CheckpointNotFoundError, DataLossError, InvalidArgumentError, NotACheckpointError
from tfsaver.framework.graph_form import GraphForm, recognize_graph
from tfsaver.lib import file_io
from tfsaver.lib.confinement import ANYWHERE, Confinement
from tfsaver.saved_model import constants, saved_model_file
from tfsaver.saved_model.loader import MetaGraph, SavedModel, find_graph_file, format_tags, load_saved_model
from tfsaver.saved_model.loader import open_variables as open_variables_of
from tfsaver.saved_model.variables import SavedModelVariables

Variables: TypeAlias = "Mapping[str, Any] | file_io.PathLike"

_TEXT_SUFFIXES = (".pbtxt", ".pbtext", ".txt", ".prototxt")


class ExportSource(NamedTuple):
    """A graph to export.

    Attributes:
        meta_graph: The graph with its collections, signatures and assets, as far as it has them; it is not changed.
        variables: The variables' values by their names in a checkpoint, or by the names of their nodes.
        assets: The paths of the files that tensors of the graph stand for.
        what: What to call it in an error.
        close: Releases the files behind `variables`.
        confinement: Where the files may be that the graph names: anywhere for a graph that the program made itself.
    """

    meta_graph: schemas.MetaGraphDef
    variables: Mapping[str, Any]
    assets: Mapping[str, str] = {}
    what: str = "the graph"
    close: Callable[[], None] = lambda: None
    confinement: Confinement = ANYWHERE


def open_source(source: Any, variables: Variables | None = None, *, trusted: bool | None = None) -> ExportSource:
    """What is to be exported.

    Args:
        source: One of the above.
        variables: Values for the graph's variables, in the place of those that the source itself brings: a mapping, or
            whatever `load_checkpoint` takes.
        trusted: Whether names in files are followed out of the directory that the source is in. None follows state files and
            links as `load_checkpoint` does, and confines the files that the graph names.

    Raises:
        CheckpointNotFoundError: There is nothing of that name, or no ``.meta`` file with it.
        DataLossError: A file is damaged.
        InvalidArgumentError: It is nothing that can be exported.
    """
    opened = _open(source, variables is not None, trusted)
    if variables is None:
        return opened
    opened.close()
    values, close = open_variables(variables, trusted=trusted is not False)
    return opened._replace(variables=values, close=close)


def _open(source: Any, has_variables: bool, trusted: bool | None) -> ExportSource:
    if isinstance(source, ExportSource):
        return source._replace(confinement=Confinement("")) if trusted is False else source
    if isinstance(source, SavedModel) and source.trusted and trusted is False:
        return _open(_only_graph(source), has_variables, trusted)
    if isinstance(source, SavedModel):
        return _of_saved_model(_only_graph(source), source.variables, lambda: None, trusted)
    if isinstance(source, MetaGraph):
        values = open_variables_of(source.directory, trusted=source.trusted and trusted is not False)
        return _of_saved_model(source, values, values.close, trusted)
    if isinstance(source, Message):
        return ExportSource(_of_message(source), {}, confinement=Confinement("", trusted is not False))
    try:
        path = file_io.as_path(source)
    except InvalidArgumentError:
        kinds = "a checkpoint's prefix, a MetaGraphDef, a GraphDef or a SavedModel"
        raise InvalidArgumentError(f"{kinds} can be exported, not a {type(source).__name__}") from None
    return _of_path(path, has_variables, trusted)


def _of_message(message: Message) -> schemas.MetaGraphDef:
    """A graph of anyone's schemas in ours: messages cross from one pool to another as bytes."""
    name = message.DESCRIPTOR.full_name
    if name == "tensorflow.MetaGraphDef":
        return schemas.MetaGraphDef.FromString(message.SerializeToString())
    if name == "tensorflow.GraphDef":
        return schemas.MetaGraphDef(graph_def=schemas.GraphDef.FromString(message.SerializeToString()))
    raise InvalidArgumentError(f"a MetaGraphDef or a GraphDef can be exported, not a {name}")


def _of_path(path: str, has_variables: bool, trusted: bool | None) -> ExportSource:
    follows = trusted is not False
    is_directory = file_io.is_directory(path)
    file = find_graph_file(path)
    if file is not None:
        if is_directory:
            Confinement(path, follows).check(file)
        form = saved_model_file.form_of_file(file)
        if _is_saved_model(form, file) or (is_directory and form is None):
            model = load_saved_model(path, trusted=follows)
            return _of_saved_model(_only_graph(model), model.variables, model.close, trusted)
        # Of a file that is no graph, the error says what it holds instead.
        has_graph = form is not None or path.endswith((".pb", ".meta", *_TEXT_SUFFIXES))
        if has_graph and (is_directory or has_variables or not path.endswith(".meta")):
            return _of_file(file, trusted)
    try:
        reader = load_checkpoint(path, trusted=follows)
    except NotACheckpointError as error:
        raise _no_graph(path) from error
    try:
        meta_path = path if path.endswith(".meta") else find_meta_graph(reader)
        return _of_file(meta_path, trusted)._replace(variables=as_variables(reader), close=reader.close)
    except BaseException:
        reader.close()
        raise


def _of_file(path: str, trusted: bool | None) -> ExportSource:
    """The graph in a file, which names files of the machine that it was made on."""
    confinement = Confinement.around(path, trusted is True)
    if trusted is False:
        confinement.check(path)
    return ExportSource(read_graph(path), {}, what=path, confinement=confinement)


def _is_saved_model(form: GraphForm | None, file: str) -> bool:
    return form.kind == "SavedModel" if form is not None else file_io.split(file)[1] in saved_model_file.FILE_NAMES


def _only_graph(model: SavedModel) -> MetaGraph:
    if len(model.meta_graphs) != 1:
        there = ", ".join(format_tags(graph.tags) for graph in model.meta_graphs) or "none"
        raise InvalidArgumentError(
            f"{model.directory} holds {len(model.meta_graphs)} graphs ({there}): one can be exported, "
            "load_saved_model(...).meta_graph(tags)"
        )
    return model.meta_graphs[0]


def _of_saved_model(
    meta_graph: MetaGraph, variables: SavedModelVariables, close: Callable[[], None], trusted: bool | None
) -> ExportSource:
    confinement = Confinement(meta_graph.directory, trusted is True)
    return ExportSource(meta_graph.proto, variables, meta_graph.assets, meta_graph.directory, close, confinement)


def find_meta_graph(reader: CheckpointReader) -> str:
    """The path of the ``.meta`` file beside a checkpoint.

    Raises:
        CheckpointNotFoundError: There is none.
    """
    # A V1 checkpoint in several files has its .meta at the name before the pattern.
    prefix = file_io.in_store_of(reader.prefix, reader.prefix.partition("-?????-of-")[0])
    candidates = [reader.prefix + ".meta", prefix + ".meta"]
    for path in candidates:
        if file_io.exists(path):
            return path
    raise CheckpointNotFoundError(
        f"{prefix}.meta",
        looked_for=[f"{prefix}.meta"],
        found="the checkpoint is there without it: pass the graph as source, and the checkpoint as variables",
    )


def read_graph(path: str) -> schemas.MetaGraphDef:
    """The graph in a file: a MetaGraphDef or a GraphDef, binary or text.

    Raises:
        DataLossError: The file holds neither.
    """
    data = file_io.read_file(path)
    form = recognize_graph(data)
    if form is not None and form.kind != "SavedModel":
        meta_graph = schemas.MetaGraphDef()
        message = meta_graph if form.kind == "MetaGraphDef" else meta_graph.graph_def
        saved_model_file.parse(message, data, path, as_text=form.is_text)
        if meta_graph.graph_def.node:
            return meta_graph
        raise DataLossError(f"{path} holds no graph: a {form.kind} without nodes")
    raise _no_graph(path)


def _no_graph(path: str) -> DataLossError:
    error = DataLossError(f"{path} holds no graph: no GraphDef and no MetaGraphDef, neither binary nor as text")
    error.path, error.advice = path, advice_on(path) or f"{path} is something else"
    return error


def open_variables(variables: Variables, *, trusted: bool = True) -> tuple[Mapping[str, Any], Callable[[], None]]:
    """Values by names, and what releases the files behind them.

    Raises:
        CheckpointNotFoundError: They are to come from a checkpoint that is not there.
    """
    if isinstance(variables, CheckpointReader):
        return as_variables(variables), lambda: None
    if isinstance(variables, Mapping):
        return variables, lambda: None
    reader = load_checkpoint(variables, trusted=trusted)
    return as_variables(reader), reader.close


def as_variables(reader: CheckpointReader) -> Mapping[str, Any]:
    """A checkpoint as names that graphs know: one of TensorFlow 2 by the names of its program too."""
    return SavedModelVariables(reader, reader.prefix)


def collected_paths(meta_graph: schemas.MetaGraphDef) -> list[str]:
    """The tensors that a graph itself says stand for files."""
    if constants.ASSET_FILE_PATHS not in meta_graph.collection_def:
        return []
    return list(meta_graph.collection_def[constants.ASSET_FILE_PATHS].node_list.value)
