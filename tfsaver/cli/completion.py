"""Completion of verbs, options, paths and tensor names in bash, zsh and fish, by argcomplete.

    tfsaver --completion=bash      prints what a shell runs once, in ~/.bashrc say

The shell then runs the program with the line so far in its environment, for the program to print what may follow.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import os
import shlex
from collections.abc import Iterable, Sequence
from typing import Any

from tfsaver.cli.text import escape
from tfsaver.errors import MissingExtraError, SaverError

SHELLS = ("bash", "zsh", "fish")
# What asks for completions, and the line that they are for.
_ASKED, _LINE, _POINT = "_ARGCOMPLETE", "COMP_LINE", "COMP_POINT"
# Positional arguments that name a checkpoint, in the order in which one is looked for.
_PATHS = ("path", "source", "checkpoint", "a", "checkpoints", "sources")
# More names than a person reads.
_MAX_NAMES = 5000


class PrintCompletion(argparse.Action):
    """Prints the code that a shell needs, and ends the program."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option_string: Any = None
    ) -> None:
        try:
            print(_library().shellcode(["tfsaver"], shell=values))
        except MissingExtraError as error:
            parser.error(str(error))
        parser.exit()


def is_asked() -> bool:
    """Whether a shell asks what may follow."""
    return _ASKED in os.environ


def verb_of_line() -> str | None:
    """The verb in the line that a shell asks about."""
    line = os.environ.get(_LINE, "")[: int(os.environ.get(_POINT, "0") or 0)]
    lexer = shlex.shlex(line, posix=True, punctuation_chars=False)
    lexer.whitespace_split = True
    words: list[str] = []
    # A quotation that has no end yet.
    with contextlib.suppress(ValueError):
        words.extend(lexer)
    return next((word for word in words[1:] if not word.startswith("-")), None)


def complete(parser: argparse.ArgumentParser) -> None:
    """Prints what may follow, and ends the program."""
    for each in _with_verbs_below(parser):
        # A line that is being typed is not an error yet.
        each.refuses_misspelt = False  # type: ignore[attr-defined]
        for action in each._actions:
            if action.metavar in ("NAME", "TENSOR", "REGEX") or action.dest == "tensor":
                action.completer = _tensor_names  # type: ignore[attr-defined]
    with contextlib.suppress(MissingExtraError):
        _library().autocomplete(parser, default_completer=_library().FilesCompleter())


def _with_verbs_below(parser: argparse.ArgumentParser) -> Iterable[argparse.ArgumentParser]:
    yield parser
    for below in getattr(parser, "verbs", {}).values():
        yield from _with_verbs_below(below)


def _tensor_names(prefix: str, parsed_args: argparse.Namespace, **_: Any) -> list[str]:
    """The names of the checkpoint that is in the line already, which begin so."""
    path: str | Sequence[str] | None = next(filter(None, (getattr(parsed_args, name, None) for name in _PATHS)), None)
    if path is None:
        return []
    # A shell can show no error.
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            load = importlib.import_module("tfsaver.verbs.load_checkpoint").load_checkpoint
            with load(path if isinstance(path, str) else path[0]) as reader:
                return [name for name in map(escape, reader.names) if name.startswith(prefix)][:_MAX_NAMES]
    except (SaverError, OSError):
        return []


def _library() -> Any:
    try:
        return importlib.import_module("argcomplete")
    except ImportError as error:
        raise MissingExtraError("argcomplete", extra="cli", purpose="completion in a shell") from error
