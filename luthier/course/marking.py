"""A hand-in marked: functions are called in a process of their own under limits, questions recomputed from their seeds.

What a hand-in says of itself counts for nothing. Its outputs and progress are no evidence; where they claim what is not
so, that is said. The process is limited and watched, which stops accidents and simple tricks; it is no sandbox for
programs that mean harm, so mark hand-ins of strangers inside a container.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from luthier.course import deck
from luthier.course.deck import Row
from luthier.course.desk import Desk
from luthier.course.hand_in import HandIn, read_hand_in, whole
from luthier.course.holes import failures
from luthier.course.question import Asked, Question
from luthier.course.source import Lesson
from luthier.errors import LuthierError

CPU_SECONDS, SECONDS = 8, 20.0  # of the calls of one lesson
COPIED = 3  # answers that are right for another learner alone, from which on this is said
TELLING = 50  # an exact number below it is often met by accident

# Libraries are loaded first: they do what a hand-in may not, and their loading counts against no limit.
_LIMITS = f"""
import importlib, resource, time
for _name in ("numpy", *(["torch"] if "torch" in request["code"] else [])):
    try:
        importlib.import_module(_name)
    except ImportError:
        pass
_pages = int(open("/proc/self/statm").read().split()[0]) if os.path.exists("/proc/self/statm") else None
_bounds = {{"RLIMIT_CPU": int(time.process_time()) + {CPU_SECONDS}, "RLIMIT_FSIZE": 1 << 20, "RLIMIT_CORE": 0}}
if _pages is not None:
    _bounds["RLIMIT_AS"] = _pages * os.sysconf("SC_PAGE_SIZE") + (2 << 30)
for _name, _bound in _bounds.items():
    try:
        resource.setrlimit(getattr(resource, _name), (_bound, _bound))
    except (OSError, ValueError, AttributeError):
        pass
sys.setrecursionlimit(3000)

def _watch():
    refused = ("socket.", "subprocess.", "os.fork", "os.exec", "os.posix_spawn", "os.spawn", "os.system", "pty.",
               "ctypes.", "os.kill", "os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.chmod", "os.chown",
               "os.link", "os.symlink", "os.truncate", "shutil.", "sys.addaudithook", "gc.get_", "os.setxattr")
    hidden = {{here!r}}
    real, decoded = os.path.realpath, os.fsdecode
    writing = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND

    def hook(event, arguments):
        if event.startswith(refused):
            raise PermissionError("a hand-in may not do this: " + event)
        if event == "open":
            path, mode, flags = arguments
            path = str(path) if isinstance(path, int) else decoded(path)
            places = [one.replace("\\\\", "/") for one in (path, real(path))]
            if any(place in one for place in hidden for one in places):
                raise PermissionError("a hand-in may not read the solutions")
            if set("wax+") & set(str(mode or "")) or flags & writing:
                raise PermissionError("a hand-in may not write files")
    sys.addaudithook(hook)

_watch()
"""
LIMITS = _LIMITS.replace("{here!r}", repr(("course/lessons", "course/questions", "request.json")))


@dataclass(frozen=True)
class HoleMark:
    """A hole: how many of its checks pass, and what the others say."""

    row: str
    hole: str
    passed: int
    checks: int
    says: tuple[str, ...] = ()


@dataclass(frozen=True)
class AnswerMark:
    """A question: whether its answer is right, and the misconception that it shows. `answer` None: not answered."""

    item: str
    answer: str | None
    right: bool
    misconception: str | None = None


@dataclass(frozen=True)
class Sheet:
    """All marks of one learner. `file` is the hand-in's name; `notes` is what somebody should look at.

    `issued` says whether its ticket is one of the class: without it nobody is graded by this sheet.
    """

    learner: str
    file: str
    holes: tuple[HoleMark, ...] = ()
    answers: tuple[AnswerMark, ...] = ()
    notes: tuple[str, ...] = field(default=())
    issued: bool = False

    @property
    def points(self) -> float:
        return sum(one.passed / one.checks for one in self.holes) + sum(one.right for one in self.answers)

    @property
    def most(self) -> int:
        return len(self.holes) + len(self.answers)


def signature(secret: str, learner: str) -> str:
    """What makes a ticket one of this class: HMAC-SHA256 of the learner's name."""
    return hmac.new(secret.encode(), learner.encode(), hashlib.sha256).hexdigest()


def mark(path: Path, rows: Sequence[Row], salt: str, secret: str, learners: Sequence[str]) -> Sheet:
    """The marks of one hand-in. A hand-in that cannot be read is a sheet with a note, whatever is wrong with it."""
    try:
        return _marked(path, rows, salt, secret, learners)
    except LuthierError as problem:
        said = str(problem)
    except Exception as problem:  # one hand-in, whatever is wrong with it, stops none of the others
        said = f"{path.name}: it cannot be marked ({type(problem).__name__}: {problem}); look at it yourself"
    return Sheet("", whole(path.name), notes=(whole(said),))


def _marked(path: Path, rows: Sequence[Row], salt: str, secret: str, learners: Sequence[str]) -> Sheet:
    handed = read_hand_in(path)
    notes = list(handed.notes)
    issued = False
    if handed.learner not in learners:
        notes.append(f"no learner of this class is called {handed.learner[:60]!r}")
    elif not hmac.compare_digest(handed.signature.encode(), signature(secret, handed.learner).encode()):
        notes.append(f"its ticket, of {handed.learner}, was not issued by this class; ask whose hand-in it is")
    else:
        issued = True
    holes: list[HoleMark] = []
    lessons = {row.lesson: row for row in rows}
    for name, row in lessons.items():
        holes += mark_holes(deck.lesson_of(row), row.id, handed.functions.get(name, {}))
    answers = [one for row in rows for one in mark_answers(row, Desk(salt, handed.learner), handed)]
    notes += _forged(answers, handed)
    notes += _of_another(answers, salt, handed, learners)
    return Sheet(handed.learner, whole(path.name), tuple(holes), tuple(answers), tuple(map(whole, notes)), issued)


def mark_holes(lesson: Lesson, row: str, functions: Mapping[str, str]) -> list[HoleMark]:
    """Each hole of a lesson. Where the process of all of them ends badly, each is called alone."""
    checks = {hole: [one for one in lesson.checks() if one.hole == hole] for hole in lesson.holes}
    given = {hole: functions.get(hole, lesson.stub(hole)) for hole in lesson.holes}
    failed, done = failures(lesson, given, seconds=SECONDS, limits=LIMITS)
    if len(lesson.holes) > 1 and (done.late or done.code):
        failed = []
        for hole in functions:
            alone = {other: lesson.stub(other) for other in lesson.holes} | {hole: functions[hole]}
            failed += [
                one for one in failures(lesson, alone, seconds=SECONDS, limits=LIMITS)[0] if one.check.hole == hole
            ]
        empty = failures(lesson, {hole: lesson.stub(hole) for hole in lesson.holes if hole not in functions})[0]
        failed += [one for one in empty if one.check.hole not in functions]
    marks = []
    for hole, own in checks.items():
        says = tuple(dict.fromkeys(whole(one.says) for one in failed if one.check.hole == hole))
        bad = sum(one.check.hole == hole for one in failed)
        marks.append(HoleMark(row, hole, len(own) - bad, len(own), says))
    return marks


def mark_answers(row: Row, desk: Desk, handed: HandIn) -> list[AnswerMark]:
    """Each question of a row, with the numbers that this learner has."""
    marks = []
    for question in deck.questions_of(row):
        answer = handed.answers.get(question.item)
        found = desk.question(question.item).mark(answer) if answer is not None else None
        right, misconception = (found.right, found.misconception) if found else (False, None)
        marks.append(AnswerMark(question.item, answer, right, misconception))
    return marks


def _forged(answers: Sequence[AnswerMark], handed: HandIn) -> list[str]:
    """What the progress calls right and is not."""
    items = [one.item for one in answers if handed.claims.get(one.item) and not one.right]
    return [f"its progress calls answers right that are not: {', '.join(items)}"] if items else []


def _of_another(answers: Sequence[AnswerMark], salt: str, handed: HandIn, learners: Sequence[str]) -> list[str]:
    """Wrong answers that are right for another learner of the class."""
    wrong = [one for one in answers if one.answer is not None and not one.right]
    if len(wrong) < COPIED:
        return []
    for other in learners:
        if other != handed.learner:
            desk = Desk(salt, other)
            asked = [(one, desk.question(one.item)) for one in wrong]
            theirs = [one for one, own in asked if _telling(own) and own.mark(str(one.answer)).right]
            if len(theirs) >= COPIED and len(theirs) * 2 > len(wrong):
                return [f"its answers are right for the numbers of {other}: {', '.join(one.item for one in theirs)}"]
    return []


def _telling(asked: Asked) -> bool:
    """Whether an answer says whose numbers were used: no choice, no text, no small whole number, which many share."""
    if not isinstance(asked.question, Question) or isinstance(asked.answer, str):
        return False
    return asked.question.tolerance > 0 or abs(asked.answer) >= TELLING
