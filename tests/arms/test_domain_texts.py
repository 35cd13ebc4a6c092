"""The texts of further pretraining: nothing of dev or test is read, and every token of the others is."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from luthier.adapt.settings import Texts
from luthier.arms.domain_texts import CONTROL, HELD_BACK, prompts_of, texts_of
from luthier.arms.planned import plan
from luthier.errors import DataError, SettingsError
from luthier.model.model import load
from luthier.scratch.corpus import Document
from luthier.task.prompt import Renderer
from luthier.task.task import Task, load_task
from tests import tiny

Folder = Callable[[str], Path]
WORDS = "The nurse wrote down what the patient of room {n} said about the night, and the ward was calm until six. "


@pytest.fixture
def own(tmp_path: Path) -> Task:
    """A task of 12 long inputs to train on, and two of dev and test that no other holds."""
    for split, first, count in (("train", 0, 12), ("dev", 100, 2), ("test", 200, 2)):
        rows = [
            {"id": f"{split}-{n}", "input": WORDS.format(n=n) * 2, "references": [f"Room {n} was calm."], "meta": {}}
            for n in range(first, first + count)
        ]
        (tmp_path / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "task.toml").write_text('name = "wards"\n')
    return load_task(str(tmp_path))


@pytest.fixture
def renderer(tiny_folder: Folder) -> Renderer:
    return load(str(tiny_folder("decoder-chat")), precision="fp32").renderer


def test_nothing_of_dev_or_test_is_read_and_what_is_left_out_is_counted(own: Task, renderer, tmp_path: Path) -> None:
    rows = [WORDS.format(n=n) * 3 for n in range(20)]
    rows[3] = f"{own.test[0].input.upper()}   and more, {WORDS}"  # other letters and blanks are the same text
    rows[7] = own.dev[1].input
    rows[9] = WORDS.format(n=9) * 3 + "<|im_end|>"
    rows[11] = own.test[1].input[20:90]  # a part of one, whatever its length
    (tmp_path / "notes.jsonl").write_text("".join(json.dumps({"text": row}) + "\n" for row in rows))
    found = texts_of(Texts(corpus=str(tmp_path / "notes.jsonl")), own, own.train, renderer)
    assert found.left_out == {HELD_BACK: 3, CONTROL: 1}
    names = {one.name for one in (*found.corpus.train, *found.corpus.held_out)}
    assert names == {f"row {n + 1}" for n in range(20)} - {"row 4", "row 8", "row 10", "row 12"}
    assert not {one.name for one in found.corpus.train} & {one.name for one in found.corpus.held_out}


def test_a_task_s_own_inputs_with_or_without_references(own: Task, renderer: Renderer) -> None:
    plain = texts_of(Texts(), own, own.train, renderer).corpus
    both = texts_of(Texts(references=True), own, own.train, renderer).corpus
    assert len(plain.train) + len(plain.held_out) == len(both.train) + len(both.held_out) == 12
    assert all('was calm."' not in one.text and "Room" not in one.text for one in plain.train)
    assert all(one.text.endswith(" was calm.") for one in both.train)
    assert plain.sha256 != both.sha256


def test_texts_that_cannot_be_read_are_a_sentence(own: Task, renderer: Renderer, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="give at least two"):
        texts_of(Texts(), own, own.train[:1], renderer)
    with pytest.raises(DataError, match="nothing is left to train on"):
        (tmp_path / "leak.txt").write_text(own.test[0].input)
        texts_of(Texts(corpus=str(tmp_path / "leak.txt")), own, own.train, renderer)
    with pytest.raises(DataError):
        texts_of(Texts(corpus=str(tmp_path / "nowhere.txt")), own, own.train, renderer)


def test_a_decoder_s_pieces_hold_every_token_once(renderer: Renderer) -> None:
    text = Document("a", "b", WORDS * 4)
    pieces = prompts_of(renderer, 7, [text], row=32, seed=0)
    assert all(one.prompt_ids == (7,) and 1 + len(one.target_ids or ()) <= 32 for one in pieces) and len(pieces) > 3
    assert [token for one in pieces for token in one.target_ids or ()] == renderer.target_ids(text.text)
    whole = prompts_of(replace(renderer, window=10_000), 7, [text], row=9_000, seed=0)
    assert len(whole) == 1 and whole[0].target_ids[-1] == renderer.end_id


def test_an_encoder_decoder_writes_the_spans_that_its_input_hides(tmp_path: Path) -> None:
    model = load(str(tiny.save_with_sentinels(tmp_path / "t5")), precision="fp32")
    text = Document("a", "b", WORDS * 2)
    pieces = prompts_of(model.renderer, 0, [text], row=48, seed=0)
    vocabulary = model.tokenizer.get_vocab()
    sentinels = [vocabulary[f"<extra_id_{n}>"] for n in range(64)]
    again: list[int] = []
    for one in pieces:
        spans: dict[int, list[int]] = {}
        for token in (one.target_ids or ())[:-1]:
            if token in sentinels:
                spans[token] = []
            else:
                spans[next(reversed(spans))].append(token)
        again += [t for token in one.prompt_ids[:-1] for t in spans.get(token, [token])]
    whole = model.renderer.target_ids(text.text)[:-1]
    assert again == whole[: len(again)] and len(whole) - len(again) < 8  # a last piece of fewer tokens is left out
    assert pieces == prompts_of(model.renderer, 0, [text], row=48, seed=0)
    assert pieces != prompts_of(model.renderer, 0, [text], row=48, seed=1)


def test_what_learns_from_no_plain_text_is_refused_in_a_sentence(tiny_folder: Folder) -> None:
    text = Document("a", "b", WORDS * 2)
    with pytest.raises(SettingsError, match="its tokenizer has 0 of"):
        prompts_of(load(str(tiny_folder("t5-tied")), precision="fp32").renderer, 0, [text], row=48, seed=0)
    with pytest.raises(SettingsError, match="an encoder has no head here"):
        bert = load(str(tiny_folder("bert")), precision="fp32", labels=("a", "b"))
        prompts_of(bert.renderer, 0, [text], row=48, seed=0)


def test_a_plan_has_it_as_a_phase_of_its_own(own: Task, tiny_folder: Folder) -> None:
    model = str(tiny_folder("decoder-chat"))
    arms = ("domain", "lora+domain=task", "lora", "domain+epochs=2", "full+epochs=1")
    alone, before, lora, twice, full = plan(model, arms=arms, task=str(own.folder)).arms.values()
    assert alone.domain is not None and before.domain is not None and lora.domain is None
    assert alone.training is None and before.training == lora.training and before.answering == lora.answering
    assert before.domain == alone.domain and alone.trainable == alone.parameters == full.trainable
    assert twice.domain is not None and alone.domain.flops and full.training is not None
    assert twice.domain.flops == pytest.approx(alone.domain.flops, rel=0.01)  # few documents are read twice by default
    assert {term.name for term in alone.domain.terms} >= {"gradients", "optimizer states"}
    assert before.seconds == pytest.approx((lora.seconds or 0) + (alone.domain.seconds or 0), rel=1e-6)
    without_task = plan("llama-3.2-1b", arms=("domain", "lora+domain=notes"), device="a100").arms
    assert all(one.domain is not None and one.domain.flops for one in without_task.values())
