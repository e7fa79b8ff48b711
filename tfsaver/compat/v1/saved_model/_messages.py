"""Messages of TensorFlow's schemas, which its functions take and return.

They are not those of tfsaver.schemas: the two live in different pools, and one is copied into the other as bytes.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import message_factory
from google.protobuf.message import Message

from tfsaver.compat import _tensorflow


def message_class(name: str) -> Any:
    """TensorFlow's class of a message, by its name, as in ``SignatureDef``."""
    # The pool is found by a message that TensorFlow exports; most of the others have no public name.
    file = _tensorflow.tf.compat.v1.MetaGraphDef.DESCRIPTOR.file
    descriptor = file.pool.FindMessageTypeByName(f"{file.package}.{name}")
    return message_factory.GetMessageClass(descriptor)


def to_tensorflow(message: Any, name: str, what: str) -> Any:
    """A message as TensorFlow's class has it; one of TensorFlow's own as it is.

    Raises:
        TypeError: It is no message of that name.
    """
    if not isinstance(message, Message) or message.DESCRIPTOR.full_name != f"tensorflow.{name}":
        raise TypeError(f"{what}: a {name} is needed, not {message!r}")
    cls = message_class(name)
    return message if isinstance(message, cls) else cls.FromString(message.SerializeToString())
