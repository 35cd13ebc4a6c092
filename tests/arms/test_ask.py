"""One text asked of a bare model and of an arm's folder, in pieces and token by token."""

from __future__ import annotations

import pytest

from luthier.arms.ask import ask, ask_probabilities
from luthier.decoding.generate import Request, fold, generate
from luthier.decoding.settings import Generation
from luthier.errors import SettingsError
from luthier.records import Example
from tests import tiny
from tests.arms.test_shipped import arm

TEXT = "Ann: Lunch at one? Ben: Two, please."


def test_a_bare_model_gets_the_text_as_it_is(tiny_folder) -> None:
    model = tiny.fresh(tiny_folder("decoder-plain"))
    prompt = model.renderer.prompt(Example("input", TEXT, ()), "{input}", (), room=6)
    (answer,) = fold(
        generate(model, [Request("input", prompt.prompt_ids, 6, Generation(max_new_tokens=6), 0)]), model.tokenizer
    )
    assert "".join(ask(tiny_folder("decoder-plain"), TEXT, generation={"max_new_tokens": 6})) == answer.text


def test_an_arm_says_the_same_in_pieces_and_token_by_token(tiny_folder, tmp_path) -> None:
    place = arm(tiny_folder("decoder-chat"), "lora", tmp_path / "lora")
    steps = list(ask_probabilities(place, TEXT))
    said = "".join(step["token"] for step in steps)
    assert "".join(ask(place, TEXT)).strip() in said
    assert all(0 <= row["after"] <= 1 for step in steps for row in step["candidates"])


def test_a_bare_model_has_no_arms(tiny_folder) -> None:
    with pytest.raises(SettingsError, match="is no study, so it has no arm 'lora'; leave --arm out"):
        list(ask(tiny_folder("decoder-plain"), TEXT, arm="lora"))
