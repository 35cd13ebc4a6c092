"""What stands still between two runs on one machine: fields with a clock put to constants; files listed, compared."""

from __future__ import annotations

import hashlib
import re
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

LISTING = "sha256.txt"


@dataclass(frozen=True)
class Field:
    """A field whose value hangs on the clock, the machine or the checkout, and what is put in its place."""

    files: str  # the file's name as a regular expression
    pattern: str
    instead: str | Callable[[re.Match[str]], str]
    reason: str


def by_key(match: re.Match[str]) -> str:
    """Another number for each key, so that a table that takes the wrong one is seen."""
    return f"{match[1]}{sum(match[1].encode()) * (10**6 if 'bytes' in match[1] else 0.5)}"


def git_answers() -> bool:
    """Whether git can say at which commit this tree is; then a study must say it too."""
    try:
        asked = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
        return subprocess.run(asked, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


COMMIT = '"[0-9a-f]{40}"' if git_answers() else "null"
FIELDS = (
    Field(r"cost\.json", r'("(?:\w+_)?seconds": )[\d.e-]+', by_key, "the clock"),
    Field(r"cost\.json", r'("(?:\w+_)?peak_bytes": )\d+', by_key, "the memory of the process"),
    Field(r"log\.jsonl", r'("time": )"[^"]+"', r'\1"2026-01-01T00:00:00.000+00:00"', "the clock"),
    Field(r"log\.jsonl|metrics\.jsonl", r'("seconds": )[\d.e-]+', r"\g<1>1.5", "the clock"),
    Field(r"ratings\.jsonl", r'("machine": true.*"seconds": )[\d.e-]+', r"\g<1>1.5", "how long a judge's server took"),
    Field(
        r"study\.json|multitask\.json",
        r'("(?:system|processor)": )"[^"]*"',
        r'\1"that of the golden"',
        "the machine",
    ),
    Field(r"study\.json|multitask\.json", r'("(?:cores|memory_bytes)": )\d+', r"\g<1>8", "the machine"),
    Field(
        r"study\.json|multitask\.json",
        r'("(?:python|luthier|torch|transformers|tokenizers|peft|rouge-score|sacrebleu|numpy|scipy)": )"[^"]*"',
        r'\1"1.0"',
        "what is installed",
    ),
    Field(r"study\.json|multitask\.json", rf'("commit": ){COMMIT}', rf'\1"{"0" * 40}"', "the checkout"),
    Field(r"study\.json|multitask\.json", r'("dirty": )(?:true|false|null)', r"\1false", "the checkout"),
)


def settle(root: Path) -> None:
    """Puts constants in the place of the fields of FIELDS, byte for byte, and makes the reports of that again."""
    import luthier

    for path in files_of(root):
        fields = [field for field in FIELDS if re.fullmatch(field.files, path.name)]
        if not fields:
            continue
        text = path.read_text(encoding="utf-8")
        for field in fields:
            text = re.sub(field.pattern, field.instead, text)
        path.write_text(text, encoding="utf-8")
    for path in files_of(root):
        if path.name == "study.json":
            luthier.report(path.parent)
        elif path.name == "multitask.json":
            luthier.overview(path.parent)


def files_of(root: Path) -> list[Path]:
    """Every file below `root` but the listing itself and the locks, which are hidden and empty."""
    found = (path for path in root.rglob("*") if path.is_file() and path.name != LISTING)
    return sorted(path for path in found if not any(part.startswith(".") for part in path.relative_to(root).parts))


def listing(root: Path) -> str:
    """`sha256  path` of every file, a line each."""
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(root).as_posix()}\n"
        for path in files_of(root)
    ]
    return "".join(lines)


def differing(first: Path, second: Path) -> list[str]:
    """The files that two folders do not have alike, each with what is the matter."""
    one, other = ({str(path.relative_to(root)): path for path in files_of(root)} for root in (first, second))
    said = [f"only in {first}: {name}" for name in sorted(one.keys() - other.keys())]
    said += [f"only in {second}: {name}" for name in sorted(other.keys() - one.keys())]
    both = sorted(one.keys() & other.keys())
    return said + [f"differs: {name}" for name in both if one[name].read_bytes() != other[name].read_bytes()]
