"""How a source is read: one row for each public call that takes one.

A route returns the values that it found, by whatever names the source has; the form of the tensors; or a marker that it
looked at everything and found nothing wrong. A route that reports instead of raising is made to raise what it reports, so
that one verdict is expected of all.
"""

from __future__ import annotations

import enum
import functools
import itertools
import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import tfsaver
from tests.conformance.guests import guest
from tests.conformance.sources import BIAS, KERNEL, NEW, OLD, OLDER, SHAPE, STEP, Kind, Source, Values
from tfsaver.checkpoint.plan import as_plan, same_names
from tfsaver.checkpoint.recipes import Elementwise, Gather, Join, Rearrange, Recipe
from tfsaver.framework.tensor_slice import TensorSlice
from tfsaver.verbs.open_source import open_sources


class ReportedError(Exception):
    """A report said that a checkpoint is damaged, or an older one was taken instead."""


class UnreadableError(Exception):
    """A report said that the system refuses to let a checkpoint be read, which is not damage."""


class ResultError(Exception):
    """A route said that all is well, and its result cannot be read or has other names."""


class Sound(NamedTuple):
    """Everything was read, found right, and no value given."""


class Form(dict[str, tuple[Any, tuple[int, ...]]]):
    """Each tensor's dtype and shape."""


class Same(frozenset[str]):
    """Which of the contents a comparison found the source to be: ``old``, ``new``."""


Result = Values | Sound | Form | Same


@dataclass
class Subject:
    """A source as a route gets it.

    Attributes:
        source: Its row.
        directory: Where it lies.
        scratch: Where results go.
        made: What it is, if it is in memory.
        reader: The reader that was opened before the fault; None to open what lies there now.
        trusted: What readers are opened with.
    """

    source: Source
    directory: Path
    scratch: Path
    made: Any = None
    reader: Any = None
    trusted: bool = True
    location: str = ""
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    @property
    def path(self) -> str:
        """What `load_checkpoint` or `convert` takes."""
        return str(self.directory / (self.location or self.source.location))

    @property
    def file_path(self) -> str:
        """The same, not by a state file."""
        return str(self.directory / self.source.location)

    @property
    def prefix(self) -> str:
        """Where the files are."""
        return str(self.directory / (self.source.prefix or self.source.location))

    def target(self, suffix: str = "") -> Path:
        """A path of its own for a result."""
        return self.scratch / f"result-{next(self._numbers)}{suffix}"

    @contextmanager
    def opened(self) -> Iterator[Any]:
        """A reader: the one that is there, or a new one."""
        if self.reader is not None:
            yield self.reader
        else:
            with tfsaver.load_checkpoint(self.path, trusted=self.trusted) as reader:
                yield reader

    @contextmanager
    def checkpoint(self) -> Iterator[Any]:
        """What an edit takes: arrays, a reader, or a path."""
        if self.made is not None:
            yield self.made
        elif self.reader is not None or not self.trusted:
            with self.opened() as reader:
                yield reader
        else:
            yield self.path


class Takes(enum.Enum):
    """What a route takes."""

    READER = "a reader"
    EDITED = "a path, a reader or a mapping"
    CONVERTED = "these, and files of other programs"
    PATH = "the path of a checkpoint"
    DIRECTORY = "a directory of checkpoints"
    VARIABLES = "a path or a reader, for variables"
    PREFIX = "the prefix of a V2 checkpoint"


class Route(NamedTuple):
    """One row.

    Attributes:
        name: What a cell's id calls it.
        run: Reads a subject.
        takes: What it takes.
        reads_values: Whether it reads more than the index.
        copies: Whether it writes, or holds at once, every tensor there is.
        moves_files: Whether data files are renamed and their bytes not read.
        chooses: Whether it takes an older checkpoint where one cannot be used, and says so in a warning.
        takes_strings: Whether strings can be in what it writes.
        casts: The same route to another type, for what it may lose.
        needs: The package it needs.
    """

    name: str
    run: Callable[[Subject], Result]
    takes: Takes
    reads_values: bool = True
    copies: bool = False
    moves_files: bool = False
    chooses: bool = False
    takes_strings: bool = True
    casts: Callable[[Subject], Result] | None = None
    needs: str = ""


_QUIET: dict[str, Any] = {"durable": False}


def names_of(reader: Any) -> list[str]:
    """The tensors that were written, without what an object graph brings."""
    return [name for name in reader.names if not name.startswith(("_", "save_counter/"))]


def _values(path: Any) -> Values:
    """What lies in a result; an error here is one of the route that wrote it."""
    try:
        with tfsaver.load_checkpoint(path) as reader:
            return {name: reader.read(name) for name in names_of(reader)}
    except Exception as error:
        raise ResultError(f"the result cannot be read: {error}") from error


# Readers.


def info(subject: Subject) -> Result:
    with subject.opened() as reader:
        infos = [reader.info(name) for name in names_of(reader)]
    return Form({each.name: (each.dtype.numpy, tuple(each.shape)) for each in infos})


def read(subject: Subject) -> Result:
    with subject.opened() as reader:
        return {name: reader.read(name) for name in names_of(reader)}


def region(subject: Subject) -> Result:
    kernel = subject.source.key(KERNEL)
    with subject.opened() as reader:
        values = {name: reader.read(name, np.s_[...]) for name in names_of(reader) if name != kernel}
        # Across the border of the slices as well.
        parts = [reader.read(kernel, part) for part in (np.s_[:2], np.s_[2:6, :], np.s_[6:])]
    return {**values, kernel: np.concatenate(parts)}


def bulk(subject: Subject) -> Result:
    with subject.opened() as reader:
        return dict(reader.read_tensors(names_of(reader)))


def mapped(subject: Subject) -> Result:
    with subject.opened() as reader:
        # A copy: a page behind the new end of a file that was cut is a signal, not an error.
        return {name: np.array(reader.map(name)) for name in names_of(reader)}


def verify_tensors(subject: Subject) -> Result:
    with subject.opened() as reader:
        reader.verify_tensors(reader.names)
    return Sound()


def load(subject: Subject) -> Result:
    return dict(_leaves(tfsaver.load(subject.path)))


def _leaves(tree: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from _leaves(value, (*path, key))
        else:
            yield "/".join((*path, key)), value


# Reports.


def verify(subject: Subject) -> Result:
    report = tfsaver.verify(subject.path)
    if not report.ok:
        raise ReportedError(str(report))
    return Sound()


def doctor(subject: Subject) -> Result:
    diagnosis = tfsaver.diagnose(subject.directory)
    if not diagnosis.ok:
        kinds = {finding.kind for finding in diagnosis.problems}
        raise (UnreadableError if kinds == {"unreadable"} else ReportedError)(str(diagnosis))
    return Sound()


@contextmanager
def _logged() -> Iterator[list[str]]:
    """What is logged as a warning."""
    messages: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: messages.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("tfsaver")
    logger.addHandler(handler)
    try:
        yield messages
    finally:
        logger.removeHandler(handler)


def latest(subject: Subject) -> Result:
    with _logged() as messages:
        found = tfsaver.latest_checkpoint(subject.directory, verified=True, trusted=subject.trusted)
    if found == str(subject.directory / OLDER):
        raise ReportedError("; ".join(messages))
    if found != subject.file_path:
        raise ResultError(f"found {found}: {messages}")
    return Sound()


def diff(subject: Subject) -> Result:
    source = subject.source
    found = set()
    with subject.checkpoint() as checkpoint:
        for which, content in (("old", OLD), ("new", NEW)):
            named = {source.key(name): value for name, value in source.all_of(content).items()}
            if not tfsaver.diff(checkpoint, named).different:
                found.add(which)
    return Same(found)


# Edits.

# What is merged with a source.
_OTHER = "zzz"


def _edit(write: Callable[[Any, Path], Any], *, undo: str = "") -> Callable[[Subject], Result]:
    def run(subject: Subject) -> Result:
        target = subject.target()
        with subject.checkpoint() as checkpoint:
            write(checkpoint, target)
        return {name.removeprefix(undo): value for name, value in _values(target).items()}

    return run


def _narrowed(values: Values) -> Values:
    return {name: value.astype(np.float32) if value.dtype == np.float64 else value for name, value in values.items()}


def _cast(subject: Subject) -> Result:
    values = _edit(lambda checkpoint, target: tfsaver.cast(checkpoint, target, "float64", **_QUIET))(subject)
    return _narrowed(values)  # type: ignore[arg-type]


def _split(subject: Subject) -> Result:
    parts = [subject.target("-kernels"), subject.target("-rest")]
    with subject.checkpoint() as checkpoint:
        tfsaver.split(checkpoint, {str(parts[0]): "kernel"}, rest=parts[1], **_QUIET)
    return {**_values(parts[0]), **_values(parts[1])}


def _save(subject: Subject) -> Result:
    target = subject.target()
    if subject.made is not None:
        tfsaver.save_checkpoint(subject.made, target, durable=False)
    else:
        with subject.opened() as reader:
            tfsaver.save_checkpoint(reader, target, durable=False)
    return _values(target)


def merge_bundles(subject: Subject) -> Result:
    other = subject.target()
    with tfsaver.BundleWriter(other, byte_order=subject.source.byte_order, durable=False) as writer:
        writer.add(_OTHER, np.zeros(1))
    target = subject.target()
    tfsaver.merge_bundles([subject.prefix, other], target, durable=False)
    return _without(_OTHER, _values(target))


def _merge(subject: Subject) -> Result:
    target = subject.target()
    with subject.checkpoint() as checkpoint:
        tfsaver.merge([checkpoint, {_OTHER: np.zeros(1)}], target, **_QUIET)
    return _without(_OTHER, _values(target))


def _without(name: str, values: Values) -> Values:
    if name not in values:
        raise ResultError(f"{name!r} is lost")
    return {other: value for other, value in values.items() if other != name}


# Recipes: each makes the kernel out of itself. What comes of it is written, so that they are read piece by piece and whole.


def _by_recipe(recipe: Callable[[Recipe], Recipe]) -> Callable[[Subject], Result]:
    def run(subject: Subject) -> Result:
        target = subject.target()
        name = subject.source.key(KERNEL)
        with subject.checkpoint() as checkpoint, open_sources([checkpoint]) as [source]:
            plan = as_plan(source)
            # An object graph would name what the recipe makes.
            plain = plan.with_names(same_names(plan.tensor_names), graph=None)
            tfsaver.save_checkpoint(plain.with_recipes({name: recipe(plain.recipe(name))}), target, durable=False)
        return _values(target)

    return run


def _rearranged(of: Recipe) -> Recipe:
    return Rearrange(Rearrange(of, axes=(1, 0)), axes=(1, 0))


def _negated_twice(of: Recipe) -> Recipe:
    return Elementwise([Elementwise([of], np.negative, of.dtype)], np.negative, of.dtype)


def _joined(of: Recipe) -> Recipe:
    return Join([Rearrange(of, rows) for rows in _ROWS], axis=0)


def _gathered(of: Recipe) -> Recipe:
    return Gather(KERNEL, [(rows.resolve(of.shape), of) for rows in _ROWS])


# Not those of the sliced sources.
_ROWS = tuple(TensorSlice(((start, length), (0, SHAPE[1]))) for start, length in ((0, 3), (3, 5)))


# Conversions, read with the libraries of the formats.


def _convert(suffix: str, load: Callable[[Path], Values], **options: Any) -> Callable[[Subject], Result]:
    def run(subject: Subject) -> Result:
        target = subject.target(suffix)
        with subject.checkpoint() as checkpoint:
            tfsaver.convert(checkpoint, target, durable=False, **options)
        return load(target)

    return run


def _load_npz(path: Path) -> Values:
    with np.load(path) as file:
        # Strings are of a fixed width there.
        return {name: value.astype(object) if value.dtype.kind == "S" else value for name, value in file.items()}


def _load_safetensors(path: Path) -> Values:
    return dict(guest("safetensors.numpy").load_file(path))


def _load_torch(path: Path) -> Values:
    return {name: value.numpy() for name, value in guest("torch").load(path, weights_only=True).items()}


def _load_keras(path: Path) -> Values:
    values: Values = {}
    with guest("h5py").File(path) as file:
        file.visititems(lambda name, item: values.update({name: item[()]} if hasattr(item, "shape") else {}))
    return values


def _load_orbax(path: Path) -> Values:
    with guest("orbax.checkpoint").StandardCheckpointer() as checkpointer:
        return {name: np.asarray(value) for name, value in _leaves(checkpointer.restore(path.absolute()))}


def _dry_run(subject: Subject) -> Result:
    with subject.checkpoint() as checkpoint:
        tfsaver.reshard(checkpoint, subject.target(), dry_run="values")
    return Sound()


# Variables.


@functools.cache
def _eager_variables(kernel_dtype: str) -> dict[str, Any]:
    tf = guest("tensorflow")
    return {
        name: tf.Variable(np.zeros_like(value, dtype=kernel_dtype if name == KERNEL else None), name=name)
        for name, value in OLD.items()
    }


def _restore(kernel_dtype: str) -> Callable[[Subject], Result]:
    def run(subject: Subject) -> Result:
        variables = _eager_variables(kernel_dtype)
        for variable in variables.values():
            variable.assign(variable * 0)
        mapping = {subject.source.key(name): name for name in OLD} if subject.source.objects else None
        with subject.checkpoint() as checkpoint:
            tfsaver.restore(variables, checkpoint, mapping=mapping, cast=kernel_dtype != "float32")
        return subject.source.all_of({name: each.numpy().astype(OLD[name].dtype) for name, each in variables.items()})

    return run


def compare(subject: Subject) -> Result:
    variables = _eager_variables("float32")
    source = subject.source
    mapping = {source.key(name): name for name in OLD} if source.objects else None
    found = set()
    with subject.checkpoint() as checkpoint:
        for which, content in (("old", OLD), ("new", NEW)):
            for name, variable in variables.items():
                variable.assign(content[name])
            comparison = tfsaver.compare(variables, checkpoint, mapping=mapping)
            if comparison:
                found.add(which)
            elif not comparison.different:
                raise ReportedError(str(comparison))
    return Same(found)


@functools.cache
def _session(objects: bool) -> tuple[Any, dict[str, Any], Any, Any]:
    """A session for all cells, with variables, their initializer and a Saver of each."""
    tf = guest("tensorflow")
    from_name = {KERNEL: "kernel", BIAS: "bias", STEP: "step"}
    with tf.Graph().as_default():
        variables = {
            f"{name}/.ATTRIBUTES/VARIABLE_VALUE" if objects else name: tf.compat.v1.get_variable(
                from_name[name], initializer=np.zeros_like(value), use_resource=True
            )
            for name, value in OLD.items()
        }
        initializer = tf.compat.v1.global_variables_initializer()
        saver = tfsaver.Saver(variables)
        session = tf.compat.v1.Session()
    return session, variables, initializer, saver


def saver_restore(subject: Subject) -> Result:
    session, variables, initializer, saver = _session(subject.source.objects)
    session.run(initializer)
    saver.restore(session, subject.prefix)
    return subject.source.all_of(session.run(variables))


def restore_latest(subject: Subject) -> Result:
    session, variables, initializer, saver = _session(subject.source.objects)
    session.run(initializer)
    with _logged() as messages:
        found = saver.restore_latest(session, str(subject.directory), trusted=subject.trusted)
    if found == str(subject.directory / OLDER):
        raise ReportedError("; ".join(messages))
    if found != subject.file_path:
        raise ResultError(f"restored {found}: {messages}")
    return subject.source.all_of(session.run(variables))


def _rows(rows: Iterable[Route]) -> dict[str, Route]:
    return {row.name: row for row in rows}


ROUTES = _rows(
    [
        Route("info", info, Takes.READER, reads_values=False),
        Route("read", read, Takes.READER),
        Route("region", region, Takes.READER),
        Route("bulk", bulk, Takes.READER, copies=True),
        Route("map", mapped, Takes.READER),
        Route("verify-tensors", verify_tensors, Takes.READER),
        Route("load", load, Takes.PATH, copies=True),
        Route("verify", verify, Takes.PATH),
        Route("doctor", doctor, Takes.DIRECTORY),
        Route("latest", latest, Takes.DIRECTORY, chooses=True),
        Route(
            "rename",
            _edit(lambda checkpoint, target: tfsaver.rename(checkpoint, target, [("^", "moved/")], **_QUIET), undo="moved/"),
            Takes.EDITED,
            copies=True,
        ),
        Route("select", _edit(lambda *both: tfsaver.select(*both, **_QUIET)), Takes.EDITED, copies=True),
        Route(
            "cast",
            _cast,
            Takes.EDITED,
            copies=True,
            casts=_edit(lambda checkpoint, target: tfsaver.cast(checkpoint, target, "float16", **_QUIET)),
        ),
        Route("average", _edit(lambda one, target: tfsaver.average([one, one], target, **_QUIET)), Takes.EDITED, copies=True),
        Route("merge", _merge, Takes.EDITED, copies=True),
        Route("split", _split, Takes.EDITED, copies=True),
        Route("reshard", _edit(lambda *both: tfsaver.reshard(*both, num_shards=2, **_QUIET)), Takes.EDITED, copies=True),
        Route("strip", _edit(lambda *both: tfsaver.strip(*both, **_QUIET)), Takes.EDITED, copies=True),
        Route("save", _save, Takes.EDITED, copies=True),
        Route("dry-run", _dry_run, Takes.EDITED, copies=True),
        Route("rearrange", _by_recipe(_rearranged), Takes.EDITED, copies=True),
        Route("elementwise", _by_recipe(_negated_twice), Takes.EDITED, copies=True),
        Route("join", _by_recipe(_joined), Takes.EDITED, copies=True),
        Route("gather", _by_recipe(_gathered), Takes.EDITED, copies=True),
        Route("merge-bundles", merge_bundles, Takes.PREFIX, copies=True, moves_files=True),
        Route(
            "convert-npz",
            _convert(".npz", _load_npz),
            Takes.CONVERTED,
            copies=True,
            casts=_convert(".npz", _load_npz, dtype="float16"),
        ),
        Route(
            "convert-safetensors",
            _convert(".safetensors", _load_safetensors),
            Takes.CONVERTED,
            copies=True,
            casts=_convert(".safetensors", _load_safetensors, dtype="float16"),
            needs="safetensors",
            takes_strings=False,
        ),
        Route(
            "convert-torch", _convert(".pt", _load_torch), Takes.CONVERTED, copies=True, needs="torch", takes_strings=False
        ),
        Route(
            "convert-keras",
            _convert(".weights.h5", _load_keras),
            Takes.CONVERTED,
            copies=True,
            needs="h5py",
            takes_strings=False,
        ),
        Route(
            "convert-orbax",
            _convert(".orbax", _load_orbax),
            Takes.CONVERTED,
            copies=True,
            needs="orbax.checkpoint",
            takes_strings=False,
        ),
        Route("convert-v1", _convert("", _values, format="V1"), Takes.CONVERTED, copies=True),
        Route("convert-v2", _convert("", _values, format="V2"), Takes.CONVERTED, copies=True),
        Route("diff", diff, Takes.EDITED),
        Route("restore", _restore("float32"), Takes.VARIABLES, casts=_restore("uint8"), needs="tensorflow"),
        Route("compare", compare, Takes.VARIABLES, needs="tensorflow"),
        Route("saver", saver_restore, Takes.PATH, needs="tensorflow"),
        Route("restore-latest", restore_latest, Takes.DIRECTORY, chooses=True, needs="tensorflow"),
    ]
)


def keeps_reader(route: Route) -> bool:
    """Whether the route reads from an open reader."""
    return route.takes in (Takes.READER, Takes.EDITED, Takes.CONVERTED, Takes.VARIABLES)


def kinds_taken(route: Route) -> set[Kind]:
    """The kinds of source that a route takes."""
    return {
        Takes.EDITED: {Kind.V1, Kind.V2, Kind.MEMORY},
        Takes.CONVERTED: set(Kind),
        Takes.PREFIX: {Kind.V2},
    }.get(route.takes, {Kind.V1, Kind.V2})
