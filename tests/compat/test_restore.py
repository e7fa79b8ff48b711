"""Every checkpoint that other programs wrote goes into variables, bit for bit."""

from __future__ import annotations

import hashlib
import json
import pathlib
from typing import Any

import numpy as np
import pytest

from tfsaver import checkpoint_exists
from tfsaver.compat.v1.train import Saver

# A graph of five thousand variables takes a minute to make; the reader's own tests read that one.
TOO_MANY = 1000


def digest(value: Any) -> str:
    """The hash as the folder's description says: of the elements' bytes; strings with their lengths in front."""
    if isinstance(value, bytes) or value.dtype.hasobject:
        elements = [value] if isinstance(value, bytes) else value.reshape(-1).tolist()
        return hashlib.sha256(b"".join(len(text).to_bytes(8, "little") + text for text in elements)).hexdigest()
    return hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()


@pytest.mark.parametrize("resource", [False, True], ids=["reference", "resource"])
def test_checkpoints_of_other_programs_restore_into_variables(tf: Any, cases: pathlib.Path, resource: bool) -> None:
    v1 = tf.compat.v1
    restored = 0
    for expected in sorted(cases.glob("*/expected.json")):
        for prefix, tensors in json.loads(expected.read_text())["checkpoints"].items():
            path = str(expected.parent / prefix)
            if len(tensors) > TOO_MANY or not checkpoint_exists(path):
                continue
            with tf.Graph().as_default() as graph, v1.Session() as session:
                variables: dict[str, Any] = {}
                for index, (name, (dtype, shape, *_)) in enumerate(tensors.items()):
                    if dtype.startswith("float8") and not resource:
                        continue
                    initial = v1.placeholder(dtype, shape)
                    variables[name] = v1.Variable(initial, name=f"v{index}", use_resource=resource)
                graph.finalize()
                Saver(variables).restore(session, path)
                for name, value in session.run(variables).items():
                    assert digest(value) == tensors[name][2], f"{path} {name}"
                    restored += 1
    assert restored > 400
