"""docs/design.md lists the files of each folder that are there, and no other."""

from __future__ import annotations

import pathlib
import re

import pytest

_ROOT = pathlib.Path(__file__).resolve().parent.parent
_PICTURE = (_ROOT / "docs" / "design.md").read_text("utf-8").partition("## Decisions")[0]
# Folders of which the picture names every file; the others list most of theirs in their own `__init__.py`.
_LISTED = (
    "lib",
    "table",
    "framework",
    "tensor_bundle",
    "checkpoint",
    "checkpoint/doctor",
    "checkpoint/editing",
    "checkpoint/names",
    "checkpoint/objects",
    "checkpoint/optimizers",
    "checkpoint/restoring",
    "graph",
    "convert",
    "convert/trees",
    "compat/v2",
)
_IN_THEIR_OWN = ("saved_model", "compat")


def _modules(folder: str) -> set[str]:
    return {path.stem for path in (_ROOT / "tfsaver" / folder).glob("*.py")} - {"__init__"}


def _named(text: str) -> set[str]:
    return set(re.findall(r"`(\w+)`", text))


@pytest.mark.parametrize("folder", _LISTED)
def test_every_file_is_in_the_picture(folder):
    assert _modules(folder) - _named(_PICTURE) == set()


@pytest.mark.parametrize("folder", _IN_THEIR_OWN)
def test_every_file_is_in_its_folders_own_list(folder):
    text = (_ROOT / "tfsaver" / folder / "__init__.py").read_text("utf-8")
    assert _modules(folder) - set(re.findall(r"\w+", text)) - _named(_PICTURE) == set()


def test_every_file_in_the_picture_is_there():
    there = {path.stem for path in (_ROOT / "tfsaver").rglob("*.py")}
    assert _named(_PICTURE) - there <= {"Saver", "restore"}
