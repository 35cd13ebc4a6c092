"""How likely the references are under an arm: bits per character, from one pass over each prompt and reference.

    prompts as they were asked + first references --measure--> likelihood.jsonl --with_likelihood--> scores

Answers show what an arm writes. Likelihood shows how well it predicts the references, without decoding. Nats are summed
over the tokens of the reference, without the end token, and divided once:

    bits per character = nats / ln 2 / characters        (Gao et al. 2020, "The Pile", section 3, there per byte)

Lower is better. Characters rather than tokens make models with different tokenizers comparable. The value depends on
weights and prompt alone, so arms that differ only in how they decode share it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from luthier.decoding.requests import Event
from luthier.decoding.sampling import candidates
from luthier.decoding.settings import GREEDY
from luthier.errors import ModelError
from luthier.metrics import LIKELIHOOD
from luthier.model.forward import Batch, collate, row_losses, supervised_logits, with_cache, with_prefix
from luthier.model.kv_cache import behind, cache_of
from luthier.model.model import Model
from luthier.records import Example, Prompt, Score
from luthier.results.arm_record import ArmRecord, TrainingRecord
from luthier.results.lines import LIKELIHOOD_FILE, PROMPTS_FILE, ReferenceLikelihood
from luthier.results.record import append_lines_of, read_lines_of, write_lines_of
from luthier.training.batches import micro_batches

BATCH_TOKENS = 4096  # padded tokens that are read together
READ_TOKENS = 512  # tokens of one text whose logits stand in memory at once


def measure(
    model: Model,
    prompts: Sequence[Prompt],
    examples: Sequence[Example],
    path: Path,
    on_batch: Callable[[int], None] = lambda count: None,
) -> list[ReferenceLikelihood]:
    """A row for each prompt, in their order. The row of an unreadable reference has the reason instead of a value.

    `path` is a file of lines that grows by whole batches; rows that it holds already are not computed again.
    `on_batch(count)` is called after each batch is on disk.
    """
    rows = {row.id: row for row in read_lines_of(ReferenceLikelihood, path)}
    wanted = [prompt for prompt in prompts if prompt.id not in rows]
    readable = dict(_readable(model, prompts, examples))
    refused = [_unreadable(prompt.id) for prompt in wanted if prompt.id not in readable]
    for batch in itertools.chain([refused] if refused else [], _batches(model, list(readable.values()), set(rows))):
        append_lines_of(path, batch)
        rows |= {row.id: row for row in batch}
        on_batch(len(batch))
    ordered = [rows[prompt.id] for prompt in prompts]
    write_lines_of(path, ordered)  # a batch that a killed process wrote in part is in the file twice
    return ordered


def _readable(model: Model, prompts: Sequence[Prompt], examples: Sequence[Example]) -> Iterator[tuple[str, Prompt]]:
    """(id, prompt) where the first reference is not empty and fits the window; its tokens are the prompt's target."""
    window = model.renderer.window
    for prompt, example in zip(prompts, examples, strict=True):
        target = tuple(model.renderer.target_ids(example.references[0])[:-1]) if example.references else ()
        length = len(target) + (len(prompt.prompt_ids) if model.family == "decoder" else 0)
        if target and length <= window:
            yield prompt.id, replace(prompt, target_ids=target)


def _batches(model: Model, prompts: Sequence[Prompt], done: set[str]) -> Iterator[list[ReferenceLikelihood]]:
    """Rows of one batch after another. Finished prompts shape the batches too, so a resumed run repeats them."""
    for batch in micro_batches(prompts, BATCH_TOKENS):
        if any(prompt.id not in done for prompt in batch):
            nats = reference_nats(model, batch)
            yield [_row(model, prompt, value) for prompt, value in zip(batch, nats, strict=True)]


@torch.inference_mode()
def reference_nats(model: Model, prompts: Sequence[Prompt]) -> list[float]:
    """Summed nats of each prompt's target under `model`, its learned prompt included."""
    return [float(nats) for nats in row_losses(model.module, _batch(model, prompts))]


def _batch(model: Model, prompts: Sequence[Prompt]) -> Batch:
    """Prompts with targets as the model reads them, its learned prompt in front."""
    learned = model.prefix is not None or model.prefix_states is not None
    batch = collate(prompts, model.module, model.family, apart=learned)
    if model.prefix is not None:
        batch = with_prefix(batch, model.module, model.prefix)
    if model.prefix_states is not None:
        batch = with_cache(batch, model.module, lambda rows: cache_of(model, rows))
    return batch


@dataclass(frozen=True)
class TargetLikelihood:
    """One target under a model: its summed nats, and whether each of its tokens is the likeliest one in its place."""

    nats: float
    is_greedy: bool


@torch.inference_mode()
def target_likelihoods(model: Model, prompts: Sequence[Prompt]) -> list[TargetLikelihood]:
    """As `reference_nats`, and whether greedy decoding would write each target."""
    logits_SV, targets_S = supervised_logits(model.module, _batch(model, prompts))
    nats_S = -logits_SV.log_softmax(-1).gather(1, targets_S[:, None])[:, 0].double()
    greedy_S = logits_SV.argmax(-1) == targets_S
    lengths = [len(prompt.target_ids or ()) for prompt in prompts]
    return [
        TargetLikelihood(float(nats.sum()), bool(greedy.all()))
        for nats, greedy in zip(nats_S.split(lengths), greedy_S.split(lengths), strict=True)
    ]


@dataclass(frozen=True)
class Divergence:
    """How far one model is from another over one target."""

    nats: float  # KL(base || model), the mean over the target's tokens
    changed: bool  # whether another token is the likeliest one somewhere


@torch.inference_mode()
def divergences(base: Model, model: Model, prompts: Sequence[Prompt]) -> list[Divergence]:
    """KL(base || model) of each prompt's target: sum of p log(p / q) over the vocabulary, at each of its tokens.

    The two share their vocabulary; rows of logits beyond it, which only fill a table up, are left out. Each reads the
    prompts with its own learned prompt in front. Raises ModelError for logits that are no numbers.
    """
    logits_SV, others_SV = (supervised_logits(one.module, _batch(one, prompts))[0] for one in (base, model))
    shared = min(logits_SV.shape[-1], others_SV.shape[-1])
    logits_SV, others_SV = logits_SV[:, :shared], others_SV[:, :shared]
    for one, found_SV in ((base, logits_SV), (model, others_SV)):
        if bool(found_SV.isnan().any()):
            raise ModelError(f"{one.name}: gives logits that are no numbers, so how far it moved cannot be said")
    log_p_SV, log_q_SV = logits_SV.log_softmax(-1), others_SV.log_softmax(-1)
    kl_S = (log_p_SV.exp() * (log_p_SV - log_q_SV)).double().sum(-1)
    changed_S = log_p_SV.argmax(-1) != log_q_SV.argmax(-1)
    lengths = [len(prompt.target_ids or ()) for prompt in prompts]
    return [
        Divergence(float(kl.mean()), bool(changed.any()))
        for kl, changed in zip(kl_S.split(lengths), changed_S.split(lengths), strict=True)
    ]


def _row(model: Model, prompt: Prompt, nats: float) -> ReferenceLikelihood:
    text = model.tokenizer.decode(prompt.target_ids, skip_special_tokens=True)
    return ReferenceLikelihood(
        id=prompt.id, nats=round(nats, 6), tokens=len(prompt.target_ids or ()), characters=len(text)
    )


def _unreadable(id: str) -> ReferenceLikelihood:
    return without_likelihood(id, "the reference is empty or does not fit into the context window behind its prompt")


def without_likelihood(id: str, reason: str) -> ReferenceLikelihood:
    """The row of a reference that has no likelihood, with the reason."""
    return ReferenceLikelihood(id=id, nats=None, tokens=0, characters=0, reason=reason)


def with_likelihood(scores: Sequence[Score], rows: Sequence[ReferenceLikelihood]) -> list[Score]:
    """The scores with the likelihood added; None and the reason where there is none."""
    by_id = {row.id: row for row in rows}
    extended = []
    for score in scores:
        row = by_id.get(score.id)
        value = row.bits_per_character if row else None
        reason = "the arm asks no model" if row is None else row.reason or "the reference has no characters"
        reasons = score.reasons if value is not None else score.reasons | {LIKELIHOOD: reason}
        extended.append(replace(score, values=score.values | {LIKELIHOOD: value}, reasons=reasons))
    return extended


def copy_likelihood_of_same_prompts(folder: Path, model: str, width: str | None) -> None:
    """Copies likelihood.jsonl into `folder` from a finished prompting arm beside it with the same prompts, if any.

    An arm of the same `model` at the same `width` differs only in how it decodes, on which likelihood does not depend.
    """
    prompts = (folder / PROMPTS_FILE).read_bytes()
    for path in sorted(folder.parent.glob(f"*/{LIKELIHOOD_FILE}")):
        other = path.parent
        if other == folder or TrainingRecord.is_in(other) or not ArmRecord.is_in(other):
            continue
        record = ArmRecord.read(other)
        if (record.model, record.width) == (model, width) and (other / PROMPTS_FILE).read_bytes() == prompts:
            write_lines_of(folder / LIKELIHOOD_FILE, read_lines_of(ReferenceLikelihood, path))
            return


@torch.inference_mode()
def read_tokens(model: Model, id: str, token_ids: Sequence[int], top: int = 0) -> list[Event]:
    """Every token of a text but the first as an event: its log-probability behind those before it, and `top` rivals.

    For a decoder. The text is read in parts of READ_TOKENS, since logits of all positions would take much memory.
    """
    module: Any = model.module
    cache = cache_of(model, rows=1)
    first = 0 if model.prefix_states is None else model.prefix_states[0][0].shape[-2]
    if model.prefix is not None:
        module(inputs_embeds=model.prefix[None].to(module.dtype), **behind(module, cache))
        first += len(model.prefix)
    events: list[Event] = []
    for start in range(0, len(token_ids), READ_TOKENS):
        part = torch.tensor([token_ids[start : start + READ_TOKENS]], device=model.device)
        positions = torch.arange(first + start, first + start + part.shape[1], device=model.device)[None]
        logits_TV = module(input_ids=part, position_ids=positions, **behind(module, cache)).logits[0]
        for row_V, token in zip(logits_TV.float(), token_ids[start + 1 : start + 1 + READ_TOKENS], strict=False):
            logprob = float(row_V[token] - row_V.logsumexp(-1))
            events.append(Event(id, token, logprob, None, candidates(row_V, row_V, GREEDY, top)))
    return events
