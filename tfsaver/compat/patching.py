"""Ours in the place of TensorFlow's, for programs that cannot be edited.

    patch_tensorflow()                      with patch_tensorflow():
    main()                                      main()

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
import functools
import sys
from collections.abc import Callable, Iterable, Iterator
from types import ModuleType
from typing import Any, NamedTuple, TypeVar

from tfsaver.checkpoint.execution import DryRun
from tfsaver.checkpoint.names.name_map import NameMapLike
from tfsaver.checkpoint.selection import Select
from tfsaver.compat import _restart, _tensorflow
from tfsaver.compat._options import RestoreOptions, Scope, begin_patch, end_patch
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
_Function = TypeVar("_Function", bound=Callable[..., Any])
_PUBLIC = "tensorflow._api."

_lock = ForkSafeLock(reentrant=True)


class Patch(contextlib.ContextDecorator):
    """A switch, a context manager and a decorator; any number of them may be on at once.

    It is on as soon as it is made. The first `start` after that, and a ``with``, only take over what is on already.

    Args:
        fall_back: See `patch_tensorflow`.
        options: How every Saver restores that does not say it itself.

    Raises:
        MissingExtraError: TensorFlow is not installed.
    """

    def __init__(self, *, fall_back: bool, options: RestoreOptions) -> None:
        self._fall_back = fall_back
        self._options = options
        self._num_started = 0
        self._start()
        self._is_new = True

    def start(self) -> None:
        """Puts ours in the place of TensorFlow's.

        Raises:
            MissingExtraError: TensorFlow is not installed.
        """
        with _lock:
            if self._is_new:
                self._is_new = False
                return
            self._start()

    def _start(self) -> None:
        with _lock:
            _state.start()
            self._num_started += 1
            begin_patch(self._options)
            if self._fall_back:
                _fall_back.start()

    def stop(self) -> None:
        """Undoes one `start` of this object; what was replaced comes back with the last one of all.

        Raises:
            InvalidArgumentError: It is not on.
        """
        with _lock:
            if not self._num_started:
                raise InvalidArgumentError("patch_tensorflow() is stopped and was stopped before")
            self._is_new = False
            self._num_started -= 1
            if self._fall_back:
                _fall_back.stop()
            end_patch(self._options)
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

    def __call__(self, function: _Function) -> _Function:
        """The function with everything replaced while it runs, and only then."""
        with _lock:
            if self._is_new:
                self.stop()
        return super().__call__(function)


def patch_tensorflow(
    *,
    fall_back: bool = False,
    mapping: NameMapLike = None,
    cast: bool | None = None,
    scope: Scope = None,
    select: Select = None,
    strict: bool | None = None,
    dry_run: DryRun | None = None,
    trusted: bool | None = None,
    initialize_missing: bool | None = None,
    averages: bool | None = None,
    accept_guesses: bool | None = None,
) -> Patch:
    """Puts ours in the place of TensorFlow's `Saver` and its companions, at once, until `stop` or the end of a ``with``.

    Sessions, hooks and estimators make their Savers and restore by themselves, and pass no arguments. What is given here
    counts for every restore of a Saver that says nothing else, and means what it means in `Saver.restore`.

    Args:
        fall_back: Whether a program goes on from the newest sound checkpoint, with a warning in the log, where the one that
            it names is damaged, or where the state file is missing, empty, unreadable, or names what is not there.
            Otherwise sessions and estimators stop, or start anew.
        mapping: From names in the checkpoint to names in the program.
        cast: Whether numbers of another dtype are converted.
        scope: Words in front of the names in the checkpoint, or the words there and the words here.
        select: The variables to restore.
        strict: Whether it is an error when a tensor is missing or does not fit.
        dry_run: Whether nothing is assigned.
        trusted: If false, a name in a file that leads out of the checkpoint's directory is an error.
        initialize_missing: Whether variables without a value after a restore get their initial values; with
            ``strict=False`` they do unless this is false.
        averages: Whether a variable gets its moving average where the checkpoint has one.
        accept_guesses: Whether tensors are taken that fit and whose names are merely similar.

    Returns:
        A switch that is on: a context manager, a decorator, and `start` and `stop`.

    Raises:
        InvalidArgumentError: An option is malformed.
        MissingExtraError: TensorFlow is not installed.

    Example:
        >>> patch = patch_tensorflow(strict=False)  # doctest: +SKIP
        >>> runpy.run_path("train.py", run_name="__main__")  # doctest: +SKIP
        >>> patch.stop()  # doctest: +SKIP
    """
    options = RestoreOptions(
        mapping, cast, scope, select, strict, dry_run, trusted, initialize_missing, averages, accept_guesses
    )
    return Patch(fall_back=fall_back, options=options)


class _Replacement(NamedTuple):
    """What stands for an object of TensorFlow's.

    Attributes:
        original: The object.
        ours: What takes its place.
        is_everywhere: Whether it does so in TensorFlow's own modules too, and not under the public names alone.
    """

    original: Any
    ours: Any
    is_everywhere: bool


class _State:
    """What is replaced now, in the whole process.

    Args:
        replacements: Says what is to be replaced, when the first patch begins.
    """

    def __init__(self, replacements: Callable[[], list[_Replacement]]) -> None:
        self.depth = 0
        self._list = replacements
        self._replaced: list[tuple[ModuleType, str, Any, Any]] = []
        self._by_original: dict[int, _Replacement] = {}

    def start(self) -> None:
        if self.depth == 0:
            self._by_original = {id(item.original): item for item in self._list()}
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
        by_ours = {id(item.ours): item.original for item in self._by_original.values()}
        for name, module in _modules():
            if name.startswith("tensorflow."):
                for attribute, value in _globals(module):
                    if id(value) in by_ours:
                        setattr(module, attribute, by_ours[id(value)])

    def _replace(self) -> None:
        for module_name, module in _modules():
            is_internal = module_name.startswith("tensorflow.") and not module_name.startswith(_PUBLIC)
            for attribute, value in _globals(module):
                item = self._by_original.get(id(value))
                # An id may be of another object by now: only the identity itself counts.
                if item is None or value is not item.original or (is_internal and not item.is_everywhere):
                    continue
                setattr(module, attribute, item.ours)
                self._replaced.append((module, attribute, value, item.ours))


def _companions() -> list[_Replacement]:
    """The Saver and its companions."""
    names = ("Saver", *_COMPANIONS)
    _fill_namespaces(names)
    tf_train = _tensorflow.tf.compat.v1.train
    return [_Replacement(getattr(tf_train, name), getattr(train, name), name == "Saver") for name in names]


def _choices() -> list[_Replacement]:
    """What names the checkpoint to go on with, while the others are replaced already."""
    _fill_namespaces(("get_checkpoint_state",))
    theirs = _tensorflow.tf.compat.v1.train.get_checkpoint_state

    @functools.wraps(theirs)
    def get_checkpoint_state(checkpoint_dir: Any, latest_filename: Any = None) -> Any:
        return _restart.chosen_state(theirs, checkpoint_dir, latest_filename)

    @functools.wraps(train.latest_checkpoint)
    def latest_checkpoint(checkpoint_dir: Any, latest_filename: Any = None, **options: Any) -> str | None:
        if options:
            return train.latest_checkpoint(checkpoint_dir, latest_filename, **options)
        state = _restart.chosen_state(theirs, checkpoint_dir, latest_filename)
        return None if state is None else str(state.model_checkpoint_path)

    return [
        _Replacement(theirs, get_checkpoint_state, True),
        _Replacement(train.latest_checkpoint, latest_checkpoint, False),
    ]


class _FallBack:
    """What is different while a patch falls back: a Saver's restore, and which checkpoint a program is told to restore."""

    def __init__(self) -> None:
        self._state = _State(_choices)
        self._managers = contextlib.ExitStack()

    def start(self) -> None:
        if self._state.depth == 0:
            self._managers.enter_context(_restart.verifying_managers())
        self._state.start()
        _restart.fall_back(1)

    def stop(self) -> None:
        _restart.fall_back(-1)
        self._state.stop()
        if self._state.depth == 0:
            self._managers.close()


_state = _State(_companions)
_fall_back = _FallBack()


def _fill_namespaces(names: Iterable[str]) -> None:
    """Has TensorFlow's public namespaces take up names, which they do when these are first asked for."""
    public = [module for name, module in _modules() if name.startswith(_PUBLIC) and name.endswith(".train")]
    for name in names:
        for module in (_tensorflow.tf.compat.v1.train, *public):
            getattr(module, name, None)


def _modules() -> Iterator[tuple[str, ModuleType]]:
    """The modules of the process but ours."""
    for name, module in list(sys.modules.items()):
        if isinstance(module, ModuleType) and name.partition(".")[0] != "tfsaver":
            yield name, module


def _globals(module: ModuleType) -> list[tuple[str, Any]]:
    """What a module has, without asking for anything that it would have to load."""
    return list(vars(module).items())
