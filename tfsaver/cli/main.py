"""The program ``tfsaver``: which verb, with what arguments, and what an error comes to.

The exit codes and the JSON document are those of `outcome`; besides these there are

    130   interrupted with Ctrl-C
    141   the reader of the output closed it, as ``head`` does

A verb's module is imported only when the verb is asked for: ``tfsaver --help`` needs no numpy.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import os
import sys
import traceback
from collections.abc import Sequence

from tfsaver._version import __version__
from tfsaver.cli import completion, outcome
from tfsaver.cli.arguments import bind_paths
from tfsaver.cli.outcome import Outcome
from tfsaver.cli.output import print_error, print_json
from tfsaver.cli.pager import paged
from tfsaver.cli.parser import Parser, UsageError
from tfsaver.cli.text import escape_message
from tfsaver.errors import SaverError

# Verb -> its line in the list of verbs. The module is `tfsaver.cli.<verb>`, with _ for -.
VERBS = {
    "inspect": "list a checkpoint's tensors: names, types, shapes, sizes, values",
    "identify": "say what a file or a directory is, by its content, and what to type next",
    "verify": "check every byte of checkpoints against its checksum",
    "doctor": "diagnose a directory of checkpoints, repair its state file, salvage a damaged checkpoint",
    "convert": "convert between checkpoints, safetensors, npz, torch, Keras and Orbax",
    "strip": "remove optimizer slots and other training state",
    "select": "write a part of a checkpoint's tensors",
    "rename": "rename a checkpoint's tensors",
    "cast": "change the type of a checkpoint's numbers, and report what that loses",
    "average": "average several checkpoints",
    "merge": "merge several checkpoints into one",
    "split": "split one checkpoint into several",
    "diff": "compare two checkpoints",
    "report": "write one HTML page about a checkpoint, a run of checkpoints or a SavedModel",
    "projector": "write an embedding as the files of TensorBoard's projector",
    "reshard": "rewrite a checkpoint in another number of files, or as V1",
    "saved-model": "show, scan, lint and run SavedModels",
}

# Those whose output is a list to read.
_PAGED = frozenset({"inspect", "diff", "doctor", "saved-model"})

_DESCRIPTION = "Inspect, check and edit TensorFlow checkpoints and SavedModels, without TensorFlow."
_EPILOG = f"""\
A checkpoint is given as its prefix (model.ckpt-1000), as one of its files, as the directory of a SavedModel, or as a
directory of checkpoints, which stands for the latest one. V1 and V2 are read alike.

examples:
  tfsaver inspect model.ckpt-1000                      list tensors, totals and optimizer state
  tfsaver inspect export/ --select kernel --sort size  list the kernels of a SavedModel, largest first
  tfsaver inspect model.ckpt-1000 --values global_step  print the value of a tensor
  tfsaver inspect model.ckpt-1000 --json               print all of it as JSON
  tfsaver verify model.ckpt-*.index && deploy          deploy only if every byte is sound
  tfsaver doctor run/ --fix                            find the newest sound checkpoint, repair the state file
  tfsaver strip model.ckpt-1000 stripped               remove optimizer state, a third of the size is left
  tfsaver diff model.ckpt-1000 model.ckpt-2000         list what changed, with norms
  tfsaver report model.ckpt-1000 -o report.html        write a page to look at in a browser
  tfsaver saved-model show export/                     list signatures, variables and assets
  tfsaver saved-model scan export/ && serve            serve only if the graph does nothing but compute

{outcome.EXIT_CODES}"""


class _Program(Parser):
    """The parser above the verbs."""

    def known_verbs(self) -> list[str]:
        below = importlib.import_module("tfsaver.cli.saved_model").VERBS
        return [*VERBS, *(f"saved-model {verb}" for verb in below)]


def make_parser(verb: str | None = None) -> argparse.ArgumentParser:
    """The parser of the whole program, with the options of one verb."""
    parser = _Program(prog="tfsaver", description=_DESCRIPTION, epilog=_EPILOG)
    parser.add_argument("--version", action="version", version=f"tfsaver {__version__}")
    parser.add_argument(
        "--completion",
        choices=completion.SHELLS,
        action=completion.PrintCompletion,
        help="print the code that completes verbs, options and tensor names in a shell",
    )
    parser.set_defaults(run=_print_help, parser=parser)
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", parser_class=Parser)
    for name, summary in VERBS.items():
        sub_parser = verbs.add_parser(name, help=summary)
        if name == verb:
            module = importlib.import_module(f"tfsaver.cli.{name.replace('-', '_')}")
            sub_parser.description = module.HELP
            sub_parser.set_defaults(run=module.run, parser=sub_parser, is_paged=name in _PAGED)
            module.add_arguments(sub_parser)
    return parser


def _print_help(arguments: argparse.Namespace) -> Outcome:
    arguments.parser.print_help()
    return Outcome()


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the program.

    Args:
        argv: The arguments; those of the process when None.

    Returns:
        The exit code.

    Raises:
        SystemExit: After ``--help``, ``--version`` and usage errors.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    if completion.is_asked():
        completion.complete(make_parser(completion.verb_of_line()))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # Names may have characters that the terminal's encoding lacks.
            stream.reconfigure(errors="backslashreplace")
    try:
        try:
            return _run(arguments)
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        # Python flushes once more while it exits, and would complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except KeyboardInterrupt:
        return 130


def _run(arguments: list[str]) -> int:
    if arguments[:1] == ["--completion"] and len(arguments) == 2:
        arguments = ["=".join(arguments)]
    # Nothing else before the verb takes a value.
    verb = next((argument for argument in arguments if not argument.startswith("-")), None)
    parser = make_parser(verb)
    try:
        namespace = parser.parse_args(arguments)
    except UsageError as error:
        _report(_of_usage(error, parser), error.parser or parser, as_json="--json" in arguments)
        raise SystemExit(outcome.USAGE) from None
    parser = namespace.parser
    try:
        bind_paths(namespace)
        with paged() if getattr(namespace, "is_paged", False) else contextlib.nullcontext():
            result: Outcome = namespace.run(namespace)
    except BrokenPipeError:
        raise
    except UsageError as error:
        _report(_of_usage(error, parser), parser, as_json=namespace.json)
        raise SystemExit(outcome.USAGE) from None
    except (SaverError, OSError) as error:
        print_error(error)
        result = Outcome(outcome.exit_code_of(error), error=error)
    except Exception as error:  # noqa: BLE001
        # A fault of the program, or of a function that the caller named. 1, Python's own code for it, is a finding.
        traceback.print_exc()
        result = Outcome(outcome.FAILED, error=error)
    _report(result, parser, as_json=getattr(namespace, "json", False))
    return result.code


def _of_usage(error: UsageError, parser: argparse.ArgumentParser) -> Outcome:
    parser = error.parser or parser
    parser.print_usage(sys.stderr)
    print(f"{parser.prog}: error: {escape_message(str(error))}", file=sys.stderr)
    return Outcome(outcome.USAGE, error=error)


def _report(result: Outcome, parser: argparse.ArgumentParser, *, as_json: bool) -> None:
    if as_json:
        verb = parser.prog.partition(" ")[2] or None
        print_json(outcome.envelope(verb, result))
