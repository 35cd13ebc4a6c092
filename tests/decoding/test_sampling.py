"""The next token is drawn from what transformers' processors would leave."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from scipy.stats import chi2
from transformers.generation.logits_process import (
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from luthier.decoding.sampling import Candidate, candidates, choose, penalized, sample
from luthier.decoding.settings import GREEDY, Generation


def logits_of(rows: int, tokens: int, seed: int = 3) -> torch.Tensor:
    return torch.randn(rows, tokens, generator=torch.Generator().manual_seed(seed)) * 2


def test_each_row_has_its_own_penalty() -> None:
    """As transformers gives it, row by row; a row without one keeps its logits to the bit."""
    logits, written = logits_of(3, 12), [[0, 3, 3, 7], [1], [2, 11]]
    settings = [Generation(repetition_penalty=p) for p in (1.5, 1.0, 0.7)]
    scores = penalized(logits, settings, written)
    for row, (setting, ids) in enumerate(zip(settings, written, strict=True)):
        processor = RepetitionPenaltyLogitsProcessor(setting.repetition_penalty)
        assert torch.equal(scores[row : row + 1], processor(torch.tensor([ids]), logits[row : row + 1].clone()))
    assert torch.equal(scores[1], logits[1]) and not torch.equal(scores[0], logits[0])


def test_a_choice_is_greedy_by_the_scores_and_its_probability_the_models() -> None:
    logits = logits_of(2, 9)
    scores = -logits  # as far from the logits as can be
    tokens, logprobs = choose(logits, scores, [GREEDY, GREEDY], [None, None])
    assert tokens == logits.argmin(-1).tolist()
    assert logprobs == pytest.approx([float(logits.log_softmax(-1)[row, token]) for row, token in enumerate(tokens)])


def test_a_draw_depends_on_its_own_row_alone() -> None:
    logits, setting = logits_of(2, 50), Generation(temperature=2.0)
    alone, _ = choose(logits[:1], logits[:1], [setting], [torch.Generator().manual_seed(5)])
    dice = [torch.Generator().manual_seed(5), torch.Generator().manual_seed(6)]
    both, _ = choose(logits, logits, [setting, setting], dice)
    assert both[0] == alone[0]


def test_candidates_are_the_models_likeliest_with_what_is_left_of_them() -> None:
    logits = torch.tensor([0.0, 2.0, 1.0, -1.0])
    before = logits.softmax(-1).tolist()
    assert candidates(logits, logits, GREEDY, 0) == ()
    found = candidates(logits, -logits, GREEDY, 9)  # more than there are
    assert [one.token for one in found] == [1, 2, 0, 3]
    assert [one.before for one in found] == pytest.approx([before[1], before[2], before[0], before[3]])
    assert [one.after for one in found] == [0.0, 0.0, 0.0, 1.0]
    two = torch.tensor([2.0, 1.0]).softmax(-1).tolist()
    first, second = candidates(logits, logits, Generation(temperature=1.0, top_k=2), 2)
    assert (first.after, second.after) == pytest.approx((two[0], two[1]))
    assert isinstance(first, Candidate)
    searched = candidates(logits, torch.tensor([0.0, float("-inf"), 1.0, -1.0]), Generation(beams=2), 2)
    assert [one.after for one in searched] == pytest.approx([0.0, float(torch.tensor([1.0, 0.0, -1.0]).softmax(0)[0])])


@pytest.mark.parametrize("temperature, top_k, top_p", [(0.7, 0, 1.0), (1.0, 5, 1.0), (1.5, 0, 0.8), (0.9, 8, 0.7)])
def test_samples_follow_the_distribution_that_transformers_keeps(temperature: float, top_k: int, top_p: float) -> None:
    """The tokens that may be drawn are those that its logits processors keep, at the probabilities they leave."""
    logits = torch.randn(1, 30, generator=torch.Generator().manual_seed(3)) * 2
    kept = TemperatureLogitsWarper(temperature)(None, logits)
    if top_k:
        kept = TopKLogitsWarper(top_k)(None, kept)
    if top_p < 1:
        kept = TopPLogitsWarper(top_p)(None, kept)
    expected = kept.softmax(-1)[0].double()
    dice, draws = torch.Generator().manual_seed(0), 8000
    setting = Generation(temperature=temperature, top_k=top_k, top_p=top_p)
    seen = Counter(sample(logits[0], setting, dice) for _ in range(draws))
    assert set(seen) <= {i for i, p in enumerate(expected.tolist()) if p > 0}
    assert _chi_square(seen, expected, draws) > 0.001
    if top_k or top_p < 1:
        assert _chi_square(seen, logits.softmax(-1)[0].double(), draws) < 1e-6  # the test can fail


def _chi_square(seen: Counter[int], expected: torch.Tensor, draws: int) -> float:
    """The p-value of the counts; tokens expected fewer than five times are taken together."""
    rare = [i for i, p in enumerate(expected.tolist()) if p * draws < 5]
    cells = [(seen[i], float(expected[i]) * draws) for i in range(len(expected)) if i not in rare]
    cells.append((sum(seen[i] for i in rare), float(expected[rare].sum()) * draws))
    cells = [(count, mean) for count, mean in cells if mean > 0]
    return float(chi2.sf(sum((count - mean) ** 2 / mean for count, mean in cells), len(cells) - 1))


def test_every_top_p_keeps_what_transformers_keeps() -> None:
    dice = torch.Generator().manual_seed(1)
    for trial in range(40):
        logits = torch.randn(1, 12, generator=dice) * 3
        top_p = 0.05 + 0.9 * trial / 40
        kept = set(torch.isfinite(TopPLogitsWarper(top_p)(None, logits)[0]).nonzero()[:, 0].tolist())
        drawn = {sample(logits[0], Generation(temperature=1.0, top_p=top_p), dice) for _ in range(300)}
        assert drawn <= kept
        likely = {i for i in kept if float(logits.softmax(-1)[0, i]) > 0.05}
        assert likely <= drawn


def test_a_draw_is_a_token_even_where_bans_leave_none() -> None:
    for setting in (Generation(temperature=1.0, top_p=0.5), Generation(temperature=1.0, top_k=3, top_p=0.1)):
        assert sample(torch.full((6,), float("-inf")), setting, torch.Generator().manual_seed(0)) in range(6)
