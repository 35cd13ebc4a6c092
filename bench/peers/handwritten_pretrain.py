"""A plain loop on torch's own layers: nn.TransformerEncoderLayer with a causal mask, fused AdamW, the rows in order."""

from __future__ import annotations

import contextlib
import pickle
from pathlib import Path

import common
import numpy as np
import torch
import torch.nn.functional as F
from torch import nn


class Decoder(nn.Module):
    """Embedding, learned positions, blocks with norms in front, and the embedding again as the output layer."""

    def __init__(self, words, order):
        super().__init__()
        width, row = order["width"], order["row"]
        self.words, self.places = nn.Embedding(words, width), nn.Embedding(row, width)
        block = nn.TransformerEncoderLayer(
            width, order["heads"], 4 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True,
            bias=False,
        )  # fmt: skip
        self.blocks = nn.TransformerEncoder(block, order["layers"], nn.LayerNorm(width), enable_nested_tensor=False)
        self.register_buffer("causal", nn.Transformer.generate_square_subsequent_mask(row), persistent=False)
        for table in (self.words, self.places):
            nn.init.normal_(table.weight, std=0.02)

    def forward(self, ids):
        x = self.words(ids) + self.places.weight[: ids.shape[1]]
        return self.blocks(x, mask=self.causal, is_causal=True) @ self.words.weight.T


def steps_of(order):
    """(ids, targets) of each step: the text from its beginning."""
    text = np.fromfile(Path(order["text"]) / "train.bin", dtype=np.uint16).astype(np.int64)
    rows, row = order["rows_a_step"], order["row"]
    for start in range(0, (order["steps"] + 1) * rows * row, rows * row):
        part = torch.from_numpy(text[start : start + rows * row + 1])
        yield part[:-1].view(rows, row), part[1:].view(rows, row)


def main():
    order = common.order()
    torch.manual_seed(0)
    words = pickle.loads((Path(order["text"]) / "meta.pkl").read_bytes())["vocab_size"]
    model = Decoder(words, order).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.0, fused=True)
    cast = torch.autocast("cpu", torch.bfloat16) if order["bf16"] else contextlib.nullcontext()
    losses, began = [], common.now()
    for number, (ids, targets) in enumerate(steps_of(order)):
        if number == 1:
            began = common.now()
        with cast:
            logits = model(ids)
        loss = F.cross_entropy(logits.float().flatten(0, 1), targets.flatten())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        losses.append(float(loss.detach()))
    took = common.now() - began
    precision = "bf16 autocast" if order["bf16"] else "fp32"
    parameters = sum(p.numel() for p in model.parameters())
    common.report_pretraining(("torch",), order, words, took, losses=losses, precision=precision, parameters=parameters)


if __name__ == "__main__":
    main()
