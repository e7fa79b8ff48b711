"""What a TensorFlow is asked: to train a model and leave it as legacy programs do, and to run a SavedModel.

A value is [dtype, shape, flat values]; strings are latin-1. Runs under Python 3.7 and TensorFlow 1.15 too.
"""

import os

import models
import numpy as np
import tensorflow as tf

tf1 = tf.compat.v1
_ONE_THREAD = tf1.ConfigProto(intra_op_parallelism_threads=1, inter_op_parallelism_threads=1)
if hasattr(tf.config, "threading"):
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)


def about():
    return {"tensorflow": tf.__version__, "directory": tf.sysconfig.get_lib()}


def train(kind, directory):
    """Makes a model, trains it if it learns, saves PREFIX.meta and the checkpoint as TensorFlow's Saver does.

    Returns the prefix, what to feed, the names of the tensors to fetch, and what TensorFlow computes for them.
    """
    prefix = os.path.join(directory, "model.ckpt")
    with tf.Graph().as_default() as graph, tf1.Session(config=_ONE_THREAD) as session:
        tf1.set_random_seed(7)
        model = getattr(models, kind)(directory)
        if model.get("is_elsewhere"):
            tf1.train.export_meta_graph(prefix + ".meta")
        else:
            starts = [tf1.global_variables_initializer(), tf1.local_variables_initializer(), tf1.tables_initializer()]
            session.run(starts)
            for _ in range(3 if "train" in model else 0):
                session.run(model["train"], model["train_feeds"])
            tf1.train.Saver().save(session, prefix)
        feeds = {tensor.name: _encoded(value) for tensor, value in model["feeds"].items()}
        if "expected" in model:
            expected = [np.asarray(value) for value in model["expected"]]
        else:
            expected = session.run(model["fetches"], {**model["feeds"], **model.get("fixed", {})})
        return {
            "prefix": prefix,
            "feeds": feeds,
            "fetches": [tensor.name for tensor in model["fetches"]],
            "expected": [_encoded(value) for value in expected],
            "signature": model["signature"].SerializeToString().decode("latin-1") if "signature" in model else "",
            "num_nodes": len(graph.as_graph_def().node),
        }


def run_v1(path, tags, feeds, fetches):
    """Through the loader of TensorFlow 1, into a session."""
    with tf.Graph().as_default(), tf1.Session(config=_ONE_THREAD) as session:
        tf1.saved_model.load(session, tags, path)
        return [_encoded(value) for value in session.run(fetches, {name: _decoded(value) for name, value in feeds.items()})]


def run_v2(path, tags, key, inputs):
    """Through tf.saved_model.load, by the keys of a signature's inputs."""
    loaded = tf.saved_model.load(path, tags=tags)
    function = loaded.signatures[key]
    given = {name: tf.constant(_decoded(value)) for name, value in inputs.items()}
    return {
        "outputs": {name: _encoded(_numpy(value)) for name, value in function(**given).items()},
        "variables": sorted(variable.name for variable in loaded.variables) if hasattr(loaded, "variables") else [],
    }


def records(path):
    """The records of a TFRecord file."""
    return [record.decode("latin-1") for record in tf1.io.tf_record_iterator(path)]


def load_v1(path, tags):
    """Only loads, through the loader of TensorFlow 1."""
    with tf.Graph().as_default(), tf1.Session(config=_ONE_THREAD) as session:
        tf1.saved_model.load(session, tags, path)


def load_v2(path, tags):
    """Only loads, through tf.saved_model.load."""
    tf.saved_model.load(path, tags=tags)


def infer_v2(path):
    """What a model of objects computes, and the names of its signatures and variables."""
    loaded = tf.saved_model.load(path)
    return {"signatures": sorted(loaded.signatures)}


def freeze(path, tags, outputs):
    """The graph of a SavedModel with its variables as constants, serialised, as old programs make it."""
    with tf.Graph().as_default() as graph, tf1.Session(config=_ONE_THREAD) as session:
        tf1.saved_model.load(session, tags, path)
        frozen = tf1.graph_util.convert_variables_to_constants(session, graph.as_graph_def(), outputs)
        return frozen.SerializeToString().decode("latin-1")


def variables_v1(path, tags):
    """The variables that a program finds in a loaded model, and whether its own Saver can save them."""
    with tf.Graph().as_default(), tf1.Session(config=_ONE_THREAD) as session:
        tf1.saved_model.load(session, tags, path)
        names = sorted(variable.op.name for variable in tf1.global_variables())
        trainable = sorted(variable.op.name for variable in tf1.trainable_variables())
        saved = tf1.train.Saver().save(session, os.path.join(path, os.pardir, "again"), write_meta_graph=False)
        return {"variables": names, "trainable": trainable, "saved": saved}


def fingerprint(path):
    """What TensorFlow computes as a directory's fingerprint, serialised."""
    from tensorflow.python.saved_model.pywrap_saved_model import fingerprinting

    return fingerprinting.CreateFingerprintDef(path).decode("latin-1")


def _numpy(value):
    if isinstance(value, tf.RaggedTensor):
        value = value.flat_values
    if isinstance(value, tf.SparseTensor):
        value = tf.sparse.to_dense(value)
    return value.numpy()


def _encoded(value):
    if isinstance(value, tf1.SparseTensorValue):
        value = value.values
    array = np.asarray(value)
    if array.dtype.kind in "OSU":
        flat = [each if isinstance(each, bytes) else each.encode() for each in array.reshape(-1).tolist()]
        return ["string", list(array.shape), [each.decode("latin-1") for each in flat]]
    return [array.dtype.name, list(array.shape), array.reshape(-1).tolist()]


def _decoded(value):
    dtype, shape, values = value
    if dtype == "string":
        return np.array([each.encode("latin-1") for each in values], object).reshape(shape)
    return np.array(values, dtype).reshape(shape)
