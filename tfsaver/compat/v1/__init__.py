"""What replaces `tf.compat.v1`: `train` has the Saver and its companions, `saved_model` has the Builder and the loader.

    import tfsaver
    saver = tfsaver.compat.v1.train.Saver()

Both are imported when they are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from tfsaver._lazy_imports import lazy_import

if TYPE_CHECKING:
    from tfsaver.compat.v1 import saved_model as saved_model
    from tfsaver.compat.v1 import train as train

__all__ = ["saved_model", "train"]


# A type checker would take every name for one that is there.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        with lazy_import():
            return importlib.import_module(f"{__name__}.{name}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
