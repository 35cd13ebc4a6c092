"""Whether a function fills a hole: it is called as the lesson's tests call it, beside the lesson's own solution.

The functions of a lesson, its imports and its constants are its world; models and trainings are not. The calls of the
test cells run in that world in a fresh process, which hands back plain values. They are compared here with those of
the solution, so a learner's code never sees what is expected.

    lesson + functions --outcomes--> values of its calls --failures--> the checks that differ, with their messages

Where a function is given, the process does not hold the lesson's own solution of that hole.
"""

from __future__ import annotations

import ast
import json
import secrets
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from luthier.course import plain
from luthier.course.child import Finished, finished
from luthier.course.source import Check, Lesson, calls_of, checks_of, emptied, hole_of

SECONDS = 60.0
# The limits of the child, set by itself before any code of the lesson or of a learner runs.
_CHILD = """
import json, os, sys
{plain}
request = json.loads(open(sys.argv[1], encoding="utf-8").read())
channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
os.dup2(2, 1)
world = {{"__name__": "lesson"}}
exec(compile(request["world"], "lesson", "exec"), world)
{limits}
broken = None
try:
    exec(compile(request["code"], "hand-in", "exec"), world)
except BaseException as problem:
    broken = {{"raised": type(problem).__name__, "says": str(problem)[:500]}}
values = []
say = values.append
for step in request["steps"]:
    if broken is not None and "call" in step:
        say(broken)
        continue
    if "do" in step:
        exec(compile(step["do"], "test", "exec"), world)
        continue
    try:
        say({{"value": plain(eval(compile(step["call"], "test", "eval"), world))}})
    except BaseException as problem:
        say({{"raised": type(problem).__name__, "says": str(problem)[:500]}})
channel.write(request["nonce"] + json.dumps(values) + request["nonce"])
channel.flush()
"""


@dataclass(frozen=True)
class Failure:
    """A check that a function does not pass. `says` is the check's message, or what the function raised."""

    check: Check
    says: str


def world_of(lesson: Lesson, functions: Mapping[str, str] = MappingProxyType({})) -> str:
    """What the holes and their tests need of a lesson, in order: imports, functions, classes and literal constants.

    A hole that `functions` fills is empty here. What its source needs of the lesson is there.
    """
    defined: dict[str, list[ast.stmt]] = {}
    order: list[tuple[ast.stmt, ast.stmt]] = []  # as the lesson has it, and as it is written
    ahead = [*lesson.holes, *(name for source in functions.values() for name in names_in(ast.parse(source)))]
    for cell in lesson.code:
        statements = ast.parse(cell.text).body
        if cell.has("test"):
            ahead += [name for statement in statements for name in names_in(statement)]
        if cell.has("test") or cell.has("claim"):
            continue
        empty = cell.has("hole") and hole_of(cell) in functions
        for statement, written in zip(
            statements, ast.parse(emptied(cell).text).body if empty else statements, strict=True
        ):
            if names := names_of(statement):
                order.append((statement, written))
                for name in names:
                    defined.setdefault(name, []).append(statement)
    kept: set[int] = set()
    while ahead:
        for statement in defined.get(ahead.pop(), ()):
            if id(statement) not in kept:
                kept.add(id(statement))
                ahead += names_in(statement)
    return ast.unparse(ast.Module([written for statement, written in order if id(statement) in kept], []))


def names_of(statement: ast.stmt) -> set[str]:
    """The names that a statement of the world gives; none for what does not belong to it."""
    if isinstance(statement, ast.FunctionDef | ast.ClassDef):
        return {statement.name}
    if isinstance(statement, ast.Import | ast.ImportFrom):
        return {(alias.asname or alias.name).split(".")[0] for alias in statement.names}
    if isinstance(statement, ast.Assign | ast.AnnAssign) and statement.value is not None:
        try:
            ast.literal_eval(statement.value)
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            return set()
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        return {node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name)}
    return set()


def names_in(node: ast.AST) -> set[str]:
    """Every name that stands in a piece of source."""
    return {one.id for one in ast.walk(node) if isinstance(one, ast.Name)}


def steps_of(lesson: Lesson) -> tuple[list[dict[str, str]], list[Check]]:
    """The test cells as steps of a child, and the check that each call belongs to."""
    steps: list[dict[str, str]] = []
    owners: list[Check] = []
    for cell in lesson.tagged("test"):
        checks = {id_of(check.statement): check for check in checks_of(cell, lesson.holes)}
        for statement in ast.parse(cell.text).body:
            if not isinstance(statement, ast.Assert):
                steps.append({"do": ast.unparse(statement)})
                continue
            check = checks[id_of(statement)]
            for call in calls_of(statement.test, check.hole):
                steps.append({"call": ast.unparse(call)})
                owners.append(check)
    return steps, owners


def id_of(statement: ast.stmt) -> tuple[int, int]:
    return statement.lineno, statement.col_offset


def outcomes(
    lesson: Lesson, functions: Mapping[str, str] = MappingProxyType({}), *, seconds: float = SECONDS, limits: str = ""
) -> tuple[list[Any] | None, Finished]:
    """What each call of the test cells gives: {"value"} or {"raised", "says"}. None where the child said nothing.

    `functions` maps a hole to source that defines its function; other holes keep the lesson's solution. `limits` is
    code that the child runs before this source.
    """
    steps, _ = steps_of(lesson)
    nonce = secrets.token_hex(16)
    request = {
        "world": world_of(lesson, functions),
        "code": "\n".join(functions.values()),
        "steps": steps,
        "nonce": nonce,
    }
    source = Path(str(plain.__file__)).read_text(encoding="utf-8").replace("from __future__ import annotations\n", "")
    with tempfile.TemporaryDirectory(prefix="luthier-hole-") as folder:
        asked = Path(folder) / "request.json"
        asked.write_text(json.dumps(request), encoding="utf-8")
        child = _CHILD.format(plain=source, limits=limits)
        done = finished([sys.executable, "-c", child, str(asked)], Path(folder), seconds)
    return _said(done.out.split(nonce), sum("call" in step for step in steps)), done


def _said(parts: list[str], calls: int) -> list[Any] | None:
    """The values between the two marks of the child; None where something else stands there."""
    try:
        values = json.loads(parts[1]) if len(parts) == 3 else None
    except (ValueError, RecursionError):
        return None
    kinds = ({"value"}, {"raised", "says"})
    if not isinstance(values, list) or len(values) != calls:
        return None
    return values if all(isinstance(one, dict) and set(one) in kinds for one in values) else None


@lru_cache(maxsize=8)
def expected(lesson: Lesson) -> list[Any]:
    """What the lesson's own solutions give. Raises RuntimeError where they fail: a fault of the lesson."""
    values, done = outcomes(lesson)
    if values is None:
        raise RuntimeError(f"{lesson.name}: its own functions do not run alone: {done.err[-2000:]}")
    if bad := [one for one in values if "value" not in one]:
        raise RuntimeError(f"{lesson.name}: a solution raises {bad[0]}")
    return values


def failures(lesson: Lesson, functions: Mapping[str, str], **limits: Any) -> tuple[list[Failure], Finished]:
    """The checks that a lesson with these functions does not pass, each once, in order; limits as for `outcomes`."""
    wanted = expected(lesson)
    values, done = outcomes(lesson, functions, **limits)
    _, owners = steps_of(lesson)
    if values is None:
        last = done.err.strip().split("\n")[-1] if done.err.strip() else "it said nothing"
        why = "it took too long" if done.late else last
        return [Failure(check, f"{check.hole}: {why}") for check in dict.fromkeys(owners)], done
    failed: dict[Check, str] = {}
    for check, want, got in zip(owners, wanted, values, strict=True):
        if "raised" in got:
            named = got["says"].startswith(f"{check.hole}: ")
            failed.setdefault(
                check, got["says"] if named else f"{check.hole}: it raises {got['raised']}: {got['says']}"
            )
        elif not plain.same(want["value"], got["value"]):
            failed.setdefault(check, check.message)
    return [Failure(check, says) for check, says in failed.items()], done
