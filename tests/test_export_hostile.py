"""What a visitor typed stays text in whatever leaves the app: no markup, no code, no formula of a spreadsheet.

The payloads travel by the visitor's own roads: the names of columns and classes in a file, a formula, an address. Pages
and pictures are then opened in real Chromium, where a script that ran would leave a trace, and a request would be seen.
"""

import ast
import csv
import io
import json
import re
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest

from browsing import saved
from optviz.csv_table import read_csv
from optviz.experiment import Experiment, Pick, Racer, run
from optviz.export import (
    FLAVOURS,
    Made,
    history_to_csv,
    history_to_json,
    race_shown,
    race_table,
    shown_to_gif,
    shown_to_html,
    table_to_csv,
    tables_to_json,
    to_notebook,
    to_python,
    training_shown,
    walk_to_html,
)
from optviz.export.measured import losses_table
from optviz.export.table import Column, Table
from optviz.stability import Stability, measure
from optviz.surfaces import own_key
from optviz.training import Configuration, Net, Own, Training, advance, begin
from optviz.ui.presets import TWO_PATHS

RUN = "globalThis.broken = 1"
PAYLOADS = (
    f"</script><script>{RUN}</script>",
    f"<img src=http://evil.example/x.png onerror={RUN}>",
    f'<a href="javascript:{RUN}">x</a>',
    '<a href="http://evil.example">x</a><style>@import "http://evil.example/x.css"</style>',
    f"]]><svg onload={RUN}>",
    '=HYPERLINK("http://evil.example";"x")',
    "&lt;script&gt;${" + RUN + "}`",
)
LINK = f"http://127.0.0.1/training?v=1&x={PAYLOADS[0]}{PAYLOADS[1]}\r\n=SUM(A1)\u2028{PAYLOADS[2]}"
MADE = Made("Training", LINK, "2026-01-31", "JAX 0.0")
SPREAD = ("=", "+", "-", "@", "\t", "\r")


def own(columns: int, classes: bool = True) -> Training:
    """A training on a file whose names are payloads, all of them in a file of three columns or more."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(48, columns))
    names = [PAYLOADS[i % len(PAYLOADS)] + " " * (i // len(PAYLOADS)) + str(i) for i in range(columns)]
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow([*names, PAYLOADS[5]])
    for i, row in enumerate(x):
        writer.writerow([*(f"{value:.3f}" for value in row), PAYLOADS[i % 4] if classes else f"{row.sum():.4f}"])
    table = read_csv(text.getvalue(), name=PAYLOADS[1])
    assert set(table.classes) == (set(PAYLOADS[:4]) if classes else set())
    assert PAYLOADS[0] in table.features[0]
    net = Net(hidden=(4,), loss="cross_entropy" if classes else "squared_error")
    racers = (Racer(Pick("adam", {"lr": 0.02})), Racer(Pick("sgd", {"lr": 0.02})))
    return Training(Own(table, PAYLOADS[1]), tuple(Configuration(net, racer) for racer in racers), epochs=2)


def trained(training: Training):
    return training, advance(training, begin(training), training.steps)


@pytest.fixture(scope="module")
def tables() -> dict:
    """A training for each way in which names are shown: axes, an axis, a matrix of classes."""
    return {"plane": trained(own(2)), "line": trained(own(1, classes=False)), "classes": trained(own(7))}


FORMULA = own_key("x^2 + 10y^2 + abs(x)*max(y, 0)")
RACE = Experiment(Pick(FORMULA), (Racer(Pick("adam", {"lr": 0.05})), Racer(Pick("sgd", {"lr": 0.01}))), steps=20)


def pages(tables: dict) -> dict[str, str]:
    """Every kind of page, with the payloads wherever its data have room for them."""
    found = {name: shown_to_html(training_shown(*one), link=LINK) for name, one in tables.items()}
    labelled = [one._replace(label=PAYLOADS[i]) for i, one in enumerate(run(RACE))]  # as if a visitor wrote them
    found["race"] = shown_to_html(race_shown(RACE, labelled), link=LINK)
    found["walk"] = walk_to_html(TWO_PATHS, link=LINK)
    return found


LEGAL = {"html", "head", "meta", "title", "style", "body", "h1", "main", "footer", "br", "script"}


def test_no_page_runs_what_a_visitor_typed(context, tmp_path, tables):
    """Neither as it opens, nor as the pointer goes over it, nor in a picture that is saved from it."""
    for name, text in pages(tables).items():
        file = tmp_path / f"{name}.html"
        file.write_text(text, encoding="utf-8")
        static = re.sub(r"<(script|style)\b.*?</\1>", r"<\1>", text, flags=re.DOTALL)
        assert set(re.findall(r"<([a-z0-9]+)", static)) <= LEGAL, name
        page, seen = context.new_page(), []
        page.on("pageerror", lambda error, seen=seen: seen.append(f"error: {error}"))
        page.on("dialog", lambda dialog, seen=seen: (seen.append(dialog.message), dialog.dismiss()))
        page.on("request", lambda one, seen=seen: seen.append(one.url))
        page.goto(file.as_uri())
        page.wait_for_selector("[data-ready=true]")
        for plot in page.locator(".oz-plot, .oz-walk-graph").all():
            box = plot.bounding_box()
            for share in (0.3, 0.5, 0.7):  # whatever is hovered tells its name
                page.mouse.move(box["x"] + share * box["width"], box["y"] + share * box["height"])
        assert page.evaluate("globalThis.broken ?? 0") == 0, name
        assert page.locator("main a, main img, main iframe, main script, main style").count() == 0, name
        outside = [url for url in seen if not url.startswith(("data:", "blob:", file.as_uri()))]
        assert outside == [], name
        label = page.locator(".oz-save summary").first.get_attribute("aria-label")
        picture, _ = saved(page, label.removeprefix("Save picture: "), "SVG")
        page.close()
        inert(picture, name)


def inert(picture: bytes, name: str) -> None:
    """A picture without scripts, without handlers, and without anything from elsewhere."""
    for node in ElementTree.fromstring(picture).iter():
        tag = node.tag.rpartition("}")[2]
        assert tag not in ("script", "foreignObject", "a", "iframe", "set", "animate"), (name, tag)
        for attribute, value in node.attrib.items():
            kind = attribute.rpartition("}")[2]
            assert not kind.startswith("on"), (name, attribute)
            if kind == "href":
                assert value.startswith(("#", "data:image/png")), (name, value)
        style = node.get("style") or ""
        assert "http" not in style, (name, style)


def test_names_that_are_shown_are_shown_as_they_are(context, tmp_path, tables):
    """The page is not safe because it shows nothing: the names stand there, letter by letter."""
    file = tmp_path / "classes.html"
    file.write_text(shown_to_html(training_shown(*tables["classes"])), encoding="utf-8")
    page = context.new_page()
    page.goto(file.as_uri())
    page.wait_for_selector("[data-ready=true]")
    shown = page.locator(".oz-plot .ytick text, .oz-plot .xtick text").all_text_contents()
    page.close()
    assert {PAYLOADS[0], PAYLOADS[1], PAYLOADS[2]} <= {text.replace("\xa0", " ") for text in shown}


def test_an_animation_takes_any_name(tables):
    for training, progress in tables.values():
        assert shown_to_gif(training_shown(training, progress, film=True), frames=2, link=LINK).startswith(b"GIF89a")


def test_no_table_has_a_formula(tables):
    """Not in a cell, not in a name, and not in the lines before."""
    training, progress = tables["classes"]
    wild = Table(PAYLOADS[5], tuple(Column(name, list(PAYLOADS), name, name) for name in PAYLOADS))
    (one, _) = run(RACE)
    texts = [
        table_to_csv(wild, MADE),
        table_to_csv(wild),
        history_to_csv(training, progress, names=(PAYLOADS[5], "-1"), made=MADE),
        table_to_csv(race_table(RACE, [one._replace(label=PAYLOADS[5])]), MADE),
        table_to_csv(losses_table(measure(Stability(replace(RACE, racers=RACE.racers[1:]), rates=(0.01,)))), MADE),
    ]
    for text in texts:
        lines = text.splitlines(keepends=True)
        begun = next(i for i, line in enumerate(lines) if not line.startswith("#"))
        assert all(not line.startswith("#") for line in lines[begun:])
        for row in csv.reader(io.StringIO("".join(lines[begun:]), newline="")):
            for cell in row:
                assert not cell.startswith(SPREAD) or re.fullmatch(r"-?(inf|nan|[\d.]+(e[+-]\d+)?)", cell), cell


def test_json_and_notebooks_keep_texts_as_texts(tables):
    training, progress = tables["classes"]
    read = json.loads(history_to_json(training, progress, names=PAYLOADS[:2], made=MADE))
    assert [one["name"] for one in read["configurations"]] == [*PAYLOADS[:2]]
    assert read["link"] == LINK
    assert not any(name in json.dumps(read["data"]) for name in PAYLOADS)  # a file of one's own stays one's own
    wild = Table("t", (Column(PAYLOADS[0], list(PAYLOADS)),))
    assert json.loads(tables_to_json([wild], MADE))["tables"][0]["columns"][0]["values"] == list(PAYLOADS)
    for shown in (RACE, training):
        for flavour in FLAVOURS:
            cells = json.loads(to_notebook(shown, flavour, link=LINK, names=()))["cells"]
            prose = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
            fenced = prose.split("```")
            assert "<" not in "".join(fenced[::2])
            assert len(fenced) == 3


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_no_script_holds_what_it_was_not_told_to_do(tables, flavour):
    """With an address and a file of payloads it is the script that it would be without."""
    training, _ = tables["classes"]
    assert isinstance(training.dataset, Own)
    harmless = training.dataset.table._replace(features=tuple("abcdefg"), classes=("a", "b", "c", "d"))
    clean = to_python(replace(training, dataset=Own(harmless, "mine")), flavour)
    dirty = to_python(training, flavour, link=LINK)
    assert ast.dump(ast.parse(dirty)) == ast.dump(ast.parse(clean))
    assert "evil" not in re.sub(r"^#.*$", "", dirty, flags=re.MULTILINE)
