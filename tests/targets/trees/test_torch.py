"""The habits of torch.save, without pickle: state_dicts, optimizers, whole training checkpoints, tensors of every kind."""

from __future__ import annotations

import pathlib
import pickle
import random
import sys
import warnings
from collections import OrderedDict
from typing import Any

import numpy as np
import pytest

import tfsaver
from tfsaver.checkpoint.objects.object_graph import TREE_KEY
from tfsaver.errors import DataLossError, InvalidArgumentError, MissingExtraError
from tfsaver.targets.trees.plan import PlannedTree

torch = pytest.importorskip("torch")

Tensor = Any


def round_trip(tree: Any, directory: pathlib.Path, **options: Any) -> Any:
    return tfsaver.load(tfsaver.save(tree, directory / "tree", durable=False), **options)


def bits(tensor: Tensor) -> bytes:
    """The tensor's bytes in C order."""
    flat = tensor.detach().resolve_conj().resolve_neg().contiguous().reshape(-1)
    return bytes(flat.view(torch.uint8).numpy().tobytes()) if flat.numel() else b""


def assert_same(first: Any, second: Any) -> None:
    """Trees of tensors are the same to the bit."""
    assert type(first) is type(second)
    if isinstance(first, torch.Tensor):
        assert (first.dtype, first.shape, first.requires_grad) == (second.dtype, second.shape, second.requires_grad)
        assert bits(first) == bits(second)
    elif isinstance(first, dict):
        assert list(first) == list(second)
        for key in first:
            assert_same(first[key], second[key])
    elif isinstance(first, list | tuple):
        assert len(first) == len(second)
        for pair in zip(first, second, strict=True):
            assert_same(*pair)
    else:
        assert first == second


NAMES = [
    *("bool", "uint8", "int8", "int16", "int32", "int64", "uint16", "uint32", "uint64"),
    *("float16", "float32", "float64", "complex64", "complex128", "bfloat16", "complex32"),
    *("float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz", "float8_e8m0fnu", "float4_e2m1fn_x2"),
]


@pytest.mark.parametrize("name", NAMES)
def test_every_dtype_comes_back_with_its_bits(name: str, tmp_path: pathlib.Path) -> None:
    dtype = getattr(torch, name, None)
    if dtype is None:
        pytest.skip("this PyTorch has no such type")
    raw = torch.arange(256, dtype=torch.uint8).repeat(16)
    with warnings.catch_warnings():
        # PyTorch calls complex32 experimental, once in each process.
        warnings.simplefilter("ignore", UserWarning)
        values = (raw % 2).view(torch.bool) if name == "bool" else raw.view(dtype)
        tree = {"values": values, "matrix": values[:32].reshape(4, 8), "zero": values[5].clone(), "none": values[:0]}
        loaded = round_trip(tree, tmp_path)
        for key, tensor in tree.items():
            assert (loaded[key].dtype, loaded[key].shape) == (tensor.dtype, tensor.shape)
            assert bits(loaded[key].reshape(-1)) == bits(tensor.reshape(-1))


def test_views_are_stored_as_what_they_show(tmp_path: pathlib.Path) -> None:
    base = torch.arange(24.0).reshape(2, 3, 4)
    half = base.to(torch.bfloat16)
    turned = torch.tensor([[1 + 2j, 3 - 4j]])
    tree = [
        base.transpose(0, 2),
        base[:, ::2],
        base[0, 0, :1].expand(5, 3),
        half.transpose(0, 1),
        turned.conj(),
        turned.conj().imag,
    ]
    assert_same(round_trip(tree, tmp_path), [tensor.clone() for tensor in tree])


def test_parameters_and_gradients_come_back(tmp_path: pathlib.Path) -> None:
    frozen = torch.nn.Parameter(torch.ones(2), requires_grad=False)
    wanted = torch.ones(3, requires_grad=True)
    tree = [torch.nn.Parameter(torch.zeros(2)), frozen, wanted, wanted.detach().clone(), wanted * 2]
    loaded = round_trip(tree, tmp_path)
    assert_same(loaded[:4], tree[:4])
    assert loaded[4].requires_grad and loaded[4].is_leaf


def test_tied_weights_are_stored_once_and_are_tied_again(tmp_path: pathlib.Path) -> None:
    embedding = torch.nn.Embedding(10, 4)
    head = torch.nn.Linear(4, 10, bias=False)
    head.weight = embedding.weight
    model = torch.nn.ModuleDict({"embedding": embedding, "head": head})
    loaded = round_trip(model.state_dict(), tmp_path)
    assert loaded["head.weight"] is loaded["embedding.weight"]
    assert [name for name, shape in tfsaver.list_variables(tmp_path / "tree") if shape] == [
        "embedding..weight/.ATTRIBUTES/VARIABLE_VALUE"
    ]
    parts = torch.zeros(4, 4)
    assert round_trip([parts, parts[:2], parts.T], tmp_path)[1].shape == (2, 4)


def test_nothing_is_copied_on_the_way_out_and_in(tmp_path: pathlib.Path) -> None:
    tree = {"w": torch.ones(1000), "h": torch.ones(1000, dtype=torch.bfloat16)}
    planned = PlannedTree(tree)
    for name, tensor in tree.items():
        array = planned[f"{name}/.ATTRIBUTES/VARIABLE_VALUE"]
        assert array.__array_interface__["data"][0] == tensor.data_ptr()
    read: dict[int, np.ndarray[Any, Any]] = {}
    together = tfsaver.CheckpointReader.read_tensors

    def remember(self: tfsaver.CheckpointReader, *arguments: Any, **options: Any) -> Any:
        arrays = together(self, *arguments, **options)
        read.update({array.__array_interface__["data"][0]: array for array in arrays.values()})
        return arrays

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tfsaver.CheckpointReader, "read_tensors", remember)
        loaded = round_trip(tree, tmp_path)
    assert {tensor.data_ptr() for tensor in loaded.values()} <= set(read)


def test_tensors_are_read_in_parts_too() -> None:
    base = torch.arange(24.0).reshape(4, 6)
    tree = {"f": base, "b": base.to(torch.bfloat16).T, "c": torch.complex(base, base).conj()}
    planned = PlannedTree(tree)
    for name, tensor in tree.items():
        part = planned.read(f"{name}/.ATTRIBUTES/VARIABLE_VALUE", np.s_[1:3, 2])
        assert part.astype(np.complex64).tolist() == tensor[1:3, 2].to(torch.complex64).tolist()


def make_model(seed: int, classes: int = 3) -> Any:
    torch.manual_seed(seed)
    return torch.nn.Sequential(
        OrderedDict(
            body=torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.BatchNorm1d(16), torch.nn.ReLU()),
            head=torch.nn.Linear(16, classes),
        )
    )


def test_state_dict_loaded_into_a_clone_gives_equal_outputs(tmp_path: pathlib.Path) -> None:
    model, clone = make_model(1), make_model(2)
    state = model.state_dict()
    loaded = round_trip(state, tmp_path)
    assert_same(loaded, state)
    assert loaded._metadata == state._metadata
    clone.load_state_dict(loaded, strict=True)
    inputs = torch.randn(5, 8)
    assert torch.equal(model.eval()(inputs), clone.eval()(inputs))


def test_first_layers_are_reused_in_another_architecture(tmp_path: pathlib.Path) -> None:
    model, other = make_model(1), make_model(2, classes=7)
    prefix = tfsaver.save(model.state_dict(), tmp_path / "model")
    result = other.load_state_dict(tfsaver.load(prefix, select=r"^body\."), strict=False)
    assert result.missing_keys == ["head.weight", "head.bias"] and result.unexpected_keys == []
    inputs = torch.randn(5, 8)
    assert torch.equal(model.eval().body(inputs), other.eval().body(inputs))
    renamed = torch.nn.ModuleDict({"encoder": make_model(3).body})
    renamed.load_state_dict(tfsaver.load(prefix, select=r"^body\.", mapping=[("^body", "encoder")]))
    assert torch.equal(renamed["encoder"].eval()(inputs), model.body(inputs))


def train(model: Any, optimizer: Any, steps: int) -> list[float]:
    losses = []
    for _ in range(steps):
        inputs = torch.randn(6, 8)
        loss = (model(inputs) ** 2).mean() + torch.rand(())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize("make_optimizer", ["Adam", "SGD", "AdamW", "RMSprop"])
def test_training_goes_on_from_a_checkpoint_as_if_it_had_not_stopped(make_optimizer: str, tmp_path: pathlib.Path) -> None:
    options = {"lr": 0.01, "weight_decay": 0.1, **({"momentum": 0.9} if make_optimizer == "SGD" else {})}

    def make(seed: int) -> tuple[Any, Any]:
        model = make_model(seed)
        return model, getattr(torch.optim, make_optimizer)(model.parameters(), **options)

    model, optimizer = make(1)
    train(model, optimizer, 3)
    checkpoint = {
        "epoch": 3,
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "loss": 0.1,
        "rng": torch.get_rng_state(),
        "python": random.getstate(),
        "numpy": np.random.default_rng(0).bit_generator.state,
    }
    loaded = round_trip(checkpoint, tmp_path)
    assert_same(loaded, checkpoint)
    expected = train(model, optimizer, 3)
    model, optimizer = make(2)
    model.load_state_dict(loaded["model"])
    optimizer.load_state_dict(loaded["optimizer"])
    torch.set_rng_state(loaded["rng"])
    assert train(model, optimizer, 3) == expected


def test_what_is_more_than_a_tensor_is_refused(tmp_path: pathlib.Path) -> None:
    class Wrapped(torch.Tensor):  # type: ignore[misc,name-defined]
        pass

    freed = torch.ones(4)
    freed.untyped_storage().resize_(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tree = {
            "sparse": torch.eye(3).to_sparse(),
            "csr": torch.eye(3).to_sparse_csr(),
            "meta": torch.ones(3, device="meta"),
            "quantised": torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8),
            "subclass": torch.ones(3).as_subclass(Wrapped),
            "freed": freed,
            "lazy": torch.nn.UninitializedParameter(),
            "module": torch.nn.Linear(1, 1),
            "size": torch.Size([1]),
        }
        with pytest.raises(InvalidArgumentError) as caught:
            tfsaver.save(tree, tmp_path / "tree")
    assert [line.split(":")[0].strip() for line in str(caught.value).splitlines()[1:]] == list(tree)
    assert "Linear: pass its state_dict()" in str(caught.value) and "pass to_dense()" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_arrays_are_loaded_as_tensors_and_tensors_as_arrays(tmp_path: pathlib.Path) -> None:
    arrays = {"w": np.ones((2, 3), np.float32), "s": np.float64(2), "names": np.array(["a"]), "n": None}
    loaded = round_trip(arrays, tmp_path, framework="torch")
    assert torch.equal(loaded["w"], torch.ones(2, 3)) and loaded["s"].dtype == torch.float64
    assert loaded["names"].tolist() == ["a"] and loaded["n"] is None
    tensors = {"w": torch.nn.Parameter(torch.ones(2, dtype=torch.bfloat16)), "s": torch.tensor(3)}
    back = round_trip(tensors, tmp_path, framework="numpy")
    assert isinstance(back["w"], np.ndarray) and back["w"].dtype.name == "bfloat16" and back["s"].tolist() == 3


def test_types_that_pytorch_lacks_are_said_at_once(tmp_path: pathlib.Path) -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    tree = {"a": np.zeros(2, ml_dtypes.int4), "b": np.zeros(2, ml_dtypes.float8_e4m3b11fnuz), "c": np.zeros(2)}
    with pytest.raises(
        InvalidArgumentError, match=r"framework='numpy' loads(.|\n)*a/.*int4 is no type(.|\n)*b/.*e4m3b11fnuz"
    ):
        round_trip(tree, tmp_path, framework="torch")


def test_file_that_fills_a_shape_with_one_value_loads_without_a_warning(tmp_path: pathlib.Path) -> None:
    prefix = tfsaver.save_checkpoint({"w": np.zeros((4, 4), np.float32)}, tmp_path / "v1", format="V1")
    assert torch.equal(tfsaver.load(prefix, framework="torch")["w"], torch.zeros(4, 4))


def test_without_pytorch_its_tensors_are_arrays_when_asked(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prefix = tfsaver.save({"w": torch.ones(3), "epoch": 1}, tmp_path / "tree")
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtraError, match=r"needs torch: pip install 'tfsaver\[torch\]'"):
        tfsaver.load(prefix)
    assert tfsaver.load(prefix, framework="numpy")["w"].tolist() == [1, 1, 1]
    assert tfsaver.load(prefix, select="epoch") == {"epoch": 1}


def test_no_pickle_is_involved(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: Any, **__: Any) -> Any:
        raise AssertionError("pickle")

    for name in ("load", "loads", "Unpickler", "dump", "dumps", "Pickler"):
        monkeypatch.setattr(pickle, name, forbidden)
    state = make_model(1).state_dict()
    assert_same(round_trip(state, tmp_path), state)


@pytest.mark.parametrize(
    "options",
    [
        {"dtype": "complex32"},
        {"dtype": "float8_e8m0fnu"},
        {"dtype": "load"},
        {"parameter": True},
        {"requires_grad": True},
    ],
)
def test_tensor_that_cannot_have_been_that_is_data_loss(options: dict[str, Any], tmp_path: pathlib.Path) -> None:
    record = {"tensor": "n", "as": "torch", **options}
    text = str({"format": "tfsaver tree", "version": 1, "nodes": [record]}).replace("'", '"').replace("True", "true")
    tfsaver.save_checkpoint({"n": np.arange(3), TREE_KEY: text}, tmp_path / "tree")
    with pytest.raises(DataLossError, match="said to be another tensor"):
        tfsaver.load(tmp_path / "tree")
