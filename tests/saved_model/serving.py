"""TensorFlows that run SavedModels, each in a process of its own: by Python's loaders, and by the C interface."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np

from tests.interop.guest_process import GuestProcess
from tfsaver.saved_model.loader import load_saved_model

_HERE = Path(__file__).parent
_SECONDS = 300  # what a hanging process may cost before it is killed

Value = list[Any]


class ServingProcess(GuestProcess):
    """A TensorFlow that answers the questions of guest/verbs.py."""

    def _start(self) -> subprocess.Popen[str]:
        with self._log.open("a") as log:
            return subprocess.Popen(
                [self._python, str(_HERE / "guest" / "server.py")],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=_environment(),
                cwd=self._log.parent,
            )

    @property
    def is_tensorflow_1(self) -> bool:
        return bool(self.about["tensorflow"].startswith("1."))

    def run_c(self, requests: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Asks the C interface of the same TensorFlow, in a process that does not import it."""
        done = subprocess.run(
            [self._python, str(_HERE / "c_loader.py"), self.about["directory"]],
            input=json.dumps(requests),
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            env=_environment(),
            check=False,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        answers: list[dict[str, Any]] = json.loads(done.stdout)
        return answers


def _environment() -> dict[str, str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    environment.update(TF_CPP_MIN_LOG_LEVEL="3", CUDA_VISIBLE_DEVICES="-1", PYTHONDONTWRITEBYTECODE="1")
    environment.update(TF_ENABLE_ONEDNN_OPTS="0", TF_USE_LEGACY_KERAS="1")
    return environment


def assert_close(found: list[Value], expected: list[Value]) -> None:
    """Compares values in the form in which they cross between processes."""
    assert [each[:2] for each in found] == [each[:2] for each in expected]
    for ours, theirs in zip(found, expected, strict=True):
        if ours[0] == "string":
            assert ours[2] == theirs[2]
        else:
            np.testing.assert_allclose(ours[2], theirs[2], rtol=1e-5, atol=1e-6)


def serve_everywhere(
    guest: ServingProcess, path: str, inputs: dict[str, Value], expected: list[Value], key: str = "serving_default"
) -> dict[str, Any]:
    """Runs a signature in all the ways that a TensorFlow has, and compares what comes out.

    Args:
        inputs: By the keys of the signature.
        expected: In the order of the keys of the outputs.

    Returns:
        What tf.saved_model.load says of the model; that of TensorFlow 1 is not asked.
    """
    with load_saved_model(path) as model:
        tags = list(model.meta_graphs[0].tags)
        signature = model.signatures[key]
    feeds = {signature.inputs[name].names[0]: value for name, value in inputs.items()}
    fetches = [tensor.names[0] for tensor in signature.outputs.values()]
    assert_close(guest.ask("run_v1", path=path, tags=tags, feeds=feeds, fetches=fetches), expected)
    (by_c,) = guest.run_c([{"path": path, "tags": tags, "feeds": feeds, "fetches": fetches}]) if _c_can(guest, inputs) else ({},)
    assert "error" not in by_c, by_c
    if by_c:
        assert_close(by_c["outputs"], expected)
    if guest.is_tensorflow_1:
        return {}
    by_v2: dict[str, Any] = guest.ask("run_v2", path=path, tags=tags, key=key, inputs=inputs)
    assert_close([by_v2["outputs"][name] for name in signature.outputs], expected)
    return by_v2


def _c_can(guest: ServingProcess, inputs: dict[str, Value]) -> bool:
    # The C interface of TensorFlow 1 has strings in another form.
    return not (guest.is_tensorflow_1 and any(value[0] == "string" for value in inputs.values()))


