"""Restores the checkpoint into a new session of a new process and compares every variable, bit for bit.

    python restore_and_compare.py DIRECTORY
"""

import sys

import numpy as np
import tensorflow as tf
from model import build, points

import tfsaver

directory = sys.argv[1]
expected = np.load(f"{directory}/values.npz")

with tf.Graph().as_default(), tf.compat.v1.Session() as session:
    model = build()  # no initializer runs: every value comes from the files
    tfsaver.Saver(model.variables).restore(session, tfsaver.latest_checkpoint(directory))
    restored = session.run(model.variables)
    unseen, is_inside = points(1000, seed=3)
    accuracy = np.mean((session.run(model.logits, {model.places: unseen}) > 0) == is_inside)

equal = {name: value.tobytes() == expected[name].tobytes() for name, value in restored.items()}
width = max(map(len, restored))
for name, value in sorted(restored.items()):
    verdict = "equal" if equal[name] else "DIFFERENT"
    print(f"  {name:<{width}}  {value.dtype!s:<8} {value.shape!s:<8} {np.ravel(value)[0]:>12.5g} ...  {verdict}")
print(f"right about {accuracy:.1%} of the same unseen points")
print(f"{sum(equal.values())} of {len(expected.files)} variables are equal, bit for bit")
sys.exit(0 if all(equal.values()) and set(equal) == set(expected.files) else 1)
