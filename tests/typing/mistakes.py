"""What mypy --strict and pyright have to reject: one mistake on each line that ends in "# mistake". It is never run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tfsaver


def mistakes(model: Any, out: Path) -> None:
    tfsaver.convert("model", out, format="saftensors")  # mistake
    tfsaver.restore(model, "model", by="nmae")  # mistake
    tfsaver.verify({"w": [1.0]})  # mistake
    tfsaver.cast("model", out, "bfloat16", format="v2")  # mistake
    tfsaver.merge(["a", "b"], out, on_conflict="frist")  # mistake
    tfsaver.convert("model", out, names="fulll")  # mistake
    tfsaver.select("model", out, include="kernel")  # mistake
    tfsaver.rename("model", {"a": "b"}, out)  # mistake
    tfsaver.save_checkpoint({"w": [1.0]}, out, num_shards="2")  # mistake
    tfsaver.load("model", framework="tensorflow")  # mistake
    tfsaver.average("model", out, wieghts=[1.0])  # mistake
    tfsaver.salvage("model", out, dry_run="value")  # mistake
    tfsaver.load_chekpoint("model")  # mistake
    print(tfsaver.verify("model").is_ok)  # mistake
    tfsaver.export_saved_model("model", out, output=["y"])  # mistake
