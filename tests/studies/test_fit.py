"""What decides a training is one hash, and a checkpoint of another one is not gone on with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from luthier.arms.resolve import resolve
from luthier.arms.short_form import parse
from luthier.model.forward import collate
from luthier.results.folder import StudyFolder
from luthier.studies import fit as fitting
from luthier.studies.fit import StudyContext, _decided_by, dev_sha256, fit, own_plan
from luthier.task.task import load_task
from luthier.training.batches import length_of
from luthier.training.memory import Bound
from tests.studies.test_study import make_task


@pytest.fixture
def context(tmp_path: Path, tiny_folder) -> StudyContext:
    (tmp_path / "task").mkdir()
    task = load_task(make_task(tmp_path / "task"))
    model = str(tiny_folder("decoder-plain"))
    return StudyContext(task, task.train[:8], task.dev[:3], (), 0, model, "fp32", StudyFolder(tmp_path / "study"))


def arm(context: StudyContext, text: str = "lora+epochs=1"):
    return resolve(text, parse(text), context.task)


def decided_by(context: StudyContext, text: str = "lora+epochs=1") -> str:
    model, one = context.base(arm(context)), arm(context, text)
    plan = own_plan(context, one)
    return _decided_by(context, one, model, plan.prompts(model), plan.dev_sha256)


def test_the_metric_the_template_and_the_dev_examples_decide_the_dev_metric(context: StudyContext) -> None:
    one, hashes = arm(context), [dev_sha256(context, arm(context))]
    hashes.append(dev_sha256(replace(context, dev=context.dev[:2]), one))
    file = context.task.folder / "task.toml"
    for more in ('[decide]\nmetric = "chrf"\n', '[prompt.templates]\nplain = "{input}"\n'):
        file.write_text(f'name = "tiny"\n{more}', encoding="utf-8")
        task = load_task(context.task.folder)
        hashes.append(dev_sha256(replace(context, task=task), one))
    assert len(set(hashes)) == 4 and dev_sha256(context, one) == hashes[0]


def test_all_that_decides_a_training_is_in_its_hash(context: StudyContext) -> None:
    first = decided_by(context)
    others = {
        decided_by(replace(context, train=context.train[:7])),
        decided_by(replace(context, seed=1)),
        decided_by(replace(context, dev=context.dev[:2])),
        decided_by(context, "lora+epochs=1+rank=4"),
        decided_by(context, "lora+epochs=2"),
    }
    assert first == decided_by(context) and len(others) == 5 and first not in others


def test_a_training_goes_on_only_with_what_it_began_with(
    context: StudyContext, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fit(context, arm(context), tmp_path / "arm", "train")
    capsys.readouterr()
    fit(context, arm(context), tmp_path / "arm", "train")
    assert "begins anew" not in capsys.readouterr().err
    fit(replace(context, train=context.train[1:]), arm(context), tmp_path / "arm", "train")
    assert "made of other examples or settings, or for another dev metric" in capsys.readouterr().err


def test_freed_memory_is_handed_back_before_longer_rows_alone(
    context: StudyContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each micro-batch holds one row, so with every new longest row, and around the dev answers."""
    lengths: list[int] = []
    handed_back: list[int] = []
    monkeypatch.setattr(
        "luthier.studies.fit.collate",
        lambda rows, *about: lengths.append(max(map(length_of, rows))) or collate(rows, *about),
    )
    monkeypatch.setattr("luthier.machine.give_back_freed_memory", lambda: handed_back.append(len(lengths)))
    fit(context, arm(context, "lora+epochs=2+micro_tokens=1+evaluations=1"), tmp_path / "arm", "train")
    new = [place for place, length in enumerate(lengths) if length > max(lengths[:place], default=0)]
    assert len(lengths) == 16 and 1 < len(new) < 16
    assert handed_back == [*new, 16, 16]


def test_dev_answers_under_a_bound_leave_room_for_what_penalties_hold(
    context: StudyContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    bounds = []

    def asked(*_: object, bound: Bound, **__: object) -> None:
        bounds.append(bound)
        raise KeyboardInterrupt

    monkeypatch.setattr(fitting, "asking", asked)
    for text in ("lora+epochs=1", "lora+epochs=1+kl=0.1+anchor=0.1"):
        with pytest.raises(KeyboardInterrupt):
            fit(replace(context, bound=Bound(9e9)), arm(context, text), context.folder.arm(text), text)
    plain, more = bounds
    assert plain.training and not plain.anchored and len(plain.beside) == 1
    assert more.training and more.anchored and len(more.beside) == 2
