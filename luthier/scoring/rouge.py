"""ROUGE by the rouge-score library: F-measure, Porter stemming, the mean or the max over references (Lin 2004)."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.util import find_spec, module_from_spec
from statistics import fmean
from typing import Any

from luthier.records import Example

MOST_PAIRS_OF_LINES = 250_000  # of an answer and a reference, for rougeLsum: some seconds
REFERENCES: dict[str, Callable[[Iterable[float]], float]] = {"mean": fmean, "max": max}


@cache
def _rouge_scorer(metrics: tuple[str, ...]) -> Any:
    """The library's scorer, made on first use: importing it takes a second, which `luthier --help` should not."""
    return _own_copy_of("rouge_score.rouge_scorer").RougeScorer(list(metrics), tokenizer=_tokenizer())


@cache
def _own_copy_of(module: str) -> Any:
    """A private copy of the library's module that uses our table. What other code imports stays unchanged."""
    _import_nltk()
    spec = find_spec(module)
    assert spec is not None and spec.loader is not None
    copy: Any = module_from_spec(spec)  # not in sys.modules, so others import the original
    spec.loader.exec_module(copy)
    copy._lcs_table = _LcsTable
    return copy


@cache
def _import_nltk() -> None:
    """Imports nltk, which asks for a home folder although nothing is downloaded; who has none gets one meanwhile."""
    homeless = os.path.expanduser("~") == "~"  # noqa: PTH111 - pathlib raises where this gives the sign back
    if homeless:
        os.environ["HOME"] = tempfile.gettempdir()
    try:
        import nltk  # noqa: F401
    finally:
        if homeless:
            del os.environ["HOME"]


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
def _tokenizer() -> _Tokenizer:
    return _Tokenizer()


class _Tokenizer:
    """rouge-score's own tokenizer with Porter's stemmer. It caches texts, since several metrics tokenize the same text,
    and stems, since texts repeat their words."""

    def __init__(self) -> None:
        _import_nltk()
        from nltk.stem.porter import PorterStemmer
        from rouge_score.tokenize import tokenize

        self.stem = lru_cache(maxsize=2**16)(PorterStemmer().stem)
        self.tokenize = lru_cache(maxsize=4096)(lambda text: tokenize(text, self))


def unreadable(example: Example) -> str:
    """Why ROUGE cannot score against this example, or an empty text.

    rouge-score reads a-z and 0-9 only: against a reference in another script every answer would score 0.
    """
    tokenize = _tokenizer().tokenize
    unseen = [number for number, text in enumerate(example.references, 1) if not tokenize(text)]
    return f"reference {unseen[0]} has no word in a-z or 0-9, all that rouge-score reads; use chrf" if unseen else ""


def rouge_values(metrics: tuple[str, ...], text: str, references: Sequence[str], rule: str) -> dict[str, float]:
    """The mean or the max over the references of each ROUGE F-measure, 0 to 1."""
    scored = [_rouge_scorer(metrics).score(_lines(reference), _lines(text)) for reference in references]
    return {metric: REFERENCES[rule](one[metric].fmeasure for one in scored) for metric in metrics}


def too_many_lines(text: str, references: Sequence[str]) -> str:
    """Why rougeLsum is not computed for this answer, or an empty text.

    It compares each sentence of a reference with each of the answer, so its time grows with the product.
    """
    said, most = _lines(text).count("\n") + 1, max(_lines(reference).count("\n") + 1 for reference in references)
    if said * most <= MOST_PAIRS_OF_LINES:
        return ""
    return f"{said:,} sentences against {most:,} of a reference are too many pairs; use rougeL"


def _lines(text: str) -> str:
    """The text with one sentence a line, as rougeLsum expects (Lin 2004, section 3.2).

    A text that has lines keeps them. Otherwise a line ends after . ! or ? followed by space. That splits "Mr. Smith"
    too, which costs little: rougeLsum takes the union over lines. The other three metrics ignore lines.
    """
    return text if "\n" in text.strip() else re.sub(r"(?<=[.!?])\s+", "\n", text)
