"""Fixtures that every folder of tests shares."""

from __future__ import annotations

import os
import pathlib

import pytest

pytest_plugins = [
    "tests.plugins.optional_programs",
    "tests.plugins.exhaustive",
    "tests.plugins.evidence",
    "tests.plugins.frozen_modules",
    "tests.plugins.tensorflow_programs",
]

_ROOT = pathlib.Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def cases() -> pathlib.Path:
    """The folder of checkpoints and SavedModels that other programs wrote."""
    folder = pathlib.Path(os.environ.get("TFSAVER_CASES", _ROOT.parent / "shared" / "cases"))
    if not folder.is_dir():
        pytest.skip(f"the folder of files that other programs wrote is not at {folder}; TFSAVER_CASES names another place")
    return folder


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> set[int]:
    """The inodes that were synced."""
    inodes: set[int] = set()
    sync = os.fsync

    def note(descriptor: int) -> None:
        inodes.add(os.fstat(descriptor).st_ino)
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    return inodes
