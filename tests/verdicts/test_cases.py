"""Small inputs of the kinds that people bring: labels by signs, blanks and case, other scripts, accents, reasoning."""

from __future__ import annotations

from pathlib import Path

import pytest

from luthier.errors import DataError, SettingsError
from luthier.metrics import CORPUS, ROUGE
from luthier.task.check import check_task
from luthier.task.create import init_task
from luthier.task.task import load_task
from luthier.verdicts.columns import compare_columns, score_columns
from tests.conftest import SHARED

CASES = SHARED / "cases"
needs_cases = pytest.mark.skipif(not CASES.is_dir(), reason=f"{CASES} is not there: no cases to try")


def means(result: dict) -> dict[str, float]:
    return {metric: result["metrics"][metric]["mean"] for metric in (*ROUGE, *CORPUS)}


@needs_cases
@pytest.mark.parametrize("file, right, junk", [("japanese", "summary", "junk"), ("thai", "a", "b")])
def test_a_right_answer_never_loses_to_a_name_and_a_number(file: str, right: str, junk: str) -> None:
    path = CASES / "01-rouge-scripts" / f"{file}.csv"
    good, bad = (means(score_columns(path, reference="ref", answer=column)) for column in (right, junk))
    assert {metric: good[metric] > bad[metric] for metric in good} == dict.fromkeys(good, True)
    compared = compare_columns(path, reference="ref", answers=[right, junk])
    assert any("Words are read as characters" in warning for warning in compared["warnings"])
    assert compared["ship"]["provisional"] == right
    with pytest.raises(DataError, match=r'rouge1 with words = "ascii" does not read .* of the letters'):
        compare_columns(path, reference="ref", answers=[right, junk], words="ascii")
    with pytest.raises(DataError, match='bleu with bleu = "13a" does not read'):
        compare_columns(path, reference="ref", answers=[right, junk], metric="bleu", bleu="13a")
    with pytest.raises(SettingsError, match="the key 'words' is 'letters'"):
        score_columns(path, reference="ref", answer=right, words="letters")


@needs_cases
@pytest.mark.parametrize("file", ["minus", "stars", "languages"])
def test_perfect_labels_are_perfect(file: str, tmp_path: Path) -> None:
    path = CASES / "02-labels-by-signs" / f"{file}.csv"
    result = score_columns(path, reference="label", answer="perfect", labels=True)
    assert {metric: row["mean"] for metric, row in result["metrics"].items()} == {"accuracy": 1, "macro_f1": 1}
    assert result["notes"] == []
    task = init_task(tmp_path / file, path, input="text", labels="label", id="id")
    assert task.label_set is not None
    for example in (*task.train, *task.dev, *task.test):
        assert task.labels[task.label_set.said(example.references[0])] == example.references[0]  # type: ignore[index]


@needs_cases
@pytest.mark.parametrize(
    "file, note",
    [
        ("trailing", "15 rows spell their label another way: 'positive ' (15) is 'positive'"),
        ("case", "15 rows spell their label another way: 'positive' (15) is 'Positive'"),
        ("crlf_bom", None),
    ],
)
def test_score_folds_labels_as_a_task_does_and_says_so(file: str, note: str | None, tmp_path: Path) -> None:
    path = CASES / "03-label-blanks" / f"{file}.csv"
    result = score_columns(path, reference="label", answer="answer", labels=True)
    assert result["metrics"]["accuracy"]["mean"] == 1
    assert (note in result["notes"][0]) if note else result["notes"] == []
    if note:
        exact = score_columns(path, reference="label", answer="answer", labels=True, fold=())
        assert exact["metrics"]["accuracy"]["mean"] < 1
        task = init_task(tmp_path / file, path, input="id", labels="label")
        assert len(task.labels) == 2
        told = [finding.text for finding in check_task(task) if "another way" in finding.text]
        assert told and task.summary()["notes"] == told


@needs_cases
def test_whole_numbers_of_a_table_are_one_label(tmp_path: Path) -> None:
    task = init_task(tmp_path / "t", CASES / "03-label-blanks" / "floats.csv", input="text", labels="label")
    assert task.labels == ("1", "2.0")
    assert any("'1.0' (" in note and "is '1'" in note for note in task.label_notes)


@needs_cases
def test_how_accents_are_composed_makes_no_difference_and_is_counted(tmp_path: Path) -> None:
    path = CASES / "08-nfc-nfd" / "answers.csv"
    result = score_columns(path, reference="ref", answer="decomposed")
    assert means(result) == dict.fromkeys(means(result), 1)
    assert any("40 of 40 texts of decomposed are decomposed (NFD)" in note for note in result["notes"])
    task = init_task(tmp_path / "t", CASES / "08-nfc-nfd" / "labels.csv", input="text", labels="label")
    assert task.labels == ("café", "hotel")


@needs_cases
def test_a_reasoning_block_is_found_and_left_out_where_that_is_asked_for() -> None:
    path = CASES / "18-thinking" / "answers.csv"
    kept = score_columns(path, reference="ref", answer="thinking")
    left = score_columns(path, reference="ref", answer="thinking", reasoning="leave out")
    assert left["metrics"]["rouge1"]["mean"] == 1 > kept["metrics"]["rouge1"]["mean"]
    assert any("in 40 of 40 answers" in note and "reasoning" in note for note in kept["notes"])
    assert "thinking: a reasoning block is left out of 40 of 40 answers." in left["notes"]


@needs_cases
def test_half_the_references_with_a_digit_are_read_whole(tmp_path: Path) -> None:
    """Before, the rows without a digit had no rouge1, and the others were judged by their digit."""
    path = CASES / "14-cyrillic-study" / "rows.csv"
    task = init_task(tmp_path / "t", path, input="dialogue", target="summary")
    assert (task.reading.words, task.reading.bleu) == ("unicode", "intl")
    file = tmp_path / "t" / "task.toml"
    file.write_text(file.read_text().replace('words = "unicode"', 'words = "ascii"'))
    (error,) = [finding.text for finding in check_task(load_task(tmp_path / "t")) if finding.level == "error"]
    assert error == (
        'task.toml, decide.metric: rouge1 with words = "ascii" does not read 100 % of the letters of the references; '
        'write words = "unicode", or decide by chrf, which reads every script'
    )


def test_labels_of_which_nothing_can_be_seen_are_refused_by_row(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    rows = ["yes", "no", "\u200b", *["yes", "no"] * 10]
    path.write_text("label,a\n" + "".join(f"{label},text {i}\n" for i, label in enumerate(rows)), encoding="utf-8")
    with pytest.raises(DataError, match="row 3, field 'label': of the label nothing is left that can be seen"):
        score_columns(path, reference="label", answer="a", labels=True)
    with pytest.raises(DataError, match="row 3, field 'label': of the label nothing is left that can be seen"):
        init_task(tmp_path / "t", path, input="a", labels="label")
