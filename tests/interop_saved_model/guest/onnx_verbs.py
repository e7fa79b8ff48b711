"""What tf2onnx and onnxruntime are asked: to convert a SavedModel as their documentation says, and to run the result."""

import sys

import onnxruntime
import tensorflow as tf
import tf2onnx
import tf2onnx.convert
from values import decoded, encoded


def about():
    """Who these are."""
    return {"tf2onnx": tf2onnx.__version__, "onnxruntime": onnxruntime.__version__, "tensorflow": tf.__version__}


def run(path, tags, key, inputs, output):
    """Converts one signature into the file `output`, as `python -m tf2onnx.convert` does, and runs it.

    Returns:
        [name, value] of each output; what a ragged tensor consists of has other names here than in TensorFlow.
    """
    arguments = ["--saved-model", path, "--tag", ",".join(tags), "--signature_def", key, "--output", output, "--opset", "17"]
    given, sys.argv = sys.argv, ["tf2onnx.convert", *arguments]
    try:
        tf2onnx.convert.main()
    finally:
        sys.argv = given
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(output, options, providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_outputs()]
    results = session.run(names, {name: decoded(value) for name, value in inputs.items()})
    return [[name, encoded(value)] for name, value in zip(names, results, strict=True)]
