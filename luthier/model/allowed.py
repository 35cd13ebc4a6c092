"""What a model's folder may say, looked over before transformers reads it.

config.json is written by whoever made the model, and transformers follows it far: it names code of other people, an
attention to be fetched from a hub, another file of weights, and sizes that memory has to be found for. So everything
that leads outside the folder is refused, and every count is held against the weights' own shapes. Nothing is built
or allocated here, and no torch is imported.

    CVE-2026-4372   an attention implementation named in config.json is fetched and run (transformers before 5.3)
    CVE-2026-5241   trust_remote_code in config.json is believed (transformers 5.2)
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import ConfigDict, TypeAdapter, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from luthier.errors import ModelError
from luthier.model.weight_files import FLOATS, GET, WHOLE, Tensor, json_table, tensors_in
from luthier.results.record import Part, problem_in

CONFIG, GENERATION, TOKENIZER, ADAPTER = (
    "config.json",
    "generation_config.json",
    "tokenizer_config.json",
    "adapter_config.json",
)
ATTENTIONS = (None, "sdpa", "eager")
EXPERTS = (None, "eager", "batched_mm", "grouped_mm")  # transformers' own ways to run a mixture of experts
TYPES = ("float32", "float16", "bfloat16", "float64")
Int4Name = Literal["luthier_int4"]  # what config.json calls our int4
INT4: Int4Name = get_args(Int4Name)[0]
# Keys by which a file brings code, or names weights or modules of other places.
FOREIGN = ("auto_map", "trust_remote_code", "custom_pipelines", "transformers_weights", "kernel_config", "use_kernels")
_LAYERS = re.compile(r"^(num_|n_)?(hidden_|encoder_|decoder_)?layers?$")
_COUNTS = re.compile(r"(layers?|heads?|experts|labels|groups|blocks|beams|sequences|buckets|classes)$")
_NAMES: dict[Any, str] = {str: "text", (int, float): "number", (str, dict): "token"}
LEAST_BOUND = 4096  # counts below it are harmless, whatever the weights' shapes
LARGEST = 2**40  # of any whole number
_MODULE = re.compile(r"^[\w.]+$")  # the name of a module, and no pattern that could run for ever
# Tensors of GPTQ and AWQ, of compressed-tensors and of FP8, where config.json does not name the tool.
PACKED = ("qweight", "qzeros", "weight_packed", "weight_scale", "weight_scale_inv")
_TOKEN_IDS = ("bos_token_id", "eos_token_id", "pad_token_id", "decoder_start_token_id")


@dataclass(frozen=True)
class LookedOver:
    """What was looked over: config.json's table, and the tensors that the weights hold."""

    config: Mapping[str, Any]
    tensors: Mapping[str, Tensor]

    @property
    def attention(self) -> str | None:
        """The attention that config.json asks for, 'sdpa' or 'eager'; None where it leaves the choice."""
        asked = self.config.get("_attn_implementation", self.config.get("attn_implementation"))
        return asked if isinstance(asked, str) else None

    @property
    def elements(self) -> int:
        return sum(tensor.elements for tensor in self.tensors.values())


def look_over(folder: Path) -> LookedOver:
    """Raises ModelError, one sentence with file and key, for a folder that is no plain model or asks for too much."""
    if (folder / ADAPTER).exists():
        raise ModelError(
            f"{folder / ADAPTER}: an adapter lies beside {CONFIG} and would become part of the model in silence; move "
            "it to a folder of its own, or merge it into the weights"
        )
    config, tensors = json_table(folder / CONFIG), tensors_in(folder)
    _refuse_foreign(folder / CONFIG, config)
    _refuse_values(folder / CONFIG, config)
    _refuse_quantization(folder / CONFIG, config)
    _refuse_types(folder, tensors)
    _refuse_counts(folder / CONFIG, config, tensors)
    _refuse_token_ids(folder / CONFIG, config)
    generation, tokenizer = (_table_if_there(folder / name) for name in (GENERATION, TOKENIZER))
    _refuse_foreign(folder / GENERATION, generation)
    _refuse_token_ids(folder / GENERATION, generation)
    _refuse_foreign(folder / TOKENIZER, tokenizer)
    _refuse_tokenizer(folder, tokenizer)
    return LookedOver(config, tensors)


def _table_if_there(path: Path) -> Mapping[str, Any]:
    return json_table(path) if path.exists() else {}


def _refuse(path: Path, key: str, value: Any, problem: str) -> ModelError:
    shown = json.dumps(value, default=str, ensure_ascii=True)
    return ModelError(f"{path}: the key '{key[:80]}' is {shown if len(shown) <= 60 else shown[:60] + '...'}; {problem}")


def _walk(table: Any, above: str = "") -> Iterator[tuple[str, str, Any]]:
    """(path of keys, last key, value) of everything in a table, at any depth."""
    pending: list[tuple[str, Any]] = [(above, table)]
    while pending:
        place, value = pending.pop()
        inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for key, one in inner:
            path = f"{place}.{key}".lstrip(".")
            if isinstance(value, dict):
                yield path, str(key), one
            pending.append((path, one))


def _refuse_foreign(path: Path, table: Mapping[str, Any]) -> None:
    """Refuses every key by which the file brings code or leads to another place, at any depth."""
    for place, key, value in _walk(table):
        if key in FOREIGN and value not in (None, False, {}, []):
            if key in ("auto_map", "trust_remote_code"):
                problem = (
                    "the model brings code of its own, which luthier never runs; take the key out, or choose another"
                )
            else:
                problem = "it leads outside of this folder's own weights; take the key out"
            raise _refuse(path, place, value, problem)
        if "implementation" in key:
            allowed = EXPERTS if "experts" in key else ATTENTIONS
            asked = list(value.values()) if isinstance(value, dict) else [value]
            if other := [one for one in asked if one not in allowed and not isinstance(one, bool)]:
                raise _refuse(
                    path, place, other[0],
                    f"luthier runs {' and '.join(str(one) for one in allowed[1:])} alone and fetches no kernel; "
                    "take the key out",
                )  # fmt: skip


def _refuse_values(path: Path, config: Mapping[str, Any]) -> None:
    """Refuses what is no number of a model, and an unknown type of its weights or of itself."""
    kind = config.get("model_type")
    if not isinstance(kind, str):
        raise _refuse(path, "model_type", kind, f"it should name the model's type; {GET}")
    for place, key, value in _walk(config):
        numbers = value if isinstance(value, list) else [value]
        for number in numbers:
            if isinstance(number, float) and math.isnan(number):
                raise _refuse(path, place, str(number), f"it should be a number; {GET}")
            if isinstance(number, int) and abs(number) > LARGEST:
                raise ModelError(f"{path}: the key '{place}' is a number of {len(str(number))} digits; {GET}")
        if key in ("dtype", "torch_dtype"):
            asked = list(value.values()) if isinstance(value, dict) else [value]
            if other := [one for one in asked if one is not None and str(one).removeprefix("torch.") not in TYPES]:
                raise _refuse(path, place, other[0], f"weights of {', '.join(TYPES)} are read; choose another model")


class _Int4(Part):
    """quantization_config of what luthier wrote as int4."""

    quant_method: Int4Name
    modules_to_not_convert: list[str]


class _BitsAndBytes(Part):
    """quantization_config of what luthier wrote as int8 or nf4; other keys are bitsandbytes' own numbers."""

    model_config = ConfigDict(extra="ignore")

    quant_method: Literal["bitsandbytes"]
    load_in_8bit: bool = False
    load_in_4bit: bool = False
    bnb_4bit_quant_type: Literal["nf4", "fp4"] | None = "nf4"
    bnb_4bit_quant_storage: Literal["uint8"] | None = None
    bnb_4bit_compute_dtype: Literal["float32", "bfloat16", "float16"] | None = None
    llm_int8_skip_modules: list[str] | None = None
    llm_int8_threshold: float = 0.0

    @model_validator(mode="after")
    def _of_a_width(self) -> _BitsAndBytes:
        if self.load_in_4bit == self.load_in_8bit or (self.load_in_4bit and self.bnb_4bit_quant_type == "fp4"):
            raise PydanticCustomError("width", "it should say int8, or nf4, and no other width")
        return self


def _refuse_quantization(path: Path, config: Mapping[str, Any]) -> None:
    """Refuses weights that another tool made narrow."""
    found = [
        (place, value) for place, key, value in _walk(config) if key in ("quantization_config", "compression_config")
    ]
    for place, value in found:
        if value is None:
            continue
        method = value.get("quant_method") if isinstance(value, dict) else None
        kind: Any = {INT4: _Int4, "bitsandbytes": _BitsAndBytes}.get(method if isinstance(method, str) else "")
        if place != "quantization_config" or kind is None:
            by = f"by {method}" if isinstance(method, str) else "by a tool that it does not name"
            raise ModelError(
                f"{path}: the weights are quantized {by[:60]}, which luthier does not read; take the model that they "
                "were made of, and make it narrow here (merge --width, or an arm such as lora@int4)"
            )
        try:
            read = TypeAdapter(kind).validate_python(value)
        except ValidationError as problems:
            raise ModelError(f"{path}: quantization_config: {problem_in(problems)}; {GET}") from None
        kept = getattr(read, "modules_to_not_convert", None) or getattr(read, "llm_int8_skip_modules", None) or []
        if odd := next((name for name in kept if not _MODULE.match(name)), None):
            raise _refuse(path, f"{place}.modules", odd, f"it should be the name of a module; {GET}")


def _refuse_types(folder: Path, tensors: Mapping[str, Tensor]) -> None:
    for name, tensor in tensors.items():
        if name.rpartition(".")[2] in PACKED:
            raise ModelError(
                f"{folder}: the weights {name[:80]} are quantized in another tool's form, which luthier does not read; "
                "take the model that they were made of, and make it narrow here (merge --width, or an arm such as "
                "lora@int4)"
            )
        if tensor.type not in FLOATS and tensor.type not in WHOLE:
            raise ModelError(
                f"{folder}: the weights {name[:80]} are of type {tensor.type[:20]}, which is not read; "
                "take the model that they were made of"
            )


def _refuse_counts(path: Path, config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    """Refuses a number of layers, heads or experts for which the weights have no room.

    Each layer has a tensor of its own, and what is counted inside of one is no more than its longest side.
    """
    longest = max((size for tensor in tensors.values() for size in tensor.shape), default=0)
    for place, key, value in _walk(config):
        if isinstance(value, bool) or not isinstance(value, int):
            continue
        most = len(tensors) if _LAYERS.search(key) else max(longest, len(tensors), LEAST_BOUND)
        if (_LAYERS.search(key) or _COUNTS.search(key)) and value > most:
            raise _refuse(
                path, place, value,
                f"the weights beside it hold {len(tensors)} tensors, the longest of {longest:,}; {GET}",
            )  # fmt: skip


def _refuse_token_ids(path: Path, table: Mapping[str, Any]) -> None:
    for key in _TOKEN_IDS:
        value = table.get(key)
        for one in value if isinstance(value, list) else [value]:
            if one is not None and (isinstance(one, bool) or not isinstance(one, int)):
                raise _refuse(path, key, value, f"it should be the number of a token; {GET}")


def _refuse_tokenizer(folder: Path, config: Mapping[str, Any]) -> None:
    """Refuses a folder without a tokenizer, and files of it that hold no table or a value of another kind."""
    names = ("tokenizer.json", "tokenizer.model", "spiece.model", "vocab.json", "vocab.txt", "sentencepiece.bpe.model")
    if not any((folder / name).exists() for name in (*names, TOKENIZER)) and not list(folder.glob("*.model")):
        raise ModelError(f"{folder}: holds no tokenizer; put the model's tokenizer.json and {TOKENIZER} there")
    kinds: dict[str, Any] = {"model_max_length": (int, float), "tokenizer_class": str, "backend": str}
    kinds |= {f"{role}_token": (str, dict) for role in ("bos", "eos", "pad", "unk", "sep", "cls", "mask")}
    for key, kind in kinds.items():
        if config.get(key) is not None and not isinstance(config[key], kind):
            raise _refuse(folder / TOKENIZER, key, config[key], f"it should be a {_NAMES[kind]}; {GET}")
    for name in ("special_tokens_map.json", "added_tokens.json"):
        _table_if_there(folder / name)
