"""Measures everything, or what `--only` names, and prints medians and ratios.

    python -m benchmarks                                   all of it: about 20 minutes on two cores
    python -m benchmarks --only save restore --scale 0.1   a quick look: no figures to quote
    python -m benchmarks --publish docs                    also docs/speed.json, docs/speed.png, the tables in docs/speed.md
                                                           and the bars in README.md
    python -m benchmarks --list                            what there is
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks import places, plan, publish, results, rounds, table
from benchmarks.kept_memory import KeptMemory

_KINDS = ("save", "restore", "ref", "small", "write", "read", "neighbours", "index", "memory", "durable")


def arguments() -> argparse.ArgumentParser:
    """The command's options."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=_KINDS, metavar="GROUP", help=f"of: {', '.join(_KINDS)}")
    parser.add_argument("--place", choices=("memory", "disk"), help="only with files there")
    parser.add_argument("--data", metavar="TEXT", help="only data whose title has this in it: 'in 10', 'in 1,000'")
    parser.add_argument("--scale", type=float, default=1.0, help="so many times the data (default: 1)")
    parser.add_argument("--rounds", type=int, default=5, help="counted rounds of each group; a few are content with less")
    parser.add_argument("--disk", type=Path, metavar="DIR", help="a directory on a disk (default: the temporary one)")
    parser.add_argument(
        "--keep-memory",
        action="store_true",
        help="use all free memory between steps: where a virtual machine's host would take it, and is slow to give it back",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write everything measured")
    parser.add_argument("--picture", type=Path, metavar="FILE", help="also draw the ratios")
    parser.add_argument("--publish", type=Path, metavar="DIR", help="speed.json, speed.png and the tables of speed.md there")
    parser.add_argument("--list", action="store_true", help="say what there is, and measure nothing")
    return parser


@contextlib.contextmanager
def directories(disk: Path | None) -> Iterator[dict[str, Path]]:
    """A directory in memory and one on the disk; both go with the block, and when the program is told to end."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with (
        tempfile.TemporaryDirectory(prefix="tfsaver-benchmarks-", dir=places.MEMORY) as memory,
        tempfile.TemporaryDirectory(prefix="tfsaver-benchmarks-", dir=disk) as on_disk,
    ):
        yield {"memory": Path(memory), "disk": Path(on_disk)}


def chosen(options: argparse.Namespace) -> list[plan.Group]:
    """The groups that are to run."""
    return [
        group
        for group in plan.groups()
        if (options.only is None or group.name in options.only)
        and (options.place is None or group.place == options.place)
        and (options.data is None or group.workload.title.endswith(options.data))
    ]


def run_group(group: plan.Group, options: argparse.Namespace, directory: Path, kept: KeptMemory) -> results.Answers:
    """The answers of a group's steps."""
    kept.leave(places.total_memory())
    workload = group.workload.scaled(options.scale)
    needed = group.num_copies * workload.size
    if places.available_memory() < needed or places.free_size(directory) < needed // 2:
        reason = f"needs {needed / 1e9:.0f} GB of memory, and half of it for files"
        return {step: [{"skipped": reason}] for step in group.steps}
    if group.is_memory:
        return rounds.run_once_each(group, workload, directory / group.name)
    num_rounds = min(options.rounds, group.max_rounds or options.rounds)
    return rounds.run_rounds(group, workload, num_rounds, directory / group.name, kept)


def measure(options: argparse.Namespace) -> tuple[list[results.RowResult], list[results.Speed], bool]:
    """All rows and speeds, and whether something failed that should not; says how far it is on standard error."""
    rows: list[results.RowResult] = []
    speeds: list[results.Speed] = []
    has_failed = False
    limit = places.total_memory() if options.keep_memory else 0
    with directories(options.disk) as where, contextlib.closing(KeptMemory(limit)) as kept:
        for group in chosen(options):
            workload = group.workload.scaled(options.scale)
            print(f"{group.name}, {workload.title}, {group.place} ...", end=" ", file=sys.stderr, flush=True)
            start = time.monotonic()
            answers = run_group(group, options, where[group.place], kept)
            print(f"{time.monotonic() - start:.0f} s", file=sys.stderr)
            has_failed |= any("error" in answer for of_step in answers.values() for answer in of_step)
            rows += results.row_results(group, workload, answers)
            speeds += results.speeds(group, workload, answers)
    return rows, speeds, has_failed


def keep(options: argparse.Namespace, about: dict[str, Any], rows: list[Any], speeds: list[Any]) -> None:
    """Writes the files that were asked for."""
    json_path, picture = options.json, options.picture
    if options.publish is not None:
        json_path, picture = options.publish / "speed.json", options.publish / "speed.png"
        publish.fill_page(options.publish / "speed.md", about, rows, speeds)
        publish.fill_readme(options.publish.parent / "README.md", [dataclasses.asdict(row) for row in rows])
    if json_path is not None:
        json_path.write_text(publish.as_json(about, rows, speeds), "utf-8")
    if picture is not None:
        try:
            from benchmarks.picture import draw  # noqa: PLC0415 - matplotlib may be absent
        except ImportError as error:
            print(f"no picture: {error}", file=sys.stderr)
        else:
            draw(rows, picture, publish.caption(about))


def main(argv: list[str] | None = None) -> int:
    """Prints the tables.

    Returns:
        1 when a program failed at something it can do; a target that was missed is no failure.
    """
    options = arguments().parse_args(argv)
    if options.list:
        for group in chosen(options):
            print(f"{group.name}, {group.workload.scaled(options.scale).title}, {group.place}")
            for step in group.steps:
                print(f"    {step}")
        return 0
    start = time.monotonic()
    try:
        rows, speeds, has_failed = measure(options)
    except KeyboardInterrupt:
        return 130
    about = {**results.machine(), "scale": options.scale, "rounds": options.rounds}
    print(publish.caption(about), end="\n\n")
    print(table.as_text(table.rows_as_cells(rows)))
    print("\n".join(table.reasons(rows)), end="\n\n")
    print(table.as_text(table.speeds_as_cells(speeds)))
    keep(options, about, rows, speeds)
    print(f"\n{time.monotonic() - start:.0f} s in all", file=sys.stderr)
    return 1 if has_failed else 0


if __name__ == "__main__":
    sys.exit(main())
