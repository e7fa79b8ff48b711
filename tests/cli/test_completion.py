"""What a shell is told when a person presses Tab: verbs, options, and the tensors of the checkpoint in the line."""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pytest

import tfsaver
from tests.cli.process import environment, run_process

pytest.importorskip("argcomplete")


@pytest.fixture(scope="module")
def prefix(tmp_path_factory: pytest.TempPathFactory) -> str:
    values = {"dense/kernel": np.ones(2), "dense/bias": np.ones(2), "\x1b]0;x": np.ones(1)}
    return tfsaver.save_checkpoint(values, tmp_path_factory.mktemp("completed") / "m", durable=False)


def completions(line: str) -> set[str]:
    """What argcomplete's protocol gives for a line: the answers come on descriptor 8."""
    script = (
        "import os, sys; reading, writing = os.pipe(); os.dup2(writing, 8); os.set_inheritable(8, True)\n"
        "import subprocess; subprocess.run([sys.executable, '-m', 'tfsaver'], close_fds=False, stderr=subprocess.DEVNULL)\n"
        "os.close(8); os.close(writing); sys.stdout.buffer.write(os.read(reading, 1 << 16))"
    )
    asked = environment(
        _ARGCOMPLETE="1", COMP_LINE=line, COMP_POINT=str(len(line.encode())), IFS="\013", _ARGCOMPLETE_IFS="\013",
        COMP_TYPE="9", _ARGCOMPLETE_SUPPRESS_SPACE="1", _ARGCOMPLETE_COMP_WORDBREAKS="",
    )  # fmt: skip
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, env=asked, check=True, timeout=60)
    return set(filter(None, done.stdout.decode().split("\013")))


def test_verbs_and_options_are_completed() -> None:
    assert completions("tfsaver insp") == {"inspect"}
    assert {"report", "rename", "reshard"} <= completions("tfsaver re")
    assert completions("tfsaver inspect --sta") == {"--stats"}
    assert "--output" in completions("tfsaver saved-model export --out")


def test_tensors_of_the_checkpoint_in_the_line_are_completed(prefix: str) -> None:
    assert completions(f"tfsaver inspect {prefix} --values dense/") == {"dense/kernel", "dense/bias"}
    assert completions(f"tfsaver inspect {prefix} --select dense/k") == {"dense/kernel"}
    assert completions(f"tfsaver projector {prefix} dense/b") == {"dense/bias"}
    assert not any("\x1b" in each for each in completions(f"tfsaver inspect {prefix} --values "))


def test_no_checkpoint_is_no_error() -> None:
    assert completions("tfsaver inspect /nowhere --values de") == set()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_program_prints_the_code_of_a_shell(shell: str) -> None:
    for arguments in ([f"--completion={shell}"], ["--completion", shell]):
        done = run_process(*arguments)
        assert done.returncode == 0 and b"tfsaver" in done.stdout
    if shutil.which(shell) and shell == "bash":
        subprocess.run(["bash", "-n"], input=done.stdout, check=True)


def test_bash_completes_a_line(prefix: str, tmp_path: pathlib.Path) -> None:
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("needs bash: apt-get install bash")
    program = tmp_path / "tfsaver"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m tfsaver "$@"\n')
    program.chmod(0o755)
    script = (
        f'eval "$(tfsaver --completion=bash)"\nCOMP_LINE="tfsaver inspect {prefix} --values dense/b"\n'
        'COMP_WORDS=($COMP_LINE); COMP_CWORD=4; COMP_POINT=${#COMP_LINE}; COMP_TYPE=9\n'
        '_python_argcomplete tfsaver\necho "${COMPREPLY[@]}"\n'
    )
    changed = environment(PATH=f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    done = subprocess.run([bash, "--norc", "-c", script], capture_output=True, text=True, env=changed, check=False, timeout=60)
    assert done.stdout.split() == ["dense/bias"], done.stderr
