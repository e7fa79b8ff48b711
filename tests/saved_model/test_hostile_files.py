"""Every bit and every length of small files: saved_model.pb, fingerprint.pb, .meta, .cpb, the state file, the ledger, mappings.

Whatever the bytes are, the error is one of ours. A sample of the places, or all of them where TFSAVER_EXHAUSTIVE is set.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz import graph_models
from tests.fuzz.targets_graphs import chunked_proto, small_texts
from tests.plugins.exhaustive import is_exhaustive
from tests.saved_model.riegeli_files import SIGNATURE, chunk
from tfsaver import schemas
from tfsaver.checkpoint.checkpoint_management import latest_checkpoint
from tfsaver.checkpoint.checkpoint_state import get_checkpoint_state
from tfsaver.checkpoint.names.name_map import as_name_map
from tfsaver.checkpoint.retention_ledger import RetentionLedger
from tfsaver.errors import SaverError
from tfsaver.graph.lint import lint
from tfsaver.graph.op_risks import scan
from tfsaver.lib import file_io
from tfsaver.saved_model import fingerprint
from tfsaver.saved_model.loader import load_saved_model
from tfsaver.saved_model.sources import read_graph

# Changes of one file that `make test` tries.
_SAMPLE = 150


def use_saved_model(path: Path) -> None:
    with load_saved_model(path.parent, trusted=False) as model:
        for graph in model.meta_graphs:
            scan(graph.proto)
            list(graph.signatures)
            assert all(name.startswith(str(path.parent)) and ".." not in name for name in graph.assets.values())
        assert model.fingerprint is None or model.fingerprint


def use_meta_graph(path: Path) -> None:
    lint(read_graph(str(path)))


def use_state(path: Path) -> None:
    get_checkpoint_state(path.parent)
    latest_checkpoint(path.parent, verified=True)
    with contextlib.suppress(SaverError):
        latest_checkpoint(path.parent, trusted=False)


def use_ledger(path: Path) -> None:
    for entry in RetentionLedger(path.parent).checkpoints:
        directory = file_io.split(file_io.join(str(path.parent), f"{entry.name}.{entry.meta_graph_suffix}"))[0]
        assert directory == str(path.parent)


def chunked() -> bytes:
    model = schemas.SavedModel(meta_graphs=[graph_models.function_calls()])
    plan = schemas.proto_splitter.ChunkedMessage(chunk_index=0)
    metadata = schemas.proto_splitter.ChunkMetadata(message=plan)
    metadata.chunks.add(type=1, size=model.ByteSize(), offset=len(SIGNATURE))
    return SIGNATURE + chunk([model.SerializeToString()], b"b") + chunk([metadata.SerializeToString()])


def object_model() -> bytes:
    model = graph_models.object_model()
    model.meta_graphs[0].graph_def.CopyFrom(graph_models.function_calls().graph_def)
    return model.SerializeToString()


def identity() -> bytes:
    return fingerprint.compute_fingerprint(schemas.SavedModel(), b"x").SerializeToString()


FILES: dict[str, tuple[Callable[[], bytes], Callable[[Path], object]]] = {
    "saved_model.pb": (object_model, use_saved_model),
    "saved_model.pbtxt": (lambda: str(graph_models.object_model()).encode()[:1500], use_saved_model),
    "saved_model.cpb": (chunked, use_saved_model),
    "fingerprint.pb": (identity, lambda path: fingerprint.read_fingerprint(str(path.parent))),
    "model.meta": (lambda: graph_models.without_saver(graph_models.reference_variables()).SerializeToString(), use_meta_graph),
    "checkpoint": (lambda: small_texts._STATE_TEXT, use_state),
    "checkpoint.retention.json": (lambda: small_texts._LEDGER_TEXT, use_ledger),
    "names.toml": (lambda: small_texts._TOML_TEXT, lambda path: as_name_map(str(path))),
    "names.json": (lambda: small_texts._JSON_TEXT, lambda path: as_name_map(str(path))),
}


def changes(data: bytes) -> Iterator[bytes]:
    """The file with one bit turned, each in its turn, and at each length."""
    step = 1 if is_exhaustive() else max(1, (9 * len(data)) // _SAMPLE)
    # A step that shares no factor with 8 comes by every bit of a byte.
    for place in range(0, 8 * len(data), step + (step % 2 == 0)):
        changed = bytearray(data)
        changed[place // 8] ^= 1 << place % 8
        yield bytes(changed)
    for size in range(0, len(data), max(1, step // 8)):
        yield data[:size]


@pytest.mark.parametrize("name", FILES)
def test_every_bit_and_every_length_raise_only_our_errors(
    tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    make, use = FILES[name]
    data = make()
    (tmp_path / name).write_bytes(data)
    if name != "saved_model.pbtxt":
        use(tmp_path / name)
    for changed in changes(data):
        (tmp_path / name).write_bytes(changed)
        caplog.clear()
        try:
            use(tmp_path / name)
        except SaverError:
            continue


@pytest.mark.parametrize("name", FILES)
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.binary(max_size=300), text=st.text(max_size=100), as_text=st.booleans())
def test_any_bytes_raise_only_our_errors(
    tmp_path_factory: pytest.TempPathFactory, name: str, data: bytes, text: str, as_text: bool
) -> None:
    path = tmp_path_factory.getbasetemp() / f"any-{name}" / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(text.encode("utf-8", "surrogatepass") if as_text else data)
    try:
        FILES[name][1](path)
    except SaverError:
        pass


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, "9" * 5000, "a = " + "[" * 100_000, "a = " + "9" * 5000])
@pytest.mark.parametrize("name", ["names.toml", "names.json", "checkpoint.retention.json"])
def test_depth_and_digits_without_end_are_our_errors(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text, "utf-8")
    with pytest.raises(SaverError):
        FILES[name][1](tmp_path / name)


@pytest.mark.parametrize("pattern", ["(" * 5000 + ")" * 5000, "a{99999999999999999999}", "(?P<a", "a{4294967295}"])
def test_rules_that_are_no_expressions_are_our_errors(tmp_path: Path, pattern: str) -> None:
    (tmp_path / "names.toml").write_text(f"[[rules]]\npattern = '{pattern}'\nreplacement = 'x'\n", "utf-8")
    with pytest.raises(SaverError, match="rule 1"):
        as_name_map(str(tmp_path / "names.toml"))


@pytest.mark.parametrize(
    "fields",
    [
        '"name": "../m", "series": "m", "time": 1',
        '"name": "..", "series": "m", "time": 1',
        '"name": "a\\\\b", "series": "m", "time": 1',
        '"name": "C:m", "series": "m", "time": 1',
        '"name": "m", "series": "m", "time": 1, "meta_graph_suffix": "x/../../victim"',
        '"name": "m", "series": "m", "time": 1' + "0" * 400,
        '"name": "m", "series": "m", "time": true',
        '"name": "m", "series": "m", "time": 1, "metric": 1e999',
    ],
)
def test_a_ledger_names_what_lies_beside_it_and_numbers(tmp_path: Path, fields: str) -> None:
    path = tmp_path / "checkpoint.retention.json"
    path.write_text(f'{{"version": 1, "checkpoints": [{{{fields}}}]}}', "utf-8")
    with pytest.raises(SaverError, match="no retention ledger"):
        list(RetentionLedger(tmp_path).checkpoints)


@pytest.mark.parametrize("series", ['{"m": []}', '{"m": {"began": "x"}}', "[]", '{"m": {"began": 1' + "0" * 400 + "}}"])
def test_a_series_of_a_ledger_has_facts(tmp_path: Path, series: str) -> None:
    (tmp_path / "checkpoint.retention.json").write_text(f'{{"version": 1, "series": {series}, "checkpoints": []}}', "utf-8")
    with pytest.raises(SaverError, match="no retention ledger"):
        list(RetentionLedger(tmp_path).checkpoints)


@pytest.mark.parametrize("depth", [60, 150, 3000])
def test_a_text_deeper_than_what_can_be_written_is_our_error(tmp_path: Path, depth: int) -> None:
    nested = 'func { name: "f" attr { key: "k" value { ' * depth + "i: 1" + " } } }" * depth
    text = f'meta_graphs {{ graph_def {{ node {{ name: "a" op: "b" attr {{ key: "k" value {{ {nested} }} }} }} }} }}'
    (tmp_path / "saved_model.pbtxt").write_text(text, "utf-8")
    with pytest.raises(SaverError, match="no SavedModel"):
        load_saved_model(tmp_path)


@pytest.mark.parametrize("escape", [r"\.", r"\400", r"\777", r"\xff", r"\ud800", r"\U00110000", "\\"])
def test_any_escape_in_a_state_file_is_text_or_our_error(tmp_path: Path, escape: str) -> None:
    (tmp_path / "checkpoint").write_text(f'model_checkpoint_path: "m{escape}"\n', "utf-8")
    use_state(tmp_path / "checkpoint")


def test_an_asset_that_is_a_link_is_refused_where_the_model_is_not_trusted(tmp_path: Path) -> None:
    model = schemas.SavedModel(meta_graphs=[graph_models.resource_variables()])
    (tmp_path / "saved_model.pb").write_bytes(model.SerializeToString())
    (tmp_path / "assets").mkdir()
    os.symlink("/etc/hostname", tmp_path / "assets" / "vocab.txt")
    with load_saved_model(tmp_path) as trusted:
        assert trusted.meta_graphs[0].assets == {"vocabulary:0": str(tmp_path / "assets" / "vocab.txt")}
    untrusted = load_saved_model(tmp_path, trusted=False)
    with pytest.raises(SaverError, match="vocab.txt leads out of"):
        untrusted.meta_graphs[0].assets  # noqa: B018


def test_seeds_of_the_fuzzer_cover_each_kind() -> None:
    assert {seed[0] for seed in small_texts.seeds()} == set(range(5))
    assert len(list(chunked_proto.seeds())) >= 4
