"""The doors: every verb through the real command line, what it prints and what it imports."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer

import luthier
from luthier.cli import app
from luthier.files import write_lines
from tests.arms.test_shipped import arm
from tests.commands import one_sentence

HEAVY = ("torch", "transformers", "peft", "matplotlib")


# --- the public names ---------------------------------------------------------------------------------------------


def test_public_names_are_sorted_resolve_and_are_themselves():
    assert luthier.__all__ == sorted(luthier.__all__)
    for name in luthier.__all__:
        value = getattr(luthier, name)
        assert getattr(value, "__name__", name) == name
    assert set(luthier.__all__) <= set(dir(luthier))
    with pytest.raises(AttributeError, match="module 'luthier' has no attribute 'scores'"):
        luthier.scores  # noqa: B018


def test_type_checkers_read_the_same_names():
    tree = ast.parse(Path(luthier.__file__).read_text(encoding="utf-8"))
    block = next(n for n in tree.body if isinstance(n, ast.If) and ast.unparse(n.test) == "TYPE_CHECKING")
    read = {line.names[0].asname: line.module.removeprefix("luthier.") for line in block.body}
    assert read == luthier._HOMES


def test_a_name_means_the_same_whatever_was_imported_before():
    code = "import luthier.scoring.score\nfrom luthier import compare, score\nprint(compare.__name__, score.__name__)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "compare score\n"


# --- what is imported, and how long it takes ----------------------------------------------------------------------


def imported(*arguments: Any, among: tuple[str, ...] = HEAVY) -> list[str]:
    """Which of these modules a verb has imported when it ends."""
    code = (
        "import sys\nfrom luthier.cli.app import main\ntry: main()\nexcept SystemExit as end: assert not end.code\n"
        f"print([name for name in {among} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return ast.literal_eval(done.stdout.splitlines()[-1])


VERBS = ["", *typer.main.get_command(app.app).commands]


@pytest.mark.parametrize("verb", VERBS)
def test_help_has_an_example(verb, luthier_says):
    said = luthier_says(*filter(None, [verb]), "--help")
    assert said.code == 0
    assert f"luthier {verb} " in said.out if verb else "Commands:" in said.out


def test_no_verb_without_a_model_imports_torch(answers):
    columns = ["--reference", "summary", "--answer", "dialogue"]
    assert imported("--help") == []
    assert imported("study", "--help") == []
    assert imported("score", answers, *columns) == []
    assert imported("compare", answers, *columns, "--answer", "other") == []
    code = f"import luthier, sys\nprint([name for name in {(*HEAVY, 'numpy', 'rich')} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"


def test_a_plan_without_a_task_imports_nothing_that_reads_tasks_or_tokens_or_models():
    libraries = (*HEAVY, "numpy", "jinja2", "tokenizers", "safetensors", "huggingface_hub")
    rooms = ("scoring.words", "task.task", "task.prompt", "arms.domain_texts", "model.model", "studies.study")
    among = (*libraries, *(f"luthier.{room}" for room in rooms))
    arms = ("--arm", "lora", "--arm", "full", "--arm", "zero-shot")
    assert imported("plan", "--model", "llama-3.1-8b", *arms, "--terms", "--device", "a100", among=among) == []
    assert imported("plan", "--model", "flan-t5-base", "--json", among=(*among, "rich")) == []


def test_no_verb_s_options_are_made_before_it_is_typed():
    verbs = typer.main.get_command(app.app).commands
    verbs |= verbs["scale"].commands | verbs["class"].commands
    assert [name for name, verb in verbs.items() if verb.params] == []
    assert len(verbs) > 30


def test_help_takes_less_than_four_tenths_of_a_second():
    def seconds() -> float:
        """Of the processor and not of the clock: what else runs on the machine is not ours. Nothing is waited for."""
        child = subprocess.Popen([sys.executable, "-m", "luthier", "--help"], stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        assert child.returncode == 0
        return usage.ru_utime + usage.ru_stime

    assert min(seconds() for _ in range(3)) < 0.4


def test_version_and_unknown_options(luthier_says):
    assert luthier_says("--version").out == f"luthier {luthier.__version__}\n"
    unknown = luthier_says("score", "--nope")
    assert (unknown.code, "No such option: --nope" in unknown.err) == (2, True)


# --- verbs --------------------------------------------------------------------------------------------------------


def test_init_says_what_it_made(tmp_path, answers, luthier_says):
    columns = ["--from", answers, "--input", "dialogue", "--target", "summary"]
    shown = luthier_says("init", tmp_path / "a", *columns)
    assert shown.code == 0
    assert "luthier check" in shown.out
    told = json.loads(luthier_says("init", tmp_path / "b", *columns, "--json").out)
    assert {split: row["rows"] for split, row in told["splits"].items()} == {"train": 21, "dev": 3, "test": 6}
    assert (told["task"], told["metric"], told["margin"]) == ("b", "rouge1", 0.02)


def test_check_passes_a_sound_task_and_fails_an_unsound_one_with_exit_code_1(task, luthier_says):
    assert luthier_says("check", task).code == 0
    with open(task / "rows.csv", "a", encoding="utf-8") as file:
        file.write("Ann: And this?,,x\n,Ann asks.,x\n")
    failed = luthier_says("check", task)
    one_sentence(failed.err)
    assert (failed.code, "2 errors to mend" in failed.err) == (1, True)
    assert "error   rows.csv (train), row 31: the reference is empty" in failed.out
    told = json.loads(luthier_says("check", task, "--json").out)
    assert (told["errors"], told["findings"][0]["row"], told["findings"][0]["file"]) == (2, 32, "rows.csv")


def test_compare_json_is_what_compare_json_holds(answers, tmp_path, luthier_says):
    columns = ["--reference", "summary", "--answer", "dialogue", "--answer", "other"]
    said = luthier_says("compare", answers, *columns, "--json")
    result = luthier.compare_columns(answers, reference="summary", answers=["dialogue", "other"], look=1)
    luthier.files.write_json(tmp_path / "compare.json", result)
    assert said.out == (tmp_path / "compare.json").read_text(encoding="utf-8")
    shown = luthier_says("compare", answers, *columns)
    assert result["ship"]["sentence"] in shown.out
    assert "dialogue - other" in shown.out
    assert "look 1 at this test set" in shown.out, "the same question again"
    assert "look 5 at this test set" in luthier_says("compare", answers, *columns, "--look", "5").out
    twins = luthier_says("compare", answers, "--reference", "summary", "--answer", "other", "--answer", "dialogue")
    assert "look 2 at this test set" in twins.out


def test_what_is_not_separated_is_said_and_never_called_equal(answers, luthier_says):
    answers.write_text(answers.read_text().replace("Ann asks.", "Ann asks for it."), encoding="utf-8")
    answers.write_text("".join(f"{line},{line.split(',')[2]}\n" for line in answers.read_text().splitlines()))
    answers.write_text(answers.read_text().replace("dialogue,summary,other,other", "dialogue,summary,other,twin"))
    shown = luthier_says("compare", answers, "--reference", "summary", "--answer", "other", "--answer", "twin").out
    assert "Not separated: other, twin." in shown and "equal" not in shown.replace("equivalent", "")


def test_score_shows_every_metric(answers, luthier_says):
    columns = ["--reference", "summary", "--answer", "other", "--input", "dialogue"]
    shown = luthier_says("score", answers, *columns).out
    assert all(metric in shown for metric in luthier.METRICS)
    assert json.loads(luthier_says("score", answers, *columns, "--json").out)["metrics"]["rouge1"]["n"] == 30


def test_names_that_look_like_markup_are_shown_as_they_are(tmp_path, luthier_says):
    write_lines(tmp_path / "x.jsonl", [{"r": "a b", "[red]": "a"}, {"r": "b c", "[red]": "b"}])
    assert "[red]" in luthier_says("score", tmp_path / "x.jsonl", "--reference", "r", "--answer", "[red]").out


def test_show_brackets_what_is_supervised(task, tiny_folder, luthier_says):
    model = ["--model", tiny_folder("decoder-chat")]
    trained = luthier_says("show", task, "--arm", "lora", "--split", "train", *model)
    assert trained.out.count("⟦") == int(trained.out.split("supervised ")[1].split(",")[0]) > 3
    assert "⟦<|im_end|>⟧" in trained.out
    prompted = luthier_says("show", task, *model).out
    assert "Summarize the following conversation." in prompted
    assert "⟦" not in prompted


def test_ask_streams_what_the_library_gives(tiny_folder, tmp_path, monkeypatch, luthier_says):
    folder = tiny_folder("decoder-chat")
    options = ["--max-new-tokens", "5", "--temperature", "1.0", "--seed", "3"]
    said = luthier_says("ask", folder, "Ann: Hi.", *options)
    generation = {"max_new_tokens": 5, "temperature": 1.0}
    assert said.out == "".join(luthier.ask(folder, "Ann: Hi.", generation=generation, seed=3)) + "\n"
    (tmp_path / "text.txt").write_text("Ann: Hi.", encoding="utf-8")
    assert luthier_says("ask", folder, "--file", tmp_path / "text.txt", *options).out == said.out
    with open(tmp_path / "text.txt", encoding="utf-8") as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        assert luthier_says("ask", folder, *options).out == said.out


def test_merge_writes_a_model_and_says_how_many_answers_are_the_measured_ones(tiny_folder, tmp_path, luthier_says):
    place = arm(tiny_folder("decoder-chat"), "lora", tmp_path / "arm")
    said = luthier_says("merge", place, "--out", tmp_path / "merged")
    assert said.out.endswith("MB; 3 of 3 probes are answered as measured.\n")
    assert luthier_says("ask", tmp_path / "merged", "Ann: Hi.", "--max-new-tokens", "3").code == 0
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "merged").iterdir()}
    again = luthier_says("merge", place, "--out", tmp_path / "merged")  # as after a kill behind the last step
    assert (again.code, again.out) == (0, said.out)
    assert {path.name: path.stat().st_mtime_ns for path in (tmp_path / "merged").iterdir()} == before
    (tmp_path / "merged" / "note.txt").write_text("mine")
    again = luthier_says("merge", place, "--out", tmp_path / "merged")
    assert (again.code, again.err.count("\n")) == (2, 1)
    assert "there is something already" in again.err
    assert (tmp_path / "merged" / "note.txt").read_text() == "mine"
    assert "is no study, so it has no arm" in luthier_says("merge", place, "--arm", "lora", "--out", tmp_path / "x").err


def test_ask_shows_the_probabilities_of_each_token(tiny_folder, luthier_says):
    folder = tiny_folder("decoder-chat")
    options = ["--max-new-tokens", "3", "--temperature", "0.5", "--top-k", "2", "--repetition-penalty", "1.2"]
    lines = luthier_says("ask", folder, "Ann: Hi.", "--probabilities", *options).out.splitlines()
    generation = {"max_new_tokens": 3, "temperature": 0.5, "top_k": 2, "repetition_penalty": 1.2}
    steps = list(luthier.ask_probabilities(folder, "Ann: Hi.", generation=generation))
    assert len(lines) == sum(1 + len(step["candidates"]) for step in steps)
    assert lines[0].split(maxsplit=1) == ["1", json.dumps(steps[0]["token"])]
    first = steps[0]["candidates"][0]
    assert lines[1].split()[:3] == [f"{first['before']:.2%}", "->", f"{first['after']:.2%}"]
