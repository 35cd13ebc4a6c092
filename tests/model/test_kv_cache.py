"""The growing cache gives what transformers' own gives, while rows are written, dropped and repeated."""

from __future__ import annotations

import pytest
import torch
from transformers.cache_utils import DynamicCache

from luthier.model.kv_cache import GrowingLayer, fill_prefix, growing_cache, keep_rows, two_sided_cache
from tests import tiny


def states(rows: int, tokens: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(rows, 2, tokens, 8, generator=draw) for _ in range(2))  # type: ignore[return-value]


def test_it_grows_as_the_plain_cache_does_across_blocks() -> None:
    config = tiny.module("decoder-chat").config
    ours, plain = growing_cache(config), DynamicCache(config=config)
    for step, tokens in enumerate((5, 1, 70, 1, 1, 130, 1)):
        new = states(3, tokens, step)
        for layer in range(config.num_hidden_layers):
            for mine, theirs in zip(ours.update(*new, layer), plain.update(*new, layer), strict=True):
                assert torch.equal(mine, theirs)
    assert ours.get_seq_length() == plain.get_seq_length() == 209


def test_rows_leave_and_are_repeated() -> None:
    config = tiny.module("decoder-chat").config
    ours, plain = growing_cache(config), DynamicCache(config=config)
    for cache in (ours, plain):
        for layer in range(config.num_hidden_layers):
            cache.update(*states(4, 6, layer), layer)
        cache.batch_select_indices(torch.tensor([0, 3]))
        cache.batch_repeat_interleave(2)
    new = states(4, 1, 9)
    for mine, theirs in zip(ours.update(*new, 1), plain.update(*new, 1), strict=True):
        assert torch.equal(mine, theirs)


def test_sliding_layers_stay_as_the_model_wants_them() -> None:
    from transformers import Gemma3TextConfig

    config = Gemma3TextConfig(
        num_hidden_layers=2, sliding_window=4, layer_types=["sliding_attention", "full_attention"]
    )
    kinds = [isinstance(layer, GrowingLayer) for layer in growing_cache(config).layers]
    assert kinds == [False, True]


@pytest.mark.parametrize("kind", ["decoder-chat", "t5-tied"])
def test_a_learned_prefix_stands_first_in_every_row(kind: str, tiny_folder) -> None:
    model = tiny.fresh(tiny_folder(kind))
    config = model.module.config
    heads = getattr(config, "num_key_value_heads", None) or config.num_heads
    layers = config.num_hidden_layers
    prefix = tuple((torch.full((heads, 3, 8), 1.0), torch.full((heads, 3, 8), 2.0)) for _ in range(layers))
    model = model.adapted(model.module, prefix_states=prefix)
    if kind == "t5-tied":
        cache = two_sided_cache(model, 2).self_attention_cache
    else:
        cache = growing_cache(config)
        assert fill_prefix(cache, model, 2) == 3
    keys, values = cache.layers[0].keys, cache.layers[0].values
    assert keys.shape == (2, heads, 3, 8) and bool((keys == 1).all()) and bool((values == 2).all())
    assert fill_prefix(growing_cache(config), model.adapted(model.module), 2) == 0


def test_rows_leave_layers_with_a_recurrent_state_too() -> None:
    """Zamba's kind of layer has keys, values and two states; each has to lose the row."""
    from transformers import ZambaConfig

    config = ZambaConfig(
        num_hidden_layers=2, hidden_size=16, num_attention_heads=2, num_key_value_heads=2,
        layers_block_type=["linear_attention", "hybrid"],
    )  # fmt: skip
    cache = growing_cache(config)
    cache.update(*states(3, 4, 0), 1)
    conv, state = (torch.arange(3.0)[:, None, None].expand(3, 2, 4).clone() for _ in range(2))
    for layer in (0, 1):
        cache.update_conv_state(conv, layer)
        cache.update_recurrent_state(state, layer)
    keys = cache.layers[1].keys.clone()
    keep_rows(cache, torch.tensor([0, 2]))
    assert torch.equal(cache.layers[1].keys, keys[[0, 2]])
    for layer in cache.layers:
        assert layer.conv_states[0][:, 0, 0].tolist() == layer.recurrent_states[0][:, 0, 0].tolist() == [0.0, 2.0]
