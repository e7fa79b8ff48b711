"""The names that programs agree on: files of a SavedModel, tags, keys of signatures and collections."""

from __future__ import annotations

SCHEMA_VERSION = 1

FILE_NAME_PB = "saved_model.pb"
FILE_NAME_PBTXT = "saved_model.pbtxt"
FILE_NAME_CPB = "saved_model.cpb"
FINGERPRINT_FILE_NAME = "fingerprint.pb"
VARIABLES_DIRECTORY = "variables"
VARIABLES_FILE_NAME = "variables"
ASSETS_DIRECTORY = "assets"
EXTRA_ASSETS_DIRECTORY = "assets.extra"

SERVING = "serve"
TRAINING = "train"
EVAL = "eval"
GPU = "gpu"
TPU = "tpu"

DEFAULT_SIGNATURE_KEY = "serving_default"
# Signatures under these keys are no signatures: their one output, of the same key, names an operation to run.
INIT_OP_SIGNATURE_KEY = "__saved_model_init_op"
TRAIN_OP_SIGNATURE_KEY = "__saved_model_train_op"
RESERVED_SIGNATURE_KEYS = frozenset({INIT_OP_SIGNATURE_KEY, TRAIN_OP_SIGNATURE_KEY})

PREDICT = "tensorflow/serving/predict"
CLASSIFY = "tensorflow/serving/classify"
REGRESS = "tensorflow/serving/regress"

# Collections.
ASSETS = "saved_model_assets"
MAIN_OP = "saved_model_main_op"
LEGACY_INIT_OP = "legacy_init_op"
ASSET_FILE_PATHS = "asset_filepaths"
TABLE_INITIALIZERS = "table_initializer"
LOCAL_VARIABLES = "local_variables"
