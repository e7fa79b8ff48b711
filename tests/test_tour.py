"""The examples of the tour run and print what the page says; its commands exist."""

from __future__ import annotations

import argparse
import importlib
import pathlib
import re
import shlex

import pytest

from tests.document_blocks import blocks

_DOCS = pathlib.Path(__file__).resolve().parent.parent / "docs"
_TOUR = _DOCS / "tour.md"


def _blocks() -> list[tuple[str, str]]:
    return blocks(_TOUR)


def _needs_session(text: str) -> bool:
    """Whether a block is TensorFlow's, or goes on with what such a block has saved."""
    return "Session" in text or "export_saved_model" in text


def _needs_other_program(text: str) -> bool:
    return _needs_session(text) or "import keras" in text or "import torch" in text


def _run_after_the_first(program: str) -> tuple[dict[str, object], str]:
    """Runs the block that imports a program, after the first one, which imports the others.

    Returns:
        The names that it leaves, and the block that follows: what it prints, if it prints anything.
    """
    found = _blocks()
    namespace: dict[str, object] = {}
    first = next(text for language, text in found if language == "python")
    exec(compile(first, "tour.md", "exec"), namespace)
    number = next(number for number, (_, text) in enumerate(found) if f"import {program}\n" in text)
    exec(compile(found[number][1], f"tour.md, block {number}", "exec"), namespace)
    return namespace, found[number + 1][1]


def test_python_blocks_run_and_print_what_stands_below_them(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {}
    found = _blocks()
    num_run = 0
    for number, (language, text) in enumerate(found):
        if language != "python" or _needs_other_program(text):
            continue
        exec(compile(text, f"tour.md, block {number}", "exec"), namespace)
        num_run += 1
        printed = capsys.readouterr().out
        if printed:
            assert printed == found[number + 1][1]
    assert num_run >= 2


def test_comments_say_what_the_expressions_give(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    block = next(text for language, text in _blocks() if language == "python")
    namespace: dict[str, object] = {}
    exec(compile(block, "tour.md", "exec"), namespace)
    said = re.findall(r"^(\S.*?) +# (\[.*\]|\(.*?\)|array\(.*\))", block, re.MULTILINE)
    assert len(said) == 3
    for expression, value in said:
        assert repr(eval(expression, namespace)) == value


def test_keras_example_prints_what_stands_below_it(tmp_path, monkeypatch, capsys):
    pytest.importorskip("tensorflow")
    pytest.importorskip("keras", minversion="3")
    monkeypatch.chdir(tmp_path)
    namespace, below = _run_after_the_first("keras")
    assert capsys.readouterr().out == below
    assert (namespace["network"].layers[0].kernel.numpy() == 1).all()


def test_torch_example_runs(tmp_path, monkeypatch):
    torch = pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    namespace, _ = _run_after_the_first("torch")
    assert namespace["loaded"]["epoch"] == 3
    assert torch.equal(namespace["loaded"]["model"]["weight"], namespace["layer"].weight)


def test_commands_have_these_verbs_and_options():
    assert _parse_commands(_TOUR) >= 10


@pytest.mark.parametrize("guide", sorted(_DOCS.glob("*.md")), ids=lambda guide: guide.stem)
def test_commands_of_guides_have_these_verbs_and_options(guide):
    _parse_commands(guide)


def _parse_commands(document: pathlib.Path) -> int:
    commands = [
        line
        for language, text in blocks(document)
        if language == "sh"
        for line in text.replace("\\\n", " ").splitlines()
    ]
    ours = [re.split(r" (?:&&|\|\|?|>) ", line)[0] for line in commands if line.startswith("tfsaver ") and not line.startswith("tfsaver --")]
    for line in ours:
        _, verb, *arguments = shlex.split(line, comments=True)
        parser = argparse.ArgumentParser(exit_on_error=False)
        importlib.import_module(f"tfsaver.cli.{verb.replace('-', '_')}").add_arguments(parser)
        parser.parse_args(arguments)
    return len(ours)


def test_session_examples_run(tmp_path, monkeypatch):
    pytest.importorskip("tensorflow")
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {}
    for language, text in _blocks():
        if language == "python" and _needs_session(text):
            exec(compile(text, "tour.md", "exec"), namespace)
    assert namespace["path"] == "example/session-1"
    assert namespace["newest"] == "example/better-2"
    assert (tmp_path / "example" / "session-1.index").is_file()
    assert [item.name for item in namespace["report"].missing] == ["bias"]
    assert (tmp_path / "example" / "better-2.index").is_file()
    assert list(namespace["model"].signatures["serving_default"].inputs) == ["images"]
