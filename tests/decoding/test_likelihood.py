"""Bits per character equal the plain sum over one unpadded row, for every family, with and without an adapter."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from luthier.adapt.method import Tuning
from luthier.adapt.methods import METHODS
from luthier.decoding.likelihood import copy_likelihood_of_same_prompts, measure, reference_nats, with_likelihood
from luthier.files import write_json
from luthier.metrics import LIKELIHOOD
from luthier.records import Answer
from luthier.results.lines import ReferenceLikelihood
from luthier.results.record import read_lines_of, write_lines_of
from luthier.scoring.score import score, signature
from tests import tiny
from tests.promises import CASES
from tests.records import arm_record

EXAMPLES = tiny.examples(9)


def asked(model, examples=EXAMPLES):
    return [model.renderer.prompt(example, tiny.PLAIN, room=8) for example in examples]


WRITING = [case for case in CASES if case[1] in tiny.KINDS]  # an encoder reads no text with a likelihood


@pytest.mark.parametrize("name, kind", [*(("zero-shot", kind) for kind in tiny.KINDS), *WRITING])
def test_a_padded_batch_gives_each_row_what_it_gives_alone(name: str, kind: str, tiny_folder) -> None:
    """What was trained is asked through the trained module, the arm through the form that answers."""
    model, method = tiny.fresh(tiny_folder(kind)), METHODS[name]
    module, answering = model.module, model
    if isinstance(method, Tuning):
        module = method.apply(model, method.settings(), 0).eval()
        tiny.scramble(module, scale=0.1)
        answering = method.answering(model, module)
    virtual = 0 if answering.prefix is None else len(answering.prefix)
    targets = [tuple(model.renderer.target_ids(example.references[0])[:-1]) for example in EXAMPLES]
    prompts = [replace(prompt, target_ids=t) for prompt, t in zip(asked(model), targets, strict=True)]
    with torch.no_grad():
        plain = [float(tiny.reference_loss(module, prompt, model.family, virtual)) for prompt in prompts]
    assert reference_nats(answering, prompts) == pytest.approx(plain, rel=1e-4)
    assert len({round(value, 3) for value in plain}) > 3


def test_rows_stand_in_order_and_are_divided_once(tmp_path: Path, tiny_folder) -> None:
    model = tiny.fresh(tiny_folder("decoder-chat"))
    rows = measure(model, asked(model), EXAMPLES, tmp_path / "likelihood.jsonl")
    assert rows == read_lines_of(ReferenceLikelihood, tmp_path / "likelihood.jsonl")
    assert [row.id for row in rows] == [example.id for example in EXAMPLES]
    assert [row.characters for row in rows] == [len(example.references[0]) for example in EXAMPLES]
    two_bits = ReferenceLikelihood(id="e", nats=10 * math.log(2), tokens=3, characters=5)
    assert two_bits.bits_per_character == pytest.approx(2.0)
    # A model that knows nothing needs log2(vocabulary) bits a token; a wide random one needs more.
    assert all(row.nats > row.tokens for row in rows)


def test_what_is_on_disk_is_not_read_again_and_a_half_batch_is(tmp_path: Path, tiny_folder, monkeypatch) -> None:
    monkeypatch.setattr("luthier.decoding.likelihood.BATCH_TOKENS", 300)
    model = tiny.fresh(tiny_folder("decoder-chat"))
    path, counts = tmp_path / "likelihood.jsonl", []
    whole = measure(model, asked(model), EXAMPLES, path, counts.append)
    assert sum(counts) == len(EXAMPLES) and len(counts) > 2
    bytes_before = path.read_bytes()
    measure(model, asked(model), EXAMPLES, path, lambda count: pytest.fail("nothing was left to read"))
    for kept in (1, 4, 7):
        by_batch = sorted(whole, key=lambda row: len(asked(model)[int(row.id[1:])].prompt_ids))
        write_lines_of(path, by_batch[:kept])
        assert measure(model, asked(model), EXAMPLES, path) == whole
        assert path.read_bytes() == bytes_before


def test_a_reference_that_cannot_be_read_has_a_reason(tmp_path: Path, tiny_folder) -> None:
    model = tiny.fresh(tiny_folder("decoder-chat"))
    long = replace(EXAMPLES[1], references=("many words " * 400,))
    rows = measure(model, asked(model), [EXAMPLES[0], long, *EXAMPLES[2:]], tmp_path / "likelihood.jsonl")
    scores = with_likelihood(score([Answer(e.id, "Anna moves.") for e in EXAMPLES], EXAMPLES), rows)
    assert scores[1].values[LIKELIHOOD] is None and "does not fit" in scores[1].reasons[LIKELIHOOD]
    assert all(one.values[LIKELIHOOD] > 0 for one in scores if one.id != long.id)
    assert "lower is better" in signature(LIKELIHOOD)


def test_an_arm_without_a_model_has_none_and_says_why() -> None:
    (only,) = with_likelihood(score([Answer("e0", "Anna moves.")], EXAMPLES[:1]), [])
    assert only.values[LIKELIHOOD] is None and only.reasons[LIKELIHOOD] == "the arm asks no model"
    assert only.values["rouge1"] is not None


@pytest.mark.parametrize(
    "prompts, other_arm, trained, taken",
    [
        (3, {}, False, True),
        (2, {}, False, False),  # another prompt
        (3, None, False, False),  # not finished
        (3, {}, True, False),  # other weights
        (3, {"width": "int8"}, False, False),
        (3, {"model": "another"}, False, False),
    ],
)
def test_only_a_finished_arm_with_the_same_prompts_and_weights_is_a_twin(
    prompts: int, other_arm: dict | None, trained: bool, taken: bool, tmp_path: Path, tiny_folder
) -> None:
    model = tiny.fresh(tiny_folder("decoder-chat"))
    own, other = tmp_path / "arms" / "own", tmp_path / "arms" / "other"
    write_lines_of(own / "prompts.jsonl", asked(model)[:3])
    write_lines_of(other / "prompts.jsonl", asked(model)[:prompts])
    write_lines_of(other / "likelihood.jsonl", [ReferenceLikelihood(id="e0", nats=1.0, tokens=1, characters=1)])
    if other_arm is not None:
        arm_record("other", **{"model": "this"} | other_arm).write(other)
    if trained:
        write_json(other / "training.json", {})
    copy_likelihood_of_same_prompts(own, "this", None)
    assert (own / "likelihood.jsonl").exists() == taken
