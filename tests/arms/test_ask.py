"""One text asked of a bare model and of an arm's folder, in pieces and token by token."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import pytest

from luthier.arms.ask import _request, _say_what_is_left_out, ask, ask_probabilities
from luthier.arms.merge import merge_arm
from luthier.arms.shipped import load_arm
from luthier.decoding.generate import fold, generate
from luthier.decoding.requests import Request
from luthier.decoding.settings import Generation
from luthier.errors import ModelError, PromptError, SettingsError
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


# --- what does not fit ------------------------------------------------------------------------------------------------

LONG = " ".join(f"Ann asks for towel {i}." for i in range(900))


def test_what_is_cut_is_said_and_with_strict_refused(tiny_folder, capsys) -> None:
    asked = {"generation": {"max_new_tokens": 4}}
    usual = "".join(ask(tiny_folder("decoder-plain"), TEXT, **asked))
    assert "".join(ask(tiny_folder("decoder-plain"), TEXT, **asked, strict=True)) == usual
    assert capsys.readouterr().err == ""
    list(ask(tiny_folder("decoder-plain"), LONG, **asked))
    model = tiny.fresh(tiny_folder("decoder-plain"))
    cut = model.renderer.prompt(Example("input", LONG, ()), "{input}", room=4).tokens_cut
    assert f"{cut} tokens of the input were cut, because the context window of" in capsys.readouterr().err
    with pytest.raises(PromptError, match=f"{cut} tokens of the input were cut.* or leave --strict out"):
        list(ask(tiny_folder("decoder-plain"), LONG, **asked, strict=True))
    with pytest.raises(PromptError):
        list(ask_probabilities(tiny_folder("decoder-plain"), LONG, **asked, strict=True))


def test_shots_that_are_left_out_are_counted(tiny_folder, tmp_path, capsys) -> None:
    place = arm(tiny_folder("decoder-chat"), "lora", tmp_path / "lora")
    shipped = replace(load_arm(place), shots=tuple(tiny.examples(2, prefix="shot")))
    window = len(shipped.prompt(TEXT).prompt_ids) + (shipped.generation.max_new_tokens or 0) - 1
    small = replace(shipped, model=replace(shipped.model, window=window))
    _say_what_is_left_out(small.prompt(TEXT), 2, small.model, strict=False)
    assert "1 of 2 shots were left out, because the context window of" in capsys.readouterr().err


def test_a_chat_is_asked_with_its_roles(tiny_folder) -> None:
    turns = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Where is it?"}]
    model = tiny.fresh(tiny_folder("decoder-chat"))
    own = model.tokenizer.apply_chat_template(turns, tokenize=True, add_generation_prompt=True)["input_ids"]
    shipped, prompt, _ = _request(tiny_folder("decoder-chat"), json.dumps(turns), None, None, None, False, False)
    assert list(prompt.prompt_ids) == own and shipped.template == "{input}"


# --- bases in relative folders ----------------------------------------------------------------------------------------


def test_a_base_in_a_relative_folder_is_found_from_the_study(tiny_folder, tmp_path, monkeypatch) -> None:
    """From wherever `ask` is typed; and a folder of the same name with other weights is not taken for it."""
    here, elsewhere = tmp_path / "here", tmp_path / "elsewhere"
    shutil.copytree(tiny_folder("decoder-chat"), here / "models" / "base")
    shutil.copytree(tiny_folder("decoder-plain"), elsewhere / "models" / "base")
    monkeypatch.chdir(here)
    place = arm("models/base", "lora", here / "study" / "arms" / "lora")
    said = "".join(ask("study/arms/lora", TEXT))
    monkeypatch.chdir(elsewhere)
    assert "".join(ask(place, TEXT)) == said
    merge_arm(place, tmp_path / "merged", differ=99)
    shutil.rmtree(here / "models")
    with pytest.raises(ModelError, match="made on another models/base"):
        list(ask(place, TEXT))
