"""The comparison: planted cases, each a mistake that would ship the wrong arm or hide why."""

from __future__ import annotations

import inspect
import json
import math
from dataclasses import replace

import numpy as np
import pytest
import sacrebleu
import scipy.stats

from luthier.errors import DataError, SettingsError
from luthier.metrics import METRICS, SMALLEST_MARGIN
from luthier.records import Answer, Example, Score
from luthier.results.comparison import Comparison
from luthier.scoring.score import score
from luthier.verdicts.compare import again, compare, comparison

pytestmark = pytest.mark.filterwarnings("error")


def arm(values, ids=None, units=None) -> list[Score]:
    """Scores with rouge1 alone; None is an unknown value."""
    ids = ids or [f"e{i}" for i in range(len(values))]
    return [
        Score(id, unit, {"rouge1": value}, reasons={} if value is not None else {"rouge1": "reference 1 is empty"})
        for id, unit, value in zip(ids, units or ids, (None if v is None else float(v) for v in values), strict=True)
    ]


def noise(n: int, mean: float, sd: float = 0.05, seed: int = 0) -> np.ndarray:
    """n values with exactly this mean and sd."""
    x = np.random.default_rng(seed).normal(size=n)
    return mean + sd * (x - x.mean()) / x.std(ddof=1)


def pair(result, a, b, metric="rouge1"):
    return next(p for p in result["pairs"] if (p["a"], p["b"], p["metric"]) == (a, b, metric))


def planted(n: int = 200, **means: float):
    """Arms with given means, whose differences have an sd of about .07."""
    return {name: arm(noise(n, mean, seed=i)) for i, (name, mean) in enumerate(means.items())}


# ----------------------------------------------------------------------------------------------------------- pairs


def test_better_is_about_a_and_the_difference_is_a_minus_b():
    result = compare(planted(good=0.5, bad=0.4))
    row = pair(result, "good", "bad")
    assert row["difference"] == pytest.approx(0.1) and row["verdict"] == "better"
    assert pair(compare(planted(bad=0.4, good=0.5)), "bad", "good")["verdict"] == "worse"


def test_all_pairs_in_the_given_order_and_a_family_of_all_of_them():
    result = compare(planted(c=0.5, a=0.4, b=0.45))
    assert [(p["a"], p["b"]) for p in result["pairs"]] == [("c", "a"), ("c", "b"), ("a", "b")]
    assert result["comparisons"] == 3
    row = pair(result, "a", "b")
    assert row["simultaneous_low"] < row["low"] < row["high"] < row["simultaneous_high"]


def test_a_verdict_comes_from_the_simultaneous_interval():
    """Five arms: one difference that 95 % alone would call real, and the family of ten would not."""
    arms = planted(100, a=0.417, b=0.4, c=0.4, d=0.4, e=0.4)
    row = pair(compare(arms), "a", "b")
    assert row["low"] > 0 > row["simultaneous_low"] and row["verdict"] == "cannot tell"
    assert pair(compare({"a": arms["a"], "b": arms["b"]}), "a", "b")["verdict"] == "better"


def test_equivalent_needs_evidence_not_a_lack_of_it():
    close = compare(planted(2000, a=0.4, b=0.4), margin=0.01)
    assert pair(close, "a", "b")["verdict"] == "equivalent" and close["power"]["equivalence_possible"]
    few = compare(planted(60, a=0.4, b=0.4), margin=0.01)
    row = pair(few, "a", "b")
    assert row["verdict"] == "cannot tell" and row["examples_needed"]["more"] > 100
    assert not few["power"]["equivalence_possible"] and any("equivalent" in warning for warning in few["warnings"])


def test_paired_by_id_not_by_position():
    values = noise(100, 0.4, sd=0.2)
    ids = [f"e{i}" for i in range(100)]
    row = pair(
        compare({"a": arm(values + 0.01 + noise(100, 0, 0.01, 9), ids), "b": arm(values[::-1], ids[::-1])}), "a", "b"
    )
    assert row["verdict"] == "better" and row["sd"] < 0.02


def test_units_are_counted_not_rows():
    values = noise(40, 0.4)
    rows = np.repeat(values, 3)
    units = [f"d{i}" for i in range(40) for _ in range(3)]
    ids = [f"r{i}" for i in range(120)]
    result = compare({"a": arm(rows, ids, units), "b": arm(np.repeat(noise(40, 0.38, seed=1), 3), ids, units)})
    assert (result["n"], result["examples"], pair(result, "a", "b")["n"]) == (40, 120, 40)
    alone = compare({"a": arm(values), "b": arm(noise(40, 0.38, seed=1))})
    assert pair(result, "a", "b")["low"] == pytest.approx(pair(alone, "a", "b")["low"])
    assert any("40 independent units (of up to 3 rows)" in warning for warning in result["warnings"])


def test_few_units_and_few_differences_cannot_tell():
    assert pair(compare(planted(19, a=0.9, b=0.1)), "a", "b")["verdict"] == "cannot tell"
    values = noise(100, 0.4)
    nine = values.copy()
    nine[:9] += 0.3
    assert compare(planted(19, a=0.9, b=0.1))["ship"]["verdict"] == "cannot tell"
    row = pair(compare({"a": arm(nine), "b": arm(values)}), "a", "b")
    assert row["nonzero"] == 9 and row["low"] > 0 and row["verdict"] == "cannot tell"


def test_identical_arms_are_called_so_and_constant_scores_do_not_divide_by_zero():
    values = noise(50, 0.4)
    row = pair(result := compare({"a": arm(values), "b": arm(values)}), "a", "b")
    assert (row["difference"], row["low"], row["high"], row["verdict"]) == (0, 0, 0, "cannot tell")
    assert row["identical"] and row["may_differ"] == pytest.approx(1 - 0.025 ** (1 / 50))
    assert row["examples_needed"]["more"] == 133
    sentence = "The scores of a and b differ on none of 50 examples, so they may differ on up to 7.1 % of further ones"
    assert any(warning.startswith(sentence) for warning in result["warnings"])
    many = noise(50 + 133, 0.4)
    assert pair(compare({"a": arm(many), "b": arm(many)}), "a", "b")["verdict"] == "equivalent"
    assert any("answer the same" in warning for warning in result["warnings"])
    constant = pair(compare({"a": arm([0.5] * 50), "b": arm([0.25] * 50)}), "a", "b")
    assert constant["verdict"] == "better" and not constant["identical"]


def test_a_later_look_spends_less():
    arms = planted(a=0.416, b=0.4)
    first, third = compare(arms, look=1), compare(arms, look=3)
    assert (compare(arms)["alpha"], first["alpha"], third["alpha"]) == (0.05, 0.025, 0.00625)
    assert pair(first, "a", "b")["simultaneous_low"] > pair(third, "a", "b")["simultaneous_low"]
    assert pair(first, "a", "b")["low"] == pair(third, "a", "b")["low"], "descriptive intervals stay at `level`"
    assert (compare(arms)["look"], third["look"]) == (None, 3)
    assert "look 3 at this test set, so verdicts need 99.375 % confidence" in " ".join(third["warnings"])
    assert not any("look" in warning for warning in compare(arms)["warnings"])


def test_another_comparison_by_the_same_rules():
    """With the same arms the same pairs; with one more, the same rules for all."""
    arms = planted(**{"a": 0.416, "b": 0.4, "copy-3": 0.39})
    first = comparison(
        arms, deciding="rouge1", margin=0.05, level=0.9, seed=3, look=2, baselines=["copy-3", "b"],
        cost=dict.fromkeys(arms, (1.0,)),
    )  # fmt: skip
    assert again(first, arms).pairs == first.pairs and again(first, arms).baselines == first.baselines
    more = again(first, {**arms, "c": arms["a"]})
    kept = ("deciding", "margin", "level", "look", "alpha", "seed", "signatures")
    assert [getattr(more, name) for name in kept] == [getattr(first, name) for name in kept]
    assert more.pair("c", "a").difference == 0 and more.comparisons == 6


@pytest.mark.parametrize("look", [49, 100, 10**20])
def test_a_test_set_that_was_looked_at_often_still_gives_an_answer(look):
    found = compare(planted(a=0.416, b=0.4, c=0.9), look=look, margin=SMALLEST_MARGIN)
    assert found["look"] == look and 0 < found["alpha"] < 1e-8
    assert pair(found, "a", "b")["verdict"] == "cannot tell" and pair(found, "a", "c")["verdict"] == "worse"
    (warning,) = [one for one in found["warnings"] if "look" in one]
    assert "verdicts may err once in " in warning and "draw a new test set" in warning


def test_a_family_of_correlated_pairs_is_narrower_than_bonferroni_and_wider_than_one_pair():
    large, small = compare(planted(200, a=0.4, b=0.4, c=0.4)), compare(planted(59, a=0.4, b=0.4, c=0.4))

    def reach(row):
        return (row["simultaneous_high"] - row["simultaneous_low"]) / (row["high"] - row["low"])

    def bonferroni(n):
        return scipy.stats.t.ppf(1 - 0.025 / 3, n - 1) / scipy.stats.t.ppf(0.975, n - 1)

    assert 1.1 < reach(pair(large, "a", "b")) < 0.99 * bonferroni(200)
    assert reach(pair(small, "a", "b")) == pytest.approx(bonferroni(59), abs=0.002), (
        "the correlation is not trusted below 60"
    )


def test_equivalence_needs_one_side_at_a_time():
    """An interval that just leaves the margin, whose one-sided bounds lie inside."""
    row = pair(compare({"a": arm(noise(500, 0.4, 0.08)), "b": arm(np.full(500, 0.399))}, margin=0.0075), "a", "b")
    assert row["simultaneous_high"] > 0.0075 > row["one_sided_high"] and row["within_margin"]
    assert row["verdict"] == "equivalent"


def test_arms_that_are_not_separated_stand_together_by_mean():
    groups = compare(planted(100, low=0.40, top=0.43, middle=0.415, far=0.2))["groups"]
    assert groups == [["top", "middle"], ["middle", "low"], ["far"]]
    assert compare(planted(10, b=0.1, a=0.9))["groups"] == [["a", "b"]], "no verdict separates nothing"
    assert compare(planted(50, only=0.4))["groups"] == [["only"]]


# ---------------------------------------------------------------------------------------------------------- seeds


def seeds(n: int, count: int, mean: float, seed_sd: float, first: int) -> list[list[Score]]:
    """Scores of further seeds, whose means are spread evenly with about this sd."""
    offsets = seed_sd * (np.arange(count) - (count - 1) / 2)
    return [arm(noise(n, mean + offset, seed=first + i)) for i, offset in enumerate(offsets)]


def test_a_recipe_is_less_certain_than_a_model_and_has_no_verdict():
    arms = planted(200, lora=0.45, plain=0.40)
    result = compare(arms, seeds={"lora": seeds(200, 3, 0.45, 0.03, 50)})
    model, recipe = result["arms"]["lora"]["rouge1"], result["arms"]["lora"]["rouge1"]["recipe"]
    assert recipe["seeds"] == 4 and recipe["seed_share"] > 0.5
    assert recipe["high"] - recipe["low"] > 1.5 * (model["high"] - model["low"])
    assert result["arms"]["plain"]["rouge1"]["recipe"] is None
    row = pair(result, "lora", "plain")
    assert row["verdict"] == "better" and row["recipe"]["low"] < row["low"] and "verdict" not in row["recipe"]
    without = compare(arms)
    assert {k: v for k, v in row.items() if k != "recipe"} == pair(without, "lora", "plain"), "the model's stays"
    assert "claims" not in without
    assert "This model: lora has rouge1 0.450" in result["claims"]["model"]
    assert "trained again with another seed" in result["claims"]["recipe"]
    json.dumps(result, allow_nan=False)


@pytest.mark.parametrize(("more", "words"), [(0, "one seed: no claim"), (1, "2 seeds: no claim")])
def test_too_few_seeds_make_no_claim(more, words):
    result = compare(planted(60, a=0.4, b=0.3), seeds={"a": seeds(60, more, 0.4, 0.01, 9)})
    assert result["arms"]["a"]["rouge1"]["recipe"] is None and pair(result, "a", "b")["recipe"] is None
    assert words in result["claims"]["recipe"]


def test_seeds_that_do_not_fit_are_refused():
    arms = planted(60, a=0.4, b=0.3)
    with pytest.raises(SettingsError, match="'c', which is none of the arms"):
        compare(arms, seeds={"c": [arms["a"]]})
    with pytest.raises(DataError, match="seed of arm 'a' has no rouge1 for 1 of 60 examples"):
        compare(arms, seeds={"a": [arms["a"][:-1]]})
    four = {"a": seeds(60, 3, 0.4, 0.01, 9), "b": seeds(60, 4, 0.3, 0.01, 19)}
    assert pair(compare(arms, seeds=four), "a", "b")["recipe"] is None, "4 seeds cannot be set against 5"


# ----------------------------------------------------------------------------------------------------------- align


def test_an_unknown_value_is_excluded_for_all_and_listed_never_zero():
    values = list(noise(50, 0.4))
    result = compare({"a": arm([None, *values[1:]]), "b": arm(values), "c": arm(values[:-1])})
    assert result["excluded"] == {
        "a": [{"id": "e0", "reason": "reference 1 is empty"}],
        "c": [{"id": "e49", "reason": "no answer"}],
    }
    assert result["examples"] == 48 and {row["rouge1"]["n"] for row in result["arms"].values()} == {48}
    assert pair(result, "a", "b")["difference"] == 0
    assert sum("left out for every arm" in warning for warning in result["warnings"]) == 2


def test_an_arm_that_lacks_more_than_half_is_refused():
    values = noise(50, 0.4)
    assert compare({"a": arm(values), "b": arm(values[:25])})["examples"] == 25
    with pytest.raises(DataError, match="arm 'b' has no rouge1 for 26 of 50"):
        compare({"a": arm(values), "b": arm(values[:24])})


def test_arms_that_share_nothing_or_contradict_are_refused():
    with pytest.raises(DataError, match="2 scores for example 'x'"):
        compare({"a": arm([0.1, 0.2], ids=["x", "x"])})
    with pytest.raises(DataError, match="belongs to unit"):
        compare({"a": arm([0.1], ["x"], ["d1"]), "b": arm([0.1], ["x"], ["d2"])})
    with pytest.raises(DataError, match="no example"):
        compare({"a": arm([0.1, None]), "b": arm([None, 0.1])})


@pytest.mark.parametrize(
    "options",
    [
        {"deciding": "rouge9"},
        {"deciding": "length_ratio"},  # more is not better
        {"margin": 2},  # percent instead of 0..1
        {"margin": 0},
        {"margin": 1e-300},
        {"margin": math.nan},
        {"seed": -1},
        {"seed": 2**32},
        {"level": 95},
        {"look": 0},
        {"cost": {"a": (1,)}},  # b has no price
    ],
)
def test_options_out_of_range_are_refused(options):
    with pytest.raises(SettingsError):
        compare(planted(a=0.4, b=0.5), **options)
    with pytest.raises(SettingsError):
        compare({})


# ------------------------------------------------------------------------------------------------------------ ship


def test_the_cheapest_arm_close_to_the_best_is_shipped():
    arms = planted(3000, cheap=0.495, dear=0.5, poor=0.4)
    cost = {"cheap": (1, 5), "dear": (2, 0), "poor": (0, 0)}
    ship = compare(arms, cost=cost)["ship"]
    assert (ship["verdict"], ship["arm"], ship["provisional"]) == ("ship", "cheap", "dear")
    assert ship["lower_bounds"]["cheap"] > -0.02 > ship["lower_bounds"]["poor"]
    assert ship["may_be_best"] == ["dear"] and "Ship cheap" in ship["sentence"] and "0.495" in ship["sentence"]


def test_the_first_cost_counts_most_and_a_tie_goes_to_the_higher_mean():
    arms = planted(3000, a=0.5, b=0.501)
    assert compare(arms, cost={"a": (1, 9), "b": (2, 0)})["ship"]["arm"] == "a"
    assert compare(arms, cost={"a": (1, 9), "b": (1, 0)})["ship"]["arm"] == "b"
    assert compare(arms)["ship"]["arm"] == "b"


def test_not_significantly_worse_is_no_reason_to_ship():
    """On 60 examples nothing is significant: the naive rule ships the cheap arm, which may be 2 points below."""
    result = compare(planted(60, cheap=0.398, dear=0.4), cost={"cheap": (0,), "dear": (1,)}, margin=0.01)
    assert pair(result, "cheap", "dear")["high"] > 0
    ship = result["ship"]
    assert (ship["verdict"], ship["arm"], ship["provisional"]) == ("cannot tell", None, "dear")
    assert ship["may_be_best"] == ["cheap", "dear"] and ship["more_examples"] > 0
    assert "provisional" in ship["sentence"] and str(ship["more_examples"]) in ship["sentence"]


def test_ship_compares_with_the_best_of_all_others_not_with_the_next():
    ship = compare(planted(2000, a=0.5, b=0.485, c=0.47), cost={"a": (3,), "b": (2,), "c": (1,)})["ship"]
    assert ship["lower_bounds"]["c"] < -0.03
    assert ship["arm"] == "b"


def test_a_quantized_twin_does_not_stop_the_shipping_of_either():
    best = noise(800, 0.5)
    arms = {"lora": arm(best), "lora@int4": arm(best), "zero-shot": arm(noise(800, 0.2, seed=1))}
    result = compare(arms, cost={"lora": (2,), "lora@int4": (1,), "zero-shot": (0,)})
    assert result["ship"]["arm"] == "lora@int4"
    assert compare({name: scores[:40] for name, scores in arms.items()})["ship"]["verdict"] == "cannot tell"


def test_an_arm_alone():
    result = compare({"only": arm(noise(30, 0.4))}, baselines=())
    assert (result["comparisons"], result["pairs"], result["warnings"]) == (0, [], [])
    assert (result["ship"]["verdict"], result["ship"]["provisional"]) == ("cannot tell", "only")
    assert result["ship"]["lower_bounds"] == {"only": None} and result["power"]["detectable"] is None
    single = compare({"a": arm([0.4]), "b": arm([0.5])})
    assert single["arms"]["a"]["rouge1"] == {"mean": 0.4, "low": None, "high": None, "n": 1}
    json.dumps([result, single], allow_nan=False)


def test_an_arm_that_does_not_beat_a_baseline_is_told_so():
    result = compare(planted(**{"copy-3": 0.2, "zero-shot": 0.4, "lora": 0.39, "few-shot": 0.6}))
    assert result["baselines"]["lora"] == {
        "copy-3": {"verdict": "better", "beats": True},
        "zero-shot": {"verdict": "cannot tell", "beats": False},
    }
    assert result["baselines"]["few-shot"]["zero-shot"]["beats"]
    told = [warning for warning in result["warnings"] if "beat the baseline" in warning]
    assert told == ["lora is not shown to beat the baseline zero-shot."]
    assert any("copy-3" in warning for warning in compare(planted(a=0.4))["warnings"]), "absent baselines are said"


def test_the_best_arms_mean_is_labelled_optimistic():
    result = compare(planted(60, **{f"a{i}": 0.4 for i in range(8)}, top=0.401))
    best, plain = result["best"], result["arms"]["top"]["rouge1"]
    assert best["arm"] == "top" and best["simultaneous_low"] < plain["low"] < plain["high"] < best["simultaneous_high"]
    assert any("optimistic" in warning for warning in result["warnings"])


# ---------------------------------------------------------------------------------------------- from text to table

WORDS = [f"word{i}" for i in range(300)]


def texts(n: int, right: float, seed: int, units: int | None = None):
    """Examples, and answers that keep each reference word with probability `right`."""
    source, random = np.random.default_rng(99), np.random.default_rng(seed)
    examples = []
    for i in range(n):
        reference = " ".join(source.choice(WORDS, 12 + i % 9)) + "."
        examples.append(Example(f"e{i}", reference, (reference,), unit=f"d{i % units}" if units else ""))
    answers = [
        Answer(
            e.id,
            " ".join(w if random.random() < right else str(random.choice(WORDS)) for w in e.input.split()),
            stop="end",
        )
        for e in examples
    ]
    return answers, examples


def test_corpus_metrics_are_formed_after_summing_and_verdicts_can_come_from_them():
    arms, expected = {}, {}
    for seed, (name, right) in enumerate({"a": 0.8, "b": 0.6}.items()):
        answers, examples = texts(60, right, seed, units=30)
        arms[name] = score(answers, examples)
        references = [e.references[0] for e in examples]
        expected[name] = sacrebleu.corpus_bleu([a.text for a in answers], [references]).score / 100
    result = compare(arms, deciding="bleu", margin=0.05)
    for name in arms:
        row = result["arms"][name]["bleu"]
        assert row["mean"] == pytest.approx(expected[name], abs=1e-12) and row["n"] == 30
        assert row["low"] < row["mean"] < row["high"]
    row = pair(result, "a", "b", "bleu")
    assert row["difference"] == pytest.approx(expected["a"] - expected["b"]) and row["verdict"] == "better"
    assert pair(result, "a", "b", "rouge1")["verdict"] is None, "other metrics are descriptive"
    assert result["ship"]["arm"] == "a"
    assert result == compare(arms, deciding="bleu", margin=0.05), "the bootstrap is seeded"


def test_given_answers_leave_stopped_unknown_without_losing_examples():
    answers, examples = texts(30, 0.7, seed=0)
    given = [replace(answer, stop="given") for answer in answers]
    cut = [replace(answer, stop="length") for answer in answers]
    arms = {name: score(said, examples) for name, said in {"copy": given, "end": answers, "cut": cut}.items()}
    result = compare(arms)
    assert result["examples"] == 30 and result["excluded"] == {}
    assert result["arms"]["copy"]["stopped"] == {"mean": None, "low": None, "high": None, "n": 0}
    assert list(result["missing"]["copy"]["stopped"].values()) == [30]
    assert 0 < result["arms"]["cut"]["stopped"]["high"] < 0.2, "Wilson is not empty at 0 of 30"
    assert pair(result, "copy", "end", "stopped")["difference"] is None
    assert pair(result, "end", "cut", "stopped")["mcnemar_p"] < 1e-6
    assert pair(result, "copy", "end")["identical"], "the same words, however they ended"
    json.dumps(result, allow_nan=False)
    assert result["signatures"]["rouge1"].startswith("rouge1|") and set(METRICS) < set(result["signatures"])


def test_the_public_function_gives_what_the_file_holds_and_keeps_its_arguments():
    arms = planted(30, a=0.4, b=0.5)
    found, result = comparison(arms, look=1), compare(arms, look=1)
    assert isinstance(found, Comparison) and type(result) is dict
    assert json.loads(json.dumps(result)) == found.as_json() == result, "lists and tables, no types of ours"
    assert (compare.__name__, compare.__module__) == ("compare", "luthier.verdicts.compare")
    arguments, own = inspect.signature(comparison), inspect.signature(compare)
    assert own.parameters == arguments.parameters and own.return_annotation == "dict[str, Any]"
    assert "deciding: the metric that verdicts come from" in inspect.getdoc(compare)
