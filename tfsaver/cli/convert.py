"""``tfsaver convert``: the tensors of one file as another."""

from __future__ import annotations

import argparse
import json
from typing import Any

from tfsaver.checkpoint.objects.object_names import KINDS
from tfsaver.cli import editing, live_objects, output
from tfsaver.cli.arguments import add_untrusted, checkpoint_path, followed
from tfsaver.cli.text import escape
from tfsaver.formats.registry import FORMATS, format_of_source
from tfsaver.verbs.convert import convert

NAME = "convert"
HELP = "Write the tensors of a checkpoint as another file, or those of another file as a checkpoint."

_FORMATS = "\n".join(f"  {row.name:<12} {row.description:<24} {' '.join(row.suffixes)}".rstrip() for row in FORMATS.values())
_EPILOG = f"""\
formats; without --to the suffix of NEW says which, and v2 is what it means when it says nothing:
{_FORMATS}

{editing.MAPPING_EPILOG}\
With object, --like says which objects the tensors are for: a SavedModel of the model, with or without its variables, a
checkpoint that tf.train.Checkpoint wrote, or file.py:function or package.module:function, which runs that function with
TensorFlow: it returns the model, built, or a dict of objects. tf.train.Checkpoint(model=...) looks for a model under model.

A tensor that NEW cannot hold is an error that names all such tensors, and nothing is written. A file is replaced in one
step when it is complete; a directory or a checkpoint only with --overwrite.

examples:
  tfsaver convert bert_model.ckpt bert.safetensors --essential
  tfsaver convert bert_model.ckpt bert.pt --essential --map bert-to-pytorch
  tfsaver convert export/ weights.npz --select ^encoder/
  tfsaver convert model.safetensors model.ckpt
  tfsaver convert model.ckpt-1000 restored/ckpt --to object --like export/ --under model
  tfsaver convert model.ckpt-1000 restored/ckpt --to object --like train.py:make_checkpoint \\
      --allow-unused --default optimizer/_learning_rate=0.001

exit codes: 0 converted, or could be (--dry-run), 1 not, the reason is on standard error, 2 the arguments make no sense
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the verb."""
    parser.epilog = _EPILOG
    parser.add_argument("old", metavar="OLD", type=checkpoint_path, help="a checkpoint, a SavedModel, or a file of a format")
    parser.add_argument("new", metavar="NEW", type=checkpoint_path, help="the file to write; of a checkpoint, its prefix")
    parser.add_argument("--from", dest="source_format", metavar="FORMAT", type=_format, choices=FORMATS, help="what OLD is")
    parser.add_argument(
        "--to", "--format", dest="format", metavar="FORMAT", type=_format, choices=FORMATS, help="what NEW is to be"
    )
    editing.add_mapping(parser)
    editing.add_patterns(parser, "only tensors in whose old name it is", "no tensors in whose old name it is")
    parser.add_argument("--essential", action="store_true", help="without what only training needs, such as slots")
    parser.add_argument("--dtype", metavar="TYPE", help="what floating-point tensors become, as in bfloat16")
    parser.add_argument(
        "--names", choices=KINDS, default="path", help="what to call tensors of an object-based checkpoint (path)"
    )
    parser.add_argument(
        "--like",
        metavar="MODEL",
        type=checkpoint_path,
        help="with object and keras: what the model itself has written; with object also a function that makes it",
    )
    parser.add_argument("--under", metavar="NAME", default="", help="with object: where the model is to be (the root)")
    parser.add_argument("--allow-unused", action="store_true", help="with object: leave out tensors that no object is for")
    parser.add_argument(
        "--default",
        metavar="NAME=VALUE",
        type=_name_and_value,
        action="append",
        default=[],
        help="with object: a value for an object that OLD has nothing for",
    )
    parser.add_argument(
        "--metadata", metavar="KEY=TEXT", type=_key_and_text, action="append", default=[], help="with safetensors: format=pt"
    )
    parser.add_argument("--shards", metavar="N", type=int, default=1, help="how many data files a checkpoint gets (1)")
    add_untrusted(parser)
    parser.add_argument("--overwrite", action="store_true", help="replace a directory or a checkpoint that is there")
    parser.add_argument("--dry-run", action="store_true", help="write nothing, only say what would be")
    parser.add_argument("-v", "--verbose", action="store_true", help="name every tensor, not the first ones of each kind")
    parser.add_argument("-q", "--quiet", action="store_true", help="print nothing but errors")
    parser.add_argument("--json", action="store_true", help="what was done as one JSON object, every tensor in it")


def run(arguments: argparse.Namespace) -> int:
    """Converts and says what was."""
    like = arguments.like
    if like is not None and live_objects.is_function(like):
        like = live_objects.object_graph_of_function(like)
    is_checkpoint = format_of_source(arguments.old, arguments.source_format).is_checkpoint
    old = followed(arguments.old, arguments) if is_checkpoint else arguments.old
    with output.open_progress(escape(arguments.new)) as progress:
        report = convert(
            old,
            arguments.new,
            format=arguments.format,
            source_format=arguments.source_format,
            mapping=editing.mapping_of(arguments.mapping),
            select=editing.selection_of(arguments),
            essential=arguments.essential,
            dtype=arguments.dtype,
            names=arguments.names,
            like=like,
            under=arguments.under,
            allow_unused=arguments.allow_unused,
            defaults=dict(arguments.default),
            metadata=dict(arguments.metadata),
            num_shards=arguments.shards,
            overwrite=arguments.overwrite,
            dry_run=arguments.dry_run,
            progress=progress,
        )
    return editing.print_report(report, arguments)


def _name_and_value(text: str) -> tuple[str, Any]:
    name, separator, value = text.partition("=")
    if not (name and separator):
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form NAME=VALUE")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def _key_and_text(text: str) -> tuple[str, str]:
    key, separator, value = text.partition("=")
    if not (key and separator):
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form KEY=TEXT")
    return key, value


def _format(text: str) -> str:
    # "V1" and "V2" are typed in small letters, too.
    return text.upper() if text in ("v1", "v2") else text
