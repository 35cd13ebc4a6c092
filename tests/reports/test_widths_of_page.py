"""No page scrolls sideways, at a desk or on a phone, and a text runs in the direction of its script; in a browser."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from luthier.reports.write import report
from tests.reports.made import made_examples, make_study

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
BROWSER = next((found for name in BROWSERS if (found := shutil.which(name))), None)
ARABIC = "القارئ: هل يمكن تمديد استعارة كتاب الفضاء؟"
MEASURE = """<script>
const wide = document.documentElement, values = [...document.querySelectorAll('.answers .value')];
const found = {client: wide.clientWidth, scroll: wide.scrollWidth,
  directions: [...document.querySelectorAll('.text[dir]')].map(e => getComputedStyle(e).direction),
  lines: Math.max(...values.map(e => Math.round(e.offsetHeight / parseFloat(getComputedStyle(e).lineHeight))))};
const out = document.createElement('p'); out.id = 'found'; out.textContent = JSON.stringify(found);
document.body.append(out);
</script></body>"""


def measured(page: Path, width: int, folder: Path) -> dict:
    """What a browser says of the page in a window of this width. The page's policy allows no script, so a copy without
    it, with everything unfolded, is looked at."""
    text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page.read_text(encoding="utf-8"))
    text = text.replace("<details", "<details open").replace("</body>", MEASURE)
    (folder / "page.html").write_text(text, encoding="utf-8")
    frame = f"<iframe id=f src=page.html style='border:0;width:{width}px;height:900px'></iframe>"
    said = "<script>f.onload=()=>document.body.append(f.contentDocument.getElementById('found').textContent)</script>"
    (folder / "frame.html").write_text(f"<body style='margin:0'>{frame}{said}")
    options = [
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--allow-file-access-from-files",
        "--dump-dom",
        "--hide-scrollbars",
    ]
    command = [str(BROWSER), *options, f"--user-data-dir={folder / 'user'}", "--virtual-time-budget=5000"]
    done = subprocess.run(
        [*command, (folder / "frame.html").as_uri()], capture_output=True, text=True, check=True, timeout=300
    )
    found = re.search(r'\{"client".*?\}', html.unescape(done.stdout))
    assert found, done.stdout[-500:]
    return dict(json.loads(found[0]))


@pytest.mark.skipif(BROWSER is None, reason=f"none of {', '.join(BROWSERS)} is installed: no page can be looked at")
@pytest.mark.parametrize("width", [1280, 390])
def test_a_page_fits_its_window_and_shows_arabic_from_the_right(width: int, tmp_path: Path) -> None:
    examples = made_examples(4)
    examples[0] = replace(examples[0], input=ARABIC)
    study = make_study(tmp_path / "study", {"zero-shot": 0.5, "few-shot-2+max_new_tokens=20+seed=3": 0.4}, examples)
    found = measured(report(study), width, tmp_path)
    assert (found["client"], found["scroll"]) == (width, width)
    assert "rtl" in found["directions"] and "ltr" in found["directions"]
    assert found["lines"] == 1, "a value is not broken into lines"
