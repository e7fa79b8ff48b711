"""The program as a whole: its verbs, exit codes, pipes, and what it imports."""

from __future__ import annotations

import argparse
import importlib
import os
import pathlib
import signal
import subprocess
import sys

import pytest

from tests.cli.process import environment, run_process
from tfsaver import __version__
from tfsaver.cli import main as program
from tfsaver.cli import verify


def test_every_verb_is_a_module_of_that_form() -> None:
    for verb in program.VERBS:
        module = importlib.import_module(f"tfsaver.cli.{verb.replace('-', '_')}")
        parser = argparse.ArgumentParser()
        module.add_arguments(parser)
        assert verb == module.NAME
        assert module.HELP.endswith(".")
        assert callable(module.run)


@pytest.mark.parametrize("arguments", [["--help"], ["inspect", "--help"], ["verify", "--help"]])
def test_help_explains_and_is_no_error(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        program.main(arguments)
    output = capsys.readouterr().out
    assert stop.value.code == 0
    assert "usage: tfsaver" in output
    assert "--json" in output


def test_version_is_the_package_s(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        program.main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out == f"tfsaver {__version__}\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ["frobnicate"],
        ["inspect"],
        ["verify"],
        ["inspect", ""],
        ["verify", "model", "\0"],
        ["inspect", "a", "b"],
        ["inspect", "a", "--select", "("],
        ["inspect", "a", "--exclude", "["],
        ["inspect", "a", "--sort", "colour"],
        ["inspect", "a", "--values"],
        ["verify", "a", "--frobnicate"],
    ],
)
def test_arguments_that_make_no_sense_are_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        program.main(arguments)
    shown = capsys.readouterr()
    assert stop.value.code == 2
    assert shown.out == ""
    assert "usage: tfsaver" in shown.err
    assert "error: " in shown.err


def test_missing_checkpoint_is_3_in_the_error_s_own_words(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = str(tmp_path / "missing")
    assert program.main(["inspect", missing]) == 3
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith(f"tfsaver: error: no checkpoint at {missing!r}: looked for {missing}.index")
    assert shown.err.count("\n") == 1


def test_damaged_index_is_1(trained: str, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = bytearray(pathlib.Path(f"{trained}.index").read_bytes())
    content[10] ^= 1
    (tmp_path / "model.index").write_bytes(content)
    assert program.main(["inspect", str(tmp_path / "model")]) == 1
    shown = capsys.readouterr()
    assert shown.err.startswith("tfsaver: error: ")
    assert "stored CRC32C" in shown.err


def test_error_of_the_operating_system_is_3_without_a_traceback(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(arguments: argparse.Namespace) -> int:
        raise PermissionError(13, "Permission denied", "/secret\n.index")

    monkeypatch.setattr(verify, "run", refuse)
    assert program.main(["verify", "x"]) == 3
    assert capsys.readouterr().err == "tfsaver: error: /secret\\x0a.index: Permission denied\n"


def test_interruption_is_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(arguments: argparse.Namespace) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(verify, "run", interrupt)
    assert program.main(["verify", "x"]) == 130


def test_ctrl_c_ends_the_process_quietly() -> None:
    code = """
import os, signal, sys
from tfsaver.cli import main, verify
# Whoever started the tests in the background had Ctrl-C ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
verify.run = lambda arguments: os.kill(os.getpid(), signal.SIGINT) or signal.pause()
sys.exit(main.main(["verify", "x"]))
"""
    done = run_process(code=code)
    assert done.returncode == 128 + signal.SIGINT
    assert done.stderr == b""


def test_python_m_tfsaver_is_the_program(trained: str) -> None:
    done = run_process("verify", trained)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.decode() == f"{trained}: OK, 8 tensors, 738 B\n"


@pytest.mark.parametrize("arguments", [["--help"], ["inspect", "PREFIX"], ["inspect", "PREFIX", "--json"]])
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_reader_that_goes_away_ends_the_program_quietly(trained: str, arguments: list[str], unbuffered: str) -> None:
    command = [sys.executable, "-m", "tfsaver", *(trained if part == "PREFIX" else part for part in arguments)]
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        command,
        stdout=writer,
        stderr=subprocess.PIPE,
        env=environment(PYTHONUNBUFFERED=unbuffered),
        timeout=120,
        check=False,
    )
    os.close(writer)
    assert done.stderr == b""
    # argparse does not mind when nobody reads its help.
    assert done.returncode in (128 + signal.SIGPIPE, 0 if arguments == ["--help"] else None)


def imported_by(*arguments: str, first: str = "") -> set[str]:
    """The modules that a run of the program imports, by their first names."""
    code = f"""
import sys
{first}
from tfsaver.cli.main import main
try:
    sys.argv[1:] and main(sys.argv[1:])
finally:
    print("\\n" + " ".join(sorted({{name.partition(".")[0] for name in sys.modules}})))
"""
    done = run_process(*arguments, code=code)
    return set(done.stdout.decode().splitlines()[-1].split())


@pytest.mark.parametrize("verb", ["inspect", "verify"])
def test_verbs_in_a_pipe_import_neither_rich_nor_json_nor_frameworks(trained: str, verb: str) -> None:
    imported = imported_by(verb, trained)
    assert "numpy" in imported
    assert imported.isdisjoint({"rich", "tensorflow", "keras", "torch", "pandas"})
    # Some versions of what the core stands on import json by themselves.
    below = imported_by(first="import tfsaver.checkpoint.verify, tfsaver.checkpoint.checkpoint_reader")
    assert "json" in below or "json" not in imported
    assert "json" in imported_by(verb, trained, "--json")


def test_help_imports_neither_numpy_nor_protobuf() -> None:
    imported = imported_by("--help")
    assert "argparse" in imported
    assert imported.isdisjoint({"numpy", "ml_dtypes", "google", "rich", "crc32c", "cramjam"})


def test_ascii_streams_get_escapes_instead_of_an_error(tmp_path: pathlib.Path) -> None:
    import tfsaver

    tfsaver.save_checkpoint({"größe": 1.0}, tmp_path / "m", durable=False)
    done = run_process("inspect", str(tmp_path / "m"), PYTHONIOENCODING="ascii")
    assert done.returncode == 0
    assert b"gr\\xf6\\xdfe" in done.stdout
