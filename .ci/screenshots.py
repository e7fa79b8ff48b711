"""Takes the pictures of the documentation: `make screenshots` writes docs/images.

    report.png        the report of a checkpoint            run.png      of a run of checkpoints
    saved_model.png   of a SavedModel, with its graph       site.png     the front page of the documentation site
    terminal.png      `tfsaver inspect` in 80 columns       terminal-120.png   in 120

The pages are opened in Chromium by Playwright, the terminal is drawn by rich from what a pseudo-terminal was sent. With
`--axe FILE`, the pages are also checked by axe-core, the script in that file.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import pathlib
import pty
import shutil
import subprocess
import sys
import tempfile
from typing import Any

import numpy as np
from playwright import sync_api
from rich.console import Console
from rich.text import Text

import tfsaver
from tfsaver import schemas

_ROOT = pathlib.Path(__file__).resolve().parent.parent
_IMAGES = _ROOT / "docs" / "images"
_NUM_LAYERS, _WIDTH = 6, 128
# What is a fault; axe-core also tells of lesser ones.
_SERIOUS = ("serious", "critical")


def values(step: int) -> dict[str, Any]:
    """The variables of a small transformer at a step, with the slots of Adam."""
    random = np.random.default_rng(1)
    shapes: dict[str, tuple[int, ...]] = {"bert/embeddings/word_embeddings": (3000, _WIDTH)}
    for layer in range(_NUM_LAYERS):
        scope = f"bert/encoder/layer_{layer}"
        for name in ("query", "key", "value", "output/dense"):
            shapes[f"{scope}/attention/{name}/kernel"] = (_WIDTH, _WIDTH)
            shapes[f"{scope}/attention/{name}/bias"] = (_WIDTH,)
        shapes[f"{scope}/intermediate/kernel"], shapes[f"{scope}/output/kernel"] = (_WIDTH, 512), (512, _WIDTH)
    shapes["classifier/kernel"], shapes["classifier/bias"] = (_WIDTH, 3), (3,)
    found: dict[str, Any] = {"global_step": np.int64(step)}
    for place, (name, shape) in enumerate(shapes.items()):
        start = random.standard_normal(shape, dtype=np.float32) * 0.05
        moved = random.standard_normal(shape, dtype=np.float32) * 0.01 / (1 + place % 7)
        found[name] = start + moved * np.float32(step / 1000)
        if len(shape) == 2:
            found[f"{name}/Adam"], found[f"{name}/Adam_1"] = moved, moved**2
    return found


def saved_model() -> str:
    """The directory of a SavedModel of a few layers, made without TensorFlow."""
    graph = schemas.GraphDef(versions=schemas.VersionDef(producer=1395))
    number = schemas.AttrValue(type=schemas.DT_FLOAT)
    arrays: dict[str, Any] = {}

    def add(op: str, name: str, *inputs: str, **attrs: Any) -> str:
        graph.node.add(name=name, op=op, input=inputs, attr=attrs)
        return name

    def shape(*sizes: int) -> schemas.AttrValue:
        dims = [schemas.TensorShapeProto.Dim(size=size) for size in sizes]
        return schemas.AttrValue(shape=schemas.TensorShapeProto(dim=dims))

    def variable(name: str, *sizes: int) -> str:
        arrays[name] = np.full(sizes, 0.01, np.float32)
        return add("VariableV2", name, dtype=number, shape=shape(*sizes))

    last = add("Placeholder", "images", dtype=number, shape=shape(-1, 64))
    for scope in ("encoder/block_0", "encoder/block_1", "encoder/block_2", "head/logits"):
        width = 10 if scope.startswith("head") else 64
        kernel, bias = variable(f"{scope}/kernel", 64, width), variable(f"{scope}/bias", width)
        last = add("AddV2", f"{scope}/Add", add("MatMul", f"{scope}/MatMul", last, kernel, T=number), bias, T=number)
        if width == 64:
            last = add("Relu", f"{scope}/Relu", last, T=number)
    add("Softmax", "scores", last, T=number)
    meta_graph = schemas.MetaGraphDef(graph_def=graph)
    tfsaver.export_saved_model(meta_graph, "export", outputs=["scores"], variables=arrays, durable=False)
    return "export"


def terminal(path: pathlib.Path, columns: int, *arguments: str, folder: pathlib.Path) -> str:
    """Draws what a terminal shows as a page of HTML; returns its address."""
    ours, theirs = pty.openpty()
    changed = {"COLUMNS": str(columns), "PAGER": "cat", "TERM": "xterm-256color", "PYTHONPATH": str(_ROOT)}
    kept = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR", "LINES")}
    command = [sys.executable, "-m", "tfsaver", *arguments]
    process = subprocess.Popen(command, stdout=theirs, stderr=theirs, cwd=folder, env={**kept, **changed})
    os.close(theirs)
    shown = b""
    try:
        while chunk := os.read(ours, 65536):
            shown += chunk
    except OSError:
        # So Linux says that the last writer has gone.
        pass
    process.wait()
    console = Console(record=True, width=columns, file=io.StringIO(), force_terminal=True)
    console.print(Text(f"$ tfsaver {' '.join(arguments)}", "bold"))
    console.print(Text.from_ansi(shown.decode().replace("\r\n", "\n").rstrip("\n")), soft_wrap=True)
    style = "body{margin:0}pre{margin:0;padding:16px;display:inline-block;background:#fff;line-height:1.35;font-size:13px}"
    page = console.export_html(inline_styles=True)
    path.write_text(page.replace("<head>", f"<head><style>{style}</style>"), "utf-8")
    return path.as_uri()


def faults(page: Any, axe: str) -> list[str]:
    """The serious faults that axe-core finds in an open page."""
    page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    page.evaluate(axe)
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
    return [
        f"{each['id']}: {each['help']}: {json.dumps([node['target'] for node in each['nodes']][:3])}"
        for each in found
        if each["impact"] in _SERIOUS
    ]


def main() -> int:
    """Writes the pictures; 1 if axe-core finds a serious fault."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, default=_IMAGES, metavar="DIR", help="where to put the pictures")
    parser.add_argument("--site", type=pathlib.Path, default=_ROOT / "build" / "site", metavar="DIR", help="the built site")
    parser.add_argument("--axe", type=pathlib.Path, metavar="FILE", help="axe.min.js of axe-core")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    axe = None if options.axe is None else options.axe.read_text("utf-8")
    num_faults = 0
    with tempfile.TemporaryDirectory() as place, sync_api.sync_playwright() as playwright:
        folder = pathlib.Path(place)
        # The pictures show relative paths.
        os.chdir(folder)
        prefixes = [
            tfsaver.save_checkpoint(values(step), f"model.ckpt-{step}", num_shards=2, durable=False)
            for step in (1000, 2000, 3000)
        ]
        tfsaver.report(prefixes[-1], folder / "report.html", durable=False)
        tfsaver.report(prefixes, folder / "run.html", durable=False)
        tfsaver.report(saved_model(), folder / "saved_model.html", durable=False)
        pages = {name: (folder / f"{name}.html").as_uri() for name in ("report", "run", "saved_model")}
        if (options.site / "index.html").is_file():
            pages["site"] = (options.site / "index.html").as_uri()
        wide = ("inspect", "model.ckpt-3000", "--stats", "--select", "layer_0|classifier")
        shots = {
            "terminal": terminal(folder / "terminal.html", 80, "inspect", "model.ckpt-3000", "--limit", "12", folder=folder),
            "terminal-120": terminal(folder / "terminal-120.html", 120, *wide, folder=folder),
        }
        flags = ["--no-sandbox", "--allow-file-access-from-files"]
        browser = playwright.chromium.launch(executable_path=program, args=flags)
        # A page's own policy allows no script but its own.
        context = browser.new_context(viewport={"width": 1200, "height": 900}, bypass_csp=axe is not None)
        page = context.new_page()
        for name, address in {**pages, **shots}.items():
            page.goto(address)
            page.wait_for_timeout(500)
            target = options.out / f"{name}.png"
            section = {"run": "#updates", "saved_model": "#graph", **dict.fromkeys(shots, "pre")}.get(name)
            if section is None:
                page.screenshot(path=target)
            else:
                page.locator(section).screenshot(path=target)
            print(target)
            for scheme in ("light", "dark") if axe is not None and name in pages else ():
                page.emulate_media(color_scheme=scheme)
                for fault in faults(page, axe or ""):
                    num_faults += 1
                    print(f"{name}, {scheme}: {fault}", file=sys.stderr)
            page.emulate_media(color_scheme="light")
        browser.close()
    return 1 if num_faults else 0


if __name__ == "__main__":
    sys.exit(main())
