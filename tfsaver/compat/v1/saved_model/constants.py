"""`tf.compat.v1.saved_model.constants`: the names of files and collections, under TensorFlow's names for them."""

from __future__ import annotations

from tfsaver.saved_model import constants

ASSETS_DIRECTORY = constants.ASSETS_DIRECTORY
EXTRA_ASSETS_DIRECTORY = constants.EXTRA_ASSETS_DIRECTORY
ASSETS_KEY = constants.ASSETS
LEGACY_INIT_OP_KEY = constants.LEGACY_INIT_OP
MAIN_OP_KEY = constants.MAIN_OP
TRAIN_OP_KEY = "saved_model_train_op"
SAVED_MODEL_SCHEMA_VERSION = constants.SCHEMA_VERSION
SAVED_MODEL_FILENAME_PREFIX = "saved_model"
SAVED_MODEL_FILENAME_CPB = constants.FILE_NAME_CPB
SAVED_MODEL_FILENAME_PB = constants.FILE_NAME_PB
SAVED_MODEL_FILENAME_PBTXT = constants.FILE_NAME_PBTXT
VARIABLES_DIRECTORY = constants.VARIABLES_DIRECTORY
VARIABLES_FILENAME = constants.VARIABLES_FILE_NAME
DEBUG_DIRECTORY = "debug"
DEBUG_INFO_FILENAME_PB = "saved_model_debug_info.pb"
INIT_OP_SIGNATURE_KEY = constants.INIT_OP_SIGNATURE_KEY
TRAIN_OP_SIGNATURE_KEY = constants.TRAIN_OP_SIGNATURE_KEY
