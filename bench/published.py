"""Peaks that other tools published, predicted by the accounting `transformers` from what a row says about its run.

A row of memory_points.csv names model, method, batch, length, precision, optimizer, recomputation and sharding. Each
rule below turns one of these words into an input of trainer.py; none looks at the measured peak.

What a row does not say is assumed, once for all rows of a tool: `PEFT_TOKENS` and `ALPACA_TOKENS`.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from luthier.errors import DataError
from luthier.planning.moving import Addition, Moving, moving
from luthier.planning.passes import Pass, Rows
from luthier.planning.read import shape_of
from luthier.planning.shape import Shape, called
from luthier.planning.terms import Term
from luthier.planning.trainer import Loop, trainer_terms

Row = Mapping[str, str]

# Tokens a row of PEFT's batches of 4. The longest is the benchmark's own limit. The lengths behind the mean and the
# 99th percentile are not published: they are those at which plain LoRA of rank 32 has its published peak.
PEFT_TOKENS = {"max": 768, "99th": 640, "avg": 376}
ALPACA_TOKENS = 1024  # of a long row of alpaca-cleaned, which torchtune's tutorials train on unpacked
NF4_CONVERSION = 32 + 32 + 10  # bytes a weight while torchao compares it with 16 values, and takes the nearest
# Methods of PEFT that form a whole matrix in fp32 from their parameters at every step, and how many of them the
# backward pass needs: one where the matrix is linear in the parameters, more where it is a product of matrices.
WHOLE_MATRICES = {
    "fourierft": 1, "shira": 1, "lokr": 1, "hira": 1, "frod": 1, "deft": 1, "loha": 2, "boft": 2, "waveft": 2,
    "miss-bat": 3, "peanut": 2,
}  # fmt: skip
# Methods whose adapter reads its input in the model's own precision, or does not read it at all.
READS_NO_COPY = ("tinylora", "beft", "miss", "adamss", "shira", "glora", "psoft-fast", "deft-para")


@dataclass(frozen=True)
class Prediction:
    """One row: what was measured, and what the terms say. Bytes."""

    id: str
    measured: float
    terms: list[Term]

    @property
    def predicted(self) -> float:
        return sum(term.bytes for term in self.terms)

    @property
    def error(self) -> float:
        """Relative: above 0 where too much was predicted."""
        return self.predicted / self.measured - 1


def read_points(path: Path) -> list[dict[str, str]]:
    """The rows of memory_points.csv that are not marked as suspect. Raises DataError for a file without the columns."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    if not rows or not {"id", "model", "method", "measured_GB_1e9"} <= set(rows[0]):
        raise DataError(f"{path}: this is no table of measured peaks; it needs the columns id, model, method, "
                        "measured_GB_1e9")  # fmt: skip
    return [row for row in rows if not row.get("suspect")]


def is_for_training(row: Row) -> bool:
    """Whether a row's peak is one of training: PEFT's maximum holds generation as well."""
    return row.get("phase") == "train" and not row["id"].endswith("/max")


def predict(row: Row) -> Prediction:
    """The peak of one row. Raises ModelError for a model whose shape is not known."""
    shape = shape_of(model_name(row["model"]))
    moves = moving_of(row, shape)
    terms = trainer_terms(shape, moves, loop_of(row, shape))
    terms += _more(row, shape, moves)
    return Prediction(row["id"], float(row["measured_GB_1e9"]) * 1e9, [term for term in terms if term.bytes])


def model_name(text: str) -> str:
    """A name in named.py from what a table calls a model, such as 'Llama 3.1 8B'."""
    if match := re.search(r"shape of ([\w.-]+)", text):
        text = match[1]
    return text.rpartition("/")[2].strip().replace(" ", "-").lower()


# ---------------------------------------------------------------------------------------------------- what trains


def moving_of(row: Row, shape: Shape) -> Moving:
    """What trains: one of luthier's methods where the row's is one, else a low-rank adapter of the row's size."""
    method, text = row["method"].split(" ")[0], row.get("targets_rank", "")
    if text.startswith("init only"):
        return Moving()
    rank = int(found[1]) if (found := re.search(r"r=(\d+)", text)) else 8
    named = {
        "full": "full", "full-finetuning": "full", "ln_tuning": "norms", "prompt_tuning": "soft",
        "ptuning": "p-tuning", "prefixtuning": "prefix", "trainable_tokens": "tokens", "ia3": "ia3",
    }.get(method, "lora")  # fmt: skip
    targets = _targets(row, shape)
    settings: dict[str, Any] = {"targets": targets, "rank": rank, "tokens": rank, "hidden": None, "network": "mlp"}
    if named == "ia3":
        names = targets.split(",")
        inputs = [name for name in names if name == "down_proj"]
        settings |= {"outputs": ",".join(set(names) - set(inputs)), "inputs": ",".join(inputs) or None}
    if named == "norms":
        named, settings = "select", {"parts": "norms"}
    if named == "tokens":
        settings["tokens"] = "sos,eos"
    if "dora" in row["id"]:
        named = "dora"
    made = moving(shape, named, SimpleNamespace(**settings))
    trainable = int(row["trainable"]) if row.get("trainable") else None
    if named == "lora" and trainable is not None:
        made = _of_size(made, trainable, plain=_kind(row) in READS_NO_COPY)
    return made


def _targets(row: Row, shape: Shape) -> str:
    """Names of the adapted layers, by the model's own names."""
    text = row.get("targets_rank", "")
    if "all-linear" in text or "all layers" in text or row.get("method") in ("osf",):
        return "all-linear"
    if text.endswith(".yaml") or not text:
        # torchtune's recipes adapt queries, values and attention's output, and the feed-forward layers.
        return "q_proj,v_proj,o_proj,gate_proj,up_proj,down_proj"
    short = {"q": "q_proj", "k": "k_proj", "v": "v_proj", "o": "o_proj"}
    names = [short.get(name, name) for name in text.split(" ")[0].split(",")]
    known = [name for name in names if name and any(True for _ in called(shape.layers, name))]
    return ",".join(known) or "q_proj,v_proj"


def _kind(row: Row) -> str:
    """The method, with a variant that works in another way."""
    name = row["id"].split("/")[1] if "/" in row["id"] else row["id"]
    method = row["method"]
    for variant in ("fast", "bat", "para"):
        if name.endswith(f"-{variant}"):
            return f"{method}-{variant}"
    return method


def _of_size(made: Moving, trainable: int, plain: bool) -> Moving:
    """The same layers, with the number of parameters that the row gives; `plain` ones keep no copy of their input."""
    share = trainable / max(1, sum(one.trainable for one in made.additions))
    scaled = [
        Addition(one.path, "plain" if plain else one.kind, round(one.trainable * share), 0, one.inner)
        for one in made.additions
    ]
    return replace(made, additions=tuple(scaled))


# ------------------------------------------------------------------------------------------------- how it is run


def loop_of(row: Row, shape: Shape) -> Loop:
    """The loop that the row describes."""
    precision, other, optimizer = row["precision"], row["compile_or_other"], row["optimizer"].lower()
    tool = row["id"].partition("/")[0]
    compiled, fp32 = "compile" in other, precision == "fp32"
    checkpointing = row["checkpointing"]
    recompute: Any = (
        "every second block" if "every 2nd" in checkpointing else "blocks" if checkpointing == "on" else "none"
    )
    master = "fp32 master" in precision
    devices = int(row.get("n_devices") or 1)
    full = row["method"].startswith("full")
    how = Pass(
        number=4 if fp32 else 2,
        attention="masked" if "to longest" in row.get("padding", "") else "kernel",
        fused_norms=tool in ("torchtitan",) or compiled,
        fused_lora=False,
        all_logits=True,
        on_cpu="CPU" in row["device"],
        compiled=compiled,
        casts_adapters="autocast_adapter_dtype" in precision,
        recompute=recompute,
    )
    return Loop(
        rows=rows_of_row(row),
        weights="fp32" if fp32 or master else "bf16",
        trained="fp32" if fp32 or master or "adapter weights fp32" in precision else "bf16",
        computes="fp32" if fp32 else "bf16",
        optimizer="paged" if "paged" in optimizer or "8-bit" in optimizer else "adamw",
        how=how,
        loss="chunked" if tool == "torchtune" and compiled else "whole",
        width="nf4" if "nf4" in precision else None,
        devices=devices,
        shard="fsdp" if devices > 1 else "none",
        in_backward="optimizer-in-backward" in optimizer,
        # PEFT's loop names the model's output; torchtitan's deletes it, and a Trainer's returns the loss alone.
        holds_logits=tool == "peft",
        offload="CPU offload" in other and full,
    )


def rows_of_row(row: Row) -> Rows:
    """The padded rows of a step on one device; none where only the model was made."""
    if not row["batch"] or row["seq"].strip() in ("-", ""):
        return Rows(0, 0, 0)
    batch = int(row["batch"])
    if row["id"].startswith("peft/"):
        tokens = PEFT_TOKENS[row["id"].rpartition("/")[2]]
    else:
        found = re.match(r"(\d+)", row["seq"])
        tokens = int(found[1]) if found else ALPACA_TOKENS
    return Rows(batch, tokens, tokens)


def _more(row: Row, shape: Shape, moves: Moving) -> list[Term]:
    """Terms of methods that form whole matrices, and of a conversion to nf4 whose blocks stay reserved."""
    terms = []
    targets = _targets(row, shape).split(",")
    layers = (
        shape.linear if targets == ["all-linear"] else [one for name in targets for one in called(shape.layers, name)]
    )
    if copies := WHOLE_MATRICES.get(_kind(row), WHOLE_MATRICES.get(row["method"], 0)):
        terms.append(Term("whole matrices", copies * 4 * sum(layer.weights for layer in layers)))
    if row["method"] == "osf":
        # Every weight is its singular vectors, from which it is formed again in two parts, both of which are kept.
        vectors = sum((one.inputs + one.outputs) * min(one.inputs, one.outputs) for one in shape.linear)
        whole = sum(one.weights for one in shape.linear)
        terms.append(Term("whole matrices", 2 * (vectors - whole) + 2 * 2 * whole))
    if "nf4" in row["precision"] and "reserved" in row["measure_kind"]:
        sizes = {layer.weights for layer in shape.linear}
        terms.append(Term("conversion to nf4", NF4_CONVERSION * sum(sizes)))
    return terms


# -------------------------------------------------------------------------------------------------------- summary


def mean_error(predictions: Sequence[Prediction]) -> float:
    """The mean absolute relative error."""
    return sum(abs(one.error) for one in predictions) / len(predictions)


def worst(predictions: Sequence[Prediction]) -> Prediction:
    return max(predictions, key=lambda one: abs(one.error))
