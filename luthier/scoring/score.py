"""Answers x references -> scores. No model is needed, so answers of another tool can be scored as well.

Seven metrics for texts. All are on 0 to 1 except `length_ratio`, where 1 means as long as the references:

    rouge1 rouge2 rougeL rougeLsum   rouge-score, F-measure, Porter stemming     (Lin 2004, "ROUGE")
    bleu                             sacrebleu, its tokenizer named              (Papineni et al. 2002; Post 2018)
    chrf                             sacrebleu, characters up to 6, beta 2       (Popovic 2015)
    length_ratio                     words of the answer / mean words of the references

A classification has two other metrics (labels.py):

    accuracy                         1 where the answer names the label of its row, else 0
    macro_f1                         the mean over classes of F1

Two more describe an answer without judging it: `stopped` (did it end by itself?) and `copied` (how much of it stands
word for word in the input?).

The corpus value of BLEU, chrF and macro-F1 is *not* the mean of sentence values. So every Score keeps additive counts
in `statistics`; sum them, then call `corpus_value` once. The sentence values in `values` are smoothed and serve only
to look at one answer.

An empty answer scores 0. A metric that cannot be computed is None, with a reason. Texts are compared in their composed
form (Unicode's NFC), so that it does not matter how an accent was typed; a `Reading` says what a word is (words.py).
"""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from statistics import fmean
from typing import Any

from luthier.errors import DataError, SettingsError
from luthier.metrics import CLASS_METRICS, CORPUS, DESCRIPTIVE, LIKELIHOOD, METRICS, ROUGE, SUMMED
from luthier.records import Answer, Example, Score
from luthier.scoring.bleu import corpus_counts, library
from luthier.scoring.labels import LabelSet, counts, macro_f1
from luthier.scoring.reasoning import without_reasoning
from luthier.scoring.rouge import REFERENCES, rouge_values, too_many_lines, unreadable
from luthier.scoring.words import ENGLISH, Reading, described, length, words_of

_STOPPED = {"end": 1.0, "length": 0.0}
_NGRAM = 4  # words in a row that count as copied; shorter runs are shared by chance


def score(
    answers: Iterable[Answer],
    examples: Iterable[Example],
    metrics: Collection[str] = METRICS + DESCRIPTIVE,
    *,
    references: str = "mean",
    labels: Sequence[str] | LabelSet = (),
    reading: Reading = ENGLISH,
) -> list[Score]:
    """One Score for each answer, in the order of the answers, matched to its example by id.

    metrics: those to compute.
    labels: the words of a classification's labels. Every example's reference is one of them, the metrics are then
    CLASS_METRICS, and an answer that names no label is wrong.
    reading: what a word is, BLEU's tokenizer, and whether reasoning blocks of answers are left out.
    references: how ROUGE against several references becomes one value, their "mean" or "max". The best of three is
    higher than the best of two, so "max" needs equally many references in every example.

    Raises DataError when an answer's id is not among the examples, when an id stands twice on either side, or when
    "max" meets unequal numbers of references; SettingsError for another rule, for labels that cannot be told apart, and
    for a tokenizer that is not installed.
    """
    if references not in REFERENCES:
        raise SettingsError(f"references '{references}' is no rule; choose one of {', '.join(REFERENCES)}")
    by_id = _by_id(examples, "examples")
    asked = [(answer, _example_of(answer, by_id)) for answer in _by_id(answers, "answers").values()]
    asked = [(spoken(answer, reading), example) for answer, example in asked]
    if labels:
        known = labels if isinstance(labels, LabelSet) else LabelSet(tuple(labels))
        return [_score_label(answer, example, known, reading) for answer, example in asked]
    if references == "max":
        refuse_unequal([example for _, example in asked])
    return [_score_one(*_composed(*pair), metrics, references, reading) for pair in asked]


def spoken(answer: Answer, reading: Reading) -> Answer:
    """The answer as it is judged: without its reasoning blocks, where they are left out."""
    if reading.reasoning == "keep" or (text := without_reasoning(answer.text)) == answer.text:
        return answer
    return replace(answer, text=text)


def _composed(answer: Answer, example: Example) -> tuple[Answer, Example]:
    texts = (answer.text, example.input, *example.references)
    if all(unicodedata.is_normalized("NFC", text) for text in texts):
        return answer, example
    text, source, *references = (unicodedata.normalize("NFC", text) for text in texts)
    return replace(answer, text=text), replace(example, input=source, references=tuple(references))


def refuse_unequal(examples: Sequence[Example]) -> None:
    """Raises DataError when examples differ in their number of references, which "max" does not allow."""
    if other := next((e for e in examples if len(e.references) != len(examples[0].references)), None):
        raise DataError(
            f"example '{examples[0].id}' has {len(examples[0].references)} references and '{other.id}' has "
            f"{len(other.references)}, so their best cannot be compared; take the mean over references"
        )


def corpus_value(metric: str, statistics_sum: Sequence[float]) -> float:
    """The corpus value, 0 to 1, of summed statistics: 10 counts for `bleu`, 18 for `chrf`, 3 a class for `macro_f1`.

    Rows may be summed with any whole weights, as a bootstrap resample does.
    Raises SettingsError for a metric that is not in SUMMED.
    """
    if metric not in SUMMED:
        raise SettingsError(f"'{metric}' is not formed over a corpus; choose one of {', '.join(SUMMED)}")
    if metric == "macro_f1":
        return macro_f1(statistics_sum)
    # Summed logarithms may give a hundredth of a billionth above 1.
    return min(1.0, float(library(metric)._compute_score_from_stats(list(statistics_sum)).score) / 100)


def signature(metric: str, references: str = "mean", reading: Reading = ENGLISH) -> str:
    """What a number means: metric, library and version, options, and what is done with several references.

    Raises SettingsError for an unknown metric.
    """
    left_out = "|reasoning blocks left out" if reading.reasoning != "keep" and metric != LIKELIHOOD else ""
    return _signature(metric, references, reading) + left_out


def _signature(metric: str, references: str, reading: Reading) -> str:
    if metric in ROUGE:
        ends = "own lines, else split after .!?" + (
            "" if reading.words == "ascii" else " and other scripts' full stops"
        )
        lines = f"|sentences:{ends}" if metric == "rougeLsum" else ""
        tokens = "stemmer:porter|tokens:a-z0-9" if reading.words == "ascii" else f"stemmer:none|tokens:{reading.words}"
        return f"{metric}|rouge-score {version('rouge-score')}|F1|{tokens}{lines}|references:{references}"
    if metric in CORPUS:
        rule = "clipped by all, closest length" if metric == "bleu" else "best of all"
        scorer = library(metric, tokenizer=reading.bleu)
        scorer.num_refs = -1  # "varies by example"; else it would give the number of the last answer
        return f"{metric}|sacrebleu {scorer.get_signature()}|scale:0-1|corpus|references:{rule}"
    rules = {
        "length_ratio": f"{described(reading.words)}|references:mean words",
        "accuracy": "1 the answer says its row's label, else 0|a label: what the answer is, else begins with, else the "
        "only one in it, as a whole of its own",
        "macro_f1": "mean over classes of F1, from summed counts|classes that no row has and no answer says left out",
        "stopped": "1 ended by itself, 0 hit its limit",
        "copied": f"share of the answer's word {_NGRAM}-grams that occur in the input|lower case, punctuation dropped"
        + ("" if reading.words == "ascii" else f"|words:{reading.words}"),
        LIKELIHOOD: "nats of the first reference's tokens without its end token / ln 2 / characters|under the arm's "
        "own prompt and weights, whatever its decoding settings|lower is better",
    }
    if metric not in rules:
        raise SettingsError(
            f"'{metric}' is not a metric; choose one of {', '.join(METRICS + CLASS_METRICS + DESCRIPTIVE)}"
        )
    return f"{metric}|luthier|{rules[metric]}"


def _by_id(records: Iterable[Any], what: str) -> dict[str, Any]:
    """The records by id, in their order. Raises DataError for an id that stands twice."""
    by_id: dict[str, Any] = {}
    for record in records:
        if record.id in by_id:
            raise DataError(f"id '{record.id}' stands twice among the {what}; give each its own id")
        by_id[record.id] = record
    return by_id


def _example_of(answer: Answer, examples: Mapping[str, Example]) -> Example:
    try:
        return examples[answer.id]
    except KeyError:
        raise DataError(
            f"the answer with id '{answer.id}' belongs to none of the {len(examples)} examples; "
            "score it with the rows it was asked on"
        ) from None


def _score_one(answer: Answer, example: Example, metrics: Collection[str], rule: str, reading: Reading) -> Score:
    """The metrics of one answer. Each stands in `values`; one that is None stands in `reasons` as well."""
    values: dict[str, float | None] = dict.fromkeys(m for m in METRICS + DESCRIPTIVE if m in metrics)
    statistics: dict[str, list[int]] = {}
    reasons: dict[str, str] = {}

    if problem := _reference_problem(example):
        reasons.update(dict.fromkeys([metric for metric in METRICS if metric in metrics], problem))
    else:
        if "length_ratio" in metrics:
            values["length_ratio"] = _length_ratio(answer.text, example.references, reading)
            if values["length_ratio"] is None:
                reasons["length_ratio"] = "a reference has no word"
        for metric in CORPUS:
            if metric in metrics:
                statistics[metric], values[metric] = corpus_counts(
                    metric, answer.text, example.references, reading.bleu
                )
        rouge = tuple(metric for metric in ROUGE if metric in metrics)
        if "rougeLsum" in rouge and (problem := too_many_lines(answer.text, example.references, reading.words)):
            reasons["rougeLsum"] = problem
            rouge = tuple(metric for metric in rouge if metric != "rougeLsum")
        if rouge and (problem := unreadable(example, reading.words)):
            reasons.update(dict.fromkeys(rouge, problem))
        elif rouge:
            values.update(rouge_values(rouge, answer.text, example.references, rule, reading.words))

    if "stopped" in metrics:
        values["stopped"] = _STOPPED.get(answer.stop)
        if values["stopped"] is None:
            # One text for all answers of a kind: a file of 200,000 rows would hold as many equal ones.
            reasons["stopped"] = sys.intern(
                f"not generated here, so why it ended is not known (stop is '{answer.stop}')"
            )
    if "copied" in metrics:
        values["copied"], problem = _copied(answer.text, example.input, reading)
        if problem:
            reasons["copied"] = problem
    read = {"words": reading.words, "bleu": reading.bleu, "reasoning": reading.reasoning}
    return Score(answer.id, example.unit, values, statistics, reasons, rule, len(example.references), **read)


def _score_label(answer: Answer, example: Example, labels: LabelSet, reading: Reading) -> Score:
    """Accuracy, and the counts of macro-F1. The F1 of a single answer is 1 where it is right, else 0.

    An answer that was chosen among the labels is one of them; any other is searched for one.
    """
    truth = labels.index(example.references[0]) if len(example.references) == 1 else None
    if truth is None:
        named = ", ".join(labels.words)
        raise DataError(f"example '{example.id}': its reference is none of the labels {named}; name it so")
    answered = labels.index(answer.text) if answer.stop == "chosen" else labels.said(answer.text)
    right = float(answered == truth)
    values: dict[str, float | None] = dict.fromkeys(CLASS_METRICS, right)
    summed = {"macro_f1": counts(truth, answered, len(labels.words))}
    return Score(answer.id, example.unit, values, summed, reasoning=reading.reasoning)


def _reference_problem(example: Example) -> str:
    """Why no metric can be computed, or an empty text. One blank reference among several is enough: a mean over fewer
    references would be another metric."""
    if not example.references:
        return "the example has no reference"
    blank = [number for number, reference in enumerate(example.references, 1) if not reference.strip()]
    return f"reference {blank[0]} of {len(example.references)} is empty" if blank else ""


def problem_of(example: Example, metric: str, reading: Reading = ENGLISH) -> str:
    """Why `metric` has no value for this example whatever is answered, or an empty text."""
    if metric not in METRICS:
        return ""
    return _reference_problem(example) or (unreadable(example, reading.words) if metric in ROUGE else "")


# ------------------------------------------------------------------------------------------------------ our counts


def _length_ratio(text: str, references: Sequence[str], reading: Reading) -> float | None:
    mean = fmean(length(reference, reading.words) for reference in references)
    return length(text, reading.words) / mean if mean else None


def _copied(text: str, source: str, reading: Reading) -> tuple[float | None, str]:
    """The share of the answer's word 4-grams that occur in the input, or None and the reason."""
    grams = _ngrams(text, reading)
    if not grams:
        return None, f"the answer has fewer than {_NGRAM} words"
    if not source.strip():
        return None, "the input is not known"
    source_ngrams = set(_ngrams(source, reading))
    return sum(gram in source_ngrams for gram in grams) / len(grams), ""


def _ngrams(text: str, reading: Reading) -> list[tuple[str, ...]]:
    words = words_of(text, reading.words)
    return [tuple(words[start : start + _NGRAM]) for start in range(len(words) - _NGRAM + 1)]
