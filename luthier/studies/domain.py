"""Further pretraining in a study: done once for all arms that begin with it, and read before and after.

    texts --fit--> STUDY/domain/MARK/weights/ --> arms/NAME/weights/ (domain), arms/NAME/domain/ (lora+domain=TEXTS)
    held-out documents, general documents --read before and after--> domain.json

It is a training like any other: a fresh base, the one loop, the bound on memory, replay and penalties, a checkpoint
that a killed run goes on from. Only the prompts are pieces of documents, and the last weights count: dev chooses
nothing, since the same documents say afterwards what was learned.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from luthier.arms.domain_texts import DomainTexts, prompts_of, texts_of
from luthier.arms.resolve import Arm, TrainedArm
from luthier.decoding.likelihood import BATCH_TOKENS, reference_nats, text_nats
from luthier.errors import DataError
from luthier.files import building, copy_of_files, sha256_of_text
from luthier.model.model import Model
from luthier.model.widths import file_bytes
from luthier.progress import check_stop, say
from luthier.records import Prompt
from luthier.results.domain_record import Bits, BitsChange, DomainRecord
from luthier.results.names import DOMAIN
from luthier.results.study_record import StudyRecord
from luthier.scratch.corpus import Document
from luthier.scratch.held_out import sample_of
from luthier.stats.intervals import ends_of, resampled_estimate, resampled_sums
from luthier.studies.fit import StudyContext, TrainingPlan, ask_dev, dev_sha256, fit
from luthier.suites.texts import documents
from luthier.training.batches import micro_batches

LEVEL, RESAMPLES = 0.95, 2000
HELD_OUT_BYTES = 100_000  # most of the domain that are read
WEIGHTS = "weights"

Read = dict[str, tuple[float, int]]  # document -> (nats, bytes or hidden tokens)


@dataclass(frozen=True)
class Pretrained:
    """A further pretraining that is done."""

    record: DomainRecord
    folder: Path

    @property
    def weights(self) -> Path:
        return self.folder / WEIGHTS


def domain_of(arm: Arm) -> TrainedArm | None:
    """The further pretraining that an arm is, or begins with; None: neither."""
    if not isinstance(arm, TrainedArm):
        return None
    return arm if arm.method.reads == "texts" else arm.domain


def begun_with(arm: Arm) -> str | None:
    """The same text for arms that are alike in their further pretraining; None: the arm has none."""
    if (domain := domain_of(arm)) is None:
        return None
    settings = domain.settings.model_dump_json(exclude={"shots"})
    return f"{domain.model} {settings} {domain.training.model_dump_json()}"


def trial_plan(context: StudyContext, arm: TrainedArm) -> TrainingPlan | None:
    """The prompts of a trial, which dev judges as it judges the trials of every arm; None: the task's examples."""
    if arm.method.reads != "texts":
        return None
    return replace(
        _plan(context, arm),
        dev=lambda asked, bound: ask_dev(context, arm, asked, bound),
        dev_sha256=dev_sha256(context, arm),
    )


def begin_with_texts(context: StudyContext, arm: TrainedArm) -> None:
    """Puts the weights that an arm begins with into its folder; nothing is done where they are, or it has none."""
    folder = context.folder.arm(arm.name)
    known = DomainRecord.read_if_there(folder)
    if arm.domain is None or (known and file_bytes(folder / DOMAIN) == known.saved_bytes):
        return
    done = further_pretrained(context, arm.domain, arm.name)
    with building(folder / DOMAIN) as part:
        copy_of_files(done.weights, part, shared=True)
    done.record.write(folder)


def further_pretrained(context: StudyContext, arm: TrainedArm, payer: str) -> Pretrained:
    """The further pretraining `arm`, from the study's folder where it was done already, else done now.

    `payer` is the arm whose row of cost.json gets its seconds.
    """
    base = context.base(arm)
    texts = texts_of(arm.settings, context.task, context.train, base.renderer)
    mark = _mark(context, arm, base, texts)
    done = context.folder.path / DOMAIN / mark
    known = DomainRecord.read_if_there(done)
    if known is not None and file_bytes(done / WEIGHTS) == known.saved_bytes:
        say(f"{payer}: begins with the further pretraining that was done already")
        return Pretrained(known, done)
    shown = texts.corpus
    left_out = "".join(f"; {count} left out: it {reason}" for reason, count in texts.left_out.items())
    say(f"{payer}: further pretraining on {len(shown.train):,} documents, {shown.bytes:,} bytes{left_out}")
    began = time.monotonic()
    before = [_read(context, base, arm, some) for some in _read_documents(texts)]
    reading = time.monotonic() - began
    del base
    fitted = fit(context, replace(arm, name=payer), done, f"{payer}: texts", _plan(context, arm))
    with building(done / WEIGHTS) as part:
        arm.method.save(fitted.module, part)
    trained, counts = fitted.trained, fitted.counts
    del fitted
    began = time.monotonic()
    model = arm.method.load(context.base(arm), done / WEIGHTS)  # as arms will load it
    after = [_read(context, model, arm, some) for some in _read_documents(texts)]
    reading += time.monotonic() - began
    context.folder.spent(payer, domain_seconds=trained.seconds, domain_read_seconds=reading)
    inside, outside = (_change(one, other) for one, other in zip(before, after, strict=True))
    record = DomainRecord(
        **({"left_out": texts.left_out} if texts.left_out else {}),
        format=1, mark=mark, model=arm.model or context.model_name, settings=arm.settings.model_dump(),
        training=arm.training.model_dump(), seed=context.seed, corpus_sha256=shown.sha256,
        documents=len(shown.train), bytes=shown.bytes, held_out=len(shown.held_out), counts=counts,
        measure="bits per byte" if model.family == "decoder" else "bits per hidden token", level=LEVEL,
        inside=inside, outside=outside, saved_bytes=file_bytes(done / WEIGHTS),
    )  # fmt: skip
    record.write(done)
    with suppress(FileNotFoundError):
        (done / "checkpoint.safetensors").unlink()
    context.folder.log("pretrained", arm=payer, steps=trained.steps, seconds=round(trained.seconds, 1))
    return Pretrained(record, done)


def _mark(context: StudyContext, arm: TrainedArm, base: Model, texts: DomainTexts) -> str:
    """A hash of all that decides the weights."""
    settings = arm.settings.model_dump_json(exclude={"shots", "corpus"})
    training = arm.training.model_dump_json(exclude={"checkpoint_seconds", "evaluations"})
    return sha256_of_text(
        base.base_sha256, str(base.dtype), str(context.seed), settings, training, texts.corpus.sha256
    )[:12]


def _plan(context: StudyContext, arm: TrainedArm) -> TrainingPlan:
    """Every piece of every document. No dev metric: the last weights count."""

    def prompts(asked: Model) -> list[Prompt]:
        texts = texts_of(arm.settings, context.task, context.train, asked.renderer)
        return prompts_of(asked.renderer, asked.begin_id, texts.corpus.train, arm.settings.row, context.seed)

    return TrainingPlan(prompts, None, "")


# --------------------------------------------------------------------------------------------------- before and after


def _read_documents(texts: DomainTexts) -> tuple[list[Document], list[Document]]:
    """What is read in the domain, and out of it."""
    general = [Document(one.id, one.group, one.text) for one in documents()[::2]]  # of every kind
    return sample_of(texts.corpus.held_out, HELD_OUT_BYTES), general


def _read(context: StudyContext, model: Model, arm: TrainedArm, some: Sequence[Document]) -> Read:
    """The nats of each document: of all of it under a decoder, else of hidden spans, the same ones each time."""
    check_stop()
    if model.family == "decoder":
        nats = text_nats(model, {one.name: one.text for one in some})
        return {one.name: (nats[one.name], one.bytes) for one in some}
    sums: dict[str, float] = dict.fromkeys((one.name for one in some), 0.0)
    units: Counter[str] = Counter()
    prompts = prompts_of(model.renderer, model.begin_id, some, arm.settings.row, context.seed)
    for batch in micro_batches(prompts, BATCH_TOKENS):
        for prompt, value in zip(batch, reference_nats(model, batch), strict=True):
            name = prompt.id.rpartition("/")[0]
            sums[name] += value
            units[name] += len(prompt.target_ids or ())
    return {name: (sums[name], units[name]) for name in sums if units[name]}


def _change(before: Read, after: Read) -> BitsChange:
    """Both and their difference, paired by document: sums over documents, divided once, resampled together."""
    rows = np.array([(before[name][0] / math.log(2), after[name][0] / math.log(2), before[name][1]) for name in before])
    sums, resampled = rows.sum(0), resampled_sums(rows, RESAMPLES, seed=0)

    def bits(weights: tuple[int, int]) -> Bits:
        value = float((sums[:2] * weights).sum() / sums[2])
        drawn = (resampled[:, :2] * weights).sum(1) / resampled[:, 2]
        ends = resampled_estimate(value, drawn, len(rows), len(rows)).interval(LEVEL)
        return Bits(value=value, **ends_of(ends))

    return BitsChange(
        before=bits((1, 0)), after=bits((0, 1)), difference=bits((-1, 1)), documents=len(rows), units=int(sums[2])
    )


# ---------------------------------------------------------------------------------------------------- what is refused


def texts_of_study(
    context: StudyContext, arms: Sequence[Arm], bases: Mapping[str, Model], stored: StudyRecord | None
) -> dict[str, str]:
    """The texts of the arms that are not finished -> the SHA-256 of their documents, with those of the study before.

    Raises DataError for texts that are not there, or are others than when the study began, SettingsError for a model
    that learns from no plain text: before any arm runs.
    """
    found = dict(stored.texts) if stored else {}
    for arm in arms:
        domain = domain_of(arm)
        if domain is None or context.folder.finished(arm.name):
            continue
        base = bases[arm.model or context.model_name]
        texts = texts_of(domain.settings, context.task, context.train, base.renderer)
        prompts_of(base.renderer, base.begin_id, texts.corpus.held_out[:1], domain.settings.row, context.seed)
        name = domain.settings.corpus + (" with references" if domain.settings.references else "")
        name += f" for {arm.model}" if arm.model else ""
        if found.setdefault(name, texts.corpus.sha256) != texts.corpus.sha256:
            raise DataError(
                f"its texts changed since the study in {context.folder.path} began; bring them back, or start a new "
                "study with --out",
                file=domain.settings.corpus,
            )
    return found
