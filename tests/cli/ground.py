"""A folder to type commands in, with everything that a verb needs; and for each verb commands that end soon there.

A command ends well, or is refused for the reason that stands beside it: what it does is long or needs a network.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import typer

import luthier
from luthier.cli.app import app
from tests import children, tiny
from tests.commands import CSV, Said
from tests.rated import at_random, rate_all

COMMANDS: dict[str, Any] = {  # the verbs of a group, too, such as "scale fit"
    verb if command is whole else f"{verb} {name}": command
    for verb, whole in typer.main.get_command(app).commands.items()  # type: ignore[attr-defined]
    for name, command in getattr(whole, "commands", {"": whole}).items()
}
LORA = "lora-r4+epochs=1+batch_size=8"
POINTS = "parameters,tokens,loss\n" + "".join(
    f"{n},{20 * n},{1.7 + 400 / n**0.34 + 400 / (20 * n) ** 0.28}\n" for n in (10**k for k in range(5, 11))
)
CLOCKS = {"log.jsonl", "cost.json", "metrics.jsonl", "report.html", "report.md"}


class Typed(NamedTuple):
    """A command, the keys that are typed while it runs, and what it makes: its first part below the folder.

    code: the exit code that it ends with when nothing disturbs it.
    """

    words: str
    makes: str = ""
    keys: str = ""
    code: int = 0

    def __str__(self) -> str:
        return self.words.split(" --")[0]


# Every verb stands here, or tests/cli/test_limits.py fails; the words are separated by single spaces.
WORK: dict[str, tuple[Typed, ...]] = {
    "init": (Typed("init new --from answers.csv --input dialogue --target summary", "new"),),
    "check": (Typed("check task --model model"),),
    "show": (Typed("show task --arm few-shot-1 --model model"),),
    "study": (
        Typed(f"study task --model model --arms zero-shot,{LORA} --test 3 --likelihood --out out", "out"),
        Typed("study task --model model --arms full+epochs=1,zero-shot@int4 --test 3 --out out", "out"),
    ),
    "multitask": (
        Typed(f"multitask task other --model model --arms {LORA} --dev 2 --test 3 --train 4 --out out", "out"),
    ),
    "ask": (Typed(f"ask trained Ann:\u00a0Lunch? --arm {LORA} --max-new-tokens 4"),),
    "answer": (Typed(f"answer trained answers.csv --arm {LORA} --input dialogue --out new.jsonl", "new.jsonl"),),
    "merge": (
        Typed(f"merge trained --arm {LORA} --differ 9 --out merged", "merged"),
        Typed(f"merge trained --arm {LORA} --width int4 --differ 9 --out merged", "merged"),
    ),
    "report": (Typed("report trained", "trained"),),
    "panel": (Typed("panel folder", code=2),),  # no model is there; a whole panel takes a while
    "bench": (Typed("bench folder --tasks luthier_pairs", code=2),),  # the same, or lm-eval is not installed
    "rate": (
        Typed("rate trained --rater ann", "trained", "1" * 50),  # the same key whatever was judged before
        Typed("rate rated --result", "rated"),
    ),
    "ship": (Typed(f"ship trained --arm {LORA} --out shipped", "shipped"),),
    "verify": (Typed("verify handed-on"),),
    "push": (Typed("push folder you/mine", code=2),),  # nothing was shipped there, which is said before any network
    "serve": (Typed("serve folder --port 0", code=2),),  # a server would not end; no model is there
    "plan": (Typed("plan --model model --arm lora --tokens 64"),),
    "tokens": (Typed("tokens text --tokenizer model"),),
    "pretrain": (Typed("pretrain --corpus file.txt --out out", code=2),),  # too short a text to hold any of it out
    "trial": (Typed("trial recipe --minutes 0.01 --corpus file.txt --out out", code=2),),  # the same
    "scale fit": (Typed("scale fit points.csv --resamples 20 --out out", "out"),),
    "scale run": (
        Typed("scale run --minutes 0.01 --corpus file.txt --out out", code=2),  # the same
        Typed("scale run --minutes 0.01 --trunk --corpus file.txt --out out", code=2),
    ),
    "scale plan": (Typed("scale plan --flops 1e21"),),
    "learn": (Typed("learn"),),
    "lab": (Typed("lab 1"),),
    "quiz": (Typed("quiz 1 --json", ".luthier-course"),),
    "kernel": (Typed("kernel --prefix out", "out"),),
    "hand-in": (Typed("hand-in", code=2),),  # nothing was learned there
    "class issue": (Typed("class issue out", code=2),),  # a class has a secret of its own, so two are never the same
    "class mark": (Typed("class mark folder file.txt", code=2),),  # no class is there
    "class show": (Typed("class show folder", code=2),),
    "class export": (Typed("class export --variants 2 --out out", "out"),),
    "sagemaker-train": (Typed("sagemaker-train", code=2),),  # no job is there
    "sagemaker-serve": (Typed("sagemaker-serve", code=2),),  # the same
    "sagemaker-job": (
        Typed(
            "sagemaker-job out --name n --image i --role arn:aws:iam::123456789012:role/r --s3 s3://mine "
            "--channel task=task --set train=3",
            "out",
        ),
    ),
    "score": (Typed("score answers.csv --reference summary --answer other --cluster none --json"),),
    "compare": (
        Typed(
            "compare answers.csv --reference summary --answer other --answer dialogue --cluster none --json", "cache"
        ),
    ),
}


def make_files(ground: Path, model: Callable[[str], Path]) -> None:
    """A file of answers, one of points, two tasks, a model, a folder and a file."""
    (ground / "folder").mkdir(parents=True)
    (ground / "file.txt").write_text("text\n")
    (ground / "answers.csv").write_text(CSV)
    (ground / "points.csv").write_text(POINTS)
    for name in ("task", "other"):
        (ground / name).mkdir()
        for split, count in (("train", 4), ("dev", 1), ("test", 3)):
            rows = [
                {"id": e.id, "input": f"{name} {split}: {e.input}", "references": list(e.references), "meta": {}}
                for e in tiny.examples(count, prefix=f"{name}-{split}")
            ]
            (ground / name / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        (ground / name / "task.toml").write_text(f'name = "{name}"\n[answer]\nmax_new_tokens = 4\n')
    shutil.copytree(model("decoder-chat"), ground / "model")


def make(ground: Path, model: Callable[[str], Path]) -> Path:
    """A file of answers, one of points, two tasks, a model, a folder and a file.

    And three studies: without a trained arm, with one, and the same with votes; and an arm of the second, handed on.
    """
    make_files(ground, model)
    before, here = os.environ.get("LUTHIER_CACHE"), Path.cwd()
    os.environ["LUTHIER_CACHE"] = str(ground / "cache")
    os.chdir(ground)  # what a study writes of its task is what was typed
    try:
        luthier.study("task", model="model", arms="copy-3", out="study")
        luthier.study("task", model="model", arms=f"zero-shot,{LORA}", out="trained", precision="fp32")
        shutil.copytree("trained", "rated")
        luthier.ship("trained", "handed-on", arm=LORA)
        rate_all(luthier.open_ballot(Path("rated")), "bob", at_random(1))
    finally:
        os.chdir(here)
        if before is not None:
            os.environ["LUTHIER_CACHE"] = before
    return ground


def files(folder: Path) -> dict[str, bytes]:
    """What is in a folder but what hangs on a clock: seconds of a vote too. Hidden names are locks."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and path.name not in CLOCKS and not any(part.startswith(".") for part in name.split("/")):
            found[name] = without_seconds(path) if path.name == "ratings.jsonl" else path.read_bytes()
            if path.name in ("study.json", "multitask.json"):  # somebody may commit while a test runs
                found[name] = re.sub(rb'"(commit|dirty)": .*', b"", found[name])
    return found


def without_seconds(path: Path) -> bytes:
    rows = [json.loads(line) | {"seconds": None} for line in path.read_text().splitlines()]
    return json.dumps(rows).encode()


def differing(one: dict[str, bytes], other: dict[str, bytes]) -> list[str]:
    """The names of files that differ or are in one of two folders only."""
    return sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))


def run(typed: Typed, here: Path, before: children.Before = children.nothing) -> Said:
    """One command in a child process, after `before`. No job of SageMaker is there, whatever the machine has."""

    def first() -> None:
        os.environ["SAGEMAKER_BASE_DIR"] = "no-job"
        before()

    return children.run(children.command(*typed.words.split(" ")), here, first, typed.keys)
