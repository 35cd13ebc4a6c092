"""The verdicts that a length budget turns round."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from luthier.records import Answer, Example
from luthier.results.profile_record import EqualLengths, ReferenceWords
from luthier.scoring.score import score
from luthier.scoring.words import cut
from luthier.verdicts.equal_length import at_equal_length, cut_sentences
from tests.verdicts.test_profile import EXAMPLES, LONG, SHORT


def of(dev: Sequence[Example] = (), **arms: list[Answer]) -> EqualLengths:
    scores = {name: score(answers, EXAMPLES, ("rouge1",)) for name, answers in arms.items()}
    return at_equal_length(arms, scores, EXAMPLES, dev, "rouge1", margin=0.02, level=0.95)


def test_cut_words_and_sentences() -> None:
    assert cut("one  two\nthree four", 3) == "one  two\nthree"
    assert cut("one two", 5) == "one two"
    assert cut_sentences("Dr. Lee came. He left! Nobody saw it.") == "Dr. Lee came. He left!"
    assert cut_sentences("It is 3.5 metres. Yes.") == "It is 3.5 metres. Yes."


def test_a_budget_turns_a_verdict_round() -> None:
    """As answered the short arm wins by its length; at eight words the long one does."""
    result = of(short=SHORT, long=LONG)
    plain, cut = result.rows[0], result.rows[1]
    assert result.reference_words == ReferenceWords(n=30, quartiles=(8, 8, 8)) and result.of == "test"
    assert [row.budget for row in result.rows] == [None, 8, 8, 8, "two sentences"]
    assert plain.verdicts[0].verdict == "better" and plain.flips == ()
    assert cut.arms["long"].mean == pytest.approx(1)
    assert cut.flips and cut.flips[0].before == "better" and cut.ship_flips
    assert result.rows[-1].arms["long"].mean > plain.arms["long"].mean


def test_budgets_come_from_dev_where_there_is_one() -> None:
    dev = [Example("x", "y", ("one two three four",))]
    result = of(dev, short=SHORT)
    assert (result.of, result.reference_words.quartiles) == ("dev", (4, 4, 4))
