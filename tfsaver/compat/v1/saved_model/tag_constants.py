"""`tf.compat.v1.saved_model.tag_constants`: the tags that programs agree on."""

from __future__ import annotations

from tfsaver.saved_model import constants

SERVING = constants.SERVING
TRAINING = constants.TRAINING
EVAL = constants.EVAL
GPU = constants.GPU
TPU = constants.TPU
