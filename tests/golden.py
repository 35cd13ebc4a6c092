"""The golden: small studies of every kind, and every byte of their folders.

    python -m tests.golden OUT            makes the studies in OUT and lists `sha256  path` of every file
    python -m tests.golden --compare A B  prints the files that two such folders do not have alike

Everything goes through the public names of `luthier`, so that it runs unchanged on a tree whose modules were moved.
The studies are made from inside OUT with relative paths, so that no folder of this machine is written anywhere. What
hangs on the clock, the machine or the checkout stands in FIELDS: these fields, and nothing else, are put to constants,
byte for byte, and the reports are made of that again. No file is left out.
"""

from __future__ import annotations

import argparse
import csv
import gc
import hashlib
import io
import json
import os
import re
import runpy
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import chdir, contextmanager, redirect_stdout
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

LISTING = "sha256.txt"

# ------------------------------------------------------------------------------------------------- what stands still


@dataclass(frozen=True)
class Field:
    """A field whose value hangs on the clock, the machine or the checkout, and what is put in its place."""

    files: str  # the file's name as a regular expression
    pattern: str
    instead: str
    reason: str


FIELDS = (
    Field(r"cost\.json", r'("(?:\w+_)?seconds": )[\d.e-]+', r"\g<1>90.0", "the clock"),
    Field(r"cost\.json", r'("(?:\w+_)?peak_bytes": )\d+', r"\g<1>500000000", "the memory of the process"),
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
    Field(r"study\.json|multitask\.json", r'("commit": )"[0-9a-f]{40}"', rf'\1"{"0" * 40}"', "the checkout"),
    Field(r"study\.json|multitask\.json", r'("dirty": )(?:true|false)', r"\1false", "the checkout"),
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


# --------------------------------------------------------------------------------------------------- rows and models

NAMES = ("Anna", "Tom", "Lea", "Reception")
DAYS = ("Monday", "Friday")
THINGS = ("the dentist", "the tickets", "the appointment", "the station")
MOODS = ("calm", "very calm", "worried")


def dialogue(number: int) -> tuple[str, str]:
    """An input of one to four turns, and what is said of it."""
    who, day, thing = NAMES[number % 3], DAYS[number % 2], THINGS[number * 3 % 4]
    turns = [
        f"{who}: Can we move {thing} to {day} at nine? ({number})",
        f"Reception: {day} is full, but half past eight is free.",
        f"{who}: Fine, {number + 20} euros, thank you.",
        "Reception: Please send me a reminder.",
    ]
    said = f"{who} asks to move {thing} to {day} at half past eight and wants a reminder."
    return "\n".join(turns[: 1 + number % 4]), said


def write_csv(path: Path, rows: list[dict[str, str]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def rows_of(count: int, begin: int = 0) -> list[dict[str, str]]:
    rows = []
    for number in range(begin, begin + count):
        text, said = dialogue(number)
        rows.append({"key": f"r{number}", "dialogue": text, "note": said, "mood": MOODS[number % 3]})
    return rows


BYTES = slice(5, 5 + 256)  # the tokens of a single byte, behind the special ones


def make_model(kind: str, folder: Path, seed: int) -> None:
    """A tiny model whose weights are multiples of a power of two, drawn as integers: the same on every processor."""
    import torch
    from safetensors.torch import load_file, save_file

    from tests import tiny

    tiny.save(kind, folder)
    dice = torch.Generator().manual_seed(seed)
    file, made = folder / "model.safetensors", {}
    for name, old in sorted(load_file(file).items()):
        whole = torch.randint(-1024, 1025, old.shape, generator=dice).float() / 1024
        if old.dim() < 2:
            made[name] = whole / 8 + float("norm" in name.lower() and name.endswith("weight"))
        elif "embed" in name and len(old) == len(tiny.tokenizer()):
            made[name] = whole / 4
            made[name][BYTES] /= 4  # so that answers are mostly of words
        else:
            made[name] = whole * (0.25 if "embed" in name else 0.75)
    save_file({name: tensor.contiguous() for name, tensor in made.items()}, file, metadata={"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    config |= {key: 0.0 for key in config if "dropout" in key and isinstance(config[key], float)}
    (folder / "config.json").write_text(json.dumps(config, indent=2))


# ---------------------------------------------------------------------------------------------------------- studies

DECODER, ENCODER = "models/decoder", "models/encoder"
QUICK = "epochs=1,batch_size=4,evaluations=2"


def make(root: Path) -> None:
    """All studies in the folder `root`, from which they are made, so that every path in them is a relative one."""
    import luthier

    root.mkdir(parents=True)
    with chdir(root):
        make_model("decoder-chat", Path(DECODER), seed=1)
        make_model("bert", Path(ENCODER), seed=2)
        for name in ("study", "merge", "report"):
            getattr(luthier, name)
        gc.freeze()  # these imports made a million objects, which a measurement of memory need not look through
        make_text()
        make_classes()
        make_several()
        luthier.merge("studies/text", "merged/lora", arm="lora")


def make_text() -> None:
    """Texts: every kind of arm, two seeds, two configurations tried, likelihood; and votes of people and of a judge."""
    import luthier

    write_csv(Path("rows/notes.csv"), rows_of(40))
    luthier.init_task(
        "tasks/notes", "rows/notes.csv", input="dialogue", target="note", id="key", meta=["mood"], dev_share=0.1,
        test_share=0.5, seed=3,
    )  # fmt: skip
    shorten_answers(Path("tasks/notes"), 10)
    luthier.study(
        "tasks/notes", model=DECODER, arms="copy-3,zero-shot,few-shot-2,lora,soft,full,lora@int8", defaults=QUICK,
        out="studies/text", precision="fp32", seeds=3, tune=2, likelihood=True, seed=5,
        command="luthier study tasks/notes",
    )  # fmt: skip
    ballot = luthier.open_ballot(Path("studies/text"), ["zero-shot", "few-shot-2", "lora"], 12)
    for rater in ("ann", "ben"):
        while question := ballot.question(rater):
            ballot.vote(question.item, rater, verdict_of(question.first, question.second, rater), seconds=12.0)
    with endpoint() as url:
        luthier.judge(Path("studies/text"), url, "oracle")
    said("rate.txt", "rate", "studies/text", "--result")


def shorten_answers(task: Path, most: int) -> None:
    """Edits task.toml as a user would: answers of few tokens, so that few greedy choices are made."""
    file = task / "task.toml"
    text, changed = re.subn(r"^max_new_tokens = \d+$", f"max_new_tokens = {most}", file.read_text(), flags=re.M)
    assert changed == 1
    file.write_text(text)


def make_classes() -> None:
    """Labels: baselines, the head of an encoder, and a decoder by likelihood and by generation."""
    import luthier

    write_csv(Path("rows/moods.csv"), rows_of(40, begin=100))
    luthier.init_task(
        "tasks/moods", "rows/moods.csv", input="dialogue", labels="mood", id="key", dev_share=0.15, test_share=0.5
    )
    luthier.study(
        "tasks/moods", model=DECODER, defaults=QUICK, out="studies/classes", precision="fp32", likelihood=True,
        arms=["majority", "nearest", f"head+model={ENCODER}", "zero-shot", "zero-shot+answer=generation"],
        command="luthier study tasks/moods",
    )  # fmt: skip


def make_several() -> None:
    """One training on two tasks, and a third that is held out."""
    import luthier

    for number, (name, words) in enumerate((("sums", "Sum up."), ("heads", "Headline?"), ("lines", "One line."))):
        write_csv(Path(f"rows/{name}.csv"), rows_of(26 + 4 * number, begin=200 + 50 * number))
        luthier.init_task(
            f"tasks/{name}", f"rows/{name}.csv", input="dialogue", target="note", id="key", instruction=words,
            dev_share=0.12, test_share=0.5, seed=number,
        )  # fmt: skip
        shorten_answers(Path(f"tasks/{name}"), 8)
    luthier.multitask(
        ["tasks/sums", "tasks/heads"], held_out=["tasks/lines"], model=DECODER, arms="zero-shot,lora-r4",
        defaults=QUICK, mixture="temperature", temperature=2.0, templates=1, out="studies/several", precision="fp32",
        command="luthier multitask tasks/sums tasks/heads",
    )  # fmt: skip


# ------------------------------------------------------------------------------------------------ raters and screens


def verdict_of(first: str, second: str, rater: str) -> str:
    """What a rater says: of most pairs the answer with more letters e, of some that it is a tie or both are bad."""
    more = first.count("e") - second.count("e")
    odd = int(hashlib.sha256(f"{rater}{min(first, second)}".encode()).hexdigest(), 16) % 7
    return {0: "tie", 1: "both bad", 2: "second"}.get(odd, "first" if more > 0 else "second" if more else "tie")


class _Oracle(BaseHTTPRequestHandler):
    """An OpenAI-compatible endpoint: it answers by a hash of what it is asked."""

    def do_POST(self) -> None:
        asked = self.rfile.read(int(self.headers["Content-Length"]))
        mark = int(hashlib.sha256(json.loads(asked)["messages"][0]["content"].encode()).hexdigest(), 16) % 9
        words = {0: "TIE", 1: "BOTH BAD", 2: None}.get(mark, "1" if mark % 2 else "2")
        reply = f"I weighed both.\nVERDICT: {words}" if words else "I cannot say."
        body = json.dumps({"choices": [{"message": {"content": reply}}]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        return None


@contextmanager
def endpoint() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Oracle)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def said(file: str, *arguments: str) -> None:
    """Runs `python -m luthier` with these arguments, here, and keeps what it printed."""
    before, sys.argv = sys.argv, ["luthier", *arguments]
    printed = io.StringIO()
    try:
        with redirect_stdout(printed):
            runpy.run_module("luthier", run_name="__main__")
    except SystemExit as end:
        assert not end.code, f"luthier {' '.join(arguments)} ended with {end.code}"
    finally:
        sys.argv = before
    path = Path("said") / file
    path.parent.mkdir(exist_ok=True)
    path.write_text(printed.getvalue(), encoding="utf-8")


# -------------------------------------------------------------------------------------------------------------- main


ENVIRONMENT = {  # of the process that makes the studies, from its first moment on
    "PYTHONHASHSEED": "0",  # peft writes a set of layers in whatever order it has
    "OMP_NUM_THREADS": "1",  # the order of a sum hangs on how many threads share it
    "CUDA_VISIBLE_DEVICES": "",
    "HF_HUB_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "COLUMNS": "120",
    "NO_COLOR": "1",
}


def run(root: Path) -> None:
    """The studies in `root`, settled, and their listing."""
    with tempfile.TemporaryDirectory() as cache:
        os.environ["LUTHIER_CACHE"] = cache  # looks at test sets are counted there, and stand in compare.json
        make(root)
        settle(root)
    (root / LISTING).write_text(listing(root), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", nargs="?", type=Path, help="a new folder for the studies and their listing")
    parser.add_argument("--compare", nargs=2, type=Path, metavar=("A", "B"), help="print the files that differ")
    given = parser.parse_args()
    if given.compare:
        found = differing(*given.compare)
        print("\n".join(found) or "the same bytes")
        raise SystemExit(bool(found))
    if given.out is None or given.out.exists():
        raise SystemExit("golden: name a new folder")
    if ENVIRONMENT.items() - os.environ.items():
        os.execve(sys.executable, [sys.executable, "-m", "tests.golden", *sys.argv[1:]], os.environ | ENVIRONMENT)
    run(given.out)
    sys.stdout.write((given.out / LISTING).read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
