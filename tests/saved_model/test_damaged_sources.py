"""Damaged graphs and SavedModels end in our errors when they are exported, edited or merged, never in others."""

from __future__ import annotations

import contextlib
import random
import shutil
from pathlib import Path

import pytest

from tests.saved_model.graphs import VALUES, dense
from tfsaver import schemas
from tfsaver.compat.export import export_saved_model
from tfsaver.errors import InvalidArgumentError, SaverError
from tfsaver.saved_model import export_plan, sources
from tfsaver.saved_model.editing import edit_saved_model
from tfsaver.saved_model.freezing import freeze_saved_model
from tfsaver.saved_model.loader import load_saved_model
from tfsaver.saved_model.merging import merge_saved_models


def plan(meta_graph: schemas.MetaGraphDef, **request: object) -> export_plan.ExportPlan:
    return export_plan.plan_export(sources.ExportSource(meta_graph, VALUES), export_plan.ExportRequest(**request))  # type: ignore[arg-type]


def test_any_bit_of_a_small_graph() -> None:
    sound = schemas.MetaGraphDef(graph_def=dense())
    planned = plan(sound, outputs=["layer/y"]).meta_graph
    exported = failed = 0
    for data, outputs in ((sound.SerializeToString(), ["layer/y"]), (planned.SerializeToString(), None)):
        for position in range(len(data)):
            changed = data[:position] + bytes([data[position] ^ 1 << position % 8]) + data[position + 1 :]
            meta_graph = schemas.MetaGraphDef()
            try:
                sources.saved_model_file.parse(meta_graph, changed, "graph", as_text=False)
                for prune in ((True, False) if position % 5 == 0 else (True,)):
                    plan(meta_graph, outputs=outputs, prune=prune)
                exported += 1
            except SaverError:
                failed += 1
    assert exported and failed


def test_random_changes_of_real_models(cases: Path) -> None:
    chooser = random.Random(7)
    names = ("sm_tf_half_plus_two_v2/00000123", "gen_tf1_hub_module", "sm_tf_StaticHashTableModule", "sm_trt_variablev2")
    failed = 0
    for name in names:
        with load_saved_model(cases / name) as model:
            data = model.meta_graphs[0].proto.SerializeToString()
            for _ in range(200):
                changed = bytearray(data)
                for _ in range(chooser.randint(1, 2)):
                    changed[chooser.randrange(len(changed))] = chooser.randrange(256)
                meta_graph = schemas.MetaGraphDef()
                try:
                    sources.saved_model_file.parse(meta_graph, bytes(changed), "graph", as_text=False)
                    export_plan.plan_export(
                        sources.ExportSource(meta_graph, model.variables, model.meta_graphs[0].assets), export_plan.ExportRequest()
                    )
                except SaverError:
                    failed += 1
    assert failed


def test_every_case_exports_freezes_or_says_why_not(cases: Path, tmp_path: Path) -> None:
    exported = 0
    for number, path in enumerate(sorted(cases.rglob("saved_model.*"))):
        with contextlib.suppress(SaverError):
            freeze_saved_model(path)
        with contextlib.suppress(SaverError):
            target = export_saved_model(path, tmp_path / str(number), durable=False)
            exported += 1
            with load_saved_model(target) as ours, load_saved_model(path) as theirs:
                assert ours.meta_graphs[0].signatures.keys() == theirs.meta_graphs[0].signatures.keys()
    assert exported >= 28


def test_a_graph_that_nobody_could_load_is_not_exported(cases: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError, match="cannot be served: Assign/value: is a Const without a value"):
        export_saved_model(cases / "sm_fuzz_const_with_no_value", tmp_path / "export")
    assert not (tmp_path / "export").exists()


def test_a_graph_of_several_is_chosen(cases: Path, tmp_path: Path) -> None:
    source = cases / "gen_tf1_savedmodel_two_metagraphs"
    with pytest.raises(InvalidArgumentError, match=r"2 graphs \(\{train\}, \{gpu, serve\}\): one can be exported"):
        export_saved_model(source, tmp_path / "export")
    with load_saved_model(source) as model:
        path = export_saved_model(model.meta_graph("train"), tmp_path / "export")
    with load_saved_model(path) as exported:
        assert exported.meta_graphs[0].tags == ("serve",) and list(exported.variables) == ["w"]


def test_editing_and_merging_damaged_models(tmp_path: Path) -> None:
    path = Path(export_saved_model(dense(), tmp_path / "sound", outputs=["layer/y"], variables=VALUES, durable=False))
    sound = (path / "saved_model.pb").read_bytes()
    damaged = tmp_path / "damaged"
    shutil.copytree(path, damaged)
    failed = 0
    for position in range(0, len(sound), 3):
        (damaged / "saved_model.pb").write_bytes(sound[:position] + bytes([sound[position] ^ 0x15]) + sound[position + 1 :])
        target = tmp_path / "target"
        try:
            with edit_saved_model(damaged) as edit:
                edit.rename_signature("serving_default", "other")
                edit.clear_devices()
                edit.strip_default_attrs()
                edit.prune()
            merge_saved_models([path, damaged], target, durable=False)
        except SaverError:
            failed += 1
        shutil.rmtree(target, ignore_errors=True)
    assert failed
