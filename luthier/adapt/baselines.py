"""Baselines that ask no model: the copied first turns, the commonest label, the label of the most similar train row.

An arm has to beat them to be of use: `copy` where answers are texts, the other two where answers are labels.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence

from luthier.adapt.method import Baseline
from luthier.adapt.settings import Copy, Nearest, NoSettings
from luthier.records import Answer, Example
from luthier.scoring.words import words_of


def copied(settings: Copy, train: Sequence[Example], asked: Sequence[Example]) -> list[Answer]:
    """The first `lines` non-empty lines of each input, unchanged."""

    def lines(example: Example) -> list[str]:
        return [line for line in example.input.splitlines() if line.strip()][: settings.lines]

    return [Answer(id=example.id, text="\n".join(lines(example))) for example in asked]


def commonest(settings: NoSettings, train: Sequence[Example], asked: Sequence[Example]) -> list[Answer]:
    """The label that most train rows have, for every input. Ties go to the first in the alphabet."""
    counts = Counter(example.references[0] for example in train)
    label = min(counts, key=lambda word: (-counts[word], word))
    return [Answer(example.id, label) for example in asked]


def nearest(settings: Nearest, train: Sequence[Example], asked: Sequence[Example]) -> list[Answer]:
    """The label of the most similar train rows: words weighted by TF-IDF, similarity by the cosine between them."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.neighbors import KNeighborsClassifier

    vectors = TfidfVectorizer(analyzer=_terms)
    rows = vectors.fit_transform([example.input for example in train])
    voters = KNeighborsClassifier(min(settings.neighbours, len(train)), metric="cosine", algorithm="brute")
    with warnings.catch_warnings():
        # Of targets that are texts nearly each is a class of its own, which is meant.
        warnings.filterwarnings("ignore", message="The number of unique classes", category=UserWarning)
        voters.fit(rows, [example.references[0] for example in train])
    labels = voters.predict(vectors.transform([example.input for example in asked]))
    return [Answer(example.id, str(label)) for example, label in zip(asked, labels, strict=True)]


def _terms(text: str) -> list[str]:
    """The words of a text of any script, single letters included; of a text without words its signs."""
    return words_of(text, "ascii" if text.isascii() else "characters") or [sign for sign in text if not sign.isspace()]


METHODS = (
    Baseline(name="copy", summary="the first k turns, copied: the baseline", given=copied),
    Baseline(name="majority", summary="the commonest label: a baseline", labels=True, given=commonest),
    Baseline(name="nearest", summary="the label of the most similar train row: a baseline", labels=True, given=nearest),
)
