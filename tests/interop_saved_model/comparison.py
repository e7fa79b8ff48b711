"""Whether what a runtime computed is what TensorFlow computed before the export."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.interop_saved_model.exports import Values

# Other kernels add up in another order.
_RELATIVE, _ABSOLUTE = 1e-5, 1e-6


def assert_close(computed: Values, expected: Values) -> None:
    """The same names, types and shapes; the same values but for rounding."""
    assert computed.keys() == expected.keys()
    for name, value in expected.items():
        _assert_close(computed[name], value, name)


def _assert_close(computed: list[Any], expected: list[Any], name: str) -> None:
    assert computed[:2] == expected[:2], name
    if expected[0].startswith("float"):
        np.testing.assert_allclose(computed[2], expected[2], _RELATIVE, _ABSOLUTE, err_msg=name)
    else:
        assert computed[2] == expected[2], name
