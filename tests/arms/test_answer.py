"""A file answered row by row: as the study answered, kept beside the rows, and gone on with where it stopped."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import luthier
from luthier.arms.answer import answer
from luthier.errors import DataError, FolderError, LuthierError, SettingsError
from luthier.results.folder import StudyFolder
from luthier.studies.study import study
from tests import tiny
from tests.studies.test_study import make_task

ARMS = ("few-shot-2", "lora-r4", "zero-shot+temperature=0.7+top_k=20")
TEST_ROWS = 30


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Callable[[str], Path]) -> Path:
    task, out = make_task(tmp_path_factory.mktemp("task"), test=TEST_ROWS), tmp_path_factory.mktemp("study") / "out"
    return study(
        task, model=str(tiny_folder("decoder-chat")), arms=list(ARMS), out=out, precision="fp32",
        defaults={"epochs": 1, "evaluations": 1, "batch_size": 4},
    )  # fmt: skip


@pytest.fixture
def rows(finished: Path, tmp_path: Path) -> Path:
    """The study's test inputs as a user's file, with a column that nobody reads."""
    lines = [
        {"name": one.id, "text": one.input, "size": 1.5, "tags": ["a", {"b": None}]}
        for one in StudyFolder(finished).examples()
    ]
    return write(tmp_path / "rows.jsonl", lines)


def write(path: Path, lines: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("arm", ARMS)
def test_the_test_rows_get_the_answers_of_the_study(arm: str, finished: Path, rows: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "out.jsonl"
    told = answer(finished, rows, out=out, input="text", id="name", arm=arm)
    lines, measured = read(out), {one.id: one for one in StudyFolder(finished).answers(arm)}
    assert [{key: line[key] for key in ("name", "text", "size", "tags")} for line in lines] == read(rows)
    assert [line["answer"] for line in lines] == [measured[line["name"]].text for line in lines]
    assert [line["luthier"]["stop"] for line in lines] == [measured[line["name"]].stop for line in lines]
    assert (told.rows, told.kept, told.cut, told.arm) == (TEST_ROWS, 0, 0, arm)
    assert told.at_limit == sum(one.stop == "length" for one in measured.values())


def test_in_bf16_too_the_answers_are_the_study_s(tiny_folder: Callable[[str], Path], tmp_path: Path) -> None:
    """Whatever this processor prefers: the rows make the batches of the study, so rounding is the same."""
    (tmp_path / "task").mkdir()
    place = study(
        make_task(tmp_path / "task"), model=str(tiny_folder("decoder-chat")), arms="lora-r4", out=tmp_path / "study",
        precision="bf16", defaults={"epochs": 1, "evaluations": 1},
    )  # fmt: skip
    table = write(tmp_path / "rows.jsonl", [{"text": one.input} for one in StudyFolder(place).examples()])
    told = answer(place, table, out=tmp_path / "out.jsonl", input="text", arm="lora-r4", verify=True)
    assert [line["answer"] for line in read(told.out)] == [one.text for one in StudyFolder(place).answers("lora-r4")]


def test_what_is_there_is_not_asked_again(finished: Path, rows: Path, tmp_path: Path, monkeypatch: Any) -> None:
    out = tmp_path / "out.jsonl"
    answer(finished, rows, out=out, input="text", arm="lora-r4")
    whole = out.read_bytes()
    lines = whole.splitlines(keepends=True)
    out.write_bytes(b"".join(lines[7:19]) + lines[20][:30])  # some rows in another order, and a line that a kill tore
    assert answer(finished, rows, out=out, input="text", arm="lora-r4").kept == 12
    assert out.read_bytes() == whole
    monkeypatch.setattr("luthier.decoding.answers.generate", None)
    assert answer(finished, rows, out=out, input="text", arm="lora-r4").kept == TEST_ROWS
    assert out.read_bytes() == whole


@pytest.mark.parametrize("how", [
    {"arm": "few-shot-2"}, {"id": "name"}, {"column": "said"}, {"rows": 29}, {"text": "Ann: Another one?"},
    {"answer": "Ann asks."}, {"size": 2}, {"stop": "end"},
], ids=str)  # fmt: skip
def test_answers_of_another_arm_or_to_other_rows_are_left_alone(
    how: dict[str, Any], finished: Path, rows: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.jsonl"
    answer(finished, rows, out=out, input="text", arm="lora-r4")
    lines, given = read(out), read(rows)
    match how:
        case {"rows": count}:
            write(rows, given[:count])
        case {"text": text}:
            write(rows, [*given[:4], given[4] | {"text": text}, *given[5:]])
        case {"size": size}:
            write(rows, [*given[:4], given[4] | {"size": size}, *given[5:]])
        case {"answer": text}:
            write(out, [*lines[:4], lines[4] | {"answer": text}, *lines[5:]])
        case {"stop": why}:
            write(out, [*lines[:4], lines[4] | {"luthier": lines[4]["luthier"] | {"stop": why + "?"}}, *lines[5:]])
    before = out.read_bytes()
    about = {"arm": "lora-r4", **{key: value for key, value in how.items() if key in ("arm", "id", "column")}}
    with pytest.raises(FolderError, match=r"line \d+ answers another row than the file has, is of another arm"):
        answer(finished, rows, out=out, input="text", **about)
    assert out.read_bytes() == before


@pytest.mark.parametrize("change, error, sentence", [
    ({"out": "out.csv"}, SettingsError, "give --out a name that ends in .jsonl"),
    ({"out": "rows.jsonl"}, SettingsError, "is the file that is read; give --out another name"),
    ({"input": "txt"}, DataError, "row 1, field 'txt': there is no such column.*did you mean 'text'"),
    ({"input": None}, SettingsError, "the arm reads one text; name its column with --input"),
    ({"input": "size"}, DataError, "row 1, field 'size': this is a number"),
    ({"input": "tags"}, DataError, "row 1, field 'tags': this is a list"),
    ({"column": "text"}, DataError, "row 1, field 'text': the file has this column already"),
    ({"column": "luthier"}, SettingsError, "--column 'luthier' cannot be the answers' name"),
    ({"id": "size"}, DataError, "row 1, field 'size'"),
    ({"arm": "nobody"}, LuthierError, "nobody"),
    ({"file": "none.jsonl"}, DataError, "none.jsonl: cannot be read"),
    ({"file": "none.jsonl", "begun": True}, DataError, "none.jsonl: cannot be read"),
    ({"blank": 3}, DataError, "row 3, field 'text': the input is empty; write one, or leave the row out"),
    ({"twice": 3}, DataError, "row 3: the id 'x' is already that of row 2"),
], ids=str)  # fmt: skip
def test_what_cannot_be_asked_is_refused_in_a_sentence(
    change: dict[str, Any], error: type[LuthierError], sentence: str, finished: Path, rows: Path, tmp_path: Path
) -> None:
    given = {"input": "text", "arm": "lora-r4", "out": "out.jsonl", "file": "rows.jsonl", **change}
    if given.pop("begun", None):  # where answers are, a wrong file is still said as such
        (tmp_path / "out.jsonl").touch()
    lines = read(rows)
    if given.pop("blank", None):
        lines[2]["text"] = " \n"
    if given.pop("twice", None):
        lines[1]["name"] = lines[2]["name"] = "x"
        given["id"] = "name"
    write(rows, lines)
    before, there = rows.read_bytes(), {path.name for path in tmp_path.iterdir()}
    with pytest.raises(error, match=sentence):
        answer(finished, tmp_path / given.pop("file"), **given | {"out": tmp_path / given["out"]})
    assert rows.read_bytes() == before and {path.name for path in tmp_path.iterdir()} == there


def test_a_template_of_several_columns_names_what_is_asked(tiny_folder: Callable[[str], Path], tmp_path: Path) -> None:
    lines = [{"who": f"Ann {n}", "what": f"Lunch at {n}?", "note": f"Ann asks for {n}."} for n in range(1, 41)]
    table = write(tmp_path / "rows.jsonl", lines)
    luthier.init_task(tmp_path / "task", table, input=["who", "what"], target="note")
    place = study(tmp_path / "task", model=str(tiny_folder("decoder-chat")), arms="zero-shot", out=tmp_path / "study")
    told = answer(place, table, out=tmp_path / "out.jsonl", arm="zero-shot")
    by_input = {one.input: one for one in StudyFolder(place).examples()}
    measured = {one.id: one.text for one in StudyFolder(place).answers("zero-shot")}
    said = {f"{line['who']}\n\n{line['what']}": line["answer"] for line in read(told.out)}
    assert {key: said[key] for key in by_input} == {key: measured[one.id] for key, one in by_input.items()}
    with pytest.raises(SettingsError, match="the arm reads the columns who, what; leave --input out"):
        answer(place, table, input="who", out=tmp_path / "other.jsonl", arm="zero-shot")


def test_a_model_answers_the_bare_text_and_what_is_cut_is_counted(
    tiny_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    model = tiny.fresh(tiny_folder("decoder-plain"))
    long = " ".join(f"Ann asks for towel {n}." for n in range(model.window))
    table = write(tmp_path / "rows.jsonl", [{"text": "Ann: Lunch?"}, {"text": long}])
    told = answer(tiny_folder("decoder-plain"), table, input="text", out=tmp_path / "out.jsonl")
    assert (told.rows, told.cut) == (2, 1)
    with pytest.raises(SettingsError, match="is a model and no arm, so it has no probes to verify"):
        answer(tiny_folder("decoder-plain"), table, input="text", out=tmp_path / "new.jsonl", verify=True)


def test_the_verb_says_what_it_did(finished: Path, rows: Path, tmp_path: Path, luthier_says: Any) -> None:
    typed = ["answer", finished, rows, "--input", "text", "--arm", "lora-r4", "--verify"]
    said = luthier_says(*typed, "--out", tmp_path / "out.jsonl")
    assert said.code == 0 and said.out.startswith(f"{tmp_path / 'out.jsonl'}: lora-r4 answered {TEST_ROWS} rows.\n")
    again = json.loads(luthier_says(*typed, "--out", tmp_path / "out.jsonl", "--json").out)
    assert (again["rows"], again["kept"]) == (TEST_ROWS, TEST_ROWS)
