"""Attention as a figure: one square a head, a row for each token that looks and a column for each that is seen."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from matplotlib.figure import Figure
from torch import Tensor

from luthier.errors import ModelError
from luthier.model.model import Model
from luthier.reports.plots import draw
from luthier.scratch.imported import imported
from luthier.scratch.token_table import load_tokenizer, shown_piece

MOST_TOKENS = 48
ACROSS = 4  # heads in a row of the figure


def attention_svg(map_HTS: Tensor, looking: Sequence[str], seen: Sequence[str], name: str) -> str:
    """The heads of one layer. `map_HTS` holds shares of attention; `looking` are T pieces and `seen` S."""
    shares = map_HTS.detach().float().cpu().numpy()
    heads = len(shares)
    rows = math.ceil(heads / ACROSS)

    def paint(figure: Figure) -> None:
        every = figure.subplots(rows, min(ACROSS, heads), squeeze=False)
        for number, axes in enumerate(every.flat):
            if number >= heads:
                axes.set_axis_off()
                continue
            axes.pcolormesh(shares[number], cmap="Blues", vmin=0, vmax=1)
            axes.invert_yaxis()
            axes.set_title(f"head {number}", fontsize=7)
            axes.set_xticks([n + 0.5 for n in range(len(seen))], seen, rotation=90, fontsize=5, parse_math=False)
            axes.set_yticks([n + 0.5 for n in range(len(looking))], looking, fontsize=5, parse_math=False)
            axes.tick_params(length=0)

    strongest = [
        f"head {n} looks from {looking[t]!r} most at {seen[s]!r}"
        for n, share in enumerate(shares)
        for t, s in [divmod(int(share[1:].argmax()) + len(seen), len(seen))]
        if len(looking) > 1
    ]
    return draw(name.replace(".", "-"), f"Attention of {name}. {'; '.join(strongest)}.", paint, 0.4 + 1.5 * rows)


@torch.no_grad()
def attention_of(text: str, model: Model, layer: int) -> str:
    """The figure of one layer of a model that imported.py reads. Raises ModelError for a text or layer out of range."""
    tokenizer, _ = load_tokenizer(model.name)
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    if not 0 < len(ids) <= MOST_TOKENS:
        raise ModelError(f"{model.name}: the text has {len(ids)} tokens; attention is drawn of 1 to {MOST_TOKENS}")
    encodes = model.family == "encoder"
    read = imported(model.module.base_model if encodes else model.module)  # type: ignore[arg-type]
    if not 0 <= layer < read.shape.layers:
        raise ModelError(
            f"{model.name}: it has layers 0 to {read.shape.layers - 1}, and no layer {layer}; name one of these"
        )
    maps: dict[str, Tensor] = {}
    ids_1T = torch.tensor([ids])
    read(ids_1T, maps=maps, **({"source_BS": ids_1T} if read.shape.family == "encoder-decoder" else {}))
    name = f"{'decoder' if read.shape.family == 'decoder' else 'encoder'}.{layer}"
    pieces = [shown_piece(tokenizer, token).replace("\n", "\u21b5") for token in ids]
    return attention_svg(maps[name][0], pieces, pieces, name)
