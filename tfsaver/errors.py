"""Every error that tfsaver raises, on one page.

    SaverError
    ├── DataLossError                ValueError           bytes contradict their format
    │   ├── ChecksumError                                 what, stored, computed
    │   ├── TruncatedError           EOFError             what, wanted, available
    │   ├── MissingSlicesError       ValueError           a partitioned tensor is not whole; an InvalidArgumentError too
    │   └── NotACheckpointError                           path: a file of another kind, which may be sound
    ├── NotFoundError                LookupError
    │   ├── CheckpointNotFoundError  FileNotFoundError    prefix, looked_for, found
    │   ├── PathNotFoundError        FileNotFoundError    path: another file or directory
    │   └── TensorNotFoundError      KeyError             name, checkpoint, near
    ├── InvalidArgumentError         ValueError           the caller contradicts itself
    │   ├── DuplicateKeyError                             name, prefix
    │   ├── ShapeMismatchError                            name, expected, actual
    │   ├── NothingSelectedError     LookupError          a pattern or a selection matches nothing
    │   ├── OptionError                                   an option that does not go with the others, or has no such value
    │   ├── RestoreError             LookupError          report
    │   ├── PathConflictError        RuntimeError         two files of one save have one name
    │   └── UntrustedPathError                            directory, paths, source, remedy
    ├── AlreadyExistsError           FileExistsError
    ├── CheckpointReplacedError      RuntimeError         prefix, what: it changed under the reader's hands
    ├── WriteError                   OSError              path, code, reason: the system does not let it be written
    │   └── NoSpaceError                                  needed, available
    ├── StorageError                 OSError              path, operation, reason: an object store refuses, or is not reached
    ├── UnimplementedError           NotImplementedError  valid, but not ours (yet)
    └── MissingExtraError            ImportError          names the pip line

The facts are fields; `__str__` writes the sentence from them: what and where, then fact, fact. A layer that knows more
than the one that raised (the path, the tensor) puts its knowledge in front with `add_context`, so that one error says
all of it. Every class pickles: an error crosses process borders with its fields.
"""

from __future__ import annotations

import contextlib
import difflib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeVar

__all__ = [
    "AlreadyExistsError",
    "CheckpointNotFoundError",
    "CheckpointReplacedError",
    "ChecksumError",
    "DataLossError",
    "DuplicateKeyError",
    "InvalidArgumentError",
    "MissingExtraError",
    "MissingSlicesError",
    "NoSpaceError",
    "NotACheckpointError",
    "NotFoundError",
    "NothingSelectedError",
    "OptionError",
    "PathConflictError",
    "PathNotFoundError",
    "RestoreError",
    "SaverError",
    "ShapeMismatchError",
    "StorageError",
    "TensorNotFoundError",
    "TruncatedError",
    "UnimplementedError",
    "UntrustedPathError",
    "WriteError",
    "nearest_names",
]

_Self = TypeVar("_Self", bound="SaverError")


class SaverError(Exception):
    """The root: `except SaverError` catches whatever tfsaver itself raises.

    Attributes:
        message: What happened, without context.
        context: Where it happened, outermost place first.
        advice: What the file is instead, and what to type next; empty where nothing but the message is known.
        lines: The lines of a message that was made of several. A name in one of them may have line breaks of its own, which
            in the message look the same.
    """

    lines: tuple[str, ...] = ()
    advice: str = ""

    def __init__(self, message: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.context: list[str] = []

    @classmethod
    def of_lines(cls: type[_Self], lines: Iterable[str]) -> _Self:
        """An error whose message has several lines."""
        parts = tuple(lines)
        error = cls("\n".join(parts))
        error.lines = parts
        return error

    def add_context(self, place: str) -> None:
        """Puts a place (a path, a tensor's name) in front of what is already known."""
        if place not in self.context:
            self.context.insert(0, place)

    def sentence(self) -> str:
        """The message without its context; subclasses write it from their fields."""
        return self.message

    def __str__(self) -> str:
        said = ": ".join([*self.context, self.sentence()])
        return f"{said}; {self.advice}" if self.advice else said

    def __reduce__(self) -> tuple[Any, ...]:
        # Built without __init__, so that a subclass may take whatever arguments it likes; the fields are the state.
        return (_rebuild, (type(self), self.args, dict(self.__dict__)))


def _rebuild(cls: type[SaverError], args: tuple[Any, ...], state: dict[str, Any]) -> SaverError:
    # __new__ must be that of the builtin whose layout the class has; inheritance finds another one first where a class
    # is both a LookupError and an OSError.
    builtin: type[Any] | None = cls
    while builtin is not None and builtin.__module__ != "builtins":
        builtin = builtin.__base__
    error: SaverError = (builtin or Exception).__new__(cls, *args)
    error.args = args
    error.__dict__.update(state)
    return error


class DataLossError(SaverError, ValueError):
    """Bytes on disk contradict the format they are in.

    Attributes:
        path: The file, where that is known; else None.
        offset: Where in the file the bytes begin that cannot be trusted.
        size: How many these are.
    """

    def __init__(self, message: str = "") -> None:
        super().__init__(message)
        self.path: str | None = None
        self.offset: int | None = None
        self.size: int | None = None

    @staticmethod
    @contextlib.contextmanager
    def located(path: str, offset: int, size: int) -> Iterator[None]:
        """Says of every DataLossError in the block, unless it knows better, which bytes it is about."""
        try:
            yield
        except DataLossError as error:
            if error.path is None:
                error.path, error.offset, error.size = path, offset, size
            raise


class ChecksumError(DataLossError):
    """A stored CRC-32C is not the one of the bytes it guards.

    Attributes:
        what: The bytes that were hashed, as in ``block at byte 4096``.
        stored: The (unmasked) checksum found in the file.
        computed: The checksum of the bytes found in the file.
    """

    def __init__(self, what: str, *, stored: int, computed: int) -> None:
        super().__init__(what)
        self.what = what
        self.stored = stored
        self.computed = computed

    def sentence(self) -> str:
        return f"{self.what}: stored CRC32C {self.stored:#010x}, computed {self.computed:#010x}"


class TruncatedError(DataLossError, EOFError):
    """A file or a buffer ends before what it must hold.

    Attributes:
        what: What was being read.
        wanted: Bytes needed.
        available: Bytes there.
    """

    def __init__(self, what: str, *, wanted: int, available: int) -> None:
        super().__init__(what)
        self.what = what
        self.wanted = wanted
        self.available = available

    def sentence(self) -> str:
        return f"{self.what}: {self.wanted} bytes wanted, {self.available} available"


class NotACheckpointError(DataLossError):
    """A file of another kind lies where a checkpoint was looked for; `advice` says what it is.

    TensorFlow calls that data loss, so it is caught as such; about the file's own bytes it says nothing.
    """


class NotFoundError(SaverError, LookupError):
    """Something that was asked for by name is not there."""


class CheckpointNotFoundError(NotFoundError, FileNotFoundError):
    """No checkpoint at a path.

    Attributes:
        prefix: The path as the caller gave it.
        looked_for: The files or patterns that would have made it a checkpoint.
        found: What is there instead, in words; empty when nothing is.
    """

    def __init__(self, prefix: str, *, looked_for: Sequence[str], found: str = "") -> None:
        super().__init__(prefix)
        self.prefix = prefix
        self.looked_for = tuple(looked_for)
        self.found = found

    def sentence(self) -> str:
        looked_for = " or ".join(self.looked_for)
        return f"no checkpoint at {self.prefix!r}: looked for {looked_for}; {self.found or 'nothing is there'}"


class PathNotFoundError(NotFoundError, FileNotFoundError):
    """A file or a directory is not there.

    Attributes:
        path: The path.
        what: What it would be, such as ``directory``.
    """

    def __init__(self, path: str, *, what: str) -> None:
        super().__init__(path)
        self.path = path
        self.what = what

    def sentence(self) -> str:
        return f"no {self.what} {self.path!r}"


class TensorNotFoundError(NotFoundError, KeyError):
    """A checkpoint holds no tensor of that name.

    Attributes:
        name: The name that was asked for.
        checkpoint: The checkpoint's prefix.
        near: Names in the checkpoint that look most like it.
    """

    def __init__(self, name: str, *, checkpoint: str, near: Sequence[str] = ()) -> None:
        super().__init__(name)
        self.name = name
        self.checkpoint = checkpoint
        self.near = tuple(near)

    def sentence(self) -> str:
        hint = f"; did you mean {', '.join(map(repr, self.near))}?" if self.near else ""
        return f"{self.name!r} not found in checkpoint {self.checkpoint!r}{hint}"


class InvalidArgumentError(SaverError, ValueError):
    """The caller's arguments contradict each other or the checkpoint."""


class DuplicateKeyError(InvalidArgumentError):
    """A tensor was added to a checkpoint twice.

    Attributes:
        name: The tensor's name.
        prefix: The checkpoint being written.
    """

    def __init__(self, name: str, *, prefix: str) -> None:
        super().__init__(name)
        self.name = name
        self.prefix = prefix

    def sentence(self) -> str:
        return f"{self.name!r} was already added to {self.prefix!r}"


class ShapeMismatchError(InvalidArgumentError):
    """A tensor has another shape than the one it must have.

    Attributes:
        name: The tensor's name.
        expected: The shape the caller has, or asked for.
        actual: The shape that was found.
    """

    def __init__(self, name: str, *, expected: Sequence[int | None], actual: Sequence[int]) -> None:
        super().__init__(name)
        self.name = name
        self.expected = tuple(expected)
        self.actual = tuple(actual)

    def sentence(self) -> str:
        return f"{self.name!r} has shape {list(self.actual)}, expected {list(self.expected)}"


class MissingSlicesError(DataLossError, InvalidArgumentError):
    """The stored slices of a partitioned tensor leave out a part of what is to be read.

    It is both the checkpoint's fault (a save that was stopped, a rank's part that was not merged) and an argument that the
    checkpoint cannot serve, which is what TensorFlow calls it.
    """


class OptionError(InvalidArgumentError):
    """An option that does not go with the others of the call, or does not take the value; said before any file is opened."""


class NothingSelectedError(InvalidArgumentError, NotFoundError):
    """A pattern matches no name, or a selection keeps nothing."""


class RestoreError(InvalidArgumentError, NotFoundError):
    """A checkpoint does not have all that was to be restored, in the dtype and shape it must have; nothing has changed.

    Attributes:
        report: A `MatchReport` of all that fits and all that does not.
    """

    def __init__(self, message: str, *, report: Any) -> None:
        super().__init__(message)
        self.report = report


class PathConflictError(InvalidArgumentError, RuntimeError):
    """Two files that one save writes would have the same path."""


class UntrustedPathError(InvalidArgumentError):
    """Names in files, or symbolic links, lead out of a directory that the caller does not trust.

    Attributes:
        directory: The directory.
        paths: What leads out of it.
        source: Where they stand; empty for links.
        remedy: What the caller can do.
    """

    def __init__(self, directory: str, paths: Iterable[str], *, source: str = "", remedy: str = "") -> None:
        super().__init__()
        self.directory = directory
        self.paths = tuple(paths)
        self.source = source
        self.remedy = remedy

    def sentence(self) -> str:
        """For example ``run/model.index leads out of run, which is not trusted``."""
        verb = "leads" if len(self.paths) == 1 else "lead"
        remedy = f"; {self.remedy}" if self.remedy else ""
        if self.source:
            named = ", ".join(map(repr, self.paths))
            return f"{self.source} {named} {verb} out of the directory, which is not trusted{remedy}"
        directory = self.directory or "the working directory"
        return f"{', '.join(self.paths)} {verb} out of {directory}, which is not trusted{remedy}"


class AlreadyExistsError(SaverError, FileExistsError):
    """A file that must not be replaced exists already."""


class CheckpointReplacedError(SaverError, RuntimeError):
    """Another checkpoint took the place of one that was being read; whoever opens it again reads the new one.

    Attributes:
        prefix: The checkpoint.
        what: By what it shows.
    """

    def __init__(self, prefix: str, *, what: str) -> None:
        super().__init__(prefix)
        self.prefix = prefix
        self.what = what

    def sentence(self) -> str:
        found = f"the checkpoint {self.prefix!r} was replaced while it was read: {self.what}"
        return f"{found}; open it again to read the new one"


class StorageError(SaverError, OSError):
    """An object store refuses an operation or cannot be reached.

    Attributes:
        path: The URL.
        operation: What was tried, as in ``read 4,096 bytes at 0``.
        reason: What the store, or its library, says.
        attempts: How often it was tried.
    """

    def __init__(self, path: str, operation: str, reason: str, attempts: int = 1) -> None:
        super().__init__(path)
        self.path = path
        self.operation = operation
        self.reason = reason
        self.attempts = attempts

    @property
    def filename(self) -> str:
        return self.path

    def sentence(self) -> str:
        times = f" ({self.attempts} attempts)" if self.attempts > 1 else ""
        return f"{self.path}: {self.operation}: {self.reason}{times}"


class WriteError(SaverError, OSError):
    """A file or a directory cannot be written. What was there before is there still.

    Attributes:
        path: What was to be written, by the name that it was to have.
        code: The system's number for the reason, of `errno`.
        reason: The same in words, and what is in the way.
    """

    def __init__(self, path: str, code: int, reason: str) -> None:
        super().__init__(path)
        self.path = path
        self.code = code
        self.reason = reason

    # Where whoever catches an OSError looks.
    @property
    def errno(self) -> int:  # type: ignore[override]
        return self.code

    @property
    def strerror(self) -> str:  # type: ignore[override]
        return self.reason

    @property
    def filename(self) -> str:
        return self.path

    def sentence(self) -> str:
        return f"{self.path!r} cannot be written: {self.reason}"


class NoSpaceError(WriteError):
    """A disk or a quota has no room for a file.

    Attributes:
        needed: How many bytes there must be room for; None when nobody knows how many are still to come.
        available: For how many there is room; None when the system does not say.
    """

    def __init__(self, path: str, code: int, reason: str, *, needed: int | None, available: int | None) -> None:
        super().__init__(path, code, reason)
        self.needed = needed
        self.available = available

    def sentence(self) -> str:
        facts = [] if self.needed is None else [f"{self.needed:,} bytes needed"]
        if self.available is not None:
            facts.append(f"{self.available:,} available")
        return ": ".join([super().sentence(), *([", ".join(facts)] if facts else [])])


class UnimplementedError(SaverError, NotImplementedError):
    """Valid by the format, but not something tfsaver reads or writes."""


class MissingExtraError(SaverError, ImportError):
    """An optional package is not installed.

    Attributes:
        package: The package that is missing.
        extra: The extra of tfsaver that brings it; empty for a package that tfsaver always asks for.
        purpose: What it is needed for.
    """

    def __init__(self, package: str, *, extra: str, purpose: str) -> None:
        super().__init__(package)
        self.package = package
        self.extra = extra
        self.purpose = purpose

    def sentence(self) -> str:
        wanted = f"'tfsaver[{self.extra}]'" if self.extra else self.package
        return f"{self.purpose} needs {self.package}: pip install {wanted}"


def raise_problems(what: str, problems: Sequence[str], hint: str = "") -> None:
    """Raises one error that lists all problems, if there are any.

    Raises:
        InvalidArgumentError: There is a problem.
    """
    if len(problems) == 1:
        raise InvalidArgumentError(f"{what}: {problems[0]}" + (f" ({hint})" if hint else ""))
    if problems:
        lines = (f"  {problem}" for problem in problems)
        title = f"{what}: {len(problems)} problems" + (f" ({hint})" if hint else "")
        raise InvalidArgumentError.of_lines([title, *lines])


def nearest_names(name: str, names: Iterable[str], *, limit: int = 3) -> tuple[str, ...]:
    """The names that look most like `name`, best first; for the hint in an error.

    Names that end like the wanted one come before names that merely look alike, since a scope in front is what
    differs most often between two programs' names for one variable.
    """
    # difflib is quadratic in the length of the names: nobody mistypes one that is so long.
    candidates = [each for each in names if len(each) <= 1000] if len(name) <= 1000 else []
    tail = name.rsplit("/", 1)[-1]
    same_tail = [n for n in candidates if n.rsplit("/", 1)[-1] == tail] if tail else []
    pool = same_tail or candidates
    # Beyond some thousands of names a hint is not worth the wait.
    if len(pool) > 5000:
        pool = pool[:5000]
    return tuple(difflib.get_close_matches(name, pool, n=limit, cutoff=0.6)) or tuple(sorted(same_tail)[:limit])
