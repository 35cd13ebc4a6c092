"""The map is held to the files, and a file imports only from files above it."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
MAP = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
LISTED = re.findall(r"^\| `(luthier/[\w/.]+)` \|", MAP, flags=re.MULTILINE)


def place(module: str) -> int | None:
    """Where `luthier.<module>` stands in the map; None for the package itself."""
    name = module.removeprefix("luthier").removeprefix(".").split(".")[0]
    for path in (f"luthier/{name}.py", f"luthier/{name}/"):
        if path in LISTED:
            return LISTED.index(path)
    return None


def imports_of(path: Path) -> list[tuple[str, int]]:
    """(module, line) of every import of luthier in a file, inside functions too."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "luthier":
            names = [f"luthier.{a.name}" for a in node.names] if node.module == "luthier" else [str(node.module)]
            found += [(name, node.lineno) for name in names]
        if isinstance(node, ast.Import):
            found += [(a.name, node.lineno) for a in node.names if a.name.split(".")[0] == "luthier"]
    return found


def test_the_map_lists_every_file_once_and_no_other() -> None:
    here = {f"luthier/{p.name}" for p in (ROOT / "luthier").glob("*.py")} - {
        "luthier/__init__.py",
        "luthier/__main__.py",
    }
    here.add("luthier/adapt/")
    assert sorted(LISTED) == sorted(here)


def test_files_import_only_from_files_above_them() -> None:
    wrong = []
    for listed in LISTED:
        paths = sorted((ROOT / listed).glob("*.py")) if listed.endswith("/") else [ROOT / listed]
        for path in paths:
            for module, line in imports_of(path):
                where = place(module)
                inside = listed.endswith("/") and module.startswith(listed.rstrip("/").replace("/", "."))
                if where is not None and not inside and where >= LISTED.index(listed):
                    wrong.append(f"{path.relative_to(ROOT)}:{line} imports {module}, which stands below it")
    assert not wrong, "\n".join(wrong)


def test_every_file_has_its_test() -> None:
    tested = {p.name.removeprefix("test_").removesuffix(".py") for p in (ROOT / "tests").glob("test_*.py")}
    stems = {Path(listed.rstrip("/")).stem for listed in LISTED}
    shared = {
        "errors": "data",
        "records": "files",
        "machine": "study",
        "settings": "task",
        "taskspec": "task",
        "folder": "study",
        "run": "study",
        "fit": "study",
        "studyspec": "study",
        "arms": "study",
        "plots": "report",
        "page": "report",
        "screen": "cli",
        "align": "compare",
        "measure": "compare",
        "verdicts": "compare",
        "intervals": "stats",
        "power": "stats",
        "cache": "generate",
        "quantized": "widths",
        "findings": "check",
        "check_tokens": "check",
        "origin": "study",
    }
    untested = {stem for stem in stems if stem not in tested and shared.get(stem) not in tested}
    assert not untested, untested
