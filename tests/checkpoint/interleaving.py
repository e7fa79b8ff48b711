"""Every way in which the steps of a writer can fall between the steps of a reader.

A writer is a list of states of a directory, each one rename, link or removal after the one before. It is recorded from a
real one, or written down. A reader is a function; before each of its steps on files (it opens one, it asks what a name stands
for) the directory may go on by any number of the writer's steps.

    reader     open index . asks . open data . asks . reads ...
    writer          |          |            |
                  0 or more steps at each of these

Which number at which place is a choice; the choices of one run lead to the next, until all have been tried.
"""

from __future__ import annotations

import os
import pathlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeAlias

import pytest

from tfsaver.lib import file_identity, file_io
from tfsaver.tensor_bundle.index_file import IndexFile


class Content(NamedTuple):
    """A file; `is_same` where it is the file that was there before, written over in place."""

    data: bytes
    time_ns: int
    is_same: bool = False


State: TypeAlias = "dict[str, Content]"

_OLD_TIME, _NEW_TIME = 1_600_000_000 * 10**9, 1_700_000_000 * 10**9


def state_of(directory: pathlib.Path, time_ns: int) -> State:
    """The files of a directory that have their names, with times in the order of writing: data, then index."""
    return {
        path.name: Content(path.read_bytes(), time_ns + (path.suffix == ".index"))
        for path in directory.iterdir()
        if path.is_file() and not file_io.is_temporary_name(path.name)
    }


def states_of(directory: pathlib.Path, write: Callable[[], object]) -> list[State]:
    """The states through which a directory goes while `write` is called, from before to after."""
    states = [state_of(directory, _OLD_TIME)]
    # What was there and is there still keeps its time.
    times: dict[bytes, int] = {content.data: content.time_ns for content in states[0].values()}

    def note() -> None:
        found = {}
        for name, content in state_of(directory, _NEW_TIME).items():
            time_ns = times.setdefault(content.data, content.time_ns)
            found[name] = Content(content.data, time_ns)
        if found != states[-1]:
            states.append(found)

    with pytest.MonkeyPatch.context() as patch:
        for name in ("replace", "rename", "link", "remove", "unlink", "open"):
            patch.setattr(os, name, _noting(getattr(os, name), note))
        write()
    note()
    return states


def _noting(done: Callable[..., Any], note: Callable[[], None]) -> Callable[..., Any]:
    is_noting = False

    def call(*arguments: Any, **options: Any) -> Any:
        nonlocal is_noting
        result = done(*arguments, **options)
        if not is_noting:
            is_noting = True
            try:
                note()
            finally:
                is_noting = False
        return result

    return call


class Directory:
    """A directory that goes from state to state."""

    def __init__(self, path: pathlib.Path, states: list[State]) -> None:
        self.path = path
        self._states = states
        self._step = 0
        path.mkdir(exist_ok=True)

    def reset(self) -> None:
        for name in os.listdir(self.path):
            os.unlink(self.path / name)
        self._step = 0
        for name, content in self._states[0].items():
            self._put(name, content)

    @property
    def num_left(self) -> int:
        """How many steps the writer still has to go."""
        return len(self._states) - 1 - self._step

    def advance(self) -> None:
        before, after = self._states[self._step], self._states[self._step + 1]
        self._step += 1
        for name in before.keys() - after.keys():
            (self.path / name).unlink()
        for name, content in after.items():
            if before.get(name) != content:
                self._put(name, content)

    def _put(self, name: str, content: Content) -> None:
        target = self.path / name
        if content.is_same:
            target.write_bytes(content.data)
            os.utime(target, ns=(content.time_ns, content.time_ns))
            return
        temporary = self.path / "being-written"
        temporary.write_bytes(content.data)
        os.utime(temporary, ns=(content.time_ns, content.time_ns))
        os.replace(temporary, target)


class _Choices:
    """A run of choices, and the one that follows it."""

    def __init__(self, max_advances: int | None) -> None:
        self._max_advances = max_advances
        self._given: list[int] = []
        self._made: list[tuple[int, int]] = []

    def start(self) -> None:
        self._made = []

    def choose(self, num_left: int) -> int:
        number = len(self._made)
        choice = self._given[number] if number < len(self._given) else 0
        num_advances = sum(made > 0 for made, _ in self._made)
        is_free = self._max_advances is None or num_advances < self._max_advances
        # With one left to make, all ends of the writer are tried there, and not only that it stands still.
        most = num_left if is_free else 0
        self._made.append((choice, most))
        return choice

    def next(self) -> bool:
        """Whether there is a run that was not tried yet."""
        while self._made:
            choice, most = self._made.pop()
            if choice < most:
                self._given = [made for made, _ in self._made] + [choice + 1]
                return True
        return False


class Run(NamedTuple):
    """What a reader gave, or raised."""

    result: Any
    error: Exception | None


def runs(
    path: pathlib.Path,
    states: list[State],
    read: Callable[[pathlib.Path], Any],
    *,
    max_advances: int | None = None,
    with_reads: bool = False,
) -> Iterator[Run]:
    """What a reader comes to in every interleaving.

    Args:
        path: A directory that is nobody else's.
        states: The writer.
        read: The reader; is given the directory.
        max_advances: At how many places the writer goes on at most; everywhere when None.
        with_reads: Whether it goes on between two reads from an open index too: one who writes over files is seen there.
    """
    directory = Directory(path, states)
    choices = _Choices(max_advances)
    while True:
        directory.reset()
        choices.start()
        with pytest.MonkeyPatch.context() as patch:

            def step() -> None:
                for _ in range(choices.choose(directory.num_left) if directory.num_left else 0):
                    directory.advance()

            _before(patch, file_io, "open_for_reading", step)
            _before(patch, file_identity, "of_path", step)
            if with_reads:
                _before(patch, IndexFile, "read", step)
            try:
                run = Run(read(path), None)
            except Exception as error:  # noqa: BLE001 - what it may be is for the test to say
                run = Run(None, error)
        yield run
        if not choices.next():
            return


def _before(patch: pytest.MonkeyPatch, owner: Any, name: str, step: Callable[[], None]) -> None:
    done = getattr(owner, name)

    def call(*arguments: Any) -> Any:
        step()
        return done(*arguments)

    patch.setattr(owner, name, call)
