"""The same questions about checkpoints and state files to TensorFlow and to us.

Each row of the table is answered in a directory of its own, filled alike for both: the answers, the kinds of errors and
every byte of every file that is there afterwards must be equal. Relative paths are relative to that directory, and "{dir}"
in a string stands for its absolute path. Where we answer otherwise on purpose (a moved directory, a name that looks like a
pattern, a checkpoint that its own state file would replace), the tests of the two modules say so.
"""

from __future__ import annotations

import importlib.util
import json
import os
import pathlib
import sys
from typing import Any

import pytest

from tfsaver import schemas
from tfsaver.checkpoint import checkpoint_management
from tfsaver.checkpoint.checkpoint_management import get_checkpoint_state
from tfsaver.checkpoint.checkpoint_state import format_checkpoint_state
from tfsaver.errors import InvalidArgumentError, NotFoundError, PathConflictError

V1, V2 = schemas.SaverDef.V1, schemas.SaverDef.V2

ASK_TENSORFLOW = r"""
import json, os, sys
import google.protobuf
import tensorflow as tf
from google.protobuf import text_format
from tensorflow.python.checkpoint import checkpoint_management

answers = []
for directory, function, arguments in json.load(sys.stdin):
    os.chdir(directory)
    try:
        answer = getattr(checkpoint_management, function)(*arguments)
        if hasattr(answer, "ListFields"):
            answer = text_format.MessageToString(answer)
        answers.append({"answer": answer})
    except Exception as error:
        answers.append({"error": type(error).__name__})
json.dump({"protobuf": google.protobuf.__version__, "answers": answers}, sys.stdout)
"""

# TensorFlow's kind of error, and ours for the same.
ERRORS = {"ValueError": InvalidArgumentError, "RuntimeError": PathConflictError, "NotFoundError": NotFoundError}

STATE = "model_checkpoint_path: 'm-2' all_model_checkpoint_paths: ['m-1', '/old/x', './m-2'] last_preserved_timestamp: 2"
V2_FILES = ["m-1.index", "m-1.data-00000-of-00001", "m-1.meta", "m-2.index", "m-2.data-00000-of-00001", "m-2.meta"]
V1_FILES = ["v-1", "v-1.meta", "v-2-00000-of-00002", "v-2-00001-of-00002", "v-2.meta", "v-2-00000-of-00003"]

Row = tuple[dict[str, str], str, list[Any]]


def _table() -> list[Row]:
    rows: list[Row] = []
    files = dict.fromkeys([*V2_FILES, *V1_FILES, "sub/m-1.index"], "")

    for text in [
        STATE,
        STATE.replace("'", '"'),
        "model_checkpoint_path: '{dir}/m-2'",
        "model_checkpoint_path: '{dir}/v-1'",
        "model_checkpoint_path: 'v-2-?????-of-00002'",
        "model_checkpoint_path: 'v-2-?????-of-00004'",
        "model_checkpoint_path: 'm-3' all_model_checkpoint_paths: 'm-1'",
        "model_checkpoint_path: 'sub/m-1'",
        "model_checkpoint_path: './sub/../m-1'",
        "model_checkpoint_path: 'sub'",
        r"model_checkpoint_path: 'mod\303\250le\x6d\t\177'",
        "model_checkpoint_path: 'modèle'",
        "model_checkpoint_path: 'a' 'b' # comment\nall_model_checkpoint_timestamps: [1, inf, 1e300, 1795307095.6077342]",
        "model_checkpoint_path: 'old' model_checkpoint_path: 'm-2'",
        "model_checkpoint_path: '' ",
        "all_model_checkpoint_paths: 'm-1'",
        "",
        "# nothing",
        "garbage",
        "model_checkpoint_path: 'm-2' new_field: 1",
        r"model_checkpoint_path: '\377'",
    ]:
        for checkpoint_dir in ["{dir}", "", ".", "{dir}/./sub/.."]:
            for function in ["get_checkpoint_state", "latest_checkpoint"]:
                rows.append(({**files, "checkpoint": text}, function, [checkpoint_dir]))
    for function in ["get_checkpoint_state", "latest_checkpoint"]:
        rows += [
            (files, function, ["{dir}"]),
            (files, function, ["nowhere"]),
            (files, function, ["", ""]),
            ({**files, "newest": STATE}, function, ["{dir}", "newest"]),
            ({**files, "sub/newest": STATE}, function, [".", "sub/newest"]),
            ({**files, "checkpoint/file": ""}, function, ["{dir}"]),
        ]

    for prefix in ["m-1", "m-1.meta", "m-3", "v-1", "v-2", "v-2-?????-of-00002", "v-2-?????-of-00003", "v-2-?????-of-00004",
                   "sub", "sub/m-1", "m-*", "m-[!1]", "m-[1-1]", "[!v]-1", "nowhere/m-1", "", "*"]:  # fmt: skip
        rows.append((files, "checkpoint_exists", [prefix]))
        # Of several files that match, TensorFlow takes any one.
        if "*" not in prefix and prefix != "v-2-?????-of-00002":
            rows.append((files, "get_checkpoint_mtimes", [[prefix, "{dir}/m-1", "gone"]]))

    for arguments in [
        ["m-1"], ["{dir}/m-1"], ["m-1", V2, "graph"], ["m-1", V1], ["v-1", V1], ["v-1"], ["v-2-?????-of-00002", V1],
        ["v-2", V1], ["gone"], ["gone", V1], ["v-1", 0], ["sub/m-1"],
    ]:  # fmt: skip
        rows.append((files, "remove_checkpoint", arguments))

    for prefix in ["m-1", "m-1-?????-of-00003", "m-00001-of-00002", "m-1-of-2", "m-1-??-of-3", "a-1-of-2/x"]:
        rows.append((files, "meta_graph_filename", [prefix, "graph"]))

    for arguments in [
        ["sub", "sub/x"], ["sub", "x"], ["sub/", "sub/x", ["sub/w"]], ["sub", "/abs/x", ["sub/w", "/abs/y"]],
        ["{dir}/sub", "x", ["sub/w"]], ["{dir}/sub", "{dir}/sub/x", ["{dir}/sub/w", "{dir}/sub/x"]], ["", "x"], [".", "./x"],
        ["{dir}", "{dir}/it's \"x\"\\\t\u007f"], [".", "modèle 学習"], ["gs://bucket/run", "gs://bucket/run/x", ["gs://bucket/run/w"]],
    ]:  # fmt: skip
        rows.append((files, "generate_checkpoint_state_proto", arguments))
        if not arguments[0].startswith("gs:"):
            rows.append((files, "update_checkpoint_state", arguments))
    rows += [
        (files, "generate_checkpoint_state_proto", [".", "b", ["a", "b"], [1, 1795307095.6077342], 3]),
        (files, "generate_checkpoint_state_proto", [".", "b", ["a"], [1.5, 2e22], 0]),
        (files, "generate_checkpoint_state_proto", [".", "b", ["a"], [1.5]]),
        (files, "generate_checkpoint_state_proto", [".", ""]),
        (files, "update_checkpoint_state", ["{dir}", "{dir}/b", ["{dir}/a"], "newest", [1, 2], 0.5]),
        (files, "update_checkpoint_state", ["{dir}", "{dir}/b", [], None, [1, 2]]),
        (files, "update_checkpoint_state", ["{dir}", "{dir}/checkpoint"]),
        (files, "update_checkpoint_state", ["", "checkpoint"]),
        (files, "update_checkpoint_state", ["nowhere", "nowhere/b"]),
        ({**files, "checkpoint": STATE}, "update_checkpoint_state", ["", "b"]),
    ]
    return rows


TABLE = _table()


def _in(directory: pathlib.Path, value: Any) -> Any:
    if isinstance(value, list):
        return [_in(directory, item) for item in value]
    return value.replace("{dir}", str(directory)) if isinstance(value, str) else value


def _fill(directory: pathlib.Path, files: dict[str, str]) -> None:
    for seconds, (name, text) in enumerate(files.items(), start=1_700_000_000):
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_in(directory, text), encoding="utf-8")
        os.utime(path, (seconds + 0.5, seconds + 0.5))
    for path in directory.rglob("sub"):
        os.utime(path, (1_800_000_000, 1_800_000_000))


def _contents(directory: pathlib.Path) -> dict[str, bytes]:
    """Every file, with the directory's own path out of its contents."""
    own = os.fsencode(directory)
    paths = [path for path in directory.rglob("*") if path.is_file()]
    return {str(path.relative_to(directory)): path.read_bytes().replace(own, b"{dir}") for path in paths}


def _ask_ours(directory: pathlib.Path, function: str, arguments: list[Any]) -> dict[str, Any]:
    try:
        answer = getattr(checkpoint_management, function)(*arguments)
    except (InvalidArgumentError, NotFoundError) as error:
        return {"error": type(error)}
    return {"answer": format_checkpoint_state(answer) if isinstance(answer, schemas.CheckpointState) else answer}


@pytest.fixture(scope="module")
def theirs(tensorflow_programs, tmp_path_factory) -> tuple[pathlib.Path, dict[str, Any]]:
    """TensorFlow's answers to the whole table, from one process of its own, and the folder of the directories it saw."""
    if importlib.util.find_spec("tensorflow") is None:
        pytest.skip("needs tensorflow: pip install 'tfsaver[tensorflow]'")
    root = tmp_path_factory.mktemp("theirs")
    questions = []
    for number, (files, function, arguments) in enumerate(TABLE):
        directory = root / str(number)
        directory.mkdir()
        _fill(directory, files)
        questions.append([str(directory), function, _in(directory, arguments)])
    done = tensorflow_programs(sys.executable).run_code(ASK_TENSORFLOW, cwd=root, stdin=json.dumps(questions))
    return root, json.loads(done.stdout)


@pytest.mark.parametrize("number", range(len(TABLE)), ids=[f"{row[1]}-{number}" for number, row in enumerate(TABLE)])
def test_answer_is_tensorflows(theirs, tmp_path, monkeypatch, number):
    files, function, arguments = TABLE[number]
    root, reply = theirs
    if int(reply["protobuf"].split(".")[0]) < 7 and not json.dumps([files, arguments], ensure_ascii=False).isascii():
        pytest.skip(f"this TensorFlow prints with protobuf {reply['protobuf']}, which escapes every character outside ASCII")
    their_directory = root / str(number)
    expected = reply["answers"][number]
    _fill(tmp_path, files)
    monkeypatch.chdir(tmp_path)
    actual = _ask_ours(tmp_path, function, _in(tmp_path, arguments))
    if "error" in expected:
        assert actual == {"error": ERRORS[expected["error"]]}
    else:
        answer = json.loads(json.dumps(expected["answer"]).replace(str(their_directory), str(tmp_path)))
        assert actual == {"answer": answer}
    assert _contents(tmp_path) == _contents(their_directory)


def test_state_that_tensorflow_wrote_is_read(theirs):
    root, _ = theirs
    written = [root / str(number) for number, row in enumerate(TABLE) if row[1] == "update_checkpoint_state"]
    states = [get_checkpoint_state(directory) for directory in written]
    assert sum(state is not None for state in states) >= 5
