"""Keeps the garbage collector from looking through imported libraries.

TensorFlow, torch and jax are a million objects that never go away. A collection looks at all of them, which takes a third
of a second, and some tests collect dozens of times. When many modules have been imported since the last time, all that
is there before the next test is frozen: the collector leaves it alone.
"""

from __future__ import annotations

import gc
import sys

import pytest

# Many enough that only large libraries count.
_MANY = 300

_num_modules = 0


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    global _num_modules
    if len(sys.modules) - _num_modules >= _MANY:
        _num_modules = len(sys.modules)
        gc.collect()
        gc.freeze()
