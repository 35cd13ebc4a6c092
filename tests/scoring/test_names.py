"""Names: a person who is not in the input is found, whoever is there under another form is not."""

from __future__ import annotations

import pytest

from luthier.scoring.names import unknown_names
from luthier.scoring.source import Source, common_words

INPUT = """Mr. Benjamin Okoro: The United Kingdom office opens at nine.
Zsofia: My friend from China helps. She wrote to Wal-Mart."""


def found(answer: str, source: str = INPUT) -> list[str]:
    return [answer[start:end] for start, end in unknown_names(answer, Source(source))]


@pytest.mark.parametrize(
    ("answer", "names"),
    [
        ("Zsofia meets Leopold there.", ["Leopold"]),
        ("They ask Mrs. Ottoline Pell.", ["Ottoline Pell"]),
        ("Leopold's friend helps, and Okoro meets Ursula.", ["Leopold", "Ursula"]),
        ("Ursula, who left, returns.", ["Ursula"]),
        ("They meet Leopold. Ursula's train is late.", ["Leopold", "Ursula"]),
    ],
)
def test_who_is_not_there(answer: str, names: list[str]) -> None:
    assert found(answer) == names


@pytest.mark.parametrize(
    "answer",
    [
        "Ben helps Zsofya.",  # a short form, one letter off
        "The UK office has a Chinese friend.",
        "She wrote to Walmart.",
        "Traffic is bad. Everybody waits. Swimming helps.",  # first words of sentences
        "An MRI on Friday, in September.",
        "Doctor Okoro's office.",
    ],
)
def test_who_is_there_in_another_form(answer: str) -> None:
    assert found(answer) == []


def test_common_words_of_a_study_are_no_names() -> None:
    source = Source("Anna: Wood?", common_words(["Ben: We have parquet."]))
    assert found("Parquet is chosen.", "Anna: Wood?") == ["Parquet"]
    assert list(unknown_names("Parquet is chosen.", source)) == []
