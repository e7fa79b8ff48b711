"""Which names of results are questions: a checkpoint's prefix may end in anything, but not in what means another format.

    small.safetensors    what `tfsaver.convert` writes as such a file, and no other verb does
    weights.safetensor   almost that
    model.gguf           a format of another program, which tfsaver does not write

Without the question there would be ``small.safetensors.index`` and its data file, which no program of that format reads.
"""

from __future__ import annotations

import difflib
from typing import NamedTuple

from tfsaver.errors import InvalidArgumentError
from tfsaver.lib import file_io
from tfsaver.tensor_bundle import naming

# The ends of names, and what such a file is called. The first of a format is the usual one.
SUFFIXES = {
    ".safetensors": "safetensors file",
    ".npz": "npz file",
    ".pt": "file of torch",
    ".pth": "file of torch",
    ".weights.h5": "Keras weights file",
    ".h5": "Keras weights file",
    ".hdf5": "Keras weights file",
    ".orbax": "Orbax checkpoint",
}
# What other programs call their files, and the suffix of the table that does most of the same; None where there is none.
_OTHERS = {
    ".pth.tar": ".pth",
    ".npy": ".npz",
    ".keras": ".weights.h5",
    ".onnx": ".safetensors",
    ".bin": ".pt",
    ".msgpack": ".safetensors",
    ".gguf": ".safetensors",
    ".ggml": ".safetensors",
    ".tflite": None,
    ".mlmodel": None,
    ".pb": None,
    ".pbtxt": None,
    ".pkl": ".npz",
    ".pickle": ".npz",
    ".joblib": ".npz",
    ".zip": ".npz",
    ".tar": None,
    ".gz": None,
    ".tgz": None,
    ".xz": None,
    ".json": None,
    ".csv": None,
    ".txt": None,
}
# So alike are `safetensor` and `npzz` to a suffix, and `ckpt` and `part` to none.
_MIN_LIKENESS = 0.7


class OddSuffix(NamedTuple):
    """The end of a name that is not that of a format; `nearest` is the one that is meant, if there is one."""

    suffix: str
    nearest: str | None


def known_suffix(path: str) -> str | None:
    """Returns the suffix of a format of `tfsaver.convert` that a path has; None where it has none."""
    name = path.lower()
    return next((suffix for suffix in SUFFIXES if name.endswith(suffix)), None)


def odd_suffix(path: str) -> OddSuffix | None:
    """Returns the end of a path that is another program's, or a misspelt one; None where there is no such doubt."""
    name = path.lower().rpartition("/")[2]
    if found := next((suffix for suffix in _OTHERS if name.endswith(suffix)), None):
        return OddSuffix(found, _OTHERS[found])
    stem, dot, end = name.rpartition(".")
    if not stem or not dot:
        return None
    known = {suffix.rpartition(".")[2]: suffix for suffix in reversed(SUFFIXES)}
    near = difflib.get_close_matches(end, known, n=1, cutoff=_MIN_LIKENESS)
    return OddSuffix(f".{end}", known[near[0]]) if near else None


def refuse_other_suffix(prefix: str) -> None:
    """Refuses a checkpoint's prefix that reads like a file of another format, unless it is a checkpoint's already.

    Raises:
        InvalidArgumentError: It does; says what writes such a file.
    """
    odd = odd_suffix(prefix)
    known = known_suffix(prefix) or (odd and odd.nearest)
    if (odd is None and known is None) or file_io.exists(naming.index_path(prefix)):
        return
    suffix = known_suffix(prefix) or (odd and odd.suffix)
    writes = "tfsaver does not write such files"
    if known:
        writes = f"`tfsaver convert CHECKPOINT NAME{known}` writes a {SUFFIXES[known]}"
    stem = prefix[: len(prefix) - len(suffix or "")]
    raise InvalidArgumentError(
        f"{prefix!r} would be a checkpoint's prefix, as in {naming.index_path(prefix)}, and reads like a {suffix} file; "
        f"{writes}; for a checkpoint leave the suffix out, as in {stem!r}"
    )
