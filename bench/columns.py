"""How long `luthier compare` takes on a csv of 1,500 rows: 500 dialogues x 3 references, three systems' answers.

    python -m bench.columns [ROUNDS]     makes the csv in bench/.work and times the whole command, its start included

Dialogues and first references are those of bench/rows.py; the second and third reference of a dialogue are those of two
other dialogues: no good references, but as long, and each row is scored as if they were. Systems need no model.
"""

from __future__ import annotations

import csv
import io
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.rows import Split, examples
from calibration.matrices import SYSTEMS
from luthier.files import write_text

PLACE = Path(__file__).with_name(".work") / "columns.csv"
DIALOGUES, REFERENCES = 500, 3
ARMS = ("copy-3", "longest-2", "two-sentences")


def table(split: Split) -> str:
    """The csv: dialogue, summary and a column for each system; a row for each reference of each dialogue."""
    references = [example.references[0] for example in split]
    file = io.StringIO()
    rows = csv.writer(file)
    rows.writerow(["dialogue", "summary", *ARMS])
    for i, example in enumerate(split):
        turns = [line for line in example.input.splitlines() if line.strip()]
        answers = [SYSTEMS[name](turns, references, i) for name in ARMS]
        for reference in range(REFERENCES):
            rows.writerow([example.input, references[(i + 7 * reference) % len(references)], *answers])
    return file.getvalue()


def command(file: Path) -> list[str]:
    """`luthier compare`, each dialogue one unit; the look is said, so that none is counted."""
    answers = [part for name in ARMS for part in ("--answer", name)]
    about = ["--reference", "summary", *answers, "--cluster", "dialogue", "--look", "1"]
    return [sys.executable, "-m", "luthier", "compare", str(file), *about]


def main() -> None:
    """Prints what `luthier compare` says, and its seconds in each round."""
    name, _, _, dev = examples()
    write_text(PLACE, table(dev[:DIALOGUES]))
    print(f"{name}: {len(dev[:DIALOGUES])} dialogues x {REFERENCES} references, {PLACE}", flush=True)
    for _ in range(int(sys.argv[1]) if len(sys.argv) > 1 else 3):
        with tempfile.TemporaryFile() as said:
            began = time.monotonic()
            subprocess.run(command(PLACE), check=True, stdout=said)
            print(f"{time.monotonic() - began:.1f} s", flush=True)


if __name__ == "__main__":
    main()
