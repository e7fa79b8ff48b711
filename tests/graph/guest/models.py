"""Writes small models of every kind, trained for a step, with what they give for some inputs.

    python models.py FOLDER
        FOLDER/<model>.meta, .index, .data-...     the graph and its variables
        FOLDER/<model>.stripped                    the graph without attributes at their defaults
        FOLDER/operations.txt                      the names of all operations that this TensorFlow has
        FOLDER/<model>.json                        {"feeds": {tensor: values}, "fetches": [tensor], "results": [values]}

Runs under Python 3.7 too.
"""

import json
import os
import sys

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import op_def_pb2

tf1 = tf.compat.v1
tf1.disable_eager_execution()
tf1.logging.set_verbosity(tf1.logging.ERROR)

_ROWS = np.arange(12, dtype=np.float32).reshape(4, 3) / 7


def _trained(use_resource, folder):
    """A layer, an embedding in parts, an optimizer with slots, a summary, a count of the steps."""
    rows = tf1.placeholder(tf.float32, [None, 3], name="rows")
    ids = tf1.placeholder(tf.int64, [None], name="ids")
    with tf1.variable_scope("model", use_resource=use_resource):
        kernel = tf1.get_variable("kernel", initializer=tf.constant(_ROWS[:3, :2]))
        bias = tf1.get_variable("bias", [2], initializer=tf1.ones_initializer())
        with tf1.variable_scope("embedding", partitioner=tf1.fixed_size_partitioner(2)):
            table = tf1.get_variable("table", [5, 2], initializer=tf1.random_uniform_initializer(seed=3))
        found = tf1.nn.embedding_lookup(table, ids, partition_strategy="div")
    scores = tf.add(tf.matmul(rows, kernel) + bias, found, name="scores")
    tf.nn.softmax(scores, name="softmax")
    loss = tf1.reduce_mean(tf.square(scores))
    tf1.summary.scalar("loss", loss)
    step = tf1.train.get_or_create_global_step()
    tf1.train.AdamOptimizer().minimize(loss, global_step=step, name="train")
    feeds = {"rows:0": _ROWS, "ids:0": np.array([0, 4, 2, 3])}
    return feeds, ["softmax:0", "scores:0"], ["train"]


def _reference(folder):
    return _trained(False, folder)


def _resource(folder):
    return _trained(True, folder)


def _control_flow(folder):
    """A loop with a variable in its body, a loop variable that is not asked for, and a branch with one."""
    rows = tf1.placeholder(tf.float32, [None, 3], name="rows")
    with tf1.variable_scope("model", use_resource=True):
        kernel = tf1.get_variable("kernel", [3, 3], initializer=tf1.random_uniform_initializer(seed=5))
        unused = tf1.get_variable("unused", [3, 3], initializer=tf1.ones_initializer())
        bias = tf1.get_variable("bias", [3], initializer=tf1.ones_initializer())

    def body(count, value, other):
        return count + 1, tf.tanh(tf.matmul(value, kernel)), other + 1.0

    _, value, other = tf1.while_loop(lambda count, *_: count < 3, body, [0, rows, tf.constant(0.0)])
    value = tf1.cond(tf.reduce_sum(value) > 0, lambda: value + bias, lambda: value - bias)
    tf.identity(value, name="value")
    tf.identity(other + tf.reduce_sum(unused), name="other")
    return {"rows:0": _ROWS}, ["value:0"], []


def _control_flow_v1(folder):
    tf1.disable_control_flow_v2()
    return _control_flow(folder)


def _control_flow_v2(folder):
    tf1.enable_control_flow_v2()
    try:
        return _control_flow(folder)
    finally:
        tf1.disable_control_flow_v2()


def _functions(folder):
    """Functions that call functions, of a variable that is given to each, and one that nothing calls in the end."""
    rows = tf1.placeholder(tf.float32, [None, 3], name="rows")
    with tf1.variable_scope("model", use_resource=True):
        kernel = tf1.get_variable("kernel", [3, 3], initializer=tf1.random_uniform_initializer(seed=7))
        bias = tf1.get_variable("bias", [3], initializer=tf1.ones_initializer())

    @tf.function(autograph=False)
    def inner(value):
        return tf.matmul(value, kernel) + bias

    @tf.function(autograph=False)
    def outer(value):
        return tf.gather(tf.nn.relu(inner(value)) + inner(2.0 * value), [0, 2], axis=1) + tf.gather(bias, [1, 2])

    @tf.function(autograph=False)
    def other(value):
        return value - 1.0

    tf.identity(outer(rows), name="value")
    tf.identity(other(rows), name="other")
    return {"rows:0": _ROWS}, ["value:0"], []


def _table(folder):
    """Words to numbers by a file, numbers to vectors by a variable."""
    path = os.path.join(folder, "words.txt")
    with open(path, "w") as file:
        file.write("zero\none\ntwo\n")
    words = tf1.placeholder(tf.string, [None], name="words")
    initializer = tf.lookup.TextFileInitializer(
        path, tf.string, tf.lookup.TextFileIndex.WHOLE_LINE, tf.int64, tf.lookup.TextFileIndex.LINE_NUMBER
    )
    table = tf.lookup.StaticHashTable(initializer, 0)
    with tf1.variable_scope("model", use_resource=True):
        vectors = tf1.get_variable("vectors", [3, 2], initializer=tf1.random_uniform_initializer(seed=9))
    tf.identity(tf1.nn.embedding_lookup(vectors, table.lookup(words)), name="value")
    return {"words:0": np.array([b"two", b"zero", b"three"], dtype=object)}, ["value:0"], []



_MODELS = {
    "reference": _reference,
    "resource": _resource,
    "control_flow_v1": _control_flow_v1,
    "control_flow_v2": _control_flow_v2,
    "functions": _functions,
    "table": _table,
}


def as_json(value):
    array = np.asarray(value)
    return [each.decode() for each in array.tolist()] if array.dtype == object else array.tolist()


def all_operations():
    try:
        from tensorflow.python.client import pywrap_tf_session as c_api
        buffer = c_api.TF_GetAllOpList()
    except (ImportError, AttributeError):
        from tensorflow.python import pywrap_tensorflow as c_api

        buffer = c_api.TF_GetAllOpList()
    return op_def_pb2.OpList.FromString(c_api.TF_GetBuffer(buffer))


def main(folder):
    with open(os.path.join(folder, "operations.txt"), "w") as file:
        file.write("\n".join(op.name for op in all_operations().op))
    for name, build in _MODELS.items():
        with tf.Graph().as_default(), tf1.Session() as session:
            feeds, fetches, steps = build(folder)
            saver = tf1.train.Saver()
            session.run([tf1.global_variables_initializer(), tf1.tables_initializer()])
            for step in steps:
                session.run(step, feeds)
            results = session.run(fetches, feeds)
            saver.save(session, os.path.join(folder, name), write_state=False)
            saver.export_meta_graph(os.path.join(folder, name + ".stripped"), strip_default_attrs=True)
        described = {
            "feeds": {key: as_json(value) for key, value in feeds.items()},
            "fetches": fetches,
            "results": [as_json(result) for result in results],
        }
        with open(os.path.join(folder, name + ".json"), "w") as file:
            json.dump(described, file)


if __name__ == "__main__":
    main(sys.argv[1])
