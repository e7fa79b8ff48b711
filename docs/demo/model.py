"""The model of the demo: which points of a square lie inside a ring? Two layers, trained by Adam, as a graph."""

from typing import NamedTuple

import numpy as np
import tensorflow as tf

tf1 = tf.compat.v1


class Model(NamedTuple):
    """The graph's handles."""

    places: tf.Tensor
    is_inside: tf.Tensor
    logits: tf.Tensor
    loss: tf.Tensor
    train: tf.Operation
    variables: dict[str, tf.Variable]


def points(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Places in the square, and whether each lies inside the ring."""
    places = np.random.default_rng(seed).uniform(-1, 1, (count, 2)).astype(np.float32)
    radius = np.hypot(places[:, 0], places[:, 1])
    return places, (radius > 0.35) & (radius < 0.8)


def build() -> Model:
    """Adds the model to the default graph."""
    places = tf1.placeholder(tf.float32, [None, 2])
    is_inside = tf1.placeholder(tf.bool, [None])
    kernel = tf1.get_variable("hidden/kernel", [2, 48])
    bias = tf1.get_variable("hidden/bias", [48], initializer=tf1.random_uniform_initializer(-1, 1))
    weights = tf1.get_variable("output/weights", [48], initializer=tf1.random_uniform_initializer(-0.3, 0.3))
    offset = tf1.get_variable("output/offset", [], initializer=tf1.zeros_initializer())
    hidden = tf.tanh(4 * (places @ kernel + bias))
    logits = tf.linalg.matvec(hidden, weights) + offset
    loss = tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(tf.cast(is_inside, tf.float32), logits))
    train = tf1.train.AdamOptimizer(0.03).minimize(loss)
    # The optimizer's slots too: whoever restores them can go on training.
    variables = {variable.op.name: variable for variable in tf1.global_variables()}
    return Model(places, is_inside, logits, loss, train, variables)
