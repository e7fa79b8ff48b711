"""Training programs of different kinds, with the output that an engineer wants of each: python -m ... DIRECTORY writes them.

Each function builds a graph as such programs do, training included, and returns the wanted outputs, any of which will do, and
the inputs. Nothing in them is named for the ranking's sake: most names are TensorFlow's own.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

v1 = tf.compat.v1
PROGRAMS: dict[str, Any] = {}


def program(build: Any) -> Any:
    PROGRAMS[build.__name__] = build
    return build


def weight(name: str, *shape: int) -> Any:
    return v1.get_variable(name, shape, initializer=v1.truncated_normal_initializer(stddev=0.1), use_resource=False)


def dense(x: Any, size: int, name: str, activation: Any = None) -> Any:
    with v1.variable_scope(name, reuse=v1.AUTO_REUSE):
        y = tf.nn.bias_add(tf.matmul(x, weight("kernel", int(x.shape[-1]), size)), weight("bias", size))
        return y if activation is None else activation(y)


def train(loss: Any, optimizer: Any = None, **options: Any) -> Any:
    return (optimizer or v1.train.AdamOptimizer(0.01)).minimize(loss, **options)


@program
def classifier() -> Any:
    x = v1.placeholder(tf.float32, [None, 28, 28, 1])
    y = v1.placeholder(tf.int64, [None])
    keep = v1.placeholder(tf.float32)
    h = tf.nn.relu(tf.nn.conv2d(x, weight("c1", 5, 5, 1, 8), 1, "SAME") + weight("b1", 8))
    h = tf.nn.max_pool2d(h, 2, 2, "SAME")
    h = v1.nn.dropout(dense(tf.reshape(h, [-1, 14 * 14 * 8]), 32, "fc", tf.nn.relu), keep_prob=keep)
    logits = dense(h, 10, "out")
    loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=y, logits=logits))
    p = tf.nn.softmax(logits)
    accuracy = tf.reduce_mean(tf.cast(tf.equal(tf.argmax(p, 1), y), tf.float32))
    v1.summary.scalar("accuracy", accuracy)
    v1.summary.merge_all()
    train(loss)
    return [p], [x]


@program
def detector() -> Any:
    image = v1.placeholder(tf.float32, [None, 64, 64, 3], "image")
    boxes = v1.placeholder(tf.float32, [None, 64, 4])
    classes = v1.placeholder(tf.int32, [None, 64])
    h = image
    for step, size in enumerate((8, 16, 16)):
        h = tf.nn.leaky_relu(tf.nn.conv2d(h, weight(f"w{step}", 3, 3, int(h.shape[-1]), size), 2, "SAME"))
    raw = tf.nn.conv2d(h, weight("box", 1, 1, 16, 4), 1, "SAME") + weight("box_bias", 4)
    scores = tf.reshape(tf.nn.conv2d(h, weight("cls", 1, 1, 16, 3), 1, "SAME") + weight("cls_bias", 3), [-1, 64, 3])
    offsets = tf.reshape(raw, [-1, 64, 4])
    loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=classes, logits=scores))
    loss += v1.losses.huber_loss(boxes, offsets)
    found = tf.concat([tf.sigmoid(offsets[..., :2]), tf.exp(offsets[..., 2:])], -1)
    probabilities = tf.nn.softmax(scores)
    train(loss, v1.train.MomentumOptimizer(0.01, 0.9))
    return [found, probabilities], [image]


@program
def rnn() -> Any:
    ids = v1.placeholder(tf.int32, [None, 12])
    targets = v1.placeholder(tf.int32, [None, 12])
    table = weight("embedding", 50, 16)
    inputs = tf.unstack(tf.nn.embedding_lookup(table, ids), axis=1)
    h = tf.zeros([tf.shape(ids)[0], 24])
    outputs = []
    for x in inputs:
        h = dense(tf.concat([x, tf.ensure_shape(h, [None, 24])], 1), 24, "cell", tf.tanh)
        outputs.append(h)
    logits = dense(tf.reshape(tf.stack(outputs, 1), [-1, 24]), 50, "projection")
    loss = tf.reduce_mean(
        tf.nn.sparse_softmax_cross_entropy_with_logits(labels=tf.reshape(targets, [-1]), logits=logits)
    )
    p = tf.nn.softmax(logits)
    optimizer = v1.train.AdamOptimizer(0.01)
    gradients, variables = zip(*optimizer.compute_gradients(loss), strict=True)
    clipped, _ = tf.clip_by_global_norm(gradients, 5.0)
    optimizer.apply_gradients(zip(clipped, variables, strict=True))
    return [p], [ids]


@program
def gan() -> Any:
    real = v1.placeholder(tf.float32, [None, 64])
    z = v1.placeholder(tf.float32, [None, 8])

    def discriminate(x: Any) -> Any:
        return dense(dense(x, 16, "D/h", tf.nn.leaky_relu), 1, "D/o")

    made = dense(dense(z, 16, "G/h", tf.nn.relu), 64, "G/o", tf.nn.sigmoid)
    on_real, on_made = discriminate(real), discriminate(made)
    cross = tf.nn.sigmoid_cross_entropy_with_logits
    d_loss = tf.reduce_mean(cross(labels=tf.ones_like(on_real), logits=on_real))
    d_loss += tf.reduce_mean(cross(labels=tf.zeros_like(on_made), logits=on_made))
    g_loss = tf.reduce_mean(cross(labels=tf.ones_like(on_made), logits=on_made))
    train(d_loss, var_list=[v for v in v1.trainable_variables() if v.name.startswith("D")])
    train(g_loss, var_list=[v for v in v1.trainable_variables() if v.name.startswith("G")])
    return [made], [z]


@program
def autoencoder() -> Any:
    x = v1.placeholder("float", [None, 32])
    code = dense(dense(x, 16, "e1", tf.nn.sigmoid), 4, "e2", tf.nn.sigmoid)
    y = dense(dense(code, 16, "d1", tf.nn.sigmoid), 32, "d2", tf.nn.sigmoid)
    train(tf.reduce_mean(tf.pow(x - y, 2)), v1.train.RMSPropOptimizer(0.01))
    return [y], [x]


@program
def variational() -> Any:
    x = v1.placeholder(tf.float32, [None, 32])
    h = dense(x, 16, "h", tf.nn.relu)
    mean, log_variance = dense(h, 4, "mean"), dense(h, 4, "variance")
    z = mean + tf.exp(log_variance / 2) * tf.random.normal(tf.shape(mean))
    logits = dense(dense(z, 16, "g", tf.nn.relu), 32, "o")
    decoded = tf.sigmoid(logits)
    rebuilt = tf.reduce_sum(tf.nn.sigmoid_cross_entropy_with_logits(labels=x, logits=logits), 1)
    divergence = -0.5 * tf.reduce_sum(1 + log_variance - mean**2 - tf.exp(log_variance), 1)
    train(tf.reduce_mean(rebuilt + divergence))
    return [decoded], [x]


@program
def estimator() -> Any:
    features = v1.data.Dataset.from_tensors(({"a": np.ones((4, 3), np.float32)}, np.ones((4, 1), np.float32))).repeat()
    iterator = v1.data.make_initializable_iterator(features)
    values, labels = iterator.get_next()
    step = v1.train.get_or_create_global_step()
    with v1.variable_scope("dnn"):
        logits = dense(dense(values["a"], 8, "hiddenlayer_0", tf.nn.relu), 1, "logits")
    with v1.name_scope("head/predictions"):
        logistic = tf.sigmoid(logits, name="logistic")
        two = tf.concat([tf.zeros_like(logits), logits], -1, name="two_class_logits")
        probabilities = tf.nn.softmax(two, name="probabilities")
        tf.argmax(two, -1, name="class_ids")
    loss = v1.losses.sigmoid_cross_entropy(labels, logits)
    v1.summary.scalar("loss", loss)
    v1.metrics.accuracy(labels, tf.round(logistic))
    train(loss, v1.train.AdagradOptimizer(0.05), global_step=step)
    v1.report_uninitialized_variables()
    return [probabilities, logistic], [values["a"]]


@program
def keras_model() -> Any:
    # The nodes that Keras makes in a graph of TensorFlow 1: targets, sample weights, a learning phase.
    x = v1.placeholder(tf.float32, [None, 20], "dense_1_input")
    h = dense(x, 16, "dense_1", tf.nn.relu)
    phase = v1.placeholder_with_default(False, [], "keras_learning_phase")
    h = tf.cond(phase, lambda: tf.nn.dropout(h, 0.5), lambda: tf.identity(h))
    y = dense(tf.ensure_shape(h, [None, 16]), 3, "dense_2", tf.nn.softmax)
    target = v1.placeholder(tf.float32, [None, None], "dense_2_target")
    weights = v1.placeholder(tf.float32, [None], "dense_2_sample_weights")
    with v1.name_scope("loss/dense_2_loss"):
        clipped = tf.clip_by_value(y / tf.reduce_sum(y, -1, keepdims=True), 1e-7, 1 - 1e-7)
        loss = tf.reduce_mean(-tf.reduce_sum(target * tf.math.log(clipped), -1) * weights)
    with v1.name_scope("metrics/acc"):
        tf.reduce_mean(tf.cast(tf.equal(tf.argmax(target, -1), tf.argmax(y, -1)), tf.float32))
    with v1.name_scope("training/SGD"):
        for variable, gradient in zip(v1.trainable_variables(), tf.gradients(loss, v1.trainable_variables()), strict=True):
            v1.assign(variable, variable - 0.01 * gradient)
    return [y], [x]


@program
def multi_head() -> Any:
    x = v1.placeholder(tf.float32, [None, 10])
    age, sex = v1.placeholder(tf.float32, [None, 1]), v1.placeholder(tf.float32, [None, 2])
    h = dense(x, 16, "trunk", tf.nn.relu)
    years = dense(dense(h, 8, "age_hidden", tf.nn.relu), 1, "age")
    logits = dense(dense(h, 8, "sex_hidden", tf.nn.relu), 2, "sex")
    p = tf.nn.softmax(logits)
    loss = tf.reduce_mean(tf.square(years - age))
    loss += tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(labels=sex, logits=logits))
    loss += 1e-4 * tf.add_n([tf.nn.l2_loss(v) for v in v1.trainable_variables()])
    train(loss)
    return [years, p], [x]


@program
def policy() -> Any:
    state = v1.placeholder(tf.float32, [None, 4])
    action = v1.placeholder(tf.int32, [None])
    advantage = v1.placeholder(tf.float32, [None])
    returns = v1.placeholder(tf.float32, [None])
    h = dense(state, 16, "h", tf.nn.tanh)
    probabilities = tf.nn.softmax(dense(h, 2, "pi"))
    value = tf.squeeze(dense(dense(state, 16, "vh", tf.nn.tanh), 1, "v"), 1)
    chosen = tf.reduce_sum(tf.one_hot(action, 2) * probabilities, 1)
    loss = -tf.reduce_mean(tf.math.log(chosen) * advantage) + tf.reduce_mean((value - returns) ** 2)
    loss -= 0.01 * tf.reduce_mean(-tf.reduce_sum(probabilities * tf.math.log(probabilities), 1))
    train(loss)
    return [probabilities], [state]


@program
def q_network() -> Any:
    state, later = v1.placeholder(tf.float32, [None, 4]), v1.placeholder(tf.float32, [None, 4])
    action, reward = v1.placeholder(tf.int32, [None]), v1.placeholder(tf.float32, [None])

    def network(x: Any, scope: str) -> Any:
        return dense(dense(x, 16, f"{scope}/h", tf.nn.relu), 3, f"{scope}/q")

    q, frozen = network(state, "main"), network(later, "target")
    best = tf.argmax(q, 1)
    aim = reward + 0.99 * tf.stop_gradient(tf.reduce_max(frozen, 1))
    loss = tf.reduce_mean(tf.square(aim - tf.reduce_sum(q * tf.one_hot(action, 3), 1)))
    train(loss, var_list=[v for v in v1.trainable_variables() if v.name.startswith("main")])
    variables = v1.trainable_variables()
    tf.group(*[v1.assign(b, a) for a, b in zip(variables[:4], variables[4:], strict=True)])
    return [q, best], [state]


@program
def embedding() -> Any:
    anchor, positive, negative = (v1.placeholder(tf.float32, [None, 32]) for _ in range(3))

    def embed(x: Any) -> Any:
        return tf.nn.l2_normalize(dense(dense(x, 16, "tower/h", tf.nn.relu), 8, "tower/o"), 1)

    a, p, n = embed(anchor), embed(positive), embed(negative)
    near, far = tf.reduce_sum(tf.square(a - p), 1), tf.reduce_sum(tf.square(a - n), 1)
    train(tf.reduce_mean(tf.maximum(near - far + 0.2, 0.0)))
    return [a, p, n], [anchor]


@program
def segmentation() -> Any:
    x = v1.placeholder(tf.float32, [None, 32, 32, 1])
    mask = v1.placeholder(tf.float32, [None, 32, 32, 1])
    is_training = v1.placeholder(tf.bool)
    h = tf.nn.conv2d(x, weight("a", 3, 3, 1, 8), 1, "SAME")
    mean, variance = tf.nn.moments(h, [0, 1, 2])
    kept = v1.get_variable("moving_mean", [8], trainable=False, use_resource=False)
    update = v1.assign(kept, 0.9 * kept + 0.1 * mean)
    v1.add_to_collection("update_ops", update)
    h = tf.nn.relu((h - tf.cond(is_training, lambda: mean, lambda: tf.identity(kept))) * tf.math.rsqrt(variance + 1e-3))
    low = tf.nn.relu(tf.nn.conv2d(tf.nn.max_pool2d(h, 2, 2, "SAME"), weight("b", 3, 3, 8, 16), 1, "SAME"))
    up = tf.nn.conv2d_transpose(low, weight("c", 2, 2, 8, 16), tf.stack([tf.shape(x)[0], 32, 32, 8]), 2)
    logits = tf.nn.conv2d(tf.concat([h, up], -1), weight("d", 1, 1, 16, 1), 1, "SAME") + weight("e", 1)
    p = tf.sigmoid(logits)
    overlap = tf.reduce_sum(p * mask)
    dice = 1 - 2 * overlap / (tf.reduce_sum(p) + tf.reduce_sum(mask))
    train(dice + tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(labels=mask, logits=logits)))
    return [p], [x]


@program
def regression() -> Any:
    X = v1.placeholder("float")  # noqa: N806 - as in the tutorials
    Y = v1.placeholder("float")  # noqa: N806
    W = v1.Variable(0.3, use_resource=False)  # noqa: N806
    b = v1.Variable(-0.3, use_resource=False)
    prediction = tf.add(tf.multiply(X, W), b)
    cost = tf.reduce_sum(tf.pow(prediction - Y, 2)) / (2 * 17)
    train(cost, v1.train.GradientDescentOptimizer(0.01))
    return [prediction], [X]


@program
def recommender() -> Any:
    user, item = v1.placeholder(tf.int32, [None]), v1.placeholder(tf.int32, [None])
    rating = v1.placeholder(tf.float32, [None])
    u = tf.nn.embedding_lookup(weight("users", 30, 8), user)
    i = tf.nn.embedding_lookup(weight("items", 40, 8), item)
    bias = tf.nn.embedding_lookup(weight("user_bias", 30), user) + tf.nn.embedding_lookup(weight("item_bias", 40), item)
    score = tf.reduce_sum(u * i, 1) + bias
    train(tf.reduce_mean(tf.square(score - rating)) + 0.01 * (tf.nn.l2_loss(u) + tf.nn.l2_loss(i)))
    return [score], [user, item]


@program
def speech() -> Any:
    x = v1.placeholder(tf.float32, [None, 20, 13])
    labels = v1.sparse_placeholder(tf.int32)
    lengths = v1.placeholder(tf.int32, [None])

    def step(state: Any, frame: Any) -> Any:
        return tf.tanh(tf.matmul(tf.concat([state, frame], 1), w) + b)

    w, b = weight("w", 16 + 13, 16), weight("b", 16)
    states = tf.scan(step, tf.transpose(x, [1, 0, 2]), initializer=tf.zeros([tf.shape(x)[0], 16]))
    logits = tf.reshape(tf.matmul(tf.reshape(states, [-1, 16]), weight("o", 16, 6)) + weight("ob", 6), [20, -1, 6])
    train(tf.reduce_mean(v1.nn.ctc_loss(labels, logits, lengths)), v1.train.MomentumOptimizer(0.01, 0.9))
    decoded, _ = tf.nn.ctc_greedy_decoder(logits, lengths)
    distance = tf.reduce_mean(tf.edit_distance(tf.cast(decoded[0], tf.int32), labels))
    v1.summary.scalar("distance", distance)
    return [decoded[0].values, logits], [x, lengths]


def write(directory: Path) -> None:
    """Writes each program's graph, and wanted.json: the wanted outputs and the inputs by program."""
    wanted = {}
    for name, build in PROGRAMS.items():
        with v1.Graph().as_default():
            v1.disable_control_flow_v2()
            outputs, inputs = build()
            wanted[name] = [[each.op.name for each in outputs], [each.name.removesuffix(":0") for each in inputs]]
            v1.train.Saver().export_meta_graph(os.fspath(directory / f"{name}.meta"))
    (directory / "wanted.json").write_text(json.dumps(wanted))


if __name__ == "__main__":
    write(Path(sys.argv[1]))
