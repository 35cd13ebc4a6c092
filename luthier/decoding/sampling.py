"""The choice of the next token: penalty, temperature, top-k, top-p and one draw; and the probabilities it leaves.

    logits --penalized--> scores --choose--> token, its log-probability; candidates names the likeliest rivals

Every row of a batch has its own settings and random numbers, so its choices do not depend on the other rows.

    shapes: B rows, V vocabulary
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from luthier.decoding.settings import Generation
from luthier.errors import ModelError


@dataclass(frozen=True)
class Candidate:
    """A possible next token: its probability by the model, and after penalty, temperature, top-k and top-p."""

    token: int
    before: float
    after: float


def penalized(logits_BV: Tensor, settings: list[Generation], written: Iterable[list[int]]) -> Tensor:
    """Scores that choose the next token: the logits (B, V), where the penalty lowers those of `written` tokens, and
    -inf for a token that would repeat an n-gram of theirs.

    Keskar et al. 2019 (CTRL), section 4.1, divide by the penalty. A negative logit is multiplied instead, as in
    transformers, because division would raise it. `written` holds each row's tokens, a decoder's prompt included;
    it is read only where a setting asks for it.
    """
    if all(setting.repetition_penalty == 1 and not setting.no_repeat_ngram_size for setting in settings):
        return logits_BV
    scores_BV = logits_BV.clone()
    for row, (setting, tokens) in enumerate(zip(settings, written, strict=True)):
        if setting.repetition_penalty != 1:
            seen = torch.tensor(sorted(set(tokens)), device=logits_BV.device)
            old, penalty = logits_BV[row, seen], setting.repetition_penalty
            scores_BV[row, seen] = torch.where(old < 0, old * penalty, old / penalty)
        if setting.no_repeat_ngram_size:
            scores_BV[row, _would_repeat(tokens, setting.no_repeat_ngram_size)] = float("-inf")
    return scores_BV


def _would_repeat(tokens: list[int], size: int) -> list[int]:
    """The tokens with which the last `size` tokens would stand in the text twice (Paulus et al. 2018, section 2.5)."""
    context = tokens[len(tokens) - size + 1 :] if size > 1 else []
    starts = range(len(tokens) - size + 1)
    return [tokens[start + size - 1] for start in starts if tokens[start : start + size - 1] == context]


def choose(
    logits_BV: Tensor, scores_BV: Tensor, settings: list[Generation], generators: list[torch.Generator | None]
) -> tuple[list[int], list[float]]:
    """The next token of every row, and its log-probability under the model's own distribution.

    A row without a generator takes its best score.
    """
    picked_B = scores_BV.argmax(-1)
    for row, (setting, generator) in enumerate(zip(settings, generators, strict=True)):
        if generator is not None:
            picked_B[row] = sample(scores_BV[row], setting, generator)
    logprobs_B = logits_BV.gather(1, picked_B[:, None])[:, 0] - logits_BV.logsumexp(-1)
    return picked_B.tolist(), logprobs_B.tolist()


def refuse_no_numbers(name: str, logprobs: Iterable[float]) -> None:
    """Raises ModelError where a log-probability is no number, because the logits are none."""
    if any(map(math.isnan, logprobs)):
        raise ModelError(
            f"{name}: gives logits that are no numbers, so it cannot answer; where it was trained, lower the learning "
            "rate"
        )


def sample(scores_V: Tensor, setting: Generation, generator: torch.Generator) -> int:
    """One draw among the tokens that the filters leave.

    Inverse transform sampling over tokens sorted by probability. Each token takes one uniform number of the row's own
    generator, so draws do not depend on the other rows.
    """
    tokens, probabilities = _filtered(scores_V, setting)
    cumulative = probabilities.cumsum(-1)
    at = torch.rand((), generator=generator, dtype=torch.float64) * cumulative[-1]
    return int(tokens[min(int(torch.searchsorted(cumulative, at)), len(cumulative) - 1)])


def _filtered(scores_V: Tensor, setting: Generation) -> tuple[Tensor, Tensor]:
    """(tokens, weights) that may be drawn, the most likely first. The weights need not sum to 1.

    Applies temperature, top-k (Fan et al. 2018) and top-p (Holtzman et al. 2020, section 3.1), in that order.
    """
    ordered = (scores_V.cpu().double() / setting.temperature).sort(descending=True, stable=True)
    probabilities = ordered.values.softmax(-1)
    if setting.top_k:
        probabilities = probabilities[: setting.top_k]
    probabilities = probabilities / probabilities.sum()
    if setting.top_p < 1:
        before = probabilities.cumsum(-1) - probabilities
        probabilities = probabilities[: max(1, int((before < setting.top_p).sum()))]
    return ordered.indices[: len(probabilities)], probabilities


def candidates(logits_V: Tensor, scores_V: Tensor, setting: Generation, top: int) -> tuple[Candidate, ...]:
    """The `top` most likely tokens, each with its probability before and after penalty, temperature and filters.

    Greedy decoding leaves the best alone; a search weighs all.
    """
    if not top:
        return ()
    most = logits_V.softmax(-1).topk(min(top, len(logits_V)))
    if setting.temperature > 0:
        tokens, weights = _filtered(scores_V, setting)
        after = dict(zip(tokens.tolist(), (weights / weights.sum()).tolist(), strict=True))
    elif setting.beams > 1:
        after = dict(zip(most.indices.tolist(), scores_V.softmax(-1)[most.indices].tolist(), strict=True))
    else:
        after = {int(scores_V.argmax()): 1.0}
    pairs = zip(most.indices.tolist(), most.values.tolist(), strict=True)
    return tuple(Candidate(token, before, after.get(token, 0.0)) for token, before in pairs)
