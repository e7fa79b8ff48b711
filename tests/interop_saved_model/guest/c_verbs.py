"""What TensorFlow's C++ loader is asked, through the C interface of the library in TensorFlow's wheel.

TensorFlow's Python is not imported. The library is that of the TensorFlow whose directory TENSORFLOW_DIRECTORY names.
Runs under Python 3.7 too.
"""

import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "saved_model"))

import c_loader

_LIBRARY = c_loader.library(os.environ["TENSORFLOW_DIRECTORY"])


def run(path, tags, feeds, fetches):
    """Loads a model and runs it: {name of a tensor: [dtype, shape, values]} in, such lists out."""
    return c_loader.Model(_LIBRARY, path, tags).run(feeds, fetches)
