"""Widths: how many bits a linear layer's weight takes, by which library, in memory and on disk.

    quantize(model, 'int8')        the model's linear layers at that width, in place
    save(model, folder)            as a model folder (safetensors, transformers' format)
    read(folder, 'fp32')           the same, ready to answer
    weigh(module)                  bytes that are held, beside what bf16 would take

Only the linear layers get narrow. Embeddings, and an output layer that is tied to them or stands last, keep the
precision of the study, as in transformers; `weigh` names it. Quantization uses the weights alone and no calibration
data, so it reads nothing of the task.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn
from transformers import BitsAndBytesConfig
from transformers.pytorch_utils import Conv1D
from transformers.quantizers import register_quantization_config, register_quantizer
from transformers.quantizers.base import HfQuantizer
from transformers.quantizers.quantizers_utils import should_convert_module
from transformers.utils.quantization_config import QuantizationConfigMixin

from luthier.errors import ModelError, SettingsError
from luthier.files import building
from luthier.model.allowed import INT4
from luthier.model.model import PRECISIONS, Model, load, parameter_counts
from luthier.model.narrow import Int4Linear, fix_for_cpu
from luthier.model.prepacked import PLAIN_LINEAR
from luthier.model.quiet import quiet
from luthier.model.sizes import Width, width_called


def width(name: str, where: str = "width") -> Width:
    """The row of WIDTHS called `name`. Raises SettingsError that lists the rows, or says what to install."""
    row = width_called(name, where)
    if row.by == "bitsandbytes":
        _bitsandbytes(where)
    return row


def _bitsandbytes(where: str) -> Any:
    try:
        import bitsandbytes
    except ImportError:
        needs = "int8 and nf4 need the package bitsandbytes, which is not installed"
        raise SettingsError(f"{where}: {needs}; run: pip install 'luthier[widths]', or choose int4") from None
    return bitsandbytes


# ------------------------------------------------------------------------------------------------------ quantize


def quantize(model: Model, name: str) -> Model:
    """The model at a width, its module changed in place and frozen.

    Raises SettingsError for an unknown width, ModelError for a model that has been quantized already.
    """
    row, module = width(name), model.module
    if getattr(module, "is_quantized", False):
        raise ModelError(f"{model.name}: its weights are narrow already; quantize the model that they were made of")
    if row.narrow:
        kept = _kept(module)
        for path, layer, weight_ED in _linear(module, kept):
            module.set_submodule(path, _MAKERS[name](weight_ED, layer.bias))
        for tensor in (*module.parameters(), *module.buffers()):  # as parts of the file they would hold all of it
            if tensor.is_floating_point():
                tensor.data = tensor.data.clone()
        _mark(module, row, _config(row, kept))
    else:
        for tensor in module.state_dict(
            keep_vars=True
        ).values():  # buffers outside the state dict, from which positions are computed, stay
            if tensor.is_floating_point():
                tensor.data = tensor.data.to(PRECISIONS[name])
    return model.adapted(module, model.prefix, model.prefix_states)


def _kept(module: Any) -> list[str]:
    """Names of the modules that transformers does not quantize: the output layer, and T5's `wo`."""
    return sorted(HfQuantizer.get_modules_to_not_convert(module, None, getattr(module, "_keep_in_fp32_modules", None)))


def _linear(module: nn.Module, kept: list[str]) -> Iterator[tuple[str, Any, Tensor]]:
    """(path, layer, weight of shape (width out, width in)) of each linear layer that is made narrow."""
    for path, layer in list(module.named_modules()):
        if type(layer) in (*PLAIN_LINEAR, Conv1D) and should_convert_module(path, kept):
            yield path, layer, (layer.weight.data.t() if type(layer) is Conv1D else layer.weight.data).contiguous()


def _mark(module: Any, row: Width, config: Any) -> None:
    """Freezes `module` and sets the attributes by which transformers and peft recognise a quantized module."""
    for parameter in module.parameters():
        parameter.requires_grad_(False)
    module.config.quantization_config = config
    module.is_quantized, module.quantization_method = True, config.quant_method
    if row.by == "bitsandbytes":
        module.is_loaded_in_8bit, module.is_loaded_in_4bit = row.bits == 8, row.bits == 4


def _int8(weight_ED: Tensor, bias: Any) -> nn.Module:
    bnb = _bitsandbytes("int8")
    layer = bnb.nn.Linear8bitLt(
        weight_ED.shape[1], len(weight_ED), bias is not None, has_fp16_weights=False, device="meta"
    )
    layer.weight = bnb.nn.Int8Params(weight_ED, requires_grad=False, has_fp16_weights=False).to(weight_ED.device)
    return _finished(layer, bias)


def _nf4(weight_ED: Tensor, bias: Any) -> nn.Module:
    bnb = _bitsandbytes("nf4")
    layer = bnb.nn.Linear4bit(
        weight_ED.shape[1], len(weight_ED), bias is not None, weight_ED.dtype, quant_type="nf4", device="meta"
    )
    weight = bnb.nn.Params4bit(weight_ED, requires_grad=False, quant_type="nf4", compress_statistics=True, module=layer)
    layer.weight = weight.to(weight_ED.device)
    return _finished(layer, bias)


def _int4(weight_ED: Tensor, bias: Any) -> nn.Module:
    layer = Int4Linear(weight_ED.shape[1], len(weight_ED), bias is not None).to(weight_ED.device)
    return _finished(layer.fill(weight_ED), bias)


def _finished(layer: nn.Module, bias: nn.Parameter | None) -> nn.Module:
    if bias is not None:
        layer.bias = nn.Parameter(bias.data, requires_grad=False)
    fix_for_cpu(layer)
    return layer.eval()


_MAKERS: dict[str, Callable[[Tensor, Any], nn.Module]] = {"int8": _int8, "int4": _int4, "nf4": _nf4}


def rounded(model: Model, name: str) -> Model:
    """The plain model whose linear weights are those of `quantize`, in full precision, so that they can change."""
    for _, layer, weight_ED in _linear(model.module, _kept(model.module)):
        plain_ED = dequantized(_MAKERS[name](weight_ED.clone(), None), weight_ED.dtype)
        layer.weight.data.copy_(plain_ED.t() if type(layer) is Conv1D else plain_ED)
    return model


def dequantized(layer: Any, dtype: torch.dtype) -> Tensor:
    """The weights that a narrow layer represents, (width out, width in)."""
    if isinstance(layer, Int4Linear):
        return layer.dequantized(dtype)
    from transformers.integrations.bitsandbytes import dequantize_bnb_weight

    return dequantize_bnb_weight(layer.weight, getattr(layer, "state", None)).to(dtype)


# ------------------------------------------------------------------------------------------------------- on disk


def _config(row: Width, kept: list[str]) -> Any:
    """The quantization configuration for config.json."""
    if row.name == "int4":
        return Int4Config(modules_to_not_convert=kept)
    if row.name == "int8":
        return BitsAndBytesConfig(load_in_8bit=True, llm_int8_threshold=0.0, llm_int8_skip_modules=kept)
    return BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, llm_int8_skip_modules=kept
    )


@register_quantization_config(INT4)
class Int4Config(QuantizationConfigMixin):
    """quantization_config of a folder whose linear layers are Int4Linear."""

    def __init__(self, modules_to_not_convert: list[str] | None = None, **kwargs: Any) -> None:
        self.quant_method: Any = INT4
        self.modules_to_not_convert = modules_to_not_convert or []


@register_quantizer(INT4)
class _Int4Quantizer(HfQuantizer):
    """Puts empty Int4Linear layers into a model before transformers loads a folder's packed weights."""

    quantization_config: Int4Config

    @property
    def is_trainable(self) -> bool:
        return True

    def is_serializable(self) -> bool:
        return True

    def _process_model_before_weight_loading(self, model: Any, **kwargs: Any) -> None:
        kept = self.quantization_config.modules_to_not_convert
        for path, layer, weight_ED in _linear(model, kept):
            with torch.device("meta"):
                empty = Int4Linear(weight_ED.shape[1], weight_ED.shape[0], layer.bias is not None)
                model.set_submodule(path, empty)


def save(model: Model, folder: Path) -> None:
    """A model folder: configuration, safetensors, tokenizer. Whole or not there. Raises FolderError on a full disk."""
    with building(folder) as part:
        write_files(model, part)


def write_files(model: Model, folder: Path) -> None:
    """The files of a model into a folder that is there."""
    module: Any = model.module
    with quiet():
        module.save_pretrained(folder)
        model.tokenizer.save_pretrained(folder)


def read(folder: Path, name: str, precision: str, day: str | None = None) -> Model:
    """The model that `save` wrote; `precision` is that of all other weights. Raises ModelError as `load` does."""
    row = width(name)
    model = load(str(folder), precision=precision if row.narrow else name, day=day)
    for layer in model.module.modules():
        fix_for_cpu(layer)
    return model


def file_bytes(folder: Path) -> int:
    """Bytes of the safetensors files of a model or an adapter."""
    return sum(path.stat().st_size for path in folder.rglob("*.safetensors"))


# --------------------------------------------------------------------------------------------------------- weigh


@dataclass(frozen=True)
class Weight:
    """Bytes that a module holds. Ratios are against bf16: two bytes for each of the same weights.

    `linear_...` are about the narrow layers, with their scales and other tensors, or about all linear layers if none is
    narrow. `kept_weights` counts the weights of the other linear layers.
    """

    linear_bytes: int
    linear_weights: int
    kept_weights: int
    bytes: int
    weights: int
    embedding: str  # the precision of the embeddings, and of an output layer that is tied to them

    @property
    def linear_ratio(self) -> float:
        return self.linear_bytes / (2 * self.linear_weights)

    @property
    def ratio(self) -> float:
        return self.bytes / (2 * self.weights)

    def row(self) -> dict[str, Any]:
        """For arm.json."""
        return asdict(self) | {"linear_ratio": round(self.linear_ratio, 4), "ratio": round(self.ratio, 4)}


def weigh(module: Any) -> Weight:
    """Weighs every tensor that can be reached from the layers, each storage once."""
    head = module.get_output_embeddings()
    linear = [layer for layer in module.modules() if isinstance(layer, (nn.Linear, Conv1D)) and layer is not head]
    narrow = [layer for layer in linear if is_narrow(layer)] or linear
    here, every = (sum(map(_weights_of, layers)) for layers in (narrow, linear))
    kind = module.get_input_embeddings().weight.dtype
    embedding = next((name for name, dtype in PRECISIONS.items() if dtype == kind), str(kind))
    held = sum(_held_bytes(layer, leave=layer.bias) for layer in narrow)
    return Weight(held, here, every - here, _held_bytes(module), parameter_counts(module)[1], embedding)


def is_narrow(layer: nn.Module) -> bool:
    """Whether a layer holds its weights in fewer than 16 bits."""
    return isinstance(layer, nn.Linear) and layer.weight.dtype in (torch.uint8, torch.int8)


def _weights_of(layer: Any) -> int:
    return layer.nx * layer.nf if isinstance(layer, Conv1D) else layer.in_features * layer.out_features


def _held_bytes(root: nn.Module, leave: Tensor | None = None) -> int:
    """Bytes of every storage behind `root`, without the tensor `leave`."""
    storages = (tensor.untyped_storage() for tensor in tensors(root) if tensor is not leave)
    return sum({storage.data_ptr(): storage.nbytes() for storage in storages}.values())


def tensors(root: Any) -> Iterator[Tensor]:
    """Every tensor that is reachable from a module or a tensor through attributes, entries and elements, each once."""
    seen: set[int] = set()
    pending = [root]
    while pending:
        value = pending.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, Tensor):
            yield value
        if isinstance(value, dict):
            pending += value.values()
        elif isinstance(value, (list, tuple, set)):
            pending += value
        elif not isinstance(value, (type, ModuleType)):
            pending += getattr(value, "__dict__", {}).values()
