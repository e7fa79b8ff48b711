"""Fuzzes targets and prints what came of it.

    python -m tests.fuzz table --runs 100000          one target, or several
    python -m tests.fuzz --all --runs 1000000 --jobs 2
    python -m tests.fuzz --all --seconds 5            as many runs as five seconds have, for each target
    python -m tests.fuzz table --input crash-1234     one input again

What was found (inputs, logs) and the inputs that reached something new are kept in a folder, by default in the system's
place for temporary files; a later run goes on from there.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import pathlib
import re
import subprocess
import sys
import tempfile
import time
from typing import NamedTuple

from tests.fuzz import harness

_COVERAGE = re.compile(r"cov: (\d+)")
_EXECUTIONS = re.compile(r"stat::number_of_executed_units:\s*(\d+)")
_COUNT = re.compile(r"^#(\d+)\s", re.MULTILINE)
# A real hang; what takes more than a second of the processor's time says so itself.
_TIMEOUT = 20
_RSS_LIMIT_MB = 2048


class Outcome(NamedTuple):
    """One row of the table."""

    name: str
    executions: int
    seconds: float
    coverage: int
    corpus: int
    findings: list[str]


def fuzz(name: str, folder: pathlib.Path, runs: int, seconds: int) -> Outcome:
    """Fuzzes a target in a process of its own, then measures the memory of each input that reached something new."""
    corpus = folder / "corpus" / name
    findings = folder / "findings" / name
    for each in (corpus, findings):
        each.mkdir(parents=True, exist_ok=True)
    subprocess.run([sys.executable, "-m", "tests.fuzz.write_seeds", name, str(corpus)], check=True)
    arguments = [
        str(corpus),
        f"-runs={runs}",
        f"-max_total_time={seconds}",
        f"-timeout={_TIMEOUT}",
        f"-rss_limit_mb={_RSS_LIMIT_MB}",
        f"-artifact_prefix={findings}/",
        "-print_final_stats=1",
        "-len_control=20",
    ]
    log = folder / f"{name}.log"
    start = time.monotonic()
    command = [sys.executable, "-m", "tests.fuzz.one", name]
    with log.open("w", encoding="utf-8", errors="replace") as output:
        code = subprocess.run([*command, *arguments], stdout=output, stderr=subprocess.STDOUT, check=False).returncode
        elapsed = time.monotonic() - start
        replay = subprocess.run(
            [*command, "--replay", str(corpus)], stdout=output, stderr=subprocess.STDOUT, check=False
        ).returncode
    text = log.read_text(encoding="utf-8", errors="replace")
    counts = [*_EXECUTIONS.findall(text), *_COUNT.findall(text), "0"]
    found = [f"{reason}: see {log}" for code, reason in ((code, "fuzzing"), (replay, "memory")) if code]
    coverage = max(map(int, _COVERAGE.findall(text)), default=0)
    return Outcome(name, max(map(int, counts)), elapsed, coverage, len(list(corpus.iterdir())), found)


def show(outcome: Outcome) -> str:
    return (
        f"{outcome.name:20} {outcome.executions:>11,} {outcome.seconds:>8.0f} {outcome.coverage:>9,} "
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
    parser.add_argument("--input", type=pathlib.Path, help="run the target on this file alone")
    arguments = parser.parse_args()
    chosen = names if arguments.all else arguments.targets
    if not chosen or set(chosen) - set(names):
        parser.error(f"which target? There are {', '.join(names)}")
    if arguments.input is not None:
        target = harness.load_target(*chosen)
        print(f"{harness.run_measured(target, arguments.input.read_bytes())} bytes of memory at most")
        return 0
    if arguments.runs < 0 and not arguments.seconds:
        parser.error("how long? --runs or --seconds says it")
    print(f"{'target':20} {'executions':>11} {'seconds':>8} {'coverage':>9} {'corpus':>7} {'findings':>9}", flush=True)
    outcomes = []
    with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
        waiting = [pool.submit(fuzz, name, arguments.out, arguments.runs, arguments.seconds) for name in chosen]
        for each in concurrent.futures.as_completed(waiting):
            outcomes.append(each.result())
            print(show(outcomes[-1]), flush=True)
    for outcome in outcomes:
        for finding in outcome.findings:
            print(f"{outcome.name}: {finding}")
    return any(outcome.findings for outcome in outcomes)


if __name__ == "__main__":
    sys.exit(main())
