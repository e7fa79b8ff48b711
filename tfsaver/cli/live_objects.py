"""Objects that a program makes, for verbs that are told to write for objects like these.

    model.py:make_model            a file, and a function in it that needs no arguments
    package.module:make_model      a module that Python finds, and a function in it

What the function gives back is what `tf.train.Checkpoint` would take: a model that is built, an optimizer, a dict of them.
This runs the program that was named, with TensorFlow; no path of a checkpoint or SavedModel does.
"""

from __future__ import annotations

import importlib
import importlib.util
import pathlib
import re
import sys
from types import ModuleType
from typing import Any

from tfsaver.checkpoint.objects.object_graph import ObjectGraph
from tfsaver.errors import InvalidArgumentError
from tfsaver.lib import file_io

_WORD = r"[^\W\d]\w*"
_FUNCTION = re.compile(rf"(?:(?P<file>.+\.py)|(?P<module>{_WORD}(?:\.{_WORD})*)):(?P<function>{_WORD})")


def is_function(text: str) -> bool:
    """Whether a text names a function and not a path; a file that is there is a path, whatever it is called."""
    return _FUNCTION.fullmatch(text) is not None and not file_io.exists(text)


def object_graph_of_function(text: str) -> ObjectGraph:
    """The objects that a function makes, as `tf.train.Checkpoint` sees them.

    Raises:
        InvalidArgumentError: There is no such module or function, or it gives back nothing that TensorFlow tracks.
        MissingExtraError: TensorFlow is not installed.
    """
    match = _FUNCTION.fullmatch(text)
    if match is None:
        raise InvalidArgumentError(f"{text!r} is not of the form file.py:function or package.module:function")
    module = _load_file(match["file"]) if match["file"] else _import(match["module"])
    name = match["function"]
    function = getattr(module, name, None)
    if not callable(function):
        raise InvalidArgumentError(f"{text!r}: there is no function {name!r}")
    objects: Any = function()
    # TensorFlow comes with this, and only now.
    graph: ObjectGraph = importlib.import_module("tfsaver.compat.v2.object_graph").object_graph_of(objects)
    return graph


def _import(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        # What the program itself misses is its own trouble, to be seen in full.
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise
        raise InvalidArgumentError(f"there is no module {name!r} where Python looks for modules") from error


def _load_file(path: str) -> ModuleType:
    file = pathlib.Path(path)
    if not file.is_file():
        raise InvalidArgumentError(f"{path}: there is no such file")
    spec = importlib.util.spec_from_file_location(file.stem, file)
    if spec is None or spec.loader is None:
        raise InvalidArgumentError(f"{path} is no file of Python's")
    module = importlib.util.module_from_spec(spec)
    # As `python file.py` does: what lies beside the file can be imported.
    sys.path.insert(0, str(file.resolve().parent))
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.pop(0)
    return module
