"""The page of `tfsaver.report`: its facts against numpy, and its markup against names that are markup."""

from __future__ import annotations

import html.parser
import json
import pathlib
import re
from typing import Any

import numpy as np
import pytest

import tfsaver
from tests.cli.saved_model_files import write_model
from tests.cli.test_saved_model_lint import sound_proto
from tfsaver.errors import AlreadyExistsError, InvalidArgumentError

HOSTILE = "</script><script>alert(1)</script>/<!--{{script}}-->&amp;\u2028\u202e'\""


def write(path: pathlib.Path, scale: float = 1.0, **more: Any) -> str:
    tensors = {
        "net/dense/kernel": np.arange(-6, 6, dtype=np.float32).reshape(3, 4) * np.float32(scale),
        "net/dense/kernel/Adam": np.zeros((3, 4), np.float32),
        "net/dense/kernel/Adam_1": np.zeros((3, 4), np.float32),
        "net/dense/bias": np.array([1, np.nan, np.inf, 0], np.float32),
        "words": np.array([b"a", b"bc"], object),
        "global_step": np.int64(7),
    }
    return tfsaver.save_checkpoint({**tensors, **more}, path, durable=False)


class Elements(html.parser.HTMLParser):
    """The elements of a page with their attributes and text."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        self.texts.append("")

    def handle_data(self, data: str) -> None:
        if self.texts:
            self.texts[-1] += data


def facts_in(path: pathlib.Path) -> dict[str, Any]:
    elements = Elements(path.read_text("utf-8"))
    [text] = [text for (_, attributes), text in zip(elements.found, elements.texts, strict=True) if attributes.get("id") == "facts"]
    facts: dict[str, Any] = json.loads(text)
    return facts


def report(path: Any, target: pathlib.Path, **options: Any) -> dict[str, Any]:
    tfsaver.report(path, target, durable=False, **options)
    return facts_in(target)


def test_facts_of_tensors_are_those_of_numpy(tmp_path: pathlib.Path) -> None:
    prefix = write(tmp_path / "m")
    tensors = report(prefix, tmp_path / "page.html")["tensors"]
    names = tensors["name"]
    kernel, bias, words = (names.index(name) for name in ("net/dense/kernel", "net/dense/bias", "words"))
    value = np.arange(-6, 6, dtype=np.float64)
    low, high, mean, norm, *counts = tensors["stats"][kernel]
    assert (low, high, counts) == (value.min(), value.max(), [0, 0, 1])
    assert mean == pytest.approx(value.mean(), rel=1e-5)
    assert norm == pytest.approx(np.linalg.norm(value), rel=1e-5)
    exponent, first, bins = tensors["histogram"][kernel]
    edges = (first + np.arange(len(bins) + 2)) * 2.0**exponent
    assert bins == np.histogram(value, edges)[0][:-1].tolist()
    assert tensors["stats"][bias][4:] == [1, 1, 1]
    assert tensors["stats"][words] is None
    assert tensors["shape"][kernel] == [3, 4]
    assert [tensors["dtypes"][tensors["dtype"][index]] for index in (kernel, words)] == ["float32", "string"]
    assert tensors["bytes"][kernel] == 48
    roles = [tfsaver.verbs.report_page.ROLES[role] for role in tensors["role"]]
    assert [name for name, role in zip(names, roles, strict=True) if role == "optimizer"] == [
        "net/dense/kernel/Adam",
        "net/dense/kernel/Adam_1",
    ]


def test_names_are_data_and_never_markup(tmp_path: pathlib.Path) -> None:
    write(tmp_path / "m", **{HOSTILE: np.ones(2)})
    named = tmp_path / "<script>m&"
    for file in list(tmp_path.iterdir()):
        file.rename(file.with_name(file.name.replace("m.", f"{named.name}.")))
    page = tmp_path / "page.html"
    facts = report(named, page)
    assert HOSTILE in facts["tensors"]["name"]
    assert facts["checkpoints"][0]["path"] == str(named)
    plain = tmp_path / "plain.html"
    tfsaver.report(write(tmp_path / "m", plain=np.ones(2)), plain, durable=False)
    found, expected = (Elements(each.read_text("utf-8")) for each in (page, plain))
    # The same elements, whatever the names are.
    assert [tag for tag, _ in found.found] == [tag for tag, _ in expected.found]
    [title] = [text for (tag, _), text in zip(found.found, found.texts, strict=True) if tag == "title"]
    assert title.strip() == f"{named} - tfsaver report"
    assert HOSTILE not in page.read_text("utf-8")


def test_a_page_refers_to_nothing_outside_of_it(tmp_path: pathlib.Path) -> None:
    page = tmp_path / "page.html"
    tfsaver.report(write(tmp_path / "m"), page, durable=False)
    elements = Elements(page.read_text("utf-8")).found
    references = [attributes[key] for _, attributes in elements for key in ("src", "href") if key in attributes]
    assert all(each.startswith(("#", "data:")) for each in references if each is not None)
    [policy] = [attributes["content"] for tag, attributes in elements if attributes.get("http-equiv") == "Content-Security-Policy"]
    assert policy is not None and policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe-inline" not in policy.split("style-src")[0]
    [style] = re.findall(r"<style>(.*?)</style>", page.read_text("utf-8"), re.DOTALL)
    assert "url(" not in style and "@import" not in style


def test_a_run_shows_how_far_each_layer_moved(tmp_path: pathlib.Path) -> None:
    prefixes = [
        write(tmp_path / "m-1", 1.0, gone=np.ones(1)),
        write(tmp_path / "m-2", 1.5),
        write(tmp_path / "m-3", 1.5, **{"new/w": np.ones(1)}),
    ]
    facts = report(prefixes, tmp_path / "page.html")
    run = facts["run"]
    assert [each["path"] for each in facts["checkpoints"]] == prefixes
    assert "global_step" not in run["layers"]
    assert "net/dense" in run["layers"] and "net/dense/kernel" not in run["layers"]
    layer = run["layers"].index("net/dense")
    before, after = (np.arange(-6, 6) * scale for scale in (1.0, 1.5))
    # The norm of the bias is 1, that of its finite elements.
    expected = np.linalg.norm(after - before) / np.hypot(np.linalg.norm(before), 1)
    assert [column[layer] for column in run["values"]] == [pytest.approx(expected, rel=1e-5), 0]
    first, second = run["changes"]
    assert (first["added"], first["removed"], first["num_changed"]) == ([], ["gone"], 1)
    assert (second["added"], second["removed"], second["num_changed"]) == (["new/w"], [], 0)


def test_damage_is_on_the_page_and_in_the_report(tmp_path: pathlib.Path) -> None:
    sound, damaged = write(tmp_path / "m-1"), write(tmp_path / "m-2", 2.0)
    with tfsaver.load_checkpoint(damaged) as reader:
        [piece] = reader.info("net/dense/kernel").pieces
    data = bytearray(pathlib.Path(piece.path).read_bytes())
    data[piece.offset or 0] ^= 1
    pathlib.Path(piece.path).write_bytes(data)
    found = tfsaver.report([sound, damaged], tmp_path / "page.html", durable=False)
    assert not found.ok
    assert [list(each) for each in found.damaged] == [[], ["net/dense/kernel"]]
    assert "1 tensor of" in str(found)
    facts = facts_in(tmp_path / "page.html")
    tensors = facts["tensors"]
    [(number, why)] = tensors["errors"].items()
    assert tensors["name"][int(number)] == "net/dense/kernel" and "CRC32C" in why
    assert facts["checkpoints"][1]["num_damaged"] == 1
    # What cannot be read is not compared, the rest is.
    assert facts["run"]["changes"][0]["num_equal"] == 5
    assert json.loads(json.dumps(found.to_json()))["damaged"][0]["source"] == damaged


def test_files_and_slices_are_where_the_index_says(tmp_path: pathlib.Path) -> None:
    prefix = tfsaver.save_checkpoint({f"w{number}": np.ones(number + 1) for number in range(5)}, tmp_path / "m", num_shards=2, durable=False)
    facts = report(prefix, tmp_path / "page.html")
    files = {file["shard_id"]: pathlib.Path(file["path"]).read_bytes() for file in facts["files"] if file["shard_id"] is not None}
    assert sorted(files) == [0, 1]
    for name, pieces in zip(facts["tensors"]["name"], facts["tensors"]["pieces"], strict=True):
        [[shard, offset, size]] = pieces
        assert files[shard][offset : offset + size] == np.ones(int(name[1:]) + 1).tobytes()


def test_a_saved_model_shows_its_signatures(tmp_path: pathlib.Path) -> None:
    write_model(tmp_path / "export", sound_proto())
    facts = report(tmp_path / "export", tmp_path / "page.html")
    assert facts["checkpoints"][0]["kind"] == "SavedModel"
    [graph] = facts["model"]["graphs"]
    [signature] = graph["signatures"]
    expected = sound_proto().meta_graphs[0].signature_def["serving_default"]
    assert (signature["key"], signature["method"]) == ("serving_default", expected.method_name)
    for found, tensors in ((signature["inputs"], expected.inputs), (signature["outputs"], expected.outputs)):
        assert {each["key"]: each["names"] for each in found} == {key: [each.name] for key, each in tensors.items()}


@pytest.mark.parametrize("form", ["V1", "npz", "arrays"])
def test_every_source_has_a_page(form: str, tmp_path: pathlib.Path) -> None:
    arrays = {"w": np.arange(4, dtype=np.float32), "b": np.ones((), np.float32)}
    source: Any = arrays
    if form == "V1":
        source = tfsaver.save_checkpoint(arrays, tmp_path / "m", format="V1", durable=False)
    elif form == "npz":
        source = tmp_path / "m.npz"
        np.savez(source, **arrays)  # type: ignore[arg-type]
    tensors = report(source, tmp_path / "page.html")["tensors"]
    assert tensors["name"] == ["b", "w"]
    assert tensors["stats"][1][:2] == [0, 3]


def test_the_description_of_objects_is_not_of_the_model(tmp_path: pathlib.Path) -> None:
    tfsaver.save({"net": {"w": np.ones(3)}}, tmp_path / "tree", durable=False)
    facts = report(tmp_path / "tree", tmp_path / "page.html")
    roles = {name: facts["roles"][role] for name, role in zip(facts["tensors"]["name"], facts["tensors"]["role"], strict=True)}
    assert {name for name, role in roles.items() if role == "structure"} == {name for name in roles if name.startswith("_")}
    assert any("w" in line for _, line in facts["objects"]["lines"])


def test_select_chooses_the_tensors_of_the_page(tmp_path: pathlib.Path) -> None:
    prefix = write(tmp_path / "m")
    assert report(prefix, tmp_path / "page.html", select="bias")["tensors"]["name"] == ["net/dense/bias"]
    facts = report(prefix, tmp_path / "other.html", select=tfsaver.Selection(without_optimizer=True))
    assert facts["tensors"]["name"] == ["global_step", "net/dense/bias", "net/dense/kernel", "words"]


def test_a_page_replaces_nothing_unless_asked(tmp_path: pathlib.Path) -> None:
    prefix = write(tmp_path / "m")
    page = tmp_path / "page.html"
    page.write_text("mine")
    with pytest.raises(AlreadyExistsError, match="overwrite"):
        tfsaver.report(prefix, page)
    assert page.read_text() == "mine"
    assert tfsaver.report(prefix, page, overwrite=True, dry_run=True).target is None
    assert page.read_text() == "mine"
    assert tfsaver.report(prefix, page, overwrite=True, durable=False).size == page.stat().st_size
    for suffix in (".index", ".data-00000-of-00001"):
        with pytest.raises(InvalidArgumentError, match="file of the checkpoint"):
            tfsaver.report(prefix, prefix + suffix, overwrite=True)


def test_a_report_needs_a_checkpoint(tmp_path: pathlib.Path) -> None:
    with pytest.raises(InvalidArgumentError, match="a checkpoint or a list"):
        tfsaver.report([], tmp_path / "page.html")


def test_progress_ends_at_the_total(tmp_path: pathlib.Path) -> None:
    prefixes = [write(tmp_path / f"m-{step}", step) for step in (1, 2)]
    calls: list[tuple[int, int]] = []
    tfsaver.report(prefixes, tmp_path / "page.html", durable=False, progress=lambda *call: calls.append(call))
    done, totals = zip(*calls, strict=True)
    assert list(done) == sorted(done) and len(set(totals)) == 1
    assert done[-1] == totals[-1]


def test_the_page_of_many_tensors_grows_with_their_names_and_bins(tmp_path: pathlib.Path) -> None:
    sizes = []
    for num_tensors in (100, 1100):
        arrays = {f"scope_{number // 10}/w_{number}": np.ones(2, np.float32) for number in range(num_tensors)}
        sizes.append(tfsaver.report(arrays, tmp_path / f"{num_tensors}.html", durable=False).size)
    # 50,000 tensors are a page of about 15 MB, no more.
    assert (sizes[1] - sizes[0]) / 1000 < 300


def test_the_licence_of_the_charts_is_in_the_package() -> None:
    folder = pathlib.Path(tfsaver.verbs.report_page.__file__).parent / "report_files" / "echarts"
    assert "Apache License" in (folder / "LICENSE").read_text("utf-8")
    assert "Apache ECharts" in (folder / "NOTICE").read_text("utf-8")
