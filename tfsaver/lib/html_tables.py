"""HTML of facts from files: what a notebook shows of readers, models and reports, and a page of `report` without scripts.

Every text is escaped here, and only here: a name that is markup is shown as it is written.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

from tfsaver.lib.printable import printable

# More rows are no longer read; a page that draws its own table shows all.
MAX_ROWS = 200


def text(value: object) -> str:
    """A value as text of a document."""
    return html.escape(printable(str(value)))


def table(caption: str, titles: Sequence[str], rows: Iterable[Sequence[object]], num_rows: int, numbers: int = 0) -> str:
    """A table of the first rows.

    Args:
        caption: What the table is of.
        titles: The columns' titles.
        rows: The cells.
        num_rows: How many rows there are; those past `MAX_ROWS` are counted.
        numbers: How many of the last columns hold numbers.
    """
    first_number = len(titles) - numbers

    def cell(place: int, value: object) -> str:
        align = "right" if place >= first_number else "left"
        return f'<td style="text-align:{align};white-space:nowrap">{text(value)}</td>'

    head = "".join(f'<th scope="col" style="text-align:left">{text(title)}</th>' for title in titles)
    body = []
    for number, row in enumerate(rows):
        if number == MAX_ROWS:
            break
        body.append(f"<tr>{''.join(cell(place, value) for place, value in enumerate(row))}</tr>")
    more = f"<p>and {num_rows - len(body):,} more</p>" if num_rows > len(body) else ""
    caption = f'<caption style="text-align:left"><b>{text(caption)}</b></caption>'
    return f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table>{more}"


def lines(shown: Iterable[str]) -> str:
    """Lines of text as they are."""
    return f"<pre>{chr(10).join(map(text, shown))}</pre>"
