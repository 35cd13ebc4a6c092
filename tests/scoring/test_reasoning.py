"""What a model writes to itself before its answer is left out where that is asked for, and nothing else is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luthier.records import Answer, Example
from luthier.scoring.labels import LabelSet
from luthier.scoring.reasoning import NAMES, holds_reasoning, without_reasoning
from luthier.scoring.score import score, signature
from luthier.scoring.words import Reading

LEFT_OUT = Reading(reasoning="leave out")


@pytest.mark.parametrize(
    "text, left",
    [
        ("<think>\nWhat do they want?\n</think>\n\nAnn moves it.", "Ann moves it."),
        ("<think></think>Ann moves it.", "Ann moves it."),
        ("What do they want?\n</think>\nAnn moves it.", "Ann moves it."),  # the prompt ended in the opening tag
        ("<think>What do they want? I should", ""),  # stopped inside it
        ("<think>a <think>b</think> c</think>Ann.", "Ann."),
        ("<Thinking> a </THINKING> Ann.", "Ann."),
        ("[THINK]a[/THINK]Ann.", "Ann."),
        ("◁think▷a◁/think▷Ann.", "Ann."),
        ("<|begin_of_thought|>a<|end_of_thought|>Ann.", "Ann."),
        ("Ann <think>a</think> moves it.", "Ann  moves it."),
        ("I think x < y [sic] and Ann <b>moves</b> it.", "I think x < y [sic] and Ann <b>moves</b> it."),
        ("", ""),
    ],
)
def test_what_is_left_of_an_answer(text: str, left: str) -> None:
    assert without_reasoning(text) == left
    assert holds_reasoning(text) == (text != left)


@given(st.text(max_size=40), st.sampled_from(NAMES[:-1]), st.text("abc \n", max_size=20))
def test_a_block_in_front_leaves_the_answer(answer: str, name: str, thought: str) -> None:
    block = f"<{name}>{thought}</{name}>"
    if not holds_reasoning(answer):
        assert without_reasoning(block + answer) == answer.strip()
        assert without_reasoning(answer) == answer


def test_the_option_is_named_in_the_signature_and_off_by_default() -> None:
    example, text = Example("a", "x", ("Ann moves it.",)), "<think>Ben stays.</think>Ann moves it."
    kept, left = (score([Answer("a", text)], [example], reading=reading)[0] for reading in (Reading(), LEFT_OUT))
    assert kept.values["rouge1"] < 1 == left.values["rouge1"]
    assert left.values["length_ratio"] == 1 and left.reasoning == "leave out"
    assert signature("rouge1", reading=LEFT_OUT).endswith("|reasoning blocks left out")
    assert "reasoning" not in signature("rouge1")


def test_a_label_is_read_behind_the_block() -> None:
    example, text = Example("a", "x", ("calm",)), "<think>worried or calm?</think>\ncalm"
    for reading, right in ((Reading(), 0.0), (LEFT_OUT, 1.0)):
        scored = score([Answer("a", text)], [example], labels=LabelSet(("calm", "worried")), reading=reading)
        assert scored[0].values["accuracy"] == right
