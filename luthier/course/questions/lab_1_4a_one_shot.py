"""Questions of lab 1.4a: one shot, and what it costs."""

from __future__ import annotations

from random import Random
from typing import Any

from luthier.course.question import Choice, Question, WrongSolution


def _price(dice: Random) -> dict[str, Any]:
    return {
        "question": dice.randrange(150, 600),
        "shot": dice.randrange(200, 700),
        "answer_tokens": dice.randrange(30, 120),
        "thousands": dice.randrange(5, 300),
        "cents": dice.randrange(5, 90),
    }


def _helps(dice: Random) -> dict[str, Any]:
    rows = dice.randrange(20, 100)
    return {"rows": rows, "good": dice.randrange(1, rows // 2), "draws": dice.randrange(2, 6)}


QUESTIONS = (
    Question(
        row="lab1.4a",
        name="price",
        text="A question has {question} tokens, a shot {shot}, and an answer {answer_tokens}. A million tokens that "
        "are read cost {cents} cents. How many cents does the shot add to {thousands},000 questions?",
        draw=_price,
        answer=lambda shot, thousands, cents: shot * thousands * 1000 * cents / 1e6,
        again=lambda question, shot, thousands, cents: ((question + shot) - question) * (thousands / 1000) * cents,
        wrong={
            "You counted the shot once. It is read again for each question.": lambda shot, cents: shot * cents / 1e6,
            "That is the price of the whole prompt. The question has to be read anyway.": (
                lambda question, shot, thousands, cents: (question + shot) * thousands * cents / 1000
            ),
            "You counted the answers as well. The shot does not make them longer.": (
                lambda shot, answer_tokens, thousands, cents: (shot + answer_tokens) * thousands * cents / 1000
            ),
            "That is the price of the questions without the shot.": (
                lambda question, thousands, cents: question * thousands * cents / 1000
            ),
        },
        why="{shot} x {thousands},000 tokens are read more, at {cents} cents a million: {answer:.4g} cents.",
        unit="cents",
    ),
    Question(
        row="lab1.4a",
        name="best-of",
        text="Of {rows} examples, {good} help as a shot. Somebody draws {draws} of them, each from all, and keeps the "
        "best. How likely is it that at least one of the drawn ones helps?",
        draw=_helps,
        answer=lambda rows, good, draws: 100 * (1 - (1 - good / rows) ** draws),
        again=lambda rows, good, draws: 100 * sum(good / rows * (1 - good / rows) ** k for k in range(draws)),
        wrong={
            "That is the chance of one draw.": lambda rows, good: 100 * good / rows,
            "You added the chances. Draws where two help are counted twice.": (
                lambda rows, good, draws: 100 * draws * good / rows
            ),
            "That is the chance that all of them help.": lambda rows, good, draws: 100 * (good / rows) ** draws,
            "That is the chance that none of them helps.": lambda rows, good, draws: 100 * (1 - good / rows) ** draws,
        },
        why="None helps with (1 - {good} / {rows}) to the power {draws}, so one does with {answer:.4g} %. Whoever "
        "keeps the best of several draws has to measure it again on other dialogues.",
        unit="%",
    ),
    Choice(
        row="lab1.4a",
        name="free",
        text="What does an example in the prompt cost?",
        right="tokens that are read for each question, and room in the context window",
        wrong={
            "nothing, since no weight is trained": "No weight changes. But each question reads the example again.",
            "a step of training": "Nothing is trained. The example is only text that stands before the question.",
            "tokens of the answer": "The answer is written as before. The prompt is what grows.",
        },
        why="Tokens that are read cost time and often money, and they are as many as the example is long.",
    ),
)

WRONG_SOLUTIONS = {
    "with_shots": (
        WrongSolution(
            "def with_shots(instruction, shots, dialogue):\n"
            "    messages = []\n"
            "    for shown, summary in shots:\n"
            "        messages += [{'role': 'user', 'content': shown}, {'role': 'assistant', 'content': summary}]\n"
            "    return messages + [{'role': 'user', 'content': instruction + '\\n\\n' + dialogue}]",
            says="an example is a user's turn",
        ),
        WrongSolution(
            "def with_shots(instruction, shots, dialogue):\n"
            "    text = ''.join(f'{shown}\\n{summary}\\n\\n' for shown, summary in shots)\n"
            "    return [{'role': 'user', 'content': text + instruction + '\\n\\n' + dialogue}]",
            says="an example is a user's turn",
        ),
        WrongSolution(
            "def with_shots(instruction, shots, dialogue):\n"
            "    messages = [{'role': 'system', 'content': instruction}]\n"
            "    for shown, summary in shots:\n"
            "        messages += [{'role': 'user', 'content': shown}, {'role': 'assistant', 'content': summary}]\n"
            "    return messages + [{'role': 'user', 'content': dialogue}]",
            says="your question comes last",
        ),
    )
}
