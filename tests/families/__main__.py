"""The table of families: ``python -m tests.families``.

For each family that a ready table knows, a small random model of its own package: how far the outputs of today's program are
from those of the original graph, whether its tensors are bit for bit those of the second witness, and how many steps it took.
Where transformers is installed, the directory that ``convert`` writes is opened by ``from_pretrained`` and run; else the outputs
are those that transformers 4.57.6 gave for tensors of the same bits when the model was recorded.
"""

from __future__ import annotations

import importlib.util
import pathlib
import sys
import tempfile
from typing import Any

import numpy as np

import tfsaver
from tests.families.models import KERAS, TABLES, TORCH
from tests.families.recorded import record
from tests.families.recordings import FAMILIES, Recording, differing, recording


def _difference(made: dict[str, np.ndarray], recorded: Recording) -> float:
    return max(float(np.abs(array - recorded.arrays[name]).max()) for name, array in made.items())


def _with_transformers(recorded: Recording) -> dict[str, np.ndarray]:
    import torch
    import transformers

    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "model"
        # The recorded package approximates gelu by tanh.
        given = {"hidden_act": "gelu_new"} if recorded.family == "bert" else None
        tfsaver.convert(recorded.prefix, path, format="hf", defaults=given, durable=False)
        config = transformers.AutoConfig.from_pretrained(path)
        kind = getattr(transformers, config.architectures[0])
        model, said = kind.from_pretrained(path, output_loading_info=True)
        assert not said["missing_keys"] and not said["unexpected_keys"] and not said["mismatched_keys"], said
        with torch.no_grad():
            outputs = getattr(record, f"outputs_{recorded.family}")(torch, model.eval(), recorded.arrays)
    return {name: tensor.numpy() for name, tensor in outputs.items()}


def _rows(recorded: Recording) -> list[tuple[str, str, float, str]]:
    rows = []
    family = recorded.family
    if family in TABLES:
        tensors = recorded.mapped(TABLES[family])
        wrong = differing(tensors, recorded.witness)
        bits = f"{len(tensors)} of {len(tensors)}" if not wrong else f"not {', '.join(wrong)}"
        if importlib.util.find_spec("transformers"):
            made, program = _with_transformers(recorded), "transformers, opened"
        else:
            outputs = recorded.witness["outputs"].items()
            made, program = {name: np.array(value, np.float32) for name, value in outputs}, "transformers, recorded"
        rows.append((program, f"convert --to hf ({TABLES[family]})", _difference(made, recorded), bits))
    if family in TORCH and importlib.util.find_spec("torch"):
        table, run = TORCH[family]
        tensors = recorded.mapped(table)
        rows.append(("torch", table, _difference(run(tensors, recorded), recorded), _elements(tensors, recorded)))
    if family in KERAS and importlib.util.find_spec("tensorflow"):
        table, make = KERAS[family]
        model: Any = make(recorded)
        tfsaver.restore(model, recorded.prefix, mapping=table)
        tensors = {variable.path: np.asarray(variable) for variable in model.variables}
        made = {"logits": np.asarray(model(recorded.arrays["images"], training=False))}
        rows.append(("keras", f"restore ({table})", _difference(made, recorded), _elements(tensors, recorded)))
    return rows


def _elements(tensors: dict[str, np.ndarray], recorded: Recording) -> str:
    """Whether all numbers are there with their bits, wherever; the outputs say where."""
    old = np.concatenate([array.ravel() for array in recorded.tensors().values()])
    new = np.concatenate([array.ravel() for array in tensors.values()])
    is_same = np.array_equal(np.sort(old), np.sort(new[new != 0]))
    return f"{len(tensors)} of {len(tensors)}" if is_same else "no"


def main() -> int:
    """Prints the table; returns 1 where a line is not as it should be."""
    status = 0
    print(f"{'family':<14}{'program':<24}{'by':<52}{'outputs differ':<16}{'bit for bit':<14}{'steps':<7}recorded with")
    for family in FAMILIES:
        with recording(family) as recorded:
            versions = ", ".join(f"{name} {number}" for name, number in recorded.versions.items() if name != "numpy")
            for program, way, difference, bits in _rows(recorded):
                print(f"{family:<14}{program:<24}{way:<52}{difference:<16.1e}{bits:<14}{1:<7}{versions}")
                if difference > 1e-5 or not bits[:1].isdigit():
                    status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
