"""Writes graphs with Savers: a MetaGraphDef for every scenario, by the TensorFlow of this interpreter.

    python savers.py FOLDER all      FOLDER/<scenario>.meta
    python savers.py FOLDER some     a third of them, in which any two devices, kinds or options still meet

A scenario's name says what is in it: devices, kinds of variables, options of the Saver. Runs under Python 3.7 too.
"""

import itertools
import os
import sys

import tensorflow as tf

tf1 = tf.compat.v1
tf1.disable_eager_execution()
tf1.logging.set_verbosity(tf1.logging.ERROR)

_DEVICES = {
    "nowhere": [""],
    "gpu": ["", "/gpu:0"],
    "cluster": ["/job:ps/task:0/gpu:0", "/job:ps/task:1", "/cpu:0"],
}
_KINDS = {"ref": [False], "resource": [True], "mixed": [True, False]}


def scenarios():
    """Each scenario as its name and its parts."""
    options = itertools.product(["unsharded", "sharded"], ["plain", "reshape"], ["v1", "v2"])
    for (sharded, reshape, version), devices, kinds in itertools.product(options, _DEVICES, _KINDS):
        yield f"{devices}-{kinds}-{sharded}-{reshape}-{version}", devices, kinds, sharded, reshape, version


def build(devices, kinds):
    """Variables whole and in parts, beside others, of several types, on each of the devices."""
    for number, device in enumerate(_DEVICES[devices]):
        for is_resource in _KINDS[kinds]:
            label = f"{number}{'resource' if is_resource else 'ref'}"
            with tf1.device(device):
                with tf1.variable_scope("rows" + label, partitioner=tf1.fixed_size_partitioner(2)):
                    tf1.get_variable("kernel", [4, 2], use_resource=is_resource)
                with tf1.variable_scope("columns" + label, partitioner=tf1.fixed_size_partitioner(3, axis=1)):
                    tf1.get_variable("kernel", [2, 7], use_resource=is_resource)
                weights = tf1.get_variable("weights" + label, [2], use_resource=is_resource)
                tf1.get_variable("Step" + label, [], dtype=tf.int64, use_resource=is_resource, trainable=False)
                with tf1.colocate_with(weights):
                    tf1.get_variable("slot" + label, [3, 0], use_resource=is_resource)


def some_scenarios():
    """A third of the scenarios; every option of the Saver meets every kind, every kind all devices."""
    devices, kinds = list(_DEVICES), list(_KINDS)
    for number, scenario in enumerate(scenarios()):
        if (number // 9 + devices.index(scenario[1]) + kinds.index(scenario[2])) % 3 == 0:
            yield scenario


def main(folder, which):
    for name, devices, kinds, sharded, reshape, version in scenarios() if which == "all" else some_scenarios():
        with tf.Graph().as_default():
            build(devices, kinds)
            saver = tf1.train.Saver(
                sharded=sharded == "sharded", reshape=reshape == "reshape", write_version=int(version[1]), max_to_keep=3
            )
            meta_graph = tf1.train.export_meta_graph(saver_def=saver.saver_def)
        with open(os.path.join(folder, name + ".meta"), "wb") as file:
            file.write(meta_graph.SerializeToString())


if __name__ == "__main__":
    main(*sys.argv[1:])
