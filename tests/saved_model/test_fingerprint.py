"""Fingerprints: equal to those that TensorFlow computes, for every SavedModel of the cases."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.saved_model.serving import ServingProcess
from tfsaver import schemas
from tfsaver.errors import DataLossError
from tfsaver.saved_model.fingerprint import compute_fingerprint, new_uuid, read_fingerprint, singleprint
from tfsaver.saved_model.loader import load_saved_model

HASHES = ("saved_model_checksum", "graph_def_program_hash", "signature_def_hash", "saved_object_graph_hash", "checkpoint_hash")


def test_every_case_has_tensorflows_fingerprint(tensorflow_2: ServingProcess, cases: Path) -> None:
    # TensorFlow aborts on names of functions that end in no number, as the fuzzers' have them.
    paths = [path.parent for path in sorted(cases.rglob("saved_model.pb")) if "fuzz" not in str(path)]
    different = {}
    for path in paths:
        theirs = schemas.FingerprintDef.FromString(tensorflow_2.ask("fingerprint", path=str(path)).encode("latin-1"))
        with load_saved_model(path) as model:
            ours = model.compute_fingerprint()
        if any(getattr(ours, name) != getattr(theirs, name) for name in HASHES):
            different[str(path)] = (ours, theirs)
    assert different == {} and len(paths) >= 28


def test_a_stored_fingerprint_still_knows_its_checkpoint(cases: Path) -> None:
    # Of the others, releases before 2.13 hashed other bytes.
    stored = [path.parent for path in cases.rglob("fingerprint.pb") if "ObjectGraph" not in str(path)]
    for path in stored:
        with load_saved_model(path) as model:
            assert model.fingerprint is not None
            assert model.fingerprint.checkpoint_hash == model.compute_fingerprint().checkpoint_hash
    assert len(stored) >= 4


def test_names_of_functions_and_paths_of_assets_do_not_count(half_plus_two: schemas.SavedModel) -> None:
    graph = half_plus_two.meta_graphs[0].graph_def
    call = graph.node.add(name="call", op="StatefulPartitionedCall")
    call.attr["f"].func.name = "__inference_f_12"
    call.attr["config_proto"].s = b"\x01"
    constant = graph.node.add(name="path", op="Const")
    constant.attr["dtype"].type = schemas.DT_STRING
    constant.attr["value"].tensor.string_val.append(b"/tmp/a")
    before = compute_fingerprint(half_plus_two, b"index")
    call.attr["f"].func.name = "__inference_f_13"
    call.attr["config_proto"].s = b"\x02"
    constant.attr["value"].tensor.string_val[0] = b"/tmp/b"
    graph.versions.producer = 9
    after = compute_fingerprint(half_plus_two, b"index")
    assert singleprint(before) == singleprint(after)
    assert before.saved_model_checksum != after.saved_model_checksum
    graph.node[0].op = "Other"
    assert singleprint(compute_fingerprint(half_plus_two, b"index")) != singleprint(before)
    assert compute_fingerprint(half_plus_two, None).checkpoint_hash == 0


def test_a_function_without_number_is_data_loss(half_plus_two: schemas.SavedModel) -> None:
    half_plus_two.meta_graphs[0].object_graph_def.concrete_functions["f"].SetInParent()
    with pytest.raises(DataLossError, match="concrete function 'f'"):
        compute_fingerprint(half_plus_two, None)


def test_files_of_fingerprints(tmp_path: Path) -> None:
    assert read_fingerprint(str(tmp_path)) is None
    (tmp_path / "fingerprint.pb").write_bytes(b"\xff")
    with pytest.raises(DataLossError, match=r"fingerprint\.pb"):
        read_fingerprint(str(tmp_path))


def test_an_identifier_is_a_number_of_at_least_20_digits() -> None:
    assert all(len(each) >= 20 and each.isdecimal() for each in (new_uuid() for _ in range(50)))
