"""The pages of the documentation site that are not files in docs/: a hook of mkdocs, see mkdocs.yml.

The reference of the command line is made from the argparse parsers, that of the API from `tfsaver.__all__`. The documents in
the root of the repository become pages, so that links to them work on the site as they do in a checkout.
"""

from __future__ import annotations

import argparse
import pathlib
import re
from collections.abc import Iterator
from typing import Any

from mkdocs.structure.files import File, Files

import tfsaver
from tfsaver.cli.arguments import ENVELOPE
from tfsaver.cli.main import VERBS, make_parser
from tfsaver.cli.outcome import EXIT_CODES
from tfsaver.cli.parser import HelpFormatter

_ROOT = pathlib.Path(__file__).resolve().parent.parent
_ROOT_PAGES = ("SECURITY.md", "CONTRIBUTING.md", "CHANGELOG.md", "benchmarks/README.md")
_WIDTH = 100

# Package -> the heading of its names in the reference, in this order.
_PACKAGES = {
    "verbs": "Read, restore, convert and edit",
    "checkpoint": "Checkpoints and directories of them",
    "compat": "TensorFlow's interfaces",
    "saved_model": "SavedModels and graphs",
    "tensor_bundle": "Files of V2 checkpoints",
    "lib": "Paths",
}


def on_files(files: Files, config: Any) -> Files:
    """Adds the pages and the notebooks."""
    pages = {
        "reference/api.md": _api(),
        "reference/commands.md": _commands(),
        "reference/errors.md": "# Errors\n\n::: tfsaver.errors\n    options:\n      show_root_heading: false\n"
        "      show_root_toc_entry: false\n      heading_level: 2\n      inherited_members: false\n",
        "reference/names.md": "# Mappings of names\n\n::: tfsaver.checkpoint.names.name_map\n    options:\n"
        "      show_root_heading: false\n      show_root_toc_entry: false\n      heading_level: 2\n",
    }
    for path, text in pages.items():
        files.append(File.generated(config, path, content=text))
    for name in (*_ROOT_PAGES, *(f"notebooks/{path.name}" for path in (_ROOT / "notebooks").glob("*.ipynb"))):
        files.append(File.generated(config, name, abs_src_path=str(_ROOT / name)))
    return files


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """Points links out of docs/, and from the root into it, to where the pages are on the site."""
    uri = page.file.src_uri
    if uri in _ROOT_PAGES:
        up = "../" * uri.count("/")
        return re.sub(rf"\]\({re.escape(up)}docs/", f"]({up}", markdown)
    # Out of docs/, one directory up from the page or two.
    up = "../" * (uri.count("/") + 1)
    return markdown.replace(f"]({up}benchmarks/)", f"]({up}benchmarks/README.md)").replace(f"]({up}", f"]({up[3:]}")


def on_post_page(output: str, **_: Any) -> str:
    """Names the theme's search dialog, which a screen reader would otherwise call nothing."""
    dialog = 'data-md-component="search" role="dialog"'
    return output.replace(dialog, f'{dialog} aria-label="Search"')


# ---- the API ----


def _api() -> str:
    homes: dict[str, list[tuple[str, str]]] = {package: [] for package in _PACKAGES}
    seen = set()
    for name in tfsaver.__all__:
        home = tfsaver._HOMES.get(name)
        if home is None or home in seen:
            continue
        seen.add(home)
        package = home[0].split(".")[1]
        if package != "errors":
            homes[package].append((name, ".".join(home)))
    lines = ["# Python", "", "`import tfsaver` has these names. [Errors](errors.md) have a page of their own.", ""]
    for package, names in homes.items():
        lines += [f"## {_PACKAGES[package]}", ""]
        for name, home in names:
            lines += [f"::: {home}", "    options:", f"      heading: tfsaver.{name}", f"      toc_label: {name}", ""]
    return "\n".join(lines)


# ---- the command line ----


def _commands() -> str:
    lines = [
        "# Commands",
        "",
        "What `tfsaver VERB --help` prints. [The command line](../command_line.md) has exit codes and JSON.",
        "",
    ]
    lines += ["| command | |", "|---|---|"]
    parsers = [parser for verb in VERBS for parser in _with_verbs_below(_parser_of(verb))]
    for parser in parsers:
        anchor = parser.prog.replace(" ", "-")
        lines.append(f"| [`{parser.prog}`](#{anchor}) | {_cell(parser.description or '')} |")
    for parser in parsers:
        lines += ["", *_command(parser)]
    return "\n".join(lines) + "\n"


def _parser_of(verb: str) -> argparse.ArgumentParser:
    return make_parser(verb).verbs[verb]  # type: ignore[attr-defined]


def _with_verbs_below(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    yield parser
    yield from getattr(parser, "verbs", {}).values()


def _command(parser: argparse.ArgumentParser) -> Iterator[str]:
    yield f"## {parser.prog}"
    yield ""
    yield _cell(parser.description or "")
    yield ""
    usage = HelpFormatter(parser.prog, width=_WIDTH)
    usage.add_usage(parser.usage, parser._actions, parser._mutually_exclusive_groups)
    yield f"```text\n{usage.format_help().strip()}\n```"
    yield ""
    yield "| argument | effect |"
    yield "|---|---|"
    for action in parser._actions:
        if action.help == argparse.SUPPRESS or isinstance(action, argparse._HelpAction | argparse._SubParsersAction):
            continue
        text = (action.help or "") % {**vars(action), "prog": parser.prog}
        yield f"| {_words(parser, action)} | {_cell(text)} |"
    epilog = (parser.epilog or "").removesuffix(EXIT_CODES).rstrip("\n").removesuffix(ENVELOPE.rstrip("\n"))
    if epilog.strip():
        notes = HelpFormatter(parser.prog, width=_WIDTH)
        notes.add_text(epilog)
        yield ""
        yield f"```text\n{notes.format_help().strip()}\n```"


def _words(parser: argparse.ArgumentParser, action: argparse.Action) -> str:
    """What is typed, such as ``-v``, ``--verbose``."""
    formatter = HelpFormatter(parser.prog, width=_WIDTH)
    if not action.option_strings:
        return f"`{formatter._format_args(action, formatter._get_default_metavar_for_positional(action))}`"
    value = ""
    if action.nargs != 0:
        value = " " + formatter._format_args(action, formatter._get_default_metavar_for_optional(action))
    return ", ".join(f"`{option}{value}`" for option in action.option_strings).replace("|", "\\|")


def _cell(text: str) -> str:
    return re.sub(r"([|<*_\\])", r"\\\1", " ".join(text.split()))
