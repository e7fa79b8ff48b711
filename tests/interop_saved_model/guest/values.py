"""Arrays as they cross from one process to another: [dtype, shape, flat values], with strings in latin-1.

A float32 becomes the float64 of the same value and that its shortest text: no bit is lost. Runs under Python 3.7 too.
"""

import numpy as np


def encoded(value):
    """The list of an array."""
    array = np.asarray(value)
    if array.dtype.kind in "OSU":
        flat = [each if isinstance(each, bytes) else each.encode() for each in array.reshape(-1).tolist()]
        return ["string", list(array.shape), [each.decode("latin-1") for each in flat]]
    return [array.dtype.name, list(array.shape), array.reshape(-1).tolist()]


def decoded(value):
    """The array of a list."""
    dtype, shape, flat = value
    if dtype == "string":
        array = np.empty(len(flat), object)
        array[:] = [each.encode("latin-1") for each in flat]
        return array.reshape(shape)
    return np.array(flat, dtype).reshape(shape)
