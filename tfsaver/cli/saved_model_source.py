"""What the verbs of ``tfsaver saved-model`` look at: a SavedModel, or a file with a graph in it.

    a directory            a SavedModel, or the versions of one
    a file                 a SavedModel, a MetaGraphDef or a GraphDef, binary or text, by its content and not by its name;
                           a checkpoint's .meta comes with the checkpoint
    a checkpoint's prefix  its .meta

Variables that cannot be read do not hide the graph: the error is kept aside.
"""

from __future__ import annotations

import argparse
from types import TracebackType

from tfsaver.checkpoint.checkpoint_reader import load_checkpoint
from tfsaver.cli.arguments import checkpoint_path
from tfsaver.errors import CheckpointNotFoundError, NotFoundError, SaverError
from tfsaver.graph.repairs import REPAIRS
from tfsaver.lib import file_io
from tfsaver.lib.confinement import Confinement
from tfsaver.saved_model import saved_model_file, sources
from tfsaver.saved_model.loader import MetaGraph, SavedModel, as_tags, find_graph_file, format_tags, load_saved_model
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
        kind: The message in the file: ``SavedModel``, ``MetaGraphDef`` or ``GraphDef``.
        model: The SavedModel; None for a graph alone.
        meta_graphs: The graphs.
        variables: Their variables: none where there is no checkpoint, or none that can be read.
        errors: Why a checkpoint that is there cannot be read.
    """

    def __init__(self, path: str, *, with_variables: bool = True, trusted: bool = True) -> None:
        self._trusted = trusted
        self.errors: list[Exception] = []
        self.model: SavedModel | None = None
        file = _graph_alone(path, trusted)
        form = None if file is None else saved_model_file.form_of_file(file)
        self.kind: str = "SavedModel" if form is None else form.kind
        if file is None:
            self.model = load_saved_model(path, trusted=trusted)
            self.path = self.model.directory
            self.file = self.model.file
            self.meta_graphs = self.model.meta_graphs
        else:
            self.path = self.file = file
            self.meta_graphs = [MetaGraph(sources.read_graph(self.file), file_io.split(self.file)[0])]
        self.variables = self._open_variables() if with_variables else SavedModelVariables(None, self.path)

    def _open_variables(self) -> SavedModelVariables:
        try:
            if self.model is not None:
                return self.model.variables
            if self.file.endswith(_META_SUFFIX):
                return SavedModelVariables(load_checkpoint(self.file, trusted=self._trusted), self.path)
        except CheckpointNotFoundError as error:
            # A graph without weights is a graph; a SavedModel whose variables lack their index is damaged.
            if self.model is not None:
                self.errors.append(error)
        except (SaverError, OSError) as error:
            self.errors.append(error)
        return SavedModelVariables(None, self.path)

    def missing_data(self) -> list[CheckpointNotFoundError]:
        """An error for each data file that the variables' index names and that is not there."""
        checkpoint = self.variables.checkpoint
        found = "the index is there, this data file is not: the variables are listed, their values cannot be read"
        return [
            CheckpointNotFoundError(checkpoint.prefix, looked_for=[path], found=found)
            for path in self.variables.missing_files
            if checkpoint is not None
        ]

    def choose(self, tags: tuple[str, ...] | None) -> list[MetaGraph]:
        """The graphs that were asked for: all without tags.

        Raises:
            NotFoundError: None has these tags, or there is no graph at all.
        """
        if not self.meta_graphs:
            raise NotFoundError(f"{self.file} holds no graph: nothing of it was looked at")
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


def _graph_alone(path: str, trusted: bool) -> str | None:
    """The file of a graph without a SavedModel around it; None where the path means a SavedModel, or nothing."""
    file = find_graph_file(path)
    if file is None:
        meta = path + _META_SUFFIX
        return meta if file_io.exists(meta) and not file_io.is_directory(path) else None
    if file_io.is_directory(path):
        Confinement(path, trusted).check(file)
    form = saved_model_file.form_of_file(file)
    if form is None:
        # The error says what the file holds instead.
        return None if file_io.split(file)[1] in saved_model_file.FILE_NAMES else file
    return None if form.kind == "SavedModel" else file


def tags_argument(text: str) -> tuple[str, ...]:
    """Tags with commas between them, as argparse's `type`; nothing at all is the graph without tags."""
    return as_tags([tag.strip() for tag in text.split(",") if tag.strip()])


def add_graph_changes(parser: argparse.ArgumentParser) -> None:
    """The options that let a graph be changed, or be left with an empty table: --repair and --empty-table."""
    parser.add_argument(
        "--repair",
        choices=REPAIRS,
        action="append",
        default=[],
        help="references: mend what reads frozen variables; batch: take any number of examples; training: fix is_training "
        "and keep_prob; resources: make resource variables; may be repeated",
    )
    parser.add_argument(
        "--empty-table",
        metavar="NAME",
        dest="empty_tables",
        action="append",
        default=[],
        help="a lookup table that may be empty when a program starts; may be repeated",
    )


def add_source_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments that say which graph: DIR and --tags."""
    parser.add_argument(
        "path", metavar="DIR", type=checkpoint_path, help="a SavedModel's directory, saved_model.pb, or a .meta file"
    )
    parser.add_argument(
        "--tags",
        metavar="TAG,TAG",
        type=tags_argument,
        help="only the graph with exactly these tags; '' for the one without tags",
    )
