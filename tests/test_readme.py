"""The README's examples run, and print what it says they print."""

from __future__ import annotations

import pathlib
import re

import pytest

_README = pathlib.Path(__file__).resolve().parent.parent / "README.md"
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def _blocks() -> list[tuple[str, str]]:
    return _BLOCK.findall(_README.read_text("utf-8"))


def _needs_session(text: str) -> bool:
    """Whether a block is TensorFlow's, or goes on with what such a block has saved."""
    return "Session" in text or "export_saved_model" in text


def test_python_blocks_run_and_print_what_stands_below_them(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {}
    blocks = _blocks()
    num_run = 0
    for number, (language, text) in enumerate(blocks):
        if language != "python" or _needs_session(text):
            continue
        exec(compile(text, f"README.md, block {number}", "exec"), namespace)
        num_run += 1
        printed = capsys.readouterr().out
        if printed:
            assert printed == blocks[number + 1][1]
    assert num_run >= 2


def test_comments_say_what_the_expressions_give(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    block = next(text for language, text in _blocks() if language == "python")
    namespace: dict[str, object] = {}
    exec(compile(block, "README.md", "exec"), namespace)
    said = re.findall(r"^(\S.*?) +# (\[.*\]|\(.*?\)|array\(.*\))", block, re.MULTILINE)
    assert len(said) == 3
    for expression, value in said:
        assert repr(eval(expression, namespace)) == value


def test_session_examples_run(tmp_path, monkeypatch):
    pytest.importorskip("tensorflow")
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {}
    for language, text in _blocks():
        if language == "python" and _needs_session(text):
            exec(compile(text, "README.md", "exec"), namespace)
    assert namespace["path"] == "example/session-1"
    assert (tmp_path / "example" / "session-1.index").is_file()
    assert [item.name for item in namespace["report"].missing] == ["bias"]
    assert (tmp_path / "example" / "better-2.index").is_file()
    assert list(namespace["model"].signatures["serving_default"].inputs) == ["images"]
