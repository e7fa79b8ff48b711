"""The neighbours' formats: each file stands alone and goes through the neighbour's own library, an extra of the package.

    tfsaver.convert("bert_model.ckpt", "bert.safetensors")      the whole of it; the function is in `convert.convert`

Nothing here knows TensorFlow, and nothing in `compat` knows this; both stand on what `checkpoint` gives.
"""

from __future__ import annotations

import importlib
import sys
import types
from typing import Any


class _Verb(types.ModuleType):
    """A module that can be called: the folder and what it does have one name, and whichever is imported first has it."""

    def __call__(self, *args: Any, **options: Any) -> Any:
        """See `tfsaver.convert.convert.convert`."""
        return importlib.import_module(f"{__name__}.convert").convert(*args, **options)


sys.modules[__name__].__class__ = _Verb
