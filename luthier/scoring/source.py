"""An input, read once: the words, names, speakers and quantities that can support an answer.

    Source(input, common)

A word supports all of its forms, and a number all of its readings.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property

from luthier.scoring.numbers import Quantity, Reading
from luthier.scoring.quantities import loose_readings, quantities

WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
TAG = re.compile(r"#\w+#")
_FEW = 3  # inputs with at most this many numbers: sums and differences of two are taken as derived


@dataclass(frozen=True)
class Source:
    """What an input says, to compare answers with.

    text: the input. common: common words in lower case. A study gives those that its inputs write in lower case
    (`common_words`), so that "Traffic" at the start of a sentence does not count as a name.
    """

    text: str
    common: Collection[str] = field(default=frozenset(), repr=False)

    @cached_property
    def tags(self) -> frozenset[str]:
        return frozenset(tag.lower() for tag in TAG.findall(self.text))

    @cached_property
    def words(self) -> frozenset[str]:
        """Lower-case words, without possessive; letters said one by one ("M R I") also as one word."""
        text = TAG.sub(" ", self.text)
        words = {form for word in WORD.findall(text) for form in _forms(word)}
        spelled = re.findall(r"\b(?:[A-Za-z][ .\-]+){1,}[A-Za-z]\b", text)
        return frozenset(words | {re.sub(r"[^a-z]", "", run.lower()) for run in spelled} - {""})

    def like(self, word: str) -> Iterator[str]:
        """The words that may be another form of `word`: they begin with the same three letters, or with the same letter
        and are as long, give or take one. Comparing with all words would take time
        that grows with the square of the text's length."""
        yield from self._by_beginning.get(word[:3], ())
        for length in (len(word) - 1, len(word), len(word) + 1):
            yield from self._by_length.get((word[:1], length), ())

    @cached_property
    def _by_beginning(self) -> dict[str, list[str]]:
        index: dict[str, list[str]] = {}
        for word in sorted(self.words):
            index.setdefault(word[:3], []).append(word)
        return index

    @cached_property
    def _by_length(self) -> dict[tuple[str, int], list[str]]:
        index: dict[tuple[str, int], list[str]] = {}
        for word in sorted(self.words):
            index.setdefault((word[:1], len(word)), []).append(word)
        return index

    @cached_property
    def speakers(self) -> frozenset[str]:
        """Capitalised words of the labels before a colon."""
        labels = re.findall(r"^([^:\n]{1,40}):", self.text, flags=re.MULTILINE)
        return frozenset(word for label in labels for word in re.findall(r"[A-Z]\w+", label))

    @cached_property
    def lower(self) -> frozenset[str]:
        """Words that the input writes in lower case somewhere."""
        return frozenset(re.findall(r"\b[a-z]+\b", self.text))

    @cached_property
    def squeezed(self) -> str:
        """The letters alone: "WebTracker" is in "Web Tracker"."""
        return re.sub(r"[^a-z]", "", TAG.sub(" ", self.text).lower())

    @cached_property
    def initials(self) -> str:
        """The first letters of all words: "UK" is in "the United Kingdom"."""
        return "".join(word[0].lower() for word in WORD.findall(TAG.sub(" ", self.text)))

    @cached_property
    def readings(self) -> frozenset[Reading]:
        return loose_readings(without_tags(self.text))

    @cached_property
    def derived(self) -> frozenset[float]:
        """Sums and differences of two numbers of an input with few numbers; many numbers would support any sum."""
        numbers = {float(q) for quantity in self.quantities for q in quantity.readings if isinstance(q, float)}
        if len(numbers) > _FEW:
            return frozenset()
        return frozenset(value for a in numbers for b in numbers for value in (a + b, abs(a - b)) if a != b)

    @cached_property
    def quantities(self) -> list[Quantity]:
        return quantities(without_tags(self.text))


def common_words(texts: Iterable[str]) -> frozenset[str]:
    """The words that any of the texts writes in lower case: no names."""
    return frozenset(word for text in texts for word in re.findall(r"\b[a-z]+\b", text))


def without_tags(text: str) -> str:
    """The text with spaces for its speaker tags (#Person1#), so that all other positions stay the same."""
    return TAG.sub(lambda match: " " * len(match.group()), text)


def bare(word: str) -> str:
    """Without a possessive or a contraction: "Anna's" -> "Anna"; "O'Brien" stays."""
    return re.sub(r"['’](?:s|ll|d|re|ve|m|t)?$", "", word)


def _forms(word: str) -> set[str]:
    low = word.lower()
    return {low, bare(low)} | set(re.split(r"['’]", low)) - {""}
