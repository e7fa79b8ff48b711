"""What ``tfsaver doctor`` reports: to people, and as JSON."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from typing import Any

from tfsaver.checkpoint.doctor.data_pairing import Pairing
from tfsaver.checkpoint.doctor.diagnosis import Diagnosis, Examined
from tfsaver.checkpoint.doctor.leftovers import Cleaning
from tfsaver.checkpoint.doctor.state_repair import StateRepair
from tfsaver.checkpoint.write_report import WriteReport
from tfsaver.cli import screen
from tfsaver.cli.text import count, escape, escape_message, human_size


def print_diagnosis(out: screen.Screen, diagnosis: Diagnosis, arguments: argparse.Namespace) -> None:
    """The checkpoints as a table, what is wrong, and a summary."""
    directory = escape(diagnosis.directory or ".")
    if diagnosis.checkpoints and not arguments.quiet:
        columns = [
            screen.Column("checkpoint", style="cyan"),
            screen.Column("format"),
            screen.Column("step", is_number=True),
            screen.Column("written"),
            screen.Column("size", is_number=True),
            screen.Column("meta"),
            screen.Column("state"),
        ]
        out.table(columns, [_row(each) for each in diagnosis.checkpoints])
        if arguments.verbose:
            for path in (path for each in diagnosis.checkpoints for path in each.found.paths):
                out.line(f"  {escape(path)}")
        out.line()
    for finding in diagnosis.findings:
        if finding.kind != "leftover" and (finding.is_problem or not arguments.quiet):
            where = escape(finding.where)
            message = escape_message(finding.message)
            word = "PROBLEM" if finding.is_problem else "note"
            out.line(f"{word}: {where}: {message}", "red" if finding.is_problem else "")
    if arguments.quiet and diagnosis.ok:
        return
    newest = diagnosis.newest_sound
    problems = count(len(diagnosis.problems), "problem")
    summary = f"{directory}: {count(len(diagnosis.checkpoints), 'checkpoint')}, {problems}"
    if newest is None and diagnosis.saved_model is not None and not diagnosis.checkpoints:
        out.line(summary, "green" if diagnosis.ok else "bold red")
    elif newest is not None:
        name = escape(newest.found.name or newest.found.prefix)
        out.line(f"{summary}; the newest sound one is {name}", "green" if diagnosis.ok else "bold red")
    else:
        out.line(f"{summary}; none is sound", "bold red")


def _row(each: Examined) -> list[str]:
    found = each.found
    return [
        escape(found.name or found.prefix),
        found.version,
        "" if found.step is None else str(found.step),
        time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(found.time)),
        human_size(found.num_bytes),
        "" if found.meta_graph is None else "yes",
        each.state,
    ]


def print_cleaning(out: screen.Screen, cleaning: Cleaning, is_done: bool) -> None:
    """The leftovers, and what happened to them or would."""
    for leftover in cleaning.removed:
        verb = "removed" if is_done else "left by a killed save"
        out.line(f"{verb}: {escape(leftover.path)}, {human_size(leftover.num_bytes)}")
    for leftover, reason in cleaning.kept:
        out.line(f"left by a save, and kept: {escape(leftover.path)}, {human_size(leftover.num_bytes)}: {reason}")
    if cleaning.removed and not is_done:
        out.line(f"--clean removes {count(len(cleaning.removed), 'leftover')}, {human_size(cleaning.num_bytes)}")


def print_repair(out: screen.Screen, repair: StateRepair, is_dry: bool) -> None:
    """What was done to the state file, or would be."""
    path = escape(repair.path)
    if not repair.is_changed:
        out.line(f"{path} is right already", "green")
    else:
        kept = f"; the old one is {escape(repair.kept_as)}" if repair.kept_as else ""
        done = "would be rewritten" if is_dry else "is rewritten"
        out.line(f"{path} {done}: {escape(repair.newest)} is the newest of {len(repair.listed)}{kept}", "green")
    for text in repair.dropped:
        out.line(f"  no longer listed: {escape(text)}")
    if repair.unlisted:
        out.line(
            f"  {count(len(repair.unlisted), 'checkpoint')} in no list, left alone: --list-all adds them, and a Saver may "
            "then remove the oldest"
        )


def print_pairings(out: screen.Screen, pairings: Sequence[Pairing]) -> None:
    """Which data files have other names now."""
    for pairing in pairings:
        kept = f"; what had that name is {escape(pairing.kept_as)}" if pairing.kept_as else ""
        out.line(f"{escape(pairing.path)} is what was called {escape(pairing.source)}{kept}", "green")


def to_json(
    diagnosis: Diagnosis,
    repair: StateRepair | None,
    cleaning: Cleaning,
    is_cleaned: bool,
    is_ok: bool,
    pairings: Sequence[Pairing] = (),
) -> dict[str, Any]:
    """All of it for a program."""
    leftovers = [(leftover, is_cleaned, None) for leftover in cleaning.removed]
    leftovers += [(leftover, False, reason) for leftover, reason in cleaning.kept]  # type: ignore[misc]
    return {
        **diagnosis.to_json(),
        "ok": is_ok,
        "leftovers": [
            {"path": each.path, "num_bytes": each.num_bytes, "time": each.time, "removed": removed, "reason": reason}
            for each, removed, reason in leftovers
        ],
        "re_paired": [pairing._asdict() for pairing in pairings],
        "fix": repair
        and {
            "path": repair.path,
            "newest": repair.newest,
            "listed": repair.listed,
            "dropped": repair.dropped,
            "unlisted": repair.unlisted,
            "kept_as": repair.kept_as,
            "changed": repair.is_changed,
        },
    }


def print_salvage(out: screen.Screen, report: WriteReport, arguments: argparse.Namespace) -> None:
    """What was saved and what was lost."""
    for sentence in report.damage:
        out.line(f"damaged: {escape_message(sentence)}", "red")
    for name, reason in report.lost.items():
        out.line(f"lost: {escape(name)}: {escape_message(reason)}", "red")
    for name, slices in report.partial.items():
        out.line(f"in part: {escape(name)}, without {', '.join(slices)}", "red")
    if arguments.quiet:
        return
    if arguments.verbose:
        for tensor in report.tensors or ():
            out.line(f"saved: {escape(tensor.name)}")
    for note in report.notes:
        out.line(f"note: {escape_message(note)}")
    saved = count(report.after.num_tensors, "tensor")
    lost = f"{count(len(report.lost), 'tensor')} lost" if report.lost else "no tensor known to be lost"
    where = f" to {escape(report.target)}" if report.target is not None else ""
    out.line(f"{escape(report.sources[0])}: {saved} saved{where}, {human_size(report.num_bytes)}; {lost}", "bold")
