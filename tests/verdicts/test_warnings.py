"""Warnings as records: each kind with its words, and what of them follows from compare.json alone."""

from __future__ import annotations

import pytest

from luthier.records import Score
from luthier.results.comparison import Comparison
from luthier.verdicts.compare import comparison
from luthier.verdicts.warnings import (
    AbsentBaselines,
    ExamplesLeftOut,
    FewUnits,
    LaterLook,
    NoEquivalence,
    OptimisticBest,
    RowsOfOneUnit,
    SameScores,
    SeveralReferences,
    UnbeatenBaselines,
    Warned,
    sentences_besides,
    warnings_of,
    words,
)

SAID: list[tuple[Warned, str]] = [
    (
        ExamplesLeftOut("lora", "rouge1", {"no answer": 2, "the reference is empty": 1}),
        "3 examples are left out for every arm: lora has no rouge1 for them: no answer (2), the reference is empty "
        "(1).",
    ),
    (FewUnits(9), "Only 9 independent units: below 20 every verdict is 'cannot tell'."),
    (RowsOfOneUnit(40, 20, 3), "40 examples are 20 independent units (of up to 3 rows); intervals count units."),
    (
        SeveralReferences(1, 3, "mean"),
        "Examples have 1 to 3 references, which make one score, not several units (ROUGE: mean).",
    ),
    (
        SeveralReferences(3, 3, "max"),
        "Examples have 3 references, which make one score, not several units (ROUGE: max).",
    ),
    (
        LaterLook(3, 0.00625),
        "This is look 3 at this test set, so verdicts need 99.375 % confidence: each look may err half as often as "
        "the one before it.",
    ),
    (
        OptimisticBest("lora", 3),
        "The mean of lora is optimistic, being the highest of 3: quote its simultaneous interval.",
    ),
    (NoEquivalence(9, 0.02), "With n = 9 and a margin of 0.020 no pair of arms can be found equivalent."),
    (SameScores("a", "b"), "a and b score the same in everything; most likely they answer the same."),
    (
        AbsentBaselines(("copy-3", "zero-shot")),
        "Not among the arms, so that nobody knows whether an arm beats it: copy-3, zero-shot.",
    ),
    (
        UnbeatenBaselines("lora", ("copy-3", "zero-shot")),
        "lora is not shown to beat the baseline copy-3, zero-shot.",
    ),
]


@pytest.mark.parametrize(("warning", "sentence"), SAID, ids=[sentence[:30] for _, sentence in SAID])
def test_the_words_of_each_kind(warning: Warned, sentence: str) -> None:
    assert words(warning) == sentence


@pytest.fixture
def few() -> Comparison:
    """Twelve rows of six units, two arms that say the same, one arm without a value, one baseline absent."""

    def scores(value: float, lacking: int = 0) -> list[Score]:
        ids = [f"e{i}" for i in range(12 - lacking)]
        return [Score(id, f"u{i // 2}", {"rouge1": value}, reference_count=2) for i, id in enumerate(ids)]

    return comparison({"zero-shot": scores(0.4), "a": scores(0.4), "b": scores(0.5, lacking=2)}, look=2)


def test_every_kind_in_the_order_in_which_it_is_said(few: Comparison) -> None:
    assert [words(warning) for warning in warnings_of(few)] == [
        "2 examples are left out for every arm: b has no rouge1 for them: no answer (2).",
        "Only 5 independent units: below 20 every verdict is 'cannot tell'.",
        "This is look 2 at this test set, so verdicts need 98.75 % confidence: each look may err half as often as the "
        "one before it.",
        "The mean of b is optimistic, being the highest of 3: quote its simultaneous interval.",
        "With n = 5 and a margin of 0.020 no pair of arms can be found equivalent.",
        "zero-shot and a score the same in everything; most likely they answer the same.",
        "The scores of zero-shot and a differ on none of 5 examples, so they may differ on up to 71 % of further ones; "
        "301 more on which they do not would show them equivalent within 0.02.",
        "a is not shown to beat the baseline zero-shot.",
        "b is not shown to beat the baseline zero-shot.",
    ]
    beside = [
        "10 examples are 5 independent units (of up to 2 rows); intervals count units.",
        "Examples have 2 references, which make one score, not several units (ROUGE: mean).",
        "Not among the arms, so that nobody knows whether an arm beats it: copy-3.",
    ]
    evident = [words(warning) for warning in warnings_of(few)]
    assert few.warnings == (*evident[:2], *beside[:2], *evident[2:7], beside[2], *evident[7:])


def test_a_reader_chooses_by_kind_and_not_by_words(few: Comparison) -> None:
    assert sentences_besides(few) == list(few.warnings)
    assert sentences_besides(few, UnbeatenBaselines) == list(few.warnings[:-2])
    assert sentences_besides(few, UnbeatenBaselines, FewUnits, LaterLook)[1].startswith("10 examples are 5")
    assert [warning.arm for warning in warnings_of(few) if isinstance(warning, UnbeatenBaselines)] == ["a", "b"]
