"""`tf.compat.v1.saved_model.signature_constants`: keys and methods of signatures."""

from __future__ import annotations

from tfsaver.saved_model import constants

DEFAULT_SERVING_SIGNATURE_DEF_KEY = constants.DEFAULT_SIGNATURE_KEY
DEFAULT_TRAIN_SIGNATURE_DEF_KEY = "train"
DEFAULT_EVAL_SIGNATURE_DEF_KEY = "eval"

CLASSIFY_METHOD_NAME = constants.CLASSIFY
CLASSIFY_INPUTS = "inputs"
CLASSIFY_OUTPUT_CLASSES = "classes"
CLASSIFY_OUTPUT_SCORES = "scores"

PREDICT_METHOD_NAME = constants.PREDICT
PREDICT_INPUTS = "inputs"
PREDICT_OUTPUTS = "outputs"

REGRESS_METHOD_NAME = constants.REGRESS
REGRESS_INPUTS = "inputs"
REGRESS_OUTPUTS = "outputs"

SUPERVISED_TRAIN_METHOD_NAME = "tensorflow/supervised/training"
SUPERVISED_EVAL_METHOD_NAME = "tensorflow/supervised/eval"
