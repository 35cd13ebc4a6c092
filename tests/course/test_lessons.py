"""Every lesson of the deck: it has what a lesson has, runs offline as a script, its holes are told from each other, and
its questions are sound. One row alone: pytest tests/course/test_lessons.py -k 1.13-

Whole lessons and 2,000 seeds are marked `course` (`make course`). `make test` takes one lesson, of those that the last
commit or the working tree changes one more that needs no model, and 100 seeds.
"""

from __future__ import annotations

import ast
import math
import subprocess
from pathlib import Path
from typing import Any

import pytest

from luthier.course import deck, lint
from luthier.course.child import MEMORY, run_script
from luthier.course.deck import Row
from luthier.course.holes import failures
from luthier.course.question import APART, Choice, Question, ask, computed

ROOT = Path(__file__).parents[2]
ALWAYS = "1.18"
CPU_SECONDS = {"T": 180.0, "L": 180.0}  # others 120
SEEDS, FEW = 2000, 100
ONE_OF = {row.lesson: row for row in reversed(deck.rows()) if row.done}  # a lesson that serves two rows stands once
DONE = sorted(ONE_OF.values(), key=deck.rows().index)


def changed() -> list[str]:
    """Lessons that the last commit or the working tree touches."""
    asked = ["git", "diff", "--name-only", "HEAD~1", "--", "luthier/course/lessons", "luthier/course/questions"]
    try:
        done = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return []
    return [Path(line).stem for line in done.stdout.splitlines()]


def name_of(row: Row) -> str:
    return f"{row.id}-{row.lesson.split('_', 3)[-1]}"


CHANGED = changed()
PICKED = {ALWAYS, *[row.id for row in DONE if row.lesson in CHANGED and row.needs == ["N"]][:1]}
EVERY = [pytest.param(row, id=name_of(row)) for row in DONE]
WHOLE = [pytest.param(row, id=name_of(row), marks=() if row.id in PICKED else (pytest.mark.course,)) for row in DONE]
QUESTIONS = [
    pytest.param(one, id=f"{name_of(row)}-{one.name}")
    for row in deck.rows() if row.done and (deck.HERE / "questions" / f"{row.lesson}.py").is_file()
    for one in deck.questions_of(row)
]  # fmt: skip


@pytest.mark.parametrize("row", EVERY)
def test_it_has_what_a_lesson_has(row: Row) -> None:
    lesson = deck.lesson_of(row)
    assert lint.problems(lesson, dict(deck.wrong_solutions_of(row.lesson))) == []


@pytest.mark.parametrize("row", EVERY)
def test_what_it_imports_of_luthier_is_there(row: Row) -> None:
    """Whole lessons are run by `make course` alone. What they call is renamed in other rooms."""
    code = "\n".join(cell.text for cell in deck.lesson_of(row).cells if not cell.markdown)
    wanted = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.ImportFrom)]
    assert wanted
    exec(compile(ast.Module([node for node in wanted if "luthier" in str(node.module)], []), row.lesson, "exec"), {})


@pytest.mark.parametrize("row", [pytest.param(row, id=row.id) for row in deck.rows() if row.done])
def test_each_row_has_two_questions_and_one_is_computed(row: Row) -> None:
    questions = deck.questions_of(row)
    assert len(questions) >= 2 and any(isinstance(one, Question) for one in questions)
    assert len({one.item for one in questions}) == len(questions)


@pytest.mark.parametrize("row", WHOLE)
def test_it_runs_as_a_script_offline(row: Row) -> None:
    done = run_script(row.path)
    assert done.code == 0, done.err[-3000:]
    print(f"{row.id}: {done.cpu_seconds:.0f} s of processor, {done.peak_bytes / 2**30:.2f} GiB")
    assert done.cpu_seconds < max(CPU_SECONDS.get(kind, 120.0) for kind in row.needs)
    assert done.peak_bytes < MEMORY


@pytest.mark.parametrize("row", WHOLE)
def test_an_empty_hole_fails_its_own_checks_and_no_others(row: Row) -> None:
    lesson = deck.lesson_of(row)
    assert failures(lesson, {})[0] == []
    for hole in lesson.holes:
        failed, _ = failures(lesson, {hole: lesson.stub(hole)})
        assert {one.check for one in failed} == {check for check in lesson.checks() if check.hole == hole}
        assert all(one.says.startswith(f"{hole}: ") for one in failed)


@pytest.mark.parametrize("row", WHOLE)
def test_planted_wrong_solutions_fail_with_messages_of_their_own(row: Row) -> None:
    lesson = deck.lesson_of(row)
    for hole, planted in deck.wrong_solutions_of(row.lesson).items():
        first, only_hidden = [], []
        for wrong in planted:
            failed, _ = failures(lesson, {hole: wrong.source})
            assert failed, f"{hole}: a planted wrong solution passes:\n{wrong.source}"
            assert {one.check.hole for one in failed} == {hole}
            assert wrong.says in failed[0].says, f"{hole}: it says {failed[0].says!r}"
            first.append(failed[0].says)
            only_hidden.append(all(one.check.hidden for one in failed))
        assert len(set(first)) >= 2, f"{hole}: all planted wrong solutions fail with one message"
        assert any(only_hidden), f"{hole}: no planted wrong solution passes what learners see"


@pytest.mark.parametrize(
    "seeds", [pytest.param(FEW, id="few"), pytest.param(SEEDS, marks=pytest.mark.course, id="all")]
)
@pytest.mark.parametrize("question", QUESTIONS)
def test_a_question_is_sound(question: Question | Choice, seeds: int) -> None:
    drawn = set()
    for seed in range(seeds):
        asked = ask(question, seed)
        assert asked.text == ask(question, seed).text if seed < 20 else True
        assert "{" not in asked.text + asked.why
        assert asked.mark(str(asked.answer)).right, (asked.text, asked.answer)
        for misconception, value in asked.wrong.items():
            mark = asked.mark(str(value))
            assert not mark.right and mark.misconception == misconception, (asked.text, value)
        if isinstance(question, Question):
            assert_computed(question, asked)
            drawn.add(repr(asked.values))
    if isinstance(question, Question):
        assert len(drawn) >= fewest(seeds), f"{question.item}: {len(drawn)} different draws of {seeds}"


def assert_computed(question: Question, asked: Any) -> None:
    """The second way agrees; a number is not within three tolerances of a wrong one."""
    again = computed(question.again, asked.values)
    if isinstance(asked.answer, str):
        assert again == asked.answer
        return
    assert math.isclose(again, asked.answer, rel_tol=1e-9), (asked.text, again, asked.answer)
    for value in asked.wrong.values():
        assert abs(value - asked.answer) > APART * question.tolerance * abs(asked.answer)
    if question.tolerance:  # three digits are enough
        assert asked.mark(f"{asked.answer:.3g}").right, (asked.text, asked.answer)


def fewest(seeds: int) -> int:
    """Different draws of `seeds` that 1,000 equally likely variants give on average, less four standard deviations."""
    n = 1000
    mean = n * (1 - (1 - 1 / n) ** seeds)
    spread = math.sqrt(max(1.0, seeds - mean)) if seeds < n else math.sqrt(n * math.exp(-seeds / n))
    return math.floor(mean - 4 * spread)
