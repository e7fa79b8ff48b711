"""TensorFlow as a guest: the one layer that may import it.

Everything here fetches values from a TensorFlow program, hands them to the layers below, and assigns values back. No byte of
a checkpoint is read or written by TensorFlow itself, except where `_transports` says why it must be.

    _tensorflow   the door: the names we use of TensorFlow, imported when the first of them is asked for
    _errors       our errors as TensorFlow's classes

A save and a restore pass through these, from the top down:

    v1.saver      the Saver
    _options      how it saves and restores
    _paths        the names of its files
    _var_list     a `var_list` in all its forms -> what is saved, by name, as bindings
    _saver_graph  the nodes that a Saver has in its graph, and the variables behind them
    _transports   by our files or by the nodes
    _save         from variables into a checkpoint
    _restore      from a checkpoint into variables, all or nothing
    _transfer     values between a session and memory, in batches of bounded size
    _binding      one variable tied to one tensor of a checkpoint: where its value is read, how it is assigned
    _saveables    tables and other objects that are not variables
    _history      the checkpoints that a Saver keeps, and the state file that lists them
    _meta_graph   a graph as a MetaGraphDef
    _background   saves that end while training goes on
    _restart      the newest checkpoint that can be restored

And next to them:

    export, _session_source   a session as a SavedModel, by the layer below
    patching      ours in the place of TensorFlow's, for programs that cannot be edited
    v1            the names that replace those of `tf.compat.v1`
    v2            from a checkpoint into the eager variables of TensorFlow 2 and Keras

Importing this package or any module in it does not import TensorFlow.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from tfsaver._lazy_imports import lazy_import

if TYPE_CHECKING:
    from tfsaver.compat import v1 as v1
    from tfsaver.compat import v2 as v2
    from tfsaver.compat.patching import patch_tensorflow

_PACKAGES = frozenset({"v1", "v2"})

__all__ = ["patch_tensorflow"]


# A type checker would take every name for one that is there.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        if name not in __all__ and name not in _PACKAGES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        with lazy_import():
            if name in _PACKAGES:
                return importlib.import_module(f"{__name__}.{name}")
            value = getattr(importlib.import_module(f"{__name__}.patching"), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_PACKAGES})
