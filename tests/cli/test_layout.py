"""Tables in windows: what is cut, what goes, what stays, and when a pager is asked."""

from __future__ import annotations

import pathlib
import stat

import numpy as np
import pytest

import tfsaver
from tests.cli.process import run_in_terminal, run_process
from tests.cli.test_screen import without_colours
from tfsaver.cli.screen import Column, Layout
from tfsaver.cli.text import cut, width

NAME, NUMBER, TEXT = Column("name"), Column("n", is_number=True), Column("text")


def shown(columns: list[Column], rows: list[list[str]], window: int | None) -> list[str]:
    layout = Layout(columns, rows, window)
    return ["  ".join(layout.cells(row)) for row in rows]


@pytest.mark.parametrize("text", ["encoder/layer_11/attention/kernel", "層" * 20, "e\u0301" * 30, "a" * 200])
@pytest.mark.parametrize("room", [6, 7, 20, 21])
def test_cut_texts_keep_both_ends_and_fit(text: str, room: int) -> None:
    found = cut(text, room)
    assert width(found) <= room
    start, _, end = found.partition("…")
    assert text.startswith(start) and (not end or text.endswith(end)) and end
    assert cut(text, 1000) == text


def test_nothing_is_cut_where_there_is_no_window() -> None:
    assert shown([NAME, TEXT], [["n" * 300, "t" * 300]], None) == ["n" * 300 + "  " + "t" * 300]


def test_names_are_cut_before_other_texts_and_numbers_never() -> None:
    [line] = shown([NAME, TEXT, NUMBER], [["n" * 100, "t" * 30, "123456"]], 70)
    assert width(line) == 70 and "t" * 30 in line and line.endswith("123456") and "…" in line
    [line] = shown([NAME, TEXT, NUMBER], [["n" * 100, "t" * 100, "123456"]], 60)
    assert width(line) == 60 and line.count("…") == 2 and line.endswith("123456")


def test_columns_that_may_go_leave_their_room_to_names() -> None:
    columns = [NAME, Column("size", is_number=True, may_go=True), TEXT]
    rows = [["n" * 30, "1" * 10, "t" * 20]]
    assert shown(columns, rows, 64) == ["  ".join(rows[0])]
    assert shown(columns, rows, 56)[0].endswith("1" * 10 + "  " + "t" * 20)
    assert shown(columns, rows, 52) == ["n" * 30 + "  " + "t" * 20]


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> str:
    """23 tensors with long names and wide ranges, and optimizer slots."""
    values = {}
    for number in range(8):
        name = f"bert/encoder/layer_{number}/attention/output/dense/kernel"
        values[name] = np.linspace(-1.23456e-7, 9.87654e11, 96, dtype=np.float32).reshape(3, 1, 4, 8)
        values[f"{name}/Adam"] = values[f"{name}/Adam_1"] = np.full((3, 1, 4, 8), -1.5e-30, np.float32)
    values.popitem()
    return tfsaver.save_checkpoint(values, tmp_path_factory.mktemp("many") / "m", durable=False)


@pytest.mark.parametrize("columns", [80, 120])
@pytest.mark.parametrize("changes", [{}, {"NO_COLOR": "1"}])
def test_statistics_are_a_line_a_tensor_in_a_terminal(many: str, columns: int, changes: dict[str, str]) -> None:
    if not changes:
        pytest.importorskip("rich")
    status, text = run_in_terminal("inspect", many, "--stats", COLUMNS=str(columns), PAGER="cat", **changes)
    lines = without_colours(text).splitlines()
    assert status == 0
    assert max(map(len, lines[1:])) <= columns
    rows = [line for line in lines if "kernel" in line]
    assert len(rows) == 23 and all("e+11" in row or "e-30" in row for row in rows)
    assert len(lines) < 32


def test_a_pager_gets_what_is_longer_than_the_window(many: str, tmp_path: pathlib.Path) -> None:
    pager = tmp_path / "pager"
    pager.write_text("#!/bin/sh\necho paged\ncat\n")
    pager.chmod(pager.stat().st_mode | stat.S_IEXEC)
    _, text = run_in_terminal("inspect", many, COLUMNS="120", LINES="10", PAGER=str(pager), NO_COLOR="1")
    plain = run_process("inspect", many).stdout.decode()
    assert text.replace("\r\n", "\n") == f"paged\n{plain}"
    _, text = run_in_terminal("inspect", many, COLUMNS="120", LINES="100", PAGER=str(pager), NO_COLOR="1")
    assert text.replace("\r\n", "\n") == plain
    _, text = run_in_terminal("inspect", many, COLUMNS="120", LINES="10", PAGER="there-is-no-such-pager", NO_COLOR="1")
    assert text.replace("\r\n", "\n") == plain
    assert b"paged" not in run_process("inspect", many, LINES="10", PAGER=str(pager)).stdout
