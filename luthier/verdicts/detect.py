"""What a test set can and cannot show, in sentences for before the training; what could show nothing is refused."""

from __future__ import annotations

from collections.abc import Sequence

from luthier.errors import TaskError
from luthier.records import Example
from luthier.scoring.score import problem_of
from luthier.stats.power import detectable_difference, equivalence_possible
from luthier.stats.simultaneous import alpha_at_look
from luthier.task.spec import Split
from luthier.task.task import Task

# Paired standard deviations of ROUGE-1 between two arms on dialogues, from close arms to unlike ones (docs/log.md).
TYPICAL_SD = (0.08, 0.13, 0.17)

# For labels: the square root of the share of examples where only one of two arms is right (10, 25 and 40 %).
CLASS_SD = (0.32, 0.5, 0.63)


def can_show(task: Task, test: Sequence[Example], arms: int, look: int) -> list[str]:
    """Sentences on what these test examples can and cannot show among `arms` arms, at this look at them."""
    units, level = len({example.unit for example in test}), 1 - alpha_at_look(look)
    margin, pairs = task.spec.decide.margin, arms * (arms - 1) // 2
    spreads = CLASS_SD if task.labels else TYPICAL_SD
    low, middle, high = (detectable_difference(units, sd, pairs, level=level) for sd in spreads)
    can = [equivalence_possible(units, sd, margin, pairs, level=level) for sd in spreads]
    alike = "" if all(can) else " only if they answer alike"
    equivalent = (
        f"can be shown equivalent within {margin:g}{alike}"
        if any(can)
        else (f"cannot be shown equivalent within {margin:g}")
    )
    what = "examples" if task.labels else "dialogues"
    return [
        f"{units} test {what}, {arms} arms, {pairs} pairs on {task.spec.decide.metric}: a true difference of "
        f"{middle:.3f} is found in 80 % of studies ({low:.3f} between arms that answer alike, {high:.3f} between "
        "unlike ones).",
        f"Two equal arms {equivalent} at this size.",
    ]


def unseen_labels(task: Task, train: Sequence[Example]) -> list[str]:
    """A sentence with the labels that no train example has, so that no arm can learn them; none if all have one."""
    seen = {example.references[0] for example in train}
    lacking = [label for label in task.labels if label not in seen]
    return [f"The {len(train)} train examples have no row of: {', '.join(lacking)}."] if lacking else []


def refuse_unscorable(task: Task, split: Split, examples: Sequence[Example]) -> None:
    """Raises TaskError where the deciding metric has no value for more than half of the examples, whatever is answered.

    On dev such a metric would choose lengths and checkpoints by nothing; on test, arms could not be compared after all
    of them have run.
    """
    metric, reading = task.spec.decide.metric, task.reading
    problems = [(example, problem) for example in examples if (problem := problem_of(example, metric, reading))]
    if 2 * len(problems) > len(examples):
        example, problem = problems[0]
        raise TaskError(
            f"{task.files[split].name}: {metric} decides and cannot be computed for {len(problems)} of "
            f"{len(examples)} {split} examples (row {example.row}: {problem}); set decide.metric in {task.file}"
        )
