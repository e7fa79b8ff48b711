"""What goes wrong: one row for each fault, with the verdict that every route is to give.

A fault changes the files of a source after a route has read it once. What a damaged disk does leaves the time of
modification as it was; what programs do does not.
"""

from __future__ import annotations

import contextlib
import enum
import errno
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import crc32c

from tests.conformance.sources import (
    KERNEL,
    LOSSY,
    NAME,
    NEW,
    OLD,
    OLDER,
    STRINGS,
    WORDS,
    Content,
    Kind,
    Source,
    write_directory,
)
from tests.conformance.verdicts import Verdict
from tests.table.stores import build, open_table
from tfsaver import schemas

# The names of tensors that share these bytes.
SHARED = "shared/"
NUM_SHARED = 200
_SHARED = bytes(range(256)) * 16

CONTENTS = {
    "old": Content(OLD),
    "new": Content(NEW),
    "lossy": Content(LOSSY),
    "hole": Content(OLD, ((0, 4),)),
    "overlap": Content(OLD, ((0, 5), (3, 8))),
    "upper": Content(OLD, ((0, 5),)),
    "lower": Content(OLD, ((3, 8),)),
}


class Templates:
    """Each source, written once in each content; a cell gets a copy.

    Args:
        root: Where they go.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def directory(self, source: Source, content: str = "old") -> Path:
        """A directory that must not be changed."""
        path = self._root / source.name / content
        if not path.exists():
            made = path.with_name(f"{content}-being-made")
            write_directory(source, made, CONTENTS[content])
            _age(made)
            made.rename(path)
        return path

    def copy(self, source: Source, directory: Path, content: str = "old") -> None:
        """Puts a copy in the place of what is at `directory`."""
        empty(directory)
        shutil.copytree(self.directory(source, content), directory, symlinks=True, dirs_exist_ok=True)


def empty(directory: Path) -> None:
    """Makes a directory empty; itself it stays, since there are file systems on which removing one takes milliseconds."""
    directory.mkdir(parents=True, exist_ok=True)
    with os.scandir(directory) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path)
            else:
                os.unlink(entry.path)


def _age(directory: Path) -> None:
    """Gives files a time in the past, the older checkpoint an older one: readers take files that were just written for doubtful."""
    for path in directory.rglob("*"):
        seconds = 1_000_000_000 + (0 if path.name.startswith(OLDER) else 1000)
        os.utime(path, (seconds, seconds))


@dataclass
class Scene:
    """What a fault changes.

    Attributes:
        source: The source.
        directory: Where it lies.
        templates: Where other contents are.
    """

    source: Source
    directory: Path
    templates: Templates

    @property
    def outside(self) -> Path:
        """A directory next to it."""
        path = self.directory.with_name("outside")
        path.mkdir(exist_ok=True)
        return path

    def largest_file(self) -> Path:
        """The data file with the most bytes."""
        return max(self.source.data_files(self.directory), key=lambda path: path.stat().st_size)


# What a damaged disk does.


@contextlib.contextmanager
def _unnoticed(path: Path) -> Iterator[None]:
    """Keeps the time of modification."""
    status = path.stat()
    yield
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def flip(path: Path, position: int) -> None:
    with _unnoticed(path), open(path, "r+b") as file:
        file.seek(position)
        byte = file.read(1)[0]
        file.seek(position)
        file.write(bytes([byte ^ 0x10]))


def cut(path: Path, size: int) -> None:
    with _unnoticed(path):
        os.truncate(path, size)


def _flip_value(scene: Scene) -> None:
    row = OLD[KERNEL][5].tobytes()
    for path in scene.source.data_files(scene.directory):
        data = path.read_bytes()
        for spelled in (row, OLD[KERNEL][5].astype(">f4").tobytes()):
            if spelled in data:
                flip(path, data.index(spelled) + 5)
                return
    raise AssertionError(f"{scene.source.name} holds the kernel in another form")


def _flip_string(scene: Scene) -> None:
    for path in scene.source.data_files(scene.directory):
        if (position := path.read_bytes().find(STRINGS[WORDS][2])) >= 0:
            flip(path, position)
            return
    raise AssertionError(f"{scene.source.name} holds the strings in another form")


def _flip_index(scene: Scene) -> None:
    # In the middle of the first block.
    flip(scene.source.index_file(scene.directory), 20)


def _cut_to(size: Callable[[int], int]) -> Callable[[Scene], None]:
    def inject(scene: Scene) -> None:
        path = scene.largest_file()
        cut(path, size(path.stat().st_size))

    return inject


# What a writer got wrong.


def _take(content: str) -> Callable[[Scene], None]:
    return lambda scene: scene.templates.copy(scene.source, scene.directory, content)


def _share_bytes(scene: Scene) -> None:
    """Appends some bytes, and 200 entries that all say that these are theirs."""
    data_file = scene.source.data_files(scene.directory)[0]
    offset = data_file.stat().st_size
    with open(data_file, "ab") as file:
        file.write(_SHARED)
    checksum = crc32c.crc32c(_SHARED)
    masked = (((checksum >> 15) | (checksum << 17)) + 0xA282EAD8) & 0xFFFFFFFF
    entry = schemas.BundleEntryProto(
        dtype=schemas.DT_UINT8,
        shape=schemas.TensorShapeProto(dim=[schemas.TensorShapeProto.Dim(size=len(_SHARED))]),
        offset=offset,
        size=len(_SHARED),
        crc32c=masked,
    ).SerializeToString()
    path = scene.source.index_file(scene.directory)
    entries = dict(open_table(path.read_bytes()).items())
    entries.update({f"{SHARED}{number:03}".encode(): entry for number in range(NUM_SHARED)})
    path.write_bytes(build(sorted(entries.items())))


def _overlap(scene: Scene) -> None:
    if scene.source.kind is not Kind.V1:
        scene.templates.copy(scene.source, scene.directory, "overlap")
        return
    # No writer of V1 makes it: one table of two files' records.
    both = []
    for content in ("upper", "lower"):
        scene.templates.copy(scene.source, scene.directory, content)
        both.append(dict(open_table((scene.directory / NAME).read_bytes()).items()))
    metas = [schemas.SavedTensorSlices.FromString(entries[b""]) for entries in both]
    [upper, lower] = [next(each for each in meta.meta.tensor if each.name == KERNEL) for meta in metas]
    upper.slice.extend(lower.slice)
    entries = {**both[1], **both[0], b"": metas[0].SerializeToString()}
    (scene.directory / NAME).write_bytes(build(sorted(entries.items())))


# What programs do.


def _replace(scene: Scene) -> None:
    if scene.source.kind is Kind.FOREIGN:
        scene.templates.copy(scene.source, scene.directory, "new")
    else:
        scene.source.write(scene.directory, CONTENTS["new"])


def _remove(scene: Scene) -> None:
    for path in scene.source.data_files(scene.directory):
        path.unlink()


def _make_directory(scene: Scene) -> None:
    path = scene.largest_file()
    path.unlink()
    path.mkdir()


def _link_outside(scene: Scene) -> None:
    for path in scene.source.data_files(scene.directory):
        moved = scene.outside / path.name
        path.rename(moved)
        path.symlink_to(moved)


def _name_outside(scene: Scene) -> None:
    for path in scene.directory.glob(f"{NAME}*"):
        path.rename(scene.outside / path.name)
    state = f'model_checkpoint_path: "{scene.outside / scene.source.location}"\n'
    (scene.directory / "checkpoint").write_text(state, "utf-8")


# What the system does.


@contextlib.contextmanager
def _refused_reads(scene: Scene) -> Iterator[None]:
    """The files that hold values cannot be read; all others can."""
    refused = {path.stat().st_ino for path in scene.source.data_files(scene.directory)}

    def refusing(read: Callable[..., Any]) -> Callable[..., Any]:
        def refuse(descriptor: int, *arguments: Any) -> Any:
            if os.fstat(descriptor).st_ino in refused:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            return read(descriptor, *arguments)

        return refuse

    with contextlib.ExitStack() as stack:
        for name in ("preadv", "pread", "readv"):
            stack.enter_context(mock.patch.object(os, name, refusing(getattr(os, name))))
        yield


def _nothing(_scene: Scene) -> None:
    pass


class Place(enum.Enum):
    """Where a fault is, which says which routes have to see it."""

    NOWHERE = "nowhere"
    BYTES = "in the bytes of the values"
    VALUES = "in the files that hold the values, or in what is said of them"
    INDEX = "in what holds the names"
    FILES = "in all files"


class Fault(NamedTuple):
    """One row.

    Attributes:
        name: What a cell's id calls it.
        inject: Changes the files; or a context in which something is different.
        again: What a reader that was open already may give; None where it makes no sense to ask it.
        anew: What a route may give that begins afterwards.
        place: Where it is.
        kinds: The kinds of source that it can happen to.
        needs_slices: Whether only a partitioned tensor can have it.
        needs_strings: Whether it happens to strings, which no variable asks for.
        needs_checksums: Whether nothing but a checksum can show it.
        is_by_state: Whether the source is found by the state file of its directory.
        is_cast: Whether the route's cast is run, in the place of the route.
        is_starved: Whether it happens to a whole process, of its own; see `starved`.
        trusted: What readers are opened with.
    """

    name: str
    inject: Callable[[Scene], AbstractContextManager[None] | None]
    again: frozenset[Verdict] | None
    anew: frozenset[Verdict]
    place: Place
    kinds: frozenset[Kind] = frozenset({Kind.V1, Kind.V2, Kind.FOREIGN})
    needs_slices: bool = False
    needs_strings: bool = False
    needs_checksums: bool = False
    is_by_state: bool = False
    is_cast: bool = False
    is_starved: bool = False
    trusted: bool = True


def _one(*verdicts: Verdict) -> frozenset[Verdict]:
    return frozenset(verdicts)


_OLD, _NEW, _DAMAGED, _MISSING, _REPLACED, _REFUSED, _SYSTEM, _GROWN, _ = Verdict
_CHECKPOINTS = frozenset({Kind.V1, Kind.V2})
_V2 = frozenset({Kind.V2})

# fmt: off
FAULTS = {
    fault.name: fault
    for fault in (
        #     name              what happens        an open reader gives          a new one gives           where
        Fault("none",           _nothing,           _one(_OLD),                   _one(_OLD),               Place.NOWHERE, frozenset(Kind)),
        Fault("flipped-value",  _flip_value,        _one(_DAMAGED),               _one(_DAMAGED),           Place.BYTES,
              needs_checksums=True),
        Fault("flipped-string", _flip_string,       _one(_DAMAGED),               _one(_DAMAGED),           Place.BYTES, _CHECKPOINTS,
              needs_strings=True, needs_checksums=True),
        Fault("flipped-index",  _flip_index,        _one(_OLD, _DAMAGED),         _one(_DAMAGED),           Place.INDEX, _CHECKPOINTS),
        Fault("cut-by-one",     _cut_to(lambda n: n - 1),  _one(_DAMAGED),        _one(_DAMAGED),           Place.BYTES),
        Fault("cut-in-half",    _cut_to(lambda n: n // 2), _one(_DAMAGED),        _one(_DAMAGED),           Place.BYTES),
        Fault("cut-to-nothing", _cut_to(lambda n: 0),      _one(_DAMAGED),        _one(_DAMAGED),           Place.BYTES),
        Fault("hole",           _take("hole"),      None,                         _one(_DAMAGED, _REFUSED), Place.VALUES, _CHECKPOINTS,
              needs_slices=True),
        Fault("overlap",        _overlap,           None,                         _one(_DAMAGED, _REFUSED), Place.VALUES, _CHECKPOINTS,
              needs_slices=True),
        Fault("shared-bytes",   _share_bytes,       None,                         _one(_OLD, _DAMAGED, _REFUSED, _GROWN), Place.BYTES, _V2),
        Fault("replaced",       _replace,           _one(_OLD, _NEW, _REPLACED),  _one(_NEW),               Place.FILES),
        Fault("removed",        _remove,            _one(_OLD, _MISSING),         _one(_MISSING),           Place.VALUES),
        Fault("directory",      _make_directory,    _one(_OLD, _SYSTEM),          _one(_SYSTEM),            Place.BYTES, _V2),
        Fault("link-outside",   _link_outside,      None,                         _one(_REFUSED),           Place.FILES, _CHECKPOINTS, trusted=False),
        Fault("state-outside",  _name_outside,      None,                         _one(_REFUSED),           Place.FILES, _CHECKPOINTS, trusted=False,
              is_by_state=True),
        Fault("io-error",       _refused_reads,     _one(_SYSTEM),                _one(_SYSTEM),            Place.BYTES, _CHECKPOINTS),
        Fault("descriptors",    _nothing,           _one(_OLD, _SYSTEM, _REFUSED), _one(_OLD, _SYSTEM, _REFUSED), Place.FILES, _CHECKPOINTS, is_starved=True),
        Fault("lossy-cast",     _take("lossy"),     None,                         _one(_REFUSED),           Place.NOWHERE, frozenset(Kind), is_cast=True),
    )
}
# fmt: on
