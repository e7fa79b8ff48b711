"""The neighbours' formats: each file stands alone and goes through the neighbour's own library, an extra of the package.

    tfsaver.convert("bert_model.ckpt", "bert.safetensors")      the whole of it; the function is in `convert.convert`

Nothing here knows TensorFlow, and nothing in `compat` knows this; both stand on what `checkpoint` gives.
"""

from __future__ import annotations

import importlib
import inspect
import sys
import types
from collections.abc import Callable
from typing import Any

from tfsaver._lazy_imports import lazy_import

_TEXT = __doc__ or ""


class _Verb(types.ModuleType):
    """A module that can be called: the folder and what it does have one name, and whichever is imported first has it."""

    def __call__(self, *args: Any, **options: Any) -> Any:
        """See `tfsaver.convert.convert.convert`."""
        return _function()(*args, **options)

    @property
    def __signature__(self) -> inspect.Signature:
        """That of the function."""
        return inspect.signature(_function())

    # What `help` shows: of a module it is this text, and not what the module does when it is called.
    __doc__ = property(lambda self: f"{_TEXT}\ntfsaver.convert{self.__signature__}\n\n{inspect.getdoc(_function())}\n")


def _function() -> Callable[..., Any]:
    """The function, which is not imported before somebody wants it."""
    with lazy_import():
        function: Callable[..., Any] = importlib.import_module(f"{__name__}.convert").convert
    return function


sys.modules[__name__].__class__ = _Verb
