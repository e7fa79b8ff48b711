"""Data files under another checkpoint's name, and directories that are not of checkpoints alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import tfsaver
from tfsaver.checkpoint.doctor.doctor import diagnose
from tfsaver.cli.main import main

STEPS = (200, 220, 240)


@pytest.fixture(params=[1, 2], ids=["one data file", "two data files"])
def run(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    random = np.random.default_rng(0)
    for step in STEPS:
        values = {f"layer_{number}/w": random.normal(size=(8, 4)).astype(np.float32) for number in range(40)}
        np.savez(tmp_path / f"expected-{step}.npz", **values)
        tfsaver.save_checkpoint(values, tmp_path / f"m-{step}", num_shards=request.param, durable=False)
    lines = [f'all_model_checkpoint_paths: "m-{step}"\n' for step in STEPS]
    (tmp_path / "checkpoint").write_text('model_checkpoint_path: "m-240"\n' + "".join(lines))
    return tmp_path


def data_files(run: Path, step: int) -> list[Path]:
    return sorted(run.glob(f"m-{step}.data-*[0-9]"))


def swap(run: Path, a: int, b: int) -> None:
    for one, other in zip(data_files(run, a), data_files(run, b), strict=True):
        one_bytes, other_bytes = one.read_bytes(), other.read_bytes()
        one.write_bytes(other_bytes)
        other.write_bytes(one_bytes)


def test_swapped_data_files_are_one_conclusion_and_get_their_names_back(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    swap(run, 220, 240)
    assert main(["doctor", str(run)]) == 1
    said = [line for line in capsys.readouterr().out.splitlines() if line.startswith("PROBLEM")]
    assert len(said) == 2
    assert f"they fit {run}/m-220" in said[1] and "all data contradict the index (40 tensors)" in said[1]
    assert main(["doctor", str(run), "--re-pair", "--all"]) == 0
    for step in STEPS:
        assert tfsaver.verify(run / f"m-{step}").ok
        with np.load(run / f"expected-{step}.npz") as expected, tfsaver.load_checkpoint(run / f"m-{step}") as source:
            assert all((source[name] == expected[name]).all() for name in expected.files)
    # Nothing is lost if the doctor was wrong.
    assert len(list(run.glob("*.old"))) == 2 * len(data_files(run, 220))


def test_copied_data_are_named_and_nothing_is_paired_without_the_right_ones(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for one, other in zip(data_files(run, 240), data_files(run, 200), strict=True):
        one.write_bytes(other.read_bytes())
    before = {path: path.read_bytes() for path in run.iterdir()}
    assert main(["doctor", str(run), "--re-pair"]) == 1
    assert "no data files here fit" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in run.iterdir()} == before
    (finding,) = [each for each in diagnose(run).findings if each.is_problem]
    assert f"they fit {run}/m-200, and no data files here fit its own index" in finding.message


def test_data_whose_index_is_lost_are_found_by_the_index_that_lost_them(run: Path) -> None:
    for path in data_files(run, 240):
        path.rename(str(path).replace("m-240", "renamed"))
    for one, other in zip(data_files(run, 220), sorted(run.glob("renamed.data-*")), strict=True):
        (run / one.name.replace("m-220", "m-240")).write_bytes(one.read_bytes())
        assert other.exists()
    assert main(["doctor", str(run), "--re-pair"]) == 1  # the data files without an index are still there
    assert tfsaver.verify(run / "m-240").ok


def test_one_damaged_tensor_is_damage_and_no_other_saves_data(run: Path) -> None:
    path = data_files(run, 240)[0]
    data = bytearray(path.read_bytes())
    data[3] ^= 1
    path.write_bytes(data)
    (examined,) = [each for each in diagnose(run).checkpoints if each.found.step == 240]
    assert examined.mismatch is None and "layer_" in examined.damage[0].message


def test_hidden_v1_checkpoint_is_noted(tmp_path: Path) -> None:
    tfsaver.save_checkpoint({"old": 1.0}, tmp_path / "m", format="V1", durable=False)
    tfsaver.save_checkpoint({"new": 1.0}, tmp_path / "m", durable=False)
    (finding,) = [each for each in diagnose(tmp_path).findings if each.kind == "hidden-v1"]
    assert not finding.is_problem and f"mv {tmp_path}/m {tmp_path}/m-v1" in finding.message


@pytest.mark.parametrize("name", ["saved_model.pb", "saved_model.pbtxt", "saved_model.cpb"])
def test_saved_model_and_its_variables_need_no_state_file(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tfsaver.save_checkpoint({"w": 1.0}, tmp_path / "export/variables/variables", durable=False)
    texts = {"saved_model.pb": b"\x08\x01", "saved_model.pbtxt": b"saved_model_schema_version: 1\nmeta_graphs {}\n"}
    (tmp_path / "export" / name).write_bytes(texts.get(name, b"\x83\xaf\x70\xd1\x0d\x88\x4a\x3f"))
    for directory in ("export", "export/variables"):
        assert main(["doctor", str(tmp_path / directory)]) == 0
        said = capsys.readouterr().out
        assert "saved-model lint" in said and "PROBLEM" not in said
        assert main(["doctor", str(tmp_path / directory), "--fix"]) == 3
        capsys.readouterr()
    assert not (tmp_path / "export/variables/checkpoint").exists()


def test_damaged_variables_of_a_saved_model_are_a_problem(tmp_path: Path) -> None:
    prefix = tfsaver.save_checkpoint({"w": 1.0}, tmp_path / "export/variables/variables", durable=False)
    (tmp_path / "export/saved_model.pb").write_bytes(b"\x08\x01")
    Path(prefix + ".data-00000-of-00001").write_bytes(b"")
    assert not diagnose(tmp_path / "export").ok


def test_saved_model_whose_graph_is_a_pointer_is_a_problem(tmp_path: Path) -> None:
    tfsaver.save_checkpoint({"w": 1.0}, tmp_path / "variables/variables", durable=False)
    (tmp_path / "saved_model.pb").write_bytes(b"version https://git-lfs.github.com/spec/v1\nsize 7\n")
    (problem,) = diagnose(tmp_path).problems
    assert problem.kind == "saved-model-file" and "LFS" in problem.message
