"""What the verbs of ``tfsaver saved-model`` look at: a SavedModel, or a file with a graph in it.

    a directory            a SavedModel, or the versions of one
    saved_model.pb         the SavedModel that it is of; so .pbtxt and .cpb
    any other file         a MetaGraphDef or a GraphDef, binary or text; a checkpoint's .meta comes with the checkpoint
    a checkpoint's prefix  its .meta

Variables that cannot be read do not hide the graph: the error is kept aside.
"""

from __future__ import annotations

import argparse
from types import TracebackType

from tfsaver.checkpoint.checkpoint_reader import load_checkpoint
from tfsaver.cli.arguments import add_untrusted, checkpoint_path
from tfsaver.errors import CheckpointNotFoundError, NotFoundError, SaverError
from tfsaver.lib import file_io
from tfsaver.saved_model import saved_model_file, sources
from tfsaver.saved_model.loader import MetaGraph, SavedModel, as_tags, format_tags, load_saved_model
from tfsaver.saved_model.variables import SavedModelVariables

_META_SUFFIX = ".meta"


class ModelSource:
    """Graphs with their variables; a context manager.

    Args:
        path: One of the above.
        with_variables: Whether to open the checkpoint.
        trusted: Whether symbolic links may lead out of the directory.

    Attributes:
        path: The SavedModel's directory, or the graph's file.
        file: The file that holds the graphs.
        model: The SavedModel; None for a graph alone.
        meta_graphs: The graphs.
        variables: Their variables: none where there is no checkpoint, or none that can be read.
        errors: Why a checkpoint that is there cannot be read.
    """

    def __init__(self, path: str, *, with_variables: bool = True, trusted: bool = True) -> None:
        self._trusted = trusted
        self.errors: list[Exception] = []
        self.model: SavedModel | None = None
        if _is_saved_model(path):
            self.model = load_saved_model(path, trusted=trusted)
            self.path = self.model.directory
            self.file = saved_model_file.find_saved_model(self.path) or self.path
            self.meta_graphs = self.model.meta_graphs
        else:
            self.path = self.file = path if file_io.exists(path) else path + _META_SUFFIX
            self.meta_graphs = [MetaGraph(sources.read_graph(self.file), file_io.split(self.file)[0])]
        self.variables = self._open_variables() if with_variables else SavedModelVariables(None, self.path)

    def _open_variables(self) -> SavedModelVariables:
        try:
            if self.model is not None:
                return self.model.variables
            if self.file.endswith(_META_SUFFIX):
                return SavedModelVariables(load_checkpoint(self.file, trusted=self._trusted), self.path)
        except CheckpointNotFoundError:
            # A graph without weights is a graph.
            pass
        except (SaverError, OSError) as error:
            self.errors.append(error)
        return SavedModelVariables(None, self.path)

    def choose(self, tags: tuple[str, ...] | None) -> list[MetaGraph]:
        """The graphs that were asked for: all without tags.

        Raises:
            NotFoundError: None has these tags.
        """
        if tags is None:
            return self.meta_graphs
        chosen = [graph for graph in self.meta_graphs if graph.tags == tags]
        if not chosen:
            there = ", ".join(format_tags(graph.tags) for graph in self.meta_graphs) or "no graph at all"
            raise NotFoundError(f"no graph with the tags {format_tags(tags)} in {self.path}: there is {there}")
        return chosen

    def __enter__(self) -> ModelSource:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.variables.close()


def _is_saved_model(path: str) -> bool:
    if file_io.split(path)[1] in saved_model_file.FILE_NAMES or file_io.is_directory(path):
        return True
    # What is nowhere is looked for as a SavedModel, whose error says what would have been one.
    return not file_io.exists(path) and not file_io.exists(path + _META_SUFFIX)


def tags_argument(text: str) -> tuple[str, ...]:
    """Tags with commas between them, as argparse's `type`; nothing at all is the graph without tags."""
    return as_tags([tag.strip() for tag in text.split(",") if tag.strip()])


def add_source_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments that say which graph: DIR and --tags."""
    parser.add_argument(
        "path", metavar="DIR", type=checkpoint_path, help="a SavedModel's directory, saved_model.pb, or a .meta file"
    )
    add_untrusted(parser)
    parser.add_argument(
        "--tags",
        metavar="TAG,TAG",
        type=tags_argument,
        help="only the graph with exactly these tags; '' for the one without any",
    )
