"""How much of what is wrong the check of facts finds, and how often it cries wolf: measured, not promised.

    python -m calibration.facts     prints the table, writes calibration/results/facts.json and docs/facts.md's tables

Recall is measured on the references of the task that ships (luthier/tasks/dialogues): one error is planted into a
reference at a time (planting.py), and counts as found when a finding overlaps it.
False alarms are measured on those references as they are, and on references of DialogSum (Chen et al. 2021) and
MTS-Dialog (Ben Abacha et al. 2023), which people wrote for other purposes; both are read from ../shared/data and never
copied. `SPLITS` says which were looked at while the rules were written; only the rest of
DialogSum's train split was not.
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from calibration.planting import CHECKED, NOT_CHECKED, examples, planted
from luthier.files import write_json, write_text
from luthier.scoring.facts import unsupported
from luthier.scoring.source import Source, common_words
from luthier.stats.intervals import wilson

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results" / "facts.json"
PAGE = HERE.parent / "docs" / "facts.md"
SHARED = HERE.parent.parent / "shared" / "data"

_AGE, _TERM = "no age is said", "the dialogue describes it and does not name it"

# Findings that are right, read one by one: the dialogue says it neither so nor in other words. Where it follows from
# what is said (a birthday next month, three days after the tenth), the finding counts as wrong. Of the other splits
# nobody has read them all.
RIGHT: dict[str, dict[str, str]] = {
    "mts train": {
        "1": "no ethnicity is said",
        "52": "the medicine is not named",
        "65": "no age at death is said",
        "141": "neither age nor ethnicity is said",
        "155": "the dialogue says thyroid medicine and no brand",
        "214": "no number of systems is said",
        "239": _AGE,
        "248": "seven days are said, not five",
        "289": _TERM,
        "306": _AGE,
        "309": _TERM,
        "399": "no dose of the radiation is said",
        "449": _TERM,
        "559": _AGE,
        "567": "the dialogue says a special kind of tumour",
        "593": "the last few months, not eight",
        "619": _AGE,
        "628": "neither month nor year is said",
        "662": "the year is said and no month",
        "706": "the dialogue says 1 mg and no dilution",
        "757": _AGE,
        "774": "the dialogue says within range",
        "785": "no such blood test is named",
        "799": "neither age nor ethnicity is said",
        "831": "almost five and a half, not 5 years and 4 months",
        "867": "no ethnicity is said",
        "878": "three packs a month, and no number of years",
        "895": _AGE,
        "983": "fifty is said, not 59",
        "985": "no year is said",
        "995": "eight days are said, not seven",
        "1014": "the dialogue says baby aspirin; its 81 mg are the writer's own knowledge",
        "1042": "no year is said",
        "1071": _AGE,
        "1072": "no number of packs is said",
        "1079": "no age is said, and no year",
    },
    "mts validation": {
        "36": "the dialogue calls the blood values abnormal and gives none of the figures",
        "99": "the dialogue says baby aspirin; its 81 mg are the writer's own knowledge",
    },
    "dialogsum dev": {},
}
SPLITS = {  # what each split was used for
    "dialogsum train, first 2,000": "rules were written on it",
    "dialogsum train, rest": "counted only, never read",
    "dialogsum dev": "looked at while the rules were written",
    "mts train": "rules were written on it, then every finding read",
    "mts validation": "looked at while the rules were written",
}


def share(yes: int, n: int) -> dict[str, Any]:
    """A share with Wilson's 95 % interval."""
    ends = wilson(yes, n)
    return {"share": yes / n, "low": ends.low, "high": ends.high, "n": n, "yes": yes}


def recall() -> dict[str, Any]:
    """kind -> share found, and whether the check is meant to find it."""
    sources = {example.id: example.input for example in examples()}
    common = common_words(sources.values())
    hits: dict[str, list[bool]] = {}
    for one in planted():
        findings = unsupported(one.answer, Source(sources[one.id.split("/")[0]], common))
        found = any(fact.start < one.end and one.start < fact.end for fact in findings)
        hits.setdefault(one.kind, []).append(found)
    kinds = {**CHECKED, **NOT_CHECKED}
    return {k: share(sum(hits[k]), len(hits[k])) | {"checked": k in CHECKED, "what": kinds[k]} for k in kinds}


def alarms(rows: Mapping[str, tuple[str, str]]) -> dict[str, list[str]]:
    """id -> the texts found in a reference; rows: id -> (input, reference)."""
    common = common_words(source for source, _ in rows.values())
    found = {
        id: [f"{f.kind}: {f.text}" for f in unsupported(text, Source(source, common))]
        for id, (source, text) in rows.items()
    }
    return {id: texts for id, texts in found.items() if texts}


def ours() -> dict[str, tuple[str, str]]:
    return {f"{e.id}/{i}": (e.input, text) for e in examples() for i, text in enumerate(e.references)}


def others(wanted: Collection[str] = tuple(SPLITS)) -> Iterator[tuple[str, dict[str, tuple[str, str]]]]:
    """The references of other people, split by split; nothing where ../shared/data is absent."""
    rows = {}
    for split in ("train", "dev"):
        path = SHARED / "dialogsum" / f"{split}.jsonl"
        if path.exists():
            lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
            rows[split] = [(row["id"], (row["dialogue"], row["summary"])) for row in lines]
    parts = {"train, first 2,000": rows.get("train", [])[:2000], "train, rest": rows.get("train", [])[2000:]}
    for name, part in {**parts, "dev": rows.get("dev", [])}.items():
        if part and f"dialogsum {name}" in wanted:
            yield f"dialogsum {name}", dict(part)
    for split, name in (("train", "Training"), ("validation", "Validation")):
        path = SHARED / "mts_dialog" / f"MTS-Dialog-{name}Set.csv"
        if path.exists() and f"mts {split}" in wanted:
            with open(path, newline="", encoding="utf-8") as file:
                yield f"mts {split}", {r["ID"]: (r["dialogue"], r["section_text"]) for r in csv.DictReader(file)}


def measure() -> dict[str, Any]:
    """What facts.json holds: recall by kind, false alarms on our references and, where they are, on other people's."""
    own, found = ours(), alarms(ours())
    result: dict[str, Any] = {
        "recall": recall(),
        "ours": share(len(found), len(own)) | {"found": found},
        "others": {},
    }
    for name, rows in others():
        found, right = alarms(rows), RIGHT.get(name)
        raw = share(len(found), len(rows)) | {"use": SPLITS[name]}
        if right is not None:
            raw |= {"right": right, "false": share(len(set(found) - set(right)), len(rows))}
        result["others"][name] = raw | {"ids": sorted(found)}
    return result


def tables(result: Mapping[str, Any]) -> str:
    """The tables of docs/facts.md, in Markdown."""
    lines = ["| planted error | what it is | n | found | recall (95 %) |", "|---|---|---|---|---|"]
    for kind, row in result["recall"].items():
        seen = _percent(row) if row["checked"] else f"*not checked* ({row['yes']} found by chance)"
        lines.append(f"| {kind} | {row['what']} | {row['n']} | {row['yes']} | {seen} |")
    lines += [
        "",
        "| references | n | with a finding (95 %) | of them wrong (95 %) | used for |",
        "|---|---|---|---|---|",
    ]
    own = result["ours"]
    lines.append(
        f"| dialogues (luthier's own) | {own['n']} | {_percent(own)} | - | clean answers of the labelled set |"
    )
    for name, row in result["others"].items():
        wrong = _percent(row["false"]) if "false" in row else "not read one by one"
        lines.append(f"| {name} | {row['n']} | {_percent(row)} | {wrong} | {row['use']} |")
    return "\n".join(lines)


def _percent(row: Mapping[str, Any]) -> str:
    return f"{100 * row['share']:.1f} % ({100 * row['low']:.1f} to {100 * row['high']:.1f})"


BEGIN, END = "<!-- made by python -m calibration.facts -->\n", "\n<!-- end -->"


def page(text: str, result: Mapping[str, Any]) -> str:
    """docs/facts.md with its tables made again."""
    head, rest = text.split(BEGIN)
    return head + BEGIN + tables(result) + END + rest.split(END)[1]


def main() -> None:
    result = measure()
    print(tables(result))
    if len(result["others"]) < len(SPLITS):
        sys.exit(f"{SHARED}: not all of the data is there, so nothing is written; see docs/facts.md")
    write_json(RESULTS, result)
    write_text(PAGE, page(PAGE.read_text(encoding="utf-8"), result))


if __name__ == "__main__":
    main()
