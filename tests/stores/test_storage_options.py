"""`storage_options=` and `fs=`: every entry point reaches every file of a store that opens for nobody else."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tfsaver
from tests.saved_model.graphs import VALUES, dense
from tests.stores.s3_server import S3Server
from tfsaver import schemas
from tfsaver.cli.main import main
from tfsaver.errors import InvalidArgumentError, StorageError
from tfsaver.lib import file_io

fsspec = pytest.importorskip("fsspec")
memory = pytest.importorskip("fsspec.implementations.memory")

KEY = {"key": "sesame"}
W = np.arange(6, dtype=np.float32).reshape(2, 3)


class LockedFileSystem(memory.MemoryFileSystem):  # type: ignore[misc]
    """Files in memory for whoever has the key."""

    protocol = ("locked", "memory")
    root_marker = ""
    store: dict[str, Any] = {}  # noqa: RUF012 - as in its base
    pseudo_dirs: list[str] = [""]  # noqa: RUF012
    cachable = False

    def __init__(self, key: str = "", **options: Any) -> None:
        if key != "sesame":
            raise PermissionError("the key is wrong")
        super().__init__(**options)

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return "/" + str(path).removeprefix("locked://").strip("/")


@pytest.fixture(autouse=True)
def store() -> Iterator[None]:
    LockedFileSystem.store.clear()
    LockedFileSystem.pseudo_dirs[:] = [""]
    fsspec.register_implementation("locked", LockedFileSystem, clobber=True)
    yield
    fsspec.core.get_filesystem_class("memory")


@pytest.fixture
def prefix() -> str:
    return tfsaver.save_checkpoint({"w": W, "b": np.ones(3)}, "locked://run/model-1", num_shards=2, storage_options=KEY)


def state_file(directory: str) -> None:
    from tfsaver.checkpoint.checkpoint_state import update_checkpoint_state

    update_checkpoint_state(tfsaver.StoragePath(directory, storage_options=KEY), f"{directory}/model-1")


def saved_model(name: str = "export") -> str:
    return tfsaver.export_saved_model(dense(), f"locked://run/{name}", outputs="layer/y", variables=VALUES, storage_options=KEY)


def write_parts(**options: Any) -> None:
    for rank in range(2):
        with tfsaver.ShardWriter("locked://run/parts", rank=rank, world_size=2, save_id="1", **options) as shard:
            shard.add_slice("w", (2, 3), np.s_[rank : rank + 1], W[rank : rank + 1])


def write_bundle(**options: Any) -> None:
    with tfsaver.BundleWriter("locked://run/bundle", **options) as writer:
        writer.add("w", W)


def committed(**options: Any) -> None:
    write_parts(storage_options=KEY)
    tfsaver.commit("locked://run/parts", world_size=2, save_id="1", **options)
    assert (tfsaver.load_slices("locked://run/parts", {"w": np.s_[:, 1:]}, **options)["w"] == W[:, 1:]).all()


def pending(**options: Any) -> None:
    write_parts(storage_options=KEY)
    assert tfsaver.pending("locked://run/parts", **options) == [("1", 2, (0, 1))]


def abandoned(**options: Any) -> None:
    write_parts(storage_options=KEY)
    tfsaver.abandon("locked://run/parts", save_id="1", **options)
    assert not any("parts" in name for name in LockedFileSystem.store)


def latest(**options: Any) -> None:
    state_file("locked://run")
    found = tfsaver.latest_checkpoint("locked://run", **options)
    assert found == "locked://run/model-1"
    # What a function returns has the key, too.
    assert tfsaver.load_checkpoint(found).names == ["b", "w"]
    assert tfsaver.latest_checkpoint("locked://run", verified=True, **options) == found


def state(**options: Any) -> None:
    state_file("locked://run")
    assert tfsaver.get_checkpoint_state("locked://run", **options).model_checkpoint_path == "locked://run/model-1"


def restored(function: str) -> Callable[..., Any]:
    def call(p: str, **options: Any) -> None:
        module = pytest.importorskip("torch").nn.Linear(3, 2, bias=False)
        report = getattr(tfsaver, function)(module, p, mapping={"w": "weight"}, select="w", **options)
        assert len(report.matched) == 1

    return call


def strip(p: str, **options: Any) -> None:
    meta = schemas.MetaGraphDef()
    meta.graph_def.node.add(name="w", op="VariableV2").attr["dtype"].type = schemas.DT_FLOAT
    meta.collection_def["trainable_variables"].bytes_list.value.append(schemas.VariableDef(variable_name="w:0").SerializeToString())
    file_io.write_file(tfsaver.StoragePath(p + ".meta", storage_options=KEY), meta.SerializeToString())
    tfsaver.strip(p, "locked://run/stripped", keep="b", **options)


def damaged(p: str, **options: Any) -> None:
    data = LockedFileSystem.store["/run/model-1.data-00001-of-00002"]
    data.seek(0)
    data.write(b"\xff\xff")
    assert not tfsaver.verify(p, **options).ok
    tfsaver.salvage(p, "locked://run/salvaged", **options)


# For each entry point a call with the options; `p` is a checkpoint's prefix.
CALLS: dict[str, Callable[..., Any]] = {
    "BundleWriter": lambda p, **o: write_bundle(**o),
    "ShardWriter": lambda p, **o: write_parts(**o),
    "abandon": lambda p, **o: abandoned(**o),
    "average": lambda p, **o: tfsaver.average([p, p], "locked://run/new", **o),
    "cast": lambda p, **o: tfsaver.cast(p, "locked://run/new", "bfloat16", **o),
    "checkpoint_exists": lambda p, **o: tfsaver.checkpoint_exists(p, **o) or pytest.fail("it is not found"),
    "commit": lambda p, **o: committed(**o),
    "compare": restored("compare"),
    "convert": lambda p, **o: tfsaver.convert(tfsaver.convert(p, "locked://run/new.npz", **o).target, "locked://run/back", **o),
    "diagnose": lambda p, **o: tfsaver.diagnose("locked://run", **o).checkpoints or pytest.fail("it is not found"),
    "diff": lambda p, **o: tfsaver.diff(p, p, **o),
    "edit_saved_model": lambda p, **o: tfsaver.edit_saved_model(saved_model(), **o).save(tfsaver.StoragePath("locked://run/edited", storage_options=KEY)),
    "export_saved_model": lambda p, **o: tfsaver.export_saved_model(dense(), "locked://run/export", outputs="layer/y", variables=VALUES, **o),
    "freeze_saved_model": lambda p, **o: tfsaver.freeze_saved_model(saved_model(), ["layer/y"], **o),
    "get_checkpoint_state": lambda p, **o: state(**o),
    "identify": lambda p, **o: tfsaver.identify(p + ".index", **o).kind == "V2 index" or pytest.fail("it is not found"),
    "latest_checkpoint": lambda p, **o: latest(**o),
    "list_variables": lambda p, **o: tfsaver.list_variables(p, **o),
    "load": lambda p, **o: tfsaver.load(tfsaver.save({"a": [W]}, "locked://run/tree", storage_options=KEY), **o),
    "load_checkpoint": lambda p, **o: tfsaver.load_checkpoint(p, **o)["w"],
    "load_saved_model": lambda p, **o: dict(tfsaver.load_saved_model(saved_model(), **o).variables),
    "load_slices": lambda p, **o: tfsaver.load_slices(p, {"w": np.s_[1:]}, **o),
    "load_variable": lambda p, **o: tfsaver.load_variable(p, "w", **o),
    "merge": lambda p, **o: tfsaver.merge([p, {"c": W}], "locked://run/new", **o),
    "merge_bundles": lambda p, **o: tfsaver.merge_bundles([p], "locked://run/new", **o),
    "merge_saved_models": lambda p, **o: tfsaver.merge_saved_models([saved_model("a"), saved_model("b")], "locked://run/new", tags=[["a"], ["b"]], **o),
    "pending": lambda p, **o: pending(**o),
    "rename": lambda p, **o: tfsaver.rename(p, "locked://run/new", {"w": "v"}, **o),
    "report": lambda p, **o: tfsaver.report(p, "locked://run/page.html", **o),
    "reshard": lambda p, **o: tfsaver.reshard(p + ".data-00000-of-00002", "locked://run/new", format="V1", **o),
    "restore": restored("restore"),
    "salvage": damaged,
    "save": lambda p, **o: tfsaver.save({"a": [W]}, "locked://run/tree", **o),
    "save_checkpoint": lambda p, **o: tfsaver.save_checkpoint({"w": W}, "locked://run/new", **o),
    "select": lambda p, **o: tfsaver.select(p, "locked://run/new", "w", **o),
    "split": lambda p, **o: tfsaver.split(p, {"locked://run/new": "w"}, rest="locked://run/rest", **o),
    "strip": strip,
    "unfreeze_graph": lambda p, **o: unfrozen(**o),
    "write_projector": lambda p, **o: tfsaver.write_projector(p, "w", "locked://run/projector", **o),
    "verify": lambda p, **o: tfsaver.verify(p, **o).ok or pytest.fail("it is not found"),
}


def unfrozen(**options: Any) -> None:
    graph = tfsaver.freeze_saved_model(saved_model(), ["layer/y"], storage_options=KEY)
    path = tfsaver.StoragePath("locked://run/frozen.pb", storage_options=KEY)
    file_io.write_file(path, graph.SerializeToString())
    tfsaver.unfreeze_graph("locked://run/frozen.pb", min_size=1, **options)


def test_every_entry_point_with_the_options_is_called_here() -> None:
    import inspect

    takers = {
        name
        for name in tfsaver.__all__
        if callable(each := getattr(tfsaver, name)) and name != "StoragePath" and "fs" in inspect.signature(each).parameters
    }
    assert takers == CALLS.keys()


@pytest.mark.parametrize("name", CALLS)
def test_options_reach_every_file(prefix: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    CALLS[name](str(prefix), storage_options=KEY)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["convert", "latest_checkpoint", "commit", "load_saved_model", "diagnose", "split"])
def test_open_file_system_reaches_every_file(prefix: str, name: str) -> None:
    CALLS[name](str(prefix), fs=LockedFileSystem("sesame"))


def test_without_the_options_the_store_is_closed(prefix: str) -> None:
    with pytest.raises(StorageError, match="the key is wrong"):
        tfsaver.load_checkpoint("locked://run/model-1")
    with pytest.raises(StorageError, match="the key is wrong"):
        tfsaver.load_checkpoint("locked://run/model-1", storage_options={"key": "x"})


def test_path_carries_its_store(prefix: str, tmp_path: Path) -> None:
    path = tfsaver.StoragePath("locked://run/model-1", storage_options=KEY)
    # Each side of a call may have a store of its own.
    tfsaver.select(path, tmp_path / "local", "w")
    with tfsaver.load_checkpoint(tmp_path / "local") as reader:
        assert (reader["w"] == W).all()
    assert tfsaver.load_checkpoint(pickle.loads(pickle.dumps(path))).names == ["b", "w"]
    assert (pickle.loads(pickle.dumps(tfsaver.load_checkpoint(path)))["w"] == W).all()


def test_bare_path_belongs_to_the_file_system_that_is_given(prefix: str) -> None:
    assert (tfsaver.load_checkpoint("run/model-1", fs=LockedFileSystem("sesame"))["w"] == W).all()


def test_options_that_make_no_sense_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError, match="storage_options= is for a path in a store"):
        tfsaver.load_checkpoint(tmp_path / "model", storage_options=KEY)
    with pytest.raises(InvalidArgumentError, match="give one of them"):
        tfsaver.verify("locked://x", storage_options=KEY, fs=LockedFileSystem("sesame"))
    with pytest.raises(InvalidArgumentError, match="fs is a LockedFileSystem, which is not for s3://"):
        tfsaver.verify("s3://x", fs=LockedFileSystem("sesame"))
    with pytest.raises(InvalidArgumentError, match="not str"):
        tfsaver.verify("locked://x", storage_options="key=sesame")  # type: ignore[arg-type]


def test_command_line_takes_options(prefix: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    option = ["--storage-option", "key=sesame"]
    assert main(["verify", "locked://run/model-1", *option]) == 0
    assert main(["verify", "locked://run/model-1"]) == 3
    assert "the key is wrong" in capsys.readouterr().err
    assert main(["split", "locked://run/model-1", "--part", "locked://run/new", "w", "--rest", str(tmp_path / "rest"), *option]) == 0
    assert tfsaver.load_checkpoint("locked://run/new", storage_options=KEY).names == ["w"]
    for words in (["--storage-option", "key"], ["--storage-option", "key=x"]):
        with pytest.raises(SystemExit) as exit_:
            main(["verify", str(tmp_path / "rest"), *words])
        assert exit_.value.code == 2


def test_s3_is_reached_by_nested_options(server: S3Server, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    options = {"key": "test", "secret": "test", "client_kwargs": {"endpoint_url": server.url}}
    tfsaver.save_checkpoint({"w": W}, f"{bucket}/run/model", storage_options=options)
    with tfsaver.load_checkpoint(f"{bucket}/run/model", storage_options=options) as reader:
        assert (reader["w"] == W).all()
    given = [f"--storage-option={name}" for name in ("key=test", "secret=test", f"client_kwargs.endpoint_url={server.url}")]
    assert main(["verify", f"{bucket}/run/model", *given]) == 0
