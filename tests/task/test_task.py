"""A task folder is read whole or refused in one sentence."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from luthier.errors import DataError, FolderError, LuthierError, TaskError
from luthier.settings import settings_from, toml_of
from luthier.task import task as task_module
from luthier.task.examples import Columns
from luthier.task.spec import DataSpec, PromptSpec, TaskSpec
from luthier.task.task import load_task


def csv_file(path: Path, rows: int, prefix: str = "", header: str = "a,b", row: str = "{prefix}in {i},out {i}") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [header, *(row.format(prefix=prefix, i=i) for i in range(1, rows + 1))]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def native(folder: Path, toml: str = 'name = "n"\n', splits: tuple[str, ...] = ("train", "dev", "test")) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "task.toml").write_text(toml, encoding="utf-8")
    for split in splits:
        row = {"id": f"{split}-a", "input": f"text of {split}", "references": [split]}
        (folder / f"{split}.jsonl").write_text(json.dumps(row) + "\n", encoding="utf-8")
    return folder


# --- load_task ----------------------------------------------------------------------------------------------------


def test_a_native_task_needs_a_name_and_three_files(tmp_path):
    task = load_task(native(tmp_path / "n"))
    assert (task.name, task.spec.data, task.spec.prompt.default) == ("n", None, "plain")
    assert [task.split(split)[0].id for split in ("train", "dev", "test")] == ["train-a", "dev-a", "test-a"]
    assert task.files["dev"] == tmp_path / "n" / "dev.jsonl"
    assert task.template() == task.template("plain") == "Summarize the following conversation.\n\n{input}"
    assert task.template("bare") == "{input}"


def test_a_task_that_ships_is_found_by_name_and_a_folder_goes_first(tmp_path, monkeypatch):
    native(tmp_path / "shipped" / "chat")
    monkeypatch.setattr(task_module, "SHIPPED", tmp_path / "shipped")
    monkeypatch.chdir(tmp_path)
    assert load_task("chat").folder == tmp_path / "shipped" / "chat"
    with pytest.raises(TaskError, match=r"chatt: there is no such task; name a folder .* ship with luthier: chat"):
        load_task("chatt")
    (tmp_path / "chat").mkdir()  # a folder that is no task does not hide one
    assert load_task("chat").folder == tmp_path / "shipped" / "chat"
    native(tmp_path / "chat")
    assert load_task("chat").folder == Path("chat")


def test_unknown_templates_and_splits_are_named(tmp_path):
    task = load_task(native(tmp_path / "n"))
    with pytest.raises(TaskError, match="no template 'plian'; name one of plain, question, brief, facts, bare"):
        task.template("plian")
    with pytest.raises(TaskError, match="no split 'notes'; name one of train, dev, test"):
        task.split("notes")


BAD_TOML = {
    "not toml": ("name = ", "this is not TOML"),
    "no name": ("", "the key 'name' is missing; the keys there are name, description, licence, data, prompt"),
    "empty name": ('name = ""', "the key 'name' is ''; String should have at least 1 character"),
    "misspelt key": ('nmae = "n"', "the key 'nmae' is not known; did you mean 'name'? the keys there are name,"),
    "misspelt key in a table": (
        'name = "n"\n[answer]\nmax_tokens = 80',
        "the key 'answer.max_tokens' is not known; did you mean 'max_new_tokens'? "
        "the keys there are max_new_tokens, baseline_lines",
    ),
    "misspelt key two tables down": (
        'name = "n"\n[data]\ntrain = "x.csv"\n[data.columns]\ninput = "a"\ntarget = "b"\nclusters = "c"',
        "the key 'data.columns.clusters' is not known; did you mean 'cluster'? the keys there are input, target, id,",
    ),
    "text for a number": (
        'name = "n"\n[answer]\nmax_new_tokens = "80"',
        "'answer.max_new_tokens' is '80'; it should be",
    ),
    "true for a number": (
        'name = "n"\n[answer]\nmax_new_tokens = true',
        "'answer.max_new_tokens' is True; it should be",
    ),
    "no tokens": ('name = "n"\n[answer]\nmax_new_tokens = 0', "is 0; it should be greater than 0"),
    "no margin": ('name = "n"\n[decide]\nmargin = 0', "'decide.margin' is 0; it should be greater than 0"),
    "a margin that nothing shows": (
        'name = "n"\n[decide]\nmargin = 1e-300',
        "margin 1e-300 is smaller than any test set can show; give 0.0001 or more (key 'decide.margin')",
    ),
    "a metric that is none": (
        'name = "n"\n[decide]\nmetric = "rouge"',
        "'rouge' is no metric that can decide; choose one of rouge1, rouge2",
    ),
    "a text for a table": ('name = "n"\nprompt = "plain"', "the key 'prompt' is 'plain'; it should be"),
    "template without input": (
        'name = "n"\n[prompt.templates]\nplain = "Go."',
        "the template 'plain' holds {input} 0 times; write it exactly once (key 'prompt.templates')",
    ),
    "template with two inputs": ('name = "n"\n[prompt.templates]\nplain = "{input}{input}"', "holds {input} 2 times"),
    "bare redefined": ('name = "n"\n[prompt.templates]\nbare = "x {input}"', "the template 'bare' is always there"),
    "name that no arm could say": ('name = "n"\n[prompt.templates]\n"a:b" = "{input}"', "the template name 'a:b' may"),
    "default that is not there": ('name = "n"\n[prompt]\ndefault = "x"', "the default template 'x' is not there; name"),
    "one column for both": (
        'name = "n"\n[data]\ntrain = "x.csv"\n[data.columns]\ninput = "a"\ntarget = "a"',
        "input and target are both the column 'a'",
    ),
    "two mistakes": ('name = "n"\nx = 1\ny = 2', "(1 more after this one)"),
}


@pytest.mark.parametrize("toml, sentence", BAD_TOML.values(), ids=BAD_TOML)
def test_bad_task_toml_is_refused_by_file_and_key(tmp_path, toml, sentence):
    folder = native(tmp_path / "n", toml)
    with pytest.raises(TaskError) as error:
        load_task(folder)
    assert str(error.value).startswith(f"{folder / 'task.toml'}: ")
    assert sentence in str(error.value)


COLUMNS = '[data.columns]\ninput = "a"\ntarget = "b"\n'


def with_data(folder: Path, data: str, columns: str = COLUMNS) -> Path:
    csv_file(folder / "x.csv", 6, header="a,b,s", row="in {i},out {i},train")
    csv_file(folder / "y.csv", 2, prefix="other ", header="a,b,s", row="{prefix}in {i},out {i},test")
    return native(folder, f'name = "n"\n[data]\n{data}\n{columns}', splits=())


HELD = json.dumps({"seed": 0, "dev": ["train-1"], "test": ["train-2", "train-5"]})
BAD_SPLITS: dict[str, tuple[str, str, str, type[LuthierError], str]] = {
    "a file that is not there": ('train = "x.csv"\ntest = "z.csv"', "{}", "", TaskError, "missing z.csv (test);"),
    "a file outside": ('train = "../x.csv"', "{}", "", FolderError, "'../x.csv' lies outside this folder"),
    "an absolute file": ('train = "/etc/passwd"', "{}", "", FolderError, "'/etc/passwd' lies outside this folder"),
    "splits outside": ('train = "x.csv"\nsplits = "../s.json"', "{}", "", FolderError, "lies outside this folder"),
    "no dev": ('train = "x.csv"\ntest = "y.csv"', "{}", "", TaskError, "the dev split has no rows"),
    "stale splits": (
        'train = "x.csv"\nsplits = "s.json"', '{"dev": ["train-9"]}', "", TaskError, "the id 'train-9' is not in"),
    "an id held out twice": (
        'train = "x.csv"\nsplits = "s.json"', '{"dev": ["train-1"], "test": ["train-1"]}', "", TaskError,
        "s.json: the id 'train-1' is in dev and in test"),
    "splits that are a list": ('train = "x.csv"\nsplits = "s.json"', "[]", "", TaskError, "s.json: "),
    "splits with a misspelt key": (
        'train = "x.csv"\nsplits = "s.json"', '{"deb": []}', "", TaskError, "did you mean 'dev'?"),
    "test twice": ('train = "x.csv"\ntest = "y.csv"\nsplits = "s.json"', HELD, "", TaskError, "the test split also"),
    "a split that is none": ('train = "y.csv"', "{}", 'split = "b"', DataError, "field 'b': 'out 1' is no split"),
    "test file and column": (
        'train = "y.csv"\ntest = "x.csv"', "{}", 'split = "s"', TaskError, "the column 's' names test rows too"),
    "an id in two splits": (
        'train = "x.csv"\ndev = "x.csv"\ntest = "y.csv"', "{}", 'id = "a"', TaskError,
        "the id 'in 1' is in train and in dev"),
}  # fmt: skip


@pytest.mark.parametrize("data, held, column, kind, sentence", BAD_SPLITS.values(), ids=BAD_SPLITS)
def test_bad_splits_are_refused(tmp_path, data, held, column, kind, sentence):
    folder = with_data(tmp_path / "n", data, COLUMNS + column)
    (folder / "s.json").write_text(held)
    with pytest.raises(kind) as error:
        load_task(folder)
    assert sentence in str(error.value)


def test_a_missing_native_file_is_named(tmp_path):
    with pytest.raises(TaskError, match=r"missing dev.jsonl \(dev\), test.jsonl \(test\);"):
        load_task(native(tmp_path / "n", splits=("train",)))


def test_splits_json_moves_rows_out_of_train(tmp_path):
    folder = with_data(tmp_path / "n", 'train = "x.csv"\nsplits = "s.json"')
    (folder / "s.json").write_text(HELD)
    task = load_task(folder)
    assert [e.id for e in task.train] == ["train-3", "train-4", "train-6"]
    assert [e.id for e in task.test] == ["train-2", "train-5"]
    assert set(task.files.values()) == {folder / "x.csv"}


def test_hashes_follow_content_and_not_the_order_of_rows(tmp_path):
    columns = '[data.columns]\ninput = "a"\ntarget = "b"\nid = "a"\n'
    folder = with_data(tmp_path / "n", 'train = "x.csv"\nsplits = "s.json"', columns)
    (folder / "s.json").write_text('{"dev": ["in 1"], "test": ["in 2", "in 5"]}')
    before = load_task(folder).hashes()
    header, *lines = (folder / "x.csv").read_text().splitlines()
    (folder / "x.csv").write_text("\n".join([header, *reversed(lines)]))
    assert load_task(folder).hashes() == before
    (folder / "x.csv").write_text((folder / "x.csv").read_text().replace("out 5", "out five"))
    after = load_task(folder).hashes()
    assert after["test"] != before["test"] and after["dev"] == before["dev"]


HARD_TEXTS = [
    'Say "what"\nwas \\n said.',
    'Three """ quotes',
    "a\ttab, \x7f and \x01",
    'ends in a quote\n"',
    "\n\nstarts late",
    "ü 😀",
]


def test_what_toml_of_writes_is_read_back_as_it_was():
    data = DataSpec(train="x y.csv", columns=Columns(input='a "b"', target="ü\\", meta=["m", "n"]))
    templates = {str(i): f"{text}{{input}}" for i, text in enumerate(HARD_TEXTS)}
    spec = TaskSpec(name="n", data=data, prompt=PromptSpec(default="0", templates=templates))
    text = toml_of(spec)
    assert settings_from(TaskSpec, tomllib.loads(text), "here") == spec
    assert "# How long" not in text and "# The length of answers.\n[answer]\n" in text
