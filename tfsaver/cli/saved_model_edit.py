"""``tfsaver saved-model edit``: other signatures, keys, tags and values, in a new directory."""

from __future__ import annotations

import argparse
from typing import Any

from tfsaver.cli import output
from tfsaver.cli.arguments import add_common, checkpoint_path
from tfsaver.cli.outcome import Outcome
from tfsaver.cli.parser import UsageError
from tfsaver.cli.saved_model_source import tags_argument
from tfsaver.cli.text import escape
from tfsaver.saved_model.editing import SavedModelEditor, edit_saved_model
from tfsaver.saved_model.loader import format_tags

NAME = "edit"
HELP = "Rename, add and remove signatures and keys, change tags and values; writes a new directory."

_EPILOG = """\
Changes happen in this order: --forget-objects, renames, removals, additions, --method, --set-tags, --variables, --prune,
then devices and attributes. A model of TensorFlow 2 has each signature as a function too: keys of inputs and outputs can be
changed only with --forget-objects, after which every loader goes by the names of tensors.

examples:
  tfsaver saved-model edit export edited --rename-signature predict=serving_default
  tfsaver saved-model edit export edited --rename-output serving_default:Identity_3=scores --set-tags serve
  tfsaver saved-model edit export edited --add-input embed:x=images:0 --add-output embed:features=pool/Mean:0
  tfsaver saved-model edit export models/mine --versioned --variables model.ckpt-2000

The report in the JSON document:
  source, target  the SavedModel, and where the new one is; target is null after a dry run
  graphs          tags, signatures: their keys with inputs, outputs and method_name
  replaced        the variables that have other values
  dry_run         whether nothing was written
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the verb."""
    parser.add_argument("source", metavar="DIR", type=checkpoint_path, help="the SavedModel")
    parser.add_argument("out", metavar="TARGET", type=checkpoint_path, help="the directory to write, or of the versions")
    parser.add_argument("--tags", metavar="TAG,TAG", type=tags_argument, help="which graph is meant; by default every one")
    for option, metavar, text in (
        ("--rename-signature", "OLD=NEW", "give a signature another key"),
        ("--remove-signature", "KEY", "remove a signature"),
        ("--rename-input", "SIGNATURE:OLD=NEW", "give an input another key"),
        ("--rename-output", "SIGNATURE:OLD=NEW", "give an output another key"),
        ("--remove-output", "SIGNATURE:KEY", "take an output off a signature"),
        ("--add-output", "SIGNATURE:KEY=TENSOR", "add a signature with this output"),
        ("--add-input", "SIGNATURE:KEY=TENSOR", "an input of a signature that is added; else its placeholders"),
        ("--method", "SIGNATURE=NAME", "the method name, such as tensorflow/serving/predict"),
    ):
        parser.add_argument(option, metavar=metavar, action="append", default=[], help=f"{text}; may be repeated")
    parser.add_argument("--set-tags", metavar="TAG,TAG", type=tags_argument, help="give the graph other tags")
    parser.add_argument("--variables", metavar="CHECKPOINT", type=checkpoint_path, help="take values from here")
    parser.add_argument("--forget-objects", action="store_true", help="leave only graphs and signatures of a model")
    parser.add_argument("--prune", action="store_true", help="leave out what no signature and no init op needs")
    parser.add_argument("--clear-devices", action="store_true", help="clear the devices of all nodes")
    parser.add_argument("--strip-default-attrs", action="store_true", help="leave out attributes that only say the default")
    parser.add_argument("--versioned", action="store_true", help="make a new version in TARGET, above all others")
    parser.add_argument("--text", action="store_true", help="write saved_model.pbtxt")
    parser.add_argument("--dry-run", action="store_true", help="check everything and write nothing")
    add_common(parser, epilog=_EPILOG, verbose="list the signatures of the result")


def run(arguments: argparse.Namespace) -> Outcome:
    """Edits, and prints where the new SavedModel is."""
    with edit_saved_model(arguments.source, trusted=False if arguments.untrusted else None) as editor:
        replaced = _edit(editor, arguments)
        with output.open_progress(escape(arguments.out)) as progress:
            target = editor.save(
                arguments.out,
                as_text=True if arguments.text else None,
                versioned=arguments.versioned,
                dry_run=arguments.dry_run,
                progress=progress,
            )
        graphs: list[dict[str, Any]] = [
            {
                "tags": sorted(graph.meta_info_def.tags),
                "signatures": {
                    key: {
                        "inputs": sorted(graph.signature_def[key].inputs),
                        "outputs": sorted(graph.signature_def[key].outputs),
                        "method_name": graph.signature_def[key].method_name,
                    }
                    for key in sorted(graph.signature_def)
                    if key in editor.signatures
                },
            }
            for graph in editor.proto.meta_graphs
        ]
    if not (arguments.quiet or arguments.json):
        screen = output.open_screen()
        done = f"{target} (dry run: nothing is written)" if arguments.dry_run else target
        screen.line(f"{escape(arguments.source)} -> {escape(done)}")
        for graph in graphs if arguments.verbose else ():
            for key, signature in graph["signatures"].items():
                keys = f"{', '.join(signature['inputs'])} -> {', '.join(signature['outputs'])}"
                screen.line(f"  {escape(format_tags(graph['tags']))} {escape(key)}: {escape(keys)}")
    written = None if arguments.dry_run else target
    return Outcome(
        report={
            "source": arguments.source,
            "target": written,
            "graphs": graphs,
            "replaced": replaced,
            "dry_run": arguments.dry_run,
        }
    )


def _edit(editor: SavedModelEditor, arguments: argparse.Namespace) -> list[str]:
    """Makes the changes; returns the variables that have other values."""
    tags = arguments.tags
    if arguments.forget_objects:
        editor.forget_objects()
    for text in arguments.rename_signature:
        old, new = _pair(text, "OLD=NEW")
        editor.rename_signature(old, new, tags=tags)
    for option, rename in (("rename_input", editor.rename_input), ("rename_output", editor.rename_output)):
        for text in getattr(arguments, option):
            names, new = _pair(text, "SIGNATURE:OLD=NEW")
            rename(*_pair(names, "SIGNATURE:OLD=NEW", ":"), new, tags=tags)
    for key in arguments.remove_signature:
        editor.remove_signature(key, tags=tags)
    for text in arguments.remove_output:
        editor.remove_output(*_pair(text, "SIGNATURE:KEY", ":"), tags=tags)
    inputs, outputs = (_by_signature(texts) for texts in (arguments.add_input, arguments.add_output))
    if lonely := inputs.keys() - outputs.keys():
        raise UsageError(f"--add-input for {', '.join(sorted(lonely))}: --add-output says what the signature computes")
    for key, tensors in outputs.items():
        editor.add_signature(key, inputs=inputs.get(key), outputs=tensors, tags=tags)
    for text in arguments.method:
        key, method_name = _pair(text, "SIGNATURE=NAME")
        editor.set_method_name(key, method_name, tags=tags)
    if arguments.set_tags is not None:
        editor.set_tags(arguments.set_tags, tags=tags)
    replaced = editor.replace_variables(arguments.variables) if arguments.variables else []
    if arguments.prune:
        editor.prune()
    if arguments.clear_devices:
        editor.clear_devices()
    if arguments.strip_default_attrs:
        editor.strip_default_attrs()
    return replaced


def _pair(text: str, form: str, separator: str = "=") -> tuple[str, str]:
    left, found, right = text.partition(separator)
    if not (left and found and right):
        raise UsageError(f"{text!r} is not of the form {form}")
    return left, right


def _by_signature(texts: list[str]) -> dict[str, dict[str, str]]:
    """Tensors by the keys of signatures and their own: ``SIGNATURE:KEY=TENSOR``."""
    found: dict[str, dict[str, str]] = {}
    for text in texts:
        names, tensor = _pair(text, "SIGNATURE:KEY=TENSOR")
        signature, key = _pair(names, "SIGNATURE:KEY=TENSOR", ":")
        found.setdefault(signature, {})[key] = tensor
    return found
