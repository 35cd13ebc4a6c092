"""ROUGE by the rouge-score library: F-measure, the mean or the max over references (Lin 2004).

With words "ascii" the library's own tokenizer and Porter's stemmer read the texts, as for published figures; with
"unicode" and "characters" the words of words.py are counted as they are, since Porter's rules are those of English.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.util import find_spec, module_from_spec
from statistics import fmean
from typing import Any

from luthier.records import Example
from luthier.scoring.words import Words, is_other_script, words_of

# What ends a sentence in any script: . ! ? and their like before space, and full stops that no space follows.
SENTENCE_END = re.compile(r"(?:[.!?؟۔።।॥]+(?=\s)|[。！？｡．]+)[」』”’）)\"']*")
NLTK_HAS_NO_HOME = "no home"
MOST_PAIRS_OF_LINES = 5_000_000  # of an answer and a reference, for rougeLsum: some seconds
REFERENCES: dict[str, Callable[[Iterable[float]], float]] = {"mean": fmean, "max": max}


@cache
def _rouge_scorer(metrics: tuple[str, ...], words: Words = "ascii") -> Any:
    """The library's scorer, made on first use: importing it takes a second, which `luthier --help` should not."""
    return _own_copy_of("rouge_score.rouge_scorer").RougeScorer(list(metrics), tokenizer=_tokenizer(words))


@cache
def _own_copy_of(module: str) -> Any:
    """A private copy of the library's module that uses our table. What other code imports stays unchanged."""
    _import_nltk()
    spec = find_spec(module)
    assert spec is not None and spec.loader is not None
    copy: Any = module_from_spec(spec)  # not in sys.modules, so others import the original
    spec.loader.exec_module(copy)
    copy._lcs_table = _LcsTable
    of_sentences = copy._summary_level_lcs
    copy._summary_level_lcs = lambda reference, answer: of_sentences(reference, _Sentences(answer))
    copy._union_lcs = lambda sentence, others: _union_lcs(sentence, others, copy.lcs_ind)
    return copy


class _Sentences(list[list[str]]):
    """The sentences of an answer, and for each word the sentences that have it."""

    def __init__(self, sentences: Sequence[list[str]]) -> None:
        super().__init__(sentences)
        self.having: dict[str, list[int]] = {}
        for number, sentence in enumerate(sentences):
            for word in dict.fromkeys(sentence):
                self.having.setdefault(word, []).append(number)


def _union_lcs(
    sentence: Sequence[str], others: _Sentences, lcs: Callable[[Sequence[str], Sequence[str]], list[int]]
) -> list[str]:
    """The words of a sentence that are in its longest common subsequence with any of the others: rouge-score's, value
    for value.

    The library takes the subsequence with every other sentence. Here a word that is found already, or that a sentence
    does not have, asks for none, so a text of 1,400 sentences takes a second and not a minute.
    """
    found: set[int] = set()
    asked: set[int] = set()
    for place, word in enumerate(sentence):
        for number in others.having.get(word, ()):
            if place in found:
                break
            if number not in asked:
                asked.add(number)
                found.update(lcs(sentence, others[number]))
    return [sentence[place] for place in sorted(found)]


@cache
def _import_nltk() -> None:
    """Imports nltk. Where there is no home folder it is told by its own switch to look for no downloads there."""
    switch = "APPENGINE_RUNTIME"
    homeless = os.path.expanduser("~") == "~"  # noqa: PTH111 - pathlib raises where this gives the sign back
    if homeless:
        os.environ.setdefault(switch, NLTK_HAS_NO_HOME)
    try:
        import nltk  # noqa: F401
    finally:
        if os.environ.get(switch) == NLTK_HAS_NO_HOME:
            os.environ.pop(switch, None)


class _LcsTable:
    """rouge-score's table of longest common subsequences, value for value, without its cells.

    table[i][j] is the length for the first i words of the reference and the first j of the answer. The library fills
    every cell, so its time grows with the product of both lengths. Here a row is one integer with a bit for each word
    of the answer, and one addition makes the next row (Hyyrö 2004,
    "Bit-Parallel LCS-length Computation Revisited", section 3); a cell counts the bits that are 0 below it.
    """

    def __init__(self, reference: Sequence[str], answer: Sequence[str]) -> None:
        bits_of: dict[str, int] = {}
        for j, word in enumerate(answer):
            bits_of[word] = bits_of.get(word, 0) | 1 << j
        self.width, full = len(answer), (1 << len(answer)) - 1
        row, self.rows = full, [full]
        for word in reference:
            same = row & bits_of.get(word, 0)
            row = ((row + same) | (row - same)) & full
            self.rows.append(row)

    def __getitem__(self, i: int) -> _LcsRow:
        return _LcsRow(self.rows[i], self.width)


@dataclass(frozen=True)
class _LcsRow:
    bits: int
    width: int

    def __getitem__(self, j: int) -> int:
        j = j if j >= 0 else self.width + 1 + j  # there is a cell before the first word
        return j - (self.bits & ((1 << j) - 1)).bit_count()


@cache
def _tokenizer(words: Words) -> _Ascii | _AnyScript:
    return _Ascii() if words == "ascii" else _AnyScript(words)


@dataclass(frozen=True)
class _AnyScript:
    """The words of every script, for the library."""

    words: Words

    def tokenize(self, text: str) -> list[str]:
        return words_of(text, self.words)


class _Ascii:
    """rouge-score's own tokenizer with Porter's stemmer. It caches texts, since several metrics tokenize the same text,
    and stems, since texts repeat their words."""

    def __init__(self) -> None:
        _import_nltk()
        from nltk.stem.porter import PorterStemmer
        from rouge_score.tokenize import tokenize

        self.stem = lru_cache(maxsize=2**16)(PorterStemmer().stem)
        self.tokenize = lru_cache(maxsize=4096)(lambda text: tokenize(text, self))


def unreadable(example: Example, words: Words = "ascii") -> str:
    """Why ROUGE cannot score against this example, or an empty text.

    rouge-score reads a-z and 0-9 only: against a reference in another script every answer would score 0, and against
    one whose only words it reads are a name and a number, the name and the number would be the best answer.
    """
    tokenize = _tokenizer(words).tokenize
    for number, text in enumerate(example.references, 1):
        if not tokenize(text):
            if words == "ascii":
                return f"reference {number} has no word in a-z or 0-9, all that rouge-score reads; use chrf"
            return f"reference {number} has no word, only signs; use chrf"
        if words == "ascii" and is_other_script(text):
            return f"rouge-score reads a-z and 0-9 alone, so that most of reference {number} is lost; {_MEND}"
    return ""


_MEND = 'write words = "unicode", or use chrf'


def rouge_values(
    metrics: tuple[str, ...], text: str, references: Sequence[str], rule: str, words: Words = "ascii"
) -> dict[str, float]:
    """The mean or the max over the references of each ROUGE F-measure, 0 to 1."""
    scorer, split = _rouge_scorer(metrics, words), functools.partial(_lines, words=words)
    scored = [scorer.score(split(reference), split(text)) for reference in references]
    return {metric: REFERENCES[rule](one[metric].fmeasure for one in scored) for metric in metrics}


def too_many_lines(text: str, references: Sequence[str], words: Words = "ascii") -> str:
    """Why rougeLsum is not computed for this answer, or an empty text.

    It compares each sentence of a reference with each of the answer, so its time grows with the product.
    """
    said, most = (
        _lines(text, words).count("\n") + 1,
        max(_lines(reference, words).count("\n") + 1 for reference in references),
    )
    if said * most <= MOST_PAIRS_OF_LINES:
        return ""
    return f"{said:,} sentences against {most:,} of a reference are too many pairs; use rougeL"


def _lines(text: str, words: Words = "ascii") -> str:
    """The text with one sentence a line, as rougeLsum expects (Lin 2004, section 3.2).

    A text that has lines keeps them. Otherwise a line ends after . ! or ? followed by space. That splits "Mr. Smith"
    too, which costs little: rougeLsum takes the union over lines. The other three metrics ignore lines.
    """
    if "\n" in text.strip():
        return text
    return re.sub(r"(?<=[.!?])\s+", "\n", text) if words == "ascii" else SENTENCE_END.sub(r"\g<0>\n", text)
