"""Objectives: exact counts, and nothing that sees another document."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from luthier.errors import SettingsError
from luthier.scratch.objectives import (
    IGNORE,
    SENTINELS,
    Vocabulary,
    corrupted,
    masked,
    packed,
    span_lengths,
    tokens_for_inputs,
    with_prefix,
)

END = 99
WORDS = Vocabulary(size=100, end=END)
DOCUMENTS = st.lists(st.lists(st.integers(0, 98), min_size=1, max_size=30), min_size=1, max_size=8)


@settings(deadline=None)
@given(DOCUMENTS, st.integers(4, 20))
def test_packed_rows_hold_every_token_once_and_predict_it_from_its_own_document(
    documents: list[list[int]], length: int
) -> None:
    rows = list(packed(documents, length, END))
    assert all(len(row.ids) == len(row.documents) == len(row.targets) == length for row in rows)
    read = [(i, t) for row in rows for i, n, t in zip(row.ids, row.documents, row.targets, strict=True) if n >= 0]
    expected = [pair for doc in documents for pair in zip([END, *doc], [*doc, END], strict=True)]
    assert read == expected
    for row in rows:
        assert row.supervised == sum(number >= 0 for number in row.documents)
        for at in range(1, length):  # within a document each target is what is read next; a new one begins with END
            if row.documents[at] == row.documents[at - 1] and row.documents[at] >= 0:
                assert row.targets[at - 1] == row.ids[at]
            elif row.documents[at] >= 0:
                assert row.ids[at] == END


@pytest.mark.parametrize("inputs, tokens, targets", [(512, 568, 114), (128, 141, 29)])
def test_span_corruption_has_t5_s_counts(inputs: int, tokens: int, targets: int) -> None:
    assert tokens_for_inputs(inputs) == tokens
    assert span_lengths(tokens)[2:] == (inputs, targets)
    row = corrupted([n % 90 for n in range(tokens)], WORDS, random.Random(0))
    assert (len(row.source), len(row.targets), len(row.ids)) == (inputs, targets, targets)


def test_rows_too_short_for_spans_are_a_sentence() -> None:
    with pytest.raises(SettingsError, match="rows of 2 are too short"):
        tokens_for_inputs(2)


@settings(deadline=None)
@given(st.lists(st.integers(0, 98), min_size=8, max_size=200), st.integers(0, 10**6))
def test_corrupted_text_can_be_put_together_again(tokens: list[int], seed: int) -> None:
    row = corrupted(tokens, WORDS, random.Random(seed))
    first = WORDS.sentinel(0)
    spans: dict[int, list[int]] = {}
    for token in row.targets[:-1]:
        if token >= first:
            spans[token] = []
        else:
            spans[list(spans)[-1]].append(token)
    whole = [part for token in row.source[:-1] for part in (spans[token] if token >= first else [token])]
    assert whole == tokens
    assert sorted(spans) == [WORDS.sentinel(n) for n in range(len(spans))] and len(spans) <= SENTINELS
    assert sum(map(len, spans.values())) == span_lengths(len(tokens))[0] and min(map(len, spans.values())) >= 1
    assert row.ids == (END, *row.targets[:-1]) and row.source[-1] == row.targets[-1] == END


def test_masked_has_the_exact_counts() -> None:
    (row,) = packed([[n % 90 for n in range(999)]], 1000, END)
    changed = masked(row, WORDS, random.Random(0))
    chosen = [n for n, target in enumerate(changed.targets) if target != IGNORE]
    assert len(chosen) == round(0.15 * 999)
    assert all(changed.targets[n] == row.ids[n] for n in chosen)
    hidden = sum(changed.ids[n] == WORDS.mask for n in chosen)
    assert hidden == round(0.8 * len(chosen))
    assert all(a == b for n, (a, b) in enumerate(zip(changed.ids, row.ids, strict=True)) if n not in chosen)
    left = sum(changed.ids[n] == row.ids[n] for n in chosen)
    assert 0 <= left - (len(chosen) - hidden - round(0.1 * len(chosen))) <= 2  # a drawn id may be the same
    assert END not in [changed.targets[n] for n in chosen]


@pytest.mark.parametrize("seed", range(30))
def test_no_target_stands_inside_the_prefix(seed: int) -> None:
    (row,) = packed([list(range(12)), [5, 6]], 16, END)
    made = with_prefix(row, random.Random(seed))
    border = sum(made.prefix)
    assert 1 <= border <= 12 and made.prefix == tuple(n < border for n in range(16))
    assert (
        made.targets[: border - 1] == (IGNORE,) * (border - 1)
        and made.targets[border - 1 :] == row.targets[border - 1 :]
    )
