"""What a notebook shows of readers, models and reports, and `to_pandas`."""

from __future__ import annotations

import html.parser
import pathlib

import numpy as np
import pytest

import tfsaver
from tests.cli.saved_model_files import write_model
from tests.cli.test_saved_model_lint import sound_proto
from tfsaver.lib import html_tables

HOSTILE = "<script>alert(1)</script>\x1b[31m\u202e&"


def cells(page: str) -> list[str]:
    """The texts of the cells of a document, which must not have a script."""
    found: list[str] = []

    class Cells(html.parser.HTMLParser):
        def handle_starttag(self, tag: str, attrs: object) -> None:
            assert tag not in ("script", "img")
            if tag in ("td", "th"):
                found.append("")

        def handle_data(self, data: str) -> None:
            if found:
                found[-1] += data

    Cells(convert_charrefs=True).feed(page)
    return found


@pytest.fixture
def reader(tmp_path: pathlib.Path) -> tfsaver.CheckpointReader:
    values = {"w": np.zeros((3, 4), np.float32), "words": ["a", "b"], HOSTILE: np.zeros(1500, np.int64)}
    return tfsaver.load_checkpoint(tfsaver.save_checkpoint(values, tmp_path / "m", durable=False))


def test_a_reader_is_a_table_of_its_tensors(reader: tfsaver.CheckpointReader) -> None:
    found = cells(reader._repr_html_())
    assert found[:5] == ["name", "dtype", "shape", "elements", "bytes"]
    assert r"<script>alert(1)</script>\x1b[31m\u202e&" in found
    place = found.index("w")
    assert found[place : place + 5] == ["w", "float32", "[3, 4]", "12", "48"]


def test_a_long_table_shows_its_beginning() -> None:
    page = html_tables.table("t", ["n"], ([number] for number in range(1000)), 1000)
    assert page.count("<tr>") == html_tables.MAX_ROWS + 1
    assert "and 800 more" in page


def test_a_report_is_its_lines(reader: tfsaver.CheckpointReader) -> None:
    report = tfsaver.diff({"<b>": np.zeros(1)}, {"<b>": np.ones(1)})
    page = report._repr_html_()
    assert "&lt;b&gt;" in page and "<b>" not in page and page.startswith("<pre>")


def test_a_model_is_its_signatures_and_variables(tmp_path: pathlib.Path) -> None:
    write_model(tmp_path / "export", sound_proto())
    with tfsaver.load_saved_model(tmp_path / "export") as model:
        found = cells(model._repr_html_())
    assert {"signature", "serving_default", "in", "out"} <= set(found)


def test_to_pandas_is_a_frame_of_facts(reader: tfsaver.CheckpointReader) -> None:
    pytest.importorskip("pandas")
    frame = reader.to_pandas()
    assert frame.loc["w"].tolist() == ["float32", (3, 4), 12, 48]
    assert frame["num_bytes"].sum() == sum(reader.info(name).num_bytes for name in reader)
    assert list(frame.index) == list(reader)
