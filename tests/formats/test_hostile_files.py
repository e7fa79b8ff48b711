"""Neighbours' files that a stranger made: nothing of them runs, nothing outside is read, no shape takes what is not there."""

from __future__ import annotations

import os
import pathlib
import re
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tfsaver
from tfsaver.errors import DataLossError, SaverError, UnimplementedError
from tfsaver.formats.keras_h5 import open_keras
from tfsaver.formats.npz import open_npz
from tfsaver.formats.safetensors import open_safetensors
from tfsaver.formats.torch import open_torch

_PACKAGE = pathlib.Path(tfsaver.__file__).parent


class _RunsCode:
    """What a pickle would run."""

    def __init__(self, path: Path) -> None:
        self._path = str(path)

    def __reduce__(self) -> Any:
        return os.mkdir, (self._path,)


def npy(shape: str, descr: str = "'<f4'", body: bytes = b"1234") -> bytes:
    """A member of an npz file with any header."""
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}".encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + body


def npz(path: Path, *members: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for number, member in enumerate(members):
            archive.writestr(f"w{number}.npy", member)
    return path


def read_all(source: Any) -> None:
    with source:
        for name in source.names:
            source.read(name)


def test_nothing_is_pickled_anywhere_in_the_package() -> None:
    calls = re.compile(
        r"\b(?:pickle|cPickle|dill|cloudpickle|joblib|marshal|shelve)\.\w*[Ll]oads?\w*\("
        r"|allow_pickle=True|weights_only=False|\beval\(|\bexec\(|yaml\.load\(|np\.load\((?!.*allow_pickle=False)|\bUnpickler\b"
    )
    found = [
        f"{path.relative_to(_PACKAGE)}: {line.strip()}"
        for path in sorted(_PACKAGE.rglob("*.py"))
        for line in path.read_text("utf-8").splitlines()
        if calls.search(line) and not line.strip().startswith(("#", "``"))
    ]
    assert found == []


def test_every_reader_of_arrays_and_of_torch_says_that_it_takes_no_pickle() -> None:
    text = "\n".join(path.read_text("utf-8") for path in sorted(_PACKAGE.rglob("*.py")))
    for call, option in (("read_array", "allow_pickle=False"), ("torch.load", "weights_only=True")):
        uses = re.findall(rf"\b{re.escape(call)}\((?=[a-z])[^)]*\)", text)
        assert uses and all(option in use for use in uses)


def test_a_pickle_in_an_npz_file_is_not_run(tmp_path: Path) -> None:
    made = tmp_path / "made"
    np.savez(tmp_path / "w.npz", w=np.array([_RunsCode(made)], object))
    with open_npz(tmp_path / "w.npz") as source, pytest.raises(UnimplementedError, match="only pickle could read"):
        source.read("w")
    assert not made.exists()


def test_a_pickle_in_a_file_of_torch_is_not_run(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    made = tmp_path / "made"
    torch.save({"w": _RunsCode(made)}, tmp_path / "w.pt")
    with pytest.raises(UnimplementedError, match="tfsaver runs no code of a file"):
        open_torch(tmp_path / "w.pt")
    assert not made.exists()


@pytest.mark.parametrize(
    "member",
    [
        npy("(-1,)"),
        npy("(True,)"),
        npy("(1.0,)"),
        npy("(2**70,)"),
        npy(str((1 << 70,))),
        npy(str((0, 1 << 62, 1 << 62)), body=b""),
        npy(str((1,) * 100)),
        npy("(9999999999,)", "'|S0'", b""),
        npy("(1,)", "'<U1'", b"\xff\xff\xff\xff"),
        npy("(1,)", "[('float32', '<u2')]", b"12"),
        npy("(" * 2000 + ")" * 2000),
        b"\x93NUMPY\x02\x00" + struct.pack("<I", 1 << 31) + bytes(1 << 20),
        b"\x93NUMPY\x03\x00" + bytes(100),
        b"",
    ],
)
def test_a_header_of_numpys_that_says_anything_is_our_error(tmp_path: Path, member: bytes) -> None:
    with pytest.raises(SaverError):
        read_all(open_npz(npz(tmp_path / "w.npz", member)))


def test_an_archive_that_zipfile_does_not_read_is_our_error(tmp_path: Path) -> None:
    sound = npz(tmp_path / "w.npz", npy("(1,)")).read_bytes()
    directory = sound.index(b"PK\x01\x02")
    for position in range(directory, len(sound)):
        for bit in range(8):
            changed = bytearray(sound)
            changed[position] ^= 1 << bit
            (tmp_path / "w.npz").write_bytes(changed)
            try:
                read_all(open_npz(tmp_path / "w.npz"))
            except SaverError:
                continue
    for size in range(len(sound)):
        (tmp_path / "w.npz").write_bytes(sound[:size])
        with pytest.raises(DataLossError):
            read_all(open_npz(tmp_path / "w.npz"))


@pytest.mark.parametrize(
    ("dtype", "shape"),
    [("F32", [0, 1 << 63]), ("F32", [1] * 100), ("F8_E5M2", [0, 1 << 62, 1 << 62]), ("F8_E5M2", [1] * 100)],
)
def test_a_shape_that_no_array_can_have_is_no_tensor(tmp_path: Path, dtype: str, shape: list[int]) -> None:
    pytest.importorskip("safetensors")
    size = 0 if 0 in shape else 4 if dtype == "F32" else 1
    header = str({"w": {"dtype": dtype, "shape": shape, "data_offsets": [0, size]}}).replace("'", '"').encode()
    (tmp_path / "w.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + bytes(size))
    with open_safetensors(tmp_path / "w.safetensors") as source:
        assert source.names == ["w"]
        with pytest.raises(UnimplementedError, match="has (a|the) shape"):
            source.read("w")


def test_links_of_hdf5_to_other_files_are_not_followed(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file.create_group("model_weights").attrs["layer_names"] = [b"dense"]
        dense = file.create_group("model_weights/dense")
        dense.attrs["weight_names"] = [b"secret:0"]
        dense.create_dataset("secret:0", data=np.arange(3.0))
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file.create_dataset("own", data=np.arange(2.0))
        file["model_weights"] = h5py.ExternalLink(str(tmp_path / "secret.h5"), "/model_weights")
        file["linked"] = h5py.ExternalLink(str(tmp_path / "secret.h5"), "/model_weights/dense/secret:0")
        file["soft"] = h5py.SoftLink("/own")
        layout = h5py.VirtualLayout((3,), "f8")
        layout[:] = h5py.VirtualSource(str(tmp_path / "secret.h5"), "model_weights/dense/secret:0", (3,))
        file.create_virtual_dataset("virtual", layout)
        (tmp_path / "raw").write_bytes(bytes(16))
        file.create_dataset("raw", (2,), "f8", external=[(str(tmp_path / "raw"), 0, 16)])
    with open_keras(tmp_path / "w.h5") as source:
        assert source.names == ["own", "raw", "virtual"]
        assert source.read("own").tolist() == [0, 1]
        for name in ("virtual", "raw"):
            with pytest.raises(UnimplementedError, match="in another file"):
                source.read(name)


def test_a_dataset_without_values_is_no_tensor(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file.create_dataset("huge", (1 << 40,), "f4", chunks=(1 << 20,))
        file.create_dataset("zeros", data=np.zeros(1 << 20), compression="gzip", compression_opts=9)
        group = file.create_group("circle")
        group["again"] = group
    with open_keras(tmp_path / "w.h5") as source:
        assert source.read("zeros").shape == (1 << 20,)
        with pytest.raises(UnimplementedError, match="has 4398046511104 bytes of which 0 are in the file"):
            source.read("huge")


def test_dicts_in_dicts_that_double_are_not_spelled_out(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    tree: Any = {"w": 1.0}
    for _ in range(40):
        tree = {"a": tree, "b": tree}
    torch.save(tree, tmp_path / "w.pt")
    with pytest.raises(DataLossError, match="more values in its dicts than it has bytes for"):
        open_torch(tmp_path / "w.pt")


def test_a_tensor_of_one_element_repeated_is_no_tensor(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    torch.save({"w": torch.zeros(1).expand(1 << 40), "row": torch.arange(3.0).expand(2, 3)}, tmp_path / "w.pt")
    with open_torch(tmp_path / "w.pt") as source:
        assert source.read("row").tolist() == [[0, 1, 2]] * 2
        with pytest.raises(UnimplementedError, match="repeats 4 bytes until they are 4398046511104"):
            source.read("w")


def test_groups_in_groups_without_end_are_our_error(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "w.h5", "w") as file:
        group = file
        for _ in range(150):
            group = group.create_group("g")
        group.create_dataset("w", data=[1.0])
    with pytest.raises(DataLossError, match="nested more than 100 deep"):
        open_keras(tmp_path / "w.h5")
