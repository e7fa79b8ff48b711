"""``tfsaver saved-model``: what a SavedModel holds, what it can do, what is wrong with it, and a run of it.

Each verb below it is a module of its own, of the same form as the verbs above: `saved_model_show`, `saved_model_scan`,
`saved_model_lint`, `saved_model_run`. `saved_model_source` opens what they look at; `saved_model_survey` and
`saved_model_functions` gather what `show` tells, `saved_model_keras` finds Python code for `scan`, `saved_model_inputs`
reads values for `run`.
"""

from __future__ import annotations

import argparse

from tfsaver.cli import saved_model_lint, saved_model_run, saved_model_scan, saved_model_show

NAME = "saved-model"
HELP = "Look into SavedModels and MetaGraphs as data: nothing of them is run, except by the verb that says so."

_EPILOG = """\
DIR may be the directory of a SavedModel, the directory of its versions (the highest one counts), the file saved_model.pb,
or another file that holds a graph, such as a checkpoint's .meta file.

examples:
  tfsaver saved-model show export/                     signatures, variables, assets
  tfsaver saved-model show model.ckpt-1000.meta -v     the same of a graph that was never exported
  tfsaver saved-model scan export/ && serve            go on only when the graph computes and does nothing else
  tfsaver saved-model lint export/ --strict            dangling names, variables without values, missing assets
  tfsaver saved-model run export/ --input x='[[1.0]]'  what the signature serving_default gives, by TensorFlow
"""

_VERBS = {
    "show": saved_model_show,
    "scan": saved_model_scan,
    "lint": saved_model_lint,
    "run": saved_model_run,
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verbs below this one, each with its options."""
    parser.epilog = _EPILOG
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", required=True)
    for name, module in _VERBS.items():
        sub_parser = verbs.add_parser(
            name, help=module.HELP, description=module.HELP, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        module.add_arguments(sub_parser)
        # Not `run`, which the program itself sets for the verb above.
        sub_parser.set_defaults(run_below=module.run)


def run(arguments: argparse.Namespace) -> int:
    """What the verb below does."""
    status: int = arguments.run_below(arguments)
    return status
