"""Words of every script: identical texts score 1, right ones more than junk, whatever the script and the metric."""

from __future__ import annotations

import random
import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from luthier.errors import SettingsError
from luthier.metrics import CORPUS, ROUGE
from luthier.records import Answer, Example, as_row
from luthier.scoring.score import corpus_value, score, signature
from luthier.scoring.words import (
    ENGLISH,
    MOST_LOST,
    WORDS,
    Reading,
    cut,
    length,
    lost,
    reading_for,
    refuse_missing,
    unread,
    words_of,
)

# script -> first and last letter to draw words from, and whether blanks part its words
SCRIPTS = {
    "Latin": ("a", "z", True), "Vietnamese": ("ạ", "ỹ", True), "Greek": ("α", "ω", True),
    "Cyrillic": ("а", "я", True), "Armenian": ("ա", "ֆ", True), "Georgian": ("ა", "ჰ", True),
    "Hebrew": ("א", "ת", True), "Arabic": ("ب", "غ", True), "Ethiopic": ("ሀ", "ሆ", True),
    "Devanagari": ("क", "ह", True), "Bengali": ("ক", "ন", True), "Tamil": ("க", "ச", True),
    "Hangul": ("가", "갛", True), "Cherokee": ("Ꭰ", "Ꮐ", True), "Adlam": ("𞤀", "𞤟", True),
    "Han": ("一", "丳", False), "Hiragana": ("あ", "の", False), "Katakana": ("ア", "ノ", False),
    "Thai": ("ก", "ฮ", False), "Lao": ("ກ", "ຂ", False), "Khmer": ("ក", "អ", False),
    "Myanmar": ("က", "အ", False), "Yi": ("ꀀ", "ꀟ", False), "Javanese": ("ꦏ", "ꦫ", False),
}  # fmt: skip
JUNK = "iPhone 15"


def sentences(script: str, count: int = 24, seed: int = 0) -> list[tuple[str, str]]:
    """(reference, a right answer that leaves out some of its words), each reference with a name and a number."""
    first, last, spaced = SCRIPTS[script]
    signs = [chr(i) for i in range(ord(first), ord(last) + 1) if unicodedata.category(chr(i)).startswith("L")]
    dice, made = random.Random(f"{script} {seed}"), []
    for _ in range(count):
        words = ["".join(dice.choice(signs) for _ in range(dice.randint(2, 6))) for _ in range(14)]
        blank = " " if spaced else ""
        stop = "." if spaced else "。"
        made.append((f"{blank.join(words)} {JUNK}{stop}", blank.join(words[:6] + words[8:]) + stop))
    return made


def means(rows: list[tuple[str, str]], answers: list[str], reading: Reading) -> dict[str, float]:
    examples = [Example(str(i), "", (reference,)) for i, (reference, _) in enumerate(rows)]
    scores = score([Answer(str(i), text) for i, text in enumerate(answers)], examples, reading=reading)
    found = {metric: float(np.mean([one.values[metric] for one in scores])) for metric in ROUGE}
    for metric in CORPUS:
        found[metric] = corpus_value(metric, np.sum([one.statistics[metric] for one in scores], axis=0).tolist())
    return found


@pytest.mark.parametrize("script", SCRIPTS)
def test_identical_is_one_and_right_beats_junk_by_every_metric(script: str) -> None:
    rows = sentences(script)
    reading = reading_for([reference for reference, _ in rows])
    identical = means(rows, [reference for reference, _ in rows], reading)
    right = means(rows, [answer for _, answer in rows], reading)
    junk = means(rows, [JUNK] * len(rows), reading)
    assert identical == pytest.approx(dict.fromkeys(identical, 1.0))
    assert {metric: right[metric] > junk[metric] for metric in right} == dict.fromkeys(right, True)
    assert all(0 <= value <= 1 for found in (identical, right, junk) for value in found.values())
    assert [unread(metric, reading, [text for text, _ in rows]) for metric in (*ROUGE, *CORPUS)] == [""] * 6


@pytest.mark.parametrize("script", [name for name in SCRIPTS if name != "Latin"])
def test_what_ascii_reads_of_another_script_decides_nothing(script: str) -> None:
    texts = [reference for reference, _ in sentences(script)]
    sentence = unread("rouge1", ENGLISH, texts)
    better = reading_for(texts)
    assert f'write words = "{better.words}", or decide by chrf' in sentence
    assert better.words == ("unicode" if SCRIPTS[script][2] else "characters")
    assert bool(unread("rouge1", Reading("unicode"), texts)) == (better.words == "characters")
    assert bool(unread("bleu", ENGLISH, texts)) == (better.words == "characters")
    if script != "Vietnamese":  # whose letters are in part those of English
        scored = score([Answer("a", JUNK)], [Example("a", "", (texts[0],))])[0]
        assert scored.values["rouge1"] is None and "so that most of reference 1 is lost" in scored.reasons["rouge1"]


def test_the_default_is_that_of_rouge_score_and_a_few_accents_keep_it() -> None:
    texts = ["The café was full, so Anna and Ben went home by the last train and had some tea."] + ["They met."] * 90
    assert 0 < lost(texts, "ascii") < MOST_LOST and reading_for(texts) == ENGLISH
    assert reading_for(["Für Zürich müssen wir früher los."]) == Reading("unicode", "intl")
    assert reading_for(["会议改到三点。"]) == Reading("characters", "zh")
    assert reading_for(["会議は三時になりました。"]) == Reading("characters", "char")
    assert reading_for([]) == reading_for(["12 !"]) == ENGLISH
    assert "tokens:a-z0-9" in signature("rouge1") and "tok:13a" in signature("bleu")
    assert "words" not in as_row(score([Answer("a", "x")], [Example("a", "", ("x",))])[0])
    told = score([Answer("a", "x")], [Example("a", "", ("x",))], reading=Reading("unicode", "intl"))[0]
    assert (as_row(told)["words"], as_row(told)["bleu"]) == ("unicode", "intl")


@pytest.mark.parametrize(
    "text, unicode, characters",
    [
        ("Straße, STRASSE!", ["strasse", "strasse"], None),
        ("हिन्दी में", ["हिन्दी", "में"], None),  # vowel signs are part of their word
        ("می\u200cخواهم", ["میخواهم"], None),  # a joiner without width parts nothing
        ("شـــكرا", ["شكرا"], None),  # stretched on the page
        ("don't stop_it", ["don", "t", "stop", "it"], None),
        ("iPhone 3の返品", ["iphone", "3の返品"], ["iphone", "3", "の", "返", "品"]),
        ("ラーメン１５", ["ラーメン15"], ["ラ", "ー", "メ", "ン", "15"]),
        ("สูง", ["สูง"], ["สู", "ง"]),  # a letter with its marks
        ("བཀྲ་ཤིས", ["བཀྲ", "ཤིས"], None),  # Tibetan parts syllables by a sign of its own
        ("ok 👍🏽", ["ok", "👍"], None),
    ],
)
def test_words_are_these(text: str, unicode: list[str], characters: list[str] | None) -> None:
    assert words_of(text, "unicode") == unicode
    assert words_of(text, "characters") == (characters or unicode)


TEXT = st.text(st.characters(codec="utf-8"), max_size=60)


@given(TEXT, st.sampled_from(["NFC", "NFD"]))
def test_how_an_accent_is_composed_makes_no_other_word(text: str, form: str) -> None:
    for words in ("unicode", "characters"):
        assert words_of(unicodedata.normalize(form, text), words) == words_of(text, words)  # type: ignore[arg-type]


@given(TEXT, st.integers(1, 5), st.sampled_from(WORDS))
def test_a_cut_text_has_as_many_words_as_were_asked_for(text: str, most: int, words: str) -> None:
    short = cut(text, most, words)  # type: ignore[arg-type]
    assert text.startswith(short) and length(short, words) == min(most, length(text, words))  # type: ignore[arg-type]


@given(TEXT)
def test_what_is_lost_is_a_share(text: str) -> None:
    assert lost([text], "characters") == 0 <= lost([text], "unicode") <= 1
    assert 0 <= lost([text], "ascii") <= 1
    assert unread("chrf", ENGLISH, [text]) == ""


def test_the_same_text_composed_and_decomposed_is_the_same_answer() -> None:
    reference = "Der Café-Besitzer aus Zürich fährt früh nach Genève."
    apart = unicodedata.normalize("NFD", reference)
    for reading in (ENGLISH, Reading("unicode", "intl")):
        scored = score([Answer("a", apart)], [Example("a", apart, (reference,))], reading=reading)[0]
        assert [scored.values[metric] for metric in ROUGE] == [1.0] * 4
        assert scored.values["chrf"] == 1 and scored.values["copied"] == 1


def test_a_tokenizer_that_is_not_there_is_a_sentence_with_the_way() -> None:
    with pytest.raises(SettingsError, match="BLEU has no tokenizer 'moses'; choose one of 13a, intl, zh, char"):
        refuse_missing("moses")
    for name in ("ja-mecab", "ko-mecab", "flores200"):
        try:
            refuse_missing(name)
        except SettingsError as error:
            assert 'pip install "' in str(error)
