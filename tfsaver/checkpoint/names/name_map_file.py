"""A mapping of names in a file, to be kept beside a checkpoint and edited by hand.

    tables = ["rnn-cells"]                 # ready tables, one after the other

    [names]                                # old = new
    "old/kernel" = "new/kernel"
    "old/bias" = ["new/bias", "copy"]      # one tensor for two names
    "old/step" = false                     # left out
    "old/matrix" = {to = "new/matrix", transpose = true, cast = "float16"}
    "old/qkv" = {split = ["q", "k", "v"], axis = 1}

    [[rules]]                              # after the tables, in this order
    pattern = "weights$"
    replacement = "kernel"                 # false leaves out
    transpose = [3, 2, 0, 1]               # and whatever else `changes` has, in the order written
    when = 4                               # only tensors with 4 axes

    [[concat]]                             # at last: several tensors become one, here of every layer
    inputs = ["(.*)/query", "(.*)/key"]    # [[stack]] along a new axis
    to = "\\1/both"
    regex = true
    axis = -1
    keep = false                           # whether the inputs stay as well

    [[constants]]
    to = "global_step"
    value = 0
    dtype = "int64"

The same as JSON, where ``null`` may stand for ``false``. A name in ``[names]`` is done: neither tables nor rules see it.
With ``allow_unmatched = true`` it is right that a rule, a table or a name matches nothing.

Rules are regular expressions, and some of those take longer than anyone waits: a mapping is what its user says, like a
script, and no part of a checkpoint. What is malformed is an error, what is slow is not noticed.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from tfsaver.checkpoint.names.changes import WORDS, Changes, Joined, around_join
from tfsaver.checkpoint.names.name_steps import AddConstant, Concat, Fixed, RenameByDict, Renamed, Rule, Stack, Targets
from tfsaver.errors import InvalidArgumentError, UnimplementedError, nearest_names, raise_problems

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_JOINS = {"concat": Concat, "stack": Stack}
_KEYS = ("tables", "names", "rules", *_JOINS, "constants", "allow_unmatched")
_RULE_KEYS = ("pattern", "replacement", "when", "axis", "split", *WORDS)
_JOIN_KEYS = ("inputs", "to", "axis", "keep", "regex", *WORDS)
_CONSTANT_KEYS = ("to", "value", "dtype", "shape")


class NameMapFile(NamedTuple):
    """What a file says.

    Attributes:
        tables: Names of tables.
        names: What `RenameByDict` takes.
        rules: What `RenameByRules` takes.
        joins: The steps after these, which all see the same tensors.
        allow_unmatched: Whether it is right that something matches nothing.
    """

    tables: tuple[str, ...]
    names: dict[str, Any]
    rules: tuple[Rule, ...]
    joins: tuple[Concat | AddConstant, ...] = ()
    allow_unmatched: bool = False


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
    allow_unmatched = content.get("allow_unmatched", False)
    if not isinstance(allow_unmatched, bool):
        problems.append(f"allow_unmatched is {allow_unmatched!r}, must be true or false")
    for name, value in names.items():
        try:
            RenameByDict({name: value})
        except (InvalidArgumentError, UnimplementedError) as error:
            problems.append(f"names, {error}".replace("names, names: ", "names, ", 1))
    result = NameMapFile(
        tuple(tables),
        dict(names),
        tuple(_rule(number, rule, problems) for number, rule in enumerate(rules, 1)),
        tuple(_joins(content, problems)),
        allow_unmatched is True,
    )
    raise_problems("mapping", problems)
    return result


def value_of_text(text: str) -> Any:
    """A value as TOML writes it, as in ``{to = "x", squeeze = 0}``.

    Raises:
        InvalidArgumentError: It is none.
    """
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError) as error:
        raise InvalidArgumentError(f"{text}: no TOML: {error}") from error


def format_toml(
    renamed: Mapping[str, Targets], joined: Sequence[tuple[str, Sequence[tuple[str | Fixed, Changes]]]] = ()
) -> str:
    """A TOML file with the names of a mapping.

    Args:
        renamed: What becomes of each name by itself.
        joined: The tensors that several become, and those that are new: the name, and the inputs with their changes.

    Raises:
        InvalidArgumentError: A name is no Unicode text, or a file cannot say what is done.
    """
    lines = ["[names]"]
    for name, targets in renamed.items():
        values = [_target_text(target) for target in targets]
        value = values[0] if len(values) == 1 else f"[{', '.join(values)}]" if values else "false"
        lines.append(f"{_quoted(name)} = {value}")
    taken = {name for name in renamed if not any(target.name == name for target in renamed[name])}
    used: dict[str, int] = {}
    for _, parts in joined:
        for origin in {origin for origin, _ in parts if isinstance(origin, str)}:
            used[origin] = used.get(origin, 0) + 1
    for name, parts in joined:
        lines += _joined_lines(name, parts, taken, used)
    return "\n".join([*lines, ""])


def _joined_lines(
    name: str, parts: Sequence[tuple[str | Fixed, Changes]], taken: Collection[str], used: Mapping[str, int]
) -> list[str]:
    fixed, changes = parts[0]
    if isinstance(fixed, Fixed):
        if changes:
            raise InvalidArgumentError(f"{name!r} is a constant that is changed, which a file cannot say")
        value = _value_text(fixed.value.tolist())
        return ["", "[[constants]]", f"to = {_quoted(name)}", f"value = {value}", f"dtype = {_quoted(fixed.dtype.name)}"]
    inputs = []
    join: Joined | None = None
    after: Changes = ()
    for origin, changes in parts:
        around = around_join(changes)
        if isinstance(origin, Fixed) or around is None or around_join(around.before) is not None:
            raise InvalidArgumentError(f"{name!r} is made of tensors that are joined twice, which a file cannot say")
        if origin in taken or used[origin] > 1:
            raise InvalidArgumentError(f"{name!r} is made of {origin!r}, which becomes others too: a file cannot say it")
        _, join, after = around
        inputs.append(_target_text(Renamed.of(origin, around.before)))
    if join is None:
        return []
    lines = ["", f"[[{join.kind}]]", f"inputs = [{', '.join(inputs)}]", f"to = {_quoted(name)}", f"axis = {join.axis}"]
    for change in after:
        lines += (f"{word} = {_value_text(value)}" for word, value in change.options().items())
    return lines


def _joins(content: Mapping[str, Any], problems: list[str]) -> Iterator[Concat | AddConstant]:
    for key in (*_JOINS, "constants"):
        entries = content.get(key, [])
        if not isinstance(entries, list):
            problems.append(f"{key} is {entries!r}, must be a list")
            continue
        for number, entry in enumerate(entries, 1):
            where = f"{key} {number}: "
            if not isinstance(entry, Mapping):
                problems.append(f"{where}{entry!r}, must be a table")
                continue
            needed = ("inputs", "to") if key in _JOINS else ("to", "value")
            wrong = _unknown_keys(where, entry, _JOIN_KEYS if key in _JOINS else _CONSTANT_KEYS)
            wrong += [f"{where}{word} is missing" for word in needed if word not in entry]
            if not wrong:
                options = {word: value for word, value in entry.items() if word not in needed}
                try:
                    if key in _JOINS:
                        yield _JOINS[key](entry["inputs"], entry["to"], **options)
                    else:
                        yield AddConstant(entry["to"], entry["value"], **options)
                except (InvalidArgumentError, UnimplementedError) as error:
                    wrong = [f"{where}{error}"]
            problems += wrong


def _rule(number: int, value: Any, problems: list[str]) -> Rule:
    where = f"rule {number}: "
    if not isinstance(value, Mapping):
        problems.append(f"{where}{value!r}, must have pattern and replacement")
        return Rule("", "")
    problems += _unknown_keys(where, value, _RULE_KEYS)
    needed = ("pattern",) if "split" in value else _RULE_KEYS[:2]
    problems += (f"{where}{key} is missing" for key in needed if key not in value)
    replacement = value.get("replacement", "")
    options = {key: item for key, item in value.items() if key in _RULE_KEYS[2:]}
    return Rule(value.get("pattern", ""), None if replacement is False else replacement, **options)


def _unknown_keys(where: str, content: Mapping[str, Any], known: Collection[str]) -> list[str]:
    problems = []
    for key in content:
        if key not in known:
            near = nearest_names(key, known)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}"
            problems.append(f"{where}unknown key {key!r}; {hint}")
    return problems


def _target_text(target: Renamed) -> str:
    if not target.changes:
        return _quoted(target.name)
    options: dict[str, Any] = {"to": target.name}
    for change in target.changes:
        for word, value in change.options().items():
            if word in options:
                raise InvalidArgumentError(f"{target.name!r}: {word} twice, which one entry of a file cannot say")
            options[word] = value
    if options.get("transpose") == [1, 0]:
        options["transpose"] = True
    return _value_text(options)


def _value_text(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{word} = {_value_text(item)}' for word, item in value.items())}}}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_value_text, value))}]"
    if isinstance(value, bytes):
        try:
            return _quoted(value.decode())
        except UnicodeDecodeError as error:
            raise InvalidArgumentError(f"{value!r} is no Unicode text, which a TOML file can hold alone") from error
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, str):
        return _quoted(value)
    raise InvalidArgumentError(f"{value!r} is nothing that a TOML file can hold")


def _quoted(text: str) -> str:
    """A text as TOML writes it, which is as JSON does, but for one character."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidArgumentError(f"{text!r} is no Unicode text, which a TOML file can hold alone") from error
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
