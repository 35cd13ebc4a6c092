"""A new task folder is made whole from the user's files, or not at all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from luthier.errors import DataError, FolderError, LuthierError, SettingsError, TaskError
from luthier.task import create
from luthier.task.create import init_task
from luthier.task.task import load_task
from tests.task.test_task import HARD_TEXTS, csv_file

REAL = Path(__file__).resolve().parents[3] / "shared" / "data"


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    return csv_file(tmp_path / "rows.csv", 20)


def test_init_copies_the_file_and_draws_splits(tmp_path, rows):
    task = init_task(tmp_path / "new", rows, input="a", target="b")
    assert [len(task.split(split)) for split in ("train", "dev", "test")] == [14, 2, 4]
    assert (tmp_path / "new" / "rows.csv").read_bytes() == rows.read_bytes()
    assert sorted(p.name for p in task.folder.iterdir()) == ["rows.csv", "splits.json", "task.toml"]
    assert load_task(tmp_path / "new") == task
    assert (task.name, task.spec.decide.margin, task.spec.prompt.default) == ("new", 0.02, "plain")
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_the_draw_depends_on_the_seed_and_not_on_the_order_of_rows(tmp_path, rows):
    header, *lines = rows.read_text().splitlines()
    turned = tmp_path / "turned.csv"
    turned.write_text("\n".join([header, *reversed(lines)]))
    cases = {"one": (rows, 0), "two": (turned, 0), "three": (rows, 1)}
    drawn = {
        name: init_task(tmp_path / name, path, input="a", target="b", seed=seed).test
        for name, (path, seed) in cases.items()
    }
    inputs = {name: {e.input for e in examples} for name, examples in drawn.items()}
    assert inputs["one"] == inputs["two"] != inputs["three"]
    assert inputs["one"] != {f"in {i}" for i in range(1, 5)}


def units(task, split):
    return {e.unit for e in task.split(split)}


@pytest.mark.parametrize("cluster", [None, "c"])
@pytest.mark.parametrize("seed", range(5))
def test_units_never_straddle_splits(tmp_path, cluster, seed):
    path = tmp_path / "x.csv"
    path.write_text(
        "a,b,c\n" + "".join(f"{'Same ' if cluster is None else i} {i % 7},{i},{i % 7}\n" for i in range(40))
    )
    task = init_task(tmp_path / "new", path, input="a", target="b", cluster=cluster, seed=seed)
    assert sum(len(task.split(split)) for split in ("train", "dev", "test")) == 40
    assert len(units(task, "train")) + len(units(task, "dev")) + len(units(task, "test")) == 7


def test_dev_is_drawn_from_what_the_given_test_file_does_not_hold(tmp_path, rows):
    test = csv_file(tmp_path / "test.csv", 17)  # the first 17 inputs of rows are in it
    task = init_task(tmp_path / "new", rows, input="a", target="b", test=test)
    assert {e.input for e in task.dev} <= {"in 18", "in 19", "in 20"}
    assert len(task.test) == 17 and len(task.train) == 19
    assert json.loads((task.folder / "splits.json").read_text())["test"] == []


def test_given_files_need_no_draw(tmp_path, rows):
    dev = csv_file(tmp_path / "dev" / "rows.csv", 3, prefix="dev ")
    test = csv_file(tmp_path / "test" / "rows.csv", 500, prefix="test ")
    task = init_task(tmp_path / "new", rows, input="a", target="b", dev=dev, test=test)
    names = ["dev-rows.csv", "rows.csv", "task.toml", "test-rows.csv"]
    assert sorted(p.name for p in task.folder.iterdir()) == names
    assert [len(task.split(split)) for split in ("train", "dev", "test")] == [20, 3, 500]
    assert task.spec.decide.margin == 0.01  # 500 units can resolve it


def test_a_split_column_is_honoured_and_what_it_lacks_is_drawn(tmp_path):
    words = ["Train", "train", "TEST", " train", "test", "train"]
    path = tmp_path / "x.csv"
    path.write_text("a,b,s\n" + "".join(f"in {i},out,{word}\n" for i, word in enumerate(words)))
    task = init_task(tmp_path / "new", path, input="a", target="b", split_column="s")
    assert {e.input for e in task.test} == {"in 2", "in 4"}
    assert (len(task.dev), len(task.train)) == (1, 3)
    path.write_text(path.read_text().replace("TEST", "valid"))
    task = init_task(tmp_path / "newer", path, input="a", target="b", split_column="s")
    assert {e.input for e in task.dev} == {"in 2"} and not (task.folder / "splits.json").exists()


def test_dev_and_test_are_capped(tmp_path):
    task = init_task(tmp_path / "new", csv_file(tmp_path / "x.csv", 6000), input="a", target="b")
    assert (len(task.dev), len(task.test), task.spec.decide.margin) == (500, 1000, 0.01)


@pytest.mark.parametrize("text", HARD_TEXTS)
def test_an_instruction_becomes_the_plain_template_whatever_it_holds(tmp_path, rows, text):
    task = init_task(tmp_path / "new", rows, input="a", target="b", instruction=text)
    assert load_task(tmp_path / "new").template() == task.template() == f"{text}\n\n{{input}}"


def test_an_instruction_may_place_the_input_itself(tmp_path, rows):
    task = init_task(tmp_path / "new", rows, input="a", target="b", instruction="Q: {input}\nA:")
    assert task.template() == "Q: {input}\nA:"


REFUSALS: dict[str, tuple[dict[str, object], type[LuthierError], str]] = {
    "no such column": (
        {"input": "x"},
        DataError,
        "rows.csv, row 1, field 'x': there is no such column; there are 'a', 'b'",
    ),
    "one column for both": ({"input": "b"}, SettingsError, "input and target are both the column 'b'"),
    "no such metric": ({"metric": "rouge"}, SettingsError, "'rouge' is no metric that can decide"),
    "no margin": ({"margin": 0.0}, SettingsError, "the key 'decide.margin' is 0.0; it should be greater than 0"),
    "no share": ({"dev_share": 0.0}, SettingsError, "give shares above 0 that sum to less than 1"),
    "too much share": ({"dev_share": 0.5, "test_share": 0.5}, SettingsError, "give shares above 0"),
    "empty instruction": ({"instruction": "  "}, SettingsError, "the instruction is empty"),
    "instruction with two inputs": ({"instruction": "{input}{input}"}, SettingsError, "holds {input} 2 times"),
    "no such test file": ({"test": "nowhere.csv"}, DataError, "nowhere.csv: cannot be read"),
    "one cluster for all": ({"cluster": "one"}, TaskError, "1 distinct inputs are too few to draw test and dev from"),
    "no split word": (
        {"split_column": "b"},
        DataError,
        "row 1, field 'b': 'out 1' is no split; write one of train, dev",
    ),
}


@pytest.mark.parametrize("options, kind, sentence", REFUSALS.values(), ids=REFUSALS)
def test_a_refused_init_leaves_nothing(tmp_path, options, kind, sentence):
    rows = csv_file(tmp_path / "rows.csv", 20, header="a,b,one", row="in {i},out {i},1")
    with pytest.raises(kind) as error:
        init_task(tmp_path / "new", rows, **{"input": "a", "target": "b", **options})
    assert sentence in str(error.value)
    assert list(tmp_path.iterdir()) == [rows]


def test_a_folder_in_use_is_refused_and_an_empty_one_is_taken(tmp_path, rows):
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "mine.txt").write_text("mine")
    with pytest.raises(FolderError, match="there is something already"):
        init_task(tmp_path / "used", rows, input="a", target="b")
    with pytest.raises(FolderError, match="there is something already"):
        init_task(rows, rows, input="a", target="b")
    (tmp_path / "empty").mkdir()
    assert init_task(tmp_path / "empty", rows, input="a", target="b").folder == tmp_path / "empty"


def test_a_disk_that_refuses_leaves_nothing(tmp_path, rows, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(create.shutil, "copyfile", full)
    with pytest.raises(FolderError, match=r"new: cannot be written \(No space left on device\)"):
        init_task(tmp_path / "new", rows, input="a", target="b")
    assert list(tmp_path.iterdir()) == [rows]


# --- real files ---------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not REAL.is_dir(), reason=f"the real data is not at {REAL}")
def test_real_files_become_tasks(tmp_path):
    source, test = REAL / "dialogsum" / "train.jsonl", REAL / "dialogsum" / "dev.jsonl"
    task = init_task(tmp_path / "ds", source, test=test, input="dialogue", target="summary", id="id")
    assert [len(task.split(split)) for split in ("train", "dev", "test")] == [11_960, 500, 500]
    assert not units(task, "dev") & (units(task, "train") | units(task, "test"))
    source, test = (REAL / "mts_dialog" / f"MTS-Dialog-{part}Set.csv" for part in ("Training", "Validation"))
    task = init_task(tmp_path / "mts", source, test=test, input="dialogue", target="section_text")
    assert [len(task.split(split)) for split in ("train", "dev", "test")] == [1080, 121, 100]
    with pytest.raises(TaskError, match="the id '0' is in train and in test; make ids unique"):
        init_task(tmp_path / "again", source, test=test, input="dialogue", target="section_text", id="ID")
