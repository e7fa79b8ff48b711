"""`tf.compat.v1.saved_model.signature_def_utils`: SignatureDefs, which say what a server offers.

The keys and types of a classification or a regression are fixed: a server passes serialized examples in, and takes
``classes`` and ``scores``, or ``outputs``. A prediction has whatever keys it likes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tfsaver import schemas
from tfsaver.compat import _tensorflow
from tfsaver.compat.v1.saved_model import signature_constants as constants
from tfsaver.compat.v1.saved_model._messages import message_class, to_tensorflow
from tfsaver.compat.v1.saved_model.method_name_updater import MethodNameUpdater
from tfsaver.compat.v1.saved_model.utils import build_tensor_info
from tfsaver.errors import InvalidArgumentError, NotFoundError

__all__ = [
    "MethodNameUpdater",
    "build_signature_def",
    "classification_signature_def",
    "is_valid_signature",
    "load_op_from_signature_def",
    "op_signature_def",
    "predict_signature_def",
    "regression_signature_def",
    "supervised_eval_signature_def",
    "supervised_train_signature_def",
]


def build_signature_def(
    inputs: Mapping[str, Any] | None = None,
    outputs: Mapping[str, Any] | None = None,
    method_name: str | None = None,
    defaults: Mapping[str, Any] | None = None,
) -> Any:
    """A SignatureDef.

    Args:
        inputs: TensorInfos by their keys.
        outputs: The same.
        method_name: What a server shall do with it.
        defaults: For inputs that may be left out, what they are then: eager tensors, or constants of a graph.

    Raises:
        TypeError: Something is no TensorInfo.
        InvalidArgumentError: A ValueError; a default is no constant.
    """
    signature = message_class("SignatureDef")()
    for name, infos, field in (("input", inputs, signature.inputs), ("output", outputs, signature.outputs)):
        for key, info in (infos or {}).items():
            field[key].CopyFrom(to_tensorflow(info, "TensorInfo", f"{name} {key!r}"))
    if method_name is not None:
        signature.method_name = method_name
    for key, default in (defaults or {}).items():
        signature.defaults[key].CopyFrom(_constant(default, key))
    return signature


def _constant(value: Any, key: str) -> Any:
    tf = _tensorflow.tf
    if tf.is_tensor(value):
        if hasattr(value, "numpy"):
            return tf.make_tensor_proto(value.numpy())
        if value.op.type == "Const":
            return value.op.get_attr("value")
    raise InvalidArgumentError(f"default of {key!r}: {value!r} is neither a constant of a graph nor an eager tensor")


def regression_signature_def(examples: Any, predictions: Any) -> Any:
    """The signature of a regression.

    Args:
        examples: A string tensor, for serialized examples.
        predictions: A float32 tensor.

    Raises:
        InvalidArgumentError: A ValueError; one of them is missing or of another type.
    """
    inputs = {constants.REGRESS_INPUTS: _examples(examples, "Regression")}
    if predictions is None:
        raise InvalidArgumentError("Regression `predictions` cannot be None.")
    outputs = {constants.REGRESS_OUTPUTS: _typed(predictions, schemas.DT_FLOAT, "Regression output tensors", "float")}
    return build_signature_def(inputs, outputs, constants.REGRESS_METHOD_NAME)


def classification_signature_def(examples: Any, classes: Any, scores: Any) -> Any:
    """The signature of a classification.

    Args:
        examples: A string tensor, for serialized examples.
        classes: A string tensor, or None.
        scores: A float32 tensor, or None, but not both.

    Raises:
        InvalidArgumentError: A ValueError; one of them is missing or of another type.
    """
    inputs = {constants.CLASSIFY_INPUTS: _examples(examples, "Classification")}
    if classes is None and scores is None:
        raise InvalidArgumentError("Classification `classes` and `scores` cannot both be None.")
    outputs = {}
    if classes is not None:
        what = "Classification classes"
        outputs[constants.CLASSIFY_OUTPUT_CLASSES] = _typed(classes, schemas.DT_STRING, what, "string")
    if scores is not None:
        outputs[constants.CLASSIFY_OUTPUT_SCORES] = _typed(scores, schemas.DT_FLOAT, "Classification scores", "float")
    return build_signature_def(inputs, outputs, constants.CLASSIFY_METHOD_NAME)


def _examples(examples: Any, what: str) -> Any:
    if examples is None:
        raise InvalidArgumentError(f"{what} `examples` cannot be None.")
    if not isinstance(examples, _tensorflow.tf.Tensor):
        raise InvalidArgumentError(f"{what} `examples` must be a string Tensor, not {examples!r}")
    return _typed(examples, schemas.DT_STRING, f"{what} input tensors", "string")


def _typed(tensor: Any, data_type: int, what: str, name: str) -> Any:
    info = build_tensor_info(tensor)
    if info.dtype != data_type:
        raise InvalidArgumentError(f"{what} must be of type {name}, not {tensor.dtype!r}")
    return info


def predict_signature_def(inputs: Mapping[str, Any], outputs: Mapping[str, Any]) -> Any:
    """The signature of a prediction: tensors by their keys.

    Raises:
        InvalidArgumentError: A ValueError; there are no inputs, or no outputs.
    """
    for name, tensors in (("inputs", inputs), ("outputs", outputs)):
        if not tensors:
            raise InvalidArgumentError(f"Prediction `{name}` cannot be None or empty.")
    return build_signature_def(_infos(inputs), _infos(outputs), constants.PREDICT_METHOD_NAME)


def supervised_train_signature_def(inputs: Any, loss: Any, predictions: Any = None, metrics: Any = None) -> Any:
    """The signature of a step of training: tensors by their keys; the outputs are loss, predictions and metrics together.

    Raises:
        InvalidArgumentError: A ValueError; there are no inputs.
    """
    return _supervised(constants.SUPERVISED_TRAIN_METHOD_NAME, inputs, loss, predictions, metrics)


def supervised_eval_signature_def(inputs: Any, loss: Any, predictions: Any = None, metrics: Any = None) -> Any:
    """The signature of an evaluation; see `supervised_train_signature_def`."""
    return _supervised(constants.SUPERVISED_EVAL_METHOD_NAME, inputs, loss, predictions, metrics)


def _supervised(method_name: str, inputs: Any, *outputs: Any) -> Any:
    if not inputs:
        raise InvalidArgumentError(f"{method_name} `inputs` cannot be None or empty.")
    merged = {key: tensor for each in outputs for key, tensor in (each or {}).items()}
    return build_signature_def(_infos(inputs), _infos(merged), method_name)


def _infos(tensors: Mapping[str, Any]) -> dict[str, Any]:
    return {key: build_tensor_info(tensor) for key, tensor in tensors.items()}


def is_valid_signature(signature_def: Any) -> bool:
    """Whether a server can offer a SignatureDef (of whose schemas ever): its method is known, its keys and types fit."""
    if signature_def is None:
        return False
    inputs = {key: info.dtype for key, info in signature_def.inputs.items()}
    outputs = {key: info.dtype for key, info in signature_def.outputs.items()}
    if signature_def.method_name == constants.PREDICT_METHOD_NAME:
        return bool(inputs and outputs)
    if signature_def.method_name == constants.REGRESS_METHOD_NAME:
        wanted = {constants.REGRESS_OUTPUTS: schemas.DT_FLOAT}
    elif signature_def.method_name == constants.CLASSIFY_METHOD_NAME:
        wanted = {
            constants.CLASSIFY_OUTPUT_CLASSES: schemas.DT_STRING,
            constants.CLASSIFY_OUTPUT_SCORES: schemas.DT_FLOAT,
        }
    else:
        return False
    return inputs == {"inputs": schemas.DT_STRING} and bool(outputs) and outputs.items() <= wanted.items()


def op_signature_def(op: Any, key: str) -> Any:
    """The SignatureDef that names an operation, under a reserved key."""
    info = message_class("TensorInfo")(name=op.name)
    info.tensor_shape.unknown_rank = True
    return build_signature_def(outputs={key: info})


def load_op_from_signature_def(signature_def: Any, key: str, import_scope: str | None = None) -> Any:
    """The operation, or the tensor, of the default graph that such a SignatureDef names.

    Raises:
        tf.errors.NotFoundError: There is none.
    """
    name = signature_def.outputs[key].name
    scoped = f"{import_scope}/{name}" if import_scope else name
    tf = _tensorflow.tf
    try:
        return tf.compat.v1.get_default_graph().as_graph_element(scoped, allow_tensor=True, allow_operation=True)
    except KeyError as error:
        cause = NotFoundError(f"the operation of {key!r}, {scoped!r}, could not be found in the graph")
        cause.__cause__ = error
        raise tf.errors.NotFoundError(None, None, str(cause)) from cause
