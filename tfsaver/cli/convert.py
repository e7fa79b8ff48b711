"""``tfsaver convert``: the tensors of one file as another."""

from __future__ import annotations

import argparse
import json
from typing import Any

from tfsaver.checkpoint.objects.object_names import KINDS
from tfsaver.cli import editing, live_objects, output
from tfsaver.cli.arguments import add_common, add_patterns, checkpoint_path, positive, selection_of
from tfsaver.cli.outcome import Outcome
from tfsaver.cli.text import escape
from tfsaver.formats.registry import FORMATS
from tfsaver.verbs.convert import convert

NAME = "convert"
HELP = "Convert the tensors of a checkpoint to another format, or another format to a checkpoint."

_FORMATS = "\n".join(f"  {row.name:<12} {row.description:<24} {' '.join(row.suffixes)}".rstrip() for row in FORMATS.values())
_EPILOG = f"""\
formats; without --to, the suffix of NEW says which, and without a known suffix it is V2:
{_FORMATS}

{editing.MAPPING_EPILOG}\
With the format hf, NEW is a directory that transformers' from_pretrained opens. The family is recognized by its tensors
(BERT, ALBERT, GPT-2, T5, MobileNet), training state is left out, and --default says what no shape does, such as how many
heads there are.
With the format object, --like names the objects that the tensors are for: a SavedModel of the model, with or without its
variables, a checkpoint that tf.train.Checkpoint wrote, or file.py:function or package.module:function. A function is run
with TensorFlow and returns the built model or a dict of objects. tf.train.Checkpoint(model=...) looks for a model under
the name model.

With any other format, --like names a file of the same model. What has another name, or its axes in another order, is
mapped where names and shapes say so; NEW.mapping.toml then has the mapping, for --map. If anything is left over, nothing
is written.

If NEW cannot hold a tensor, nothing is written and every such tensor is listed. A file appears under its name when it is
complete, and replaces an older one; a directory or a checkpoint is replaced only with --overwrite.

examples:
  tfsaver convert bert_model.ckpt bert.safetensors --essential
  tfsaver convert bert_model.ckpt bert.pt --essential --map bert-to-pytorch
  tfsaver convert gpt2/model.ckpt gpt2-hf --to hf --default n_head=12
  tfsaver convert export/ weights.npz --select ^encoder/
  tfsaver convert model.safetensors model.ckpt
  tfsaver convert old/model.ckpt new.safetensors --like model.safetensors --essential
  tfsaver convert old/model.ckpt new.weights.h5 --like model.keras --essential
  tfsaver convert model.ckpt-1000 restored/ckpt --to object --like export/ --under model
  tfsaver convert model.ckpt-1000 restored/ckpt --to object --like train.py:make_checkpoint \\
      --allow-unused --default optimizer/_learning_rate=0.001
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the verb."""
    parser.add_argument("old", metavar="OLD", type=checkpoint_path, help="a checkpoint, a SavedModel, or a file")
    parser.add_argument("new", metavar="NEW", type=checkpoint_path, help="the file to write, or a checkpoint's prefix")
    parser.add_argument(
        "--from", dest="source_format", metavar="FORMAT", type=_format, choices=FORMATS, help="the format of OLD"
    )
    parser.add_argument(
        "--to", "--format", dest="format", metavar="FORMAT", type=_format, choices=FORMATS, help="the format of NEW"
    )
    editing.add_mapping(parser)
    add_patterns(parser, "only tensors whose old name matches; may be repeated", "no tensors whose old name matches")
    parser.add_argument("--essential", action="store_true", help="leave out training state, such as optimizer slots")
    parser.add_argument("--dtype", metavar="TYPE", type=editing.dtype, help="the type of float tensors, such as bf16")
    parser.add_argument(
        "--names", choices=KINDS, default="path", help="the names of an object-based checkpoint's tensors (path)"
    )
    parser.add_argument(
        "--like",
        metavar="MODEL",
        type=checkpoint_path,
        help="a file of the model, whose names and shapes NEW gets; with object also a function that makes the model",
    )
    parser.add_argument("--under", metavar="NAME", default="", help="with object: the path of the model (the root)")
    parser.add_argument("--allow-unused", action="store_true", help="with --like: leave out what the model does not have")
    parser.add_argument(
        "--default",
        metavar="NAME=VALUE",
        type=_name_and_value,
        action="append",
        default=[],
        help="with object and hf: a value that OLD does not have",
    )
    parser.add_argument(
        "--metadata", metavar="KEY=TEXT", type=_key_and_text, action="append", default=[], help="with safetensors: format=pt"
    )
    parser.add_argument(
        "--shards", metavar="N", type=positive, default=1, help="number of data files of a checkpoint or hf (1)"
    )
    editing.add_writing(parser)
    add_common(parser, epilog=f"{_EPILOG}\n{editing.REPORT}", verbose="name every tensor, not the first ones of each kind")


def run(arguments: argparse.Namespace) -> Outcome:
    """Converts and reports."""
    like = arguments.like
    if like is not None and live_objects.is_function(like):
        like = live_objects.object_graph_of_function(like)
    with output.open_progress(escape(arguments.new)) as progress:
        report = convert(
            arguments.old,
            arguments.new,
            format=arguments.format,
            source_format=arguments.source_format,
            mapping=editing.mapping_of(arguments.mapping),
            allow_unmatched=arguments.allow_unmatched,
            select=selection_of(arguments),
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
            trusted=not arguments.untrusted,
            progress=progress,
        )
    return editing.reported(report, arguments)


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
