"""The grammar of the command line: every verb has the same options, exit codes and JSON envelope."""

from __future__ import annotations

import argparse
import json
import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import tfsaver
from tests.cli.saved_model_files import write_model
from tests.cli.test_saved_model_lint import sound_proto
from tests.test_errors import EXAMPLES
from tfsaver import errors, schemas
from tfsaver.cli import main as program
from tfsaver.cli import outcome, verify
from tfsaver.cli.parser import Parser
from tfsaver.framework import dtypes
from tfsaver.graph.node_builder import array_const

# How each verb is called: PATH is what it looks at, SOUND a sound checkpoint, OUT what it may write. A verb that is not
# here fails `test_the_table_has_every_verb`.
CALLS = {
    "identify": "PATH",
    "inspect": "PATH --stats",
    "verify": "PATH",
    "doctor": "PATH",
    "doctor --salvage": "PATH --out OUT",
    "convert": "PATH OUT.npz",
    "strip": "PATH OUT",
    "select": "PATH OUT --select w",
    "rename": "PATH OUT --map w=v",
    "cast": "PATH OUT --to half",
    "average": "PATH SOUND OUT",
    "merge": "PATH OUT",
    "split": "PATH --part OUT w --rest OUT-rest",
    "diff": "PATH SOUND",
    "report": "PATH -o OUT.html",
    "projector": "PATH w -o OUT",
    "reshard": "PATH OUT",
    "saved-model show": "PATH",
    "saved-model scan": "PATH",
    "saved-model lint": "PATH",
    "saved-model run": "PATH --input x=[[1,2,3]]",
    "saved-model edit": "PATH OUT --clear-devices",
    "saved-model merge": "PATH OUT",
    "saved-model export": "PATH OUT",
    "saved-model freeze": "PATH OUT",
    "saved-model unfreeze": "PATH OUT",
}
# What these verbs write of a damaged checkpoint says what is damaged, or is what is left.
WRITE_OF_DAMAGE = ("doctor --salvage", "report")
CODES = {"sound": outcome.OK, "damaged": outcome.FOUND, "missing": outcome.FAILED}
# The first bytes of a PNG, and enough others to be an index.
FOREIGN = b"\x89PNG\r\n\x1a\n" + bytes(500)


def parsers() -> Iterator[tuple[str, Parser]]:
    """The parser of every verb that does something, by what is typed."""
    for verb in program.VERBS:
        top = program.make_parser(verb)
        assert isinstance(top, Parser)
        parser = top.verbs[verb]
        assert isinstance(parser, Parser)
        below = parser.verbs
        yield from ((f"{verb} {name}", each) for name, each in below.items()) if below else [(verb, parser)]  # type: ignore[misc]


PARSERS = dict(parsers())


def call(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """The exit code and both streams of the program."""
    capsys.readouterr()
    try:
        code: Any = program.main(arguments)
    except SystemExit as stop:
        code = stop.code
    shown = capsys.readouterr()
    return code, shown.out, shown.err


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Checkpoints, directories of checkpoints and SavedModels: sound, damaged, foreign, and none called missing."""
    root = tmp_path_factory.mktemp("grammar")
    for kind in ("sound", "damaged"):
        for directory in ("checkpoint", "doctor"):
            (root / directory / kind).mkdir(parents=True)
            prefix = root / directory / kind / "m-1"
            tfsaver.save_checkpoint({"b": np.zeros(2, np.float32), "w": np.ones((2, 2), np.float32)}, prefix, durable=False)
            (root / directory / kind / "checkpoint").write_text('model_checkpoint_path: "m-1"\n')
            if kind == "damaged":
                data = root / directory / kind / "m-1.data-00000-of-00001"
                data.write_bytes(data.read_bytes()[:-1] + b"\xff")
        write_model(root / "saved-model" / kind, sound_proto())
    (root / "saved-model" / "damaged" / "saved_model.pb").write_bytes(b"\xff\xff\xff")
    (root / "frozen").mkdir()
    weights = array_const("w", np.ones(4, np.float32), dtypes.from_numpy(np.dtype(np.float32)))
    (root / "frozen" / "sound").write_bytes(schemas.GraphDef(node=[weights]).SerializeToString())
    (root / "frozen" / "damaged").write_bytes(b"\xff\xff\xff")
    for directory in ("checkpoint", "doctor", "saved-model", "frozen"):
        (root / directory / "foreign").write_bytes(FOREIGN)
    return root


def arguments_of(verb: str, kind: str, files: pathlib.Path, out: pathlib.Path) -> list[str]:
    family = verb.split()[0] if verb in ("doctor", *(each for each in CALLS if each.startswith("saved-model"))) else "checkpoint"
    family = "frozen" if verb == "saved-model unfreeze" else family
    path = files / family / kind
    if family == "checkpoint" and path.is_dir():
        path /= "m-1"
    words = {"PATH": str(path), "SOUND": str(files / "checkpoint" / "sound"), "OUT": str(out / "out")}
    return [*verb.split(), *(words.get(word, word.replace("OUT", words["OUT"])) for word in CALLS[verb].split())]


def test_the_table_has_every_verb() -> None:
    assert {verb.partition(" --")[0] for verb in CALLS} == set(PARSERS)


@pytest.mark.parametrize("verb", CALLS)
@pytest.mark.parametrize("kind", ["sound", "damaged", "missing", "foreign"])
def test_every_verb_has_the_same_exit_codes_and_envelope(
    verb: str, kind: str, files: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if (verb, kind) == ("saved-model run", "sound"):
        pytest.skip("starts TensorFlow: test_saved_model_run.py")
    arguments = arguments_of(verb, kind, files, tmp_path)
    code, text, said = call(capsys, *arguments)
    if verb == "identify" and kind != "missing":
        # It says what any file is, and looks at no more than its beginning.
        assert code == outcome.OK, said
    elif kind == "foreign":
        # No graph in a file is a finding of the verbs for SavedModels; to the others it is a file that they cannot look into.
        assert code == (outcome.FOUND if verb.startswith("saved-model") else outcome.FAILED), said
    else:
        assert code == CODES[kind], said
    assert "Traceback" not in said
    assert code == outcome.OK or text or said.startswith("tfsaver: error: ")
    if code != outcome.OK and not (kind == "damaged" and verb in WRITE_OF_DAMAGE):
        assert not list(tmp_path.iterdir())

    again = arguments_of(verb, kind, files, tmp_path / "json")
    code_of_json, document, said_of_json = call(capsys, *again, "--json")
    found = json.loads(document)
    assert code_of_json == code
    assert list(found) == ["schema_version", "tfsaver", "verb", "exit_code", "error", "report"]
    assert found["schema_version"] == outcome.SCHEMA_VERSION == 1
    assert (found["tfsaver"], found["verb"], found["exit_code"]) == (tfsaver.__version__, verb.partition(" --")[0], code)
    if code == outcome.OK:
        assert found["error"] is None
    assert found["report"] or found["error"]
    if found["error"] is not None:
        assert list(found["error"]) == ["class", "message", "facts"]
        error = getattr(errors, found["error"]["class"])
        is_finding = issubclass(error, errors.DataLossError) and not issubclass(error, errors.NotACheckpointError)
        assert is_finding == (code == outcome.FOUND)
        assert said_of_json.startswith("tfsaver: error: ")
    if kind == "missing":
        assert issubclass(error, FileNotFoundError)
        path = next(word for word in again if word.endswith("missing"))
        assert path in found["error"]["message"] and path in found["error"]["facts"].values()

    if code == outcome.OK:
        quiet = arguments_of(verb, kind, files, tmp_path / "quiet")
        assert call(capsys, *quiet, "--quiet") == (0, "", "")


@pytest.mark.parametrize("verb", CALLS)
def test_a_misspelt_option_of_every_verb_is_2_and_suggests(
    verb: str, files: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for misspelt, meant in (("--jsno", "--json"), ("--untrustd", "--untrusted"), ("--verb", "--verbose")):
        name = verb.partition(" --")[0]
        code, text, said = call(capsys, *verb.split(), misspelt)
        assert (code, text) == (2, "")
        assert said.startswith(f"usage: tfsaver {name} ")
        assert f"tfsaver {name}: error: unknown option {misspelt}; did you mean {meant}" in said
        code, document, _ = call(capsys, *arguments_of(verb, "sound", files, tmp_path), misspelt, "--json")
        found = json.loads(document)
        assert (code, found["exit_code"], found["verb"], found["report"]) == (2, 2, name, None)
        assert found["error"]["class"] == "UsageError" and meant in found["error"]["message"]


@pytest.mark.parametrize("verb", PARSERS)
def test_every_verb_has_the_common_options(verb: str) -> None:
    parser = PARSERS[verb]
    assert {"--untrusted", "--verbose", "--quiet", "--json", "--help"} <= set(parser.options)
    assert not parser.allow_abbrev
    dests = {action.dest for action in parser._actions}
    writes = bool(dests & {"out", "new", "part"})
    assert ("dry_run" in dests) == writes
    assert ("select" in dests) == ("exclude" in dests)
    if writes and verb not in ("doctor", "projector", "split") and not verb.startswith("saved-model"):
        # A split says it with --part, a projector with TENSOR; salvage takes what it can.
        assert "select" in dests


@pytest.mark.parametrize("verb", ["", "saved-model", *PARSERS])
@pytest.mark.parametrize("columns", ["60", "80", "120"])
def test_help_fits_the_window(
    verb: str, columns: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    code, text, _ = call(capsys, *verb.split(), "--help")
    assert code == 0
    assert outcome.EXIT_CODES.splitlines()[1] in text
    # argparse breaks no option of the usage, and commands to copy are not broken.
    prose = [line for line in text[text.index("\n\n") :].splitlines() if not line.startswith(("  tfsaver ", "      --allow"))]
    assert max(map(len, prose)) <= int(columns)


@pytest.mark.parametrize("arguments", [[], ["saved-model"]])
def test_without_a_verb_the_program_prints_its_help(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    code, text, said = call(capsys, *arguments)
    assert (code, said) == (0, "")
    assert text == call(capsys, *arguments, "--help")[1]


@pytest.mark.parametrize(
    ("arguments", "suggestion"),
    [
        (["inspct", "m"], "unknown verb 'inspct'; did you mean inspect?"),
        (["verfiy", "m"], "unknown verb 'verfiy'; did you mean verify?"),
        (["lint", "m"], "unknown verb 'lint'; did you mean saved-model lint"),
        (["savedmodel", "show"], "unknown verb 'savedmodel'; did you mean saved-model"),
        (["saved-model", "shwo", "m"], "unknown verb 'shwo'; did you mean show?"),
        (["frobnicate"], "unknown verb 'frobnicate'\n"),
        (["cast", "a", "b", "--to", "bfloat61"], "unknown dtype 'bfloat61'; did you mean bfloat16"),
        (["convert", "a", "b", "--dtype", "hlaf"], "unknown dtype 'hlaf'; did you mean float16?"),
        (["inspect", "a", "b"], "tfsaver inspect: error: unrecognized arguments: b"),
        (["cast", "a", "b", "--ot", "half"], "unknown option --ot; did you mean --to"),
        (["average", "a", "b", "c", "--last", "2"], "--last takes one directory, not 2 paths"),
        (["split", "a", "--part", "b", "("], "argument --part: '(' is not a regular expression"),
        (["rename", "a", "b", "--rule", "(", "x"], "argument --map, --rule: "),
    ],
)
def test_usage_errors_say_what_to_type(
    arguments: list[str], suggestion: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, text, said = call(capsys, *arguments)
    assert (code, text) == (2, "")
    assert suggestion in said


@pytest.mark.parametrize(
    "options",
    [
        ["convert", "OUT", "--shards", "2", "--to", "npz"],
        ["convert", "OUT", "--allow-unused", "--to", "npz"],
        ["convert", "OUT", "--under", "model"],
        ["convert", "OUT", "--metadata", "format=pt", "--to", "V2"],
        ["average", "SOUND", "OUT", "--weights", "1,2,3"],
        ["diff", "SOUND", "--rtol", "-1"],
    ],
)
def test_options_that_contradict_each_other_are_2(
    options: list[str], files: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sound = str(files / "checkpoint" / "sound" / "m-1")
    words = {"SOUND": sound, "OUT": str(tmp_path / "out")}
    code, document, said = call(capsys, options[0], sound, *(words.get(word, word) for word in options[1:]), "--json")
    assert code == outcome.USAGE, said
    assert json.loads(document)["exit_code"] == 2
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("alias", [*dtypes.ALIASES, "BF16", "Half"])
def test_aliases_are_dtypes(alias: str, tmp_path: pathlib.Path) -> None:
    prefix = tfsaver.save_checkpoint({"w": np.float32([1.5])}, tmp_path / "m", durable=False)
    wanted = dtypes.ALIASES[alias.lower()]
    assert program.main(["cast", prefix, str(tmp_path / "cast"), "--to", alias, "-q"]) == 0
    assert program.main(["convert", prefix, str(tmp_path / "converted"), "--dtype", alias, "-q"]) == 0
    for path in ("cast", "converted"):
        with tfsaver.load_checkpoint(tmp_path / path) as reader:
            assert reader.info("w").dtype.name == wanted


def test_every_error_has_an_exit_code() -> None:
    found = {type(error).__name__ for error, _, _ in EXAMPLES if outcome.exit_code_of(error) == outcome.FOUND}
    assert found == {
        "ChecksumError",
        "DataLossError",
        "MissingSlicesError",
        "NotFoundError",
        "NothingSelectedError",
        "RestoreError",
        "TensorNotFoundError",
        "TruncatedError",
    }
    for error in (PermissionError(13, "no"), FileNotFoundError(2, "no"), MemoryError(), KeyError("x")):
        assert outcome.exit_code_of(error) == outcome.FAILED


def test_facts_of_an_error_are_json() -> None:
    error: Any = errors.CheckpointNotFoundError("m", looked_for=["m.index"])
    error.add_context("run")
    record = outcome.error_record(error)
    assert json.loads(json.dumps(record)) == record
    assert record["facts"] == {"context": ["run"], "prefix": "m", "looked_for": ["m.index"], "found": ""}
    assert record["message"] == str(error)
    denied = outcome.error_record(PermissionError(13, "Permission denied", b"/x"))
    assert denied["facts"] == {"code": 13, "path": "/x", "reason": "Permission denied"}


def test_a_fault_of_the_program_is_3_with_a_traceback_and_an_envelope(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(arguments: argparse.Namespace) -> outcome.Outcome:
        raise ZeroDivisionError("odd")

    monkeypatch.setattr(verify, "run", fail)
    code, document, said = call(capsys, "verify", "x", "--json")
    assert code == 3
    assert said.startswith("Traceback ") and said.endswith("ZeroDivisionError: odd\n")
    assert json.loads(document)["error"] == {"class": "ZeroDivisionError", "message": "odd", "facts": {}}


def test_verify_is_3_when_one_of_several_could_not_be_looked_at(
    files: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damaged, missing = (str(files / "checkpoint" / kind) for kind in ("damaged", "missing"))
    code, document, _ = call(capsys, "verify", damaged, missing, "--json")
    found = json.loads(document)
    assert code == 3
    assert found["error"] == found["report"]["checkpoints"][1]["error"]
    assert [each["ok"] for each in found["report"]["checkpoints"]] == [False, False]


def test_doctor_changes_nothing_in_a_dry_run(files: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    for step in (1, 2):
        tfsaver.save_checkpoint({"w": np.ones(3)}, tmp_path / f"m-{step}", durable=False)
    (tmp_path / "checkpoint").write_text('model_checkpoint_path: "gone"\n')
    (tmp_path / "m-3.index.tempstate12").write_bytes(b"1")
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    code, text, _ = call(capsys, "doctor", str(tmp_path), "--fix", "--clean", "--min-age", "0", "--dry-run")
    assert code == 1
    assert "would be rewritten" in text
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert call(capsys, "doctor", str(tmp_path), "--fix", "--clean", "--min-age", "0")[0] == 0
    assert not (tmp_path / "m-3.index.tempstate12").exists()
