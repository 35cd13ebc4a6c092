"""Long and strange texts are read in time that grows with their length, and no number is too long to be read."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer

from luthier.records import Answer, Example
from luthier.scoring.facts import unsupported
from luthier.scoring.numbers import NEAR, before, behind
from luthier.scoring.quantities import loose_readings, quantities
from luthier.scoring.rouge import _rouge_scorer
from luthier.scoring.score import score
from luthier.scoring.source import Source

PIECES = [
    "May ", "may 3 ", "Anna ", "two hundred and five ", "1,", "1 ", "half past ", "the third of ", "-", ".", "$",
    "one ", "million ", "At ", "#Person1# ", "M R I ", "12:", "01/", "Wal-", "o'clock ", "point ", "and ",
]  # fmt: skip


@pytest.mark.parametrize("digits", ["9" * 310, "1" * 400, "1" * 310 + "k", "million " * 60, "99 " * 200])
def test_a_number_that_no_float_holds_is_no_quantity_and_no_error(digits: str) -> None:
    assert all(abs(value) < float("inf") for value in loose_readings(digits) if isinstance(value, float))
    unsupported(digits, Source(digits))
    unsupported(f"Ann paid ${digits} at {digits} o'clock on {digits} May.", Source("Ann: Hello."))


@given(st.lists(st.sampled_from(PIECES), max_size=30).map("".join))
def test_any_mixture_is_read(text: str) -> None:
    for quantity in quantities(text):
        assert text[quantity.start : quantity.end] == quantity.text
    unsupported(text, Source("Ann: Hello at 3."))
    unsupported("Ann says hello at 3 in May.", Source(text))


@given(st.text(max_size=400), st.integers(0, 400))
def test_what_is_read_beside_a_mention_does_not_grow_with_the_text(text: str, at: int) -> None:
    """A search in everything before each mention would take the square of a text's length."""
    ahead, after = before(text, at), behind(text, at)
    assert len(ahead) <= NEAR and len(after) <= NEAR
    assert text[:at].endswith(ahead) and text[at:].startswith(after)


def test_a_name_is_held_against_words_that_may_be_its_other_forms_alone() -> None:
    source = Source("Benjamin and Bela met Nina in Benin; Ann and Anna were in the Netherlands.")
    assert set(source.like("benjamim")) == {"benjamin", "benin"}
    assert {"ann", "anna"} <= set(source.like("anna")) and "nina" not in set(source.like("anna"))


@pytest.mark.parametrize("piece", [*PIECES, "Anna{i} "])
def test_a_text_of_thousands_of_mentions_is_read(piece: str) -> None:
    text = "".join(piece.format(i=chr(97 + i % 26) * (i % 7)) for i in range(3000))
    unsupported(text, Source("Ann: Hello."))
    unsupported("Ann.", Source(text))


def test_sentences_without_number_are_what_rouge_score_makes_of_them() -> None:
    """The library compares each sentence with each: a minute for 1,400 of them."""
    library, own, dice = RougeScorer(["rougeLsum"], use_stemmer=True), _rouge_scorer(("rougeLsum",)), random.Random(0)

    def text() -> str:
        signs = "abcdefgh"[: dice.randint(1, 8)]
        return "\n".join(" ".join(dice.choices(signs, k=dice.randint(0, 9))) for _ in range(dice.randint(0, 7)))

    for _ in range(300):
        reference, answer = text(), text()
        assert own.score(reference, answer) == library.score(reference, answer)
    words = ["".join(dice.choices("abcdefghij", k=dice.randint(2, 8))) for _ in range(3000)]
    one, other = (". ".join(" ".join(dice.choices(words, k=14)) for _ in range(1400)) for _ in range(2))
    (scored,) = score([Answer("a", one)], [Example("a", "", (other,))], ["rougeLsum"])
    assert 0 < (scored.values["rougeLsum"] or 0) < 1


def test_a_row_of_20_000_words_is_scored() -> None:
    text = " ".join(f"w{i % 997}" for i in range(20_000))
    (same,) = score([Answer("a", text)], [Example("a", "", (text,))], ["rougeL", "rouge1"])
    assert same.values["rougeL"] == same.values["rouge1"] == 1
