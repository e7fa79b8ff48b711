"""Follows a process through the system calls that change files in one directory, and makes one of them go wrong.

    tracer                                   traced process, all of its threads
    attach to every thread                   waits
    let it go                                saves
    at the entry of each call of interest    (stopped)       number k: nothing; number n: the fault
    at its exit                              (stopped)       what the call returns is replaced, where the fault says so

All threads' calls are counted in the one order in which the kernel met them, and it makes no difference whether Python or
TensorFlow's C++ made them. A process that is killed at the entry of a call has not made it; whatever was done before is in
the directory, which is the state that a next program finds. (What a power cut leaves is less than that: the kernel's memory
is gone too. Killing proves the order of the steps, and the calls themselves show that each is synced before the next.)

Faults: `KILL` at the entry; `KILL_HALFWAY`, a write that takes half of its bytes before the end; `SHORT`, the same, but
the program lives; `FAIL`, an error without the call, once or, as a full disk does it, from then on wherever room is needed.
"""

from __future__ import annotations

import enum
import errno
import os
import signal
import struct
from collections.abc import Callable
from typing import NamedTuple

from tests.faults import ptrace
from tests.faults.system_calls import AT_FDCWD, RULES, SYNC, TAKE_ROOM, Rule, makes_or_empties

_PAGE = os.sysconf("SC_PAGE_SIZE")
_LONGEST_PATH = 4096


class Kind(enum.Enum):
    KILL = "killed before the call"
    KILL_HALFWAY = "killed after half of a write"
    SHORT = "a short write"
    FAIL = "an error"


class Fault(NamedTuple):
    """What goes wrong, and when.

    Attributes:
        at: The number of the call, from 0 on.
        kind: What goes wrong.
        number: The errno of a failure.
        stays: Whether every later call that takes room fails as well.
    """

    at: int
    kind: Kind
    number: int = 0
    stays: bool = False

    def __str__(self) -> str:
        error = f" {errno.errorcode[self.number]}{' from then on' if self.stays else ''}" if self.number else ""
        return f"{self.kind.value}{error} at call {self.at}"


class Call(NamedTuple):
    """A system call of interest.

    Attributes:
        name: What it is called.
        path: The file, relative to the directory that is looked at.
        count: How many bytes it writes.
        target: The other path of a rename or a link.
    """

    name: str
    path: str
    count: int = 0
    target: str = ""

    def __str__(self) -> str:
        return f"{self.name} {self.path}"

    @property
    def can_be_short(self) -> bool:
        return self.count > 1

    @property
    def is_sync(self) -> bool:
        return self.name in SYNC


class Trace(NamedTuple):
    """What a process did: its calls of interest, whether the fault came to pass, and how it ended, as `waitpid` says."""

    calls: list[Call]
    hit: bool
    status: int


class Tracer:
    """Follows one child of this process, which must wait until `follow` writes to `go`.

    Args:
        process: The child.
        directory: Calls that have nothing to do with it do not count.
        fault: What goes wrong; None for nothing.
        over: A path: when the process makes a call about it, the fault is over, and no call counts from then on.
        when_over: Called at that moment, while the process stands still.

    Attributes:
        calls: The calls of interest until now.
    """

    def __init__(
        self,
        process: int,
        directory: str,
        fault: Fault | None = None,
        *,
        over: str = "",
        when_over: Callable[[], None] | None = None,
    ) -> None:
        self._process = process
        self._directory = os.path.realpath(directory)
        self._fault = fault
        self.calls: list[Call] = []
        self._over = over
        self._when_over = when_over
        self._is_over = False
        self._hit = False
        # What to do when a thread's call ends: the result to return, bytes to put back into its memory, or its death.
        self._results: dict[int, int] = {}
        self._bytes_back: dict[int, tuple[int, bytes]] = {}
        self._ends: set[int] = set()
        self._memory = -1

    def follow(self, go: int) -> Trace:
        """Attaches to all threads, lets the process go by a byte to `go`, and returns when it has ended."""
        self._memory = os.open(f"/proc/{self._process}/mem", os.O_RDWR | os.O_CLOEXEC)
        try:
            self._attach()
            os.write(go, b"g")
            while True:
                thread, status = os.waitpid(-1, ptrace.WAIT_ALL)
                if os.WIFSTOPPED(status):
                    self._stopped(thread, status)
                elif thread == self._process:
                    return Trace(self.calls, self._hit, status)
        finally:
            os.close(self._memory)

    def _attach(self) -> None:
        attached: set[int] = set()
        # A thread may be born between the listing and the moment when its parent is traced.
        while new := {int(name) for name in os.listdir(f"/proc/{self._process}/task")} - attached:
            for thread in new:
                try:
                    ptrace.attach(thread)
                except (ProcessLookupError, PermissionError):
                    pass  # Gone, or born of a thread that is traced, and so traced already.
            attached |= new

    def _stopped(self, thread: int, status: int) -> None:
        number = os.WSTOPSIG(status)
        if status >> 16 or number == signal.SIGTRAP:
            ptrace.resume(thread)
        elif number != signal.SIGTRAP | 0x80:
            ptrace.resume(thread, number)
        else:
            try:
                self._at_call(thread)
            except ProcessLookupError:
                return  # Killed meanwhile.
            ptrace.resume(thread)

    def _at_call(self, thread: int) -> None:
        where, number, arguments = ptrace.call_of(thread)
        if where == ptrace.EXIT:
            self._at_exit(thread)
        elif where == ptrace.ENTRY and (rule := RULES.get(number)) is not None:
            if self._is_over:
                return
            paths = self._paths(rule, arguments)
            if self._over in paths:
                self._is_over = True
                if self._when_over is not None:
                    self._when_over()
                return
            inside = [path for path in paths if path == self._directory or path.startswith(f"{self._directory}/")]
            if inside:
                self._at_entry(thread, rule, arguments, [os.path.relpath(path, self._directory) for path in paths])

    def _at_entry(self, thread: int, rule: Rule, arguments: tuple[int, ...], paths: list[str]) -> None:
        ordinal = len(self.calls)
        count = self._bytes_of(rule, arguments)
        self.calls.append(Call(rule.name, paths[0], count, *paths[1:]))
        fault = self._fault
        if fault is None or ordinal < fault.at:
            return
        if ordinal > fault.at:
            if fault.stays and rule.name in TAKE_ROOM:
                self._fail(thread, fault)
            return
        self._hit = True
        if fault.kind is Kind.FAIL:
            self._fail(thread, fault)
        elif fault.kind is Kind.KILL or count < 2:
            os.kill(self._process, signal.SIGKILL)
        else:
            self._shorten(thread, rule, arguments)
            if fault.kind is Kind.KILL_HALFWAY:
                self._ends.add(thread)

    def _at_exit(self, thread: int) -> None:
        if thread in self._results:
            ptrace.set_result(thread, self._results.pop(thread))
        if thread in self._bytes_back:
            address, data = self._bytes_back.pop(thread)
            os.pwrite(self._memory, data, address)
        if thread in self._ends:
            os.kill(self._process, signal.SIGKILL)

    def _fail(self, thread: int, fault: Fault) -> None:
        ptrace.skip_call(thread)
        self._results[thread] = -fault.number

    def _shorten(self, thread: int, rule: Rule, arguments: tuple[int, ...]) -> None:
        assert rule.count is not None
        half = self._bytes_of(rule, arguments) // 2
        if not rule.is_vector:
            ptrace.set_argument(thread, rule.count, half)
            return
        # The last buffer's length is in the program's memory, and is put back when the call has ended.
        for index, (_, size) in enumerate(self._buffers(rule, arguments)):
            if half <= size:
                address = arguments[1] + 16 * index + 8
                self._bytes_back[thread] = (address, struct.pack("=Q", size))
                os.pwrite(self._memory, struct.pack("=Q", half), address)
                ptrace.set_argument(thread, rule.count, index + 1)
                return
            half -= size

    def _bytes_of(self, rule: Rule, arguments: tuple[int, ...]) -> int:
        if rule.count is None:
            return 0
        count = arguments[rule.count]
        if not rule.is_vector:
            return count
        return sum(size for _, size in self._buffers(rule, arguments))

    def _buffers(self, rule: Rule, arguments: tuple[int, ...]) -> list[tuple[int, int]]:
        """Where the buffers of a vector are, and how long."""
        assert rule.count is not None
        return list(struct.iter_unpack("=QQ", os.pread(self._memory, 16 * arguments[rule.count], arguments[1])))

    def _paths(self, rule: Rule, arguments: tuple[int, ...]) -> list[str]:
        if rule.flags is not None and not makes_or_empties(arguments[rule.flags]):
            return []
        found = [self._link(f"fd/{arguments[index] & 0xFFFFFFFF}") for index in rule.descriptors]
        for directory, index in rule.paths:
            path = self._text(arguments[index])
            if not os.path.isabs(path):
                start = None if directory is None else _signed(arguments[directory])
                path = os.path.join(self._link("cwd" if start in (None, AT_FDCWD) else f"fd/{start}"), path)
            found.append(os.path.normpath(path))
        return found

    def _link(self, name: str) -> str:
        try:
            return os.readlink(f"/proc/{self._process}/{name}")
        except OSError:
            return ""  # No such descriptor: the call will say so itself.

    def _text(self, address: int) -> str:
        data = b""
        while b"\0" not in data and len(data) < _LONGEST_PATH:
            # Up to the end of the page: the next one may not be there.
            part = os.pread(self._memory, _PAGE - (address + len(data)) % _PAGE, address + len(data))
            if not part:
                break
            data += part
        return os.fsdecode(data.partition(b"\0")[0])


def _signed(value: int) -> int:
    value &= 0xFFFFFFFF
    return value - (1 << 32) if value >> 31 else value
