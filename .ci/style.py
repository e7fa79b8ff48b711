"""Finds phrases that our documents and help texts do without: part of `make lint`.

A phrase is a regular expression and what to write in its place. Code is not searched.
"""

from __future__ import annotations

import argparse
import pathlib
import re
import sys
from collections.abc import Iterator

from tfsaver.cli.main import VERBS, make_parser

_ROOT = pathlib.Path(__file__).resolve().parent.parent
_PHRASES = {
    r"\bwhoever\b": "name the actor: the caller, the writer, TensorFlow",
    r"\bwho\b[^.]{0,60}\bhe\b": "name the actor, then the verb",
    r"\b(?:is|are) none\b": '"is not a", "there is no"',
    r"(?<!there )\b(?:is|are) no\b(?! (?:longer|more)\b)": '"is not a", "does not have"',
    r"\b(?:has|have) not\b(?=[,.;:)]| (?:a|an|the|any)\b)": '"does not have"',
    r"\bnobody\b": "name the actor",
    r"\bbeside\b": '"next to", "alongside"',
    r"\bof which\b": '"whose", "of the"',
    r"\bin one step\b": '"atomically"',
    r"\bthe way back\b": '"the inverse"',
    r"\b(?:lanes|rooms|floors|twins|guests|neighbours?)\b": "the field's term",
    r"\bsettle[sd]?\b": "the field's term: resolve, decide, finish",
}
_CODE = re.compile(r"^( *)```.*?^\1```$|`[^`\n]+`", re.MULTILINE | re.DOTALL)


def _texts() -> Iterator[tuple[str, str]]:
    """The places and texts to search."""
    for path in sorted([*_ROOT.glob("*.md"), *_ROOT.glob("docs/**/*.md")]):
        place = path.relative_to(_ROOT).as_posix()
        yield place, _CODE.sub(lambda code: "\n" * code[0].count("\n"), path.read_text("utf-8"))
    for verb in VERBS:
        parser = make_parser(verb).verbs[verb]  # type: ignore[attr-defined]
        for each in (parser, *getattr(parser, "verbs", {}).values()):
            yield f"{each.prog} --help", _help(each)


def _help(parser: argparse.ArgumentParser) -> str:
    helps = [action.help or "" for action in parser._actions if action.help != argparse.SUPPRESS]
    return "\n".join([parser.description or "", *helps, parser.epilog or ""])


def main() -> int:
    """Prints each phrase with its place; the exit code is 1 if there is one."""
    found = 0
    for place, text in _texts():
        one_line = text.replace("\n", " ")
        for phrase, instead in _PHRASES.items():
            for match in re.finditer(phrase, one_line, re.IGNORECASE):
                line = text.count("\n", 0, match.start()) + 1
                words = " ".join(match[0].split())
                print(f"{place}:{line}: {words!r}: write {instead}")
                found += 1
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
