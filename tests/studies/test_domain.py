"""Further pretraining in a study: done once, read before and after, loaded as it was measured, and resumable."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from luthier.adapt.methods import method
from luthier.arms.merge import merge_arm
from luthier.arms.resolve import resolve
from luthier.arms.ship import ship
from luthier.arms.ship_verify import verify as verify_folder
from luthier.arms.shipped import load_arm, verify
from luthier.arms.short_form import parse
from luthier.arms.spec import ArmSpec
from luthier.decoding.likelihood import text_nats
from luthier.errors import DataError, FolderError, ModelError, SettingsError
from luthier.files import read_json
from luthier.model.model import load
from luthier.progress import Stopped
from luthier.results.cost import Cost
from luthier.results.domain_record import DomainRecord
from luthier.results.names import arm_folder
from luthier.results.plan_record import PlanRecord
from luthier.results.study_record import StudyRecord
from luthier.scratch.corpus import read_corpus
from luthier.studies.multitask import multitask
from luthier.studies.origin import arm_table
from luthier.studies.study import study
from luthier.suites.panel import subjects_of_study
from luthier.task.task import load_task
from tests import tiny
from tests.commands import in_precision
from tests.studies.test_study import make_task

Folder = Callable[[str], Path]
LINES = [f"{line} It was day {{n}} of the ward, and nurse {{n}} wrote it down." for line in tiny.SENTENCES]
HOW = "learning_rate=1e-3+epochs=3+batch_size=4+row=64"
ALONE, BEFORE = "domain+corpus=notes", "lora-r4+domain=notes"


def texts(folder: Path) -> Path:
    folder.mkdir(parents=True)
    for n in range(24):
        (folder / f"{n}.txt").write_text("\n\n".join(LINES).replace("{n}", str(n)))
    return folder


def arms_of(notes: Path) -> dict[str, object]:
    """The arms as tables: alone, and before LoRA."""
    domain = {"corpus": str(notes), "learning_rate": 1e-3, "epochs": 3.0, "batch_size": 4, "row": 64}
    alone = parse(f"domain+corpus={notes}+{HOW}")
    lora = parse("lora-r4+epochs=1+evaluations=1").model_copy(update={"domain": domain})
    return {ALONE: alone, BEFORE: lora}


def run(place: Path, model: Path, only: str | None = None) -> Path:
    arms = {name: arm for name, arm in arms_of(place / "notes").items() if only in (None, name)}
    return study_of(place, model, arms)


def study_of(place: Path, model: Path, arms: dict[str, object], **options: object) -> Path:
    toml = "".join(f'[arms."{name}"]\n' + _toml(arm.model_dump(exclude_unset=True)) for name, arm in arms.items())  # type: ignore[attr-defined]
    (place / "study.toml").write_text(toml)
    how = {"train": 8, "dev": 2, "test": 4, "out": place / "study"} | options
    return study(place / "task", model=str(model), config=place / "study.toml", **how)  # type: ignore[arg-type]


def _toml(table: dict[str, object]) -> str:
    return "".join(f"{key} = {_value(value)}\n" for key, value in table.items() if value is not None)


def _value(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k} = {_value(v)}" for k, v in value.items()) + "}"
    return f'"{value}"' if isinstance(value, str) else str(value).lower()


def prepared(place: Path) -> Path:
    (place / "task").mkdir(parents=True)
    make_task(place / "task", test=4)
    texts(place / "notes")
    return place


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUTHIER_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Folder) -> Path:
    place = prepared(tmp_path_factory.mktemp("domain") / "here")
    with in_precision("fp32"):
        return run(place, tiny_folder("decoder-chat"))


def test_arms_with_the_same_further_pretraining_do_it_once(finished: Path) -> None:
    (shared,) = (finished / "domain").iterdir()
    weights = shared / "weights" / "model.safetensors"
    for place in (arm_folder(finished, ALONE) / "weights", arm_folder(finished, BEFORE) / "domain"):
        assert (place / "model.safetensors").read_bytes() == weights.read_bytes()
        assert DomainRecord.read(place.parent) == DomainRecord.read(shared)
    assert not list(finished.rglob("checkpoint.safetensors"))
    cost = Cost.read(finished)
    assert cost.of(ALONE).domain_seconds > 0 and cost.of(ALONE).train_seconds == 0
    assert cost.of(BEFORE).domain_seconds == 0 and cost.of(BEFORE).train_seconds > 0
    counts = {name: read_json(arm_folder(finished, name) / "arm.json")["counts"] for name in (ALONE, BEFORE)}
    saved = DomainRecord.read(shared).saved_bytes
    assert counts[ALONE]["trainable"] == counts[ALONE]["parameters"] and counts[ALONE]["saved_bytes"] == saved
    assert counts[BEFORE]["saved_bytes"] > saved, "what is shipped is the adapter and the weights it stands on"
    assert any("Further pretraining comes on top" in line for line in StudyRecord.read(finished).effort)


def test_bits_per_byte_are_those_of_the_weights_before_and_after(finished: Path, tiny_folder: Folder) -> None:
    record = DomainRecord.read(arm_folder(finished, ALONE))
    corpus = read_corpus(str(finished.parent / "notes"))
    assert (record.corpus_sha256, record.documents) == (corpus.sha256, len(corpus.train))
    held_out = {one.name: one.text for one in corpus.held_out}
    size = sum(one.bytes for one in corpus.held_out)
    with in_precision("fp32"):
        base = load(str(tiny_folder("decoder-chat")), precision="fp32")
        nats = sum(text_nats(base, held_out).values())
        assert record.inside.before.value == pytest.approx(nats / math.log(2) / size, rel=1e-4)
        after = load_arm(arm_folder(finished, ALONE)).model
        nats = sum(text_nats(after, held_out).values())
    assert record.inside.after.value == pytest.approx(nats / math.log(2) / size, rel=1e-4)
    change = record.inside.difference
    assert change.value == pytest.approx(record.inside.after.value - record.inside.before.value)
    assert change.high is None or (change.low <= change.value <= change.high < 0), "it learned the domain"
    assert record.inside.units == size and record.outside.documents == 100
    pieces, share = record.counts.train_examples, record.training["replay"]
    assert record.counts.replayed == max(1, round(share / (1 - share) * pieces)) and share == 0.05


def test_what_is_measured_is_what_is_loaded_merged_and_shipped(finished: Path, tmp_path: Path) -> None:
    with in_precision("fp32"):
        for name in (ALONE, BEFORE):
            place = arm_folder(finished, name)
            verify(load_arm(place))
            assert merge_arm(place, tmp_path / f"plain-{name}")["differ"] == []
        ship(finished, tmp_path / "out", arm=BEFORE)
        assert {"adapter", "domain"} <= {one.name for one in (tmp_path / "out").iterdir()}
        verify(load_arm(tmp_path / "out"))
        assert "adapter/ was trained on the weights in domain/" in (tmp_path / "out" / "README.md").read_text()
        verify_folder(tmp_path / "out")
        subjects, _ = subjects_of_study(finished)
        names = [subject.name for subject in subjects]
        assert names[0].startswith("base decoder-chat") and names[1:] == [ALONE, BEFORE]
        weights = tmp_path / "out" / "domain" / "model.safetensors"
        data = bytearray(weights.read_bytes())
        data[-1] ^= 1
        weights.write_bytes(data)
        with pytest.raises(ModelError, match="is not the file that was measured"):
            load_arm(tmp_path / "out")


def test_the_report_and_the_plan_show_it(finished: Path) -> None:
    page, text = ((finished / f"report.{kind}").read_text() for kind in ("html", "md"))
    assert "Further pretraining" in page and "in the domain" in page and "Bits per byte" in page
    record = DomainRecord.read(arm_folder(finished, ALONE))
    assert f"| {record.inside.before.value:.3f} | {record.inside.after.value:.3f} |" in text
    plans = PlanRecord.read(finished)
    alone, before = plans.of(ALONE), plans.of(BEFORE)
    assert alone and alone.domain and alone.domain.flops > 0 and alone.training is None
    assert before and before.domain is None and before.training is not None
    assert alone.trainable == record.counts.trainable


@pytest.mark.parametrize(
    "text",
    ["domain+replay=0", "lora+domain=notes+domain.replay=0+domain.row=64", "domain+corpus=notes+shots=2", "lora"],
)
def test_an_arm_s_table_says_all_of_it(text: str) -> None:
    task = load_task("dialogues")
    arm = resolve(text, parse(text), task)
    assert resolve(text, ArmSpec.model_validate(arm_table(arm, labelled=False).as_json()), task) == arm


@pytest.mark.slow
def test_texts_that_changed_are_refused_and_a_finished_study_needs_none(tmp_path: Path, tiny_folder: Folder) -> None:
    place, model = prepared(tmp_path / "here"), tiny_folder("decoder-chat")
    with in_precision("fp32"):
        out = run(place, model, only=ALONE)
        (place / "notes" / "0.txt").write_text("Another text. " * 30)
        assert run(place, model, only=ALONE) == out
        with pytest.raises(DataError, match="its texts changed since the study"):
            run(place, model)


def test_what_cannot_be_is_said_before_any_arm_runs(tmp_path: Path, tiny_folder: Folder) -> None:
    place = prepared(tmp_path / "here")
    task = place / "task"
    for model, arms, error, says in (
        ("t5-tied", "domain", SettingsError, "its tokenizer has 0 of"),
        ("decoder-chat", "lora+domain=nowhere", DataError, "nowhere"),
        ("decoder-chat", "lora+domain=task+domain.epochs=-1", SettingsError, "epochs"),
    ):
        with pytest.raises(error, match=says):
            study(task, model=str(tiny_folder(model)), arms=arms, out=tmp_path / "study", test=2, dev=2)
    assert not list((tmp_path / "study").rglob("answers.jsonl"))
    with pytest.raises(SettingsError, match="further pretraining is an arm of `luthier study`"):
        multitask([str(task), "dialogues"], arms="lora+domain=task", out=tmp_path / "multi")
    with pytest.raises(FolderError):
        DomainRecord.read(tmp_path)


@pytest.mark.slow
def test_a_training_that_was_stopped_ends_with_the_same_weights(
    precision: str, tmp_path: Path, tiny_folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, broken = prepared(tmp_path / "whole"), prepared(tmp_path / "broken")
    expected = run(whole, tiny_folder("decoder-chat"), only=BEFORE)
    steps = itertools.count(1)

    def stop() -> None:
        if next(steps) == 5:
            raise Stopped

    with monkeypatch.context() as patched:
        patched.setattr("luthier.training.loop.check_stop", stop)
        with pytest.raises(Stopped):
            run(broken, tiny_folder("decoder-chat"), only=BEFORE)
    (left,) = (broken / "study" / "domain").iterdir()
    assert (left / "checkpoint.safetensors").exists() and not DomainRecord.is_in(left)
    found = run(broken, tiny_folder("decoder-chat"), only=BEFORE)
    for file in ("domain/model.safetensors", "adapter/adapter_model.safetensors"):
        one, other = (load_file(arm_folder(out, BEFORE) / file) for out in (expected, found))
        assert all(torch.equal(one[name], other[name]) for name in one), file
    one, other = (DomainRecord.read(arm_folder(out, BEFORE)) for out in (expected, found))
    assert one.model_copy(update={"settings": {}}) == other.model_copy(update={"settings": {}})
    assert not list(found.rglob("*.part"))


@pytest.mark.slow
def test_an_encoder_decoder_learns_hidden_spans(tmp_path: Path) -> None:
    place = prepared(tmp_path / "here")
    out = run(place, tiny.save_with_sentinels(tmp_path / "t5"))
    record = DomainRecord.read(arm_folder(out, ALONE))
    assert record.measure == "bits per hidden token" and record.inside.difference.value < 0
    verify(load_arm(arm_folder(out, BEFORE)))


@pytest.mark.slow
def test_tuning_seeds_widths_and_every_way_to_train_begin_with_it(tmp_path: Path, tiny_folder: Folder) -> None:
    place, model = prepared(tmp_path / "here"), tiny_folder("decoder-chat")
    begun = arms_of(place / "notes")[BEFORE]
    names = ("qlora@int4", "soft-4", "prefix-4", "pissa-r4", "full", "dora-r4", "ia3", "lora-r4@int8")
    arms = {
        name: parse(f"{name}+epochs=1+evaluations=1").model_copy(update={"domain": begun.domain})  # type: ignore[attr-defined]
        for name in names
    }
    arms |= {ALONE: arms_of(place / "notes")[ALONE]}  # type: ignore[dict-item]
    out = study_of(place, model, arms, seeds=3, tune=2)
    for name in arms:
        verify(load_arm(arm_folder(out, name)))
    record = DomainRecord.read(arm_folder(out, "full"))
    assert method("domain").trains and {one.name for one in (out / "domain").iterdir()} >= {record.mark}
    assert DomainRecord.read(arm_folder(out, "full") / "seed-1").seed == 1
