"""Lookup tables and checkpoints written from objects go between tfsaver's Saver and TensorFlow, old and new."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.interop.guest_process import GuestProcess
from tests.interop.tensors import described, of_every_kind
from tfsaver import load_checkpoint

CONTENT = {"one": 1, "größe": 2, "": -3}


def test_tensorflows_table_takes_what_our_saver_saved(
    guest: GuestProcess, tensorflow_2: GuestProcess, tmp_path: Path
) -> None:
    prefix = tensorflow_2.ask("save_table", prefix=str(tmp_path / "model"), content=CONTENT, ours=True)
    with load_checkpoint(prefix) as reader:
        assert reader.names == ["words-keys", "words-values"]
    assert guest.ask("restore_table", prefix=prefix) == CONTENT


def test_our_saver_fills_the_table_that_tensorflow_saved(
    guest: GuestProcess, tensorflow_2: GuestProcess, tmp_path: Path
) -> None:
    prefix = guest.ask("save_table", prefix=str(tmp_path / "model"), content=CONTENT)
    assert tensorflow_2.ask("restore_table", prefix=prefix, ours=True) == CONTENT


@pytest.mark.parametrize("kind", ["ref", "resource"])
def test_our_saver_restores_what_was_written_from_objects(
    guest: GuestProcess, tensorflow_2: GuestProcess, tmp_path: Path, kind: str
) -> None:
    variables = of_every_kind(sorted(set(guest.about[kind]) & set(tensorflow_2.about[kind])))
    saved = guest.ask("save_objects", prefix=str(tmp_path / "objects"), variables=variables, kind=kind)
    restored = tensorflow_2.ask("restore_variables", prefix=saved["prefix"], variables=variables, kind=kind, ours=True)
    assert restored == {name: row[2] for name, row in described(variables).items()}
