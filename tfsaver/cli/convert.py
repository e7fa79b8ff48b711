"""``tfsaver convert``: the tensors of one file as another."""

from __future__ import annotations

import argparse
from typing import Any

from tfsaver.cli import output
from tfsaver.cli.arguments import checkpoint_path, regex
from tfsaver.cli.text import escape, escape_message
from tfsaver.convert.convert import convert
from tfsaver.convert.formats import FORMATS
from tfsaver.convert.object_names import KINDS

NAME = "convert"
HELP = "Write the tensors of a checkpoint as another file, or those of another file as a checkpoint."

_FORMATS = "\n".join(f"  {row.name:<12} {row.description:<24} {' '.join(row.suffixes)}".rstrip() for row in FORMATS.values())
_EPILOG = f"""\
formats; without --to the suffix of NEW says which, and v2 is what it means when it says nothing:
{_FORMATS}

--map may be given several times, and the mappings are applied one after the other, from the old name to the new one:
  old=new, old=     a name, and the new one; without a new one the tensor is left out
  names.toml        a file, .toml or .json
  bert-to-pytorch   a ready table; a wrong name lists them

A tensor that NEW cannot hold is an error that names all such tensors, and nothing is written. A file is replaced in one
step when it is complete; a directory or a checkpoint only with --overwrite.

examples:
  tfsaver convert bert_model.ckpt bert.safetensors --essential
  tfsaver convert bert_model.ckpt bert.pt --essential --map bert-to-pytorch
  tfsaver convert export/ weights.npz --include ^encoder/
  tfsaver convert model.safetensors model.ckpt
  tfsaver convert model.ckpt-1000 restored/ckpt --to object --like export/

exit codes: 0 converted, 1 not, the reason is on standard error, 2 the arguments make no sense
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the verb."""
    parser.epilog = _EPILOG
    parser.add_argument("old", metavar="OLD", type=checkpoint_path, help="a checkpoint, a SavedModel, or a file of a format")
    parser.add_argument("new", metavar="NEW", type=checkpoint_path, help="the file to write; of a checkpoint, its prefix")
    parser.add_argument("--from", dest="source_format", metavar="FORMAT", choices=FORMATS, help="what OLD is")
    parser.add_argument("--to", "--format", dest="format", metavar="FORMAT", choices=FORMATS, help="what NEW is to be")
    parser.add_argument(
        "--map", dest="mapping", metavar="MAP", action="append", default=[], help="rename: old=new, a file, or a ready table"
    )
    parser.add_argument(
        "--include", metavar="REGEX", type=regex, action="append", default=[], help="only tensors whose old name has it"
    )
    parser.add_argument(
        "--exclude", metavar="REGEX", type=regex, action="append", default=[], help="no tensors whose old name has it"
    )
    parser.add_argument("--essential", action="store_true", help="without the state of optimizers")
    parser.add_argument("--dtype", metavar="TYPE", help="what floating-point tensors become, as in bfloat16")
    parser.add_argument(
        "--names", choices=KINDS, default="path", help="what to call tensors of an object-based checkpoint (path)"
    )
    parser.add_argument(
        "--like", metavar="MODEL", type=checkpoint_path, help="with object and keras: what the model itself has written"
    )
    parser.add_argument("--shards", metavar="N", type=int, default=1, help="how many data files a checkpoint gets (1)")
    parser.add_argument("--overwrite", action="store_true", help="replace a directory or a checkpoint that is there")
    parser.add_argument("-q", "--quiet", action="store_true", help="print nothing but errors")


def run(arguments: argparse.Namespace) -> int:
    """Converts and says what was."""
    with output.open_progress(escape(arguments.new)) as progress:
        report = convert(
            arguments.old,
            arguments.new,
            format=arguments.format,
            source_format=arguments.source_format,
            mapping=_mapping(arguments.mapping),
            include=[pattern.pattern for pattern in arguments.include],
            exclude=[pattern.pattern for pattern in arguments.exclude],
            essential=arguments.essential,
            dtype=arguments.dtype,
            names=arguments.names,
            like=arguments.like,
            num_shards=arguments.shards,
            overwrite=arguments.overwrite,
            progress=progress,
        )
    if not arguments.quiet:
        out = output.open_screen()
        for line in report.lines():
            out.line(escape_message(line))
    return 0


def _mapping(given: list[str]) -> list[Any] | None:
    """What stands behind the options: names side by side are one mapping, so that two can change places."""
    mappings: list[Any] = []
    for text in given:
        old, separator, new = text.partition("=")
        if not separator:
            mappings.append(text)
            continue
        if not mappings or not isinstance(mappings[-1], dict):
            mappings.append({})
        mappings[-1][old] = new or None
    return mappings or None
