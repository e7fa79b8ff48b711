"""Ours in the place of TensorFlow's, for programs that cannot be edited.

    with patch_tensorflow():                patch = patch_tensorflow()
        main()                              patch.start()
                                            ...
                                            patch.stop()

What is replaced, and where:

    Saver                                   everywhere: the public names, TensorFlow's own modules (so that Scaffold,
                                            Supervisor, the SavedModel builder and import_meta_graph make ours, and the
                                            loader's isinstance knows ours), and every other module that has imported it
    latest_checkpoint, checkpoint_exists,   the public names, and modules outside TensorFlow that have imported them;
    get_checkpoint_mtimes,                  TensorFlow's own code keeps its own
    remove_checkpoint, NewCheckpointReader,
    load_checkpoint, list_variables,
    load_variable, checkpoints_iterator,
    init_from_checkpoint, warm_start

Functions whose results are messages of TensorFlow's schemas (get_checkpoint_state, export_meta_graph, ...) stay: a message
of our schemas cannot be copied into one of theirs. A name is found by what it stands for, not by how it is spelled: whatever
is TensorFlow's Saver itself becomes ours, and what somebody else has put there is left alone.

Starting twice and stopping twice is starting and stopping once; `stop` gives every name the very object that it had. Two
things remain: a module that is first imported in between and takes the name with ``from ... import Saver`` keeps ours (but
for TensorFlow's modules, which get theirs back), and a Saver that TensorFlow made before is no instance of the patched name.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from tfsaver.compat import _restart, _tensorflow
from tfsaver.compat.v1 import train
from tfsaver.errors import InvalidArgumentError
from tfsaver.lib.fork_safe_lock import ForkSafeLock

__all__ = ["Patch", "patch_tensorflow"]

_COMPANIONS = (
    "NewCheckpointReader",
    "checkpoint_exists",
    "checkpoints_iterator",
    "get_checkpoint_mtimes",
    "init_from_checkpoint",
    "latest_checkpoint",
    "list_variables",
    "load_checkpoint",
    "load_variable",
    "remove_checkpoint",
    "warm_start",
)
_PUBLIC = "tensorflow._api."

_lock = ForkSafeLock(reentrant=True)


class Patch(contextlib.ContextDecorator):
    """A switch, a context manager and a decorator; any number of them may be on at once."""

    _num_started = 0

    def __init__(self, *, fall_back: bool = False) -> None:
        self._fall_back = fall_back

    def start(self) -> None:
        """Puts ours in the place of TensorFlow's.

        Raises:
            MissingExtraError: TensorFlow is not installed.
        """
        with _lock:
            _state.start()
            self._num_started += 1
            _restart.fall_back(self._fall_back)

    def stop(self) -> None:
        """Undoes one `start` of this object; what was replaced comes back with the last one of all.

        Raises:
            InvalidArgumentError: It is not on.
        """
        with _lock:
            if not self._num_started:
                raise InvalidArgumentError("patch_tensorflow() is stopped without having been started")
            self._num_started -= 1
            _restart.fall_back(-self._fall_back)
            _state.stop()

    @property
    def is_on(self) -> bool:
        """Whether ours are in the place of TensorFlow's now, by this object or by another."""
        return _state.depth > 0

    def __enter__(self) -> Patch:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()


def patch_tensorflow(*, fall_back: bool = False) -> Patch:
    """What puts ours in the place of TensorFlow's `Saver` and its companions: a context manager with `start` and `stop`.

    Nothing is replaced before it is entered or started.

    Args:
        fall_back: Whether a restore of a damaged checkpoint goes on to the newest before it in its directory that is whole,
            with a warning in the log. Sessions and estimators name the newest by themselves, and would stop there.

    Example:
        >>> with patch_tensorflow():  # doctest: +SKIP
        ...     runpy.run_path("train.py", run_name="__main__")
    """
    return Patch(fall_back=fall_back)


class _State:
    """What is replaced now, in the whole process."""

    def __init__(self) -> None:
        self.depth = 0
        self._replaced: list[tuple[ModuleType, str, Any, Any]] = []
        self._originals: dict[int, tuple[str, Any]] = {}

    def start(self) -> None:
        if self.depth == 0:
            self._originals = _originals()
            self._replace()
        self.depth += 1

    def stop(self) -> None:
        self.depth -= 1
        if self.depth:
            return
        for module, attribute, original, ours in reversed(self._replaced):
            # Somebody else's later replacement is not ours to take away.
            if getattr(module, attribute, None) is ours:
                setattr(module, attribute, original)
        self._replaced.clear()
        # TensorFlow imports some of its modules when they are first needed; these have taken ours for theirs.
        by_ours = {id(getattr(train, name)): original for name, original in self._originals.values()}
        for name, module in _modules():
            if name.startswith("tensorflow."):
                for attribute, value in _globals(module):
                    if id(value) in by_ours:
                        setattr(module, attribute, by_ours[id(value)])

    def _replace(self) -> None:
        for module_name, module in _modules():
            is_internal = module_name.startswith("tensorflow.") and not module_name.startswith(_PUBLIC)
            for attribute, value in _globals(module):
                name, original = self._originals.get(id(value), ("", None))
                # An id may be of another object by now: only the identity itself counts.
                if not name or value is not original or (is_internal and name != "Saver"):
                    continue
                ours = getattr(train, name)
                setattr(module, attribute, ours)
                self._replaced.append((module, attribute, value, ours))


_state = _State()


def _originals() -> dict[int, tuple[str, Any]]:
    """The names of what is replaced, and TensorFlow's objects, by their ids."""
    tf = _tensorflow.tf
    public = [module for name, module in _modules() if name.startswith(_PUBLIC) and name.endswith(".train")]
    originals = {}
    for name in ("Saver", *_COMPANIONS):
        original = getattr(tf.compat.v1.train, name)
        originals[id(original)] = (name, original)
        for module in public:
            # The namespaces are filled when their names are first asked for.
            getattr(module, name, None)
    return originals


def _modules() -> Iterator[tuple[str, ModuleType]]:
    """The modules of the process but ours."""
    for name, module in list(sys.modules.items()):
        if isinstance(module, ModuleType) and name.partition(".")[0] != "tfsaver":
            yield name, module


def _globals(module: ModuleType) -> list[tuple[str, Any]]:
    """What a module has, without asking for anything that it would have to load."""
    return list(vars(module).items())
