"""Short forms: what they mean, and one sentence for those that mean nothing."""

from __future__ import annotations

import pytest

from luthier.arms.resolve import resolve
from luthier.arms.short_form import model_of, name_of, parse
from luthier.errors import LuthierError
from luthier.task.task import load_task


@pytest.mark.parametrize(
    "text, method, settings, training, generation, template",
    [
        ("bare", "bare", {}, {}, {}, None),
        ("copy-2", "copy", {"lines": 2}, {}, {}, None),
        ("zero-shot:question", "zero-shot", {}, {}, {}, "question"),
        ("few-shot-2:question", "few-shot", {"shots": 2}, {}, {}, "question"),
        ("lora-r16", "lora", {"rank": 16}, {}, {}, None),
        ("lora+learning_rate=2e-3+epochs=2", "lora", {}, {"learning_rate": 2e-3, "epochs": 2}, {}, None),
        ("zero-shot+temperature=0.7+top_k=20", "zero-shot", {}, {}, {"temperature": 0.7, "top_k": 20}, None),
        ("soft-8+start=random:x".replace(":x", ""), "soft", {"tokens": 8, "start": "random"}, {}, {}, None),
    ],
)
def test_short_forms(text, method, settings, training, generation, template) -> None:
    spec = parse(text)
    assert (spec.method, spec.settings, spec.training) == (method, settings, training)
    assert (spec.generation, spec.template) == (generation, template)


def test_further_pretraining_before_another_training() -> None:
    spec = parse("lora-r4+domain=my/notes+domain.epochs=2+domain.references=true+epochs=1")
    assert spec.domain == {"corpus": "my/notes", "epochs": 2, "references": True}
    assert (spec.settings, spec.training) == ({"rank": 4}, {"epochs": 1})
    assert parse("lora+domain.row=64").domain == {"row": 64}
    assert "domain" not in parse("lora").model_dump()
    assert name_of("lora+domain=my/notes.txt+epochs=1") == "lora+domain=notes.txt+epochs=1"
    assert name_of("domain+corpus=/data/notes") == "domain+corpus=notes"


@pytest.mark.parametrize(
    "text, sentence",
    [
        ("telepathy", "'telepathy' is no method; the methods are: copy"),
        ("lora-16", "'-16' is not understood; write lora-r8"),
        ("bare-3", "'-3' is not understood; write bare"),
        ("lora+rank", r"'\+rank' has no value"),
        ("zero-shot+learning_rate=1", "'learning_rate' is no setting of zero-shot"),
        ("few-shot-0", "shots"),
        ("lora+rank=two", "rank"),
        ("zero-shot:poem", "poem"),
        ("lora+domain.colour=red", "'domain.colour' is no setting of domain; there are: anchor, "),
        ("lora+domain.shots=2", "'domain.shots' is no setting of domain"),
        ("lora+domain.row=2", "row"),
        ("zero-shot+domain=notes", r"write domain\+corpus=TEXTS"),
        ("domain+domain=notes", r"write domain\+corpus=TEXTS"),
        ("domain-3", "'-3' is not understood; write domain"),
        ("zero-shot+top_p=2.0", "top_p"),
        ("soft+start=cold", "start"),
    ],
)
def test_arms_that_are_not_understood(text: str, sentence: str) -> None:
    with pytest.raises(LuthierError, match=sentence):
        resolve(text, parse(text), load_task("dialogues"))


def test_an_arm_of_another_model_is_called_by_the_end_of_its_name() -> None:
    assert model_of("head+model=models/minilm+epochs=2") == "models/minilm"
    assert name_of(" head+model=models/minilm+epochs=2 ") == "head+model=minilm+epochs=2"
