"""Which examples are shown, and the facts in their answers that the inputs do not hold."""

from __future__ import annotations

from luthier.files import read_lines, write_lines
from luthier.records import Answer
from luthier.reports.examples import APART, AT_RANDOM, examples_to_show, marked
from luthier.reports.read import read_study
from luthier.reports.write import report
from luthier.scoring.facts import unsupported
from luthier.scoring.source import Source
from tests.reports.made import made_examples, make_study


def test_examples_are_the_most_disputed_then_a_fixed_draw(tmp_path):
    page = read_study(make_study(tmp_path))
    shown = examples_to_show(page)
    ids = [row.example.id for row in shown]
    assert len(ids) == len(set(ids)) == APART + AT_RANDOM and ids == [row.example.id for row in examples_to_show(page)]
    gaps = [row.apart for row in shown]
    assert gaps[:APART] == sorted(gaps[:APART], reverse=True) and max(gaps[APART:]) <= gaps[APART - 1]
    assert [row.at_random for row in shown] == [False] * APART + [True] * AT_RANDOM
    assert shown[0].answers[0].arm.name == "lora"


def test_arms_that_answer_alike_do_not_differ(tmp_path):
    path = make_study(tmp_path, {"zero-shot": 0.5, "few-shot-2": 0.6}, made_examples(8))
    for name in ("answers", "scores"):
        write_lines(path / "arms/few-shot-2" / f"{name}.jsonl", read_lines(path / "arms/zero-shot" / f"{name}.jsonl"))
    assert not any(row.differ for row in examples_to_show(read_study(path)))
    assert 'class="example alike"' in report(path).read_text()


def test_the_pieces_of_a_marked_answer_are_the_answer():
    text = "He and Maria pay 700 dollars to Ben on Friday."
    found = unsupported(text, Source("Ben: I pay you 70 dollars on Friday."))
    parts = marked(Answer("a", text, ()), found)
    assert "".join(piece for piece, _ in parts) == text
    underlined = [piece for piece, why in parts if why]
    assert "Maria" in underlined and any("700" in piece for piece in underlined) and "Ben" not in underlined


def test_what_the_input_does_not_hold_is_underlined_with_its_reason(tmp_path):
    path = make_study(tmp_path, {"zero-shot": 0.5}, made_examples(3))
    rows = [
        row | {"text": "the table for Zebedee & <b>Quinn</b>"}
        for row in read_lines(path / "arms/zero-shot/answers.jsonl")
    ]
    write_lines(path / "arms/zero-shot/answers.jsonl", rows)
    text = report(path).read_text()
    assert '<u class="unsupported" title="' in text and ">Zebedee</u>" in text and "name “<bdi>Zebedee</bdi>”" in text
    assert "<b>Quinn" not in text
