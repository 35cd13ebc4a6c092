"""A finished study's decision: scores and costs of its arms -> compare.json and profile.json. It needs no model."""

from __future__ import annotations

from luthier.records import Score
from luthier.results.arm_record import ArmRecord, bytes_to_ship
from luthier.results.comparison import Comparison
from luthier.results.folder import StudyFolder
from luthier.results.panel_record import Panel
from luthier.results.resume import open_test
from luthier.results.study_record import StudyRecord
from luthier.task.task import Task
from luthier.verdicts.compare import comparison
from luthier.verdicts.profile import profile

ZERO_SHOT = "zero-shot"  # a baseline, although it asks a model


def conclude(folder: StudyFolder, task: Task) -> Comparison:
    """Compares all arms of a study and writes compare.json and profile.json. All arms and seeds must be finished."""
    study = StudyRecord.read(folder.path)
    arms = {name: folder.arm_record(name) for name in study.arms}
    decide = task.spec.decide
    compared = comparison(
        {name: folder.scores(name) for name in arms},
        deciding=decide.metric,
        margin=decide.margin,
        cost=costs(arms),
        baselines=tuple(name for name, arm in arms.items() if not arm.asks_model or name == ZERO_SHOT),
        look=open_test(folder, task.hashes()["test"]),
        seeds=further_seeds(folder, arms, study.seeds) or None,
        barred=Panel.read(folder.path).not_kept if study.requires_kept else {},
    )
    compared.write(folder.path)
    if task.labels:  # a label has no length and no facts
        return compared
    profile(
        {name: answers for name in arms if (answers := folder.answers(name))},
        folder.examples(),
        task.dev,
        deciding=decide.metric,
        margin=decide.margin,
        references=decide.references,
        reading=task.reading,
    ).write(folder.path)
    return compared


def further_seeds(folder: StudyFolder, arms: dict[str, ArmRecord], seeds: int) -> dict[str, list[list[Score]]]:
    """arm -> its scores under each further seed, for the arms that the study itself trained."""
    trained = [name for name, arm in arms.items() if arm.is_trained and arm.trained_on is None]
    further = range(1, seeds)
    return {name: [folder.scores(f"{name}/seed-{seed}") for seed in further] for name in trained if further}


def costs(arms: dict[str, ArmRecord]) -> dict[str, tuple[float, float, float, float]]:
    """The costs of each arm, most important first; no times.

    MB to ship, tokens a prompt, sequences written for an answer (beams, samples), 1 if it asks a model.
    """
    shipped = bytes_to_ship(arms)
    return {
        name: (
            shipped[name] / 1e6,
            arm.counts.prompt_tokens_mean or 0.0,
            float(arm.counts.sequences),
            float(arm.asks_model),
        )
        for name, arm in arms.items()
    }
