"""Another tool's answers are scored and compared as a study's own; a bad cell is named, never skipped."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from luthier.errors import DataError, SettingsError
from luthier.files import write_json, write_lines
from luthier.records import Answer, Example
from luthier.scoring.score import score
from luthier.verdicts import column_texts
from luthier.verdicts.columns import compare_columns, from_columns, score_columns
from luthier.verdicts.compare import compare
from tests.conftest import SHARED

NAMES = {"reference": "ref", "answers": ["a", "b"]}
TEXT = "the guest wants another room because this one is loud and the clerk finds a quiet one upstairs"


def table(folder: Path, rows: list[dict], name: str = "x.jsonl") -> Path:
    write_lines(folder / name, rows)
    return folder / name


def row(i: int, **other) -> dict:
    """A row whose column a says more of the reference than its column b."""
    reference = " ".join([*TEXT.split()[i % 5 : i % 5 + 8], f"room{i}"])
    a, b = " ".join(reference.split()[: 5 + i % 4]), " ".join(reference.split()[: 1 + i % 3])
    return {"ref": reference, "a": a, "b": b, "dialogue": f"d{i // 2}", "in": f"input {i // 3}"} | other


@pytest.fixture
def forty(tmp_path: Path) -> Path:
    return table(tmp_path, [row(i) for i in range(40)])


def test_columns_become_answers_and_examples(tmp_path):
    (tmp_path / "x.csv").write_text('ref,a,b\none two,"one\n1",x\nthree,,y\n', encoding="utf-8")
    arms, examples = from_columns(tmp_path / "x.csv", **NAMES)
    assert examples == [
        Example("row-1", "", ("one two",), unit="row-1", row=1),
        Example("row-2", "", ("three",), unit="row-2", row=2),
    ]
    assert arms == {
        "a": [Answer("row-1", "one\n1"), Answer("row-2", "")],
        "b": [Answer("row-1", "x"), Answer("row-2", "y")],
    }


def test_the_unit_is_the_cluster_else_the_row(tmp_path):
    path = table(tmp_path, [row(i, key=f"k{i}") for i in range(6)])

    def units(**columns: str) -> list[str]:
        return [example.unit for example in from_columns(path, **NAMES, **columns)[1]]

    assert units(cluster="dialogue", input="in") == ["d0", "d0", "d1", "d1", "d2", "d2"]
    assert units(cluster="in") == ["input 0"] * 3 + ["input 1"] * 3
    assert units(cluster="none", input="in", id="key") == [f"k{i}" for i in range(6)]
    assert units(id="key") == [f"k{i}" for i in range(6)]


def test_empty_inputs_are_not_one_dialogue(tmp_path):
    path = table(tmp_path, [row(0), row(3), row(1, **{"in": ""}), row(2, **{"in": " "})])
    assert len({example.unit for example in from_columns(path, **NAMES, input="in")[1]}) == 4


LONG_TEXTS = [f"Ann: {TEXT}, number {i}." for i in range(40)]
DOUBTFUL = {
    "the input is repeated": ([row(i, id=f"k{i}") for i in range(6)], {"input": "in", "id": "id"}, "in", "1 and 2"),
    "case and spaces aside": (
        [row(0, **{"in": "One two"}), row(1, **{"in": "other"}), row(2, **{"in": "one  TWO"})],
        {"input": "in"},
        "in",
        "1 and 3",
    ),
    "a column nobody named": ([row(i, text=LONG_TEXTS[i // 3]) for i in range(12)], {}, "text", "1 and 2"),
}


@pytest.mark.parametrize("rows, columns, field, numbers", DOUBTFUL.values(), ids=DOUBTFUL)
def test_repeated_inputs_ask_for_a_cluster(tmp_path, rows, columns, field, numbers):
    path = table(tmp_path, rows)
    with pytest.raises(DataError, match=f"field '{field}': rows {numbers} hold the same text.*--cluster") as error:
        from_columns(path, **NAMES, **columns)
    assert f"--cluster {field}" in str(error.value) and "--cluster none" in str(error.value)
    assert from_columns(path, **NAMES, **columns, cluster="none")


CLEAR = {
    "short texts repeat by chance": [row(i, topic=f"topic {i // 4}") for i in range(12)],
    "one text everywhere is no input": [row(i, prompt=LONG_TEXTS[0]) for i in range(12)],
    "a tenth is the least": [row(i, text=LONG_TEXTS[max(i, 1)]) for i in range(40)],
}


@pytest.mark.parametrize("rows", CLEAR.values(), ids=CLEAR)
def test_other_columns_do_not_stop_a_comparison(tmp_path, rows):
    assert len({example.unit for example in from_columns(table(tmp_path, rows), **NAMES)[1]}) == len(rows)


def test_the_best_of_several_references_is_another_metric(tmp_path):
    rows = [row(i, ref=[row(i)["ref"], f"nothing alike {i}"]) for i in range(30)]
    path = table(tmp_path, rows)
    mean, best = (compare_columns(path, **NAMES, references=rule) for rule in ("mean", "max"))
    assert best["arms"]["a"]["rouge1"]["mean"] > 1.5 * mean["arms"]["a"]["rouge1"]["mean"]
    assert mean["signatures"]["rouge1"].endswith("references:mean")
    assert best["signatures"]["rouge1"].endswith("references:max")
    assert any("2 references, which make one score" in warning for warning in mean["warnings"])
    with pytest.raises(DataError, match="has 2 references and 'row-3' has 1"):
        compare_columns(table(tmp_path, [*rows[:2], row(2)]), **NAMES, references="max")
    with pytest.raises(SettingsError, match="'best' is no rule"):
        compare_columns(path, **NAMES, references="best")


def test_the_same_question_is_the_same_look(forty, tmp_path, monkeypatch):
    monkeypatch.setenv("LUTHIER_CACHE", str(tmp_path / "cache"))

    def looked(path: Path = forty, **options) -> dict:
        return compare_columns(path, **{**NAMES, "cluster": "dialogue", "look": "count", **options})

    first = looked()
    assert (first["look"], first["alpha"]) == (1, 0.025)
    assert any("look 1 at this test set" in warning for warning in first["warnings"])
    assert looked() == first, "asked again"
    with pytest.raises(SettingsError):
        looked(margin=7)
    assert looked(margin=0.05)["look"] == 2, "what was refused was no look"
    better = table(tmp_path, [row(i, b=row(i)["a"]) for i in range(40)], "y.jsonl")
    assert looked(better)["look"] == 3, "another answer to the same references"
    assert looked(table(tmp_path, [row(i, ref=f"new {i}") for i in range(40)], "z.jsonl"))["look"] == 1
    assert looked() == first
    assert looked(look=None)["alpha"] == 0.05


def test_jsonl_may_hold_several_references_and_null_is_an_empty_answer(tmp_path):
    arms, examples = from_columns(table(tmp_path, [{"ref": ["one", "two"], "a": None, "b": "one"}]), **NAMES)
    assert examples[0].references == ("one", "two")
    assert arms["a"][0].text == ""


REFUSED = {
    "missing reference": ({"reference": "reff"}, "row 1, field 'reff': there is no such column; there are 'ref', 'a'"),
    "missing answer": ({"answers": ["a", "c"]}, "row 1, field 'c': there is no such column; there are 'ref', 'a'"),
    "missing cluster": ({"cluster": "c"}, "row 1, field 'c': there is no such column"),
    "missing id": ({"id": "c"}, "row 1, field 'c': there is no such column"),
    "id twice": ({"id": "dialogue"}, "row 2, field 'dialogue': 'd0' is already the id of row 1; make ids unique"),
}


@pytest.mark.parametrize("columns, sentence", REFUSED.values(), ids=REFUSED)
def test_a_column_that_is_not_there_lists_those_that_are(forty, columns, sentence):
    with pytest.raises(DataError) as error:
        from_columns(forty, **{**NAMES, **columns})
    assert sentence in str(error.value)


@pytest.mark.parametrize("bad", ["", " \n", [], ["one", " "], None], ids=repr)
def test_an_empty_reference_is_an_error_by_row(tmp_path, bad):
    with pytest.raises(DataError, match="row 2, field 'ref': the reference is empty"):
        from_columns(table(tmp_path, [row(0), row(1, ref=bad)]), **NAMES)


@pytest.mark.parametrize("cell, what", [(3, "a number"), (["x"], "a list"), (True, "true or false")])
def test_an_answer_that_is_no_text_is_an_error_by_row(tmp_path, cell, what):
    with pytest.raises(DataError, match=f"row 2, field 'b': this is {what}; write it as a text"):
        from_columns(table(tmp_path, [row(0), row(1, b=cell)]), **NAMES)


@pytest.mark.parametrize(
    "columns, sentence",
    [
        ({"answers": []}, "no column of answers is named"),
        ({"answers": ["a", "b", "a"]}, "'a' is named twice"),
        ({"answers": ["a", "ref"]}, "'ref' is named as reference and as answer"),
    ],
)
def test_one_column_is_one_thing(forty, columns, sentence):
    with pytest.raises(SettingsError, match=sentence):
        from_columns(forty, **{**NAMES, **columns})


def test_comparing_is_what_a_study_does_and_can_be_written(forty, tmp_path):
    result = compare_columns(forty, **NAMES, cluster="dialogue", metric="rougeL", margin=0.03, baselines=["b"])
    arms, examples = from_columns(forty, **NAMES, cluster="dialogue")
    by_hand = compare({n: score(a, examples) for n, a in arms.items()}, deciding="rougeL", margin=0.03, baselines=["b"])
    assert result == by_hand
    assert (result["n"], result["examples"]) == (20, 40)
    assert result["baselines"]["a"]["b"]["beats"]
    write_json(tmp_path / "compare.json", result)
    assert json.loads((tmp_path / "compare.json").read_text()) == result


@pytest.mark.parametrize("wrong", [{"metric": "rouge"}, {"margin": 2.0}, {"level": 0.1}])
def test_what_cannot_be_compared_is_refused_before_anything_is_read(tmp_path, wrong):
    with pytest.raises(SettingsError):
        compare_columns(tmp_path / "absent.csv", **NAMES, **wrong)


def test_columns_have_no_baselines_of_their_own(forty):
    assert not any("Not among the arms" in warning for warning in compare_columns(forty, **NAMES)["warnings"])
    with pytest.raises(SettingsError, match="the baseline 'zero-shot' is none of the answer columns: a, b"):
        compare_columns(forty, **NAMES, baselines=["zero-shot"])


def test_a_score_is_a_mean_with_n_interval_and_signature(forty):
    result = score_columns(forty, reference="ref", answer="a", cluster="dialogue", input="in")
    assert (result["n"], result["examples"], result["answer"]) == (20, 40, "a")
    rouge = result["metrics"]["rouge1"]
    assert rouge["low"] < rouge["mean"] < rouge["high"]
    assert rouge["n"] == 20
    assert result["signatures"]["rouge1"].startswith("rouge1|rouge-score")
    assert "not generated here" in next(iter(result["unknown"]["stopped"]))


def test_what_rouge_cannot_read_has_a_chrf_and_a_reason(tmp_path):
    path = table(tmp_path, [{"ref": "кошка сидит на ковре", "a": "кошка сидит"}, {"ref": "the cat", "a": "the cat"}])
    result = score_columns(path, reference="ref", answer="a", words="ascii")
    assert result["metrics"]["chrf"]["n"] == 2
    assert result["metrics"]["rouge1"]["n"] == 1
    assert any("a-z or 0-9" in reason for reason in result["unknown"]["rouge1"])


@pytest.mark.slow
def test_every_answer_of_fifteen_hundred_rows_is_scored_once(tmp_path, monkeypatch):
    """500 dialogues with 3 references each, three systems: the work grows with the rows, not with the pairs of arms."""
    dialogues = SHARED / "data" / "dialogsum" / "dev.jsonl"
    if not dialogues.exists():
        pytest.skip(f"{dialogues} is not there: no real dialogues to compare")
    rows = []
    for line in dialogues.read_text(encoding="utf-8").splitlines()[:500]:
        found = json.loads(line)
        turns, words = found["dialogue"].splitlines(), found["summary"].split()
        answers = {"first": " ".join(turns[:3]), "last": " ".join(turns[-3:]), "longest": max(turns, key=len)}
        references = (found["summary"], " ".join(words[1:]), " ".join(words[:-1]))
        rows += [{"dialogue": found["id"], "ref": reference, **answers} for reference in references]
    module = sys.modules["luthier.scoring.score"]  # the package gives the function by this name
    scored, whole = [], module._score_one
    monkeypatch.setattr(module, "_score_one", lambda *found, **named: scored.append(1) or whole(*found, **named))
    result = compare_columns(
        table(tmp_path, rows), reference="ref", answers=["first", "last", "longest"], cluster="dialogue"
    )
    assert (result["n"], result["examples"], len(scored)) == (500, 1500, 3 * 1500)


def test_columns_of_labels_are_scored_as_labels(tmp_path):
    rows = "".join(f"{label},{told}\n" for label, told in [("a", "a"), ("b", "It is b."), ("b", "a"), ("a", "")] * 6)
    (tmp_path / "said.csv").write_text(f"label,ours\n{rows}", encoding="utf-8")
    found = score_columns(tmp_path / "said.csv", reference="label", answer="ours", labels=True)
    assert found["metrics"]["accuracy"]["mean"] == 0.5
    assert found["metrics"]["macro_f1"]["mean"] == pytest.approx((2 * 6 / 24 + 2 * 6 / 18) / 2)
    assert set(found["metrics"]) == {"accuracy", "macro_f1"}


def test_many_rows_are_scored_block_by_block_with_a_bar(tmp_path, monkeypatch, capsys):
    few = table(tmp_path, [row(i) for i in range(40)])
    plain = compare_columns(few, **NAMES, cluster="none")
    assert "scoring" not in capsys.readouterr().err
    monkeypatch.setattr(column_texts, "MANY_ANSWERS", 80)
    monkeypatch.setattr(column_texts, "BLOCK", 7)
    assert compare_columns(few, **NAMES, cluster="none") == plain
    assert "scoring: 0 of 80 answers" in capsys.readouterr().err


def test_unequal_numbers_of_references_are_seen_over_all_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr(column_texts, "BLOCK", 1)
    rows = [row(i) | {"ref": ["one reference"] if i < 30 else ["one", "two"]} for i in range(40)]
    with pytest.raises(DataError, match="has 1 references and 'row-31' has 2"):
        compare_columns(table(tmp_path, rows), **NAMES, cluster="none", references="max")
