"""config.json as a plan reads it: sizes by name, what is missing said in a sentence, and which weights are tied.

The file is read as JSON, because reading it through transformers imports torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from luthier.errors import ModelError
from luthier.model.weight_files import Tensor, are_equal, json_table, pools_by_mean, tensors_in

MOST_LAYERS, MOST_SIZE = 10_000, 2**31
OUTPUTS = ("lm_head.weight", "embed_out.weight")  # what files call the output layer; the second is GPT-NeoX's


@dataclass(frozen=True)
class Config:
    """The keys of one config.json. `stored` are the tensors beside it by name, where there are any."""

    name: str
    keys: Mapping[str, Any]
    stored: Mapping[str, Tensor] = field(default_factory=dict)
    pools_mean: bool = False  # a sentence encoder whose head reads the mean over tokens

    @property
    def model_type(self) -> str:
        return str(self.keys.get("model_type", ""))

    def get(self, key: str, default: Any = None) -> Any:
        return self.keys.get(key, default)

    def named_by(self, others: Mapping[str, str]) -> Config:
        """The configuration with what stands under another name under the usual one, as transformers reads it."""
        own = {usual: self.keys[other] for other, usual in others.items() if other in self.keys}
        return replace(self, keys={**self.keys, **own})

    def size(self, key: str, default: int | None = None) -> int:
        """A positive whole number. Raises ModelError when it is missing, none, or more than any model has."""
        value = self.keys.get(key)
        value = default if value is None else value
        most = MOST_LAYERS if "layer" in key else MOST_SIZE
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
            raise self._wrong(key, value, f"a whole number from 1 to {most:,}")
        return value

    def size_or_none(self, key: str, default: int | None = None) -> int | None:
        """As `size`, for a key that may say null: None. `default` is what a configuration without the key means."""
        value = self.keys.get(key, default)
        return None if value is None else self.size(key, default)

    def head_width(self, width: int, heads: int) -> int:
        """The width of one of `heads` heads. Raises ModelError where they do not divide `width`."""
        if width % heads:
            raise ModelError(f"{self.name}: in config.json {heads} heads of attention do not divide a width of {width}")
        return width // heads

    def share(self, key: str, default: float) -> float:
        """A number from 0 to 1, such as a dropout. Raises ModelError for another value; null means 0."""
        value = self.keys.get(key, default)
        value = 0.0 if value is None else value
        if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= 1:
            raise self._wrong(key, value, "a number from 0 to 1")
        return float(value)

    def flag(self, key: str, default: bool) -> bool:
        """True or false; null means the default. Raises ModelError for another value."""
        value = self.keys.get(key)
        value = default if value is None else value
        if not isinstance(value, bool):
            raise self._wrong(key, value, "true or false")
        return value

    def names(self, key: str, count: int) -> list[str] | None:
        """A list of at least `count` names; None where there is none. Raises ModelError for anything else."""
        value = self.keys.get(key)
        if value is None:
            return None
        if not isinstance(value, list) or len(value) < count or not all(isinstance(one, str) for one in value):
            raise self._wrong(key, value, f"a list of {count} names")
        return value[:count]

    def _wrong(self, key: str, value: Any, allowed: str) -> ModelError:
        text = repr(value)
        shown = "is missing" if value is None else f"is {text if len(text) <= 60 else text[:60] + '...'}"
        return ModelError(f"{self.name}: in config.json the key '{key}' {shown}; it should be {allowed}")

    def is_tied(self, default: bool, embedding: str, whatever: bool = False) -> bool:
        """Whether the output layer shares the weight of `embedding`, as transformers decides it.

        It does where the configuration says so, unless the files hold both weights and these differ. `whatever`: with
        files the configuration is not asked, as of T5.
        """
        tied = self.flag("tie_word_embeddings", default) or (whatever and bool(self.stored))
        output = next((self.stored[name] for name in OUTPUTS if name in self.stored), None)
        own = self.stored.get(f"{embedding}.weight")
        return tied and (output is None or own is None or are_equal(output, own))


def config_in(folder: Path, name: str) -> Config:
    """The configuration of a model's folder, or of a config.json itself. Raises ModelError for a file that is none."""
    path = folder if folder.is_file() else folder / "config.json"
    keys = json_table(path)
    beside = path.parent if path.name == "config.json" else None
    pools = keys.get("classifier_pooling") == "mean" or bool(beside and pools_by_mean(beside))
    return Config(name, keys, _stored(beside) if beside else {}, pools)


def _stored(folder: Path) -> Mapping[str, Tensor]:
    """The tensors beside a configuration; none where they are damaged, which loading them says."""
    try:
        return tensors_in(folder)
    except ModelError:
        return {}
