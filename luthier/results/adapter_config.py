"""adapter_config.json of an arm, as peft writes it for the methods that luthier has.

peft reads more than that: patterns that could match for ever, classes by name, a tokenizer from elsewhere, other
libraries. So the file is held to a known type before peft reads it. A key that is not known here is passed over where
it is off (null, false, empty), because a newer peft writes more of these; otherwise it is refused.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, StringConstraints, TypeAdapter, ValidationError
from pydantic_core import PydanticCustomError

from luthier.errors import FolderError
from luthier.files import refuse_link
from luthier.results.record import Number, Part, problem_in

FILE = "adapter_config.json"
REMEDY = "make the arm again"
OFF: tuple[Any, ...] = (None, False, {}, [])
MOST_BYTES = 16 << 20

# The end of a module's path. Without other signs it matches in one pass, whoever takes it for a pattern.
Module = Annotated[str, StringConstraints(pattern=r"^[\w.]+$", max_length=1000)]


# The pattern that peft writes for the end of a path: anything, a dot, and a name. It is matched in one pass.
Ending = Annotated[str, StringConstraints(pattern=r"^\.\*\\\.(?:\w|\\\.)+$", max_length=1000)]


def _true(value: bool) -> bool:
    if not value:
        raise PydanticCustomError("false", "it should be true, as in every adapter that answers")
    return value


Size = Annotated[int, Field(ge=1, le=2**20)]
Text = Annotated[str, StringConstraints(max_length=100_000)]


class AdapterConfig(Part):
    """What all adapters share. `base_model_name_or_path` is a name for people; nothing is loaded from it."""

    task_type: Literal["CAUSAL_LM", "SEQ_2_SEQ_LM", "SEQ_CLS"]
    inference_mode: Annotated[bool, AfterValidator(lambda value: _true(value))]
    base_model_name_or_path: Text | None = None
    peft_version: Text | None = None


class LoraAdapter(AdapterConfig):
    """LoRA and its variants."""

    peft_type: Literal["LORA"]
    r: Annotated[int, Field(ge=1, le=2**15)]
    lora_alpha: Annotated[Number, Field(gt=0, le=4e6)]
    lora_dropout: Annotated[Number, Field(ge=0, lt=1)]
    target_modules: list[Module]
    exclude_modules: list[Module] | None = None
    modules_to_save: list[Module] | None = None
    # Of a mixture of experts, whose matrices stand in one parameter: which, and the rank and alpha of fused ones.
    target_parameters: list[Module] | None = None
    rank_pattern: dict[Ending, Annotated[int, Field(ge=1, le=2**15)]] = Field({})
    alpha_pattern: dict[Ending, Annotated[Number, Field(gt=0, le=4e6)]] = Field({})
    bias: Literal["none"] = "none"
    fan_in_fan_out: bool = False
    use_dora: bool = False
    use_rslora: bool = False
    init_lora_weights: bool = True
    megatron_core: Literal["megatron.core"] | None = (
        None  # a name that peft writes; megatron_config, its switch, is off
    )
    qalora_group_size: int = 16  # of use_qalora, which is off


class Ia3Adapter(AdapterConfig):
    """(IA)^3."""

    peft_type: Literal["IA3"]
    target_modules: list[Module]
    feedforward_modules: list[Module]
    modules_to_save: list[Module] | None = None
    fan_in_fan_out: bool = False
    init_ia3_weights: bool = True


class TokensAdapter(AdapterConfig):
    """Rows of the embeddings."""

    peft_type: Literal["TRAINABLE_TOKENS"]
    token_indices: list[Annotated[int, Field(ge=0, le=2**31)]]
    target_modules: Module | list[Module]
    init_weights: bool = True


class PromptAdapter(AdapterConfig):
    """What soft prompts, P-tuning and prefix tuning share."""

    num_virtual_tokens: Size
    num_transformer_submodules: Annotated[int, Field(ge=1, le=2)]
    num_attention_heads: Size
    num_layers: Size
    token_dim: Size


class SoftAdapter(PromptAdapter):
    """A soft prompt. From the words or the tokenizer that it started with, nothing is read again."""

    peft_type: Literal["PROMPT_TUNING"]
    prompt_tuning_init: Literal["SAMPLE_VOCAB", "TEXT", "RANDOM"]
    prompt_tuning_init_text: Text | None = None
    tokenizer_name_or_path: Text | None = None


class PTuningAdapter(PromptAdapter):
    """P-tuning: the prompt that its network wrote."""

    peft_type: Literal["P_TUNING"]
    encoder_reparameterization_type: Literal["MLP", "LSTM"]
    encoder_hidden_size: Size
    encoder_num_layers: Annotated[int, Field(ge=1, le=64)] = 2
    encoder_dropout: Annotated[Number, Field(ge=0, lt=1)] = 0.0


class PrefixAdapter(PromptAdapter):
    """A prefix of keys and values."""

    peft_type: Literal["PREFIX_TUNING"]
    encoder_hidden_size: Size | None = None
    prefix_projection: bool = False
    init_weights: Literal["zero"] | None = None


Adapter = LoraAdapter | Ia3Adapter | TokensAdapter | SoftAdapter | PTuningAdapter | PrefixAdapter
_KINDS: dict[str, Any] = {
    "LORA": LoraAdapter,
    "IA3": Ia3Adapter,
    "TRAINABLE_TOKENS": TokensAdapter,
    "PROMPT_TUNING": SoftAdapter,
    "P_TUNING": PTuningAdapter,
    "PREFIX_TUNING": PrefixAdapter,
}


def read_adapter_config(folder: Path) -> Adapter:
    """The adapter in `folder`. Raises FolderError, with file and key, for what luthier does not write."""
    path = folder / FILE
    refuse_link(path)
    table = _table(path)
    kind = table.get("peft_type")
    if not isinstance(kind, str) or kind not in _KINDS:
        raise FolderError(f"{path}: the key 'peft_type' is {str(kind)[:60]!r}; it should be one of {', '.join(_KINDS)}")
    known = _KINDS[kind].model_fields
    given = {
        key: value for key, value in table.items() if key in known or not any(value is o or value == o for o in OFF)
    }
    try:
        read: Adapter = TypeAdapter(_KINDS[kind]).validate_json(json.dumps(given))
    except (ValidationError, ValueError) as problems:
        said = problem_in(problems) if isinstance(problems, ValidationError) else str(problems)
        raise FolderError(f"{path}: {said}; {REMEDY}") from None
    return read


def _table(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > MOST_BYTES:
            raise FolderError(f"{path}: has more than {MOST_BYTES >> 20} MiB, which no adapter needs; {REMEDY}")
        table = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise FolderError(f"{path}: no such file; {REMEDY}") from None
    except OSError as error:
        raise FolderError(f"{path}: cannot be read ({error.strerror or error})") from None
    except (ValueError, RecursionError) as error:
        raise FolderError(f"{path}: this is not JSON ({str(error)[:120]}); {REMEDY}") from None
    if not isinstance(table, dict):
        raise FolderError(f"{path}: the file holds no table of keys; {REMEDY}")
    return table
