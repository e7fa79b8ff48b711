"""Runs graphs in new sessions.

    python run_graphs.py FOLDER
        FOLDER/jobs.json      [{"graph": file, "feeds": {tensor: values}, "fetches": [tensor],
                                "restore": prefix, "run_first": [operation],
                                "gradients": [tensor, variable], "save": prefix}]
        FOLDER/results.json   [[values]], or [error] where TensorFlow refused

A file ending in .meta is imported as a MetaGraphDef, with its Saver; any other is a GraphDef. A job with `saved_model` (a
directory) and `tags` loads that instead. Runs under Python 3.7 too.
"""

import json
import os
import sys

import numpy as np
import tensorflow as tf

tf1 = tf.compat.v1
tf1.disable_eager_execution()
tf1.logging.set_verbosity(tf1.logging.ERROR)


def run(job, folder):
    path = os.path.join(folder, job.get("graph", ""))
    with tf.Graph().as_default() as graph, tf1.Session() as session:
        saver = None
        if "saved_model" in job:
            tf1.saved_model.load(session, job["tags"], job["saved_model"])
        elif path.endswith(".meta"):
            saver = tf1.train.import_meta_graph(path)
        else:
            with open(path, "rb") as file:
                tf1.import_graph_def(tf1.GraphDef.FromString(file.read()), name="")
        if job.get("restore"):
            saver.restore(session, job["restore"])
        for name in job.get("run_first", []):
            session.run(graph.get_operation_by_name(name))
        fetches = job["fetches"]
        if "gradients" in job:
            value, variable = job["gradients"]
            (wanted,) = [each for each in tf1.global_variables() if each.op.name == variable]
            fetches = tf1.gradients(graph.get_tensor_by_name(value), [wanted])
        results = session.run(fetches, job["feeds"])
        if job.get("save"):
            saver.save(session, job["save"], write_meta_graph=False, write_state=False)
        return [np.asarray(result).tolist() for result in results]


def main(folder):
    with open(os.path.join(folder, "jobs.json")) as file:
        jobs = json.load(file)
    results = []
    for job in jobs:
        try:
            results.append(run(job, folder))
        except (ValueError, KeyError, tf.errors.OpError) as error:
            results.append([f"{type(error).__name__}: {str(error)[:1000]}"])
    with open(os.path.join(folder, "results.json"), "w") as file:
        json.dump(results, file)


if __name__ == "__main__":
    main(sys.argv[1])
