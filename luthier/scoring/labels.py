"""Labels: when two texts are the same label, which label an answer says, and the metrics of many answers.

    texts of rows    --label_set--> LabelSet and the spellings that became one
    answer's text    --LabelSet.index--> the index of the label that it is, or None
                     --LabelSet.said---> the same, else the one that it begins with, else the only one in it
    truth, answered  --counts----> additive counts --macro_f1--> 0 to 1

Everything that asks whether a text is a label asks a LabelSet: rows of a task, columns of `score`, every arm's answers.
docs/words.md says the same in a table.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

import regex

from luthier.errors import SettingsError
from luthier.scoring.words import INNER, UNSPACED

COUNTS = 3  # of each class: rows that have it, answers that name it, and both at once
Fold = Literal["zero width", "composed", "blanks", "case", "marks", "numbers"]
FOLDS: tuple[Fold, ...] = get_args(Fold)

# Signs without width, which nobody sees: spaces of no width, directions, soft hyphens, the choice between a sign's
# picture and its text. Joiners change what is seen inside a word or an emoji, so they go only at the ends.
_ZERO_WIDTH = re.compile("[\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufe0e\ufe0f\ufeff]")
_JOINERS = "\u200c\u200d"
_MARKS = str.maketrans("\u2018\u2019\u02bc\u2010\u2011\u2212\u201c\u201d", "'''---\"\"")  # typographic ones
_WHOLE = re.compile(r"([+-]?\d+)\.0+")  # what a table of numbers makes of a whole number


def folded(text: str, folds: Collection[Fold] = FOLDS) -> str:
    """The text without the differences that `folds` names; two texts are one label where this is equal."""
    for fold in FOLDS:
        if fold in folds:
            text = _FOLD[fold](text)
    return text


def _lower(text: str) -> str:
    """lower() and not casefold(), which makes one of ß and ss; a composed text stays one."""
    lower = text.lower()
    composed = not text.isascii() and unicodedata.is_normalized("NFC", text)
    return unicodedata.normalize("NFC", lower) if composed else lower


_FOLD: dict[Fold, Callable[[str], str]] = {
    "composed": lambda text: unicodedata.normalize("NFC", text),
    "zero width": lambda text: _ZERO_WIDTH.sub("", text).strip(_JOINERS),
    "blanks": lambda text: " ".join(text.split()),
    "case": _lower,
    "marks": lambda text: text.translate(_MARKS),
    "numbers": lambda text: match[1] if (match := _WHOLE.fullmatch(text.strip())) else text,
}


# --------------------------------------------------------------------------------------------------- a set of labels


@dataclass(frozen=True)
class LabelSet:
    """The labels of a task, in order, and which differences between texts do not count.

    Raises SettingsError for labels that cannot be told apart, or of which nothing is left.
    """

    words: tuple[str, ...]
    folds: tuple[Fold, ...] = FOLDS

    def __post_init__(self) -> None:
        if problem := untold(self.words, self.folds):
            raise SettingsError(problem)

    @cached_property
    def _exact(self) -> dict[str, int]:
        return {word: index for index, word in enumerate(self.words)}

    @cached_property
    def _folded(self) -> dict[str, int]:
        return {folded(word, self.folds): index for index, word in enumerate(self.words)}

    def index(self, text: str) -> int | None:
        """The index of the label that the whole text is: exactly, else after folding."""
        exact = self._exact.get(text)
        return self._folded.get(folded(text, self.folds)) if exact is None else exact

    def said(self, text: str) -> int | None:
        """The index of the label that an answer says: the one it is, else begins with, else the only one in it.

        A label stands in a text where it is a whole of its own (`_whole`), and a longer label covers those inside it.
        """
        whole = self.index(text)
        if whole is not None or not text.strip():
            return whole
        text = folded(text, self.folds)
        found = self._occurrences(text)
        if not found:
            return None
        start, _, first = found[0]
        if not any(_is_inner(sign) for sign in text[:start]):
            return first
        return first if all(index == first for _, _, index in found) else None

    def _occurrences(self, text: str) -> list[tuple[int, int, int]]:
        """(start, end, index) of each label in the text, in order; those inside a longer one are left out."""
        spans = [
            (at, at + len(word), index)
            for word, index in self._folded.items()
            for at in _places(word, text)
            if _whole(text, at, at + len(word))
        ]
        longest_first = sorted(spans, key=lambda span: (span[0] - span[1], span[0]))
        kept: list[tuple[int, int, int]] = []
        for span in longest_first:
            if not any(other[0] <= span[0] and span[1] <= other[1] for other in kept):
                kept.append(span)
        return sorted(kept)


def untold(words: Sequence[str], folds: Sequence[Fold] = FOLDS) -> str:
    """Why these labels are no set of labels: two cannot be told apart, or nothing is left of one; else empty."""
    seen: dict[str, str] = {}
    for word in words:
        key = folded(word, folds)
        if not key.strip():
            return f"of the label {word!r} nothing is left that can be seen; name it with letters or signs"
        if key in seen:
            what = ", ".join(fold for fold in folds if _tells(seen[key], word, fold, folds)) or "nothing"
            return (
                f"the labels {seen[key]!r} and {word!r} cannot be told apart, since {what} does not count; "
                "name them apart, or leave it out of classes.fold in task.toml"
            )
        seen[key] = word
    return ""


def _tells(a: str, b: str, fold: Fold, folds: Sequence[Fold]) -> bool:
    others = [other for other in folds if other != fold]
    return folded(a, others) != folded(b, others)


def label_set(texts: Iterable[str], folds: Sequence[Fold] = FOLDS) -> tuple[LabelSet, dict[str, str]]:
    """The labels that rows name, and spelling -> label for the spellings that are another's.

    Of several spellings of one label the commonest names it, and of equally common ones the shortest, then the first.
    """
    times = Counter(texts)
    groups: dict[str, list[str]] = {}
    for text in sorted(times, key=lambda text: (-times[text], len(text), text)):
        groups.setdefault(folded(text, folds), []).append(text)
    # The name is seen by people and models, so blanks at its ends go, where they do not count.
    names = {key: spellings[0].strip() if "blanks" in folds else spellings[0] for key, spellings in groups.items()}
    merged = {text: names[key] for key, spellings in groups.items() for text in spellings if text != names[key]}
    return LabelSet(tuple(sorted(names.values())), tuple(folds)), merged


def spelled(merged: Mapping[str, str], times: Counter[str], shown: int = 3) -> str:
    """'12 rows spell a label another way: 'positive ' (12) is 'positive''; empty where none does."""
    others = [text for text in merged if times[text]]
    if not others:
        return ""
    rows = sum(times[text] for text in others)
    named = ", ".join(f"{text!r} ({times[text]}) is {merged[text]!r}" for text in others[:shown])
    more = f" and {len(others) - shown} more spellings" if len(others) > shown else ""
    return f"{rows} {'row spells its' if rows == 1 else 'rows spell their'} label another way: {named}{more}"


def prefixes(words: Sequence[str], folds: Sequence[Fold] = FOLDS) -> list[tuple[str, str]]:
    """The pairs of words where the first begins the second and a word or a letter goes on: light, light rain. A sign
    that goes on, as in C++ behind C, makes no whole of the first."""
    keys = [(folded(word, folds), word) for word in words]
    return [
        (a, b)
        for x, a in keys
        for y, b in keys
        if x != y and y.startswith(x) and (y[len(x)].isspace() or (INNER.match(y[len(x)]) and INNER.match(x[-1])))
    ]


# ------------------------------------------------------------------------------------------- a label inside a text

_PICTURE = regex.compile(r"[\p{So}\p{Sk}\u200d]")
_TIES = "-_'./\\&@*·:,~^"  # inside a word or a number they make one of both sides: non-x, not_x, don't, 1.5, and/or
_HYPHENS = "-\u2013"
_SUFFIXES = "+#"  # C++ and C# are not C


def _is_inner(sign: str) -> bool:
    """A letter, a mark, a digit or a picture sign: what an answer may begin with is none of these."""
    return bool(INNER.match(sign) or _PICTURE.match(sign))


def _places(word: str, text: str) -> Iterable[int]:
    at = text.find(word)
    while at >= 0:
        yield at
        at = text.find(word, at + 1)


def _whole(text: str, start: int, end: int) -> bool:
    """Whether text[start:end] is a whole of its own there, and no part of a longer word, number or row of signs."""
    return _parts(text, start, -1) and _parts(text, end - 1, 1)


def _parts(text: str, at: int, step: int) -> bool:
    """Whether the label that ends in text[at] ends there too, seen in the direction of `step`."""
    own, next_, beyond = (text[place] if 0 <= (place := at + far * step) < len(text) else "" for far in range(3))
    if not next_ or next_.isspace():
        return True
    if INNER.match(next_):  # a word goes on, but for scripts that write none apart, and signs that are no word's
        if UNSPACED.match(next_) or UNSPACED.match(own):
            return not unicodedata.category(next_).startswith("M")
        return bool(_PICTURE.match(own)) or (not INNER.match(own) and own not in _TIES + _SUFFIXES)
    if own == next_ or _PICTURE.match(next_):  # two stars are not three; a picture goes on in pictures alone
        return not (own == next_ and not INNER.match(own)) and not _PICTURE.match(own)
    goes_on = bool(beyond and INNER.match(beyond))
    if next_ in _SUFFIXES and step > 0:
        return False
    if next_ in _HYPHENS + ".," and step < 0 and not goes_on and own.isdigit():
        return beyond == next_  # -1 and .5 are not 1 and 5; after a rule of hyphens or dots they are
    if next_ in ":,":
        return not (goes_on and own.isdigit() and beyond.isdigit())
    return not (goes_on and next_ in _TIES + _HYPHENS + _SUFFIXES)


# ------------------------------------------------------------------------------------------- many answers together


def counts(truth: int, answered: int | None, classes: int) -> list[int]:
    """The additive counts of one answer, COUNTS for each class: has the class, was answered to have it, both."""
    row = [0] * (COUNTS * classes)
    row[COUNTS * truth] = 1
    if answered is not None:
        row[COUNTS * answered + 1] = 1
        row[COUNTS * answered + 2] = int(answered == truth)
    return row


def told(row: Sequence[int]) -> tuple[int, int | None]:
    """(truth, answered) of one answer's counts."""
    said = [i for i, (_, answered, _) in enumerate(by_class(row)) if answered]
    return next(i for i, (has, _, _) in enumerate(by_class(row)) if has), said[0] if said else None


def macro_f1(sums: Sequence[float]) -> float:
    """The mean over classes of F1 = 2 both / (has + answered), from summed counts; all classes weigh the same.

    This is the mean of the F1s and not the F1 of mean precision and recall, which differ (Opitz and Burst 2019, "Macro
    F1 and Macro F1"). It is scikit-learn's f1_score(average="macro") over the labels that a row has or an answer names.
    An answer that names none counts against its row's class, and is no class of its own: scikit-learn, given a word for
    "none", would take it for one more class with an F1 of 0.
    """
    each = [2 * both / (has + answered) for has, answered, both in by_class(sums) if has + answered]
    return sum(each) / len(each) if each else 0.0


def by_class(sums: Sequence[float]) -> list[tuple[float, float, float]]:
    """(rows that have the class, answers that name it, both) for each class."""
    return [(sums[i], sums[i + 1], sums[i + 2]) for i in range(0, len(sums), COUNTS)]
