"""What a TensorFlow is asked to do with checkpoints: by its reader, by its Saver, by its bare save and restore ops.

Runs in TensorFlow 1.15 under Python 3.7 and in every TensorFlow 2; always in graphs and sessions. Tensors are described
by dictionaries: name, dtype, shape, seed, and where a tensor is partitioned `slices`, a list of TensorFlow's
shape-and-slice texts ("6 4 0,3:-": full shape, then start,length or - per dimension).
"""

import glob
import importlib
import os
import sys

import numpy as np
import tensorflow as tf
from digests import digest
from values import random_values

tf1 = tf.compat.v1
tf1.disable_eager_execution()
tf1.logging.set_verbosity(tf1.logging.ERROR)

_DEVICES = tf1.ConfigProto(device_count={"CPU": 4}, intra_op_parallelism_threads=1, inter_op_parallelism_threads=1)


def about():
    """Who this is, which dtypes it knows, and which of them its variables of either kind can hold."""
    names = set()
    for data_type in range(1, 100):
        try:
            names.add(tf.as_dtype(data_type).name)
        except TypeError:
            continue
    names -= {"resource", "variant"}
    return {
        "tensorflow": tf.__version__,
        "python": "%d.%d" % sys.version_info[:2],
        "dtypes": sorted(names),
        "ref": sorted(name for name in names if _can_be_assigned(name, "ref")),
        "resource": sorted(name for name in names if _can_be_assigned(name, "resource")),
    }


def _can_be_assigned(dtype, kind):
    tensor = {"name": "v", "dtype": dtype, "shape": [2], "seed": 0}
    with tf.Graph().as_default(), tf1.device("/cpu:0"), tf1.Session(config=_DEVICES) as session:
        (variable,) = _variables_of(tensor, kind)
        try:
            session.run(variable.initializer, {variable.initializer.inputs[1]: _values_of(tensor)})
            session.run(variable)
        except tf.errors.InvalidArgumentError:  # "No OpKernel was registered"
            return False
    return True


def read(prefix):
    """Everything as the CheckpointReader gives it: {name: [dtype, shape, digest]}, the digest None where it refuses."""
    reader = tf1.train.NewCheckpointReader(prefix)
    shapes = reader.get_variable_to_shape_map()
    tensors = {}
    for name, dtype in reader.get_variable_to_dtype_map().items():
        try:
            value = reader.get_tensor(name)
        except Exception:  # the error's class differs between the versions
            fingerprint = None
        else:
            fingerprint = digest(value, dtype.name)
        tensors[name] = [dtype.name, list(shapes[name]), fingerprint]
    return tensors


def restore_tensors(prefix, tensors):
    """The bare restore op: one [shape, digest] for each name and slice asked for."""
    with tf.Graph().as_default(), tf1.Session(config=_DEVICES) as session:
        fetched = session.run(
            tf1.raw_ops.RestoreV2(
                prefix=prefix,
                tensor_names=[each["name"] for each in tensors],
                shape_and_slices=[each.get("slice", "") for each in tensors],
                dtypes=[tf.as_dtype(each["dtype"]) for each in tensors],
            )
        )
    return [[list(np.shape(value)), digest(value, each["dtype"])] for each, value in zip(tensors, fetched)]


def restore_variables(prefix, variables, kind, ours=False):
    """A Saver restores into fresh variables: {name: digest}, and a list of digests for a partitioned name.

    The Saver is TensorFlow's, or tfsaver's where this interpreter has it and `ours` is true.
    """
    with tf.Graph().as_default(), tf1.device("/cpu:0"), tf1.Session(config=_DEVICES) as session:
        made = {each["name"]: _variables_of(each, kind) for each in variables}
        _saver_class(ours)({name: _as_saver_wants(parts) for name, parts in made.items()}).restore(session, prefix)
        # All at once: TensorFlow optimizes the graph anew for every set of fetches.
        fetched = session.run(made)
        digests = {}
        for each in variables:
            values = [digest(part, each["dtype"]) for part in fetched[each["name"]]]
            digests[each["name"]] = values if "slices" in each else values[0]
        return digests


def save_variables(prefix, variables, kind, version, sharded=False, ours=False):
    """A Saver saves variables made from seeds: {"prefix": ..., "tensors": {name: [dtype, shape, digest]}}."""
    with tf.Graph().as_default(), tf1.Session(config=_DEVICES) as session:
        made, feeds = {}, {}
        for position, each in enumerate(variables):
            with tf1.device("/cpu:%d" % (position % 3 if sharded else 0)):
                parts = made[each["name"]] = _variables_of(each, kind)
            pieces = _pieces(each, _values_of(each))
            feeds.update((part.initializer.inputs[1], piece) for part, piece in zip(parts, pieces))
        session.run([part.initializer for parts in made.values() for part in parts], feeds)
        saver = _saver_class(ours)(
            {name: _as_saver_wants(parts) for name, parts in made.items()},
            write_version=version,
            sharded=sharded,
        )
        saved = saver.save(session, prefix, write_meta_graph=False, write_state=False)
    return {"prefix": saved, "tensors": _described(variables)}


def save_objects(prefix, variables, kind):
    """A tf.train.Checkpoint of objects that hold variables made from seeds, at other names than the variables' own."""
    with tf.Graph().as_default(), tf1.Session(config=_DEVICES) as session:
        made = [_variables_of(each, kind)[0] for each in variables]
        feeds = {variable.initializer.inputs[1]: _values_of(each) for variable, each in zip(made, variables)}
        session.run([variable.initializer for variable in made], feeds)
        checkpoint = tf1.train.Checkpoint(net=tf1.train.Checkpoint(**{"v%d" % i: v for i, v in enumerate(made)}))
        return {"prefix": checkpoint.write(prefix, session=session), "tensors": _described(variables)}


def save_table(prefix, content, ours=False):
    """The Saver of a graph that has a lookup table from strings to numbers, and nothing else."""
    with tf.Graph().as_default(), tf1.Session(config=_DEVICES) as session:
        table = _table()
        keys, values = list(content), list(content.values())
        session.run(table.insert(tf.constant(keys), tf.constant(values, tf.int64)))
        return _saver_class(ours)().save(session, prefix, write_meta_graph=False, write_state=False)


def restore_table(prefix, ours=False):
    """What such a table holds that a Saver restores over another content."""
    with tf.Graph().as_default(), tf1.Session(config=_DEVICES) as session:
        table = _table()
        session.run(table.insert(tf.constant(["before"]), tf.constant([1], tf.int64)))
        _saver_class(ours)().restore(session, prefix)
        keys, values = session.run(table.export())
        return {key.decode(): int(value) for key, value in zip(keys, values)}


def save_tensors(prefix, tensors, version):
    """The bare save ops, which take types and slices that no variable can have."""
    names, slices, values = [], [], []
    for each in tensors:
        pieces = _pieces(each, _values_of(each))
        names += [each["name"]] * len(pieces)
        slices += each.get("slices", [""])
        values += pieces
    with tf.Graph().as_default(), tf1.Session(config=_DEVICES) as session:
        dtypes = [tf.as_dtype(each["dtype"]) for each in tensors for _ in each.get("slices", [""])]
        holders = [tf1.placeholder(dtype, value.shape) for dtype, value in zip(dtypes, values)]
        if version == 2:
            save = tf1.raw_ops.SaveV2(prefix=prefix, tensor_names=names, shape_and_slices=slices, tensors=holders)
        else:
            save = tf1.raw_ops.SaveSlices(filename=prefix, tensor_names=names, shapes_and_slices=slices, data=holders)
        session.run(save, dict(zip(holders, values)))
    return {"prefix": prefix, "tensors": _described(tensors)}


def merge(prefixes, prefix):
    """TensorFlow's own merge of V2 checkpoints that are shards of one."""
    with tf.Graph().as_default(), tf1.Session(config=_DEVICES) as session:
        session.run(tf1.raw_ops.MergeV2Checkpoints(checkpoint_prefixes=prefixes, destination_prefix=prefix))
    return sorted(os.path.basename(path) for path in glob.glob(prefix + "*"))


def latest_checkpoint(directory):
    return tf1.train.latest_checkpoint(directory)


def _values_of(tensor):
    dtype = tf.as_dtype(tensor["dtype"])
    return random_values(dtype.name, dtype.as_numpy_dtype, tensor["shape"], tensor["seed"])


def _described(tensors):
    return {each["name"]: [each["dtype"], each["shape"], digest(_values_of(each), each["dtype"])] for each in tensors}


def _parsed(text):
    """A shape-and-slice text as (full shape, starts, lengths)."""
    fields = text.split()
    shape = [int(field) for field in fields[:-1]]
    starts, lengths = [], []
    for extent, size in zip(fields[-1].split(":"), shape):
        start, length = (0, size) if extent == "-" else (int(number) for number in extent.split(","))
        starts.append(start)
        lengths.append(length)
    return shape, starts, lengths


def _pieces(tensor, values):
    if "slices" not in tensor:
        return [values]
    regions = [_parsed(text) for text in tensor["slices"]]
    return [values[tuple(slice(s, s + n) for s, n in zip(starts, lengths))] for _, starts, lengths in regions]


def _table():
    lookup_ops = importlib.import_module("tensorflow.python.ops.lookup_ops")
    return lookup_ops.MutableHashTable(tf.string, tf.int64, -1, name="words")


def _variables_of(tensor, kind):
    """One variable, or one for every slice; what they start from is a placeholder, so nothing fills them but a feed."""
    use_resource = kind == "resource"
    if "slices" not in tensor:
        return [_variable(tensor["name"], tensor["dtype"], tensor["shape"], use_resource)]
    parts = []
    for position, text in enumerate(tensor["slices"]):
        shape, starts, lengths = _parsed(text)
        part = _variable("%s/part_%d" % (tensor["name"], position), tensor["dtype"], lengths, use_resource)
        part._set_save_slice_info(tf1.Variable.SaveSliceInfo(tensor["name"], shape, starts, lengths))
        parts.append(part)
    return parts


def _variable(name, dtype, shape, use_resource):
    start = tf1.placeholder(tf.as_dtype(dtype), shape)
    return tf1.Variable(start, name=name.replace(":", "_"), use_resource=use_resource)


def _saver_class(ours):
    return importlib.import_module("tfsaver").Saver if ours else tf1.train.Saver


def _as_saver_wants(parts):
    return parts[0] if parts[0]._get_save_slice_info() is None else parts
