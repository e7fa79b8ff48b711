"""The public functions have the same options under the same words, and SECURITY.md knows all of them."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

import tfsaver

OPTIONS = ("trusted", "progress", "overwrite", "dry_run", "select", "storage_options")
# What is no entry point: types that functions return, take or raise.
TYPES = {
    "DiffReport",
    "Identity",
    "MatchReport",
    "PageReport",
    "PendingSave",
    "ProjectorReport",
    "RestoreReport",
    "Retention",
    "SaverError",
    "Selection",
    "StoragePath",
    "VerifyReport",
    "WriteReport",
}
ENTRY_POINTS = [name for name in tfsaver.__all__ if name != "__version__" and name not in TYPES]

READS = "it writes nothing"
WHOLE = "it is about all of a checkpoint"
INDEX = "it reads an index, which takes no time to speak of"
OWN = "it reads no file of somebody else"
TENSORFLOW = "TensorFlow's function of this name has its options, and it has no other option here"
MODEL = "tensors of a SavedModel are chosen by its graph"
NEW_DIRECTORY = "a SavedModel never replaces one: servers load directories that do not change"
GRAPH = "its time goes into the graph, of which there are no bytes to count"
PARTS = "it is about all parts of a save"
SESSION = "it is a Saver of TensorFlow's, with its options"

# Why an entry point lacks an option.
REASONS: dict[str, dict[str, str]] = {
    "BundleWriter": {
        "trusted": OWN,
        "progress": "the caller adds one tensor at a time",
        "overwrite": "it replaces a bundle in one step, as the Saver does",
        "dry_run": "the caller need not add anything",
        "select": "the caller adds what it chooses",
    },
    "CheckpointReader": {
        "trusted": "load_checkpoint makes it, and takes it",
        "progress": INDEX,
        "overwrite": READS,
        "dry_run": READS,
        "select": "a reader is a mapping: the caller reads what it chooses",
        "storage_options": "load_checkpoint makes it, and takes them",
    },
    "Saver": {
        "progress": SESSION,
        "overwrite": "a Saver replaces checkpoints",
        "storage_options": "the paths of its methods carry them: StoragePath",
    },
    "ShardWriter": {
        "trusted": OWN,
        "progress": "the caller adds one tensor at a time",
        "overwrite": "it replaces nothing: commit does",
        "dry_run": "the caller need not commit",
        "select": "the caller adds what it chooses",
    },
    "abandon": {"trusted": OWN, "progress": INDEX, "overwrite": PARTS, "dry_run": "pending lists what goes", "select": PARTS},
    "commit": {
        "trusted": OWN,
        "progress": INDEX,
        "overwrite": "it is the end of a save by ranks, which replaces checkpoints",
        "dry_run": "it changes nothing unless all parts are there and fit",
        "select": PARTS,
    },
    "load_slices": {"progress": "regions are parts", "overwrite": READS, "dry_run": READS, "select": "regions names tensors"},
    "pending": {"trusted": OWN, "progress": INDEX, "overwrite": READS, "dry_run": READS, "select": PARTS},
    "checkpoint_exists": {
        "trusted": "it follows no name in a file",
        "progress": INDEX,
        "overwrite": READS,
        "dry_run": READS,
        "select": WHOLE,
    },
    "compare": {"overwrite": READS, "dry_run": READS},
    "diagnose": {"overwrite": READS, "dry_run": READS, "select": WHOLE},
    "diff": {"overwrite": READS, "dry_run": READS},
    "edit_saved_model": {
        "progress": "save of the editor takes it",
        "overwrite": NEW_DIRECTORY,
        "dry_run": "nothing is written before save",
        "select": MODEL,
    },
    "export_saved_model": {
        "overwrite": NEW_DIRECTORY,
        "select": MODEL,
    },
    "freeze_saved_model": {"progress": GRAPH, "overwrite": READS, "dry_run": READS, "select": MODEL},
    "get_checkpoint_state": {"progress": INDEX, "overwrite": READS, "dry_run": READS, "select": WHOLE},
    "identify": {"progress": "it reads a few kilobytes", "overwrite": READS, "dry_run": READS, "select": WHOLE},
    "latest_checkpoint": {"overwrite": READS, "dry_run": READS, "select": WHOLE},
    "list_variables": {"progress": INDEX, "overwrite": READS, "dry_run": READS, "select": TENSORFLOW},
    "load": {"overwrite": READS, "dry_run": READS},
    "load_checkpoint": {"progress": INDEX, "overwrite": READS, "dry_run": READS, "select": "a reader is a mapping"},
    "load_saved_model": {"progress": INDEX, "overwrite": READS, "dry_run": READS, "select": MODEL},
    "load_variable": {"progress": TENSORFLOW, "overwrite": READS, "dry_run": READS, "select": "name says which tensor"},
    "merge_bundles": {
        "progress": "it renames files and copies no tensor",
        "overwrite": "it is the end of a sharded save, which replaces checkpoints",
        "dry_run": "it is the end of a sharded save",
        "select": "its data files keep all of their tensors",
    },
    "merge_saved_models": {"overwrite": NEW_DIRECTORY, "select": MODEL},
    "restore": {"overwrite": "it writes to variables"},
    "salvage": {"overwrite": "what is left of a checkpoint never replaces another one", "select": WHOLE},
    "save": {"trusted": OWN, "select": "the caller passes the tree that it chooses"},
    "save_checkpoint": {"select": "the caller passes the mapping that it chooses"},
    "split": {"select": "parts says which tensor goes where"},
    "unfreeze_graph": {"progress": GRAPH, "overwrite": READS, "dry_run": READS, "select": "choose is asked about each constant"},
    "write_projector": {"progress": "it writes one matrix", "select": "tensor says which"},
    "verify": {"overwrite": READS, "dry_run": READS, "select": "a checksum of the index covers tensors of any name"},
}


def parameters(name: str) -> dict[str, inspect.Parameter]:
    return dict(inspect.signature(getattr(tfsaver, name)).parameters)


@pytest.mark.parametrize("name", ENTRY_POINTS)
def test_every_option_is_there_or_has_a_reason(name: str) -> None:
    absent = {option for option in OPTIONS if option not in parameters(name)}
    assert absent == set(REASONS.get(name, {}))


@pytest.mark.parametrize("name", ENTRY_POINTS)
def test_signature_hides_nothing(name: str) -> None:
    for parameter in parameters(name).values():
        assert parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
        assert parameter.annotation is not parameter.empty


@pytest.mark.parametrize("name", ENTRY_POINTS)
def test_options_of_a_store_come_together(name: str) -> None:
    assert ("storage_options" in parameters(name)) is ("fs" in parameters(name))


def test_options_have_one_meaning() -> None:
    annotations: dict[str, set[str]] = {}
    for name in ENTRY_POINTS:
        for option, parameter in parameters(name).items():
            if option in ("overwrite", "dry_run", "durable", "verified", "num_shards", "mapping", "target"):
                # What a Saver does not say, a call or a patch may say.
                annotations.setdefault(option, set()).add(str(parameter.annotation).removesuffix(" | None"))
            if option in OPTIONS and name not in ("Saver", "select"):
                assert parameter.kind is parameter.KEYWORD_ONLY
    # The target of a restore is a program's.
    assert annotations.pop("target") == {"file_io.PathLike", "Any"}
    assert {option: len(each) for option, each in annotations.items()} == dict.fromkeys(annotations, 1)


def test_words_of_earlier_releases_are_gone() -> None:
    words = {"path", "prefix", "source_path", "include", "exclude", "selection", "out", "export_dir"}
    found = {(name, each) for name in ENTRY_POINTS for each in words & parameters(name).keys()}
    # What is identified may be anything.
    assert found == {("BundleWriter", "prefix"), ("ShardWriter", "prefix"), ("identify", "path"), ("load_slices", "out")}


def test_page_of_renamed_options_has_each_of_them() -> None:
    text = (Path(tfsaver.__file__).parents[1] / "docs" / "renamed_options.md").read_text("utf-8")
    said: dict[str, set[str]] = {}
    for line in text[: text.index("\n## ")].splitlines():
        if line.startswith("| `"):
            functions, before, now = (cell.strip() for cell in line.strip("|").split("|"))
            for name in re.findall(r"`(\w+)`", functions):
                said.setdefault(name, set()).update(re.findall(r"(\w+)=", before))
                assert set(re.findall(r"`(\w+)=", now)) <= parameters(name).keys(), line
    assert said == {name: set(old) for name in ENTRY_POINTS if (old := getattr(getattr(tfsaver, name), "earlier_options", ()))}


def test_earlier_option_works_and_warns(tmp_path: Path) -> None:
    with pytest.warns(DeprecationWarning, match="save_checkpoint: mapping= is now checkpoint="):
        prefix = tfsaver.save_checkpoint(mapping={"w": [1.0]}, target=tmp_path / "model")  # type: ignore[call-arg]
    with pytest.warns(DeprecationWarning, match="load_checkpoint: path= is now checkpoint="):
        assert tfsaver.load_checkpoint(path=prefix).names == ["w"]  # type: ignore[call-arg]
    with pytest.raises(tfsaver.SaverError, match="path is the earlier name of checkpoint, and both are given"):
        tfsaver.load_checkpoint(checkpoint=prefix, path=prefix)  # type: ignore[call-arg]


def security_rows() -> dict[str, str]:
    """Entry points in the table of SECURITY.md, and what it says of trusted=."""
    text = (Path(tfsaver.__file__).parents[1] / "SECURITY.md").read_text("utf-8")
    table = text[text.index("### Entry points") :].split("\n\n")[1]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]
    return {name: trusted for called, _, trusted in cells for name in re.findall(r"`(\w+)`", called)}


def test_security_names_every_entry_point() -> None:
    rows = security_rows()
    assert set(rows) == set(ENTRY_POINTS)
    for name, trusted in rows.items():
        assert trusted.startswith("yes") is ("trusted" in parameters(name)), name
