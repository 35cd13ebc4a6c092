"""Long and strange texts are read in time that grows with their length, and no number is too long to be read."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luthier.records import Answer, Example
from luthier.scoring.facts import unsupported
from luthier.scoring.quantities import loose_readings, quantities
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


def seconds(act: Callable[[], object]) -> float:
    began = time.process_time()
    act()
    return time.process_time() - began


@pytest.mark.parametrize("piece", [*PIECES, "Anna{i} "])
def test_eight_times_the_text_takes_no_more_than_thirty_times_as_long(piece: str) -> None:
    """The square would be 64 times. A share of one process's time, so that a slow machine says the same."""

    def read(count: int) -> float:
        text = "".join(piece.format(i=chr(97 + i % 26) * (i % 7)) for i in range(count))
        return min(seconds(lambda: [unsupported(text, Source("Ann: Hello.")), unsupported("Ann.", Source(text))])
                   for _ in range(2))  # fmt: skip

    assert read(2400) < 30 * max(read(300), 0.003)


def test_a_row_of_20_000_words_is_scored() -> None:
    text = " ".join(f"w{i % 997}" for i in range(20_000))
    (same,) = score([Answer("a", text)], [Example("a", "", (text,))], ["rougeL", "rouge1"])
    assert same.values["rougeL"] == same.values["rouge1"] == 1
