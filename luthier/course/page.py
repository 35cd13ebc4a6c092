"""A lesson with its outputs as one page: no other file, no address, readable on a phone and by keyboard.

lesson + outputs --page--> HTML        PDF by a headless Chromium where one is installed (`print_pdf`)
"""

from __future__ import annotations

import html
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from luthier.course.child import finished
from luthier.course.desk import UNSAID, Desk, said_of
from luthier.course.reading import asked_in
from luthier.course.recorded import Output
from luthier.course.source import Cell, Lesson
from luthier.errors import SettingsError

CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")
PRINT_SECONDS = 120.0
_NAMES = {"predict": "Predict", "dials": "Dials", "hole": "Fill this", "test": "Test", "question": "Question",
          "claim": "Claim"}  # fmt: skip
_STYLE = """
:root { color-scheme: light dark; --ink: #1a1a1a; --paper: #fff; --code: #f4f4f4; --line: #8a8a8a; --note: #4a4a4a;
  --bad: #a31515; }
@media (prefers-color-scheme: dark) { :root { --ink: #ececec; --paper: #161616; --code: #232323; --line: #9a9a9a;
  --note: #bdbdbd; --bad: #ff9c9c; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1rem; max-width: 68rem; color: var(--ink); background: var(--paper);
  font: 1.0625rem/1.55 system-ui, sans-serif; overflow-wrap: break-word; }
h1, h2, h3 { line-height: 1.25; }
pre, .wide, figure { overflow-x: auto; }
pre { margin: 0; padding: .6rem .8rem; background: var(--code); font: .875rem/1.45 ui-monospace, monospace; }
section { margin: 1rem 0; border-left: 3px solid var(--line); }
section.markdown { border: 0; }
section.markdown, figure, .tokens, .out > pre { max-width: 46rem; }
section > .kind { padding: .1rem .8rem; color: var(--note); font-size: .875rem; }
.out { padding: .4rem .8rem; }
.out pre { background: none; padding: 0; white-space: pre-wrap; }
.error pre { color: var(--bad); }
figure { margin: .3rem 0; }
figcaption { margin-bottom: .3rem; font-size: .9375rem; }
svg { display: block; }
/* A drawing without a width of its own. Charts of reports/plots.py have inks for white paper. */
figure > svg:not([width]) { width: 100%; min-width: 40rem; }
figure > svg[role=img] { background: #fff; }
table { border-collapse: collapse; font-size: .9375rem; font-variant-numeric: tabular-nums; }
th, td { padding: .15rem .7rem .15rem 0; text-align: right; border-bottom: 1px solid var(--line); }
th:first-child, td:first-child, .text { text-align: left; }
td { white-space: nowrap; }
td.text { min-width: 9rem; white-space: normal; overflow-wrap: anywhere; }
.tokens { line-height: 1.9; }
.token { display: inline-block; max-width: 100%; padding: 0 .15rem; border: 1px solid var(--line); border-radius: 3px;
  line-height: 1.4; white-space: pre-wrap; }
code { font-size: .9em; }
pre code { font-size: inherit; }
a, summary { color: inherit; }
:focus-visible { outline: 3px solid #d55e00; outline-offset: 2px; }
summary { padding: .3rem .8rem; cursor: pointer; font-size: .875rem; color: var(--note); }
@media print { body, section.markdown, figure, .tokens, .out > pre { max-width: none; }
  body { font-size: 11pt; } pre { white-space: pre-wrap; }
  section, figure, tr, .out { break-inside: avoid; } h1, h2, h3 { break-after: avoid; }
  .wide, figure, pre { overflow: visible; }
  svg, figure > svg:not([width]) { min-width: 0; max-width: 100%; height: auto; } }
"""


def page(lesson: Lesson, outputs: Sequence[Sequence[Output]], desk: Desk) -> str:
    """The lesson as learners get it, with outputs, as HTML. Questions have the numbers of this desk."""
    cells = "\n".join(
        _cell(cell, _own(cell, out, desk)) for cell, out in zip(lesson.for_learners().cells, outputs, strict=True)
    )
    return around(lesson.title, cells)


def around(title: str, body: str) -> str:
    """A whole page in the course's style. `body` is HTML, and `title` is text."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n{body}\n"
        "</main>\n</body>\n</html>\n"
    )


def _own(cell: Cell, outputs: Sequence[Output], desk: Desk) -> Sequence[Output]:
    """A cell's output as this desk has it. A lesson runs in an empty folder, so what is kept is of nobody."""
    if cell.has("question"):
        return [Output("text", desk.question(item).text) for item in asked_in(cell, "ask")]
    if cell.has("predict"):
        last = {line.get("item"): line.get("value") for line in desk.lines() if line.get("kind") == "prediction"}
        own = [Output("text", said_of(last[item])) for item in asked_in(cell, "predict") if last.get(item)]
        rest = [replace(one, text=one.text.replace(f"{UNSAID}\n", "")) for one in outputs]
        return [*own, *(one for one in rest if one.text)]
    return outputs


def _cell(cell: Cell, outputs: Sequence[Output]) -> str:
    if cell.markdown:
        return f'<section class="markdown">{markdown(cell.text)}</section>'
    kind = next((_NAMES[tag] for tag in cell.tags), "Run")
    code = f'<pre tabindex="0" role="region" aria-label="{kind}: code"><code>{html.escape(cell.text)}</code></pre>'
    if cell.has("claim"):
        code = f"<details><summary>{kind}: an assert holds it</summary>{code}</details>"
        kind = ""
    label = f'<div class="kind">{kind}</div>' if kind else ""
    return f"<section>{label}{code}{''.join(map(_output, outputs))}</section>"


def _output(output: Output) -> str:
    if output.kind == "html":
        return f'<div class="out">{output.text}</div>'
    return f'<div class="out {output.kind}"><pre tabindex="0">{html.escape(output.text)}</pre></div>'


def markdown(text: str) -> str:
    """HTML of a cell's text. HTML inside it is shown as it is written, and pictures are not loaded."""
    from markdown_it import MarkdownIt

    made = str(MarkdownIt("commonmark", {"html": False}).enable("table").disable("image").render(text))
    made = made.replace("<table>", '<div class="wide" tabindex="0"><table>').replace("</table>", "</table></div>")
    return made.replace("<pre>", '<pre tabindex="0">')


def print_pdf(page_file: Path, pdf: Path) -> None:
    """Prints a page by a headless Chromium. Raises SettingsError where none is installed or it fails."""
    browser = next((found for name in CHROMIUM if (found := shutil.which(name))), None)
    if browser is None:
        raise SettingsError(f"no Chromium is installed, which prints; open {page_file} and print it from your browser")
    with tempfile.TemporaryDirectory(prefix="luthier-print-") as profile:
        done = finished(
            [browser, "--headless", "--disable-gpu", "--no-sandbox", f"--user-data-dir={profile}",
             "--no-pdf-header-footer", f"--print-to-pdf={pdf.resolve()}", page_file.resolve().as_uri()],
            Path(profile), PRINT_SECONDS,
        )  # fmt: skip
    if not pdf.is_file():
        last = (done.err.strip().split("\n") or [""])[-1]
        raise SettingsError(
            f"{browser} printed nothing ({last[:200]}); open {page_file} and print it from your browser"
        )
