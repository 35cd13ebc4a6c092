"""`panel` on a tiny study: asked once, kept by the hash of its weights, judged anew under other margins; a study that
requires *kept* ships nothing else."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from luthier.arms.shipped import load_arm
from luthier.errors import SettingsError
from luthier.files import read_json
from luthier.model.model import load
from luthier.results.comparison import Comparison
from luthier.results.panel_record import Panel
from luthier.results.study_record import StudyRecord
from luthier.studies.study import study
from luthier.suites import asking, instruments
from luthier.suites import panel as panels
from luthier.suites.page import PAGE, change_rows, model_rows, verdict_words
from luthier.suites.panel import panel
from tests.results.test_panel_record import made
from tests.studies.test_study import make_task

Folder = Callable[[str], Path]
ARMS = "zero-shot,lora-r4+scale=0,lora-r4+scale=1"


@pytest.fixture(autouse=True, scope="module")
def few_items() -> None:
    """A panel of some items of each instrument, so that a tiny model is asked in a second."""
    every = dict(instruments.INSTRUMENTS)
    for name, one in every.items():
        instruments.INSTRUMENTS[name] = replace(one, items=lambda one=one: one.items()[:: len(one.items()) // 24])
    yield
    instruments.INSTRUMENTS.update(every)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Folder, few_items: None) -> Path:
    root = tmp_path_factory.mktemp("panel")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LUTHIER_CACHE", str(root / "cache"))
        patch.setenv("LUTHIER_PRECISION", "fp32")
        (root / "task").mkdir()
        task = make_task(root / "task")
        model = str(tiny_folder("decoder-chat"))
        return study(task, model=model, arms=ARMS, out=root / "out", require_kept=True, defaults="epochs=1")


@pytest.fixture(autouse=True)
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUTHIER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("LUTHIER_PRECISION", "fp32")


def test_scale_0_is_the_base_bit_for_bit_and_scale_1_the_arm(finished: Path) -> None:
    def weights(arm: str) -> dict:
        return load_arm(finished / "arms" / arm).model.module.state_dict()

    whole, none, all_ = (weights(f"lora-r4{scale}") for scale in ("", "+scale=0", "+scale=1"))
    base = load(read_json(finished / "study.json")["model"]["name"], precision="fp32").module.state_dict()
    assert all(none[name].equal(value) for name, value in base.items())
    assert all(all_[name].equal(value) for name, value in whole.items())
    assert any(not whole[name].equal(value) for name, value in base.items())


def test_scaled_arms_are_trained_once(finished: Path) -> None:
    """The whole arm was added, and the others took its training: the same steps, and no second of training."""
    costs = read_json(finished / "cost.json")["arms"]
    assert costs["lora-r4"]["train_seconds"] > 0
    for scale in ("0", "1"):
        assert not costs[f"lora-r4+scale={scale}"].get("train_seconds")
        steps = [finished / "arms" / arm / "metrics.jsonl" for arm in ("lora-r4", f"lora-r4+scale={scale}")]
        assert steps[0].read_bytes() == steps[1].read_bytes()


def test_an_arm_at_scale_0_changes_nothing_on_the_panel(finished: Path) -> None:
    arm = Panel.read(finished).arms["lora-r4+scale=0"]
    assert all(change.loss == 0 and change.nonzero == 0 for change in arm.changes.values())
    assert arm.changed_answers == 0


def test_the_panel_has_every_trained_arm_its_page_and_a_section_in_the_report(finished: Path) -> None:
    record = Panel.read(finished)
    assert set(record.arms) == {"lora-r4", "lora-r4+scale=0", "lora-r4+scale=1"}
    assert set(record.bases) == {arm.base for arm in record.arms.values()}
    page, report = (finished / PAGE).read_text(), (finished / "report.html").read_text()
    assert len(change_rows(record)) == 4 * len(record.arms) and len(verdict_words(record)) == len(record.arms)
    assert model_rows(record)[1]
    for name in record.arms:
        assert name in page
    assert '<section id="kept">' in report and "Gain over the base" in report
    assert "## What was kept" in (finished / "report.md").read_text()


def test_nothing_is_asked_again_and_another_margin_only_judges_anew(
    finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def asked(*arguments: object) -> None:
        raise AssertionError("asked again")

    for name in ("read_documents", "read_pairs", "follow", "own_answers", "drift"):
        monkeypatch.setattr(asking, name, asked)
    monkeypatch.setattr(StudyRecord, "requires_kept", property(lambda self: False))  # else its margins stay
    before = Panel.read(finished)
    panel(finished, margin="text=1e-9,pairs=1e-9,following=1e-9")
    strict = Panel.read(finished)
    assert strict.instruments["text"].margin == 1e-9
    panel(finished)  # margins stay those of the folder
    assert Panel.read(finished).instruments == strict.instruments
    panel(finished, margin="text=0.05,pairs=0.05,following=0.1")
    assert Panel.read(finished).arms == before.arms
    monkeypatch.setattr(panels, "checks", lambda: "other checks of requirements")
    with pytest.raises(AssertionError, match="asked again"):
        panel(finished)


def test_lines_of_an_interrupted_instrument_are_asked_again_as_a_whole(finished: Path) -> None:
    (path,) = (finished / "panel").glob("lora-r4-*.jsonl")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    panel(finished)
    assert path.read_bytes() == whole


def test_an_arm_that_is_not_kept_is_not_shipped_and_the_decision_says_so(finished: Path, tmp_path: Path) -> None:
    ship = Comparison.read(finished).ship
    barred = Panel.read(finished).not_kept
    assert ship.barred == barred and set(barred) <= set(Panel.read(finished).arms)
    assert ship.choice not in barred
    assert barred, "24 items cannot show that the trained arms kept everything"
    assert f"lora-r4 ({barred['lora-r4']})" in ship.sentence


@pytest.mark.slow
def test_an_arm_alone_and_models_alone(finished: Path, tmp_path: Path, tiny_folder: Folder) -> None:
    out = panel(finished, arm="lora-r4+scale=0", out=tmp_path / "one")
    assert list(Panel.read(out).arms) == ["lora-r4+scale=0"]
    folder = panel(tiny_folder("decoder-chat"), out=tmp_path / "model")
    record = Panel.read(folder)
    assert not record.arms and len(record.bases) == 1
    held = panel(tiny_folder("gpt2"), base=str(tiny_folder("decoder-chat")), out=tmp_path / "two")
    assert set(Panel.read(held).arms) == {"gpt2"}


def test_lines_of_other_prompts_are_no_lines_of_this_model(tiny_folder: Folder, tmp_path: Path) -> None:
    """The same weights under another chat template, or on another day where the template prints it."""
    folder = shutil.copytree(tiny_folder("decoder-chat"), tmp_path / "model")

    def mark(day: str) -> str:
        (subject,) = panels._models(str(folder), None)
        return panels._subject(replace(subject.load(), day=day), subject.name).weights

    (path,) = folder.glob("chat_template.jinja")
    marks = [(mark("2026-01-01"), mark("2026-01-02"))]
    path.write_text("{{ strftime_now('%d %b %Y') }}\n" + path.read_text())
    marks.append((mark("2026-01-01"), mark("2026-01-02")))
    assert marks[0][0] == marks[0][1] and len({*marks[0], *marks[1]}) == 3


def test_a_panel_of_others_is_not_overwritten(
    tiny_folder: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def asked(folder: Path, subjects: list, *_: object) -> None:
        of = {subject.name: subject.weights for subject in subjects}
        made().model_copy(update={"weights": of, "arms": {}, "bases": {}}).write(folder)

    monkeypatch.setattr(panels, "ask_all", asked)
    monkeypatch.chdir(tmp_path)
    model, other = (tiny_folder(kind) for kind in ("decoder-chat", "gpt2"))
    twin = shutil.copytree(other, tmp_path / model.name)  # another model of the same name
    folders = {panel(model), panel(twin), panel(other), panel(model, base=str(other))}
    assert len(folders) == 4 and panel(model) in folders
    before = {folder: (folder / "panel.json").read_bytes() for folder in folders}
    for source in (other, twin):
        with pytest.raises(SettingsError, match="which is not asked now or has other weights now"):
            panel(source, out=panel(model))
    assert before == {folder: (folder / "panel.json").read_bytes() for folder in folders}


def test_what_cannot_be_asked_is_refused_in_one_sentence(finished: Path, tiny_folder: Folder, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no weights of its own"):
        panel(finished, arm="zero-shot", out=tmp_path / "a")
    with pytest.raises(SettingsError, match="no study"):
        panel(tiny_folder("decoder-chat"), arm="lora", out=tmp_path / "b")
    with pytest.raises(SettingsError, match="leave --base out"):
        panel(finished, base="smollm2-135m")


def test_a_finished_study_that_is_asked_for_its_panel_has_one(
    finished: Path, tmp_path: Path, tiny_folder: Folder
) -> None:
    (tmp_path / "task").mkdir()
    task, model, out = make_task(tmp_path / "task"), str(tiny_folder("decoder-chat")), tmp_path / "out"
    asked = {"model": model, "arms": "zero-shot", "out": out}
    study(task, **asked)
    assert not Panel.is_in(out)
    before = read_json(out / "study.json")
    study(task, **asked, require_kept=True)
    after = read_json(out / "study.json")
    assert Panel.is_in(out) and after["status"] == "done" and after["specification"]["require_kept"]
    assert (after["versions"], after["arms"]) == (before["versions"], before["arms"])
    study(task, **asked)
    assert read_json(out / "study.json") == after  # what was required stays


def test_the_margins_that_decided_stay(finished: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="was decided by its panel's margins"):
        panel(finished, margin="pairs=0.9")


@pytest.mark.parametrize(("arm", "said"), [("lroa", "has no arm 'lroa'; there are: "), ("zero-shot", "has no weights")])
def test_an_arm_that_is_not_asked_is_said(finished: Path, arm: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        panel(finished, arm=arm)


def test_of_an_arm_that_was_left_out_nobody_can_tell(finished: Path) -> None:
    record = Panel.read(finished).model_copy(update={"left_out": {"head": "an encoder writes no text"}})
    assert record.not_kept["head"] == "cannot tell"
