"""The name of a model -> its Shape, without torch: a folder, a config.json, a short name, a hub id, or a known name.

A shape that is not known is refused in a sentence. A guess would be wrong by an unknown amount.
"""

from __future__ import annotations

from pathlib import Path

from luthier.errors import ModelError
from luthier.files import possible
from luthier.model import sources
from luthier.planning.config import Config, config_in
from luthier.planning.decoders import DECODERS
from luthier.planning.named import NAMED
from luthier.planning.readers import ENCODER_DECODERS, ENCODERS
from luthier.planning.shape import Shape

KNOWN = (*DECODERS, *ENCODER_DECODERS, *ENCODERS)
PUBLISHERS = (
    "meta-llama", "google", "google-t5", "google-bert", "qwen", "mistralai", "huggingfacetb", "facebook",
    "openai-community", "tinyllama",
)  # fmt: skip
# Names that transformers reads as well (`attribute_map`), of types whose configurations may leave all sizes out.
OTHER_NAMES = {
    "gpt2": {
        "hidden_size": "n_embd", "max_position_embeddings": "n_positions", "num_attention_heads": "n_head",
        "num_hidden_layers": "n_layer",
    },
    "distilbert": {"hidden_size": "dim", "num_attention_heads": "n_heads", "num_hidden_layers": "n_layers"},
}  # fmt: skip
USUAL_LABELS = 2  # classes of an encoder's head, where no task says how many


def shape_of(name: str, labels: int = USUAL_LABELS) -> Shape:
    """The shape of a model. `labels` are the classes of an encoder's head. Raises ModelError."""
    return shape_from(config_of(name), labels)


def config_of(name: str) -> Config:
    """The configuration of a config.json, a folder, a short name that is here, a name in named.py, or a hub id.

    Raises ModelError for weights that are narrow already: sizes of a configuration are not theirs.
    """
    config = _found(name)
    if config.get("quantization_config") is not None:
        raise ModelError(
            f"{name}: its weights are quantized already, which no plan counts; plan the model that they were made of, "
            "with --bits 8 or 4"
        )
    return config


def _found(name: str) -> Config:
    if possible(name).is_file():
        return config_in(Path(name), name)
    if (folder := folder_of(name)) is not None:
        return config_in(folder, name)
    known = _named(name)
    if known in NAMED:
        return Config(name, NAMED[known])
    if name.count("/") == 1 and not name.startswith((".", "/", "~")):
        return config_in(_from_hub(name), name)
    return config_in(sources.resolve(name), name)  # a sentence, or the conversion of a packaged model


def folder_of(name: str) -> Path | None:
    """The folder of a model that is on this machine already; nothing is fetched or converted."""
    if possible(name).is_dir():
        return sources.resolve(name)
    if name in sources.SHORT_NAMES:
        return sources.here(name)
    if name.count("/") == 1 and not name.startswith((".", "/", "~")):
        from huggingface_hub import try_to_load_from_cache

        found = try_to_load_from_cache(name, "config.json")
        return Path(found).parent if isinstance(found, str) else None
    return None


def _named(name: str) -> str:
    """A hub id of a well-known publisher, or a bare name, as named.py writes it."""
    owner, _, last = name.lower().rpartition("/")
    return last if owner in ("", *PUBLISHERS) else name


def _from_hub(name: str) -> Path:
    """The config.json of a hub id, downloaded alone. Raises ModelError when it cannot be had."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(hf_hub_download(name, "config.json"))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError, ValueError) as error:
        raise ModelError(
            f"{name}: its config.json is not in the hub's local cache and cannot be downloaded "
            f"({type(error).__name__}); connect to the network, or name a config.json"
        ) from None


def shape_from(config: Config, labels: int = USUAL_LABELS) -> Shape:
    """The shape that a configuration describes. Raises ModelError for one that is not known here."""
    kind = config.model_type
    config = config.named_by(OTHER_NAMES.get(kind, {}))
    if config.flag("add_cross_attention", False):
        raise ModelError(f"{config.name}: a {kind} with 'add_cross_attention' cannot be planned; its blocks have more")
    if kind in ENCODERS:
        return ENCODERS[kind](config, labels)
    if kind in DECODERS or kind in ENCODER_DECODERS:
        return (DECODERS | ENCODER_DECODERS)[kind](config)
    shown = f"models of type '{kind}'" if kind else "a configuration without 'model_type'"
    raise ModelError(f"{config.name}: {shown} cannot be planned; the shapes that are known are {', '.join(KNOWN)}")
