"""Predictions and answers are kept in the learner's folder, and without one nothing is; what is shown has words."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from luthier.course.desk import FOLDER, ask, find_desk, predict
from luthier.course.shown import Picture, Table, Tokens, bars, show


def begin(folder: Path, learner: str) -> None:
    (folder / FOLDER).mkdir(parents=True)
    (folder / FOLDER / "learner.json").write_text(json.dumps({"learner": learner, "salt": "s"}), encoding="utf-8")


def test_what_is_predicted_and_answered_is_kept_with_the_misconception(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    begin(tmp_path, "one")
    inner = tmp_path / "deeper"
    inner.mkdir()
    monkeypatch.chdir(inner)
    predict("1.18/gigabytes", 4)
    desk = find_desk()
    asked = desk.question("1.18/memory")
    misconception, value = next(iter(asked.wrong.items()))
    ask("1.18/memory")
    assert desk.lines()[1:] == [], "a question that is only read is no answer"
    # A notebook shows the value of a cell's last line, so there is none.
    assert ask("1.18/memory", str(value)) is None
    assert [line["kind"] for line in desk.lines()] == ["prediction", "answer"]
    assert desk.lines()[1]["misconception"] == misconception
    said = capsys.readouterr().out
    assert said.count(asked.text) == 2 and said.count(misconception) == 1


def test_two_learners_have_other_numbers_and_so_has_another_try(tmp_path: Path) -> None:
    begin(tmp_path / "a", "one")
    begin(tmp_path / "b", "two")
    one, two = find_desk(tmp_path / "a"), find_desk(tmp_path / "b")
    texts = {desk.question("1.18/memory", take).text for desk in (one, two) for take in (0, 1)}
    assert len(texts) == 4


def test_without_a_folder_nothing_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    predict("1.18/gigabytes", 4)
    assert list(tmp_path.iterdir()) == [] and find_desk().lines() == []


def test_a_torn_line_of_progress_is_passed_over(tmp_path: Path) -> None:
    begin(tmp_path, "one")
    (tmp_path / FOLDER / "progress.jsonl").write_text('{"kind": "answer"}\n[1]\n{"kind": ', encoding="utf-8")
    assert find_desk(tmp_path).lines() == [{"kind": "answer"}]


def test_shown_things_have_words_and_escape_their_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    table = Table(("name", "n"), [("<b>", 12), ("long name", 3)])
    assert repr(table) == "name        n\n<b>        12\nlong name   3" and "&lt;b&gt;" in table._repr_html_()
    picture = bars("Sizes", [("a<", 2.0), ("b", 1.0)], "GB")
    assert repr(picture) == "Sizes: a< 2 GB; b 1 GB." and "a&lt;" in picture.svg
    assert "aria-label" in Picture("<svg/>", 'says "so"')._repr_html_()
    assert "<figcaption>Sizes</figcaption>" in picture._repr_html_()
    assert '<figcaption>says "so"</figcaption>' in Picture("<svg/>", 'says "so"')._repr_html_()
    assert repr(bars("Sizes", [("a", 16_060.4), ("b", 0.12345)])) == "Sizes: a 16,060; b 0.1235."
    long = Table(("share", "text"), [("11.7 %", "a text that may be broken")])._repr_html_()
    assert '<th>share</th><th class="text">text</th>' in long and '<td>11.7 %</td><td class="text">a text' in long
    broken = Tokens([":\n", "a"], [0, 1])
    assert repr(broken) == "[:\u21b5] \u27e6a\u27e7\n(\u27e6 \u27e7: shaded)"
    assert repr(Tokens(["a", "b"], [0, 0.2])) == "[a] [b]"
    assert ">:\u21b5</span><br><span" in broken._repr_html_()
    seen: list[object] = []
    monkeypatch.setattr(sys, "displayhook", seen.append)
    show(table)
    assert seen == [table]
