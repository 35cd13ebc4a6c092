"""Questions of lesson 1.12: prompts and shots."""

from __future__ import annotations

from random import Random
from typing import Any

from luthier.course.question import Choice, Question, WrongSolution


def _spread(dice: Random) -> dict[str, Any]:
    return {"sd": dice.randrange(30, 200) / 1000, "half": dice.randrange(5, 60) / 1000}


def _prompt(dice: Random) -> dict[str, Any]:
    return {
        "around": dice.randrange(8, 60),
        "dialogue": dice.randrange(120, 500),
        "summary": dice.randrange(25, 90),
        "shots": dice.randrange(2, 7),
    }


QUESTIONS = (
    Question(
        row="1.12",
        name="dialogues",
        text="Two prompts answer the same dialogues. The difference of their ROUGE-1 has a standard deviation of {sd} "
        "over dialogues. How many dialogues make the 95 % interval of the mean difference plus or minus {half}? Take "
        "1.96 standard errors, and do not round.",
        draw=_spread,
        answer=lambda sd, half: (1.96 * sd / half) ** 2,
        again=lambda sd, half: 1.96 * 1.96 * (sd * sd) / (half * half),
        wrong={
            "You forgot the square. The interval shrinks with the root of the number of dialogues.": (
                lambda sd, half: 1.96 * sd / half
            ),
            "You took one standard error. A 95 % interval reaches 1.96 of them to each side.": (
                lambda sd, half: (sd / half) ** 2
            ),
            "You took the whole width. Plus or minus is half of it.": lambda sd, half: (2 * 1.96 * sd / half) ** 2,
            "You added the noise of both prompts. The standard deviation is that of the difference already.": (
                lambda sd, half: 2 * (1.96 * sd / half) ** 2
            ),
        },
        why="1.96 x {sd} / root of n is {half}, so n is (1.96 x {sd} / {half}) squared: {answer:.4g}.",
    ),
    Question(
        row="1.12",
        name="tokens",
        text="A template adds {around} tokens to each dialogue, in shots as well. A dialogue has {dialogue} tokens and "
        "a summary {summary}. How many tokens does a prompt with {shots} shots have, when all dialogues are this long?",
        draw=_prompt,
        answer=lambda around, dialogue, summary, shots: (shots + 1) * (around + dialogue) + shots * summary,
        again=lambda around, dialogue, summary, shots: sum([around + dialogue + summary] * shots) + around + dialogue,
        wrong={
            "You forgot the dialogue that is asked for. It stands behind the shots.": (
                lambda around, dialogue, summary, shots: shots * (around + dialogue + summary)
            ),
            "You gave the last dialogue a summary. That one the model has to write.": (
                lambda around, dialogue, summary, shots: (shots + 1) * (around + dialogue + summary)
            ),
            "You counted the shots' summaries alone. A shot shows its dialogue too.": (
                lambda around, dialogue, summary, shots: around + dialogue + shots * summary
            ),
            "You counted the template once. It stands around each dialogue.": (
                lambda around, dialogue, summary, shots: around + (shots + 1) * dialogue + shots * summary
            ),
        },
        why="Each of {shots} shots has {around} + {dialogue} + {summary} tokens. The question has {around} + "
        "{dialogue}. Together {answer:,}.",
        tolerance=0,
    ),
    Choice(
        row="1.12",
        name="more-shots",
        text="On eight dialogues three shots have a ROUGE-1 of .27 and no shot has .25. What do you know?",
        right="not which of the two is better",
        wrong={
            "three shots are better by .02": "The mean of eight differences may be off by more than that.",
            "more shots will be better still": "That is a guess from two numbers, and longer prompts have a price.",
            "the two are equally good": "Not to see a difference is another thing than to show that there is none.",
        },
        why="Put an interval around the mean difference. If it holds zero, and is wider than what matters, it says "
        "nothing.",
    ),
)

WRONG_SOLUTIONS = {
    "few_shot": (
        WrongSolution(
            "def few_shot(shots, dialogue):\n"
            "    parts = [shown + '\\nSummary:\\n\\n' for shown, summary in shots]\n"
            "    return ''.join(parts) + dialogue + '\\nSummary:'",
            says="a shot shows its summary",
        ),
        WrongSolution(
            "def few_shot(shots, dialogue):\n"
            "    parts = [f'{shown}\\nSummary: {summary}\\n\\n' for shown, summary in shots]\n"
            "    return ''.join(parts) + dialogue",
            says="ends with 'Summary:'",
        ),
        WrongSolution(
            "def few_shot(shots, dialogue):\n"
            "    parts = [f'{shown}\\nSummary: {summary}\\n\\n' for shown, summary in shots[::-1]]\n"
            "    return ''.join(parts) + dialogue + '\\nSummary:'",
            says="shots keep their order",
        ),
    )
}
