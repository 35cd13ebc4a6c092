"""A page holds what the lesson says, prints and shows, and nothing of another address."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from luthier.course import deck
from luthier.course.desk import UNSAID, Desk
from luthier.course.page import CHROMIUM, markdown, page, print_pdf
from luthier.course.recorded import Output, from_json, recorded, to_json
from luthier.course.source import parse

EVERY = [
    pytest.param(row, id=f"{row.id}-")
    for row in {row.lesson: row for row in reversed(deck.rows()) if row.done}.values()
]
NOBODY = Desk("", "nobody")
LESSON = parse(
    """# %% [markdown]
# # 9.9 A lesson
#
# Text with <b>signs</b>, **weight**, and ![a picture](https://example.org/x.png).
#
# | a | b |
# |---|---|
# | 1 | 2 |

# %%
from luthier.course.shown import bars, show
print("before")
show(bars("Sizes", [("one", 1.0)], "GB"))
print("after")
show(None)
show(12)

# %% tags=["hole"]
def double(x):
    ### BEGIN SOLUTION
    return 2 * x
    ### END SOLUTION

# %% tags=["test"]
assert double(1) == 3, "double: twice"

# %% tags=["claim"]
assert double(2) == 4

# %%
raise ValueError("here it ends")

# %%
print("never")
""",
    "lesson",
)


def test_outputs_stand_in_order_and_a_failed_test_does_not_end_the_lesson() -> None:
    outputs = recorded(LESSON)
    assert [(one.kind, one.text[:6], one.words) for one in outputs[1]] == [
        ("text", "before", ""), ("html", "<figur", "Sizes: one 1 GB."), ("text", "after\n", ""),
    ]  # fmt: skip
    assert outputs[1][2].text == "after\n12\n"
    assert [[one.text for one in cell] for cell in outputs[2:]] == [
        [], ["AssertionError: double: twice"], [], ["ValueError: here it ends"], [],
    ]  # fmt: skip
    assert from_json(to_json(outputs)) == outputs
    with pytest.raises(ValueError, match="no outputs"):
        from_json("[[{}]]")


def test_a_page_names_no_address_and_holds_no_solution() -> None:
    made = page(LESSON, recorded(LESSON), NOBODY)
    assert not re.search(r"""(src|url|@import|<link[^>]*href)\s*[=(]?\s*["']?https?:""", made)
    assert "2 * x" not in made and "write this function" in made and "double: twice" in made
    assert "&lt;b&gt;signs" in made and "<strong>weight</strong>" in made and "<img" not in made and "<table>" in made
    sizes = [float(size) for size in re.findall(r"font(?:-size)?:\s*([\d.]+)rem", made)]
    assert min(sizes) * 16 >= 13 and 'name="viewport"' in made and 'lang="en"' in made


def test_a_page_asks_with_the_numbers_of_its_learner() -> None:
    lesson = parse('# %% [markdown]\n# # 9.9\n\n# %% tags=["question"]\nask("1.18/memory")\n', "lesson")
    ann, ben = Desk("salt", "ann"), Desk("salt", "ben")
    made = page(lesson, [[], [Output("text", ben.question("1.18/memory").text)]], ann)
    assert html.escape(ann.question("1.18/memory").text) in made
    assert html.escape(ben.question("1.18/memory").text) not in made


def test_a_page_shows_what_its_learner_expects_and_of_others_nothing(tmp_path: Path) -> None:
    lesson = parse(
        '# %% [markdown]\n# # 9.9\n\n# %% tags=["predict"]\npredict("9.9/a", None)\npredict("9.9/b", None)\n', "lesson"
    )
    kept = [[], [Output("text", f"{UNSAID}\n{UNSAID}\n")]]
    ann = Desk("salt", "ann", tmp_path)
    assert UNSAID not in page(lesson, kept, ann)
    for value in ("three", "four"):
        ann.keep(kind="prediction", item="9.9/a", value=value)
    made = page(lesson, kept, ann)
    assert "You expect four." in made and "three" not in made and UNSAID not in made
    also = [[], [Output("text", f"{UNSAID}\nseen\n")]]
    assert "seen" in (made := page(lesson, also, ann)) and UNSAID not in made, "what else the cell shows stays"


def test_markdown_shows_html_as_it_is_written() -> None:
    assert "<script>" not in markdown("<script>alert(1)</script>") and "&lt;script&gt;" in markdown("<script>")


BROWSER = next(filter(None, map(shutil.which, CHROMIUM)), None)
needs_browser = pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed, which measures and prints")
# Run in the browser, over every element that has text of its own, in a frame as wide as a phone.
MEASURE = """
const f = document.getElementById("f"), d = f.contentDocument, w = f.contentWindow;
const rgb = s => (s.match(/[\\d.]+/g) || [255, 255, 255]).map(Number);
const light = c => { const [r, g, b] = c.map(v => (v /= 255) <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
  return .2126 * r + .7152 * g + .0722 * b; };
const behind = e => { const layers = [];
  for (; e; e = e.parentElement) { const c = rgb(w.getComputedStyle(e).backgroundColor); const a = c[3] ?? 1;
    if (a) layers.push([c, a]); if (a === 1) break; }
  return layers.reverse().reduce((under, [c, a]) => under.map((v, i) => c[i] * a + v * (1 - a)), [255, 255, 255]); };
let font = 99, contrast = 99, worst = "";
for (const e of d.body.querySelectorAll("*")) {
  if (![...e.childNodes].some(n => n.nodeType === 3 && n.data.trim()) || e.tagName === "STYLE") continue;
  if (e.namespaceURI.endsWith("svg") && e.tagName !== "text") continue;
  const s = w.getComputedStyle(e), m = e.tagName === "text" ? e.getScreenCTM() : { a: 1, b: 0 };
  const scale = Math.hypot(m.a, m.b);
  font = Math.min(font, parseFloat(s.fontSize) * scale);
  const ink = light(rgb(e.tagName === "text" ? s.fill : s.color).slice(0, 3)), paper = light(behind(e));
  const ratio = (Math.max(ink, paper) + .05) / (Math.min(ink, paper) + .05);
  if (ratio < contrast) { contrast = ratio; worst = e.textContent.slice(0, 40); }
}
const unreached = [...d.querySelectorAll("pre, .wide, figure")].filter(
  e => e.scrollWidth > e.clientWidth + 1 && e.tabIndex < 0).length;
document.body.textContent = "MEASURED" + JSON.stringify({ wide: d.documentElement.scrollWidth, font, contrast, worst,
  unreached, fetched: w.performance.getEntriesByType("resource").length }) + "MEASURED";
"""


def measured(made: str, folder: Path, scheme: int) -> dict[str, Any]:
    """What a browser says of a page that is 390 pixels wide, in dark colours (scheme 0) or light ones (1)."""
    frame = f'<iframe id="f" width="390" height="800" style="border:0" srcdoc="{html.escape(made)}"></iframe>'
    (folder / "measure.html").write_text(
        f"<!doctype html><meta charset=utf-8>{frame}<script>onload = () => {{ {MEASURE} }}</script>", encoding="utf-8"
    )
    asked = [str(BROWSER), "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder / 'profile'}",
             f"--blink-settings=preferredColorScheme={scheme}", "--dump-dom",
             (folder / "measure.html").as_uri()]  # fmt: skip
    done = subprocess.run(asked, capture_output=True, text=True, timeout=120)
    return dict(json.loads(html.unescape(done.stdout.split("MEASURED")[1])))


def assert_readable(made: str, folder: Path) -> None:
    light, dark = measured(made, folder, 1), measured(made, folder, 0)
    assert light["contrast"] != dark["contrast"]  # the page has colours for both
    for said in (light, dark):
        assert said["wide"] <= 390, said
        assert said["font"] >= 13 and said["contrast"] >= 4.5, said
        assert said["unreached"] == said["fetched"] == 0, said


@needs_browser
@pytest.mark.slow
def test_a_page_is_read_on_a_phone_and_printed(tmp_path: Path) -> None:
    made = page(LESSON, recorded(LESSON), NOBODY)
    assert_readable(made, tmp_path)
    (tmp_path / "page.html").write_text(made, encoding="utf-8")
    print_pdf(tmp_path / "page.html", tmp_path / "page.pdf")
    assert (tmp_path / "page.pdf").read_bytes().startswith(b"%PDF")


@needs_browser
@pytest.mark.course
@pytest.mark.parametrize("row", EVERY)
def test_every_lesson_s_page_is_read_on_a_phone(row: deck.Row, tmp_path: Path) -> None:
    lesson = deck.lesson_of(row)
    outputs = recorded(lesson)
    assert [one.text for cell in outputs for one in cell if one.kind == "error"] == []
    assert_readable(page(lesson, outputs, NOBODY), tmp_path)
