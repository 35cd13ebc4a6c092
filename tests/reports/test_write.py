"""The report: a page that opens offline, says the decision, survives what users write, and never guesses."""

from __future__ import annotations

import json
import random
import re
import subprocess
import sys
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest

from luthier.errors import FolderError
from luthier.files import read_json, read_lines, write_json, write_lines
from luthier.records import Answer, Example, Prompt, Score, as_row
from luthier.reports import plots
from luthier.reports.pairs import against_the_best, ranked_pairs, warnings_of
from luthier.reports.read import read_study
from luthier.reports.write import report
from luthier.scoring.score import score
from luthier.verdicts.compare import compare

EVIL = "<script>alert('answer')</script> & <b>bold</b>"
# name -> (how much of the reference an answer keeps, what its kind adds to arm.json)
PROMPTED = {"copy-3": 0.0, "bare": 0.2, "zero-shot": 0.45, "zero-shot:question": 0.5, "few-shot-2": 0.55}
TRAINED = {"lora": 0.9, "soft": 0.6}
ALL_ARMS = PROMPTED | TRAINED

WORDS = (
    *("asks", "tells", "books", "cancels", "wants", "offers", "the", "his", "her", "new", "old", "late", "early"),
    *("ticket", "table", "room", "boiler", "invoice", "doctor", "teacher", "friend", "train", "flight", "before"),
    *("Monday", "Friday", "noon", "evening", "for", "with", "without", "two", "three", "forty", "euros"),
)


def made_examples(count: int) -> list[Example]:
    """Small dialogues with two references each, from a word list and a fixed seed."""
    rng = random.Random(7)
    examples = []
    for number in range(count):
        said = [" ".join(rng.choices(WORDS, k=9)) for _ in range(6)]
        references = tuple("Ana " + " ".join(rng.sample(WORDS, 14)) + "." for _ in range(2))
        text = "\n".join(f"{'AB'[turn % 2]}: {words}" for turn, words in enumerate(said))
        examples.append(Example(f"d{number}", text, references, {"kind": "booking"}, row=number + 1))
    return examples


def made_answers(name: str, quality: float, examples: list[Example]) -> list[Answer]:
    """Answers that keep a share of the reference's words; the copying arm copies."""
    rng = random.Random(name)
    answers = []
    for example in examples:
        words = [w if rng.random() < quality else rng.choice(WORDS) for w in example.references[0].split()]
        text = "\n".join(example.input.split("\n")[:3]) if name.startswith("copy") else " ".join(words)
        stop = "given" if name.startswith("copy") else rng.choice(("end", "end", "length"))
        answers.append(Answer(example.id, text, tuple(range(len(words))), stop))
    return answers


def make_study(path: Path, arms: dict[str, float] | None = None, examples: list[Example] | None = None) -> Path:
    """A study's folder as `luthier study` leaves it, with the real scorer and comparison on made-up answers."""
    arms, examples = ALL_ARMS if arms is None else arms, examples or made_examples(40)
    write_lines(path / "examples.jsonl", map(as_row, examples))
    scores = {name: make_arm(path / "arms" / name, name, quality, examples) for name, quality in arms.items()}
    cost = {name: (20.0 if name in TRAINED else 0.0, 100.0) for name in arms}
    write_json(path / "compare.json", compare(scores, cost=cost, seed=0))
    write_json(path / "cost.json", {"seconds": 900.0, "arms": {name: made_cost(name) for name in arms}})
    write_json(path / "study.json", made_study_record(arms, len(examples)))
    return path


def make_arm(place: Path, name: str, quality: float, examples: list[Example]) -> list[Score]:
    answers = made_answers(name, quality, examples)
    scores = score(answers, examples)
    write_lines(place / "answers.jsonl", map(as_row, answers))
    write_lines(place / "scores.jsonl", map(as_row, scores))
    asks = not name.startswith("copy")
    if asks:
        prompts = [Prompt(e.id, f"<|user|>Summarize.\n\n{e.input}\n<|assistant|>", (1, 2, 3)) for e in examples]
        write_lines(place / "prompts.jsonl", map(as_row, prompts))
    if name in TRAINED:
        write_lines(place / "metrics.jsonl", made_steps(3 - 2 * quality))
    write_json(place / "arm.json", made_arm_record(name, asks, answers))
    return scores


def made_steps(start: float) -> list[dict]:
    rng = random.Random(1)
    rows = [
        {"step": s, "loss_sum": 100 * (start + 1.2 * 0.97**s + rng.gauss(0, 0.1)), "count": 100} for s in range(1, 91)
    ]
    for number, row in enumerate(rows[29::30]):
        row["dev"] = (0.31, 0.39, 0.37)[number] - start / 10
    return rows


def made_arm_record(name: str, asks: bool, answers: list[Answer]) -> dict:
    stops = {kind: sum(a.stop == kind for a in answers) for kind in ("end", "length", "given")}
    counts = {"stopped": stops, "empty": sum(not a.text.strip() for a in answers)}
    if asks:
        counts |= {"prompt_tokens_mean": 280.4, "prompts_cut": 1, "tokens_cut": 17, "shots_dropped": 2}
    if name in TRAINED:
        counts |= {
            "trainable": 4_884_480, "parameters": 139_399_488, "train_examples": 144, "train_tokens": 41_203,
            "supervised_tokens": 5_012, "steps": 90, "best_step": 60, "saved_bytes": 19_600_000,
        }  # fmt: skip
    quality = ALL_ARMS.get(name, 0.4)
    dev = {str(n): 0.4 * quality + 0.1 - abs(n - 40) / 400 for n in (8, 16, 24, 32, 40, 64, 80)}
    return {
        "name": name,
        "method": name.split("-")[0],
        "summary": "low-rank updates" if name in TRAINED else "an instruction and the input",
        "template": "plain" if asks else None,
        "settings": {"rank": 16, "alpha": None} if name in TRAINED else {},
        "training": {"learning_rate": 1e-3, "epochs": 2.0} if name in TRAINED else None,
        "generation": {"max_new_tokens": 40, "temperature": 0.0} if asks else None,
        "length": {"chosen": 40, "by": "dev", "dev": dev} if asks else None,
        "dev": {"metric": "rouge1", "value": 0.3, "n": 48} if asks else None,
        "counts": counts,
        "status": "done",
    }


def made_cost(name: str) -> dict:
    seconds = {"train_seconds": 512.3, "evaluate_seconds": 31.0} if name in TRAINED else {}
    return seconds | {"dev_seconds": 20.0, "answer_seconds": 44.1, "score_seconds": 0.3, "peak_bytes": 3_200_000_000,
                      "new_tokens": 2_100}  # fmt: skip


def made_study_record(arms: dict[str, float], test: int) -> dict:
    return {
        "format": 1,
        "specification": {"task": "dialogues", "model": "smollm2-135m", "seed": 0},
        "arms": {name: {"method": name} for name in arms},
        "command": "luthier study dialogues --arms 'zero-shot,lora'",
        "task": {
            "name": "dialogues",
            "folder": "tasks/dialogues",
            "description": "Summarize a short everyday dialogue.",
            "metric": "rouge1",
            "margin": 0.02,
            "hashes": {"train": "aa11", "dev": "bb22", "test": "cc33"},
            "counts": {"train": 144, "dev": 48, "test": test},
            "of": {"train": 144, "dev": 48, "test": 60},
            "templates": {"plain": "Summarize the following conversation.\n\n{input}"},
            "notes": ["test.jsonl: 2 control characters became spaces"],
        },
        "model": {"name": "smollm2-135m", "base_sha256": "dd44", "family": "decoder", "window": 8192,
                  "precision": "bf16", "parameters": 134_515_008, "notes": []},
        "health": [{"level": "warning", "text": "train.jsonl: row 3 repeats row 1", "file": "train.jsonl", "row": 3}],
        "power": ["40 test dialogues: a true difference of 0.060 is found in 80 % of studies."],
        "test_opened": 2,
        "versions": {"python": "3.11.7", "luthier": "0.1.0"},
        "machine": {"processor": "a processor", "cores": 2},
        "commit": None,
        "dirty": None,
        "status": "done",
    }  # fmt: skip


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Path:
    """One whole study with its report, which tests read and do not change."""
    path = make_study(tmp_path_factory.mktemp("study"))
    report(path)
    return path


def page_of(path: Path) -> str:
    return report(path).read_text(encoding="utf-8")


def changed(path: Path, name: str, **changes) -> None:
    write_json(path / name, read_json(path / name) | changes)


class Outline(HTMLParser):
    """Collects tags, ids, links and loose text; a page is well formed when every tag closes in order."""

    VOID = frozenset(("meta", "br", "wbr", "link", "img", "hr", "input"))

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict]] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, f"</{tag}> closes something else"

    def all(self, attribute: str) -> list[str]:
        return [attrs[attribute] for _, attrs in self.tags if attribute in attrs]


# ------------------------------------------------------------------------------------------------------------- page


def test_the_decision_is_on_the_page_and_in_the_text(study):
    sentence = read_json(study / "compare.json")["ship"]["sentence"]
    assert sentence.startswith("Ship lora")
    assert f"<h1>{sentence}</h1>" in (study / "report.html").read_text().replace("\u00a0", " ")
    assert f"**{sentence}**" in (study / "report.md").read_text()


def test_the_page_is_well_formed_and_needs_nothing_from_outside(study):
    text = (study / "report.html").read_text()
    outline = Outline(text)
    assert outline.open == []
    ids = outline.all("id")
    assert len(ids) == len(set(ids)), "an id stands twice"
    links = outline.all("href") + outline.all("xlink:href")
    inside = [link for link in links if not link.startswith("data:text/csv;charset=utf-8;base64,")]
    assert all(link.startswith("#") and link[1:] in ids for link in inside)
    assert not {tag for tag, _ in outline.tags} & {"script", "link", "img", "iframe", "object", "base"}
    assert "src=" not in text and "@import" not in text
    assert "default-src 'none'" in text
    assert not re.search(r"url\((?!#)", text)


def test_control_characters_of_an_answer_are_shown_and_not_written(tmp_path):
    folder = make_study(tmp_path / "study")
    path = next(folder.glob("arms/*/answers.jsonl"))
    rows = list(read_lines(path))
    write_lines(path, [row | {"text": "one\x00two\x1bthree"} for row in rows])
    report(folder)
    for name in ("report.html", "report.md"):
        text = (folder / name).read_text(encoding="utf-8")
        assert not set(text) & {chr(code) for code in range(32) if chr(code) not in "\t\n\r"}
    assert "one\u2400two\u241bthree" in page_of(folder)


def test_figures_say_what_they_show(study):
    figures = [attrs for tag, attrs in Outline((study / "report.html").read_text()).tags if attrs.get("role") == "img"]
    labels = [attrs["aria-label"] for attrs in figures]
    assert len(labels) == 5 and any(label.startswith("Mean rouge1 by arm") and "lora 0." in label for label in labels)


def test_every_section_is_there(study):
    ids = Outline((study / "report.html").read_text()).all("id")
    for section in ("pairs", "metrics", "cost", "training", "length", "power", "examples", "prompts", "data", "again"):
        assert section in ids


def test_two_runs_give_equal_bytes(study):
    before = [(study / name).read_bytes() for name in ("report.html", "report.md")]
    report(study)
    assert before == [(study / name).read_bytes() for name in ("report.html", "report.md")]


def test_what_was_cut_is_told(study):
    text = (study / "report.md").read_text()
    assert "| lora | 40 | 1 | 17 | 2 |" in text
    assert "2 control characters became spaces" in text and "row 3 repeats row 1" in text
    assert "this one included: 2" in text


def test_the_command_is_shown_as_it_was_given(study):
    assert "    luthier study dialogues --arms 'zero-shot,lora'\n" in (study / "report.md").read_text()


def test_report_never_imports_torch(study):
    code = (
        f"import sys; from luthier.reports.write import report; from pathlib import Path; report(Path({str(study)!r}))"
    )
    code += "; assert not {'torch', 'transformers', 'matplotlib.pyplot'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


# ------------------------------------------------------------------------------------------------- what users write


def test_nothing_a_user_writes_becomes_markup(tmp_path):
    examples = [
        Example(f"d{i}", f"A: {EVIL}\nB: $x_1$ 日本", (f"{EVIL} reference one two", "three four five"))
        for i in range(25)
    ]
    evil_arm = "<i>arm|$a^b$"
    path = make_study(tmp_path, {"zero-shot": 0.5, evil_arm: 0.7}, examples)
    answers = [row | {"text": EVIL} for row in read_lines(path / "arms" / evil_arm / "answers.jsonl")]
    write_lines(path / "arms" / evil_arm / "answers.jsonl", answers)
    record = read_json(path / "study.json")
    record["task"] |= {"name": EVIL, "description": EVIL, "templates": {EVIL: EVIL}, "notes": [EVIL]}
    write_json(
        path / "study.json", record | {"command": EVIL + "\n# heading", "health": [{"level": "note", "text": EVIL}]}
    )
    text = page_of(path)
    assert "<script" not in text and "<b>bold" not in text and "<i>arm" not in text
    assert "&lt;script&gt;" in text
    assert Outline(text).open == []
    markdown = (path / "report.md").read_text()
    assert "&lt;i&gt;arm\\|$a^b$" in markdown
    outside_code = "\n".join(line for line in markdown.splitlines() if not line.startswith("    "))
    assert "<script" not in outside_code and "\n# heading" not in markdown


# ---------------------------------------------------------------------------------------------- studies that lack much


def test_one_arm_has_nothing_to_be_compared_with(tmp_path):
    text = page_of(make_study(tmp_path, {"zero-shot": 0.5}))
    assert "has nothing to be compared with" in text and Outline(text).open == []
    assert 'id="training"' not in text


def test_an_unfinished_arm_is_named(tmp_path):
    path = make_study(tmp_path, {"zero-shot": 0.5, "few-shot-2": 0.6})
    changed(path, "study.json", status="running", arms={"zero-shot": {}, "few-shot-2": {}, "lora": {}})
    text = page_of(path)
    assert "Not finished, start the study again to go on: lora." in text
    assert 'class="quiet">not finished</td>' in text


def test_an_arm_without_a_status_is_unfinished_although_it_was_compared(tmp_path):
    path = make_study(tmp_path, {"zero-shot": 0.5, "few-shot-2": 0.6})
    record = read_json(path / "arms" / "zero-shot" / "arm.json")
    del record["status"]
    write_json(path / "arms" / "zero-shot" / "arm.json", record)
    assert read_study(path).unfinished == ["zero-shot"]
    page_of(path)


def test_unknown_numbers_are_dashes_not_zeros(tmp_path):
    path = make_study(tmp_path, {"zero-shot": 0.5, "lora": 0.9})
    result = read_json(path / "compare.json")
    result["arms"]["zero-shot"]["rouge1"] = {"mean": None, "low": None, "high": None, "n": 0}
    result["arms"]["lora"]["bleu"] = {"mean": None, "low": None, "high": None, "n": 0}
    result["best"] |= {"simultaneous_low": None, "simultaneous_high": None}
    result["power"] |= {"detectable": None, "sd_range": None}
    for row in result["pairs"]:
        row |= {"difference": None, "low": None, "high": None, "verdict": None}
        row |= {"simultaneous_low": None, "simultaneous_high": None, "examples_needed": None}
    write_json(path / "compare.json", result)
    changed(path, "cost.json", arms={})
    arm = read_json(path / "arms" / "lora" / "arm.json")
    write_json(path / "arms" / "lora" / "arm.json", arm | {"length": None, "dev": None, "counts": {}})
    (path / "arms" / "lora" / "metrics.jsonl").unlink()
    for key in ("health", "power", "test_opened", "versions", "machine"):
        record = read_json(path / "study.json")
        write_json(path / "study.json", record | {key: None})
    text = page_of(path)
    assert "no value" in text and "None" not in re.sub(r"<style>.*?</style>", "", text, flags=re.DOTALL)


def test_a_baseline_that_nobody_beats_is_said_first(tmp_path):
    path = make_study(tmp_path, {"zero-shot": 0.9, "few-shot-2": 0.3, "lora": 0.2})
    assert warnings_of(read_study(path))[0] == "No arm is shown to beat the baseline zero-shot."
    assert "<li>No arm is shown to beat the baseline zero-shot.</li>" in page_of(path)


def test_arms_that_do_not_beat_a_baseline_are_gathered(study):
    warnings = warnings_of(read_study(study))
    gathered = [text for text in warnings if text.startswith("Not shown to beat the baseline zero-shot:")]
    assert len(gathered) == 1 and "bare" in gathered[0] and "lora" not in gathered[0]
    assert not any("is not shown to beat" in text for text in warnings)


def test_an_earlier_opening_of_the_test_split_is_a_warning(study):
    assert any(text.startswith("1 earlier study opened this test split") for text in warnings_of(read_study(study)))


# ------------------------------------------------------------------------------------------------------ what is chosen


def test_pairs_are_turned_so_that_the_better_mean_stands_first(study):
    rows = ranked_pairs(read_study(study))
    assert len(rows) == 21 and all(row["difference"] >= 0 for row in rows)
    assert all(row["simultaneous_low"] <= row["difference"] <= row["simultaneous_high"] for row in rows)
    assert rows[0]["a"] == "lora" and "worse" not in {row["verdict"] for row in rows}


def test_an_arm_is_set_against_the_best_of_the_others(study):
    against = against_the_best(read_study(study))
    assert against["lora"]["difference"] > 0 and against["lora"]["verdict"] == "better"
    assert all(against[name]["b"] == "lora" for name in against if name != "lora")
    assert against["bare"]["difference"] < 0 and against["bare"]["verdict"] == "worse"


def test_labels_keep_their_distance_and_their_order():
    placed = plots.spread([0.3, 0.1, 0.1, 0.11], 0.05)
    order = sorted(placed)
    assert all(b - a >= 0.05 - 1e-9 for a, b in pairwise(order))
    assert max(placed) == placed[0] and sum(placed) == pytest.approx(0.61)


# -------------------------------------------------------------------------------------------------------------- damage


def remove(name):
    return lambda path: (path / name).unlink()


def write(name, text):
    return lambda path: (path / name).write_text(text)


DAMAGE = {
    "no study.json": (remove("study.json"), "study.json: no such file"),
    "no compare.json": (remove("compare.json"), "compare.json: not there yet"),
    "no cost.json": (remove("cost.json"), "cost.json: no such file"),
    "no examples": (remove("examples.jsonl"), "examples.jsonl: no such file"),
    "no answers": (remove("arms/zero-shot/answers.jsonl"), "answers.jsonl: no such file"),
    "no prompts": (remove("arms/zero-shot/prompts.jsonl"), "prompts.jsonl: no such file"),
    "not JSON": (write("study.json", "{"), "study.json: cannot be read as JSON"),
    "a list": (write("compare.json", "[]"), "compare.json: 'deciding' is missing"),
    "a key less": (write("study.json", json.dumps({"task": {}})), "study.json: 'task.name' is missing"),
    "an arm that is no object": (write("arms/zero-shot/arm.json", "3"), "arm.json: is no JSON object"),
    "a bad line": (write("arms/zero-shot/scores.jsonl", "{\n{}\n"), "line 1 is damaged"),
    "a line of something else": (write("arms/zero-shot/scores.jsonl", '{"id": "d0"}\n'), "a line is no score"),
    "a line that is no object": (write("examples.jsonl", "3\n"), "examples.jsonl: "),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_a_sentence_and_the_old_report_stays(tmp_path, name):
    path = make_study(tmp_path, {"zero-shot": 0.5}, made_examples(2))
    (path / "report.html").write_text("the old one")
    damage, sentence = DAMAGE[name]
    damage(path)
    with pytest.raises(FolderError, match=re.escape(sentence)):
        report(path)
    assert (path / "report.html").read_text() == "the old one"


def test_a_folder_that_is_not_there_is_a_sentence(tmp_path):
    with pytest.raises(FolderError, match="no such file"):
        report(tmp_path / "nowhere")


def test_an_arm_cannot_lead_out_of_the_folder(tmp_path):
    path = make_study(tmp_path, {"zero-shot": 0.5}, made_examples(2))
    changed(path, "study.json", arms={"zero-shot": {}, "../../elsewhere": {}})
    with pytest.raises(FolderError, match="outside this folder"):
        report(path)
