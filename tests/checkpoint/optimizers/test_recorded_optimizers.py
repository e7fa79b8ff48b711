"""What real programs' optimizers wrote is told apart from their models, with the `.meta` and without."""

from __future__ import annotations

import functools
import io
import json
import pathlib
import tarfile
from typing import NamedTuple

import pytest

import tfsaver
from tfsaver import Selection, load_checkpoint

RECORDED = pathlib.Path(__file__).parent / "recorded" / "recorded.tar.xz"

# One companion of a name that is no optimizer's: an average would look the same, so that it stays without a .meta.
UNDECIDED = {"momentum_unlike_any"}


@functools.cache
def recorded() -> dict[str, dict[str, bytes]]:
    rows: dict[str, dict[str, bytes]] = {}
    with tarfile.open(fileobj=io.BytesIO(RECORDED.read_bytes())) as packed:
        for member in packed:
            row, _, name = member.name.partition("/")
            file = packed.extractfile(member)
            assert file is not None
            rows.setdefault(row, {})[name] = file.read()
    return rows


class Row(NamedTuple):
    prefix: pathlib.Path
    weights: frozenset[str]
    optimizer: frozenset[str]
    others: frozenset[str]


def unpack(row: str, folder: pathlib.Path) -> Row:
    for name, data in recorded()[row].items():
        (folder / name).write_bytes(data)
    expected = json.loads((folder / "expected.json").read_text())
    model = frozenset(name for kind in ("weights", "averages", "statistics") for name in expected[kind])
    return Row(folder / "model.ckpt", model, frozenset(expected["optimizer"]), frozenset(expected["others"]))


def test_table_has_rows_of_every_library() -> None:
    rows = recorded()
    assert sum("model.ckpt.meta" in files for files in rows.values()) >= 30
    assert {row.partition("_")[0] for row in rows} >= {"t2t", "opennmt", "keras", "keras3", "tf"}


@pytest.mark.parametrize("row", sorted(recorded()))
def test_state_of_recorded_optimizers_is_left_out_and_nothing_else(tmp_path: pathlib.Path, row: str) -> None:
    prefix, weights, optimizer, others = unpack(row, tmp_path)
    for meta in (True, False):
        report = tfsaver.strip(prefix, tmp_path / "out", meta=meta, dry_run=True)
        left_out = set(report.left_out)
        assert not left_out & weights
        if row in UNDECIDED and not meta:
            assert any("kept, though they may be slots: 8 tensors" in note for note in report.notes)
            continue
        assert left_out - others == optimizer
        # What an optimizer does not list as its own: hyperparameters, metrics.
        assert all(name.rpartition("/")[2] != "global_step" and "GRAPH" not in name for name in left_out & others)
    with load_checkpoint(prefix) as reader:
        if row not in UNDECIDED:
            selected = Selection(without_optimizer=True).select_from(reader)
            assert set(selected.left_out) - others == optimizer


def test_inference_is_called_one_and_can_be_overridden(tmp_path: pathlib.Path) -> None:
    prefix, _, optimizer, _ = unpack("adam_named", tmp_path)
    report = tfsaver.strip(prefix, tmp_path / "out", meta=False, dry_run=True)
    assert report.left_out["net/head/bias/g_adam"].reason == "state of the optimizer g_adam, by inference"
    assert any(f"inferred, not known: {len(optimizer)} tensors" in note and "--keep" in note for note in report.notes)
    kept = tfsaver.strip(prefix, tmp_path / "out", meta=False, keep="/g_adam", dry_run=True)
    assert set(kept.left_out) == {"train/beta1_power", "train/beta2_power"}
    known, *_ = unpack("adam", tmp_path)
    assert not any("inferred" in note for note in tfsaver.strip(known, tmp_path / "out", meta=False, dry_run=True).notes)
