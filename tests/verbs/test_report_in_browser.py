"""The page of `tfsaver.report` in Chromium: it renders, filters, sorts and takes keys, without an error or a request."""

from __future__ import annotations

import pathlib
import shutil
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import tfsaver
from tests.saved_model.graphs import FLOAT, node, of_shape
from tfsaver import schemas

sync_api = pytest.importorskip("playwright.sync_api")

HOSTILE = "<script>window.wrong=1</script><img src=x onerror=window.wrong=1>/w\u202e\n{{script}}"
NUM_LAYERS = 250


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("needs chromium: apt-get install chromium")
    with sync_api.sync_playwright() as playwright:
        # Root, as which CI runs, has no sandbox.
        launched = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The page of a run with a damaged tensor, a hostile name and many rows."""
    folder = tmp_path_factory.mktemp("run")
    prefixes = []
    for step in (1, 2):
        arrays: dict[str, Any] = {HOSTILE: np.array([1, np.nan], np.float32), f"new_{step}": np.ones(3)}
        for layer in range(NUM_LAYERS):
            arrays[f"net/layer_{layer}/kernel"] = np.full((2, layer + 1), step, np.float32)
            arrays[f"net/layer_{layer}/kernel/Adam"] = np.zeros((2, layer + 1), np.float32)
            arrays[f"net/layer_{layer}/kernel/Adam_1"] = np.zeros((2, layer + 1), np.float32)
        prefixes.append(tfsaver.save_checkpoint(arrays, folder / f"m-{step}", num_shards=2, durable=False))
    with tfsaver.load_checkpoint(prefixes[1]) as reader:
        [piece] = reader.info("net/layer_200/kernel").pieces
    data = bytearray(pathlib.Path(piece.path).read_bytes())
    data[piece.offset or 0] ^= 1
    pathlib.Path(piece.path).write_bytes(data)
    assert not tfsaver.report(prefixes, folder / "run.html", durable=False).ok
    return folder / "run.html"


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The page of a checkpoint of objects."""
    folder = tmp_path_factory.mktemp("objects")
    tfsaver.save({"net": {HOSTILE: np.ones(2), "layers": [np.zeros(3), np.ones(1)]}}, folder / "tree", durable=False)
    tfsaver.report(folder / "tree", folder / "tree.html", durable=False)
    return folder / "tree.html"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The page of a SavedModel: blocks of layers, one of them with a hostile name."""
    folder = tmp_path_factory.mktemp("model")
    nodes = [node("Placeholder", "images", dtype=FLOAT, shape=of_shape(-1, 2))]
    arrays: dict[str, Any] = {}
    for block in range(6):
        for unit in range(6):
            scope = f"net/block_{block}/unit_{unit}"
            nodes.append(node("VariableV2", f"{scope}/w", dtype=FLOAT, shape=of_shape(2)))
            nodes.append(node("Mul", f"{scope}/Mul", [nodes[-2].name, f"{scope}/w"], T=FLOAT))
            arrays[f"{scope}/w"] = np.ones(2, np.float32)
    graph = schemas.MetaGraphDef(graph_def=schemas.GraphDef(node=nodes))
    tfsaver.export_saved_model(graph, folder / "export", outputs=[nodes[-1].name], variables=arrays, durable=False)
    proto = schemas.SavedModel.FromString((folder / "export" / "saved_model.pb").read_bytes())
    definition = proto.meta_graphs[0].signature_def["serving_default"]
    [key] = definition.outputs
    definition.outputs[HOSTILE].CopyFrom(definition.outputs.pop(key))
    (folder / "export" / "saved_model.pb").write_bytes(proto.SerializeToString())
    tfsaver.report(folder / "export", folder / "model.html", durable=False)
    return folder / "model.html"


class Opened:
    """A page in the browser, and everything that it did besides showing itself."""

    def __init__(self, browser: Any, path: pathlib.Path, **options: Any) -> None:
        self.context = browser.new_context(viewport={"width": 1300, "height": 900}, **options)
        self.page = self.context.new_page()
        self.seen: list[str] = []
        self.url = path.as_uri()
        self.page.on("console", lambda message: self.seen.append(f"console: {message.text}"))
        self.page.on("pageerror", lambda error: self.seen.append(f"error: {error}"))
        self.page.on("dialog", lambda dialog: self.seen.append(f"dialog: {dialog.message}"))
        self.page.on("request", self._request)
        self.page.goto(self.url)

    def _request(self, request: Any) -> None:
        if request.url != self.url and not request.url.startswith("data:"):
            self.seen.append(f"request: {request.url}")

    def __enter__(self) -> Any:
        return self.page

    def __exit__(self, kind: Any, *_: Any) -> None:
        self.page.wait_for_timeout(50)
        wrong = self.page.evaluate("window.wrong")
        self.context.close()
        if kind is None:
            assert (self.seen, wrong) == ([], None)


@pytest.fixture(scope="module")
def opened(browser: Any, run: pathlib.Path) -> Iterator[Opened]:
    """The page of the run, loaded once."""
    opened = Opened(browser, run)
    with opened:
        yield opened


@pytest.fixture
def page(opened: Opened) -> Iterator[Any]:
    """The same, as it is when it was loaded; a test that makes it complain fails."""
    opened.page.emulate_media(color_scheme="light")
    for control in ("role", "dtype", "state"):
        opened.page.select_option(f"#{control}", "")
    opened.page.fill("#search", "")
    opened.page.get_by_role("button", name="Name").click()
    yield opened.page
    assert (opened.seen, opened.page.evaluate("window.wrong")) == ([], None)


def counted(page: Any, text: str) -> None:
    sync_api.expect(page.locator("#count")).to_contain_text(text)


def test_a_page_shows_and_filters_tensors(page: Any) -> None:
    num_tensors = f"{3 * NUM_LAYERS + 2:,}"
    counted(page, f"{num_tensors} of {num_tensors} tensors")
    # What is out of sight is not in the document.
    assert page.locator("#body tr.row").count() < 100
    page.fill("#search", "layer_24 kernel")
    counted(page, f"33 of {num_tensors}")
    page.fill("#search", "/layer_24$|_249/kernel$/")
    counted(page, f"1 of {num_tensors}")
    page.fill("#search", "/(/")
    assert page.get_attribute("#search", "aria-invalid") == "true"
    page.fill("#search", "")
    page.select_option("#role", label="optimizer")
    counted(page, f"{2 * NUM_LAYERS:,} of {num_tensors}")
    page.select_option("#role", label="all roles")
    page.select_option("#state", label="damaged")
    counted(page, "1 of ")
    assert "net/layer_200/kernel" in page.inner_text("#body tr.damaged")
    page.click("#body tr.damaged")
    assert "CRC32C" in page.inner_text("#details")
    assert page.locator("#shards rect.role-bad").count() == 1
    assert page.inner_text("#damage-list").startswith("net/layer_200/kernel")


def test_names_of_a_file_are_text(page: Any) -> None:
    page.fill("#search", "window.wrong")
    counted(page, "1 of ")
    page.click("#body tr.row")
    # Control characters are spelled out, and direction does not change.
    expected = HOSTILE.replace("\u202e", "\\u202e").replace("\n", "\\x0a")
    assert page.inner_text("#details h3") == expected
    assert page.locator("#details script, #body script, #body img").count() == 0


def test_keys_move_through_sorted_rows(page: Any) -> None:
    page.get_by_role("button", name="Size").click()
    assert page.get_attribute("#head th[aria-sort]", "aria-sort") == "descending"
    page.fill("#search", "layer_ kernel")
    sync_api.expect(page.locator("#body tr.row").first).to_contain_text("layer_249/kernel")
    page.locator("#body tr.row").first.focus()
    for _ in range(4):
        page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    assert page.inner_text("#details h3") == "net/layer_248/kernel/Adam"
    page.keyboard.press("End")
    page.keyboard.press("Enter")
    assert page.inner_text("#details h3") == "net/layer_0/kernel/Adam_1"
    assert page.locator("#details .chart svg").count() == 1
    assert page.evaluate("document.activeElement.dataset.place") == str(3 * NUM_LAYERS - 1)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_charts_are_drawn_and_have_words(scheme: str, page: Any) -> None:
    page.emulate_media(color_scheme=scheme)
    for chart in ("treemap", "heatmap"):
        assert page.locator(f"#{chart} svg path").count() > 10
        assert "table below" in page.get_attribute(f"#{chart}", "aria-label")
    page.check("input[value=role]")
    sync_api.expect(page.locator("#treemap svg")).to_contain_text("optimizer")
    page.locator("#updates > details").evaluate("details => details.open = true")
    # From 1 to 2: each layer moved by all of its norm; the damaged one was not compared.
    rows = page.locator("#update-table tbody tr")
    cells = [row.split("\t") for row in rows.all_inner_texts()]
    assert {cell for name, cell in cells if name.startswith("net/layer_")} == {"100%"}
    assert "1 tensor added" in page.inner_text("#changes") and "1 tensor removed" in page.inner_text("#changes")


def test_a_page_prints(page: Any) -> None:
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("#body tr.row").count() == 200
    page.emulate_media(media="print")
    assert not page.is_visible("nav")
    page.emulate_media(media="screen")
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator("#body tr.row").count() < 100


def test_objects_are_a_tree(browser: Any, objects: pathlib.Path) -> None:
    with Opened(browser, objects) as page:
        assert "layers" in page.inner_text("#tree > ul > li")
        assert page.is_visible("#objects") and not page.is_visible("#updates")


def test_a_graph_folds_and_unfolds_by_scopes(browser: Any, model: pathlib.Path) -> None:
    with Opened(browser, model) as page:
        count = page.locator("#graph-count")
        # The input, six blocks, the output.
        sync_api.expect(count).to_have_text("8 nodes, 7 edges")
        assert page.locator("#scope-graph svg path").count() > 8
        assert "table below" in page.get_attribute("#scope-graph", "aria-label")
        page.locator("#graph details").evaluate("details => details.open = true")
        page.get_by_role("button", name="Unfold net/block_3").click()
        sync_api.expect(count).to_have_text("13 nodes, 12 edges")
        page.get_by_role("button", name="Unfold net/block_3/unit_0").click()
        sync_api.expect(page.locator("#graph-table")).to_contain_text("net/block_3/unit_0/w")
        page.click("#graph-fold")
        sync_api.expect(count).to_have_text("3 nodes, 2 edges")
        assert HOSTILE.replace("\u202e", "\\u202e").replace("\n", "\\x0a") in page.inner_text("#graph-table")


def test_a_page_without_scripts_shows_the_largest_tensors(browser: Any, run: pathlib.Path) -> None:
    with Opened(browser, run, java_script_enabled=False) as page:
        assert "net/layer_249/kernel" in page.inner_text("noscript")
        assert "and 552 more" in page.inner_text("noscript")
