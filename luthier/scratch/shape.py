"""The shape of a transformer or LSTM: its settings, its parameters, and the FLOPs of training it. Imports no torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from luthier.settings import Settings


class Shape(Settings):
    """All choices of transformer.py. The defaults are a Llama-like decoder (Touvron et al. 2023)."""

    vocabulary: int = Field(ge=2, le=2**24, description="tokens")
    family: Literal["decoder", "encoder", "encoder-decoder"] = Field("decoder", description="which stacks there are")
    width: int = Field(128, ge=1, le=2**16, description="of the residual stream")
    layers: int = Field(4, ge=1, le=1000, description="blocks of each stack")
    heads: int = Field(4, ge=1, le=2**12, description="attention heads")
    kv_heads: int | None = Field(None, ge=1, description="heads of keys and values, which divide the heads; None: all")
    head_width: int | None = Field(None, ge=1, description="width of a head; None: width / heads")
    inner: int | None = Field(
        None, ge=1, description="inner width of the MLP; None: 4 x width, 8/3 x where it is gated"
    )
    window: int = Field(512, ge=1, le=2**24, description="most positions, where positions are learned")
    positions: Literal["learned", "sinusoidal", "rotary", "alibi", "buckets"] = Field(
        "rotary",
        description="learned; sinusoidal (Vaswani et al. 2017); rotary (Su et al. 2021); alibi (Press et al. 2022); "
        "buckets (T5, Raffel et al. 2020)",
    )
    rotary_base: float = Field(10_000.0, gt=0, description="base of rotary's wave lengths")
    norm: Literal["rms", "layer"] = Field("rms", description="RMSNorm (Zhang and Sennrich 2019) or LayerNorm")
    norm_place: Literal["pre", "post"] = Field("pre", description="before each part, or behind its sum")
    epsilon: float = Field(1e-5, gt=0, description="of the norms")
    activation: Literal["gelu", "gelu-tanh", "relu", "relu2", "swiglu", "geglu"] = Field(
        "swiglu", description="of the MLP; relu2 is the square (So et al. 2021), swiglu and geglu gate (Shazeer 2020)"
    )
    bias: bool = Field(False, description="whether linear layers have biases")
    tied: bool = Field(True, description="whether the output layer is the embedding")
    qk_norm: bool = Field(False, description="RMSNorm on queries and keys (Dehghani et al. 2023)")
    zero_outputs: bool = Field(False, description="whether what is added to the residual stream begins at zero")
    scaled_attention: bool = Field(True, description="scores times head_width^-.5; T5 has none")
    scaled_head: bool = Field(False, description="hidden states times width^-.5 before a tied head, as in T5 1.0")
    embedding_norm: bool = Field(False, description="a norm behind the embeddings, as in BERT")
    segments: int = Field(0, ge=0, description="kinds of segments that have embeddings, as in BERT")
    head: Literal["linear", "masked", "none"] = Field(
        "linear", description="the output layer alone; behind BERT's dense layer; none: hidden states are the output"
    )

    @model_validator(mode="after")
    def _fits(self) -> Shape:
        if self.heads % self.keys:
            raise ValueError(f"kv_heads is {self.keys} and does not divide the {self.heads} heads")
        if self.head_width is None and self.width % self.heads:
            raise ValueError(f"heads is {self.heads} and does not divide the width of {self.width}; set head_width")
        if self.positions == "rotary" and self.head_size % 2:
            raise ValueError(f"rotary positions turn pairs, and a head is {self.head_size} wide; choose an even width")
        return self

    @property
    def keys(self) -> int:
        """Heads of keys and values."""
        return self.kv_heads or self.heads

    @property
    def head_size(self) -> int:
        return self.head_width or self.width // self.heads

    @property
    def gated(self) -> bool:
        return self.activation in ("swiglu", "geglu")

    @property
    def inner_width(self) -> int:
        """A gated MLP has a third matrix, so 8/3 gives it the parameters of 4; in steps of 8."""
        return self.inner or (8 * round(self.width / 3) if self.gated else 4 * self.width)

    @property
    def stacks(self) -> int:
        return 2 if self.family == "encoder-decoder" else 1


def matrices(shape: Shape) -> int:
    """Weights of all matrices in the blocks: without embeddings, output layer, norms and biases."""
    attention = shape.width * shape.head_size * (2 * shape.heads + 2 * shape.keys)
    mlp = shape.width * shape.inner_width * (3 if shape.gated else 2)
    cross = attention * shape.layers if shape.family == "encoder-decoder" else 0
    return shape.stacks * shape.layers * (attention + mlp) + cross


def training_flops(shape: Shape, tokens: int, row: int) -> float:
    """FLOPs of training on `tokens` tokens in rows of `row`: 6 for each weight of a matrix and token, output layer
    included, and 12 for each layer, position that is read and width of attention (Kaplan et al. 2020, table 1; half of
    the positions are read where the model looks back alone). An encoder-decoder's tokens are split evenly between its
    stacks.
    """
    seen = row if shape.family != "decoder" else (row + 1) / 2
    attention = 12 * shape.layers * shape.heads * shape.head_size * seen
    head = 6 * shape.width * shape.vocabulary if shape.head != "none" else 0
    return float(tokens * (6 * matrices(shape) + head + attention) / (1 if shape.stacks == 1 else 2))
