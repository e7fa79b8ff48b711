"""Whether a format can hold what it is to hold, asked of every tensor before the first byte is written."""

from __future__ import annotations

import collections
from collections.abc import Callable, Iterable

from tfsaver.checkpoint.tensor_source import TensorSource
from tfsaver.errors import UnimplementedError
from tfsaver.framework.tensor_info import TensorInfo

# Of a tensor that a format cannot hold, why; None of any other.
Objection = Callable[[TensorInfo], "str | None"]


def check_fits(source: TensorSource, what: str, objection: Objection, *, is_text: bool = True) -> list[TensorInfo]:
    """What the source says of its tensors, in the order of their names.

    Args:
        source: What is to be written.
        what: The file to be, as in ``a safetensors file``.
        objection: Why the format cannot hold a tensor.
        is_text: Whether a name must be UTF-8.

    Raises:
        UnimplementedError: Some tensors cannot go; names all of them, by reason, and the way out.
    """
    infos = []
    names_by_reason: dict[str, list[str]] = collections.defaultdict(list)
    for name in source.names:
        reason = _unreadable_text(name) if is_text else None
        if reason is None:
            try:
                info = source.info(name)
            except UnimplementedError as error:
                reason = str(error)
            else:
                infos.append(info)
                reason = objection(info)
        if reason is not None:
            names_by_reason[reason].append(name)
    refuse(what, names_by_reason, len(source.names))
    return infos


def refuse(what: str, names_by_reason: dict[str, list[str]], num_tensors: int) -> None:
    """Raises when there is any reason to.

    Raises:
        UnimplementedError: With all reasons and all names.
    """
    if not names_by_reason:
        return
    count = len({name for names in names_by_reason.values() for name in names})
    lines = [f"{what} cannot hold {count} of {num_tensors} tensors, and nothing was written:"]
    lines += [f"  {reason}: {', '.join(map(repr, names))}" for reason, names in names_by_reason.items()]
    ways = "leave them out with exclude (--exclude), give them another type with dtype (--dtype)"
    raise UnimplementedError.of_lines([*lines, f"{ways}, or other names with mapping (--map)"])


def no_type(info: TensorInfo) -> str:
    """The reason that most have: the format has no such type."""
    return f"no type for {info.dtype}"


def clashes(names: Iterable[str]) -> dict[str, str]:
    """Of each name that a tree of names cannot have beside the others, or at all, why; ``a`` is no leaf beside ``a/b``."""
    given = set(names)
    found = {}
    for name in given:
        parts = name.split("/")
        if "" in parts:
            found[name] = "an empty part in its name"
            continue
        for length in range(1, len(parts)):
            parent = "/".join(parts[:length])
            if parent in given:
                found[name] = "its name has another tensor's in the place of a folder"
                found[parent] = "its name is a folder in another tensor's"
    return found


def _unreadable_text(name: str) -> str | None:
    try:
        name.encode()
    except UnicodeEncodeError:
        return "a name that is no UTF-8 text"
    return None
