"""Labels of a task are refused at the door, read from answers, and added up as scikit-learn adds them up."""

from __future__ import annotations

import json
import random
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score

from luthier.errors import DataError, LuthierError, SettingsError, TaskError
from luthier.records import Answer, Example
from luthier.scoring.labels import COUNTS, FOLDS, LabelSet, counts, folded, label_set, macro_f1, prefixes
from luthier.scoring.score import score
from luthier.task.check import check_task
from luthier.task.create import init_task
from luthier.task.task import load_task
from luthier.verdicts.compare import compare

WORDS = ("calm", "very calm", "worried", "don't know")


# --- what an answer says ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text, label",
    [
        ("calm", 0),
        ("Worried.", 2),
        ("very calm", 1),  # not its shorter neighbour
        ("Very calm, I think", 1),
        ("The mood is worried!", 2),
        ("calm, not worried", 0),  # it begins with its answer
        ("either calm or worried", None),
        ("it is very calm", 1),  # the shorter label is inside the longer one
        ("Don't know", 3),
        ("calmer", None),
        ("", None),
    ],
)
def test_a_label_is_read_from_a_text(text: str, label: int | None) -> None:
    assert LabelSet(WORDS).said(text) == label


SIGNS = ("-1", "0", "1")
LANGUAGES = ("C", "C++", "C#", "Python")
STARS = ("★", "★★", "★★★")
THUMBS = ("👍", "👎")
MOODS = ("positive", "negative")
FOUND = [  # labels, answer, the label that it says
    *((SIGNS, text, "-1") for text in ("-1", "−1", "-1.", "**-1**", "The label is -1.", "Answer: -1, since it is bad")),
    *(
        (SIGNS, text, "1")
        for text in ("1", "+1", "(1)", "1.0", "label: 1", '{"label":"1"}', "score=1", "1, I think", "#1")
    ),
    *((SIGNS, text, None) for text in ("10", "1.5", "2-1", "1/2", "1:30", "1,5", "it is 1 or -1", "-11", "1e5")),
    *((LANGUAGES, text, "C++") for text in ("C++", "c++", "It is C++.", "`C++`")),
    *((LANGUAGES, text, "C") for text in ("C", "C.", "`C`", "I think C, really", "C or C++")),
    *((LANGUAGES, text, "C#") for text in ("C#", "C#!", "C# is it")),
    *((LANGUAGES, text, None) for text in ("C++11", "Objective-C", "it is C or C++", "Pythonic")),
    *((("C", "Python"), text, None) for text in ("C++", "it is C# I think", "C+")),
    *((STARS, text, "★★") for text in ("★★", "Rating: ★★", "★★ stars", "(★★)")),
    *((STARS, text, None) for text in ("★★★★", "☆☆", "rated ★★★★ by all")),
    *((THUMBS, text, "👍") for text in ("👍", "👍!", "Good 👍", "👍Great", "👍 not 👎")),
    *((THUMBS, text, None) for text in ("👍🏽", "it is 👍👎", "thumbs up")),
    *((("non-x", "x"), text, "non-x") for text in ("non-x", "It is non-x.", "Non-X")),
    *((("x", "y"), text, None) for text in ("non-x", "x-ray", "not_x", "x/y", "max")),
    *((MOODS, text, "positive") for text in ("**Positive**", "- positive", "“positive”", "__positive__", "'positive'")),
    *((MOODS, text, "positive") for text in ("Sentiment:positive", "Answer—positive", "positive\n\nThe text is ...")),
    *((MOODS, text, None) for text in ("positive-ish", "positively", "neither", "positive/negative")),
    *((("A-", "A", "B+"), text, label) for text, label in (("A-", "A-"), ("Grade: A-.", "A-"), ("Grade: A.", "A"))),
    *((("賛成", "不賛成"), text, label) for text, label in (("私は賛成です", "賛成"), ("私は不賛成です", "不賛成"))),
    *((("ดี", "ไม่ดี"), text, label) for text, label in (("ผลคือดี", "ดี"), ("ผลคือไม่ดี", "ไม่ดี"))),
    *((("sci", "sci.space"), text, text) for text in ("sci", "sci.space")),
    (("sci", "rec"), "the group sci.space", None),
    (("yes", "no"), "No, yes is wrong", "no"),
    (("light", "light rain"), "It will be light rain today", "light rain"),
    (("light", "light rain"), "light, not light rain", "light"),
]


@pytest.mark.parametrize("labels, text, label", FOUND)
def test_a_label_is_a_whole_of_its_own(labels: tuple[str, ...], text: str, label: str | None) -> None:
    told = LabelSet(labels).said(text)
    assert (None if told is None else labels[told]) == label


def test_labels_of_which_one_begins_another_are_found() -> None:
    assert prefixes(("car", "carpet", "red car", "sea")) == [("car", "carpet")]
    assert prefixes(("light", "light rain", "C", "C++", "★", "★★", "1", "-1", "A", "A-")) == [("light", "light rain")]


# --- the same label -----------------------------------------------------------------------------------------------

SAME = {
    "case": ("Positive", "pOSITIVE"),
    "blanks": ("very calm", " very\u00a0 calm\n"),
    "composed": ("caf\u00e9", "cafe\u0301"),
    "zero width": ("calm", "\ufeffca\u00adl\u200bm\u200e"),
    "marks": ("don't know", "don\u2019t know"),
    "numbers": ("-1", "-1.0"),
}


@pytest.mark.parametrize("fold", SAME)
def test_each_fold_makes_its_own_difference_none_and_no_other(fold: str) -> None:
    label, spelling = SAME[fold]
    others = tuple(other for other in FOLDS if other != fold)
    assert LabelSet((label, "other"), (fold,)).index(spelling) == 0  # type: ignore[arg-type]
    assert LabelSet((label, "other"), others).index(spelling) is None  # type: ignore[arg-type]
    assert LabelSet((label, spelling), others).index(spelling) == 1, "exact comes first"  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match=f"cannot be told apart, since {fold} does not count"):
        LabelSet((label, spelling))
    known, merged = label_set([label, label, spelling, "other"])
    assert (known.words, merged) == (tuple(sorted([label, "other"])), {spelling: label})


SIGN = st.characters(codec="utf-8")  # of every category
LABELS = st.lists(st.text(SIGN, min_size=1, max_size=4), min_size=2, max_size=6, unique=True)


@given(LABELS)
def test_perfect_answers_are_right_whatever_the_labels_are(words: list[str]) -> None:
    """Labels of all Unicode categories: those that cannot be told apart are refused, and all others are told apart."""
    try:
        known = LabelSet(tuple(words))
    except SettingsError as error:
        assert "cannot be told apart" in str(error) or "nothing is left" in str(error)
        return
    examples = [Example(str(i), "x", (word,)) for i, word in enumerate(words)]
    for stop in ("given", "chosen"):
        scores = score([Answer(str(i), word, stop=stop) for i, word in enumerate(words)], examples, labels=known)
        assert [one.values["accuracy"] for one in scores] == [1.0] * len(words)
    wrong = score([Answer(str(i), words[i - 1]) for i in range(len(words))], examples, labels=known)
    assert [one.values["accuracy"] for one in wrong] == [0.0] * len(words)
    for i, word in enumerate(words):
        for spelling in (f" {word} ", unicodedata.normalize("NFD", word), f"\ufeff{word}"):
            assert known.said(spelling) == i


@given(st.lists(st.text(SIGN, max_size=4), min_size=1, max_size=8))
def test_labels_of_rows_become_a_set_or_are_refused(texts: list[str]) -> None:
    try:
        known, merged = label_set(texts)
    except SettingsError as error:
        assert "nothing is left that can be seen" in str(error)
        return
    for text in texts:
        index = known.index(text)
        assert index is not None and known.words[index] == merged.get(text, text)


@given(st.text(SIGN, max_size=30), LABELS)
def test_no_text_is_an_error_and_what_is_said_is_a_label(text: str, words: list[str]) -> None:
    known = label_set([*words, "calm"])[0] if all(folded(word).strip() for word in words) else LabelSet(("a", "b"))
    told = known.said(text)
    assert told is None or told in range(len(known.words))


def test_a_chosen_answer_is_not_searched() -> None:
    example = Example("a", "x", ("calm",))
    for stop, right in (("end", 1.0), ("chosen", 0.0)):
        assert score([Answer("a", "It is calm", stop=stop)], [example], labels=WORDS)[0].values["accuracy"] == right


# --- many answers together ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
def test_accuracy_and_macro_f1_are_scikit_learns(seed: int) -> None:
    """Whatever is missing: a class that no row has, one that no answer says, answers that say nothing."""
    dice = random.Random(seed)
    truth = [dice.randrange(3) for _ in range(12)]
    told = [dice.choice([0, 1, 2, 3, None]) for _ in truth]
    examples = [Example(str(i), "x", (WORDS[label],)) for i, label in enumerate(truth)]
    answers = [Answer(str(i), "" if label is None else WORDS[label]) for i, label in enumerate(told)]
    scores = score(answers, examples, labels=WORDS)
    found = compare({"a": scores, "b": scores}, deciding="macro_f1")["arms"]["a"]
    other = [-1 if label is None else label for label in told]
    assert found["accuracy"]["mean"] == pytest.approx(accuracy_score(truth, other))
    seen = sorted({*truth, *other} - {-1})
    assert found["macro_f1"]["mean"] == pytest.approx(f1_score(truth, other, labels=seen, average="macro"))


def test_counts_are_added_before_the_metric_is_formed() -> None:
    rows = [counts(0, 0, 2), counts(0, 1, 2), counts(1, None, 2)]
    assert rows == [[1, 1, 1, 0, 0, 0], [1, 0, 0, 0, 1, 0], [0, 0, 0, 1, 0, 0]]
    assert macro_f1([sum(column) for column in zip(*rows, strict=True)]) == pytest.approx((2 / 3 + 0) / 2)
    assert macro_f1([0] * COUNTS) == 0.0


def test_right_and_wrong_get_wilson_and_mcnemar() -> None:
    examples = [Example(str(i), "x", (WORDS[0],)) for i in range(30)]
    good = score([Answer(e.id, "calm") for e in examples], examples, labels=WORDS)
    poor = score([Answer(e.id, "calm" if int(e.id) < 15 else "?") for e in examples], examples, labels=WORDS)
    result = compare({"good": good, "poor": poor}, deciding="accuracy", margin=0.05)
    assert result["arms"]["good"]["accuracy"]["low"] == pytest.approx(0.8865, abs=1e-3)  # Wilson, 30 of 30
    pair = next(row for row in result["pairs"] if row["metric"] == "accuracy")
    assert pair["mcnemar_p"] == pytest.approx(2 * 0.5**15)
    assert pair["verdict"] == "better"


def test_a_reference_that_is_no_label_is_refused() -> None:
    with pytest.raises(DataError, match="example 'a': its reference is none of the labels calm, very calm"):
        score([Answer("a", "calm")], [Example("a", "x", ("angry",))], labels=WORDS)


# --- at the door --------------------------------------------------------------------------------------------------

TOML = (
    'name = "m"\n[classes]\nfield = "mood"\n[classes.words]\nc = "calm"\nw = "worried"\n[decide]\nmetric = "accuracy"\n'
)


def make_task(folder: Path, toml: str = TOML, **moods: list[object]) -> Path:
    for split in ("train", "dev", "test"):
        labels = moods.get(split, ["c", "w", "c", "w"])
        rows = [
            {"id": f"{split}{i}", "input": f"{split} {i}", "references": ["a text"], "meta": {"mood": label}}
            for i, label in enumerate(labels)
        ]
        folder.mkdir(exist_ok=True)
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "task.toml").write_text(toml)
    return folder


def test_a_label_becomes_the_reference(tmp_path: Path) -> None:
    task = load_task(make_task(tmp_path / "t"))
    assert task.labels == ("calm", "worried")
    assert [example.references for example in task.test] == [("calm",), ("worried",)] * 2
    assert task.test[0].meta == {"mood": "c"}


def test_a_folder_may_ask_several_questions_and_stays_in_itself(tmp_path: Path) -> None:
    folder = make_task(tmp_path / "t", 'name = "texts"\n')
    (folder / "mood.toml").write_text(TOML)
    (tmp_path / "out.toml").write_text(TOML)
    assert (load_task(folder).labels, load_task(f"{folder}:mood").labels) == ((), ("calm", "worried"))
    assert load_task(load_task(f"{folder}:mood").source).name == "m"
    assert load_task(folder).hashes() != load_task(f"{folder}:mood").hashes()
    for name in ("nothing", "../out", ""):
        with pytest.raises(TaskError, match="there is no such task"):
            load_task(f"{folder}:{name}")


def test_the_dialogues_that_ship_have_two_more_questions() -> None:
    kind, mood = load_task("dialogues:kind"), load_task("dialogues:mood")
    assert (len(kind.labels), len(mood.labels)) == (12, 4)
    assert kind.template().endswith("travel, workplace? Answer with one word.")
    assert [e.id for e in kind.test] == [e.id for e in load_task("dialogues").test]


@pytest.mark.parametrize(
    "moods, sentence",
    [
        ({"dev": ["c", "x"]}, r"dev.jsonl, row 2, field 'mood': 'x' is none of the labels \(c, w\); write one of them"),
        ({"test": ["c", None]}, r"test.jsonl, row 2, field 'mood': the row has no label; write one of them"),
        ({"train": ["c", "c"]}, r"dev.jsonl, row 2, field 'mood': no train row has the label 'worried'"),
        ({s: ["c"] for s in ("train", "dev", "test")}, r"train.jsonl, row 1, field 'mood': every train row has the"),
    ],
)
def test_labels_that_cannot_be_learned_are_refused(tmp_path: Path, moods: dict, sentence: str) -> None:
    with pytest.raises(DataError, match=sentence):
        load_task(make_task(tmp_path / "t", **moods))


@pytest.mark.parametrize(
    "old, new, sentence",
    [
        ('w = "worried"\n', "", "there are 1 labels; a classification tells at least two apart"),
        ('"worried"', '"Calm"', "the labels 'c' and 'w' are both called 'Calm'; name them apart"),
        ('"worried"', '" "', "the label 'w' is called ' '; neither may be empty"),
        (
            '"accuracy"',
            '"rouge1"',
            "decide.metric is 'rouge1' and answers are labels; choose one of accuracy, macro_f1",
        ),
        ("[classes]", "[klasses]", "the key 'klasses' is not known; did you mean 'classes'"),
    ],
)
def test_a_table_of_classes_is_refused_by_key(tmp_path: Path, old: str, new: str, sentence: str) -> None:
    with pytest.raises(TaskError, match=sentence):
        load_task(make_task(tmp_path / "t", TOML.replace(old, new)))


def test_check_counts_labels_and_warns_of_words_that_begin_others(tmp_path: Path) -> None:
    task = load_task(make_task(tmp_path / "t", TOML.replace('"worried"', '"calmly"')))
    texts = [finding.text for finding in check_task(task)]
    assert "train: rows by label: calm 2, calmly 2" in texts
    assert any("the word 'calm' begins the word 'calmly'" in text for text in texts)
    assert not any("single word" in text for text in texts)


# --- a new task ---------------------------------------------------------------------------------------------------


def test_init_makes_a_classification_of_a_column(tmp_path: Path) -> None:
    csv = tmp_path / "mail.csv"
    rows = "".join(f"words {i},{'spam' if i % 3 else 'ham'},about {i}\n" for i in range(40))
    csv.write_text(f"text,kind,subject\n{rows}")
    task = init_task(tmp_path / "mail", csv, input="text", labels="kind")
    assert (task.labels, task.spec.decide.metric, task.spec.decide.margin) == (("ham", "spam"), "accuracy", 0.05)
    assert "ham, spam" in task.template()
    assert load_task(tmp_path / "mail") == task
    with pytest.raises(SettingsError, match="give one of target, a column of texts, and labels"):
        init_task(tmp_path / "both", csv, input="text", labels="kind", target="kind")
    with pytest.raises(DataError, match="all 40 rows have different labels; name a column of classes"):
        init_task(tmp_path / "rows", csv, input="text", labels="subject")
    with pytest.raises(LuthierError, match=r"decide\.metric is 'rouge1' and answers are labels"):
        init_task(tmp_path / "rouge", csv, input="text", labels="kind", metric="rouge1")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mail", "mail.csv"]
