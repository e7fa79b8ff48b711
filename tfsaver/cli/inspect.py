"""``tfsaver inspect``: what a checkpoint holds."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

from tfsaver.checkpoint.measuring import Measures, can_measure, measure
from tfsaver.checkpoint.report import json_number
from tfsaver.checkpoint.selection import Selectable
from tfsaver.checkpoint.tensor_source import TensorSource
from tfsaver.cli import output, scopes, screen, values
from tfsaver.cli.arguments import add_common, add_patterns, checkpoint_path, positive, selection_of
from tfsaver.cli.objects import objects_lines, objects_records
from tfsaver.cli.outcome import FOUND, OK, Outcome, error_record
from tfsaver.cli.text import count, escape, escape_message, human_size, shape_text, unescape
from tfsaver.verbs import survey
from tfsaver.verbs.load_checkpoint import load_checkpoint
from tfsaver.verbs.survey import Survey, TensorRow

NAME = "inspect"
HELP = "List a checkpoint's tensors. Values are read only if you ask for them."

_EPILOG = """\
Optimizer state is identified from the .meta file next to the checkpoint, from names, and from structure: companions of the
variables' dtype and shape. What only structure says is marked as inferred. Names are printed
with \\x00 for what is not printable and \\\\ for a backslash; --values takes them as they are printed.

examples:
  tfsaver inspect model.ckpt-1000
  tfsaver inspect export/ --select kernel --sort size
  tfsaver inspect model.ckpt-1000 --tree --depth 2 --sort size   the largest scopes
  tfsaver inspect model.ckpt-1000 --values global_step

The report in the JSON document; sizes are bytes:
  checkpoint      the prefix of PATH
  format          "V1" or "V2", or what `tfsaver convert --from` calls the format of another program's file
  byte_order      "little" or "big"; null if the format has none of its own
  num_shards      number of data files
  object_based    whether names are paths of an object graph (TensorFlow 2)
  files           path, shard_id (null for an index), size (null if it is missing)
  tensors         name, dtype, shape, num_parameters, num_bytes, pieces, optimizer (null, or name, slot, variable,
                  inferred), role (null, "optimizer", "metric", "iterator" or "average"), average_of (null, or the
                  variable); with --stats also statistics (null, or min, max, mean, norm, num_nan, num_infinite,
                  num_zero); with --values also value
  tensors.pieces  shard_id, offset, size (both null in V1), slice (null for a whole tensor, else "start,length" or "-" for
                  each dimension, joined by ":")
  totals          num_tensors, num_parameters, num_bytes of these tensors
  optimizers      name, num_slots, num_variables, num_others, num_bytes
  without_optimizers  the totals without optimizer state
  objects         with --objects: null, or of each object path (null if none leads to it), children (name: number in this
                  list), values (name, full_name, key), slots (name, variable_id, node_id)
  errors          of each tensor whose entry is damaged: class, message, facts
A byte of a name that is not UTF-8 is a lone surrogate, \\udc80 to \\udcff.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the verb."""
    parser.add_argument("path", metavar="PATH", type=checkpoint_path, help="a prefix, a directory, or a checkpoint's file")
    chosen = parser.add_argument_group("which tensors")
    add_patterns(chosen)
    chosen.add_argument("--sort", choices=("name", "size"), default="name", help="order; size is largest first")
    chosen.add_argument("--reverse", action="store_true", help="the opposite order")
    chosen.add_argument("--limit", metavar="N", type=positive, help="print at most N lines of the list")
    shown = parser.add_argument_group("what to show")
    shown.add_argument(
        "--values",
        "--value",
        metavar="NAME",
        nargs="+",
        action="extend",
        help="the values of these tensors, instead of the list",
    )
    shown.add_argument("--tree", action="store_true", help="the scopes of the names as a tree, with totals of each")
    shown.add_argument("--depth", metavar="N", type=positive, help="with --tree: levels to show (all)")
    shown.add_argument("--objects", action="store_true", help="the object graph of a TensorFlow 2 checkpoint, as a tree")
    shown.add_argument("--stats", action="store_true", help="minimum, maximum, mean, NaNs; reads every value")
    shown.add_argument("--roles", action="store_true", help="the role of each tensor (training, average, model), and why")
    shown.add_argument("--slices", action="store_true", help="each slice of partitioned variables")
    add_common(parser, epilog=_EPILOG, verbose="print slices, the variable of each slot, and the files with their sizes")


def run(arguments: argparse.Namespace) -> Outcome:
    """Prints what was asked for; `FOUND` when an entry of the index is damaged."""
    report = None
    with load_checkpoint(arguments.path, trusted=not arguments.untrusted) as reader:
        found = survey.take_survey(reader, arguments.path, trusted=not arguments.untrusted)
        rows = _chosen_rows(reader, found, arguments)
        if arguments.json:
            report = _document(reader, found, rows, arguments)
        elif not arguments.quiet:
            _print(reader, found, rows, arguments)
    for error in found.errors:
        output.print_error(error)
    return Outcome(FOUND if found.errors else OK, report)


def _chosen_rows(reader: TensorSource, found: Survey, arguments: argparse.Namespace) -> list[TensorRow]:
    if arguments.values:
        by_name = {row.info.name: row for row in found.rows}
        names = [_name_as_typed(text, reader) for text in arguments.values]
        # A name that is not there: the reader's own error says which are near.
        return [by_name[name] if name in by_name else _row_of(reader, name) for name in dict.fromkeys(names)]
    rows = found.rows
    if (selection := selection_of(arguments)) is not None:
        kept = set(selection.select({row.info.name: Selectable(row.info.shape, row.info.num_bytes) for row in rows}).kept)
        rows = [row for row in rows if row.info.name in kept]
    rows = survey.sorted_rows(rows, arguments.sort)
    return rows[::-1] if arguments.reverse else rows


def _row_of(reader: TensorSource, name: str) -> TensorRow:
    return TensorRow(reader.info(name), None, None)


def _name_as_typed(text: str, reader: TensorSource) -> str:
    if text in reader:
        return text
    return unescape(text, reader.names) or text.removesuffix(":0")


def _print(reader: TensorSource, found: Survey, rows: Sequence[TensorRow], arguments: argparse.Namespace) -> None:
    out = output.open_screen()
    if arguments.values:
        for row in rows:
            info = row.info
            text = values.format_array(reader[info.name], info.dtype)
            out.line(f"{escape(info.name)}  {info.dtype}  {shape_text(info.shape)}", "bold")
            out.line(text)
        return
    # Before anything is printed, since it may not be there.
    objects = list(objects_lines(reader)) if arguments.objects else []
    out.line(_headline(found), "bold")
    out.line()
    if objects:
        for line in objects:
            out.line(line)
        out.line()
    elif rows and (arguments.tree or arguments.depth is not None):
        tree = scopes.scopes_of(rows)
        lines = scopes.lines_of(tree, depth=arguments.depth, sort=arguments.sort, reverse=arguments.reverse)
        _print_table(out, scopes.COLUMNS, list(lines), arguments.limit)
    elif rows and arguments.roles:
        columns = [screen.Column("name"), screen.Column("role"), screen.Column("why", style="dim")]
        cells = [[escape(row.info.name), _role_name(row) or "model", escape(row.reason)] for row in rows]
        _print_table(out, columns, cells, arguments.limit)
    elif rows:
        # Columns are those of the checkpoint, whatever part of it is listed; statistics are of the listed part alone.
        listed = rows[: arguments.limit]
        _print_table(out, *_table(reader, found, listed, arguments), arguments.limit, len(rows))
    _print_totals(out, found, rows)
    if found.others:
        out.line(f"{count(len(found.others), 'entry', 'entries')} besides tensors, as in {escape_message(found.others[0])}")
    if arguments.verbose:
        out.line()
        files = [
            [escape(file.path), "missing" if file.size is None else human_size(file.size)]
            for file in survey.stored_files(reader, arguments.path)
        ]
        out.table([screen.Column("file"), screen.Column("size", is_number=True)], files)


def _print_table(
    out: screen.Screen,
    columns: Sequence[screen.Column],
    lines: Sequence[Sequence[str]],
    limit: int | None,
    num_lines: int | None = None,
) -> None:
    """A table of at most some lines, and how many more there are."""
    more = (len(lines) if num_lines is None else num_lines) - len(lines[:limit])
    out.table(columns, lines[:limit])
    if more:
        out.line(f"and {more:,} more", "dim")
    out.line()


def _headline(found: Survey) -> str:
    facts = [escape_message(found.description)]
    if found.format in ("V1", "V2"):
        facts.append(count(found.num_shards, "data file" if found.format == "V2" else "file"))
    if found.byte_order == "big":
        facts.append("big-endian")
    if found.is_object_based:
        facts.append("object-based: names are paths of its object graph")
    return f"{escape(found.prefix)}: {', '.join(facts)}"


def _table(
    reader: TensorSource, found: Survey, rows: Sequence[TensorRow], arguments: argparse.Namespace
) -> tuple[list[screen.Column], list[list[str]]]:
    """Columns that would be empty for all of the checkpoint are left out, whatever part of it is listed."""
    columns = [screen.Column("name"), screen.Column("dtype", style="cyan"), screen.Column("shape", style="green")]
    # In a narrow window, statistics need the room.
    columns.append(screen.Column("size", is_number=True, may_go=arguments.stats))
    lines = [
        [escape(row.info.name), row.info.dtype.name, shape_text(row.info.shape), human_size(row.info.num_bytes)]
        for row in rows
    ]

    def add(column: screen.Column, cells: Sequence[str]) -> None:
        columns.append(column)
        for line, cell in zip(lines, cells, strict=True):
            line.append(cell)

    if found.num_shards > 1:
        add(screen.Column("shard", may_go=arguments.stats), [",".join(map(str, row.info.shard_ids)) for row in rows])
    if any(row.is_sliced for row in found.rows):
        spelled = arguments.slices or arguments.verbose
        add(
            screen.Column("slices", is_number=not spelled),
            [" ".join(map(str, row.info.slices)) if spelled else str(len(row.info.slices) or "") for row in rows],
        )
    if any(row.training or row.average_of for row in found.rows):
        add(screen.Column("role", style="dim", may_go=arguments.stats), [_role(row, arguments.verbose) for row in rows])
    if arguments.stats:
        measures = _measures(reader, rows)
        cells = [_statistics_cells(measures.get(row.info.name)) for row in rows]
        for number, title in enumerate(("min", "max", "mean", "nan", "inf")):
            is_idle = title in ("nan", "inf") and not any(line[number] not in ("", "0") for line in cells)
            add(screen.Column(title, is_number=True, may_go=is_idle), [line[number] for line in cells])
    return columns, lines


def _role(row: TensorRow, verbose: bool) -> str:
    if row.average_of is not None:
        return "average" + (f" of {escape(row.average_of)}" if verbose else "")
    if row.training is None:
        return ""
    if row.optimizer is None:
        return row.training.role
    optimizer, slot, variable = row.optimizer[:3]
    mark = " (inferred)" if row.optimizer.is_inferred else ""
    if variable is None:
        return escape(optimizer) + mark
    # Most slots carry their variable's name in their own.
    is_plain = variable.removesuffix("/.ATTRIBUTES/VARIABLE_VALUE") in row.info.name
    return escape(optimizer if is_plain and not verbose else f"{optimizer}: {slot} of {variable}") + mark


def _role_name(row: TensorRow) -> str | None:
    if row.average_of is not None:
        return "average"
    return None if row.training is None else row.training.role


def _measures(reader: TensorSource, rows: Sequence[TensorRow]) -> dict[str, Measures]:
    """What the values are like, by name; tensors of strings and complex numbers have no measures.

    Raises:
        DataLossError: A tensor is damaged.
    """
    found, damaged = measure(reader, [row.info.name for row in rows if can_measure(row.info)])
    for error in damaged.values():
        raise error
    return found


def _statistics_cells(found: Measures | None) -> list[str]:
    if found is None:
        return [""] * 5
    numbers = ["" if number is None else f"{number:.4g}" for number in (found.min, found.max, found.mean)]
    return [*numbers, str(found.num_nan), str(found.num_infinite)]


def _print_totals(out: screen.Screen, found: Survey, rows: Sequence[TensorRow]) -> None:
    total = survey.totals(rows)
    of_all = f" of {len(found.rows):,}" if len(rows) < len(found.rows) else ""
    out.line(_count_tensors(total, of_all), "bold")
    optimizers = survey.optimizer_totals(rows)
    for optimizer in optimizers:
        parts = []
        if optimizer.num_slots:
            slots, variables = count(optimizer.num_slots, "slot"), count(optimizer.num_variables, "variable")
            parts.append(f"{slots} of {variables}")
        if optimizer.num_others:
            parts.append(f"{optimizer.num_others:,} of its own")
        out.line(f"optimizer state ({escape(optimizer.name)}): {', '.join(parts)}, {human_size(optimizer.num_bytes)}")
    if optimizers:
        rest = survey.totals(row for row in rows if row.optimizer is None)
        out.line(f"without optimizer state: {_count_tensors(rest)}")
    if averages := [row for row in rows if row.average_of is not None]:
        out.line(f"moving averages: {_count_tensors(survey.totals(averages))}")


def _count_tensors(total: survey.Totals, of_all: str = "") -> str:
    tensors = f"{total.num_tensors:,}{of_all} tensor{'' if total.num_tensors == 1 and not of_all else 's'}"
    return f"{tensors}, {count(total.num_parameters, 'parameter')}, {human_size(total.num_bytes)}"


def _document(
    reader: TensorSource, found: Survey, rows: Sequence[TensorRow], arguments: argparse.Namespace
) -> dict[str, Any]:
    objects = {"objects": objects_records(reader)} if arguments.objects else {}
    measures = _measures(reader, rows) if arguments.stats else None
    return {
        "checkpoint": found.prefix,
        "format": found.format,
        "byte_order": found.byte_order,
        "num_shards": found.num_shards,
        "object_based": found.is_object_based,
        "files": [file._asdict() for file in survey.stored_files(reader, arguments.path)],
        "tensors": [_record(reader, row, arguments, measures) for row in rows],
        "totals": survey.totals(rows)._asdict(),
        "optimizers": [optimizer._asdict() for optimizer in survey.optimizer_totals(rows)],
        "without_optimizers": survey.totals(row for row in rows if row.optimizer is None)._asdict(),
        **objects,
        "errors": [error_record(error) for error in found.errors],
    }


def _record(
    reader: TensorSource, row: TensorRow, arguments: argparse.Namespace, measures: Mapping[str, Measures] | None
) -> dict[str, Any]:
    info = row.info
    record: dict[str, Any] = {
        "name": info.name,
        "dtype": info.dtype.name,
        "shape": info.shape,
        "num_parameters": row.num_parameters,
        "num_bytes": info.num_bytes,
        "pieces": [
            {
                "shard_id": piece.shard_id,
                "offset": piece.offset,
                "size": piece.size,
                "slice": None if piece.tensor_slice is None else str(piece.tensor_slice),
            }
            for piece in info.pieces
        ],
        "optimizer": None,
        "role": _role_name(row),
        "average_of": row.average_of,
    }
    if row.optimizer is not None:
        name, slot, variable, is_inferred, _ = row.optimizer
        record["optimizer"] = {"name": name, "slot": slot, "variable": variable, "inferred": is_inferred}
    if measures is not None:
        record["statistics"] = _statistics_record(measures.get(info.name))
    if arguments.values:
        record["value"] = values.to_json(reader[info.name])
    return record


def _statistics_record(found: Measures | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {
        "min": found.min,
        "max": found.max,
        "mean": found.mean,
        "norm": json_number(found.norm),
        "num_nan": found.num_nan,
        "num_infinite": found.num_infinite,
        "num_zero": found.num_zero,
    }
