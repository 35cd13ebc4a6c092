"""Would the verdicts be the same if all arms had answered at the same length?

    arms, their scores --budgets--> rows: as answered, under three budgets of words, cut to two sentences

ROUGE's F rewards a lucky length, so answers are cut to fixed budgets and scored and compared again. The budgets are the
quartiles of the references' words on dev. These rows are descriptive: the study's verdict stays the one on the answers
as they were given. The shape of what is returned is that of "budgets" in profile.py's docstring.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from luthier.records import Answer, Example, Score
from luthier.scoring.score import score
from luthier.verdicts.compare import compare

Row = dict[str, Any]
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
) -> Row:
    """The arms as answered, under three budgets of words, and cut to two sentences; and which verdicts change."""
    lengths = [len(text.split()) for example in (dev or examples) for text in example.references]
    parts = (0.25, 0.5, 0.75) if lengths else ()
    quartiles = [max(1, round(float(np.quantile(lengths, part)))) for part in parts]
    cuts: list[tuple[Any, Callable[[str], str]]] = [(n, functools.partial(cut_words, words=n)) for n in quartiles]
    rows = [_row(None, scores, deciding, margin, level)]
    for budget, cut in [*cuts, ("two sentences", cut_sentences)]:
        again = {
            name: _scored_again(answers, scores[name], examples, (deciding,), cut) for name, answers in arms.items()
        }
        rows.append(_row(budget, again, deciding, margin, level))
    for row in rows:
        row |= _flips(rows[0], row)
    return {
        "reference words": {"n": len(lengths), "quartiles": quartiles},
        "of": "dev" if dev else "test",
        "rows": rows,
    }


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


def _row(budget: Any, scores: Mapping[str, Sequence[Score]], deciding: str, margin: float, level: float) -> Row:
    """One comparison on the deciding metric alone: the others were compared already, and BLEU's bootstrap is slow."""
    alone = {name: [_only(one, deciding) for one in own] for name, own in scores.items()}
    result = compare(alone, deciding=deciding, margin=margin, level=level, baselines=())
    return {
        "budget": budget,
        "arms": {name: row[deciding] for name, row in result["arms"].items()},
        "ship": {key: result["ship"][key] for key in ("verdict", "arm", "provisional")},
        "verdicts": [{key: pair[key] for key in ("a", "b", "verdict")} for pair in result["pairs"]],
    }


def _only(one: Score, metric: str) -> Score:
    statistics = {key: counts for key, counts in one.statistics.items() if key == metric}
    reasons = {key: reason for key, reason in one.reasons.items() if key == metric}
    values = {metric: one.values.get(metric)}
    return dataclasses.replace(one, values=values, statistics=statistics, reasons=reasons)


def _flips(plain: Row, row: Row) -> Row:
    """The verdicts that this budget changes, and whether it would ship another arm."""
    pairs = zip(plain["verdicts"], row["verdicts"], strict=True)
    flips = [
        {"a": old["a"], "b": old["b"], "before": old["verdict"], "after": new["verdict"]}
        for old, new in pairs
        if old["verdict"] != new["verdict"]
    ]
    return {"flips": flips, "ship_flips": plain["ship"]["arm"] != row["ship"]["arm"]}
