"""Plain text for pipes, rich's for a person; a person is simulated by a pseudo-terminal."""

from __future__ import annotations

import json
import pathlib
import re

import pytest

import tfsaver
from tests.cli.process import run_in_terminal, run_process
from tfsaver.cli.output import open_progress, open_screen, print_json
from tfsaver.cli.screen import Column, PlainScreen

_WITHOUT_RICH = """
import sys
sys.modules["rich"] = None
from tfsaver.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


def without_colours(text: str) -> str:
    """What a terminal shows, without the sequences that colour it."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text).replace("\r\n", "\n")


def test_plain_tables_align_and_end_without_blanks(capsys: pytest.CaptureFixture[str]) -> None:
    PlainScreen().table(
        [Column("name"), Column("size", is_number=True), Column("role")], [["a", "1 B", ""], ["long", "22 B", "x"]]
    )
    assert capsys.readouterr().out == "name  size  role\na      1 B\nlong  22 B  x\n"


def test_nobody_watches_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    assert isinstance(open_screen(), PlainScreen)
    with open_progress("x") as progress:
        assert progress is None
    assert capsys.readouterr() == ("", "")


def test_json_has_a_line_for_each_record(capsys: pytest.CaptureFixture[str]) -> None:
    document = {"a": 1, "none": [], "numbers": [1, 2], "records": [{"x": "\udcff"}, {"y": "é"}]}
    print_json(document)
    output = capsys.readouterr().out
    assert output.isascii()
    assert json.loads(output) == document
    assert len(output.splitlines()) == 9


def test_terminal_gets_colours_and_the_same_words(trained: str) -> None:
    pytest.importorskip("rich")
    status, shown = run_in_terminal("inspect", trained)
    plain = run_process("inspect", trained).stdout.decode()
    assert status == 0
    assert "\x1b[" in shown
    assert "\x1b" not in plain
    words = [word for word in without_colours(shown).split() if not set(word) <= {"─"}]
    assert words == plain.split()


def test_terminal_shows_brackets_and_colons_of_names_as_they_are(tmp_path: pathlib.Path) -> None:
    pytest.importorskip("rich")
    tfsaver.save_checkpoint({"[bold]w[/bold]:smile:": [1.0], "\x1b[31m": [1.0]}, tmp_path / "m", durable=False)
    status, shown = run_in_terminal("inspect", str(tmp_path / "m"))
    assert status == 0
    assert "[bold]w[/bold]:smile:" in without_colours(shown)
    assert r"\x1b[31m" in without_colours(shown)


def test_a_long_name_loses_its_middle_in_a_terminal_and_nothing_in_a_pipe(tmp_path: pathlib.Path) -> None:
    pytest.importorskip("rich")
    name = "/".join(f"layer_{number}" for number in range(60))
    tfsaver.save_checkpoint({name: [1.0], "w": [1.0]}, tmp_path / "m", durable=False)
    assert name in run_process("inspect", str(tmp_path / "m")).stdout.decode()
    _, shown = run_in_terminal("inspect", str(tmp_path / "m"))
    [line] = [line for line in without_colours(shown).splitlines() if "layer_" in line]
    start, end = line.split()[0].split("…")
    assert name.startswith(start) and name.endswith(end) and len(start) > 10
    assert len(line.rstrip()) <= 120


def test_colours_can_be_forced_and_forbidden(trained: str) -> None:
    pytest.importorskip("rich")
    assert b"\x1b[" in run_process("inspect", trained, FORCE_COLOR="1").stdout
    assert b"\x1b[" not in run_process("inspect", trained, FORCE_COLOR="1", NO_COLOR="1").stdout
    assert run_process("verify", trained, FORCE_COLOR="1").stderr == b""


def test_wide_characters_align(capsys: pytest.CaptureFixture[str]) -> None:
    PlainScreen().table([Column("name"), Column("size")], [["\u5c42", "1"], ["ab", "2"], ["e\u0301", "3"]])
    assert capsys.readouterr().out == "name  size\n\u5c42    1\nab    2\ne\u0301     3\n"


def test_a_table_of_thousands_of_rows_has_colours(cases: pathlib.Path) -> None:
    pytest.importorskip("rich")
    path = str(cases / "gen_many_variables_v2")
    status, shown = run_in_terminal("inspect", path)
    plain = run_process("inspect", path).stdout.decode().splitlines()
    assert status == 0
    assert shown.count("\x1b[36m") > 5000
    coloured = [line for line in without_colours(shown).splitlines() if not set(line) <= {"─"} or not line]
    assert coloured == plain
    assert len(plain) > 5001


def test_verify_draws_a_bar_and_takes_it_away(trained: str) -> None:
    pytest.importorskip("rich")
    status, shown = run_in_terminal("verify", trained)
    assert status == 0
    assert "━" in shown
    assert "738/738 bytes" in without_colours(shown)
    assert shown.index("━") < shown.index("OK, 8 tensors")


@pytest.mark.parametrize("changes", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_terminal_without_colours_gets_plain_text(trained: str, changes: dict[str, str]) -> None:
    for verb in ("inspect", "verify"):
        status, shown = run_in_terminal(verb, trained, **changes)
        assert status == 0
        assert shown.replace("\r\n", "\n") == run_process(verb, trained).stdout.decode()


def test_terminal_without_rich_gets_plain_text(trained: str) -> None:
    for verb in ("inspect", "verify"):
        status, shown = run_in_terminal(verb, trained, code=_WITHOUT_RICH)
        assert status == 0
        assert shown.replace("\r\n", "\n") == run_process(verb, trained).stdout.decode()
