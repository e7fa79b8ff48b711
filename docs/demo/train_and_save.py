"""Trains a small classifier in a TensorFlow session and saves its variables with tfsaver's Saver.

    python train_and_save.py DIRECTORY

Beside the checkpoint it leaves values.npz: the variables as the session held them, for the next two programs to compare.
"""

import sys

import numpy as np
import tensorflow as tf
from model import build, points

import tfsaver

tf1 = tf.compat.v1
directory = sys.argv[1]

print(f"TensorFlow {tf.__version__}, tfsaver {tfsaver.__version__}")
with tf.Graph().as_default(), tf1.Session() as session:
    tf1.set_random_seed(2)
    model = build()
    session.run(tf1.global_variables_initializer())
    places, is_inside = points(800, seed=1)
    feed = {model.places: places, model.is_inside: is_inside}
    for step in range(301):
        _, loss = session.run([model.train, model.loss], feed)
        if step % 100 == 0:
            print(f"  step {step:3d}   loss {loss:.4f}")
    unseen, is_inside = points(1000, seed=3)
    accuracy = np.mean((session.run(model.logits, {model.places: unseen}) > 0) == is_inside)
    print(f"  right about {accuracy:.1%} of points it has not seen")

    saver = tfsaver.Saver(model.variables)
    prefix = saver.save(session, f"{directory}/model", global_step=step)
    np.savez(f"{directory}/values.npz", **session.run(model.variables))
print(f"saved {len(model.variables)} variables as {prefix}")
