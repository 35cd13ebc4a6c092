"""The main job on a tiny model: whole, resumed, extended, refused; and an arm's folder in use afterwards."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from luthier.arms.ask import ask
from luthier.arms.shipped import load_arm, verify
from luthier.errors import DataError, FolderError, LuthierError, ModelError, SettingsError, TaskError
from luthier.files import cache_folder, read_json, read_lines, write_json, write_lines
from luthier.records import Prompt
from luthier.results.comparison import Comparison
from luthier.results.folder import StudyFolder
from luthier.results.record import read_lines_of
from luthier.results.resume import look_ahead, open_test
from luthier.results.shipped_note import ShippedNote
from luthier.studies.study import prompt_of, sample, study
from luthier.task.task import load_task
from luthier.verdicts.conclude import conclude, further_seeds
from tests import tiny

ARMS = "few-shot-2,lora-r4,soft-4,full,zero-shot+max_new_tokens=6,zero-shot+temperature=0.8+top_k=5"


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUTHIER_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def task_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_task(tmp_path_factory.mktemp("task"))


def make_task(folder: Path, test: int = 24) -> Path:
    """A native task of short dialogues, 20 to train on."""
    for split, count in (("train", 20), ("dev", 6), ("test", test)):
        rows = [
            {"id": e.id, "input": e.input, "references": list(e.references), "meta": {}}
            for e in tiny.examples(count, prefix=split)
        ]
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "task.toml").write_text('name = "tiny"\n[answer]\nmax_new_tokens = 12\n')
    return folder


@pytest.fixture(scope="module")
def finished(task_folder: Path, tmp_path_factory: pytest.TempPathFactory, tiny_folder) -> Path:
    """One finished study of the tiny decoder with a chat template."""
    out = tmp_path_factory.mktemp("study") / "out"
    return study(task_folder, model=str(tiny_folder("decoder-chat")), arms=ARMS, out=out, likelihood=True)


def test_the_best_of_several_references_where_the_task_says_so(tmp_path, tiny_folder) -> None:
    (tmp_path / "task").mkdir()
    task = make_task(tmp_path / "task")
    (task / "task.toml").write_text('name = "tiny"\n[answer]\nmax_new_tokens = 12\n[decide]\nreferences = "max"\n')
    rows = list(read_lines(task / "test.jsonl"))
    two = [row | {"references": [*row["references"], row["input"]]} for row in rows]
    write_lines(task / "test.jsonl", two)
    out = study(task, model=str(tiny_folder("decoder-chat")), arms="copy-3", out=tmp_path / "out")
    compared, profiled = read_json(out / "compare.json"), read_json(out / "profile.json")
    for said in (compared, profiled):
        assert said["signatures"]["rouge1"].endswith("references:max")
    assert profiled["budgets"]["rows"][0]["arms"]["copy-3"]["mean"] == compared["arms"]["copy-3"]["rouge1"]["mean"]
    write_lines(task / "test.jsonl", [rows[0], *two[1:]])
    with pytest.raises(DataError, match=r"has 1 references and .* has 2, so their best cannot be compared"):
        study(task, model=str(tiny_folder("decoder-chat")), arms="copy-3", out=tmp_path / "other")


def arm_names(folder: Path) -> set[str]:
    return {path.name for path in (folder / "arms").iterdir()}


def test_every_arm_is_whole_and_the_baselines_are_always_there(finished: Path) -> None:
    assert arm_names(finished) == {*ARMS.split(","), "copy-3", "zero-shot"}
    test_ids = [row["id"] for row in read_lines(finished / "examples.jsonl")]
    for name in arm_names(finished):
        place = finished / "arms" / name
        assert read_json(place / "arm.json")["status"] == "done"
        assert [row["id"] for row in read_lines(place / "answers.jsonl")] == test_ids
        assert [row["id"] for row in read_lines(place / "scores.jsonl")] == test_ids
    assert read_json(finished / "study.json")["status"] == "done"
    assert (finished / "report.html").stat().st_size > 10_000
    assert (finished / "report.md").exists()


@pytest.mark.parametrize("kind", ["decoder-plain", "t5-untied"])
def test_other_families_go_through_the_same_records(kind: str, task_folder: Path, tmp_path: Path, tiny_folder) -> None:
    out = study(task_folder, model=str(tiny_folder(kind)), arms="one-shot,lora-r4,soft-4", out=tmp_path / "out")
    assert set(read_json(out / "compare.json")["arms"]) == {"copy-3", "zero-shot", "one-shot", "lora-r4", "soft-4"}
    assert set(read_json(out / "profile.json")["arms"]) == set(read_json(out / "compare.json")["arms"])
    prompt = read_lines_of(Prompt, out / "arms" / "lora-r4" / "prompts.jsonl")[0]
    assert prompt.prompt_ids


def test_trained_arms_say_what_moved_and_what_it_cost(finished: Path) -> None:
    counts = read_json(finished / "arms" / "lora-r4" / "arm.json")["counts"]
    assert 0 < counts["trainable"] < counts["parameters"]
    assert counts["passes"] == 2.0
    assert counts["steps"] == 6  # 20 examples in batches of 8, twice
    metrics = read_lines(finished / "arms" / "lora-r4" / "metrics.jsonl")
    assert [row["step"] for row in metrics] == list(range(1, 7))
    assert sum("dev" in row for row in metrics) == 3
    cost = read_json(finished / "cost.json")["arms"]["lora-r4"]
    assert cost["train_seconds"] > 0 and cost["peak_bytes"] > 0
    assert not list(finished.rglob("checkpoint.safetensors"))


def test_the_limit_on_new_tokens_is_chosen_on_dev_unless_given(finished: Path) -> None:
    chosen = read_json(finished / "arms" / "zero-shot" / "arm.json")["length"]
    assert chosen["by"] == "dev" and str(chosen["chosen"]) in chosen["dev"]
    assert chosen["dev"][str(chosen["chosen"])] == max(chosen["dev"].values())
    given = read_json(finished / "arms" / "zero-shot+max_new_tokens=6" / "arm.json")
    assert given["length"]["by"] == "given" and given["generation"]["max_new_tokens"] == 6
    answers = StudyFolder(finished).answers(given["name"])
    assert max(len(a.tokens) for a in answers) <= 6


def test_a_finished_study_is_not_run_again(finished: Path, task_folder: Path, tiny_folder) -> None:
    whole = [p for p in finished.rglob("*.json*") if p.name not in {"log.jsonl", "study.json"}]
    before = {p: p.read_bytes() for p in whole}
    study(task_folder, model=str(tiny_folder("decoder-chat")), arms=ARMS, out=finished, likelihood=True)
    assert {p: p.read_bytes() for p in whole} == before
    events = [row["event"] for row in read_lines(finished / "log.jsonl")]
    assert events[events.index("resume") :] == ["resume", "done"]


def test_more_arms_join_a_finished_study(task_folder: Path, tmp_path: Path, tiny_folder) -> None:
    model = str(tiny_folder("decoder-chat"))
    out = study(task_folder, model=model, arms="bare", out=tmp_path / "out")
    answers = (out / "arms" / "bare" / "answers.jsonl").read_bytes()
    study(task_folder, model=model, arms="one-shot", out=out)
    assert set(read_json(out / "compare.json")["arms"]) == {"copy-3", "zero-shot", "bare", "one-shot"}
    assert (out / "arms" / "bare" / "answers.jsonl").read_bytes() == answers


@pytest.fixture(scope="module")
def three_seeds(task_folder: Path, tmp_path_factory: pytest.TempPathFactory, tiny_folder) -> Path:
    """One arm under one seed, then the same study gone on with under three."""
    out, model = tmp_path_factory.mktemp("seeds") / "out", str(tiny_folder("decoder-chat"))
    study(task_folder, model=model, arms="lora-r4", out=out)
    before = {p: p.read_bytes() for p in out.glob("arms/*/*") if p.is_file()}
    study(task_folder, model=model, arms="lora-r4", out=out, seeds=3)
    assert {p: p.read_bytes() for p in before} == before
    return out


def test_further_seeds_are_whole_arms_and_train_the_same_examples(three_seeds: Path) -> None:
    places = [three_seeds / "arms" / "lora-r4" / part for part in ("", "seed-1", "seed-2")]
    for place in places:
        assert read_json(place / "arm.json")["status"] == "done"
        assert load_arm(place).seed == places.index(place)
    told = [read_json(place / "arm.json") for place in places]
    for same in ("settings", "training", "template"):
        assert told[0][same] == told[1][same] == told[2][same]
    assert len({row["counts"]["train_tokens"] for row in told}) == 1
    assert len({(place / "adapter" / "adapter_model.safetensors").read_bytes() for place in places}) == 3
    cost = read_json(three_seeds / "cost.json")
    assert cost["arms"]["lora-r4/seed-2"]["train_seconds"] > 0
    assert set(read_json(three_seeds / "compare.json")["arms"]) == {"copy-3", "zero-shot", "lora-r4"}
    assert {path.name for path in (three_seeds / "arms" / "zero-shot").iterdir() if path.is_dir()} == set()


def test_a_seed_is_the_arm_of_a_study_with_that_seed_on_the_same_sample(
    three_seeds: Path, task_folder: Path, tmp_path: Path, tiny_folder
) -> None:
    other = study(task_folder, model=str(tiny_folder("decoder-chat")), arms="lora-r4", out=tmp_path / "out", seed=2)
    for name in ("adapter/adapter_model.safetensors", "training.json", "answers.jsonl", "scores.jsonl"):
        assert (other / "arms/lora-r4" / name).read_bytes() == (three_seeds / "arms/lora-r4/seed-2" / name).read_bytes()


def test_a_study_keeps_its_seeds_and_takes_more(three_seeds: Path, task_folder: Path, tiny_folder) -> None:
    before = [row["event"] for row in read_lines(three_seeds / "log.jsonl")]
    study(task_folder, model=str(tiny_folder("decoder-chat")), arms="lora-r4", out=three_seeds)
    assert read_json(three_seeds / "study.json")["specification"]["seeds"] == 3
    assert [row["event"] for row in read_lines(three_seeds / "log.jsonl")][len(before) :] == ["resume", "done"]


def test_further_seeds_are_compared_as_recipes(three_seeds: Path, task_folder: Path) -> None:
    folder = StudyFolder(three_seeds)
    arms = {name: folder.arm_record(name) for name in ("zero-shot", "lora-r4")}
    found = further_seeds(folder, arms, 3)
    ids = [score.id for score in folder.scores("lora-r4")]
    assert list(found) == ["lora-r4"] and further_seeds(folder, arms, 1) == {}
    assert [[score.id for score in scores] for scores in found["lora-r4"]] == [ids, ids]
    before = (three_seeds / "compare.json").read_bytes()
    assert conclude(folder, load_task(task_folder)) == Comparison.read(three_seeds)
    assert (three_seeds / "compare.json").read_bytes() == before


@pytest.mark.parametrize(
    "options, sentence",
    [
        ({"seeds": 2}, "2 seeds tell nothing of a recipe; give 3 or more, or 1"),
        ({"seeds": 0}, "seeds"),
        ({"tune": 1}, "one configuration is no choice; give 2 or more, or 0"),
    ],
)
def test_effort_that_shows_nothing_is_refused(options: dict, sentence: str) -> None:
    with pytest.raises(SettingsError, match=sentence):
        study("dialogues", **options)


def test_tuning_a_study_that_was_not_tuned_is_refused(finished: Path, task_folder: Path, tiny_folder) -> None:
    with pytest.raises(FolderError, match="tune = 0, not 4"):
        study(task_folder, model=str(tiny_folder("decoder-chat")), arms=ARMS, out=finished, likelihood=True, tune=4)


def test_tuned_arms_say_their_trials_and_their_seeds_train_what_dev_chose(
    task_folder: Path, tmp_path: Path, tiny_folder
) -> None:
    model = str(tiny_folder("decoder-chat"))
    out = study(task_folder, model=model, arms="lora+epochs=1", out=tmp_path / "out", tune=2, seeds=3)
    lora, seed, prompted = (
        read_json(out / "arms" / name / "arm.json") for name in ("lora+epochs=1", "lora+epochs=1/seed-1", "zero-shot")
    )
    tuning = lora["tuning"]
    assert (tuning["trials"], tuning["rounds"], tuning["trainings"]) == (2, 1, 2)
    assert tuning["chosen"].items() <= (lora["settings"] | lora["training"]).items()
    assert (seed["settings"], seed["training"]) == (lora["settings"], lora["training"])
    assert prompted["tuning"] is None
    cost = read_json(out / "cost.json")["arms"]
    assert cost["lora+epochs=1"]["tune_seconds"] > 0 and "tune_seconds" not in cost["lora+epochs=1/seed-1"]
    study(task_folder, model=model, arms="lora+epochs=1", out=out, tune=2)
    assert read_json(out / "arms" / "lora+epochs=1" / "arm.json") == lora


def test_likelihood_stands_beside_the_metrics_of_answers(finished: Path) -> None:
    arms = read_json(finished / "compare.json")["arms"]
    by_arm = {name: row["bits_per_character"]["mean"] for name, row in arms.items()}
    assert by_arm.pop("copy-3") is None
    assert all(value > 0 for value in by_arm.values())
    same = ("zero-shot", "zero-shot+max_new_tokens=6", "zero-shot+temperature=0.8+top_k=5")
    assert len({by_arm[name] for name in same}) == 1
    assert len(set(by_arm.values())) == len(by_arm) - 2
    assert "bits\\_per\\_character" in (finished / "report.md").read_text()


def test_a_study_without_likelihood_says_nothing_of_it(task_folder: Path, tmp_path: Path, tiny_folder) -> None:
    model = str(tiny_folder("decoder-chat"))
    out = study(task_folder, model=model, arms="bare", out=tmp_path / "out")
    assert "bits_per_character" not in read_json(out / "compare.json")["signatures"]
    assert not list(out.rglob("likelihood.jsonl"))


def test_another_study_in_the_same_folder_is_refused(finished: Path, task_folder: Path, tiny_folder) -> None:
    with pytest.raises(FolderError, match="seed = 0, not 1"):
        study(task_folder, model=str(tiny_folder("decoder-chat")), arms=ARMS, out=finished, likelihood=True, seed=1)


def test_a_folder_that_is_not_ours_is_refused_and_untouched(tmp_path: Path, task_folder: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    with pytest.raises(FolderError, match="is not empty"):
        study(task_folder, out=tmp_path / "mine")
    assert [p.name for p in (tmp_path / "mine").iterdir()] == ["letter.txt"]


def test_changed_data_is_refused(tmp_path: Path, tiny_folder) -> None:
    (tmp_path / "task").mkdir()
    folder = make_task(tmp_path / "task", test=20)
    model = str(tiny_folder("decoder-chat"))
    study(folder, model=model, arms="bare", out=tmp_path / "out")
    text = (folder / "test.jsonl").read_text()
    (folder / "test.jsonl").write_text(text.replace("Friday", "Sunday"))
    with pytest.raises(TaskError, match="the data changed"):
        study(folder, model=model, arms="bare", out=tmp_path / "out")


def test_study_toml_says_the_same_as_the_command_line(task_folder: Path, tmp_path: Path, tiny_folder) -> None:
    config = tmp_path / "study.toml"
    config.write_text(
        f'task = "{task_folder}"\nmodel = "{tiny_folder("decoder-chat")}"\nseed = 3\n'
        '[arms.small]\nmethod = "lora"\nsettings = {rank = 2}\ntraining = {epochs = 1.0}\n'
        '[arms.short]\nmethod = "zero-shot"\ntemplate = "question"\ngeneration = {max_new_tokens = 5}\n'
    )
    out = study(config=config, out=tmp_path / "out")
    assert arm_names(out) == {"copy-3", "zero-shot", "small", "short"}
    assert read_json(out / "arms" / "small" / "arm.json")["settings"]["rank"] == 2
    assert read_json(out / "study.json")["specification"]["seed"] == 3


@pytest.mark.slow
def test_looks_at_the_test_split_are_counted_over_studies(task_folder: Path, tmp_path: Path, tiny_folder) -> None:
    """Going on, asking again and repeating elsewhere are no new look; another arm is one, and keeps its own number."""
    model = str(tiny_folder("decoder-chat"))

    def look(name: str, arms: str) -> tuple[int, float, int]:
        out = study(task_folder, model=model, arms=arms, out=tmp_path / name)
        found = read_json(out / "compare.json")
        assert any(f"look {found['look']} at this test set" in warning for warning in found["warnings"])
        return found["look"], found["alpha"], read_json(out / "study.json")["task"]["test_opened"]

    assert look("one", "bare") == look("two", "bare") == look("one", "bare") == (1, 0.025, 1)
    assert look("three", "one-shot") == (2, 0.0125, 2)
    assert look("one", "one-shot") == (3, 0.00625, 3), "a folder with one arm more"
    (tmp_path / "cache" / "test-openings.json").unlink()
    assert look("three", "one-shot") == (2, 0.0125, 2), "the folder remembers what a lost cache does not"


def test_a_hundredth_look_at_a_test_split_is_a_study_like_any_other(
    task_folder: Path, tmp_path: Path, tiny_folder
) -> None:
    test = load_task(task_folder).hashes()["test"]
    write_json(cache_folder() / "test-openings.json", {test: [f"{number:016x}" for number in range(99)]})
    out = study(task_folder, model=str(tiny_folder("decoder-plain")), arms="copy-3", out=tmp_path / "out")
    found = read_json(out / "compare.json")
    assert found["look"] == 100 and found["ship"]["verdict"] == "cannot tell"
    assert (out / "report.html").exists()


def test_a_stopped_study_is_the_look_it_was_counted_as(finished: Path) -> None:
    folder = StudyFolder(finished)
    test = load_task(Path(read_json(finished / "study.json")["task"]["folder"])).hashes()["test"]
    arms = list(read_json(finished / "study.json")["arms"])
    (finished / "compare.json").rename(finished / "kept.json")
    try:
        assert look_ahead(folder, test, arms) == open_test(folder, test) == open_test(folder, test) == 1
        assert look_ahead(folder, test, [*arms, "one-shot"]) == 2
    finally:
        (finished / "kept.json").rename(finished / "compare.json")
    assert look_ahead(folder, test, arms) == 1


def test_samples_are_nested_and_keep_their_order() -> None:
    examples = tiny.examples(30)
    small, large = sample(examples, 5, seed=1), sample(examples, 12, seed=1)
    assert {e.id for e in small} < {e.id for e in large}
    assert large == sorted(large, key=examples.index)
    assert sample(examples, 5, seed=2) != small
    with pytest.raises(TaskError, match="31 examples were asked for but the split has 30"):
        sample(examples, 31, seed=1)


@pytest.mark.parametrize("name", ["lora-r4", pytest.param("full", marks=[pytest.mark.slow])])
def test_an_arm_repeats_its_probe_answers_in_a_new_process(name: str, finished: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from luthier.arms.shipped import *; verify(load_arm(Path(sys.argv[1])))"
    )
    subprocess.run([sys.executable, "-c", code, str(finished / "arms" / name)], check=True, timeout=300)


def test_a_changed_weight_fails_the_probes(finished: Path) -> None:
    import torch

    shipped = load_arm(finished / "arms" / "lora-r4")
    with torch.no_grad():
        for name, parameter in shipped.model.module.named_parameters():
            if "proj" in name:
                parameter.mul_(-3)
    with pytest.raises(ModelError, match="is answered differently here"):
        verify(shipped)


@pytest.mark.parametrize(
    "change, sentence",
    [
        ({"base": {"sha256": "0" * 64}}, "made on another"),
        ({"prompt_sha256": "0" * 64}, "renders another prompt"),
    ],
)
def test_another_base_or_template_is_refused(change: dict, sentence: str, finished: Path, tmp_path: Path) -> None:
    import shutil

    place = tmp_path / "arm"
    shutil.copytree(finished / "arms" / "lora-r4", place)
    note = read_json(place / "luthier.json")
    for key, value in change.items():
        note[key] = note[key] | value if isinstance(value, dict) else value
    ShippedNote.model_validate_json(json.dumps(note)).sealed().write(place)
    with pytest.raises(ModelError, match=sentence):
        load_arm(place)


def test_asking_an_arm_gives_the_answer_of_the_study(task_folder: Path, tmp_path: Path, tiny_folder) -> None:
    """In fp32. In bf16 one row rounds otherwise than a batch, and behind a near tie an answer is another one."""
    model, out = str(tiny_folder("decoder-chat")), tmp_path / "out"
    study(task_folder, model=model, arms="lora-r4", out=out, precision="fp32")
    examples = {row["id"]: row for row in read_lines(out / "examples.jsonl")}
    for row in read_lines(out / "arms" / "lora-r4" / "answers.jsonl")[:3]:
        pieces = list(ask(out, examples[row["id"]]["input"], arm="lora-r4"))
        assert "".join(pieces).strip() == row["text"]


def test_an_arm_that_is_asked_knows_how_its_own_answers_go_on(finished: Path) -> None:
    place = finished / "arms" / "lora-r4"
    said = max((row["tokens"] for row in read_lines(place / "answers.jsonl")), key=len)
    assert len(said) > 3 and load_arm(place).known().next_token(tuple(said[:3])) is not None


@pytest.mark.parametrize(
    "source, keywords, sentence",
    [
        ("study", {"text": " "}, "the text is empty"),
        ("study", {"arm": "no-such"}, "no luthier.json here; name a finished arm; there are: "),
        ("study", {"arm": "copy-3"}, "no luthier.json here"),
        ("study", {"generation": {"temperature": -1.0}}, "temperature"),
        ("model", {"arm": "lora"}, "is no study"),
    ],
)
def test_asking_for_what_cannot_be_had(source: str, keywords: dict, sentence: str, finished: Path, tiny_folder) -> None:
    where = finished if source == "study" else tiny_folder("decoder-chat")
    with pytest.raises(LuthierError, match=sentence):
        list(ask(where, **{"text": "Anna: Hello?", **keywords}))


def test_show_gives_the_prompt_of_the_study(finished: Path, task_folder: Path, tiny_folder) -> None:
    task, model = load_task(task_folder), tiny.fresh(tiny_folder("decoder-chat"))
    stored = read_lines_of(Prompt, finished / "arms" / "few-shot-2" / "prompts.jsonl")[4]
    shown, _ = prompt_of(task, "few-shot-2", model, "test", stored.id)
    assert shown == stored
    assert prompt_of(task, "lora", model, "dev")[0].target_ids


@pytest.mark.parametrize(
    "defaults, sentence",
    [
        ("epochs", "'epochs' has no value; write key=value,key=value"),
        ("epoch=1", "'epoch' is no setting of any arm here; there are: .*epochs"),
        ("neighbours=2", "'neighbours' is no setting of any arm here"),
        ("epochs=0", "arm 'lora': the key 'epochs' is 0"),
        ({"epochs": "one"}, "arm 'lora': the key 'epochs' is 'one'"),
    ],
)
def test_defaults_that_mean_nothing_are_refused(defaults, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=sentence):
        study("dialogues", arms="zero-shot,lora", defaults=defaults, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_arm_named_twice_is_refused() -> None:
    with pytest.raises(SettingsError, match="'bare' is named twice"):
        study("dialogues", arms="bare,bare")


NAMED = 'task = "TASK"\nmodel = "MODEL"\n[arms."lora"]\nmethod = "lora"\n[arms."NAME"]\nmethod = "zero-shot"\n'


@pytest.mark.parametrize("name", ["../x", "", ".", "lora/seed-1", "/tmp/x", "Lora", "a\\u001b[31m", "seed-1"])
def test_an_arm_whose_name_is_no_folder_s_is_refused_before_anything_is_made(
    name: str, task_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_folder
) -> None:
    monkeypatch.chdir(tmp_path)
    text = NAMED.replace("TASK", str(task_folder)).replace("MODEL", str(tiny_folder("decoder-chat")))
    (tmp_path / "study.toml").write_text(text.replace("NAME", name))
    with pytest.raises(SettingsError, match=r"^arm '"):
        study(config=tmp_path / "study.toml", out=tmp_path / "out" / "study")
    assert [path.name for path in tmp_path.rglob("*")] == ["study.toml"]


def test_a_task_whose_name_is_no_folder_s_is_refused_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_folder
) -> None:
    (tmp_path / "task").mkdir()
    task = make_task(tmp_path / "task")
    (task / "task.toml").write_text('name = "../../x"\n')
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(SettingsError, match=r"task '\.\./\.\./x': its name holds a / or"):
        study(task, model=str(tiny_folder("decoder-chat")), arms="copy-3")
    assert list((tmp_path / "here").iterdir()) == []
