"""A model's shape: every module with weights of its own, by the path that transformers gives it, and its blocks.

A shape is made of config.json alone (read.py). It holds what decides parameters, bytes and operations: widths, heads,
which matrices are tied, and which part of a block each layer is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal

Kind = Literal["linear", "conv1d", "embedding", "norm"]
Stack = Literal["encoder", "decoder"]
Role = Literal["query", "key", "value", "qkv", "attended", "gate", "up", "down", ""]


@dataclass(frozen=True)
class Layer:
    """One module with parameters. `role` says which part of a block it is; 'attended' makes attention's output.

    A linear layer maps `inputs` to `outputs`. An embedding has `inputs` rows of width `outputs`, a norm `outputs`
    scales. `tied_to` is the path of the layer whose weight this one shares.
    """

    path: str
    kind: Kind
    inputs: int
    outputs: int
    bias: bool = False
    role: Role = ""
    tied_to: str | None = None

    @property
    def is_linear(self) -> bool:
        return self.kind in ("linear", "conv1d")

    @property
    def weights(self) -> int:
        """Numbers in its weight, its own or a tied one."""
        return self.outputs if self.kind == "norm" else self.inputs * self.outputs

    @property
    def biases(self) -> int:
        return self.outputs if self.bias else 0

    @property
    def parameters(self) -> int:
        """Numbers of its own: a tied weight is counted where it belongs."""
        return self.biases + (0 if self.tied_to else self.weights)

    def is_called(self, name: str) -> bool:
        """Whether the path is `name` or ends with it."""
        return bool(name) and f".{self.path}".endswith(f".{name}")

    def is_inside(self, name: str) -> bool:
        """Whether the layer is a module called `name`, or lies inside one."""
        return bool(name) and f".{name}." in f".{self.path}."


@dataclass(frozen=True)
class Attention:
    """One attention of a block: how many heads keep keys and values, how wide, and how far back they are kept."""

    heads: int
    key_heads: int
    head_width: int
    value_width: int | None = None  # of a head's values; None: as of its keys
    window: int | None = None  # tokens that a sliding window sees; None: all
    cross: bool = False  # whether keys and values are those of the encoder's output
    causal: bool = True
    soft_capped: bool = False  # scores go through tanh, so they are formed in full
    positions: Literal["rotary", "bias", "learned"] = "rotary"

    @property
    def query_width(self) -> int:
        return self.heads * self.head_width

    @property
    def kept_numbers(self) -> int:
        """Numbers of one token's keys and values in the cache."""
        return self.key_heads * (self.head_width + (self.value_width or self.head_width))


@dataclass(frozen=True)
class Block:
    """One transformer block."""

    path: str
    stack: Stack
    layers: tuple[Layer, ...]
    attentions: tuple[Attention, ...]
    inner: int  # width inside the feed-forward network
    gated: bool  # whether a second product gates the inner activation
    activation: str = "gelu"  # by transformers' name

    @property
    def norms(self) -> list[Layer]:
        return [layer for layer in self.layers if layer.kind == "norm"]

    @property
    def placeless(self) -> Block:
        """The block as it would be anywhere, so that blocks can be compared."""
        layers = (replace(layer, path=layer.path.removeprefix(self.path)) for layer in self.layers)
        return replace(self, path="", layers=tuple(layers))


@dataclass(frozen=True)
class Shape:
    """A whole model. `outside` are the layers that belong to no block: embeddings, last norms, the output layer."""

    name: str
    model_type: str
    family: Literal["decoder", "encoder-decoder", "encoder"]
    width: int
    vocabulary: int
    window: int | None  # tokens that it was made for; None: its configuration says none
    blocks: tuple[Block, ...]
    outside: tuple[Layer, ...]
    embedding: str  # path of the token embeddings
    output: str | None  # path of the layer that makes the logits; None: an encoder
    rms_norms: bool
    dropout: float = 0.0  # of hidden states in training
    attention_dropout: float = 0.0
    head: tuple[str, ...] = ()  # modules of an encoder's new head
    wide_linear: tuple[str, ...] = field(default=())  # names that are never made narrow, beside the output layer

    @cached_property
    def layers(self) -> tuple[Layer, ...]:
        return (*self.outside, *(layer for block in self.blocks for layer in block.layers))

    @cached_property
    def parameters(self) -> int:
        """All parameters; tied ones count once."""
        return sum(layer.parameters for layer in self.layers)

    @cached_property
    def linear(self) -> tuple[Layer, ...]:
        """The linear layers of blocks, and of an encoder's body outside of them: no output layer and no head."""
        made = (layer for layer in self.layers if layer.is_linear and layer.path != self.output)
        return tuple(layer for layer in made if not self.in_head(layer))

    @cached_property
    def head_layers(self) -> tuple[Layer, ...]:
        """The layers of an encoder's new head."""
        return tuple(layer for layer in self.layers if self.in_head(layer))

    def in_head(self, layer: Layer) -> bool:
        return any(layer.is_inside(part) for part in self.head)

    @property
    def writing(self) -> list[Block]:
        """The blocks of the decoder; of an encoder, all."""
        return [block for block in self.blocks if block.stack == "decoder" or self.family == "encoder"]

    @property
    def reading(self) -> list[Block]:
        """The blocks of an encoder-decoder's encoder."""
        return [block for block in self.blocks if block.stack == "encoder" and self.family == "encoder-decoder"]

    @cached_property
    def like(self) -> dict[str, str]:
        """Path of a block -> path of the first that differs from it in nothing but its place."""
        first: dict[Block, str] = {}
        return {block.path: first.setdefault(block.placeless, block.path) for block in self.blocks}

    def at(self, path: str) -> Layer:
        return next(layer for layer in self.layers if layer.path == path)

    @property
    def is_tied(self) -> bool:
        return self.output is not None and self.at(self.output).tied_to is not None

    def names(self) -> list[str]:
        """The last parts of the linear layers' paths, for sentences about unknown ones."""
        return sorted({layer.path.rpartition(".")[2] for layer in self.linear})


def called(layers: Sequence[Layer], name: str) -> Iterator[Layer]:
    """The layers whose path is `name` or ends with it."""
    return (layer for layer in layers if layer.is_called(name))
