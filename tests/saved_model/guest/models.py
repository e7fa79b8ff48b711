"""Models as people have them: trained, then left as a checkpoint with its .meta.

Each function builds one in the default graph and says what to run to train it, what to feed, what to fetch. `expected`
stands there where the value that is saved is not the one that the trained graph would compute.
"""

import os

import numpy as np
import tensorflow as tf

tf1 = tf.compat.v1
X = np.array([[0.5, -1.0, 2.0], [1.0, 0.25, -0.5]], np.float32)


def _dense(x, width, name, use_resource):
    with tf1.variable_scope(name, use_resource=use_resource):
        kernel = tf1.get_variable("kernel", [x.shape[-1], width], initializer=tf1.random_normal_initializer(seed=1))
        bias = tf1.get_variable("bias", [width], initializer=tf1.ones_initializer())
        return tf.nn.bias_add(tf.matmul(x, kernel), bias, name="logits")


def _trained(use_resource):
    x = tf1.placeholder(tf.float32, [None, 3], name="x")
    labels = tf1.placeholder(tf.int64, [None], name="labels")
    hidden = tf.nn.relu(_dense(x, 8, "hidden", use_resource))
    logits = _dense(hidden, 4, "out", use_resource)
    loss = tf1.losses.sparse_softmax_cross_entropy(labels, logits)
    train = tf1.train.AdamOptimizer(0.1).minimize(loss, tf1.train.get_or_create_global_step())
    tf1.summary.scalar("loss", loss)
    softmax = tf.nn.softmax(logits, name="softmax")
    return {"train": train, "train_feeds": {x: X, labels: [1, 3]}, "feeds": {x: X}, "fetches": [softmax]}


def reference(directory):
    """Reference variables, Adam, a global step, a summary."""
    return _trained(False)


def resource(directory):
    """The same with resource variables."""
    return _trained(True)


def _partitioned(use_resource):
    ids = tf1.placeholder(tf.int64, [None], name="ids")
    with tf1.variable_scope("e", partitioner=tf1.fixed_size_partitioner(3), use_resource=use_resource):
        table = tf1.get_variable("table", [7, 2], initializer=tf1.random_normal_initializer(seed=2))
    return {"feeds": {ids: np.array([6, 0, 3, 3])}, "fetches": [_looked_up(table, ids)]}


def _looked_up(table, ids):
    return tf.identity(tf1.nn.embedding_lookup(table, ids, partition_strategy="div"), name="embedded")


def partitioned_reference(directory):
    """One tensor in three reference variables."""
    return _partitioned(False)


def partitioned_resource(directory):
    """One tensor in three resource variables."""
    return _partitioned(True)


def table(directory):
    """A vocabulary in a file; another table that only training needs; embeddings."""
    vocabulary = os.path.join(directory, "vocab.txt")
    with open(vocabulary, "w") as file:
        file.write("the\nquick\nfox\n")
    with open(os.path.join(directory, "labels.txt"), "w") as file:
        file.write("no\nyes\n")
    words = tf1.placeholder(tf.string, [None], name="words")
    ids = _lookup(vocabulary, words)
    label_ids = _lookup(os.path.join(directory, "labels.txt"), tf1.placeholder(tf.string, [None], name="label_words"))
    weights = tf1.get_variable("weights", [4, 2], initializer=tf1.random_normal_initializer(seed=3))
    tf.identity(label_ids, name="label_ids")
    embedded = tf.gather(weights, tf.maximum(ids, 0), name="embedded")
    return {"feeds": {words: np.array([b"fox", b"the", b"?"], object)}, "fetches": [embedded]}


def mutable_table(directory):
    """A table that training fills, whose content is in the checkpoint; and one that is not needed."""
    from tensorflow.python.ops import lookup_ops

    words = tf1.placeholder(tf.string, [None], name="words")
    counts = lookup_ops.MutableHashTable(tf.string, tf.float32, -1.0, name="counts")
    other = lookup_ops.MutableHashTable(tf.string, tf.int64, -1, name="other")
    scale = tf1.get_variable("scale", initializer=2.0, use_resource=True)
    train = [counts.insert(tf.constant(["a", "b"]), tf.constant([3.0, 4.0])), other.insert(tf.constant(["z"]), tf.constant([9], tf.int64))]
    scaled = tf.multiply(counts.lookup(words), scale, name="scaled")
    return {"train": train, "train_feeds": {}, "feeds": {words: np.array([b"b", b"?"], object)}, "fetches": [scaled]}


def _lookup(path, words):
    initializer = tf.lookup.TextFileInitializer(
        path, tf.string, tf.lookup.TextFileIndex.WHOLE_LINE, tf.int64, tf.lookup.TextFileIndex.LINE_NUMBER
    )
    return tf.lookup.StaticHashTable(initializer, -1).lookup(words)


def control_flow_v1(directory):
    """A loop and a condition of the old kind."""
    if hasattr(tf1, "disable_control_flow_v2"):
        tf1.disable_control_flow_v2()
    return _control_flow()


def control_flow_v2(directory):
    """A loop and a condition that are functions."""
    tf1.enable_control_flow_v2()
    try:
        return _control_flow()
    finally:
        tf1.disable_control_flow_v2()


def _control_flow():
    x = tf1.placeholder(tf.float32, [], name="x")
    step = tf1.get_variable("step", initializer=1.5, use_resource=True)
    unused = tf1.get_variable("unused", initializer=9.5, use_resource=True)
    with tf1.variable_scope("loop"):
        _, total = tf.while_loop(lambda i, t: i < 4, lambda i, t: (i + 1, t * step + x), [tf.constant(0), x])
    chosen = tf1.cond(total > 10.0, lambda: total - step, lambda: total + 100.0)
    tf1.cond(x > 0, lambda: unused + 1.0, lambda: unused)
    return {"feeds": {x: np.float32(2.0)}, "fetches": [tf.identity(chosen, name="y")]}


def queue(directory):
    """An input pipeline that nobody feeds: file names, a reader, a batch."""
    path = os.path.join(directory, "numbers.csv")
    with open(path, "w") as file:
        file.write("1.0,2.0,3.0\n" * 4)
    names = tf1.train.string_input_producer([path])
    _, line = tf1.TextLineReader().read(names)
    columns = tf1.decode_csv(line, [[0.0], [0.0], [0.0]])
    batch = tf1.train.batch([tf.stack(columns)], 2, name="batch")
    logits = _dense(batch, 4, "out", True)
    # TensorFlow itself is fed at the same tensor.
    return {"feeds": {batch: X}, "fetches": [logits]}


def dropout(directory):
    """Two placeholders that only training changes; a moving average of the weights is what shall be served."""
    x = tf1.placeholder(tf.float32, [None, 3], name="x")
    keep = tf1.placeholder(tf.float32, [], name="keep_prob")
    is_training = tf1.placeholder(tf.bool, [], name="is_training")
    logits = _dense(tf1.cond(is_training, lambda: x * 0.0, lambda: x) / keep, 4, "out", True)
    averages = tf1.train.ExponentialMovingAverage(0.5)
    variables = tf1.trainable_variables()
    train = tf1.train.MomentumOptimizer(0.1, 0.9).minimize(tf.reduce_sum(logits))
    with tf1.control_dependencies([train]):
        train = averages.apply(variables)
    fixed = {keep: np.float32(1.0), is_training: False}
    return {"train": train, "train_feeds": {x: X, keep: 0.5, is_training: False}, "feeds": {x: X}, "fetches": [logits], "fixed": fixed}


def local_variable(directory):
    """What a metric counts with, which no checkpoint holds."""
    x = tf1.placeholder(tf.float32, [None, 3], name="x")
    scale = tf1.get_local_variable("scale", initializer=tf.constant(3.0), use_resource=True)
    return {"feeds": {x: X}, "fetches": [tf.multiply(_dense(x, 2, "out", True), scale, name="scaled")]}


def devices(directory):
    """A graph that was made for a cluster; nobody can run it here, so its checkpoint comes from another."""
    values = np.arange(6, dtype=np.float32).reshape(3, 2)
    with tf1.device("/job:ps/task:0"):
        weights = tf1.get_variable("weights", [3, 2], initializer=tf1.zeros_initializer())
    x = tf1.placeholder(tf.float32, [None, 3], name="x")
    with tf1.device("/job:worker/task:3/device:GPU:1"):
        y = tf.matmul(x, weights, name="y")
    tf1.train.Saver()
    prefix = os.path.join(directory, "model.ckpt")
    with tf.Graph().as_default(), tf1.Session() as session:
        session.run(tf1.get_variable("weights", initializer=values).initializer)
        tf1.train.Saver().save(session, prefix, write_meta_graph=False)
    return {"feeds": {x: X}, "fetches": [y], "expected": [X @ values], "is_elsewhere": True}


def sparse(directory):
    """A sparse input, a sparse output."""
    x = tf1.sparse_placeholder(tf.float32, [None, 3], name="x")
    weights = tf1.get_variable("weights", [3, 2], initializer=tf1.random_normal_initializer(seed=5), use_resource=True)
    y = tf.sparse.sparse_dense_matmul(x, weights)
    doubled = tf.sparse.SparseTensor(x.indices, x.values * 2.0, x.dense_shape)
    feeds = {
        x.indices: np.array([[0, 1], [1, 2]]),
        x.values: np.array([1.0, 2.0], np.float32),
        x.dense_shape: np.array([2, 3]),
    }
    return _described({"x": x}, {"y": y, "z": doubled}, feeds, [y, doubled.values])


def ragged(directory):
    """A ragged input, a ragged output."""
    x = tf1.ragged.placeholder(tf.float32, 1, name="x")
    scale = tf1.get_variable("scale", initializer=3.0, use_resource=True)
    z = x.with_flat_values(x.flat_values * scale)
    y = tf.reduce_sum(x, axis=1) * scale
    feeds = {x.flat_values: np.array([1.0, 2.0, 3.0], np.float32), x.row_splits: np.array([0, 1, 3])}
    return _described({"x": x}, {"y": y, "z": z}, feeds, [y, z.flat_values])


def _described(inputs, outputs, feeds, fetches):
    infos = [{key: tf1.saved_model.build_tensor_info(each) for key, each in side.items()} for side in (inputs, outputs)]
    signature = tf1.saved_model.build_signature_def(infos[0], infos[1], "tensorflow/serving/predict")
    return {"feeds": feeds, "fetches": fetches, "signature": signature}
