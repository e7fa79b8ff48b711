"""ptrace(2) through ctypes: what a tracer needs of it, on x86_64 and aarch64.

PTRACE_GET_SYSCALL_INFO tells a system call's number and arguments without regard to the machine. What has to be changed is
in registers, and these differ::

                          x86_64             aarch64
    the call's number     orig_rax           a register set of its own
    its arguments         rdi rsi rdx r10    x0 x1 x2 x3
                          r8  r9             x4 x5
    what it returns       rax                x0
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct

_INTERRUPT, _SEIZE, _SYSCALL, _GET_SYSCALL_INFO, _GETREGSET, _SETREGSET = 0x4207, 0x4206, 24, 0x420E, 0x4204, 0x4205
# System calls' stops are told from others', clones are traced too, and nothing traced survives its tracer.
_OPTIONS = 0x1 | 0x8 | 0x100000
_GENERAL_REGISTERS, _ARM_SYSTEM_CALL = 1, 0x404
_INFO = struct.Struct("=B3xIQQQ6Q")
_IS_X86 = platform.machine() == "x86_64"
_NUM_REGISTERS, _ARGUMENTS, _RESULT, _NUMBER = (27, (14, 13, 12, 7, 9, 8), 10, 15) if _IS_X86 else (34, tuple(range(6)), 0, -1)

ENTRY, EXIT = 1, 2
WAIT_ALL = 0x40000000
EVENT_STOP = 128

_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.restype = ctypes.c_long
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]


class _Vector(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("size", ctypes.c_size_t)]


def _ptrace(request: int, thread: int, address: int, data: int) -> int:
    result: int = _libc.ptrace(request, thread, address, data)
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"ptrace {request:#x} of {thread}: {os.strerror(number)}")
    return result


def attach(thread: int) -> None:
    """Begins to trace a thread, which stops at once."""
    _ptrace(_SEIZE, thread, 0, _OPTIONS)
    _ptrace(_INTERRUPT, thread, 0, 0)


def resume(thread: int, signal: int = 0) -> None:
    """Lets a stopped thread go on to the next beginning or end of a system call; a thread that is gone is none."""
    try:
        _ptrace(_SYSCALL, thread, 0, signal)
    except ProcessLookupError:
        pass


def call_of(thread: int) -> tuple[int, int, tuple[int, ...]]:
    """Where a stopped thread is (`ENTRY`, `EXIT` or 0), and at an entry the call's number and arguments."""
    buffer = ctypes.create_string_buffer(_INFO.size)
    _ptrace(_GET_SYSCALL_INFO, thread, _INFO.size, ctypes.addressof(buffer))
    operation, _, _, _, number, *arguments = _INFO.unpack(buffer.raw)
    return operation, number, tuple(arguments)


def set_argument(thread: int, index: int, value: int) -> None:
    """Changes an argument of a call that has not begun."""
    registers = _registers(thread)
    registers[_ARGUMENTS[index]] = value
    _set_registers(thread, registers)


def skip_call(thread: int) -> None:
    """Makes of a call that has not begun one that does nothing."""
    if _IS_X86:
        registers = _registers(thread)
        registers[_NUMBER] = -1 & (2**64 - 1)
        _set_registers(thread, registers)
    else:
        number = ctypes.c_int(-1)
        vector = _Vector(ctypes.addressof(number), ctypes.sizeof(number))
        _ptrace(_SETREGSET, thread, _ARM_SYSTEM_CALL, ctypes.addressof(vector))


def set_result(thread: int, value: int) -> None:
    """Changes what a call that has ended returns."""
    registers = _registers(thread)
    registers[_RESULT] = value & (2**64 - 1)
    _set_registers(thread, registers)


def _registers(thread: int) -> ctypes.Array[ctypes.c_uint64]:
    registers = (ctypes.c_uint64 * _NUM_REGISTERS)()
    vector = _Vector(ctypes.addressof(registers), ctypes.sizeof(registers))
    _ptrace(_GETREGSET, thread, _GENERAL_REGISTERS, ctypes.addressof(vector))
    return registers


def _set_registers(thread: int, registers: ctypes.Array[ctypes.c_uint64]) -> None:
    vector = _Vector(ctypes.addressof(registers), ctypes.sizeof(registers))
    _ptrace(_SETREGSET, thread, _GENERAL_REGISTERS, ctypes.addressof(vector))
