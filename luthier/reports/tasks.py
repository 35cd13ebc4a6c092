"""Several studies of one multi-task training in one table: its folder -> tasks.json, report.html, report.md.

    tasks/TASK/compare.json, scores.jsonl   what each task's own study says
    multi/ARM/mixture.json, training.json   what the multi-task arm saw
    cost.json                               what the clock said; it is read for the page and not kept in tasks.json

Each task asks one question of each multi-task arm: is it better than the arm trained on this task alone or, for a task
held out, than the zero-shot base? These questions are one family over all tasks, whatever else the studies compare.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from luthier.errors import FolderError
from luthier.files import inside, possible, write_text
from luthier.reports.pairs import strip_of
from luthier.reports.words import family, mixture_words, task_sentences
from luthier.reports.write import SIGNS, Names, environment, markdown
from luthier.results.arm_record import TrainingRecord
from luthier.results.comparison import Comparison
from luthier.results.cost import Cost
from luthier.results.folder import StudyFolder
from luthier.results.multitask_record import EffortRow, MixtureRecord, MultitaskRecord, TaskPair, TaskRow, TasksRecord
from luthier.results.names import arm_folder, slug
from luthier.stats import simultaneous
from luthier.verdicts.compare import comparison

LEVEL = 0.95


def multi(arm: str) -> str:
    """The name of the multi-task arm that is trained like the single-task `arm`."""
    return f"multi-{arm}"


def conclude(folder: Path) -> TasksRecord:
    """tasks.json from the finished studies; writes it too. It holds no times.

    Raises FolderError when a file of a study is missing or damaged.
    """
    record = MultitaskRecord.read(folder)
    studies = {task: StudyFolder(inside(folder, member.folder)) for task, member in record.tasks.items()}
    comparisons = {task: Comparison.read(study.path) for task, study in studies.items()}
    tasks = [TaskRow.of(task, member, comparisons[task]) for task, member in record.tasks.items()]
    questions = [(task, arm) for arm in record.trained for task in tasks]
    level = simultaneous.simultaneous_level(LEVEL, len(questions))
    pairs = [_pair(studies[task.task], task, arm, comparisons[task.task], level) for task, arm in questions]
    result = TasksRecord(
        format=1,
        level=LEVEL,
        comparisons=len(questions),
        sentences=[sentence for arm in record.trained for sentence in task_sentences(arm, multi(arm), pairs)],
        family=family(len(questions), LEVEL, [task.look for task in tasks]),
        tasks=tasks,
        pairs=pairs,
        mixtures={multi(arm): MixtureRecord.read(_training(folder, arm)).tasks for arm in record.trained},
        effort=[row for arm in record.trained for row in _effort(folder, record, arm)],
        findings=record.findings,
        warnings={task: list(compared.warnings) for task, compared in comparisons.items()},
    )
    result.write(folder)
    return result


def _training(folder: Path, arm: str) -> Path:
    """Where an arm was trained on the mixture."""
    return folder / "multi" / slug("arm", multi(arm))


def _pair(study: StudyFolder, task: TaskRow, arm: str, in_study: Comparison, level: float) -> TaskPair:
    """A multi-task arm against another arm on one task, judged at the level of the whole family."""
    a, b = multi(arm), "zero-shot" if task.held_out else arm
    scores = {name: study.scores(name) for name in (a, b)}
    judged = comparison(scores, deciding=task.metric, margin=task.margin, level=level, baselines=(), look=task.look)
    (pair,) = judged.deciding_pairs
    return TaskPair.of(task, pair, in_study.pair(a, b))


def _effort(folder: Path, record: MultitaskRecord, arm: str) -> list[EffortRow]:
    """A row for each training: of the single-task arms, then of the multi-task arm."""
    single = {task: member.folder for task, member in record.tasks.items() if not member.held_out}
    return [
        *(
            EffortRow.of(arm, task, study_folder, TrainingRecord.read(arm_folder(folder / study_folder, arm)))
            for task, study_folder in single.items()
        ),
        EffortRow.of(multi(arm), "all together", ".", TrainingRecord.read(_training(folder, arm))),
    ]


# ------------------------------------------------------------------------------------------------------------- page


def overview(folder: str | Path) -> Path:
    """Writes tasks.json, report.md and report.html of a finished multi-task study; returns the page.

    Raises FolderError when the folder holds none, or a file of it is missing or damaged.
    """
    folder = possible(folder)
    if not MultitaskRecord.is_in(folder):
        raise FolderError(f"{folder}: holds no {MultitaskRecord.FILE}; name a folder made by `luthier multitask`")
    shown = _shown(folder, MultitaskRecord.read(folder), conclude(folder))
    write_text(folder / "report.md", environment(markdown).get_template("overview.md.jinja").render(shown))
    write_text(folder / "report.html", environment(None).get_template("overview.html.jinja").render(shown))
    return folder / "report.html"


def _shown(folder: Path, record: MultitaskRecord, result: TasksRecord) -> Names:
    """The variables of both templates."""
    return {
        "record": record,
        "result": result,
        "model": record.model,
        "prompts": _prompts(result.tasks, record.trained),
        "table": _table(result),
        "minutes": [_minutes(folder / row.folder, row.arm) for row in result.effort],
        "strip": strip_of(result.pairs, max(task.margin for task in result.tasks)),
        "signs": SIGNS,
        "several_templates": any(
            len(share.templates) > 1 for shares in result.mixtures.values() for share in shares.values()
        ),
        "mixture": mixture_words(record.mixture),
    }


def _prompts(tasks: Sequence[TaskRow], trained: Sequence[str]) -> list[str]:
    """The arms without training, except the copying baseline, which differs between tasks."""
    prompted = dict.fromkeys(arm for task in tasks for arm in task.arms)
    train = {name for arm in trained for name in (arm, multi(arm))}
    return [arm for arm in prompted if arm not in train and not arm.startswith("copy")]


def _table(result: TasksRecord) -> dict[str, list[tuple[TaskPair, TaskRow]]]:
    """Heading -> each question with its task: of the trained tasks first, then of those held out."""
    tasks = {task.task: task for task in result.tasks}
    parts: Mapping[str, bool] = {"trained on": False, "held out: never trained on": True}
    rows = {
        title: [(pair, tasks[pair.task]) for pair in result.pairs if pair.held_out is held]
        for title, held in parts.items()
    }
    return {title: some for title, some in rows.items() if some}


def _minutes(folder: Path, arm: str) -> float | None:
    """Minutes of training an arm, its dev answers on the way included; None where it was not measured."""
    cost = Cost.read_if_there(folder)
    return cost.of(arm).fit_minutes if cost else None
