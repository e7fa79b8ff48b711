"""A mapping of names in a file, to be kept beside a checkpoint and edited by hand.

    tables = ["rnn-cells"]                 # ready tables, one after the other

    [names]                                # old = new
    "old/kernel" = "new/kernel"
    "old/bias" = ["new/bias", "copy"]      # one tensor for two names
    "old/step" = false                     # left out
    "old/matrix" = {name = "new/matrix", transpose = true}

    [[rules]]                              # after the tables, in this order
    pattern = "weights$"
    replacement = "kernel"                 # false leaves out
    transpose = [3, 2, 0, 1]

The same as JSON, where ``null`` may stand for ``false``. A name in ``[names]`` is done: neither tables nor rules see it.

Rules are regular expressions, and some of those take longer than anyone waits: a mapping is what its user says, like a
script, and no part of a checkpoint. What is malformed is an error, what is slow is not noticed.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from tfsaver.checkpoint.names.name_steps import Renamed, Rule, Targets, as_axes, raise_problems
from tfsaver.errors import InvalidArgumentError, nearest_names

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_KEYS = ("tables", "names", "rules")
_RULE_KEYS = ("pattern", "replacement", "transpose")
_NAME_KEYS = ("name", "transpose")


class NameMapFile(NamedTuple):
    """What a file says.

    Attributes:
        tables: Names of tables.
        names: What `RenameByDict` takes.
        rules: What `RenameByRules` takes.
    """

    tables: tuple[str, ...]
    names: dict[str, Any]
    rules: tuple[Rule, ...]


def read_name_map_file(path: str | os.PathLike[str]) -> NameMapFile:
    """The mapping in a TOML or JSON file, which it is by the ending of its name.

    Raises:
        InvalidArgumentError: The file is malformed; of keys and values it says all that are.
        FileNotFoundError: There is no such file.
    """
    path = os.fspath(path)
    with open(path, "rb") as file:
        content = file.read()
    try:
        return parse_name_map(content.decode(), is_json=path.endswith(".json"))
    except UnicodeDecodeError as error:
        raise InvalidArgumentError(f"{path}: no UTF-8: {error.reason} at byte {error.start}") from error
    except InvalidArgumentError as error:
        error.add_context(path)
        raise


def parse_name_map(text: str, *, is_json: bool = False) -> NameMapFile:
    """The mapping in the text of a file.

    Raises:
        InvalidArgumentError: It is malformed; of keys and values it says all that are.
    """
    try:
        content = json.loads(text) if is_json else tomllib.loads(text)
    # Nested too deep, or a number of too many digits: the one is a RecursionError, the other a ValueError.
    except (ValueError, RecursionError) as error:
        raise InvalidArgumentError(f"no {'JSON' if is_json else 'TOML'}: {error}") from error
    if not isinstance(content, Mapping):
        raise InvalidArgumentError(f"an object with {', '.join(_KEYS)} is expected, not {type(content).__name__}")
    problems = _unknown_keys("", content, _KEYS)
    tables, names, rules = content.get("tables", []), content.get("names", {}), content.get("rules", [])
    if not isinstance(tables, list) or not all(isinstance(table, str) for table in tables):
        problems.append(f"tables is {tables!r}, must be a list of names")
    if not isinstance(names, Mapping):
        problems.append(f"names is {names!r}, must be a table of old names with the new ones")
        names = {}
    if not isinstance(rules, list):
        problems.append(f"rules is {rules!r}, must be a list")
        rules = []
    result = NameMapFile(
        tuple(tables),
        {name: _targets(name, value, problems) for name, value in names.items()},
        tuple(_rule(number, rule, problems) for number, rule in enumerate(rules, 1)),
    )
    raise_problems("mapping", problems)
    return result


def format_toml(renamed: Mapping[str, Targets]) -> str:
    """A TOML file with the names of a mapping.

    Raises:
        InvalidArgumentError: A name is no Unicode text.
    """
    lines = ["[names]"]
    for name, targets in renamed.items():
        values = [_target_text(target) for target in targets]
        value = values[0] if len(values) == 1 else f"[{', '.join(values)}]" if values else "false"
        lines.append(f"{_quoted(name)} = {value}")
    return "\n".join([*lines, ""])


def _targets(name: str, value: Any, problems: list[str]) -> Any:
    return [_target(name, item, problems) for item in value] if isinstance(value, list) else _target(name, value, problems)


def _target(name: str, value: Any, problems: list[str]) -> Any:
    if not isinstance(value, Mapping):
        return value
    problems += _unknown_keys(f"names, {name!r}: ", value, _NAME_KEYS)
    if not isinstance(value.get("name"), str):
        problems.append(f"names, {name!r}: name is missing")
    try:
        return Renamed(value.get("name", ""), as_axes(value.get("transpose")))
    except InvalidArgumentError as error:
        problems.append(f"names, {name!r}: {error}")
        return None


def _rule(number: int, value: Any, problems: list[str]) -> Rule:
    where = f"rule {number}: "
    if not isinstance(value, Mapping):
        problems.append(f"{where}{value!r}, must have pattern and replacement")
        return Rule("", "")
    problems += _unknown_keys(where, value, _RULE_KEYS)
    problems += (f"{where}{key} is missing" for key in _RULE_KEYS[:2] if key not in value)
    replacement = value.get("replacement", "")
    return Rule(value.get("pattern", ""), None if replacement is False else replacement, value.get("transpose"))


def _unknown_keys(where: str, content: Mapping[str, Any], known: Collection[str]) -> list[str]:
    problems = []
    for key in content:
        if key not in known:
            near = nearest_names(key, known)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}"
            problems.append(f"{where}unknown key {key!r}; {hint}")
    return problems


def _target_text(target: Renamed) -> str:
    if target.transpose is None:
        return _quoted(target.name)
    axes = "true" if target.transpose == (1, 0) else str(list(target.transpose))
    return f"{{name = {_quoted(target.name)}, transpose = {axes}}}"


def _quoted(text: str) -> str:
    """A text as TOML writes it, which is as JSON does, but for one character."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidArgumentError(f"{text!r} is no Unicode text, which a TOML file can hold alone") from error
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
