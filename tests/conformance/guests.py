"""The optional packages that some sources and routes need, imported quietly and only when a cell asks for them."""

from __future__ import annotations

import contextlib
import functools
import importlib
import logging
import os
import warnings
from typing import Any


class MissingPackageError(Exception):
    """A cell needs a package that is not installed; the message is the reason of its skip."""


# The package that pip knows where it is not the module's name.
_EXTRAS = {"tensorflow": "tensorflow", "torch": "torch", "safetensors": "safetensors", "h5py": "keras", "orbax": "orbax"}


@functools.cache
def guest(module: str) -> Any:
    """An optional module.

    Raises:
        MissingPackageError: It is not installed.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    package = module.partition(".")[0]
    with warnings.catch_warnings():
        # TensorFlow, and what JAX imports, warn about themselves.
        warnings.simplefilter("ignore")
        try:
            found = importlib.import_module(module)
        except ImportError as error:
            raise MissingPackageError(f"needs {package}: pip install 'tfsaver[{_EXTRAS[package]}]'") from error
        if module == "tensorflow":
            found.compat.v1.train.Saver  # noqa: B018 - its module is loaded, and warns, when it is first named
            _prepare(found)
    return found


def _prepare(tf: Any) -> None:
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    # Devices are counted when the first of them is used, and tests/compat needs two in the same process.
    with contextlib.suppress(RuntimeError):
        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
