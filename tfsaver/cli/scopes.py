"""Tensors as a tree of the scopes in their names, with the totals of each scope, for `tfsaver inspect --tree`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tfsaver.checkpoint.names.name_steps import split_attribute
from tfsaver.cli.screen import Column
from tfsaver.cli.text import escape, human_size, shape_text
from tfsaver.verbs import survey
from tfsaver.verbs.survey import TensorRow

COLUMNS = [
    Column("scope"),
    Column("tensors", is_number=True),
    Column("parameters", is_number=True),
    Column("size", is_number=True),
    Column("tensor", style="dim"),
]


class Scope:
    """A part of the names up to a slash, and everything below it.

    Attributes:
        rows: The tensors in it.
        children: The scopes and tensors one level below, by the next part of the name.
        tensor: The tensor that has the name itself.
    """

    def __init__(self) -> None:
        self.rows: list[TensorRow] = []
        self.children: dict[str, Scope] = {}
        self.tensor: TensorRow | None = None


def scopes_of(rows: Sequence[TensorRow]) -> Scope:
    """The tree of some tensors."""
    root = Scope()
    for row in rows:
        scope = root
        scope.rows.append(row)
        for part in split_attribute(row.info.name)[0].split("/"):
            scope = scope.children.setdefault(part, Scope())
            scope.rows.append(row)
        scope.tensor = row
    return root


def lines_of(root: Scope, *, depth: int | None, sort: str, reverse: bool) -> Iterator[list[str]]:
    """The cells of `COLUMNS` for each scope and tensor, those below a scope after it.

    Args:
        root: The tree.
        depth: How many levels to show; None for all. A scope at the last level stands for all below it.
        sort: ``name`` or ``size``, the largest first.
        reverse: Whether to turn that order around.
    """
    pending = [(name, 0, scope) for name, scope in _ordered(root, sort, reverse)]
    pending.reverse()
    while pending:
        name, level, scope = pending.pop()
        # A scope with nothing but another scope in it shares its line.
        while scope.tensor is None and len(scope.children) == 1:
            [(part, scope)] = scope.children.items()
            name = f"{name}/{part}"
        total = survey.totals(scope.rows)
        info = None if scope.tensor is None else scope.tensor.info
        yield [
            "  " * level + escape(name) + ("/" if scope.children else ""),
            f"{total.num_tensors:,}",
            f"{total.num_parameters:,}",
            human_size(total.num_bytes),
            "" if info is None else f"{info.dtype.name} {shape_text(info.shape)}",
        ]
        if depth is None or level + 1 < depth:
            pending += [(part, level + 1, child) for part, child in _ordered(scope, sort, reverse)][::-1]


def _ordered(scope: Scope, sort: str, reverse: bool) -> list[tuple[str, Scope]]:
    items = sorted(scope.children.items())
    if sort == "size":
        items.sort(key=lambda item: -survey.totals(item[1].rows).num_bytes)
    return items[::-1] if reverse else items
