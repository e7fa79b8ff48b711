"""Fuzzes targets and prints what came of it.

    python -m tests.fuzz table --runs 100000          one target, or several
    python -m tests.fuzz --all --runs 1000000 --jobs 2
    python -m tests.fuzz --all --seconds 5            as many runs as five seconds have, for each target
    python -m tests.fuzz table --input crash-1234     one input again
    python -m tests.fuzz --all --runs 1000000 --resume      up to a million, with those that the last run has had
    python -m tests.fuzz --all --report               the table of the last run again, or of one that is under way

What was found (inputs, logs) and the inputs that reached something new are kept in a folder, by default in the system's
place for temporary files; a later run goes on from there.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import functools
import pathlib
import re
import subprocess
import sys
import tempfile
from typing import NamedTuple

from tests.fuzz import harness

_COVERAGE = re.compile(r"cov: (\d+)")
_COUNT = re.compile(r"^(?:#|stat::number_of_executed_units: *)(\d+)\s", re.MULTILINE)
_SECONDS = re.compile(r"^Done \d+ runs in (\d+) second", re.MULTILINE)
_REPLAYED = re.compile(r"^replay: \d+ inputs", re.MULTILINE)
_FINDING = re.compile(r"^ === Uncaught Python exception: ===\n(.*)|^(replay: .*)|^==\d+== ?(ERROR: (?!.*fuzz target exited).*)", re.MULTILINE)
# A real hang; what takes more than a second of the processor's time says so itself.
_TIMEOUT = 20
_RSS_LIMIT_MB = 2048
# atheris loses some memory where a comparison gives no bool, as numpy's do: a new process goes on from time to time.
_RUNS_PER_PROCESS = 200_000
_NEW_PROCESS = "=== new process"


class Outcome(NamedTuple):
    """One row of the table."""

    name: str
    executions: int
    seconds: int
    coverage: int
    corpus: int
    findings: list[str]


def fuzz(name: str, folder: pathlib.Path, runs: int, seconds: int, *, resume: bool = False) -> Outcome:
    """Fuzzes a target in processes of its own, then measures the memory of each input that reached something new."""
    corpus = folder / "corpus" / name
    findings = folder / "findings" / name
    for each in (corpus, findings):
        each.mkdir(parents=True, exist_ok=True)
    subprocess.run([sys.executable, "-m", "tests.fuzz.write_seeds", name, str(corpus)], check=True)
    arguments = [
        str(corpus),
        f"-max_total_time={seconds}",
        f"-timeout={_TIMEOUT}",
        f"-rss_limit_mb={_RSS_LIMIT_MB}",
        f"-artifact_prefix={findings}/",
        "-print_final_stats=1",
        "-len_control=20",
    ]
    command = [sys.executable, "-m", "tests.fuzz.one", name]
    done = outcome_of(name, folder).executions if resume else 0
    with (folder / f"{name}.log").open("a" if resume else "w", encoding="utf-8", errors="replace") as output:
        code = 0
        while code == 0 and (runs < 0 or done < runs):
            count = runs - done if seconds else min(runs - done, _RUNS_PER_PROCESS)
            print(_NEW_PROCESS, file=output, flush=True)
            code = subprocess.run(
                [*command, *arguments, f"-runs={max(count, -1)}"], stdout=output, stderr=subprocess.STDOUT, check=False
            ).returncode
            done += count
            if seconds:
                break
        subprocess.run([*command, "--replay", str(corpus)], stdout=output, stderr=subprocess.STDOUT, check=False)
    return outcome_of(name, folder)


def outcome_of(name: str, folder: pathlib.Path) -> Outcome:
    """What the log of a run says."""
    log = folder / f"{name}.log"
    text = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
    found = [f"{next(filter(None, match.groups()))}: see {log}" for match in _FINDING.finditer(text) if any(match.groups())]
    found = [each for each in found if not _REPLAYED.match(each)]
    if not _REPLAYED.search(text) and not found:
        found = [f"not finished: see {log}"]
    corpus = folder / "corpus" / name
    return Outcome(
        name,
        sum(max(map(int, _COUNT.findall(part)), default=0) for part in text.split(_NEW_PROCESS)),
        sum(map(int, _SECONDS.findall(text))),
        max(map(int, _COVERAGE.findall(text)), default=0),
        len(list(corpus.iterdir())) if corpus.exists() else 0,
        found,
    )


def show(outcome: Outcome) -> str:
    return (
        f"{outcome.name:20} {outcome.executions:>11,} {outcome.seconds:>8,} {outcome.coverage:>9,} "
        f"{outcome.corpus:>7,} {len(outcome.findings):>9}"
    )


def main() -> int:
    names = harness.target_names()
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Fuzz the readers of tfsaver.")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(names))
    parser.add_argument("--all", action="store_true", help="every target")
    parser.add_argument("--runs", type=int, default=-1, help="executions of each target; no end if there is none")
    parser.add_argument("--seconds", type=int, default=0, help="the most that each target may take")
    parser.add_argument("--jobs", type=int, default=1, help="targets fuzzed at the same time")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path(tempfile.gettempdir(), "tfsaver-fuzz"))
    parser.add_argument("--resume", action="store_true", help="count what the last run has done")
    parser.add_argument("--report", action="store_true", help="run nothing, print what logs say")
    parser.add_argument("--input", type=pathlib.Path, help="run the target on this file alone")
    arguments = parser.parse_args()
    chosen = names if arguments.all else arguments.targets
    if not chosen or set(chosen) - set(names):
        parser.error(f"which target? There are {', '.join(names)}")
    if arguments.input is not None:
        target = harness.load_target(*chosen)
        print(f"{harness.run_measured(target, arguments.input.read_bytes())} bytes of memory at most")
        return 0
    if arguments.runs < 0 and not arguments.seconds and not arguments.report:
        parser.error("how long? --runs or --seconds says it")
    print(f"{'target':20} {'executions':>11} {'seconds':>8} {'coverage':>9} {'corpus':>7} {'findings':>9}", flush=True)
    outcomes = []
    with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
        if arguments.report:
            run = functools.partial(outcome_of, folder=arguments.out)
        else:
            run = functools.partial(
                fuzz, folder=arguments.out, runs=arguments.runs, seconds=arguments.seconds, resume=arguments.resume
            )
        waiting = [pool.submit(run, name) for name in chosen]
        for each in concurrent.futures.as_completed(waiting):
            outcomes.append(each.result())
            print(show(outcomes[-1]), flush=True)
    for outcome in outcomes:
        for finding in outcome.findings:
            print(f"{outcome.name}: {finding}")
    return any(outcome.findings for outcome in outcomes)


if __name__ == "__main__":
    sys.exit(main())
