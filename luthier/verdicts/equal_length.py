"""Would the verdicts be the same if all arms had answered at the same length?

    arms, scores --at_equal_length--> EqualLengths: as answered, under three word limits, cut to two sentences

ROUGE's F depends on the length of an answer. So answers are cut to fixed word limits, scored and compared again. The
limits are the quartiles of the references' words on dev. These rows are descriptive: the study's verdict is the one on
the answers as they were given.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from luthier.records import Answer, Example, Score
from luthier.results.comparison import Comparison, Mean
from luthier.results.profile_record import (
    EqualLengthDecision,
    EqualLengthRow,
    EqualLengths,
    Flip,
    PairVerdict,
    ReferenceWords,
    WordLimit,
)
from luthier.scoring.rouge import SENTENCE_END
from luthier.scoring.score import score
from luthier.scoring.words import ENGLISH, Reading, Words, cut, length
from luthier.verdicts.compare import comparison

Arms = Mapping[str, Sequence[Answer]]


def cut_sentences(text: str, sentences: int = 2, words: Words = "ascii") -> str:
    """The first sentences. A sentence ends at . ! or ? before space, but not after Mr, Mrs, Ms or Dr; with other than
    ascii words, at any script's full stop."""
    end = re.compile(r"(?<!\bMr)(?<!\bMrs)(?<!\bMs)(?<!\bDr)[.!?]+(?=\s)") if words == "ascii" else SENTENCE_END
    ends = [m.end() for m in end.finditer(text)]
    return text if len(ends) < sentences else text[: ends[sentences - 1]]


def at_equal_length(
    arms: Arms,
    scores: Mapping[str, Sequence[Score]],
    examples: Sequence[Example],
    dev: Sequence[Example],
    deciding: str,
    margin: float,
    level: float,
    reading: Reading = ENGLISH,
) -> EqualLengths:
    """The arms as answered, under three word limits, and cut to two sentences; and the verdicts that change."""
    words = reading.words
    lengths = [length(text, words) for example in (dev or examples) for text in example.references]
    parts = (0.25, 0.5, 0.75) if lengths else ()
    quartiles = [max(1, round(float(np.quantile(lengths, part)))) for part in parts]
    limits = [(n, functools.partial(cut, most=n, words=words)) for n in quartiles]
    cuts: list[tuple[WordLimit, Callable[[str], str]]] = [
        *limits, ("two sentences", functools.partial(cut_sentences, words=words))
    ]  # fmt: skip
    plain = _compared(scores, deciding, margin, level)
    rows = [_row(None, plain, plain)]
    for limit, shorten in cuts:
        again = {
            name: _scored_again(answers, scores[name], examples, (deciding,), shorten, reading)
            for name, answers in arms.items()
        }
        rows.append(_row(limit, _compared(again, deciding, margin, level), plain))
    counted = ReferenceWords(n=len(lengths), quartiles=tuple(quartiles))
    return EqualLengths(**{"reference words": counted}, of="dev" if dev else "test", rows=tuple(rows))


def _scored_again(
    answers: Sequence[Answer],
    scores: Sequence[Score],
    examples: Sequence[Example],
    metrics: tuple[str, ...],
    shorten: Callable[[str], str],
    reading: Reading,
) -> list[Score]:
    """The scores of the cut answers; an answer that the cut does not change keeps its score."""
    shorter = {a.id: dataclasses.replace(a, text=short) for a in answers if (short := shorten(a.text)) != a.text}
    rule = scores[0].references
    again = {one.id: one for one in score(shorter.values(), examples, metrics, references=rule, reading=reading)}
    return [again.get(one.id, one) for one in scores]


def _compared(scores: Mapping[str, Sequence[Score]], deciding: str, margin: float, level: float) -> Comparison:
    """One comparison on the deciding metric alone; the others are not needed, and BLEU's bootstrap is slow."""
    alone = {name: [_only(one, deciding) for one in own] for name, own in scores.items()}
    return comparison(alone, deciding=deciding, margin=margin, level=level, baselines=())


def _only(one: Score, metric: str) -> Score:
    statistics = {key: counts for key, counts in one.statistics.items() if key == metric}
    reasons = {key: reason for key, reason in one.reasons.items() if key == metric}
    values = {metric: one.values.get(metric)}
    return dataclasses.replace(one, values=values, statistics=statistics, reasons=reasons)


def _row(limit: WordLimit, compared: Comparison, plain: Comparison) -> EqualLengthRow:
    """The comparison under one limit, and the verdicts that differ from `plain`, the answers as given."""
    ship = compared.ship
    flips = (
        Flip(a=old.a, b=old.b, before=old.verdict, after=new.verdict)
        for old, new in zip(plain.pairs, compared.pairs, strict=True)
        if old.verdict != new.verdict
    )
    return EqualLengthRow(
        budget=limit,
        arms={name: Mean(**rows[compared.deciding].as_json()) for name, rows in compared.arms.items()},
        ship=EqualLengthDecision(verdict=ship.verdict, arm=ship.arm, provisional=ship.provisional),
        verdicts=tuple(PairVerdict(a=pair.a, b=pair.b, verdict=pair.verdict) for pair in compared.pairs),
        flips=tuple(flips),
        ship_flips=plain.ship.arm != ship.arm,
    )
