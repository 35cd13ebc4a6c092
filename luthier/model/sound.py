"""Whether a model is sound: its sizes are those of its weights, its weights are numbers, and its tokens have rows.

What takes time passes once for the same bytes and is remembered (passed.py): a model's sizes are held against its
files without memory, on torch's meta device; its weights are read once for NaN and infinity; and a few tokens go
through it, because a setting of config.json can spoil sound weights. A model that writes must not see later tokens,
and a window that config.json names must have a row for each of its positions.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import nn

from luthier.errors import ModelError
from luthier.files import sha256_of
from luthier.model.allowed import CONFIG, LookedOver
from luthier.model.exact import IN_FP32, in_fp32, trial_tokens
from luthier.model.passed import has_passed, remember
from luthier.model.weight_files import GET

LOOKS = "2"  # goes up when more is looked at, so that what passed before is looked at again
MOST_OF_FILE = 1.25  # parameters of the model for each that the file holds: a head is new, tied ones are stored once
SPARE = 10**6  # parameters that are no harm in any case
TEXTS = ("What time is it, Tom?\n\tHalf past 2: 日本 👍 é.", "a" * 60 + "!", "x " * 60 + "1")
MOST_TRIED = 2048  # tokens of a window that is tried to its last position
_POSITIONS = re.compile("position|wpe|pos_emb|embed_pos")  # what architectures call a table of positions
MOST_SHORT = 8  # positions by which a window that config.json names may be too long
MOST_BUFFER_BYTES = 1 << 30  # tables that a model computes for itself


@dataclass(frozen=True)
class Trial:
    """The bytes that are looked at: a folder's weights and config.json, as a family and in a precision."""

    folder: Path
    weights_sha256: str
    family: str
    dtype: str

    @cached_property
    def _key(self) -> tuple[str, ...]:
        config = sha256_of(self.folder / CONFIG)
        return LOOKS, transformers.__version__, self.weights_sha256, config, self.family, self.dtype

    def has_passed(self, check: str) -> bool:
        return has_passed(check, *self._key)

    def remember(self, check: str) -> None:
        remember(check, *self._key)


def loader_of(family: str) -> Any:
    """transformers' class that builds and loads models of a family."""
    name = {"encoder": "AutoModelForSequenceClassification", "encoder-decoder": "AutoModelForSeq2SeqLM"}
    return getattr(transformers, name.get(family, "AutoModelForCausalLM"))


def attention_of(loader: Any, config: Any, looked: LookedOver) -> str:
    """What config.json asks for, else 'sdpa' where the architecture has it, else 'eager'; never a package's choice."""
    if looked.attention:
        return looked.attention
    kind = loader._model_mapping.get(type(config), None)
    kind = kind[0] if isinstance(kind, tuple) else kind
    return "sdpa" if getattr(kind, "_supports_sdpa", False) else "eager"


def refuse_other_sizes(trial: Trial, config: Any, looked: LookedOver, attention: str) -> None:
    """Raises ModelError where config.json describes a much larger model than the weights hold.

    The model is built on torch's meta device, which allocates nothing. Raises what building it raises.
    """
    if trial.has_passed("sizes"):
        return
    with torch.random.fork_rng(devices=[]), torch.device("meta"):  # what follows draws what it would draw without this
        empty = loader_of(trial.family).from_config(config, attn_implementation=attention)
    elements = sum(parameter.numel() for parameter in empty.parameters())
    narrow = 8 if "quantization_config" in looked.config else 1  # of a weight's bits several lie in a byte
    if elements > MOST_OF_FILE * narrow * looked.elements + SPARE:
        raise ModelError(
            f"{trial.folder / CONFIG}: its sizes make a model of {elements:,} parameters, and the weights beside it "
            f"hold {looked.elements:,}; {GET}"
        )
    buffers = sum(buffer.nbytes for buffer in empty.buffers())
    if buffers > MOST_BUFFER_BYTES:
        raise ModelError(
            f"{trial.folder / CONFIG}: its sizes need tables of {buffers / 1e9:,.1f} GB beside the weights; {GET}"
        )
    trial.remember("sizes")


def refuse_unsound_tokens(folder: Path, module: Any, tokenizer: Any, family: str) -> None:
    """Raises ModelError for a token without a row in the embeddings, which no call could look up."""
    rows = module.get_input_embeddings().weight.shape[0]
    vocabulary = tokenizer.get_vocab()
    without = [(number, token) for token, number in vocabulary.items() if number >= rows]
    if without:
        number, token = min(without)
        raise ModelError(
            f"{folder}: the tokenizer has {len(vocabulary):,} tokens and the model {rows:,} embeddings, so the token "
            f"{token[:40]!r} (id {number}) and {len(without) - 1} more have none; use the tokenizer of these weights"
        )
    for text in TEXTS:  # what the tokenizer's own library cannot carry out raises here, before anything is begun
        tokenizer.decode(tokenizer(text)["input_ids"])
    if family == "encoder-decoder":
        start = getattr(module.config, "decoder_start_token_id", None)
        if not isinstance(start, int) or not 0 <= start < rows:
            raise ModelError(
                f"{folder / CONFIG}: the key 'decoder_start_token_id' is {start!r}, and answers begin with that "
                f"token; it should be a number below {rows:,}"
            )


def refuse_unsound_weights(trial: Trial, module: Any) -> None:
    """Raises ModelError for weights with NaN or infinity, and for a model that makes such numbers of a few tokens."""
    if trial.has_passed("weights"):
        return
    for name, weight in _weights(module):
        lowest, highest = torch.aminmax(weight)
        if not (torch.isfinite(lowest) and torch.isfinite(highest)):
            bad = int((~torch.isfinite(weight)).sum())
            raise ModelError(
                f"{trial.folder}: the weights {name} hold {bad:,} of {weight.numel():,} that are NaN or infinite; {GET}"
            )
    is_ready = not getattr(module, "is_quantized", False)  # narrow layers are fitted to the machine later (widths.py)
    if is_ready and not torch.isfinite(_logits(module, trial.family)).all():
        raise ModelError(
            f"{trial.folder / CONFIG}: with these settings the model's probabilities are NaN, although its weights are "
            f"sound; {GET}"
        )
    trial.remember("weights")


def refuse_seeing_later_tokens(trial: Trial, module: Any) -> None:
    """Raises ModelError for a model whose logits change with tokens that come later: it would train on its answers.

    XLNet, and encoders that are loaded as decoders, read to both sides.
    """
    if trial.family == "encoder" or getattr(module, "is_quantized", False) or trial.has_passed("sees-no-later"):
        return
    rows = module.get_input_embeddings().weight.shape[0]
    ids = torch.tensor([trial_tokens(rows, range(1, 9))], device=next(module.parameters()).device)

    @torch.no_grad()
    def change() -> float:
        """The largest change of a logit, in shares of the largest logit."""
        both = []
        for part in (ids, ids[:, :5]):
            inputs = {"input_ids": part} if trial.family == "decoder" else {"input_ids": ids, "decoder_input_ids": part}
            both.append(module(**inputs, use_cache=False).logits[:, :5].float())
        return float((both[0] - both[1]).abs().max() / both[1].abs().max().clamp(min=1e-9))

    with in_fp32():  # in 16 bits two lengths may round differently
        changed = change()
    if changed > IN_FP32:
        raise ModelError(
            f"{trial.folder}: what this model says of a token depends on tokens behind it, so it does not write text "
            "from left to right; choose a model that does"
        )
    trial.remember("sees-no-later")


def usable_window(trial: Trial, module: Any, window: int) -> int:
    """The positions that the model has in fact, at most `window`, which config.json or the tokenizer names.

    RoBERTa's table of positions begins behind its padding token's number, so two of its 514 rows are never reached. A
    window of at most MOST_TRIED tokens is tried on a row that fills it, which raises IndexError where rows are missing.
    For a module on the CPU: on a GPU a missing row ends the process.
    """
    tables = [
        one for name, one in module.named_modules()
        if _POSITIONS.search(name.rpartition(".")[2]) and isinstance(getattr(one, "weight", None), torch.Tensor)
    ]  # fmt: skip
    for table in tables:
        padding = getattr(table, "padding_idx", None)
        if padding is not None and len(table.weight) <= window:
            window = min(window, len(table.weight) - padding - 1)
    if not tables or window > MOST_TRIED or next(module.parameters()).device.type != "cpu":
        return window
    if getattr(module, "is_quantized", False):  # of a whole model that was tried; some kernels refuse narrow layers
        return window
    for least in range(window, max(0, window - MOST_SHORT), -1):
        if trial.has_passed(f"window-{least}"):
            return least
        try:
            _logits(module, trial.family, least)
        except (IndexError, RuntimeError) as error:
            if "allocate memory" in str(error):
                raise
            continue
        trial.remember(f"window-{least}")
        return least
    raise ModelError(
        f"{trial.folder / CONFIG}: the model has no {window - MOST_SHORT + 1:,} positions, and its window is said to "
        f"be of {window:,}; {GET}"
    )


def _weights(module: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    for name, tensor in module.state_dict().items():
        if tensor.is_floating_point() and tensor.numel():
            yield name, tensor


@torch.no_grad()  # and not inference mode, in which a table that the model keeps could not be trained with
def _logits(module: Any, family: str, length: int = 8) -> torch.Tensor:
    """Logits of one row of different tokens."""
    rows = module.get_input_embeddings().weight.shape[0]
    ids = torch.arange(length, device=next(module.parameters()).device)[None] % rows
    more = {"decoder_input_ids": ids} if family == "encoder-decoder" else {}
    logits: torch.Tensor = module(input_ids=ids, attention_mask=torch.ones_like(ids), **more).logits
    return logits
