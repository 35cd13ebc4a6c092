"""What the answers of a study look like beyond its metrics: lengths, copying, repetition, unsupported facts.

    examples, arms {name: answers} --profile--> the dict that STUDY/profile.json holds

Two questions stand behind it. *Would the verdicts be the same if all arms had answered at the same length?* budgets.py
says it. *What does ROUGE not see?* Facts that the input does not hold (facts.py), answers copied from the input,
answers that repeat themselves.

The shape (plain JSON values; every claim carries its n and interval, low and high of `level`):

    format, level, deciding, margin
    signatures      name -> how a number below is defined
    budgets         {"reference words": {n, quartiles: [25 %, 50 %, 75 %]}, "of": "dev" or "test",
                     rows: [{budget: words or "two sentences" or None (as answered), arms: {name: {mean, low, high, n}},
                             ship: {verdict, arm, provisional}, verdicts: [{a, b, verdict}],
                             flips: [{a, b, before, after}], ship_flips: bool}]}
    buckets         {"input" or "reference": [{words: [from, to], n, arms: {name: {mean, low, high, n}}}]}, terciles
    arms            name -> {n,
        words           {mean, low, high, n, median, quantiles: {"5", "25", "50", "75", "95"}},
        length_ratio    {mean, low, high, n, quantiles},
        copied          {coverage, density, trigrams: each {mean, low, high, n}},
        repeated        {mean, low, high, n}: share of an answer's trigrams that it said before,
        empty, hit_limit, only_tags    each {share, low, high, yes, n, ids: up to 5}; hit_limit None where not known,
        facts           {any: {share, low, high, yes, n}, kinds: {kind: the same},
                         examples: [{id, text, findings: [{kind, text, start, end, why}]}], up to 5}}
    not_checked     what facts.py cannot see

Scores are those of score.py; verdicts those of compare.py, with the study's own deciding metric and margin. The budget
rows are descriptive: the study's verdict stays the one on the answers as they were given.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean, median

import numpy as np

from luthier.errors import DataError
from luthier.files import write_json
from luthier.metrics import DECIDING, MARGIN
from luthier.records import Answer, Example, Score
from luthier.scoring.facts import KINDS, NOT_CHECKED, Fact, Source, common_words, unsupported
from luthier.scoring.score import score, signature, words_of
from luthier.stats import intervals
from luthier.verdicts.decide import arm_row
from luthier.verdicts.equal_length import Arms, Row, budgets

SHOWN = 5  # ids and examples that are listed of each arm
QUANTILES = (5, 25, 50, 75, 95)
_TRIGRAM = 3
SIGNATURES = {
    "words": "words by whitespace",
    "budget": "answers cut to the first words by whitespace; references as they are",
    "two sentences": "cut after the second . ! or ? that is followed by space",
    "coverage": "share of the answer's words inside extractive fragments (Grusky et al. 2018, Newsroom, section 4.1)",
    "density": "mean squared length of extractive fragments over the answer's words (the same)",
    "trigrams": "share of the answer's word trigrams that occur in the input|lower case, punctuation dropped",
    "repeated": "1 - distinct / all word trigrams of the answer",
    "only_tags": "nothing but speaker tags such as #Person1#: and punctuation",
    "hit_limit": "stopped by the limit on new tokens",
    "facts": "at least one finding of luthier/scoring/facts.py; see docs/facts.md for its recall and false alarms",
}


def write_profile(
    path: Path,
    arms: Arms,
    examples: Sequence[Example],
    dev: Sequence[Example],
    *,
    deciding: str,
    margin: float,
    references: str = "mean",
) -> None:
    """Writes STUDY/profile.json, without arms that have no answers yet; raises what `profile` raises."""
    arms = {name: answers for name, answers in arms.items() if answers}
    write_json(path, profile(arms, examples, dev, deciding=deciding, margin=margin, references=references))


def profile(
    arms: Arms,
    examples: Sequence[Example],
    dev: Sequence[Example] = (),
    *,
    deciding: str = DECIDING,
    margin: float = MARGIN,
    references: str = "mean",
    level: float = 0.95,
) -> Row:
    """Everything above of arms' answers to `examples`; the budgets come from the references of `dev`, if there are any.

    Raises DataError when an answer belongs to none of the examples, or an arm has none at all.
    """
    by_id = {example.id: example for example in examples}
    for name, answers in arms.items():
        if not answers or any(answer.id not in by_id for answer in answers):
            raise DataError(
                f"arm '{name}' has no answers, or some to other examples; profile it with the rows it answered"
            )
    common = common_words(example.input for example in examples)
    sources = {example.id: _Input(example.input, common) for example in examples}
    asked = (deciding, "length_ratio")
    scores = {name: score(answers, examples, asked, references=references) for name, answers in arms.items()}
    return {
        "format": 1,
        "level": level,
        "deciding": deciding,
        "margin": margin,
        "signatures": {deciding: signature(deciding, references), **SIGNATURES},
        "budgets": budgets(arms, scores, examples, dev, deciding, margin, level),
        "buckets": _buckets(scores, by_id, deciding, level),
        "arms": {name: _arm(answers, scores[name], by_id, sources, level) for name, answers in arms.items()},
        "not_checked": list(NOT_CHECKED),
    }


# ------------------------------------------------------------------------------------------------- length buckets


def _buckets(
    scores: Mapping[str, Sequence[Score]], examples: Mapping[str, Example], deciding: str, level: float
) -> Row:
    """The deciding metric by terciles of the input's and of the (mean) reference's words."""
    lengths = {
        "input": {e.id: float(len(e.input.split())) for e in examples.values()},
        "reference": {e.id: fmean(len(r.split()) for r in e.references) for e in examples.values() if e.references},
    }
    return {what: _terciles(scores, of, deciding, level) for what, of in lengths.items() if of}


def _terciles(
    scores: Mapping[str, Sequence[Score]], lengths: Mapping[str, float], deciding: str, level: float
) -> list[Row]:
    low, high = (float(np.quantile(list(lengths.values()), part)) for part in (1 / 3, 2 / 3))
    parts = [
        [id for id, words in lengths.items() if words <= low],
        [id for id, words in lengths.items() if low < words <= high],
        [id for id, words in lengths.items() if words > high],
    ]
    return [
        {
            "words": [min(lengths[id] for id in ids), max(lengths[id] for id in ids)],
            "n": len(ids),
            "arms": {name: _bucket_mean(own, set(ids), deciding, level) for name, own in scores.items()},
        }
        for ids in parts
        if ids
    ]


def _bucket_mean(scores: Sequence[Score], ids: set[str], deciding: str, level: float) -> Row:
    inside = [(one.values[deciding], one.unit) for one in scores if one.id in ids]
    return _mean([(value, unit) for value, unit in inside if value is not None], level)


# ---------------------------------------------------------------------------------------------------- one arm


class _Input:
    """An input, read once for all arms."""

    def __init__(self, text: str, common: Collection[str]) -> None:
        self.source = Source(text, common)
        self.words = words_of(text)
        self.trigrams = set(_trigrams(self.words))
        self.places: dict[str, list[int]] = {}  # word -> where it stands
        for at, word in enumerate(self.words):
            self.places.setdefault(word, []).append(at)


def _arm(
    answers: Sequence[Answer],
    scores: Sequence[Score],
    examples: Mapping[str, Example],
    inputs: Mapping[str, _Input],
    level: float,
) -> Row:
    units = [examples[answer.id].unit for answer in answers]
    lengths = [len(answer.text.split()) for answer in answers]
    ratios = [(one.values["length_ratio"], one.unit) for one in scores]
    known = [(value, unit) for value, unit in ratios if value is not None]
    told = [answer for answer in answers if answer.stop != "given"]
    return {
        "n": len(answers),
        "words": _mean(list(zip(lengths, units, strict=True)), level)
        | {"median": float(median(lengths)), "quantiles": _quantiles(lengths)},
        "length_ratio": _mean(known, level) | {"quantiles": _quantiles([value for value, _ in known])},
        **_copying(answers, units, inputs, level),
        "empty": _share(answers, units, lambda answer: not answer.text.strip(), level),
        "only_tags": _share(answers, units, lambda answer: only_tags(answer.text), level),
        "hit_limit": _share(told, [examples[a.id].unit for a in told], lambda answer: answer.stop == "length", level),
        "facts": _facts(answers, units, inputs, level),
    }


def only_tags(text: str) -> bool:
    """Whether a text says nothing but who speaks: "#Person1#:", "Anna:" alone is a word and counts as one."""
    return bool(text.strip()) and not re.search(r"\w", re.sub(r"#\w+#", "", text))


def _copying(answers: Sequence[Answer], units: Sequence[str], inputs: Mapping[str, _Input], level: float) -> Row:
    columns: dict[str, list[tuple[float, str]]] = {"coverage": [], "density": [], "trigrams": [], "repeated": []}
    for answer, unit in zip(answers, units, strict=True):
        words, source = words_of(answer.text), inputs[answer.id]
        if words and source.words:
            lengths = fragments(words, source.words, source.places)
            columns["coverage"].append((sum(lengths) / len(words), unit))
            columns["density"].append((sum(n * n for n in lengths) / len(words), unit))
        if grams := _trigrams(words):
            columns["repeated"].append((1 - len(set(grams)) / len(grams), unit))
            if source.words:
                columns["trigrams"].append((fmean(gram in source.trigrams for gram in grams), unit))
    means = {name: _mean(values, level) for name, values in columns.items()}
    return {
        "copied": {name: means[name] for name in ("coverage", "density", "trigrams")},
        "repeated": means["repeated"],
    }


def fragments(words: Sequence[str], source: Sequence[str], places: Mapping[str, Sequence[int]]) -> list[int]:
    """The lengths of the extractive fragments: greedily, from left to right, the longest run that the source holds.

    Grusky, Naaman & Artzi 2018, "Newsroom", section 4.1, figure 3. coverage = sum / n, density = sum of squares / n.
    places: word -> its positions in source.
    """
    found, at = [], 0
    while at < len(words):
        longest = 0
        for start in places.get(words[at], ()):
            length = 1
            while (
                at + length < len(words)
                and start + length < len(source)
                and words[at + length] == source[start + length]
            ):
                length += 1
            longest = max(longest, length)
        if longest:
            found.append(longest)
        at += max(longest, 1)
    return found


def _trigrams(words: Sequence[str]) -> list[tuple[str, ...]]:
    return [tuple(words[at : at + _TRIGRAM]) for at in range(len(words) - _TRIGRAM + 1)]


def _facts(answers: Sequence[Answer], units: Sequence[str], inputs: Mapping[str, _Input], level: float) -> Row:
    found = {answer.id: unsupported(answer.text, inputs[answer.id].source) for answer in answers}

    def having(kind: str) -> Row | None:
        return _share(answers, units, lambda answer: any(fact.kind == kind for fact in found[answer.id]), level)

    shown = [answer for answer in answers if found[answer.id]][:SHOWN]
    return {
        "any": _share(answers, units, lambda answer: bool(found[answer.id]), level),
        "kinds": {kind: having(kind) for kind in KINDS},
        "examples": [{"id": a.id, "text": a.text, "findings": [_as_row(fact) for fact in found[a.id]]} for a in shown],
    }


def _as_row(fact: Fact) -> Row:
    return dataclasses.asdict(fact)


# ------------------------------------------------------------------------------------------------------ estimates


def _mean(values: Sequence[tuple[float, str]], level: float) -> Row:
    """Mean over units with its interval; all None and n = 0 where there is nothing to average."""
    if not values:
        return arm_row(None, level)
    means, _ = intervals.by_unit([float(value) for value, _ in values], [unit for _, unit in values])
    return arm_row(intervals.mean_of(means), level)


def _share(
    answers: Sequence[Answer], units: Sequence[str], asked: Callable[[Answer], bool], level: float
) -> Row | None:
    """The share of answers that are so, over units, with Wilson's interval, and the first few ids; None of none."""
    if not answers:
        return None
    told = [asked(answer) for answer in answers]
    yes = [answer.id for answer, so in zip(answers, told, strict=True) if so]
    means, _ = intervals.by_unit([float(so) for so in told], units)
    estimate = intervals.share_of(means)
    ends = intervals.ends_of(estimate.interval(level))
    return {"share": estimate.value, **ends, "yes": len(yes), "n": estimate.n, "ids": yes[:SHOWN]}


def _quantiles(values: Iterable[float]) -> dict[str, float]:
    found = list(values)
    return {str(q): float(np.quantile(found, q / 100)) for q in QUANTILES} if found else {}
