"""Would the verdicts be the same if all arms had answered at the same length?

    arms, their scores --budgets--> Budgets: as answered, under three budgets of words, cut to two sentences

ROUGE's F rewards a lucky length, so answers are cut to fixed budgets and scored and compared again. The budgets are the
quartiles of the references' words on dev. These rows are descriptive: the study's verdict stays the one on the answers
as they were given.
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
    Budget,
    BudgetDecision,
    BudgetRow,
    Budgets,
    Flip,
    PairVerdict,
    ReferenceWords,
)
from luthier.scoring.score import score
from luthier.verdicts.compare import comparison

Arms = Mapping[str, Sequence[Answer]]


def cut_words(text: str, words: int) -> str:
    """The first `words` words by whitespace; spaces and lines between them stay."""
    matches = list(re.finditer(r"\S+", text))
    return text if len(matches) <= words else text[: matches[words - 1].end()]


def cut_sentences(text: str, sentences: int = 2) -> str:
    """The first sentences; one ends at . ! or ? before space. Mr. and Dr. end none."""
    ends = [m.end() for m in re.finditer(r"(?<!\bMr)(?<!\bMrs)(?<!\bMs)(?<!\bDr)[.!?]+(?=\s)", text)]
    return text if len(ends) < sentences else text[: ends[sentences - 1]]


def budgets(
    arms: Arms,
    scores: Mapping[str, Sequence[Score]],
    examples: Sequence[Example],
    dev: Sequence[Example],
    deciding: str,
    margin: float,
    level: float,
) -> Budgets:
    """The arms as answered, under three budgets of words, and cut to two sentences; and which verdicts change."""
    lengths = [len(text.split()) for example in (dev or examples) for text in example.references]
    parts = (0.25, 0.5, 0.75) if lengths else ()
    quartiles = [max(1, round(float(np.quantile(lengths, part)))) for part in parts]
    cuts: list[tuple[Budget, Callable[[str], str]]] = [(n, functools.partial(cut_words, words=n)) for n in quartiles]
    plain = _compared(scores, deciding, margin, level)
    rows = [_row(None, plain, plain)]
    for budget, cut in [*cuts, ("two sentences", cut_sentences)]:
        again = {
            name: _scored_again(answers, scores[name], examples, (deciding,), cut) for name, answers in arms.items()
        }
        rows.append(_row(budget, _compared(again, deciding, margin, level), plain))
    words = ReferenceWords(n=len(lengths), quartiles=tuple(quartiles))
    return Budgets(**{"reference words": words}, of="dev" if dev else "test", rows=tuple(rows))


def _scored_again(
    answers: Sequence[Answer],
    scores: Sequence[Score],
    examples: Sequence[Example],
    metrics: tuple[str, ...],
    cut: Callable[[str], str],
) -> list[Score]:
    """The scores of the cut answers; an answer that the cut leaves as it is keeps its score."""
    shorter = {a.id: dataclasses.replace(a, text=short) for a in answers if (short := cut(a.text)) != a.text}
    rule = scores[0].references
    again = {one.id: one for one in score(shorter.values(), examples, metrics, references=rule)}
    return [again.get(one.id, one) for one in scores]


def _compared(scores: Mapping[str, Sequence[Score]], deciding: str, margin: float, level: float) -> Comparison:
    """One comparison on the deciding metric alone: the others were compared already, and BLEU's bootstrap is slow."""
    alone = {name: [_only(one, deciding) for one in own] for name, own in scores.items()}
    return comparison(alone, deciding=deciding, margin=margin, level=level, baselines=())


def _only(one: Score, metric: str) -> Score:
    statistics = {key: counts for key, counts in one.statistics.items() if key == metric}
    reasons = {key: reason for key, reason in one.reasons.items() if key == metric}
    values = {metric: one.values.get(metric)}
    return dataclasses.replace(one, values=values, statistics=statistics, reasons=reasons)


def _row(budget: Budget, found: Comparison, plain: Comparison) -> BudgetRow:
    """What a budget says, and the verdicts that it changes against `plain`, the answers as they were given."""
    ship = found.ship
    flips = (
        Flip(a=old.a, b=old.b, before=old.verdict, after=new.verdict)
        for old, new in zip(plain.pairs, found.pairs, strict=True)
        if old.verdict != new.verdict
    )
    return BudgetRow(
        budget=budget,
        arms={name: Mean(**rows[found.deciding].as_json()) for name, rows in found.arms.items()},
        ship=BudgetDecision(verdict=ship.verdict, arm=ship.arm, provisional=ship.provisional),
        verdicts=tuple(PairVerdict(a=pair.a, b=pair.b, verdict=pair.verdict) for pair in found.pairs),
        flips=tuple(flips),
        ship_flips=plain.ship.arm != ship.arm,
    )
