"""`tfsaver inspect`: every option, on checkpoints of our own and of other programs, as text and as JSON."""

from __future__ import annotations

import json
import pathlib
from typing import Any

import numpy as np
import pytest

import tfsaver
from tests.cli.conftest import TRAINED
from tests.cli.process import change_index, make_big_endian
from tfsaver.checkpoint.objects.object_graph import OBJECT_GRAPH_KEY
from tfsaver.cli.main import main
from tfsaver.framework.tensor_slice import TensorSlice
from tfsaver.tensor_bundle.writer import BundleWriter

VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"


def inspect(capsys: pytest.CaptureFixture[str], *arguments: object) -> list[str]:
    """The lines that a run without problems prints."""
    assert main(["inspect", *map(str, arguments)]) == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    return shown.out.splitlines()


def inspect_json(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, Any]:
    document: dict[str, Any] = json.loads("\n".join(inspect(capsys, "--json", *arguments)))["report"]
    return document


def test_a_whole_checkpoint_as_text(trained: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert inspect(capsys, trained) == [
        f"{trained}: V2 checkpoint, 1 data file",
        "",
        "name                                   dtype    shape   size  role",
        "beta1_power                            float32  []       4 B  Adam",
        "dense/bias                             float32  [4]     16 B",
        "dense/kernel                           float32  [3,4]   48 B",
        "dense/kernel/Adam                      float32  [3,4]   48 B  Adam",
        "dense/kernel/Adam_1                    float32  [3,4]   48 B  Adam",
        "dense/kernel/ExponentialMovingAverage  float32  [3,4]   48 B  average",
        "global_step                            int64    []       8 B",
        "labels                                 string   [4]    518 B",
        "",
        "8 tensors, 54 parameters, 738 B",
        "optimizer state (Adam): 2 slots of 1 variable, 1 of its own, 100 B",
        "without optimizer state: 5 tensors, 29 parameters, 638 B",
        "moving averages: 1 tensor, 12 parameters, 48 B",
    ]


def test_columns_without_content_are_left_out(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    tfsaver.save_checkpoint({"a": [1.0, 2.0]}, tmp_path / "m", durable=False)
    lines = inspect(capsys, tmp_path / "m")
    assert lines[2:4] == ["name  dtype    shape  size", "a     float64  [2]    16 B"]
    assert lines[5:] == ["1 tensor, 2 parameters, 16 B"]


def test_a_whole_checkpoint_as_json(trained: str, capsys: pytest.CaptureFixture[str]) -> None:
    document = inspect_json(capsys, trained)
    assert list(document) == [
        "checkpoint",
        "format",
        "byte_order",
        "num_shards",
        "object_based",
        "files",
        "tensors",
        "totals",
        "optimizers",
        "without_optimizers",
        "errors",
    ]
    assert (document["checkpoint"], document["format"], document["byte_order"]) == (trained, "V2", "little")
    assert (document["num_shards"], document["object_based"], document["errors"]) == (1, False, [])
    assert document["files"] == [
        {"path": f"{trained}.index", "shard_id": None, "size": pathlib.Path(f"{trained}.index").stat().st_size},
        {"path": f"{trained}.data-00000-of-00001", "shard_id": 0, "size": 738},
    ]
    assert document["totals"] == {"num_tensors": 8, "num_parameters": 54, "num_bytes": 738}
    assert document["without_optimizers"] == {"num_tensors": 5, "num_parameters": 29, "num_bytes": 638}
    assert document["optimizers"] == [
        {"name": "Adam", "num_slots": 2, "num_variables": 1, "num_others": 1, "num_bytes": 100}
    ]
    tensors = {tensor["name"]: tensor for tensor in document["tensors"]}
    assert sorted(tensors) == sorted(TRAINED)
    assert tensors["dense/kernel/Adam_1"] == {
        "name": "dense/kernel/Adam_1",
        "dtype": "float32",
        "shape": [3, 4],
        "num_parameters": 12,
        "num_bytes": 48,
        "pieces": [{"shard_id": 0, "offset": 116, "size": 48, "slice": None}],
        "optimizer": {"name": "Adam", "slot": "Adam_1", "variable": "dense/kernel", "inferred": False},
        "role": "optimizer",
        "average_of": None,
    }
    assert tensors["dense/kernel/ExponentialMovingAverage"]["average_of"] == "dense/kernel"


def names_of(lines: list[str]) -> list[str]:
    return [line.split()[0] for line in lines[3 : lines.index("", 2)]]


def test_include_and_exclude_choose_by_expression(trained: str, capsys: pytest.CaptureFixture[str]) -> None:
    lines = inspect(capsys, trained, "--select", "^dense", "--select", "step$", "--exclude", "Adam", "--exclude", "Exp")
    assert names_of(lines) == ["dense/bias", "dense/kernel", "global_step"]
    assert lines[-1] == "3 of 8 tensors, 17 parameters, 72 B"
    assert inspect_json(capsys, trained, "--select", "bias")["totals"]["num_tensors"] == 1


def test_slots_are_slots_even_when_their_variable_is_not_listed(trained: str, capsys: pytest.CaptureFixture[str]) -> None:
    lines = inspect(capsys, trained, "--select", "Adam$")
    assert lines[3].split() == ["dense/kernel/Adam", "float32", "[3,4]", "48", "B", "Adam"]
    assert lines[-1] == "without optimizer state: 0 tensors, 0 parameters, 0 B"


def test_a_pattern_that_matches_nothing_is_1(trained: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", trained, "--select", "dens/kernel"]) == 1
    assert "did you mean 'dense/kernel'" in capsys.readouterr().err


def test_the_earlier_name_of_select_works_and_warns(trained: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", trained, "--include", "^dense/bias$", "--include=^labels$"]) == 0
    shown = capsys.readouterr()
    assert names_of(shown.out.splitlines()) == ["dense/bias", "labels"]
    assert shown.err == "tfsaver inspect: warning: --include is now --select\n" * 2


def test_a_tree_has_the_totals_of_each_scope(trained: str, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [line.split() for line in inspect(capsys, trained, "--tree", "--sort", "size")[2:]]
    assert lines[0] == ["scope", "tensors", "parameters", "size", "tensor"]
    assert lines[1] == ["labels", "1", "0", "518", "B", "string", "[4]"]
    assert lines[2] == ["dense/", "5", "52", "208", "B"]
    assert lines[3] == ["kernel/", "4", "48", "192", "B", "float32", "[3,4]"]
    assert ["Adam_1", "1", "12", "48", "B", "float32", "[3,4]"] in lines
    folded = [line.split()[0] for line in inspect(capsys, trained, "--tree", "--depth", "1")[3:7]]
    assert folded == ["beta1_power", "dense/", "global_step", "labels"]


def test_order_and_length_of_the_list_can_be_chosen(trained: str, capsys: pytest.CaptureFixture[str]) -> None:
    lines = inspect(capsys, trained, "--reverse", "--limit", "2")
    assert [line.split()[0] for line in lines[3:6]] == ["labels", "global_step", "and"]
    assert lines[5] == "and 6 more" and lines[7].startswith("8 tensors, ")


def test_sort_by_size_puts_the_largest_first(trained: str, capsys: pytest.CaptureFixture[str]) -> None:
    names = names_of(inspect(capsys, trained, "--sort", "size"))
    assert names[:3] == ["labels", "dense/kernel", "dense/kernel/Adam"]
    assert names[-1] == "beta1_power"
    assert names_of(inspect(capsys, trained, "--sort", "name")) == sorted(names)


def test_values_are_printed_on_request(trained: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert inspect(capsys, trained, "--values", "global_step", "dense/kernel:0", "--value", "labels") == [
        "global_step  int64  []",
        "1000",
        "dense/kernel  float32  [3,4]",
        "[[ 0.  1.  2.  3.]",
        " [ 4.  5.  6.  7.]",
        " [ 8.  9. 10. 11.]]",
        "labels  string  [4]",
        r"['cat' 'hæl' b'\xff\x00'",
        f" '{'x' * 199}… (500 bytes)]",
    ]


def test_values_in_json_are_whole(trained: str, capsys: pytest.CaptureFixture[str]) -> None:
    tensors = inspect_json(capsys, trained, "--values", "labels", "dense/bias", "beta1_power")["tensors"]
    labels, bias, power = (tensor["value"] for tensor in tensors)
    assert labels == ["cat", "hæl", "\udcff\x00", "x" * 500]
    assert bias == [1.5, "nan", "-inf", 2.5]
    assert power == pytest.approx(0.9)


def test_value_that_is_not_there_names_its_neighbours(trained: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", trained, "--values", "dense/kernal"]) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith(f"tfsaver: error: 'dense/kernal' not found in checkpoint {trained!r}; did you mean")
    assert "'dense/kernel'" in shown.err


def test_damaged_value_is_an_error(damaged: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", damaged, "--values", "a"]) == 1
    assert "stored CRC32C" in capsys.readouterr().err
    assert main(["inspect", damaged]) == 0


def test_large_values_are_abbreviated(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    tfsaver.save_checkpoint({"a": np.arange(100_000)}, tmp_path / "m", durable=False)
    assert inspect(capsys, tmp_path / "m", "--values", "a")[1] == "[    0     1     2 ... 99997 99998 99999]"


def test_statistics_tell_whether_numbers_are_sound(trained: str, capsys: pytest.CaptureFixture[str]) -> None:
    lines = inspect(capsys, trained, "--stats", "--select", "^(dense/(bias|kernel)|labels)$")
    assert lines[2].split()[-5:] == ["min", "max", "mean", "nan", "inf"]
    assert lines[3].split() == ["dense/bias", "float32", "[4]", "16", "B", "1.5", "2.5", "2", "1", "1"]
    assert lines[4].split() == ["dense/kernel", "float32", "[3,4]", "48", "B", "0", "11", "5.5", "0", "0"]
    assert lines[5].split() == ["labels", "string", "[4]", "518", "B"]
    tensors = inspect_json(capsys, trained, "--stats", "--select", "bias|labels")["tensors"]
    assert [tensor["statistics"] for tensor in tensors] == [
        {"min": 1.5, "max": 2.5, "mean": 2.0, "norm": pytest.approx(8.5**0.5), "num_nan": 1, "num_infinite": 1, "num_zero": 0},
        None,
    ]


@pytest.fixture
def partitioned(tmp_path: pathlib.Path) -> str:
    """The prefix of a checkpoint of which one tensor is stored in two slices, on two shards."""
    prefix = str(tmp_path / "parts")
    value = np.arange(20, dtype=np.float32).reshape(4, 5)
    with BundleWriter(prefix, num_shards=2, durable=False) as writer:
        writer.add("b", np.zeros(3, np.float32), shard_id=1)
        for shard_id in range(2):
            part = TensorSlice(((2 * shard_id, 2), (0, -1)))
            writer.add_slice("w", (4, 5), part, value[2 * shard_id : 2 * shard_id + 2], shard_id=shard_id)
    return prefix


def test_slices_and_shards_are_counted(partitioned: str, capsys: pytest.CaptureFixture[str]) -> None:
    lines = inspect(capsys, partitioned)
    assert lines[0] == f"{partitioned}: V2 checkpoint, 2 data files"
    assert lines[2:5] == [
        "name  dtype    shape  size  shard  slices",
        "b     float32  [3]    12 B  1",
        "w     float32  [4,5]  80 B  0,1         2",
    ]


def test_slices_are_listed_when_asked_for(partitioned: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert inspect(capsys, partitioned, "--slices")[4] == "w     float32  [4,5]  80 B  0,1    0,2:- 2,2:-"
    pieces = inspect_json(capsys, partitioned)["tensors"][1]["pieces"]
    assert [(piece["shard_id"], piece["size"], piece["slice"]) for piece in pieces] == [(0, 40, "0,2:-"), (1, 40, "2,2:-")]


def test_verbose_lists_files_and_those_that_are_missing(partitioned: str, capsys: pytest.CaptureFixture[str]) -> None:
    pathlib.Path(f"{partitioned}.data-00001-of-00002").unlink()
    lines = inspect(capsys, partitioned, "-v")
    assert lines[4].endswith("0,2:- 2,2:-")
    files = [line.split() for line in lines[-4:]]
    assert files[0] == ["file", "size"]
    assert files[1][0] == f"{partitioned}.index"
    assert files[2] == [f"{partitioned}.data-00000-of-00002", "40", "B"]
    assert files[3] == [f"{partitioned}.data-00001-of-00002", "missing"]
    assert inspect_json(capsys, partitioned)["files"][2]["size"] is None


def test_verbose_says_of_which_variable_a_slot_is(trained: str, capsys: pytest.CaptureFixture[str]) -> None:
    lines = inspect(capsys, trained, "--verbose")
    assert lines[3].endswith("Adam")
    assert lines[7].endswith("Adam: Adam_1 of dense/kernel")
    assert lines[8].endswith("average of dense/kernel")


def test_names_with_odd_characters_are_escaped(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    odd = b"a\n\xff\\".decode("utf-8", "surrogateescape")
    with BundleWriter(tmp_path / "m", durable=False) as writer:
        writer.add(odd, np.float32(7))
    shown = r"a\x0a\xff\\"
    assert inspect(capsys, tmp_path / "m")[3] == rf"{shown}  float32  []      4 B"
    assert inspect(capsys, tmp_path / "m", "--values", shown) == [f"{shown}  float32  []", "7."]
    assert inspect_json(capsys, tmp_path / "m")["tensors"][0]["name"] == odd


def test_v1_is_called_so(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    tfsaver.save_checkpoint({"a": [1.0, 2.0]}, tmp_path / "old", format="V1", durable=False)
    assert inspect(capsys, tmp_path / "old", "-v")[0] == f"{tmp_path / 'old'}: V1 checkpoint, 1 file"
    document = inspect_json(capsys, tmp_path / "old")
    assert (document["format"], document["byte_order"]) == ("V1", None)
    assert document["files"][0]["shard_id"] == 0
    assert document["tensors"][0]["pieces"] == [{"shard_id": 0, "offset": None, "size": None, "slice": None}]


def test_big_endian_is_said(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    tfsaver.save_checkpoint({"a": np.array([1], np.uint8)}, tmp_path / "m", durable=False)
    change_index(str(tmp_path / "m"), make_big_endian)
    assert inspect(capsys, tmp_path / "m")[0].endswith("V2 checkpoint, 1 data file, big-endian")
    assert inspect_json(capsys, tmp_path / "m")["byte_order"] == "big"


def test_damaged_entry_does_not_hide_the_others(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    tfsaver.save_checkpoint({"a": [1.0], "b": [2.0], "c": [3.0]}, tmp_path / "m", durable=False)
    change_index(str(tmp_path / "m"), lambda key, value: b"\xff" if key == b"b" else value)
    assert main(["inspect", str(tmp_path / "m")]) == 1
    shown = capsys.readouterr()
    assert names_of(shown.out.splitlines()) == ["a", "c"]
    assert shown.err.startswith("tfsaver: error: entry of 'b' in ")
    assert main(["inspect", "--json", str(tmp_path / "m")]) == 1
    document = json.loads(capsys.readouterr().out)["report"]
    assert len(document["tensors"]) == 2
    assert document["errors"][0]["message"].startswith("entry of 'b' in ")


def test_keras_3_slots_name_their_variable(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    from tfsaver import schemas

    full_names = {
        "optimizer/_iterations": "adam/iteration",
        "optimizer/_variables/2": "adam/d_kernel_momentum",
        "m/kernel": "d/kernel",
    }
    graph = schemas.TrackableObjectGraph()
    for key, full_name in full_names.items():
        graph.nodes.add().attributes.add(name="VARIABLE_VALUE", full_name=full_name, checkpoint_key=key + VALUE)
    tensors: dict[str, Any] = {key + VALUE: np.zeros(() if "_it" in key else 3, np.float32) for key in full_names}
    tensors[OBJECT_GRAPH_KEY] = graph.SerializeToString()
    prefix = tmp_path / "ckpt-1"
    tfsaver.save_checkpoint(tensors, prefix, durable=False)
    lines = inspect(capsys, prefix)
    assert lines[0].endswith("1 data file, object-based: names are paths of its object graph")
    assert lines[6].endswith(f"optimizer: momentum of m/kernel{VALUE}")
    assert inspect_json(capsys, prefix)["object_based"] is True
    # The list needs no data file.
    (tmp_path / "ckpt-1.data-00000-of-00001").unlink()
    assert inspect(capsys, prefix)[6].endswith("12 B  optimizer")


@pytest.mark.parametrize("options", [[], ["-v"], ["--json"], ["--stats"], ["--sort", "size", "--slices"]])
def test_every_real_checkpoint_is_listed(
    cases: pathlib.Path, options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    listed = 0
    for path in sorted(cases.glob("*/*.index")):
        lines = inspect(capsys, *options, path)
        listed += 1
        with tfsaver.load_checkpoint(path) as reader:
            if options == ["--json"]:
                assert [tensor["name"] for tensor in json.loads("\n".join(lines))["report"]["tensors"]] == reader.names
            else:
                assert sorted(names_of(lines)) == reader.names
    assert listed > 20


def test_real_values_of_every_type_are_shown(cases: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = sorted((cases / "gen_dtypes_v2").glob("*.index")) + sorted((cases / "gen_dtypes_v1").glob("*.ckpt"))
    assert len(paths) > 20
    for path in paths:
        with tfsaver.load_checkpoint(path) as reader:
            names = reader.names
            shapes = [list(reader.shape(name)) for name in names]
        assert len(inspect(capsys, path, "--values", *names)) >= 2 * len(names)
        tensors = inspect_json(capsys, path, "--values", *names)["tensors"]
        assert [list(np.shape(tensor["value"])) for tensor in tensors if "complex" not in tensor["dtype"]] == [
            shape for shape, tensor in zip(shapes, tensors, strict=True) if "complex" not in tensor["dtype"]
        ]


def test_a_real_checkpoint_of_slices_and_slots(cases: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = inspect(capsys, cases / "gen_partitioned_v2_sharded")
    assert lines[2:6] == [
        "name                  dtype    shape    size  shard  slices  role",
        "b                     float64  [3]      24 B  2",
        "cols/weights          float32  [4,9]   144 B  2           4",
        "cols/weights/Adagrad  float32  [4,9]   144 B  2           4  Adagrad",
    ]
    assert lines[-2:] == [
        "optimizer state (Adagrad): 2 slots of 2 variables, 384 B",
        "without optimizer state: 4 tensors, 100 parameters, 416 B",
    ]


def test_roles_say_what_each_tensor_is_and_why(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    companions = {"w": [1.0], "v": [2.0], "w/g_adam": [0.0], "v/g_adam": [0.0], "w/Adam": [0.0], "w/phase": [0.0]}
    prefix = tfsaver.save_checkpoint(companions | {"accuracy/total": 1.0, "accuracy/count": 2.0}, tmp_path / "m", durable=False)
    lines = inspect(capsys, prefix, "--roles")
    assert lines[2].split() == ["name", "role", "why"]
    roles = {line.split()[0]: " ".join(line.split()[1:]) for line in lines[3:11]}
    assert roles == {
        "accuracy/count": "metric sums of the metric accuracy, by inference",
        "accuracy/total": "metric sums of the metric accuracy, by inference",
        "v": "model",
        "v/g_adam": "optimizer state of the optimizer g_adam, by inference",
        "w": "model",
        "w/Adam": "optimizer state of the optimizer Adam",
        "w/g_adam": "optimizer state of the optimizer g_adam, by inference",
        "w/phase": "model may be a slot or an average",
    }
    tensors = {tensor["name"]: tensor for tensor in inspect_json(capsys, prefix)["tensors"]}
    assert tensors["w/g_adam"]["optimizer"] == {"name": "g_adam", "slot": "g_adam", "variable": "w", "inferred": True}
    assert tensors["accuracy/total"]["role"] == "metric" and tensors["accuracy/total"]["optimizer"] is None
