"""Classification: which label an answer names, and the metrics of many answers.

answer's text    --label_in--> the index of a label, or None
truth, answered  --counts----> additive counts --macro_f1--> 0 to 1
"""

from __future__ import annotations

import re
from collections.abc import Sequence

COUNTS = 3  # of each class: rows that have it, answers that name it, and both at once


def prefixes(words: Sequence[str]) -> list[tuple[str, str]]:
    """The pairs of words where the first begins the second."""
    folded = [(_folded(word), word) for word in words]
    return [(a, b) for x, a in folded for y, b in folded if x != y and y.startswith(x)]


# --------------------------------------------------------------------------------------------- what an answer names


def label_in(text: str, words: Sequence[str]) -> int | None:
    """The index of the label that a text names: the one it begins with, else the only one in it; None where unclear.

    It compares whole words and ignores case and punctuation. Where one label begins another ('light', 'light rain'),
    the longer one that fits counts.
    """
    answer = f" {_folded(text)} "
    named = [index for index, word in enumerate(words) if f" {_folded(word)} " in answer]
    leading = [index for index in named if answer.startswith(f" {_folded(words[index])} ")]
    longest = max(leading or named, key=lambda index: len(words[index]), default=None)
    if leading or longest is None:
        return longest
    inside = all(f" {_folded(words[index])} " in f" {_folded(words[longest])} " for index in named)
    return longest if inside else None


def _folded(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.casefold()))


# ------------------------------------------------------------------------------------------- many answers together


def counts(truth: int, answered: int | None, classes: int) -> list[int]:
    """The additive counts of one answer, COUNTS for each class: has the class, was answered to have it, both."""
    row = [0] * (COUNTS * classes)
    row[COUNTS * truth] = 1
    if answered is not None:
        row[COUNTS * answered + 1] = 1
        row[COUNTS * answered + 2] = int(answered == truth)
    return row


def macro_f1(sums: Sequence[float]) -> float:
    """The mean over classes of F1 = 2 both / (has + answered), from summed counts; all classes weigh the same.

    This is the mean of the F1s and not the F1 of mean precision and recall, which differ (Opitz and Burst 2019, "Macro
    F1 and Macro F1"). A class that no row has and no answer names is left out, as in scikit-learn.
    """
    each = [2 * both / (has + answered) for has, answered, both in by_class(sums) if has + answered]
    return sum(each) / len(each) if each else 0.0


def by_class(sums: Sequence[float]) -> list[tuple[float, float, float]]:
    """(rows that have the class, answers that name it, both) for each class."""
    return [(sums[i], sums[i + 1], sums[i + 2]) for i in range(0, len(sums), COUNTS)]
