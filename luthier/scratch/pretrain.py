"""luthier pretrain: a text -> documents kept apart -> packed rows -> the one loop -> bits a byte.

OUT/pretrain.json      settings, text, and what was reached
OUT/tokenizer/         the tokenizer
OUT/metrics.jsonl, checkpoint.safetensors   the loop's; a training that was stopped goes on from there
OUT/weights/           the weights, model.safetensors
OUT/pretrain.html      loss by step, bits a byte beside xz and bzip2, what the model writes
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field, model_validator
from safetensors.torch import save_file
from torch import nn

from luthier.decoding.generate import answered
from luthier.decoding.requests import Request
from luthier.decoding.sampling import Generation
from luthier.errors import FolderError
from luthier.files import building, locked, sha256_of, sha256_of_text
from luthier.machine import keep_freed_memory, versions
from luthier.model.model import Model, own_precision
from luthier.progress import say, stoppable
from luthier.results.lines import METRICS_FILE, Step
from luthier.results.pretrain_record import BitsPerByte, PretrainRecord, TextSample
from luthier.results.record import read_lines_of
from luthier.scratch import objectives
from luthier.scratch.corpus import DOCSTRINGS, Corpus, Document, read_corpus
from luthier.scratch.held_out import HeldOut, sample_of
from luthier.scratch.lstm import LSTM, lstm_width
from luthier.scratch.objectives import Row
from luthier.scratch.rows import RowBatches, loss_of
from luthier.scratch.shape import Shape, matrices, training_flops
from luthier.scratch.transformer import Transformer
from luthier.scratch.vocabulary import Vocabulary, vocabulary
from luthier.settings import Seed, Settings
from luthier.training import optimizers
from luthier.training.loop import Training, train

FEWEST_STEPS = 10
EVALUATED_BYTES = 20_000  # of held-out text, each time on the way
TOKENIZER_BYTES = 4_000_000  # of the training text, from which a tokenizer is trained


class Pretraining(Settings):
    """How a model is trained from nothing."""

    corpus: str = Field(DOCSTRINGS, description="the text: docstrings, a folder of texts, a .jsonl or a .txt")
    tokenizer: Literal["bytes", "bpe", "unigram"] = Field("bpe", description="what cuts the text")
    vocabulary: int = Field(1024, ge=257, le=65_536, description="ids of the tokenizer; bytes have 257")
    objective: Literal["causal", "prefix", "masked", "spans"] = Field(
        "causal", description="what the model learns to do"
    )
    model: Literal["transformer", "lstm"] = Field("transformer", description="what learns; an LSTM is causal")
    width: int = Field(128, ge=8, le=2**14, description="of the residual stream; an LSTM gets as many parameters")
    layers: int = Field(4, ge=1, le=200, description="blocks of each stack")
    heads: int = Field(4, ge=1, le=256, description="attention heads")
    kv_heads: int | None = Field(None, ge=1, description="heads of keys and values; None: as many")
    positions: Literal["learned", "sinusoidal", "rotary", "alibi", "buckets"] = Field(
        "rotary", description="how the model knows where a token stands"
    )
    activation: Literal["gelu", "gelu-tanh", "relu", "relu2", "swiglu", "geglu"] = Field(
        "relu2", description="of the MLP"
    )
    norm: Literal["rms", "layer"] = Field("rms", description="RMSNorm or LayerNorm")
    qk_norm: bool = Field(True, description="norm on queries and keys")
    zero_outputs: bool = Field(True, description="what is added to the residual stream begins at zero")
    tied: bool = Field(True, description="the output layer is the embedding")
    tokens: int = Field(2_000_000, ge=1, le=10**9, description="tokens to train on")
    row: int = Field(256, ge=8, le=2**14, description="tokens of a row")
    batch_tokens: int = Field(4096, ge=8, le=2**24, description="tokens an optimizer step")
    optimizer: Literal["adamw", "muon"] = Field("muon", description="Muon moves matrices, and AdamW the rest")
    learning_rate: float = Field(0.02, gt=0, le=10, description="peak learning rate")
    weight_decay: float = Field(0.0, ge=0, le=10, description="decoupled weight decay of matrices")
    warmup: float = Field(0.02, ge=0, lt=1, description="share of the steps over which the learning rate rises")
    cooldown: float | None = Field(
        None, gt=0, le=1, description="share of the steps over which it falls; None: it falls from its peak on"
    )
    evaluations: int = Field(5, ge=1, le=1000, description="times that held-out text is read on the way")
    held_out_bytes: int = Field(400_000, ge=100, le=10**9, description="most bytes of held-out text at the end")
    precision: Literal["auto", "fp32", "bf16"] = Field(
        "auto", description="of products; auto: bf16 where the machine multiplies it faster, and never for an LSTM"
    )
    checkpoint_seconds: float = Field(25.0, ge=0, description="seconds of work that a kill may cost; 0: every step")
    seed: Seed = Field(0, description="of weights, rows and samples")

    @model_validator(mode="after")
    def _fits(self) -> Pretraining:
        if self.model == "lstm" and self.objective != "causal":
            raise ValueError(f"an LSTM reads from left to right, so its objective is causal and not {self.objective}")
        if self.batch_tokens < self.row:
            raise ValueError(f"batch_tokens is {self.batch_tokens}, less than one row of {self.row}")
        self.shape(self.vocabulary)
        return self

    def shape(self, ids: int) -> Shape:
        """The transformer's shape with `ids` ids."""
        same = ("width", "layers", "heads", "kv_heads", "positions", "activation", "norm", "qk_norm", "zero_outputs")
        return Shape(
            vocabulary=ids, family=objectives.FAMILY[self.objective], tied=self.tied, window=self.row,  # type: ignore[arg-type]
            **{name: getattr(self, name) for name in same},
        )  # fmt: skip

    @property
    def rows_a_step(self) -> int:
        return max(1, self.batch_tokens // self.row)

    @property
    def steps(self) -> int:
        """At least FEWEST_STEPS."""
        return max(FEWEST_STEPS, math.ceil(self.tokens / (self.rows_a_step * self.row)))

    @property
    def tokens_read(self) -> int:
        """Tokens of all steps: `tokens`, rounded up to whole steps."""
        return self.steps * self.rows_a_step * self.row

    def own_precision(self) -> str:
        """'fp32' or 'bf16': what `precision` means on this machine. An LSTM's own products know fp32 alone."""
        if self.model == "lstm":
            return "fp32"
        return own_precision("cpu") if self.precision == "auto" else self.precision

    @property
    def is_causal(self) -> bool:
        """Whether the model learns to give every token a likelihood from those before it."""
        return self.objective in ("causal", "prefix")


@dataclass(frozen=True)
class Work:
    """Everything that a training needs, made from its settings alone."""

    settings: Pretraining
    precision: str
    corpus: Corpus
    vocabulary: Vocabulary
    ids: objectives.Vocabulary
    module: nn.Module
    shape: Shape

    def encode(self, text: str) -> list[int]:
        return list(self.vocabulary.tokenizer.encode(text, add_special_tokens=False).ids)


def pretrain(
    settings: Pretraining,
    out: Path,
    command: str = "",
    *,
    text: Corpus | None = None,
    tokenizers: Path | None = None,
    watch: Callable[[], None] = lambda: None,
) -> PretrainRecord:
    """Trains a model, or goes on with a training that was stopped, and returns its record.

    Several trainings share a `text` that was read, and a folder of `tokenizers`; without, each reads and makes its own.
    `watch` is called before each micro-batch.
    Raises DataError for a text that cannot be read, FolderError for a folder of another training, SettingsError when
    the loss is no longer a number.
    """
    keep_freed_memory()
    with locked(out), stoppable():
        known = PretrainRecord.read_if_there(out)
        given = settings.model_dump(mode="json")
        if known is not None:
            refuse_other_settings(out, "training", known.settings, given)
        if known is not None and known.finished:
            return known
        work = prepare(settings, tokenizers or out / "tokenizer", text, known.precision if known else None)
        record = _record(work, command)
        if known is not None:
            refuse_other_text(out, (known.corpus_sha256, known.tokenizer_sha256),
                              (record.corpus_sha256, record.tokenizer_sha256))  # fmt: skip
        record.write(out)
        say(words_before(record, settings.tokens_read))
        fit(work, out, _evaluation(work), watch)
        record = _finished(work, record, out)
        record.write(out)
        from luthier.scratch.pretrain_page import write_page

        write_page(out, record)
        return record


def prepare(settings: Pretraining, tokenizers: Path, text: Corpus | None = None, precision: str | None = None) -> Work:
    """Text, tokenizer and a model with its first weights. `precision`: that in which a training began."""
    corpus = text or read_corpus(settings.corpus)
    texts, taken = [], 0
    for document in corpus.train:
        if taken < TOKENIZER_BYTES:
            texts.append(document.text)
            taken += document.bytes
    words = vocabulary(settings.tokenizer, settings.vocabulary, texts, tokenizers)
    words.tokenizer.encode_special_tokens = True  # a text that spells END does not end there
    ids = objectives.Vocabulary(words.size, words.end)
    shape = settings.shape(ids.all(settings.objective))
    precision = precision or settings.own_precision()
    return Work(settings, precision, corpus, words, ids, model_of(settings, shape), shape)


def model_of(settings: Pretraining, shape: Shape) -> nn.Module:
    """A transformer of this shape, or an LSTM of as many parameters, with the first weights of the seed."""
    torch.manual_seed(settings.seed)
    module = Transformer(shape)
    if settings.model == "transformer":
        return module
    count = sum(parameter.numel() for parameter in module.parameters())
    return LSTM(shape.vocabulary, lstm_width(count, shape.vocabulary, settings.layers), settings.layers)


def refuse_other_settings(out: Path, what: str, known: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    """Raises FolderError that names the first setting in which the folder's training, or trial, is another one."""
    if known != given:
        changed = next(key for key in given if known.get(key) != given[key])
        raise FolderError(f"{out}: its {what} has another {changed}; name a new folder with --out")


def refuse_other_text(out: Path, known: Hashable, found: Hashable) -> None:
    """Raises FolderError where what was begun with a text would go on with another one."""
    if known != found:
        raise FolderError(f"{out}: the text is no longer the one it began with; name a new folder with --out")


def words_before(record: PretrainRecord, tokens: int) -> str:
    """What the training on so many tokens will cost, before it begins."""
    return (
        f"{record.parameters:,} parameters ({record.parameters_without_embeddings:,} without embeddings), {tokens:,} "
        f"tokens of {record.train_documents:,} documents in {record.steps:,} steps: {record.flops:.2g} FLOPs, "
        f"{record.flops / 1e11 / 60:.1f} minutes at 100 GFLOP/s; products in {record.precision}"
    )


def fit(work: Work, out: Path, evaluate: Callable[[], float], watch: Callable[[], None] = lambda: None) -> None:
    """Trains the module of `work` through the one loop, whose files lie in `out`; `evaluate` is asked on the way, and
    `watch` is called before each micro-batch."""
    settings = work.settings

    def step(rows: Sequence[Row]) -> tuple[torch.Tensor, int, int]:
        watch()
        return loss_of(work.module, rows, work.precision)

    batches = RowBatches(
        [document.text for document in work.corpus.train], work.encode, work.ids, objective=settings.objective,
        row=settings.row, steps=settings.steps, rows_a_step=settings.rows_a_step,
        micro_rows=max(1, 16_384 // settings.row), seed=settings.seed,
    )  # fmt: skip
    train(
        work.module,
        step,
        batches,
        Training(
            learning_rate=settings.learning_rate, warmup=settings.warmup, weight_decay=settings.weight_decay,
            evaluations=min(settings.evaluations, settings.steps), checkpoint_seconds=settings.checkpoint_seconds,
        ),
        out,
        evaluate=evaluate,
        optimizers=optimizers.optimizers(settings.optimizer, weight_decay=settings.weight_decay),
        rate_at=None if settings.cooldown is None else optimizers.trunk(settings.cooldown),
        seed=settings.seed,
        decided_by=sha256_of_text(
            settings.model_dump_json(), work.precision, work.corpus.sha256, work.vocabulary.sha256
        ),
        title="pretrain",
    )  # fmt: skip


def _evaluation(work: Work) -> Callable[[], float]:
    """Reads some held-out text; higher is better: minus the bits a byte, or minus the nats a supervised token under an
    objective that gives no likelihood of a text, with one draw of what is hidden."""
    settings, some = work.settings, sample_of(work.corpus.held_out, EVALUATED_BYTES)
    if settings.is_causal:
        held_out = HeldOut(some, work.encode, work.ids.end, settings.row)
        return lambda: -held_out.bits(work.module)
    batches = RowBatches([document.text for document in some], work.encode, work.ids, objective=settings.objective,
                         row=settings.row, steps=1, rows_a_step=16, micro_rows=16, seed=0)  # fmt: skip
    rows = next(iter(batches))[0]

    @torch.no_grad()
    def minus_loss() -> float:
        loss, count, _ = loss_of(work.module, rows)
        return -float(loss) / count

    return minus_loss


def _record(work: Work, command: str) -> PretrainRecord:
    settings = work.settings
    parameters = sum(parameter.numel() for parameter in work.module.parameters())
    flops = training_flops(work.shape, settings.tokens_read, settings.row)
    inner = matrices(work.shape)
    if isinstance(work.module, LSTM):
        inner, flops = work.module.matrices, work.module.training_flops(settings.tokens_read)
    return PretrainRecord(
        format=1, settings=settings.model_dump(mode="json"), command=command, versions=versions(),
        precision=work.precision, corpus_sha256=work.corpus.sha256, tokenizer_sha256=work.vocabulary.sha256,
        train_documents=len(work.corpus.train), train_bytes=work.corpus.bytes, parameters=parameters,
        parameters_without_embeddings=inner, steps=settings.steps, rows_a_step=settings.rows_a_step, flops=flops,
        finished=False,
    )  # fmt: skip


def _finished(work: Work, record: PretrainRecord, out: Path) -> PretrainRecord:
    """Weights on disk, and what the model reached."""
    weights = out / "model.safetensors"
    with building(out / "weights") as part:
        save_file({name: p.detach().contiguous() for name, p in work.module.named_parameters()}, part / weights.name)
    lines = read_lines_of(Step, out / METRICS_FILE)
    last = lines[-max(1, len(lines) // 10) :]
    settings, corpus = work.settings, work.corpus

    def judged(documents: Sequence[Document]) -> BitsPerByte | None:
        if not (settings.is_causal and documents):
            return None
        sample = sample_of(documents, settings.held_out_bytes)
        return HeldOut(sample, work.encode, work.ids.end, settings.row).judged(work.module)

    return record.model_copy(
        update={
            "finished": True,
            "tokens": sum(line.tokens for line in lines),
            "supervised": sum(line.count for line in lines),
            "loss": sum(line.loss_sum for line in last) / sum(line.count for line in last),
            "held_out": judged(corpus.held_out),
            "elsewhere": judged(corpus.elsewhere),
            "samples": samples(work) if settings.objective == "causal" else [],
            "weights_sha256": sha256_of(out / "weights" / weights.name),
        }
    )


def samples(work: Work, count: int = 3, limit: int = 60) -> list[TextSample]:
    """How the model goes on with the beginnings of held-out documents, through the generator."""
    model = Model(
        name="pretrained", module=work.module, tokenizer=work.vocabulary.tokenizer, family="decoder",
        window=work.settings.row, base_sha256="", end_ids=frozenset({work.ids.end}), folder=Path(),
    )  # fmt: skip
    room = work.settings.row // 2
    prompts = [(work.ids.end, *work.encode(d.text[:40]))[:room] for d in work.corpus.held_out[:count]]
    asked = [
        Request(str(n), prompt, min(limit, room), Generation(temperature=0.8), seed=work.settings.seed + n)
        for n, prompt in enumerate(prompts)
    ]
    texts = [work.vocabulary.tokenizer.decode(list(prompt[1:])) for prompt in prompts]
    return [
        TextSample(prompt=text, text=answer.text) for text, answer in zip(texts, answered(model, asked), strict=True)
    ]
