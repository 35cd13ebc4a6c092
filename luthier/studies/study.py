"""A study: arms x examples through the same code, in a folder that can make itself again; what is done is not redone.

    examples, health, what can be detected -> every arm (run.py) -> compare.json -> report

The dev split chooses lengths and checkpoints; the test split is opened once, at the end of each arm.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from luthier.adapt.methods import METHODS
from luthier.arms.resolve import Arm, TrainedArm, as_trained, resolve, with_defaults
from luthier.arms.short_form import parse
from luthier.arms.spec import ArmSpec
from luthier.arms.usual import arm_specs, with_baselines
from luthier.decoding.answers import room_for
from luthier.errors import SettingsError, TaskError
from luthier.files import locked, read_json, read_lines, sha256_of_text, write_json, write_lines
from luthier.model.model import Model, load
from luthier.progress import say, stoppable
from luthier.records import Answer, Example, Prompt, Score, as_row, from_row
from luthier.reports.write import report
from luthier.results.comparison import Comparison
from luthier.results.folder import StudyFolder, bytes_to_ship
from luthier.scoring.score import refuse_unequal
from luthier.studies.arm import run_arm
from luthier.studies.fit import Work
from luthier.studies.origin import study_origin
from luthier.studies.runs import Run, effort, runs, time_left, trained_here
from luthier.studies.spec import StudySpec, specification
from luthier.task.check import check_task
from luthier.task.findings import Finding
from luthier.task.prompt import draw_shots
from luthier.task.spec import SPLITS
from luthier.task.task import Task, load_task
from luthier.training.memory import Bound
from luthier.verdicts.compare import comparison
from luthier.verdicts.detect import can_show, unseen_labels
from luthier.verdicts.profile import profile

MAY_CHANGE = ("precision", "seeds")  # of a specification whose study is gone on with
MOST_DEV = 32  # dev examples that are asked where nobody says otherwise: enough to choose, cheap to answer


def study(
    task: str | Path | None = None,
    *,
    model: str | None = None,
    arms: str | Sequence[str] | None = None,
    defaults: str | Mapping[str, Any] | None = None,
    train: int | None = None,
    dev: int | None = None,
    test: int | None = None,
    out: str | Path | None = None,
    config: str | Path | None = None,
    seed: int | None = None,
    precision: str | None = None,
    seeds: int | None = None,
    tune: int | None = None,
    likelihood: bool | None = None,
    memory: float | None = None,
    command: str = "",
) -> Path:
    """Runs what is missing of a study and returns its folder, with compare.json, report.html and report.md inside.

    What is given here goes before what study.toml (`config`) says. Called again with the same arguments it goes on
    where it stopped, and with more arms or `seeds` it runs those alone. Raises LuthierError sentences.
    """
    keywords = {
        "model": model, "defaults": defaults, "train": train, "dev": dev, "test": test, "seed": seed,
        "precision": precision, "seeds": seeds, "tune": tune, "likelihood": likelihood, "memory": memory,
    }  # fmt: skip
    spec = specification(task, arms, config, keywords)
    found = load_task(str(spec.task))
    specs = with_baselines(arm_specs(spec.arms, found, spec.model), found, spec.model)
    specs = with_defaults(specs, spec.defaults)
    resolved = [resolve(name, arm, found, spec.model) for name, arm in specs.items()]
    folder = StudyFolder(Path(out) if out else _default_folder(spec, found))
    with locked_study(folder), stoppable():
        run_study(folder, spec, found, resolved, command)
    return folder.path


def locked_study(folder: StudyFolder) -> Any:
    """One process at a time works on a study; somebody else's folder is refused before anything is written to it."""
    if folder.path.exists():
        folder.take({})
    return locked(folder.path)


def run_study(
    folder: StudyFolder,
    spec: StudySpec,
    task: Task,
    arms: Sequence[Arm],
    command: str,
    trained: Mapping[str, Path] | None = None,
    found: Sequence[Finding] = (),
) -> None:
    """Runs what is missing of a study whose folder is locked by the caller.

    trained: arm -> the folder of its finished training, for arms that were trained elsewhere. found: what else is to be
    said of the data, beside what the check of the task says.
    """
    asked = spec.model_dump(mode="json") | {"task": task.name}
    known = folder.take({k: v for k, v in asked.items() if k not in MAY_CHANGE}, StudySpec().model_dump(mode="json"))
    asked["seeds"] = seeds = max(spec.seeds, known["specification"].get("seeds", 1) if known else 1)
    arms = _with_known_arms(arms, known, task, spec.model)
    bases = _bases(spec.model, arms, task, known["model"]["precision"] if known else spec.precision)
    base = bases[spec.model]
    work = replace(work_of(folder, spec, task, base), trained=trained or {})
    _same_data(folder, known, work)
    look = folder.look(task.hashes()["test"], [arm.name for arm in arms])
    power = can_show(task, work.test, len(arms), look) + unseen_labels(task, work.train)
    # Looking at every row takes a while on large data, and on going on the data is known to be the same.
    health = known["health"] if known else [asdict(one) for one in (*found, *check_task(task, base))]
    work_ahead = effort(arms, seeds, spec.tune)
    for sentence in [row["text"] for row in health if row["level"] != "note"] + power + work_ahead:
        say(sentence)
    about = study_origin(asked, command, work, bases, arms) | {"power": power, "effort": work_ahead, "health": health}
    folder.begin(about, known)
    write_lines(folder.path / "examples.jsonl", map(as_row, work.test))
    _run_arms(work, runs(arms, seeds), bases)
    about["task"]["test_opened"] = conclude(folder, task, arms, seeds).look
    write_json(folder.path / "study.json", about | {"status": "done"})
    folder.log("done")
    report(folder.path)


def _bases(own: str, arms: Sequence[Arm], task: Task, precision: str) -> dict[str, Model]:
    """The study's model and those that arms name for themselves, by name; what cannot be had is refused at once."""
    names = dict.fromkeys([own, *(arm.model for arm in arms if arm.model)])
    return {name: load(name, precision=precision, labels=task.labels) for name in names}


def _run_arms(work: Work, every: Sequence[Run], bases: Mapping[str, Model]) -> None:
    """Runs what is missing, and says after each training how long the others will take."""
    trained = [run for run in every if trained_here(run.of)]
    done = [run for run in trained if work.folder.finished(run.name)]
    for run in every:
        if work.folder.finished(run.name):
            continue
        arm, base = run.arm, bases[run.of.model or work.model_name]
        if run.seed and isinstance(arm, TrainedArm):
            # What dev chose under the study's seed is the recipe; the further seeds are trained by it as it stands.
            recipe = as_trained(arm, read_json(work.folder.arm(run.of.name) / "arm.json"))
            run_arm(replace(work, seed=work.seed + run.seed, trials=0), recipe, base)
        else:
            run_arm(work, arm, base)
        if run in trained:
            done.append(run)
            _say_time_left(work, trained, done)


def _say_time_left(work: Work, trained: Sequence[Run], done: Sequence[Run]) -> None:
    pending = [run for run in trained if run not in done]
    left = time_left(work.folder.cost()["arms"], done, pending)
    if pending and left is not None:
        say(f"{len(done)} of {len(trained)} trainings are done; the others take about {left / 60:.0f} minutes.")


def conclude(folder: StudyFolder, task: Task, arms: Sequence[Arm], seeds: int = 1) -> Comparison:
    """compare.json from the scores and costs of the arms and their further seeds; no model is asked."""

    def scores_of(run: Run) -> list[Score]:
        return [from_row(Score, row) for row in read_lines(folder.arm(run.name) / "scores.jsonl")]

    every = runs(arms, seeds)
    scores = {run.name: scores_of(run) for run in every if run.seed == 0}
    further: dict[str, list[list[Score]]] = {}
    for run in every[len(arms) :]:
        further.setdefault(run.of.name, []).append(scores_of(run))
    cost = _costs({arm.name: read_json(folder.arm(arm.name) / "arm.json") for arm in arms})
    baselines = tuple(a.name for a in arms if not a.method.asks_model or a.name == "zero-shot")
    decide = task.spec.decide
    found = comparison(
        scores,
        deciding=decide.metric,
        margin=decide.margin,
        cost=cost,
        baselines=baselines,
        look=folder.open_test(task.hashes()["test"]),
        seeds=further or None,
    )
    found.write(folder.path)
    if task.labels:  # a label has no length and no facts
        return found
    answers = {a.name: [from_row(Answer, r) for r in read_lines(folder.arm(a.name) / "answers.jsonl")] for a in arms}
    examples = [from_row(Example, row) for row in read_lines(folder.path / "examples.jsonl")]
    profile(
        {name: own for name, own in answers.items() if own},
        examples,
        task.dev,
        deciding=decide.metric,
        margin=decide.margin,
        references=decide.references,
    ).write(folder.path)
    return found


def _costs(arms: Mapping[str, Mapping[str, Any]]) -> dict[str, tuple[float, float, float]]:
    """What shipping each arm costs, most important first: MB to ship, tokens a prompt, passes. Nothing timed."""
    shipped = bytes_to_ship(arms)

    def cost(name: str, arm: Mapping[str, Any]) -> tuple[float, float, float]:
        return (
            shipped[name] / 1e6,
            arm["counts"].get("prompt_tokens_mean", 0.0),
            float(METHODS[arm["method"]].asks_model),
        )

    return {name: cost(name, arm) for name, arm in arms.items()}


def _default_folder(spec: StudySpec, task: Task) -> Path:
    """studies/TASK-MODEL-xxxxxxxx: the same arguments, arms and seeds apart, come back to the same folder."""
    same = spec.model_dump_json(exclude={"arms", "task", "seeds"})
    mark = sha256_of_text(same, *task.hashes().values())[:8]
    return Path("studies") / f"{task.name}-{Path(spec.model).name}-{mark}"


def _with_known_arms(arms: Sequence[Arm], known: dict[str, Any] | None, task: Task, base: str) -> list[Arm]:
    """The arms asked for, after those that the folder holds already; an arm of the same name must be the same."""
    if known is None:
        return list(arms)
    stored = {name: resolve(name, ArmSpec.model_validate(spec), task, base) for name, spec in known["arms"].items()}
    for arm in arms:
        if arm.name in stored and stored[arm.name] != arm:
            raise SettingsError(f"arm '{arm.name}' was run with other settings in this folder; give it another name")
    return list((stored | {arm.name: arm for arm in arms}).values())


def work_of(folder: StudyFolder, spec: StudySpec, task: Task, base: Model) -> Work:
    """What the arms of a study share: its samples of the splits, and where things lie.

    Raises TaskError for a split without a usable example, or with fewer than are asked for.
    """
    train, dev, test = ([e for e in task.split(name) if e.input.strip() and e.references] for name in SPLITS)
    for name, usable in zip(SPLITS, (train, dev, test), strict=True):
        if not usable:
            raise TaskError(f"{task.folder}: the {name} split has no example with an input and a reference; add some")
        if task.spec.decide.references == "max" and name != "train":
            refuse_unequal(usable)
    return Work(
        task=task,
        train=sample(train, spec.train, spec.seed),
        dev=sample(dev, spec.dev or min(MOST_DEV, len(dev)), spec.seed),
        test=sample(test, spec.test, spec.seed),
        seed=spec.seed,
        model_name=spec.model,
        precision="bf16" if "bfloat16" in str(base.dtype) else "fp32",
        folder=folder,
        trials=spec.tune,
        likelihood=spec.likelihood,
        bound=Bound(spec.memory * 1e9 if spec.memory else None, base.module),
    )


def sample(examples: Sequence[Example], count: int | None, seed: int) -> list[Example]:
    """`count` examples drawn by seed, in their own order; a larger draw holds the smaller one.

    Raises TaskError when there are fewer.
    """
    if count is None:
        return list(examples)
    if count > len(examples):
        raise TaskError(f"{count} examples were asked for but the split has {len(examples)}; ask for fewer")
    order = list(range(len(examples)))
    random.Random(f"sample-{seed}").shuffle(order)
    return [examples[i] for i in sorted(order[:count])]


def _same_data(folder: StudyFolder, known: dict[str, Any] | None, work: Work) -> None:
    """A study goes on only with the examples it began with."""
    if known is not None and known["task"]["hashes"] != work.task.hashes():
        raise TaskError(
            f"{work.task.folder}: the data changed since the study in {folder.path} began; start a new study with --out"
        )


def prompt_of(task: Task, arm: str, model: Model, split: str = "dev", id: str | None = None) -> tuple[Prompt, Example]:
    """The exact prompt of one example under an arm's short form; a trained arm's target comes with it.

    `model` is the one that the arm would have. Raises TaskError when the split has no such example.
    """
    spec = parse(arm)
    found = resolve(arm, spec.model_copy(update={"model": spec.model or model.name}), task)
    examples = task.split(split)
    example = next((e for e in examples if id is None or e.id == id), None)
    if example is None:
        raise TaskError(f"{task.folder}: the {split} split has no example '{id}'; its first is '{examples[0].id}'")
    shots = draw_shots(task.train, found.shots, task.spec.prompt.shot_seed)
    text, room = task.template(found.template), room_for(model, task.spec.answer.max_new_tokens)
    return model.renderer.prompt(example, text, shots, room=room, train=found.method.trains), example
