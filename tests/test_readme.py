"""The README is short, its example runs, its links lead somewhere, and its figures are those that were measured."""

from __future__ import annotations

import json
import pathlib
import re

import pytest

from benchmarks import publish
from tests.document_blocks import run_blocks

_ROOT = pathlib.Path(__file__).resolve().parent.parent
_README = _ROOT / "README.md"
_LINKS = re.findall(r"\]\(([^)]+)\)", _README.read_text("utf-8"))


def test_readme_fits_on_a_few_screens():
    assert len(_README.read_text("utf-8").splitlines()) <= 150


def test_readme_example_runs_and_prints_what_stands_below_it(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run_blocks(_README, lambda: capsys.readouterr().out) == 1
    assert (tmp_path / "example" / "report.html").stat().st_size > 100_000


@pytest.mark.parametrize("link", sorted(set(_LINKS)))
def test_readme_link_leads_to_a_file(link):
    assert (_ROOT / link).exists()


def test_readme_shows_the_report_the_terminal_and_the_measured_speed():
    assert {"docs/images/report.png", "docs/images/terminal.png"} <= set(_LINKS)
    figures = json.loads((_ROOT / "docs" / "speed.json").read_text("utf-8"))
    bars = publish.bars(figures["rows"])
    assert bars.count("\n") == 3
    assert bars in _README.read_text("utf-8")
