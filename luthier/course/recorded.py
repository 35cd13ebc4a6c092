"""A lesson run cell by cell in a fresh process, with what each cell printed and showed: what a page is made of.

    lesson --recorded--> [Output, ...] for each cell

Cells share one namespace, as in a notebook. After a cell that fails nothing more is run, unless the cell is a hole's
test or a question, which a learner may leave open.
"""

from __future__ import annotations

import json
import secrets
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from luthier.course.child import finished
from luthier.course.source import Lesson

SECONDS = 900.0
MOST_OUTPUT = 30_000_000  # bytes: pictures of a whole lesson
_CHILD = '''
import contextlib, io, json, os, sys, traceback
request = json.loads(open(sys.argv[1], encoding="utf-8").read())
channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
os.dup2(2, 1)
sys.path.insert(0, os.getcwd())
module = type(sys)("__main__")
sys.modules["__main__"] = module
world = module.__dict__
outputs = []

class Text(io.TextIOBase):
    """What is printed goes behind what was shown, in order."""
    def writable(self):
        return True
    def write(self, text):
        if outputs and outputs[-1]["kind"] == "text":
            outputs[-1]["text"] += text
        else:
            outputs.append({"kind": "text", "text": text})
        return len(text)

def shown(value):
    if value is not None:
        html = getattr(value, "_repr_html_", None)
        if html is None:
            Text().write(repr(value) + "\\n")
        else:
            outputs.append({"kind": "html", "text": html(), "words": repr(value)})

sys.displayhook = shown
for at, cell in enumerate(request["cells"]):
    outputs = []
    failed = False
    if cell["code"]:
        try:
            with contextlib.redirect_stdout(Text()):
                exec(compile(cell["code"], "cell %d" % (at + 1), "exec"), world)
        except BaseException as problem:
            failed = True
            said = type(problem).__name__ + (": " + str(problem) if str(problem) else "")
            outputs.append({"kind": "error", "text": said})
    channel.write(request["nonce"] + json.dumps(outputs) + "\\n")
    channel.flush()
    if failed and not cell["open"]:
        break
'''


@dataclass(frozen=True)
class Output:
    """One thing that a cell left: a `text`, an `html` with its words, or an `error`."""

    kind: str
    text: str
    words: str = ""


def recorded(lesson: Lesson, folder: Path | None = None, *, seconds: float = SECONDS) -> list[list[Output]]:
    """The outputs of each cell; a cell that was not reached has none.

    The cells run offline, in `folder` or in an empty one that is gone afterwards.
    """
    nonce = secrets.token_hex(8)
    cells = [
        {"code": "" if cell.markdown else cell.text, "open": cell.has("test") or cell.has("question")}
        for cell in lesson.cells
    ]
    with tempfile.TemporaryDirectory(prefix="luthier-lesson-") as own:
        asked = Path(own) / "request.json"
        asked.write_text(json.dumps({"cells": cells, "nonce": nonce}), encoding="utf-8")
        place = folder or Path(own) / "empty"
        place.mkdir(exist_ok=True)
        done = finished([sys.executable, "-c", _CHILD, str(asked)], place, seconds, most_output=MOST_OUTPUT)
    # A line without its end was cut off.
    lines = [line.removeprefix(nonce) for line in done.out.split("\n")[:-1] if line.startswith(nonce)]
    outputs = [[Output(**one) for one in json.loads(line)] for line in lines]
    said = bool(outputs) and not cells[len(outputs) - 1]["open"] and any(one.kind == "error" for one in outputs[-1])
    if len(outputs) < len(cells) and not said:
        why = f"it took more than {seconds:.0f} s" if done.late else f"its process ended here, with code {done.code}"
        outputs.append([Output("error", why)])
    return outputs + [[] for _ in range(len(cells) - len(outputs))]


def to_json(outputs: Sequence[Sequence[Output]]) -> str:
    """Outputs as text, to be kept."""
    return json.dumps([[asdict(one) for one in cell] for cell in outputs])


def from_json(text: str) -> list[list[Output]]:
    """Outputs that were kept. Raises ValueError for a text that is none."""
    try:
        return [[Output(**one) for one in cell] for cell in json.loads(text)]
    except (TypeError, KeyError) as problem:
        raise ValueError(f"these are no outputs: {problem}") from None
