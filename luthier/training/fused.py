"""The same layers with fewer passes over memory: LoRA and RMS norm, each as one step of the backward pass.

A transformer of this size spends six tenths of a training step in the products of its weights, which are near the
processor's limit already. Most of the rest is small steps between them that read and write whole activations. Each
class below does what the module it replaces does, keeps less for the backward pass, and changes no parameter and no
name: state dicts, PEFT's files and `isinstance` see no difference. `fuse` replaces only what is known to be plain.

Measured with lora on two cores (docs/log.md): LoRA's layers 6 % of a training step, RMS norm 3 %. silu(gate) * up as
one step saved 1 % and is not here.

    shapes: N tokens (all leading dimensions together), D width in, E width out, r rank
"""

from __future__ import annotations

import functools
from typing import Any

import torch
import torch.nn.functional as F
from peft.tuners.lora.layer import Linear as PeftLinear
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from luthier.model.prepacked import PLAIN_LINEAR, has_laid_out_weight


def fuse(module: nn.Module) -> nn.Module:
    """Replaces the layers of `module` that have a fused twin, in place, and returns it."""
    for layer in module.modules():
        _replace(layer)
    return module


def _replace(layer: nn.Module) -> None:
    """Gives one layer the class of its fused twin, if it has one."""
    if type(layer) is PeftLinear:
        layer.__class__ = LoraLinear
    elif _is_rms_norm(layer):
        layer.__class__ = _rms_twin(type(layer))  # type: ignore[arg-type]


# --------------------------------------------------------------------------------------------------------- LoRA


class LoraLinear(PeftLinear):
    """peft's LoRA layer; plain LoRA with one active adapter takes the short way, everything else peft's own."""

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        names = [name for name in self.active_adapters if name in self.lora_A]
        if args or kwargs or self.disable_adapters or self.merged or len(names) != 1:
            return super().forward(x, *args, **kwargs)
        (name,) = names
        dropout = self.lora_dropout[name]
        base, a, b = self.base_layer, self.lora_A[name].weight, self.lora_B[name].weight
        # In bf16 peft takes the small products in fp32, and answers are given that way; training may round them.
        rounds = x.dtype != a.dtype and not torch.is_grad_enabled()
        unlike = (
            rounds
            or self.lora_variant
            or self.lora_bias[name]
            or type(base) not in PLAIN_LINEAR
            or has_laid_out_weight(base)
            or base.weight.requires_grad
        )
        if unlike or (self.training and not isinstance(dropout, nn.Identity)):
            return super().forward(x, *args, **kwargs)
        return _LoraProduct.apply(x, base.weight, base.bias, a, b, self.scaling[name])


class _LoraProduct(torch.autograd.Function):
    """y = x W^T + s (x A^T) B^T (Hu et al. 2021, equation 3), the update added into the product's own memory.

    peft's way makes three more tensors of y's size forward and two backward. The weights W and their bias do not move.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight_ED: Tensor, bias_E: Tensor | None, a_rD: Tensor, b_Er: Tensor, s: float):  # type: ignore[no-untyped-def, override]
        x_ND, ctx.kind = x.reshape(-1, x.shape[-1]), a_rD.dtype
        a_rD, b_Er = a_rD.to(x.dtype), b_Er.to(x.dtype)
        inner_Nr = x_ND @ a_rD.t()
        y_NE = F.linear(x_ND, weight_ED, bias_E)
        y_NE.addmm_(inner_Nr, b_Er.t(), alpha=s)
        ctx.save_for_backward(x_ND, weight_ED, a_rD, b_Er, inner_Nr)
        ctx.s = s
        return y_NE.view(*x.shape[:-1], -1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor):  # type: ignore[no-untyped-def, override]
        x_ND, weight_ED, a_rD, b_Er, inner_Nr = ctx.saved_tensors
        dy_NE = dy.reshape(-1, dy.shape[-1])
        dinner_Nr = (dy_NE @ b_Er).mul_(ctx.s)
        da_rD = (dinner_Nr.t() @ x_ND).to(ctx.kind)
        db_Er = (inner_Nr.t() @ dy_NE).mul_(ctx.s).t().to(ctx.kind)  # half the time of dy^T inner
        dx = None
        if ctx.needs_input_grad[0]:
            dx_ND = dy_NE @ weight_ED
            dx = dx_ND.addmm_(dinner_Nr, a_rD).view(*dy.shape[:-1], -1)
        return dx, None, None, da_rD, db_Er, None


# ----------------------------------------------------------------------------------------------------- RMS norm


def _is_rms_norm(layer: Any) -> bool:
    """x / rms(x) * weight (Zhang & Sennrich 2019, equation 4), as Llama and T5 write it; shown on a few vectors."""
    plain = "variance_epsilon" in layer.__dict__ and {*layer._parameters} == {"weight"} and not layer._modules
    if not plain or hasattr(layer, "is_fused"):
        return False
    width, weight_D = layer.weight.shape[-1], layer.weight
    if weight_D.is_meta:
        return False
    x = torch.linspace(-2, 3, 4 * width, device=weight_D.device).view(4, width).to(weight_D.dtype)
    with torch.no_grad():
        ours = _RmsNorm.apply(x, weight_D, layer.variance_epsilon)
        return torch.allclose(layer(x), ours, rtol=3e-2 if weight_D.dtype.itemsize == 2 else 1e-4, atol=1e-5)


@functools.cache
def _rms_twin(kind: type) -> type:
    """A subclass of one architecture's norm, under the same name."""

    def forward(self: Any, hidden_states: Tensor) -> Any:
        # Without a backward pass to come the module's own few steps are the shortest.
        if hidden_states.dtype != self.weight.dtype or not torch.is_grad_enabled():
            return kind.forward(self, hidden_states)  # type: ignore[attr-defined]
        return _RmsNorm.apply(hidden_states, self.weight, self.variance_epsilon)

    return type(kind.__name__, (kind,), {"forward": forward, "is_fused": True, "__module__": kind.__module__})


class _RmsNorm(torch.autograd.Function):
    """Two passes forward and three backward, where the sum of its single steps takes nine."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight_D: Tensor, epsilon: float):  # type: ignore[no-untyped-def, override]
        wide = torch.promote_types(x.dtype, torch.float32)
        norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=wide)
        scale = norm.square_().div_(x.shape[-1]).add_(epsilon).rsqrt_()
        normed = (x * scale).to(x.dtype)
        ctx.save_for_backward(normed, scale, weight_D)
        return normed * weight_D

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor):  # type: ignore[no-untyped-def, override]
        normed, scale, weight_D = ctx.saved_tensors
        dnormed = dy * weight_D
        along = torch.linalg.vecdot(dnormed, normed).unsqueeze_(-1).div_(-normed.shape[-1])
        dweight = (dy * normed).flatten(0, -2).sum(0) if ctx.needs_input_grad[1] else None
        return (dnormed.addcmul_(normed, along) * scale).to(dy.dtype), dweight, None
