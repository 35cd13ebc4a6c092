"""Where an arm's weights come from: trained here, taken from a training that was done already, or made narrow.

training.json says that the weights beside it are whole; a training that is finished is only read.
"""

from __future__ import annotations

import shutil
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from luthier.arms.resolve import Arm, TrainedArm
from luthier.arms.shipped import QUANTIZED
from luthier.errors import FolderError
from luthier.files import building, copy_of_files
from luthier.model.model import Model
from luthier.model.widths import file_bytes, quantize, read, save, weigh
from luthier.progress import say
from luthier.results.arm_record import TrainingRecord, TuningResult, Weight
from luthier.results.domain_record import DomainRecord
from luthier.results.lines import METRICS_FILE, Step
from luthier.results.names import DOMAIN
from luthier.results.record import read_lines_of, write_lines_of
from luthier.results.study_record import StudyRecord
from luthier.studies.domain import begin_with_texts, further_pretrained
from luthier.studies.fit import StudyContext, TrainingPlan, fit
from luthier.studies.tune import tune


@dataclass(frozen=True)
class Trained:
    """An arm that was tuned and trained: as dev chose it, and what both took."""

    arm: TrainedArm
    tuning: TuningResult
    training: TrainingRecord


def tuned_and_trained(context: StudyContext, arm: TrainedArm) -> Trained:
    """The arm with the settings that dev chose, trained; of an arm that was trained elsewhere the training is taken."""
    folder = context.folder.arm(arm.name)
    begin_with_texts(context, arm)
    if not TrainingRecord.is_in(folder) and not arm.trained_on:
        _take_training_of_twin(context, arm, folder)
    chosen, tuning = tune(context, arm)
    training = take_trained(context, chosen, folder) if chosen.trained_on else train_arm(context, chosen, folder)
    return Trained(chosen, tuning, training)


def train_arm(context: StudyContext, arm: TrainedArm, folder: Path, plan: TrainingPlan | None = None) -> TrainingRecord:
    """Trains, saves what moved, and returns what it took; a finished training is only read."""
    if record := _finished_training(arm, folder):
        return record
    if arm.method.reads == "texts":
        return _train_on_texts(context, arm, folder)
    fitted = fit(context, arm, folder, f"{arm.name}: train", plan)
    trained, saved = fitted.trained, folder / arm.method.shipped
    with building(saved) as part:
        arm.method.save(fitted.module, part)
        _scale(context, arm, part)
    context.folder.spent(arm.name, train_seconds=trained.seconds, evaluate_seconds=trained.evaluation_seconds)
    record = TrainingRecord(**fitted.counts.as_json(), saved_bytes=file_bytes(saved))
    record.write(folder)
    _remove_checkpoint(folder)
    context.folder.log("trained", arm=arm.name, steps=trained.steps, seconds=round(trained.seconds, 1))
    return record


def _train_on_texts(context: StudyContext, arm: TrainedArm, folder: Path) -> TrainingRecord:
    """Further pretraining, done once for all arms that are alike in it; this arm takes its weights."""
    done = further_pretrained(context, arm, arm.name)
    with building(folder / arm.method.shipped) as part:
        copy_of_files(done.weights, part, shared=arm.scale is None)
        _scale(context, arm, part)
    write_lines_of(folder / METRICS_FILE, read_lines_of(Step, done.folder / METRICS_FILE))
    done.record.write(folder)
    record = TrainingRecord(**done.record.counts.as_json(), saved_bytes=file_bytes(folder / arm.method.shipped))
    record.write(folder)
    return record


def _finished_training(arm: TrainedArm, folder: Path) -> TrainingRecord | None:
    """The record of a training whose weights are there, whole; None where it has to be done (again)."""
    record = TrainingRecord.read_if_there(folder)
    if record and file_bytes(folder / arm.method.shipped) != record.saved_bytes:
        say(f"{arm.name}: its trained weights are damaged or gone, so it is trained again")
        (folder / TrainingRecord.FILE).unlink()
        return None
    if record:
        _remove_checkpoint(folder)  # a kill may have come between the record and this
    return record


def _remove_checkpoint(folder: Path) -> None:
    """The checkpoint of a finished training, which is larger than what it trained."""
    with suppress(FileNotFoundError):
        (folder / "checkpoint.safetensors").unlink()


def take_trained(context: StudyContext, arm: TrainedArm, folder: Path) -> TrainingRecord:
    """A training that was done elsewhere, once for several studies; its weights are copied to the arm."""
    if record := _finished_training(arm, folder):
        return record
    if (source := context.trained.get(arm.name)) is None:
        raise FolderError(
            f"{folder}: {arm.name} is trained on {arm.trained_on} and its weights are not here yet; "
            "go on with the command that began it"
        )
    return _copy_training(context, source, arm, folder)


def _take_training_of_twin(context: StudyContext, arm: TrainedArm, folder: Path) -> None:
    """Takes the training of a finished arm that differs only in what is done after it: width, scale, how it answers."""
    if (other := finished_twin(context, arm)) is not None:
        _copy_training(context, context.folder.arm(_under_seed_of(arm, other)), arm, folder)
        say(f"  trained as {other}, whose weights it takes")


def finished_twin(context: StudyContext, arm: TrainedArm) -> str | None:
    """The finished arm, by its name without a seed, whose trained weights `arm` takes; None: there is none."""
    name = arm.name.partition("/seed-")[0]
    tables = StudyRecord.read(context.folder.path).arms
    for other, table in tables.items():
        if other == name or not table.gives_training_to(tables[name]):
            continue
        if not context.folder.finished(twin := _under_seed_of(arm, other)):
            continue
        source = context.folder.arm(twin)
        whole = TrainingRecord.read_if_there(source)
        if whole and file_bytes(source / arm.method.shipped) == whole.saved_bytes:  # its weights may have been removed
            return other
    return None


def _under_seed_of(arm: TrainedArm, other: str) -> str:
    """The name of the arm `other` under the seed of `arm`."""
    return other + "".join(arm.name.partition("/seed-")[1:])


def _copy_training(context: StudyContext, source: Path, arm: TrainedArm, folder: Path) -> TrainingRecord:
    """What a training left in `source`: trials, weights at the arm's scale, steps, and its summary last, which says
    that all is whole."""
    for name in ("tune", arm.method.shipped):
        if (source / name).exists():
            with building(folder / name) as part:
                shutil.copytree(source / name, part, dirs_exist_ok=True)
                if name == arm.method.shipped:
                    _scale(context, arm, part)
    write_lines_of(folder / METRICS_FILE, read_lines_of(Step, source / METRICS_FILE))
    if arm.method.reads == "texts":
        DomainRecord.read(source).write(folder)
    record = TrainingRecord.read(source)
    if arm.scale is not None:
        record = record.model_copy(update={"saved_bytes": file_bytes(folder / arm.method.shipped)})
    record.write(folder)
    return record


def _scale(context: StudyContext, arm: TrainedArm, saved: Path) -> None:
    """Leaves so much of the saved change as the arm's scale says."""
    if arm.scale is not None and arm.method.scale_saved is not None:
        arm.method.scale_saved(context.base(arm), saved, arm.scale)


def load_arm_model(context: StudyContext, arm: Arm, base: Model) -> Model:
    """The model that answers: the base itself for prompting, else a fresh base with what the arm saved.

    Of an arm with a width it is what lies in its folder: made narrow once, written, and read back.
    """
    folder = context.folder.arm(arm.name)
    if arm.width is None:
        return arm.method.load(context.base(arm), folder / arm.method.shipped) if isinstance(arm, TrainedArm) else base
    if not file_bytes(folder / QUANTIZED):
        whole = context.base(arm)
        if isinstance(arm, TrainedArm):
            whole = (arm.method.merge or arm.method.load)(whole, folder / arm.method.shipped)
        save(quantize(whole, arm.width), folder / QUANTIZED)
    narrow = read(folder / QUANTIZED, arm.width, context.precision, context.day)
    return replace(narrow, name=base.name, base_sha256=base.base_sha256, labels=base.labels)


def weight_of(context: StudyContext, arm: Arm, model: Model) -> Weight:
    """What the model that answers weighs, in memory and on disk with everything that it needs beside it."""
    own = arm.weights
    is_whole = own in (QUANTIZED, "weights")  # else what is its own lies beside the base's file
    own_bytes = file_bytes(context.folder.arm(arm.name) / own) if own else 0
    begins = isinstance(arm, TrainedArm) and arm.domain is not None
    base = context.folder.arm(arm.name) / DOMAIN if begins else model.folder
    files = own_bytes + (0 if is_whole else file_bytes(base))
    return Weight(**weigh(model.module).row(), width=arm.width or context.precision, file_bytes=files)
