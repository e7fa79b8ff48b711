"""SavedModels that others have published: ours loads what TensorFlow's loader loads, and the same comes out."""

from __future__ import annotations

import os
import pathlib
from typing import Any

import numpy as np
import pytest

from tfsaver.compat.v1 import saved_model
from tfsaver.saved_model.loader import load_saved_model

_CASES = pathlib.Path(os.environ.get("TFSAVER_CASES", pathlib.Path(__file__).parents[5] / "shared" / "cases"))
_MODELS = sorted({path.parent for path in _CASES.glob("*/**/saved_model.*")})
# Their variables are drawn at random when they are initialized, which is after they are restored.
_RANDOM = {"sm_serving_mkl"}


def outcome(tf: Any, module: Any, path: pathlib.Path, tags: tuple[str, ...]) -> Any:
    """What a loaded model has: names of nodes, and variables with their values; or that it cannot be loaded."""
    with tf.Graph().as_default() as graph, tf.compat.v1.Session(graph=graph) as session:
        try:
            module.load(session, list(tags), str(path))
        except (tf.errors.OpError, ValueError, OSError):
            return "an error"
        variables = tf.compat.v1.global_variables()
        values = {} if path.relative_to(_CASES).parts[0] in _RANDOM else session.run({each.name: each for each in variables})
        return (
            [operation.name for operation in graph.get_operations()],
            [each.name for each in variables],
            {name: np.asarray(value).tolist() for name, value in values.items()},
        )


@pytest.mark.skipif(not _MODELS, reason=f"needs a folder of cases, named by TFSAVER_CASES: nothing in {_CASES}")
@pytest.mark.parametrize("path", _MODELS, ids=lambda path: str(path.relative_to(_CASES)))
def test_published_model_is_loaded_as_by_tensorflow(tf: Any, path: pathlib.Path) -> None:
    with load_saved_model(path) as model:
        tags = [graph.tags for graph in model.meta_graphs]
    assert tags
    for each in tags:
        assert outcome(tf, saved_model, path, each) == outcome(tf, tf.compat.v1.saved_model, path, each)
