"""Scores: equal to the libraries', and each case a mistake that is easily made."""

from __future__ import annotations

import json
import random
import subprocess
import sys

import numpy as np
import pytest
import sacrebleu
from rouge_score import rouge_scorer
from rouge_score.rouge_scorer import RougeScorer

from luthier.errors import DataError, SettingsError
from luthier.metrics import CORPUS, DESCRIPTIVE, METRICS, ROUGE
from luthier.records import Answer, Example, as_row
from luthier.scoring.rouge import _LcsTable, _rouge_scorer
from luthier.scoring.score import corpus_value, score, signature

TEXTS = [
    "Anna will bring the tickets to the station. Ben is waiting there.",
    "Ben asks Anna about the tickets; she has forgotten them at home.",
    "They meet at noon in front of the old station",
    "Anna's running late, so Ben buys new tickets for both of them.",
    "Station. Tickets? Noon!",
    "The cat sat on the mat and did not think about trains at all.",
]
EXAMPLES = [Example(str(i), " ".join(TEXTS), (TEXTS[i], TEXTS[i - 1], TEXTS[i - 2])) for i in range(len(TEXTS))]
ANSWERS = [Answer(str(i), TEXTS[(i + 3) % 6][:40] + " " + TEXTS[i][:20]) for i in range(len(TEXTS))]


def one(text: str, *references: str, source: str = "", stop: str = "end"):
    return score([Answer("a", text, stop=stop)], [Example("a", source, references)])[0]


# ------------------------------------------------------------------------------------- equality with the libraries


def test_rouge_is_rouge_score_with_stemming():
    expected = RougeScorer(list(ROUGE[:3]), use_stemmer=True).score("The cats were running", "A cat runs")
    values = one("A cat runs", "The cats were running").values
    assert {metric: values[metric] for metric in expected} == {m: s.fmeasure for m, s in expected.items()}
    assert values["rouge1"] > 0, "without stemming no word matches"


def test_rougelsum_of_lines_is_rouge_scores_own():
    reference, text = "One cat sat.\nTwo dogs ran.", "Two dogs sat.\nOne cat ran."
    expected = RougeScorer(["rougeLsum"], use_stemmer=True).score(reference, text)["rougeLsum"].fmeasure
    assert one(text, reference).values["rougeLsum"] == expected


def test_rougelsum_splits_sentences_where_the_text_has_no_lines():
    """Unsplit, rougeLsum is rougeL: order of sentences would count."""
    values = one("Two dogs ran away. One cat sat down.", "One cat sat down. Two dogs ran away.").values
    assert values["rougeLsum"] == pytest.approx(1) and values["rougeL"] < 0.6


@pytest.mark.parametrize(("metric", "library"), [("bleu", sacrebleu.corpus_bleu), ("chrf", sacrebleu.corpus_chrf)])
@pytest.mark.parametrize("references", [1, 3])
def test_corpus_value_of_summed_statistics_is_sacrebleus(metric, library, references):
    examples = [Example(e.id, e.input, e.references[:references]) for e in EXAMPLES]
    scores = score(ANSWERS, examples)
    summed = np.sum([s.statistics[metric] for s in scores], axis=0).tolist()
    streams = [[e.references[r] for e in examples] for r in range(references)]
    assert corpus_value(metric, summed) == library([a.text for a in ANSWERS], streams).score / 100


def test_corpus_bleu_with_a_varying_number_of_references():
    examples = [Example(e.id, "", e.references[: 1 + i % 3]) for i, e in enumerate(EXAMPLES)]
    summed = np.sum([s.statistics["bleu"] for s in score(ANSWERS, examples)], axis=0).tolist()
    streams = [[dict(enumerate(e.references)).get(r) for e in examples] for r in range(3)]
    assert corpus_value("bleu", summed) == sacrebleu.corpus_bleu([a.text for a in ANSWERS], streams).score / 100


def test_corpus_bleu_is_not_the_mean_of_sentence_values():
    scores = score(ANSWERS, EXAMPLES)
    mean = np.mean([s.values["bleu"] for s in scores])
    summed = np.sum([s.statistics["bleu"] for s in scores], axis=0).tolist()
    assert abs(corpus_value("bleu", summed) - mean) > 0.005


@pytest.mark.parametrize(("metric", "library"), [("bleu", sacrebleu.sentence_bleu), ("chrf", sacrebleu.sentence_chrf)])
def test_sentence_values_are_sacrebleus(metric, library):
    for scored, answer, example in zip(score(ANSWERS, EXAMPLES), ANSWERS, EXAMPLES, strict=True):
        assert scored.values[metric] == library(answer.text, list(example.references)).score / 100


def test_a_short_answer_has_a_sentence_bleu():
    """Three words have no 4-gram: without effective order they would score 0 however right they are."""
    assert one("to the station", "to the station").values["bleu"] == pytest.approx(1)


# ------------------------------------------------------------------------------------------------ published vectors

# Lines of google-research/rouge/testdata/target.txt and prediction.txt (Apache-2.0), random letters; the values are
# those of the Perl script ROUGE-1.5.5 with stemming, which rouge_scorer_test.py of rouge-score 0.1.2 asks for.
ROUGE_155 = [
    (
        "ZfbCUIUuePaiLVUlCaUXxkpu XPeWing tUHfPMuZ',-Xd Y BrUgVJing M-HV.-DgdDaY.rFDJCRing Ht-LM EKBDXkME,yz'RBr "
        "q'wtion wIojNbN wL,b .a-'XdQggyFl jB-RPP'iyOIcUxer tKM L",
        "rFDJCRtion Ht-LM EKtDXkME,yz'RBr q'wer wrojNbN wL,b .a-'XdQggyFl jB-RPP'iyOIcUxi",
        {"rouge1": 0.51163, "rouge2": 0.39024},
    ),
    (
        "KsJdPByEtAor fE-Qg Dpdbring cw-WeFyu vC MoBL Xdn g wkvcEiGvKtion BDFhrpMtion psing sbKao Q m qiing LMmer "
        "HqqLFXe,XPY,J XsurkMer ,ed nB'wH'bWVHjWFEing tQ.saefZwJtKrTlixYpMMsJing UCAPwNHeYVjDing c T BUySKtion "
        "gMPfJpwGw p'NvxAoping eu pBwMBKV'I DNxqelhu,PHPxDEq,mtion SN",
        "n cw-WeFyu vC MoBL Xdn g wkvcEiGvKtion BDFhrpMer pstion sbKao Q m qier LMmed HqqLFXe,XPY,J XsurkMeo ,ed "
        "nB'wH'bWVHjWFEer tQ.saefZwJtKrTlixYpMMNJtion UCAPwNHeYVjD",
        {"rouge1": 0.52941, "rouge2": 0.36364},
    ),
]


@pytest.mark.parametrize(("reference", "text", "expected"), ROUGE_155)
def test_rouge_is_that_of_the_perl_script(reference, text, expected):
    values = one(text, reference).values
    assert {metric: round(values[metric], 5) for metric in expected} == expected


@pytest.mark.parametrize(
    ("metric", "reference", "text", "expected"),
    [  # rouge_scorer_test.py of rouge-score 0.1.2; the last is the example of Lin 2004, section 3.2
        ("rouge1", "testing one two", "testing", 1 / 2),
        ("rouge2", "testing one two", "testing one", 2 / 3),
        ("rougeL", "testing one two", "testing two", 4 / 5),
        ("rougeLsum", "First sentence.\nSecond Sentence.", "Second sentence.\nFirst Sentence.", 1),
        ("rougeLsum", "w1 w2 w3 w4 w5", "w1 w2 w6 w7 w8\nw1 w3 w8 w9 w5", 0.5333),
    ],
)
def test_rouge_of_small_cases(metric, reference, text, expected):
    assert one(text, reference).values[metric] == pytest.approx(expected, abs=1e-4)


def test_tokens_of_a_text_are_those_of_its_words():
    """What lets a stem be remembered by word."""
    from rouge_score.tokenizers import DefaultTokenizer

    from luthier.scoring.rouge import _tokenizer

    library = DefaultTokenizer(use_stemmer=True)
    for text in [*TEXTS, "it's\u00a0a well-known\tcase, İstanbul's 3.5 metres -- ok?", ROUGE_155[0][0]]:
        assert _tokenizer("ascii").tokenize(text) == library.tokenize(text)


def corpus(metric, texts, streams):
    """The corpus value of texts against reference streams, one stream a list with one reference a text."""
    examples = [Example(str(i), "", references) for i, references in enumerate(zip(*streams, strict=True))]
    scores = score([Answer(str(i), text) for i, text in enumerate(texts)], examples)
    return corpus_value(metric, np.sum([one.statistics[metric] for one in scores], axis=0).tolist())


def test_bleu_is_that_of_sacrebleus_test_cases():
    """mjpost/sacrebleu, test/test_bleu.py: the example of its README, and a score formed from counts alone."""
    texts = ["The dog bit the man.", "It wasn't surprising.", "The man had just bitten him."]
    streams = [
        ["The dog bit the man.", "It was not unexpected.", "The man bit him first."],
        ["The dog had bit the man.", "No one was surprised.", "The man had bitten the dog."],
    ]
    assert corpus("bleu", texts, streams) == pytest.approx(0.48530827)
    assert corpus("bleu", [""] * 3, streams) == 0
    assert corpus_value("bleu", [11, 11, 9, 7, 5, 3, 10, 8, 6, 4]) == pytest.approx(0.8375922397)


@pytest.mark.parametrize(
    ("texts", "references", "expected"),
    [  # mjpost/sacrebleu, test/test_chrf.py, effective order; precision equals recall, so beta does not matter
        (["a"], ["a"], 1),
        ([""], ["reference"], 0),
        (["a b c"], ["abc"], 1),
        (["a", "b"], ["a", "c"], 0.5),
        (["aa"], ["ab"], 0.25),
    ],
)
def test_chrf_is_that_of_sacrebleus_test_cases(texts, references, expected):
    assert corpus("chrf", texts, [references]) == pytest.approx(expected)


def test_only_what_is_asked_for_is_computed():
    (alone,) = score([Answer("a", "one two")], [Example("a", "", ("one three",))], ("rouge1",))
    assert alone.values == {"rouge1": 0.5} and not alone.statistics and not alone.reasons


# --------------------------------------------------------------------------------------------------- named mistakes


def test_scale_is_0_to_1_not_percent():
    values = one(TEXTS[0], TEXTS[0]).values
    assert all(values[metric] == pytest.approx(1) for metric in METRICS)


def test_several_references_mean_not_max():
    values = one("one two", "one two", "three four").values
    assert values["rouge1"] == pytest.approx(0.5)
    assert values["length_ratio"] == 1


def test_length_ratio_is_of_mean_words_not_mean_of_ratios():
    assert one("a b c d", "a b", "a b c d e f").values["length_ratio"] == 1  # mean of ratios: (2 + 2/3) / 2


def test_an_empty_answer_is_bad_not_unknown():
    scored = one("", TEXTS[0], source=TEXTS[0])
    assert {scored.values[metric] for metric in METRICS} == {0.0}
    assert scored.statistics["bleu"][1] > 0, "its reference still counts in the corpus"


@pytest.mark.parametrize("references", [(), ("",), (TEXTS[0], " \n")])
def test_an_empty_reference_is_unknown_not_zero(references):
    scored = one(TEXTS[0], *references)
    assert {scored.values[metric] for metric in METRICS} == {None}
    assert all("reference" in scored.reasons[metric] for metric in METRICS)
    assert not scored.statistics


def test_rouge_in_another_script_is_unknown_not_zero():
    scored = one("Анна опоздала", "Анна опоздала")
    assert scored.values["rouge1"] is None and "chrf" in scored.reasons["rouge1"]
    assert scored.values["chrf"] == pytest.approx(1)


@pytest.mark.parametrize(("stop", "expected"), [("end", 1.0), ("length", 0.0), ("given", None)])
def test_stopped(stop, expected):
    scored = one("a", "a", stop=stop)
    assert scored.values["stopped"] == expected
    assert ("stopped" in scored.reasons) == (expected is None)


def test_copied_counts_word_4_grams_of_the_answer():
    assert one("The cat sat on a chair", "x", source="the cat, sat ON the mat").values["copied"] == pytest.approx(1 / 3)


@pytest.mark.parametrize(("text", "source"), [("only three words", "only three words"), ("a b c d", "")])
def test_copied_is_unknown_where_nothing_can_be_counted(text, source):
    scored = one(text, "x", source=source)
    assert scored.values["copied"] is None and scored.reasons["copied"]


def test_answers_are_matched_by_id_not_by_position():
    shuffled = score(ANSWERS[::-1], EXAMPLES)
    assert [s.id for s in shuffled] == [a.id for a in ANSWERS[::-1]]
    assert shuffled[::-1] == score(ANSWERS, EXAMPLES)


def test_the_unit_travels_with_the_score():
    assert score([Answer("r1", "a")], [Example("r1", "", ("a",), unit="dialogue 7")])[0].unit == "dialogue 7"


def test_a_foreign_id_and_a_double_id_are_named():
    with pytest.raises(DataError, match="stranger"):
        score([Answer("stranger", "a")], EXAMPLES)
    with pytest.raises(DataError, match="'0' stands twice among the answers"):
        score([ANSWERS[0], ANSWERS[0]], EXAMPLES)


def test_every_value_has_a_number_or_a_reason_and_becomes_json():
    for scored in score([*ANSWERS[:-1], Answer("5", "", stop="given")], EXAMPLES):
        assert list(scored.values) == [*METRICS, *DESCRIPTIVE]
        assert {m for m, value in scored.values.items() if value is None} == set(scored.reasons)
        json.dumps(as_row(scored), allow_nan=False)


def test_signatures_do_not_depend_on_what_was_scored_last():
    before = [signature(metric) for metric in METRICS + DESCRIPTIVE]
    one("a b", "a b")
    assert [signature(metric) for metric in METRICS + DESCRIPTIVE] == before
    assert len(set(before)) == 9 and "nrefs:var" in signature("bleu") and "references:mean" in signature("rouge1")


def test_unknown_metrics_are_refused():
    with pytest.raises(SettingsError, match="rougeX"):
        signature("rougeX")
    with pytest.raises(SettingsError, match="choose one of bleu, chrf"):
        corpus_value("rouge1", [1, 2])


def test_neither_torch_nor_a_metric_library_is_imported_with_the_names():
    heavy = {"torch", "transformers", "rouge_score", "sacrebleu"}
    code = f"import sys, luthier.scoring.score; print({heavy} & set(sys.modules))"
    code += "; import luthier.verdicts.compare; print({'torch', 'transformers'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["set()", "set()"]
    assert set(CORPUS) < set(METRICS)


@pytest.mark.parametrize("seed", range(20))
def test_the_table_of_common_words_is_rouge_scores_own(seed):
    dice = random.Random(seed)
    reference, answer = ([dice.choice("abcdefgh"[: 2 + seed % 7]) for _ in range(dice.randrange(15))] for _ in "ra")
    assert rouge_scorer._lcs_table is not _LcsTable
    ours, rows = _LcsTable(reference, answer), rouge_scorer._lcs_table(reference, answer)
    assert [[ours[i][j] for j in range(len(answer) + 1)] for i in range(len(reference) + 1)] == rows
    assert ours[-1][-1] == rows[-1][-1]


def test_the_library_that_others_use_stays_as_it_is():
    theirs = dict(vars(rouge_scorer))
    assert one(TEXTS[0], TEXTS[1]).values["rougeL"] is not None
    assert vars(rouge_scorer) == theirs and rouge_scorer._lcs_table.__module__ == "rouge_score.rouge_scorer"
    assert _rouge_scorer(("rougeL",)).score.__globals__["_lcs_table"] is _LcsTable


def test_too_many_sentences_for_rougelsum_are_unknown_and_cost_no_time():
    text = " ".join(f"Ann said {i} things." for i in range(3000))
    (one,) = score([Answer("e", text)], [Example("e", "", (text,))])
    assert one.values["rougeLsum"] is None
    assert one.reasons["rougeLsum"] == ("3,000 sentences against 3,000 of a reference are too many pairs; use rougeL")
    assert one.values["rougeL"] == 1.0
    few = " ".join(f"Ann said {i} things." for i in range(60))
    (one,) = score([Answer("e", few)], [Example("e", "", (few,))])
    assert one.values["rougeLsum"] == 1.0
