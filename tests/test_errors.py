"""Every error: its sentence, its fields, its place in Python's own hierarchy, and its way to another process."""

from __future__ import annotations

import copy
import errno
import inspect
import pickle
from typing import Any

import pytest

from tfsaver import errors
from tfsaver.errors import SaverError

# An example of each class, its sentence, and what else it is.
EXAMPLES: list[tuple[SaverError, str, type[Exception]]] = [
    (errors.SaverError("it went wrong"), "it went wrong", Exception),
    (errors.DataLossError("bad bytes"), "bad bytes", ValueError),
    (
        errors.ChecksumError("block at byte 4096", stored=0x1A2B3C4D, computed=0),
        "block at byte 4096: stored CRC32C 0x1a2b3c4d, computed 0x00000000",
        ValueError,
    ),
    (errors.TruncatedError("footer", wanted=48, available=5), "footer: 48 bytes wanted, 5 available", EOFError),
    (errors.NotFoundError("nothing"), "nothing", LookupError),
    (
        errors.CheckpointNotFoundError("model", looked_for=["model.index", "model"], found="a directory"),
        "no checkpoint at 'model': looked for model.index or model; a directory",
        FileNotFoundError,
    ),
    (
        errors.CheckpointNotFoundError("model", looked_for=["model.index"]),
        "no checkpoint at 'model': looked for model.index; nothing is there",
        FileNotFoundError,
    ),
    (
        errors.TensorNotFoundError("w", checkpoint="model", near=["v", "x"]),
        "'w' not found in checkpoint 'model'; did you mean 'v', 'x'?",
        KeyError,
    ),
    (errors.TensorNotFoundError("w", checkpoint="model"), "'w' not found in checkpoint 'model'", KeyError),
    (errors.PathNotFoundError("run", what="directory"), "no directory 'run'", FileNotFoundError),
    (errors.InvalidArgumentError("no"), "no", ValueError),
    (errors.OptionError("num_shards is 0, at least 1 is needed"), "num_shards is 0, at least 1 is needed", errors.InvalidArgumentError),
    (errors.NotACheckpointError("x is not a checkpoint"), "x is not a checkpoint", errors.DataLossError),
    (errors.NothingSelectedError("'w' is in no name"), "'w' is in no name", errors.NotFoundError),
    (errors.DuplicateKeyError("w", prefix="model"), "'w' was already added to 'model'", ValueError),
    (
        errors.ShapeMismatchError("w", expected=[None, 3], actual=(2, 4)),
        "'w' has shape [2, 4], expected [None, 3]",
        ValueError,
    ),
    (errors.MissingSlicesError("half is stored"), "half is stored", errors.InvalidArgumentError),
    (errors.RestoreError("1 missing", report=None), "1 missing", LookupError),
    (errors.PathConflictError("two files"), "two files", RuntimeError),
    (
        errors.UntrustedPathError("run", ["run/model.index"]),
        "run/model.index leads out of run, which is not trusted",
        errors.InvalidArgumentError,
    ),
    (
        errors.UntrustedPathError("", ["/a", "../b"], source="model.meta: asset", remedy="pass trusted=True"),
        "model.meta: asset '/a', '../b' lead out of the directory, which is not trusted; pass trusted=True",
        ValueError,
    ),
    (errors.AlreadyExistsError("model"), "model", FileExistsError),
    (errors.StorageError("gs://b/m", "read", "no route", 3), "gs://b/m: read: no route (3 attempts)", OSError),
    (
        errors.CheckpointReplacedError("model", what="its index is another file"),
        "the checkpoint 'model' was replaced while it was read: its index is another file; open it again to read the new one",
        RuntimeError,
    ),
    (
        errors.WriteError("dir/model", errno.EACCES, "Permission denied: this user may not write in 'dir'"),
        "'dir/model' cannot be written: Permission denied: this user may not write in 'dir'",
        OSError,
    ),
    (
        errors.NoSpaceError("model", errno.ENOSPC, "No space left on device", needed=12345, available=4096),
        "'model' cannot be written: No space left on device: 12,345 bytes needed, 4,096 available",
        OSError,
    ),
    (errors.UnimplementedError("not ours"), "not ours", NotImplementedError),
    (
        errors.MissingExtraError("fsspec", extra="remote", purpose="reading gs://b/x"),
        "reading gs://b/x needs fsspec: pip install 'tfsaver[remote]'",
        ImportError,
    ),
]
IDS = [type(error).__name__ for error, *_ in EXAMPLES]


@pytest.mark.parametrize(("error", "sentence", "base"), EXAMPLES, ids=IDS)
def test_sentence_is_made_of_the_fields(error: SaverError, sentence: str, base: type[Exception]) -> None:
    assert str(error) == sentence
    assert isinstance(error, SaverError) and isinstance(error, base)


def test_every_class_has_an_example() -> None:
    classes = {value for _, value in inspect.getmembers(errors, inspect.isclass) if issubclass(value, SaverError)}
    assert classes == {type(error) for error, *_ in EXAMPLES}
    assert {each.__name__ for each in classes} | {"nearest_names"} == set(errors.__all__)


def test_tree_in_the_docstring_is_the_tree() -> None:
    lines = [line for line in (errors.__doc__ or "").splitlines() if "──" in line]
    drawn = {line.split("── ")[1].split()[0]: line.split("── ")[1].split()[1:2] for line in lines}
    assert set(drawn) == {type(error).__name__ for error, *_ in EXAMPLES} - {"SaverError"}
    for name, builtin in drawn.items():
        bases = {base.__name__ for base in getattr(errors, name).__mro__}
        if builtin and builtin[0][0].isupper():
            assert builtin[0] in bases


@pytest.mark.parametrize("through", [pickle, copy], ids=["pickle", "copy"])
@pytest.mark.parametrize(("error", "sentence", "base"), EXAMPLES, ids=IDS)
def test_error_keeps_all_it_knows(error: SaverError, sentence: str, base: type[Exception], through: Any) -> None:
    original = copy.copy(error)
    original.context = []
    original.add_context("model.index")
    original.add_context("tensor 'w'")
    if isinstance(original, errors.DataLossError):
        original.path, original.offset, original.size = "model.index", 5, 10
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1) if through is pickle else [0]:
        again = pickle.loads(pickle.dumps(original, protocol)) if through is pickle else copy.deepcopy(original)
        assert type(again) is type(error)
        assert again.__dict__ == original.__dict__ and again.args == original.args
        assert str(again) == f"tensor 'w': model.index: {sentence}"


def test_context_is_not_said_twice() -> None:
    error = errors.DataLossError("bad")
    for _ in range(2):
        error.add_context("model.index")
    assert str(error) == "model.index: bad"


def test_location_is_that_of_who_knew_first() -> None:
    located = errors.DataLossError.located
    with pytest.raises(errors.DataLossError) as caught, located("outer", 0, 100), located("inner", 5, 10):
        raise errors.DataLossError("bad")
    assert (caught.value.path, caught.value.offset, caught.value.size) == ("inner", 5, 10)


@pytest.mark.parametrize(
    ("name", "names", "near"),
    [
        ("dense/kernel", ["scope/dense/kernel", "dense/bias", "dense/kerne"], "scope/dense/kernel"),
        ("kernl", ["kernel", "bias"], "kernel"),
        ("w", [], None),
        ("", ["a"], None),
        ("something/else/entirely", ["w"], None),
        ("conv2d/bias", [f"layer_{number}/unrelated" for number in range(10_000)] + ["model/conv2d/bias"], "model/conv2d/bias"),
    ],
)
def test_nearest_name(name: str, names: list[str], near: str | None) -> None:
    found = errors.nearest_names(name, names)
    assert (found[0] if found else None) == near
    assert len(errors.nearest_names("w", ["scope/w"] * 50)) <= 3
