"""Which decoder writes the rows of a batch, and whether requests can join it."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from torch import Tensor

from luthier.decoding.alone import AloneDecoder
from luthier.decoding.padded import decoder_of
from luthier.decoding.ragged import RaggedDecoder
from luthier.decoding.requests import Request
from luthier.decoding.roads import road_of
from luthier.decoding.speculative import NgramTable, SpeculativeDecoder
from luthier.errors import ModelError
from luthier.model.model import Model


class Decoding(Protocol):
    """What decodes a batch: `start` reads the prompts, `step` takes a token of every row.

    Both return logits (B, V) of the next token. `keep` drops rows and returns which row stands where.
    `rearrange` gives each place the row that is named for it; rows that change places come of one prompt.
    """

    def start(self) -> Tensor: ...
    def step(self, tokens_B: Tensor) -> Tensor: ...
    def keep(self, rows: Tensor) -> list[int]: ...
    def rearrange(self, rows: Tensor, columns: int | None = None) -> None: ...


@runtime_checkable
class DecodesItself(Protocol):
    """A module that is not transformers' and brings its own decoding, with whatever state it keeps."""

    def decoding(self, prompts: list[tuple[int, ...]]) -> Decoding: ...


def decoder_for(model: Model, requests: list[Request], ngrams: NgramTable | None) -> Decoding:
    """A decoder before its first pass."""
    prompts = [request.prompt_ids for request in requests]
    if isinstance(model.module, DecodesItself):
        return model.module.decoding(prompts)
    if (road := road_of(model)) != "ragged":
        return decoder_of(model)(model, prompts) if road == "padded" else AloneDecoder(model, prompts, road == "whole")
    return SpeculativeDecoder(RaggedDecoder(model, prompts), prompts, [r.limit for r in requests], ngrams)


def can_join(model: Model) -> bool:
    """Whether requests can join others of this model that are being answered."""
    itself = isinstance(model.module, DecodesItself)
    return model.family == "decoder" and not itself and road_of(model) == "ragged"


def open_decoder(model: Model, beginning: tuple[int, ...], ngrams: NgramTable | None) -> SpeculativeDecoder:
    """A decoder without rows, which has read what all that join begin with."""
    if not can_join(model):
        raise ModelError(f"{model.name}: rows of this model cannot join others; answer them in batches")
    ragged = RaggedDecoder(model, [], beginning=beginning)
    ragged.read_beginning()
    return SpeculativeDecoder(ragged, [], [], ngrams)
