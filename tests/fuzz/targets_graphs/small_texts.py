"""The small files that people edit: the state file, the retention ledger, mappings of names, graphs as text.

The first byte of an input says which of them it is.
"""

from __future__ import annotations

from collections.abc import Iterator

from tests.fuzz import graph_models
from tests.fuzz import seeds as files
from tests.fuzz.memory_files import mount
from tfsaver import schemas
from tfsaver.checkpoint import checkpoint_state
from tfsaver.checkpoint.checkpoint_files import recorded_checkpoint
from tfsaver.checkpoint.doctor.state_survey import read_state_file
from tfsaver.checkpoint.names import name_map_file
from tfsaver.checkpoint.names.name_map import NameMap
from tfsaver.checkpoint.names.name_steps import RenameByDict, RenameByRules
from tfsaver.checkpoint.retention import Retention
from tfsaver.checkpoint.retention_file import read_ledger
from tfsaver.saved_model import saved_model_file, sources

NAME = "small_texts"

_STATE, _LEDGER, _TOML, _JSON, _GRAPH = range(5)

_LEDGER_TEXT = b"""{"version": 1, "series": {"model.ckpt": {"began": 1700000000.0}}, "more": [1], "checkpoints": [
{"name": "model.ckpt-1", "series": "model.ckpt", "time": 17e8, "format": "V1", "meta_graph_suffix": "graph"},
{"name": "model.ckpt-200", "series": "model.ckpt", "time": 1700000360.5, "format": "V2", "metric": 0.25, "pinned": true}]}"""
_TOML_TEXT = b"""tables = ["rnn-cells"]
[names]
"old/kernel" = "new/kernel"
"old/bias" = ["new/bias", "copy"]
"old/step" = false
"old/matrix" = {name = "new/matrix", transpose = true}
[[rules]]
pattern = "(w)eights$"
replacement = "\\\\1"
transpose = [3, 2, 0, 1]
"""
_JSON_TEXT = b'{"names": {"a": null, "b": {"name": "c", "transpose": [1, 0]}}, "rules": [{"pattern": "x+", "replacement": false}]}'
_STATE_TEXT = b"""model_checkpoint_path: "model.ckpt-1"  # a comment
all_model_checkpoint_paths: ["/elsewhere/model\\.ckpt-0", 'model' '.ckpt-1']
all_model_checkpoint_timestamps: 1.5e9, all_model_checkpoint_timestamps: inf
last_preserved_timestamp: -0.25
"""
# Regular expressions of strangers are nothing that a program takes: with these, none takes long.
_NAMES = ("old/kernel", "weights", "a", "xx")
_MAX_PATTERN = 12


def seeds() -> Iterator[bytes]:
    for kind, text in ((_LEDGER, _LEDGER_TEXT), (_TOML, _TOML_TEXT), (_JSON, _JSON_TEXT), (_STATE, _STATE_TEXT)):
        yield bytes((kind,)) + text
    for data in files.case_files("checkpoint"):
        yield bytes((_STATE,)) + data
    state = checkpoint_state.generate_checkpoint_state_proto("d", "d/\u00fc\n\"'", ["d/a"], [1.0, 2.0])
    yield bytes((_STATE,)) + checkpoint_state.format_checkpoint_state(state).encode()
    for name in ("reference_variables", "resource_variables"):
        text = str(getattr(graph_models, name)()).encode()
        yield from (bytes((_GRAPH,)) + text[start : start + 1500] for start in range(0, len(text), 1500))
    yield bytes((_GRAPH,)) + b'graph_def { node { name: "a" op: "Const" attr { key: "value" value { i: 0x10 } } } }'


def run(data: bytes) -> None:
    kind, text = data[0] if data else 0, data[1:]
    (_read_state, _read_ledger, _read_toml, _read_json, _read_graph)[kind % 5](text)


def _read_state(text: bytes) -> None:
    folder = mount({"checkpoint": text, "model.ckpt-1.index": b"", "model.ckpt-0": b""})
    which = len(text) % 4
    if which == 0:
        read_state_file(folder, trusted=len(text) % 8 == 0)
    elif which == 1:
        recorded_checkpoint(folder)
    elif which == 2:
        checkpoint_state.get_checkpoint_state(folder, trusted=False)
    if which < 3:
        return
    state = checkpoint_state.parse_checkpoint_state(text)
    again = checkpoint_state.parse_checkpoint_state(checkpoint_state.format_checkpoint_state(state).encode())
    # Bytes, since no NaN is equal to itself.
    assert again.SerializeToString(deterministic=True) == state.SerializeToString(deterministic=True)


def _read_ledger(text: bytes) -> None:
    page = read_ledger(f"{mount({'checkpoint.retention.json': text})}/checkpoint.retention.json")
    assert page is not None
    for name in page.series:
        mine = [entry for entry in page.entries if entry.series == name]
        kept = Retention(last=1, every_hours=1.0, best=1).keeps(mine, page.series[name].get("began", 0.0))
        assert len(kept) == len(mine)


def _read_toml(text: bytes) -> None:
    _apply(name_map_file.parse_name_map(text.decode("utf-8", "replace")))


def _read_json(text: bytes) -> None:
    _apply(name_map_file.parse_name_map(text.decode("utf-8", "replace"), is_json=True))


def _apply(file: name_map_file.NameMapFile) -> None:
    problems: list[str] = []
    NameMap([RenameByDict(file.names)]).apply(_NAMES, problems=problems)
    rules = [rule for rule in file.rules if not isinstance(rule.pattern, str) or len(rule.pattern) < _MAX_PATTERN]
    NameMap([RenameByRules(rules)]).apply(_NAMES, problems=problems)
    RenameByRules(file.rules)


def _read_graph(text: bytes) -> None:
    if len(text) % 2:
        saved_model_file.parse(schemas.MetaGraphDef(), text, "graph.pbtxt", as_text=True)
        return
    graph = sources.read_graph(f"{mount({'graph.pbtxt': text})}/graph.pbtxt")
    copy = schemas.MetaGraphDef()
    copy.CopyFrom(graph)
