"""What git keeps of the studies, for all processors: words exactly, floats within a tolerance."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import platform
import re
from contextlib import chdir
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from tests.golden.settled import files_of

KEPT = Path(__file__).parent / "kept.json"
RELATIVE, ABSOLUTE = 1e-3, 1e-4  # how far a number may be from the kept one
PRINTED = (".md", ".html", ".txt")  # there a number may besides differ by one in its last digit
FLOAT = re.compile(r"(?<![\w.])[-+−]?\d+(?:\.\d+(?:e[-+]?\d+)?|e[-+]?\d+)(?!\w|\.\d)")
LIBRARIES = re.compile(r"(?:^|/)(?:adapter|weights|quantized|merged/\w+|models/\w+)/(?!.*\.safetensors$)")
SCORERS = re.compile(r"(rouge-score |version:)[\d.]+")
FILE_HASHES = re.compile(r'("(?:[\w/.-]+\.\w+|note_sha256)": )"[0-9a-f]{64}"')  # of what is not kept: luthier.json's
HERE_ONLY = "studies/widths/"


@dataclass(frozen=True)
class Text:
    """A file as lines whose floats are taken out: what is compared word by word, and what within a tolerance."""

    lines: list[str]
    floats: list[str]
    places: list[int]  # the line of each float

    @property
    def marks(self) -> str:
        """Two signs for every line, so that a difference is found where it is; `words` is what makes it certain."""
        return "".join(base64.b64encode(hashlib.sha256(line.encode()).digest())[:2].decode() for line in self.lines)

    def row(self) -> dict[str, Any]:
        """What is kept of it."""
        return {"words": sha("\n".join(self.lines)), "marks": self.marks, "floats": [rounded(x) for x in self.floats]}


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def rounded(number: str) -> float:
    return float(f"{float(number.replace('−', '-')):.5g}")


def text_of(root: Path, name: str) -> Text:
    """A file below `root` as it is compared with what is kept."""
    lines, floats, places = [], [], []
    for number, line in enumerate(lines_of(root / name, name)):
        line = FILE_HASHES.sub(r'\1"#"', line) if name.endswith("/luthier.json") else line
        found = FLOAT.findall(line)
        floats += found
        places += [number] * len(found)
        lines.append(FLOAT.sub("#", SCORERS.sub(r"\1#", line)))
    return Text(lines, floats, places)


def lines_of(path: Path, name: str) -> list[str]:
    if path.suffix == ".safetensors":
        data = path.read_bytes()
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        return [f"{key} {about['dtype']} {about['shape']}" for key, about in sorted(header.items()) if "dtype" in about]
    if LIBRARIES.search(name):
        return []
    text = path.read_text(encoding="utf-8")
    return page_lines(text) if path.suffix == ".html" else text.split("\n")


def page_lines(page: str) -> list[str]:
    """A page's tags and texts; of a plot its texts, of the data behind it the rows."""

    def words(match: re.Match[str]) -> str:
        shown = re.findall(r">([^<>]*\w[^<>]*)<", match[0])
        return "\n".join([*re.findall(r'aria-label="[^"]*"', match[0]), *(text.strip() for text in shown)])

    def rows(match: re.Match[str]) -> str:
        return "\n" + base64.b64decode(match[1]).decode()

    page = re.sub(r"<svg.*?</svg>", words, page, flags=re.DOTALL)
    page = re.sub(r"data:text/csv;charset=utf-8;base64,([\w+/=]+)", rows, page)
    return [line for line in page.split("\n") if line.strip()]


def keep(root: Path) -> dict[str, Any]:
    """What git keeps of the studies in `root`: the processor they were made on, and each file; equal ones once."""
    files: dict[str, Any] = {}
    seen: dict[str, str] = {}
    for path in files_of(root):
        name = path.relative_to(root).as_posix()
        row = text_of(root, name).row()
        first = seen.setdefault(json.dumps(row), name)
        files[name] = row if first == name else first
    return {"processor": processor(), "files": files}


def write_kept(kept: dict[str, Any], path: Path = KEPT) -> None:
    """A line for each file, so that git shows which of them changed."""
    rows = [f"{json.dumps(name)}: {json.dumps(row, separators=(',', ':'))}" for name, row in kept["files"].items()]
    path.parent.mkdir(exist_ok=True)
    said = f'{{"processor": {json.dumps(kept["processor"])}, "files": {{\n' + ",\n".join(rows) + "\n}}\n"
    path.write_text(said, encoding="utf-8")


def processor() -> str:
    """What low-order bits hang on: the processor with all that it can do, and the libraries that count with it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = [platform.processor()]
    said = sorted({line for line in lines if line.startswith(("model name", "flags", "Features")) or len(lines) == 1})
    return sha("\n".join([*said, *(metadata.version(name) for name in ("torch", "numpy", "bitsandbytes"))]))


def unlike_kept(root: Path, kept: dict[str, Any]) -> list[str]:
    """What in the studies of `root` is not as it was kept, a sentence a file."""
    there, files = {path.relative_to(root).as_posix() for path in files_of(root)}, kept["files"]
    said = [f"{name}: is missing" for name in files if name not in there]
    said += [f"{name}: was not there" for name in sorted(there) if name not in files]
    here = kept["processor"] == processor()
    for name, row in files.items():
        if name in there and (here or not name.startswith(HERE_ONLY)):
            found = unlike(name, text_of(root, name), files[row] if isinstance(row, str) else row)
            said += [f"{name}: {found}"] if found else []
    return said


def unlike(name: str, text: Text, row: dict[str, Any]) -> str:
    """What differs first in a file; nothing where it is as it was kept."""
    if sha("\n".join(text.lines)) != row["words"]:
        marks, count = text.marks, len(row["marks"]) // 2
        lines = range(0, max(len(marks), len(row["marks"])), 2)
        line = next((i // 2 for i in lines if marks[i : i + 2] != row["marks"][i : i + 2]), 0)
        shown = text.lines[line].strip()[:300] if line < len(text.lines) else "the end"
        return f"has {len(text.lines)} lines, {count} were kept; the first that differs is line {line + 1}: {shown}"
    for number, place, kept in zip(text.floats, text.places, row["floats"], strict=True):
        room = ABSOLUTE + RELATIVE * abs(kept)
        if name.endswith(PRINTED) and "e" not in number:
            room = max(room, 1.001 * 10.0 ** -len(number.partition(".")[2]))
        if abs(rounded(number) - kept) > room:
            return f"line {place + 1} has {number}, {kept} was kept: {text.lines[place].strip()[:300]}"
    return ""


def least_gap(root: Path) -> tuple[float, str]:
    """How close the two best tokens ever are in an answer of the studies that are compared on every processor, as a
    share of how far the best stands above the mean of all; and where."""
    import luthier

    least = (1.0, "no arm writes")
    with chdir(root):
        for note in sorted(Path("studies").rglob("luthier.json")):
            about, study = json.loads(note.read_text()), next(up for up in note.parents if (up / "study.json").exists())
            if about["answers_by"] != "generation" or str(note).startswith(HERE_ONLY):
                continue
            task = luthier.load_task("tasks/" + json.loads((study / "study.json").read_text())["task"]["name"])
            for example in (*task.dev, *task.test):
                longest = {"max_new_tokens": task.spec.answer.max_new_tokens}
                for record in luthier.ask_probabilities(note.parent, example.input, generation=longest, top=380):
                    best, second, *_ = found = [math.log(max(c["before"], 1e-30)) for c in record["candidates"]]
                    gap = (best - second) / (best - sum(found) / len(found))
                    least = min(least, (gap, f"{note.parent}, {example.id}: {record['token']!r}"))
    return least
