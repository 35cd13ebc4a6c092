"""The report: a page that opens offline, says the decision, survives what users write, and never guesses."""

from __future__ import annotations

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from luthier.errors import FolderError
from luthier.files import read_json, read_lines, write_json, write_lines
from luthier.records import Example
from luthier.reports.write import report
from tests import records
from tests.reports.made import changed, made_examples, make_study

EVIL = "<script>alert('answer')</script> & <b>bold</b>"


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Path:
    """One whole study with its report, which tests read and do not change."""
    path = make_study(tmp_path_factory.mktemp("study"))
    report(path)
    return path


def page_of(path: Path) -> str:
    return report(path).read_text(encoding="utf-8")


class Outline(HTMLParser):
    """Collects tags, ids, links and loose text; a page is well formed when every tag closes in order."""

    VOID = frozenset(("meta", "br", "wbr", "link", "img", "hr", "input"))

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict]] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, f"</{tag}> closes something else"

    def all(self, attribute: str) -> list[str]:
        return [attrs[attribute] for _, attrs in self.tags if attribute in attrs]


# ------------------------------------------------------------------------------------------------------------- page


def test_the_decision_is_on_the_page_and_in_the_text(study):
    sentence = read_json(study / "compare.json")["ship"]["sentence"]
    assert sentence.startswith("Ship lora")
    assert f"<h1>{sentence}</h1>" in (study / "report.html").read_text().replace("\u00a0", " ")
    assert f"**{sentence}**" in (study / "report.md").read_text()


def test_the_page_is_well_formed_and_needs_nothing_from_outside(study):
    text = (study / "report.html").read_text()
    outline = Outline(text)
    assert outline.open == []
    ids = outline.all("id")
    assert len(ids) == len(set(ids)), "an id stands twice"
    links = outline.all("href") + outline.all("xlink:href")
    inside = [link for link in links if not link.startswith("data:text/csv;charset=utf-8;base64,")]
    assert all(link.startswith("#") and link[1:] in ids for link in inside)
    assert not {tag for tag, _ in outline.tags} & {"script", "link", "img", "iframe", "object", "base"}
    assert "src=" not in text and "@import" not in text
    assert "default-src 'none'" in text
    assert not re.search(r"url\((?!#)", text)


def test_control_characters_of_an_answer_are_shown_and_not_written(tmp_path):
    folder = make_study(tmp_path / "study")
    path = next(folder.glob("arms/*/answers.jsonl"))
    rows = list(read_lines(path))
    write_lines(path, [row | {"text": "one\x00two\x1bthree"} for row in rows])
    report(folder)
    for name in ("report.html", "report.md"):
        text = (folder / name).read_text(encoding="utf-8")
        assert not set(text) & {chr(code) for code in range(32) if chr(code) not in "\t\n\r"}
    assert "one\u2400two\u241bthree" in page_of(folder)


def test_figures_say_what_they_show(study):
    figures = [attrs for tag, attrs in Outline((study / "report.html").read_text()).tags if attrs.get("role") == "img"]
    labels = [attrs["aria-label"] for attrs in figures]
    assert len(labels) == 5 and any(label.startswith("Mean rouge1 by arm") and "lora 0." in label for label in labels)


def test_every_section_is_there(study):
    ids = Outline((study / "report.html").read_text()).all("id")
    for section in ("pairs", "metrics", "cost", "training", "length", "power", "examples", "prompts", "data", "again"):
        assert section in ids


def test_two_runs_give_equal_bytes(study):
    before = [(study / name).read_bytes() for name in ("report.html", "report.md")]
    report(study)
    assert before == [(study / name).read_bytes() for name in ("report.html", "report.md")]


def test_what_was_cut_is_told(study):
    text = (study / "report.md").read_text()
    assert "| lora | 40 | 1 | 17 | 2 |" in text
    assert "2 control characters became spaces" in text and "row 3 repeats row 1" in text
    assert "this one included: 2" in text


def test_the_command_is_shown_as_it_was_given(study):
    assert "    luthier study dialogues --arms 'zero-shot,lora'\n" in (study / "report.md").read_text()


def test_report_never_imports_torch(study):
    code = (
        f"import sys; from luthier.reports.write import report; from pathlib import Path; report(Path({str(study)!r}))"
    )
    code += "; assert not {'torch', 'transformers', 'matplotlib.pyplot'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


# ------------------------------------------------------------------------------------------------- what users write


def test_nothing_a_user_writes_becomes_markup(tmp_path):
    examples = [
        Example(f"d{i}", f"A: {EVIL}\nB: $x_1$ 日本", (f"{EVIL} reference one two", "three four five"))
        for i in range(25)
    ]
    evil_arm = "<i>arm|$a^b$"
    path = make_study(tmp_path, {"zero-shot": 0.5, evil_arm: 0.7}, examples)
    answers = [row | {"text": EVIL} for row in read_lines(path / "arms" / evil_arm / "answers.jsonl")]
    write_lines(path / "arms" / evil_arm / "answers.jsonl", answers)
    records.study_record(
        ["zero-shot", evil_arm],
        task={"name": EVIL, "description": EVIL, "templates": {EVIL: EVIL}, "notes": [EVIL]},
        command=EVIL + "\n# heading",
        health=[{"level": "note", "text": EVIL, "file": None, "row": None}],
    ).write(path)
    text = page_of(path)
    assert "<script" not in text and "<b>bold" not in text and "<i>arm" not in text
    assert "&lt;script&gt;" in text
    assert Outline(text).open == []
    markdown = (path / "report.md").read_text()
    assert "&lt;i&gt;arm\\|$a^b$" in markdown
    outside_code = "\n".join(line for line in markdown.splitlines() if not line.startswith("    "))
    assert "<script" not in outside_code and "\n# heading" not in markdown


# ---------------------------------------------------------------------------------------------- studies that lack much


def test_one_arm_has_nothing_to_be_compared_with(tmp_path):
    text = page_of(make_study(tmp_path, {"zero-shot": 0.5}))
    assert "has nothing to be compared with" in text and Outline(text).open == []
    assert 'id="training"' not in text


def test_an_unfinished_arm_is_named(tmp_path):
    path = make_study(tmp_path, {"zero-shot": 0.5, "few-shot-2": 0.6})
    records.study_record(["zero-shot", "few-shot-2", "lora"], status="running").write(path)
    text = page_of(path)
    assert "Not finished, start the study again to go on: lora." in text
    assert 'class="quiet">not finished</td>' in text


def test_unknown_numbers_are_dashes_not_zeros(tmp_path):
    path = make_study(tmp_path, {"zero-shot": 0.5, "lora": 0.9})
    result = read_json(path / "compare.json")
    result["arms"]["zero-shot"]["rouge1"] = {"mean": None, "low": None, "high": None, "n": 0}
    result["arms"]["lora"]["bleu"] = {"mean": None, "low": None, "high": None, "n": 0}
    result["best"] |= {"simultaneous_low": None, "simultaneous_high": None}
    result["power"] |= {"detectable": None, "sd_range": None}
    for row in result["pairs"]:
        row |= {"difference": None, "low": None, "high": None, "verdict": None}
        row |= {"simultaneous_low": None, "simultaneous_high": None, "examples_needed": None}
    write_json(path / "compare.json", result)
    changed(path, "cost.json", arms={})
    arm = read_json(path / "arms" / "lora" / "arm.json")
    write_json(path / "arms" / "lora" / "arm.json", arm | {"length": None, "dev": None, "training": None})
    (path / "arms" / "lora" / "metrics.jsonl").unlink()
    records.study_record(["zero-shot", "lora"], versions={}, task={"test_opened": None}).write(path)
    text = page_of(path)
    assert "no value" in text and "None" not in re.sub(r"<style>.*?</style>", "", text, flags=re.DOTALL)


def test_damage_is_a_sentence_and_the_old_report_stays(tmp_path):
    path = make_study(tmp_path, {"zero-shot": 0.5}, made_examples(2))
    (path / "report.html").write_text("the old one")
    (path / "cost.json").unlink()
    with pytest.raises(FolderError, match=r"cost\.json: no such file"):
        report(path)
    assert (path / "report.html").read_text() == "the old one"
