"""The golden: small studies of every kind, every byte of their folders on one machine, and what git keeps of them.

    python -m tests.golden OUT            makes the studies in OUT and lists `sha256  path` of every file
    python -m tests.golden --compare A B  prints the files that two such folders do not have alike
    python -m tests.golden --keep         writes tests/golden/kept.json anew, which test_golden.py compares with

Everything goes through the public names of `luthier`, so that it runs unchanged on a tree whose modules were moved.

**Bytes.** The studies are made from inside OUT with relative paths, so that no folder of this machine is written
anywhere, in a process whose environment is ENVIRONMENT, with looks counted in a cache of their own. What hangs on the
clock, the machine or the checkout stands in FIELDS: these fields, and nothing else, are put to constants, byte for
byte, and the reports are made of that again. No file is left out.

**Kept.** Low-order bits differ between processors, so git keeps of each file its lines with the floats taken out (a
hash: words, keys, their order, whole numbers, blanks), and its floats, each within RELATIVE and ABSOLUTE. Other
processors must give the same answers for that, so no greedy choice may be a near-tie:

- weights are drawn as whole numbers and divided by a power of two, so they are the same everywhere; no dropout;
- the words that references are of stand out from the rest of the vocabulary, answers are short, and DECODER_SEED was
  searched for: `--keep` says how far apart the two best tokens are at least, as a share of the best one's lead over the
  mean: with this seed 4e-4. Rounding changes an untrained arm's logits by some 1e-6 of that lead and a trained
  one's by 1e-5;
- the learned prompt is trained at a tenth of its usual rate: Adam divides a first gradient by itself, so that its
  rounding would reach the answers;
- int8 rounds activations to 127 steps, and whatever falls between two of them turns with the processor: the arm has a
  study of its own (HERE_ONLY), whose files are compared by name elsewhere and in full where the fixture was made.

Not kept are the bits of weights (names, types and shapes are), what transformers and peft write beside them (LIBRARIES:
it changes with their versions), the hashes of these files, the lines of plots (their words and the rows behind them are
kept), and the versions in the signatures of scorers.
"""

from __future__ import annotations

import argparse
import base64
import csv
import gc
import hashlib
import io
import json
import math
import os
import platform
import re
import runpy
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import chdir, contextmanager, redirect_stdout
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import metadata
from pathlib import Path
from typing import Any

LISTING = "sha256.txt"

# ------------------------------------------------------------------------------------------------- what stands still


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


# ------------------------------------------------------------------------------------------------- what is kept in git

KEPT = Path(__file__).parent / "golden" / "kept.json"
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


# --------------------------------------------------------------------------------------------------- rows and models

NAMES = ("Anna", "Tom", "Lea", "Reception")
DAYS = ("Monday", "Friday")
THINGS = ("the dentist", "the tickets", "the appointment", "the station")


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
        rows.append({"key": f"r{number}", "dialogue": text, "note": said, "who": NAMES[number % 3]})
    return rows


ENDS = ("</s>", "<|im_end|>")
DECODER_SEED, ENCODER_SEED = 2, 2


def make_model(kind: str, folder: Path, seed: int) -> None:
    """A tiny model whose weights are multiples of a power of two, drawn as integers: the same on every processor."""
    import torch
    from safetensors.torch import load_file, save_file

    from tests import tiny

    tiny.save(kind, folder)
    vocabulary, words = tiny.tokenizer(), {word for number in range(12) for word in dialogue(number)[1].split()}
    # Answers are of the words that references are of: then they have scores, and the best token is well ahead.
    rare = [i for i in range(len(vocabulary)) if str(vocabulary.decode([i])).strip() not in {*words, *ENDS}]
    dice = torch.Generator().manual_seed(seed)
    file, made = folder / "model.safetensors", {}
    for name, old in sorted(load_file(file).items()):
        whole = torch.randint(-1024, 1025, old.shape, generator=dice).float() / 1024
        if old.dim() < 2:
            made[name] = whole / 8 + float("norm" in name.lower() and name.endswith("weight"))
        elif "embed" in name and len(old) == len(vocabulary):
            made[name] = whole / 4
            made[name][rare] /= 4
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
        make_model("decoder-chat", Path(DECODER), DECODER_SEED)
        make_model("bert", Path(ENCODER), ENCODER_SEED)
        for name in ("study", "merge", "report"):
            getattr(luthier, name)
        gc.freeze()  # these imports made a million objects, which a measurement of memory need not look through
        make_text()
        make_widths()
        make_classes()
        make_several()
        luthier.merge("studies/text", "merged/lora", arm="lora")


def make_text() -> None:
    """Texts: every kind of arm, two seeds, two configurations tried, likelihood; and votes of people and of a judge."""
    import luthier

    write_csv(Path("rows/notes.csv"), rows_of(40))
    luthier.init_task(
        "tasks/notes", "rows/notes.csv", input="dialogue", target="note", id="key", meta=["who"], dev_share=0.1,
        test_share=0.5, seed=3,
    )  # fmt: skip
    shorten_answers(Path("tasks/notes"), 10)
    luthier.study(
        "tasks/notes", model=DECODER, arms="copy-3,zero-shot,few-shot-2,lora,soft+learning_rate=0.003,full",
        defaults=QUICK, out="studies/text", precision="fp32", seeds=3, tune=2, likelihood=True, seed=5,
        command="luthier study tasks/notes",
    )  # fmt: skip
    ballot = luthier.open_ballot(Path("studies/text"), ["zero-shot", "few-shot-2", "lora"], 12)
    for rater in ("ann", "ben"):
        while question := ballot.question(rater):
            ballot.vote(question.item, rater, verdict_of(question.first, question.second, rater), seconds=12.0)
    with endpoint() as url:
        luthier.judge(Path("studies/text"), url, "oracle")
    said("rate.txt", "rate", "studies/text", "--result")


def make_widths() -> None:
    """An arm whose weights are made narrow after training, beside the arm that it takes its training from."""
    import luthier

    luthier.study(
        "tasks/notes", model=DECODER, arms="lora,lora@int8", defaults=QUICK, out="studies/widths", precision="fp32",
        seeds=3, tune=2, likelihood=True, command="luthier study tasks/notes",
    )  # fmt: skip


def shorten_answers(task: Path, most: int) -> None:
    """Edits task.toml as a user would: answers of few tokens, so that few greedy choices are made."""
    file = task / "task.toml"
    text, changed = re.subn(r"^max_new_tokens = \d+$", f"max_new_tokens = {most}", file.read_text(), flags=re.M)
    assert changed == 1
    file.write_text(text)


def make_classes() -> None:
    """Labels: baselines, the head of an encoder, and a decoder by likelihood and by generation."""
    import luthier

    write_csv(Path("rows/callers.csv"), rows_of(40, begin=100))
    luthier.init_task(
        "tasks/callers", "rows/callers.csv", input="dialogue", labels="who", id="key", dev_share=0.15, test_share=0.5
    )
    luthier.study(
        "tasks/callers", model=DECODER, defaults=QUICK, out="studies/classes", precision="fp32", likelihood=True,
        arms=["majority", "nearest", f"head+model={ENCODER}", "zero-shot", "zero-shot+answer=generation"],
        command="luthier study tasks/callers",
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


def run(root: Path, gaps: bool = False) -> None:
    """The studies in `root`, settled, and their listing; with `gaps`, says how close a greedy choice ever was."""
    with tempfile.TemporaryDirectory() as cache:
        os.environ["LUTHIER_CACHE"] = cache  # looks at test sets are counted there, and stand in compare.json
        make(root)
        settle(root)
        if gaps:
            print("the least gap of two tokens is {:.1e} ({})".format(*least_gap(root)))
    (root / LISTING).write_text(listing(root), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", nargs="?", type=Path, help="a new folder for the studies and their listing")
    parser.add_argument("--compare", nargs=2, type=Path, metavar=("A", "B"), help="print the files that differ")
    parser.add_argument("--keep", action="store_true", help=f"write {KEPT.name} anew, which the test compares with")
    given = parser.parse_args()
    if given.compare:
        found = differing(*given.compare)
        print("\n".join(found) or "the same bytes")
        raise SystemExit(bool(found))
    if not given.keep and (given.out is None or given.out.exists()):
        raise SystemExit("golden: name a new folder")
    if ENVIRONMENT.items() - os.environ.items():
        os.execve(sys.executable, [sys.executable, "-m", "tests.golden", *sys.argv[1:]], os.environ | ENVIRONMENT)
    if given.keep:
        with tempfile.TemporaryDirectory() as place:
            run(Path(place) / "out", gaps=True)
            write_kept(keep(Path(place) / "out"))
    else:
        run(given.out)
        sys.stdout.write((given.out / LISTING).read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
