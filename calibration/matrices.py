"""Score matrices to draw from: (units, arms), of real dialogues and made up.

    python -m calibration.matrices      makes calibration/scores.json again, from the data beside the checkout

scores.json holds ROUGE-1 of eight unlike systems that need no model, on dialogues of two data sets; numbers only, no
text of theirs. Everything else here is made by seed.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

PLACE = Path(__file__).with_name("scores.json")
DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
MOST = 1_000  # dialogues of a data set

System = Callable[[list[str], list[str], int], str]  # turns, all references, the dialogue's number -> answer

SYSTEMS: dict[str, System] = {
    "copy-1": lambda turns, references, i: " ".join(turns[:1]),
    "copy-2": lambda turns, references, i: " ".join(turns[:2]),
    "copy-3": lambda turns, references, i: " ".join(turns[:3]),
    "copy-5": lambda turns, references, i: " ".join(turns[:5]),
    "last-2": lambda turns, references, i: " ".join(turns[-2:]),
    "longest-2": lambda turns, references, i: " ".join(sorted(turns, key=len)[-2:]),
    "other-reference": lambda turns, references, i: references[(7 * i + 3) % len(references)],
    "two-sentences": lambda turns, references, i: " ".join(_central(" ".join(turns))),
}


def _central(text: str) -> list[str]:
    """The two sentences whose words occur most often in the text."""
    sentences = re.split(r"(?<=[.!?])\s+", text)
    words = re.findall(r"\w+", text.lower())
    weight = {word: words.count(word) for word in set(words)}

    def mean_weight(sentence: str) -> float:
        own = re.findall(r"\w+", sentence.lower())
        return sum(weight[word] for word in own) / (len(own) + 3)

    best = sorted(sentences, key=mean_weight)[-2:]
    return [sentence for sentence in sentences if sentence in best][:2]


def real() -> dict[str, Floats]:
    """name -> (units, 8) ROUGE-1 of a data set's dialogues."""
    stored = json.loads(PLACE.read_text(encoding="utf-8"))
    return {name: np.array(rows) for name, rows in stored["scores"].items()}


def centred(matrix: Floats) -> Floats:
    """Every arm shifted to one mean: unlike arms, and none is better."""
    return matrix - matrix.mean(axis=0) + matrix.mean()


def make() -> None:
    """Writes scores.json: four digits a score."""
    from luthier.files import write_text

    scores = {name: _scored(*rows) for name, rows in (("dialogsum", _dialogsum()), ("mts", _mts()))}
    body = ",\n".join(
        f'"{name}": [\n' + ",\n".join(json.dumps(row) for row in rows) + "\n]" for name, rows in scores.items()
    )
    about = json.dumps({"metric": "rouge1", "systems": list(SYSTEMS)})[1:-1]
    write_text(PLACE, f'{{{about}, "scores": {{\n{body}\n}}}}\n')


def _scored(dialogues: list[str], references: list[str]) -> list[list[float]]:
    """(dialogues, systems) ROUGE-1, by luthier's own scorer."""
    from luthier import Answer, Example, score

    pairs = zip(dialogues, references, strict=True)
    examples = [Example(str(i), text, (reference,)) for i, (text, reference) in enumerate(pairs)]
    turns = [[line for line in text.splitlines() if line.strip()] for text in dialogues]
    columns = []
    for answer in SYSTEMS.values():
        given = [Answer(str(i), answer(own, references, i)) for i, own in enumerate(turns)]
        columns.append([round(one.values["rouge1"] or 0.0, 4) for one in score(given, examples)])
    return [list(row) for row in zip(*columns, strict=True)]


def _dialogsum() -> tuple[list[str], list[str]]:
    lines = [
        json.loads(line)
        for name in ("dev", "train")
        for line in (DATA / "dialogsum" / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()[: MOST // 2]
    ]
    return [row["dialogue"] for row in lines], [row["summary"] for row in lines]


def _mts() -> tuple[list[str], list[str]]:
    with open(DATA / "mts_dialog" / "MTS-Dialog-TrainingSet.csv", newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if re.search("[A-Za-z0-9]", row["section_text"])][:MOST]
    return [row["dialogue"] for row in rows], [row["section_text"] for row in rows]


if __name__ == "__main__":
    make()
