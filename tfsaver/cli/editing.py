"""What the verbs that write checkpoints have in common: the options of a result, mappings of names, the report."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from typing import Any, TypedDict

from tfsaver.checkpoint.checkpoint_target import CheckpointFormat
from tfsaver.checkpoint.editing.cast import as_dtype
from tfsaver.checkpoint.execution import DryRun
from tfsaver.checkpoint.names.name_map import as_name_map
from tfsaver.checkpoint.names.name_map_file import value_of_text
from tfsaver.checkpoint.write_report import WriteReport
from tfsaver.cli import output
from tfsaver.cli.arguments import add_common, checkpoint_path, positive
from tfsaver.cli.outcome import Outcome
from tfsaver.cli.parser import UsageError
from tfsaver.cli.screen import Progress
from tfsaver.cli.text import escape_message
from tfsaver.errors import InvalidArgumentError, SaverError


class WriteOptions(TypedDict):
    """The options of a result that every verb takes."""

    format: CheckpointFormat
    num_shards: int
    overwrite: bool
    dry_run: DryRun
    trusted: bool
    progress: Progress | None


REPORT = """\
The report in the JSON document:
  ok, verb, sources, source_format, target (null after a dry run), format
  before, after   num_tensors, num_bytes
  num_bytes, num_bytes_saved
  tensors         null, or name, old_name, dtype, old_dtype, shape and more of each
  left_out        name, reason, num_bytes
  renamed         name, new_names
  losses          name, and what its cast lost
  lost, partial, damage, notes
  parts           of a split: prefix, and the same fields
"""
RESULT_EPILOG = f"""\
The result appears under its name when all of it is written. It never replaces a checkpoint that is read, and replaces
another one only with --overwrite. Tensors stream in pieces, so memory does not grow with the checkpoint, except for V1.

{REPORT}"""
META_NOT_COPIED = (
    "A .meta file next to the checkpoint is not copied: its Saver would look for the tensors that were there before.\n"
)
MAPPING_EPILOG = """\
--map and --rule may be repeated, and apply one after the other, from the old name to the new one:
  --map old=new, --map old=  a name and its new one; without a new one the tensor is left out
  --map 'old={to="new", transpose=true, reshape=[8, -1], cast="float16"}'
                             a tensor that is changed as well, in a table of TOML
  --map 'qkv={split=["q", "k", "v"], axis=1}', --map 'qkv={concat=["q", "k", "v"], axis=-1}'
                             one tensor becomes several, several become one
  --map names.toml           a .toml or .json file
  --map rnn-cells            a ready table; an unknown name lists them
  --rule 'weights$' kernel   a regular expression, and what replaces its matches, or a table of TOML:
                             --rule 'kernel$' '{to="weight", transpose=true, when=2}'
In an object-based checkpoint a name is a path (net/dense/kernel), and the object graph changes with it.

"""


def add_source(parser: argparse.ArgumentParser, name: str = "checkpoint") -> None:
    """The checkpoint that is read."""
    parser.add_argument(
        name, metavar=name.upper(), type=checkpoint_path, help="a prefix, a directory, or a checkpoint's file"
    )


def add_result(parser: argparse.ArgumentParser, epilog: str, *, has_prefix: bool = True) -> None:
    """The options of the checkpoint that is written, and those of every verb."""
    if has_prefix:
        parser.add_argument("out", metavar="OUT", type=checkpoint_path, help="the prefix of the checkpoint to write")
    parser.add_argument("--shards", metavar="N", type=positive, default=1, help="number of data files (1)")
    parser.add_argument(
        "--format", type=str.upper, choices=("V2", "V1"), default="V2", help="V1 for programs that read nothing newer (V2)"
    )
    add_writing(parser)
    add_common(parser, epilog=f"{epilog}\n{RESULT_EPILOG}", verbose="name every tensor, not the first ones of each kind")


def add_writing(parser: argparse.ArgumentParser) -> None:
    """The options of every verb that writes files."""
    parser.add_argument("--overwrite", action="store_true", help="replace what is there already")
    parser.add_argument("--dry-run", action="store_true", help="write nothing, only report")


def add_mapping(parser: argparse.ArgumentParser) -> None:
    """The options of a mapping from old names to new ones, see `MAPPING_EPILOG`."""
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
        help="replace the matches of a pattern in every name",
    )


def _value(text: str) -> Any:
    try:
        return value_of_text(text)
    except InvalidArgumentError as error:
        raise UsageError(f"argument --map, --rule: {error}") from error


def mapping_of(given: Iterable[str | list[str]]) -> list[Any] | None:
    """The mapping behind these options; names that follow each other are one mapping, so that two can change places.

    Raises:
        UsageError: There is no such table, or a rule is malformed.
    """
    mappings: list[Any] = []
    for item in given:
        if isinstance(item, list):
            pattern, replacement = item
            mappings.append((pattern, _value(replacement) if replacement.startswith("{") else replacement))
            continue
        # A name that has the sign itself is for a file.
        old, separator, new = item.partition("=")
        if not separator:
            mappings.append(item)
            continue
        if not mappings or not isinstance(mappings[-1], dict):
            mappings.append({})
        mappings[-1][old] = _value(new) if new.startswith(("{", "[")) else new or None
    try:
        as_name_map(mappings)
    except InvalidArgumentError as error:
        raise UsageError(f"argument --map, --rule: {error}") from error
    return mappings or None


def dtype(text: str) -> str:
    """The name of a type of numbers, as argparse's `type`."""
    try:
        return as_dtype(text).name
    except SaverError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def write_options(arguments: argparse.Namespace, progress: Progress | None) -> WriteOptions:
    """The options of what is written, as the verbs take them."""
    return {
        "format": arguments.format,
        "num_shards": arguments.shards,
        "overwrite": arguments.overwrite,
        "dry_run": arguments.dry_run,
        "trusted": not arguments.untrusted,
        "progress": progress,
    }


def reported(report: WriteReport, arguments: argparse.Namespace) -> Outcome:
    """Prints what was done, unless the user asked for silence or JSON."""
    if not (arguments.json or arguments.quiet):
        out = output.open_screen()
        for line in report.lines(all_names=arguments.verbose):
            out.line(escape_message(line))
    return Outcome(report=report.to_json() if arguments.json else None)
