"""A program as a user writes it, typed: what mypy --strict and pyright have to accept. It is never run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import tfsaver
from tfsaver.errors import ChecksumError, UntrustedPathError


def show(done: int, total: int) -> None:
    print(f"{done / max(total, 1):.0%}")


def newest(run: Path) -> str:
    prefix = tfsaver.latest_checkpoint(run, verified=True, trusted=False)
    if prefix is None:
        raise SystemExit(f"{run} has no checkpoint")
    return prefix


def edit(run: Path, out: Path) -> list[tfsaver.WriteReport]:
    prefix = newest(run)
    with tfsaver.load_checkpoint(prefix) as reader:
        kernel = reader["dense/kernel"]
        shapes = {name: reader.info(name).shape for name in reader}
        reports = [tfsaver.select(reader, out / "weights", tfsaver.Selection(without_optimizer=True), overwrite=True)]
    print(kernel.shape, shapes)
    arrays: Mapping[str, npt.NDArray[np.float32]] = {"w": np.zeros(3, np.float32)}
    reports += [
        tfsaver.cast(prefix, out / "half", "bfloat16", select=["kernel$"], format="V2", dry_run="values"),
        tfsaver.rename(prefix, out / "renamed", {"dense/kernel": "head/kernel"}, num_shards=2, durable=False),
        tfsaver.rename(prefix, out / "named", lambda name: name.removeprefix("tower/"), progress=show),
        tfsaver.merge([prefix, arrays], out / "merged", on_conflict="first", trusted=False),
        tfsaver.average([prefix, out / "half"], out / "mean", weights=[0.25, 0.75]),
        tfsaver.strip(prefix, out / "stripped", keep="ema$", without_global_step=True),
        tfsaver.convert(prefix, out / "model.safetensors", format="safetensors", names="full", dtype="float32"),
        tfsaver.reshard(arrays, out / "old", format="V1"),
        tfsaver.salvage(prefix, out / "saved", keep_partial=True),
        *tfsaver.split(prefix, {out / "bert": "^bert/"}, rest=out / "other").parts.values(),
    ]
    return [report for report in reports if not report.ok]


def check(run: Path, model: Any) -> bool:
    prefix = newest(run)
    try:
        report = tfsaver.verify(prefix, progress=show)
    except UntrustedPathError as error:
        print(error.paths)
        return False
    broken = [problem.where for problem in report.problems if isinstance(problem.error, ChecksumError)]
    restored = tfsaver.restore(model, prefix, by="shape", scope=("tower", ""), strict=False, cast=True)
    same = tfsaver.diff(prefix, {"w": np.zeros(3)}, rtol=1e-6, ignore_dtype=True).ok
    compared = tfsaver.compare(model, prefix, select="^dense/").different
    return not broken and not restored.missing and same and not compared and tfsaver.diagnose(run).ok


def train(session: Any, model: Any, out: Path) -> str:
    saver = tfsaver.compat.v1.train.Saver(max_to_keep=3, num_data_shards=2)
    saver.save(session, str(out / "model"), global_step=1)
    tfsaver.save({"epoch": 3, "w": np.zeros(3)}, out / "tree", overwrite=False)
    tree = tfsaver.load(out / "tree", framework="numpy", select="^w$")
    written: str = tfsaver.save_checkpoint({"w": tree["w"]}, out / "names", num_shards=2, dry_run=True)
    with tfsaver.edit_saved_model(out / "export", trusted=False) as changing:
        changing.replace_variables({"w": np.zeros(3)})
        changing.save(out / "edited", versioned=True)
    signatures = tfsaver.load_saved_model(saved_model=out / "edited").signatures
    print(written, signatures["serving_default"].inputs)
    return tfsaver.export_saved_model(session, out / "export", outputs={"y": model.y}, tags=["serve"], trusted=True)
