"""The devices that nodes ask for.

    /job:ps/replica:0/task:1/device:GPU:0      every part may be absent; "" lets TensorFlow choose
    /cpu:0, /gpu:*                             old ways to write /device:CPU:0 and /device:GPU:*

A saved graph names the devices of the machines that trained it. One that is to be served elsewhere says nothing of them.
"""

from __future__ import annotations

import dataclasses

from tfsaver import schemas
from tfsaver.errors import InvalidArgumentError

_LABELS = ("job", "replica", "task", "device")


@dataclasses.dataclass(frozen=True)
class Device:
    """A device's name in its parts; "" for those that it leaves open."""

    job: str = ""
    replica: str = ""
    task: str = ""
    kind: str = ""
    index: str = ""

    @staticmethod
    def parse(text: str) -> Device:
        """The parts of a name.

        Raises:
            InvalidArgumentError: A part that is none of a device's name.
        """
        parts: dict[str, str] = {}
        for part in filter(None, text.split("/")):
            words = part.split(":")
            if words[0] == "device" and len(words) in (2, 3) and words[1]:
                parts["kind"], parts["index"] = words[1].upper(), words[2] if len(words) == 3 else "*"
            elif words[0] in _LABELS[:3] and len(words) == 2 and words[1]:
                parts[words[0]] = words[1]
            elif len(words) in (1, 2) and words[0].replace("_", "").isalpha() and words[0] not in _LABELS:
                parts["kind"], parts["index"] = words[0].upper(), words[1] if len(words) == 2 else "*"
            else:
                raise InvalidArgumentError(f"device {text!r}: {part!r} is no part of a device's name")
        # A number that is open is the same as none; numbers may have zeros in front.
        for part in ("replica", "task"):
            parts[part] = parts.get(part, "").replace("*", "").lstrip("0") or ("0" if parts.get(part, "*") != "*" else "")
        return Device(**parts)

    def on_cpu_0(self) -> Device:
        """The first CPU of the same machine."""
        return dataclasses.replace(self, kind="CPU", index="0")

    def __str__(self) -> str:
        parts = (("/job:", self.job), ("/replica:", self.replica), ("/task:", self.task))
        text = "".join(label + value for label, value in parts if value)
        return f"{text}/device:{self.kind}:{self.index or '*'}" if self.kind else text


def canonical_device(text: str) -> str:
    """A device's name as TensorFlow writes it, so that equal devices have equal names; "" stays.

    Raises:
        InvalidArgumentError: It is no device's name.
    """
    return str(Device.parse(text)) if text else ""


def cpu_0_of(text: str) -> str:
    """The first CPU of the machine that a device belongs to.

    Raises:
        InvalidArgumentError: It is no device's name.
    """
    return str(Device.parse(text).on_cpu_0())


def merged_device(outer: str, inner: str) -> str:
    """What a node gets that asks for `inner` where a program has asked for `outer`: the inner parts, and the others' rest.

    Raises:
        InvalidArgumentError: One of them is no device's name.
    """
    if not outer or not inner:
        return inner or outer
    around, wanted = Device.parse(outer), Device.parse(inner)
    kind, index = (wanted.kind, wanted.index) if wanted.kind else (around.kind, around.index)
    return str(
        Device(wanted.job or around.job, wanted.replica or around.replica, wanted.task or around.task, kind, index)
    )


def clear_devices(graph_def: schemas.GraphDef, *, functions: bool = True) -> schemas.GraphDef:
    """A copy of a graph whose nodes leave their devices open.

    Args:
        functions: Whether in the functions of its library too; TensorFlow's own exports leave those as they are.
    """
    cleared = schemas.GraphDef()
    cleared.CopyFrom(graph_def)
    for node in cleared.node:
        node.device = ""
    if functions:
        for function in cleared.library.function:
            for node in function.node_def:
                node.device = ""
    return cleared
