"""Questions are the same for a seed, mark right answers however they are written, and name misconceptions."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest

from luthier.course.question import Choice, Question, apart, ask, seed_of

SHARE = Question(
    row="9.9",
    name="share",
    text="{part:,} of {whole:,} parameters train. How many percent is that?",
    draw=lambda dice: {"part": dice.randrange(10**5, 10**7), "whole": dice.randrange(10**8, 10**9)},
    answer=lambda part, whole: 100 * part / whole,
    again=lambda part, whole: part / (whole / 100),
    wrong={"You divided the wrong way round.": lambda part, whole: whole / part,
           "You divided by the rest.": lambda part, whole: 100 * part / (whole - part) * 1.05},
    why="{part:,} / {whole:,} = {answer:.3g} %.",
    unit="%",
)  # fmt: skip
WORD = Question(
    row="9.9", name="word", text="What comes behind {n}?", draw=lambda dice: {"n": dice.randrange(10**6)},
    answer=lambda n: f"number {n + 1}", again=lambda n: f"number {1 + n}",
    wrong={"You went back.": lambda n: f"number {n - 1}"}, why="{answer}",
)  # fmt: skip
CHOICE = Choice(
    row="9.9", name="choice", text="Which?", right="this", wrong={"that": "Not that.", "other": "No."}, why="So."
)


def test_a_seed_is_of_salt_learner_and_item() -> None:
    assert seed_of("a", "b", "c") == seed_of("a", "b", "c")
    assert len({seed_of(*parts) for parts in (("a", "b", "c"), ("x", "b", "c"), ("a", "x", "c"), ("a", "b", "x"))}) == 4
    assert ask(SHARE, 5).text == ask(SHARE, 5).text != ask(SHARE, 6).text


@pytest.mark.parametrize("form", ["{:.4g}", "{:.4g} %", "{:.4g}%"])
def test_a_share_is_right_as_percent_and_as_a_share(form: str) -> None:
    for seed in range(50):
        asked = ask(SHARE, seed)
        typed = form.format(asked.answer)
        assert asked.mark(typed).right and asked.mark(typed.replace(".", ",")).right
        assert asked.mark(f"{asked.answer / 100:.6f}").right


def test_a_wrong_answer_is_named_and_another_is_only_wrong() -> None:
    asked = ask(SHARE, 1)
    for misconception, value in asked.wrong.items():
        mark = asked.mark(f"{value:.6g}")
        assert not mark.right and mark.misconception == misconception and misconception in mark.says
    other = asked.mark("1e12")
    assert not other.right and other.misconception is None and other.readable
    assert not asked.mark("some").readable


def test_texts_are_compared_without_case_and_white_space() -> None:
    asked = ask(WORD, 3)
    assert asked.mark(f"  NUMBER   {asked.values['n'] + 1} ").right
    assert asked.mark(f"number {asked.values['n'] - 1}").misconception == "You went back."
    for form in ('"number {}"', "\u201cnumber {}.\u201d", "'number {}'.", "number {}/", "Number {} ."):
        assert asked.mark(form.format(asked.values["n"] + 1)).right
    for empty in ("", "  \t"):
        assert not asked.mark(empty).readable
    assert ask(replace(WORD, answer=lambda: '"', wrong={"A stop.": lambda: "."}), 1).mark('"').right


def test_a_choice_is_answered_by_letter_or_words_and_its_order_follows_the_seed() -> None:
    assert len({ask(CHOICE, seed).options for seed in range(40)}) == 6
    asked = ask(CHOICE, 2)
    letter = "abc"[asked.options.index("this")]
    assert asked.mark(letter.upper()).right and asked.mark(f"{letter})").right and asked.mark("This").right
    assert asked.mark("that").misconception == "Not that." and not asked.mark("d").readable


def test_a_draw_is_repeated_until_no_misconception_is_right_by_accident() -> None:
    close = replace(
        SHARE, draw=lambda dice: {"part": 1, "whole": dice.choice((100, 1000))}, unit="",
        answer=lambda part, whole: whole, again=lambda part, whole: whole, wrong={"It is 100.": lambda: 100},
    )  # fmt: skip
    assert {ask(close, seed).answer for seed in range(50)} == {1000}
    never = replace(close, wrong={"It is right.": lambda whole: whole * 1.001})
    with pytest.raises(ValueError, match=r"9\.9/share: in 1000 draws"):
        ask(never, 0)
    assert Random(0).random() == Random(0).random()


@pytest.mark.parametrize(
    ("answer", "wrong", "are_apart"),
    [
        (40.0, 0.0, True),
        (40.0, 1.0, True),
        (40.0, 40.4, False),
        (40.0, 0.4, False),
        (0.4, 40.0, False),
        (3.0, 5.0, True),
    ],
)
def test_shares_are_apart_whichever_way_they_are_read(answer: float, wrong: float, are_apart: bool) -> None:
    share = replace(SHARE, unit="%", tolerance=0.005)
    assert apart(share, answer, {"It is not.": wrong}) is are_apart
