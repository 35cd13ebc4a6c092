"""One model for several tasks on a tiny model: whole, fair, never trained on what is held out, killed and resumed."""

from __future__ import annotations

import html
import json
import os
import shutil
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest

from luthier.errors import FolderError, LuthierError, SettingsError, TaskError
from luthier.files import read_json, read_lines, write_json, write_lines
from luthier.studies.multitask import examples_in_all, multitask
from luthier.studies.study import study
from tests import tiny
from tests.children import forked, fp32, kill_at  # noqa: F401
from tests.studies.test_interrupted import numbers

ARM = "lora-r4+checkpoint_seconds=0"
TWIN = f"multi-{ARM}"
WORDS = {"sums": "Sum up.", "heads": "Give a headline.", "notes": "Take notes."}
OPTIONS: dict[str, Any] = {"arms": f"zero-shot,{ARM}", "mixture": "temperature", "temperature": 2.0, "templates": 2}


def make_task(root: Path, name: str, train: int, marker: str = "") -> Path:
    """A task of its own words: every input begins with the task's name."""
    folder = root / name
    folder.mkdir(parents=True)
    for split, count in (("train", train), ("dev", 4), ("test", 20)):
        rows = [
            {"id": e.id, "input": f"{name} {split}{marker}: {e.input}", "references": list(e.references), "meta": {}}
            for e in tiny.examples(count, prefix=split)
        ]
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "task.toml").write_text(
        f'name = "{name}"\n[answer]\nmax_new_tokens = 8\n[prompt]\ndefault = "own"\n[prompt.templates]\n'
        f'own = "{WORDS[name]}\\n\\n{{input}}"\nother = "{{input}}\\n\\n{WORDS[name]}"\n'
    )
    return folder


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("tasks")
    return {name: make_task(root, name, train) for name, train in (("sums", 8), ("heads", 16), ("notes", 8))}


def run(tasks: dict[str, Path], model: Path, out: Path, **more: Any) -> Path:
    trained = [tasks["sums"], tasks["heads"]]
    return multitask(trained, held_out=[tasks["notes"]], model=str(model), out=out, **OPTIONS | more)


@pytest.fixture(scope="module")
def finished(tasks: dict[str, Path], tmp_path_factory: pytest.TempPathFactory, tiny_folder) -> Path:
    return run(tasks, tiny_folder("decoder-chat"), tmp_path_factory.mktemp("multitask") / "out")


def counts(place: Path) -> dict[str, Any]:
    return dict(read_json(place / "training.json"))


def test_every_task_has_a_whole_study_and_the_twin_is_one_of_its_arms(finished: Path) -> None:
    for name, arms in (("sums", {ARM}), ("heads", {ARM}), ("notes", set())):
        place = finished / "tasks" / name
        assert set(read_json(place / "compare.json")["arms"]) == {"copy-3", "zero-shot", TWIN} | arms
        assert read_json(place / "study.json")["status"] == "done"
        assert (place / "report.html").exists()
    assert read_json(finished / "multitask.json")["status"] == "done"
    assert not list(finished.rglob("checkpoint.safetensors"))


def test_every_study_asks_the_same_weights(finished: Path) -> None:
    file = "adapter/adapter_model.safetensors"
    whole = (finished / "multi" / TWIN / file).read_bytes()
    for name in WORDS:
        assert (finished / "tasks" / name / "arms" / TWIN / file).read_bytes() == whole


def test_the_mixture_is_counted_and_has_nothing_of_the_held_out_task(finished: Path) -> None:
    seen = read_json(finished / "multi" / TWIN / "mixture.json")
    assert set(seen) == {"sums", "heads"}
    # Two passes over 8 and 16 rows are 48 examples; the roots of 8 and 16 share them as 1 to 1.414.
    assert [row["drawn"] for row in seen.values()] == [20, 28]
    assert [row["distinct"] for row in seen.values()] == [8, 16]
    for row in seen.values():
        assert set(row["templates"]) == {"own", "other"} and sum(row["templates"].values()) == row["drawn"]
    summary = counts(finished / "multi" / TWIN)
    assert summary["train_tokens"] == sum(row["tokens"] for row in seen.values())
    assert summary["supervised_tokens"] == sum(row["supervised_tokens"] for row in seen.values())


def test_the_twin_sees_as_many_examples_as_all_single_task_arms_together(finished: Path) -> None:
    singles = [counts(finished / "tasks" / name / "arms" / ARM) for name in ("sums", "heads")]
    twin = counts(finished / "multi" / TWIN)
    assert twin["train_examples"] * twin["passes"] == sum(one["train_examples"] * one["passes"] for one in singles)
    assert examples_in_all([16, 32], "together") == 48
    assert examples_in_all([16, 32], "one") == 24


def test_the_checkpoint_is_chosen_by_the_mean_over_the_trained_tasks(finished: Path) -> None:
    summary = counts(finished / "multi" / TWIN)
    taken = [row["dev"] for row in read_lines(finished / "multi" / TWIN / "metrics.jsonl") if "dev" in row]
    assert summary["best_dev"] == max(taken)
    arms = [read_json(finished / "tasks" / name / "arms" / TWIN / "arm.json") for name in ("sums", "heads")]
    assert summary["best_dev"] == pytest.approx(fmean(arm["length"]["dev"]["8"] for arm in arms), abs=1e-6)


def test_a_finished_study_is_not_run_again(finished: Path, tasks, tiny_folder) -> None:
    before = numbers(finished)
    run(tasks, tiny_folder("decoder-chat"), finished)
    assert numbers(finished) == before
    for log in (finished / "log.jsonl", *finished.glob("tasks/*/log.jsonl")):
        events = [row["event"] for row in read_lines(log)]
        assert events[events.index("resume") :] == ["resume", "done"]


@pytest.mark.slow
def test_kill_and_resume_ends_with_the_same_numbers(finished: Path, tasks, tmp_path: Path, tiny_folder) -> None:
    """Killed in the mixture's training, and again in the first task's study."""
    model, out = tiny_folder("decoder-chat"), tmp_path / "killed"
    for log, event in ((out / "log.jsonl", "checkpoint"), (out / "tasks" / "sums" / "log.jsonl", "arm done")):
        kill_at(forked(lambda: run(tasks, model, out)), log, event)
        assert not (out / "tasks.json").exists()
    assert os.waitpid(forked(lambda: run(tasks, model, out)), 0)[1] == 0
    assert numbers(out) == numbers(finished)
    assert not list(out.rglob("*.part"))


def test_an_arm_whose_weights_are_not_there_names_where_it_was_trained(
    finished: Path, tasks, tmp_path: Path, tiny_folder
) -> None:
    """A task's study alone cannot train what was trained on several tasks, and does not do so by mistake."""
    alone = tmp_path / "alone"
    shutil.copytree(finished / "tasks" / "sums", alone)
    shutil.rmtree(alone / "arms" / TWIN)
    with pytest.raises(FolderError, match="is trained on a temperature mixture, T = 2, of sums, heads"):
        study(tasks["sums"], model=str(tiny_folder("decoder-chat")), arms="zero-shot", out=alone)


@pytest.fixture(scope="module")
def troubled(tasks: dict[str, Path], tmp_path_factory: pytest.TempPathFactory, tiny_folder) -> Path:
    """The same training beside a held-out task of other rows: one is trained on in sums, whose words it is asked in."""
    root = tmp_path_factory.mktemp("troubled")
    notes = make_task(root, "notes", 12, marker=" (other)")
    rows = read_lines(notes / "test.jsonl")
    rows[2]["input"] = read_lines(tasks["sums"] / "train.jsonl")[3]["input"].upper()
    write_lines(notes / "test.jsonl", rows)
    toml = (notes / "task.toml").read_text().replace(WORDS["notes"], WORDS["sums"])
    (notes / "task.toml").write_text(toml)
    return run(tasks | {"notes": notes}, tiny_folder("decoder-chat"), root / "out")


@pytest.mark.slow
def test_other_rows_of_the_held_out_task_leave_the_training_as_it_is(finished: Path, troubled: Path) -> None:
    """Never trained on: not one byte of the adapter hangs on what the held-out task holds."""
    adapter = Path("multi") / TWIN / "adapter" / "adapter_model.safetensors"
    assert (troubled / adapter).read_bytes() == (finished / adapter).read_bytes()
    answers = Path("tasks") / "notes" / "arms" / TWIN / "answers.jsonl"
    assert (troubled / answers).read_bytes() != (finished / answers).read_bytes()


@pytest.mark.slow
def test_leaks_and_shared_words_are_named_in_the_table_and_in_the_tasks_study(finished: Path, troubled: Path) -> None:
    assert read_json(finished / "tasks.json")["findings"] == []
    leak, words = read_json(troubled / "tasks.json")["findings"]
    assert leak.startswith(
        "leak: 1 of 24 dev and test inputs of notes are trained on in sums: test 'test2' (= 'train3');"
    )
    assert words.startswith("notes is asked in the words of sums (template own), so a model of both cannot know")
    health = read_json(troubled / "tasks" / "notes" / "study.json")["health"]
    assert [row["text"] for row in health[:2]] == [leak, words]
    assert leak in html.unescape((troubled / "report.html").read_text())


@pytest.mark.parametrize(
    "more, said",
    [
        ({"mixture": "equal", "temperature": None}, "holds a study with mixture"),
        ({"seed": 1}, "holds a study with seed"),
        ({"effort": "one"}, "holds a study with effort"),
    ],
)
def test_a_folder_of_another_mixture_is_refused(
    finished: Path, tasks, tiny_folder, more: dict[str, Any], said: str
) -> None:
    with pytest.raises(FolderError, match=said):
        run(tasks, tiny_folder("decoder-chat"), finished, **more)


def test_what_is_no_group_of_tasks_is_refused(tasks, tiny_folder, tmp_path: Path) -> None:
    model, out = str(tiny_folder("decoder-chat")), tmp_path / "out"
    with pytest.raises(TaskError, match="called 'sums' already"):
        multitask([tasks["sums"], tasks["heads"]], held_out=[tasks["sums"]], model=model, out=out)
    with pytest.raises(SettingsError, match="tasks"):
        multitask([tasks["sums"]], model=model, out=out)
    with pytest.raises(SettingsError, match="no arm trains"):
        multitask([tasks["sums"], tasks["heads"]], arms="zero-shot", model=model, out=out)
    with pytest.raises(SettingsError, match="'rang' is no setting of any arm here"):
        multitask([tasks["sums"], tasks["heads"]], defaults="rang=4", model=model, out=out)
    with pytest.raises(LuthierError, match="effort"):
        multitask([tasks["sums"], tasks["heads"]], effort="all", model=model, out=out)
    assert not out.exists() or not [path for path in out.iterdir() if path.name[0] != "."]


def test_data_that_changed_is_refused(finished: Path, tasks, tiny_folder) -> None:
    record = read_json(finished / "multitask.json")
    changed = json.loads(json.dumps(record))
    changed["tasks"]["sums"]["hashes"]["train"] = "0"
    write_json(finished / "multitask.json", changed)
    try:
        with pytest.raises(TaskError, match="the data changed"):
            run(tasks, tiny_folder("decoder-chat"), finished)
    finally:
        write_json(finished / "multitask.json", record)
