"""The same layers with fewer passes over memory, LoRA and RMS norm, each as one step of the backward pass; and
embeddings and layer norms whose gradients in 16 bits are summed in fp32.

The products of the weights run near the processor's limit already. Much of the remaining time of a training step goes
to small operations between them, which read and write whole activations. Each class below computes what the module it
replaces computes and keeps less for the backward pass. Parameters and names stay, so state dicts, PEFT's files and
`isinstance` see no difference. `fuse` replaces only modules that it knows to be plain. Measurements: docs/log.md.

In 16 bits PyTorch's kernels for a processor add the gradients of an embedding's and of a layer norm's parameters token
by token in 16 bits: 4,096 ones give 256 in bf16, because 256 + 1 is 256 there. A product or a sum adds in fp32 and
rounds once, and so do the two layers below.

    shapes: N tokens (all leading dimensions together), D width in, E width out, r rank
"""

from __future__ import annotations

import functools
import inspect
from typing import Any, cast

import torch
import torch.nn.functional as F
from peft.tuners.lora.layer import Linear as PeftLinear
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from luthier.model.exact import IN_16_BITS, NARROW
from luthier.model.prepacked import PLAIN_LINEAR, has_laid_out_weight


def fuse(module: nn.Module) -> nn.Module:
    """Gives the layers of `module` their fused classes, in place, and returns `module`."""
    for layer in module.modules():
        _replace(layer)
    return module


def _replace(layer: nn.Module) -> None:
    """Gives one layer its fused class, if there is one."""
    if type(layer) is PeftLinear:
        layer.__class__ = LoraLinear
    elif _is_rms_norm(layer):
        layer.__class__ = _fused_rms_norm(type(layer))  # type: ignore[arg-type]
    elif isinstance(layer, nn.Embedding | nn.LayerNorm) and _is_narrow(layer):
        layer.__class__ = _summing_in_fp32(type(layer))  # type: ignore[arg-type]


# --------------------------------------------------------------------------------------------------------- LoRA


class LoraLinear(PeftLinear):
    """peft's LoRA layer. Plain LoRA with one active adapter is computed in one step; peft computes everything else."""

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        names = [name for name in self.active_adapters if name in self.lora_A]
        if args or kwargs or self.disable_adapters or self.merged or len(names) != 1:
            return super().forward(x, *args, **kwargs)
        (name,) = names
        drops = self.training and not isinstance(self.lora_dropout[name], nn.Identity)
        base: nn.Module = self.base_layer
        a, b = cast(Tensor, self.lora_A[name].weight), cast(Tensor, self.lora_B[name].weight)
        if drops or self.lora_variant or self.lora_bias[name] or type(base) not in PLAIN_LINEAR:
            return super().forward(x)
        # In bf16 peft computes the small products in fp32. Answers follow peft; training may round the products.
        if not torch.is_grad_enabled() and (x.dtype != a.dtype or has_laid_out_weight(base)):
            return _beside(base, x, a, b, self.scaling[name])
        if base.weight.requires_grad:
            return super().forward(x)
        return _LoraProduct.apply(x, base.weight, base.bias, a, b, self.scaling[name])


def _beside(base: nn.Module, x: Tensor, a_rD: Tensor, b_Er: Tensor, s: float) -> Tensor:
    """y = x W^T + s (x A^T) B^T by the operations of peft, so with the same bits.

    peft's own code around them took 13 % of a single answer (docs/log.md).
    """
    y = base(x)
    update = F.linear(F.linear(x.to(a_rD.dtype), a_rD), b_Er).mul_(s)
    return (y + update).to(y.dtype)


class _LoraProduct(torch.autograd.Function):
    """y = x W^T + s (x A^T) B^T (Hu et al. 2021, equation 3). The update is added into the product's own memory.

    peft allocates three more tensors of y's size forward and two backward. W and its bias do not move.
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
        # No view of it: a model may change what its layer gives in place, which autograd refuses for a view.
        return torch.ops.aten._unsafe_view(y_NE, [*x.shape[:-1], y_NE.shape[-1]])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor):  # type: ignore[no-untyped-def, override]
        x_ND, weight_ED, a_rD, b_Er, inner_Nr = ctx.saved_tensors
        dy_NE = dy.reshape(-1, dy.shape[-1])
        dinner_Nr = (dy_NE @ b_Er).mul_(ctx.s)
        da_rD = (dinner_Nr.t() @ x_ND).to(ctx.kind)
        db_Er = (inner_Nr.t() @ dy_NE).mul_(ctx.s).t().to(ctx.kind)  # faster than dy^T inner (docs/log.md)
        dx = None
        if ctx.needs_input_grad[0]:
            dx_ND = dy_NE @ weight_ED
            dx = dx_ND.addmm_(dinner_Nr, a_rD).view(*dy.shape[:-1], -1)
        return dx, None, None, da_rD, db_Er, None


# ----------------------------------------------------------------------------------------------------- RMS norm


def _is_rms_norm(layer: Any) -> bool:
    """Whether a layer is x / rms(x) * weight (Zhang & Sennrich 2019, equation 4), as in Llama and T5.

    A few vectors go through the layer and through `RmsNormed`; both must agree.
    """
    plain = "variance_epsilon" in layer.__dict__ and {*layer._parameters} == {"weight"} and not layer._modules
    if not plain or hasattr(layer, "is_fused") or [*inspect.signature(layer.forward).parameters] != ["hidden_states"]:
        return False  # a norm with a gate takes one more tensor
    width, weight_D = layer.weight.shape[-1], layer.weight
    if weight_D.is_meta:
        return False
    x = torch.linspace(-2, 3, 4 * width, device=weight_D.device).view(4, width).to(weight_D.dtype)
    with torch.no_grad():
        ours = RmsNormed.apply(x, weight_D, layer.variance_epsilon)
        return torch.allclose(layer(x), ours, rtol=IN_16_BITS if weight_D.dtype in NARROW else 1e-4, atol=1e-5)


@functools.cache
def _fused_rms_norm(kind: type) -> type:
    """The fused subclass of one architecture's norm. It has the same name."""

    def forward(self: Any, hidden_states: Tensor) -> Any:
        # Without a backward pass the module's own operations are faster.
        if hidden_states.dtype != self.weight.dtype or not torch.is_grad_enabled():
            return kind.forward(self, hidden_states)  # type: ignore[attr-defined]
        return RmsNormed.apply(hidden_states, self.weight, self.variance_epsilon)

    return type(kind.__name__, (kind,), {"forward": forward, "is_fused": True, "__module__": kind.__module__})


class RmsNormed(torch.autograd.Function):
    """RMS norm in two passes over memory forward and three backward; its single operations take nine."""

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


# ------------------------------------------------------------------------------- sums over tokens, in 16 bits


def _is_narrow(layer: Any) -> bool:
    """Whether a layer has weights in 16 bits on a processor, and is not replaced yet."""
    weight = layer.weight
    plain = weight is not None and weight.device.type == "cpu" and weight.dtype in NARROW
    return plain and not isinstance(layer, _Embedding | _LayerNorm)


@functools.cache
def _summing_in_fp32(kind: type) -> type:
    """`kind` with ours as its parent, so that its own forward pass calls ours: BART's embedding scales what it gets."""
    base, ours = (nn.Embedding, _Embedding) if issubclass(kind, nn.Embedding) else (nn.LayerNorm, _LayerNorm)
    return type(kind.__name__, (ours,) if kind is base else (kind, ours), {"__module__": kind.__module__})


class _Embedding(nn.Embedding):
    def forward(self, input: Tensor) -> Tensor:
        other = self.max_norm is not None or self.scale_grad_by_freq or self.sparse
        if other or not (torch.is_grad_enabled() and self.weight.requires_grad):
            return super().forward(input)
        return _Rows.apply(input, self.weight, self.padding_idx)


class _Rows(torch.autograd.Function):
    """The rows of a table. Of its gradient only the rows that were asked for are ever in fp32."""

    @staticmethod
    def forward(ctx: Any, ids: Tensor, weight_VD: Tensor, padding: int | None):  # type: ignore[no-untyped-def, override]
        ctx.save_for_backward(ids)
        ctx.shape, ctx.padding = weight_VD.shape, padding
        return F.embedding(ids, weight_VD)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor):  # type: ignore[no-untyped-def, override]
        asked_U, where = ctx.saved_tensors[0].unique(return_inverse=True)
        sums_UD = torch.ops.aten.embedding_dense_backward(dy.float(), where, len(asked_U), -1, False)
        dweight_VD = dy.new_zeros(ctx.shape)
        dweight_VD[asked_U] = sums_UD.to(dy.dtype)
        if ctx.padding is not None:
            dweight_VD[ctx.padding] = 0
        return None, dweight_VD, None


class _LayerNorm(nn.LayerNorm):
    def forward(self, input: Tensor) -> Tensor:
        moves = any(p.requires_grad for p in self.parameters(recurse=False))
        if not (moves and torch.is_grad_enabled() and input.dtype == self.weight.dtype):
            return super().forward(input)
        return _Normed.apply(input, self.weight, self.bias, self.eps)


class _Normed(torch.autograd.Function):
    """Layer norm (Ba et al. 2016, equation 4) with mean and scale of each vector in fp32."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, epsilon: float):  # type: ignore[no-untyped-def, override]
        wide_bias = None if bias is None else bias.float()
        y, mean, scale = torch.native_layer_norm(x, weight.shape, weight.float(), wide_bias, epsilon)
        ctx.save_for_backward(x, mean, scale, weight)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor):  # type: ignore[no-untyped-def, override]
        x, mean, scale, weight = ctx.saved_tensors
        dx = torch.ops.aten.native_layer_norm_backward(
            dy, x, weight.shape, mean, scale, weight.float(), None, [True, False, False]
        )[0]
        tokens, dweight, dbias = [*range(x.dim() - weight.dim())], None, None
        if ctx.needs_input_grad[1]:
            dweight = (x - mean).mul_(scale).mul_(dy).sum(tokens).to(weight.dtype)
        if ctx.needs_input_grad[2]:
            dbias = dy.sum(tokens, dtype=torch.float32).to(weight.dtype)
        return dx, dweight, dbias, None
