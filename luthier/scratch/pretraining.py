"""How a model is trained from nothing: its settings, its steps, and which of these longer trainings have, too."""

from __future__ import annotations

import math
from typing import ClassVar, Literal

from pydantic import Field, model_validator

from luthier.model.model import own_precision
from luthier.scratch import objectives
from luthier.scratch.corpus import DOCSTRINGS
from luthier.scratch.shape import Shape
from luthier.settings import LeanSettings, Seed
from luthier.training import optimizers

FEWEST_STEPS = 10


class Pretraining(LeanSettings):
    """How a model is trained from nothing."""

    corpus: str = Field(DOCSTRINGS, description="the text: docstrings, a folder of texts, a .jsonl or a .txt")
    tokenizer: Literal["bytes", "bpe", "unigram"] = Field("bpe", description="what cuts the text")
    vocabulary: int = Field(1024, ge=257, le=65_536, description="ids of the tokenizer; bytes have 257")
    objective: Literal["causal", "prefix", "masked", "spans"] = Field(
        "causal", description="what the model learns to do"
    )
    model: Literal["transformer", "lstm"] = Field("transformer", description="what learns; an LSTM is causal")
    width: int = Field(128, ge=8, le=2**14, description="of the residual stream; an LSTM gets as many parameters")
    layers: int = Field(4, ge=1, le=200, description="blocks of each stack")
    heads: int = Field(4, ge=1, le=256, description="attention heads")
    kv_heads: int | None = Field(None, ge=1, description="heads of keys and values; None: as many")
    positions: Literal["learned", "sinusoidal", "rotary", "alibi", "buckets"] = Field(
        "rotary", description="how the model knows where a token stands"
    )
    activation: Literal["gelu", "gelu-tanh", "relu", "relu2", "swiglu", "geglu"] = Field(
        "relu2", description="of the MLP"
    )
    norm: Literal["rms", "layer"] = Field("rms", description="RMSNorm or LayerNorm")
    qk_norm: bool = Field(True, description="norm on queries and keys")
    zero_outputs: bool = Field(True, description="what is added to the residual stream begins at zero")
    tied: bool = Field(True, description="the output layer is the embedding")
    tokens: int = Field(2_000_000, ge=1, le=10**9, description="tokens to train on")
    row: int = Field(256, ge=8, le=2**14, description="tokens of a row")
    batch_tokens: int = Field(4096, ge=8, le=2**24, description="tokens an optimizer step")
    optimizer: Literal["adamw", "muon"] = Field("muon", description="Muon moves matrices, and AdamW the rest")
    learning_rate: float = Field(0.02, gt=0, le=10, description="peak learning rate")
    weight_decay: float = Field(0.0, ge=0, le=10, description="decoupled weight decay of matrices")
    warmup: float = Field(0.02, ge=0, lt=1, description="share of the steps over which the learning rate rises")
    cooldown: float | None = Field(
        None, gt=0, le=1, description="share of the steps over which it falls; None: it falls from its peak on"
    )
    trunk_tokens: int | None = Field(
        None,
        ge=1,
        le=10**9,
        description="tokens of the longest of several trainings that begin the same: rows come in its order, and "
        "warmup is a share of its steps; None: this training begins by itself",
    )
    evaluations: int = Field(5, ge=1, le=1000, description="times that held-out text is read on the way")
    held_out_bytes: int = Field(400_000, ge=100, le=10**9, description="most bytes of held-out text at the end")
    precision: Literal["auto", "fp32", "bf16"] = Field(
        "auto", description="of products; auto: bf16 where the machine multiplies it faster, and never for an LSTM"
    )
    checkpoint_seconds: float = Field(25.0, ge=0, description="seconds of work that a kill may cost; 0: every step")
    seed: Seed = Field(0, description="of weights, rows and samples")
    LATER: ClassVar[frozenset[str]] = frozenset({"trunk_tokens"})

    @model_validator(mode="after")
    def _fits(self) -> Pretraining:
        if self.model == "lstm" and self.objective != "causal":
            raise ValueError(f"an LSTM reads from left to right, so its objective is causal and not {self.objective}")
        if self.batch_tokens < self.row:
            raise ValueError(f"batch_tokens is {self.batch_tokens}, less than one row of {self.row}")
        if self.trunk_tokens is not None:
            self._refuse_no_trunk(self.trunk_tokens)
        self.shape(self.vocabulary)
        return self

    def _refuse_no_trunk(self, longest: int) -> None:
        """Raises ValueError where what is shared with longer trainings would hang on this one's length."""
        if longest < self.tokens:
            raise ValueError(f"trunk_tokens is {longest}, and this training has {self.tokens}; give the longest one's")
        if self.cooldown is None:
            raise ValueError("trunk_tokens needs a rate that stays until it falls at the end; give a cooldown, as 0.2")
        if self.evaluations != 1:
            raise ValueError(
                f"evaluations is {self.evaluations}; with trunk_tokens held-out text is read at the end: 1"
            )

    def shape(self, ids: int) -> Shape:
        """The transformer's shape with `ids` ids."""
        same = ("width", "layers", "heads", "kv_heads", "positions", "activation", "norm", "qk_norm", "zero_outputs")
        return Shape(
            vocabulary=ids, family=objectives.FAMILY[self.objective], tied=self.tied, window=self.row,  # type: ignore[arg-type]
            **{name: getattr(self, name) for name in same},
        )  # fmt: skip

    @property
    def rows_a_step(self) -> int:
        return max(1, self.batch_tokens // self.row)

    def _steps_for(self, tokens: int) -> int:
        return max(FEWEST_STEPS, math.ceil(tokens / (self.rows_a_step * self.row)))

    @property
    def steps(self) -> int:
        """At least FEWEST_STEPS."""
        return self._steps_for(self.tokens)

    @property
    def longest_steps(self) -> int | None:
        """Steps of the longest training of those that begin the same; None where this one begins by itself."""
        return None if self.trunk_tokens is None else self._steps_for(self.trunk_tokens)

    @property
    def shared_steps(self) -> int:
        """The first of its steps, which longer trainings that begin the same have in common with it."""
        if self.trunk_tokens is None or self.cooldown is None:
            return 0
        return optimizers.steps_before(self.cooldown, self.steps)

    @property
    def tokens_read(self) -> int:
        """Tokens of all steps: `tokens`, rounded up to whole steps."""
        return self.steps * self.rows_a_step * self.row

    def own_precision(self) -> str:
        """'fp32' or 'bf16': what `precision` means on this machine. An LSTM's own products know fp32 alone."""
        if self.model == "lstm":
            return "fp32"
        return own_precision("cpu") if self.precision == "auto" else self.precision

    @property
    def is_causal(self) -> bool:
        """Whether the model learns to give every token a likelihood from those before it."""
        return self.objective in ("causal", "prefix")
