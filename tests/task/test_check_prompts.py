"""What a model is asked about different examples differs, or it is said before anything is trained."""

from __future__ import annotations

from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from luthier.errors import PromptError
from luthier.records import Example, Prompt
from luthier.task.check import check_task
from luthier.task.check_prompts import refuse_same_prompts, same_prompts
from luthier.task.prompt import Renderer
from tests import tiny
from tests.hostile.templates import WHOLE
from tests.task.test_check import made, said


class Asked:
    """A model as far as a check needs one."""

    name = "made"

    def __init__(self, renderer: Renderer) -> None:
        self.renderer = renderer
        self.end_ids = frozenset([renderer.end_id])


def chatting(source: str) -> Renderer:
    tokenizer = tiny.tokenizer(chat=True)
    tokenizer.chat_template = source
    return Renderer(tokenizer, "decoder", 512)


def knowing(*words: str) -> Renderer:
    """A tokenizer that knows these words, and reads <unk> for all others."""
    vocabulary = {word: number for number, word in enumerate(["<unk>", "</s>", *words])}
    raw = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    raw.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return Renderer(PreTrainedTokenizerFast(tokenizer_object=raw, unk_token="<unk>", eos_token="</s>"), "decoder", 512)


def test_a_template_that_drops_the_input_is_one_error_for_each_split(tmp_path: Path) -> None:
    errors = said(check_task(made(tmp_path), Asked(chatting("<|im_start|>Hello<|im_end|>"))), "error")
    assert len(errors) == 3 and all("the chat template leaves out or changes the input" in error for error in errors)


def test_a_template_that_drops_the_shots_is_an_error(tmp_path: Path) -> None:
    last = "{% set m = messages[-1] %}<|im_start|>{{ m.content }}<|im_end|>"
    errors = said(check_task(made(tmp_path), Asked(chatting(last))), "error")
    assert len(errors) == 1 and errors[0].startswith("no shot can stand in front of an input: ")
    assert "leaves out or changes the question of shot 1" in errors[0]
    assert not said(check_task(made(tmp_path / "sound"), Asked(chatting(WHOLE))), "error")


def test_prompts_that_are_all_the_same_are_an_error_and_many_unknown_tokens_a_warning(tmp_path: Path) -> None:
    findings = check_task(made(tmp_path), Asked(knowing("Summarize")))
    assert any("the prompt is that of an earlier row with another input" in error for error in said(findings, "error"))
    assert any("the model does not know" in warning for warning in said(findings, "warning"))
    words = {
        word for row in made(tmp_path).train + made(tmp_path).dev + made(tmp_path).test for word in row.input.split()
    }
    sound = check_task(made(tmp_path), Asked(knowing(*sorted(words), *tiny.PLAIN.split(), "Summarize")))
    assert not any("another input" in text for text in said(sound, "error", "warning"))


def test_case_blanks_and_cuts_make_no_other_input() -> None:
    def pair(input: str, ids: tuple[int, ...], cut: int = 0) -> tuple[Example, Prompt]:
        return Example(input, input, ("a",)), Prompt(input, input, ids, tokens_cut=cut)

    same = same_prompts([pair("A b", (1,)), pair("a  B", (1,)), pair("c", (2,)), pair("long", (2,), 7)])
    assert same.pairs == [] and same.inputs == 2
    few = same_prompts([pair("a", (1,)), pair("b", (1,)), pair("c", (2,)), pair("d", (3,)), pair("e", (4,))])
    assert len(few.pairs) == 1 and not few.is_most


def test_a_study_refuses_an_arm_that_asks_the_same_of_all() -> None:
    with pytest.raises(
        PromptError, match=r"^arm 'zero-shot': examples 'e0' and 'e1' have different inputs and the same"
    ):
        refuse_same_prompts(
            "zero-shot", knowing("x"), "{input}", [], [Example(f"e{i}", f"w{i}", ("a",)) for i in range(4)], 0
        )
    refuse_same_prompts(
        "zero-shot", knowing("w0", "w1"), "{input}", [], [Example(f"e{i}", f"w{i}", ("a",)) for i in range(2)], 0
    )
