"""Memory that is used again: never while anybody can see it, and never more than was agreed."""

from __future__ import annotations

import gc
import mmap
import threading

import pytest

from tfsaver.lib.recycled_memory import RecycledMemory

_MIB = 1 << 20

pytestmark = pytest.mark.skipif(not hasattr(mmap, "MADV_FREE"), reason="this system cannot take memory back later")


def test_memory_comes_back_when_the_last_view_of_it_goes() -> None:
    memory = RecycledMemory(8 * _MIB)
    taken = memory.take(3 * _MIB)
    assert (len(taken), taken.readonly, memory.num_bytes_kept) == (3 * _MIB, False, 0)
    view = taken[5:9]
    del taken
    assert memory.num_bytes_kept == 0
    view[:] = b"abcd"
    del view
    assert memory.num_bytes_kept == 4 * _MIB


def test_what_came_back_is_used_again_for_what_nearly_fills_it() -> None:
    memory = RecycledMemory(64 * _MIB)
    large, small = memory.take(16 * _MIB), memory.take(12 * _MIB)
    del large, small
    assert memory.num_bytes_kept == 28 * _MIB
    again = memory.take(11 * _MIB)
    assert memory.num_bytes_kept == 16 * _MIB
    other = memory.take(4 * _MIB)
    assert memory.num_bytes_kept == 16 * _MIB
    del again, other
    assert memory.num_bytes_kept == 32 * _MIB


def test_two_pieces_in_use_never_share_memory() -> None:
    memory = RecycledMemory(64 * _MIB)
    for _ in range(3):
        pieces = [memory.take(2 * _MIB) for _ in range(5)]
        for number, piece in enumerate(pieces):
            piece[:] = bytes([number]) * len(piece)
        for number, piece in enumerate(pieces):
            assert bytes(piece[:10]) == bytes([number]) * 10
            assert bytes(piece[-10:]) == bytes([number]) * 10
        del piece, pieces
    assert memory.num_bytes_kept == 10 * _MIB


def test_no_more_is_kept_than_was_agreed() -> None:
    memory = RecycledMemory(5 * _MIB)
    pieces = [memory.take(2 * _MIB) for _ in range(4)]
    del pieces
    assert memory.num_bytes_kept == 4 * _MIB


def test_nothing_at_all_is_a_piece_too() -> None:
    assert len(RecycledMemory(5 * _MIB).take(0)) == 0


def test_threads_take_and_let_go_at_once() -> None:
    memory = RecycledMemory(32 * _MIB)
    mixed = []

    def work(number: int) -> None:
        for _ in range(50):
            piece = memory.take(_MIB)
            piece[:4] = bytes([number]) * 4
            if bytes(piece[:4]) != bytes([number]) * 4:
                mixed.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    gc.collect()
    assert not mixed
    assert 0 < memory.num_bytes_kept <= 32 * _MIB
