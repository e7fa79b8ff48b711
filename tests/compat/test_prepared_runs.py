"""Prepared runs: what `session.run` gives and raises, and nothing that outlives the session."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import numpy as np
import pytest

from tfsaver.compat import _transfer


@pytest.fixture
def variables(tf: Any, session: Any) -> list[Any]:
    """A resource variable, a reference variable, a string and a scalar."""
    v1 = tf.compat.v1
    made = [
        v1.get_variable("resource", initializer=np.arange(6, dtype=np.float32).reshape(2, 3), use_resource=True),
        v1.get_variable("reference", initializer=np.arange(4, dtype=np.int64), use_resource=False),
        v1.get_variable("text", initializer=np.array([b"a", b"\0b\0"], object), dtype=tf.string, use_resource=True),
        v1.get_variable("scalar", initializer=2.5, use_resource=True),
        v1.get_variable("half", initializer=tf.constant([1.5], tf.bfloat16), use_resource=True),
    ]
    session.run(v1.global_variables_initializer())
    return made


def tensors_of(session: Any, variables: list[Any]) -> list[Any]:
    return [session.graph.as_graph_element(variable) for variable in variables]


def num_prepared(session: Any) -> int:
    return len(getattr(session, "_tfsaver_prepared_runs", ()))


def assignment(variable: Any) -> tuple[Any, str]:
    operation = variable.initializer
    return operation, operation.inputs[1].name


def test_values_are_those_of_run(session: Any, variables: list[Any]) -> None:
    tensors = tensors_of(session, variables)
    for _ in range(2):
        found = _transfer.run_fetches(session, tensors)
        expected = session.run(tensors)
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert np.asarray(one).dtype == np.asarray(other).dtype
            np.testing.assert_array_equal(one, other)
    assert num_prepared(session) == 1


def test_values_are_fed(session: Any, variables: list[Any]) -> None:
    pairs = [assignment(variable) for variable in variables[:2]]
    feeds = {pairs[0][1]: np.full((2, 3), 7, np.float32), pairs[1][1]: np.full(4, 9, np.int64)}
    _transfer.prepare_operations(session, [operation for operation, _ in pairs], list(feeds))
    assert num_prepared(session) == 1
    _transfer.run_operations(session, [operation for operation, _ in pairs], feeds)
    assert num_prepared(session) == 1
    resource, reference = session.run(variables[:2])
    assert set(resource.ravel()) == {7.0} and set(reference) == {9}


def test_variable_without_a_value_raises_what_run_raises(tf: Any, session: Any) -> None:
    fresh = tf.compat.v1.get_variable("fresh", initializer=[1.0], use_resource=True)
    tensor = session.graph.as_graph_element(fresh)
    with pytest.raises(tf.errors.FailedPreconditionError) as expected:
        session.run([tensor])
    with pytest.raises(tf.errors.FailedPreconditionError) as found:
        _transfer.run_fetches(session, [tensor])
    assert found.value.op is expected.value.op and found.value.op is not None
    assert found.value.message.split("\n")[0] == expected.value.message.split("\n")[0]


def test_value_that_an_operation_refuses_raises_what_run_raises(session: Any, variables: list[Any]) -> None:
    operation, name = assignment(variables[1])
    value = np.zeros((3, 3), np.int64)
    with pytest.raises(ValueError, match="Cannot feed value of shape") as expected:
        session.run([operation], {name: value})
    with pytest.raises(ValueError, match="Cannot feed value of shape") as found:
        _transfer.run_operations(session, [operation], {name: value})
    assert str(found.value) == str(expected.value)
    np.testing.assert_array_equal(session.run(variables[1]), np.arange(4))


def test_closed_session_raises_what_run_raises(tf: Any, graph: Any) -> None:
    variable = tf.compat.v1.get_variable("v", initializer=[1.0], use_resource=True)
    session = tf.compat.v1.Session()
    session.run(variable.initializer)
    tensor = graph.as_graph_element(variable)
    _transfer.run_fetches(session, [tensor])
    session.close()
    with pytest.raises(RuntimeError, match="closed"):
        session.run([tensor])
    with pytest.raises(RuntimeError, match="[Cc]losed"):
        _transfer.run_fetches(session, [tensor])


def test_session_with_its_own_run_is_asked(tf: Any, graph: Any) -> None:
    asked: list[Any] = []

    class Watching(tf.compat.v1.Session):  # type: ignore[misc, name-defined]
        def run(self, fetches: Any, *arguments: Any, **options: Any) -> Any:
            asked.append(fetches)
            return super().run(fetches, *arguments, **options)

    variable = tf.compat.v1.get_variable("v", initializer=[1.0], use_resource=True)
    tensor = graph.as_graph_element(variable)
    with Watching() as session:
        session.run(variable.initializer)
        operation, name = assignment(variable)
        _transfer.run_operations(session, [operation], {name: np.float32([3.0])})
        assert _transfer.run_fetches(session, [tensor])[0].tolist() == [3.0]
        assert num_prepared(session) == 0
    assert [fetches if isinstance(fetches, list) else [fetches] for fetches in asked] == [
        [variable.initializer],
        [operation],
        [tensor],
    ]


def test_anything_with_a_run_will_do(session: Any, variables: list[Any]) -> None:
    class Wrapper:
        graph = session.graph

        def run(self, fetches: Any, feeds: Any = None) -> Any:
            return session.run(fetches, feeds)

    found = _transfer.run_fetches(Wrapper(), tensors_of(session, variables))
    np.testing.assert_array_equal(found[1], np.arange(4))


def test_nothing_keeps_a_session_alive(tf: Any, graph: Any) -> None:
    variable = tf.compat.v1.get_variable("v", initializer=[1.0], use_resource=True)
    session = tf.compat.v1.Session()
    session.run(variable.initializer)
    _transfer.run_fetches(session, [graph.as_graph_element(variable)])
    assert num_prepared(session) == 1
    watched = weakref.ref(session)
    session.close()
    del session
    gc.collect()
    assert watched() is None


def test_finalized_graph_gets_no_node(session: Any, variables: list[Any]) -> None:
    tensors = tensors_of(session, variables)
    session.graph.finalize()
    version = session.graph.version
    operation, name = assignment(variables[3])
    _transfer.run_operations(session, [operation], {name: np.float32(8)})
    assert _transfer.run_fetches(session, tensors)[3] == 8.0
    assert session.graph.version == version and num_prepared(session) == 2


def test_two_sessions_of_one_graph_have_their_own(tf: Any, session: Any, variables: list[Any]) -> None:
    tensors = tensors_of(session, variables[3:4])
    with tf.compat.v1.Session(graph=session.graph) as other:
        other.run(variables[3].initializer)
        operation, name = assignment(variables[3])
        _transfer.run_operations(other, [operation], {name: np.float32(-1)})
        assert _transfer.run_fetches(other, tensors) == [-1.0]
        assert _transfer.run_fetches(session, tensors) == [2.5]


def test_no_more_are_kept_than_a_program_needs(session: Any, variables: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_transfer, "_MAX_KEPT", 3)
    tensors = tensors_of(session, variables)
    for _ in range(2):
        for count in range(1, 6):
            assert len(_transfer.run_fetches(session, tensors[:count])) == count
            assert num_prepared(session) <= 3
