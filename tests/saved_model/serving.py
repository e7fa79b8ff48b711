"""TensorFlows that run SavedModels, each in a process of its own: by Python's loaders, and by the C interface."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np

from tests.interop.guest_process import GuestProcess
from tfsaver.saved_model.loader import load_saved_model

_HERE = Path(__file__).parent

Value = list[Any]


class ServingProcess(GuestProcess):
    """A TensorFlow that answers the questions of guest/verbs.py."""

    _c_interface: GuestProcess | None = None

    def _start(self) -> subprocess.Popen[str]:
        return _started([self.python, str(_HERE / "guest" / "server.py")], self._log)

    @property
    def is_tensorflow_1(self) -> bool:
        return bool(self.about["tensorflow"].startswith("1."))

    @property
    def c_interface(self) -> GuestProcess:
        """The C interface of the same TensorFlow, in a process that does not import it."""
        if self._c_interface is None:
            self._c_interface = _CInterface(self.python, self._log, self.about["directory"])
        return self._c_interface

    def close(self) -> None:
        super().close()
        if self._c_interface is not None:
            self._c_interface.close()


class _CInterface(GuestProcess):
    """Answers `run` as c_loader.py does; `path` is where its TensorFlow is installed."""

    def _start(self) -> subprocess.Popen[str]:
        return _started([self.python, str(_HERE / "c_loader.py"), self._path], self._log)


def _started(command: list[str], log_path: Path) -> subprocess.Popen[str]:
    with log_path.open("a") as log:
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=_environment(),
            cwd=log_path.parent,
        )


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
    if _c_can(guest, inputs):
        assert_close(guest.c_interface.ask("run", path=path, tags=tags, feeds=feeds, fetches=fetches), expected)
    if guest.is_tensorflow_1:
        return {}
    by_v2: dict[str, Any] = guest.ask("run_v2", path=path, tags=tags, key=key, inputs=inputs)
    assert_close([by_v2["outputs"][name] for name in signature.outputs], expected)
    return by_v2


def _c_can(guest: ServingProcess, inputs: dict[str, Value]) -> bool:
    # The C interface of TensorFlow 1 has strings in another form.
    return not (guest.is_tensorflow_1 and any(value[0] == "string" for value in inputs.values()))


