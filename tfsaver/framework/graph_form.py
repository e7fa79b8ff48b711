"""Recognizes GraphDef, MetaGraphDef and SavedModel files by their first bytes, whatever they are called.

Protocol buffers have no magic number, but the three messages differ in their first fields:

    GraphDef      node = 1 { name = 1 (string), op = 2 (string), ... }, versions = 4 { producer = 1 (number) }
    MetaGraphDef  meta_info_def = 1 { ..., stripped_op_list = 2 { op = 1 { ... } } }, graph_def = 2 { node = 1 { ... } }
    SavedModel    saved_model_schema_version = 1 (number), meta_graphs = 2 { meta_info_def = 1 { ... } }

The bytes are compared with the schemas field by field, so that a prefix of a file is enough. A file in text form is
recognized by the name of its first field.
"""

from __future__ import annotations

import re
from typing import Literal, NamedTuple, TypeAlias

from tfsaver.errors import DataLossError, TruncatedError
from tfsaver.framework.graph_fields import Field, fields
from tfsaver.lib.coding import read_varint

GraphKind: TypeAlias = Literal["GraphDef", "MetaGraphDef", "SavedModel"]

HEAD_SIZE = 1 << 16

# Fields that none of the messages is written without, unless it is empty.
_EVIDENCE: dict[GraphKind, frozenset[str]] = {
    "SavedModel": frozenset({"meta_graphs"}),
    "MetaGraphDef": frozenset({"meta_info_def", "graph_def", "saver_def", "collection_def", "signature_def"}),
    "GraphDef": frozenset({"node", "versions", "library"}),
}
# The third level separates a NodeDef's strings from an OpDef's arguments.
_MAX_DEPTH = 4
_MAX_FIELDS = 4096
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_FIXED = {_FIXED64: 8, _FIXED32: 4}
# All other types are in fields of bytes.
_WIRE_TYPES = {"": _VARINT, "fixed64": _FIXED64, "fixed32": _FIXED32}
# A message, as in `node {`, or the one number that says by its name what it is of.
_FIRST_WORD = re.compile(rb"(?:\s|#[^\n]*\n)*(?:([a-z_]+)\s*:?\s*[{<]|(saved_model_schema_version)\s*:)")
_CONTROL = re.compile(rb"[\x00-\x08]")
_IDENTIFIER = re.compile(rb"[A-Za-z_>][A-Za-z0-9_.>\\/-]*\Z")


class GraphForm(NamedTuple):
    """What a file with graphs holds, and how.

    Attributes:
        kind: The message's name.
        is_text: Whether it is in protobuf's text form.
    """

    kind: GraphKind
    is_text: bool


def recognize_graph(head: bytes) -> GraphForm | None:
    """What kind of graph a file holds; None for any other file.

    Args:
        head: The file's first bytes; `HEAD_SIZE` are enough, and no more are looked at.
    """
    head = head[:HEAD_SIZE]
    text = head.removeprefix(b"\xef\xbb\xbf")
    if (match := _FIRST_WORD.match(text)) is not None:
        word = (match[1] or match[2]).decode()
        for kind in _EVIDENCE:
            if any(field.name == word for field in fields()[kind].values()):
                return GraphForm(kind, is_text=True)
    for kind, evidence in _EVIDENCE.items():
        seen = _Walk(kind, head).fields()
        if seen is not None and not evidence.isdisjoint(seen):
            return GraphForm(kind, is_text=False)
    return None


class _Walk:
    """Compares the first bytes of a message with its schema."""

    def __init__(self, message: str, data: bytes) -> None:
        self._message = message
        self._fields = fields()
        self._data = data
        self._left = _MAX_FIELDS

    def fields(self) -> set[str] | None:
        """The names of the fields that are there; None where the bytes are not of such a message."""
        try:
            return self._walk(self._message, 0, len(self._data), _MAX_DEPTH)
        except DataLossError:
            return None

    def _walk(self, message: str, start: int, end: int, depth: int) -> set[str] | None:
        seen: set[str] = set()
        try:
            while start < min(end, len(self._data)) and self._left > 0:
                self._left -= 1
                key, start = read_varint(self._data, start)
                field = self._fields[message].get(key >> 3)
                if field is None:
                    return None
                wire_type = key & 7
                expected = _WIRE_TYPES.get(field.type, _BYTES)
                # Lists of numbers, packed into one field of bytes, stand deeper than the levels that tell messages apart.
                if wire_type != expected and not (wire_type == _BYTES and depth <= _MAX_DEPTH - 2):
                    return None
                if wire_type in _FIXED:
                    start += _FIXED[wire_type]
                    continue
                value, start = read_varint(self._data, start)
                if wire_type == _BYTES:
                    if not self._fits(message, field, start, start + value, depth):
                        return None
                    start += value
                seen.add(field.name)
        except TruncatedError:
            # The head of the file ends inside a number: what was seen before counts.
            return seen
        # A message that ends before the head does contains whole fields.
        return None if start > end and end < len(self._data) else seen

    def _fits(self, message: str, field: Field, start: int, end: int, depth: int) -> bool:
        whole = end <= len(self._data)
        if field.type == "string":
            data = self._data[start:end]
            if (message, field.name) in (("NodeDef", "op"), ("OpDef", "name")) and whole and not _IDENTIFIER.match(data):
                return False
            # Names are text: an embedded message is not.
            return _CONTROL.search(data) is None
        if field.type not in self._fields or depth == 0:
            return True
        seen = self._walk(field.type, start, end, depth - 1)
        if seen is None:
            return False
        # A node that is all there has a name and an operation.
        return field.type != "NodeDef" or not whole or self._left <= 0 or {"name", "op"} <= seen
