"""Values cross in batches of bounded size, and no run is fed one tensor twice."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.compat.stand_ins import Session, binding
from tfsaver.compat import _transfer
from tfsaver.compat._binding import Binding, GraphVariable
from tfsaver.tensor_bundle.slabs import aligned_empty


def names(bindings: list[Binding], runs: list[tuple[Any, Any]]) -> list[list[str]]:
    by_id = {id(each.variable.tensor): each.name for each in bindings if isinstance(each.variable, GraphVariable)}
    return [[by_id[id(tensor)] for tensor in fetches] for fetches, _ in runs]


def test_small_variables_share_a_run_and_a_large_one_runs_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_transfer, "BATCH_SIZE", 100)
    sizes = {"a": 40, "b": 60, "c": 1, "d": 500, "e": 99, "f": 2, "g": 0}
    bindings = [binding(name, np.zeros(size, np.uint8)) for name, size in sizes.items()]
    session = Session()
    fetched = [each.name for each, _ in _transfer.fetch(session, bindings)]
    assert fetched == list(sizes)
    assert names(bindings, session.runs) == [["a", "b"], ["c"], ["d"], ["e"], ["f", "g"]]


def test_variable_of_unknown_shape_runs_alone() -> None:
    known = np.zeros(3, np.float32)
    bindings = [
        binding("a", known),
        binding("b", known, shape=None),
        binding("c", known, shape=(None,)),
        binding("d", known),
    ]
    session = Session()
    assert len(list(_transfer.fetch(session, bindings))) == 4
    assert names(bindings, session.runs) == [["a"], ["b"], ["c"], ["d"]]


def test_nothing_is_fetched_before_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_transfer, "BATCH_SIZE", 1)
    session = Session()
    values = _transfer.fetch(session, [binding(name, np.zeros(4, np.int8)) for name in "abc"])
    assert session.runs == []
    next(values)
    assert len(session.runs) == 1


def test_values_are_assigned_in_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_transfer, "BATCH_SIZE", 100)
    values = {name: np.zeros(size, np.uint8) for name, size in {"a": 60, "b": 40, "c": 1, "d": 200}.items()}
    session = Session()
    _transfer.assign(session, [(binding(name, value), value) for name, value in values.items()])
    assert [list(feeds) for _, feeds in session.runs] == [["a", "b"], ["c"], ["d"]]
    assert session.runs[0][0] == ["assign a", "assign b"]


def test_one_tensor_is_fed_once_a_run() -> None:
    session = Session()
    values = [np.full(2, index, np.int32) for index in range(4)]
    shared = [binding(f"v{index}", value, feed="shared" if index % 2 else "") for index, value in enumerate(values)]
    _transfer.assign(session, zip(shared, values, strict=True))
    assert [list(feeds) for _, feeds in session.runs] == [["v0", "shared", "v2"], ["shared"]]
    assert session.runs[0][1]["shared"].tolist() == [1, 1] and session.runs[1][1]["shared"].tolist() == [3, 3]


def test_nothing_to_assign_is_no_run() -> None:
    session = Session()
    _transfer.assign(session, [])
    assert session.runs == []


@pytest.mark.parametrize("shape", [(), (0,), (1,), (3, 5), (1000, 7)], ids=str)
def test_new_arrays_begin_where_tensorflow_takes_them_over(shape: tuple[int, ...]) -> None:
    for dtype in (np.dtype(np.float32), np.dtype(np.uint8), np.dtype([("qint8", "i1")]), np.dtype(np.complex128)):
        array = aligned_empty(shape, dtype)
        assert (array.shape, array.dtype) == (shape, dtype)
        assert array.size == 0 or array.ctypes.data % 64 == 0
        assert array.flags.c_contiguous and array.flags.writeable
    assert aligned_empty(shape, np.dtype(object)).shape == shape
