"""Classification: which label an answer says, and what many answers are worth together.

answer's text --said------> the place of a label, or None
truth, said   --counts----> additive counts --macro_f1--> 0 to 1
"""

from __future__ import annotations

import re
from collections.abc import Sequence

COUNTS = 3  # kept of each class: rows that have it, answers that say it, and both at once


def prefixes(words: Sequence[str]) -> list[tuple[str, str]]:
    """The pairs of words of which the first begins the second."""
    folded = [(_folded(word), word) for word in words]
    return [(a, b) for x, a in folded for y, b in folded if x != y and y.startswith(x)]


# ----------------------------------------------------------------------------------------------- what an answer says


def said(text: str, words: Sequence[str]) -> int | None:
    """Which label a text names: the one that it begins with, else the only one it holds; None where it is not clear.

    Whole words count, upper and lower case and punctuation do not. Of two labels of which one begins the other
    ('light', 'light rain') the longer one that fits is meant.
    """
    answer = f" {_folded(text)} "
    found = [place for place, word in enumerate(words) if f" {_folded(word)} " in answer]
    begun = [place for place in found if answer.startswith(f" {_folded(words[place])} ")]
    longest = max(begun or found, key=lambda place: len(words[place]), default=None)
    if begun or longest is None:
        return longest
    inside = all(f" {_folded(words[place])} " in f" {_folded(words[longest])} " for place in found)
    return longest if inside else None


def _folded(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.casefold()))


# ------------------------------------------------------------------------------------------- many answers together


def counts(truth: int, said: int | None, classes: int) -> list[int]:
    """One answer's additive counts, COUNTS for each class: it has the class, it was said to, both."""
    row = [0] * (COUNTS * classes)
    row[COUNTS * truth] = 1
    if said is not None:
        row[COUNTS * said + 1] = 1
        row[COUNTS * said + 2] = int(said == truth)
    return row


def macro_f1(sums: Sequence[float]) -> float:
    """The mean over classes of F1 = 2 both / (has + said), from summed counts; each class counts alike.

    This is the mean of the F1s and not the F1 of mean precision and recall, which differ (Opitz and Burst 2019, "Macro
    F1 and Macro F1"). A class that no row has and no answer says has no F1 and is left out, as scikit-learn does.
    """
    each = [2 * both / (has + said) for has, said, both in by_class(sums) if has + said]
    return sum(each) / len(each) if each else 0.0


def by_class(sums: Sequence[float]) -> list[tuple[float, float, float]]:
    """(rows that have the class, answers that say it, both) for each class."""
    return [(sums[i], sums[i + 1], sums[i + 2]) for i in range(0, len(sums), COUNTS)]
