"""The quiz of a week: two questions a row, at least half of them computed, with numbers of the learner and the take.

week, desk --draw_quiz--> [Asked, ...] --result--> sentences
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from luthier.course import deck
from luthier.course.desk import Desk
from luthier.course.question import Asked, Mark, Question, seed_of

FROM_A_ROW = 2


def takes(week: int, desk: Desk) -> int:
    """How often this desk has begun the quiz of a week."""
    return sum(line.get("kind") == "quiz" and line.get("week") == week for line in desk.lines())


@dataclass(frozen=True)
class QuizStanding:
    """The quiz of a week: how often it was begun, and how many of its questions were right the last time."""

    week: int
    takes: int
    questions: int
    right: int


def standing(week: int, desk: Desk) -> QuizStanding:
    """What this desk says of the quiz of a week."""
    lines = desk.lines()
    begun = [one for one in lines if one.get("kind") == "quiz" and one.get("week") == week]
    items = begun[-1].get("items") if begun else None
    asked = set(map(str, items)) if isinstance(items, list) else set()
    right = {
        str(one.get("item")): bool(one.get("right"))
        for one in lines
        if one.get("kind") == "answer" and one.get("take") == len(begun) - 1 and one.get("item") in asked
    }
    return QuizStanding(week, len(begun), len(asked), sum(right.values()))


def draw_quiz(week: int, desk: Desk, take: int = 0) -> list[Asked]:
    """Two questions of each row that is done, one of them computed. Another `take` has other questions and numbers."""
    drawn: list[Asked] = []
    for row in deck.rows():
        if row.week != week:
            continue
        dice = Random(seed_of(desk.salt, desk.learner, f"quiz-{week}-{take}-{row.id}"))
        questions = list(deck.questions_of(row))
        dice.shuffle(questions)
        questions.sort(key=lambda one: not isinstance(one, Question))  # a computed one first
        computed, rest = questions[:1], questions[1:]
        dice.shuffle(rest)
        drawn += [desk.question(one.item, take) for one in (*computed, *rest)][:FROM_A_ROW]
    Random(seed_of(desk.salt, desk.learner, f"quiz-{week}-{take}")).shuffle(drawn)
    return drawn


def result(asked: Sequence[Asked], marks: Sequence[Mark]) -> list[str]:
    """Sentences: how many are right, and which misconceptions showed, with their rows.

    A mark that is not `readable` is of a question that was skipped.
    """
    answered = [(one, mark) for one, mark in zip(asked, marks, strict=False) if mark.readable]
    right = sum(mark.right for _, mark in answered)
    open_ = len(asked) - len(answered)
    lines = [f"{right} of {len(answered)} are right." + (f" {open_} were not answered." if open_ else "")]
    for one, mark in answered:
        if mark.misconception is not None:
            lines.append(f"  lesson {one.question.row}: {mark.misconception}")
    wrong_rows = sorted({one.question.row for one, mark in answered if not mark.right})
    if wrong_rows:
        lines.append(f"Lessons to look at again: {', '.join(wrong_rows)}.")
    return lines
