"""`report`: one page of HTML about a checkpoint, a run of checkpoints or a SavedModel."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tfsaver.checkpoint.checkpoint_reader import CheckpointReader
from tfsaver.checkpoint.editing.diff import TensorDifference, compare_tensors
from tfsaver.checkpoint.execution import DryRun, Progress
from tfsaver.checkpoint.measuring import Measures, measure
from tfsaver.checkpoint.objects.object_graph import read_object_graph
from tfsaver.checkpoint.report import Report, count, indented
from tfsaver.checkpoint.selection import Select, Selectable, as_selection
from tfsaver.checkpoint.tensor_source import TensorSource
from tfsaver.errors import AlreadyExistsError, DataLossError, InvalidArgumentError, SaverError
from tfsaver.formats.atomic import atomic_file, check_file_target
from tfsaver.graph.training_state import training_state_for
from tfsaver.lib import file_io
from tfsaver.lib.storage_options import OpenFileSystem, StorageOptions, takes_storage_options
from tfsaver.saved_model import saved_model_file
from tfsaver.saved_model.graph_constants import GraphConstants
from tfsaver.saved_model.loader import SavedModel, find_graph_file, load_saved_model
from tfsaver.verbs import report_page
from tfsaver.verbs.open_source import Checkpoint, open_source
from tfsaver.verbs.report_page import Subject, Update
from tfsaver.verbs.survey import Survey, take_survey


@dataclasses.dataclass(frozen=True)
class PageReport(Report):
    """What is on a page.

    Attributes:
        sources: The checkpoints, in the order that they were given.
        target: The page; None after a dry run.
        num_tensors: The tensors of the last checkpoint that are on it.
        num_bytes: What their values take.
        size: The bytes of the page; 0 after a dry run.
        damaged: Of each checkpoint, why a tensor could not be read, by name.
    """

    sources: tuple[str, ...]
    target: str | None
    num_tensors: int
    num_bytes: int
    size: int
    damaged: tuple[Mapping[str, str], ...]

    @property
    def ok(self) -> bool:
        """Whether every tensor could be read."""
        return not any(self.damaged)

    def lines(self, *, all_names: bool = False) -> Iterator[str]:
        """Yields the report line by line.

        Args:
            all_names: Whether to name every tensor that is damaged.
        """
        written = "nothing written, dry run" if self.target is None else f"{self.target}, {count(self.size, 'byte')}"
        yield f"{', '.join(self.sources)} -> {written}"
        yield f"tensors:   {count(self.num_tensors, 'tensor')}, {count(self.num_bytes, 'byte')}"
        for source, damaged in zip(self.sources, self.damaged, strict=True):
            if damaged:
                yield f"damaged:   {count(len(damaged), 'tensor')} of {source}"
                yield from indented([f"{name}: {why}" for name, why in damaged.items()], all_items=all_names)

    def to_json(self) -> dict[str, Any]:
        """Returns every fact of the report, in types that JSON has."""
        damaged = zip(self.sources, self.damaged, strict=True)
        return {
            "ok": self.ok,
            "sources": list(self.sources),
            "target": self.target,
            "num_tensors": self.num_tensors,
            "num_bytes": self.num_bytes,
            "size": self.size,
            "damaged": [
                {"source": source, "name": name, "error": why} for source, names in damaged for name, why in names.items()
            ],
        }


@takes_storage_options("checkpoints", "target")
def report(
    checkpoints: Checkpoint | Sequence[Checkpoint],
    target: file_io.PathLike,
    *,
    select: Select = None,
    overwrite: bool = False,
    dry_run: DryRun = False,
    durable: bool = True,
    trusted: bool = True,
    progress: Progress | None = None,
    storage_options: StorageOptions | None = None,
    fs: OpenFileSystem | None = None,
) -> PageReport:
    """Writes a page of HTML that shows checkpoints: sizes, values, files, objects, signatures, updates.

    The page is one file that loads nothing from anywhere. Every tensor is read once, a piece at a time; of several
    checkpoints, each is also compared with the next. Damage does not end the report: it is shown.

    Args:
        checkpoints: A path, an open source, or arrays by name; several as a list, oldest first. A SavedModel's directory
            adds its signatures.
        target: The file to write.
        select: The tensors to show: a `Selection`, or patterns of which one must occur in a name; None for all.
        overwrite: Whether an existing file may be replaced; a file of a checkpoint is never replaced.
        dry_run: If true, nothing is written and no values are read. ``"values"`` reads them all the same.
        durable: Whether to fsync before returning.
        trusted: If false, a name in a file that leads out of the file's directory is an error.
        progress: Called with the bytes read and the bytes in all.
        storage_options: For a path in a store: what fsspec makes its file system with. See `StoragePath`.
        fs: An open fsspec file system for it, in place of `storage_options`.

    Raises:
        AlreadyExistsError: The file is there, and `overwrite` does not say that it may go.
        InvalidArgumentError: There is no checkpoint, a pattern is in no name, or nothing is selected.
        DataLossError: An index is damaged as a whole.

    Example:
        >>> tfsaver.report(["model.ckpt-1000", "model.ckpt-2000"], "report.html")  # doctest: +SKIP
    """
    given = _as_list(checkpoints)
    path = file_io.as_path(target)
    with contextlib.ExitStack() as stack:
        opened = [stack.enter_context(_opened(each, trusted)) for each in given]
        _check_target(path, [source for source, _ in opened], overwrite)
        surveys = [
            _chosen(source, take_survey(source, _path_of(each), trusted=trusted), select)
            for each, (source, _) in zip(given, opened, strict=True)
        ]
        reads_values = not dry_run or dry_run == "values"
        stages = _Stages(progress, surveys)
        subjects = [
            _subject(each, source, model, survey, stages if reads_values else None)
            for each, (source, model), survey in zip(given, opened, surveys, strict=True)
        ]
        updates = [
            _update(before, after, stages) for before, after in itertools.pairwise(subjects) if reads_values
        ]
        page = b"" if dry_run else report_page.render(subjects, updates)
    if not dry_run:
        with atomic_file(path, durable=durable, expected_size=len(page)) as temporary, open(temporary, "wb") as file:
            file.write(page)
    last = subjects[-1].survey
    return PageReport(
        tuple(subject.path for subject in subjects),
        None if dry_run else path,
        len(last.rows) + len(last.damaged),
        sum(row.info.num_bytes for row in last.rows),
        len(page),
        tuple({name: str(error) for name, error in subject.damaged.items()} for subject in subjects),
    )


def _as_list(checkpoints: Checkpoint | Sequence[Checkpoint]) -> list[Checkpoint]:
    if isinstance(checkpoints, (str, bytes, os.PathLike, Mapping)):
        return [checkpoints]
    if not checkpoints:
        raise InvalidArgumentError(f"a checkpoint or a list of them is needed, not {checkpoints!r}")
    return list(checkpoints)


def _path_of(checkpoint: Checkpoint) -> str | None:
    return None if isinstance(checkpoint, Mapping) else file_io.as_path(checkpoint)


@contextlib.contextmanager
def _opened(checkpoint: Checkpoint, trusted: bool) -> Iterator[tuple[TensorSource, SavedModel | None]]:
    """A source of tensors, and the SavedModel that they are the variables of."""
    if isinstance(checkpoint, Mapping) or not _is_saved_model(path := file_io.as_path(checkpoint)):
        with open_source(checkpoint, trusted=trusted) as source:
            yield source, None
        return
    with load_saved_model(path, trusted=trusted) as model:
        reader = model.variables.checkpoint
        if reader is None and model.meta_graphs:
            # A frozen graph has its weights in itself.
            yield GraphConstants(model.meta_graphs[0].graph_def, model.file), model
        elif reader is None:
            raise DataLossError(f"{model.file} has neither a graph nor variables")
        else:
            yield reader, model


def _is_saved_model(path: str) -> bool:
    if file_io.is_directory(path):
        return find_graph_file(path) is not None
    return file_io.split(path)[1] in saved_model_file.FILE_NAMES


def _check_target(path: str, sources: Sequence[TensorSource], overwrite: bool) -> None:
    check_file_target(path)
    if not file_io.exists(path):
        return
    if not overwrite:
        raise AlreadyExistsError(f"{path} exists, and is replaced only with overwrite (--overwrite)")
    for source in sources:
        if isinstance(source, CheckpointReader):
            files = [*source.paths, source.prefix + ".meta"]
        else:
            files = [source.prefix] if source.prefix else []
        if not file_io.is_remote(path) and os.path.realpath(path) in map(os.path.realpath, files):
            raise InvalidArgumentError(f"{path} is a file of the checkpoint that is shown: give the page another name")


def _chosen(source: TensorSource, survey: Survey, select: Select) -> Survey:
    if select is None:
        return survey
    graph = read_object_graph(source)
    kept = set(
        as_selection(select)
        .select(
            {row.info.name: Selectable(row.info.shape, row.info.num_bytes, row.info.dtype.name) for row in survey.rows},
            full_names=None if graph is None else graph.full_names_of_keys(),
            training=training_state_for(source, select),
        )
        .kept
    )
    return dataclasses.replace(survey, rows=[row for row in survey.rows if row.info.name in kept])


def _subject(
    given: Checkpoint, source: TensorSource, model: SavedModel | None, survey: Survey, stages: _Stages | None
) -> Subject:
    names = [row.info.name for row in survey.rows]
    found: dict[str, Measures] = {}
    damaged: dict[str, SaverError] = {}
    if stages is not None:
        found, damaged = measure(source, names, progress=stages.start(_num_bytes(survey)))
    return Subject(_path_of(given) or source.description, source, model, survey, found, {**survey.damaged, **damaged})


def _update(before: Subject, after: Subject, stages: _Stages) -> Update:
    names_before, names_after = ([row.info.name for row in each.survey.rows] for each in (before, after))
    there_before, there_after = (
        {*names, *each.survey.damaged} for names, each in ((names_before, before), (names_after, after))
    )
    sound = [
        name
        for name in names_before
        if name in there_after and name not in before.damaged and name not in after.damaged
    ]
    lost: dict[str, SaverError] = {}
    differences: dict[str, TensorDifference | None] = compare_tensors(
        before.source,
        after.source,
        sound,
        ignore_dtype=True,
        on_damage=lost.__setitem__,
        progress=stages.start(_num_bytes(before.survey)),
    )
    return Update(
        {name: item for name, item in differences.items() if name not in lost},
        added=sorted(there_after - there_before),
        removed=sorted(there_before - there_after),
    )


def _num_bytes(survey: Survey) -> int:
    return sum(row.info.num_bytes for row in survey.rows)


class _Stages:
    """The progress of several executions as that of one: each checkpoint is read, and compared with the next."""

    def __init__(self, progress: Progress | None, surveys: Sequence[Survey]) -> None:
        self._progress = progress
        sizes = [_num_bytes(survey) for survey in surveys]
        self._total = sum(sizes) + sum(sizes[:-1])
        self._begun = 0

    def start(self, num_bytes: int) -> Progress | None:
        """What the next execution is to call.

        Args:
            num_bytes: What it reads.
        """
        begun = self._begun
        self._begun += num_bytes
        progress = self._progress
        if progress is None:
            return None
        return lambda done, _: progress(min(begun + done, self._total), self._total)
