"""Records small files of the kinds that `identify` tells apart, made by the programs whose kinds they are.

    python record.py                  makes the files of all programs, and replaces kinds.tar.xz next to this script
    python record.py make PROGRAM     makes those of one program in the working directory

The programs are the keys of PACKAGES; versions.json in the archive names the versions. What the standard library and NumPy
write is not recorded: `kinds.add_others` makes it for each run. No test depends on the numbers in the files.
"""

import importlib
import importlib.metadata
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import warnings
from pathlib import Path

import numpy as np

ARCHIVE = Path(__file__).with_name("kinds.tar.xz")
PACKAGES = {
    "tensorflow": ["tensorflow", "keras", "h5py"],
    "torch": ["torch"],
    "safetensors": ["safetensors"],
    "orbax": ["orbax-checkpoint"],
    "gguf": ["gguf"],
    "onnx": ["onnx"],
    "py7zr": ["py7zr"],
    "zstandard": ["zstandard"],
}


def make(program: str, root: Path) -> None:
    """Makes the files of a program in a directory; ImportError if it is not installed."""
    with warnings.catch_warnings():
        # Formats that a program is giving up are still in people's files.
        warnings.simplefilter("ignore")
        globals()[f"_make_{program}"](root)


def _make_tensorflow(root: Path) -> None:
    import tensorflow as tf

    v1 = tf.compat.v1
    for name in ("v1", "logs"):
        (root / name).mkdir()
    with tf.Graph().as_default() as graph, v1.Session() as session:
        w = v1.get_variable("w", [4, 4])
        tf.nn.relu(v1.placeholder(tf.float32, [None, 4], name="x") @ w, name="y")
        session.run(v1.global_variables_initializer())
        # Of a relative path, the state file has a name without a directory.
        place = os.path.relpath(root)
        v1.train.Saver().save(session, f"{place}/v2/model", global_step=5)
        v1.train.Saver(write_version=v1.train.SaverDef.V1).save(session, f"{place}/v1/old")
        frozen = v1.graph_util.convert_variables_to_constants(session, graph.as_graph_def(), ["y"])
        tf.io.write_graph(frozen, str(root), "frozen.pb", as_text=False)
        tf.io.write_graph(frozen, str(root), "frozen.pbtxt")
        v1.train.export_meta_graph(f"{root}/alone.meta", graph=graph)
        v1.summary.FileWriter(f"{root}/logs", graph).close()
    module = tf.Module()
    module.w = tf.Variable([1.0, 2.0])
    module.f = tf.function(lambda x: x * module.w, input_signature=[tf.TensorSpec([2])])
    tf.saved_model.save(module, f"{root}/export")
    converter = tf.lite.TFLiteConverter.from_concrete_functions([module.f.get_concrete_function()], module)
    (root / "m.tflite").write_bytes(converter.convert())
    next((root / "logs").iterdir()).rename(root / "logs/events.out.tfevents.1")
    keras = importlib.import_module("keras")
    model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(3, name="d")])
    model.save(root / "net.keras")
    model.save_weights(root / "net.weights.h5")
    model.save(root / "net.h5")


def _make_torch(root: Path) -> None:
    torch = importlib.import_module("torch")
    torch.save({"a": torch.ones(3), "name": "net"}, root / "m.pt")
    torch.save({"a": torch.ones(3)}, root / "legacy.pt", _use_new_zipfile_serialization=False)
    torch.jit.save(torch.jit.trace(torch.nn.Linear(2, 2), torch.ones(1, 2)), root / "script.pt")
    importlib.import_module("torch.distributed.checkpoint").save({"a": torch.ones(3)}, checkpoint_id=root / "dcp", no_dist=True)


def _make_safetensors(root: Path) -> None:
    import safetensors.numpy

    safetensors.numpy.save_file({"a": np.ones(3, np.float32)}, root / "m.safetensors")


def _make_orbax(root: Path) -> None:
    import orbax.checkpoint as ocp

    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(root / "orb", {"a": np.ones(3, np.float32)})
    with ocp.CheckpointManager(root / "steps") as manager:
        for step in (9, 10):
            manager.save(step, args=ocp.args.StandardSave({"a": np.ones(3, np.float32)}))


def _make_gguf(root: Path) -> None:
    import gguf

    writer = gguf.GGUFWriter(root / "m.gguf", "llama")
    writer.add_tensor("blk.0.attn_q.weight", np.ones((2, 3), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _make_onnx(root: Path) -> None:
    onnx = importlib.import_module("onnx")
    helper = onnx.helper
    x, y = (helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [2]) for name in "xy")
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [x], [y])
    onnx.save(helper.make_model(graph), root / "m.onnx")


def _make_py7zr(root: Path) -> None:
    with importlib.import_module("py7zr").SevenZipFile(root / "a.7z", "w") as archive:
        archive.writestr(b"abc", "inside.txt")


def _make_zstandard(root: Path) -> None:
    (root / "z.zst").write_bytes(importlib.import_module("zstandard").compress(b"abc"))


def _pack() -> None:
    with tempfile.TemporaryDirectory() as folder, tarfile.open(ARCHIVE, "w:xz", preset=9) as archive:
        for program in PACKAGES:
            subprocess.run([sys.executable, __file__, "make", program], cwd=folder, check=True)
        versions = {name: importlib.metadata.version(name) for names in PACKAGES.values() for name in names}
        Path(folder, "versions.json").write_text(json.dumps(versions, indent=1))
        for path in sorted(Path(folder).iterdir()):
            archive.add(path, path.name, filter=_without_owner)
    print(f"{ARCHIVE}: {ARCHIVE.stat().st_size:,} bytes")


def _without_owner(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = member.mtime = 0
    member.uname = member.gname = ""
    return member


if __name__ == "__main__":
    if sys.argv[1:2] == ["make"]:
        make(sys.argv[2], Path.cwd())
    else:
        _pack()
