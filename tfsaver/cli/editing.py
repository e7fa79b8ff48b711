"""What the verbs that edit checkpoints have in common: the options of a result, names and patterns, the report."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from typing import Any, TypedDict

from tfsaver._version import __version__
from tfsaver.checkpoint.checkpoint_target import CheckpointFormat
from tfsaver.checkpoint.execution import DryRun
from tfsaver.checkpoint.selection import Selection
from tfsaver.checkpoint.write_report import WriteReport
from tfsaver.cli import output
from tfsaver.cli.arguments import checkpoint_path, regex
from tfsaver.cli.screen import Progress
from tfsaver.cli.text import escape_message


class WriteOptions(TypedDict):
    """The options of a result that every verb takes."""

    format: CheckpointFormat
    num_shards: int
    overwrite: bool
    dry_run: DryRun
    trusted: bool
    progress: Progress | None


RESULT_EPILOG = """\
The result appears in one step, when all of it is written. It is never written over a checkpoint that is read, and over
another one only with --overwrite. Tensors stream in pieces: the memory needed does not grow with them, except for V1.

exit codes: 0 written, 1 not, the reason is on standard error, 2 the arguments make no sense
"""
META_NOT_COPIED = "A .meta beside the checkpoint is not copied: its Saver asks for the tensors that were there before.\n"
MAPPING_EPILOG = """\
--map and --rule may be given several times, and are applied one after the other, from the old name to the new one:
  --map old=new, --map old=       a name, and the new one; without a new one the tensor is left out
  --map names.toml                a file, .toml or .json
  --map rnn-cells                 a ready table; a wrong name lists them
  --rule 'weights$' kernel        a regular expression, and what to put in the place of what it finds
In a checkpoint that was written from objects a name is a path (net/dense/kernel), and the objects change with it.

"""


def add_source(parser: argparse.ArgumentParser, name: str = "checkpoint") -> None:
    """The checkpoint that is read."""
    parser.add_argument(name, metavar=name.upper(), type=checkpoint_path, help="a prefix, a directory, or one of its files")


def add_result(parser: argparse.ArgumentParser, *, has_prefix: bool = True, can_be_dry: bool = True) -> None:
    """The options of what is written."""
    if has_prefix:
        parser.add_argument("out", metavar="OUT", type=checkpoint_path, help="the prefix of the checkpoint to write")
    parser.add_argument("--shards", metavar="N", type=_positive, default=1, help="how many data files it gets (1)")
    parser.add_argument(
        "--format", type=str.upper, choices=("V2", "V1"), default="V2", help="V1 for programs that read nothing newer (V2)"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace a checkpoint that is there already")
    if can_be_dry:
        parser.add_argument("--dry-run", action="store_true", help="write nothing, only say what would be")
    parser.add_argument("-v", "--verbose", action="store_true", help="name every tensor, not the first ones of each kind")
    parser.add_argument("-q", "--quiet", action="store_true", help="print nothing but errors")
    parser.add_argument("--json", action="store_true", help="what was done as one JSON object, every tensor in it")


def add_patterns(parser: argparse.ArgumentParser, include: str, exclude: str) -> None:
    """Patterns of names, with what they are for."""
    parser.add_argument(
        "--select", "--include", dest="include", metavar="REGEX", type=regex, action="append", default=[], help=include
    )
    parser.add_argument("--exclude", metavar="REGEX", type=regex, action="append", default=[], help=exclude)


def add_mapping(parser: argparse.ArgumentParser) -> None:
    """A mapping from old names to new ones, see `MAPPING_EPILOG`."""
    parser.add_argument(
        "--map", dest="mapping", metavar="MAP", action="append", default=[], help="old=new, a file, or a ready table"
    )
    parser.add_argument(
        "--rule",
        dest="mapping",
        metavar=("REGEX", "NEW"),
        action="append",
        nargs=2,
        default=[],
        help="replace in every name what the pattern finds",
    )


def mapping_of(given: Iterable[str | list[str]]) -> list[Any] | None:
    """What stands behind these options: names side by side are one mapping, so that two can change places."""
    mappings: list[Any] = []
    for item in given:
        if isinstance(item, list):
            mappings.append(tuple(item))
            continue
        old, separator, new = item.partition("=")
        if not separator:
            mappings.append(item)
            continue
        if not mappings or not isinstance(mappings[-1], dict):
            mappings.append({})
        mappings[-1][old] = new or None
    return mappings or None


def patterns_of(given: Iterable[Any]) -> tuple[str, ...]:
    """The patterns behind an option."""
    return tuple(pattern.pattern for pattern in given)


def selection_of(arguments: argparse.Namespace, *, without_optimizer: bool = False) -> Selection | None:
    """The selection behind `add_patterns`; None where no rule was given."""
    include, exclude = patterns_of(getattr(arguments, "include", ())), patterns_of(arguments.exclude)
    if not (include or exclude or without_optimizer):
        return None
    return Selection(include=include, exclude=exclude, without_optimizer=without_optimizer)


def write_options(arguments: argparse.Namespace, progress: Progress | None) -> WriteOptions:
    """The options of what is written, as the verbs take them."""
    return {
        "format": arguments.format,
        "num_shards": arguments.shards,
        "overwrite": arguments.overwrite,
        "dry_run": getattr(arguments, "dry_run", False),
        "trusted": not getattr(arguments, "untrusted", False),
        "progress": progress,
    }


def print_report(report: WriteReport, arguments: argparse.Namespace) -> int:
    """Prints what was done, unless the user asked for silence."""
    if arguments.json:
        output.print_json({"tfsaver": __version__, **json_fields(report)})
    elif not arguments.quiet:
        out = output.open_screen()
        for line in report.lines(all_names=arguments.verbose):
            out.line(escape_message(line))
    return 0


def json_fields(report: WriteReport) -> dict[str, Any]:
    """The facts of a report, also under the names that scripts know from when each verb had names of its own."""
    fields = report.to_json()
    fields |= {"result": report.target, "cast": fields["losses"]}
    if len(report.sources) == 1:
        fields["source"] = report.sources[0]
    parts = [{"prefix": prefix, **json_fields(part)} for prefix, part in report.parts.items()]
    # The only part of a split is what the edit wrote.
    return {**fields, **(parts[0] if len(parts) == 1 else {}), "parts": parts}


def _positive(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 on")
    return number
