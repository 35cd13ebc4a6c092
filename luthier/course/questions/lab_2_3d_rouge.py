"""Questions of lab 2.3d: several arms at once, and which to ship."""

from __future__ import annotations

from random import Random
from typing import Any

from luthier.course.question import Choice, Question, WrongSolution

NAMES = ("full", "lora", "soft", "prefix")


def _arms(dice: Random) -> dict[str, Any]:
    """Bounds in thousandths, means and sizes of four arms."""
    bounds = tuple(-dice.randrange(0, 50) for _ in NAMES)
    means = tuple(dice.randrange(300, 360) for _ in NAMES)
    sizes = tuple(dice.sample(range(1, 300), 4))
    lines = "; ".join(
        f"{name} {size} MB, mean {mean}, bound {bound}"
        for name, size, mean, bound in zip(NAMES, sizes, means, bounds, strict=True)
    )
    return {"bounds": bounds, "means": means, "sizes": sizes, "lines": lines, "margin": dice.randrange(12, 40)}


def _ship(bounds: tuple[int, ...], sizes: tuple[int, ...], margin: int) -> str:
    near = [(size, name) for name, size, bound in zip(NAMES, sizes, bounds, strict=True) if bound > -margin]
    return min(near)[1] if near else "cannot tell"


def _again(bounds: tuple[int, ...], sizes: tuple[int, ...], margin: int) -> str:
    for at in sorted(range(4), key=lambda one: sizes[one]):
        if bounds[at] + margin > 0:
            return NAMES[at]
    return "cannot tell"


def _bonferroni(dice: Random) -> dict[str, Any]:
    return {"arms": dice.randrange(3, 12), "error": dice.randrange(10, 200) / 10}


QUESTIONS = (
    Question(
        row="lab2.3d",
        name="ship",
        text="Four arms, with means and bounds in thousandths: {lines}. A bound is how far an arm may be behind the "
        "best of the others. The margin is {margin} thousandths. Which arm is shipped? (Answer with its name, or with: "
        "cannot tell.)",
        draw=_arms,
        answer=_ship,
        again=_again,
        wrong={
            "You took the highest mean. The cheapest arm that is surely near the best is shipped.": (
                lambda means: NAMES[means.index(max(means))]
            ),
            "You took the cheapest arm of all, near the best or not.": lambda sizes: NAMES[sizes.index(min(sizes))],
        },
        why="Of the arms whose bound is above minus {margin} the smallest is taken: {answer}.",
    ),
    Question(
        row="lab2.3d",
        name="pairs",
        text="{arms} arms are compared, each pair of them. All verdicts together may be wrong with an error rate of "
        "{error} %. Bonferroni gives each pair the same part of it. How many percent is it for one pair?",
        draw=_bonferroni,
        answer=lambda arms, error: error / (arms * (arms - 1) / 2),
        again=lambda arms, error: error / sum(range(arms)),
        wrong={
            "You divided by the arms. The error is shared by the pairs.": lambda arms, error: error / arms,
            "You counted each pair twice.": lambda arms, error: error / (arms * (arms - 1)),
            "You gave each pair the whole error rate. Then some pair errs far more often.": lambda error: error,
            "You counted the pairs with the first arm alone.": lambda arms, error: error / (arms - 1),
        },
        why="{arms} arms make {arms} x ({arms} - 1) / 2 pairs, so each has {answer:.3g} %.",
        unit="%",
    ),
    Choice(
        row="lab2.3d",
        name="not-separated",
        text="LoRA and full fine-tuning stand in one group of arms that are not separated. What does that mean?",
        right="this test set does not show which is better",
        wrong={
            "they are equally good": "That has to be shown: the verdict would be equivalent.",
            "ship both": "One is enough. The decision takes the cheapest that is surely near the best.",
            "the one with the higher mean is better": "Its mean may be higher by chance.",
        },
        why="Not separated means that no verdict of better was found between them.",
    ),
)

WRONG_SOLUTIONS = {
    "to_ship": (
        WrongSolution(
            "def to_ship(bounds, cost, margin):\n    return max(bounds, key=lambda name: bounds[name])",
            says="not the one with the best bound",
        ),
        WrongSolution(
            "def to_ship(bounds, cost, margin):\n    return min(cost, key=lambda name: cost[name])",
            says="however cheap it is",
        ),
        WrongSolution(
            "def to_ship(bounds, cost, margin):\n"
            "    near = [name for name, bound in bounds.items() if bound > -margin] or list(bounds)\n"
            "    return min(near, key=lambda name: cost[name])",
            says="nobody can tell",
        ),
    )
}
