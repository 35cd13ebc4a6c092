"""Which tokens a model holds to be alike: by their embeddings alone, and read in their place in a text.

shapes: V vocabulary, D width, K candidates, T tokens of the text
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F

from luthier.errors import ModelError
from luthier.model.model import Model, load
from luthier.scratch.token_table import load_tokenizer, shown_piece

CANDIDATES = 40  # static neighbours that are read in the token's place
MOST_TOKENS = 64  # of a text whose neighbours are asked for: each costs CANDIDATES readings


@dataclass(frozen=True)
class Neighbours:
    """A token and its nearest ones as (piece, cosine), the nearest first."""

    piece: str
    static: list[tuple[str, float]]
    in_context: list[tuple[str, float]]


def looked_into(name: str) -> Model:
    """A model of any family, to look into with a text. Raises ModelError as `load` does."""
    return load(name, precision="fp32", device="cpu", labels=("a", "b"))  # an encoder needs labels, which nobody reads


@torch.inference_mode()
def neighbours(text: str, model: Model, *, count: int = 5) -> list[Neighbours]:
    """For each token of the text its nearest tokens.

    Static: by the cosine of input embeddings. In context: the CANDIDATES nearest are read in the token's place, one
    after the other, and the cosine is that of the hidden states there, in the middle layer. A decoder sees only what
    stands to the left. Raises ModelError for a text of more than MOST_TOKENS tokens.
    """
    tokenizer, _ = load_tokenizer(model.name)
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    if len(ids) > MOST_TOKENS:
        raise ModelError(
            f"{model.name}: the text has {len(ids)} tokens; neighbours are shown of {MOST_TOKENS} or fewer"
        )
    module: Any = model.module
    table_VD = F.normalize(module.get_input_embeddings().weight.float(), dim=-1)
    reader = module.get_encoder() if module.config.is_encoder_decoder else module.base_model
    return [_of(reader, tokenizer, table_VD, ids, place, count) for place in range(len(ids))]


def _of(reader: Any, tokenizer: Any, table_VD: torch.Tensor, ids: list[int], place: int, count: int) -> Neighbours:
    cosines_V = table_VD @ table_VD[ids[place]]
    cosines_V[ids[place]] = -2
    static = cosines_V.topk(min(CANDIDATES, len(cosines_V) - 1))
    rows_KT = torch.tensor([ids] * (len(static.indices) + 1))
    rows_KT[1:, place] = static.indices
    mask_KT = torch.ones_like(rows_KT)
    layers = reader(input_ids=rows_KT, attention_mask=mask_KT, output_hidden_states=True).hidden_states
    here_KD = F.normalize(layers[len(layers) // 2][:, place].float(), dim=-1)
    alike_K = here_KD[1:] @ here_KD[0]

    def named(order: torch.Tensor, values: torch.Tensor) -> list[tuple[str, float]]:
        return [(shown_piece(tokenizer, int(static.indices[k])), float(values[k])) for k in order[:count]]

    return Neighbours(
        shown_piece(tokenizer, ids[place]),
        named(torch.arange(len(static.indices)), static.values),
        named(alike_K.argsort(descending=True), alike_K),
    )
