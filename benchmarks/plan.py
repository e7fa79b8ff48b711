"""What is measured, and what is compared with what: groups of steps that run in turn, and the rows they fill.

    group   steps on the same data in the same place, in the order in which they take turns
    row     ours against theirs: how many times as long theirs takes, round by round, and the least that is hoped for

A row without a target is there to be looked at.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

from benchmarks.workloads import Workload

TEN = Workload(10, 100_000_000)
THOUSAND = Workload(1000, 1_000_000)
SMALL = Workload(5000, 4096)
BIG = Workload(40, 100_000_000)
ONE_BIG = Workload(1, 4_000_000_000)
MILLION = Workload(1_000_000, 4)

OURS, THEIRS = "tfsaver.Saver", "tf.train.Saver"
FEWER_ROUNDS = 3


@dataclasses.dataclass(frozen=True)
class Step:
    """A step of a contender."""

    contender: str
    name: str

    def __str__(self) -> str:
        return f"{self.contender}: {self.name}"


_PLAIN, _PLAIN_SHARDS = Step("limit", "write"), Step("limit", "write_shards")


@dataclasses.dataclass(frozen=True)
class Row:
    """A comparison.

    Args:
        title: What is done; the data is said beside it.
        ours: The step of ours.
        theirs: What it is compared with; None for a peak of memory that stands alone.
        target: How many times as long theirs should take, at least; or the mebibytes of memory that ours may take.
    """

    title: str
    ours: Step
    theirs: Step | None
    target: float | None = None


@dataclasses.dataclass(frozen=True)
class Group:
    """Steps that take turns.

    Args:
        name: What `--only` calls it.
        workload: The data.
        rows: The comparisons.
        steps: The steps in order.
        is_on_disk: Whether the files are on the disk and not in memory.
        is_memory: Whether the peak memory of each is measured, and not the time.
        max_rounds: How many rounds are enough; None for as many as all have.
        num_copies: How many times the workload must fit in memory at once.
    """

    name: str
    workload: Workload
    rows: Sequence[Row]
    steps: Sequence[Step]
    is_on_disk: bool = False
    is_memory: bool = False
    max_rounds: int | None = None
    num_copies: int = 6

    @property
    def place(self) -> str:
        """Where the files are, in a word."""
        return "disk" if self.is_on_disk else "memory"


def groups() -> Iterator[Group]:
    """All of it, in the order in which it runs."""
    for workload in (TEN, THOUSAND):
        yield _saves(workload)
    yield _restores(TEN, target=1.5)
    yield _restores(THOUSAND, target=2.5)
    for workload in (TEN, THOUSAND):
        yield _ref_restores(workload)
    yield from _small()
    for workload in (TEN, THOUSAND):
        yield _writes(workload)
    for workload in (TEN, THOUSAND):
        yield _reads(workload)
    yield _neighbours(TEN)
    yield _index(MILLION)
    for workload in (BIG, ONE_BIG):
        yield _peaks(workload)
    yield from _on_disk()
    for workload in (TEN, THOUSAND, SMALL):
        yield _synced(workload)


def _saves(workload: Workload) -> Group:
    theirs = Step(THEIRS, "save")
    one, shards, background = (Step(OURS, name) for name in ("save", "save_shards", "save_background"))
    rows = [
        Row("Saver.save, one data file, against TensorFlow's", one, theirs, 1.8),
        Row("Saver.save, two data files, against TensorFlow's", shards, theirs, 2.5),
        Row("Saver.save, blocking=False: training stands still, against TensorFlow's", background, theirs, 3.0),
        # What stands in the way of more.
        Row("a plain write by one thread, and nothing else, against TensorFlow's save", _PLAIN, theirs),
        Row("plain writes by two threads, and nothing else, against TensorFlow's save", _PLAIN_SHARDS, theirs),
    ]
    return Group("save", workload, rows, [theirs, one, shards, background, _PLAIN, _PLAIN_SHARDS])


def _restores(workload: Workload, *, target: float) -> Group:
    kinds = {
        "restore_fresh": ("fresh variables", target),
        "restore_used": ("used variables", target),
        "restore_new_session": ("a new session, first call", None),
    }
    rows = [
        Row(f"Saver.restore into {words}, against TensorFlow's", Step(OURS, name), Step(THEIRS, name), least)
        for name, (words, least) in kinds.items()
    ]
    plain = Step("limit", "read")
    used = Step(THEIRS, "restore_used")
    rows.append(Row("a plain read by as many threads, and nothing else, against TensorFlow's restore", plain, used))
    # The new session first: it is the one that is warm for the others.
    steps = [Step(who, name) for name in ("restore_new_session", "restore_fresh", "restore_used") for who in (THEIRS, OURS)]
    return Group("restore", workload, rows, [*steps, plain])


def _ref_restores(workload: Workload) -> Group:
    ours, theirs = f"{OURS}, RefVariables", f"{THEIRS}, RefVariables"
    kinds = {
        "restore_used": ("used RefVariables", 1.2),
        "restore_new_session": ("RefVariables, a new session, first call", 1.0),
    }
    rows = [
        Row(f"Saver.restore into {words}, against TensorFlow's", Step(ours, name), Step(theirs, name), least)
        for name, (words, least) in kinds.items()
    ]
    steps = [Step(who, name) for name in ("restore_new_session", "restore_used") for who in (theirs, ours)]
    return Group("ref", workload, rows, steps, max_rounds=FEWER_ROUNDS)


def _small() -> Iterator[Group]:
    # First calls take TensorFlow seconds, second calls hardly any time: these get more rounds.
    kinds = {
        ("restore_new_session", "save_first"): ("first", 2),
        ("restore_used", "save"): ("second", None),
    }
    for (restore, save), (call, max_rounds) in kinds.items():
        rows = [
            Row(f"{verb}, small variables, {call} call, against TensorFlow's", Step(OURS, name), Step(THEIRS, name), 1.0)
            for verb, name in (("Saver.restore", restore), ("Saver.save", save))
        ]
        # In the order in which a program does it: a new session restores, and saves later.
        steps = [Step(who, name) for name in (restore, save) for who in (THEIRS, OURS)]
        yield Group("small", SMALL, rows, steps, max_rounds=max_rounds)


def _writes(workload: Workload, *, is_on_disk: bool = False) -> Group:
    one, shards = Step("tfsaver", "write"), Step("tfsaver, two files", "write")
    safetensors = Step("safetensors", "write")
    rows = [
        Row("save_checkpoint, one data file, against safetensors' save_file", one, safetensors, 1.0),
        Row("save_checkpoint, two data files, against safetensors' save_file", shards, safetensors, 1.5),
        Row("save_checkpoint, one data file, against a plain write by one thread", one, _PLAIN, 0.8),
        Row("save_checkpoint, two data files, against plain writes by two threads", shards, _PLAIN_SHARDS, 0.8),
        Row("plain writes by two threads, and nothing else, against safetensors' save_file", _PLAIN_SHARDS, safetensors),
    ]
    steps = [one, shards, safetensors, _PLAIN, _PLAIN_SHARDS]
    if not is_on_disk:
        # Nothing is compared with these; they stand in the list of speeds.
        steps += [Step("limit", "memcpy"), Step("limit", "checksum")]
    return Group("write", workload, rows, steps)


def _reads(workload: Workload, step: str = "read") -> Group:
    ours, words = Step("tfsaver", step), " from a cold file" if step == "read_cold" else ""
    rows = [
        Row(f"every tensor read{words}, against safetensors' load_file", ours, Step("safetensors", step), 2.5),
        Row(f"every tensor read{words}, against TensorFlow's reader", ours, Step("tensorflow", step), 2.5),
        Row(f"every tensor read{words}, against a plain read by as many threads", ours, Step("limit", step), 0.8),
    ]
    return Group("read", workload, rows, [ours, *(row.theirs for row in rows if row.theirs)], num_copies=10)


def _neighbours(workload: Workload) -> Group:
    others = {
        "numpy": ("numpy's savez", "numpy's load"),
        "torch": ("torch.save", "torch.load"),
        "orbax": ("orbax's save", "orbax's restore"),
        "tensorflow": ("TensorFlow's SaveV2", None),
    }
    rows, steps = [], []
    for number, (name, title) in enumerate((("write", "save_checkpoint"), ("read", "every tensor read"))):
        ours = Step("tfsaver", name)
        beside = {who: words[number] for who, words in others.items() if words[number]}
        rows += [Row(f"{title}, against {words}", ours, Step(who, name)) for who, words in beside.items()]
        steps += [ours, *(Step(who, name) for who in beside)]
    return Group("neighbours", workload, rows, steps, max_rounds=FEWER_ROUNDS, num_copies=14)


def _index(workload: Workload) -> Group:
    write, in_tenths, look_up = (Step("tfsaver, index", name) for name in ("write", "write_in_tenths", "look_up"))
    theirs = Step("tensorflow, index", "look_up")
    rows = [
        Row("an index written, against ten of a tenth of the tensors each", write, in_tenths, 0.9),
        Row("a checkpoint opened and one tensor read, against TensorFlow's reader", look_up, theirs, 1.0),
    ]
    return Group("index", workload, rows, [write, in_tenths, look_up, theirs], max_rounds=FEWER_ROUNDS)


def _peaks(workload: Workload) -> Group:
    kinds = {"save": ("Saver.save", 256.0), "restore_fresh": ("Saver.restore", 256.0)}
    rows = []
    for name, (words, most) in kinds.items():
        rows.append(Row(f"{words}: peak memory beyond the variables", Step(OURS, name), None, most))
        rows.append(Row(f"TensorFlow's {words}: peak memory beyond the variables", Step(THEIRS, name), None))
    return Group("memory", workload, rows, [row.ours for row in rows], is_memory=True, num_copies=4)


def _synced(workload: Workload) -> Group:
    """What it costs to wait for the disk: beside a save that does not wait, and a plain write that does."""
    ours, lazy = Step("tfsaver, durable", "write"), Step("tfsaver", "write")
    plain, plain_lazy = Step("limit", "write_synced"), Step("limit", "write")
    rows = [
        Row("save_checkpoint, durable=True, against a plain write and fsync", ours, plain, 1.0),
        Row("save_checkpoint, durable=True, against durable=False", ours, lazy),
        Row("a plain write and fsync, against a plain write", plain, plain_lazy),
    ]
    return Group("durable", workload, rows, [ours, plain, lazy, plain_lazy], is_on_disk=True)


def _on_disk() -> Iterator[Group]:
    cold = "restore_cold"
    restore = Row("Saver.restore from a cold file, against TensorFlow's", Step(OURS, cold), Step(THEIRS, cold))
    steps = [Step(THEIRS, cold), Step(OURS, cold)]
    for group in (
        _saves(TEN),
        Group("restore", TEN, [restore], steps),
        _writes(TEN, is_on_disk=True),
        _reads(TEN),
        _reads(TEN, "read_cold"),
    ):
        # What is hoped for is hoped for in memory; a disk has a speed of its own.
        rows = [dataclasses.replace(row, target=None) for row in group.rows]
        yield dataclasses.replace(group, rows=rows, is_on_disk=True, max_rounds=FEWER_ROUNDS)
