"""A sheet for a class: a page to print, with questions, room to write, and a QR code that opens each experiment.

It is one HTML file without scripts that asks nobody for anything. Every text on it is escaped, because questions and
links may come from a stranger's address. What the course says stands on a page of its own at the end, for after the
vote; whoever wants none prints without the last page.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from functools import lru_cache
from string import Template
from typing import NamedTuple

import segno

QR_AT_MOST = 2953  # bytes that a QR code can hold
LINES = 4  # to write on, under each question

PAGE = Template("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
@page { size: A4; margin: 16mm; }
body { max-width: 178mm; margin: 8mm auto; padding: 0 4mm; color: #000; background: #fff;
  font: 11.5pt/1.4 "Source Sans 3", system-ui, sans-serif; }
header, .task { display: grid; grid-template-columns: 1fr auto; column-gap: 6mm; align-items: start; }
h1 { margin: 0 0 2mm; font-size: 20pt; line-height: 1.2; }
h2 { margin: 0 0 1mm; font-size: 13pt; }
p { margin: 0 0 1.5mm; overflow-wrap: anywhere; }
.name { margin-top: 4mm; border-bottom: 0.3mm solid #000; max-width: 90mm; }
.task { padding: 4mm 0; border-top: 0.3mm solid #999; break-inside: avoid; }
.task > div { min-width: 0; }
.question { font-weight: 600; }
.line { height: 8mm; border-bottom: 0.2mm solid #999; }
.link { margin-top: 2mm; font-size: 8.5pt; color: #333; }
.qr { margin: 0; width: 30mm; }
.qr svg { display: block; width: 100%; height: auto; }
.said { break-before: page; }
.said li { margin-bottom: 2mm; }
@media print { body { max-width: none; margin: 0; padding: 0; } }
</style>
</head>
<body>
<header>
<div><h1>$title</h1><p>Predict first: write down what you expect. Then open the experiment and look.</p>
<p class="name">Name</p>$link</div>
$qr
</header>
<main>
$tasks
</main>
$said
</body>
</html>
""")

TASK = Template("""<section class="task">
<div><h2>$number. $title</h2><p class="question">$question</p>
$lines
<p class="link">$link</p></div>
$qr
</section>""")


class Task(NamedTuple):
    """An experiment on a sheet: what it is called, what is asked, the link that opens it, and what the course says of
    it, which is not to be read before."""

    title: str
    question: str
    link: str
    says: str = ""


def to_sheet(title: str, tasks: Sequence[Task], link: str) -> str:
    """The sheet as a page that needs nothing else; `link` opens the whole list."""
    tasks_ = "\n".join(
        TASK.substitute(
            number=number,
            title=html.escape(task.title),
            question=html.escape(task.question),
            lines='<div class="line"></div>' * LINES,
            link=html.escape(_short(task.link)),
            qr=_figure(task.link, f"QR code that opens experiment {number}"),
        )
        for number, task in enumerate(tasks, 1)
    )
    said = "".join(
        f'<li value="{number}">{html.escape(task.says)}</li>' for number, task in enumerate(tasks, 1) if task.says
    )
    return PAGE.substitute(
        title=html.escape(title),
        qr=_figure(link, "QR code that opens the whole list"),
        link="" if len(link.encode()) <= QR_AT_MOST else f'<p class="link">{html.escape(_short(link))}</p>',
        tasks=tasks_,
        said=f'<section class="said"><h2>What the course says</h2><ol>{said}</ol></section>' if said else "",
    )


@lru_cache(maxsize=64)
def qr(text: str) -> str:
    """A QR code as SVG, black on white with the margin that readers need. Raises ValueError for what none can hold."""
    size = len(text.encode())
    if size > QR_AT_MOST:
        raise ValueError(
            f"the link has {size:,} bytes, and a QR code holds at most {QR_AT_MOST:,}: hand out the link itself, or "
            "take an experiment away"
        )
    return segno.make(text, error="l", micro=False).svg_inline(light="#fff", border=4, omitsize=True)


def _figure(link: str, words: str) -> str:
    """A QR code, or nothing where the link is too long for one: there it stands in letters."""
    try:
        return f'<figure class="qr" role="img" aria-label="{html.escape(words)}">{qr(link)}</figure>'
    except ValueError:
        return "<span></span>"


def _short(link: str) -> str:
    """A link as people type it."""
    return link.removeprefix("https://").removeprefix("http://")
