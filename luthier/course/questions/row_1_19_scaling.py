"""Questions of lesson 1.19: scaling laws."""

from __future__ import annotations

import math
from random import Random
from typing import Any

from luthier.course.question import Choice, Question, WrongSolution


def _budget(dice: Random) -> dict[str, Any]:
    return {"mantissa": dice.randrange(10, 100) / 10, "power": dice.randrange(20, 25), "ratio": dice.randrange(5, 120)}


def _exponents(dice: Random) -> dict[str, Any]:
    return {
        "alpha": dice.randrange(25, 60) / 100,
        "beta": dice.randrange(25, 60) / 100,
        "times": dice.choice((8, 10, 16, 20, 32, 50, 64, 100)),
    }


def _interval(dice: Random) -> dict[str, Any]:
    low = dice.randrange(4, 30)
    return {"low": low, "high": dice.randrange(2 * low, 10 * low), "power": dice.randrange(20, 26)}


QUESTIONS = (
    Question(
        row="1.19",
        name="size",
        text="You have {mantissa}e{power} floating-point operations for training. Each parameter shall read {ratio} "
        "tokens. How many billion parameters can the model have?",
        draw=_budget,
        answer=lambda mantissa, power, ratio: math.sqrt(mantissa * 10**power / (6 * ratio)) / 1e9,
        again=lambda mantissa, power, ratio: math.exp(
            (math.log(mantissa) + power * math.log(10) - math.log(6 * ratio)) / 2 - 9 * math.log(10)
        ),
        wrong={
            "You forgot the six operations for each parameter and token.": (
                lambda mantissa, power, ratio: math.sqrt(mantissa * 10**power / ratio) / 1e9
            ),
            "You counted two operations for each parameter and token. That is reading; training takes six.": (
                lambda mantissa, power, ratio: math.sqrt(mantissa * 10**power / (2 * ratio)) / 1e9
            ),
            "You answered with the tokens. Parameters are fewer by the ratio.": (
                lambda mantissa, power, ratio: math.sqrt(mantissa * 10**power * ratio / 6) / 1e9
            ),
            "You left the ratio out, as if each parameter read one token.": (
                lambda mantissa, power: math.sqrt(mantissa * 10**power / 6) / 1e9
            ),
        },
        why="Compute is 6 N D, and D is {ratio} N. So N is the root of compute / (6 x {ratio}): {answer:.3g} billion.",
    ),
    Question(
        row="1.19",
        name="grow",
        text="A law says that the loss is E + A / N^{alpha} + B / D^{beta}, for N parameters and D tokens. You get "
        "{times} times as much compute. By which factor should the number of parameters grow?",
        draw=_exponents,
        answer=lambda alpha, beta, times: times ** (beta / (alpha + beta)),
        again=lambda alpha, beta, times: times / math.exp(math.log(times) * alpha / (alpha + beta)),
        wrong={
            "You took the exponents the other way round. A small alpha means that more parameters still help.": (
                lambda alpha, beta, times: times ** (alpha / (alpha + beta))
            ),
            "You split the growth evenly, as a rule of thumb does. Here the exponents differ.": (
                lambda times: math.sqrt(times)
            ),
            "You put all of the compute into parameters, and none into text.": lambda times: times,
        },
        why="The best N grows as compute to the power beta / (alpha + beta): {times} to the power "
        "{beta} / ({alpha} + {beta}) is {answer:.3g}.",
    ),
    Question(
        row="1.19",
        name="range",
        text="A fit says that the best model reads {low} to {high} tokens a parameter. Your compute is 1e{power} "
        "operations. By which factor do the largest and the smallest of these best models differ in parameters?",
        draw=_interval,
        answer=lambda low, high: math.sqrt(high / low),
        again=lambda low, high, power: math.sqrt(10**power / (6 * low)) / math.sqrt(10**power / (6 * high)),
        wrong={
            "That is the factor of the tokens a parameter. A smaller model reads more, so the root of it is enough.": (
                lambda low, high: high / low
            ),
            "You took the difference of both ends. A factor is a quotient.": lambda low, high: high - low,
            "You took half of the factor, and not its root.": lambda low, high: high / low / 2,
        },
        why="Parameters are the root of compute / (6 x ratio), so they differ by the root of {high} / {low}: "
        "{answer:.3g}.",
    ),
    Choice(
        row="1.19",
        name="law",
        text="Somebody says: twenty tokens a parameter is a law. What do you answer?",
        right="it is the lowest point of a flat curve that was fitted to some trainings, and its interval is wide",
        wrong={
            "yes, the same holds for any data and any tokenizer": "Laws were fitted to some data and some tokenizer. "
            "They differ between these.",
            "yes, a model that reads more wastes its compute": "Around the lowest point the loss is flat. And a "
            "smaller model that has read more is cheaper to use.",
            "no, more parameters are always better": "At fixed compute more parameters mean less text.",
        },
        why="Other trainings, or other points left out, give other numbers. And being off costs little.",
    ),
)

WRONG_SOLUTIONS = {
    "split": (
        WrongSolution(
            "def split(flops, ratio):\n"
            "    parameters = (flops / 6) ** 0.5 / ratio\n"
            "    return [parameters, ratio * parameters]",
            says="the ratio is under the root",
        ),
        WrongSolution(
            "def split(flops, ratio):\n"
            "    parameters = (flops / ratio) ** 0.5\n"
            "    return [parameters, ratio * parameters]",
            says="is the compute",
        ),
    )
}
