"""Bad input is one sentence, an exit code, and nothing lost; so are a full disk, a broken pipe and Ctrl-C."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from luthier.cli import exits
from tests.commands import CSV, ROOT, one_sentence, process


def contents(folder: Path) -> dict[str, bytes]:
    """Every file under `folder` that is not a lock or sparse, to see that nothing is lost, changed or left behind."""
    files = [p for p in folder.rglob("*") if p.is_file() and p.stat().st_size < 2**20 and p.name != ".lock"]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


# --- bad input ----------------------------------------------------------------------------------------------------


@dataclass
class Bad:
    """Files to put there, what is typed (HERE is their folder, TASK a sound task, MODEL a tiny one), what is said."""

    typed: str
    says: str
    files: dict[str, str | bytes] = field(default_factory=dict)
    code: int = 2


INIT = "init HERE/new --from HERE/x.csv --input a --target b"
SCORE = "score HERE/x.csv --reference a --answer b"
COMPARE = SCORE.replace("score", "compare")
CONFIG = "study TASK --config HERE/study.toml --out HERE/s"
STUDY = "study TASK --model MODEL --out HERE/s"
THEIRS: dict[str, str | bytes] = {"theirs/notes.txt": "keep"}
AB = {"x.csv": "a,b\n1,2\n3,4\n"}
NATIVE = {
    **{f"t/{split}.jsonl": f'{{"id": "{split}", "input": "x", "references": ["y"]}}\n' for split in ("train", "dev")},
    "t/test.jsonl": '{"id": "test", "input": "", "references": ["y z"]}\n',
}

BAD = {
    # rows
    "missing file": Bad(INIT, "x.csv: cannot be read (No such file or directory)"),
    "a folder for a file": Bad(SCORE, "x.csv: cannot be read (Is a directory)", {"x.csv/f": ""}),
    "missing input column": Bad(INIT + "x", "row 1, field 'bx': there is no such column; there are 'a', 'b'", AB),
    "missing answer column": Bad(SCORE + "x", "x.csv, row 1, field 'bx': there is no such column", AB),
    "wrong type in init": Bad(
        INIT.replace("x.csv", "x.jsonl"),
        "x.jsonl, row 2, field 'b': this is a number; write it as a text",
        {"x.jsonl": '{"a": "1", "b": "2"}\n{"a": "3", "b": 4}\n'},
    ),
    "wrong type in compare": Bad(
        "compare HERE/x.jsonl --reference a --answer b",
        "x.jsonl, row 1, field 'b': this is a list; write it as a text",
        {"x.jsonl": '{"a": "1", "b": ["2"]}\n'},
    ),
    "empty csv": Bad(INIT, "x.csv: the file is empty; it needs a header", {"x.csv": ""}),
    "empty jsonl": Bad(SCORE.replace("csv", "jsonl"), "x.jsonl: the file is empty; it needs", {"x.jsonl": "\n"}),
    "header only": Bad(SCORE, "x.csv: the file has a header and no rows", {"x.csv": "a,b\n"}),
    "not UTF-8": Bad(INIT, "x.csv, line 3: byte 4 of the line is not UTF-8, and other lines are",
        {"x.csv": "a,b\ncafé,2\n".encode() + b"caf\xe9,2\n"}),
    "rows that a quote swallowed": Bad(SCORE, "x.csv, row 2, line 3: a quote opens here and closes on line 4",
        {"x.csv": 'a,b\n1,2\n"3,4\n5",6\n7,8\n'}),
    "a workbook": Bad(INIT.replace("csv", "xlsx"), "x.xlsx: this is a zip archive, as workbooks",
        {"x.xlsx": b"PK\x03\x04" + bytes(9)}),
    "an encoding that is none": Bad(SCORE + " --encoding utf-9", "'utf-9' is no encoding that Python knows", AB),
    "an unknown placeholder": Bad(INIT + " --instruction {x}", "the template 'plain' holds {x}, which is nothing", {
        "x.csv": "a,b\n" + "".join(f"{i},2\n" for i in range(9))}),
    "no target and no chat": Bad(INIT.partition(" --target")[0], "row 1, field 'a': no target or labels", AB),
    "not JSON": Bad(SCORE.replace("csv", "jsonl"), "x.jsonl, row 1, line 1: this is not JSON", {"x.jsonl": "{]\n"}),
    "another kind of file": Bad(INIT.replace("csv", "xlsx"), "only .csv, .tsv, .jsonl, .json", {"x.xlsx": "PK"}),
    "ragged row": Bad(SCORE, "x.csv, row 1, line 2: the row has 3 cells and the header 2", {"x.csv": "a,b\n1,2,3\n"}),
    "control signs in a name": Bad(SCORE + "\x1b[31m\n", "field 'b [31m '", AB),
    "empty reference": Bad(SCORE, "x.csv, row 1, field 'a': the reference is empty", {"x.csv": "a,b\n,2\n"}),
    "id twice": Bad(SCORE + " --id b", "x.csv, row 2, field 'b': '2' is already", {"x.csv": "a,b\n1,2\n3,2\n"}),
    # options
    "one column twice": Bad("score HERE/x.csv --reference a --answer a", "'a' is named as reference and as answer", AB),
    "one column for both": Bad(INIT[:-1] + "a", "input and target are both the column 'a'", AB),
    "unknown metric of a task": Bad(INIT + " --metric rouge9", "'rouge9' is no metric that can decide; choose one",
        {"x.csv": "a,b\n" + "".join(f"{i},x\n" for i in range(9))}),
    "unknown metric": Bad(COMPARE + " --metric f1", "'f1' cannot decide", AB),
    "margin out of range": Bad(COMPARE + " --margin 2", "margin 2.0 is not between 0 and 1", AB),
    "repeated inputs": Bad(COMPARE + " --input c", "x.csv, field 'c': rows 1 and 2 hold the same text",
        {"x.csv": "a,b,c\n1,2,hello\n3,4,Hello\n"}),
    "look 0": Bad(COMPARE + " --look 0", "looks at a test set are counted from 1", AB),
    "unknown rule for references": Bad(COMPARE + " --references best", "references 'best' is no rule", AB),
    "unknown baseline": Bad(COMPARE + " --baseline z", "the baseline 'z' is none of", AB),
    "too few rows to split": Bad(INIT, "2 distinct inputs are too few to draw", AB),
    "two things asked of plan": Bad("plan --probe --forget", "plan: give one of --probe, --forget and --errors"),
    "a study to plan": Bad("plan HERE/s --model MODEL", "s is for --errors, which compares studies"),
    # folders
    "a folder with something in it": Bad(INIT, "there is something already; choose a new", AB | {"new/f": "keep"}),
    "a file for a folder": Bad(INIT, "there is something already", AB | {"new": "keep"}),
    "no task": Bad("check HERE/nothing", "there is no such task; name a folder made by `luthier init`"),
    "a folder that is no task": Bad("check HERE", "the folder has no task.toml", AB),
    "unknown key in task.toml": Bad("check HERE/t", "task.toml: the key 'nmae' is not known; did you mean 'name'?",
        NATIVE | {"t/task.toml": 'nmae = "t"\n'}),
    "wrong type in task.toml": Bad("check HERE/t", "task.toml: the key 'answer.max_new_tokens' is '80'",
        NATIVE | {"t/task.toml": 'name = "t"\n[answer]\nmax_new_tokens = "80"\n'}),
    "a path that leaves the folder": Bad("check HERE/t", "'../x.csv' lies outside this folder; name a file inside it",
        AB | {"t/task.toml": 'name = "t"\n[data]\ntrain = "../x.csv"\ncolumns = {input = "a", target = "b"}\n'}),
    "a split that is not there": Bad("check HERE/t", "missing dev.jsonl (dev)",
        {name: text for name, text in NATIVE.items() if "dev" not in name} | {"t/task.toml": 'name = "t"'}),
    "errors in a task": Bad("check HERE/t", "1 error to mend", NATIVE | {"t/task.toml": 'name = "t"'}, 1),
    # models and arms
    "unknown model": Bad("check TASK --model nothing-1b", "'nothing-1b' is no model here; give a folder, a hub id"),
    "a folder that is no model": Bad("check TASK --model HERE", "no config.json in this folder"),
    "unknown split": Bad("show TASK --split notes --model MODEL", "no split 'notes'; name one of train, dev, test"),
    "unknown example": Bad("show TASK --id nobody --model MODEL", "the dev split has no example 'nobody'; its first"),
    "unknown method": Bad("show TASK --arm lorra --model MODEL", "arm 'lorra': 'lorra' is no method; the methods are:"),
    "unknown template": Bad("show TASK --arm zero-shot:short --model MODEL", "no template 'short'; name one of plain,"),
    "unknown setting": Bad("show TASK --arm lora+rnak=8 --model MODEL", "'rnak' is no setting of lora; there are: "),
    # studies
    "no task at all": Bad("study", "no task is named; give a task folder, or one that ships"),
    "unknown arm": Bad(STUDY + " --arms zero-shot,loar", "'loar' is no method"),
    "an arm twice": Bad(STUDY + " --arms lora,lora", "the arm 'lora' is named twice"),
    "unknown model of a study": Bad("study TASK --model nothing-1b --out HERE/s", "'nothing-1b' is no model here"),
    "unknown key in study.toml": Bad(CONFIG,
        "study.toml: the key 'modle' is not known; did you mean 'model'?", {"study.toml": 'modle = "x"\n'}),
    "unknown key of an arm in study.toml": Bad(CONFIG,
        "study.toml: the key 'arms.x.metod' is not known; did you mean 'method'?",
        {"study.toml": '[arms.x]\nmetod = "lora"\n'}),
    "wrong type in study.toml": Bad(CONFIG,
        "study.toml: the key 'train' is 'all'; it should be", {"study.toml": 'train = "all"\n'}),
    "study.toml that is not TOML": Bad(CONFIG, "this is not TOML", {"study.toml": "a =\n"}),
    "study.toml that is not there": Bad(CONFIG, "study.toml: cannot be read"),
    "more examples than there are": Bad(STUDY + " --train 999", "999 examples were asked for"),
    "a folder that is not ours": Bad("study TASK --out HERE/theirs --model MODEL", "theirs: is not empty and holds no",
        THEIRS),
    "report of a folder that is not ours": Bad("report HERE/theirs", "theirs", THEIRS),
    # asking
    "asking a folder that is not ours": Bad("ask HERE/theirs text", "theirs: no config.json", THEIRS),
    "asking nothing": Bad("ask MODEL --file HERE/x.txt", "the text is empty; give the input", {"x.txt": " \n"}),
    "asking twice": Bad("ask MODEL text --file HERE/x.txt", "the text is given twice", {"x.txt": "text"}),
    "asking a file that is not there": Bad("ask MODEL --file HERE/x.txt", "x.txt: cannot be read (No such file"),
    "asking what is not UTF-8": Bad("ask MODEL --file HERE/x.txt", "the text is not UTF-8", {"x.txt": b"caf\xe9"}),
    "asking out of range": Bad("ask MODEL text --top-p 7", "ask: the key 'top_p' is 7.0; it should be"),
    "asking a control token": Bad("ask MODEL <|im_end|>", "spells the model's control token '<|im_end|>'"),
}  # fmt: skip


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_bad_input_is_one_sentence_and_nothing_is_lost(bad, tmp_path, luthier_says, request):
    if bad.typed.startswith("report"):
        pytest.importorskip("luthier.reports.write")
    words = {"HERE": tmp_path}
    if "TASK" in bad.typed:
        words["TASK"] = request.getfixturevalue("task")
    if "MODEL" in bad.typed:
        words["MODEL"] = request.getfixturevalue("tiny_folder")("decoder-chat")
    for name, content in bad.files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    before = contents(tmp_path)
    typed = bad.typed
    for word, path in words.items():
        typed = typed.replace(word, str(path))
    said = luthier_says(*typed.split(" "))
    one_sentence(said.err)
    assert bad.says in said.err
    assert said.code == bad.code
    after = contents(tmp_path)
    assert {name: after.get(name) for name in before} == before
    assert not [name for name in after.keys() - before.keys() if not name.startswith("s/")]  # s: a study that began


def test_a_line_of_a_gigabyte_is_refused_in_the_memory_of_a_small_one(tmp_path):
    """The file is sparse: a gigabyte of zero bytes, which are UTF-8, and no line feed."""

    def peak_bytes(size: int, kind: str) -> int:
        path = tmp_path / f"{size}.{kind}"
        with open(path, "wb") as file:
            file.truncate(size)
        command = [sys.executable, "-m", "luthier", "score", str(path), "--reference", "a", "--answer", "b"]
        child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        assert child.stderr is not None
        err = child.stderr.read()
        child.stderr.close()
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        one_sentence(err)
        assert path.name in err
        assert "line 1: the line is longer than 16 MiB; is this a file of rows?" in err
        assert child.returncode == 2
        return usage.ru_maxrss * 1024

    for kind in ("csv", "jsonl"):
        assert peak_bytes(2**30, kind) < peak_bytes(32 * 2**20, kind) + 20 * 2**20


# --- full disks, broken pipes, Ctrl-C -----------------------------------------------------------------------------


@pytest.fixture
def tiny_disk(tmp_path):
    """A disk of 64 KiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)], capture_output=True)
    if mounted.returncode:
        pytest.skip("a tiny disk cannot be mounted here: that takes root")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_init_on_a_full_disk_leaves_nothing(tiny_disk, tmp_path, luthier_says):
    (tmp_path / "rows.csv").write_text(CSV * 100, encoding="utf-8")
    (tiny_disk / "mine.txt").write_text("keep")
    columns = ["--input", "dialogue", "--target", "summary"]
    said = luthier_says("init", tiny_disk / "task", "--from", tmp_path / "rows.csv", *columns)
    one_sentence(said.err)
    assert (said.code, "No space left on device" in said.err) == (2, True)
    assert [path.name for path in tiny_disk.iterdir()] == ["mine.txt"]


def test_a_study_on_a_full_disk_says_so(tiny_disk, tiny_folder, luthier_says):
    arms = ["--model", tiny_folder("decoder-chat"), "--arms", "copy-3"]
    said = luthier_says("study", "dialogues", *arms, "--out", tiny_disk / "study")
    sentence = said.err.splitlines()[-1]
    assert said.code == 2
    assert "Traceback" not in said.err
    assert sentence.startswith("luthier: ")
    assert "No space left on device" in sentence


def test_a_file_that_may_not_grow_is_a_full_disk(tmp_path):
    (tmp_path / "rows.csv").write_text(CSV * 100, encoding="utf-8")
    columns = ["--from", tmp_path / "rows.csv", "--input", "dialogue", "--target", "summary"]
    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))  # noqa: E731
    done = process("init", tmp_path / "task", *columns, preexec_fn=limit)
    one_sentence(done.stderr)
    assert (done.returncode, "File too large" in done.stderr) == (2, True)
    assert [path.name for path in tmp_path.iterdir()] == ["rows.csv"]


def test_a_result_that_cannot_be_printed_is_no_success(answers):
    if not Path("/dev/full").exists():
        pytest.skip("/dev/full is not there")
    with open("/dev/full", "w") as full:
        command = [
            sys.executable,
            "-m",
            "luthier",
            "score",
            str(answers),
            "--reference",
            "summary",
            "--answer",
            "other",
        ]
        done = subprocess.run([*command, "--json"], stdout=full, stderr=subprocess.PIPE, text=True)
    one_sentence(done.stderr)
    assert (done.returncode, "No space left on device" in done.stderr) == (2, True)


def test_a_reader_that_goes_away_hears_nothing(answers):
    command = f"{sys.executable} -m luthier score {answers} --reference summary --answer other --json | head -c 1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("{", "")


def test_ctrl_c_says_how_to_go_on(task, tiny_folder, monkeypatch, luthier_says):
    from luthier.progress import Stopped

    def stopped(*arguments: Any, **options: Any) -> None:
        raise Stopped

    monkeypatch.setattr(
        sys.modules.get("luthier.studies.study") or __import__("luthier.studies.study"), "study", stopped
    )
    said = luthier_says("study", task, "--arms", "zero-shot,lora", "--seed", "3")
    one_sentence(said.err)
    assert said.code == 130
    command = f"luthier study {task} --arms zero-shot,lora --seed 3"
    assert said.err == f"luthier: stopped, and the work so far is saved; go on with: {command}\n"


# --- what libraries raise, and streams that are closed or speak no UTF-8 ------------------------------------------


def raised(what: Callable[[], Any]) -> Exception:
    with pytest.raises(Exception) as error:
        what()
    return error.value


def deep(levels: int) -> Any:
    return json.loads("[" * levels + "]" * levels)


def test_what_the_machine_or_a_file_lacks_is_a_sentence_and_a_bug_is_none(tmp_path):
    import numpy
    import safetensors.torch
    import torch

    (tmp_path / "weights.safetensors").write_bytes(b"not weights")
    for what, words in {
        lambda: torch.empty(
            2**55
        ): "not enough memory for this (it asked for 144,115,188.1 GB more, and this process can",
        lambda: numpy.empty(2**55): "not enough memory for this (it asked for 288,230,376.2 GB more, and this process",
        lambda: bytearray(2**60): "not enough memory for this (this process can hold ",
        lambda: safetensors.torch.load_file(tmp_path / "weights.safetensors"): "weights is damaged or cut off",
        lambda: "caf\udce9".encode(): "bytes that are not UTF-8",
        lambda: deep(10**6): "nested too deeply",
    }.items():
        assert words in (exits.advice_on(raised(what)) or "")
    for bug in (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), KeyError("metrics"), AssertionError()):
        assert exits.advice_on(bug) is None


@pytest.mark.parametrize(
    "locale, name",
    [
        ({"PYTHONIOENCODING": "latin-1"}, "caf\u00e9.csv"),
        # A locale of ASCII reads the name as bytes of no letter, and so JSON shows them.
        ({"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, "caf\udcc3\udca9.csv"),
    ],
)
def test_json_is_utf_8_whatever_the_locale_says(locale, name, tmp_path):
    (tmp_path / "caf\u00e9.csv").write_text("summary,other\n" + "Ann asks.,Ann fragt.\n" * 3, encoding="utf-8")
    words = ["score", "caf\u00e9.csv", "--reference", "summary", "--answer", "other", "--cluster", "none", "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "luthier", *words],
        capture_output=True,
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"], **locale},
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.decode("utf-8"))["file"] == name


@pytest.mark.parametrize("closed, code", [("<&-", 2), (">&-", 1), ("2>&-", 2), ("<&- >&- 2>&-", 1)])
def test_closed_streams_end_in_no_traceback(closed, code, answers):
    verb = f"score {answers} --reference summary --answer other"
    if "<" in closed and ">" not in closed:
        verb = "ask nowhere"  # which reads standard input
    if closed == "2>&-":
        verb = "check nowhere"
    done = subprocess.run(f"{sys.executable} -m luthier {verb} {closed}", shell=True, capture_output=True, text=True)
    assert done.returncode == code
    assert "Traceback" not in done.stdout + done.stderr
    assert sorted(path.name for path in answers.parent.iterdir() if path.name != "cache") == ["answers.csv"]


def test_what_would_fit_is_named_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("luthier.machine.most_bytes", lambda: 1_960_000_000)
    said = str(exits.advice_on(RuntimeError("can't allocate memory: you tried to allocate 2500000000 bytes.")))
    assert said == (
        "there is not enough memory for this (it asked for 2.5 GB more, and this process can hold 2.0 GB in all); end "
        "other programs, choose a smaller model, rank or batch_size, or bound a study with --memory 1.7"
    )
    monkeypatch.setattr("luthier.machine.most_bytes", lambda: None)
    said = str(exits.advice_on(MemoryError("Unable to allocate 1.50 GiB for an array with shape (3,)")))
    assert "(it asked for 1.6 GB more); " in said and said.endswith("bound a study with --memory")
