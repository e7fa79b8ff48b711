"""The program ``tfsaver``: which verb, with what arguments, and what an error comes to.

    0     all is well
    1     a problem was found: a damaged checkpoint, or none; the reason is on standard error or in the verb's output
    2     the arguments make no sense
    130   interrupted with Ctrl-C
    141   the reader of the output went away, as ``head`` does

A verb's module is imported only when the verb is asked for: ``tfsaver --help`` needs no numpy.
"""

from __future__ import annotations

import argparse
import importlib
import io
import os
import sys
from collections.abc import Sequence

from tfsaver._version import __version__
from tfsaver.cli.output import print_error
from tfsaver.errors import SaverError

# Verb -> what the list of verbs says of it. The module is `tfsaver.cli.<verb>`, with _ for -.
VERBS = {
    "inspect": "what a checkpoint holds: names, types, shapes, sizes, values",
    "verify": "read every byte of checkpoints and check it",
    "doctor": "what is wrong with a directory of checkpoints; mend it, salvage a damaged one",
    "convert": "a checkpoint to safetensors, npz, torch, Keras or Orbax, and back",
    "strip": "a checkpoint without optimizer slots and other training state",
    "select": "some of a checkpoint's tensors",
    "rename": "a checkpoint's tensors under other names",
    "cast": "a checkpoint's numbers in another type, with what that costs",
    "average": "the mean of several checkpoints",
    "merge": "several checkpoints as one",
    "split": "one checkpoint as several",
    "diff": "what two checkpoints differ in",
    "reshard": "the same tensors in more or fewer files, or in the other format",
    "saved-model": "what a SavedModel offers, what it can do, what is wrong with it",
}

_DESCRIPTION = "Look into TensorFlow's checkpoints and SavedModels, check and edit them, without TensorFlow."
_EPILOG = """\
A checkpoint may be given as its prefix (model.ckpt-1000), as one of its files, or as the directory of a SavedModel or
of checkpoints, which means the latest; V1 and V2 alike.

examples:
  tfsaver inspect model.ckpt-1000                       every tensor, totals, what is optimizer state
  tfsaver inspect export/ --include kernel --sort size  the kernels of a SavedModel, the largest first
  tfsaver inspect model.ckpt-1000 --values global_step  the value of a tensor
  tfsaver inspect model.ckpt-1000 --json                all of it for a program
  tfsaver verify model.ckpt-*.index && deploy           go on only when every byte is sound
  tfsaver doctor run/ --fix                             find the newest sound checkpoint and mend the state file
  tfsaver strip model.ckpt-1000 stripped                without optimizer state: a third of the size
  tfsaver diff model.ckpt-1000 model.ckpt-2000          what changed, with norms
  tfsaver saved-model show export/                      signatures, variables, assets
  tfsaver saved-model scan export/ && serve             go on only when the graph computes and does nothing else

exit codes: 0 all is well, 1 a problem was found, 2 the arguments make no sense
"""


def make_parser(verb: str | None = None) -> argparse.ArgumentParser:
    """The parser of the whole program, with the options of one verb."""
    parser = argparse.ArgumentParser(
        prog="tfsaver", description=_DESCRIPTION, epilog=_EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--version", action="version", version=f"tfsaver {__version__}")
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", required=True)
    for name, summary in VERBS.items():
        sub_parser = verbs.add_parser(name, help=summary, formatter_class=argparse.RawDescriptionHelpFormatter)
        if name == verb:
            module = importlib.import_module(f"tfsaver.cli.{name.replace('-', '_')}")
            sub_parser.description = module.HELP
            module.add_arguments(sub_parser)
            sub_parser.set_defaults(run=module.run)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the program.

    Args:
        argv: The arguments; those of the process when None.

    Returns:
        The exit code.

    Raises:
        SystemExit: By argparse, for ``--help`` and for arguments that make no sense.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A name that the terminal's encoding has no characters for is no reason to stop.
            stream.reconfigure(errors="backslashreplace")
    try:
        try:
            return _run(arguments)
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        # Python would try to flush once more while it exits, and complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except KeyboardInterrupt:
        return 130


def _run(arguments: list[str]) -> int:
    # Nothing before the verb takes a value.
    verb = next((argument for argument in arguments if not argument.startswith("-")), None)
    namespace = make_parser(verb).parse_args(arguments)
    try:
        status: int = namespace.run(namespace)
    except BrokenPipeError:
        raise
    except (SaverError, OSError) as error:
        print_error(error)
        return 1
    return status
