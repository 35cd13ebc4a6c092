"""An LSTM language model (Hochreiter and Schmidhuber 1997), called as the transformer is, and its size.

B rows    T tokens    D width    L layers    V vocabulary    N documents of all rows
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from luthier.scratch.cached import CachedDecoding


@dataclass
class LSTMState:
    """Hidden and cell states (L, B, D) behind the last token of each row; None before the first."""

    states: tuple[Tensor, Tensor] | None = None

    def select(self, rows: Tensor) -> None:
        """Keeps some rows, in this order."""
        if self.states is not None:
            self.states = (self.states[0][:, rows], self.states[1][:, rows])


class LSTM(nn.Module):
    """Embedding, layers, and the embedding again as the output layer. Each document begins with a state of zeros."""

    def __init__(self, vocabulary: int, width: int, layers: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width)
        self.layers = nn.LSTM(width, width, layers, batch_first=True)
        nn.init.normal_(self.embedding.weight, std=width**-0.5)
        with torch.no_grad():  # a forget gate that begins open (Jozefowicz et al. 2015)
            for name, bias in self.layers.named_parameters():
                if name.startswith("bias_ih"):
                    bias[width : 2 * width] += 1.0

    def forward(
        self,
        ids_BT: Tensor,
        documents_BT: Tensor | None = None,
        *,
        wanted_BT: Tensor | None = None,
        cache: LSTMState | None = None,
    ) -> Tensor:
        """Logits (B, T, V), or (n, V) at the n positions where `wanted_BT` is true.

        A row may hold several documents, in one piece each; padding is document -1, and its logits mean nothing. With a
        `cache` a row is one document, which goes on where the last call ended.
        """
        x_BTD = self.embedding(ids_BT)
        if documents_BT is None:
            y_BTD, states = self.layers(x_BTD, None if cache is None else cache.states)
        else:
            y_BTD, states = self._by_document(x_BTD, documents_BT, None if cache is None else cache.states)
        if cache is not None:
            cache.states = states
        return F.linear(y_BTD if wanted_BT is None else y_BTD[wanted_BT], self.embedding.weight)

    def _by_document(
        self, x_BTD: Tensor, documents_BT: Tensor, states: tuple[Tensor, Tensor] | None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """The documents of all rows as rows of their own, and their outputs back in place."""
        begins_BT = F.pad(documents_BT[:, 1:] != documents_BT[:, :-1], (1, 0), value=True)
        number_BT = begins_BT.flatten().cumsum(0).view_as(documents_BT) - 1
        text_BT = documents_BT >= 0
        _, number_n = torch.unique_consecutive(number_BT[text_BT], return_inverse=True)  # of each token, from 0 to N
        lengths_N = torch.bincount(number_n)
        place_n = torch.arange(len(number_n), device=number_n.device)
        place_n = place_n - (lengths_N.cumsum(0) - lengths_N)[number_n]
        x_NTD = x_BTD.new_zeros(len(lengths_N), int(lengths_N.max()), x_BTD.shape[-1])
        x_NTD = x_NTD.index_put((number_n, place_n), x_BTD[text_BT])
        packed = nn.utils.rnn.pack_padded_sequence(x_NTD, lengths_N.cpu(), batch_first=True, enforce_sorted=False)
        packed_y, states = self.layers(packed, states)
        y_NTD, _ = nn.utils.rnn.pad_packed_sequence(packed_y, batch_first=True)
        y_BTD = torch.zeros_like(x_BTD).masked_scatter(text_BT[..., None], y_NTD[number_n, place_n])
        return y_BTD, states

    @property
    def matrices(self) -> int:
        """Weights of the layers' matrices."""
        return sum(p.numel() for p in self.layers.parameters() if p.dim() > 1)

    def training_flops(self, tokens: int) -> float:
        """FLOPs of training on so many tokens: 6 for each weight of a product and token."""
        return 6.0 * tokens * (self.matrices + self.embedding.weight.numel())

    def decoding(self, prompts: list[tuple[int, ...]]) -> CachedDecoding:
        """For the generator (decoding/generate.py)."""
        return CachedDecoding(self, prompts, LSTMState())


def lstm_width(parameters: int, vocabulary: int, layers: int) -> int:
    """The width at which an LSTM has about as many parameters: vocabulary D + layers (8 D^2 + 8 D), in steps of 8."""
    a, b = 8 * layers, vocabulary + 8 * layers
    exact = (-b + (b * b + 4 * a * parameters) ** 0.5) / (2 * a)
    return max(8, 8 * round(exact / 8))
