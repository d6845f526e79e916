"""One HTML file that works offline: the app's own scripts, their records and plotly.js, all in the file.

What the app's stage plays, plays in it, a walk is stepped through, and charts are as they stood. The page asks nothing
of anybody: there is no server to ask for another start, so a click on the surface and the drag of a hyperparameter are
switched off. What is played, scrubbed, zoomed, hidden and saved as a picture works as in the app.
"""

from __future__ import annotations

import html
import json
from collections.abc import Sequence
from string import Template
from typing import Any

from optviz.backprop import Example
from optviz.experiment import Experiment, Run
from optviz.export.shown import MADE, Shown, race_shown
from optviz.figures import chart, walk
from optviz.figures.plotly import plotly_script
from optviz.figures.stage import script, style
from optviz.figures.theme import HUES

PAGE = Template("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
:root {
  color-scheme: light dark;
  --st-text-color: #31333f;
  --st-background-color: #ffffff;
  --st-secondary-background-color: #f0f2f6;
  --st-primary-color: #0b6e99;
  --st-red-text-color: $red;
  --st-base-font-size: 16px;
  --st-base-radius: 0.5rem;
  --st-font: "Source Sans 3", system-ui, sans-serif;
}
@media (prefers-color-scheme: dark) {
  :root {
    --st-text-color: #fafafa;
    --st-background-color: #0e1117;
    --st-secondary-background-color: #262730;
    --st-primary-color: #4db3e6;
  }
}
body {
  max-width: 1500px;
  margin: 0 auto;
  padding: 1rem clamp(1rem, 2.5vw, 3rem) 2rem;
  background: var(--st-background-color);
  color: var(--st-text-color);
  font-family: var(--st-font);
}
h1 {
  margin: 0 0 0.75rem;
  font-size: 1.5rem;
}
footer {
  margin-top: 1.25rem;
  font-size: 0.9rem;
  line-height: 1.5;
  opacity: 0.8;
  overflow-wrap: anywhere;
}
$style
main ul {
  display: flex;
  flex-wrap: wrap;
  gap: 0.25rem 1.25rem;
  margin: 0.5rem 0 1.5rem;
  padding: 0;
  list-style: none;
}
main li svg {
  margin-right: 0.4em;
  vertical-align: -0.3em;
}
.oz-legend {
  grid-template-columns: repeat(auto-fill, minmax(15rem, 1fr)); /* the reader's own font may be a wide one */
}
.oz-keys :is(dt, dd):is(:nth-of-type(4), :nth-of-type(5)) {
  display: none; /* the keys that move the start: here it stays where it is */
}
</style>
</head>
<body>
<h1>$title</h1>
<main></main>
<footer>$caption</footer>
<script type="application/json" id="record">$record</script>
<script>$plotly</script>
<script type="module">
$script
const record = JSON.parse(document.getElementById("record").textContent);
const main = document.querySelector("main");
const bytes = (value) => new TextEncoder().encode(JSON.stringify(value)); // as the server sends it
$fill
fill();
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", fill);
</script>
</body>
</html>
""")


STAGE = "const fill = () => show({ data: record, parentElement: main, setTriggerValue() {} });"
WALK = """main.innerHTML = '<div class="oz-walk"></div>';
const choose = (_, name) => { record.chain = record.chains[name]; fill(); };
const fill = () => showWalk({ data: bytes(record), parentElement: main, setTriggerValue: choose });"""
CHARTS = """const places = record.map(({ title, key }) => {
  const section = main.appendChild(document.createElement("section"));
  if (title) section.appendChild(document.createElement("h2")).textContent = title;
  const place = section.appendChild(document.createElement("div"));
  place.innerHTML = '<div class="oz-chart"></div>';
  const list = key?.length ? section.appendChild(document.createElement("ul")) : null;
  for (const entry of key ?? []) {
    const item = list.appendChild(document.createElement("li"));
    const swatch = keySwatch(entry, { frame: "currentColor" });
    item.innerHTML = `<svg width="40" height="20" aria-hidden="true">${swatch}</svg>`;
    item.append(entry.words);
  }
  return place;
});
const shown = (one, i) => showChart({ data: bytes(one), parentElement: places[i], setTriggerValue() {} });
const fill = () => record.forEach(shown);"""


def to_html(experiment: Experiment, runs: Sequence[Run], *, link: str = "") -> str:
    """The race as a page that needs nothing else; `link` is the address that opens the experiment in the app."""
    return shown_to_html(race_shown(experiment, runs), link=link)


def shown_to_html(shown: Shown, *, link: str = "") -> str:
    """The same of whatever the stage shows."""
    record = {**_unasking(shown.record), "plotly": []}
    return _page(shown.title, [*shown.facts, *_live(link)], record, style(), script(), STAGE)


def walk_to_html(example: Example, *, link: str = "") -> str:
    """A backpropagation walk as a page, with the chain to every weight and bias: any of them can be chosen there."""
    record = {**walk.record(example), "chains": walk.every_chain(example)}
    *hidden, outputs = example.widths
    layers = (
        f"Inputs: {len(example.inputs)}; hidden layers: {', '.join(map(str, hidden)) or 'none'}; outputs: {outputs}"
    )
    facts = [f"{layers}; activation: {example.activation}; loss: {example.loss}.", f"{MADE}."]
    title = "Backpropagation, one node at a time"
    return _page(title, [*facts, *_live(link)], record, style() + walk.style(), walk.script(), WALK)


def charts_to_html(title: str, charts: Sequence[dict[str, Any]], *, link: str = "") -> str:
    """Charts, one below the other, as a page that needs nothing else. Each is a record as `chart.js` describes it; what
    it is, if there are several, is its "title"."""
    records = [{**record, "plotly": []} for record in charts]
    return _page(title, [f"{MADE}.", *_live(link)], records, style() + chart.style(), chart.script(), CHARTS)


def _page(title: str, caption: Sequence[str], record: Any, style: str, script: str, fill: str) -> str:
    return PAGE.substitute(
        title=html.escape(title),
        caption="<br>".join(map(html.escape, caption)),
        record=_json(record),
        plotly=plotly_script(),
        red=HUES["red"],
        style=style,
        script=script,
        fill=fill,
    )


def _live(link: str) -> list[str]:
    return [f"Live in the app: {link}"] if link else []


def _unasking(record: dict[str, Any]) -> dict[str, Any]:
    """The record without what would ask a server."""
    panels = [{**panel, "click": False, "handles": None} for panel in record["panels"]]
    return {**record, "drag": None, "live": None, "panels": panels}


def _json(record: Any) -> str:
    """JSON that cannot end the script element it is in, whatever its texts are."""
    return json.dumps(record, separators=(",", ":")).replace("<", "\\u003c")
