"""Numbers and names on one line."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfsaver.cli.text import count, describe, error_text, escape, escape_message, human_size, shape_text, unescape
from tfsaver.errors import CheckpointNotFoundError, InvalidArgumentError, UnimplementedError


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (12_345, "12.3 kB"),
        (999_949, "999.9 kB"),
        (999_951, "1.0 MB"),
        (12_300_000, "12.3 MB"),
        (7 * 10**9, "7.0 GB"),
        (3 * 10**21, "3000.0 EB"),
    ],
)
def test_sizes_are_decimal(size: int, text: str) -> None:
    assert human_size(size) == text


def test_counts_and_shapes() -> None:
    assert (count(1, "tensor"), count(0, "tensor"), count(5001, "tensor")) == ("1 tensor", "0 tensors", "5,001 tensors")
    assert (shape_text(()), shape_text((784, 10))) == ("[]", "[784,10]")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("dense/kernel:0", "dense/kernel:0"),
        ("größe", "größe"),
        ("a\nb\x00\x7f", r"a\x0ab\x00\x7f"),
        ("back\\slash", r"back\\slash"),
        (b"\xff\xfe".decode("utf-8", "surrogateescape"), r"\xff\xfe"),
        ("\u200b\u00a0\U000e0001", r"\u200b\u00a0\U000e0001"),
        ("\x1b[31mred", r"\x1b[31mred"),
    ],
)
def test_what_is_not_printable_is_spelled_out(name: str, text: str) -> None:
    assert escape(name) == text
    assert unescape(text, ["other", name]) == name


@given(st.lists(st.text(), min_size=2, max_size=2, unique=True))
def test_two_names_never_look_the_same(names: list[str]) -> None:
    first, second = map(escape, names)
    assert first != second
    assert first.isprintable()


def test_unknown_name_is_none() -> None:
    assert unescape("a", ["b"]) is None


def test_messages_keep_their_own_backslashes() -> None:
    assert escape_message("no checkpoint at 'a\\nb'\n") == "no checkpoint at 'a\\nb'\\x0a"


def test_report_keeps_its_lines_and_no_name_adds_one() -> None:
    error = UnimplementedError.of_lines(["cannot hold 2:", "  no type: a\ntfsaver: error: fine\x1b[2J", "leave them out"])
    error.add_context("x\ny.npz")
    assert error_text(error).splitlines() == [
        "x\\x0ay.npz: cannot hold 2:",
        "    no type: a\\x0atfsaver: error: fine\\x1b[2J",
        "  leave them out",
    ]
    assert error_text(InvalidArgumentError("a\nb")) == "a\\x0ab"
    again = pickle.loads(pickle.dumps(error))
    assert again.lines == error.lines and str(again) == str(error)


def test_errors_say_what_they_say_themselves() -> None:
    error = CheckpointNotFoundError("x", looked_for=["x.index"])
    assert describe(error) == str(error)
    assert describe(PermissionError(13, "Permission denied", b"/x")) == "/x: Permission denied"
    assert describe(OSError("odd")) == "odd"
