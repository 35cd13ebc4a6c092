"""BLEU and chrF by the sacrebleu library (Post 2018), as counts that are summed first and formed into a value once."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from luthier.errors import SettingsError
from luthier.scoring.words import refuse_missing


@cache
def library(metric: str, sentence: bool = False, tokenizer: str = "13a") -> Any:
    """sacrebleu's metric with its default options but BLEU's tokenizer; a sentence's BLEU leaves out n-grams longer
    than it.

    Raises SettingsError for a tokenizer that sacrebleu does not have, that needs a package which is not installed, or
    whose model cannot be fetched.
    """
    from sacrebleu.metrics.bleu import BLEU
    from sacrebleu.metrics.chrf import CHRF

    if metric == "chrf":
        return CHRF()
    refuse_missing(tokenizer)
    try:
        return BLEU(effective_order=sentence, tokenize=tokenizer)
    except Exception as error:  # whatever a dictionary or a download does
        raise SettingsError(f"BLEU's tokenizer '{tokenizer}' cannot be used ({error}); choose intl or char") from None


def corpus_counts(metric: str, text: str, references: Sequence[str], tokenizer: str = "13a") -> tuple[list[int], float]:
    """sacrebleu's sufficient statistics of one answer, and its smoothed sentence value (0 to 1, for display only).

    `bleu`: answer length, reference length, matching n-grams for n = 1..4, all n-grams for n = 1..4.
    `chrf`: for n = 1..6, n-grams in the answer, in the best reference, and matching.
    sacrebleu 2.5 publishes BLEU's counts, but not chrF's. So both use the same two private methods. Tests compare them
    with corpus_bleu, corpus_chrf and sacrebleu's own test cases, and pyproject.toml keeps the library below version 3.
    """
    streams = [[reference] for reference in references]  # sacrebleu wants one list a reference, not one an answer
    counts = library(metric, tokenizer=tokenizer)._extract_corpus_statistics([text], streams)[0]
    value = library(metric, sentence=True, tokenizer=tokenizer)._compute_score_from_stats(list(counts)).score / 100
    return [int(count) for count in counts], float(value)
