"""A study's folder becomes a page of records, or one sentence that names file and field."""

from __future__ import annotations

import re

import pytest

from luthier.errors import FolderError
from luthier.reports.read import read_study
from tests import records
from tests.reports.made import made_examples, make_study


def test_arms_stand_in_the_order_of_their_means_and_those_not_compared_last(tmp_path):
    path = make_study(tmp_path, {"zero-shot": 0.2, "copy-3": 0.0, "lora": 0.9}, made_examples(20))
    records.study_record(["soft", "zero-shot", "copy-3", "lora"], status="running").write(path)
    page = read_study(path)
    assert [arm.name for arm in page.arms] == ["lora", "zero-shot", "copy-3", "soft"]
    assert [arm.kind for arm in page.arms] == ["trained", "baseline", "baseline", "prompt"]
    assert page.compared == page.arms[:3] and page.unfinished == ["soft"] and page.trained == page.arms[:1]
    soft = page.arms[-1]
    assert (soft.record, soft.counts, soft.saved_megabytes, soft.prompt_tokens) == (None, None, None, None)
    assert (soft.cost.minutes, soft.answers, soft.tuning.trials, soft.cut_answers) == (None, {}, 0, 0)
    assert page.arms[0].saved_megabytes == 27456 / 1e6 and page.arms[2].saved_megabytes == 0


def test_an_arm_without_its_record_is_unfinished_although_it_was_compared(tmp_path):
    path = make_study(tmp_path, {"zero-shot": 0.5, "few-shot-2": 0.6}, made_examples(20))
    (path / "arms" / "zero-shot" / "arm.json").unlink()
    page = read_study(path)
    assert page.unfinished == ["zero-shot"] and len(page.compared) == 2


# -------------------------------------------------------------------------------------------------------------- damage


def remove(name):
    return lambda path: (path / name).unlink()


def write(name, text):
    return lambda path: (path / name).write_text(text)


DAMAGE = {
    "no study.json": (remove("study.json"), "study.json: no such file"),
    "no compare.json": (remove("compare.json"), "compare.json: not there yet"),
    "no cost.json": (remove("cost.json"), "cost.json: no such file"),
    "no examples": (remove("examples.jsonl"), "examples.jsonl: no such file"),
    "no answers": (remove("arms/zero-shot/answers.jsonl"), "answers.jsonl: no such file"),
    "no prompts": (remove("arms/zero-shot/prompts.jsonl"), "prompts.jsonl: no such file"),
    "not JSON": (write("study.json", "{"), "study.json: this is not JSON"),
    "a list": (write("compare.json", "[]"), "compare.json: the file holds [] and no table of keys"),
    "a key less": (write("study.json", '{"format": 1}'), "study.json: the key 'specification' is missing"),
    "a newer study": (write("study.json", '{"format": 2}'), "study.json: it has format 2, and this version"),
    "a damaged profile": (write("profile.json", '{"format": 1}'), "profile.json: the key 'level' is missing; remove"),
    "an arm that is no object": (write("arms/zero-shot/arm.json", "3"), "arm.json: the file holds 3 and no table"),
    "a bad line": (write("arms/zero-shot/scores.jsonl", "{\n{}\n"), "scores.jsonl: line 1 is damaged"),
    "a line of something else": (
        write("arms/zero-shot/scores.jsonl", '{"id": "d0"}\n'),
        "scores.jsonl: line 1 is damaged: the key 'unit' is missing",
    ),
    "a line that is no object": (write("examples.jsonl", "3\n"), "examples.jsonl: line 1 is damaged"),
    "a step without its loss": (
        write("arms/zero-shot/metrics.jsonl", '{"step": 1}\n'),
        "metrics.jsonl: line 1 is damaged: the key 'loss_sum' is missing",
    ),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_a_sentence(tmp_path, name):
    path = make_study(tmp_path, {"zero-shot": 0.5}, made_examples(2))
    damage, sentence = DAMAGE[name]
    damage(path)
    with pytest.raises(FolderError, match=re.escape(sentence)):
        read_study(path)


def test_a_folder_that_is_not_there_is_a_sentence(tmp_path):
    with pytest.raises(FolderError, match="no such file"):
        read_study(tmp_path / "nowhere")


def test_an_arm_cannot_lead_out_of_the_folder(tmp_path):
    path = make_study(tmp_path, {"zero-shot": 0.5}, made_examples(2))
    records.study_record(["zero-shot", "../../elsewhere"]).write(path)
    with pytest.raises(FolderError, match=r"study.json: arm .*cannot name a folder"):
        read_study(path)
