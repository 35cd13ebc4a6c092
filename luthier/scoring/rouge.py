"""ROUGE by the rouge-score library: F-measure, Porter stemming, the mean or the max over references (Lin 2004)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from functools import cache, lru_cache
from importlib.util import find_spec, module_from_spec
from statistics import fmean
from typing import Any

from luthier.records import Example

REFERENCES: dict[str, Callable[[Iterable[float]], float]] = {"mean": fmean, "max": max}


@cache
def _rouge_scorer(metrics: tuple[str, ...]) -> Any:
    """The library's scorer, made on first use: importing it takes a second, which `luthier --help` should not."""
    return _own_copy_of("rouge_score.rouge_scorer").RougeScorer(list(metrics), tokenizer=_tokenizer())


@cache
def _own_copy_of(module: str) -> Any:
    """The library's module once more, with our table in it: it has no other way to say it, and others use its own."""
    spec = find_spec(module)
    assert spec is not None and spec.loader is not None
    copy: Any = module_from_spec(spec)  # which is not in sys.modules, where others find theirs
    spec.loader.exec_module(copy)
    copy._lcs_table = _lcs_table
    return copy


def _lcs_table(reference: Sequence[str], answer: Sequence[str]) -> list[list[int]]:
    """rouge-score's own table, value for value: lengths of longest common subsequences, by words of both.

    The library fills the table cell by cell, which took a third of all scoring. A word of the reference that the answer
    lacks only repeats the row above it, and most words are such. docs/log.md: a sixth of `luthier compare`'s time.
    """
    known, above = set(answer), [0] * (len(answer) + 1)
    table = [above]
    for word in reference:
        if word in known:
            row, left = [0], 0
            for j, other in enumerate(answer):
                if other == word:
                    left = above[j] + 1
                elif above[j + 1] > left:
                    left = above[j + 1]
                row.append(left)
            above = row
        table.append(above)
    return table


@cache
def _tokenizer() -> _Tokenizer:
    return _Tokenizer()


class _Tokenizer:
    """rouge-score's own tokenizer with Porter's stemmer, which remembers texts, as each is tokenized for several
    metrics, and stems, which took most of the time of scoring: texts repeat their words."""

    def __init__(self) -> None:
        from nltk.stem.porter import PorterStemmer
        from rouge_score.tokenize import tokenize

        self.stem = lru_cache(maxsize=2**16)(PorterStemmer().stem)
        self.tokenize = lru_cache(maxsize=4096)(lambda text: tokenize(text, self))


def unreadable(example: Example) -> str:
    """rouge-score reads a-z and 0-9 only: against a reference in another script every answer would score a false 0."""
    tokenize = _tokenizer().tokenize
    unseen = [number for number, text in enumerate(example.references, 1) if not tokenize(text)]
    return f"reference {unseen[0]} has no word in a-z or 0-9, all that rouge-score reads; use chrf" if unseen else ""


def rouge_values(metrics: tuple[str, ...], text: str, references: Sequence[str], rule: str) -> dict[str, float]:
    """The mean or the max over the references of each ROUGE F-measure, 0 to 1."""
    scored = [_rouge_scorer(metrics).score(_lines(reference), _lines(text)) for reference in references]
    return {metric: REFERENCES[rule](one[metric].fmeasure for one in scored) for metric in metrics}


def _lines(text: str) -> str:
    """The text with one sentence a line, as rougeLsum expects (Lin 2004, section 3.2).

    A text that has lines keeps them. Otherwise a line ends after . ! or ? followed by space: simple enough to know by
    heart, and "Mr. Smith" costs little, since rougeLsum takes the union over lines. The other three do not see lines.
    """
    return text if "\n" in text.strip() else re.sub(r"(?<=[.!?])\s+", "\n", text)
