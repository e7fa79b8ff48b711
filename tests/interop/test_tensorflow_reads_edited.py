"""Checkpoints that were edited as files, restored by name in TensorFlow, old and new."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tfsaver
from tests.interop.guest.digests import digest
from tests.interop.guest_process import GuestProcess
from tfsaver import load_checkpoint

BERT = "v2_tiny_bert_keras_bert/bert_model.ckpt"


def restored(guest: GuestProcess, prefix: str | None, expected: dict[str, np.ndarray[Any, Any]], kind: str = "ref") -> None:
    """A Saver restores each of the tensors into a variable, and finds these values."""
    assert prefix is not None
    variables = [
        {"name": name, "dtype": value.dtype.name, "shape": list(value.shape), "seed": 0} for name, value in expected.items()
    ]
    digests = guest.ask("restore_variables", prefix=prefix, variables=variables, kind=kind)
    assert digests == {name: digest(value, value.dtype.name) for name, value in expected.items()}


@pytest.mark.parametrize("case", [BERT, "v2_t2t_transformer_two_shards", "v2_tfx_estimator_ckpt"])
def test_stripped(guest: GuestProcess, cases: Path, tmp_path: Path, case: str) -> None:
    prefix = tfsaver.strip(cases / case, tmp_path / "out", num_shards=2).target
    with load_checkpoint(cases / case) as old, load_checkpoint(prefix or "") as new:
        assert len(new) < len(old)
        restored(guest, prefix, {name: old[name] for name in new.names})


@pytest.mark.parametrize("written", ["V2", "V1"])
def test_renamed(guest: GuestProcess, cases: Path, tmp_path: Path, written: str) -> None:
    mapping = [("^bert/", "encoder/"), ("/kernel$", "/w", True)]
    prefix = tfsaver.rename(cases / BERT, tmp_path / "out", mapping, format=written).target
    with load_checkpoint(cases / BERT) as old:
        expected = {
            name.replace("bert/", "encoder/", 1) if name.startswith("bert/") else name: old[name]
            for name in old.names
            if "adam" not in name
        }
    kernels = {name: np.ascontiguousarray(value.T) for name, value in expected.items() if name.endswith("/kernel")}
    expected = {name: value for name, value in expected.items() if name not in kernels}
    expected.update({name.removesuffix("kernel") + "w": value for name, value in kernels.items()})
    assert len(kernels) == 14
    restored(guest, prefix, expected)


def test_averaged(guest: GuestProcess, cases: Path, tmp_path: Path) -> None:
    runs = [cases / "v2_tfx_estimator_ckpt" / f"model.ckpt-{step}" for step in (0, 999, 1000)]
    prefix = tfsaver.average(runs, tmp_path / "out").target
    readers = [load_checkpoint(run) for run in runs]
    expected = {}
    for name in readers[-1].names:
        values = [reader[name] for reader in readers]
        is_float = values[0].dtype == np.float32
        expected[name] = np.mean(values, axis=0, dtype=np.float64).astype(np.float32) if is_float else values[-1]
    restored(guest, prefix, expected)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_cast(guest: GuestProcess, cases: Path, tmp_path: Path, dtype: str) -> None:
    prefix = tfsaver.cast(cases / BERT, tmp_path / "out", dtype, select=tfsaver.Selection(exclude="adam")).target
    with load_checkpoint(cases / BERT) as old, load_checkpoint(prefix or "") as new:
        expected = {
            name: old[name].astype(new.dtype(name)) for name in old.names if "adam" not in name and old[name].dtype == np.float32
        }
    assert {value.dtype.name for value in expected.values()} == {dtype}
    restored(guest, prefix, expected, kind="resource")


@pytest.mark.parametrize("num_shards", [1, 3])
@pytest.mark.parametrize("verb", ["convert", "reshard", "select", "strip", "merge", "split", "cast"])
def test_v1_of_every_verb(guest: GuestProcess, cases: Path, tmp_path: Path, verb: str, num_shards: int) -> None:
    case, out = cases / BERT, tmp_path / "out"
    options: dict[str, Any] = {"format": "V1", "num_shards": num_shards}
    if verb == "convert":
        prefix: str | None = tfsaver.convert(case, out, essential=True, **options).target
    elif verb == "select":
        prefix = tfsaver.select(case, out, tfsaver.Selection(include="^bert/", exclude="adam"), **options).target
    elif verb == "merge":
        parts = tfsaver.split(case, {str(tmp_path / "a"): "^bert/"}, rest=tmp_path / "b").parts
        prefix = tfsaver.merge(list(parts), out, **options).target
    elif verb == "split":
        prefix = tfsaver.split(case, {str(out): "^bert/encoder/"}, rest=tmp_path / "rest", **options).parts[str(out)].target
    elif verb == "cast":
        prefix = tfsaver.cast(case, out, "float16", **options).target
    else:
        prefix = {"reshard": tfsaver.reshard, "strip": tfsaver.strip}[verb](case, out, **options).target
    with load_checkpoint(case) as old, load_checkpoint(prefix or "") as new:
        assert new.version == "V1" and len(new) > 20
        expected = {name: old[name].astype(new.dtype(name)) for name in new.names if "adam" not in name}
    restored(guest, prefix, expected)


def test_mean_in_v1(guest: GuestProcess, cases: Path, tmp_path: Path) -> None:
    runs = [cases / "v2_tfx_estimator_ckpt" / f"model.ckpt-{step}" for step in (0, 1000)]
    prefix = tfsaver.average(runs, tmp_path / "out", format="V1").target
    with load_checkpoint(runs[0]) as first, load_checkpoint(runs[1]) as last:
        expected = {
            name: np.mean([first[name], last[name]], axis=0, dtype=np.float64).astype(np.float32)
            for name in last.names
            if last[name].dtype == np.float32
        }
        assert len(expected) > 20
    restored(guest, prefix, expected)


@pytest.mark.parametrize("options", [{}, {"num_shards": 2}, {"merge_slices": True}, {"format": "V1"}])
def test_partitioned_variables(guest: GuestProcess, cases: Path, tmp_path: Path, options: dict[str, Any]) -> None:
    case = cases / "gen_partitioned_v2_sharded" / "model.ckpt-1"
    prefix = tfsaver.reshard(case, tmp_path / "out", **options).target
    with load_checkpoint(case) as old:
        for name in ("emb/weights", "cols/weights"):
            info = old.info(name)
            texts = [f"{' '.join(map(str, info.shape))} {stored.resolve(info.shape)}" for stored in info.slices]
            variable = {"name": name, "dtype": info.dtype.name, "shape": list(info.shape), "seed": 0, "slices": texts}
            digests = guest.ask("restore_variables", prefix=prefix, variables=[variable], kind="ref")
            parts = [old[name][stored.resolve(info.shape).indices] for stored in info.slices]
            assert digests == {name: [digest(part, info.dtype.name) for part in parts]}
