"""argparse as every verb uses it: no abbreviations, suggestions for misspelt words, help that fits the window."""

from __future__ import annotations

import argparse
import difflib
import re
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

# A term and its description, or a command and its comment: the indentation, the term, the gap.
_ENTRY = re.compile(r"( +)(\S.*?)( {2,})(?=\S)")
_MIN_DESCRIPTION = 24


class UsageError(Exception):
    """The command line makes no sense.

    Attributes:
        parser: The parser of the verb, for its usage line; None where the raiser does not know it.
    """

    def __init__(self, message: str, parser: argparse.ArgumentParser | None = None) -> None:
        super().__init__(message)
        self.parser = parser


class HelpFormatter(argparse.HelpFormatter):
    """Wraps paragraphs, and keeps tables and commands as they are unless they are wider than the window."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        lines: list[str] = []
        for block in _blocks(text):
            lines += _wrapped(block, width)
        return "\n".join(lines) + "\n"


class Parser(argparse.ArgumentParser):
    """The parser of the program, or of one verb.

    An error is a `UsageError`. Arguments that no verb knows are an error of the verb that they were given to.
    """

    # Whether words that are no verb and no option are errors before anything else is.
    refuses_misspelt = True

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"formatter_class": HelpFormatter, "allow_abbrev": False, **options})

    @property
    def verbs(self) -> dict[str, argparse.ArgumentParser]:
        """The parsers of the verbs below this one, by name."""
        for action in self._actions:
            if isinstance(action, argparse._SubParsersAction):
                return dict(action.choices)
        return {}

    @property
    def options(self) -> list[str]:
        """The options that the help lists, as they are typed."""
        return [
            option
            for action in self._actions
            if action.help != argparse.SUPPRESS
            for option in action.option_strings
            if option.startswith("--")
        ]

    def error(self, message: str) -> NoReturn:
        raise UsageError(message, self)

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> tuple[Any, list[str]]:
        """As argparse has it, but nothing is left over.

        Misspelt words come first: argparse would rather say which arguments are missing because of them.
        """
        words = list(args or ())
        if self.refuses_misspelt:
            self._refuse_misspelt(words)
        namespace, rest = super().parse_known_args(words, namespace)
        if rest:
            self.error(f"unrecognized arguments: {' '.join(rest)}")
        return namespace, rest

    def _refuse_misspelt(self, words: Iterable[str]) -> None:
        verbs = self.verbs
        for word in words:
            if word == "--":
                return
            if not word.startswith("-"):
                if verbs and word not in verbs:
                    self.error(f"unknown verb {word!r}{did_you_mean(word, self.known_verbs())}")
                if verbs:
                    return
            elif word.startswith("--") and " " not in word.partition("=")[0]:
                name = word.partition("=")[0]
                if name not in self._option_string_actions:
                    self.error(f"unknown option {name}{did_you_mean(name, self.options)}")

    def known_verbs(self) -> list[str]:
        """The verbs to suggest for one that there is not."""
        return list(self.verbs)


def did_you_mean(word: str, known: Sequence[str]) -> str:
    """``; did you mean --select?``, or nothing if no known word is near; a word of two may be named by its last."""
    near = [name for name in known if name.startswith(word) or name.rpartition(" ")[2] == word]
    near = near or difflib.get_close_matches(word, known, n=3, cutoff=0.6)
    return f"; did you mean {' or '.join(near[:3])}?" if near else ""


def _blocks(text: str) -> list[list[str]]:
    """Paragraphs, single lines and entries with their continuation lines, each of which is wrapped alone."""
    blocks: list[list[str]] = []
    for line in text.strip("\n").splitlines():
        indentation = len(line) - len(line.lstrip())
        previous = blocks[-1] if blocks else [""]
        starts_alone = not line or not previous[-1] or previous[-1].endswith((":", "\\"))
        # Past the indentation of an entry, a line goes on with what the entry says.
        continues = indentation > len(previous[0]) - len(previous[0].lstrip()) or (
            not indentation and not previous[0].startswith(" ")
        )
        if starts_alone or not continues:
            blocks.append([line])
        else:
            previous.append(line)
    return blocks


def _wrapped(block: list[str], width: int) -> list[str]:
    first = block[0]
    if max(map(len, block)) <= width and first.startswith(" "):
        return block
    if first.endswith("\\"):
        return block
    entry = _ENTRY.match(first)
    text = " ".join([first, *(line.strip() for line in block[1:])])
    if entry is None:
        indentation = first[: len(first) - len(first.lstrip())]
        return _wrap(text, width, indentation, indentation and indentation + "    ")
    column = entry.end()
    description = text[column:]
    if width - column < _MIN_DESCRIPTION:
        # The description gets lines of its own.
        indentation = " " * (len(entry[1]) + 8)
        return [first[: entry.end(2)], *_wrap(description, width, indentation, indentation)]
    return _wrap(description, width, first[:column], " " * column)


def _wrap(text: str, width: int, first: str, others: str) -> list[str]:
    wrapped = textwrap.wrap(
        text.strip(), width, initial_indent=first, subsequent_indent=others, break_long_words=False, break_on_hyphens=False
    )
    return wrapped or [""]
