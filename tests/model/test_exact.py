"""What two ways to compute the same logits in bf16 are held against: the same call in fp32."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from luthier.model import attention, shared
from luthier.model.exact import as_exact, in_fp32, near, trial_tokens
from luthier.model.model import load

KINDS = ["decoder-chat", "decoder-plain", "gpt2", "t5-tied", "bart"]


def logits_of(model, ids: list[int]) -> Tensor:
    inputs = {"input_ids": torch.tensor([ids])}
    if model.family == "encoder-decoder":
        inputs["decoder_input_ids"] = torch.tensor([ids[:3]])
    with torch.no_grad():
        return model.module(**inputs).logits


@pytest.mark.parametrize("kind", KINDS)
def test_a_call_in_fp32_is_what_the_widened_model_gives(kind: str, tiny_folder: Callable[[str], Path]) -> None:
    folder = str(tiny_folder(kind))
    narrow, wide = load(folder, precision="bf16"), load(folder, precision="fp32")
    wide.module.load_state_dict({name: x.float() for name, x in narrow.module.state_dict().items()})
    with in_fp32():
        exact = logits_of(narrow, [5, 6, 7, 8])
    assert exact.dtype == torch.float32
    assert torch.allclose(exact, logits_of(wide, [5, 6, 7, 8]), rtol=1e-5, atol=1e-5)
    assert {x.dtype for x in narrow.module.state_dict().values() if x.is_floating_point()} & {torch.bfloat16}
    assert logits_of(narrow, [5, 6, 7, 8]).dtype == torch.bfloat16


def test_a_convolution_computes_in_fp32_too() -> None:
    """Of Mamba's layers: what comes in was widened before, and the weights are of 16 bits."""
    layer = torch.nn.Conv1d(4, 4, 3, dtype=torch.bfloat16)
    x = torch.randn(1, 4, 9)
    with torch.no_grad(), in_fp32():
        exact = layer(x)
    assert torch.allclose(exact, layer.float()(x), atol=1e-6)
    assert torch.nn.Conv1d(4, 4, 3, dtype=torch.bfloat16)(x.bfloat16()).dtype == torch.bfloat16


def test_rounding_passes_and_a_mistake_does_not() -> None:
    exact = torch.randn(3, 400, generator=torch.Generator().manual_seed(0)) * 5
    usual = (exact + 0.01 * torch.randn(3, 400, generator=torch.Generator().manual_seed(1))).bfloat16()
    other = (exact + 0.01 * torch.randn(3, 400, generator=torch.Generator().manual_seed(2))).bfloat16()
    assert as_exact(other, usual, lambda: exact)
    one_position = other.clone()
    one_position[1] += 0.2 * torch.randn(400, generator=torch.Generator().manual_seed(3))
    assert not as_exact(one_position, usual, lambda: exact)
    assert as_exact(exact * 1.0005, exact, lambda: exact) and not as_exact(exact * 1.01, exact, lambda: exact)


def test_one_notion_of_near_in_each_precision() -> None:
    usual = torch.linspace(-8, 8, 5)
    assert near(usual + 0.007, usual) and not near(usual + 0.009, usual)
    assert near(usual.bfloat16() + 0.125, usual.bfloat16()) and not near(usual.bfloat16() + 0.5, usual.bfloat16())


@pytest.mark.parametrize("size", [11, 12, 40, 380, 49_152, 256_000])
def test_the_tokens_of_a_trial_are_apart_and_in_the_vocabulary(size: int) -> None:
    tokens = trial_tokens(size, range(1, 12))
    assert len(set(tokens)) == (11 if size > 13 else len(set(tokens))) and all(
        0 <= token < max(size, 14) for token in tokens
    )


@pytest.mark.parametrize("seed", range(6))
def test_one_key_too_many_is_found_in_bf16(
    seed: int, tiny_folder: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The smallest mistake that a layout can make: one token of a row also sees the first token behind it."""
    module = load(str(tiny_folder("decoder-chat")), precision="bf16").module
    assert shared.supported(module)
    monkeypatch.setattr(shared, "_TRIALS", attention.Trials())
    right = shared.causal_attention

    def leaky(q: Tensor, k: Tensor, v: Tensor, scale: float, **how: bool) -> Tensor:
        out = right(q, k, v, scale, **how)
        at = seed % (q.shape[2] - 1)
        seen = k.shape[2] - q.shape[2] + at + 2
        leaked = right(q[:, :, at : at + 1], k[:, :, :seen], v[:, :, :seen], scale, **how)
        return torch.cat([out[:, :, :at], leaked, out[:, :, at + 1 :]], 2)

    monkeypatch.setattr(shared, "causal_attention", leaky)
    assert not shared.supported(module)
