"""Questions of lab 2.2d: means, pairs and verdicts."""

from __future__ import annotations

from random import Random
from typing import Any

from luthier.course.question import Choice, Question, WrongSolution


def _scores(dice: Random) -> dict[str, Any]:
    """Scores of five dialogues in thousandths; the base has a sixth that the tuned model lacks."""
    base = [dice.randrange(150, 450) for _ in range(6)]
    tuned = [one + dice.randrange(-60, 120) for one in base[:5]]
    return {
        "base": tuple(base),
        "tuned": tuple(tuned),
        "shown_base": ", ".join(map(str, base)),
        "shown_tuned": ", ".join(map(str, tuned)),
    }


def _half(dice: Random) -> dict[str, Any]:
    half, middle = dice.randrange(4, 70), dice.randrange(-70, 71)
    return {"low": middle - half, "high": middle + half, "margin": dice.randrange(10, 41), "n": dice.randrange(40, 200)}


def _verdict(low: int, high: int, margin: int) -> str:
    if low > 0:
        return "better"
    if high < 0:
        return "worse"
    return "equivalent" if -margin < low and high < margin else "cannot tell"


QUESTIONS = (
    Question(
        row="lab2.2d",
        name="difference",
        text="ROUGE-1 of six dialogues in thousandths. Base: {shown_base}. Tuned: {shown_tuned}; it gave no answer to "
        "the sixth dialogue. How many thousandths is the mean paired difference, tuned - base?",
        draw=_scores,
        answer=lambda base, tuned: sum(b - a for a, b in zip(base, tuned, strict=False)) / 5,
        again=lambda base, tuned: sum(tuned) / 5 - sum(base[:5]) / 5,
        wrong={
            "You compared the two means. The base's mean holds a dialogue that the tuned model did not answer.": (
                lambda base, tuned: sum(tuned) / 5 - sum(base) / 6
            ),
            "You counted the missing answer as zero. Unknown is not zero.": (
                lambda base, tuned: (sum(tuned) - sum(base)) / 6
            ),
            "You took base - tuned.": lambda base, tuned: (sum(base[:5]) - sum(tuned)) / 5,
        },
        why="Five dialogues have both scores. The mean of their differences is {answer:.4g}.",
    ),
    Question(
        row="lab2.2d",
        name="verdict",
        text="tuned - base over {n} dialogues: the interval is {low} to {high} thousandths, the margin {margin}. Say "
        "the verdict on the tuned model: better, worse, equivalent or cannot tell.",
        draw=_half,
        answer=_verdict,
        again=lambda low, high, margin: (
            ("equivalent" if max(-low, high) < margin else "cannot tell")
            if low <= 0 <= high
            else {1: "better", 0: "worse"}[int(low > 0)]
        ),
        wrong={
            "You read the mean alone. A mean on one side of zero is no verdict.": (
                lambda low, high: "better" if low + high > 0 else "worse"
            ),
        },
        why="The interval decides: {answer}.",
    ),
    Choice(
        row="lab2.2d",
        name="two-means",
        text="A notebook gives the base model's ROUGE-1 as 0.2422 in one cell and 0.2128 in another, for the same "
        "rows. What is to be done first?",
        right="score both models again in one stated way",
        wrong={
            "take the mean of the two": "Two ways of scoring measure two things. Their mean measures none.",
            "take the lower one, to be careful": "A lower base makes the tuned model look better, not worse.",
            "nothing, sampling explains it": "The rows are the same, so chance had no part unless answers changed.",
        },
        why="Only numbers of one way of scoring can be compared, and the way stands beside them.",
    ),
)

WRONG_SOLUTIONS = {
    "paired_difference": (
        WrongSolution(
            "def paired_difference(tuned, base):\n"
            "    return sum(tuned.values()) / len(tuned) - sum(base.values()) / len(base)",
            says="only one of them answered",
        ),
        WrongSolution(
            "def paired_difference(tuned, base):\n"
            "    return sum(a - b for a, b in zip(tuned.values(), base.values())) / min(len(tuned), len(base))",
            says="by its name",
        ),
        WrongSolution(
            "def paired_difference(tuned, base):\n"
            "    both = [name for name in tuned if name in base]\n"
            "    return sum(base[name] - tuned[name] for name in both) / len(both)",
            says="take tuned minus base",
        ),
    )
}
