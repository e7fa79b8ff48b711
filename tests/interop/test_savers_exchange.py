"""tfsaver's Saver in a TensorFlow 2 session and TensorFlow's own Saver, old and new, take each other's checkpoints."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.interop.guest_process import GuestProcess
from tests.interop.tensors import GRID, described, of_every_kind, part_digests, partitioned, v1_names

KINDS = ("ref", "resource")
# Every run has each pair of a kind, a version and a layout once; an exhaustive one has them all.
_EVERY_KIND = pytest.mark.parametrize(
    ("kind", "version", "sharded"),
    [
        pytest.param(
            kind,
            version,
            sharded,
            id=f"{kind}-{version}-{'sharded' if sharded else 'whole'}",
            marks=() if ((kind == "ref") + version + sharded) % 2 else pytest.mark.exhaustive,
        )
        for kind in KINDS
        for version in (1, 2)
        for sharded in (False, True)
    ],
)


def held_by_both(first: GuestProcess, second: GuestProcess, kind: str, version: int) -> list[str]:
    """The dtypes that variables of either TensorFlow can hold, and that the format can."""
    names = sorted(set(first.about[kind]) & set(second.about[kind]))
    return names if version == 2 else v1_names(names)


@_EVERY_KIND
def test_tensorflows_saver_restores_what_ours_saved(
    guest: GuestProcess, tensorflow_2: GuestProcess, tmp_path: Path, kind: str, version: int, sharded: bool
) -> None:
    names = held_by_both(guest, tensorflow_2, kind, version)
    whole, cut = of_every_kind(names), partitioned(names, GRID)
    saved = tensorflow_2.ask(
        "save_variables",
        prefix=str(tmp_path / "model"),
        variables=whole + cut,
        kind=kind,
        version=version,
        sharded=sharded,
        ours=True,
    )
    restored = guest.ask("restore_variables", prefix=saved["prefix"], variables=whole + cut, kind=kind)
    assert restored == {name: row[2] for name, row in described(whole).items()} | part_digests(cut)


@_EVERY_KIND
def test_our_saver_restores_what_tensorflows_saved(
    guest: GuestProcess, tensorflow_2: GuestProcess, tmp_path: Path, kind: str, version: int, sharded: bool
) -> None:
    names = held_by_both(guest, tensorflow_2, kind, version)
    whole, cut = of_every_kind(names), partitioned(names, GRID)
    saved = guest.ask(
        "save_variables",
        prefix=str(tmp_path / "model"),
        variables=whole + cut,
        kind=kind,
        version=version,
        sharded=sharded,
    )
    restored = tensorflow_2.ask(
        "restore_variables", prefix=saved["prefix"], variables=whole + cut, kind=kind, ours=True
    )
    assert restored == {name: row[2] for name, row in described(whole).items()} | part_digests(cut)
