"""The generator's cache: keys and values that grow in place during decoding, and a learned prefix at their start."""

from __future__ import annotations

import functools
import inspect
from typing import Any

from torch import Tensor
from transformers.cache_utils import DynamicCache, DynamicLayer, EncoderDecoderCache

from luthier.model.model import Model


class GrowingLayer(DynamicLayer):
    """Keys and values in a buffer that grows by blocks, so that a new token is written in place.

    transformers' own dynamic layer copies the whole cache at every token (docs/log.md).
    """

    block = 64

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        self.dtype, self.device = key_states.dtype, key_states.device
        self._buffers: list[Tensor | None] = [None, None]
        self._length = 0
        self.keys, self.values = key_states[:, :, :0], value_states[:, :, :0]
        self.is_initialized = True

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        length = self._length + key_states.shape[-2]
        for slot, new in enumerate((key_states, value_states)):
            buffer = self._buffers[slot]
            if buffer is None or length > buffer.shape[-2]:
                grown = new.new_empty((*new.shape[:2], length + self.block, new.shape[-1]))
                if buffer is not None:
                    grown[:, :, : self._length] = buffer[:, :, : self._length]
                self._buffers[slot] = buffer = grown
            buffer[:, :, self._length : length] = new
        self._length = length
        return self._show()

    def batch_select_indices(self, indices: Tensor) -> None:
        if self.is_initialized:
            self._buffers = [buffer[indices] if buffer is not None else None for buffer in self._buffers]
            self._show()

    def reorder_cache(self, beam_idx: Tensor) -> None:
        self.batch_select_indices(beam_idx)

    def batch_repeat_interleave(self, repeats: int) -> None:
        if self.is_initialized:
            self._buffers = [b.repeat_interleave(repeats, dim=0) if b is not None else None for b in self._buffers]
            self._show()

    def _show(self) -> tuple[Tensor, Tensor]:
        self.keys, self.values = (buffer[:, :, : self._length] for buffer in self._buffers if buffer is not None)
        return self.keys, self.values


def growing_cache(config: Any) -> DynamicCache:
    """A cache whose plain attention layers grow by blocks. Sliding and recurrent layers stay transformers' own."""
    cache = DynamicCache(config=config)
    if cache.layers:
        cache.layers = [GrowingLayer() if type(layer) is DynamicLayer else layer for layer in cache.layers]
    else:
        cache.layer_class_to_replicate = GrowingLayer
    return cache


def cache_of(model: Any, rows: int) -> Any:
    """A model's cache for `rows` rows, in which nothing stands but its learned prefix."""
    if model.family == "encoder-decoder":
        return two_sided_cache(model, rows)
    cache = growing_cache(model.module.config)
    fill_prefix(cache, model, rows)
    return cache


def two_sided_cache(model: Any, rows: int) -> EncoderDecoderCache:
    """An encoder-decoder's cache. The decoder's own part grows and starts with the model's learned prefix.

    The other part keeps all that the encoder read: windows of config.json are those of the decoder's own tokens.
    """
    cache = EncoderDecoderCache(growing_cache(model.module.config), DynamicCache())
    fill_prefix(cache.self_attention_cache, model, rows)
    return cache


def behind(module: Any, cache: Any) -> dict[str, Any]:
    """The arguments of a call that reads on behind a cache, and extends it.

    Architectures and versions of transformers call it by several names, and some pass over a name that is not theirs:
    they would begin anew in silence.
    """
    kind: Any = type(module.get_base_model() if hasattr(module, "get_base_model") else module)
    return {_name_of_cache(kind): cache, "use_cache": True}


@functools.cache
def _name_of_cache(kind: Any) -> str:
    known = inspect.signature(kind.forward).parameters
    return next((name for name in ("cache", "past_key_values", "cache_params") if name in known), "past_key_values")


def keep_rows(cache: Any, rows: Tensor) -> None:
    """Keeps these rows of a cache and forgets the others; by the one way of choosing rows that every layer has.

    Layers with a recurrent state beside keys and values inherit one that chooses keys and values alone.
    """
    cache.reorder_cache(rows)


def fill_prefix(cache: DynamicCache, model: Model, rows: int) -> int:
    """Puts the model's learned prefix, if any, into an empty cache of `rows` rows. Returns its number of tokens."""
    if model.prefix_states is None:
        return 0
    for layer, (keys, values) in enumerate(model.prefix_states):
        cache.update(keys.expand(rows, *keys.shape), values.expand(rows, *values.shape), layer)
    return int(model.prefix_states[0][0].shape[-2])
