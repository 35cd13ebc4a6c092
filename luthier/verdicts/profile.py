"""A description of a study's answers beyond their metrics: lengths, copying, repetition, unsupported facts.

    examples, arms {name: answers} --profile--> ProfileRecord, which is STUDY/profile.json

It answers two questions. *Would the verdicts be the same if all arms had answered at the same length?*
(equal_length.py). *What does ROUGE not see?* Names and quantities that the input does not support (facts.py), answers
copied from the input, answers that repeat themselves.

Scores come from score.py and verdicts from compare.py, with the study's own deciding metric and margin.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from statistics import fmean, median

import numpy as np

from luthier.errors import DataError
from luthier.metrics import DECIDING, ENDS, MARGIN
from luthier.records import Answer, Example, Score
from luthier.results.comparison import Mean
from luthier.results.profile_record import (
    ArmProfile,
    Bucket,
    Buckets,
    Copied,
    FactExample,
    Facts,
    Finding,
    LengthRatio,
    ProfileRecord,
    Share,
    Words,
)
from luthier.scoring.facts import KINDS, NOT_CHECKED, not_read, unsupported
from luthier.scoring.score import score, signature, spoken
from luthier.scoring.source import Source, common_words
from luthier.scoring.words import ENGLISH, Reading, described, length, words_of
from luthier.scoring.words import Words as WordsAre
from luthier.stats import intervals
from luthier.verdicts.decide import mean_of
from luthier.verdicts.equal_length import Arms, at_equal_length

SHOWN = 5  # ids and examples that are listed of each arm
QUANTILES = (5, 25, 50, 75, 95)
_TRIGRAM = 3
SIGNATURES = {
    "coverage": "share of the answer's words inside extractive fragments (Grusky et al. 2018, Newsroom, section 4.1)",
    "density": "mean squared length of extractive fragments over the answer's words (the same)",
    "trigrams": "share of the answer's word trigrams that occur in the input|lower case, punctuation dropped",
    "repeated": "1 - distinct / all word trigrams of the answer",
    "only_tags": "nothing but speaker tags such as #Person1#: and punctuation",
    "hit_limit": "stopped by the limit on new tokens",
    "facts": "at least one finding of luthier/scoring/facts.py; see docs/facts.md for its recall and false alarms",
}


def signatures(words: WordsAre) -> dict[str, str]:
    """name -> definition of the number, where a word is what `words` says."""
    if words == "ascii":
        cuts = {"budget": "answers cut to the first words by whitespace; references as they are"}
        cuts["two sentences"] = "cut after the second . ! or ? that is followed by space"
    else:
        cuts = {"budget": f"answers cut to the first words ({words}); references as they are"}
        cuts["two sentences"] = "cut after the second full stop, of any script"
    return {"words": described(words), **cuts, **SIGNATURES}


def profile(
    arms: Arms,
    examples: Sequence[Example],
    dev: Sequence[Example] = (),
    *,
    deciding: str = DECIDING,
    margin: float = MARGIN,
    references: str = "mean",
    level: float = 0.95,
    reading: Reading = ENGLISH,
) -> ProfileRecord:
    """Profiles arms' answers to `examples`. The word limits come from the references of `dev`, else of `examples`.

    reading: what a word is; where it leaves reasoning blocks out, they are left out here too.

    Raises DataError when an answer belongs to none of the examples, or an arm has no answers.
    """
    by_id = {example.id: example for example in examples}
    for name, answers in arms.items():
        if not answers or any(answer.id not in by_id for answer in answers):
            raise DataError(
                f"arm '{name}' has no answers, or some to other examples; profile it with the rows it answered"
            )
    arms = {name: [spoken(answer, reading) for answer in answers] for name, answers in arms.items()}
    spoken_reading = dataclasses.replace(reading, reasoning="keep")  # the blocks are gone, and are left out but once
    unread = not_read([example.input for example in examples], reading.words)
    common = common_words(example.input for example in examples)
    sources = {example.id: _Input(example.input, common, reading.words) for example in examples}
    asked = (deciding, "length_ratio")
    scores = {
        name: score(answers, examples, asked, references=references, reading=spoken_reading)
        for name, answers in arms.items()
    }
    return ProfileRecord(
        format=1,
        level=level,
        deciding=deciding,
        margin=margin,
        signatures={deciding: signature(deciding, references, reading), **signatures(reading.words)},
        budgets=at_equal_length(arms, scores, examples, dev, deciding, margin, level, spoken_reading),
        buckets=_buckets(scores, by_id, deciding, level, reading.words),
        arms={
            name: _arm(answers, scores[name], by_id, sources, level, reading.words, reads_facts=not unread)
            for name, answers in arms.items()
        },
        not_checked=NOT_CHECKED,
        **({"facts_not_read": unread} if unread else {}),
    )


# ------------------------------------------------------------------------------------------------- length buckets


def _buckets(
    scores: Mapping[str, Sequence[Score]], examples: Mapping[str, Example], deciding: str, level: float, words: WordsAre
) -> Buckets:
    """The deciding metric by terciles of the input's and of the (mean) reference's words."""
    inputs = {e.id: float(length(e.input, words)) for e in examples.values()}
    references = {e.id: fmean(length(r, words) for r in e.references) for e in examples.values() if e.references}
    buckets: Buckets = {}
    if inputs:
        buckets["input"] = _terciles(scores, inputs, deciding, level)
    if references:
        buckets["reference"] = _terciles(scores, references, deciding, level)
    return buckets


def _terciles(
    scores: Mapping[str, Sequence[Score]], lengths: Mapping[str, float], deciding: str, level: float
) -> tuple[Bucket, ...]:
    low, high = (float(np.quantile(list(lengths.values()), part)) for part in (1 / 3, 2 / 3))
    parts = [
        [id for id, words in lengths.items() if words <= low],
        [id for id, words in lengths.items() if low < words <= high],
        [id for id, words in lengths.items() if words > high],
    ]
    return tuple(
        Bucket(
            words=(min(lengths[id] for id in ids), max(lengths[id] for id in ids)),
            n=len(ids),
            arms={name: _bucket_mean(own, set(ids), deciding, level) for name, own in scores.items()},
        )
        for ids in parts
        if ids
    )


def _bucket_mean(scores: Sequence[Score], ids: set[str], deciding: str, level: float) -> Mean:
    inside = [(one.values[deciding], one.unit) for one in scores if one.id in ids]
    return _mean([(value, unit) for value, unit in inside if value is not None], level, ENDS[deciding])


# ---------------------------------------------------------------------------------------------------- one arm


class _Input:
    """An input, read once for all arms."""

    def __init__(self, text: str, common: Collection[str], words: WordsAre) -> None:
        self.source = Source(text, common)
        self.words = words_of(text, words)
        self.trigrams = set(_trigrams(self.words))
        self.positions: dict[str, list[int]] = {}  # word -> its positions
        for at, word in enumerate(self.words):
            self.positions.setdefault(word, []).append(at)


def _arm(
    answers: Sequence[Answer],
    scores: Sequence[Score],
    examples: Mapping[str, Example],
    inputs: Mapping[str, _Input],
    level: float,
    counted: WordsAre,
    *,
    reads_facts: bool,
) -> ArmProfile:
    units = [examples[answer.id].unit for answer in answers]
    lengths = [length(answer.text, counted) for answer in answers]
    ratios = [(one.values["length_ratio"], one.unit) for one in scores]
    pairs = [(value, unit) for value, unit in ratios if value is not None]
    words = _mean(list(zip(lengths, units, strict=True)), level).as_json()
    copied, repeated = _copying(answers, units, inputs, level, counted)
    return ArmProfile(
        n=len(answers),
        words=Words(**words, median=float(median(lengths)), quantiles=_quantiles(lengths)),
        length_ratio=LengthRatio(**_mean(pairs, level).as_json(), quantiles=_quantiles([value for value, _ in pairs])),
        copied=copied,
        repeated=repeated,
        empty=_share(answers, units, lambda answer: not answer.text.strip(), level),
        only_tags=_share(answers, units, lambda answer: only_tags(answer.text), level),
        hit_limit=_hit_limit(answers, examples, level),
        facts=_facts(answers, units, inputs, level) if reads_facts else None,
    )


def _hit_limit(answers: Sequence[Answer], examples: Mapping[str, Example], level: float) -> Share | None:
    generated = [answer for answer in answers if answer.stop != "given"]
    units = [examples[answer.id].unit for answer in generated]
    return _share(generated, units, lambda answer: answer.stop == "length", level) if generated else None


def only_tags(text: str) -> bool:
    """Whether a text has only speaker tags such as "#Person1#:" and punctuation. "Anna:" is a word."""
    return bool(text.strip()) and not re.search(r"\w", re.sub(r"#\w+#", "", text))


def _copying(
    answers: Sequence[Answer], units: Sequence[str], inputs: Mapping[str, _Input], level: float, counted: WordsAre
) -> tuple[Copied, Mean]:
    """How much answers copy from their inputs, and how much they repeat themselves."""
    columns: dict[str, list[tuple[float, str]]] = {"coverage": [], "density": [], "trigrams": [], "repeated": []}
    for answer, unit in zip(answers, units, strict=True):
        words, source = words_of(answer.text, counted), inputs[answer.id]
        if words and source.words:
            lengths = fragments(words, source.words, source.positions)
            columns["coverage"].append((sum(lengths) / len(words), unit))
            columns["density"].append((sum(n * n for n in lengths) / len(words), unit))
        if grams := _trigrams(words):
            columns["repeated"].append((1 - len(set(grams)) / len(grams), unit))
            if source.words:
                columns["trigrams"].append((fmean(gram in source.trigrams for gram in grams), unit))
    means = {name: _mean(values, level, COUNT if name == "density" else SHARE) for name, values in columns.items()}
    repeated = means.pop("repeated")
    return Copied(**means), repeated


def fragments(words: Sequence[str], source: Sequence[str], positions: Mapping[str, Sequence[int]]) -> list[int]:
    """The lengths of the extractive fragments: greedily, from left to right, the longest run that the source has.

    Grusky, Naaman & Artzi 2018, "Newsroom", section 4.1, figure 3. coverage = sum / n, density = sum of squares / n.
    places: word -> its positions in source.
    """
    lengths, at = [], 0
    while at < len(words):
        longest = 0
        for start in positions.get(words[at], ()):
            # A longer run has to hold the word at which the longest one so far ended.
            ahead = (at + longest, start + longest)
            if ahead[0] >= len(words) or ahead[1] >= len(source):
                break
            if words[ahead[0]] != source[ahead[1]]:
                continue
            length = 1
            while (
                at + length < len(words)
                and start + length < len(source)
                and words[at + length] == source[start + length]
            ):
                length += 1
            longest = max(longest, length)
        if longest:
            lengths.append(longest)
        at += max(longest, 1)
    return lengths


def _trigrams(words: Sequence[str]) -> list[tuple[str, ...]]:
    return [tuple(words[at : at + _TRIGRAM]) for at in range(len(words) - _TRIGRAM + 1)]


def _facts(answers: Sequence[Answer], units: Sequence[str], inputs: Mapping[str, _Input], level: float) -> Facts:
    facts = {answer.id: unsupported(answer.text, inputs[answer.id].source) for answer in answers}

    def having(kind: str) -> Share:
        return _share(answers, units, lambda answer: any(fact.kind == kind for fact in facts[answer.id]), level)

    def shown(answer: Answer) -> FactExample:
        findings = tuple(Finding(**dataclasses.asdict(fact)) for fact in facts[answer.id])
        return FactExample(id=answer.id, text=answer.text, findings=findings)

    return Facts(
        any=_share(answers, units, lambda answer: bool(facts[answer.id]), level),
        kinds={kind: having(kind) for kind in KINDS},
        examples=tuple(map(shown, [answer for answer in answers if facts[answer.id]][:SHOWN])),
    )


# ------------------------------------------------------------------------------------------------------ estimates


SHARE, COUNT = (0.0, 1.0), (0.0, math.inf)  # the ends of a scale


def _mean(values: Sequence[tuple[float, str]], level: float, ends: tuple[float, float] = COUNT) -> Mean:
    """Mean over units with its interval inside the `ends` of its scale; all None and n = 0 where nothing is there."""
    if not values:
        return mean_of(None, level)
    means, _ = intervals.by_unit([float(value) for value, _ in values], [unit for _, unit in values])
    return mean_of(intervals.mean_of(means).within(ends), level)


def _share(answers: Sequence[Answer], units: Sequence[str], holds: Callable[[Answer], bool], level: float) -> Share:
    """The share of answers for which `holds` is true, over units, with Wilson's interval, and the first few ids."""
    answered = [holds(answer) for answer in answers]
    yes = [answer.id for answer, so in zip(answers, answered, strict=True) if so]
    means, _ = intervals.by_unit([float(so) for so in answered], units)
    estimate = intervals.share_of(means)
    ends = intervals.ends_of(estimate.interval(level))
    return Share(share=estimate.value, **ends, yes=len(yes), n=estimate.n, ids=tuple(yes[:SHOWN]))


def _quantiles(values: Iterable[float]) -> dict[str, float]:
    numbers = list(values)
    return {str(q): float(np.quantile(numbers, q / 100)) for q in QUANTILES} if numbers else {}
