"""The models whose exports are carried from one runtime to another: each built in the default graph, as programs do it.

Each function returns a Model. Runs in TensorFlow 1.15 under Python 3.7 and in every TensorFlow 2.
"""

import collections
import os

import numpy as np
import tensorflow as tf
from tensorflow.python.ops import lookup_ops

tf1 = tf.compat.v1
X = np.array([[0.5, -1.0, 2.0], [1.0, 0.25, -0.5]], np.float32)

# signatures: {key: (inputs by key, outputs by key)}; feeds: {key of an input: its value}, the same for all signatures.
# train: an operation that changes the variables, and what it is fed. start: what is run after the variables' initializers,
# each by itself, and in the place of the initializers of tables and local variables.
Model = collections.namedtuple("Model", "signatures feeds train train_feeds start")
Model.__new__.__defaults__ = (None, None, None)


def _dense(x, width, name, use_resource, seed):
    with tf1.variable_scope(name, use_resource=use_resource):
        kernel = tf1.get_variable("kernel", [x.shape[-1], width], initializer=tf1.random_normal_initializer(seed=seed))
        bias = tf1.get_variable("bias", [width], initializer=tf1.random_uniform_initializer(seed=seed + 1))
        return tf.nn.bias_add(tf.matmul(x, kernel), bias, name="logits")


def _classifier(use_resource):
    x = tf1.placeholder(tf.float32, [None, 3], name="x")
    labels = tf1.placeholder(tf.int64, [None], name="labels")
    hidden = tf.nn.relu(_dense(x, 8, "hidden", use_resource, 1), name="features")
    logits = _dense(hidden, 4, "out", use_resource, 3)
    loss = tf1.losses.sparse_softmax_cross_entropy(labels, logits)
    train = tf1.train.AdamOptimizer(0.1).minimize(loss, tf1.train.get_or_create_global_step())
    softmax = tf.nn.softmax(logits, name="softmax")
    best = tf.argmax(logits, 1, name="best")
    signatures = {
        "serving_default": ({"x": x}, {"best": best, "softmax": softmax}),
        "features": ({"x": x}, {"features": hidden}),
    }
    return Model(signatures, {"x": X}, train, {x: X, labels: [1, 3]})


def reference(directory):
    """Reference variables, trained by Adam; two signatures."""
    return _classifier(False)


def resource(directory):
    """The same with resource variables."""
    return _classifier(True)


def _partitioned(use_resource):
    ids = tf1.placeholder(tf.int64, [None], name="ids")
    with tf1.variable_scope("embedding", partitioner=tf1.fixed_size_partitioner(3), use_resource=use_resource):
        table = tf1.get_variable("table", [7, 2], initializer=tf1.random_normal_initializer(seed=2))
    embedded = tf1.nn.embedding_lookup(table, ids, partition_strategy="div", name="embedded")
    x = tf1.placeholder(tf.float32, [None, 7], name="x")
    signatures = {
        "serving_default": ({"ids": ids}, {"embedded": embedded}),
        "projected": ({"x": x}, {"projected": tf.matmul(x, table, name="projected")}),
    }
    return Model(signatures, {"ids": np.array([6, 0, 3, 3]), "x": np.eye(7, dtype=np.float32)[2:5]})


def partitioned_reference(directory):
    """One tensor in three reference variables, uneven ones."""
    return _partitioned(False)


def partitioned_resource(directory):
    """One tensor in three resource variables."""
    return _partitioned(True)


def _table(path, lines, key_dtype, value_dtype, default):
    with open(path, "w") as file:
        file.write("".join(line + "\n" for line in lines))
    columns = {tf.string: tf.lookup.TextFileIndex.WHOLE_LINE, tf.int64: tf.lookup.TextFileIndex.LINE_NUMBER}
    initializer = tf.lookup.TextFileInitializer(path, key_dtype, columns[key_dtype], value_dtype, columns[value_dtype])
    return tf.lookup.StaticHashTable(initializer, default)


def tables(directory):
    """Words to numbers by one file, embeddings, numbers to words by another file of the same name."""
    words = tf1.placeholder(tf.string, [None], name="words")
    os.mkdir(os.path.join(directory, "labels"))
    ids = _table(os.path.join(directory, "vocabulary.txt"), ["the", "quick", "fox"], tf.string, tf.int64, -1).lookup(words)
    weights = tf1.get_variable("weights", [4, 2], initializer=tf1.random_normal_initializer(seed=3))
    embedded = tf.gather(weights, ids + 1, name="embedded")
    labels = _table(os.path.join(directory, "labels", "vocabulary.txt"), ["no", "maybe", "yes"], tf.int64, tf.string, "?")
    named = labels.lookup(ids)
    outputs = {"embedded": embedded, "label": tf.identity(named, name="label")}
    return Model({"serving_default": ({"words": words}, outputs)}, {"words": np.array([b"fox", b"the", b"cat"], object)})


def filled_tables(directory):
    """Tables from constants, with words beyond them, filled while training, filled at start, and of the dense kind."""
    words = tf1.placeholder(tf.string, [None], name="words")
    keys, numbers = tf.constant(["the", "quick", "fox"]), tf.constant([5, 6, 7], tf.int64)
    constants = tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(keys, numbers), -1)
    vocabulary = tf.lookup.StaticVocabularyTable(tf.lookup.KeyValueTensorInitializer(keys, numbers), 3)
    trained = lookup_ops.MutableHashTable(tf.string, tf.int64, -2, name="trained")
    started = lookup_ops.MutableHashTable(tf.string, tf.float32, [0.0, 0.5], name="started", checkpoint=False)
    dense = tf.lookup.experimental.DenseHashTable(tf.int64, tf.int64, -3, empty_key=-10, deleted_key=-11, name="dense")
    start = started.insert(keys, tf.constant([[1.5, 2.5], [3.5, 4.5], [5.5, 6.5]]))
    fill = dense.insert(numbers, numbers * 100)
    found = constants.lookup(words)
    weight = tf1.get_variable("weight", initializer=np.array([3], np.int64), use_resource=True)
    outputs = {
        "constants": tf.add(found, weight, name="from_constants"),
        "vocabulary": tf.identity(vocabulary.lookup(words), name="from_vocabulary"),
        "trained": tf.identity(trained.lookup(words), name="from_trained"),
        "started": tf.identity(started.lookup(words), name="from_started"),
        "dense": tf.identity(dense.lookup(found), name="from_dense"),
    }
    fed_keys, fed_values = tf1.placeholder(tf.string, [None]), tf1.placeholder(tf.int64, [None])
    feeds = {fed_keys: np.array([b"fox", b"cat"], object), fed_values: [70, 90]}
    operations = [tf1.tables_initializer(), start, fill]
    return Model(
        {"serving_default": ({"words": words}, outputs)}, {"words": np.array([b"fox", b"the", b"cat"], object)},
        trained.insert(fed_keys, fed_values), feeds, operations,
    )


def path_in_a_variable(directory):
    """A vocabulary whose path is held by one variable, and another whose path is joined to a variable's."""
    with open(os.path.join(directory, "index.txt"), "w") as file:
        file.write("alpha\nbravo\n")
    with open(os.path.join(directory, "other.txt"), "w") as file:
        file.write("kilo\nlima\n")
    ids = tf1.placeholder(tf.int64, [None], name="ids")
    path = tf1.get_variable("path", initializer=tf.constant(os.path.join(directory, "index.txt")), trainable=False,
                            use_resource=False)
    folder = tf1.get_variable("folder", initializer=tf.constant(directory), trainable=False, use_resource=True)
    outputs = {}
    for key, tensor in (("index", path), ("other", tf.strings.join([folder, "other.txt"], os.sep))):
        columns = tf.int64, tf.lookup.TextFileIndex.LINE_NUMBER, tf.string, tf.lookup.TextFileIndex.WHOLE_LINE
        table = tf.lookup.StaticHashTable(tf.lookup.TextFileInitializer(tensor, *columns), "?")
        outputs[key] = tf.identity(table.lookup(ids), name="from_" + key)
    return Model({"serving_default": ({"ids": ids}, outputs)}, {"ids": np.array([1, 9, 0])})


def local_variables(directory):
    """A local variable that is looked up in a table, which is filled from another local variable."""
    x = tf1.placeholder(tf.int64, [None], name="x")
    with tf1.variable_scope("local", use_resource=True):
        keys = tf1.get_local_variable("keys", initializer=np.array([4, 5], np.int64))
        with tf1.control_dependencies(None):
            initializer = tf.lookup.KeyValueTensorInitializer(keys.read_value(), keys.read_value() * 10)
            table = tf.lookup.StaticHashTable(initializer, -1)
            found = table.lookup(tf.constant([5, 6], tf.int64))
        offsets = tf1.get_local_variable("offsets", initializer=found, use_resource=False)
    tf.group(keys.initializer, offsets.initializer, name="initialize_local_variables")
    scale = tf1.get_variable("scale", initializer=np.int64(2), use_resource=False)
    y = tf.add(tf.expand_dims(x * scale, 1), offsets, name="y")
    outputs = {"y": y, "found": tf.identity(table.lookup(x), name="found")}
    start = [keys.initializer, tf1.tables_initializer(), offsets.initializer]
    return Model({"serving_default": ({"x": x}, outputs)}, {"x": np.array([5, 7])}, start=start)


def _control_flow():
    x = tf1.placeholder(tf.float32, [None], name="x")
    step = tf1.get_variable("step", [], initializer=tf1.constant_initializer(1.3), use_resource=True)
    unused = tf1.get_variable("unused", [], initializer=tf1.constant_initializer(9.5), use_resource=True)
    limit = tf1.get_variable("limit", [], tf.int32, tf1.constant_initializer(4), use_resource=True)
    _, total = tf1.while_loop(lambda i, t: i < limit, lambda i, t: (i + 1, t * step + x), [tf.constant(0), x])
    chosen = tf1.cond(tf.reduce_sum(total) > 10.0, lambda: total - step, lambda: total + 100.0)
    tf1.cond(tf.reduce_sum(x) > 0, lambda: unused + 1.0, lambda: unused)
    return Model({"serving_default": ({"x": x}, {"y": tf.identity(chosen, name="y")})}, {"x": X[0] + np.float32(2.0)})


def control_flow_v1(directory):
    """A loop and a condition made of Switch, Merge, Enter, Exit and NextIteration."""
    return _control_flow()


def control_flow_v2(directory):
    """A loop and a condition that are functions of the graph's library."""
    tf1.enable_control_flow_v2()
    try:
        return _control_flow()
    finally:
        tf1.disable_control_flow_v2()


def sparse(directory):
    """A sparse tensor in, a sparse and a dense one out."""
    s = tf1.sparse_placeholder(tf.float32, [None, 3], name="s")
    weights = tf1.get_variable("weights", [3, 2], initializer=tf1.random_normal_initializer(seed=4), use_resource=True)
    product = tf.sparse.sparse_dense_matmul(s, weights)
    # A server refuses to fetch what it is fed: every part that comes out is one that is computed.
    scaled = tf.SparseTensor(tf.identity(s.indices), s.values * weights[0, 0], tf.identity(s.dense_shape))
    value = tf1.SparseTensorValue(np.array([[0, 1], [1, 0], [1, 2]]), np.array([0.5, -1.5, 3.0], np.float32), [2, 3])
    outputs = {"product": tf.identity(product, name="product"), "scaled": scaled}
    return Model({"serving_default": ({"s": s}, outputs)}, {"s": value})


def ragged(directory):
    """A ragged tensor in and out."""
    r = tf1.ragged.placeholder(tf.float32, 1, (), name="r")
    weights = tf1.get_variable("weights", [], initializer=tf1.random_normal_initializer(seed=5), use_resource=True)
    scaled = tf.RaggedTensor.from_row_splits(r.flat_values * weights, tf.identity(r.row_splits), validate=False)
    value = tf1.ragged.constant_value([[1.0, 2.0], [], [3.5]], np.float32, row_splits_dtype="int64")
    return Model({"serving_default": ({"r": r}, {"scaled": scaled})}, {"r": value})
