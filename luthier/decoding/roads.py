"""Which way a model's rows are decoded: the fastest whose logits are those of rows alone.

    ragged    rows of different length in one sequence (ragged.py)
    padded    rows padded to one length (padded.py)
    cached    one row after the other, each with the model's own cache (alone.py)
    whole     one row after the other, read anew for every token: right by definition, and slow

Each way is tried on a few short rows before its first use, and the first that passes is taken.
"""

from __future__ import annotations

from functools import partial
from typing import Literal

from luthier.decoding import padded, ragged
from luthier.decoding.alone import AloneDecoder
from luthier.model.attention import Trials
from luthier.model.model import Model

Road = Literal["ragged", "padded", "cached", "whole"]

_CACHED = Trials()


def road_of(model: Model) -> Road:
    """The way in which this model answers. The first call tries them."""
    if model.family == "decoder" and ragged.supported(model):
        return "ragged"
    if padded.supported(model):
        return "padded"
    return "cached" if model.family == "decoder" and _cache_is_right(model) else "whole"


def _cache_is_right(model: Model) -> bool:
    return padded.passes(_CACHED, model, partial(AloneDecoder, whole=False))


def slow_road(model: Model) -> str | None:
    """A sentence where a model works more slowly than most of its kind; None where there is nothing to say."""
    if model.family == "encoder" or (road := road_of(model)) == "ragged":
        return None
    if road == "padded":
        if model.family != "decoder" or model.device.type != "cpu":
            return None
        return f"{model.name}: answers are written with rows padded to one length, which is slower, because " + (
            "in one sequence its rows have other logits" if ragged.is_eligible(model.module)
            else "its layers keep something else than keys and values of every token, or choose their attention "
            "themselves"
        )  # fmt: skip
    again = "" if road == "cached" else ", and each is read anew for every token because its cache gives others"
    return (
        f"{model.name}: rows are answered one after the other, which is slower, because in a "
        f"batch they have other logits{again}"
    )
