"""What a TensorFlow is asked: to make a model and leave it as programs do, and to load what was exported from it.

Runs in TensorFlow 1.15 under Python 3.7 and in every TensorFlow 2; always in graphs and sessions, but for `run_v2`.
"""

import os
import sys

import models
import tensorflow as tf
from values import decoded, encoded

tf1 = tf.compat.v1
tf1.logging.set_verbosity(tf1.logging.ERROR)
_ONE_THREAD = tf1.ConfigProto(intra_op_parallelism_threads=1, inter_op_parallelism_threads=1)
if not tf.__version__.startswith("1."):
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)


def about():
    """Who this is, and where its libraries are."""
    return {
        "tensorflow": tf.__version__,
        "python": ".".join(map(str, sys.version_info[:2])),
        "directory": tf.sysconfig.get_lib(),
    }


def make(kind, directory, exports):
    """Builds a model, trains it, and writes what programs leave: model.ckpt, its .meta, the GraphDef, the signatures.

    Args:
        kind: A function of models.py.
        directory: Where to write them.
        exports: Where to export the live session: {"session": ... by tfsaver, "builder": ... by TensorFlow's own builder}.

    Returns:
        By the key of a signature: feeds and fetches as {name of an argument or result: [name of a tensor, value]}.
    """
    prefix = os.path.join(directory, "model.ckpt")
    tf1.disable_control_flow_v2()
    with tf.Graph().as_default() as graph, tf1.Session(config=_ONE_THREAD) as session:
        tf1.set_random_seed(7)
        model = getattr(models, kind)(directory)
        session.run(tf1.global_variables_initializer())
        for operation in model.start or [tf1.local_variables_initializer(), tf1.tables_initializer()]:
            session.run(operation)
        for _ in range(3 if model.train is not None else 0):
            session.run(model.train, model.train_feeds)
        tf1.train.Saver().save(session, prefix)
        with open(os.path.join(directory, "graph.pb"), "wb") as file:
            file.write(graph.as_graph_def().SerializeToString())
        meta_graph = tf1.MetaGraphDef()
        described = {}
        for key, (inputs, outputs) in model.signatures.items():
            meta_graph.signature_def[key].CopyFrom(
                tf1.saved_model.build_signature_def(
                    {name: tf1.saved_model.build_tensor_info(tensor) for name, tensor in inputs.items()},
                    {name: tf1.saved_model.build_tensor_info(tensor) for name, tensor in outputs.items()},
                    "tensorflow/serving/predict",
                )
            )
            values = session.run(outputs, {tensor: model.feeds[name] for name, tensor in inputs.items()})
            described[key] = {
                "feeds": _components(inputs, model.feeds),
                "fetches": _components(outputs, values),
            }
        with open(os.path.join(directory, "signatures.pb"), "wb") as file:
            file.write(meta_graph.SerializeToString())
        for exporter, export_dir in exports.items():
            {"session": _export, "builder": _build}[exporter](session, export_dir, dict(meta_graph.signature_def))
        return described


def _export(session, directory, signatures):
    from tfsaver.compat.export import export_saved_model  # not where TensorFlow is 1.15

    export_saved_model(session, directory, signatures=signatures, durable=False)


def _build(session, directory, signatures):
    """The export that TensorFlow's own builder makes of the same session."""
    builder = tf1.saved_model.Builder(directory)
    builder.add_meta_graph_and_variables(
        session,
        ["serve"],
        signatures,
        assets_collection=tf1.get_collection(tf1.GraphKeys.ASSET_FILEPATHS),
        main_op=tf1.tables_initializer(),
    )
    builder.save()


def _components(tensors, values):
    """The dense tensors that tensors of any kind consist of, by the names that functions of signatures give them."""
    components = {}
    for key, tensor in tensors.items():
        if isinstance(tensor, tf.SparseTensor):
            for part in ("indices", "values", "dense_shape"):
                components[f"{key}_{part}"] = [getattr(tensor, part).name, encoded(getattr(values[key], part))]
        elif isinstance(tensor, tf.RaggedTensor):
            parts = (tensor.flat_values, values[key].flat_values), (tensor.row_splits, values[key].row_splits)
            for number, (part, value) in enumerate(parts):
                components[f"{key}_component_{number}"] = [part.name, encoded(value)]
        else:
            components[key] = [tensor.name, encoded(values[key])]
    return components


def run_v1(path, tags, feeds, fetches):
    """Through the loader of TensorFlow 1, into a session."""
    with tf.Graph().as_default(), tf1.Session(config=_ONE_THREAD) as session:
        tf1.saved_model.load(session, tags, path)
        return [encoded(value) for value in session.run(fetches, {name: decoded(value) for name, value in feeds.items()})]


def run_v2(path, tags, key, inputs):
    """Through tf.saved_model.load, by the names of a signature's arguments."""
    # The function keeps the model of its variables no longer than someone holds the model.
    loaded = tf.saved_model.load(path, tags=tags)
    outputs = loaded.signatures[key](**{name: tf.constant(decoded(value)) for name, value in inputs.items()})
    flat = {}
    for name, value in outputs.items():
        if isinstance(value, tf.SparseTensor):
            flat.update({f"{name}_{part}": getattr(value, part) for part in ("indices", "values", "dense_shape")})
        elif isinstance(value, tf.RaggedTensor):
            flat.update({f"{name}_component_0": value.flat_values, f"{name}_component_1": value.row_splits})
        else:
            flat[name] = value
    return {
        "outputs": {name: encoded(value.numpy()) for name, value in flat.items()},
        "variables": sorted(variable.name for variable in loaded.variables),
    }


def run_tflite(path, tags, key, inputs):
    """Through the converter to TensorFlow Lite, and its interpreter."""
    converter = tf.lite.TFLiteConverter.from_saved_model(path, signature_keys=[key], tags=tags)
    runner = tf.lite.Interpreter(model_content=converter.convert(), num_threads=1).get_signature_runner(key)
    outputs = runner(**{name: decoded(value) for name, value in inputs.items()})
    return {name: encoded(value) for name, value in outputs.items()}
