"""The shape of a transformer or LSTM: its settings, its parameters, and the FLOPs of training it. Imports no torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from luthier.planning import flops
from luthier.planning import shape as plan
from luthier.planning.moving import moving
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


def planned(shape: Shape) -> plan.Shape:
    """The shape as a plan reads it: embedding, output layer and the matrices of the blocks. What makes no product is
    left out: norms, biases, positions."""
    stacks: dict[str, tuple[plan.Stack, ...]] = {"decoder": ("decoder",), "encoder": ("encoder",)}
    blocks = [
        _block(shape, stack, number)
        for stack in stacks.get(shape.family, ("encoder", "decoder"))
        for number in range(shape.layers)
    ]
    embedding = plan.Layer("embedding", "embedding", shape.vocabulary, shape.width)
    head = plan.Layer("head", "linear", shape.width, shape.vocabulary, tied_to="embedding" if shape.tied else None)
    has_head = shape.head != "none"
    return plan.Shape(
        name="from nothing", model_type="luthier", family=shape.family, width=shape.width, vocabulary=shape.vocabulary,
        window=shape.window, blocks=tuple(blocks), outside=(embedding, head) if has_head else (embedding,),
        embedding="embedding", output="head" if has_head else None, rms_norms=shape.norm == "rms",
    )  # fmt: skip


def _block(shape: Shape, stack: plan.Stack, number: int) -> plan.Block:
    path, crosses = f"{stack}.{number}", stack == "decoder" and shape.family == "encoder-decoder"
    queries, keys, inner = shape.heads * shape.head_size, shape.keys * shape.head_size, shape.inner_width
    roles: tuple[tuple[plan.Role, int, int], ...] = (
        ("query", shape.width, queries), ("key", shape.width, keys), ("value", shape.width, keys),
        ("attended", queries, shape.width),
    )  # fmt: skip
    mlp: tuple[tuple[plan.Role, int, int], ...] = (
        *((("gate", shape.width, inner),) if shape.gated else ()), ("up", shape.width, inner),
        ("down", inner, shape.width),
    )  # fmt: skip
    parts = [("attention", roles), *([("cross", roles)] if crosses else []), ("mlp", mlp)]
    layers = [
        plan.Layer(f"{path}.{name}.{role}", "linear", into, out, role=role)
        for name, some in parts
        for role, into, out in some
    ]
    own = plan.Attention(shape.heads, shape.keys, shape.head_size, causal=stack == "decoder")
    return plan.Block(path, stack, tuple(layers), (own,), inner, shape.gated, shape.activation)


def matrices(shape: Shape) -> int:
    """Weights of all matrices in the blocks: without embeddings, output layer, norms and biases."""
    return flops.linear_parameters(planned(shape))


def training_flops(shape: Shape, tokens: int, row: int) -> float:
    """FLOPs of training on `tokens` tokens in full rows of `row`, all parameters moving, as planning/flops.py has them.

    An encoder-decoder's tokens are split evenly between its stacks.
    """
    whole = planned(shape)
    if shape.family == "encoder-decoder":
        half = tokens // 2
        read = flops.Read(half, half * row, half, half, half * (row + 1) // 2)
    else:
        read = flops.Read(tokens, tokens * row if shape.family == "encoder" else tokens * (row + 1) // 2, tokens)
    return float(sum(flops.training_flops(whole, moving(whole, "full", None), read).values()))


def row_flops(shape: Shape, read: int, losses: int, written: int = 0) -> float:
    """FLOPs of training on one row of `read` tokens with `losses` supervised positions.

    An encoder-decoder reads them in its encoder, and its decoder writes `written`.
    """
    whole, square = planned(shape), read * (read + 1) // 2
    one = flops.Read(read, square if shape.family == "decoder" else read * read, losses,
                     written, written * (written + 1) // 2)  # fmt: skip
    return float(sum(flops.training_flops(whole, moving(whole, "full", None), one).values()))
