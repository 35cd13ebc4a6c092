"""What an input supports: its words in all their forms, and its numbers in all their readings."""

from __future__ import annotations

from luthier.scoring.source import Source, bare, common_words, without_tags

INPUT = """Mr. Benjamin Okoro: The United Kingdom office opens at half past three.
#Person1#: Anna's office asks twenty-eight fifty for the M R I, O'Brien; the Web Tracker is free."""


def test_words_are_known_in_all_their_forms() -> None:
    words = Source(INPUT).words
    assert {"anna", "anna's", "o'brien", "brien", "mri", "kingdom"} <= words
    assert "person" not in words, "a tag is no word"


def test_who_speaks_and_what_is_tagged() -> None:
    source = Source(INPUT)
    assert source.speakers >= {"Benjamin", "Okoro"} and source.tags == {"#person1#"}


def test_letters_alone_and_first_letters() -> None:
    source = Source(INPUT)
    assert "webtracker" in source.squeezed and "uk" in source.initials


def test_numbers_are_read_generously_and_few_ones_are_added_up() -> None:
    assert {28.5, 2850.0, ("clock", 210)} <= Source(INPUT).readings
    assert {5.0, 1.0} <= Source("Two chairs and three tables.").derived
    assert Source("Two, three, four, five.").derived == set(), "of a long list they would support anything"


def test_tags_leave_everything_else_in_its_place() -> None:
    text = "#Person1# sees 3 dogs."
    assert without_tags(text) == " " * len("#Person1#") + " sees 3 dogs."


def test_a_possessive_is_no_part_of_a_word() -> None:
    assert [bare(word) for word in ("Anna's", "Anna’s", "James'", "she'll", "O'Brien")] == [
        "Anna", "Anna", "James", "she", "O'Brien"]  # fmt: skip


def test_common_words_are_those_in_lower_case() -> None:
    assert common_words(["Ben: We have parquet.", "Traffic"]) == {"have", "parquet"}
