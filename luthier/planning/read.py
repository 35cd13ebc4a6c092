"""The name of a model -> its Shape, without torch: a folder, a config.json, a short name, a hub id, or a known name.

A shape that is not known is refused in a sentence. A guess would be wrong by an unknown amount.
"""

from __future__ import annotations

from pathlib import Path

from luthier.errors import ModelError
from luthier.model import sources
from luthier.planning.config import Config, config_in
from luthier.planning.decoders import DECODERS
from luthier.planning.named import NAMED
from luthier.planning.readers import ENCODER_DECODERS, ENCODERS
from luthier.planning.shape import Shape

KNOWN = (*DECODERS, *ENCODER_DECODERS, *ENCODERS)
USUAL_LABELS = 2  # classes of an encoder's head, where no task says how many


def shape_of(name: str, labels: int = USUAL_LABELS) -> Shape:
    """The shape of a model. `labels` are the classes of an encoder's head. Raises ModelError."""
    return shape_from(config_of(name), labels)


def config_of(name: str) -> Config:
    """The configuration of a config.json, a folder, a name in named.py, a short name, or a hub id."""
    if Path(name).is_file():
        return config_in(Path(name), name)
    if not Path(name).is_dir() and name.lower() in NAMED:
        return Config(name, NAMED[name.lower()])
    return config_in(sources.resolve(name), name)


def shape_from(config: Config, labels: int = USUAL_LABELS) -> Shape:
    """The shape that a configuration describes. Raises ModelError for one that is not known here."""
    kind = config.model_type
    if kind in ENCODERS:
        return ENCODERS[kind](config, labels)
    if kind in DECODERS or kind in ENCODER_DECODERS:
        return (DECODERS | ENCODER_DECODERS)[kind](config)
    shown = f"models of type '{kind}'" if kind else "a configuration without 'model_type'"
    raise ModelError(f"{config.name}: {shown} cannot be planned; the shapes that are known are {', '.join(KNOWN)}")
