"""evidence.json and SHA256SUMS: what a shipped folder says of itself, and the hash of every file in it.

evidence.json binds the arm's files to the study that measured it: its decision, its pairs with intervals, each exported
form with its own verdict, and what nobody checked. SHA256SUMS is what `sha256sum -c` reads.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import ClassVar, Literal

from luthier.errors import FolderError
from luthier.files import refuse_links_in, write_text
from luthier.hashes import Difference, first_other, sha256_of_files
from luthier.records import Verdict
from luthier.results.comparison import Pair
from luthier.results.record import FirstFormat, Number, Part, Sealed

SUMS_FILE = "SHA256SUMS"
EVIDENCE_FOLDER = "evidence"  # of a shipped folder: records of the study, answers and scores
_LINE = re.compile(r"([0-9a-f]{64})  (.+)")


class Export(Part):
    """One more form of the arm's weights, measured again as an arm of the study."""

    kind: str  # f16, q8_0
    file: str
    bytes: int
    arm: str  # its name in evidence/arms/, where its answers and scores are
    prompts_equal: bool  # whether its tokenizer makes the same prompts
    largest_distance: Number  # total variation between next-token distributions on the probes, 0 to 1
    same_answers: int  # of the test answers
    answers: int
    verdict: Verdict | None  # against the arm that was measured
    difference: Number | None  # of the deciding metric, export minus arm
    low: Number | None
    high: Number | None

    @property
    def is_good(self) -> bool:
        return self.prompts_equal and self.verdict in ("equivalent", "better")


class Evidence(Sealed):
    """What is known of a shipped arm."""

    FILE: ClassVar[str] = "evidence.json"
    REMEDY: ClassVar[str] = "get the folder again from whoever shipped it"
    SEAL: ClassVar[str] = "evidence_sha256"

    format: FirstFormat
    luthier: str  # version that shipped it
    arm: str
    method: str
    task: str
    base: str
    base_sha256: str
    precision: str
    data: dict[str, str]  # split -> SHA-256
    study_sha256: str  # of everything that shaped the study's answers
    metric: str
    margin: Number
    level: Number
    n: int  # independent test units
    look: int | None
    decision: str
    verdict: Literal["ship", "cannot tell"]
    chosen: bool  # whether the study chose this arm
    pairs: list[Pair]  # the arm against each other one, on the deciding metric
    exports: list[Export]
    with_examples: bool  # whether the folder holds test examples and answers
    not_checked: list[str]
    files: dict[str, str]  # every other file of the folder -> SHA-256
    evidence_sha256: str  # of all other fields


def hashes_of(folder: Path, but: tuple[str, ...] = ()) -> dict[str, str]:
    """Name -> SHA-256 of every file below `folder`. Raises FolderError for a link."""
    refuse_links_in(folder)
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return {name: sha256_of_files(folder / name) for name in names if name not in but}


def write_sums(folder: Path, hashes: dict[str, str] | None = None) -> str:
    """Writes SHA256SUMS of all other files; returns the hash of that file, which stands for the whole folder.

    hashes: what `hashes_of` gives for the other files; None: they are hashed here.
    """
    others = hashes_of(folder, (SUMS_FILE,)) if hashes is None else hashes
    write_text(folder / SUMS_FILE, "".join(f"{digest}  {name}\n" for name, digest in sorted(others.items())))
    return sha256_of_files(folder / SUMS_FILE)


def read_sums(folder: Path) -> dict[str, str]:
    """Name -> SHA-256 of SHA256SUMS. Raises FolderError where it is missing or is no list of hashes."""
    path = folder / SUMS_FILE
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        raise FolderError(f"{path}: cannot be read; is this a folder that `luthier ship` made?") from None
    sums = {}
    for number, line in enumerate(lines, 1):
        if (match := _LINE.fullmatch(line)) is None:
            raise FolderError(f"{path}: line {number} is no hash and name; {Evidence.REMEDY}")
        sums[match[2]] = match[1]
    return sums


def refuse_other(folder: Path, expected: dict[str, str], here: dict[str, str], said_by: str) -> None:
    """Raises FolderError that names the first file that is missing, differs, or was not there when it was shipped."""
    said: dict[Difference, str] = {
        "missing": f"is not there, and {said_by} names it",
        "added": f"is not named by {said_by}",
        "changed": f"is not the file that {said_by} names",
    }
    if other := first_other(expected, here):
        raise FolderError(f"{folder / other[0]}: {said[other[1]]}; {Evidence.REMEDY}")
