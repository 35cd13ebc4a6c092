"""The map is held to the files, and a file imports only from its own room, from rooms above it, and from the ground."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
HOUSE = ROOT / "luthier"
MAP = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
GROUND = ""
LONGEST_FILE, LONGEST_FUNCTION = 400, 60  # lines
STORIES = {"luthier/training/loop.py:train"}  # told in order, from the first step to the last
HEAVY = {"torch", "transformers", "peft", "safetensors", "matplotlib.pyplot", "sklearn"}
DOORS = {"__init__.py", "__main__.py"}
CONTENT = {"lessons", "questions"}  # folders of a room whose files are read by name; the room's rules hold for them


def read_map() -> dict[str, tuple[str, list[str]]]:
    """Room -> (what its heading says of torch, its files in the map's order); the ground is the room ''."""
    rooms: dict[str, tuple[str, list[str]]] = {}
    for heading, body in re.findall(r"^##+ (.*?)\n(.*?)(?=^##|\Z)", MAP, flags=re.MULTILINE | re.DOTALL):
        named = re.match(r"`(\w+)/` \((no torch|torch)\)", heading)
        files = re.findall(r"^\| `(\w+\.py)` \|", body, flags=re.MULTILINE)
        if named:
            rooms[named[1]] = (named[2], files)
        elif heading == "The ground":
            rooms[GROUND] = ("no torch", files)
    return rooms


ROOMS = read_map()
ORDER = list(ROOMS)


def files_of(room: str) -> list[Path]:
    return sorted(path for path in (HOUSE / room).glob("*.py") if path.name not in DOORS)


def room_of(module: str) -> str:
    """The room of `luthier.<room>.<file>`; the ground for `luthier.<file>`."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and parts[1] in ORDER else GROUND


def imports_of(path: Path) -> Iterator[tuple[str, int]]:
    """(module, line) of every import of luthier in a file, inside functions and for type checkers too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "luthier":
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield (whole if is_module(whole) else str(node.module)), node.lineno
        if isinstance(node, ast.Import):
            yield from ((a.name, node.lineno) for a in node.names if a.name.split(".")[0] == "luthier")


def is_module(name: str) -> bool:
    path = ROOT / name.replace(".", "/")
    return path.is_dir() or path.with_suffix(".py").is_file()


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def test_the_map_lists_every_file_once_and_no_other() -> None:
    here = {room: sorted(path.name for path in files_of(room)) for room in ORDER}
    assert {room: sorted(files) for room, (_, files) in ROOMS.items()} == here
    shipped = {HOUSE, *HOUSE.rglob("shipped"), *(folder for name in CONTENT for folder in HOUSE.glob(f"*/{name}"))}
    packages = {path.parent.name for path in HOUSE.rglob("*.py") if path.parent not in shipped}
    assert packages == set(ORDER) - {GROUND}, "a folder with code is a room of the map"


def test_a_file_imports_from_its_own_room_from_rooms_above_it_and_from_the_ground() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {module}, which stands below it"
        for room in ORDER
        for path in [*files_of(room), *(HOUSE / room).glob("lessons/*.py"), *(HOUSE / room).glob("questions/*.py")]
        for module, line in imports_of(path)
        if ORDER.index(room_of(module)) > ORDER.index(room)
    ]
    assert not wrong, "\n".join(wrong)


def test_no_circle() -> None:
    above = {
        name_of(path): {module for module, _ in imports_of(path)} - {name_of(path)}
        for room in ORDER
        for path in files_of(room)
    }
    while ready := {name for name, needs in above.items() if not needs & set(above)}:
        above = {name: needs for name, needs in above.items() if name not in ready}
    assert not above, f"these import each other: {sorted(above)}"


def test_a_room_s_init_says_what_it_is_for_and_imports_nothing() -> None:
    for room in ORDER[1:]:
        body = ast.parse((HOUSE / room / "__init__.py").read_text(encoding="utf-8")).body
        assert len(body) == 1 and ast.get_docstring(ast.Module(body, [])), room
        text = ast.get_docstring(ast.Module(body, [])) or ""
        assert [f for f in ROOMS[room][1] if not re.search(rf"\b{f.removesuffix('.py')}\b", text)] == [], room


@pytest.mark.parametrize("room", [room for room in ORDER if ROOMS[room][0] == "no torch"])
def test_rooms_without_torch_import_nothing_heavy(room: str) -> None:
    modules = [name_of(path) for path in files_of(room)]
    code = (
        f"import sys, importlib\nfor name in {modules}: importlib.import_module(name)\n"
        f"print(sorted({HEAVY} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


def test_files_and_functions_are_short_enough_to_read() -> None:
    long = []
    for path in sorted(HOUSE.rglob("*.py")):
        text, where = path.read_text(encoding="utf-8"), path.relative_to(ROOT).as_posix()
        if (lines := len(text.splitlines())) > LONGEST_FILE:
            long.append(f"{where} has {lines} lines")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef) and f"{where}:{node.name}" not in STORIES:
                body = [
                    one for one in node.body if not (isinstance(one, ast.Expr) and isinstance(one.value, ast.Constant))
                ]
                lines = (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0
                if lines > LONGEST_FUNCTION:
                    long.append(f"{where}:{node.name} has {lines} lines")
    assert not long, "\n".join(long)


def test_tests_mirror_the_rooms_and_every_file_is_tested_in_its_own() -> None:
    beside = {"bench", "calibration"}
    folders = {path.parent.name for path in (ROOT / "tests").glob("*/test_*.py")}
    assert folders <= set(ORDER) | beside, folders
    untested = []
    for room in ORDER:
        reached = {
            module for path in (ROOT / "tests" / room).glob("test_*.py") for module in reached_from(path)
        }  # by the room's own tests, directly or through another file of the room
        untested += [name_of(path) for path in files_of(room) if name_of(path) not in reached]
    assert not untested, untested


def reached_from(path: Path) -> set[str]:
    room = path.parent.name if path.parent.name in ORDER else GROUND
    found, ahead = set(), {module for module, _ in imports_of(path)} | modules_named(path)
    while ahead:
        module = ahead.pop()
        if module in found:
            continue
        found.add(module)
        file = ROOT / (module.replace(".", "/") + ".py")
        if file.is_file() and room_of(module) == room:
            ahead |= {name for name, _ in imports_of(file)}
    return found


def modules_named(path: Path) -> set[str]:
    """Modules in strings: what a test runs in a process of its own, or patches."""
    return set(re.findall(r"luthier(?:\.\w+)+", path.read_text(encoding="utf-8")))
