"""How much arithmetic the work needs at least, and what share of the machine's best rate a run reached.

A matrix product costs 2 operations a parameter and token. Training pays for the forward pass (2), the gradient of the
activations (2) and, for parameters that move, the gradient of the weights (2): 6 N a token where all N parameters move
(Kaplan et al. 2020, section 2.1), 4 N + 6 A where only an adapter's A do. Embeddings are looked up, not multiplied, so
N leaves them out; the output layer is counted at the positions that need logits. Attention is causal: a token at
position t is held against t others. Padding, and logits nobody asked for, count as nothing: they are not the work.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Shape:
    """What of a Llama-like decoder decides its arithmetic."""

    layers: int
    width: int
    heads: int
    key_heads: int
    head_width: int
    inner: int
    vocabulary: int

    @property
    def linear(self) -> list[tuple[int, int]]:
        """(in, out) of the linear layers of one block: query, key, value, output; gate, up, down."""
        queries, keys = self.heads * self.head_width, self.key_heads * self.head_width
        attention = [(self.width, queries), (self.width, keys), (self.width, keys), (queries, self.width)]
        return [*attention, (self.width, self.inner), (self.width, self.inner), (self.inner, self.width)]

    @property
    def parameters(self) -> int:
        """N: parameters of the linear layers of all blocks, without embeddings."""
        return self.layers * sum(i * o for i, o in self.linear)

    @property
    def head_parameters(self) -> int:
        return self.width * self.vocabulary

    def adapter_parameters(self, rank: int) -> int:
        """A of LoRA on all linear layers: r (in + out) for each."""
        return self.layers * sum(rank * (i + o) for i, o in self.linear)

    def attention(self, squares: int) -> int:
        """Forward operations of q k^T and of the sum over v; `squares` is the sum of n (n + 1) / 2 over rows."""
        return 4 * self.layers * self.heads * self.head_width * squares


SMOLLM2_135M = Shape(layers=30, width=576, heads=9, key_heads=3, head_width=64, inner=1536, vocabulary=49152)


def training(shape: Shape, run: dict[str, Any], rank: int | None) -> int:
    """Operations of one measured training run; `rank` of LoRA, or None where everything moves.

    What rows have in common is counted for every row, although luthier reads it once for each micro-batch.
    """
    attention = 3 * shape.attention(run["squares"])
    if rank is None:
        return 6 * shape.parameters * run["tokens"] + 6 * shape.head_parameters * run["supervised"] + attention
    body = (4 * shape.parameters + 6 * shape.adapter_parameters(rank)) * run["tokens"]
    return body + 4 * shape.head_parameters * run["supervised"] + attention


def generation(shape: Shape, run: dict[str, Any]) -> int:
    """Operations of one measured generation run: prompts and answers read once, logits for each new token.

    What prompts have in common is counted for every prompt, so a tool that reads it once may pass 100 %.
    """
    read = run["prompt_tokens"] + run["new_tokens"] - run["examples"]  # the last new token is never read
    return 2 * shape.parameters * read + 2 * shape.head_parameters * run["new_tokens"] + shape.attention(run["squares"])


def weight_bytes_moved(shape: Shape, run: dict[str, Any]) -> float:
    """Bytes of stored weights that must come from memory: all of them at every pass."""
    return (shape.parameters + shape.head_parameters) * run["weight_bits"] / 8 * run["passes"]


def peak(limit: dict[str, Any], precision: str) -> float:
    """The best FLOP/s of a square matrix product in 'fp32' or 'bf16'."""
    return float(max(limit[f"{precision}_flops"].values()))
