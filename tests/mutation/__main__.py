"""Changes the code at random places and asks whether a test notices: ``python -m tests.mutation``.

    python -m tests.mutation --count 100 --seed 1
    python -m tests.mutation --count 20 --only tfsaver/checkpoint/names

Mutants of `tfsaver/checkpoint` and `tfsaver/tensor_bundle` are tried on the tests of the folder of the same name, of which
only those run that execute the changed statement. One seed draws the same mutants from the same sources. The checkout is
not changed: mutants are made in a temporary copy.
"""

from __future__ import annotations

import argparse
import pathlib
import sys
import time

from tests.mutation.equivalents import EQUIVALENTS
from tests.mutation.mutants import Mutant, draw, mutants_of
from tests.mutation.trials import Project, Trials

_ROOT = pathlib.Path(__file__).resolve().parents[2]
_PROJECT = Project(
    _ROOT,
    {"tfsaver/tensor_bundle": "tests/tensor_bundle", "tfsaver/checkpoint": "tests/checkpoint"},
    cache=_ROOT / ".mutation_cache",
)


def _mutants(only: list[str], without: list[str]) -> list[Mutant]:
    files = [file for folder in _PROJECT.folders for file in _PROJECT.sources(folder)]
    return [
        mutant
        for file in files
        if file.startswith(tuple(only)) and not file.startswith(tuple(without))
        for mutant in mutants_of(file, (_ROOT / file).read_text("utf-8"))
    ]


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\033[Krecording {text}", end="", file=sys.stderr, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--count", type=int, default=100, help="how many mutants (100)")
    parser.add_argument("--seed", type=int, default=1, help="which ones (1)")
    parser.add_argument("--only", action="append", metavar="PATH", help="mutants of files whose path begins so; repeatable")
    parser.add_argument("--without", action="append", default=[], metavar="PATH", help="no mutants of these; repeatable")
    parser.add_argument("--jobs", type=int, default=1, help="mutants at once (1)")
    parser.add_argument("--slowest", type=float, default=1.0, metavar="SECONDS", help="leave slower tests of other files out (1)")
    options = parser.parse_args()

    reasons = {equivalent[:4]: equivalent.reason for equivalent in EQUIVALENTS}
    mutants = draw(_mutants(options.only or list(_PROJECT.folders), options.without), options.count, options.seed)
    sums = {"caught": 0, "survived": 0, "not executed": 0, "equivalent": 0}
    catching = set()
    started = time.monotonic()
    with Trials(_PROJECT, jobs=options.jobs, slowest=options.slowest) as trials:
        trials.record([folder for folder in _PROJECT.folders if any(m.file.startswith(folder + "/") for m in mutants)], _progress)
        for mutant, outcome in zip(mutants, trials.run(mutants), strict=True):
            reason = reasons.get((mutant.file, mutant.function, *mutant.diff))
            if outcome.caught_by is not None:
                verdict, said = "caught", f"caught by {outcome.caught_by}"
                catching.add(outcome.caught_by)
            elif reason is not None:
                verdict, said = "equivalent", f"equivalent: {reason}"
            elif outcome.tests == 0:
                verdict, said = "not executed", "NOT EXECUTED by any test"
            else:
                verdict, said = "survived", f"SURVIVED {outcome.tests} tests"
            sums[verdict] += 1
            before, after = mutant.diff
            print(f"{mutant.file}:{mutant.line} {mutant.function}\n  - {before}\n  + {after}\n  {said}", flush=True)
        false_alarms = trials.false_alarms(catching)
    counted = len(mutants) - sums["equivalent"]
    print(f"\n{len(mutants)} mutants of seed {options.seed}: " + ", ".join(f"{number} {name}" for name, number in sums.items()))
    print(f"{sums['caught']} of {counted} that are not equivalent are caught: {sums['caught'] / max(1, counted):.0%}")
    print(f"{time.monotonic() - started:.0f} s", file=sys.stderr)
    for test in false_alarms:
        print(f"fails without any change: {test}")
    return 1 if false_alarms else 0


if __name__ == "__main__":
    sys.exit(main())
