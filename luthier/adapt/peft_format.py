"""What all methods on top of peft share: how peft wraps a model, and PEFT's own format on disk."""

from __future__ import annotations

import random
import warnings
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import peft
import torch
from peft.tuners.lora import LoraLayer
from peft.utils import get_peft_model_state_dict
from safetensors.torch import load_file, save_file
from torch import nn
from transformers.pytorch_utils import Conv1D

from luthier.adapt.method import float_trainable
from luthier.errors import LuthierError, ModelError, SettingsError
from luthier.model.model import Model
from luthier.model.weight_files import Tensor, tensors_of
from luthier.results.adapter_config import Adapter, LoraAdapter, PrefixAdapter, PromptAdapter, read_adapter_config
from luthier.training.fused import fuse

UNCALLED = ("out_proj", "conv1d")
WITHOUT_CALL = ("falcon_h1", "falcon_mamba", "mamba", "mamba2", "nemotron_h")
WEIGHTS = "adapter_model.safetensors"


def task_type(model: Model) -> str:
    """What peft calls the model's family."""
    return {"encoder-decoder": "SEQ_2_SEQ_LM", "encoder": "SEQ_CLS"}.get(model.family, "CAUSAL_LM")


def wrap(model: Model, config: peft.PeftConfig, seed: int) -> Any:
    """The model inside peft's wrapper, its adapter started by `seed`; only the adapter requires a gradient.

    An encoder's head is new, so it is trained and saved with the adapter.
    """
    torch.manual_seed(seed)
    _let_peft_ask()
    if model.head:
        config.modules_to_save = list(model.head)  # type: ignore[attr-defined]
    try:
        module: Any = peft.get_peft_model(model.module, config)
    except (ValueError, TypeError, NotImplementedError) as error:  # of layers that peft has no adapter for
        said, kind = " ".join(str(error).split())[:200], str(config.peft_type).rpartition(".")[2].lower()
        raise SettingsError(
            f"{model.name}: {kind} cannot adapt this model ({said}); choose another method, or "
            "other layers with targets"
        ) from error
    config.base_model_name_or_path = model.name  # peft puts this machine's folder there
    float_trainable(module)
    return fuse(module)


def _let_peft_ask() -> None:
    """peft asks a model whether it saves memory, by a name that transformers retires. No user can change that."""
    warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)


def random_words(tokenizer: Any, count: int, seed: int) -> list[int]:
    """`count` token ids, drawn uniformly from the vocabulary without special tokens."""
    words = sorted({*range(len(tokenizer))} - {*tokenizer.all_special_ids})
    return random.Random(seed).choices(words, k=count)


def left_out(model: Model) -> list[str] | None:
    """Names of the linear layers that all-linear leaves out; None where it leaves out none.

    A Mamba layer reads its output's matrix without calling it, so an adapter of it would be passed over; peft refuses
    these layers in these models. An architecture's own kind of linear layer gives something else than a product, such
    as a router's choice of experts.
    """
    config: Any = model.module.config
    uncalled = list(UNCALLED) if config.model_type in WITHOUT_CALL else []
    own_kinds = [
        name for name, layer in model.module.named_modules()
        if isinstance(layer, nn.Linear)
        and type(layer).__module__.startswith("transformers.models.") and not _gives_a_product(layer)
    ]  # fmt: skip
    return [*uncalled, *own_kinds] or None


@torch.no_grad()
def _gives_a_product(layer: nn.Linear) -> bool:
    """Whether a layer of an architecture's own kind gives what a linear layer gives, as Falcon's does."""
    try:
        said: Any = layer(layer.weight.new_zeros(1, layer.in_features))
    except (TypeError, ValueError, RuntimeError):
        return False
    return isinstance(said, torch.Tensor) and said.shape == (1, layer.out_features)


def targets(model: Model, named: str, method: str) -> str | list[str]:
    """The layers to adapt. `named` is 'all-linear' or names joined by commas.

    Raises SettingsError, which lists the existing names, if a layer is missing; peft would accept one match of several.
    """
    if named == "all-linear":
        return named
    layers = [name for name, _ in model.module.named_modules()]
    wanted = [target.strip() for target in named.split(",")]
    for target in wanted:
        if not any(f".{layer}".endswith(f".{target}") for layer in layers if target):
            kinds = (nn.Linear, Conv1D)
            linear = {n.rpartition(".")[2] for n, m in model.module.named_modules() if isinstance(m, kinds)}
            raise SettingsError(
                f"{method}: no linear layer is called '{target}'; name some of {', '.join(sorted(linear))}"
            )
    return wanted


def save(module: Any, folder: Path) -> None:
    """PEFT's own format: adapter_config.json and adapter_model.safetensors."""
    for config in module.peft_config.values():
        in_order(config)
    module.save_pretrained(folder, save_embedding_layers=False)  # without the argument peft asks the hub


def in_order(config: Any) -> None:
    """The sets of a configuration as sorted lists: peft writes a set in an order that differs from process to process."""
    for name, value in vars(config).items():
        if isinstance(value, set):
            setattr(config, name, sorted(value))


def read(model: Model, folder: Path) -> Any:
    """The saved adapter around a fresh base.

    Raises FolderError for a configuration that luthier does not write, ModelError for weights that do not fit it or
    the base. Both are looked at before peft reads them.
    """
    config, weights = read_adapter_config(folder), tensors_of(folder / WEIGHTS)
    if config.task_type != task_type(model) or not _fits(config, weights):
        raise ModelError(f"{folder}: the adapter's weights are not those of its configuration; make the arm again")
    _let_peft_ask()
    try:
        module = peft.PeftModel.from_pretrained(model.module, folder).eval()
        own = set(get_peft_model_state_dict(module, save_embedding_layers=False))
    except (LuthierError, MemoryError):
        raise
    except Exception as error:  # peft checks little, so a file that fits nothing can raise anything
        said = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        raise ModelError(f"{folder}: the adapter does not fit {model.name} ({said}); make the arm again") from error
    if lacking := sorted(own ^ set(weights)):  # peft fills what is missing with random numbers, and goes on
        raise ModelError(
            f"{folder / WEIGHTS}: {lacking[0]} and {len(lacking) - 1} more weights are missing, or are none of "
            f"{model.name}; make the arm again"
        )
    return fuse(module)


def scale_lora(model: Model, folder: Path, scale: float) -> None:
    """The saved update B A times `scale`: B is multiplied, so the file stays a plain LoRA."""
    ends = ("lora_B", "lora_embedding_B")
    _rewrite(folder / WEIGHTS, lambda name, value: value * scale if any(end in name for end in ends) else value)


def scale_ia3(model: Model, folder: Path, scale: float) -> None:
    """The saved vectors, whose start is 1, moved `scale` of the way from there."""
    _rewrite(folder / WEIGHTS, lambda name, value: torch.lerp(torch.ones_like(value), value, scale))


def _rewrite(path: Path, change: Callable[[str, torch.Tensor], torch.Tensor]) -> None:
    tensors = load_file(path)
    save_file({name: change(name, value).contiguous() for name, value in tensors.items()}, path, {"format": "pt"})


def _fits(config: Adapter, weights: Mapping[str, Tensor]) -> bool:
    """Whether the sizes in the configuration, for which peft finds memory, are those of the weights."""
    if isinstance(config, LoraAdapter):
        # Matrices of experts that stand in one parameter have a multiple of the rank.
        return all(one.shape[0] % config.r == 0 for name, one in weights.items() if "lora_A" in name and one.shape)
    if isinstance(config, PromptAdapter):
        rows = config.num_virtual_tokens
        width = config.token_dim
        if isinstance(config, PrefixAdapter):
            width *= 2 * config.num_layers
        else:
            rows *= config.num_transformer_submodules
        return [one.shape for one in weights.values()] == [(rows, width)]
    return True


def load(model: Model, folder: Path) -> Model:
    """The saved adapter inside the layers of a fresh base; peft's wrapper adds nothing while answering."""
    return model.adapted(read(model, folder).get_base_model())


def load_added(model: Model, folder: Path) -> Model:
    """A fresh base with the saved update, added to the weights if they are fp32. The arm is then as fast as the base.

    With a separate update single answers are slower. fp32 keeps the sum to seven digits. bf16 rounds it, and with
    rounded weights fewer greedy answers stayed those of fp32, so there it stays separate (docs/log.md).
    """
    module = read(model, folder)
    if model.dtype == torch.float32 and not _adapts_shared_weights(module):
        return model.adapted(module.merge_and_unload())
    return model.adapted(module.get_base_model())


def merge(model: Model, folder: Path) -> Model:
    """A fresh base with the saved adapter added to its own weights: a plain model, as fast as the base.

    Raises SettingsError where an adapted layer shares its weight: what is added to it would change other layers too.
    """
    module = read(model, folder)
    if _adapts_shared_weights(module):
        raise SettingsError(
            f"{folder}: in {model.name} a layer that learned something shares its weight with another layer, so it "
            "cannot be added to it; use the arm as it is"
        )
    return model.adapted(module.merge_and_unload())


def _adapts_shared_weights(module: nn.Module) -> bool:
    """Whether an adapted layer's weight is another layer's too, as in Zamba2's blocks, or tied embeddings' head."""
    adapted = {id(w) for one in module.modules() if isinstance(one, LoraLayer) for w in one.base_layer.parameters()}
    places = Counter(id(weight) for _, weight in module.named_parameters(remove_duplicate=False))
    return any(places[weight] > 1 for weight in adapted)
