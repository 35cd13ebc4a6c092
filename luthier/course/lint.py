"""What every lesson has, checked without running it; and that a result in its text is claimed in code.

A number in a cell of text is a result unless it stands in `code`, in a [citation], behind "lesson" or "lab", or is a
part of a name such as SmolLM2 or fp32. A result stands in a claim cell as well, where an assert holds it; a number that
the learner sets may stand in the dials or the prediction.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence

from luthier.course.question import WrongSolution
from luthier.course.source import Cell, Lesson

LAST = "What this does not show"
LONGEST_SENTENCE = 30  # words
_NAMED = re.compile(r"`[^`]*`|\[[^\]]*\](\([^)]*\))?|https?://\S+|\$[^$]*\$|\b[Ll](esson|ab) \d+\.\d+")
_NUMBER = re.compile(r"(?<![\w.,-])\d[\d,]*(?:\.\d+)?(?![\w]|[.,]\d)")
_IN_CODE = re.compile(r"(?<![\w.])\d[\d_,]*(?:\.\d+)?(?:e[+-]?\d+)?")


def problems(lesson: Lesson, wrong: dict[str, Sequence[WrongSolution]] | None = None) -> list[str]:
    """Sentences about what is not as a lesson should be; none where all is well."""
    return [*_anatomy(lesson), *_holes(lesson), *_numbers(lesson), *_sentences(lesson), *_wrong(lesson, wrong)]


def _anatomy(lesson: Lesson) -> Iterator[str]:
    first = lesson.cells[0]
    if not (first.markdown and first.text.startswith("# ")):
        yield "the first cell is text and begins with '# ' and the row's number and title"
    for tag in ("predict", "dials", "hole", "test", "question", "claim"):
        if not lesson.tagged(tag):
            yield f"it has no cell with the tag '{tag}'"
    last = lesson.cells[-1]
    if not (last.markdown and last.text.startswith(f"## {LAST}")):
        yield f"the last cell is text and begins with '## {LAST}'"
    for cell in lesson.tagged("claim"):
        if not any(isinstance(one, ast.Assert) for one in ast.walk(ast.parse(cell.text))):
            yield f"line {cell.line}: a claim cell has no assert"
    for cell in lesson.tagged("dials"):
        if "# @param" not in cell.text:
            yield f"line {cell.line}: a dial is a line such as 'heads = 4  # @param {{type:\"slider\", min:1, max:8}}'"


def _holes(lesson: Lesson) -> Iterator[str]:
    checks = lesson.checks()
    for hole in lesson.holes:
        own = [check for check in checks if check.hole == hole]
        if not any(check.hidden for check in own) or all(check.hidden for check in own):
            yield f"the hole {hole} needs a check that learners see and a hidden one"


def _wrong(lesson: Lesson, wrong: dict[str, Sequence[WrongSolution]] | None) -> Iterator[str]:
    if wrong is None:
        return
    for hole in lesson.holes:
        if len(wrong.get(hole, ())) < 2:
            yield f"the hole {hole} needs two planted wrong solutions"
    for name in wrong.keys() - set(lesson.holes):
        yield f"WRONG_SOLUTIONS names '{name}', which is no hole"


def _numbers(lesson: Lesson) -> Iterator[str]:
    claimed = {number for cell in lesson.cells if _may_hold(cell) for number in numbers_in_code(cell.text)}
    for cell in lesson.cells:
        if cell.markdown:
            for number in results_in(cell.text):
                if number not in claimed:
                    yield f"line {cell.line}: {number} stands in the text and in no claim cell"


def _may_hold(cell: Cell) -> bool:
    return cell.has("claim") or cell.has("dials") or cell.has("predict")


def results_in(text: str) -> list[str]:
    """The numbers of a text that are results, as digits with a point."""
    found = []
    for line in text.split("\n"):
        if line.startswith("#"):
            line = re.sub(r"^#+ (\w*\d[\w.]*)?", "", line)  # a row's number in a heading
        line = re.sub(r"^\s*\d+\. ", "", line)  # the number of an item
        found += [_bare(one) for one in _NUMBER.findall(_NAMED.sub(" ", line))]
    return found


def numbers_in_code(text: str) -> set[str]:
    """Every number in code, its comments and its texts; shares also as percent."""
    found = {_bare(one) for one in _IN_CODE.findall(text)}
    return found | {f"{float(one) * 100:g}" for one in found if "." in one and float(one) <= 1}


def _bare(number: str) -> str:
    """One way to write each number: 4,200 and 4_200 as 4200."""
    return f"{float(number.replace(',', '').replace('_', '')):.12g}"


def _sentences(lesson: Lesson) -> Iterator[str]:
    for cell in lesson.cells:
        if cell.markdown:
            for sentence in sentences_of(cell.text):
                if (words := len(sentence.split())) > LONGEST_SENTENCE:
                    yield f"line {cell.line}: a sentence has {words} words: {' '.join(sentence.split()[:6])} ..."


def sentences_of(text: str) -> list[str]:
    """The sentences of a cell of text; headings, items and rows of tables stand alone."""
    blocks = re.split(r"\n\s*\n|\n(?=\s*[-*#|]|\s*\d+\. )", text)
    return [one for block in blocks if "|" not in block for one in re.split(r"(?<=[.!?:;])\s+", block) if one.strip()]
