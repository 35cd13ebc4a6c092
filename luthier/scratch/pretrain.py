"""luthier pretrain: a text -> documents kept apart -> packed rows -> the one loop -> bits a byte.

OUT/pretrain.json      settings, text, and what was reached
OUT/tokenizer/         the tokenizer
OUT/metrics.jsonl, checkpoint.safetensors   the loop's; a training that was stopped goes on from there
OUT/trunk.safetensors  of trainings that begin the same: the copy that longer ones begin with
OUT/weights/           the weights, model.safetensors
OUT/pretrain.html      loss by step, bits a byte beside xz and bzip2, what the model writes
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn

from luthier.decoding.generate import answered
from luthier.decoding.requests import Request
from luthier.decoding.sampling import Generation
from luthier.errors import FolderError
from luthier.files import building, locked, sha256_of, sha256_of_text, sweep, sweep_all
from luthier.machine import keep_freed_memory, versions
from luthier.model.model import Model
from luthier.progress import say, stoppable
from luthier.results.lines import METRICS_FILE, Step
from luthier.results.pretrain_record import BitsPerByte, PretrainRecord, TextSample
from luthier.results.record import Record, read_lines_of
from luthier.scratch import objectives
from luthier.scratch.corpus import Corpus, Document, read_corpus
from luthier.scratch.held_out import HeldOut, sample_of
from luthier.scratch.lstm import LSTM, lstm_width
from luthier.scratch.objectives import Row
from luthier.scratch.pretraining import Pretraining
from luthier.scratch.rows import RowBatches, loss_of
from luthier.scratch.shape import Shape, matrices, training_flops
from luthier.scratch.transformer import Transformer
from luthier.scratch.vocabulary import Vocabulary, vocabulary
from luthier.training import optimizers
from luthier.training.checkpoint import Trunk
from luthier.training.loop import Trained, Training, train

EVALUATED_BYTES = 20_000  # of held-out text, each time on the way
TOKENIZER_BYTES = 4_000_000  # of the training text, from which a tokenizer is trained


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

    def decided_by(self, settings: str) -> str:
        """A hash of all that decides a training: these settings, the precision, the text, the tokenizer."""
        return sha256_of_text(settings, self.precision, self.corpus.sha256, self.vocabulary.sha256)


def pretrain(
    settings: Pretraining,
    out: Path,
    command: str = "",
    *,
    text: Corpus | None = None,
    tokenizers: Path | None = None,
    watch: Callable[[], None] = lambda: None,
    begin: Path | None = None,
) -> PretrainRecord:
    """Trains a model, or goes on with a training that was stopped, and returns its record.

    Several trainings share a `text` that was read, and a folder of `tokenizers`; without, each reads and makes its own.
    `watch` is called before each micro-batch. `begin`: the folder of a shorter training that begins the same; its steps
    are not made again, and the result is the same.
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
        sweep_parts(out, PretrainRecord)
        work = prepare(settings, tokenizers or out / "tokenizer", text, known.precision if known else None)
        record = _record(work, command)
        if known is not None:
            refuse_other_text(out, (known.corpus_sha256, known.tokenizer_sha256),
                              (record.corpus_sha256, record.tokenizer_sha256))  # fmt: skip
        record.write(out)
        say(words_before(record, settings.tokens_read))
        trained = fit(work, out, _evaluation(work), watch, begin)
        record = _finished(work, record, out, trained.shared_steps)
        from luthier.scratch.pretrain_page import write_page

        write_page(out, record)
        record.write(out)  # at the end: what is finished is not looked at again
        return record


def sweep_parts(out: Path, record: type[Record]) -> None:
    """Removes what a kill left in the making: in a folder that is known by its record everything, else that record."""
    if record.is_in(out):
        sweep_all(out)
    else:
        sweep(record.path_in(out))


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


def fit(
    work: Work, out: Path, evaluate: Callable[[], float], watch: Callable[[], None] = lambda: None,
    begin: Path | None = None,
) -> Trained:  # fmt: skip
    """Trains the module of `work` through the one loop, whose files lie in `out`; `evaluate` is asked on the way,
    `watch` is called before each micro-batch, and `begin` has the copy of a shorter training."""
    settings = work.settings

    def step(rows: Sequence[Row]) -> tuple[torch.Tensor, int, int]:
        watch()
        return loss_of(work.module, rows, work.precision)

    batches = RowBatches(
        [document.text for document in work.corpus.train], work.encode, work.ids, objective=settings.objective,
        row=settings.row, steps=settings.steps, rows_a_step=settings.rows_a_step,
        micro_rows=max(1, 16_384 // settings.row), seed=settings.seed, longest=settings.longest_steps,
    )  # fmt: skip
    return train(
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
        rate_at=None if settings.cooldown is None else optimizers.trunk(settings.cooldown, settings.longest_steps),
        seed=settings.seed,
        decided_by=work.decided_by(settings.model_dump_json()),
        trunk=None if settings.trunk_tokens is None else Trunk(
            steps=settings.shared_steps, is_kept=settings.tokens < settings.trunk_tokens, begin=begin,
            decided_by=work.decided_by(settings.model_dump_json(exclude={"tokens"})),
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


def _finished(work: Work, record: PretrainRecord, out: Path, shared: int) -> PretrainRecord:
    """Weights on disk, and what the model reached. `shared`: steps that a shorter training had made."""
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
            **({"shared_steps": shared} if shared else {}),
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
