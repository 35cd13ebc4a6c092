"""A folder -> weights, tokenizer, dtype and family of a model, ready for calls from several threads.

This file never runs code that a model brings along, and reads only safetensors weights. What a folder says is looked
over before transformers reads it (allowed.py), what it gives is looked over after (sound.py), and a chat template is
tried in a process of its own (template_trial.py).
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from luthier.errors import LuthierError, ModelError
from luthier.machine import huge_pages_for_tensors, processor
from luthier.model import attention, logits, prepacked, sound
from luthier.model.allowed import look_over
from luthier.model.encoder import load_encoder, start_head
from luthier.model.quiet import only_errors_while_importing, quiet
from luthier.model.sources import SHORT_NAMES, resolve, weights_sha256
from luthier.model.template_trial import refuse_unsafe
from luthier.task.chat_template import today
from luthier.task.prompt import Renderer

with huge_pages_for_tensors():
    torch.empty(1)
# Imported before peft imports it: bitsandbytes prints a recommendation during its import.
with only_errors_while_importing("bitsandbytes"), contextlib.suppress(ImportError):
    import bitsandbytes  # noqa: F401


PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
OWN_PRECISIONS = ("fp32", "bf16")  # of a study; fp16 is only a width
# How configurations call the window, which is that of the encoder where there are two.
WINDOWS = ("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len", "max_sequence_length",
           "max_encoder_position_embeddings", "max_target_positions")  # fmt: skip
PRECISION_VARIABLE = "LUTHIER_PRECISION"


@dataclass(frozen=True)
class Model:
    """A loaded model. Several threads may ask one.

    `module` is the transformers module, adapted or not. `prefix` is a learned prompt of shape (tokens, width), which
    the generator puts before every prompt, or None. `prefix_states` is a learned prefix, or None: for each layer of the
    decoder the (keys, values) that its cache starts with, each of shape (heads, tokens, head width). `end_ids` are the
    tokens that end an answer. `labels` are the labels of a classification, from which the model chooses. `head` names
    the modules of an encoder's head. `day` is the date that its chat template prints, where it prints one.
    """

    name: str
    module: nn.Module
    tokenizer: Any
    family: str  # "decoder" | "encoder-decoder" | "encoder"
    window: int  # context window in tokens
    base_sha256: str
    end_ids: frozenset[int]
    folder: Path
    prefix: torch.Tensor | None = None
    prefix_states: tuple[tuple[torch.Tensor, torch.Tensor], ...] | None = None
    notes: tuple[str, ...] = field(default=())
    labels: tuple[str, ...] = ()
    head: tuple[str, ...] = ()
    day: str = field(default_factory=today)

    def __post_init__(self) -> None:
        _make_ready(self.module, self.family)

    @property
    def device(self) -> torch.device:
        return next(self.module.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        return next(self.module.parameters()).dtype

    @property
    def renderer(self) -> Renderer:
        """The renderer that turns messages into this model's token ids."""
        return Renderer(self.tokenizer, self.family, self.window - self.learned, self.labels, self.day)

    @property
    def learned(self) -> int:
        """Learned positions in front of every prompt."""
        prefix = 0 if self.prefix is None else len(self.prefix)
        return prefix + (self.prefix_states[0][0].shape[-2] if self.prefix_states else 0)

    @property
    def begin_id(self) -> int:
        """The token with which a text begins that nobody asked for."""
        return next(token for token in (self.tokenizer.bos_token_id, *sorted(self.end_ids)) if token is not None)

    @property
    def printed_day(self) -> dict[str, str]:
        """The field `day` of a record about this model: its day where its prompts print it, else no field."""
        template = self.renderer.chat_template
        return {"day": self.day} if template and template.reads_clock else {}

    def adapted(
        self,
        module: nn.Module,
        prefix: torch.Tensor | None = None,
        prefix_states: tuple[tuple[torch.Tensor, torch.Tensor], ...] | None = None,
    ) -> Model:
        """The same model with another module and, perhaps, a learned prompt or prefix."""
        return replace(self, module=module, prefix=prefix, prefix_states=prefix_states)


def load(
    name: str,
    *,
    precision: str = "auto",
    device: str = "auto",
    labels: Sequence[str] = (),
    seed: int = 0,
    day: str | None = None,
) -> Model:
    """Loads weights and tokenizer. `precision` is 'fp32', 'bf16' or 'auto' (see `own_precision`).

    `labels` are the words of a classification's labels; an encoder then gets a head for them, which `seed` starts.
    `day` is the date that the chat template prints, such as 2026-07-30; today's where it is not given.
    Raises ModelError for a name, a family or a file that cannot be used, PromptError for a chat template.
    """
    if precision not in ("auto", *PRECISIONS):
        raise ModelError(f"precision '{precision}' is not known; choose auto, {' or '.join(PRECISIONS)}")
    folder = resolve(name)
    device_type = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    if not re.fullmatch(r"(cpu|cuda|mps|xpu)(:\d{1,3})?", device_type):
        raise ModelError(f"device {device_type[:40]!r} is not known; choose auto, cpu or cuda")
    dtype = PRECISIONS[own_precision(device_type) if precision == "auto" else precision]
    looked = look_over(folder)
    with _refusals(name, folder):
        config, family = _config_and_family(name, folder)
        if family == "encoder" and not labels:
            raise ModelError(
                f"{name}: a model of type '{config.model_type}' does not write text; choose one that does, or give "
                "it a classification ([classes] in task.toml)"
            )
    base_sha256 = weights_sha256(folder)
    trial = sound.Trial(folder, base_sha256, family, str(dtype))
    with _refusals(name, folder):
        chosen = sound.attention_of(sound.loader_of(family), config, looked)
        sound.refuse_other_sizes(trial, config, looked, chosen)
        module, head = _module(folder, config, family, chosen, dtype, labels, seed)
        tokenizer = _tokenizer(folder)
        sound.refuse_unsound_tokens(folder, module, tokenizer, family)
        window = sound.usable_window(trial, module, _window(config, tokenizer))
    renderer = Renderer(tokenizer, family, 1)
    if renderer.chat_template:
        refuse_unsafe(renderer.chat_template)
    module.eval()
    if not getattr(module, "is_quantized", False):  # else it is on its device already, and may refuse to move
        module.to(device_type)
    with _refusals(name, folder):
        sound.refuse_unsound_weights(trial, module)
        sound.refuse_seeing_later_tokens(trial, module)
    return Model(
        name=name,
        module=module,
        tokenizer=tokenizer,
        family=family,
        window=window,
        base_sha256=base_sha256,
        end_ids=frozenset() if family == "encoder" else _end_ids(module, tokenizer, family),
        folder=folder,
        notes=(SHORT_NAMES[name].note,) if name in SHORT_NAMES else (),
        labels=tuple(labels),
        head=head,
        day=day or today(),
    )


@contextlib.contextmanager
def _refusals(name: str, folder: Path) -> Iterator[None]:
    """Inside, whatever a library raises about a model's files becomes a ModelError of one sentence."""
    try:
        with quiet():
            yield
    except (LuthierError, MemoryError):
        raise
    except (KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    # A file of a model can raise anything in the library that reads it, a panic of Rust (a BaseException) included.
    except BaseException as error:
        if isinstance(error, RuntimeError) and "allocate memory" in str(error):
            raise
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ModelError(f"{name}: the model in {folder} cannot be loaded ({reason[:300]})") from error


def _config_and_family(name: str, folder: Path) -> tuple[Any, str]:
    from transformers import AutoConfig

    # Given explicitly, because transformers would otherwise ask on the terminal.
    config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    return config, _family(name, config)


def _module(
    folder: Path,
    config: Any,
    family: str,
    attention: str,
    dtype: torch.dtype,
    labels: Sequence[str],
    seed: int,
) -> tuple[Any, tuple[str, ...]]:
    """(the module, the names of its head's modules). Raises what transformers raises, and ModelError for a lack."""
    how: dict[str, Any] = {
        "dtype": dtype,
        "use_safetensors": True,
        "trust_remote_code": False,
        "attn_implementation": attention,
    }
    if family == "encoder":
        module, head, new = load_encoder(folder, config, labels, **how)
        start_head(module, new, seed)
        return module, head
    module, report = sound.loader_of(family).from_pretrained(folder, output_loading_info=True, **how)
    # transformers fills missing weights with random numbers and continues.
    if missing := sorted(report["missing_keys"]):
        raise ModelError(f"{folder}: the weights lack {missing[0]} ({len(missing)} in all); get them again")
    return module, ()


def _tokenizer(folder: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder, trust_remote_code=False)


def _make_ready(module: nn.Module, family: str) -> None:
    """Prepares a module for calls that choose positions, a layout or laid-out weights (decision 13).

    Runs before the first call, so that no call changes the module.
    """
    if family == "encoder" or not hasattr(module, "get_output_embeddings"):
        return  # it writes nothing
    logits.make_ready(module)
    if next(module.parameters()).device.type == "cpu":
        prepacked.make_ready(module)
        if family == "decoder":
            attention.make_ready(module)


def family_of(name: str) -> str:
    """The family of a model, from its configuration alone. Raises ModelError as `load` does."""
    folder = resolve(name)
    look_over(folder)
    with _refusals(name, folder):
        return _config_and_family(name, folder)[1]


def _family(name: str, config: Any) -> str:
    """'encoder-decoder', 'decoder' or 'encoder'. Raises ModelError for other models."""
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
        MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES,
        MODEL_FOR_MASKED_LM_MAPPING_NAMES,
        MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES,
        MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES,
    )

    others = (*MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES, *MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES)
    if config.is_encoder_decoder and config.model_type in MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES:
        return "encoder-decoder"
    # An encoder such as BERT can also be loaded as a decoder; then its configuration says so.
    encodes = config.model_type in MODEL_FOR_MASKED_LM_MAPPING_NAMES and not getattr(config, "is_decoder", False)
    if encodes and config.model_type in MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES:
        return "encoder"
    if config.model_type in others and config.model_type not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        raise ModelError(
            f"{name}: a model of type '{config.model_type}' reads images or sound beside text, and luthier loads "
            "models of text alone; choose one of those"
        )
    if encodes or config.is_encoder_decoder or config.model_type not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        raise ModelError(f"{name}: a model of type '{config.model_type}' does not write text; choose one that does")
    return "decoder"


def own_precision(device_type: str) -> str:
    """The precision of 'auto': $LUTHIER_PRECISION, else `best_precision`. `device_type` is 'cpu' or 'cuda'.

    With the variable a command runs in the same precision on every machine. Raises ModelError for a value that is not
    a precision of studies.
    """
    given = os.environ.get(PRECISION_VARIABLE)
    if not given:
        return best_precision(device_type)
    if given not in OWN_PRECISIONS:
        raise ModelError(f"{PRECISION_VARIABLE} is '{given}'; set it to {' or '.join(OWN_PRECISIONS)}, or unset it")
    return given


def best_precision(device_type: str) -> str:
    """'bf16' if the machine multiplies bf16 matrices faster than fp32, else 'fp32'.

    bf16 is faster on a GPU, and on a CPU with AMX tiles or with AMD's AVX-512 BF16. Intel's AVX-512 BF16 without AMX is
    slower than fp32 (docs/log.md). The rule reads features and measures nothing, so a machine always gets the same.
    """
    if device_type != "cpu":
        return "bf16"
    found = processor()
    amd = found.vendor == "amd" and "avx512-bf16" in found.features
    return "bf16" if amd or "amx" in found.features else "fp32"


def parameter_counts(module: nn.Module) -> tuple[int, int]:
    """(trainable, all) parameters. Tied weights count once; two 4-bit weights in a byte count as two."""
    parameters = list(module.parameters())
    packed = [layer for layer in module.modules() if isinstance(layer, nn.Linear) and layer.weight.dtype == torch.uint8]
    hidden = sum(layer.in_features * layer.out_features - layer.weight.numel() for layer in packed)
    return sum(p.numel() for p in parameters if p.requires_grad), hidden + sum(p.numel() for p in parameters)


def _window(config: Any, tokenizer: Any) -> int:
    """The context window in tokens: the model's own figure, else the tokenizer's, else 2,048."""
    for one in (config, config.get_text_config(), getattr(config, "encoder", None)):
        for name in WINDOWS:
            if isinstance(value := getattr(one, name, None), int) and value > 0:
                return value
    length = int(getattr(tokenizer, "model_max_length", 0) or 0)
    return length if 0 < length < 10**7 else 2048


def _end_ids(module: Any, tokenizer: Any, family: str) -> frozenset[int]:
    """Every token that ends an answer: the renderer's end token, and those of the generation configuration."""
    ids = {Renderer(tokenizer, family, 1).end_id}
    named = getattr(getattr(module, "generation_config", None), "eos_token_id", None)
    ids.update(named if isinstance(named, list) else [named] if named is not None else [])
    return frozenset(ids)
