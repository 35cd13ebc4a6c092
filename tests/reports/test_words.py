"""What is said of a study, and in which order."""

from __future__ import annotations

from dataclasses import replace

import pytest

from luthier.reports.read import StudyPage, read_study
from luthier.reports.words import (
    detectable,
    how_sure,
    limit_effect,
    limit_words,
    mixture_words,
    task_sentences,
    warnings_of,
)
from luthier.results.multitask_record import TaskPair
from luthier.results.profile_record import EqualLengthDecision, EqualLengthRow, Flip
from tests import records
from tests.reports.made import made_examples, make_study


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> StudyPage:
    return read_study(make_study(tmp_path_factory.mktemp("study")))


def test_a_baseline_that_nobody_beats_is_said_first(tmp_path):
    path = make_study(tmp_path, {"zero-shot": 0.9, "few-shot-2": 0.3, "lora": 0.2})
    assert warnings_of(read_study(path))[0] == "No arm is shown to beat the baseline zero-shot."


def test_arms_that_do_not_beat_a_baseline_are_gathered(page):
    warnings = warnings_of(page)
    gathered = [text for text in warnings if text.startswith("Not shown to beat the baseline zero-shot:")]
    assert len(gathered) == 1 and "bare" in gathered[0] and "lora" not in gathered[0]
    assert not any("is not shown to beat" in text for text in warnings)


def test_an_earlier_opening_of_the_test_split_and_grave_findings_are_warnings(page):
    warnings = warnings_of(page)
    assert any(text.startswith("1 earlier study opened this test split") for text in warnings)
    assert "Data: train.jsonl: row 3 repeats row 1" in warnings


def test_what_is_not_finished_is_said_before_all_else(tmp_path):
    path = make_study(tmp_path, {"zero-shot": 0.5, "few-shot-2": 0.6}, made_examples(8))
    records.study_record(["zero-shot", "few-shot-2", "lora"], status="running").write(path)
    assert warnings_of(read_study(path))[0] == "Not finished, start the study again to go on: lora."


def test_how_sure_the_verdicts_are(page, tmp_path):
    assert how_sure(page).startswith(
        "Verdicts hold with 95 % confidence for all 21 pairs of arms at once, from 40 independent test examples."
    )
    alone = read_study(make_study(tmp_path, {"zero-shot": 0.5}))
    assert how_sure(alone) == "One arm, 40 independent test examples; its interval has 95 % confidence."
    assert detectable(alone) == []


def test_what_a_budget_changes():
    def row(cut, flips=0, ships=None, **changes):
        flip = Flip(a="lora", b="soft", before="better", after="cannot tell")
        ship = EqualLengthDecision(verdict="ship" if ships else "cannot tell", arm=ships, provisional="lora")
        given = {"budget": cut, "arms": {}, "ship": ship, "verdicts": (), "flips": (flip,) * flips, "ship_flips": False}
        return EqualLengthRow(**given | changes)

    assert [limit_words(words) for words in (None, 9, "two sentences")] == ["as answered", "9 words", "two sentences"]
    assert limit_effect(row(None)) == "the study's verdict"
    assert limit_effect(row(9)) == "same"
    assert limit_effect(row(9, flips=1)) == "same decision, 1 pair verdict changes"
    assert limit_effect(row(9, flips=2)) == "same decision, 2 pair verdicts change"
    assert limit_effect(row(9, ships="soft", ship_flips=True)) == "decision changes: ship soft"
    assert limit_effect(row(9, ship_flips=True)) == "decision changes: cannot tell"


def test_no_answer_is_no_answer():
    def pair(task, b, held_out):
        return TaskPair(
            task=task, held_out=held_out, metric="rouge1", margin=0.02, a="multi-lora", b=b, difference=0.0, n=9,
            verdict="cannot tell", in_study=None,
        )  # fmt: skip

    assert task_sentences("lora", "multi-lora", [pair("sums", "lora", False), pair("notes", "zero-shot", True)]) == [
        "One multi-lora against one lora a task: cannot tell on 1 of 1 tasks.",
        "Cannot tell whether multi-lora differs from zero-shot on notes, never trained on.",
    ]


def test_a_mixture_is_said_in_words():
    given = {"kind": "temperature", "temperature": 2.0, "cap": 500, "templates": None}
    assert mixture_words(given) == "temperature mixture, T = 2, a task counted as at most 500 examples"
    assert mixture_words(given | {"kind": "equal", "temperature": None, "cap": None}) == "equal mixture"


@pytest.mark.parametrize("reasoning", ["keep", "leave out"])
def test_reasoning_blocks_are_counted_by_arm_and_what_became_of_them_is_said(tmp_path, reasoning):
    path = make_study(tmp_path, {"zero-shot": 0.5, "few-shot-2": 0.4}, made_examples(6))
    page = read_study(path)
    arm = page.arms[0]
    thought = records.arm_record(arm.name, counts={"reasoning": 4})
    task = page.study.task.model_copy(update={"reasoning": reasoning})
    study = page.study.model_copy(update={"task": task})
    page = replace(page, study=study, arms=[replace(arm, record=thought), *page.arms[1:]])
    (said,) = [text for text in warnings_of(page) if "easoning" in text]
    left = f"Reasoning blocks are left out of answers: {arm.name} (4 of 6)."
    kept = f"Answers hold a reasoning block, which is judged as part of them: {arm.name} (4 of 6); write reasoning"
    assert said == left if reasoning == "leave out" else said.startswith(kept)
