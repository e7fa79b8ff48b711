"""``tfsaver saved-model``: show, scan, lint, run, edit and merge SavedModels; export, freeze and unfreeze graphs.

Each verb below it is a module of its own, of the same form as the verbs above. `saved_model_source` opens what they look
at; `saved_model_survey` and `saved_model_functions` gather what `show` tells, `saved_model_keras` finds Python code for
`scan`, `saved_model_inputs` reads values for `run`.
"""

from __future__ import annotations

import argparse

from tfsaver.cli import (
    saved_model_edit,
    saved_model_export,
    saved_model_freeze,
    saved_model_lint,
    saved_model_merge,
    saved_model_run,
    saved_model_scan,
    saved_model_show,
    saved_model_unfreeze,
)
from tfsaver.cli.outcome import EXIT_CODES, Outcome
from tfsaver.cli.parser import Parser

NAME = "saved-model"
HELP = "Show, scan, lint, edit, merge and export SavedModels and graphs as data; only the verb run executes them."

_EPILOG = f"""\
DIR is the directory of a SavedModel, the directory of its versions (the highest one counts), the file saved_model.pb, or
another file that holds a graph, such as a checkpoint's .meta file.

examples:
  tfsaver saved-model show export/                     list signatures, variables and assets
  tfsaver saved-model show model.ckpt-1000.meta -v     the same for a graph that was never exported
  tfsaver saved-model scan export/ && serve            serve only if the graph does nothing but compute
  tfsaver saved-model lint export/ --strict            find dangling names, variables without values, missing assets
  tfsaver saved-model run export/ --input x='[[1.0]]'  run the signature serving_default in TensorFlow
  tfsaver saved-model export model.ckpt-1000 export --output softmax
  tfsaver saved-model edit export edited --rename-signature predict=serving_default
  tfsaver saved-model merge cpu gpu both --tags serve --tags serve,gpu
  tfsaver saved-model freeze export/ frozen.pb         one GraphDef with constants for variables
  tfsaver saved-model unfreeze frozen.pb model.ckpt    a checkpoint and its .meta of a frozen graph

{EXIT_CODES}"""

VERBS = {
    "show": saved_model_show,
    "scan": saved_model_scan,
    "lint": saved_model_lint,
    "run": saved_model_run,
    "edit": saved_model_edit,
    "merge": saved_model_merge,
    "export": saved_model_export,
    "freeze": saved_model_freeze,
    "unfreeze": saved_model_unfreeze,
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verbs below this one, each with its options."""
    parser.epilog = _EPILOG
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", parser_class=Parser)
    for name, module in VERBS.items():
        sub_parser = verbs.add_parser(name, help=module.HELP, description=module.HELP)
        module.add_arguments(sub_parser)
        sub_parser.set_defaults(run=module.run, parser=sub_parser)


def run(arguments: argparse.Namespace) -> Outcome:
    """Prints the help: no verb was given."""
    arguments.parser.print_help()
    return Outcome()
