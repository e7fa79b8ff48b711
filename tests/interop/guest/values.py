"""Values that leave no bit of a type untried, the same ones for the same seed in every interpreter.

Floats are random bits: NaNs with payloads, infinities and denormals come with them, and a program that passes values
through a conversion shows. Strings have the lengths around which an encoding changes: none, one, 127 and 128, and bytes
that C and text functions trip over.

Runs under Python 3.7 too.
"""

import numpy as np

_INTEGER_RANGES = {"int2": (-2, 2), "uint2": (0, 4), "int4": (-8, 8), "uint4": (0, 16), "float4_e2m1fn": (0, 16)}
_STRINGS = [b"", b"a", b"\x00", b"x\x00", bytes(range(256)), b"q" * 127, b"r" * 128, b"\xc3\xa4", b"s" * 20000]


def random_values(dtype_name, dtype, shape, seed):
    """An array of `shape` with values drawn by `seed`; `dtype` is numpy's, `object` for strings."""
    shape = tuple(shape)
    generator = np.random.RandomState(seed)
    count = int(np.prod(shape, dtype=np.int64))
    if dtype_name == "string":
        array = np.empty(count, dtype=object)
        for position in range(count):
            array[position] = _STRINGS[(position + seed) % len(_STRINGS)]
        return array.reshape(shape)
    dtype = np.dtype(dtype)
    if dtype_name == "bool":
        return generator.randint(0, 2, count).astype(bool).reshape(shape)
    if dtype_name in _INTEGER_RANGES:
        numbers = generator.randint(*_INTEGER_RANGES[dtype_name], size=count)
        if dtype_name == "float4_e2m1fn":
            return numbers.astype(np.uint8).view(dtype).reshape(shape)
        return numbers.astype(np.int8).astype(dtype).reshape(shape)
    return np.frombuffer(generator.bytes(count * dtype.itemsize), dtype=dtype).reshape(shape)
