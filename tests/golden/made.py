"""The studies: their rows, their models, their arms, and who rates them."""

from __future__ import annotations

import csv
import gc
import hashlib
import io
import json
import re
import runpy
import sys
import threading
from collections.abc import Iterator
from contextlib import chdir, contextmanager, redirect_stdout
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

ENVIRONMENT = {  # of the process that makes the studies, from its first moment on
    "PYTHONHASHSEED": "0",  # peft writes a set of layers in whatever order it has
    "OMP_NUM_THREADS": "1",  # the order of a sum hangs on how many threads share it
    "CUDA_VISIBLE_DEVICES": "",
    "HF_HUB_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "COLUMNS": "120",
    "NO_COLOR": "1",
}

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
