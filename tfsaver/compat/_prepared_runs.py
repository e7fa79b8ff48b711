"""Runs of a session that are prepared once and then repeated: the same fetches, feeds and targets every time.

``session.run`` looks up each of its fetches and feeds in the graph, compares their types and shapes, and makes a key of all
their names before it does any work: for thousands of variables that takes longer than moving their values. A session can be
told of them once instead, and is then called with values alone. What it was told is kept with the session, as it keeps what
it prepared for `run`.

Sessions that cannot do that, wrappers among them, are run as always. So is a call that fails: then the error is the one that
programs know, with the operation that it is about.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from tfsaver.compat import _tensorflow

Array: TypeAlias = "np.ndarray[Any, Any]"
Key: TypeAlias = "tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]"

_ATTRIBUTE = "_tfsaver_prepared_runs"
# Each holds an executor: as many as a program with a handful of savers needs.
_MAX_KEPT = 256


def are_prepared_by(session: Any) -> bool:
    """Whether a session prepares runs. A class that has another `run` has it for a reason."""
    if not _tensorflow.is_imported() or getattr(type(session), "run", None) is not _tensorflow.BaseSession.run:
        return False
    return hasattr(session, "_make_callable_from_options")


def fetch(session: Any, tensors: Sequence[Any]) -> list[Any]:
    """The values of tensors, in their order; of a session that prepares runs, in the tensors' own memory."""
    call = _prepared(session, tensors, (), ())
    if call is not None:
        try:
            return list(call())
        except _tensorflow.tf.errors.OpError:
            pass
    return list(session.run(list(tensors)))


def run(session: Any, operations: Sequence[Any], feeds: Mapping[str, Array]) -> None:
    """Runs operations with values in the place of tensors.

    Args:
        session: The session.
        operations: What to run.
        feeds: Values by the names of the tensors in whose place they come.
    """
    call = _prepared(session, (), tuple(feeds), operations)
    if call is not None:
        try:
            call(*feeds.values())
            return
        except _tensorflow.tf.errors.OpError:
            pass
    session.run(list(operations), dict(feeds))


def prepare(session: Any, operations: Sequence[Any], feeds: Sequence[str]) -> None:
    """Prepares what `run` will do, which takes long in a large graph, before the values are there."""
    _prepared(session, (), tuple(feeds), operations)


def _prepared(
    session: Any, fetches: Sequence[Any], feeds: tuple[str, ...], targets: Sequence[Any]
) -> Callable[..., Sequence[Any]] | None:
    """The prepared call; None where the session does not prepare any."""
    if not are_prepared_by(session):
        return None
    # In the session itself: what it prepares refers to it, and would keep it alive anywhere else.
    kept: dict[Key, Any] = session.__dict__.setdefault(_ATTRIBUTE, {})
    key = (tuple(tensor.name for tensor in fetches), feeds, tuple(operation.name for operation in targets))
    call = kept.get(key)
    if call is None:
        options = _tensorflow.CallableOptions()
        for names, given in zip((options.fetch, options.feed, options.target), key, strict=True):
            names.extend(given)
        try:
            call = session._make_callable_from_options(options)
        except (_tensorflow.tf.errors.OpError, RuntimeError):
            return None
        while len(kept) >= _MAX_KEPT:
            kept.pop(next(iter(kept)))
        kept[key] = call
    result: Callable[..., Sequence[Any]] = call
    return result
