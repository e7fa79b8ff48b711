"""The one door to TensorFlow.

Modules write ``_tensorflow.tf.Variable``; TensorFlow is imported when an attribute of this module is first asked for, so
that `import tfsaver` and the functions that need only files stay as light as they are without it. `tf` is the public
package. The other names are what TensorFlow does not export, or exports under names that a program may replace; each has
been where the table says since 2.15.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Callable
from typing import Any, TypeVar

from tfsaver._lazy_imports import lazy_import
from tfsaver.errors import MissingExtraError

_CLASSES = {
    "BaseSession": "tensorflow.python.client.session",
    "CallableOptions": "tensorflow.core.protobuf.config_pb2",
    "SessionInterface": "tensorflow.python.client.session",
    "RefVariable": "tensorflow.python.ops.ref_variable",
    "BaseResourceVariable": "tensorflow.python.ops.resource_variable_ops",
    "PartitionedVariable": "tensorflow.python.ops.variables",
    "ShardedVariable": "tensorflow.python.distribute.sharded_variable",
    "BulkSaverBuilder": "tensorflow.python.training.saver",
    "BaseSaverBuilder": "tensorflow.python.training.saver",
    "SaveableObject": "tensorflow.python.training.saving.saveable_object",
    "Trackable": "tensorflow.python.trackable.base",
    "saveable_objects_from_trackable": "tensorflow.python.training.saving.saveable_object_util",
    "init_from_checkpoint": "tensorflow.python.training.checkpoint_utils",
    "warm_start": "tensorflow.python.training.warm_starting_util",
}

# Modules of which several functions are used.
_MODULES = {"meta_graph": "tensorflow.python.framework.meta_graph"}

_Function = TypeVar("_Function", bound=Callable[..., Any])

tf: Any
BaseSession: Any
CallableOptions: Any
SessionInterface: Any
RefVariable: Any
BaseResourceVariable: Any
PartitionedVariable: Any
ShardedVariable: Any
BulkSaverBuilder: Any
BaseSaverBuilder: Any
SaveableObject: Any
Trackable: Any
saveable_objects_from_trackable: Any
meta_graph: Any
init_from_checkpoint: Any
warm_start: Any


def is_imported() -> bool:
    """Whether this process has TensorFlow in use already; asking does not import it."""
    return sys.modules.get("tensorflow") is not None


def __getattr__(name: str) -> Any:
    if name == "tf":
        value = _import("tensorflow")
        _leave_unconverted()
    elif name in _CLASSES:
        value = getattr(_import(_CLASSES[name]), name)
    elif name in _MODULES:
        value = _import(_MODULES[name])
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def unconverted(function: _Function) -> _Function:
    """Marks a function that programs call in replicas and traced functions: AutoGraph calls it as it is.

    What it calls needs no mark: by then TensorFlow is in use here, and AutoGraph knows this package.
    """
    vars(function)["autograph_info__"] = {}
    return function


def _leave_unconverted() -> None:
    """Has AutoGraph leave this package's functions alone, as it leaves numpy's and Keras's.

    It would take apart whatever a replica calls, and ask the user to report what it does not understand.
    """
    with contextlib.suppress(ImportError, AttributeError, TypeError):
        config: Any = importlib.import_module("tensorflow.python.autograph.core.config")
        config.CONVERSION_RULES = (config.DoNotConvert("tfsaver"), *config.CONVERSION_RULES)


def _import(module: str) -> Any:
    try:
        with lazy_import():
            return importlib.import_module(module)
    except ModuleNotFoundError as error:
        # TensorFlow that is there and fails to import something else is broken, which no pip line of ours mends.
        if error.name != "tensorflow":
            raise
        raise MissingExtraError("tensorflow", extra="tensorflow", purpose="a Saver of variables") from error
