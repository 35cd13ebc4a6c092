"""A lesson's one source: a Python percent script with its solutions inside -> cells, holes, tests, copies for learners.

    # %% [markdown]           a cell of text, each line behind "# "
    # %% tags=["hole"]        a cell of code with tags

The delimiters of solutions and hidden tests are nbgrader's. A hole is a function with a solution inside; a test cell is
asserts on it, each with a message that begins with the hole's name.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from luthier.errors import DataError

TAGS = ("predict", "dials", "hole", "test", "question", "claim")
SOLUTION, HIDDEN = "SOLUTION", "HIDDEN TESTS"
_MARKER = re.compile(r"^# %%(?P<rest>.*)$")
_TAGS = re.compile(r"tags=(\[.*?\])")


@dataclass(frozen=True)
class Cell:
    """A cell of text (`markdown`) or code, without its marker; `line` is the marker's in the file, from 1."""

    markdown: bool
    tags: tuple[str, ...]
    text: str
    line: int

    def has(self, tag: str) -> bool:
        return tag in self.tags


@dataclass(frozen=True)
class Check:
    """An assert of a test cell: its message, whether learners see it, and its line in the lesson's file."""

    hole: str
    message: str
    hidden: bool
    line: int
    statement: ast.Assert = field(compare=False)


@dataclass(frozen=True)
class Lesson:
    """A lesson as its cells. `name` is the file's without .py."""

    name: str
    cells: tuple[Cell, ...]

    @property
    def title(self) -> str:
        """The first heading, without its sign."""
        return next((cell.text.split("\n")[0].lstrip("# ") for cell in self.cells if cell.markdown), self.name)

    @property
    def code(self) -> tuple[Cell, ...]:
        return tuple(cell for cell in self.cells if not cell.markdown)

    def tagged(self, tag: str) -> tuple[Cell, ...]:
        return tuple(cell for cell in self.cells if cell.has(tag))

    @property
    def holes(self) -> tuple[str, ...]:
        """Names of the functions that the learner writes, in order."""
        return tuple(hole_of(cell) for cell in self.tagged("hole"))

    def checks(self) -> tuple[Check, ...]:
        """Every assert of the test cells, in order."""
        return tuple(check for cell in self.tagged("test") for check in checks_of(cell, self.holes))

    def script(self) -> str:
        """The whole source again, as it is read."""
        return "\n".join(_written(cell) for cell in self.cells)

    def for_learners(self) -> Lesson:
        """The copy that is handed out: holes empty, hidden tests gone."""
        return replace(self, cells=tuple(handed_out(cell) for cell in self.cells))

    def stub(self, name: str) -> str:
        """The function of a hole without its solution. Raises KeyError for no such hole."""
        for cell in self.tagged("hole"):
            if hole_of(cell) == name:
                return emptied(cell).text
        raise KeyError(name)


def read_lesson(path: Path) -> Lesson:
    """A lesson from its file. Raises DataError naming file and line."""
    return parse(path.read_text(encoding="utf-8"), path.stem, path)


def parse(text: str, name: str, path: Path | None = None) -> Lesson:
    """A lesson from its text. Raises DataError for text before the first cell, unknown tags and open delimiters."""
    cells: list[Cell] = []
    lines: list[str] = []
    for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), 1):
        if marker := _MARKER.match(line):
            _finish(cells, lines, path)
            cells.append(_begun(marker["rest"], number, path))
            lines = []
        elif not cells and line.strip():
            raise DataError("text before the first '# %%'; begin a cell above it", file=path, line=number)
        else:
            lines.append(line)
    _finish(cells, lines, path)
    if not cells:
        raise DataError("it has no cell; begin one with '# %% [markdown]'", file=path)
    return Lesson(name, tuple(cells))


def _begun(rest: str, number: int, path: Path | None) -> Cell:
    found = _TAGS.search(rest)
    tags = tuple(json.loads(found[1])) if found else ()
    if unknown := [tag for tag in tags if tag not in TAGS]:
        raise DataError(f"the tag '{unknown[0]}' is not one of {', '.join(TAGS)}", file=path, line=number)
    return Cell("[markdown]" in rest, tags, "", number)


def _finish(cells: list[Cell], lines: Sequence[str], path: Path | None) -> None:
    if not cells:
        return
    cell = cells[-1]
    if cell.markdown:
        bare = [line for line in lines if line.strip() and not line.startswith("#")]
        if bare:
            raise DataError(f"in a cell of text each line begins with '# ': {bare[0]!r}", file=path, line=cell.line)
        text = "\n".join(line[2:] if line.startswith("# ") else line[1:] for line in lines)
    else:
        text = "\n".join(lines)
        for what in (SOLUTION, HIDDEN):
            if [kind for kind, _ in _delimiters(text, what)] not in ([], ["BEGIN", "END"]):
                raise DataError(f"'### BEGIN {what}' has no one '### END {what}'", file=path, line=cell.line)
    cells[-1] = replace(cell, text=text.strip("\n"))
    if cell.has("hole"):
        hole_of(cells[-1], path)


def _written(cell: Cell) -> str:
    marker = "# %% [markdown]" if cell.markdown else "# %%"
    if cell.tags:
        marker += f" tags={json.dumps(list(cell.tags))}"
    body = "\n".join(f"# {line}".rstrip() for line in cell.text.split("\n")) if cell.markdown else cell.text
    return f"{marker}\n{body}\n"


def _delimiters(text: str, what: str) -> list[tuple[str, int]]:
    """(BEGIN or END, line) of each delimiter in the text, lines from 0."""
    found = ((re.match(rf"\s*### (BEGIN|END) {what}\s*$", line), at) for at, line in enumerate(text.split("\n")))
    return [(match[1], at) for match, at in found if match]


def hole_of(cell: Cell, path: Path | None = None) -> str:
    """The name of the one function of a hole's cell. Raises DataError where it has no function with a solution."""
    functions = [one for one in ast.parse(cell.text).body if isinstance(one, ast.FunctionDef)]
    if len(functions) != 1 or not _delimiters(cell.text, SOLUTION):
        raise DataError("a hole is one function with '### BEGIN SOLUTION' inside", file=path, line=cell.line)
    return functions[0].name


def emptied(cell: Cell) -> Cell:
    """A hole's cell whose solution is not there."""
    (_, begin), (_, end) = _delimiters(cell.text, SOLUTION)
    lines = cell.text.split("\n")
    indent = re.match(r"\s*", lines[begin])
    stub = f'{indent[0] if indent else ""}raise NotImplementedError("{hole_of(cell)}: write this function")'
    return replace(cell, text="\n".join([*lines[:begin], stub, *lines[end + 1 :]]))


def handed_out(cell: Cell) -> Cell:
    """A cell as learners get it."""
    if cell.has("hole"):
        return emptied(cell)
    if spans := _delimiters(cell.text, HIDDEN):
        (_, begin), (_, end) = spans
        lines = cell.text.split("\n")
        return replace(cell, text="\n".join([*lines[:begin], *lines[end + 1 :]]).strip("\n"))
    return cell


def checks_of(cell: Cell, holes: Sequence[str]) -> Iterator[Check]:
    """The asserts of a test cell. Raises DataError for one that calls no hole or has no message naming it."""
    hidden = [at + 1 for _, at in _delimiters(cell.text, HIDDEN)]
    for statement in ast.parse(cell.text).body:
        if not isinstance(statement, ast.Assert):
            continue
        message = statement.msg.value if isinstance(statement.msg, ast.Constant) else None
        line = cell.line + statement.lineno
        called = [name for name in holes if calls_of(statement, name)]
        if not called:
            raise DataError("an assert of a test cell calls a hole's function", line=line)
        named = [name for name in called if isinstance(message, str) and message.startswith(f"{name}: ")]
        if not named:
            raise DataError(f"the message of an assert is a text that begins with '{called[0]}: '", line=line)
        inside = len(hidden) == 2 and hidden[0] < statement.lineno < hidden[1]
        yield Check(named[0], str(message), inside, line, statement)


def calls_of(node: ast.AST, name: str) -> list[ast.Call]:
    """The outermost calls of a function by its name, in order."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name:
        return [node]
    return [call for child in ast.iter_child_nodes(node) for call in calls_of(child, name)]
