"""A page holds what the lesson says, prints and shows, and nothing of another address."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from luthier.course.page import CHROMIUM, markdown, page, print_pdf
from luthier.course.recorded import from_json, recorded, to_json
from luthier.course.source import parse

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
    made = page(LESSON, recorded(LESSON))
    assert not re.search(r"""(src|url|@import|<link[^>]*href)\s*[=(]?\s*["']?https?:""", made)
    assert "2 * x" not in made and "write this function" in made and "double: twice" in made
    assert "&lt;b&gt;signs" in made and "<strong>weight</strong>" in made and "<img" not in made and "<table>" in made
    sizes = [float(size) for size in re.findall(r"font(?:-size)?:\s*([\d.]+)rem", made)]
    assert min(sizes) * 16 >= 13 and 'name="viewport"' in made and 'lang="en"' in made


def test_markdown_shows_html_as_it_is_written() -> None:
    assert "<script>" not in markdown("<script>alert(1)</script>") and "&lt;script&gt;" in markdown("<script>")


@pytest.mark.skipif(not any(map(shutil.which, CHROMIUM)), reason="no Chromium is installed, which prints")
@pytest.mark.slow
def test_a_page_is_printed(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text(page(LESSON, recorded(LESSON)), encoding="utf-8")
    print_pdf(tmp_path / "page.html", tmp_path / "page.pdf")
    assert (tmp_path / "page.pdf").read_bytes().startswith(b"%PDF")
