"""What the verbs' arguments have in common: the options that every verb has, and text that must mean something."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tfsaver.cli.outcome import ENVELOPE, EXIT_CODES
from tfsaver.cli.parser import UsageError
from tfsaver.errors import InvalidArgumentError
from tfsaver.lib.storage_options import with_storage
from tfsaver.lib.storage_path import StoragePath

if TYPE_CHECKING:
    from tfsaver.checkpoint.selection import Selection


def checkpoint_path(text: str) -> str:
    """A path, as argparse's `type`; one in a store is a `StoragePath`, for `bind_paths`."""
    try:
        path: str = with_storage(text)
        return path
    except InvalidArgumentError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def add_common(
    parser: argparse.ArgumentParser,
    *,
    epilog: str,
    verbose: str,
    quiet: str = "print nothing but errors",
) -> None:
    """The options of every verb that looks at files, and the end of its help.

    Args:
        parser: The verb's.
        epilog: What the help says after the options.
        verbose: What the verb prints with ``-v``.
        quiet: What it prints with ``-q``.
    """
    parser.epilog = f"{epilog}\n{ENVELOPE}\n{EXIT_CODES}"
    common = parser.add_argument_group("options of every verb")
    common.add_argument(
        "--untrusted",
        action="store_true",
        help="refuse names in files and symbolic links that lead out of the directory",
    )
    common.add_argument(
        "--storage-option",
        metavar="KEY=VALUE",
        type=storage_option,
        action="append",
        default=[],
        help="an option of the file system of paths such as s3://bucket/model; may be repeated",
    )
    common.add_argument("-v", "--verbose", action="store_true", help=verbose)
    common.add_argument("-q", "--quiet", action="store_true", help=quiet)
    common.add_argument("--json", action="store_true", help="print one JSON object, described below")


def storage_option(text: str) -> tuple[list[str], Any]:
    """The names and the value of ``client_kwargs.endpoint_url=http://localhost:9000``, as argparse's `type`."""
    key, separator, value = text.partition("=")
    names = key.split(".")
    if not separator or not all(names):
        raise argparse.ArgumentTypeError(f"{text!r} is not KEY=VALUE")
    try:
        return names, json.loads(value)
    except ValueError:
        return names, value


def bind_paths(arguments: argparse.Namespace) -> None:
    """Gives the paths of a command the options of their store.

    Raises:
        UsageError: There are options, and no path is in a store.
    """
    options = _storage_options(arguments)
    if not options:
        return
    bound = {name: _bound(value, options) for name, value in vars(arguments).items()}
    if not any(map(_has_store, bound.values())):
        raise UsageError("argument --storage-option: it is for a path such as s3://bucket/model, and there is none")
    vars(arguments).update(bound)


def path_in_store(text: str, arguments: argparse.Namespace) -> str:
    """A path that is part of another argument, with the options of its store."""
    path: str = _bound(checkpoint_path(text), _storage_options(arguments))
    return path


def _storage_options(arguments: argparse.Namespace) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for (*above, name), value in getattr(arguments, "storage_option", ()):
        inner = options
        for each in above:
            inner = inner.setdefault(each, {})
        inner[name] = value
    return options


def _bound(value: Any, options: dict[str, Any]) -> Any:
    if isinstance(value, list):
        return [_bound(each, options) for each in value]
    return StoragePath(value, storage_options=options) if isinstance(value, StoragePath) else value


def _has_store(value: Any) -> bool:
    return isinstance(value, StoragePath) or (isinstance(value, list) and any(map(_has_store, value)))


def add_patterns(
    parser: argparse._ActionsContainer,
    select: str = "only tensors whose name matches; may be repeated",
    exclude: str = "no tensors whose name matches; may be repeated",
) -> None:
    """The options --select and --exclude."""
    options: dict[str, Any] = {"metavar": "REGEX", "type": regex, "default": []}
    parser.add_argument("--select", action="append", help=select, **options)
    parser.add_argument("--include", dest="select", action=_Renamed, help=argparse.SUPPRESS, **options)
    parser.add_argument("--exclude", action="append", help=exclude, **options)
    parser.add_argument("--allow-unmatched", action="store_true", help="patterns, rules and names may match nothing")


def selection_of(arguments: argparse.Namespace, *, without_optimizer: bool = False) -> Selection | None:
    """The selection behind `add_patterns`; None where no rule was given."""
    select, exclude = (tuple(each.pattern for each in given) for given in (arguments.select, arguments.exclude))
    if not (select or exclude or without_optimizer):
        return None
    # Imported here because verbs that read no tensors do without numpy.
    from tfsaver.checkpoint.selection import Selection  # noqa: PLC0415

    return Selection(
        include=select, exclude=exclude, without_optimizer=without_optimizer, allow_unmatched=arguments.allow_unmatched
    )


class _Renamed(argparse.Action):
    """An earlier name of an option that may be repeated: works, and warns."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option_string: str | None = None
    ) -> None:
        print(f"{parser.prog}: warning: {option_string} is now --{self.dest}", file=sys.stderr)
        setattr(namespace, self.dest, [*getattr(namespace, self.dest), values])


def regex(text: str) -> re.Pattern[str]:
    """A regular expression, as argparse's `type`."""
    try:
        return re.compile(text)
    except re.error as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a regular expression: {error}") from None


def positive(text: str) -> int:
    """A number from 1 on, as argparse's `type`."""
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 on")
    return number


def patterns_of(given: Sequence[re.Pattern[str]]) -> tuple[str, ...]:
    """The patterns behind an option."""
    return tuple(pattern.pattern for pattern in given)
