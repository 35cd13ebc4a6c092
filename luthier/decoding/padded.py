"""Decoders that pad rows to equal length: for GPUs, encoder-decoders, and models that ragged.py cannot decode.

`start` reads the prompts, `step` takes a token of every row, `keep` drops rows and returns which row stands where.
Not every model hides padding from itself: a recurrent state goes on through it. `supported` compares rows of a batch
with rows alone before the first use.

    shapes: B rows, P padded prompt length, V vocabulary, D width
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from luthier.decoding.alone import AloneDecoder
from luthier.model import windows
from luthier.model.attention import Trials
from luthier.model.exact import as_alone, trial_tokens
from luthier.model.forward import decoder_start
from luthier.model.kv_cache import GrowingLayer, behind, fill_prefix, growing_cache, keep_rows, two_sided_cache
from luthier.model.logits import last_position_only
from luthier.model.model import Model
from luthier.task.prompt import shared_length

_TRIALS, _SHARING = Trials(), Trials()
FEWEST_SHARED_TOKENS = 16  # a shorter beginning is read with each row
TRIED_SHARED = 3  # tokens with which all rows of a trial begin


def _padded(model: Model, prompts: list[tuple[int, ...]], side: str) -> tuple[dict[str, Tensor], Tensor]:
    """Model inputs of shape (B, P) or (B, P, D) and the mask (B, P). A learned prompt stands before each text.

    Padding stands outside both, so a row reads the same in every batch.
    """
    device = model.device
    prefix_length = 0 if model.prefix is None else len(model.prefix)
    lengths = [prefix_length + len(ids) for ids in prompts]
    width = max(lengths)
    starts = [width - n if side == "left" else 0 for n in lengths]
    mask_BP = torch.zeros(len(prompts), width, dtype=torch.long, device=device)
    for row, (start, length) in enumerate(zip(starts, lengths, strict=True)):
        mask_BP[row, start : start + length] = 1
    ids_BP = torch.zeros_like(mask_BP)  # id 0 where masked: it is never read
    for row, (start, ids) in enumerate(zip(starts, prompts, strict=True)):
        ids_BP[row, start + prefix_length : start + prefix_length + len(ids)] = torch.tensor(ids, device=device)
    if model.prefix is None:
        return {"input_ids": ids_BP}, mask_BP
    module: Any = model.module
    embeds_BPD = module.get_input_embeddings()(ids_BP)
    for row, start in enumerate(starts):
        embeds_BPD[row, start : start + prefix_length] = model.prefix.to(embeds_BPD)
    return {"inputs_embeds": embeds_BPD}, mask_BP


class PaddedDecoder:
    """A causal model. It reads the prompt once into the cache, then one token at a time.

    It reads what all prompts begin with (shots, a system message) once for all rows. Padding stands between that and
    the rest of each row.
    """

    def __init__(self, model: Model, prompts: list[tuple[int, ...]], shared: int | None = None) -> None:
        """`shared`: how many first tokens are read once for all rows; None: as many as may be."""
        self.module: Any = model.module
        self.cache = growing_cache(self.module.config)
        self.keeps_tokens = not self.cache.layers or any(hasattr(layer, "keys") for layer in self.cache.layers)
        self.shared = prompts[0][: _shared_length(model, prompts) if shared is None else shared]
        self.inputs, mask_BP = _padded(model, [ids[len(self.shared) :] for ids in prompts], "left")
        self.learned = fill_prefix(self.cache, model, rows=1)
        common = self.learned + len(self.shared)  # positions that all rows have in common
        self.mask_BP = torch.cat([mask_BP.new_ones(len(prompts), common), mask_BP], 1)
        self.position_B = self.mask_BP.sum(-1)

    def start(self) -> Tensor:
        common = self.learned + len(self.shared)
        position_BP = (self.mask_BP.cumsum(-1) - 1).clamp(min=0)
        if self.shared:
            shared_1P = torch.tensor([self.shared], device=self.mask_BP.device)
            self._forward(None, input_ids=shared_1P, position_ids=position_BP[:1, self.learned : common])
        if common:
            self.cache.batch_repeat_interleave(len(self.mask_BP))
        return self._forward(self.mask_BP, position_ids=position_BP[:, common:], **self.inputs)

    def step(self, tokens_B: Tensor) -> Tensor:
        self.mask_BP = torch.cat([self.mask_BP, self.mask_BP.new_ones(len(tokens_B), 1)], 1)
        position_B1 = self.position_B[:, None]
        self.position_B = self.position_B + 1
        # A recurrent state has left padding behind: such a model would take the mask for that of the new token.
        mask_BP = self.mask_BP if self.keeps_tokens else None
        return self._forward(mask_BP, input_ids=tokens_B[:, None], position_ids=position_B1)

    def keep(self, rows: Tensor) -> list[int]:
        keep_rows(self.cache, rows)
        self.mask_BP, self.position_B = self.mask_BP[rows], self.position_B[rows]
        return rows.tolist()

    def rearrange(self, rows: Tensor, columns: int | None = None) -> None:
        """Each place takes the row that `rows` names for it; a row may be taken several times, or not at all."""
        if rows.tolist() != list(range(len(self.mask_BP))):
            self.keep(rows)

    def _forward(self, mask_BP: Tensor | None, **inputs: Tensor) -> Tensor:
        mask_BP = None if mask_BP is None or bool(mask_BP.all()) else mask_BP
        with last_position_only(self.module):
            output = self.module(attention_mask=mask_BP, **behind(self.module, self.cache), **inputs)
        return output.logits[:, -1]


def _shared_length(model: Model, prompts: list[tuple[int, ...]]) -> int:
    """How many first tokens all prompts share, at most one less than the shortest has.

    0 for fewer than FEWEST_SHARED_TOKENS, for a model with a learned prompt, which stands in front of every row, and
    for a cache with sliding or recurrent layers. 0 where a window counts columns (GPT-Neo), of which the padding behind
    the shared tokens has some, and where a trial of short rows finds that distances do.
    """
    if len(prompts) < 2 or model.prefix is not None or windows.named(model.module):
        return 0
    if not all(isinstance(layer, GrowingLayer) for layer in growing_cache(model.module.config).layers):
        return 0
    if (length := shared_length(prompts)) < FEWEST_SHARED_TOKENS:
        return 0
    return length if passes(_SHARING, model, partial(PaddedDecoder, shared=TRIED_SHARED)) else 0


class EncoderDecoder:
    """An encoder-decoder. The encoder reads the prompt once, the decoder starts from its start token."""

    def __init__(self, model: Model, prompts: list[tuple[int, ...]]) -> None:
        module: Any = model.module
        self.module = module
        inputs, self.mask_BP = _padded(model, prompts, "right")
        self.encoded = module.get_encoder()(attention_mask=self.mask_BP, return_dict=True, **inputs)
        self.cache = two_sided_cache(model, rows=len(prompts))

    def start(self) -> Tensor:
        start = decoder_start(self.module)
        return self.step(torch.full((len(self.mask_BP),), start, device=self.mask_BP.device))

    def step(self, tokens_B: Tensor) -> Tensor:
        with last_position_only(self.module):
            output = self.module(
                encoder_outputs=self.encoded,
                attention_mask=self.mask_BP,
                decoder_input_ids=tokens_B[:, None],
                **behind(self.module, self.cache),
            )
        return output.logits[:, -1]

    def keep(self, rows: Tensor) -> list[int]:
        keep_rows(self.cache, rows)
        self.mask_BP = self.mask_BP[rows]
        self.encoded.last_hidden_state = self.encoded.last_hidden_state[rows]
        return rows.tolist()

    def rearrange(self, rows: Tensor, columns: int | None = None) -> None:
        """As PaddedDecoder's. Rows that change places come of one prompt, so what the encoder made of it stays."""
        if columns is None or len(rows) != len(self.mask_BP):
            self.keep(rows)
        elif rows.tolist() != list(range(len(rows))):
            keep_rows(self.cache.self_attention_cache, rows)


def supported(model: Model) -> bool:
    """Whether rows of a padded batch say what each says alone, while they are written and when others have left.

    The first call tries three short rows.
    """
    return passes(_TRIALS, model, partial(PaddedDecoder, shared=0) if model.family == "decoder" else EncoderDecoder)


def passes(trials: Trials, model: Model, decoder: Callable[[Model, list[tuple[int, ...]]], Any]) -> bool:
    """Whether a model, without what it learned to stand in front, passes the trial of a decoder: `same_as_alone`."""
    plain = replace(model, prefix=None, prefix_states=None)
    return trials.passed(model.module, lambda module: same_as_alone(replace(plain, module=module), decoder))


def decoder_of(model: Model) -> Callable[[Model, list[tuple[int, ...]]], Any]:
    """The decoder that pads rows of the model's family."""
    return EncoderDecoder if model.family == "encoder-decoder" else PaddedDecoder


@torch.no_grad()  # and not inference mode, in which a view of a widened weight cannot be made
def same_as_alone(model: Model, decoder: Callable[[Model, list[tuple[int, ...]]], Any]) -> bool:
    """Whether a decoder gives the logits of rows that are read alone and whole, a row having left in between."""
    module: Any = model.module
    ids = trial_tokens(module.config.get_text_config(decoder=True).vocab_size, range(1, 25))
    shared, tokens = ids[:TRIED_SHARED], ids[19:]
    rows = [(*shared, *ids[3:9]), (*shared, ids[9]), (*shared, *ids[10:19])]

    def said(make: Callable[[Model, list[tuple[int, ...]]], Any]) -> Tensor:
        together = make(model, rows)
        first, place = together.start(), model.device
        second = together.step(torch.tensor(tokens[:3], device=place))
        together.keep(torch.tensor([0, 2], device=place))
        return torch.cat([first, second, together.step(torch.tensor(tokens[3:5], device=place))])

    def usual() -> Tensor:
        return said(AloneDecoder)

    return as_alone(module, said(decoder), usual(), usual)
