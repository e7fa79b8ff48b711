"""What builders do for tensors that they leave as they are: no entry is decoded, and little more than the names is held."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from tfsaver import load_checkpoint
from tfsaver.checkpoint.checkpoint_reader import CheckpointReader
from tfsaver.checkpoint.editing.average import averaged
from tfsaver.checkpoint.editing.cast import casted
from tfsaver.checkpoint.editing.merge import merged
from tfsaver.checkpoint.editing.rename import renamed
from tfsaver.checkpoint.editing.select import selected
from tfsaver.checkpoint.names.name_map import as_name_map
from tfsaver.checkpoint.plan import Plan, as_plan
from tfsaver.tensor_bundle.bundle_index import BundleIndex
from tfsaver.tensor_bundle.writer import BundleWriter

NUM_TENSORS = 20_000
MAX_BYTES_EACH = 100
# Beside what is held for each tensor: recipes of the few that change, and what a plan has whatever its size.
FREE_BYTES = 100_000


def write(prefix: Path, scope: str) -> str:
    with BundleWriter(prefix, durable=False) as writer:
        for number in range(NUM_TENSORS):
            writer.add(f"{scope}_{number // 100:03d}/kernel_{number % 100:02d}", np.int32(number))
        writer.add("weights", np.zeros(3, np.float32) if scope == "a" else np.zeros(3, np.int32))
    return str(prefix)


@pytest.fixture(scope="module")
def prefixes(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    directory = tmp_path_factory.mktemp("costs")
    return [write(directory / scope, scope) for scope in "ab"]


@pytest.fixture
def readers(prefixes: list[str]) -> Iterator[list[CheckpointReader]]:
    """Two readers of one checkpoint, and one of another."""
    opened = [load_checkpoint(prefix) for prefix in (prefixes[0], prefixes[0], prefixes[1])]
    for reader in opened:
        assert len(reader.names) == NUM_TENSORS + 1
    yield opened
    for reader in opened:
        reader.close()


def _merged_parts(readers: Sequence[CheckpointReader]) -> Plan:
    halves = [selected(reader, reader.names[: NUM_TENSORS // 2]) for reader in (readers[0], readers[2])]
    return merged(halves).plan


# (builder, the most entries that it decodes)
BUILDERS: dict[str, tuple[Callable[[Sequence[CheckpointReader]], Plan], int]] = {
    "as_plan": (lambda readers: as_plan(readers[0]), 0),
    "select": (lambda readers: selected(readers[0], readers[0].names[5:]), 0),
    "rename none": (lambda readers: renamed(readers[0], as_name_map([("nothing$", "x")], allow_unmatched=True)).plan, 0),
    "rename few": (lambda readers: renamed(readers[0], as_name_map([("^a_000/", "first/"), ("nothing", "x")], allow_unmatched=True)).plan, 0),
    "rename by dict": (lambda readers: renamed(readers[0], {"weights": "kernel"}).plan, 0),
    "rename by table": (lambda readers: renamed(readers[0], as_name_map("slim-to-keras", allow_unmatched=True)).plan, 0),
    "cast": (lambda readers: casted(readers[0], "float16"), 1),
    "cast by pattern": (lambda readers: casted(readers[0], "int64", include="_000/kernel_0[0-2]$", exclude="2$"), 2),
    "cast of a plan": (lambda readers: casted(renamed(readers[0], [("^a_000/", "first/")]).plan, "float16"), 1),
    "average": (lambda readers: averaged(readers[:2]), 2),
    "merge": (_merged_parts, 0),
}


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names whose entries are decoded."""
    found: list[str] = []
    entry = BundleIndex.entry

    def counted(self: BundleIndex, name: str) -> object:
        found.append(name)
        return entry(self, name)

    monkeypatch.setattr(BundleIndex, "entry", counted)
    return found


@pytest.mark.parametrize("verb", BUILDERS)
def test_untouched_entries_are_not_decoded(verb: str, readers: list[CheckpointReader], decoded: list[str]) -> None:
    build, most = BUILDERS[verb]
    build(readers)
    assert len(decoded) <= most, decoded[:5]


@pytest.mark.parametrize("verb", BUILDERS)
def test_untouched_entries_take_little_memory(verb: str, readers: list[CheckpointReader]) -> None:
    build, _ = BUILDERS[verb]
    # What is made once, such as compiled patterns, is not a tensor's.
    build(readers)
    gc.collect()
    tracemalloc.start()
    try:
        plan = build(readers)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak <= MAX_BYTES_EACH * NUM_TENSORS + FREE_BYTES
    assert len(plan.tensor_names) >= NUM_TENSORS - 5


def test_merging_asks_for_shared_names_only_what_the_index_says(readers: list[CheckpointReader], decoded: list[str]) -> None:
    plan, replaced = merged(readers[:2], "first")
    assert len(replaced) == len(plan.tensor_names) == NUM_TENSORS + 1
    assert decoded == []


def test_renaming_holds_only_the_names_that_change(readers: list[CheckpointReader]) -> None:
    new_names = renamed(readers[0], {"weights": "kernel"}).new_names
    assert list(new_names.changed) == ["weights"]
    assert len(new_names) == NUM_TENSORS + 1
    assert [target.name for target in new_names["a_000/kernel_00"]] == ["a_000/kernel_00"]
    assert "no such name" not in new_names
