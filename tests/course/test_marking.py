"""What means harm ends in a sentence, what is forged or another's is named, and no broken hand-in stops the rest."""

from __future__ import annotations

import csv
import json
import time
import xml.etree.ElementTree as ElementTree
import zipfile
from pathlib import Path
from typing import Any

import pytest

from luthier.course import classroom, deck, marking
from luthier.course.desk import Desk, ask, take_ticket
from luthier.course.hand_in import pack
from luthier.course.marking import mark, mark_holes
from luthier.course.moodle import moodle_xml
from luthier.course.question import Choice, Question
from luthier.course.question import ask as asked
from luthier.errors import FolderError, SettingsError

LESSON = deck.lesson_of(deck.row_of("1.18"))
HOLE = "def training_bytes(parameters, trainable, width):\n"
RIGHT = HOLE + "    return (parameters + 3 * trainable) * width"
HOSTILE: dict[str, tuple[str, str]] = {
    "10 GB": ("    x = bytearray(10**10)\n    return 1", "MemoryError"),
    "eq": ("    class Same:\n        def __eq__(self, o): return True\n    return Same()", "not a number"),
    "fork": ("    import os\n    return os.fork()", "may not do this: os.fork"),
    "subprocess": ("    import subprocess\n    return subprocess.run(['true']).returncode", "may not do this"),
    "network": ("    import socket\n    return socket.create_connection(('127.0.0.1', 80))", "may not do this: socket"),
    "solutions": (
        f"    text = open({str(deck.LESSONS / 'row_1_18_compute.py')!r}).read()\n    return len(text)",
        "may not read the solutions",
    ),
    "questions": (
        "    import luthier.course.questions.row_1_18_compute as q\n    return 1",
        "may not read the solutions",
    ),
    "writes": ("    open('/tmp/luthier-hostile', 'w')\n    return 1", "may not write files"),
    "writes by number": (
        "    import os\n    return os.open('hostile', os.O_WRONLY | os.O_CREAT)",
        "may not write files",
    ),
    "solutions from beside them": (
        f"    import os\n    os.chdir({str(deck.LESSONS)!r})\n    return len(open('row_1_18_compute.py').read())",
        "may not read the solutions",
    ),
    "removes": ("    import os\n    os.remove('request.json')\n    return 1", "may not do this: os.remove"),
    "kills": (
        "    import os, signal\n    os.kill(os.getppid(), signal.SIGKILL)\n    return 1",
        "may not do this: os.kill",
    ),
    "ends": ("    import os\n    os._exit(0)", "it said nothing"),
    "exits": ("    raise SystemExit(0)", "it raises SystemExit"),
    "deep": ("    return training_bytes(parameters, trainable, width)", "RecursionError"),
    "much": ("    return list(range(10**6))", "more than 100,000 values"),
    "forges": (
        "    import sys, __main__ as child\n    for _ in range(3):\n"
        "        child.channel.write(child.request['nonce'] + '[]')\n    return 1",
        "training_bytes: ",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_what_means_harm_ends_in_a_sentence(name: str) -> None:
    body, says = HOSTILE[name]
    (marked,) = mark_holes(LESSON, "1.18", {"training_bytes": HOLE + body})
    assert marked.passed == 0 and says in " ".join(marked.says), marked.says
    assert not Path("/tmp/luthier-hostile").exists()


@pytest.mark.parametrize(
    "library, total",
    [("numpy", "numpy.array(v)"), pytest.param("torch", "torch.tensor(v)", marks=pytest.mark.slow)],
)
def test_numpy_and_torch_may_be_imported_in_a_hole(library: str, total: str) -> None:
    body = f"    import {library}\n    v = [parameters, 3 * trainable]\n    return int({total}.sum()) * width"
    (marked,) = mark_holes(LESSON, "1.18", {"training_bytes": HOLE + body})
    assert marked.passed == marked.checks, marked.says


def test_100_mb_of_print_change_nothing() -> None:
    body = "    print('x' * 25_000_000)\n    return (parameters + 3 * trainable) * width"
    (marked,) = mark_holes(LESSON, "1.18", {"training_bytes": HOLE + body})
    assert marked.passed == marked.checks == 4


@pytest.mark.slow
@pytest.mark.parametrize("body", ["    while True: pass", "    import time\n    time.sleep(1000)"])
def test_what_never_ends_is_ended_within_30_seconds(body: str) -> None:
    began = time.monotonic()
    (marked,) = mark_holes(LESSON, "1.18", {"training_bytes": HOLE + body})
    assert marked.passed == 0 and time.monotonic() - began < 30
    assert marked.says[0].startswith("training_bytes: it ")


# ------------------------------------------------------------------------------------------------------- classes


def learner(
    folder: Path, name: str, monkeypatch: pytest.MonkeyPatch, source: str = RIGHT, rows: tuple[str, ...] = ("1.18",)
) -> Path:
    """The hand-in of a learner who answers all questions of some rows."""
    here = folder / name
    here.mkdir()
    monkeypatch.chdir(here)
    desk = take_ticket(folder / "class" / "tickets" / f"{name}.json")
    (here / "row_1_18_compute.py").write_text(source, encoding="utf-8")
    for question in (one for row in rows for one in deck.questions_of(deck.row_of(row))):
        ask(question.item, str(desk.question(question.item).answer))
    return pack(desk, here)


def test_a_class_is_issued_marked_and_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    classroom.issue(tmp_path / "class", ["ann", "ben", "cid"], ["1.18"])
    ann = learner(tmp_path, "ann", monkeypatch)
    ben = learner(tmp_path, "ben", monkeypatch, HOLE + "    return 4 * parameters * width")
    broken = tmp_path / "broken.zip"
    broken.write_text("no zip", encoding="utf-8")
    sheets = classroom.mark_class(tmp_path / "class", [broken, ann, ben])
    assert [(one.learner, one.points, one.most) for one in sheets] == [("", 0, 0), ("ann", 4, 4), ("ben", 3.5, 4)]
    assert "no zip" in sheets[0].notes[0] and sheets[1].notes == sheets[2].notes == ()
    assert "a frozen parameter has no gradient" in sheets[2].holes[0].says[0]
    assert classroom.read_marks(tmp_path / "class") == sheets
    rows = list(csv.DictReader((tmp_path / "class" / "grades.csv").open(encoding="utf-8")))
    assert [(row["Identifier"], row["Grade"], row["Maximum Grade"]) for row in rows] == [
        ("ann", "4.00", "4"),
        ("ben", "3.50", "4"),
    ]
    assert "a frozen parameter" in (tmp_path / "class" / "feedback" / "ben.html").read_text(encoding="utf-8")
    page = (tmp_path / "class" / "class.html").read_text(encoding="utf-8")
    assert "No hand-in of cid" in page and "broken.zip" in page


def test_a_ticket_a_progress_and_answers_of_another_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(marking, "mark_holes", lambda *_: [])  # other tests call functions
    rows = ("1.18", "1.19")
    own = classroom.issue(tmp_path / "class", ["ann", "ben"], rows)
    with zipfile.ZipFile(learner(tmp_path, "ann", monkeypatch, rows=rows)) as packed:
        files = {name: packed.read(name) for name in packed.namelist()}

    def marked(**changes: Any) -> str:
        ticket = json.loads(files[".luthier-course/learner.json"]) | changes
        with zipfile.ZipFile(tmp_path / "h.zip", "w") as made:
            for name, data in (files | {".luthier-course/learner.json": json.dumps(ticket).encode()}).items():
                made.writestr(name, data)
        return " ".join(classroom.mark_class(tmp_path / "class", [tmp_path / "h.zip"])[0].notes)

    ben = json.loads((tmp_path / "class" / "tickets" / "ben.json").read_text(encoding="utf-8"))
    assert marked() == ""
    assert "was not issued by this class" in marked(learner="ben")
    said = marked(**ben)
    assert "right for the numbers of ann" in said and "calls answers right that are not: 1.18/factor" in said
    fewer = mark(tmp_path / "h.zip", [deck.row_of("1.18")], own.salt, own.secret, own.learners)
    assert len([one for one in fewer.answers if not one.right]) == 2 and "right for the numbers" not in str(fewer.notes)
    assert "no learner of this class" in marked(learner="../eve")
    assert "was not issued by this class" in marked(signature="\u00e9\ud800")
    assert "no learner of this class is called '?'" in marked(learner="\ud800")


def test_what_is_not_of_the_class_gets_no_grade_and_writes_over_nobody_s_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    classroom.issue(tmp_path / "class", ["ann", "ben"], ["1.18"])
    ann = learner(tmp_path, "ann", monkeypatch)
    with zipfile.ZipFile(ann) as packed:
        files = {name: packed.read(name) for name in packed.namelist()}
    made: dict[str, Path] = {}
    for name, changes in {"forged": {"signature": "x"}, "eve": {"learner": "eve"}, "again": {}}.items():
        ticket = json.loads(files[".luthier-course/learner.json"]) | changes
        made[name] = tmp_path / f"{name}.zip"
        with zipfile.ZipFile(made[name], "w") as packed:
            packed.writestr(".luthier-course/learner.json", json.dumps(ticket))
    sheets = classroom.mark_class(tmp_path / "class", [made["again"], ann, made["forged"], made["eve"]])
    assert [(one.learner, one.issued) for one in sheets] == [
        ("ann", True), ("ann", True), ("ann", False), ("eve", False),
    ]  # fmt: skip
    assert all("2 hand-ins have this name" in one.notes[-1] for one in sheets[:2])
    for file, column in (("grades.csv", "Grade"), ("canvas.csv", "luthier")):
        rows = list(csv.DictReader((tmp_path / "class" / file).open(encoding="utf-8")))
        assert [row[column] for row in rows] == ["4.00"]
    feedback = tmp_path / "class" / "feedback"
    assert [one.name for one in feedback.iterdir()] == ["ann.html"]
    assert "4.00 of 4 points" in (feedback / "ann.html").read_text(encoding="utf-8")
    page = (tmp_path / "class" / "class.html").read_text(encoding="utf-8")
    assert "eve" in page and "was not issued" in page and "No hand-in of ben" in page


def test_no_hand_in_stops_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = classroom.issue(tmp_path / "class", ["ann"], ["1.18"])
    ann = learner(tmp_path, "ann", monkeypatch, HOLE + "    raise ValueError('\\ud800')")
    (marked,) = classroom.mark_class(tmp_path / "class", [ann])
    assert "ValueError: ?" in marked.holes[0].says[0] and marked.points == 3

    def broken(*_: object) -> None:
        raise KeyError("some fault \ud800")

    monkeypatch.setattr(marking, "read_hand_in", broken)
    sheet = mark(ann, [], own.salt, own.secret, own.learners)
    assert "hand-in-ann.zip: it cannot be marked (KeyError: 'some fault" in sheet.notes[0] and not sheet.issued
    json.dumps(sheet.notes, ensure_ascii=False).encode()


def test_more_learners_keep_the_numbers_of_the_others_and_names_are_names(tmp_path: Path) -> None:
    first = classroom.issue(tmp_path, ["ann"])
    more = classroom.issue(tmp_path, ["ben"])
    assert (more.salt, more.secret, more.rows) == (first.salt, first.secret, first.rows) and more.learners == (
        "ann",
        "ben",
    )
    for names in (["../ann"], ["a", "A"], [".hidden"]):
        with pytest.raises(SettingsError):
            classroom.issue(tmp_path, names)
    with pytest.raises(SettingsError, match="a class has learners"):
        classroom.issue(tmp_path / "new", [])
    (tmp_path / "class.json").write_text("[]", encoding="utf-8")
    with pytest.raises(FolderError, match="no class"):
        classroom.read_class(tmp_path)


def test_another_learner_does_not_take_a_folder_that_is_begun(tmp_path: Path) -> None:
    classroom.issue(tmp_path / "class", ["ann", "ben"])
    desk = take_ticket(tmp_path / "class" / "tickets" / "ann.json", tmp_path)
    assert desk == Desk(desk.salt, "ann", tmp_path / ".luthier-course")
    with pytest.raises(FolderError, match="another name"):
        take_ticket(tmp_path / "class" / "tickets" / "ben.json", tmp_path)


def test_moodle_reads_the_questions() -> None:
    questions = list(deck.every_question(1))
    root = ElementTree.fromstring(moodle_xml(questions, 3).encode())
    kinds = [one.get("type") for one in root]
    computed = [one for one in questions if isinstance(one, Question)]
    assert kinds.count("category") == len(questions) and kinds.count("multichoice") == sum(
        isinstance(q, Choice) for q in questions
    )
    numbers = sum(not isinstance(asked(one, 0).answer, str) for one in computed)
    assert kinds.count("numerical") == 3 * numbers
    for one in root.iter("question"):
        if one.get("type") != "category":
            fractions = [answer.get("fraction") for answer in one.iter("answer")]
            assert fractions.count("100") == 1 and all(a.findtext("feedback/text") for a in one.findall("answer")[1:])
