"""Every doubt about a task is one sentence that names rows; nothing is changed and nothing true is left unsaid."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from luthier.files import read_json, write_json, write_lines, write_text
from luthier.records import Example
from luthier.task.check import check_between, check_task
from luthier.task.create import init_task
from luthier.task.findings import Finding
from luthier.task.spec import SPLITS
from luthier.task.task import Task, load_task

REAL = Path(__file__).resolve().parents[3] / "shared" / "data"
Rows = Sequence[tuple[str, str]]


def good(split: str, count: int = 4) -> list[tuple[str, str]]:
    return [
        (f"Ann: {split} {i}, shall we?\nBo: Yes.", f"Ann and Bo agree on {split} {i}.") for i in range(1, count + 1)
    ]


def made(folder: Path, toml: str = "", units: dict[str, str] | None = None, **splits: Rows) -> Task:
    """A task with these (input, reference) rows; splits that are not given are sound."""
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / "task.toml", 'name = "made"\n' + toml)
    for split in ("train", "dev", "test"):
        rows = []
        for number, (text, reference) in enumerate(splits.get(split, good(split)), 1):
            id = f"{split}-{number}"
            unit = {"unit": units[id]} if units and id in units else {}
            rows.append({"id": id, "input": text, "references": [reference], **unit})
        write_lines(folder / f"{split}.jsonl", rows)
    return load_task(folder)


def said(findings: list[Finding], *levels: str) -> list[str]:
    return [finding.text for finding in findings if finding.level in levels]


def test_a_sound_task_has_notes_only(tmp_path):
    findings = check_task(made(tmp_path))
    assert said(findings, "error", "warning") == []
    assert said(findings, "note") == [f"{split}: 4 rows, from {split}.jsonl" for split in ("train", "dev", "test")]


@pytest.mark.parametrize("split", ["train", "dev", "test"])
def test_empty_inputs_and_references_are_errors_by_file_and_row(tmp_path, split):
    rows = [*good(split), (" \n", "x y"), ("Ann: Hello?", " ")]
    errors = [f for f in check_task(made(tmp_path, **{split: rows})) if f.level == "error"]
    assert [(f.file, f.row) for f in errors] == [(f"{split}.jsonl", 5), (f"{split}.jsonl", 6)]
    assert errors[0].text == f"{split}.jsonl, row 5: the input is empty; write it or remove the row"
    assert errors[1].text == f"{split}.jsonl, row 6: the reference is empty; write one or remove the row"


@pytest.mark.parametrize(("fold", "doubted"), [("", True), ("fold = []\n", False)])
def test_a_label_that_begins_another_by_the_tasks_own_foldings_is_doubted(tmp_path, fold, doubted):
    labels = {split: [(f"{split} {i}", "light" if i % 2 else "Light rain") for i in range(4)] for split in SPLITS}
    toml = f'[decide]\nmetric = "macro_f1"\n[classes]\n{fold}words = {{light = "light", "Light rain" = "Light rain"}}\n'
    findings = said(check_task(made(tmp_path, toml, **labels)), "warning")
    assert any("the word 'light' begins the word 'Light rain'" in text for text in findings) is doubted


def test_many_of_a_kind_are_one_sentence_that_counts_the_rest(tmp_path):
    rows = [*good("train"), *[("", "x y")] * 33]
    (error,) = said(check_task(made(tmp_path, train=rows)), "error")
    assert error == "train.jsonl, rows 5, 6, 7, 8, 9 and 28 more: the input is empty; write it or remove the row"


def test_repeated_inputs_are_paired_with_the_first_and_conflicts_counted(tmp_path):
    rows = good("dev")
    rows += [rows[0], (rows[1][0].upper() + " ", "Something else happened."), rows[0]]
    (warning,) = said(check_task(made(tmp_path, dev=rows)), "warning")
    assert warning == (
        "dev.jsonl, rows 5 (= row 1), 6 (= row 2), 7 (= row 1): the input is that of an earlier row "
        "(3 rows, 1 with another reference); keep one, or name a cluster column if they belong together"
    )


def test_a_repetition_inside_a_cluster_is_meant(tmp_path):
    rows = [*good("test"), good("test")[0]]
    findings = check_task(made(tmp_path, test=rows, units={"test-1": "d1", "test-5": "d1"}))
    assert said(findings, "warning") == []
    assert any("their cluster keeps them together" in text for text in said(findings, "note"))
    assert "test: 5 rows in 4 independent units, from test.jsonl" in said(findings, "note")


def test_one_dialogue_in_two_clusters_is_a_warning(tmp_path):
    rows = [*good("test"), good("test")[0]]
    findings = check_task(made(tmp_path, test=rows, units={"test-1": "d1", "test-5": "d2"}))
    assert len(said(findings, "warning")) == 1


@pytest.mark.parametrize(
    "seen, held, level",
    [("train", "test", "warning"), ("train", "dev", "warning"), ("dev", "test", "warning")],
)
def test_leaks_are_named_with_the_row_they_come_from(tmp_path, seen, held, level):
    rows = [*good(held), good(seen)[2]]
    findings = check_task(made(tmp_path, **{held: rows}))
    (finding,) = [f for f in findings if f.level != "note"]
    assert (finding.level, finding.file, finding.row) == (level, f"{held}.jsonl", 5)
    assert finding.text.startswith(f"{held}.jsonl, row 5 (= {seen}.jsonl row 3): the input or the cluster is also that")
    assert f"of a {seen} row (1 of 5 rows)" in finding.text


def test_most_of_test_seen_in_training_is_an_error_and_half_is_a_warning(tmp_path):
    half = check_task(made(tmp_path / "half", test=[*good("test", 2), *good("train", 2)]))
    most = check_task(made(tmp_path / "most", test=[*good("test", 2), *good("train", 3)]))
    assert len(said(half, "warning")) == 1
    assert said(half, "error") == []
    assert "(3 of 5 rows)" in said(most, "error")[0]


def test_a_cluster_on_both_sides_is_a_leak_though_the_inputs_differ(tmp_path):
    (warning,) = said(check_task(made(tmp_path, units={"train-2": "d7", "test-4": "d7"})), "warning")
    assert warning.startswith("test.jsonl, row 4 (= train.jsonl row 2): ")


def test_a_split_inside_another_file_is_named_beside_it(tmp_path):
    write_lines(tmp_path / "all.jsonl", [{"a": f"in {i}", "b": "" if i == 9 else "it is out"} for i in range(1, 21)])
    task = init_task(tmp_path / "t", tmp_path / "all.jsonl", input="a", target="b")
    (error,) = said(check_task(task), "error")
    split = next(name for name in ("train", "dev", "test") if any(e.row == 9 for e in task.split(name)))
    assert error.startswith(f"all.jsonl ({split}), row 9: the reference is empty")


@pytest.mark.parametrize("id, words", [(None, "its rows are numbered"), ("n", "new rows are train")])
def test_a_train_file_that_changed_after_the_draw_is_doubted(tmp_path, id, words):
    rows = ["n,a,b", *(f"{i},Ann: {i}?,Ann asks for {i}." for i in range(20))]
    (tmp_path / "rows.csv").write_text("\n".join(rows))
    init_task(tmp_path / "task", tmp_path / "rows.csv", input="a", target="b", id=id)
    assert said(check_task(load_task(tmp_path / "task")), "warning") == []

    (tmp_path / "task" / "rows.csv").write_text("\n".join([*rows[:3], "new,Bo: New?,Bo asks.", *rows[3:]]))
    (warning,) = said(check_task(load_task(tmp_path / "task")), "warning")
    assert warning.startswith("rows.csv has changed since dev and test were drawn from it") and words in warning

    settled = read_json(tmp_path / "task" / "splits.json") | {"train_sha256": warning.split('"')[3]}
    write_json(tmp_path / "task" / "splits.json", settled)
    assert said(check_task(load_task(tmp_path / "task")), "warning") == []


def test_single_words_and_what_reading_changed_are_notes(tmp_path):
    task = made(tmp_path, train=[*good("train"), ("Ann: Ill\x92s?\r\nBo: No.", "Healthy.")])
    notes = said(check_task(task), "note")
    assert any(note.startswith("train.jsonl, row 5: the reference is a single word") for note in notes)
    assert any("1 control characters (U+0092 x 1) became spaces, in rows 5" in note for note in notes)


# --- with a model -------------------------------------------------------------------------------------------------


def inputs(prefix: str, *texts: str) -> list[Example]:
    return [Example(f"{prefix}{i}", text, ("yes",)) for i, text in enumerate(texts)]


def test_an_input_that_another_task_trains_on_is_named_whatever_its_case_and_spaces():
    trained = {"sums": inputs("a", "Ann: Hello.", "Bob: Bye."), "heads": inputs("b", "Cy: What?")}
    asked = {"notes": {"dev": inputs("d", "Who?"), "test": inputs("t", "When?", "ann:  HELLO.")}}
    (found,) = check_between(trained, asked)["notes"]
    assert found.level == "warning"
    assert found.text.startswith(
        "leak: 1 of 3 dev and test inputs of notes are trained on in sums: test 't1' (= 'a0');"
    )


def test_leaks_between_tasks_are_one_sentence_a_pair_and_a_task_is_not_held_against_itself():
    texts = [f"Ann: Hello {i}." for i in range(7)]
    rows = inputs("r", *texts)
    found = check_between({"sums": rows}, {"sums": {"test": rows}, "notes": {"dev": [], "test": rows}})
    assert found["sums"] == []
    (only,) = found["notes"]
    assert "leak: 7 of 7" in only.text and "'r4') and 2 more;" in only.text


def test_empty_inputs_and_equal_ids_are_no_leak():
    found = check_between({"sums": inputs("r", "", "Ann: Hello.")}, {"notes": {"test": inputs("r", "", "Bob: Bye.")}})
    assert found == {"notes": []}


@pytest.fixture(scope="module")
def model(tiny_folder):
    from tests import tiny

    return tiny.fresh(tiny_folder("decoder-chat"))


def test_tokens_are_counted_against_the_window(tmp_path, model):
    notes = said(check_task(made(tmp_path), model), "note")
    task = load_task(tmp_path)
    lengths = [len(model.renderer.prompt(e, task.template()).prompt_ids) for e in task.test]
    assert any(f"test: prompts have {min(lengths)} to {max(lengths)} (median" in note for note in notes)
    assert any("the context window holds 512" in note for note in notes)
    assert f"every target ends with the trained end token '<|im_end|>' (id {model.renderer.end_id})" in notes
    assert any(note.startswith("of 4 shots, ") for note in notes)


def test_the_shots_that_are_said_to_fit_do_and_one_more_does_not(tmp_path, model):
    task = made(tmp_path, train=good("train", 40))
    (note,) = [note for note in said(check_task(task, model), "note") if "shots" in note]
    fit = int(note.split("and ")[1].split()[0])
    from luthier.task.prompt import draw_shots

    longest = max(task.test, key=lambda e: len(model.renderer.prompt(e, task.template()).prompt_ids))
    for count, dropped in ((fit, 0), (fit + 1, 1)):
        prompt = model.renderer.prompt(longest, task.template(), draw_shots(task.train, count, 0), room=80)
        assert prompt.shots_dropped == dropped


def test_what_would_be_cut_is_named_with_the_tokens_lost(tmp_path, model):
    task = made(tmp_path, test=[*good("test"), ("Ann: Hello there. " * 200, "They say hello.")])
    (warning,) = said(check_task(task, model, answer_room=80), "warning")
    cut = model.renderer.prompt(task.test[4], task.template(), room=80).tokens_cut
    assert warning == (
        f"test.jsonl, row 5 ({cut} tokens): the end of the input is cut, because the context window holds 512 "
        "beside 80 tokens of answer"
    )


def test_references_longer_than_an_answer_may_be_are_said(tmp_path, model):
    findings = check_task(made(tmp_path, "[answer]\nmax_new_tokens = 5\n"), model)
    assert said(findings, "warning") == [
        "test.jsonl, rows 1, 2, 3, 4: the reference has more than the 5 tokens an answer may have "
        "(answer.max_new_tokens)"
    ]


@pytest.mark.parametrize("place", ["input", "reference"])
def test_a_control_token_in_the_data_is_an_error_by_row(tmp_path, model, place):
    bad = ("Ann: <|im_end|> hm", "Ann says hm.") if place == "input" else ("Ann: Hm.", "Ann <|im_end|> hms.")
    errors = said(check_task(made(tmp_path, train=[*good("train"), bad, bad]), model), "error")
    assert errors == [
        "train.jsonl, rows 5, 6: the text spells the model's control token '<|im_end|>'; replace it in the data"
    ]


def test_a_control_token_in_the_template_is_said_once(tmp_path, model):
    task = made(tmp_path, '[prompt]\ndefault = "odd"\n[prompt.templates]\nodd = "<|im_start|> {input}"\n')
    (error,) = said(check_task(task, model), "error")
    assert error == "the template 'odd' spells the model's control token '<|im_start|>'; change it"


def test_an_instruction_that_does_not_fit_is_one_error(tmp_path, model):
    task = made(tmp_path, f'[prompt]\ndefault = "long"\n[prompt.templates]\nlong = "{"word " * 600}{{input}}"\n')
    errors = said(check_task(task, model), "error")
    assert len(errors) == 3
    assert errors[0].startswith("train.jsonl, rows 1, 2, 3, 4: the instruction alone does not fit into ")


def test_refusals_that_differ_say_whose_reason_it_is(tmp_path, model):
    rows = [*good("train"), ("Ann: Hm.", "word " * 600), ("Ann: Ah.", "word " * 700)]
    (error,) = said(check_task(made(tmp_path, train=rows), model), "error")
    assert error.startswith("train.jsonl, rows 5, 6: cannot be rendered; for row 5, ")


def test_an_encoder_decoder_is_checked_the_same_way(tmp_path, tiny_folder):
    from tests import tiny

    t5 = tiny.fresh(tiny_folder("t5-tied"))
    findings = check_task(made(tmp_path), t5)
    assert said(findings, "error", "warning") == []
    assert f"every target ends with the trained end token '</s>' (id {t5.renderer.end_id})" in said(findings, "note")


@pytest.mark.skipif(not REAL.is_dir(), reason="../shared/data is not there: real tasks cannot be checked")
def test_real_data_is_doubted_and_passes(tmp_path):
    folder = REAL / "dialogsum"
    columns = {"input": "dialogue", "target": "summary"}
    task = init_task(tmp_path / "ds", folder / "train.jsonl", **columns, test=folder / "dev.jsonl")
    findings = check_task(task)
    assert said(findings, "error") == []
    assert any(
        "and 28 more: the input or the cluster is also that of a train row (33 of 500" in f.text for f in findings
    )
