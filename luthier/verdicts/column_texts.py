"""How the texts of columns are read: what a word is, which labels there are, and what to say about both.

examples of a file, what the user says --texts_of--> Texts --scores--> scores of each column; --notes--> sentences
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from luthier.metrics import ROUGE
from luthier.progress import bar
from luthier.records import Answer, Example, Score
from luthier.scoring.labels import Fold, LabelSet, spelled
from luthier.scoring.reasoning import holds_reasoning
from luthier.scoring.words import ENGLISH, Reading, Reasoning, Words, reading_for, refuse_missing, unread
from luthier.settings import Settings, settings_from
from luthier.task.labels import labels_of

Arms = dict[str, list[Answer]]
MANY_ANSWERS, BLOCK = 5_000, 500  # from so many on a bar is shown, which moves by blocks


@dataclass(frozen=True)
class Texts:
    """A file's examples, and how its texts are read."""

    examples: list[Example]
    reading: Reading
    labels: LabelSet | None
    merged: Mapping[str, str]  # spelling of a label -> the label

    @cached_property
    def references(self) -> list[str]:
        return [text for example in self.examples for text in example.references]

    def scores(self, arms: Arms, references: str) -> dict[str, list[Score]]:
        """Of each arm, in the order of the examples. Many answers are scored in blocks, with a bar."""
        from luthier.scoring.score import refuse_unequal, score

        examples, many = self.examples, len(arms) * len(self.examples)
        if references == "max":
            refuse_unequal(examples)  # of all, since they are scored block by block
        options: dict[str, Any] = {"references": references, "labels": self.labels or (), "reading": self.reading}
        scores: dict[str, list[Score]] = {name: [] for name in arms}
        with bar("scoring", many, "answers") if many >= MANY_ANSWERS else nullcontext() as progress:
            for name, given in arms.items():
                for start in range(0, len(examples), BLOCK):
                    block = slice(start, start + BLOCK)
                    scores[name] += score(given[block], examples[block], **options)
                    if progress is not None:
                        progress.advance(len(given[block]))
        return scores

    def notes(self, arms: Arms) -> list[str]:
        """Sentences: how texts were read, what was folded, what a metric cannot read."""
        notes = list(self._label_notes(arms) if self.labels else self._text_notes(arms))
        for name, answers in arms.items():
            if held := sum(holds_reasoning(answer.text) for answer in answers):
                what = (
                    "left out of"
                    if self.reading.reasoning != "keep"
                    else "part of the answer, since nothing says reasoning = leave out, in"
                )
                notes.append(f"{name}: a reasoning block is {what} {held} of {len(answers)} answers.")
        return notes

    def _text_notes(self, arms: Arms) -> Iterator[str]:
        if self.reading.words != "ascii":
            yield f"Words are read as {self.reading.words}, and BLEU's tokenizer is {self.reading.bleu}."
        for metric in (ROUGE[0], "bleu"):
            if problem := unread(metric, self.reading, self.references):
                yield f"{problem[0].upper()}{problem[1:]}."
        texts = {"the references": self.references} | {name: [a.text for a in given] for name, given in arms.items()}
        for name, own in texts.items():
            if apart := sum(not unicodedata.is_normalized("NFC", text) for text in own):
                yield f"{apart} of {len(own)} texts of {name} are decomposed (NFD); they are read as composed (NFC)."

    def _label_notes(self, arms: Arms) -> Iterator[str]:
        assert self.labels is not None
        if sentence := spelled(self.merged, Counter(self.references)):
            yield f"{sentence}; they count as one label."
        exact = set(self.labels.words)
        for name, answers in arms.items():
            texts = [answer.text for answer in answers if answer.text not in exact]
            whole = sum(self.labels.index(text) is not None for text in texts)
            searched = sum(self.labels.index(text) is None and self.labels.said(text) is not None for text in texts)
            if whole or searched:
                yield (
                    f"{name}: {whole} of {len(answers)} answers are a label in another spelling, and in {searched} the "
                    "label was found in a longer text."
                )


def texts_of(
    path: Path, examples: Sequence[Example], column: str, labelled: bool, fold: Sequence[Fold], told: Sequence[Any]
) -> Texts:
    """How the texts are read. `told` is what the user says: words, BLEU's tokenizer, reasoning."""
    words, bleu, reasoning = told
    texts = [text for example in examples for text in example.references]
    found = ENGLISH if labelled else reading_for(texts)
    keys = {"words": words or found.words, "bleu": bleu or found.bleu, "reasoning": reasoning}
    reading = settings_from(_Told, keys, "score").as_reading()
    refuse_missing(reading.bleu)
    if not labelled:
        return Texts(list(examples), reading, None, {})
    return Texts(list(examples), reading, *labels_of(examples, path, column, fold))


class _Told(Settings):
    """The user's choice of a reading."""

    words: Words
    bleu: str
    reasoning: Reasoning

    def as_reading(self) -> Reading:
        return Reading(self.words, self.bleu, self.reasoning)
