"""One table of metrics: the name, what it measures, how it sums over answers, and whether it can decide.

`scoring/` computes the values and names the libraries.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Metric:
    """One metric. All are on 0 to 1 but `length_ratio` and `bits_per_character`."""

    name: str
    words: str  # what it measures, for the head of a table
    # texts, labels: an answer against its references; answers: the answer alone; weights: a model's likelihood
    of: Literal["texts", "labels", "answers", "weights"]
    # how many answers become one number: their mean, the share of yes, or one value formed from summed counts
    sums: Literal["mean", "share", "counts"] = "mean"
    decides: bool = True  # whether more is better, so that verdicts may come from it
    most: float = 1.0  # the largest value; the smallest is 0


TABLE = (
    Metric("rouge1", "words shared with the reference", "texts"),
    Metric("rouge2", "word pairs shared with the reference", "texts"),
    Metric("rougeL", "longest common word sequence", "texts"),
    Metric("rougeLsum", "the same, sentence by sentence", "texts"),
    Metric("bleu", "n-gram precision, whole corpus", "texts", "counts"),
    Metric("chrf", "character n-grams, whole corpus", "texts", "counts"),
    Metric("length_ratio", "answer words / reference words", "texts", decides=False, most=math.inf),
    Metric("accuracy", "share of rows whose label is said", "labels", "share"),
    Metric("macro_f1", "F1 of each class, in the mean", "labels", "counts"),
    Metric("stopped", "share that ended by themselves", "answers", "share", decides=False),
    Metric("copied", "share of 4-grams found in the input", "answers", decides=False),
    Metric(
        "bits_per_character",
        "how surprising the reference is; lower is better",
        "weights",
        decides=False,
        most=math.inf,
    ),
)
METRICS = tuple(row.name for row in TABLE if row.of == "texts")
CLASS_METRICS = tuple(row.name for row in TABLE if row.of == "labels")
DESCRIPTIVE = tuple(row.name for row in TABLE if row.of == "answers")
(LIKELIHOOD,) = (row.name for row in TABLE if row.of == "weights")  # of the reference under an arm's weights
CAN_DECIDE = tuple(row.name for row in TABLE if row.decides)
SUMMED = tuple(row.name for row in TABLE if row.sums == "counts")  # never a mean over answers
SHARES = tuple(row.name for row in TABLE if row.sums == "share")  # yes or no for each answer
ENDS = {row.name: (0.0, row.most) for row in TABLE}  # of the scale, beyond which no interval goes
WORDS = {row.name: row.words for row in TABLE}
ROUGE = tuple(name for name in METRICS if name.startswith("rouge"))
CORPUS = tuple(name for name in SUMMED if name in METRICS)

DECIDING = "rouge1"  # the default
DECIDING_LABELS = "accuracy"
MARGIN = 0.02  # the smallest difference that matters, on 0 to 1; the default
SMALLEST_MARGIN = 1e-4  # a hundredth of a point; a smaller one would take billions of examples
TOO_SMALL = f"is smaller than any test set can show; give {SMALLEST_MARGIN:g} or more"  # a margin
MANY_UNITS = 500  # of a test split; so many resolve half the margin


def usual_margin(units: int, labelled: bool) -> float:
    """The default margin for a test split of so many units: large enough that the split can lead to a verdict.

    Labels (right or wrong) vary more from row to row than ROUGE does, so their margin is larger.
    """
    few, many = (2.5 * MARGIN, MARGIN) if labelled else (MARGIN, MARGIN / 2)
    return many if units >= MANY_UNITS else few
