"""Fused layers give what the modules give that they replace."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from peft.tuners.lora.layer import Linear as PeftLinear
from torch import nn
from transformers.models.bart.modeling_bart import BartScaledWordEmbedding
from transformers.models.llama.modeling_llama import LlamaRMSNorm
from transformers.models.t5.modeling_t5 import T5LayerNorm

from luthier.model import prepacked
from luthier.model.sizes import FEWEST_ROWS
from luthier.training.fused import LoraLinear, _Embedding, _LayerNorm, fuse
from tests import tiny


def gradients_of(module: nn.Module, x: torch.Tensor, given: torch.Tensor) -> list[torch.Tensor]:
    """Output, the input's gradient and the gradients of what moves."""
    module.zero_grad(set_to_none=True)
    x = x.clone().requires_grad_()
    y = module(x)
    y.backward(given)
    assert x.grad is not None
    return [y.detach(), x.grad, *(p.grad.clone() for p in module.parameters() if p.grad is not None)]


def lora_layer(bias: bool, dtype: torch.dtype, **settings: Any) -> nn.Module:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(12, 20, bias=bias)).to(dtype)
    adapted = peft.get_peft_model(net, peft.LoraConfig(target_modules=["0"], r=4, lora_alpha=6, **settings))
    layer = adapted.base_model.model[0]
    nn.init.normal_(layer.lora_B["default"].weight)
    return layer


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("bias", [True, False])
def test_lora_equals_pefts(bias: bool, dtype: torch.dtype) -> None:
    layer = lora_layer(bias, dtype)
    x, given = torch.randn(2, 5, 12).to(dtype), torch.randn(2, 5, 20).to(dtype)
    expected = gradients_of(layer, x, given)
    fuse(layer)
    assert isinstance(layer, LoraLinear)
    for mine, theirs in zip(gradients_of(layer, x, given), expected, strict=True):
        assert mine.dtype == theirs.dtype
        # bf16 keeps 8 bits; peft takes the small products in fp32 and rounds once, ours rounds the inner width too.
        tolerance = {torch.float64: 1e-12, torch.float32: 1e-5, torch.bfloat16: 3e-2}[dtype]
        assert (mine - theirs).abs().max() <= tolerance * theirs.abs().max()


@pytest.mark.parametrize("laid_out", [False, True])
@pytest.mark.parametrize("rows", [1, 3, 70])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("bias", [True, False])
def test_lora_answers_with_the_bits_of_pefts(
    bias: bool, dtype: torch.dtype, rows: int, laid_out: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer: Any = lora_layer(bias, dtype).eval()
    prepacked.make_ready(layer.base_layer)
    x = torch.randn(1, rows, 12).to(dtype)
    weights = prepacked.laid_out_weights(layer, rows=FEWEST_ROWS if laid_out else 0)
    with torch.inference_mode(), weights.in_use():
        assert prepacked.has_laid_out_weight(layer.base_layer) == (laid_out and prepacked._works(dtype))
        expected = layer(x)
        fuse(layer)
        if dtype == torch.bfloat16 or prepacked.has_laid_out_weight(layer.base_layer):
            monkeypatch.setattr(PeftLinear, "forward", None)  # not peft's own road
            assert torch.equal(layer(x), expected) and layer(x).dtype == dtype
        else:
            assert torch.allclose(layer(x), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("settings", [{"use_dora": True}, {"lora_dropout": 0.5}, {"lora_bias": True}])
def test_what_is_not_plain_lora_stays_pefts(settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    layer = fuse(lora_layer(True, torch.float32, **settings)).train()
    called = []
    monkeypatch.setattr(PeftLinear, "forward", lambda self, x, *a, **k: called.append(x) or x)
    layer(torch.randn(3, 12))
    assert called


def test_merged_and_switched_off_layers_stay_pefts() -> None:
    layer: Any = fuse(lora_layer(True, torch.float32)).eval()
    x = torch.randn(3, 12)
    adapted = layer(x)
    layer.merge()
    assert torch.allclose(layer(x), adapted, atol=1e-5)
    layer.unmerge()
    layer.enable_adapters(False)
    assert torch.allclose(layer(x), layer.base_layer(x)) and not torch.allclose(layer(x), adapted)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kind", [LlamaRMSNorm, T5LayerNorm])
def test_rms_norm_equals_transformers(kind: type[nn.Module], dtype: torch.dtype) -> None:
    torch.manual_seed(1)
    layer = kind(24).to(dtype)
    nn.init.normal_(layer.weight)  # type: ignore[arg-type]
    x, given = torch.randn(2, 5, 24).to(dtype), torch.randn(2, 5, 24).to(dtype)
    expected = gradients_of(layer, x, given)
    fuse(layer)
    assert type(layer) is not kind and isinstance(layer, kind) and type(layer).__name__ == kind.__name__
    for mine, theirs in zip(gradients_of(layer, x, given), expected, strict=True):
        tolerance = {torch.float64: 1e-6, torch.float32: 1e-5, torch.bfloat16: 3e-2}[dtype]
        assert (mine - theirs).abs().max() <= tolerance * theirs.abs().max()


def test_another_norm_is_left_alone() -> None:
    class Shifted(LlamaRMSNorm):
        def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
            return super().forward(hidden_states) + 1

    assert type(fuse(Shifted(8))) is Shifted
    assert type(fuse(nn.LayerNorm(8))) is nn.LayerNorm


def test_names_and_weights_stay(tiny_folder: Callable[[str], Path]) -> None:
    module = tiny.fresh(tiny_folder("decoder-chat")).module
    before = {name: weight.clone() for name, weight in module.state_dict().items()}
    kinds = [type(layer) for layer in module.modules()]
    fuse(fuse(module))
    assert kinds != [type(layer) for layer in module.modules()]  # something was replaced
    after = module.state_dict()
    assert before.keys() == after.keys() and all(torch.equal(before[name], after[name]) for name in before)


def test_a_norm_with_a_gate_is_left_alone() -> None:
    from transformers.models.qwen3_next.modeling_qwen3_next import Qwen3NextRMSNormGated

    class Gated(LlamaRMSNorm):  # as Bamba's: without a gate it is a plain norm
        def forward(self, hidden_states: torch.Tensor, gate: torch.Tensor | None = None) -> torch.Tensor:
            return super().forward(hidden_states if gate is None else hidden_states * gate)

    for kind in (Gated, Qwen3NextRMSNormGated):
        layer = fuse(kind(8))
        assert type(layer) is kind
        layer(torch.ones(2, 8), torch.ones(2, 8))  # with a gate, as its model calls it


def test_a_model_may_change_in_place_what_a_layer_gives() -> None:
    plain = PeftLinear(nn.Linear(8, 6).requires_grad_(False), "default", peft.LoraConfig(r=2), r=2, lora_alpha=4)
    layer = fuse(plain)
    assert type(layer) is LoraLinear
    y = layer(torch.ones(2, 3, 8))
    y[:, 0] = 0.0
    y.mul_(2).sum().backward()
    assert layer.lora_B["default"].weight.grad is not None  # type: ignore[union-attr]


# --- sums over tokens, in 16 bits ---------------------------------------------------------------------------------


SUMMING: dict[str, Callable[[], nn.Module]] = {
    "embedding": lambda: nn.Embedding(4, 8),
    "padded": lambda: nn.Embedding(4, 8, padding_idx=0),
    "scaled": lambda: BartScaledWordEmbedding(4, 8, 1, embed_scale=3.0),
    "norm": lambda: nn.LayerNorm(8),
    "norm without a bias": lambda: nn.LayerNorm(8, bias=False),
    "norm of two axes": lambda: nn.LayerNorm((2, 8)),
}


@pytest.mark.parametrize("name", SUMMING)
def test_gradients_in_16_bits_are_those_of_fp32_rounded_once(name: str) -> None:
    """Of 4,096 vectors: PyTorch's own sums in bf16 stop at 256 times what they add."""
    torch.manual_seed(0)
    layer, wide = SUMMING[name]().bfloat16(), SUMMING[name]()
    wide.load_state_dict(layer.state_dict())
    ids, kind = torch.randint(0, 4, (64, 64)), type(layer)
    x, given = torch.randn(64, 64, 2, 8).bfloat16(), torch.rand(64, 64, 2, 8).bfloat16()

    def found(module: nn.Module, dtype: torch.dtype) -> list[torch.Tensor]:
        if not isinstance(module, nn.Embedding):
            return gradients_of(module, x.to(dtype), given.to(dtype))
        module.zero_grad(set_to_none=True)
        y = module(ids)
        y.backward(given[:, :, 0].to(dtype))
        return [y.detach(), *(p.grad for p in module.parameters() if p.grad is not None)]

    before = found(layer, torch.bfloat16)[0]
    fuse(fuse(layer))
    assert isinstance(layer, kind) and type(layer).__name__ == kind.__name__
    mine = found(layer, torch.bfloat16)
    assert torch.equal(mine[0], before)
    for narrow, expected in zip(mine, found(wide, torch.float32), strict=True):
        assert narrow.dtype == torch.bfloat16
        assert (narrow.float() - expected).norm() <= 2**-8 * expected.norm()


@pytest.mark.parametrize("kind", ["bert", "gpt2", "bart", "t5-untied"])
def test_in_16_bits_each_embedding_and_norm_of_a_model_is_ours(kind: str, tiny_folder: Callable[[str], Path]) -> None:
    narrow, wide = (fuse(tiny.fresh(tiny_folder(kind), precision).module) for precision in ("bf16", "fp32"))
    summing = [layer for layer in narrow.modules() if isinstance(layer, nn.Embedding | nn.LayerNorm)]
    assert summing and all(isinstance(layer, _Embedding | _LayerNorm) for layer in summing)
    assert not any(isinstance(layer, _Embedding | _LayerNorm) for layer in wide.modules())


def test_what_does_not_move_is_computed_as_before() -> None:
    layer = fuse(nn.LayerNorm(8).bfloat16().requires_grad_(False))
    y = layer(torch.randn(2, 8).bfloat16().requires_grad_())
    assert type(y.grad_fn).__name__ == "NativeLayerNormBackward0"
    table = fuse(nn.Embedding(4, 8, max_norm=1.0).bfloat16())
    assert type(table(torch.tensor([1])).grad_fn).__name__ == "EmbeddingBackward0"
