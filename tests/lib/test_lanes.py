"""Lanes: each does its tasks in their order, beside the others, and no more waits than is allowed."""

from __future__ import annotations

import threading

import pytest

from tfsaver.lib.lanes import Lanes


def test_tasks_of_a_lane_are_done_in_their_order() -> None:
    done: list[list[int]] = [[], [], []]
    with Lanes(3, 100) as lanes:
        for number in range(300):
            lanes.hand_over(number % 3, lambda number=number: done[number % 3].append(number), 7)  # type: ignore[misc]
    assert done == [list(range(start, 300, 3)) for start in range(3)]


def test_lanes_work_side_by_side() -> None:
    # Each waits for the other: one after the other they would wait for ever.
    meeting = threading.Barrier(2)
    with Lanes(2, 100) as lanes:
        lanes.hand_over(0, lambda: meeting.wait(60), 1)
        lanes.hand_over(1, lambda: meeting.wait(60), 1)


def test_handing_over_waits_while_too_much_is_pending() -> None:
    may_end = threading.Event()
    handed = []

    def hand_over() -> None:
        with Lanes(1, 10) as lanes:
            for size in (50, 6, 4, 1):
                lanes.hand_over(0, lambda: may_end.wait(60), size)
                handed.append(size)

    thread = threading.Thread(target=hand_over)
    thread.start()
    thread.join(0.05)
    # What is larger than all that may wait goes alone.
    assert thread.is_alive() and handed == [50]
    may_end.set()
    thread.join(60)
    assert handed == [50, 6, 4, 1]


def test_first_error_ends_all_lanes_and_is_raised() -> None:
    error = OSError("disk full")
    done = []

    def fail() -> None:
        raise error

    def hand_over_many() -> None:
        with Lanes(2, 10) as lanes:
            lanes.hand_over(0, fail, 1)
            for _ in range(1000):
                lanes.hand_over(1, lambda: done.append(1), 10)
                lanes.hand_over(0, lambda: done.append(2), 10)

    with pytest.raises(OSError) as caught:
        hand_over_many()
    assert caught.value is error
    assert 2 not in done


def test_error_at_the_very_end_is_raised() -> None:
    def fail() -> None:
        raise KeyError("late")

    with pytest.raises(KeyError, match="late"), Lanes(1, 10) as lanes:
        lanes.hand_over(0, fail, 1)


def test_error_of_the_block_leaves_what_waits_undone() -> None:
    started, may_end = threading.Event(), threading.Event()
    done = []

    def first() -> None:
        started.set()
        may_end.wait(60)

    with pytest.raises(KeyboardInterrupt), Lanes(1, 10) as lanes:
        lanes.hand_over(0, first, 1)
        lanes.hand_over(0, lambda: done.append(1), 1)
        assert started.wait(60)
        threading.Timer(0.02, may_end.set).start()
        raise KeyboardInterrupt
    assert done == []


def test_without_threads_the_caller_works(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    done: list[int] = []
    with Lanes(2, 1) as lanes:
        for number in range(4):
            lanes.hand_over(number % 2, lambda number=number: done.append(number), 10)  # type: ignore[misc]
    assert done == [0, 1, 2, 3]
